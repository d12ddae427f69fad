//! The broker in memory.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use taiwa_core::{Cluster, NodeId};
use taiwa_memory::World;

use crate::fixture::{Fixture, Kept, Later};

struct InMemory {
    world: Arc<World>,
    nodes: Mutex<Vec<NodeId>>,
    next: AtomicU64,
}

pub(crate) async fn fixture() -> Option<Box<dyn Fixture>> {
    let (world, nodes) = (World::new(1), Mutex::default());
    Some(Box::new(InMemory { world, nodes, next: AtomicU64::new(1) }))
}

impl InMemory {
    fn each(&self, act: impl Fn(&World, NodeId)) {
        let nodes = self.nodes.lock().unwrap().clone();
        nodes.into_iter().for_each(|it| act(&self.world, it));
    }
}

impl Fixture for InMemory {
    fn join(&self) -> Later<'_, Cluster> {
        let node = NodeId(self.next.fetch_add(1, Ordering::Relaxed) << 48);
        self.nodes.lock().unwrap().push(node);
        Box::pin(async move { Cluster::of(&self.world.join(node)) })
    }

    fn kill(&self, node: Cluster) -> Later<'_, ()> {
        Box::pin(async move { self.world.kill(node.registry.node()) })
    }

    fn pass(&self, time: Duration) -> Later<'_, ()> {
        Box::pin(async move { self.world.advance(time) })
    }

    fn stop(&self, kept: Kept) -> Later<'_, ()> {
        Box::pin(async move {
            self.each(World::cut);
            if kept == Kept::Nothing {
                self.world.lose_everything();
            }
        })
    }

    fn start(&self) -> Later<'_, ()> {
        Box::pin(async move { self.each(World::mend) })
    }

    fn freeze(&self) -> Later<'_, ()> {
        self.stop(Kept::Everything)
    }

    fn thaw(&self) -> Later<'_, ()> {
        self.start()
    }
}
