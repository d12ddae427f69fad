//! Who is in one channel.

use std::collections::{BTreeMap, BTreeSet};

use taiwa_core::{Entry, Link, NodeId, SessionId};

/// The members of a channel, of all nodes.
#[derive(Debug, Default)]
pub(crate) struct Members(BTreeMap<(NodeId, SessionId, Link), Entry>);

impl Members {
    /// Enters one. Tells whether it is the first session of its user.
    pub(crate) fn come(&mut self, node: NodeId, entry: Entry) -> bool {
        let first = !self.has_user(&entry);
        self.0.insert((node, entry.session, entry.link), entry);
        first
    }

    /// Removes one. Tells whether it was the last session of its user.
    pub(crate) fn go(&mut self, node: NodeId, entry: &Entry) -> bool {
        self.0.remove(&(node, entry.session, entry.link)).is_some() && !self.has_user(entry)
    }

    fn has_user(&self, entry: &Entry) -> bool {
        entry.user.is_some() && self.0.values().any(|it| it.user == entry.user)
    }

    pub(crate) fn list(&self, limit: usize) -> Vec<(NodeId, Entry)> {
        self.0.iter().take(limit).map(|((node, ..), entry)| (*node, entry.clone())).collect()
    }

    /// Counts sessions and users.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let users: BTreeSet<_> =
            self.0.values().map(|it| it.user.as_ref().map(|it| it.as_str())).collect();
        (self.0.len(), users.len())
    }

    /// Removes all of a node. Tells whether nobody is left.
    pub(crate) fn leave(&mut self, node: NodeId) -> bool {
        self.0.retain(|(of, ..), _| *of != node);
        self.0.is_empty()
    }
}
