//! Nodes that could not be told that a request of theirs is not answered any more: they wait for the answer, so they are told
//! once that can be done.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use taiwa_core::{NodeId, RefusalKind};

use super::{Membership, forward::HEAD_WITHIN, wire::Part};

/// How long it takes until they are told again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Of so many requests it is remembered; the nodes of more wait for as long as they wait for any answer.
const UNTOLD_MAX: usize = 16_384;

/// Requests of other nodes whose end could not be told.
#[derive(Default)]
pub(super) struct Untold(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// With the time after which nobody waits any more.
    requests: HashMap<(NodeId, u64), Instant>,
    /// A task tells them.
    is_tended: bool,
}

impl Untold {
    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self, node: NodeId, id: u64) {
        self.lock().requests.remove(&(node, id));
    }

    /// Returns those that are still waited for; without any, the task ends.
    fn left(&self, now: Instant) -> Vec<(NodeId, u64)> {
        let mut inner = self.lock();
        inner.requests.retain(|_, until| *until > now);
        inner.is_tended = !inner.requests.is_empty();
        inner.requests.keys().copied().collect()
    }
}

impl Membership {
    /// Sends a part of an answer. If it does not arrive, the node is told that there is none, as soon as it can be.
    pub(super) fn answer(self: &Arc<Self>, node: NodeId, id: u64, part: &Part<'_>) {
        let Some(letter) = part.write() else { return };
        let is_end = matches!(part, Part::End(_));
        let membership = self.clone();
        let sent = move |sent: Result<(), taiwa_core::Refusal>| match sent {
            Ok(()) if is_end => membership.untold.forget(node, id),
            Ok(()) => {}
            // A letter that is too long always was.
            Err(why) if why.kind == RefusalKind::Limit => {}
            Err(_) => membership.not_told(node, id),
        };
        self.cluster.registry.send(node, letter, Box::new(sent));
    }

    /// Has a node told later that a request of it is not answered.
    pub(super) fn not_told(self: &Arc<Self>, node: NodeId, id: u64) {
        let mut inner = self.untold.lock();
        if inner.requests.len() >= UNTOLD_MAX {
            return;
        }
        inner.requests.entry((node, id)).or_insert_with(|| Instant::now() + HEAD_WITHIN);
        if std::mem::replace(&mut inner.is_tended, true) {
            return;
        }
        drop(inner);
        let weak = Arc::downgrade(self);
        self.runtime.spawn(async move {
            loop {
                tokio::time::sleep(AGAIN_AFTER).await;
                let Some(membership) = weak.upgrade() else { return };
                let left = membership.untold.left(Instant::now());
                if left.is_empty() {
                    return;
                }
                let nodes = membership.cluster.registry.nodes();
                for (node, id) in left.into_iter().filter(|it| nodes.contains(&it.0)) {
                    membership.answer(node, id, &Part::End(id));
                }
            }
        });
    }
}
