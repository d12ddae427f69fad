//! [`WebSocket`] as the `Stream` and `Sink` of the futures crates.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::{FusedStream, Stream};
use futures_sink::Sink;
use taiwa_proto::{CloseCode, Message};

use super::{waiting::Waiter, websocket::WebSocket};
use crate::error::Error;

/// Gives the messages of the peer, as [`recv`](WebSocket::recv) does; the stream ends with the connection,
/// or after an error. Dropping a future of `next` loses nothing.
impl Stream for WebSocket {
    type Item = Result<Message, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_recv(cx).map(Result::transpose)
    }
}

impl FusedStream for WebSocket {
    /// Tells whether the connection is over and all of its messages were received.
    fn is_terminated(&self) -> bool {
        self.closed().is_some() && self.line().is_read()
    }
}

/// Sends messages, as [`send`](WebSocket::send) does. The sink is ready while less than
/// [`Limits::outbox_bytes_max`](crate::Limits::outbox_bytes_max) waits, and flushed when the browser has
/// everything.
///
/// Closing it sends a Close frame with 1000, and is ready when what was sent before is on its way: the
/// end then comes out of the stream. [`close`](WebSocket::close) with its own code waits for it.
impl Sink<Message> for WebSocket {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_room(cx)
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        self.line().queue_anyway(&message)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_written(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        // It does nothing if the closing handshake has begun already.
        self.line().close(CloseCode::NORMAL, "")?;
        self.line().poll_handed_over(cx, Waiter::WRITER).map(Ok)
    }
}
