//! What nodes have in common, as four traits: publications and history, presence, sessions that can move, who is alive.

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{Channel, Link, Page, Position, Refusal, SessionId, User};

/// Takes what comes of a call. It is called once, from any thread, at the latest when a deadline of the broker has passed.
pub type Then<T> = Box<dyn FnOnce(Result<T, Refusal>) + Send>;

/// One process that serves clients, random at its start.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct NodeId(pub u64);

impl NodeId {
    /// Returns what of it stands in the identifiers of its sessions.
    pub fn tag(self) -> u16 {
        (self.0 >> 48) as u16
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for NodeId {
    type Err = ();

    /// Reads 16 hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, ()> {
        let digits = text.len() == 16 && text.bytes().all(|it| it.is_ascii_hexdigit());
        if !digits {
            return Err(());
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| ())
    }
}

/// How long a channel's past is kept.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Keep {
    /// Statements; 0 keeps none, and gives no positions.
    pub size: usize,
    /// The age of a statement.
    pub ttl: Duration,
    /// How long epoch and offset outlive the last statement.
    pub epoch_ttl: Duration,
}

/// Something to be said to all nodes.
#[derive(Clone, Debug)]
pub struct Statement {
    /// Where.
    pub channel: Channel,
    /// What; only the nodes know what it means.
    pub body: Bytes,
    /// Whether it gets a position, and for how long it is kept.
    pub keep: Keep,
    /// Said again with the same identifier, by any node, within this time it is not said twice. The time is not zero.
    pub id: Option<(Arc<str>, Duration)>,
    /// Whether it also goes to nodes that [listen to patterns](Broker::hear_patterns).
    pub to_patterns: bool,
}

/// What became of a statement.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Accepted {
    /// Where it lies, or the equal one that was said before; `None` without a history.
    pub position: Option<Position>,
    /// Whether it had been said before, and so was not said again.
    pub repeated: bool,
    /// How many nodes it was handed to, if the broker knows.
    pub nodes: Option<u32>,
}

/// A part of a channel's history.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Log {
    /// Where the channel stands.
    pub position: Position,
    /// Offsets of the channel's epoch, and what lies there.
    pub entries: Vec<(u64, Bytes)>,
}

/// Publications and history between nodes.
///
/// No call waits: what can't be queued is refused at once. Calls of one thread take effect in their order, and so do
/// statements that were accepted: each node hears those of a channel in the order of their positions, perhaps twice, and
/// hears of it ([`State`]) when it may have missed some.
pub trait Broker: Send + Sync {
    /// Says something. Position and publication are one step: no node sees one without the other, and no two statements have
    /// one position.
    fn publish(&self, statement: Statement, then: Then<Accepted>);
    /// Hears a channel from now on, and tells what was said before: `limit` entries at most, the newest, the oldest first,
    /// without holes. What is said behind the position of that answer is heard, perhaps before the answer, and perhaps also
    /// some that lies before. Asked again while it is subscribed it only tells. The epoch of a channel begins with the first
    /// call that tells a position of it.
    fn subscribe(&self, channel: &Channel, keep: Keep, limit: usize, then: Then<Log>);
    /// Hears it no longer.
    fn unsubscribe(&self, channel: &Channel);
    /// Reads a part of the history, in the order of the page. The epoch of [`Page::since`] is not looked at.
    fn read(&self, channel: &Channel, keep: Keep, page: Page, then: Then<Log>);
    /// Drops what was said; epoch and offset go on.
    fn forget(&self, channel: &Channel, keep: Keep, then: Then<()>);
    /// Whether to hear all statements [for patterns](Statement::to_patterns), of whatever channel.
    fn hear_patterns(&self, wanted: bool, then: Then<()>);
}

/// One member of a channel, as a store keeps it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// Its session.
    pub session: SessionId,
    /// The link of it.
    pub link: Link,
    /// Whose it is; `None` for the anonymous.
    pub user: Option<User>,
    /// What else is to be known; only the nodes know what it means.
    pub body: Bytes,
}

/// Who is in a channel, as far as that can be known.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Present {
    /// Members, with their nodes.
    pub members: Vec<(NodeId, Entry)>,
    /// Nodes that did not answer: their members are not among them.
    pub silent: Vec<NodeId>,
}

/// Who is in a channel, on all nodes. Each node owns the entries that it made.
///
/// Entries of a node disappear when it leaves or is [gone](Ears::node_gone). A store that lost them says so by
/// [`State::Back`], and is told again.
pub trait PresenceStore: Send + Sync {
    /// Enters a member, or replaces its entry. Tells whether it is the first session of its user; of the anonymous each is.
    fn come(&self, channel: &Channel, entry: Entry, then: Then<bool>);
    /// Removes a member. Tells whether it was the last session of its user; of the anonymous each is.
    fn go(&self, channel: &Channel, entry: Entry, then: Then<bool>);
    /// Lists members, at most so many, with their nodes. Those of nodes that are gone are among them until they disappear
    /// from the store.
    fn who(&self, channel: &Channel, limit: usize, then: Then<Vec<(NodeId, Entry)>>);
    /// Lists members as [`who`](PresenceStore::who) does. Where each node has its own and one of them does not answer, which
    /// is not gone yet, `who` is refused; here all others are listed, and that node is named.
    fn present(&self, channel: &Channel, limit: usize, then: Then<Present>) {
        let whole = |members| Present { members, silent: vec![] };
        self.who(channel, limit, Box::new(move |it| then(it.map(whole))));
    }
    /// Counts sessions and users; the anonymous count as one user. Those of a node that does not answer may be left out.
    fn counts(&self, channel: &Channel, then: Then<(usize, usize)>);
}

/// Sessions whose node may die. What is kept of one is the nodes' business.
pub trait SessionStore: Send + Sync {
    /// Keeps it for so long, in place of what was kept before.
    fn save(&self, session: SessionId, body: Bytes, ttl: Duration, then: Then<()>);
    /// Takes it out: of several who try, one gets it.
    fn take(&self, session: SessionId, then: Then<Option<Bytes>>);
    /// Drops it.
    fn drop_session(&self, session: SessionId);
}

/// Who is alive, and how to reach it.
pub trait NodeRegistry: Send + Sync {
    /// Tells who this node is.
    fn node(&self) -> NodeId;
    /// Returns a secret that all nodes have and nobody else, made by the first of them.
    fn secret(&self) -> [u8; 32];
    /// Begins to hear. Called once, before anything is asked.
    fn begin(&self, ears: Arc<dyn Ears>);
    /// Lists the nodes that are alive, this one included, sorted.
    fn nodes(&self) -> Vec<NodeId>;
    /// Sends a letter to one node, at most 512 KiB. Letters from one node to another arrive in order, or not at all. Refused
    /// if the node is known to be gone.
    fn send(&self, to: NodeId, letter: Bytes, then: Then<()>);
    /// Tells what the broker is called in texts for people, and whether it can be reached.
    fn look(&self) -> Look;
    /// Leaves: entries and name of this node are gone then.
    fn leave(&self, then: Then<()>);
}

/// How a broker is, for health, metrics and people.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Look {
    /// What it is: `redis`, `nats`, `memory`.
    pub kind: &'static str,
    /// Whether it can be reached.
    pub up: bool,
    /// Requests that wait for it.
    pub waiting: usize,
    /// Names and values of what it counted since it began, all only growing.
    pub counters: Vec<(&'static str, u64)>,
}

/// What is heard of a channel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Heard {
    /// Where.
    pub channel: Channel,
    /// Where it lies; `None` without a history.
    pub position: Option<Position>,
    /// What.
    pub body: Bytes,
    /// Whether a [pattern](Broker::hear_patterns) brought it, and not the channel's own subscription.
    pub by_pattern: bool,
}

/// Whether a broker can be reached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// It can't. What is asked now is refused.
    Lost,
    /// It can again; whatever was said meanwhile was not heard. All subscriptions are there again, from now on.
    Back {
        /// Whether what was kept of this node's presence is lost.
        entries_lost: bool,
    },
    /// It can, and something was not heard all the same: too much came at once.
    Missed,
}

/// Hears what comes from other nodes. Called from any thread; none of the calls waits.
pub trait Ears: Send + Sync {
    /// Something was said in a channel.
    fn heard(&self, heard: Heard);
    /// A letter came.
    fn letter(&self, from: NodeId, letter: Bytes);
    /// A node has come, besides those that were [there](NodeRegistry::nodes) when this one began to hear. It may be told of
    /// one that is known.
    fn node_come(&self, node: NodeId);
    /// A node is gone: it left, or was silent for too long.
    fn node_gone(&self, node: NodeId);
    /// The broker was lost, or is back.
    fn state(&self, state: State);
}

/// The four, as one program has them.
#[derive(Clone)]
pub struct Cluster {
    /// Publications and history.
    pub broker: Arc<dyn Broker>,
    /// Who is in which channel.
    pub presence: Arc<dyn PresenceStore>,
    /// Sessions that can move.
    pub sessions: Arc<dyn SessionStore>,
    /// Who is alive.
    pub registry: Arc<dyn NodeRegistry>,
}

impl Cluster {
    /// Makes one of something that is all four.
    pub fn of<T>(all: &Arc<T>) -> Self
    where
        T: Broker + PresenceStore + SessionStore + NodeRegistry + 'static,
    {
        Self {
            broker: all.clone(),
            presence: all.clone(),
            sessions: all.clone(),
            registry: all.clone(),
        }
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("node", &self.registry.node()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_written_and_read() {
        let node = NodeId(0xabcd_0000_0000_0001);
        assert_eq!((node.to_string().parse(), node.tag()), (Ok(node), 0xabcd));
        for text in ["", "1", "+bcd000000000001", "abcd00000000000g"] {
            assert_eq!(text.parse::<NodeId>(), Err(()), "{text:?}");
        }
    }
}
