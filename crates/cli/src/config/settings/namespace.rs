//! Namespaces: what may be done in some of the channels, and by whom.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    pub(crate) history_size: usize,
    /// How long a publication is remembered.
    pub(crate) history_ttl: Time,
    /// How long a channel that nobody uses is remembered behind its last publication, so that a client that comes back
    /// later is told honestly whether it missed something.
    pub(crate) epoch_ttl: Time,
    /// What a client that comes back, or a new one, may have of the history.
    pub(crate) recovery: Recovery,
    /// Whether it is watched that no subscriber misses a publication, also if the subscriber did not ask for it.
    pub(crate) positioned: bool,
    /// Whether a channel knows who is in it.
    pub(crate) presence: bool,
    /// Whether subscribers who want it are told who comes and goes.
    pub(crate) join_leave: bool,
    /// Whether subscribers are told so although they did not ask for it.
    pub(crate) force_join_leave: bool,
    /// Whether publications go out as differences (fossil deltas) to clients that ask for them.
    pub(crate) delta: bool,
    /// Whether publications arrive at those who subscribed to a pattern.
    pub(crate) patterns: bool,
    /// Whether a publication tells who said it.
    pub(crate) publisher: bool,
    /// What a publication may carry; others are refused.
    pub(crate) payloads: Payloads,
    /// How long a publication's idempotency key is remembered: a second publication with it is answered as the first
    /// was, and not published. `off` looks at no keys.
    pub(crate) idempotency_ttl: Time,
    /// What becomes of a subscriber for whom more than `queue_max` waits.
    pub(crate) slow_readers: SlowReaders,
    /// Publications, or keys, that are kept for a slow reader with `drop-oldest` and `keep-latest`; past it the oldest
    /// goes.
    pub(crate) kept_max: usize,
    /// Bytes that wait for a subscriber's connection; past it: `slow_readers`. Without it `limits.connection.queue_max`
    /// counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "256KiB")]
    pub(crate) queue_max: Option<Size>,
    /// Subscribers of a channel at the same time; past it the next one is refused.
    pub(crate) subscribers_max: usize,
    /// Publications in a channel, with as many at once; past it the next one is refused.
    pub(crate) publish_rate: Rate,
    /// Who may do what.
    pub(crate) rights: NamespaceRights,
}

impl Default for Namespace {
    fn default() -> Self {
        let (nothing, open) = (taiwa_hub::Namespace::default(), taiwa_hub::Namespace::open());
        let some = |it: Duration| Time(Some(it));
        Self {
            name: String::new(),
            history_size: nothing.history_size,
            history_ttl: some(open.history_ttl),
            epoch_ttl: some(nothing.epoch_ttl),
            recovery: Recovery::Off,
            positioned: nothing.positioned,
            presence: nothing.presence,
            join_leave: nothing.join_leave,
            force_join_leave: nothing.force_join_leave,
            delta: nothing.delta,
            patterns: nothing.patterns,
            publisher: nothing.publisher,
            payloads: Payloads::Any,
            idempotency_ttl: some(open.idempotency),
            slow_readers: SlowReaders::Disconnect,
            kept_max: 100,
            queue_max: None,
            subscribers_max: nothing.subscribers_max,
            publish_rate: Rate(nothing.publications_per_second),
            rights: NamespaceRights::default(),
        }
    }
}

/// What a subscriber may have of the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Recovery {
    /// Nothing.
    Off,
    /// What it missed, as far as the history reaches.
    Stream,
    /// The last publication: the channel is a value that changes.
    Last,
}

/// What a publication carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Payloads {
    /// JSON, text or bytes.
    Any,
    /// JSON; a text is taken for JSON if it is.
    Json,
    /// Bytes.
    Binary,
}

/// What becomes of a subscriber that reads too slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SlowReaders {
    /// It is disconnected, and may come back and recover.
    Disconnect,
    /// The newest are kept for it, and it is told that it missed some.
    DropOldest,
    /// The newest of each key is kept for it.
    KeepLatest,
    /// Nothing is kept; once it has read, it gets what the history has, or is told that it missed some.
    Pause,
}

/// Who may do what in a namespace.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct NamespaceRights {
    /// Who may hear a channel.
    pub(crate) subscribe: Who,
    /// Who may publish.
    pub(crate) publish: Who,
    /// Who may ask who is in a channel.
    pub(crate) presence: Who,
    /// Who may ask what was published.
    pub(crate) history: Who,
}

impl Default for NamespaceRights {
    fn default() -> Self {
        Self {
            subscribe: Who::Authenticated,
            publish: Who::None,
            presence: Who::Subscribers,
            history: Who::Subscribers,
        }
    }
}

/// Who may do what belongs to no channel.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Rights {
    /// Who may subscribe to patterns, which reach into namespaces with `patterns = true`.
    pub(crate) patterns: Who,
    /// Who may call the app.
    pub(crate) call: Who,
    /// Who may say something to the app.
    pub(crate) tell: Who,
}

impl Default for Rights {
    fn default() -> Self {
        Self { patterns: Who::All, call: Who::App, tell: Who::App }
    }
}

/// Who may do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Who {
    /// Everyone who was let in, also the anonymous.
    All,
    /// Whoever has a user.
    Authenticated,
    /// Who is subscribed to the channel.
    Subscribers,
    /// The users that stand in the channel's name behind a `#`, as `dialogue#ada,bob`.
    Named,
    /// Who shows a token for the channel.
    Token,
    /// Whom the app lets.
    App,
    /// Nobody but the API.
    None,
}
