//! [`WebSocket`] as the `Stream` and `Sink` of the futures crates.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use futures_core::{FusedStream, Stream};
use futures_sink::Sink;
use taiwa_proto::{CloseCode, Message};

use super::{WebSocket, inner::Inner, timer::now};
use crate::error::Error;

/// Gives the messages of the peer, as [`recv`](WebSocket::recv) does; the stream ends with the connection,
/// or after an error. Dropping a future of `next` loses nothing.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), taiwa::Error> {
/// # let server = taiwa::Server::bind("127.0.0.1:0").await?;
/// # let url = format!("ws://{}/", server.local_addr()?);
/// # tokio::spawn(server.serve(|it: taiwa::Upgrade| async move {
/// #     let mut socket = it.accept().await?;
/// #     while let Some(it) = socket.recv().await? { socket.send(it).await? }
/// #     Ok::<_, taiwa::Error>(())
/// # }).into_future());
/// use futures_util::{SinkExt, StreamExt};
///
/// let (mut sink, mut stream) = StreamExt::split(taiwa::connect(&url).await?);
/// sink.send("hello".into()).await?;
/// sink.close().await?;
/// while let Some(message) = stream.next().await {
///     assert_eq!(message?, "hello".into());
/// }
/// # Ok(()) }
/// ```
impl Stream for WebSocket {
    type Item = Result<Message, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let inner = self.inner_mut();
        let at_hand = inner.next_at_hand();
        if at_hand.is_some() && !inner.owes_answer() {
            return Poll::Ready(at_hand.map(Ok));
        }
        let tasks = inner.tasks.get_or_insert_default();
        tasks.reads(cx.waker());
        let waker = Waker::from(Arc::clone(tasks));
        let cx = &mut Context::from_waker(&waker);
        if at_hand.is_some() {
            let _ = inner.poll_write(cx, now());
            return Poll::Ready(at_hand.map(Ok));
        }
        inner.poll_recv(cx).map(Result::transpose)
    }
}

impl FusedStream for WebSocket {
    /// Tells whether the connection is over and all of its messages were received.
    fn is_terminated(&self) -> bool {
        self.closed().is_some() && self.inner().kept.is_empty()
    }
}

/// Sends messages, as [`send`](WebSocket::send) does. The sink is ready while less than
/// [`Limits::outbox_bytes_max`](crate::Limits::outbox_bytes_max) waits, and flushed when the kernel has
/// everything. What it is fed is gathered: it goes out when the sink is flushed, when 64 KiB wait, or when there is nothing
/// to read, so that what comes together is answered together:
///
/// ```
/// # use futures_util::{SinkExt, StreamExt};
/// # async fn echo(mut socket: taiwa::WebSocket) -> Result<(), taiwa::Error> {
/// while let Some(message) = socket.next().await {
///     socket.feed(message?).await?;
/// }
/// # Ok(()) }
/// ```
///
/// `StreamExt::split` and `forward` do the same, for a third more processor time: their halves share a lock.
///
/// Closing it sends a Close frame with 1000, and is ready when the kernel has it: what the peer still says,
/// and the end, then come out of the stream. [`close`](WebSocket::close) with its own code waits for all
/// of that.
impl Sink<Message> for WebSocket {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let inner = self.inner_mut();
        if inner.may_feed() {
            return Poll::Ready(Ok(()));
        }
        write(inner, cx, Inner::poll_reserve)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        self.inner_mut().feed(&message)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        write(self.inner_mut(), cx, Inner::poll_written)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        // It does nothing if a Close frame is queued or sent already.
        self.inner_mut().close(CloseCode::NORMAL, "")?;
        match ready!(write(self.inner_mut(), cx, Inner::poll_written)) {
            Err(Error::Closed(_)) => Poll::Ready(Ok(())),
            written => Poll::Ready(written),
        }
    }
}

/// Polls for a task that writes; another one may read.
fn write(
    inner: &mut Inner,
    cx: &mut Context<'_>,
    poll: fn(&mut Inner, &mut Context<'_>) -> Poll<Result<(), Error>>,
) -> Poll<Result<(), Error>> {
    let tasks = inner.tasks.get_or_insert_default();
    tasks.writes(cx.waker());
    inner.others_read = tasks.is_read_by_another(cx.waker());
    let waker = Waker::from(Arc::clone(tasks));
    let polled = poll(inner, &mut Context::from_waker(&waker));
    inner.others_read = false;
    polled
}
