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
}

/// WebSockets without a protocol of their own.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Plain {
    /// Whether it is spoken.
    pub(crate) enabled: bool,
    /// Channels that a client may name in its URL; past it: status 400.
    pub(crate) channels_max: usize,
    /// Bytes that a client may send before it is let in, each message counted with 40 more, and one message in any case;
    /// past it: close code 4429.
    pub(crate) early_max: Size,
    /// Whether the path /echo sends each message back instead of naming a channel.
    pub(crate) echo: bool,
}

impl Default for Plain {
    fn default() -> Self {
        let theirs = taiwa_plain::Settings::default();
        Self {
            enabled: true,
            channels_max: theirs.channels_max,
            early_max: Size(theirs.early_bytes_max),
            echo: theirs.echo,
        }
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
        }
    }
}
