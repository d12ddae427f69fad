//! The protocol of Centrifugo's published clients, in JSON and in Protocol Buffers, over WebSocket, WebTransport, HTTP
//! streaming and server-sent events.
//!
//! What is spoken, what is not, and how it meets the hub stands in the `README.md` of this room.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use taiwa_core::{
    Addressee, Conversation, Dialect, Door, Framing, Knock, Refusal, Request, Transport,
};

mod conversation;
mod encode;
mod framing;
mod http;
mod wire;

use conversation::Client;

/// The room. One serves all clients.
///
/// ```
/// use taiwa_centrifuge::{Centrifuge, Settings};
/// use taiwa_core::Dialect;
///
/// let room = Centrifuge::new(Settings::default());
/// assert_eq!(room.name(), "centrifuge");
/// assert_eq!(room.doors()[0].path, "/connection/websocket");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Centrifuge {
    settings: Arc<Settings>,
}

/// Times and limits of the room.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Settings {
    /// A client must connect within this time, 10 seconds by default, or is closed with 3502. Clients wait 5 seconds.
    pub connect_within: Duration,
    /// A connected client is pinged each time this has passed, 25 seconds by default, and told so in whole seconds; 0
    /// means never. Clients take a server for dead 10 seconds after a ping that did not come. The first ping comes
    /// between half this time and all of it, so that clients which came together are not pinged together.
    pub ping_every: Duration,
    /// A client must say something within this time after a ping, 8 seconds by default, or is closed with 3012.
    pub pong_within: Duration,
    /// How many commands a frame may have, 1,024 by default; more close with 3501. A client that comes back with a
    /// thousand subscriptions sends a thousand commands in one frame.
    pub commands_max: usize,
    /// How many channels a connect command may name, 1,024 by default; more close with 3501.
    pub positions_max: usize,
    /// How many nodes a filter on tags may have, 64 by default; more close with 3501. Each is compared for each
    /// publication.
    pub filter_nodes_max: usize,
    /// How many bytes of commands may wait while a client is being let in, 1 MiB by default; more close with 3013.
    pub waiting_bytes_max: usize,
    /// Whether clients are let in by WebTransport; so by default. Otherwise they find nothing there, and go on to their next
    /// transport.
    pub webtransport: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connect_within: Duration::from_secs(10),
            ping_every: Duration::from_secs(25),
            pong_within: Duration::from_secs(8),
            commands_max: 1024,
            positions_max: 1024,
            filter_nodes_max: 64,
            waiting_bytes_max: 1 << 20,
            webtransport: true,
        }
    }
}

impl Centrifuge {
    /// Opens the room.
    pub fn new(settings: Settings) -> Self {
        Self { settings: Arc::new(settings) }
    }
}

/// A client that wants Protocol Buffers says so by a subprotocol or in the query; one that offers none speaks JSON.
const DOORS: &[Door] = &[
    Door {
        path: "/connection/websocket",
        subprotocols: &["centrifuge-protobuf", "centrifuge-json"],
        transports: &[Transport::WebSocket],
    },
    Door { path: "/connection/websocket", subprotocols: &[], transports: &[Transport::WebSocket] },
    Door { path: http::SESSION, subprotocols: &[], transports: &[Transport::WebTransport] },
    Door { path: http::STREAM, subprotocols: &[], transports: &[Transport::Http] },
    Door { path: http::EVENTS, subprotocols: &[], transports: &[Transport::Http] },
    Door { path: http::EMULATION, subprotocols: &[], transports: &[Transport::Http] },
];

impl Dialect for Centrifuge {
    fn name(&self) -> &'static str {
        "centrifuge"
    }

    fn doors(&self) -> &[Door] {
        DOORS
    }

    fn addressee(&self, request: &Request) -> Addressee {
        http::addressee(request)
    }

    fn open(&self, knock: &Knock<'_>, now: Instant) -> Result<Box<dyn Conversation>, Refusal> {
        let (outlet, frame) = http::opening(knock)?;
        Ok(Box::new(Client::new(knock, outlet, frame, self.settings.clone(), now)))
    }

    fn framing(&self, request: &Request) -> Option<Box<dyn Framing>> {
        self.settings.webtransport.then(|| Box::new(http::session(request).format()) as _)
    }
}
