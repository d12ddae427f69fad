//! The commands as callers write them. What stands in the comments here is what the OpenAPI document says.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema};
use serde::Deserialize;

use super::values::{ChannelName, Json, Place, SessionName, perhaps_whole, there, whole};

/// Ten years: no clock overflows by it.
pub(super) const SECONDS_MAX: u64 = 315_360_000;

fn one_payload(schema: &mut Schema) {
    one_of(schema, &["data", "text", "base64"]);
}

fn one_whom(schema: &mut Schema) {
    one_of(schema, &["session", "user", "all"]);
}

fn one_revoked(schema: &mut Schema) {
    one_of(schema, &["user", "token_id"]);
    // When a token was issued says nothing where its `jti` names it.
    let cases = serde_json::json!([
        { "required": ["user"], "not": { "required": ["token_id"] } },
        {
            "required": ["token_id"],
            "not": { "required": ["user"] },
            "properties": { "issued_before": { "type": "null" } }
        }
    ]);
    schema.insert("oneOf".into(), cases);
}

fn one_of(schema: &mut Schema, fields: &[&str]) {
    let cases = fields.iter().map(|it| serde_json::json!({ "required": [it] }));
    schema.insert("oneOf".into(), cases.collect());
    let properties = schema.get_mut("properties").and_then(|it| it.as_object_mut());
    // `null` counts as absent where a field is optional; these say which case it is.
    for field in properties.into_iter().flatten().filter(|it| fields.contains(&it.0.as_str())) {
        if let Some(kind) = field.1.get_mut("type")
            && let Some(first) = kind.as_array().and_then(|it| it.first()).cloned()
        {
            *kind = first;
        }
    }
}

/// Says something to everyone in a channel.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = one_payload)]
pub(super) struct Publish {
    /// Where.
    pub(super) channel: ChannelName,
    /// The payload: any JSON value. Its text is passed on as it stands.
    #[serde(default, deserialize_with = "there")]
    #[schemars(with = "Json")]
    pub(super) data: Option<Json>,
    /// The payload: text.
    #[serde(default, deserialize_with = "there")]
    pub(super) text: Option<String>,
    /// The payload: bytes, in base64 (RFC 4648 §4).
    #[serde(default, deserialize_with = "there")]
    #[schemars(regex(pattern = BASE64))]
    pub(super) base64: Option<String>,
    /// A name for it, for clients whose language has such names.
    #[schemars(length(max = 256))]
    pub(super) event: Option<String>,
    /// Said again with the same identifier within the namespace's window it is not said twice, and answered alike. The
    /// header `Idempotency-Key` does the same.
    #[schemars(length(max = 256))]
    pub(super) id: Option<String>,
    /// What it is about: where only the latest of a key is kept, it replaces an older one of the same key.
    #[schemars(length(max = 256))]
    pub(super) key: Option<String>,
    /// Short facts about it, by which subscribers can choose.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 16, "propertyNames" = {"maxLength": 256}, "additionalProperties" = {"type": "string", "maxLength": 256}))]
    pub(super) tags: BTreeMap<String, String>,
    /// Sessions that are not to hear it.
    #[serde(default)]
    pub(super) except: Vec<SessionName>,
    /// Whether the answer tells to how many subscribers it was delivered.
    #[serde(default)]
    pub(super) receipt: bool,
    /// Whether it goes past the history, to those alone who listen now.
    #[serde(default)]
    pub(super) transient: bool,
}

/// The alphabet of RFC 4648 §4, with or without padding.
const BASE64: &str = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?$";

/// Says the same in several channels; each has its own result.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = one_payload)]
pub(super) struct Broadcast {
    /// Where.
    #[schemars(length(min = 1, max = 1000))]
    pub(super) channels: Vec<ChannelName>,
    /// The payload: any JSON value. Its text is passed on as it stands.
    #[serde(default, deserialize_with = "there")]
    #[schemars(with = "Json")]
    pub(super) data: Option<Json>,
    /// The payload: text.
    #[serde(default, deserialize_with = "there")]
    pub(super) text: Option<String>,
    /// The payload: bytes, in base64 (RFC 4648 §4).
    #[serde(default, deserialize_with = "there")]
    #[schemars(regex(pattern = BASE64))]
    pub(super) base64: Option<String>,
    /// A name for it, for clients whose language has such names.
    #[schemars(length(max = 256))]
    pub(super) event: Option<String>,
    /// As in `publish`, in each of the channels.
    #[schemars(length(max = 256))]
    pub(super) id: Option<String>,
    /// As in `publish`.
    #[schemars(length(max = 256))]
    pub(super) key: Option<String>,
    /// As in `publish`.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 16, "propertyNames" = {"maxLength": 256}, "additionalProperties" = {"type": "string", "maxLength": 256}))]
    pub(super) tags: BTreeMap<String, String>,
    /// Sessions that are not to hear it.
    #[serde(default)]
    pub(super) except: Vec<SessionName>,
    /// Whether the answer tells to how many subscribers it was delivered.
    #[serde(default)]
    pub(super) receipt: bool,
    /// Whether it goes past the history, to those alone who listen now.
    #[serde(default)]
    pub(super) transient: bool,
}

/// Tells what was said in a channel.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct History {
    /// Where.
    pub(super) channel: ChannelName,
    /// At most so many publications; 0 asks for the position alone. The server has a maximum of its own.
    #[serde(default = "page", deserialize_with = "whole")]
    #[schemars(range(max = 4_294_967_295_u32))]
    pub(super) limit: u32,
    /// Behind this position (before it, if `reverse`); without one from the beginning (the end).
    pub(super) since: Option<Place>,
    /// Whether the newest comes first.
    #[serde(default)]
    pub(super) reverse: bool,
}

fn page() -> u32 {
    100
}

/// Forgets what was said in a channel. Subscribers go on; who comes back later learns that something is lost.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HistoryRemove {
    /// Where.
    pub(super) channel: ChannelName,
}

/// Tells who is in a channel.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Presence {
    /// Where.
    pub(super) channel: ChannelName,
}

/// Tells how many are in a channel.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PresenceStats {
    /// Where.
    pub(super) channel: ChannelName,
}

/// Lists channels that have subscribers, by name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Channels {
    /// How their names begin.
    #[serde(default)]
    pub(super) prefix: String,
    /// At most so many.
    #[serde(default = "list", deserialize_with = "whole")]
    #[schemars(range(min = 1, max = 10_000))]
    pub(super) limit: u32,
}

fn list() -> u32 {
    1000
}

/// Lists sessions.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Sessions {
    /// Of this user; otherwise of all.
    pub(super) user: Option<String>,
    /// At most so many.
    #[serde(default = "list", deserialize_with = "whole")]
    #[schemars(range(min = 1, max = 10_000))]
    pub(super) limit: u32,
}

/// Tells of one session: whose it is and what it hears.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Session {
    /// Which one.
    pub(super) session: SessionName,
}

/// Subscribes sessions to a channel. Who is subscribed already is left as it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = one_whom)]
pub(super) struct Subscribe {
    /// Whom: one session.
    #[serde(default, deserialize_with = "there")]
    pub(super) session: Option<SessionName>,
    /// Whom: all sessions of a user.
    #[serde(default, deserialize_with = "there")]
    pub(super) user: Option<String>,
    /// Whom: everyone.
    #[serde(default, deserialize_with = "there")]
    #[schemars(extend("const" = true))]
    pub(super) all: Option<bool>,
    /// To what.
    pub(super) channel: ChannelName,
    /// What others see of the subscription in presence: any JSON value.
    #[serde(default, deserialize_with = "there")]
    #[schemars(with = "Json")]
    pub(super) info: Option<Json>,
    /// What the client is told: any JSON value.
    #[serde(default, deserialize_with = "there")]
    #[schemars(with = "Json")]
    pub(super) data: Option<Json>,
    /// After which time the right ends, in seconds; without it never.
    #[serde(default, deserialize_with = "perhaps_whole")]
    #[schemars(range(max = SECONDS_MAX))]
    pub(super) expires_after_s: Option<u64>,
    /// Whether the client hears who comes and goes; without it the namespace's settings say so.
    pub(super) join_leave: Option<bool>,
    /// Begin behind this position, if the history still has it.
    pub(super) since: Option<Place>,
}

/// Ends subscriptions.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = one_whom)]
pub(super) struct Unsubscribe {
    /// Whose: one session's.
    #[serde(default, deserialize_with = "there")]
    pub(super) session: Option<SessionName>,
    /// Whose: those of a user.
    #[serde(default, deserialize_with = "there")]
    pub(super) user: Option<String>,
    /// Whose: everyone's.
    #[serde(default, deserialize_with = "there")]
    #[schemars(extend("const" = true))]
    pub(super) all: Option<bool>,
    /// To what.
    pub(super) channel: ChannelName,
}

/// Sends sessions away.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = one_whom)]
pub(super) struct Disconnect {
    /// Whom: one session.
    #[serde(default, deserialize_with = "there")]
    pub(super) session: Option<SessionName>,
    /// Whom: all sessions of a user.
    #[serde(default, deserialize_with = "there")]
    pub(super) user: Option<String>,
    /// Whom: everyone.
    #[serde(default, deserialize_with = "there")]
    #[schemars(extend("const" = true))]
    pub(super) all: Option<bool>,
    /// A close code of your own.
    #[serde(default = "code", deserialize_with = "whole")]
    #[schemars(range(min = 4000, max = 4999))]
    pub(super) code: u16,
    /// Why, for the client's developer: at most 123 bytes.
    #[serde(default)]
    #[schemars(length(max = 123))]
    pub(super) reason: String,
    /// Whether the client may come back by itself.
    #[serde(default)]
    pub(super) may_return: bool,
}

fn code() -> u16 {
    4000
}

/// Lets the rights of sessions go on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = one_whom)]
pub(super) struct Refresh {
    /// Whose: one session's.
    #[serde(default, deserialize_with = "there")]
    pub(super) session: Option<SessionName>,
    /// Whose: all sessions of a user.
    #[serde(default, deserialize_with = "there")]
    pub(super) user: Option<String>,
    /// Whose: everyone's.
    #[serde(default, deserialize_with = "there")]
    #[schemars(extend("const" = true))]
    pub(super) all: Option<bool>,
    /// For so long from now on, in seconds; without it for ever.
    #[serde(default, deserialize_with = "perhaps_whole")]
    #[schemars(range(max = SECONDS_MAX))]
    pub(super) expires_after_s: Option<u64>,
}

/// Revokes tokens before their time. The sessions that came with them are sent away, and none comes in with them. It is
/// remembered in memory, to the end of the server.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = one_revoked)]
pub(super) struct Revoke {
    /// Whose: the older tokens of this user (`sub`).
    #[serde(default, deserialize_with = "there")]
    #[schemars(length(min = 1))]
    pub(super) user: Option<String>,
    /// Which: the token with this `jti`.
    #[serde(default, deserialize_with = "there")]
    #[schemars(length(min = 1))]
    pub(super) token_id: Option<String>,
    /// With `user`: which are older, in seconds since 1970: those whose `iat` is less, and those without `iat`. Without
    /// it all that were issued up to and in this second.
    #[serde(default, deserialize_with = "perhaps_whole")]
    #[schemars(range(max = 9_007_199_254_740_991_u64))]
    pub(super) issued_before: Option<u64>,
    /// When the last of them expires (`exp`), in seconds since 1970: then they are no good anyway, and are forgotten here.
    /// Without it they are remembered to the end of the server.
    #[serde(default, deserialize_with = "perhaps_whole")]
    #[schemars(range(max = 9_007_199_254_740_991_u64))]
    pub(super) until: Option<u64>,
}

/// Calls a client, and answers with what it answers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = one_payload)]
pub(super) struct Call {
    /// Which session.
    pub(super) session: SessionName,
    /// What is called.
    #[schemars(length(max = 256))]
    pub(super) method: String,
    /// The payload: any JSON value. Its text is passed on as it stands.
    #[serde(default, deserialize_with = "there")]
    #[schemars(with = "Json")]
    pub(super) data: Option<Json>,
    /// The payload: text.
    #[serde(default, deserialize_with = "there")]
    pub(super) text: Option<String>,
    /// The payload: bytes, in base64 (RFC 4648 §4).
    #[serde(default, deserialize_with = "there")]
    #[schemars(regex(pattern = BASE64))]
    pub(super) base64: Option<String>,
    /// How long the answer may take, in milliseconds. The server has a maximum of its own.
    #[serde(default = "deadline", deserialize_with = "whole")]
    #[schemars(range(min = 1, max = 4_294_967_295_u32))]
    pub(super) deadline_ms: u32,
}

fn deadline() -> u32 {
    5000
}

/// Says something to clients alone, past all channels.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = one_payload_and_whom)]
pub(super) struct Tell {
    /// To whom: one session.
    #[serde(default, deserialize_with = "there")]
    pub(super) session: Option<SessionName>,
    /// To whom: all sessions of a user.
    #[serde(default, deserialize_with = "there")]
    pub(super) user: Option<String>,
    /// To whom: everyone.
    #[serde(default, deserialize_with = "there")]
    #[schemars(extend("const" = true))]
    pub(super) all: Option<bool>,
    /// The payload: any JSON value. Its text is passed on as it stands.
    #[serde(default, deserialize_with = "there")]
    #[schemars(with = "Json")]
    pub(super) data: Option<Json>,
    /// The payload: text.
    #[serde(default, deserialize_with = "there")]
    pub(super) text: Option<String>,
    /// The payload: bytes, in base64 (RFC 4648 §4).
    #[serde(default, deserialize_with = "there")]
    #[schemars(regex(pattern = BASE64))]
    pub(super) base64: Option<String>,
}

fn one_payload_and_whom(schema: &mut Schema) {
    one_payload(schema);
    let payload = schema.remove("oneOf");
    one_whom(schema);
    let whom = schema.remove("oneOf");
    let both = [payload, whom].into_iter().flatten().map(|it| serde_json::json!({ "oneOf": it }));
    schema.insert("allOf".into(), both.collect());
}

/// Tells how the server is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Info {}
