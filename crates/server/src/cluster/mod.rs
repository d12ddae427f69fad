//! This server as one node of several: what its shards want of the others, and what is heard of them.

mod forward;
mod carry;
mod pipe;
mod untold;
mod wire;

use std::{
    hash::BuildHasher,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::{BufMut, Bytes, BytesMut};
use taiwa_core::{Channel, Cluster, Ears, Heard, NodeId, State};
use taiwa_hub::{
    Ticket,
    far::{Wish, shard_of},
    seeded::Seeded,
};

use crate::{
    host::{Host, Note},
    shard::{NotSent, Post},
};

use carry::Carried;
pub(crate) use carry::Far;
pub(crate) use forward::{Forwarded, Forwards};

/// What letters between nodes begin with: for the hub, for the part that forwards requests, for the one that carries WebSockets.
const HUB: u8 = 0;
const FORWARD: u8 = 1;
const CARRY: u8 = 2;

/// How long the broker may take to be told that this node leaves.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

/// How long the log hears nothing more of what can't be read.
const UNREAD_TOLD_EVERY: Duration = Duration::from_secs(60);

/// The cluster as the shards of this node have it.
pub(crate) struct Membership {
    pub(crate) cluster: Cluster,
    /// The shards that want to hear what is for patterns.
    patterns: AtomicU64,
    pub(crate) forwards: Forwards,
    /// When the log was told last that something can't be read.
    unread_told: Mutex<Option<Instant>>,
    pub(crate) carried: Carried,
    untold: untold::Untold,
    runtime: tokio::runtime::Handle,
}

impl Membership {
    pub(crate) fn new(cluster: Cluster, runtime: tokio::runtime::Handle) -> Self {
        let forwards = Forwards::new(cluster.registry.clone());
        let carried = Carried::new(cluster.registry.clone());
        let (patterns, unread_told) = (AtomicU64::new(0), Mutex::new(None));
        let untold = untold::Untold::default();
        Self { cluster, patterns, forwards, unread_told, carried, untold, runtime }
    }

    /// Tells the log, once a minute at most, that something can't be read.
    pub(crate) fn tell_unread(&self, now: Instant) {
        let mut told = self.unread_told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|it| now >= it + UNREAD_TOLD_EVERY) {
            *told = Some(now);
            tracing::warn!(
                "what came from another node or the broker can't be read here: is there a node of another version? \
                 taiwa_node_faults_total counts more of it"
            );
        }
    }

    pub(crate) fn node(&self) -> NodeId {
        self.cluster.registry.node()
    }

    /// Leaves the cluster, if the broker can be told within a short time; otherwise the others notice.
    pub(crate) async fn leave(&self) {
        let (done, left) = tokio::sync::oneshot::channel();
        self.cluster.registry.leave(Box::new(move |it| drop(done.send(it))));
        match tokio::time::timeout(LEAVE_WITHIN, left).await {
            Ok(Ok(Ok(()))) => {}
            _ => tracing::warn!("the broker could not be told that this node leaves"),
        }
    }

    /// Does what a shard wants; what comes of it is posted to that shard.
    pub(crate) fn fulfil(
        &self,
        shard: usize,
        ticket: Option<Ticket>,
        wish: Wish,
        post: &Post<Host>,
    ) {
        let wish = match wish {
            Wish::HearPatterns(wanted) => {
                let bit = 1 << shard;
                let all = if wanted {
                    self.patterns.fetch_or(bit, Ordering::SeqCst) | bit
                } else {
                    self.patterns.fetch_and(!bit, Ordering::SeqCst) & !bit
                };
                Wish::HearPatterns(all != 0)
            }
            Wish::Send(node, letter) => Wish::Send(node, addressed(HUB, &letter)),
            wish => wish,
        };
        let Some(ticket) = ticket else { return wish.ask(&self.cluster, Box::new(|_| {})) };
        let post = post.clone();
        let then = move |found| post.send(Note::Found(ticket, Box::new(found)));
        wish.ask(&self.cluster, Box::new(then));
    }
}

/// Writes for which part of the other node a letter is.
fn addressed(part: u8, letter: &[u8]) -> Bytes {
    let mut whole = BytesMut::with_capacity(letter.len() + 1);
    whole.put_u8(part);
    whole.put_slice(letter);
    whole.freeze()
}

/// Gives what is heard to the shards.
pub(crate) struct Hearing {
    posts: Arc<[Post<Host>]>,
    /// As the shards find the owner of a channel.
    hasher: Seeded,
    /// Of each shard: whether something was not given to it because too much waited.
    missed: Box<[AtomicBool]>,
    membership: Arc<Membership>,
    /// Who answers the requests that other nodes forward; there once the site is at work.
    pub(crate) site: OnceLock<crate::site::Weakly>,
}

impl Hearing {
    pub(crate) fn new(
        posts: Arc<[Post<Host>]>,
        key: [u8; 16],
        membership: Arc<Membership>,
    ) -> Arc<Self> {
        let missed = posts.iter().map(|_| AtomicBool::new(false)).collect();
        let hasher = Seeded::new(key);
        Arc::new(Self { posts, hasher, missed, membership, site: OnceLock::new() })
    }

    fn owner(&self, channel: &Channel) -> usize {
        (self.hasher.hash_one(channel) % self.posts.len() as u64) as usize
    }

    fn tell_all(&self, note: impl Fn() -> Note) {
        for post in &*self.posts {
            post.send(note());
        }
    }
}

impl Ears for Hearing {
    fn heard(&self, heard: Heard) {
        let owner = self.owner(&heard.channel);
        let (post, missed) = (&self.posts[owner], &self.missed[owner]);
        // What has a position is read again; the rest is heard by those who can follow.
        match post.try_send(Note::Heard(Box::new(heard))) {
            Ok(()) if missed.load(Ordering::Relaxed) && missed.swap(false, Ordering::AcqRel) => {
                post.send(Note::Cluster(State::Missed));
            }
            Err(NotSent::Full(_)) => missed.store(true, Ordering::Release),
            _ => {}
        }
    }

    fn letter(&self, from: NodeId, letter: Bytes) {
        let shard = match letter.first() {
            Some(&HUB) => shard_of(&letter[1..], self.posts.len() as u16),
            Some(&FORWARD) => {
                let site = self.site.get().and_then(crate::site::Weakly::upgrade);
                if self.membership.forwards.take(from, &letter[1..], &self.membership, site) {
                    return;
                }
                None
            }
            Some(&CARRY) => {
                let site = self.site.get().and_then(crate::site::Weakly::upgrade);
                if self.membership.carried.take(from, &letter[1..], site.as_ref()) {
                    return;
                }
                None
            }
            _ => None,
        };
        // What nobody can read is counted by the first shard.
        let (shard, letter) = match shard {
            Some(shard) => (usize::from(shard), letter.slice(1..)),
            None => (0, Bytes::new()),
        };
        self.posts[shard].send(Note::Far(from, letter));
    }

    fn node_come(&self, node: NodeId) {
        if node != self.membership.node() {
            tracing::info!(%node, "another node is there");
        }
        self.tell_all(|| Note::NodeCome(node));
    }

    fn node_gone(&self, node: NodeId) {
        tracing::info!(%node, "another node is gone");
        self.membership.forwards.gone(node, &self.membership);
        self.membership.carried.gone(node);
        self.tell_all(|| Note::NodeGone(node));
    }

    fn state(&self, state: State) {
        match state {
            State::Lost => tracing::error!("the broker can't be reached: nothing is published"),
            State::Back { .. } => tracing::info!("the broker can be reached"),
            State::Missed => tracing::warn!("too much came from the broker: it is read again"),
        }
        if let State::Back { .. } | State::Missed = state {
            self.membership.forwards.interrupted(&self.membership);
            self.membership.carried.interrupted();
        }
        self.tell_all(|| Note::Cluster(state));
    }
}
