//! [`Receiver`]: the receiving half of a split connection.

use std::{
    fmt,
    future::poll_fn,
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
};

use taiwa_proto::{Closed, Message, Stats, deflate};

use super::{
    Inner, WebSocket,
    inner::extensions,
    line::Line,
    parts::MessageReader,
    sender::Sender,
    shared::{RECEIVER, Shared},
};
use crate::error::Error;

/// The receiving half of a connection, from [`WebSocket::split`](crate::WebSocket::split). Whoever waits in
/// [`recv`](Self::recv) drives the connection: answers Pings, keeps deadlines, writes what the senders'
/// tasks could not.
///
/// Dropping it drops the messages that come from then on; senders go on.
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
/// sender.send("hello").await?;
/// assert_eq!(receiver.recv().await?, Some("hello".into()));
/// // One connection again:
/// let mut socket = receiver.reunite(sender).expect("they are its only halves");
/// socket.close(taiwa::CloseCode::NORMAL, "").await?;
/// # Ok(()) }
/// ```
pub struct Receiver {
    shared: Arc<Shared>,
    is_reunited: bool,
}

impl Receiver {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, is_reunited: false }
    }

    /// Waits for the next message, as [`WebSocket::recv`]. Returns `None` when the connection is closed;
    /// code and reason are then in [`closed`](Self::closed).
    ///
    /// Cancel-safe: a message is returned or kept for the next call.
    ///
    /// # Errors
    /// As [`WebSocket::recv`].
    pub async fn recv(&mut self) -> Result<Option<Message>, Error> {
        let mut turn = self.shared.receivers_turn();
        poll_fn(|cx| turn.poll(cx, Inner::poll_recv)).await
    }

    /// Polls for the next message; [`recv`](Self::recv) as a poll function.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Message>, Error>> {
        let mut turn = self.shared.receivers_turn();
        let polled = turn.poll(cx, Inner::poll_recv);
        turn.stay();
        polled
    }

    /// Waits for the next message and reads it as it arrives; see [`MessageReader`]. `None` at the end.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub async fn recv_stream(&mut self) -> Result<Option<MessageReader<'_>>, Error> {
        MessageReader::begin(Line::Shared(self.shared.receivers_turn())).await
    }

    /// Returns how the connection ended; `None` while it has not. Messages that came before the end may
    /// still be there to receive.
    pub fn closed(&self) -> Option<&Closed> {
        self.shared.closed.get()
    }

    /// Makes a further sender.
    pub fn sender(&self) -> Sender {
        Sender::new(Arc::clone(&self.shared))
    }

    /// Puts the halves together again.
    ///
    /// # Errors
    /// Gives both back if they are not halves of one connection, or if there are more senders.
    #[expect(clippy::missing_panics_doc, reason = "what it expects is an invariant")]
    pub fn reunite(mut self, sender: Sender) -> Result<WebSocket, (Self, Sender)> {
        if !Arc::ptr_eq(&self.shared, sender.shared()) || Arc::strong_count(&self.shared) != 2 {
            return Err((self, sender));
        }
        drop(sender.into_shared());
        let shared = Arc::clone(&self.shared);
        self.is_reunited = true;
        drop(self);
        let shared = Arc::into_inner(shared).expect("the last one");
        Ok(shared.into_socket())
    }

    /// Returns counters and the state of the queue.
    pub fn stats(&self) -> Stats {
        self.shared.lock().inner().stats()
    }

    /// Returns the subprotocol that was agreed on (RFC 6455 §1.9).
    pub fn subprotocol(&self) -> Option<&str> {
        self.shared.agreed.subprotocol.as_deref()
    }

    /// Returns the extensions that were agreed on, as `Sec-WebSocket-Extensions` writes them; empty
    /// without any.
    pub fn extensions(&self) -> String {
        extensions(&self.shared.agreed)
    }

    /// Returns the parameters of permessage-deflate (RFC 7692), if it was agreed on.
    pub fn deflate(&self) -> Option<&deflate::Params> {
        self.shared.agreed.deflate.as_ref()
    }

    /// Returns the peer's address; `None` for a transport that was handed in, a unix
    /// socket, and behind a proxy.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.shared.peer_addr
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if self.is_reunited {
            return;
        }
        let mut state = self.shared.lock();
        let inner = state.inner();
        inner.nobody_receives = true;
        inner.kept = Default::default();
        inner.kept_bytes = 0;
        drop(state);
        self.shared.leave(RECEIVER);
        self.shared.wake_senders();
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("closed", &self.closed()).finish_non_exhaustive()
    }
}
