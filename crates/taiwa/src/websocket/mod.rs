//! [`WebSocket`]: one open connection, client or server.

mod found;
mod going_away;
mod inner;
mod receiving;
mod sending;
mod control;
mod poll;
mod stream;
#[cfg(feature = "compat-axum")]
mod queue;
mod parts;
mod permit;
mod slow;
mod shared;
mod line;
mod sender;
mod receiver;
#[cfg(test)]
mod tests;
mod timer;
mod transport;
mod two_tasks;

use std::{fmt, future::poll_fn, net::SocketAddr, sync::Arc, time::Duration};

use taiwa_proto::{CloseCode, Closed, Config, Kind, Message, Prepared, Role, Stats, deflate};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    error::{Error, TrySendError},
    scratch::take_back,
};
#[cfg(feature = "compat-axum")]
pub(crate) use found::Item;
pub(crate) use going_away::{Ear, GoingAway};
pub(crate) use inner::{Inner, Opened};
use line::Line;
pub use parts::{MessageReader, MessageWriter};
pub use permit::Permit;
pub use receiver::Receiver;
pub use sender::Sender;
use sending::Outgoing;
use shared::Shared;
pub use slow::{SlowCounters, SlowPolicy};
pub(crate) use timer::now;
#[cfg(any(feature = "compat-tungstenite", feature = "compat-axum"))]
pub(crate) use two_tasks::TwoTasks;

/// An open WebSocket connection, client or server.
///
/// Nothing runs in the background: Pings are answered, deadlines watched and Close frames exchanged while
/// one of the methods is awaited. A connection that is waited on with [`recv`](Self::recv) needs no care.
///
/// Each method that waits is cancel-safe: dropping its future loses no message, cuts none in two, and any
/// method may be called next.
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
/// use taiwa::CloseCode;
///
/// let mut socket = taiwa::connect(&url).await?;
/// socket.send("hello").await?;
/// assert_eq!(socket.recv().await?, Some("hello".into()));
/// println!("there and back in {:?}", socket.ping().await?);
/// let closed = socket.close(CloseCode::NORMAL, "done").await?;
/// assert!(closed.clean);
/// # Ok(()) }
/// ```
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

    /// Makes one end of a WebSocket of bytes whose other end knows without a handshake what they are.
    #[doc(hidden)]
    pub fn over<T>(io: T, role: Role, config: Arc<Config>) -> Self
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (leftover, agreed) = Default::default();
        Self::new(Inner::new(
            role,
            config,
            Opened { io: Box::new(io), leftover, agreed, peer_addr: None },
        ))
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
    /// A message of 16 KiB or more may share the buffer of 64 KiB that it was read into with its neighbours:
    /// as long as it is kept it holds up to four times its length. Copy what is kept for long.
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
        let sent = self.send_outgoing(Outgoing::Message(&message)).await;
        take_back(message);
        sent
    }

    /// Sends a message that is framed and compressed once for many connections, as [`send`](Self::send).
    ///
    /// Cancel-safe: the message is queued whole or not at all.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn send_prepared(&mut self, prepared: &Prepared) -> Result<(), Error> {
        self.send_outgoing(Outgoing::Prepared(prepared)).await
    }

    async fn send_outgoing(&mut self, message: Outgoing<'_>) -> Result<(), Error> {
        let inner = self.inner_mut();
        let mut is_queued = false;
        poll_fn(|cx| inner.poll_send(message, &mut is_queued, cx)).await
    }

    /// Waits for room for a message, before it is built.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn reserve(&mut self) -> Result<Permit<'_>, Error> {
        let inner = self.inner_mut();
        poll_fn(|cx| inner.poll_reserve(cx)).await?;
        Ok(Permit::new(Line::Own(inner)))
    }

    /// Waits for the next message and reads it as it arrives; see [`MessageReader`]. `None` when the
    /// connection is closed.
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
    /// let mut socket = taiwa::connect(&url).await?;
    /// socket.send(vec![7; 300_000]).await?;
    /// if let Some(mut message) = socket.recv_stream().await? {
    ///     let mut file = tokio::io::sink(); // or a tokio::fs::File
    ///     assert_eq!(tokio::io::copy(&mut message, &mut file).await?, 300_000);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub async fn recv_stream(&mut self) -> Result<Option<MessageReader<'_>>, Error> {
        MessageReader::begin(Line::Own(self.inner_mut())).await
    }

    /// Begins a message that is written as a stream of bytes; see [`MessageWriter`].
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
    /// # use tokio::io::AsyncReadExt;
    /// let mut socket = taiwa::connect(&url).await?;
    /// let mut file = tokio::io::repeat(7).take(300_000); // or a tokio::fs::File
    /// let mut message = socket.send_stream(taiwa::Kind::Binary);
    /// tokio::io::copy(&mut file, &mut message).await?;
    /// message.finish().await?;
    /// assert_eq!(socket.recv().await?, Some(vec![7; 300_000].into()));
    /// # Ok(()) }
    /// ```
    pub fn send_stream(&mut self, kind: Kind) -> MessageWriter<'_> {
        MessageWriter::new(Line::Own(self.inner_mut()), kind)
    }

    /// Splits the connection for tasks that send and receive at the same time. The halves need no task of
    /// their own and no queue in between: who sends writes, who receives reads.
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
    /// let (sender, mut receiver) = taiwa::connect(&url).await?.split();
    /// tokio::spawn(async move {
    ///     for number in 0..3 {
    ///         sender.send(format!("tick {number}")).await?;
    ///     }
    ///     sender.start_close(taiwa::CloseCode::NORMAL, "")
    /// });
    /// let mut ticks = 0;
    /// while let Some(message) = receiver.recv().await? {
    ///     assert_eq!(message.as_text(), Some(&*format!("tick {ticks}")));
    ///     ticks += 1;
    /// }
    /// assert_eq!(ticks, 3);
    /// # Ok(()) }
    /// ```
    pub fn split(self) -> (Sender, Receiver) {
        let shared = Arc::new(Shared::new(self));
        (Sender::new(Arc::clone(&shared)), Receiver::new(shared))
    }

    /// Returns counters since the opening handshake, the last round trip and the bytes that wait.
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
    /// let mut socket = taiwa::connect(&url).await?;
    /// socket.send("hello").await?;
    /// socket.recv().await?;
    /// let stats = socket.stats();
    /// assert_eq!((stats.sent.messages, stats.sent.message_bytes), (1, 5));
    /// assert_eq!((stats.received.frames, stats.received.wire_bytes), (1, 7));
    /// assert_eq!((stats.outbox_bytes, stats.round_trip), (0, None));
    /// # Ok(()) }
    /// ```
    pub fn stats(&self) -> Stats {
        self.inner().stats()
    }

    /// Queues a message if there is room, and writes what the kernel takes at once. Does not wait: what
    /// is left goes out with the next call of any method.
    ///
    /// # Errors
    /// [`TrySendError::Full`] and [`TrySendError::Closing`] give the message back.
    pub fn try_send(&mut self, message: impl Into<Message>) -> Result<(), TrySendError> {
        let message = message.into();
        self.try_send_outgoing(Outgoing::Message(&message)).map_err(|full| full(message))
    }

    /// Queues a prepared message if there is room, as [`try_send`](Self::try_send).
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    pub fn try_send_prepared(&mut self, prepared: &Prepared) -> Result<(), TrySendError> {
        self.try_send_outgoing(Outgoing::Prepared(prepared))
            .map_err(|full| full(prepared.message().clone()))
    }

    fn try_send_outgoing(
        &mut self,
        message: Outgoing<'_>,
    ) -> Result<(), fn(Message) -> TrySendError> {
        match self.inner_mut().queue(message, now()) {
            Ok(true) => {}
            Ok(false) => return Err(TrySendError::Full),
            Err(_) => return Err(TrySendError::Closing),
        }
        self.write_some();
        Ok(())
    }

    /// Writes what the kernel takes at once.
    fn write_some(&mut self) {
        self.inner_mut().write_some();
    }

    /// Sends a Ping and waits for its Pong; returns the time between.
    /// The Pong for a later Ping counts, too: a peer may answer only the newest (RFC 6455 §5.5.3).
    ///
    /// Messages that arrive meanwhile come out of [`recv`](Self::recv) in their order. How long the answer
    /// may take is bounded by [`Keepalive`](crate::Keepalive) only; wrap it in a timeout if that is off.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`recv`](Self::recv); [`Error::Closed`] if the connection closes first; [`Error::Busy`] if more
    /// messages come first than a connection may hold.
    /// [`Error::OutboxFull`] when 64 KiB more than
    /// [`Limits::outbox_bytes_max`](crate::Limits::outbox_bytes_max) wait already.
    pub async fn ping(&mut self) -> Result<Duration, Error> {
        let payload = self.inner_mut().pings.to_be_bytes();
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
    #[expect(clippy::missing_panics_doc, reason = "what it expects is an invariant")]
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

    /// Returns the extensions that were agreed on, as `Sec-WebSocket-Extensions` writes them; empty
    /// without any.
    pub fn extensions(&self) -> String {
        inner::extensions(self.inner().agreed())
    }

    /// Returns the parameters of permessage-deflate (RFC 7692), if it was agreed on.
    pub fn deflate(&self) -> Option<&deflate::Params> {
        self.inner().deflate()
    }

    /// Returns the peer's address; `None` for a transport that was handed in, a unix
    /// socket, and behind a proxy.
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
        inner.write_some();
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
