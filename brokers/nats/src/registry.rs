//! Who is alive, what nodes write to one another, and what all of them know.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::StreamExt as _;
use taiwa_core::{Ears, Look, NodeId, NodeRegistry, Then};

use crate::{
    Inner, Nats,
    lanes::Key,
    line::Fail,
    lock, random,
    roster::LETTER,
    streams::{Kind, Streams, USERS_AGE, Which},
    wire::Scan,
};

/// The longest letter.
const LETTER_BYTES_MAX: usize = 512 * 1024;
/// Nodes that are known to be gone; the first of them is forgotten when there are more.
const GONE_MAX: usize = 1024;

/// A node lives.
const BEAT: u8 = 0;
/// It lives, and wants to know who else does.
const HELLO: u8 = 1;
/// It is about to leave.
const LEAVING: u8 = 2;

/// Who is alive.
#[derive(Default)]
pub(crate) struct Living {
    /// Others, and when they were last heard.
    seen: BTreeMap<NodeId, Instant>,
    gone: VecDeque<NodeId>,
    /// Whether this node left: it does not come back.
    left: bool,
    /// Since when all who live would have been heard.
    since: Option<Instant>,
}

impl Living {
    /// Tells whether the node is new.
    fn see(&mut self, node: NodeId, now: Instant) -> bool {
        self.gone.retain(|it| *it != node);
        self.seen.insert(node, now).is_none()
    }

    /// Tells whether it was there.
    fn lose(&mut self, node: NodeId) -> bool {
        if !self.gone.contains(&node) {
            self.gone.push_back(node);
        }
        if self.gone.len() > GONE_MAX {
            self.gone.pop_front();
        }
        self.seen.remove(&node).is_some()
    }

    fn silent(&self, now: Instant, silence_max: Duration) -> Vec<NodeId> {
        let silent = |it: &(&NodeId, &Instant)| now.duration_since(*it.1) > silence_max;
        self.seen.iter().filter(silent).map(|it| *it.0).collect()
    }

    fn is_gone(&self, node: NodeId, now: Instant, silence_max: Duration) -> bool {
        let long = self.since.is_some_and(|it| now.duration_since(it) > silence_max);
        self.gone.contains(&node) || (long && !self.seen.contains_key(&node))
    }

    /// Nobody could be heard until now.
    pub(crate) fn begin_anew(&mut self, now: Instant) {
        self.since = Some(now);
        self.seen.values_mut().for_each(|it| *it = now);
    }
}

/// Agrees on the secret: the first one that is written counts.
pub(crate) async fn agree(streams: &Streams) -> Result<[u8; 32], Fail> {
    let mut ours = [0; 32];
    ours.chunks_mut(8).for_each(|it| it.copy_from_slice(&random().to_be_bytes()));
    write_secret(streams, ours).await
}

/// Writes the secret unless there is one; returns the one that counts.
pub(crate) async fn write_secret(streams: &Streams, ours: [u8; 32]) -> Result<[u8; 32], Fail> {
    let stream = streams.open(Kind::Cluster).await?;
    let subject = format!("{}secret", stream.root);
    match streams.put(&stream, &subject, Some(0), Bytes::copy_from_slice(&ours)).await {
        Ok(_) => Ok(ours),
        Err(Fail::Conflict) => {
            let kept = streams.get(&stream, Which::Last(&subject)).await?;
            let secret = kept.and_then(|it| it.body.as_ref().try_into().ok());
            secret.ok_or_else(|| Fail::Server("the secret of the cluster is not ours".into()))
        }
        Err(fail) => Err(fail),
    }
}

impl NodeRegistry for Nats {
    fn node(&self) -> NodeId {
        self.inner.node
    }

    fn secret(&self) -> [u8; 32] {
        self.inner.secret
    }

    fn begin(&self, ears: Arc<dyn Ears>) {
        let inner = self.inner.clone();
        if inner.ears.set(ears).is_ok() {
            let task = self.inner.runtime.spawn(async move { inner.live().await });
            lock(&self.inner.tasks).push(task.abort_handle());
        }
    }

    fn nodes(&self) -> Vec<NodeId> {
        self.inner.nodes()
    }

    fn send(&self, to: NodeId, letter: Bytes, then: Then<()>) {
        self.inner.order(Key::Node(to), letter.len(), then, async move |inner: Arc<Inner>| {
            if letter.len() > LETTER_BYTES_MAX {
                return Err(Fail::TooBig);
            }
            if !inner.is_known(to) {
                return Err(Fail::Gone);
            }
            let mut message = BytesMut::with_capacity(letter.len() + 9);
            message.put_u8(LETTER);
            message.put_u64(inner.node.0);
            message.put_slice(&letter);
            inner.line.say(inner.node_subject(to), message.freeze()).await
        });
    }

    fn look(&self) -> Look {
        let inner = &self.inner;
        let counts = &inner.counts;
        let counters = [
            ("statements", &counts.said),
            ("messages", &counts.messages),
            ("heard", &counts.heard),
            ("conflicts", &counts.conflicts),
            ("refused", &counts.refused),
            ("lost", &counts.lost),
            ("missed", &counts.missed),
            ("requests", &inner.line.requests),
            ("failures", &inner.line.failures),
        ];
        Look {
            kind: "nats",
            up: inner.line.is_up(),
            waiting: inner.lanes.waiting(),
            counters: counters.iter().map(|it| (it.0, it.1.load(Ordering::Relaxed))).collect(),
        }
    }

    fn leave(&self, then: Then<()>) {
        let inner = self.inner.clone();
        for task in lock(&inner.tasks).drain(..) {
            task.abort();
        }
        inner.runtime.clone().spawn(async move {
            lock(&inner.local).clear();
            lock(&inner.living).left = true;
            let left = inner.tell_all(LEAVING).await;
            let left = match left {
                Ok(()) => inner.line.settle().await,
                Err(fail) => Err(fail),
            };
            inner.answer(then, left);
        });
    }
}

impl Inner {
    /// This node and the others, sorted.
    pub(crate) fn nodes(&self) -> Vec<NodeId> {
        let mut nodes: Vec<NodeId> = lock(&self.living).seen.keys().copied().collect();
        nodes.push(self.node);
        nodes.sort_unstable();
        nodes
    }

    pub(crate) fn is_gone(&self, node: NodeId) -> bool {
        node != self.node
            && lock(&self.living).is_gone(node, Instant::now(), self.settings.silence_max)
    }

    fn is_known(&self, node: NodeId) -> bool {
        node == self.node || lock(&self.living).seen.contains_key(&node)
    }

    fn beat_subject(&self) -> String {
        format!("{}.beat", self.settings.prefix)
    }

    async fn tell_all(&self, what: u8) -> Result<(), Fail> {
        let mut message = BytesMut::with_capacity(9);
        message.put_u8(what);
        message.put_u64(self.node.0);
        self.line.say_anyway(self.beat_subject(), message.freeze()).await
    }

    /// Says hello, after a time in which nobody was heard.
    pub(crate) async fn greet(&self) -> Result<(), Fail> {
        lock(&self.living).begin_anew(Instant::now());
        if lock(&self.living).left { Ok(()) } else { self.tell_all(HELLO).await }
    }

    /// Hears the others, and says that this node lives.
    async fn live(self: Arc<Self>) {
        let heard = (
            self.line.hear(self.beat_subject()).await,
            self.line.hear(self.node_subject(self.node)).await,
        );
        let (Ok(mut beats), Ok(mut letters)) = heard else { return };
        let _ = self.greet().await;
        let mut beat = tokio::time::interval(self.settings.beat);
        let mut look = tokio::time::interval(self.settings.silence_max / 10);
        let mut again = tokio::time::interval(USERS_AGE / 3);
        again.reset();
        loop {
            // One task hears both, so that a node has come before its letters.
            tokio::select! {
                biased;
                Some(it) = beats.next() => self.hear_beat(&it.payload).await,
                Some(it) = letters.next() => self.hear_letter(it).await,
                _ = beat.tick() => if self.line.is_up() { let _ = self.tell_all(BEAT).await; },
                _ = look.tick() => self.look_around(),
                _ = again.tick() => {
                    let inner = self.clone();
                    self.runtime.spawn(async move { inner.write_all_nodes().await });
                }
            }
        }
    }

    /// Finds those who were silent for too long; while nobody can be heard none is.
    fn look_around(self: &Arc<Self>) {
        if !self.line.is_up() {
            return;
        }
        let silent = lock(&self.living).silent(Instant::now(), self.settings.silence_max);
        silent.into_iter().for_each(|it| self.lose(it));
        if !lock(&self.owed).is_empty() {
            let inner = self.clone();
            self.runtime.spawn(async move { inner.write_owed_nodes().await });
        }
    }

    async fn hear_beat(&self, message: &Bytes) {
        let mut from = Scan::of(message);
        let (Some(what), Some(node)) = (from.byte(), from.u64()) else { return };
        let node = NodeId(node);
        if node == self.node {
            return;
        }
        if what == LEAVING {
            return self.lose(node);
        }
        self.see(node);
        if what == HELLO {
            let _ = self.tell_all(BEAT).await;
        }
    }

    async fn hear_letter(&self, message: async_nats::Message) {
        if let Some(reply) = message.reply {
            if let Some(answer) = self.answer_node(&message.payload) {
                let _ = self.line.say(reply.to_string(), answer).await;
            }
            return;
        }
        let mut from = Scan::of(&message.payload);
        if let (Some(LETTER), Some(node), Some(ears)) = (from.byte(), from.u64(), self.ears.get()) {
            ears.letter(NodeId(node), from.rest());
        }
    }

    fn see(&self, node: NodeId) {
        let new = lock(&self.living).see(node, Instant::now());
        if let Some(ears) = self.ears.get().filter(|_| new) {
            ears.node_come(node);
        }
    }

    fn lose(&self, node: NodeId) {
        let was_there = lock(&self.living).lose(node);
        if let Some(ears) = self.ears.get().filter(|_| was_there) {
            ears.node_gone(node);
        }
    }
}
