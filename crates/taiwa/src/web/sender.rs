//! [`Sender`]: the sending half of a split connection of a browser.

use std::{
    fmt,
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll},
};

use taiwa_proto::{CloseCode, Closed, Message, Prepared};

use super::{line::Line, permit::Permit, waiting::Waiter};
use crate::error::{Error, TrySendError};

/// The sending half of a connection, from [`WebSocket::split`](crate::WebSocket::split). Cloning it is cheap.
///
/// Messages of all senders go out in the order in which they were queued. Without a receiver the messages
/// of the peer are dropped. When all halves are dropped, the connection is closed without a code.
///
/// All methods that wait are cancel-safe.
pub struct Sender {
    line: Rc<Line>,
    /// Of who polls this sender by hand.
    waiter: Waiter,
}

impl Sender {
    pub(super) fn new(line: Rc<Line>) -> Self {
        let waiter = line.state.waiting.waiter();
        Self { line, waiter }
    }

    /// Sends a message, as [`WebSocket::send`](crate::WebSocket::send).
    ///
    /// Cancel-safe: the message is handed over whole or not at all.
    ///
    /// # Errors
    /// As [`WebSocket::send`](crate::WebSocket::send). The error that ends the connection is told to the
    /// receiver, if there is one, and [`Error::Closed`] here.
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), Error> {
        let message = message.into();
        let turn = self.line.state.waiting.turn();
        let mut is_queued = false;
        poll_fn(|cx| self.line.poll_send(&message, &mut is_queued, cx, turn.waiter)).await
    }

    /// Sends a message that is shared with others, as [`send`](Self::send).
    ///
    /// Cancel-safe: the message is queued whole or not at all.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn send_prepared(&self, prepared: &Prepared) -> Result<(), Error> {
        self.send(prepared.message().clone()).await
    }

    /// Hands a message to the browser if there is room. Does not wait.
    ///
    /// # Errors
    /// [`TrySendError::Full`] and [`TrySendError::Closing`] give the message back.
    pub fn try_send(&self, message: impl Into<Message>) -> Result<(), TrySendError> {
        self.line.try_send(message.into())
    }

    /// Waits for room for a message, before it is built. At most 16 permits of a connection are out at
    /// once.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn reserve(&self) -> Result<Permit<'_>, Error> {
        let turn = self.line.state.waiting.turn();
        poll_fn(|cx| self.line.poll_permit(cx, turn.waiter)).await?;
        Ok(Permit::new(&self.line))
    }

    /// Begins the closing handshake without waiting, as
    /// [`WebSocket::start_close`](crate::WebSocket::start_close).
    ///
    /// # Errors
    /// [`Error::Misuse`] for a code other than 1000 and 3000 to 4999 or a reason of more than 123 bytes.
    pub fn start_close(&self, code: CloseCode, reason: &str) -> Result<(), Error> {
        Ok(self.line.close(code, reason)?)
    }

    /// Closes the connection and waits for its end, as [`WebSocket::close`](crate::WebSocket::close).
    /// Messages that still arrive are kept for the receiver, if there is one.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// [`Error::Misuse`] as [`start_close`](Self::start_close), with the connection unharmed. If the closing
    /// handshake fails the receiver hears why; here that is only a [`Closed`] that is not clean.
    pub async fn close(&self, code: CloseCode, reason: &str) -> Result<Closed, Error> {
        self.start_close(code, reason)?;
        Ok(self.closed().await)
    }

    /// Waits for the end of the connection. Messages that arrive are kept for the receiver; through
    /// `WebSocketStream` up to [`Limits::message_bytes_max`](crate::Limits::message_bytes_max) bytes, then
    /// nothing is read until it takes them.
    ///
    /// Cancel-safe.
    pub async fn closed(&self) -> Closed {
        let turn = self.line.state.waiting.turn();
        poll_fn(|cx| self.line.poll_closed(cx, turn.waiter)).await
    }

    /// Tells whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.line.state.end().is_some()
    }

    /// Tells whether messages can still be sent.
    pub fn is_open(&self) -> bool {
        self.line.is_open()
    }

    /// Returns the subprotocol that was agreed on (RFC 6455 §1.9).
    pub fn subprotocol(&self) -> Option<&str> {
        self.line.protocol.as_deref()
    }

    /// Returns how many bytes of payload the browser was given and has not passed on, as far as it tells.
    pub fn buffered_amount(&self) -> usize {
        self.line.buffered_amount()
    }

    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.line.poll_room(cx, self.waiter)
    }

    pub(crate) fn poll_written(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.line.poll_written(cx, self.waiter)
    }

    /// Queues a message, room or not.
    pub(crate) fn queue(&self, message: &Message) -> Result<(), Error> {
        self.line.queue_anyway(message)
    }

    /// Polls for the end, as [`closed`](Self::closed).
    pub(crate) fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<Closed> {
        self.line.poll_closed(cx, self.waiter)
    }

    pub(super) fn line(&self) -> &Rc<Line> {
        &self.line
    }
}

impl Clone for Sender {
    fn clone(&self) -> Self {
        Self::new(Rc::clone(&self.line))
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.line.state.waiting.forget(self.waiter);
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}
