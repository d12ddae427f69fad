//! Namespaces: what may be done in some of the channels, and by whom.

use std::{borrow::Cow, fmt, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::Most;
use crate::{
    args::{Size, Time},
    config::values::Rate,
};

/// What may be done in some of the channels.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Namespace {
    /// The part of its channels' names before the first colon; empty for channels without a colon.
    pub(crate) name: String,
    /// Publications that a channel remembers, 0 for none; past it the oldest is forgotten.
    pub(crate) history_size: u32,
    /// How long a publication is remembered.
    pub(crate) history_ttl: Time,
    /// Whether a channel knows who is in it.
    pub(crate) presence: bool,
    /// Whether subscribers are told who comes and goes.
    pub(crate) join_leave: bool,
    /// Whether a client that comes back gets what it missed, as far as the history reaches, without asking for it.
    pub(crate) recover: bool,
    /// Whether it is watched that no subscriber misses a publication; one that did is sent away to recover.
    pub(crate) positioned: bool,
    /// Whether a new subscriber gets the last publication first.
    pub(crate) cache: bool,
    /// Whether publications go out as differences (fossil deltas) to clients that ask for them.
    pub(crate) delta: bool,
    /// Kinds of payload that may be published; others are refused.
    pub(crate) payloads: Vec<PayloadKind>,
    /// How long a publication's idempotency key is remembered: a second publication with it is answered as the first
    /// was, and not published.
    pub(crate) idempotency_ttl: Time,
    /// What becomes of a subscriber for whom more than `queue_max` waits.
    pub(crate) slow_readers: SlowReaders,
    /// Bytes of a channel that wait for one subscriber; past it: `slow_readers`.
    pub(crate) queue_max: Size,
    /// Subscribers of a channel at the same time; past it the next one is refused.
    pub(crate) subscribers_max: Most,
    /// Publications in a channel; past it the next one is refused.
    pub(crate) publish_rate: Rate,
    /// Who may do what: `all`, also the anonymous; `authenticated`, whoever has a user; `subscribers` of the channel;
    /// `named`, the users that stand in the channel's name behind a `#`, with commas between them; `app`, whom the
    /// program behind the webhooks lets; `none`; or a list of users.
    pub(crate) rights: Rights,
}

impl Default for Namespace {
    fn default() -> Self {
        let minutes = |it: u64| Time(Some(Duration::from_secs(60 * it)));
        Self {
            name: String::new(),
            history_size: 0,
            history_ttl: minutes(5),
            presence: false,
            join_leave: false,
            recover: false,
            positioned: false,
            cache: false,
            delta: false,
            payloads: vec![PayloadKind::Json, PayloadKind::Text, PayloadKind::Binary],
            idempotency_ttl: minutes(5),
            slow_readers: SlowReaders::default(),
            queue_max: Size(1 << 20),
            subscribers_max: Most(None),
            publish_rate: Rate(None),
            rights: Rights::default(),
        }
    }
}

/// What a publication carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PayloadKind {
    /// A JSON text.
    Json,
    /// Text that need not be JSON.
    Text,
    /// Bytes.
    Binary,
}

/// What becomes of a subscriber that reads too slowly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SlowReaders {
    /// It is sent away, and may come back and recover.
    #[default]
    Disconnect,
    /// The oldest of what waits is dropped.
    DropOldest,
    /// Of what waits, the newest of each key is kept.
    KeepLatest,
    /// It gets no more until it has read what waits, and then what the history has.
    Pause,
}

/// Who may do what in a namespace.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Rights {
    /// Who may hear a channel. A token for the channel is a right of its own.
    pub(crate) subscribe: Who,
    /// Who may publish.
    pub(crate) publish: Who,
    /// Who may ask who is in a channel.
    pub(crate) presence: Who,
    /// Who may ask what was published.
    pub(crate) history: Who,
    /// Who may call the app.
    pub(crate) call: Who,
}

impl Default for Rights {
    fn default() -> Self {
        Self {
            subscribe: Who::Authenticated,
            publish: Who::None,
            presence: Who::Subscribers,
            history: Who::Subscribers,
            call: Who::App,
        }
    }
}

/// Who may do something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// Everyone, also the anonymous.
    All,
    /// Whoever has a user.
    Authenticated,
    /// Who is subscribed to the channel.
    Subscribers,
    /// The users that stand in the channel's name behind a `#`.
    Named,
    /// Whom the app lets.
    App,
    /// Nobody.
    None,
    /// These users.
    Users(Vec<String>),
}

const WORDS: [(&str, Who); 6] = [
    ("all", Who::All),
    ("authenticated", Who::Authenticated),
    ("subscribers", Who::Subscribers),
    ("named", Who::Named),
    ("app", Who::App),
    ("none", Who::None),
];

impl Serialize for Who {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self, WORDS.iter().find(|it| it.1 == *self)) {
            (Self::Users(users), _) => users.serialize(serializer),
            (_, Some((word, _))) => serializer.serialize_str(word),
            (_, None) => unreachable!("every other right has its word"),
        }
    }
}

impl<'de> Deserialize<'de> for Who {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WhoVisitor)
    }
}

struct WhoVisitor;

impl<'de> de::Visitor<'de> for WhoVisitor {
    type Value = Who;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("all, authenticated, subscribers, named, app, none or a list of users")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Who, E> {
        let found = WORDS.into_iter().find(|it| it.0 == text).map(|it| it.1);
        found.ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Who, A::Error> {
        let mut users = Vec::new();
        while let Some(user) = list.next_element()? {
            users.push(user);
        }
        Ok(Who::Users(users))
    }
}

impl JsonSchema for Who {
    fn schema_name() -> Cow<'static, str> {
        "who".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "who",
            "anyOf": [
                { "enum": WORDS.map(|it| it.0) },
                { "type": "array", "items": { "type": "string" } },
            ],
        })
    }
}
