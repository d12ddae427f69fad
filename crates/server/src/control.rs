//! [`Control`]: orders to the hub from outside of the shards.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use taiwa_core::{Refusal, RefusalKind};
use taiwa_hub::{Done, Order};
use tokio::sync::oneshot;

use crate::{
    host::{Host, Looking, Note, Ordered, Snapshot},
    shard::Post,
};

/// Gives orders to a running server. Cheap to clone.
#[derive(Clone)]
pub struct Control {
    posts: Arc<[Post<Host>]>,
    next: Arc<AtomicUsize>,
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("shards", &self.posts.len()).finish_non_exhaustive()
    }
}

impl Control {
    pub(crate) fn new(posts: Arc<[Post<Host>]>) -> Self {
        Self { posts, next: Arc::default() }
    }

    /// Has an order done. Orders of one caller that waits for each are done in their order; those that run side by side,
    /// in any.
    ///
    /// Dropping the future does not undo the order.
    ///
    /// # Errors
    ///
    /// The hub's refusal; [`RefusalKind::Unavailable`] if so many letters wait for the shards that no more is taken, or
    /// the server has ended.
    pub async fn order(&self, order: Order) -> Result<Done, Refusal> {
        let post = &self.posts[self.next.fetch_add(1, Ordering::Relaxed) % self.posts.len()];
        let (answer, answered) = oneshot::channel();
        let note = Note::Order(Box::new(Ordered { order, answer }));
        let busy = |_| Refusal::new(RefusalKind::Unavailable, "the server is busy or ends");
        post.try_send(note).map_err(busy)?;
        let ended = |_| Refusal::new(RefusalKind::Unavailable, "the server ends");
        answered.await.map_err(ended)?
    }

    /// Returns what does orders, for an [`Api`](crate::api::Api) to be opened.
    pub fn into_orders(
        self,
    ) -> impl Fn(Order) -> Pin<Box<dyn Future<Output = Result<Done, Refusal>> + Send>> + Send + Sync
    {
        move |order| {
            let control = self.clone();
            Box::pin(async move { control.order(order).await })
        }
    }

    /// Waits until each shard has taken a turn that began after this call, and tells whether all have: one that has ended
    /// takes none.
    ///
    /// Cancel-safe.
    pub async fn turns_taken(&self) -> bool {
        let asked = self.posts.iter().map(|post| {
            let (taken, awaited) = oneshot::channel();
            post.send(Note::Turn(taken));
            awaited
        });
        let mut all = true;
        for taken in asked.collect::<Vec<_>>() {
            all &= taken.await.is_ok();
        }
        all
    }

    /// Shows how each shard is, with at most so many of its newest conversations. A shard that has ended is left out.
    ///
    /// Cancel-safe.
    pub async fn look(&self, rows_max: usize) -> Vec<Snapshot> {
        let asked = self.posts.iter().map(|post| {
            let (answer, answered) = oneshot::channel();
            post.send(Note::Look(Box::new(Looking { rows_max, answer })));
            answered
        });
        let mut snapshots = vec![];
        for answered in asked.collect::<Vec<_>>() {
            snapshots.extend(answered.await);
        }
        snapshots
    }
}
