//! [`WebSocketStream`]: the browser's second interface, two streams with backpressure.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use futures_sink::Sink;
use taiwa_proto::{CloseCode, Closed, Message, Misuse};

use crate::{Client, Error, Receiver, Sender, WebSocket};

/// A connection that opens. In a browser it stays on its thread.
#[cfg(not(target_family = "wasm"))]
pub(crate) type Opening = Pin<Box<dyn Future<Output = Result<WebSocket, Error>> + Send>>;
/// A connection that opens. In a browser it stays on its thread.
#[cfg(target_family = "wasm")]
pub(crate) type Opening = Pin<Box<dyn Future<Output = Result<WebSocket, Error>>>>;

/// Starts to open a connection; polling goes on with it.
pub(crate) fn opening(client: &Client, url: &str) -> Opening {
    let (client, url) = (client.clone(), url.to_owned());
    Box::pin(async move { client.connect(&url).await })
}

/// A connection as a stream of messages to read and a sink to write, as the `WebSocketStream` of browsers
/// has it. Who does not read makes the peer wait, and who writes more than the peer reads waits.
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
/// use taiwa::{CloseCode, Opened, WebSocketStream};
///
/// let mut stream = WebSocketStream::new(&url);
/// let Opened { mut readable, mut writable, .. } = stream.opened().await?;
/// writable.write("hello").await?;
/// assert_eq!(readable.read().await?, Some("hello".into()));
/// stream.close(CloseCode::NORMAL, "done")?;
/// let closed = stream.closed().await?;
/// println!("closed with {} {:?}", closed.code, closed.reason);
/// # Ok(()) }
/// ```
///
/// `readable` is a [`Stream`] and `writable` a [`Sink`], too.
pub struct WebSocketStream {
    state: State,
}

enum State {
    Opening(Opening),
    Open { sender: Sender, receiver: Option<Receiver> },
    Failed,
}

/// What an open [`WebSocketStream`] consists of.
#[derive(Debug)]
#[non_exhaustive]
pub struct Opened {
    /// The messages of the peer.
    pub readable: Readable,
    /// The messages to the peer.
    pub writable: Writable,
    /// The subprotocol that was agreed on; empty without one (RFC 6455 §1.9).
    pub protocol: String,
    /// The extensions that were agreed on, as `Sec-WebSocket-Extensions` writes them; empty without any.
    pub extensions: String,
}

impl WebSocketStream {
    /// Prepares a connection to a `ws` or `wss` URL with the defaults of [`Client`]. It is opened by
    /// [`opened`](Self::opened).
    pub fn new(url: &str) -> Self {
        let url = url.to_owned();
        Self { state: State::Opening(Box::pin(async move { crate::connect(&url).await })) }
    }

    /// Prepares a connection with the settings of a client.
    pub fn with_client(client: &Client, url: &str) -> Self {
        Self { state: State::Opening(opening(client, url)) }
    }

    /// Waits until the connection is open and hands out its streams.
    ///
    /// Cancel-safe: the next call goes on with opening.
    ///
    /// # Errors
    /// As [`Client::connect`]; [`Misuse::Taken`] when the streams are handed out already, or opening has
    /// failed before.
    pub async fn opened(&mut self) -> Result<Opened, Error> {
        poll_fn(|cx| self.poll_open(cx)).await?;
        match &mut self.state {
            State::Open { sender, receiver } => {
                let receiver = receiver.take().ok_or(Misuse::Taken)?;
                Ok(Opened {
                    protocol: receiver.subprotocol().unwrap_or_default().to_owned(),
                    extensions: receiver.extensions(),
                    readable: Readable { receiver },
                    writable: Writable { sender: sender.clone(), is_closing: false },
                })
            }
            State::Opening(_) | State::Failed => Err(Error::Misuse(Misuse::Taken)),
        }
    }

    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let State::Opening(opening) = &mut self.state else { return Poll::Ready(Ok(())) };
        let opened = std::task::ready!(opening.as_mut().poll(cx));
        self.state = State::Failed;
        let (sender, receiver) = opened?.split();
        self.state = State::Open { sender, receiver: Some(receiver) };
        Poll::Ready(Ok(()))
    }

    /// Waits for the end of the connection, opening it first if that was not done. It drives the
    /// connection, but reads no further than what the reader of `readable` leaves room for.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`opened`](Self::opened). A connection that was open and ended badly is no error here: its
    /// [`Closed`] is not [`clean`](Closed::clean).
    pub async fn closed(&mut self) -> Result<Closed, Error> {
        poll_fn(|cx| self.poll_open(cx)).await?;
        match &self.state {
            State::Open { sender, .. } => Ok(sender.closed().await),
            State::Opening(_) | State::Failed => Err(Error::Misuse(Misuse::Taken)),
        }
    }

    /// Begins the closing handshake, without a code as [`CloseCode::NO_STATUS`]. A connection that is
    /// being opened is given up: [`opened`](Self::opened) then fails.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a code that may not be sent or a reason of more than 123 bytes.
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        match &self.state {
            State::Open { sender, .. } => sender.start_close(code, reason),
            State::Opening(_) | State::Failed => {
                self.state = State::Failed;
                Ok(())
            }
        }
    }
}

impl From<WebSocket> for WebSocketStream {
    fn from(socket: WebSocket) -> Self {
        let (sender, receiver) = socket.split();
        Self { state: State::Open { sender, receiver: Some(receiver) } }
    }
}

impl fmt::Debug for WebSocketStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            State::Opening(_) => "WebSocketStream(opening)",
            State::Open { .. } => "WebSocketStream(open)",
            State::Failed => "WebSocketStream(failed)",
        })
    }
}

/// The messages of the peer, from [`WebSocketStream::opened`]. It ends with the connection. Nothing is
/// read ahead of it, so a reader that is slow slows the peer down. Dropping it drops what comes.
#[derive(Debug)]
pub struct Readable {
    receiver: Receiver,
}

impl Readable {
    /// Waits for the next message; `None` at the end.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`WebSocket::recv`].
    pub async fn read(&mut self) -> Result<Option<Message>, Error> {
        self.receiver.recv().await
    }
}

impl Stream for Readable {
    type Item = Result<Message, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.receiver.poll_recv(cx).map(Result::transpose)
    }
}

/// The messages to the peer, from [`WebSocketStream::opened`]. As a [`Sink`] it is ready while fewer bytes
/// wait than [`Limits::outbox_bytes_max`](crate::Limits::outbox_bytes_max); closing it closes the
/// connection without a code and waits for the end.
#[derive(Debug)]
pub struct Writable {
    sender: Sender,
    is_closing: bool,
}

impl Writable {
    /// Sends a message and waits until the kernel took it.
    ///
    /// Cancel-safe: the message is queued whole or not at all.
    ///
    /// # Errors
    /// As [`WebSocket::send`].
    pub async fn write(&mut self, message: impl Into<Message>) -> Result<(), Error> {
        self.sender.send(message).await
    }

    /// Closes the connection with a code and a reason, and waits for its end.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a code that may not be sent or a reason of more than 123 bytes.
    pub async fn close(&mut self, code: CloseCode, reason: &str) -> Result<Closed, Error> {
        self.sender.close(code, reason).await
    }
}

impl Sink<Message> for Writable {
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.sender.poll_room(cx)
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        self.sender.queue(&message)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.sender.poll_written(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if !self.is_closing {
            self.sender.start_close(CloseCode::NO_STATUS, "")?;
            self.is_closing = true;
        }
        self.sender.poll_closed(cx).map(|_| Ok(()))
    }
}
