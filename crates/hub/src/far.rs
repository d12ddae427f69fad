//! What a shard wants of other nodes, and hears of them.

use bytes::Bytes;
use taiwa_core::{
    Accepted, Channel, Cluster, Entry, Keep, Log, NodeId, Page, Present, Refusal, SessionId,
    Statement, Then,
};

pub use crate::wire::shard_of;

/// Something that all nodes have in common is to be asked or told. Answered, where it has an answer, by
/// [`Shard::found`](crate::Shard::found).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Wish {
    /// See [`Broker::publish`](taiwa_core::Broker::publish). Answered with [`Found::Accepted`].
    Publish(Statement),
    /// See [`Broker::subscribe`](taiwa_core::Broker::subscribe). Answered with [`Found::Log`].
    Subscribe(Channel, Keep, usize),
    /// See [`Broker::unsubscribe`](taiwa_core::Broker::unsubscribe). Not answered.
    Unsubscribe(Channel),
    /// See [`Broker::read`](taiwa_core::Broker::read). Answered with [`Found::Log`].
    Read(Channel, Keep, Page),
    /// See [`Broker::forget`](taiwa_core::Broker::forget). Answered with [`Found::Done`].
    Forget(Channel, Keep),
    /// This shard wants to hear [patterns](taiwa_core::Broker::hear_patterns) from now on, or no longer. A node hears
    /// them as long as one of its shards wants to. Answered with [`Found::Done`].
    HearPatterns(bool),
    /// See [`PresenceStore::come`](taiwa_core::PresenceStore::come). Answered with [`Found::First`].
    Come(Channel, Box<Entry>),
    /// See [`PresenceStore::go`](taiwa_core::PresenceStore::go). Answered with [`Found::First`].
    Go(Channel, Box<Entry>),
    /// See [`PresenceStore::present`](taiwa_core::PresenceStore::present). Answered with [`Found::Members`].
    Who(Channel, usize),
    /// See [`PresenceStore::counts`](taiwa_core::PresenceStore::counts). Answered with [`Found::Counts`].
    Counts(Channel),
    /// See [`SessionStore::save`](taiwa_core::SessionStore::save). Answered with [`Found::Done`].
    Save(SessionId, Bytes, std::time::Duration),
    /// See [`SessionStore::take`](taiwa_core::SessionStore::take). Answered with [`Found::Session`].
    Take(SessionId),
    /// See [`SessionStore::drop_session`](taiwa_core::SessionStore::drop_session). Not answered.
    Drop(SessionId),
    /// See [`NodeRegistry::send`](taiwa_core::NodeRegistry::send). Answered with [`Found::Done`].
    Send(NodeId, Bytes),
}

/// What came of a [`Wish`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Found {
    /// It is done.
    Done,
    /// It was said.
    Accepted(Accepted),
    /// What was said before.
    Log(Log),
    /// Whether it is the first, or the last, of its user.
    First(bool),
    /// Who is there.
    Members(Present),
    /// How many sessions and users are there.
    Counts(usize, usize),
    /// What was kept of a session.
    Session(Option<Bytes>),
}

impl Wish {
    /// Asks the cluster. Of a [`Wish::HearPatterns`] the caller has to know what the other shards of the node want.
    pub fn ask(self, cluster: &Cluster, then: Then<Found>) {
        fn as_found<T: 'static>(
            then: Then<Found>,
            found: impl FnOnce(T) -> Found + Send + 'static,
        ) -> Then<T> {
            Box::new(move |result: Result<T, Refusal>| then(result.map(found)))
        }
        let Cluster { broker, presence, sessions, registry } = cluster;
        let done = |()| Found::Done;
        match self {
            Self::Publish(statement) => {
                broker.publish(statement, as_found(then, Found::Accepted));
            }
            Self::Subscribe(channel, keep, limit) => {
                broker.subscribe(&channel, keep, limit, as_found(then, Found::Log));
            }
            Self::Unsubscribe(channel) => broker.unsubscribe(&channel),
            Self::Read(channel, keep, page) => {
                broker.read(&channel, keep, page, as_found(then, Found::Log));
            }
            Self::Forget(channel, keep) => broker.forget(&channel, keep, as_found(then, done)),
            Self::HearPatterns(wanted) => broker.hear_patterns(wanted, as_found(then, done)),
            Self::Come(channel, entry) => {
                presence.come(&channel, *entry, as_found(then, Found::First));
            }
            Self::Go(channel, entry) => presence.go(&channel, *entry, as_found(then, Found::First)),
            Self::Who(channel, limit) => {
                presence.present(&channel, limit, as_found(then, Found::Members));
            }
            Self::Counts(channel) => {
                let counts = |(sessions, users)| Found::Counts(sessions, users);
                presence.counts(&channel, as_found(then, counts));
            }
            Self::Save(session, body, ttl) => {
                sessions.save(session, body, ttl, as_found(then, done));
            }
            Self::Take(session) => sessions.take(session, as_found(then, Found::Session)),
            Self::Drop(session) => sessions.drop_session(session),
            Self::Send(node, letter) => registry.send(node, letter, as_found(then, done)),
        }
    }
}
