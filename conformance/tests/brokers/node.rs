//! A node that writes down what it hears, and asks with a time limit.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use taiwa_core::{
    Accepted, Channel, Cluster, Ears, Entry, Heard, Keep, Link, Log, NodeId, Page, Position,
    Refusal, SessionId, State, Statement, Then, User,
};
use tokio::sync::{Notify, oneshot};

use crate::fixture::Fixture;

/// Longer than any deadline of a broker, and than a dead node is taken for living.
pub(crate) const SOON: Duration = Duration::from_secs(25);
/// So long something that must not come is waited for.
pub(crate) const SILENCE: Duration = Duration::from_millis(300);

pub(crate) const KEEP: Keep =
    Keep { size: 1000, ttl: Duration::from_secs(600), epoch_ttl: Duration::from_secs(6000) };

/// One thing that a node heard.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Line {
    Heard(Heard),
    Letter(NodeId, Bytes),
    Come(NodeId),
    Gone(NodeId),
    State(State),
}

#[derive(Default)]
pub(crate) struct Diary {
    lines: Mutex<Vec<Line>>,
    written: Notify,
}

impl Diary {
    fn write(&self, line: Line) {
        self.lines.lock().unwrap().push(line);
        self.written.notify_waiters();
    }

    pub(crate) fn lines(&self) -> Vec<Line> {
        self.lines.lock().unwrap().clone()
    }

    pub(crate) fn clear(&self) {
        self.lines.lock().unwrap().clear();
    }

    /// Waits until what was heard is enough.
    #[track_caller]
    pub(crate) fn until(
        &self,
        what: &'static str,
        enough: impl Fn(&[Line]) -> bool,
    ) -> impl Future<Output = ()> {
        let place = std::panic::Location::caller();
        async move {
            let wait = async {
                loop {
                    let written = self.written.notified();
                    tokio::pin!(written);
                    written.as_mut().enable();
                    // Not under the lock: it may look itself.
                    if enough(&self.lines()) {
                        return;
                    }
                    written.await;
                }
            };
            if tokio::time::timeout(SOON, wait).await.is_err() {
                let lines = self.lines();
                let last = format!("{:?}", &lines[lines.len().saturating_sub(5)..]);
                let (count, last) = (lines.len(), last.chars().take(1000).collect::<String>());
                panic!("{place}: not in time: {what}; {count} lines, the last are {last}");
            }
        }
    }

    /// Returns what was heard in a channel, by its own subscription.
    pub(crate) fn heard(&self, channel: &Channel) -> Vec<Heard> {
        let lines = self.lines.lock().unwrap();
        let heard = lines.iter().filter_map(|it| match it {
            Line::Heard(heard) if heard.channel == *channel && !heard.by_pattern => Some(heard),
            _ => None,
        });
        heard.cloned().collect()
    }
}

impl Ears for Diary {
    fn heard(&self, heard: Heard) {
        self.write(Line::Heard(heard));
    }

    fn letter(&self, from: NodeId, letter: Bytes) {
        self.write(Line::Letter(from, letter));
    }

    fn node_come(&self, node: NodeId) {
        self.write(Line::Come(node));
    }

    fn node_gone(&self, node: NodeId) {
        self.write(Line::Gone(node));
    }

    fn state(&self, state: State) {
        self.write(Line::State(state));
    }
}

/// A node of a scene.
pub(crate) struct Node {
    pub(crate) cluster: Cluster,
    pub(crate) diary: Arc<Diary>,
    pub(crate) id: NodeId,
}

impl Node {
    /// Makes one that hears.
    pub(crate) async fn join(fixture: &dyn Fixture) -> Self {
        let cluster = fixture.join().await;
        let diary = Arc::<Diary>::default();
        cluster.registry.begin(diary.clone());
        Self { id: cluster.registry.node(), cluster, diary }
    }

    /// Makes two that know each other.
    pub(crate) async fn pair(fixture: &dyn Fixture) -> (Self, Self) {
        let (a, b) = (Self::join(fixture).await, Self::join(fixture).await);
        a.knows(&[a.id, b.id]).await;
        b.knows(&[a.id, b.id]).await;
        (a, b)
    }

    /// Waits until it knows these nodes and no others.
    pub(crate) async fn knows(&self, nodes: &[NodeId]) {
        let mut sorted = nodes.to_vec();
        sorted.sort();
        let wait = async {
            while self.cluster.registry.nodes() != sorted {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(SOON, wait).await.is_err() {
            panic!("{} knows {:?}, not {sorted:?}", self.id, self.cluster.registry.nodes());
        }
    }

    pub(crate) async fn publish(&self, statement: Statement) -> Result<Accepted, Refusal> {
        ask(|then| self.cluster.broker.publish(statement, then)).await
    }

    /// Says something where a history of [`KEEP`] is kept.
    pub(crate) async fn say(&self, channel: &Channel, said: &str) -> Position {
        let accepted = self.publish(statement(channel, KEEP, said)).await.unwrap();
        assert!(!accepted.repeated);
        accepted.position.expect("a channel with a history gives positions")
    }

    pub(crate) async fn subscribe(&self, channel: &Channel, keep: Keep, limit: usize) -> Log {
        ask(|then| self.cluster.broker.subscribe(channel, keep, limit, then)).await.unwrap()
    }

    pub(crate) async fn read(&self, channel: &Channel, keep: Keep, page: Page) -> Log {
        ask(|then| self.cluster.broker.read(channel, keep, page, then)).await.unwrap()
    }

    pub(crate) async fn come(&self, channel: &Channel, entry: &Entry) -> bool {
        ask(|then| self.cluster.presence.come(channel, entry.clone(), then)).await.unwrap()
    }

    pub(crate) async fn go(&self, channel: &Channel, entry: &Entry) -> bool {
        ask(|then| self.cluster.presence.go(channel, entry.clone(), then)).await.unwrap()
    }

    pub(crate) async fn who(&self, channel: &Channel, limit: usize) -> Vec<(NodeId, Entry)> {
        ask(|then| self.cluster.presence.who(channel, limit, then)).await.unwrap()
    }

    pub(crate) async fn counts(&self, channel: &Channel) -> (usize, usize) {
        ask(|then| self.cluster.presence.counts(channel, then)).await.unwrap()
    }

    pub(crate) async fn send(&self, to: NodeId, letter: Bytes) -> Result<(), Refusal> {
        ask(|then| self.cluster.registry.send(to, letter, then)).await
    }
}

/// Asks, and waits for the answer, which comes in any case.
pub(crate) async fn ask<T: Send + 'static>(call: impl FnOnce(Then<T>)) -> Result<T, Refusal> {
    answer(asked(call)).await
}

/// Asks without waiting.
pub(crate) fn asked<T: Send + 'static>(
    call: impl FnOnce(Then<T>),
) -> oneshot::Receiver<Result<T, Refusal>> {
    let (sender, receiver) = oneshot::channel();
    call(Box::new(move |it| drop(sender.send(it))));
    receiver
}

/// Waits for an answer.
pub(crate) async fn answer<T>(
    receiver: oneshot::Receiver<Result<T, Refusal>>,
) -> Result<T, Refusal> {
    let answer = tokio::time::timeout(SOON, receiver).await;
    answer.expect("no answer in time").expect("`then` is called in any case")
}

pub(crate) fn channel(name: &str) -> Channel {
    Channel::parse(name).unwrap()
}

pub(crate) fn statement(channel: &Channel, keep: Keep, said: &str) -> Statement {
    let body = Bytes::copy_from_slice(said.as_bytes());
    Statement { channel: channel.clone(), body, keep, id: None, to_patterns: false }
}

/// Returns offsets and texts, for comparing.
pub(crate) fn texts(entries: &[(u64, Bytes)]) -> Vec<(u64, String)> {
    let text = |(offset, body): &(u64, Bytes)| (*offset, String::from_utf8(body.to_vec()).unwrap());
    entries.iter().map(text).collect()
}

/// Makes an entry in presence.
pub(crate) fn entry(session: u128, link: u16, user: Option<&str>, body: &str) -> Entry {
    Entry {
        session: SessionId(session),
        link: Link(link),
        user: user.map(User::from),
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}
