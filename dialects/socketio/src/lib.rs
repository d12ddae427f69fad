//! Engine.IO and Socket.IO, as their published clients speak them: over HTTP long polling, over WebSocket, over WebTransport, and
//! from the first to either of the others in mid-life.
//!
//! What is spoken, what is not, and how it meets the hub stands in the `README.md` of this room.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use taiwa_core::{
    Addressee, Conversation, Dialect, Door, Framing, Knock, Message, Refusal, Request, Response,
    Transport,
};

mod wire;
mod encode;
mod http;
mod conversation;
#[doc(hidden)]
pub mod fuzzing;

/// The room. One serves all clients.
///
/// ```
/// use taiwa_core::Dialect;
/// use taiwa_socketio::{Settings, SocketIo};
///
/// let room = SocketIo::new(Settings::default());
/// assert_eq!(room.name(), "socketio");
/// assert_eq!(room.doors()[0].path, "/socket.io/");
/// ```
#[derive(Clone, Debug)]
pub struct SocketIo {
    settings: Arc<Settings>,
    doors: Box<[Door]>,
}

/// How clients are met. What a limit leads to stands with it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Settings {
    /// Where clients come in, `/socket.io/` by default; also without the slash at its end.
    pub path: &'static str,
    /// The namespaces that there are, by default the main one alone; `*` stands for all. In others nobody comes in.
    pub namespaces: Box<[Box<str>]>,
    /// Which member of what a client brings along to a namespace is its token, `token` by default. Without it the token of
    /// the URL or of the header `Authorization` counts.
    pub token: Box<str>,
    /// How often a client is asked whether it is there, 25 seconds by default. Clients of revision 3 ask by themselves as often.
    pub ping_every: Duration,
    /// How long it may take to answer, 20 seconds by default; then its connection is closed.
    pub pong_within: Duration,
    /// How long a client may take to change to a WebSocket or a session of WebTransport, 10 seconds by default; then that is
    /// closed, and it goes on polling.
    pub upgrade_within: Duration,
    /// A client must be let in to a namespace within this time, 45 seconds by default, or its connection is closed.
    pub connect_within: Duration,
    /// Whether clients that poll are told that they may change to WebTransport, and let in by it; by default they are not. The
    /// server has to have it on the address where they came in, or they look for it in vain before they take a WebSocket.
    pub webtransport: bool,
    /// How many bytes a message of a WebSocket or the body of a request may have, 1,000,000 by default; larger ones close the
    /// connection, a request is answered with 413 before. The server's own limits count besides.
    pub payload_bytes_max: usize,
    /// How many packets the body of a request may have, 10,000 by default; more are answered with 400 and close the connection.
    pub packets_max: usize,
    /// How many attachments a packet may have, 10 by default, as newer parsers have it; more close the connection.
    pub attachments_max: usize,
    /// How many bytes they may have together, 4 MiB by default; more close the connection.
    pub attachments_bytes_max: usize,
    /// How many events of the app may wait for their answer, 256 by default; with more the oldest is refused.
    pub calls_max: usize,
    /// How many channels a client may name in its URL, 32 by default; more are answered with 400.
    pub channels_max: usize,
    /// How long the session of a client that was lost is kept for it; not at all by default. With it each event that no answer
    /// is wanted to has one more argument behind all, as Socket.IO has it: clients that count arguments must know.
    pub recovery: Option<Duration>,
    /// How many publications are kept for namespaces of a recovered session that its client has not asked for yet, 1,024 by
    /// default; with more these namespaces are left.
    pub held_max: usize,
    /// The events of clients that are said to all in their namespace, none by default; `*` stands for all endings. Other
    /// events call the app.
    pub broadcast: Box<[Box<str>]>,
    /// Whether who says something to all hears it, too; by default it does.
    pub broadcast_echo: bool,
    /// A cookie that brings the session's identifier along with requests, for balancers; none by default.
    pub cookie: Option<Box<str>>,
    /// Events that come back to their sender, and under which name; for trying, none by default.
    pub echo_events: Box<[(Box<str>, Box<str>)]>,
    /// Events that are answered with their own arguments; for trying, none by default.
    pub echo_acks: Box<[Box<str>]>,
    /// The event that tells a client how it has introduced itself; for trying, none by default.
    pub echo_auth: Option<Box<str>>,
    /// Whether at the path `/engine.io/` Engine.IO alone is spoken, and each message comes back; for trying, off by default.
    pub engine_echo: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            path: "/socket.io/",
            namespaces: ["/".into()].into(),
            token: "token".into(),
            ping_every: Duration::from_secs(25),
            pong_within: Duration::from_secs(20),
            upgrade_within: Duration::from_secs(10),
            connect_within: Duration::from_secs(45),
            webtransport: false,
            payload_bytes_max: 1_000_000,
            packets_max: 10_000,
            attachments_max: 10,
            attachments_bytes_max: 4 << 20,
            calls_max: 256,
            channels_max: 32,
            recovery: None,
            held_max: 1024,
            broadcast: Box::default(),
            broadcast_echo: true,
            cookie: None,
            echo_events: Box::default(),
            echo_acks: Box::default(),
            echo_auth: None,
            engine_echo: false,
        }
    }
}

/// Where Engine.IO alone is spoken.
const ENGINE: &str = "/engine.io/";

impl SocketIo {
    /// Opens the room.
    pub fn new(settings: Settings) -> Self {
        let path = settings.path;
        let mut paths = vec![path];
        paths.extend(path.strip_suffix('/').filter(|it| !it.is_empty()));
        if settings.engine_echo {
            paths.extend([ENGINE, "/engine.io"]);
        }
        let door = |path| Door {
            path,
            subprotocols: &[],
            transports: &[Transport::WebSocket, Transport::Http, Transport::WebTransport],
        };
        let doors = paths.into_iter().map(door).collect();
        Self { settings: Arc::new(settings), doors }
    }
}

impl Default for SocketIo {
    fn default() -> Self {
        Self::new(Settings::default())
    }
}

impl Dialect for SocketIo {
    fn name(&self) -> &'static str {
        "socketio"
    }

    fn doors(&self) -> &[Door] {
        &self.doors
    }

    fn addressee(&self, request: &Request) -> Addressee {
        http::addressee(request)
    }

    fn open(&self, knock: &Knock<'_>, now: Instant) -> Result<Box<dyn Conversation>, Refusal> {
        let opening = http::opening(knock, &self.settings)?;
        Ok(Box::new(conversation::Client::new(opening, self.settings.clone(), now)))
    }

    fn framing(&self, _: &Request) -> Option<Box<dyn Framing>> {
        let payload_bytes_max = self.settings.payload_bytes_max;
        self.settings.webtransport.then(|| Box::new(wire::Framed { payload_bytes_max }) as _)
    }

    fn introduction(&self, _: &Request) -> Option<fn(&Message) -> Addressee> {
        Some(wire::session_addressee)
    }

    fn turn_away(&self, _: &Request, why: &Refusal) -> Option<Response> {
        Some(http::refused(why))
    }
}
