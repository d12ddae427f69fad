//! [`WebSocket`]: one open connection, client or server.

mod found;
mod going_away;
mod control;
mod inner;
mod poll;
#[cfg(test)]
mod tests;
mod timer;
mod transport;

use std::{
    fmt,
    future::poll_fn,
    net::SocketAddr,
    task::{Context, Waker},
    time::Duration,
};

use taiwa_proto::{CloseCode, Closed, Message, deflate};

use crate::error::{Error, TrySendError};
#[cfg(any(feature = "compat-tungstenite", feature = "compat-axum"))]
pub(crate) use found::Found as Item;
pub(crate) use going_away::{Ear, GoingAway};
pub(crate) use inner::{Inner, Opened};
pub(crate) use timer::now;

/// An open WebSocket connection, client or server.
///
/// Nothing runs in the background: Pings are answered, deadlines watched and Close frames exchanged while
/// one of the methods is awaited. A connection that is waited on with [`recv`](Self::recv) needs no care.
///
/// Each method that waits is cancel-safe: dropping its future loses no message, cuts none in two, and any
/// method may be called next.
///
/// Dropping a `WebSocket` that a [`Server`](crate::Server) made hands the connection back to it, which
/// closes it with the closing handshake: 1000, or 1011 if the closure failed or a panic dropped it.
/// Dropping one that a [`Client`](crate::Client) made tries once, without waiting, to write what is queued
/// and a Close frame with 1001; what the kernel does not take then is lost, and the peer may see 1006.
#[must_use = "a connection is closed when dropped"]
pub struct WebSocket {
    /// `None` only while it is dropped.
    inner: Option<Box<Inner>>,
}

impl WebSocket {
    pub(crate) fn new(inner: Inner) -> Self {
        Self { inner: Some(Box::new(inner)) }
    }

    fn inner(&self) -> &Inner {
        self.inner.as_ref().expect("there until dropped")
    }

    fn inner_mut(&mut self) -> &mut Inner {
        self.inner.as_mut().expect("there until dropped")
    }

    /// Waits for the next message. Returns `None` when the connection is closed; code and reason are then
    /// in [`closed`](Self::closed).
    ///
    /// When the peer breaks a rule, the messages before the fault come out first; then the peer is told
    /// the close code, and only then the error is returned. After an error the connection is over, and
    /// further calls return `None`.
    ///
    /// Cancel-safe: a message is returned or kept for the next call.
    ///
    /// # Errors
    /// [`Error::Fault`], [`Error::Late`], [`Error::Lost`], [`Error::Io`].
    pub async fn recv(&mut self) -> Result<Option<Message>, Error> {
        let inner = self.inner_mut();
        poll_fn(|cx| inner.poll_recv(cx)).await
    }

    /// Queues a message and waits until the kernel took it.
    ///
    /// While more than [`Limits::outbox_bytes_max`](crate::Limits::outbox_bytes_max) bytes are queued, it
    /// waits with queueing, too. It does not read: of two peers that only send to each other without
    /// receiving, both stand still until [`Deadlines::write`](crate::Deadlines::write) ends it.
    ///
    /// Cancel-safe: the message is queued whole or not at all. Once queued it goes out with whatever
    /// method is called next.
    ///
    /// # Errors
    /// [`Error::Closed`] after the end, [`Error::Misuse`] with [`Misuse::Closing`](crate::Misuse::Closing)
    /// while the closing handshake is under way, [`Error::Late`] and [`Error::Io`] when the transport
    /// fails.
    pub async fn send(&mut self, message: impl Into<Message>) -> Result<(), Error> {
        let message = message.into();
        let inner = self.inner_mut();
        let mut is_queued = false;
        poll_fn(|cx| inner.poll_send(&message, &mut is_queued, cx)).await
    }

    /// Queues a message if there is room, and writes what the kernel takes at once. Does not wait: what
    /// is left goes out with the next call of any method.
    ///
    /// # Errors
    /// [`TrySendError::Full`] and [`TrySendError::Closing`] give the message back.
    pub fn try_send(&mut self, message: impl Into<Message>) -> Result<(), TrySendError> {
        let message = message.into();
        let inner = self.inner_mut();
        match inner.queue(&message, now()) {
            Ok(true) => {}
            Ok(false) => return Err(TrySendError::Full(message)),
            Err(_) => return Err(TrySendError::Closing(message)),
        }
        self.write_some();
        Ok(())
    }

    /// Writes what the kernel takes at once.
    fn write_some(&mut self) {
        let _ = self.inner_mut().poll_write(&mut Context::from_waker(Waker::noop()), now());
    }

    /// Sends a Ping and waits for its Pong; returns the time between.
    ///
    /// Messages that arrive meanwhile come out of [`recv`](Self::recv) in their order. How long the answer
    /// may take is bounded by [`Keepalive`](crate::Keepalive) only; wrap it in a timeout if that is off.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`recv`](Self::recv); [`Error::Closed`] if the connection closes first; [`Error::Busy`] if more
    /// messages come first than a connection may hold.
    pub async fn ping(&mut self) -> Result<Duration, Error> {
        let payload = self.inner_mut().ping_payload();
        self.ping_with(&payload).await
    }

    /// Closes the connection: writes what is queued, sends a Close frame, waits for the peer's and for the
    /// end of the transport, at most [`Deadlines::close`](crate::Deadlines::close). Messages that still
    /// arrive are dropped.
    ///
    /// [`CloseCode::NO_STATUS`] sends a Close frame without code. Closing a closed connection returns how
    /// it was closed.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a code that may not be sent or a reason of more than 123 bytes, with the
    /// connection unharmed; as [`recv`](Self::recv) if the closing handshake fails.
    pub async fn close(&mut self, code: CloseCode, reason: &str) -> Result<Closed, Error> {
        let inner = self.inner_mut();
        inner.close(code, reason)?;
        poll_fn(|cx| inner.poll_end(cx)).await?;
        Ok(inner.closed().expect("the end was reached").clone())
    }

    /// Returns how the connection ended; `None` while it has not.
    pub fn closed(&self) -> Option<&Closed> {
        self.inner().closed()
    }

    /// Returns the subprotocol that was agreed on (RFC 6455 §1.9).
    pub fn subprotocol(&self) -> Option<&str> {
        self.inner().subprotocol()
    }

    /// Returns the parameters of permessage-deflate (RFC 7692), if it was agreed on.
    pub fn deflate(&self) -> Option<&deflate::Params> {
        self.inner().deflate()
    }

    /// Returns the peer's address; `None` for a transport that was handed in.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.inner().peer_addr()
    }
}

impl Drop for WebSocket {
    fn drop(&mut self) {
        let Some(mut inner) = self.inner.take() else { return };
        if inner.closed().is_some() {
            return;
        }
        inner.panicked = std::thread::panicking();
        if let Some(home) = inner.home.take() {
            match home.send(inner) {
                Ok(()) => return,
                Err(nobody_home) => inner = nobody_home,
            }
        }
        // One attempt without waiting; what the kernel does not take is lost.
        let _ = inner.close(CloseCode::GOING_AWAY, "");
        let _ = inner.poll_write(&mut Context::from_waker(Waker::noop()), now());
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("peer_addr", &self.peer_addr())
            .field("subprotocol", &self.subprotocol())
            .field("closed", &self.closed())
            .finish_non_exhaustive()
    }
}
