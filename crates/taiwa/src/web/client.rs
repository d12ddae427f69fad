//! [`Client`]: opens connections through the browser.

use std::{future::poll_fn, rc::Rc, task::Poll};

use http::Uri;
use taiwa_proto::{
    Deadline, Deadlines, Limits,
    handshake::{Wish, parse_uri},
};
use wasm_bindgen::JsValue;

use super::{
    events::Events,
    line::{Interface, Line, failure},
    state::{Phase, State},
    streams::{self, Streams},
    timer::Timer,
    waiting::Waiter,
    websocket::WebSocket,
};
use crate::error::Error;

/// Opens a connection to a `ws` or `wss` URL with the defaults of [`Client`].
///
/// Dropping its future cancels the attempt.
///
/// # Errors
/// See [`Client::connect`].
#[expect(clippy::missing_panics_doc, reason = "what it expects is an invariant")]
pub async fn connect(url: &str) -> Result<WebSocket, Error> {
    let client = ClientBuilder::default().build().expect("the defaults are valid");
    client.connect(url).await
}

/// Opens connections. Cloning is cheap and shares the settings.
///
/// ```no_run
/// # async fn run() -> Result<(), taiwa::Error> {
/// use taiwa::Client;
///
/// let client = Client::builder().subprotocols(["v2.json", "v1.json"]).build()?;
/// let socket = client.connect("wss://example.org/feed").await?;
/// println!("we speak {:?}", socket.subprotocol());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    shared: Rc<ClientBuilder>,
}

impl Client {
    /// Starts with the defaults.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// Opens a connection within [`Deadlines::handshake`].
    ///
    /// Cancel-safe: dropping the future ends the attempt.
    ///
    /// # Errors
    /// [`Error::Request`], [`Error::Late`]; [`Error::Io`] for all else, since a browser tells no program
    /// whether a host can't be reached, refuses, or has a certificate that is not trusted.
    pub async fn connect(&self, url: &str) -> Result<WebSocket, Error> {
        parse_uri(url).map_err(Error::Request)?;
        let shared = &self.shared;
        let state = State::new(shared.limits.clone(), shared.deadlines.clone());
        let _late = shared.deadlines.handshake.map(|within| {
            let state = Rc::clone(&state);
            Timer::after(within, move || {
                if state.phase() == Phase::Opening {
                    state.abandon(Deadline::Handshake);
                }
            })
        });
        let interface = match shared.interface {
            BrowserInterface::Any if streams::exist() => self.open_streams(url, &state).await?,
            BrowserInterface::WebSocketStream => self.open_streams(url, &state).await?,
            BrowserInterface::Any | BrowserInterface::WebSocket => {
                self.open_events(url, &state).await?
            }
        };
        Ok(WebSocket::new(Line::new(state, interface)))
    }

    async fn open_events(&self, url: &str, state: &Rc<State>) -> Result<Interface, Error> {
        let events = Events::open(url, &self.shared.subprotocols, state);
        let events = events.map_err(|it| failure(&it))?;
        opened(state).await?;
        Ok(Interface::Events(events))
    }

    async fn open_streams(&self, url: &str, state: &Rc<State>) -> Result<Interface, Error> {
        let streams = Streams::open(url, &self.shared.subprotocols, state);
        let streams = streams.map_err(|it| failure(&it))?;
        streams.watch_opening();
        opened(state).await?;
        Ok(Interface::Streams(streams))
    }
}

/// Waits until a connection is open.
async fn opened(state: &State) -> Result<(), Error> {
    poll_fn(|cx| match state.phase() {
        Phase::Opening => {
            state.waiting.note(Waiter::READER, cx);
            Poll::Pending
        }
        Phase::Open | Phase::Closing => Poll::Ready(Ok(())),
        // Opened and closed at once: the messages between are still there.
        Phase::Ended if state.was_open() => Poll::Ready(Ok(())),
        Phase::Ended => Poll::Ready(Err(match state.poll_end(cx) {
            Poll::Ready(Err(error @ Error::Late(_))) => error,
            _ => failure(&JsValue::UNDEFINED),
        })),
    })
    .await
}

/// Which of the browser's two interfaces carries a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BrowserInterface {
    /// `WebSocketStream` where the browser has it, `WebSocket` elsewhere.
    #[default]
    Any,
    /// `WebSocket`: in all browsers. It can't be told to wait, so messages that are not received queue up to
    /// [`Limits::inbox_bytes_max`].
    WebSocket,
    /// `WebSocketStream`: in Chromium's family. A peer that sends faster than we receive has to wait.
    WebSocketStream,
}

/// Settings of a [`Client`]. What is wrong with them is told by [`build`](Self::build).
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct ClientBuilder {
    limits: Limits,
    deadlines: Deadlines,
    subprotocols: Vec<String>,
    interface: BrowserInterface,
}

impl ClientBuilder {
    /// Offers subprotocols, the most preferred first (RFC 6455 §1.9). Default: none.
    pub fn subprotocols<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.subprotocols = names.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the limits. Those that count in a browser are `message_bytes_max`, `outbox_bytes_max` and
    /// `inbox_bytes_max`.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the deadlines. Those that count in a browser are `handshake`, `close`, and, while something
    /// waits for room, `write`.
    pub fn deadlines(mut self, deadlines: Deadlines) -> Self {
        self.deadlines = deadlines;
        self
    }

    /// Sets which of the browser's interfaces is used. Default: [`BrowserInterface::Any`].
    pub fn interface(mut self, interface: BrowserInterface) -> Self {
        self.interface = interface;
        self
    }

    /// Makes the client.
    ///
    /// # Errors
    /// [`Error::Request`] for a subprotocol that is no token, or there twice; [`Error::Io`] with
    /// [`Unsupported`](std::io::ErrorKind::Unsupported) for an interface that the browser does not have.
    pub fn build(self) -> Result<Client, Error> {
        if self.interface == BrowserInterface::WebSocketStream && !streams::exist() {
            return Err(Error::Io(std::io::ErrorKind::Unsupported.into()));
        }
        // Asking once tells what every connection would tell.
        let uri = Uri::from_static("ws://localhost/");
        let wish = Wish { subprotocols: &self.subprotocols, ..Wish::new(&uri, [0; 16]) };
        wish.request().map_err(Error::Request)?;
        Ok(Client { shared: Rc::new(self) })
    }
}
