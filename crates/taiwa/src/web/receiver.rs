//! [`Receiver`]: the receiving half of a split connection of a browser.

use std::{
    fmt,
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll},
};

use taiwa_proto::{Closed, Message, deflate};

use super::{line::Line, sender::Sender, websocket::WebSocket};
use crate::error::Error;

/// The receiving half of a connection, from [`WebSocket::split`](crate::WebSocket::split).
///
/// Dropping it drops the messages that come from then on; senders go on.
pub struct Receiver {
    line: Rc<Line>,
    is_reunited: bool,
}

impl Receiver {
    pub(super) fn new(line: Rc<Line>) -> Self {
        Self { line, is_reunited: false }
    }

    /// Waits for the next message, as [`WebSocket::recv`]. Returns `None` when the connection is closed;
    /// code and reason are then in [`closed`](Self::closed).
    ///
    /// Cancel-safe: a message is returned or kept for the next call.
    ///
    /// # Errors
    /// As [`WebSocket::recv`].
    pub async fn recv(&mut self) -> Result<Option<Message>, Error> {
        poll_fn(|cx| self.line.poll_recv(cx)).await
    }

    /// Polls for the next message; [`recv`](Self::recv) as a poll function.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Message>, Error>> {
        self.line.poll_recv(cx)
    }

    /// Returns how the connection ended, once [`recv`](Self::recv) has returned `None` or an error.
    pub fn closed(&self) -> Option<&Closed> {
        self.line.closed()
    }

    /// Makes a further sender.
    pub fn sender(&self) -> Sender {
        Sender::new(Rc::clone(&self.line))
    }

    /// Puts the halves together again.
    ///
    /// # Errors
    /// Gives both back if they are not halves of one connection, or if there are more senders.
    pub fn reunite(mut self, sender: Sender) -> Result<WebSocket, (Self, Sender)> {
        if !Rc::ptr_eq(&self.line, sender.line()) || Rc::strong_count(&self.line) != 2 {
            return Err((self, sender));
        }
        let line = Rc::clone(&self.line);
        self.is_reunited = true;
        drop((self, sender));
        Ok(WebSocket::reunited(line))
    }

    /// Returns the subprotocol that was agreed on (RFC 6455 §1.9).
    pub fn subprotocol(&self) -> Option<&str> {
        self.line.protocol.as_deref()
    }

    /// Returns the extensions that were agreed on, as `Sec-WebSocket-Extensions` writes them; empty
    /// without any.
    pub fn extensions(&self) -> String {
        self.line.extensions.clone()
    }

    /// Returns the parameters of permessage-deflate (RFC 7692), if it was agreed on.
    pub fn deflate(&self) -> Option<&deflate::Params> {
        self.line.deflate.as_ref()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if !self.is_reunited {
            self.line.read_for_nobody();
        }
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("closed", &self.closed()).finish_non_exhaustive()
    }
}
