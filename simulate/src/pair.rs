//! Two nodes that meet in one broker, as the tests of what goes between them need it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use taiwa_core::{Cluster, NodeId};
use taiwa_hub::Settings;
use taiwa_memory::World;

use crate::Crowd;

/// Two nodes of two shards each, open to all.
pub struct Pair {
    /// Where they meet.
    pub world: Arc<World>,
    /// By which names they know each other.
    pub ids: [NodeId; 2],
    /// Their sessions.
    pub nodes: [Crowd; 2],
}

impl Default for Pair {
    fn default() -> Self {
        let (world, start) = (World::new(7), Instant::now());
        let ids = [NodeId(1 << 48 | 5), NodeId(2 << 48 | 6)];
        let nodes = ids.map(|id| {
            Crowd::new(2, Settings::open(), start).in_cluster(Cluster::of(&world.join(id)))
        });
        let mut it = Self { world, ids, nodes };
        it.settle();
        it
    }
}

impl Pair {
    /// Lets both do all that there is to do.
    ///
    /// # Panics
    ///
    /// If that never ends.
    pub fn settle(&mut self) {
        for _ in 0..1000 {
            let mut is_busy = false;
            for node in &mut self.nodes {
                is_busy |= node.turn();
            }
            if !is_busy && self.nodes.iter().all(|it| !it.is_busy()) {
                return;
            }
        }
        panic!("the nodes find no rest");
    }

    /// Lets time pass for both and the broker.
    pub fn pass(&mut self, time: Duration) {
        self.world.advance(time);
        for node in &mut self.nodes {
            node.pass(time);
        }
        self.settle();
    }
}
