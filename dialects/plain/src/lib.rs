//! The plain dialect: a WebSocket without a protocol on top, whose path is the channel.
//!
//! README.md beside this file says what is spoken, with all close codes.

mod wire;
mod conversation;
mod encode;
mod framing;

use std::time::Instant;

use taiwa_core::{
    Conversation, Dialect, Door, Framing, Knock, Refusal, RefusalKind, Request, Transport,
};

/// Paths that begin so are the server's own.
const RESERVED: &str = "/.taiwa/";

/// The subprotocol that a client agrees on when it carries its token in the list of subprotocols.
const SUBPROTOCOL: &str = "plain";

const DOORS: &[Door] = &[
    Door { path: "*", subprotocols: &[SUBPROTOCOL], transports: &[Transport::WebSocket] },
    Door {
        path: "*",
        subprotocols: &[],
        transports: &[Transport::WebSocket, Transport::WebTransport],
    },
];

/// The dialect of clients that know nothing but WebSocket.
#[derive(Clone, Debug, Default)]
pub struct Plain {
    settings: Settings,
}

/// How plain clients are met.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// How many channels one client may name, 32 by default; who names more is refused with 400.
    pub channels_max: usize,
    /// Whether the path `/echo` sends each message back instead of naming a channel; so by default.
    pub echo: bool,
    /// Namespaces whose text is JSON, the empty name being the default one; none by default. What a plain client sends
    /// there is published as JSON, and a message that is no JSON text sends it away with 4400.
    pub json: Vec<Box<str>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { channels_max: 32, echo: true, json: vec![] }
    }
}

impl Plain {
    /// Makes the dialect.
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }
}

impl Dialect for Plain {
    fn name(&self) -> &'static str {
        "plain"
    }

    fn doors(&self) -> &[Door] {
        DOORS
    }

    fn open(&self, knock: &Knock<'_>, _: Instant) -> Result<Box<dyn Conversation>, Refusal> {
        if knock.request.path.starts_with(RESERVED) {
            return Err(Refusal::new(RefusalKind::NotFound, "there is nothing here"));
        }
        let wish = wire::wish(knock, &self.settings)?;
        let has_marks = knock.transport == Transport::WebTransport;
        Ok(Box::new(conversation::Talk::new(wish, has_marks, &self.settings)))
    }

    fn opens_later(&self) -> bool {
        true
    }

    fn framing(&self, request: &Request) -> Option<Box<dyn Framing>> {
        // What can't be read is refused when it is opened.
        Some(Box::new(wire::datagrams(request).unwrap_or_default()))
    }
}
