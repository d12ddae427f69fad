//! The event face: the browser's first interface, [`Event`]s and a [`Handle`].
//!
//! A connection comes from [`open`], where there is an example, [`open_with`] the settings of a client, or
//! [`WebSocket::events`] from one that is open. Polling the [`Events`] drives it.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use futures_core::Stream;
use taiwa_proto::{CloseCode, Closed, Message, Misuse, Side, Utf8Bytes};

use crate::{
    Client, Error, Receiver, Sender, TrySendError, WebSocket,
    stream::{Opening, opening},
};

/// What happens to a connection, in the order of the WebSocket standard of browsers: `Open`, then messages,
/// then `Error` if something went wrong, and `Close` last. A connection that can't be opened gives `Error`
/// and `Close`.
#[derive(Debug)]
pub enum Event {
    /// The opening handshake is done.
    Open,
    /// A message came.
    Message(Message),
    /// The connection failed, or could not be opened. `Close` follows.
    Error(Error),
    /// The connection has ended; 1006 if it did so without a Close frame. Nothing follows.
    Close(Closed),
}

/// The states of a connection, with the numbers of the browser's `readyState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadyState {
    /// The opening handshake is under way.
    Connecting = 0,
    /// Messages can be sent.
    Open = 1,
    /// The closing handshake is under way.
    Closing = 2,
    /// The connection has ended or could not be opened.
    Closed = 3,
}

/// How a browser hands out binary messages. Here they are always
/// [`Message::Binary`]; the value is kept for programs that ask for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BinaryType {
    /// As `Blob`, the default of browsers.
    #[default]
    Blob,
    /// As `ArrayBuffer`.
    ArrayBuffer,
}

/// Opens a connection to a `ws` or `wss` URL with the defaults of [`Client`], as `new WebSocket(url)` does in
/// a browser. Polling the [`Events`] drives it.
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
/// use taiwa::{CloseCode, events::{self, Event}};
///
/// let (handle, mut events) = events::open(&url);
/// while let Some(event) = events.next().await {
///     match event {
///         Event::Open => handle.send("hello").expect("it is open"),
///         Event::Message(message) => {
///             assert_eq!(message.as_text(), Some("hello"));
///             handle.close(CloseCode::NORMAL, "done")?;
///         }
///         Event::Error(error) => return Err(error),
///         Event::Close(closed) => assert_eq!(closed.code, CloseCode::NORMAL),
///     }
/// }
/// # Ok(()) }
/// ```
pub fn open(url: &str) -> (Handle, Events) {
    let text = url.to_owned();
    pair(url, Box::pin(async move { crate::connect(&text).await }))
}

/// Opens a connection with the settings of a client, as [`open`].
pub fn open_with(client: &Client, url: &str) -> (Handle, Events) {
    pair(url, opening(client, url))
}

#[cfg_attr(
    target_family = "wasm",
    expect(
        clippy::arc_with_non_send_sync,
        reason = "natively it is both; a browser has one thread"
    )
)]
fn pair(url: &str, opening: Opening) -> (Handle, Events) {
    let line = Line { url: url.to_owned(), ..Line::default() };
    let handle = Handle { line: Arc::new(Mutex::new(line)) };
    (handle.clone(), Events { handle, state: State::Opening(opening), queue: VecDeque::new() })
}

impl WebSocket {
    /// Turns the connection into events and a handle, as browsers have them. The first event is
    /// [`Event::Open`].
    pub fn events(self) -> (Handle, Events) {
        let (handle, mut events) = pair("", Box::pin(async { Err(Error::Lost) }));
        events.open(self);
        (handle, events)
    }
}

/// Sends and closes, and tells the state. Cloning it is cheap. Nothing of it waits.
#[derive(Clone)]
pub struct Handle {
    line: Arc<Mutex<Line>>,
}

/// What handle and events share.
#[derive(Default)]
struct Line {
    url: String,
    /// There while the connection is open or closes.
    sender: Option<Sender>,
    is_over: bool,
    /// The connection was given up before it was open.
    given_up: bool,
    /// Messages did not fit.
    is_full: bool,
    protocol: String,
    extensions: String,
    binary_type: BinaryType,
    /// Of the task that polls the events, while the connection opens.
    waker: Option<Waker>,
}

impl Handle {
    /// Queues a message and writes what the kernel takes at once; what is left goes out while the
    /// [`Events`] are polled. After the connection began to close it does nothing, as in browsers.
    ///
    /// When [`Limits::outbox_bytes_max`](crate::Limits::outbox_bytes_max) bytes wait, one more message closes
    /// the connection: [`Event::Error`] with [`Error::OutboxFull`], then [`Event::Close`]. Look at
    /// [`buffered_amount`](Self::buffered_amount) to stay below.
    ///
    /// # Errors
    /// [`Misuse::Connecting`] before [`Event::Open`].
    pub fn send(&self, message: impl Into<Message>) -> Result<(), Misuse> {
        let mut line = self.lock();
        let Some(sender) = &line.sender else {
            return if line.is_over { Ok(()) } else { Err(Misuse::Connecting) };
        };
        if let Err(TrySendError::Full(_)) = sender.try_send(message) {
            let _ = sender.start_close(CloseCode::NO_STATUS, "");
            line.is_full = true;
        }
        Ok(())
    }

    /// Begins the closing handshake. [`CloseCode::NO_STATUS`] sends no code. A connection that is being
    /// opened is given up.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a code that may not be sent or a reason of more than 123 bytes.
    pub fn close(&self, code: CloseCode, reason: &str) -> Result<(), Error> {
        let mut line = self.lock();
        match &line.sender {
            Some(sender) => sender.start_close(code, reason),
            None => {
                line.given_up = true;
                if let Some(waker) = line.waker.take() {
                    waker.wake();
                }
                Ok(())
            }
        }
    }

    /// Returns the state: `readyState` of browsers.
    pub fn ready_state(&self) -> ReadyState {
        let line = self.lock();
        match &line.sender {
            Some(sender) if sender.is_closed() => ReadyState::Closed,
            Some(sender) if sender.is_open() => ReadyState::Open,
            Some(_) => ReadyState::Closing,
            None if line.is_over => ReadyState::Closed,
            None if line.given_up => ReadyState::Closing,
            None => ReadyState::Connecting,
        }
    }

    /// Returns how many bytes wait to be written, frame headers included.
    pub fn buffered_amount(&self) -> usize {
        self.lock().sender.as_ref().map_or(0, Sender::buffered_amount)
    }

    /// Returns how binary messages are to be handed out; see [`BinaryType`].
    pub fn binary_type(&self) -> BinaryType {
        self.lock().binary_type
    }

    /// Sets how binary messages are to be handed out; see [`BinaryType`].
    pub fn set_binary_type(&self, binary_type: BinaryType) {
        self.lock().binary_type = binary_type;
    }

    /// Returns the subprotocol that was agreed on; empty without one, and before [`Event::Open`].
    pub fn protocol(&self) -> String {
        self.lock().protocol.clone()
    }

    /// Returns the extensions that were agreed on, as `Sec-WebSocket-Extensions` writes them; empty
    /// without any, and before [`Event::Open`].
    pub fn extensions(&self) -> String {
        self.lock().extensions.clone()
    }

    /// Returns the URL; empty for a connection that others opened.
    pub fn url(&self) -> String {
        self.lock().url.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("ready_state", &self.ready_state()).finish_non_exhaustive()
    }
}

/// The events of a connection: a [`Stream`] that ends behind [`Event::Close`]. Polling it drives the
/// connection; dropping it stops receiving.
pub struct Events {
    handle: Handle,
    state: State,
    queue: VecDeque<Event>,
}

enum State {
    Opening(Opening),
    Open(Receiver),
    Over,
}

impl Events {
    /// Waits for the next event; `None` behind [`Event::Close`].
    ///
    /// Cancel-safe.
    pub async fn next(&mut self) -> Option<Event> {
        std::future::poll_fn(|cx| self.poll_event(cx)).await
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Poll::Ready(Some(event));
            }
            match &mut self.state {
                State::Over => return Poll::Ready(None),
                State::Opening(opening) => {
                    let mut line = self.handle.lock();
                    line.waker = Some(cx.waker().clone());
                    let given_up = line.given_up;
                    drop(line);
                    if given_up {
                        self.end(Err(Error::Lost), None);
                        continue;
                    }
                    match opening.as_mut().poll(cx) {
                        Poll::Ready(Ok(socket)) => self.open(socket),
                        Poll::Ready(Err(error)) => self.end(Err(error), None),
                        Poll::Pending => return Poll::Pending,
                    }
                }
                State::Open(receiver) => match ready!(receiver.poll_recv(cx)) {
                    Ok(Some(message)) => return Poll::Ready(Some(Event::Message(message))),
                    received => {
                        let closed = receiver.closed().cloned();
                        self.end(received.map(drop), closed);
                    }
                },
            }
        }
    }

    fn open(&mut self, socket: WebSocket) {
        let (sender, receiver) = socket.split();
        let mut line = self.handle.lock();
        line.protocol = receiver.subprotocol().unwrap_or_default().to_owned();
        line.extensions = receiver.extensions();
        line.sender = Some(sender);
        line.waker = None;
        drop(line);
        self.state = State::Open(receiver);
        self.queue.push_back(Event::Open);
    }

    fn end(&mut self, result: Result<(), Error>, closed: Option<Closed>) {
        let mut line = self.handle.lock();
        line.sender = None;
        line.is_over = true;
        let is_full = line.is_full;
        drop(line);
        self.state = State::Over;
        match result {
            _ if is_full => self.queue.push_back(Event::Error(Error::OutboxFull)),
            Ok(()) => {}
            Err(error) => self.queue.push_back(Event::Error(error)),
        }
        self.queue.push_back(Event::Close(closed.unwrap_or_else(|| Closed {
            code: CloseCode::ABNORMAL,
            reason: Utf8Bytes::default(),
            by: Side::Us,
            clean: false,
        })));
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.poll_event(cx)
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("handle", &self.handle).finish_non_exhaustive()
    }
}
