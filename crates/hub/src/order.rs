//! What the server's own API and the app may want of the hub, without a session.

use std::{sync::Arc, time::Duration};

use taiwa_core::{
    Arguments, Authorization, Channel, Client, Disconnect, History, Link, Member, NodeId, Page,
    Payload, Position, Publish, Published, Refusal, RefusalKind, SessionId, User,
};

use crate::settings::Limits;

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
    /// List sessions, each link that was let in for itself, at most so many. Done as [`Done::Sessions`].
    Sessions {
        /// Which. Of a channel those links are listed that subscribe to it.
        whom: Whom,
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
    /// Send sessions away, or end one link of each. Done as [`Done::Affected`].
    Disconnect {
        /// Whom.
        whom: Whom,
        /// Which link ends, of sessions that have others; with `None` all of them do.
        which: Option<Which>,
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
        /// By which of their links.
        which: Which,
        /// A name for it.
        event: Option<Arc<str>>,
        /// What.
        args: Arguments,
    },
    /// Call a client. Done as [`Done::Answer`].
    Call {
        /// Which session.
        session: SessionId,
        /// By which of its links.
        which: Which,
        /// What is called.
        method: Arc<str>,
        /// With what.
        args: Arguments,
        /// How long the answer may take.
        deadline: Duration,
    },
    /// Call several clients. Done as [`Done::Answers`] once all have answered, or are late.
    CallAll {
        /// Whom.
        whom: Whom,
        /// By which of their links.
        which: Which,
        /// What is called.
        method: Arc<str>,
        /// With what.
        args: Arguments,
        /// Sessions that are left out.
        except: Vec<SessionId>,
        /// Who subscribes to one of these by the link that is called is left out, too.
        except_channels: Vec<Channel>,
        /// How long the answers may take.
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
    /// All sessions that subscribe to a channel, not by a pattern.
    Channel(Channel),
    /// All sessions.
    All,
}

/// Which link of a session is meant.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Which {
    /// Of [`Whom::Channel`] each link that subscribes to it; otherwise the first link without a scope, or the first of all.
    #[default]
    Usual,
    /// The first with this [scope](Client::scope). Sessions without such a link are left out.
    Scope(Arc<str>),
    /// The one of this number. Sessions without it are left out.
    Number(Link),
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
    /// The clients' answers.
    Answers(Box<Answers>),
    /// One entry a shard.
    Info(Vec<Info>),
    /// One entry a shard, by node; a hub that is alone is node 0.
    Nodes(Vec<(NodeId, Vec<Info>)>),
}

/// What became of a call of several clients.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answers {
    /// What they said, also who refused or could not be called, in no order.
    pub answers: Vec<ClientAnswer>,
    /// How many did not answer in time.
    pub late: usize,
    /// How many answered, and were too many or said too much for [`Limits::answers_max`](crate::Limits::answers_max) and
    /// [`Limits::answers_bytes_max`](crate::Limits::answers_bytes_max): they are counted alone.
    pub left_out: usize,
    /// How many nodes did not tell in time what became of it there.
    pub nodes_lost: usize,
}

/// What one client answered.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientAnswer {
    /// Whose session.
    pub session: SessionId,
    /// By which link it was called.
    pub link: Link,
    /// What it said, or why there is no answer.
    pub answer: Result<Payload, Refusal>,
}

impl Answers {
    /// Adds an answer, within the limits.
    pub(crate) fn add(&mut self, one: ClientAnswer, limits: &Limits) {
        let size = |it: &ClientAnswer| it.answer.as_ref().map_or(0, Payload::len);
        let bytes: usize = self.answers.iter().map(size).sum();
        if matches!(&one.answer, Err(why) if why.kind == RefusalKind::Deadline) {
            self.late += 1;
        } else if self.answers.len() >= limits.answers_max
            || bytes + size(&one) > limits.answers_bytes_max
        {
            self.left_out += 1;
        } else {
            self.answers.push(one);
        }
    }

    /// Adds what others said.
    pub(crate) fn join(&mut self, others: Self, limits: &Limits) {
        for one in others.answers {
            self.add(one, limits);
        }
        self.late += others.late;
        self.left_out += others.left_out;
        self.nodes_lost += others.nodes_lost;
    }
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
