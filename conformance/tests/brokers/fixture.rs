//! How a broker comes into the suite.

use std::{future::Future, pin::Pin, time::Duration};

use taiwa_core::Cluster;

/// A future of a fixture's.
pub(crate) type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A broker for one scene, and what may happen to it. It ends when it is dropped.
///
/// A module of the suite has `pub(crate) async fn fixture() -> Option<Box<dyn Fixture>>`, which prints why if there is none.
pub(crate) trait Fixture: Send + Sync {
    /// Makes a node that does not hear yet. The handle in the cluster is the only one.
    fn join(&self) -> Later<'_, Cluster>;
    /// Lets a node die as by kill -9: it says nothing to anybody.
    fn kill(&self, node: Cluster) -> Later<'_, ()>;
    /// Lets time pass.
    fn pass(&self, time: Duration) -> Later<'_, ()>;
    /// Stops the broker: nobody reaches it.
    fn stop(&self, kept: Kept) -> Later<'_, ()>;
    /// Starts it again, at the same address.
    fn start(&self) -> Later<'_, ()>;
    /// Lets the broker stand still: whoever reaches it gets no answer.
    fn freeze(&self) -> Later<'_, ()>;
    /// Lets it go on.
    fn thaw(&self) -> Later<'_, ()>;
}

/// What is left when a broker starts again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kept {
    Everything,
    Nothing,
}
