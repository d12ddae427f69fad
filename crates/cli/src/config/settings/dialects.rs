//! The dialects that are spoken, and what can be set about each.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::args::{Size, Time};

/// The dialects that are spoken.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Dialects {
    /// WebSockets without a protocol of their own: the path is the channel.
    pub(crate) plain: Plain,
    /// Server-sent events: EventSource, and whoever reads lines.
    pub(crate) sse: Sse,
    /// The clients of Centrifugo.
    pub(crate) centrifuge: Centrifuge,
    /// The clients of Phoenix' channels.
    pub(crate) phoenix: Phoenix,
    /// The clients of Socket.IO.
    pub(crate) socketio: SocketIo,
}

/// WebSockets without a protocol of their own.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Plain {
    /// Whether it is spoken.
    pub(crate) enabled: bool,
    /// Channels that a client may name in its URL; past it: status 400.
    pub(crate) channels_max: usize,
    /// Whether the path /echo sends each message back instead of naming a channel.
    pub(crate) echo: bool,
}

impl Default for Plain {
    fn default() -> Self {
        let theirs = taiwa_plain::Settings::default();
        Self { enabled: true, channels_max: theirs.channels_max, echo: theirs.echo }
    }
}

/// Server-sent events.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Sse {
    /// Whether it is spoken.
    pub(crate) enabled: bool,
    /// Channels that a client may name in its URL; past it: status 400.
    pub(crate) channels_max: usize,
    /// Publications that are kept for a client while some of its channels have not answered; past it: status 503.
    pub(crate) early_max: usize,
    /// After which time a stream says something though there is nothing to say, and a poll is answered; shorter than the
    /// patience of proxies.
    pub(crate) heartbeat_every: Time,
    /// After which time a client comes back; each is told up to half as much more.
    pub(crate) retry: Time,
    /// A cookie in which a client's token may stand. Cookies also come with requests that pages of others make.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"token")]
    pub(crate) cookie: Option<String>,
}

impl Default for Sse {
    fn default() -> Self {
        let theirs = taiwa_sse::Settings::default();
        Self {
            enabled: true,
            channels_max: theirs.channels_max,
            early_max: theirs.early_max,
            heartbeat_every: Time(Some(theirs.heartbeat_every)),
            retry: Time(Some(theirs.retry)),
            cookie: theirs.cookie.map(String::from),
        }
    }
}

/// The clients of Centrifugo.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Centrifuge {
    /// Whether it is spoken.
    pub(crate) enabled: bool,
    /// From a connection to its command `connect`; past it: disconnected with 3502.
    pub(crate) connect_within: Time,
    /// How often a client is pinged, in whole seconds; `off` for never.
    pub(crate) ping_every: Time,
    /// From a ping to anything from the client; past it: disconnected with 3012.
    pub(crate) pong_within: Time,
    /// Commands in a frame; past it: disconnected with 3501.
    pub(crate) commands_max: usize,
    /// Channels in a command `connect`; past it: disconnected with 3501.
    pub(crate) positions_max: usize,
    /// Bytes of commands that wait while a client is being let in; past it: disconnected with 3013.
    pub(crate) waiting_max: Size,
    /// Let clients in by WebTransport, where the server has it (`http3` and `webtransport`, with TLS). Without it they go on to
    /// their next transport.
    pub(crate) webtransport: bool,
}

impl Default for Centrifuge {
    fn default() -> Self {
        let theirs = taiwa_centrifuge::Settings::default();
        Self {
            enabled: true,
            connect_within: Time(Some(theirs.connect_within)),
            ping_every: Time(Some(theirs.ping_every)),
            pong_within: Time(Some(theirs.pong_within)),
            commands_max: theirs.commands_max,
            positions_max: theirs.positions_max,
            waiting_max: Size(theirs.waiting_bytes_max),
            webtransport: theirs.webtransport,
        }
    }
}

/// The clients of Phoenix' channels.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Phoenix {
    /// Whether it is spoken.
    pub(crate) enabled: bool,
    /// Where the socket is: what a page gives to `new Socket(…)`. Clients add `/websocket` or `/longpoll`.
    pub(crate) path: String,
    /// Events that clients push which are calls of the app; all others are published in their topic. A name may end with `*` and
    /// stands for all that begin so.
    pub(crate) calls: Vec<String>,
    /// Events that clients push which do not come back to them; names as in `calls`.
    pub(crate) broadcast_from: Vec<String>,
    /// Channels that a client may join; past it: refused with `too many channels joined`.
    pub(crate) channels_max: usize,
    /// From anything that a client says by WebSocket to the next, heartbeats included; past it: close code 1001.
    pub(crate) silence_max: Time,
    /// After which time a poll is answered that has nothing to say. A client that does not poll for one and a half times as
    /// long is gone.
    pub(crate) poll_window: Time,
    /// Pushes of a client that wait for their answers; past it: refused.
    pub(crate) pushes_max: usize,
    /// Bytes that wait of what a client says while it is let in or joins; past it: close code 1013.
    pub(crate) waiting_max: Size,
}

impl Default for Phoenix {
    fn default() -> Self {
        let theirs = taiwa_phoenix::Settings::default();
        Self {
            enabled: true,
            path: theirs.path.into(),
            calls: theirs.calls.into_iter().map(String::from).collect(),
            broadcast_from: theirs.broadcast_from.into_iter().map(String::from).collect(),
            channels_max: theirs.channels_max,
            silence_max: Time(Some(theirs.silence_max)),
            poll_window: Time(Some(theirs.poll_window)),
            pushes_max: theirs.pushes_max,
            waiting_max: Size(theirs.waiting_bytes_max),
        }
    }
}

/// The clients of Socket.IO.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SocketIo {
    /// Whether it is spoken.
    pub(crate) enabled: bool,
    /// Where clients come in.
    pub(crate) path: String,
    /// Namespaces that there are; `*` stands for all. Others are answered with `Invalid namespace`.
    pub(crate) namespaces: Vec<String>,
    /// Which member of `auth` is a client's token.
    pub(crate) token: String,
    /// How often a client is asked whether it is there. Old clients (EIO=3) ask as often.
    pub(crate) ping_every: Time,
    /// From that to its answer; past it: closed.
    pub(crate) pong_within: Time,
    /// How long a polling client may take to change to a WebSocket or to WebTransport; past it: that is closed, and it goes on
    /// polling.
    pub(crate) upgrade_within: Time,
    /// From a connection to the first namespace that lets it in; past it: closed.
    pub(crate) connect_within: Time,
    /// Let clients in by WebTransport, and tell those that poll that they may change to it; where the server has it (`http3` and
    /// `webtransport`, with TLS).
    pub(crate) webtransport: bool,
    /// Bytes of a message, or of the body of a request; past it: closed, and status 413.
    pub(crate) payload_max: Size,
    /// Packets in the body of a request; past it: status 400, and closed.
    pub(crate) packets_max: usize,
    /// Attachments of a packet; past it: closed.
    pub(crate) attachments_max: usize,
    /// Bytes that they have together; past it: closed.
    pub(crate) attachments_bytes_max: Size,
    /// Events of the app that wait for a client's acknowledgement; past it: the oldest is refused.
    pub(crate) calls_max: usize,
    /// Channels that a client may name in its URL; past it: status 400.
    pub(crate) channels_max: usize,
    /// How long the session of a client that was lost is kept, so that it misses nothing; `off` for not at all. With it events have
    /// one more argument behind all, as Socket.IO has it: clients that count arguments must know.
    pub(crate) recovery: Time,
    /// Publications that wait for namespaces that a client that came back has not asked for yet; past it: it begins anew there.
    pub(crate) held_max: usize,
    /// Events of clients that are said to all in their namespace, as far as its rights allow it; `*` at the end of a name
    /// stands for all endings. Other events call the app.
    pub(crate) broadcast: Vec<String>,
    /// Whether who says something to all hears it, too.
    pub(crate) broadcast_echo: bool,
    /// A cookie that brings the identifier of a polling session along with its requests, for balancers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"io")]
    pub(crate) cookie: Option<String>,
    /// For trying: events that come back to their sender, as `NAME=NAME THAT COMES BACK`.
    pub(crate) echo_events: Vec<String>,
    /// For trying: events that are acknowledged with their own arguments.
    pub(crate) echo_acks: Vec<String>,
    /// For trying: the event that tells a client how it has introduced itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"auth")]
    pub(crate) echo_auth: Option<String>,
    /// For trying: Engine.IO alone at the path /engine.io/, where each message comes back.
    pub(crate) engine_echo: bool,
}

impl Default for SocketIo {
    fn default() -> Self {
        let theirs = taiwa_socketio::Settings::default();
        let list = |all: &[Box<str>]| all.iter().map(|it| it.to_string()).collect();
        let pair = |(name, back): &(Box<str>, Box<str>)| format!("{name}={back}");
        Self {
            enabled: true,
            path: theirs.path.into(),
            namespaces: list(&theirs.namespaces),
            token: theirs.token.into(),
            ping_every: Time(Some(theirs.ping_every)),
            pong_within: Time(Some(theirs.pong_within)),
            upgrade_within: Time(Some(theirs.upgrade_within)),
            connect_within: Time(Some(theirs.connect_within)),
            webtransport: true,
            payload_max: Size(theirs.payload_bytes_max),
            packets_max: theirs.packets_max,
            attachments_max: theirs.attachments_max,
            attachments_bytes_max: Size(theirs.attachments_bytes_max),
            calls_max: theirs.calls_max,
            channels_max: theirs.channels_max,
            recovery: Time(theirs.recovery),
            held_max: theirs.held_max,
            broadcast: list(&theirs.broadcast),
            broadcast_echo: theirs.broadcast_echo,
            cookie: theirs.cookie.map(String::from),
            echo_events: theirs.echo_events.iter().map(pair).collect(),
            echo_acks: list(&theirs.echo_acks),
            echo_auth: theirs.echo_auth.map(String::from),
            engine_echo: theirs.engine_echo,
        }
    }
}
