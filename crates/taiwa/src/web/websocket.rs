//! [`WebSocket`]: one open connection of a browser.

use std::{
    fmt,
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll},
};

use taiwa_proto::{CloseCode, Closed, Message, Prepared, deflate};

use super::{
    line::Line, permit::Permit, receiver::Receiver, sender::Sender, state::Reader, waiting::Waiter,
};
use crate::error::{Error, TrySendError};

/// An open WebSocket connection of a browser.
///
/// The browser works in the background: it answers Pings and exchanges Close frames by itself. Methods
/// have the names and meanings that they have natively. What a browser does not let a program do (Pings,
/// Pongs, the peer's address) is not here; [the crate's page](crate#in-a-browser) lists what is.
///
/// Each method that waits is cancel-safe: dropping its future loses no message, cuts none in two, and any
/// method may be called next.
///
/// Dropping a `WebSocket` closes it, without a code (1005 on the peer's side): of what a native program
/// sends then, 1001, browsers allow nothing.
#[must_use = "a connection is closed when dropped"]
pub struct WebSocket {
    line: Rc<Line>,
}

impl WebSocket {
    pub(super) fn new(line: Line) -> Self {
        Self { line: Rc::new(line) }
    }

    /// Waits for the next message. Returns `None` when the connection is closed; code and reason are then
    /// in [`closed`](Self::closed).
    ///
    /// When a message is longer than [`Limits::message_bytes_max`](crate::Limits::message_bytes_max), those
    /// before it come out first; then the peer is told 4009 (browsers don't let 1009 through), and only
    /// then the error is returned. After an error the connection is over, and further calls return `None`.
    /// Breaches of the protocol are the browser's to find; it ends the connection, and all that it tells is
    /// [`Error::Lost`].
    ///
    /// Cancel-safe: a message is returned or kept for the next call.
    ///
    /// # Errors
    /// [`Error::Fault`], [`Error::InboxFull`], [`Error::Late`], [`Error::Lost`].
    pub async fn recv(&mut self) -> Result<Option<Message>, Error> {
        poll_fn(|cx| self.line.poll_recv(cx)).await
    }

    /// Hands a message to the browser.
    ///
    /// While [`Limits::outbox_bytes_max`](crate::Limits::outbox_bytes_max) bytes or more wait in the browser,
    /// it waits before that. Through `WebSocketStream` it also waits until the message is on its way;
    /// `WebSocket` does not tell when that is.
    ///
    /// Cancel-safe: the message is handed over whole or not at all.
    ///
    /// # Errors
    /// [`Error::Closed`] after the end, [`Error::Misuse`] with [`Misuse::Closing`](crate::Misuse::Closing)
    /// while the closing handshake is under way, [`Error::Late`] when the browser gets rid of nothing for
    /// [`Deadlines::write`](crate::Deadlines::write), [`Error::Lost`].
    pub async fn send(&mut self, message: impl Into<Message>) -> Result<(), Error> {
        let message = message.into();
        let mut is_queued = false;
        poll_fn(|cx| self.line.poll_send(&message, &mut is_queued, cx, Waiter::WRITER)).await
    }

    /// Sends a message that is shared with others, as [`send`](Self::send). The browser frames and compresses
    /// it each time.
    ///
    /// Cancel-safe: the message is handed over whole or not at all.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn send_prepared(&mut self, prepared: &Prepared) -> Result<(), Error> {
        self.send(prepared.message().clone()).await
    }

    /// Waits for room for a message, before it is built.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn reserve(&mut self) -> Result<Permit<'_>, Error> {
        poll_fn(|cx| self.line.poll_permit(cx, Waiter::WRITER)).await?;
        Ok(Permit::new(&self.line))
    }

    /// Splits the connection for tasks that send and receive at the same time.
    pub fn split(self) -> (Sender, Receiver) {
        self.line.state.set_reader(Reader::Receiver);
        (Sender::new(Rc::clone(&self.line)), Receiver::new(self.line))
    }

    pub(super) fn line(&self) -> &Line {
        &self.line
    }

    pub(super) fn reunited(line: Rc<Line>) -> Self {
        line.state.set_reader(Reader::Socket);
        Self { line }
    }

    /// Hands a message to the browser if there is room. Does not wait.
    ///
    /// # Errors
    /// [`TrySendError::Full`] and [`TrySendError::Closing`] give the message back.
    pub fn try_send(&mut self, message: impl Into<Message>) -> Result<(), TrySendError> {
        self.line.try_send(message.into())
    }

    /// Begins the closing handshake without waiting for its end; what is queued goes out before the Close
    /// frame. What the peer sends from here on may come out of [`recv`](Self::recv) or be dropped by the
    /// browser; then comes `None`. [`close`](Self::close) waits.
    ///
    /// It does nothing once the closing handshake has begun.
    ///
    /// # Errors
    /// As [`close`](Self::close).
    pub fn start_close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        Ok(self.line.close(code, reason)?)
    }

    /// Closes the connection: has the browser send what is queued and a Close frame, waits for the peer's
    /// and for the end, at most [`Deadlines::close`](crate::Deadlines::close). Messages that still arrive are
    /// dropped.
    ///
    /// [`CloseCode::NO_STATUS`] sends a Close frame without code. Closing a closed connection returns how
    /// it was closed.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a code other than 1000 and 3000 to 4999, which are all that a browser sends for
    /// a page, or a reason of more than 123 bytes, with the connection unharmed; as [`recv`](Self::recv)
    /// if the closing handshake fails.
    #[expect(clippy::missing_panics_doc, reason = "what it expects is an invariant")]
    pub async fn close(&mut self, code: CloseCode, reason: &str) -> Result<Closed, Error> {
        self.line.close(code, reason)?;
        poll_fn(|cx| self.line.poll_end(cx)).await?;
        Ok(self.closed().expect("the end was reached").clone())
    }

    /// Returns how the connection ended; `None` while it has not.
    pub fn closed(&self) -> Option<&Closed> {
        self.line.closed()
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

    /// Returns the parameters of permessage-deflate (RFC 7692), if it was agreed on, as far as the browser
    /// tells: Firefox leaves the parameters out. Browsers offer it unasked.
    pub fn deflate(&self) -> Option<&deflate::Params> {
        self.line.deflate.as_ref()
    }

    /// Returns how many bytes of payload the browser was given and has not passed on, as far as it tells.
    pub fn buffered_amount(&self) -> usize {
        self.line.buffered_amount()
    }

    /// Polls for the next message; [`recv`](Self::recv) as a poll function.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Message>, Error>> {
        self.line.poll_recv(cx)
    }

    /// Polls until [`try_send`](Self::try_send) would take a message.
    ///
    /// Through `WebSocket`, which has no event for it, the browser is asked a hundred times a second.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.line.poll_room(cx, Waiter::WRITER)
    }

    /// Polls until everything that is queued is on its way; through `WebSocket`, which does not tell, until
    /// there is [room](Self::poll_room).
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.line.poll_written(cx, Waiter::WRITER)
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("subprotocol", &self.subprotocol())
            .field("closed", &self.closed())
            .finish_non_exhaustive()
    }
}
