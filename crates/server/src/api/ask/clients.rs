//! The commands about clients, as callers write them.

use schemars::{JsonSchema, Schema};
use serde::Deserialize;

use super::{
    super::values::{ChannelName, Json, Place, SessionName, perhaps_whole, there, whole},
    BASE64, SECONDS_MAX, one_payload_or_args, one_whom,
};

/// Subscribes sessions to a channel. Who is subscribed already is left as it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = one_whom)]
pub(in crate::api) struct Subscribe {
    /// Whom: one session.
    #[serde(default, deserialize_with = "there")]
    pub(in crate::api) session: Option<SessionName>,
    /// Whom: all sessions of a user.
    #[serde(default, deserialize_with = "there")]
    pub(in crate::api) user: Option<String>,
    /// Whom: all sessions that subscribe to a channel.
    #[serde(default, deserialize_with = "there")]
    pub(in crate::api) in_channel: Option<ChannelName>,
    /// Whom: everyone.
    #[serde(default, deserialize_with = "there")]
    #[schemars(extend("const" = true))]
    pub(in crate::api) all: Option<bool>,
    /// To what.
    pub(in crate::api) channel: ChannelName,
    /// What others see of the subscription in presence: any JSON value.
    #[serde(default, deserialize_with = "there")]
    #[schemars(with = "Json")]
    pub(in crate::api) info: Option<Json>,
    /// What the client is told: any JSON value.
    #[serde(default, deserialize_with = "there")]
    #[schemars(with = "Json")]
    pub(in crate::api) data: Option<Json>,
    /// After which time the right ends, in seconds; without it never.
    #[serde(default, deserialize_with = "perhaps_whole")]
    #[schemars(range(max = SECONDS_MAX))]
    pub(in crate::api) expires_after_s: Option<u64>,
    /// Whether the client hears who comes and goes; without it the namespace's settings say so.
    pub(in crate::api) join_leave: Option<bool>,
    /// Begin behind this position, if the history still has it.
    pub(in crate::api) since: Option<Place>,
}

/// Ends subscriptions.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = one_whom)]
pub(in crate::api) struct Unsubscribe {
    /// Whose: one session's.
    #[serde(default, deserialize_with = "there")]
    pub(in crate::api) session: Option<SessionName>,
    /// Whose: those of a user.
    #[serde(default, deserialize_with = "there")]
    pub(in crate::api) user: Option<String>,
    /// Whose: all sessions that subscribe to a channel.
    #[serde(default, deserialize_with = "there")]
    pub(in crate::api) in_channel: Option<ChannelName>,
    /// Whose: everyone's.
    #[serde(default, deserialize_with = "there")]
    #[schemars(extend("const" = true))]
    pub(in crate::api) all: Option<bool>,
    /// To what.
    pub(in crate::api) channel: ChannelName,
}

/// Sends sessions away.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = one_whom)]
pub(in crate::api) struct Disconnect {
    /// Whom: one session.
    #[serde(default, deserialize_with = "there")]
    pub(in crate::api) session: Option<SessionName>,
    /// Whom: all sessions of a user.
    #[serde(default, deserialize_with = "there")]
    pub(in crate::api) user: Option<String>,
    /// Whom: all sessions that subscribe to a channel.
    #[serde(default, deserialize_with = "there")]
    pub(in crate::api) in_channel: Option<ChannelName>,
    /// Whom: everyone.
    #[serde(default, deserialize_with = "there")]
    #[schemars(extend("const" = true))]
    pub(in crate::api) all: Option<bool>,
    /// Only the link of this scope, such as a namespace of Socket.IO, and not the whole session. Sessions without it are left out. The
    /// number behind a session's name counts before it.
    #[schemars(length(max = 256))]
    pub(in crate::api) scope: Option<String>,
    /// Only the link that is named by the session, or subscribes to the channel, or is the first, and not the whole session: what
    /// `disconnectSockets()` of Socket.IO does. A session whose only link that is ends.
    #[serde(default)]
    pub(in crate::api) link_only: bool,
    /// A close code of your own.
    #[serde(default = "code", deserialize_with = "whole")]
    #[schemars(range(min = 4000, max = 4999))]
    pub(in crate::api) code: u16,
    /// Why, for the client's developer: at most 123 bytes.
    #[serde(default)]
    #[schemars(length(max = 123))]
    pub(in crate::api) reason: String,
    /// Whether the client may come back by itself.
    #[serde(default)]
    pub(in crate::api) may_return: bool,
}

fn code() -> u16 {
    4000
}

/// Lets the rights of sessions go on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = one_whom)]
pub(in crate::api) struct Refresh {
    /// Whose: one session's.
    #[serde(default, deserialize_with = "there")]
    pub(in crate::api) session: Option<SessionName>,
    /// Whose: all sessions of a user.
    #[serde(default, deserialize_with = "there")]
    pub(in crate::api) user: Option<String>,
    /// Whose: all sessions that subscribe to a channel.
    #[serde(default, deserialize_with = "there")]
    pub(in crate::api) in_channel: Option<ChannelName>,
    /// Whose: everyone's.
    #[serde(default, deserialize_with = "there")]
    #[schemars(extend("const" = true))]
    pub(in crate::api) all: Option<bool>,
    /// For so long from now on, in seconds; without it for ever.
    #[serde(default, deserialize_with = "perhaps_whole")]
    #[schemars(range(max = SECONDS_MAX))]
    pub(in crate::api) expires_after_s: Option<u64>,
}

/// Calls a client, and answers with what it answers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = one_payload_or_args)]
pub(in crate::api) struct Call {
    /// Which session.
    pub(in crate::api) session: SessionName,
    /// By which link: the one of this scope, such as a namespace of Socket.IO. Sessions without it are left out. The
    /// number behind a session's name counts before it.
    #[schemars(length(max = 256))]
    pub(in crate::api) scope: Option<String>,
    /// What is called.
    #[schemars(length(max = 256))]
    pub(in crate::api) method: String,
    /// The payload: any JSON value. Its text is passed on as it stands.
    #[serde(default, deserialize_with = "there")]
    #[schemars(with = "Json")]
    pub(in crate::api) data: Option<Json>,
    /// The payload: what is said side by side, a JSON value each. To clients of Socket.IO they are an event's arguments, to others a list.
    #[serde(default, deserialize_with = "there")]
    #[schemars(with = "Vec<Json>")]
    pub(in crate::api) args: Option<Json>,
    /// The payload: text.
    #[serde(default, deserialize_with = "there")]
    pub(in crate::api) text: Option<String>,
    /// The payload: bytes, in base64 (RFC 4648 §4).
    #[serde(default, deserialize_with = "there")]
    #[schemars(regex(pattern = BASE64))]
    pub(in crate::api) base64: Option<String>,
    /// Whether objects in the JSON of the payload whose one member is `base64`, a text in base64 (RFC 4648 §4), stand for bytes.
    #[serde(default)]
    pub(in crate::api) binary: bool,
    /// How long the answer may take, in milliseconds. The server has a maximum of its own.
    #[serde(default = "deadline", deserialize_with = "whole")]
    #[schemars(range(min = 1, max = 4_294_967_295_u32))]
    pub(in crate::api) deadline_ms: u32,
}

fn deadline() -> u32 {
    5000
}

/// Calls several clients, and answers with what all of them answer.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = one_payload_and_whom)]
pub(in crate::api) struct CallAll {
    /// Whom: one session.
    #[serde(default, deserialize_with = "there")]
    pub(in crate::api) session: Option<SessionName>,
    /// Whom: all sessions of a user.
    #[serde(default, deserialize_with = "there")]
    pub(in crate::api) user: Option<String>,
    /// Whom: all sessions that subscribe to a channel.
    #[serde(default, deserialize_with = "there")]
    pub(in crate::api) in_channel: Option<ChannelName>,
    /// Whom: everyone.
    #[serde(default, deserialize_with = "there")]
    #[schemars(extend("const" = true))]
    pub(in crate::api) all: Option<bool>,
    /// By which link: the one of this scope, such as a namespace of Socket.IO. Sessions without it are left out. The
    /// number behind a session's name counts before it.
    #[schemars(length(max = 256))]
    pub(in crate::api) scope: Option<String>,
    /// What is called.
    #[schemars(length(max = 256))]
    pub(in crate::api) method: String,
    /// The payload: any JSON value. Its text is passed on as it stands.
    #[serde(default, deserialize_with = "there")]
    #[schemars(with = "Json")]
    pub(in crate::api) data: Option<Json>,
    /// The payload: what is said side by side, a JSON value each. To clients of Socket.IO they are an event's arguments, to others a list.
    #[serde(default, deserialize_with = "there")]
    #[schemars(with = "Vec<Json>")]
    pub(in crate::api) args: Option<Json>,
    /// The payload: text.
    #[serde(default, deserialize_with = "there")]
    pub(in crate::api) text: Option<String>,
    /// The payload: bytes, in base64 (RFC 4648 §4).
    #[serde(default, deserialize_with = "there")]
    #[schemars(regex(pattern = BASE64))]
    pub(in crate::api) base64: Option<String>,
    /// Whether objects in the JSON of the payload whose one member is `base64`, a text in base64 (RFC 4648 §4), stand for bytes.
    #[serde(default)]
    pub(in crate::api) binary: bool,
    /// Sessions that are not called; of a link's name the session counts.
    #[serde(default)]
    pub(in crate::api) except: Vec<SessionName>,
    /// Channels whose subscribers are not called: who is called by a link that hears one of them is left out.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub(in crate::api) except_channels: Vec<ChannelName>,
    /// How long the answers may take, in milliseconds. The server has a maximum of its own.
    #[serde(default = "deadline", deserialize_with = "whole")]
    #[schemars(range(min = 1, max = 4_294_967_295_u32))]
    pub(in crate::api) deadline_ms: u32,
}

/// Says something to clients alone, past all channels.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = one_payload_and_whom)]
pub(in crate::api) struct Tell {
    /// To whom: one session.
    #[serde(default, deserialize_with = "there")]
    pub(in crate::api) session: Option<SessionName>,
    /// To whom: all sessions of a user.
    #[serde(default, deserialize_with = "there")]
    pub(in crate::api) user: Option<String>,
    /// To whom: all sessions that subscribe to a channel.
    #[serde(default, deserialize_with = "there")]
    pub(in crate::api) in_channel: Option<ChannelName>,
    /// To whom: everyone.
    #[serde(default, deserialize_with = "there")]
    #[schemars(extend("const" = true))]
    pub(in crate::api) all: Option<bool>,
    /// By which link: the one of this scope, such as a namespace of Socket.IO. Sessions without it are left out. The
    /// number behind a session's name counts before it.
    #[schemars(length(max = 256))]
    pub(in crate::api) scope: Option<String>,
    /// A name for it, for clients whose language has such names.
    #[schemars(length(max = 256))]
    pub(in crate::api) event: Option<String>,
    /// The payload: any JSON value. Its text is passed on as it stands.
    #[serde(default, deserialize_with = "there")]
    #[schemars(with = "Json")]
    pub(in crate::api) data: Option<Json>,
    /// The payload: what is said side by side, a JSON value each. To clients of Socket.IO they are an event's arguments, to others a list.
    #[serde(default, deserialize_with = "there")]
    #[schemars(with = "Vec<Json>")]
    pub(in crate::api) args: Option<Json>,
    /// The payload: text.
    #[serde(default, deserialize_with = "there")]
    pub(in crate::api) text: Option<String>,
    /// The payload: bytes, in base64 (RFC 4648 §4).
    #[serde(default, deserialize_with = "there")]
    #[schemars(regex(pattern = BASE64))]
    pub(in crate::api) base64: Option<String>,
    /// Whether objects in the JSON of the payload whose one member is `base64`, a text in base64 (RFC 4648 §4), stand for bytes.
    #[serde(default)]
    pub(in crate::api) binary: bool,
}

fn one_payload_and_whom(schema: &mut Schema) {
    one_payload_or_args(schema);
    let payload = schema.remove("oneOf");
    one_whom(schema);
    let whom = schema.remove("oneOf");
    let both = [payload, whom].into_iter().flatten().map(|it| serde_json::json!({ "oneOf": it }));
    schema.insert("allOf".into(), both.collect());
}
