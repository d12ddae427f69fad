//! What makes a crowd one node of several: what its shards want of the others, and what is heard of them.

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use taiwa_core::{Cluster, Ears, Heard, NodeId, Refusal, State};
use taiwa_hub::{
    Ticket,
    far::{Found, Wish},
};

use crate::Load;

/// Something that a node hears.
pub(crate) enum News {
    Found(usize, Ticket, Result<Found, Refusal>),
    Heard(Heard),
    Letter(NodeId, Bytes),
    Come(NodeId),
    Gone(NodeId),
    State(State),
}

/// The node's place in the cluster.
pub(crate) struct Node {
    cluster: Cluster,
    inbox: Arc<Inbox>,
    /// The shards that want to hear what is for patterns.
    patterns: u64,
    pub(crate) load: Load,
}

#[derive(Default)]
struct Inbox(Mutex<VecDeque<News>>);

impl Inbox {
    fn put(&self, news: News) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(news);
    }
}

impl Ears for Inbox {
    fn heard(&self, heard: Heard) {
        self.put(News::Heard(heard));
    }

    fn letter(&self, from: NodeId, letter: Bytes) {
        self.put(News::Letter(from, letter));
    }

    fn node_come(&self, node: NodeId) {
        self.put(News::Come(node));
    }

    fn node_gone(&self, node: NodeId) {
        self.put(News::Gone(node));
    }

    fn state(&self, state: State) {
        self.put(News::State(state));
    }
}

impl Node {
    pub(crate) fn new(cluster: Cluster) -> Self {
        let inbox = Arc::new(Inbox::default());
        for node in cluster.registry.nodes() {
            inbox.put(News::Come(node));
        }
        cluster.registry.begin(inbox.clone());
        Self { cluster, inbox, patterns: 0, load: Load::default() }
    }

    pub(crate) fn is_busy(&self) -> bool {
        !self.inbox.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    pub(crate) fn take(&mut self) -> VecDeque<News> {
        let news = mem::take(&mut *self.inbox.0.lock().unwrap_or_else(PoisonError::into_inner));
        self.load.heard += news.iter().filter(|it| matches!(it, News::Heard(_))).count() as u64;
        news
    }

    pub(crate) fn ask(&mut self, shard: usize, ticket: Option<Ticket>, wish: Wish) {
        let wish = match wish {
            Wish::HearPatterns(wanted) => {
                let bit = 1 << shard;
                self.patterns = self.patterns & !bit | u64::from(wanted) << shard;
                Wish::HearPatterns(self.patterns != 0)
            }
            wish => wish,
        };
        let inbox = self.inbox.clone();
        let then = move |found| {
            if let Some(ticket) = ticket {
                inbox.put(News::Found(shard, ticket, found));
            }
        };
        self.load.count(&wish);
        wish.ask(&self.cluster, Box::new(then));
    }
}
