//! [`WebSocket`]: a connection as `Stream` and `Sink` of messages and control frames.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use axum_core::Error;
use futures_core::{FusedStream, Stream};
use futures_sink::Sink;
use http::HeaderValue;
use taiwa_proto::{CloseCode, Message as Payload};

use super::{CloseFrame, Message, Utf8Bytes};
use crate::{
    Error as Ours,
    websocket::{Item, TwoTasks},
};

/// An open connection.
///
/// Received are messages, Pings, Pongs and the peer's Close frame, which is the last; Pings and Close frames
/// are answered already. Receiving and sending are cancel-safe: a message is received whole or kept, and sent
/// whole or not at all.
#[derive(Debug)]
pub struct WebSocket {
    socket: crate::WebSocket,
    protocol: Option<HeaderValue>,
    /// The halves of a split stream may be polled by two tasks.
    tasks: Arc<TwoTasks>,
    /// [`TwoTasks`] as a waker, made once.
    waker: Waker,
    is_terminated: bool,
}

impl WebSocket {
    pub(super) fn new(socket: crate::WebSocket, protocol: Option<HeaderValue>) -> Self {
        let tasks = Arc::<TwoTasks>::default();
        let waker = Waker::from(Arc::clone(&tasks));
        Self { socket, protocol, tasks, waker, is_terminated: false }
    }

    /// Waits for the next message or control frame. `None` after the end, which is a Close frame or an error.
    ///
    /// Cancel-safe.
    pub async fn recv(&mut self) -> Option<Result<Message, Error>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Sends a message or control frame, and waits until the kernel took it.
    ///
    /// Cancel-safe: it is queued whole or not at all.
    ///
    /// # Errors
    /// After the end, which a received Close frame is; after a Close frame was sent, except for another one; for a control frame that may not be sent,
    /// with the connection unharmed.
    pub async fn send(&mut self, msg: Message) -> Result<(), Error> {
        poll_fn(|cx| Pin::new(&mut *self).poll_ready(cx)).await?;
        Pin::new(&mut *self).start_send(msg)?;
        poll_fn(|cx| Pin::new(&mut *self).poll_flush(cx)).await
    }

    /// Returns the subprotocol that was agreed on.
    pub fn protocol(&self) -> Option<&HeaderValue> {
        self.protocol.as_ref()
    }

    /// Returns the peer's Close frame, once all before it was received.
    fn last(&self) -> Option<Message> {
        let closed = self.socket.closed().filter(|it| it.code != CloseCode::ABNORMAL)?;
        Some(Message::Close(match closed.code {
            CloseCode::NO_STATUS => None,
            code => {
                let reason = Utf8Bytes(closed.reason.clone());
                Some(CloseFrame { code: code.get(), reason })
            }
        }))
    }

    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.tasks.writes(cx.waker());
        match ready!(self.socket.poll_written(&mut Context::from_waker(&self.waker))) {
            // The last that went out was the answer to a Close frame.
            Ok(()) | Err(Ours::Closed(_)) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(Error::new(error))),
        }
    }
}

impl Stream for WebSocket {
    type Item = Result<Message, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.is_terminated {
            return Poll::Ready(None);
        }
        this.tasks.reads(cx.waker());
        let item = ready!(this.socket.poll_item(&mut Context::from_waker(&this.waker)));
        Poll::Ready(match item {
            Ok(Some(Item::Message(Payload::Text(text)))) => {
                Some(Ok(Message::Text(Utf8Bytes(text))))
            }
            Ok(Some(Item::Message(Payload::Binary(bytes)))) => Some(Ok(Message::Binary(bytes))),
            Ok(Some(Item::Ping(payload))) => Some(Ok(Message::Ping(payload))),
            Ok(Some(Item::Pong(payload))) => Some(Ok(Message::Pong(payload))),
            Ok(None) => {
                this.is_terminated = true;
                this.last().map(Ok)
            }
            Err(error) => {
                this.is_terminated = true;
                Some(Err(Error::new(error)))
            }
        })
    }
}

impl FusedStream for WebSocket {
    fn is_terminated(&self) -> bool {
        self.is_terminated
    }
}

impl Sink<Message> for WebSocket {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let this = &mut *self;
        this.tasks.writes(cx.waker());
        match ready!(this.socket.poll_room(&mut Context::from_waker(&this.waker))) {
            // What is to be sent says whether that is an error.
            Ok(()) | Err(Ours::Closed(_)) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(Error::new(error))),
        }
    }

    fn start_send(mut self: Pin<&mut Self>, item: Message) -> Result<(), Error> {
        let socket = &mut self.socket;
        if let Some(closed) = socket.closed() {
            return Err(Error::new(Ours::Closed(closed.clone())));
        }
        let queued = match item {
            Message::Text(text) => socket.queue(&Payload::Text(text.0)),
            Message::Binary(bytes) => socket.queue(&Payload::Binary(bytes)),
            Message::Ping(payload) => socket.queue_ping(&payload),
            Message::Pong(payload) => socket.queue_pong(&payload),
            Message::Close(None) => socket.queue_close(CloseCode::NO_STATUS, ""),
            Message::Close(Some(frame)) => {
                socket.queue_close(CloseCode::new(frame.code), &frame.reason)
            }
        };
        queued.map_err(Error::new)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_written(cx)
    }

    /// Sends a Close frame if none was sent. The peer's comes out of the stream.
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.socket.queue_close(CloseCode::NO_STATUS, "").map_err(Error::new)?;
        self.poll_written(cx)
    }
}
