//! What the server's own API and the app may want of the hub, without a session.

use std::{sync::Arc, time::Duration};

use taiwa_core::{
    Authorization, Channel, Client, Disconnect, History, Member, NodeId, Page, Payload, Position,
    Publish, Published, SessionId, User,
};

/// Something to be done. Rights are not asked: whoever orders has them all.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Order {
    /// Say something. Done as [`Done::Published`].
    Publish(Box<Publish>),
    /// Tell who is in a channel. Done as [`Done::Presence`].
    Presence(Channel),
    /// Tell how many are in a channel. Done as [`Done::Counts`].
    Counts(Channel),
    /// Tell what was said. Done as [`Done::History`].
    History(Channel, Page),
    /// Forget what was said; subscribers learn at their next recovery. Done as [`Done::Affected`].
    Forget(Channel),
    /// List channels that have subscribers, by the beginning of their name, at most so many. Done as [`Done::Channels`].
    Channels {
        /// How their names begin.
        prefix: Box<str>,
        /// At most so many.
        limit: usize,
    },
    /// List sessions, at most so many. Done as [`Done::Sessions`].
    Sessions {
        /// Of this user; otherwise of all.
        user: Option<User>,
        /// At most so many.
        limit: usize,
    },
    /// Tell of one session. Done as [`Done::Session`].
    Session(SessionId),
    /// Subscribe sessions to a channel. Done as [`Done::Affected`].
    Subscribe {
        /// Whom.
        whom: Whom,
        /// To what.
        channel: Channel,
        /// How.
        authorization: Box<Authorization>,
        /// Behind which position.
        since: Option<Position>,
    },
    /// End subscriptions. Done as [`Done::Affected`].
    Unsubscribe {
        /// Whose.
        whom: Whom,
        /// To what.
        channel: Channel,
    },
    /// Send sessions away. Done as [`Done::Affected`].
    Disconnect {
        /// Whom.
        whom: Whom,
        /// Why.
        why: Disconnect,
    },
    /// Let rights go on for so long, or for ever. Done as [`Done::Affected`].
    Refresh {
        /// Whose.
        whom: Whom,
        /// From now on.
        expires: Option<Duration>,
    },
    /// Say something to clients alone. Done as [`Done::Affected`].
    Tell {
        /// To whom.
        whom: Whom,
        /// What.
        payload: Payload,
    },
    /// Call a client. Done as [`Done::Answer`].
    Call {
        /// Which session.
        session: SessionId,
        /// What is called.
        method: Arc<str>,
        /// With what.
        payload: Payload,
        /// How long the answer may take.
        deadline: Duration,
    },
    /// Tell how the shards are, of all nodes. Done as [`Done::Info`].
    Info,
    /// Tell how the shards of each node are. Done as [`Done::Nodes`].
    Nodes,
}

/// Who is meant.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Whom {
    /// One session.
    Session(SessionId),
    /// All sessions of a user.
    User(User),
    /// All sessions.
    All,
}

/// What became of an order.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Done {
    /// It was said.
    Published(Published),
    /// Who is in the channel.
    Presence(Arc<[Arc<Member>]>),
    /// How many are in the channel.
    Counts {
        /// Sessions.
        sessions: usize,
        /// Users; the anonymous count as one.
        users: usize,
    },
    /// What was said.
    History(Box<History>),
    /// Names and how many subscribe to them, sorted by name.
    Channels(Vec<(Channel, usize)>),
    /// Some sessions.
    Sessions(Vec<Arc<Client>>),
    /// One session.
    Session(Box<SessionInfo>),
    /// How many sessions (or publications) it was done to.
    Affected(usize),
    /// The client's answer.
    Answer(Payload),
    /// One entry a shard.
    Info(Vec<Info>),
    /// One entry a shard, by node; a hub that is alone is node 0.
    Nodes(Vec<(NodeId, Vec<Info>)>),
}

/// What is known of a session.
#[derive(Clone, Debug)]
pub struct SessionInfo {
    /// Who it is, by its first link.
    pub client: Arc<Client>,
    /// Whether its client has a connection.
    pub is_connected: bool,
    /// What it hears, sorted; what it hears on two links is there once.
    pub channels: Vec<Channel>,
    /// The patterns that it subscribed to.
    pub patterns: Vec<Box<str>>,
}

/// How a shard is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Info {
    /// Sessions with a line or without.
    pub sessions: usize,
    /// Sessions without a line.
    pub kept: usize,
    /// Users with a session here.
    pub users: usize,
    /// Subscriptions.
    pub subscriptions: usize,
    /// Channels that it owns, also those without subscribers.
    pub channels: usize,
    /// What it counted since it began.
    pub counters: Counters,
}

/// What a shard counts. All only grow.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Counters {
    /// Publications that channels owned here took.
    pub published: u64,
    /// Deliveries to subscribers here.
    pub delivered: u64,
    /// Publications refused, for whatever reason.
    pub refused_publications: u64,
    /// Subscriptions refused, for whatever reason.
    pub refused_subscriptions: u64,
    /// Clients that were not let in.
    pub refused_connections: u64,
    /// Publications that were repeated and so not said again.
    pub repeated: u64,
    /// Subscriptions that recovered everything.
    pub recovered: u64,
    /// Subscriptions whose gap could not be filled.
    pub gaps: u64,
    /// Sessions that were taken up again whole.
    pub resumed: u64,
    /// Sessions that were to be taken up again and were gone or incomplete.
    pub resumed_anew: u64,
    /// Clients sent away because they read too slowly.
    pub slow_disconnected: u64,
    /// Publications dropped because a newer one took their place in a full queue.
    pub slow_dropped: u64,
    /// Publications replaced by a newer one of the same key.
    pub slow_replaced: u64,
    /// Subscriptions that were paused.
    pub slow_paused: u64,
    /// Clients sent away because they sent too much.
    pub rate_disconnected: u64,
    /// Publications refused because of a rate.
    pub rate_refused: u64,
    /// Refusals and disconnects because of a limit that is no rate.
    pub limit_hits: u64,
    /// Questions that the app did not answer in time.
    pub app_deadlines: u64,
    /// Calls of the app to clients.
    pub calls: u64,
    /// Publications that a broker told twice, and that were said once.
    pub duplicates: u64,
    /// What came from other nodes and could not be read: they are of another version.
    pub unread: u64,
    /// Parts of orders that other nodes did not do in time.
    pub parts_lost: u64,
}

impl Counters {
    /// Adds what another shard counted.
    pub fn add(&mut self, other: &Self) {
        for (name, mine) in self.fields_mut() {
            let theirs = other.fields().into_iter().find(|(it, _)| *it == name);
            *mine += theirs.map_or(0, |(_, value)| value);
        }
    }
}

/// Names the fields once for reading and adding.
macro_rules! fields {
    ($($field:ident),* $(,)?) => {
        impl Counters {
            /// Returns them with their names.
            pub fn fields(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($field), self.$field)),*]
            }

            /// Sets those that a name finds.
            pub(crate) fn read(&mut self, find: impl Fn(&str) -> Option<u64>) {
                for (name, mine) in self.fields_mut() {
                    *mine = find(name).unwrap_or(*mine);
                }
            }

            fn fields_mut(&mut self) -> Vec<(&'static str, &mut u64)> {
                vec![$((stringify!($field), &mut self.$field)),*]
            }
        }
    };
}

fields!(
    published,
    delivered,
    refused_publications,
    refused_subscriptions,
    refused_connections,
    repeated,
    recovered,
    gaps,
    resumed,
    resumed_anew,
    slow_disconnected,
    slow_dropped,
    slow_replaced,
    slow_paused,
    rate_disconnected,
    rate_refused,
    limit_hits,
    app_deadlines,
    calls,
    duplicates,
    unread,
    parts_lost,
);
