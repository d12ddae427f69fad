//! Nodes of a cluster on a clock that is only a number: a [`Crowd`] each, and a broker in memory between them, whose work is
//! counted.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use taiwa_core::{Cluster, Command, Event, NodeId, Token};
use taiwa_hub::{Settings, far::Wish};
use taiwa_memory::World;

use crate::{Crowd, Who};

/// One client: its node, and who it is there.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Guest {
    /// The number of the node.
    pub node: usize,
    /// The client there.
    pub who: Who,
}

/// What one node asked of the broker, and heard from it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Load {
    /// Publications said.
    pub published: u64,
    /// Channels that it began to hear, each with what was said before.
    pub subscribed: u64,
    /// What else was asked: presence, sessions, history, letters to other nodes, channels that it hears no longer.
    pub other: u64,
    /// Publications heard.
    pub heard: u64,
}

impl Load {
    pub(crate) fn count(&mut self, wish: &Wish) {
        match wish {
            Wish::Publish(_) => self.published += 1,
            Wish::Subscribe(..) => self.subscribed += 1,
            _ => self.other += 1,
        }
    }

    /// Returns all requests to the broker.
    pub fn requests(&self) -> u64 {
        self.published + self.subscribed + self.other
    }

    /// Returns both together.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self {
            published: self.published + other.published,
            subscribed: self.subscribed + other.subscribed,
            other: self.other + other.other,
            heard: self.heard + other.heard,
        }
    }

    /// Returns what was added since.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            published: self.published - before.published,
            subscribed: self.subscribed - before.subscribed,
            other: self.other - before.other,
            heard: self.heard - before.heard,
        }
    }
}

/// Nodes with a broker between them.
pub struct Fleet {
    world: Arc<World>,
    nodes: Vec<Place>,
}

struct Place {
    id: NodeId,
    crowd: Crowd,
    is_up: bool,
}

impl Fleet {
    /// Builds nodes with so many shards each.
    pub fn new(nodes: usize, shards: u16, settings: &Settings, start: Instant) -> Self {
        let world = World::new(1);
        let nodes = (1..=nodes as u64).map(|number| {
            let id = NodeId(number << 48 | number);
            let cluster = Cluster::of(&world.join(id));
            let crowd = Crowd::new(shards, settings.clone(), start).in_cluster(cluster);
            Place { id, crowd, is_up: true }
        });
        let nodes = nodes.collect();
        let mut fleet = Self { world, nodes };
        fleet.settle();
        fleet
    }

    /// Returns how many nodes it began with.
    pub fn size(&self) -> usize {
        self.nodes.len()
    }

    /// Lets a client come in at a shard of a node.
    pub fn enter(&mut self, node: usize, shard: usize) -> Guest {
        Guest { node, who: self.nodes[node].crowd.enter(shard) }
    }

    /// Lets a client ask its hub; the answer is an event with the token returned.
    pub fn ask(&mut self, guest: Guest, command: Command) -> Token {
        self.nodes[guest.node].crowd.ask(guest.who, command)
    }

    /// Takes what a client heard.
    pub fn heard(&mut self, guest: Guest) -> Vec<Event> {
        self.nodes[guest.node].crowd.heard(guest.who)
    }

    /// Returns the crowd at a node.
    pub fn crowd(&self, node: usize) -> &Crowd {
        &self.nodes[node].crowd
    }

    /// Returns what all nodes asked of the broker so far, and heard from it.
    pub fn load(&self) -> Load {
        self.nodes.iter().fold(Load::default(), |sum, it| sum.and(&it.crowd.load()))
    }

    /// Lets time pass.
    pub fn pass(&mut self, time: Duration) {
        self.world.advance(time);
        self.nodes.iter_mut().for_each(|it| it.crowd.pass(time));
    }

    /// Ends a node, with all that it knows; the others hear that it is gone.
    pub fn kill(&mut self, node: usize) {
        self.nodes[node].is_up = false;
        self.world.kill(self.nodes[node].id);
    }

    /// Does one turn of each node that is up. Returns whether anything is left to do.
    pub fn turn(&mut self) -> bool {
        let up = self.nodes.iter_mut().filter(|it| it.is_up);
        // What a node says is there for those before it, too.
        up.map(|it| it.crowd.turn()).fold(false, |all, it| all | it)
            || self.nodes.iter().any(|it| it.is_up && it.crowd.is_busy())
    }

    /// Does turns until nothing is left to do.
    pub fn settle(&mut self) {
        while self.turn() {}
    }
}
