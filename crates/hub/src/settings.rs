//! What is allowed, kept and bounded: namespaces, rights, limits.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use taiwa_core::Channel;

use crate::tags::FilterLimits;

/// Everything that can be set about a hub. The same for all its shards.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// What holds for channels without a namespace of their own: those without `:` in their name.
    pub without_namespace: Arc<Namespace>,
    /// What holds for the channels of a namespace, by what stands before the first `:` of their name.
    pub namespaces: BTreeMap<Box<str>, Arc<Namespace>>,
    /// What holds for channels whose name has a `:` behind no known namespace. `None` refuses them.
    pub unknown_namespaces: Option<Arc<Namespace>>,
    /// Bounds.
    pub limits: Limits,
    /// Who may subscribe to patterns. What arrives by one is from namespaces with [`Namespace::patterns`] alone.
    pub patterns: Rule,
    /// Who may call the app.
    pub call: Rule,
    /// Who may say something to the app.
    pub tell: Rule,
    /// How long the hub waits for the app's answer, then refuses.
    pub app_deadline: Duration,
    /// Between the end of a right and the end of what rests on it: the time for a fresh token to arrive.
    pub expiry_grace: Duration,
    /// Whether the app is told when a channel gets its first subscriber and loses its last.
    pub tell_occupied: bool,
    /// Whether the app is told when a session ends.
    pub tell_disconnected: bool,
}

impl Settings {
    /// Returns what holds for a channel, or `None` if there is no such namespace.
    pub fn namespace(&self, channel: &Channel) -> Option<&Arc<Namespace>> {
        match channel.namespace() {
            None => Some(&self.without_namespace),
            Some(name) => self.namespaces.get(name).or(self.unknown_namespaces.as_ref()),
        }
    }

    /// Returns the settings of a server that anyone may use for anything: no secrets, no namespaces, all rights. It is
    /// what `taiwa serve` starts with on loopback.
    pub fn open() -> Self {
        let namespace = Arc::new(Namespace::open());
        Self {
            without_namespace: namespace.clone(),
            unknown_namespaces: Some(namespace),
            patterns: Rule::All,
            call: Rule::App,
            tell: Rule::App,
            app_deadline: Duration::from_secs(5),
            expiry_grace: Duration::from_secs(25),
            ..Self::default()
        }
    }
}

/// What holds for the channels of a namespace.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Namespace {
    /// How many publications of a channel are kept; 0 keeps none. An older one goes when a newer comes.
    pub history_size: usize,
    /// How long one is kept.
    pub history_ttl: Duration,
    /// How long a channel that nobody uses keeps its epoch behind its last publication, so that whoever comes back later
    /// learns honestly whether it missed something.
    pub epoch_ttl: Duration,
    /// Whether a subscriber may ask for what it missed, or for the last value.
    pub recovery: Recovery,
    /// Whether subscribers are told of gaps although they did not ask for it.
    pub positioned: bool,
    /// Whether the channel knows who is in it.
    pub presence: bool,
    /// Whether subscribers who want it hear who comes and goes.
    pub join_leave: bool,
    /// Whether subscribers who want it hear it although they did not ask for it.
    pub force_join_leave: bool,
    /// Whether deltas are made for subscribers who take them.
    pub delta: bool,
    /// Whether publications arrive at subscribers of patterns, if [`Namespace::subscribe`] lets those in, too: it is
    /// [`Rule::All`], or [`Rule::Users`] and so is [`Settings::patterns`].
    pub patterns: bool,
    /// Within which time a publication with the same identifier is not said again; zero turns this off.
    pub idempotency: Duration,
    /// What payloads may be.
    pub payloads: Payloads,
    /// Whether a publication tells who said it.
    pub publisher: bool,
    /// Who may hear.
    pub subscribe: Rule,
    /// Who may speak.
    pub publish: Rule,
    /// Who may ask who is there.
    pub presence_rule: Rule,
    /// Who may read what was said.
    pub history_rule: Rule,
    /// What happens to a subscriber that reads too slowly.
    pub slow: Slow,
    /// Bytes that may wait for a subscriber's connection before [`Namespace::slow`] is done.
    pub queue_bytes_max: usize,
    /// How long a publisher is held up for a subscriber for whose connection more than half of
    /// [`Namespace::queue_bytes_max`] waits: the publisher's connection is not read meanwhile. Zero holds nobody up, and
    /// nobody is held up for one who stays behind for longer.
    pub hold: Duration,
    /// Subscribers of a channel; one more is refused.
    pub subscribers_max: usize,
    /// Publications of a channel a second, with as many at once; more are refused. Zero means no such limit.
    pub publications_per_second: u32,
}

/// What a subscriber may have back.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Recovery {
    /// Nothing.
    #[default]
    Off,
    /// What was said behind a position, as far as the history goes.
    Stream,
    /// The last publication: the channel is a value that changes.
    Last,
}

/// What payloads may be in a channel; others are refused.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Payloads {
    /// Anything. A text of a dialect that has no JSON of its own stays a text.
    #[default]
    Any,
    /// JSON alone: a dialect whose texts may be JSON says which are.
    Json,
    /// Bytes.
    Binary,
}

/// Who may do something.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Rule {
    /// Nobody but the server's own API.
    #[default]
    Nobody,
    /// Everyone who was let in.
    All,
    /// Who has a user.
    Users,
    /// Who is subscribed to the channel.
    Subscribers,
    /// Users whose name stands in the channel's behind `#`, separated by commas: `dialogue#ada,bob`.
    Named,
    /// Who shows a token for the channel. For what is not subscribing: who is subscribed, where one subscribes by a token.
    Token,
    /// Whom the app lets.
    App,
}

/// What happens to a subscriber that reads too slowly: more waits for it than [`Namespace::queue_bytes_max`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Slow {
    /// It is sent away; it may come back and recover.
    #[default]
    Disconnect,
    /// So many publications are kept for it; of more the oldest is dropped, and it is told that it missed some.
    DropOldest(usize),
    /// Of each key the latest publication is kept for it, for so many keys; beyond that the oldest key is dropped.
    KeepLatest(usize),
    /// Nothing is kept. Once it has read, it gets what the history has, or is told that it missed some.
    Pause,
}

impl Namespace {
    /// Tells whether publications arrive at subscribers of patterns whom this rule let in: only where those might subscribe
    /// to the channel itself, too.
    pub(crate) fn is_open_to(&self, patterns: &Rule) -> bool {
        self.patterns
            && match self.subscribe {
                Rule::All => true,
                Rule::Users => *patterns == Rule::Users,
                _ => false,
            }
    }

    /// Returns what holds where anyone may do anything, with a short history.
    pub fn open() -> Self {
        Self {
            history_size: 100,
            history_ttl: Duration::from_secs(300),
            recovery: Recovery::Stream,
            presence: true,
            join_leave: true,
            patterns: true,
            publisher: true,
            subscribe: Rule::All,
            publish: Rule::All,
            presence_rule: Rule::All,
            history_rule: Rule::All,
            idempotency: Duration::from_secs(300),
            hold: Duration::from_secs(1),
            ..Self::default()
        }
    }
}

impl Default for Namespace {
    /// Nothing is kept and nobody may do anything.
    fn default() -> Self {
        Self {
            history_size: 0,
            history_ttl: Duration::ZERO,
            epoch_ttl: Duration::from_secs(3600),
            recovery: Recovery::Off,
            positioned: false,
            presence: false,
            join_leave: false,
            force_join_leave: false,
            delta: false,
            patterns: false,
            idempotency: Duration::ZERO,
            payloads: Payloads::Any,
            publisher: false,
            subscribe: Rule::Nobody,
            publish: Rule::Nobody,
            presence_rule: Rule::Nobody,
            history_rule: Rule::Nobody,
            slow: Slow::Disconnect,
            queue_bytes_max: 1 << 20,
            hold: Duration::ZERO,
            subscribers_max: 1 << 20,
            publications_per_second: 0,
        }
    }
}

/// Bounds of a hub. Each has one consequence.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// Sessions on one shard; one more is sent away.
    pub sessions_max: u32,
    /// Sessions of one user; one more is sent away.
    pub user_sessions_max: usize,
    /// Subscriptions of one session; one more is refused.
    pub subscriptions_max: usize,
    /// Links of one session; one more is refused.
    pub links_max: usize,
    /// Commands of one session a second, with twice as many at once; who sends more is sent away. 0, the default, is no
    /// limit: a publisher is held up by those who read, not by a number.
    pub commands_per_second: u32,
    /// Publications of one session a second, with twice as many at once; more are refused. 0, the default, is no limit.
    pub publications_per_second: u32,
    /// Questions of one session that wait for an answer; one more is refused.
    pub asked_max: u16,
    /// Channels of one shard, those with a history and no subscriber included; one more is refused.
    pub channels_max: usize,
    /// Bytes of all histories of one channel; older publications go first.
    pub history_bytes_max: usize,
    /// Bytes of a payload; a larger one is refused.
    pub payload_bytes_max: usize,
    /// Arrays and objects inside of each other in a payload of JSON; a deeper one is refused, because clients fail over it.
    pub json_depth_max: usize,
    /// Tags of a publication, keys and values of at most 256 bytes; more are refused.
    pub tags_max: usize,
    /// Channels whose subscribers are [excepted](taiwa_core::Publish::except_channels) from a publication; more are refused.
    pub except_channels_max: usize,
    /// Bytes of an identifier, event name, key or method; a longer one is refused.
    pub name_bytes_max: usize,
    /// How big a tag filter may be; a larger one is refused.
    pub filters: FilterLimits,
    /// Publications in one answer of a history; more come by asking again. Recovering more than this is a gap.
    pub page_max: usize,
    /// Members in one answer of a presence; more are left out. On one of several nodes also the members of whom it is
    /// known which of them leave with a node that dies; of more nobody is told then.
    pub presence_max: usize,
    /// Bytes of a session's log; a session that is kept and needs more loses its oldest, and resumes anew.
    pub log_bytes_max: usize,
    /// The longest time that a session is kept without a line.
    pub keep_max: Duration,
    /// Sessions of one shard that are kept without a line; the one that waits longest goes.
    pub kept_max: usize,
    /// Calls of the app to one session that wait for an answer; one more is refused.
    pub calls_max: usize,
    /// Answers to a call of several clients that are told; those past it are counted alone.
    pub answers_max: usize,
    /// Bytes of all these answers; an answer past it is counted alone. More than 384 KiB of one node do not reach another.
    pub answers_bytes_max: usize,
    /// Identifiers of publications that one channel remembers; the oldest is forgotten.
    pub identifiers_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions_max: 1 << 20,
            user_sessions_max: 1 << 10,
            subscriptions_max: 128,
            links_max: 16,
            commands_per_second: 0,
            publications_per_second: 0,
            asked_max: 256,
            channels_max: 1 << 20,
            history_bytes_max: 8 << 20,
            payload_bytes_max: 1 << 20,
            json_depth_max: 128,
            tags_max: 16,
            except_channels_max: 64,
            name_bytes_max: 256,
            filters: FilterLimits::default(),
            page_max: 1000,
            presence_max: 10_000,
            log_bytes_max: 256 << 10,
            keep_max: Duration::from_secs(120),
            kept_max: 100_000,
            calls_max: 64,
            answers_max: 1000,
            answers_bytes_max: 256 << 10,
            identifiers_max: 10_000,
        }
    }
}

impl Limits {
    /// Returns the limits with changes made by `change`; the struct may get more fields.
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}
