//! [`WebSocketStream`]: a connection as `Stream` and `Sink`.

use std::{
    io::{self, Read, Write},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use futures_core::{FusedStream, Stream};
use futures_sink::Sink;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    config::{Role, WebSocketConfig},
    engine::Engine,
    error::{Error, Result},
    frame::CloseFrame,
    message::Message,
};
use crate::websocket::TwoTasks;

/// An open connection over a transport of type `S`.
///
/// Received are messages, Pings, Pongs and the peer's Close frame; after that the stream ends. Pings and
/// Close frames are answered with the next call of any kind.
///
/// Receiving is cancel-safe. A message is sent whole or, if its future was dropped before it was queued,
/// not at all.
#[derive(Debug)]
pub struct WebSocketStream<S> {
    io: S,
    engine: Engine,
    /// The halves of a split stream may be polled by two tasks.
    tasks: Arc<TwoTasks>,
    /// What was sent last did not fit.
    is_blocked: bool,
    is_closing: bool,
    is_ended: bool,
}

impl<S> WebSocketStream<S> {
    pub(super) fn new(io: S, engine: Engine) -> Self {
        let tasks = Arc::default();
        Self { io, engine, tasks, is_blocked: false, is_closing: false, is_ended: false }
    }

    /// Takes a transport on which the opening handshake is done.
    ///
    /// Cancel-safe: it does not wait.
    ///
    /// # Panics
    /// If the limits in `config` contradict each other.
    pub async fn from_raw_socket(stream: S, role: Role, config: Option<WebSocketConfig>) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        Self::new(stream, Engine::new(role, config, &[]))
    }

    /// Takes a transport on which the opening handshake is done, and what was read behind it.
    ///
    /// Cancel-safe: it does not wait.
    ///
    /// # Panics
    /// If the limits in `config` contradict each other.
    pub async fn from_partially_read(
        stream: S,
        part: Vec<u8>,
        role: Role,
        config: Option<WebSocketConfig>,
    ) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        Self::new(stream, Engine::new(role, config, &part))
    }

    /// Takes the transport, as it is.
    pub fn into_inner(self) -> S {
        self.io
    }

    /// Borrows the transport.
    pub fn get_ref(&self) -> &S
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        &self.io
    }

    /// Borrows the transport to change it.
    pub fn get_mut(&mut self) -> &mut S
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        &mut self.io
    }

    /// Returns the limits.
    pub fn get_config(&self) -> &WebSocketConfig {
        self.engine.config()
    }

    /// Sends a Close frame. The peer's comes out of the stream, and then its end.
    ///
    /// Cancel-safe: the frame is queued whole or not at all, and goes out with the next call.
    ///
    /// # Errors
    /// As sending any message.
    pub async fn close(&mut self, msg: Option<CloseFrame>) -> Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        std::future::poll_fn(|cx| self.poll_unblocked(cx)).await?;
        Pin::new(&mut *self).start_send(Message::Close(msg))?;
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_flush(cx)).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocketStream<S> {
    /// Lends the transport to the engine; whichever task waits is woken when it is ready.
    fn with<T>(&mut self, call: impl FnOnce(&mut Engine, &mut Now<'_, '_, S>) -> T) -> T {
        let waker = Waker::from(Arc::clone(&self.tasks));
        let mut cx = Context::from_waker(&waker);
        call(&mut self.engine, &mut Now { io: &mut self.io, cx: &mut cx })
    }

    fn poll_unblocked(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if !self.is_blocked {
            return Poll::Ready(Ok(()));
        }
        self.tasks.writes(cx.waker());
        let flushed = ready!(poll(self.with(|engine, io| engine.flush(io))));
        self.is_blocked = false;
        Poll::Ready(flushed)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for WebSocketStream<S> {
    type Item = Result<Message>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_ended {
            return Poll::Ready(None);
        }
        self.tasks.reads(cx.waker());
        let read = ready!(poll(self.with(|engine, io| engine.read(io))));
        self.is_ended = read.is_err();
        Poll::Ready(match read {
            Err(Error::AlreadyClosed | Error::ConnectionClosed) => None,
            read => Some(read),
        })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> FusedStream for WebSocketStream<S> {
    fn is_terminated(&self) -> bool {
        self.is_ended
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Sink<Message> for WebSocketStream<S> {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_unblocked(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<()> {
        let sent = self.with(|engine, io| engine.write(io, message));
        // It is queued, and that is what was asked.
        self.is_blocked = sent.as_ref().is_err_and(Error::is_would_block);
        if self.is_blocked { Ok(()) } else { sent }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.tasks.writes(cx.waker());
        let flushed = ready!(poll(self.with(|engine, io| engine.flush(io))));
        self.is_blocked = false;
        Poll::Ready(closed_is_flushed(flushed))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.tasks.writes(cx.waker());
        self.is_blocked = false;
        let closing = self.is_closing;
        let closed = self.with(|engine, io| match closing {
            true => engine.flush(io),
            false => engine.close(io, None),
        });
        self.is_closing |= closed.as_ref().is_err_and(Error::is_would_block);
        Poll::Ready(closed_is_flushed(ready!(poll(closed))))
    }
}

/// The end of the connection took the last bytes with it, as it should.
fn closed_is_flushed(flushed: Result<()>) -> Result<()> {
    match flushed {
        Err(Error::ConnectionClosed) => Ok(()),
        flushed => flushed,
    }
}

pub(super) fn poll<T>(result: Result<T>) -> Poll<Result<T>> {
    match result {
        Err(error) if error.is_would_block() => Poll::Pending,
        result => Poll::Ready(result),
    }
}

/// A transport of tokio for the time of one poll: what would have to wait says so.
pub(super) struct Now<'a, 'c, S> {
    pub(super) io: &'a mut S,
    pub(super) cx: &'a mut Context<'c>,
}

fn now<T>(polled: Poll<io::Result<T>>) -> io::Result<T> {
    match polled {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl<S: AsyncRead + Unpin> Read for Now<'_, '_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(buffer);
        now(Pin::new(&mut *self.io).poll_read(self.cx, &mut buffer))?;
        Ok(buffer.filled().len())
    }
}

impl<S: AsyncWrite + Unpin> Write for Now<'_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        now(Pin::new(&mut *self.io).poll_write(self.cx, bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        now(Pin::new(&mut *self.io).poll_flush(self.cx))
    }
}
