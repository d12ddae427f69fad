//! Receiving and sending at the same time on one connection.

use std::{future::poll_fn, task::Poll};

use taiwa::{Error, Message, WebSocket};

/// What a connection can be waited on for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wish {
    /// The next message, or the end.
    pub(super) receive: bool,
    /// Room for a message.
    pub(super) room: bool,
    /// All written.
    pub(super) written: bool,
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Turn {
    Received(Result<Option<Message>, Error>),
    Room,
    Written,
}

/// Waits for the first of what is wished; for ever if nothing is. Cancel-safe.
pub(super) async fn turn(socket: &mut WebSocket, wish: Wish) -> Turn {
    poll_fn(|cx| {
        // A failure to write is told by receiving: behind it may be messages and a Close frame.
        if wish.room
            && let Poll::Ready(Ok(())) = socket.poll_room(cx)
        {
            return Poll::Ready(Turn::Room);
        }
        if wish.written
            && let Poll::Ready(Ok(())) = socket.poll_written(cx)
        {
            return Poll::Ready(Turn::Written);
        }
        if wish.receive
            && let Poll::Ready(received) = socket.poll_recv(cx)
        {
            return Poll::Ready(Turn::Received(received));
        }
        Poll::Pending
    })
    .await
}
