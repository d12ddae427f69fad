//! The commands as callers write them. What stands in the comments here is what the OpenAPI document says.

mod clients;

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema};
use serde::Deserialize;

use super::values::{ChannelName, Json, Place, SessionName, perhaps_whole, there, whole};

pub(super) use clients::{Call, CallAll, Disconnect, Refresh, Subscribe, Tell, Unsubscribe};

/// Ten years: no clock overflows by it.
pub(super) const SECONDS_MAX: u64 = 315_360_000;

fn one_payload_or_args(schema: &mut Schema) {
    one_of(schema, &["data", "args", "text", "base64"]);
}

fn one_whom(schema: &mut Schema) {
    one_of(schema, &["session", "user", "in_channel", "all"]);
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
#[schemars(transform = one_payload_or_args)]
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
    /// Whether objects in the JSON of the payload whose one member is `base64`, a text in base64 (RFC 4648 §4), stand for bytes.
    #[serde(default)]
    pub(super) binary: bool,
    /// The payload: what is said side by side, a JSON value each. To clients of Socket.IO they are an event's arguments, to others a list.
    #[serde(default, deserialize_with = "there")]
    #[schemars(with = "Vec<Json>")]
    pub(super) args: Option<Json>,
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
    /// Sessions that are not to hear it; of a link's name the session counts.
    #[serde(default)]
    pub(super) except: Vec<SessionName>,
    /// Whether the answer tells to how many subscribers it was delivered.
    #[serde(default)]
    pub(super) receipt: bool,
    /// Whether it goes past the history, to those alone who listen now.
    #[serde(default)]
    pub(super) transient: bool,
    /// Who subscribes to one of these is not to hear it either.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub(super) except_channels: Vec<ChannelName>,
    /// Whether it is for those alone who can take it at once: whoever has no connection for the moment, or has not read what was
    /// said before, goes without. It goes past the history.
    #[serde(default)]
    pub(super) volatile: bool,
}

/// The alphabet of RFC 4648 §4, with or without padding.
const BASE64: &str = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?$";

/// Says the same in several channels; each has its own result.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = one_payload_or_args)]
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
    /// Whether objects in the JSON of the payload whose one member is `base64`, a text in base64 (RFC 4648 §4), stand for bytes.
    #[serde(default)]
    pub(super) binary: bool,
    /// The payload: what is said side by side, a JSON value each. To clients of Socket.IO they are an event's arguments, to others a list.
    #[serde(default, deserialize_with = "there")]
    #[schemars(with = "Vec<Json>")]
    pub(super) args: Option<Json>,
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
    /// Sessions that are not to hear it; of a link's name the session counts.
    #[serde(default)]
    pub(super) except: Vec<SessionName>,
    /// Whether the answer tells to how many subscribers it was delivered.
    #[serde(default)]
    pub(super) receipt: bool,
    /// Whether it goes past the history, to those alone who listen now.
    #[serde(default)]
    pub(super) transient: bool,
    /// Who subscribes to one of these is not to hear it either.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub(super) except_channels: Vec<ChannelName>,
    /// Whether it is for those alone who can take it at once: whoever has no connection for the moment, or has not read what was
    /// said before, goes without. It goes past the history.
    #[serde(default)]
    pub(super) volatile: bool,
    /// Whether who subscribes to several of the channels hears it once.
    #[serde(default)]
    pub(super) once_each: bool,
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
    /// Of those who subscribe to this channel; each link of them that does is an entry. With `user`, those of them who are that.
    pub(super) in_channel: Option<ChannelName>,
}

/// Tells of one session: whose it is and what it hears.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Session {
    /// Which one.
    pub(super) session: SessionName,
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

/// Tells how the server is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Info {}
