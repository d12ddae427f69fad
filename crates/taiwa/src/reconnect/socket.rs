//! [`ReconnectingWebSocket`]: one object for all connections.

use std::{
    fmt,
    future::poll_fn,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::Response;
use taiwa_proto::{CloseCode, Closed, Message};

use super::{Outcome, Reconnecting};
use crate::{
    error::{Error, TrySendError},
    websocket::WebSocket,
};

/// A WebSocket that reconnects by itself and tells of it: made by
/// [`Reconnecting::into_socket`](crate::Reconnecting::into_socket).
///
/// Nothing runs in the background: it connects, waits and answers Pings while [`recv`](Self::recv) is
/// awaited, so keep awaiting it.
///
/// It does not hide that connections are lost. What the server knew of the old one it does not know of the
/// new one: subscribe again after each [`ReconnectEvent::Connected`]. A message is never sent twice by
/// itself and never lost in silence: [`send`](Self::send) returns when the kernel took it, or gives it
/// back, or, when its future was dropped, the next [`Disconnected::unsent`] has it. Whether the peer
/// received what the kernel took only an answer of the peer can tell.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), taiwa::Error> {
/// # let server = taiwa::Server::bind("127.0.0.1:0").await?;
/// # let url = format!("ws://{}/", server.local_addr()?);
/// # tokio::spawn(server.serve(|it: taiwa::Upgrade| async move {
/// #     let mut socket = it.accept().await?;
/// #     assert_eq!(socket.recv().await?, Some("subscribe".into()));
/// #     socket.send("news").await
/// # }).into_future());
/// use taiwa::{Client, ReconnectEvent};
///
/// let client = Client::builder().build()?;
/// let mut socket = client.reconnecting(&url).into_socket();
/// while let Some(event) = socket.recv().await {
///     match event {
///         ReconnectEvent::Connected(_) => _ = socket.send("subscribe").await,
///         ReconnectEvent::Message(message) => println!("{message:?}"),
///         ReconnectEvent::Disconnected(it) => println!("{}, again in {:?}", it.why, it.retry_in),
///     }
/// }
/// # Ok(()) }
/// ```
pub struct ReconnectingWebSocket {
    feed: Reconnecting,
    socket: Option<WebSocket>,
    /// Queued, and not known to be written.
    unsent: Option<Message>,
    /// Why the connection ended, if `send` was told.
    why: Option<Error>,
    is_over: bool,
}

/// What [`ReconnectingWebSocket::recv`] tells.
#[derive(Debug)]
pub enum ReconnectEvent {
    /// A connection is open, the first or another; with the head of the server's response.
    Connected(Response<()>),
    /// A message came.
    Message(Message),
    /// A connection was lost or closed, or an attempt failed.
    Disconnected(Disconnected),
}

/// Why there is no connection.
#[derive(Debug)]
pub struct Disconnected {
    /// What happened; a Close frame of the peer is [`Error::Closed`].
    pub why: Error,
    /// A message that [`ReconnectingWebSocket::send`] queued before its future was dropped. The peer may
    /// have got all of it, or a part, or nothing.
    pub unsent: Option<Message>,
    /// After which time the next attempt begins. `None`: there is none, this is the last event.
    pub retry_in: Option<Duration>,
}

/// Why [`ReconnectingWebSocket::send`] gave a message back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendError {
    /// There is no open connection: nothing was sent.
    NotConnected(Message),
    /// The connection was lost while it was written: the peer may have got all of it, or a part, or
    /// nothing.
    Lost(Message),
}

impl SendError {
    /// Takes the message back.
    pub fn into_message(self) -> Message {
        match self {
            Self::NotConnected(message) | Self::Lost(message) => message,
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotConnected(_) => "there is no open connection",
            Self::Lost(_) => "the connection was lost while the message was written",
        })
    }
}

impl std::error::Error for SendError {}

impl ReconnectingWebSocket {
    pub(super) fn new(feed: Reconnecting) -> Self {
        Self { feed, socket: None, unsent: None, why: None, is_over: false }
    }

    /// Waits for the next event; connects where needed. After a [`Disconnected`] without `retry_in`, and
    /// after [`close`](Self::close), it returns `None`.
    ///
    /// Cancel-safe: an event is returned or kept for the next call, and an attempt that is under way goes
    /// on with it.
    pub async fn recv(&mut self) -> Option<ReconnectEvent> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<ReconnectEvent>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let outcome = match &mut self.socket {
            None => ready!(self.feed.poll_outcome(cx)),
            Some(socket) => {
                if self.unsent.is_some() && matches!(socket.poll_written(cx), Poll::Ready(Ok(()))) {
                    self.unsent = None;
                }
                let end = match ready!(socket.poll_recv(cx)) {
                    Ok(Some(message)) => {
                        return Poll::Ready(Some(ReconnectEvent::Message(message)));
                    }
                    Ok(None) => Error::Closed(socket.closed().expect("it has ended").clone()),
                    Err(error) => error,
                };
                self.socket = None;
                self.feed.lost(self.why.take().unwrap_or(end))
            }
        };
        let (why, retry_in) = match outcome {
            Outcome::Open((socket, response)) => {
                self.socket = Some(socket);
                return Poll::Ready(Some(ReconnectEvent::Connected(response)));
            }
            Outcome::Failed { why, pause } => (why, Some(pause)),
            Outcome::GaveUp(why) => (why, None),
        };
        self.is_over = retry_in.is_none();
        let unsent = self.unsent.take();
        Poll::Ready(Some(ReconnectEvent::Disconnected(Disconnected { why, unsent, retry_in })))
    }

    /// Queues a message and waits until the kernel took it. It does not connect and does not wait for a
    /// connection: [`recv`](Self::recv) does.
    ///
    /// Cancel-safe: the message is queued whole or not at all. Once queued it goes out with whatever
    /// method is called next, or comes back in [`Disconnected::unsent`].
    ///
    /// # Errors
    /// [`SendError`] gives the message back.
    pub async fn send(&mut self, message: impl Into<Message>) -> Result<(), SendError> {
        let mut message = Some(message.into());
        poll_fn(|cx| self.poll_send(&mut message, cx)).await
    }

    /// Sends `message`, which is taken when it is queued.
    fn poll_send(
        &mut self,
        message: &mut Option<Message>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        if let Some(unqueued) = message.take() {
            let Some(socket) = &mut self.socket else {
                return Poll::Ready(Err(SendError::NotConnected(unqueued)));
            };
            // One message at a time, so that it is known which one was not written.
            match socket.poll_written(cx) {
                Poll::Pending => {
                    *message = Some(unqueued);
                    return Poll::Pending;
                }
                Poll::Ready(Err(error)) => {
                    self.note(error);
                    return Poll::Ready(Err(SendError::NotConnected(unqueued)));
                }
                Poll::Ready(Ok(())) => self.unsent = None,
            }
            // With an empty outbox it can't be full, but it can be closing.
            match socket.try_send(unqueued.clone()) {
                Ok(()) => self.unsent = Some(unqueued),
                Err(TrySendError::Full(_) | TrySendError::Closing(_)) => {
                    return Poll::Ready(Err(SendError::NotConnected(unqueued)));
                }
            }
        }
        let socket = self.socket.as_mut().expect("the message was queued there");
        let written = ready!(socket.poll_written(cx));
        let message = self.unsent.take().expect("queued, and nothing else looked for it");
        Poll::Ready(written.map_err(|error| {
            self.note(error);
            SendError::Lost(message)
        }))
    }

    /// Keeps the reason of an end, unless `recv` will tell it.
    fn note(&mut self, error: Error) {
        if self.socket.as_ref().is_some_and(|it| it.closed().is_some()) {
            self.why.get_or_insert(error);
        }
    }

    /// Closes the connection, if there is one, as [`WebSocket::close`] does, and opens no other. Returns
    /// how it was closed; `None` if there was none.
    ///
    /// Cancel-safe: call it again to go on.
    ///
    /// # Errors
    /// As [`WebSocket::close`]. With [`Error::Misuse`] nothing has happened.
    pub async fn close(&mut self, code: CloseCode, reason: &str) -> Result<Option<Closed>, Error> {
        let Some(socket) = &mut self.socket else {
            self.is_over = true;
            self.feed.stop();
            return Ok(None);
        };
        socket.start_close(code, reason)?;
        self.is_over = true;
        socket.close(code, reason).await.map(Some)
    }

    /// Returns the open connection, to ask it for its subprotocol, say; `None` while there is none.
    pub fn current(&self) -> Option<&WebSocket> {
        self.socket.as_ref()
    }

    /// Takes a message that [`send`](Self::send) queued before its future was dropped and that is not
    /// known to be written: after [`close`](Self::close) failed, nothing else tells of it.
    pub fn take_unsent(&mut self) -> Option<Message> {
        self.unsent.take()
    }
}

impl fmt::Debug for ReconnectingWebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReconnectingWebSocket")
            .field("current", &self.socket)
            .field("feed", &self.feed)
            .finish_non_exhaustive()
    }
}
