//! What the nodes share, and what may happen to it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use taiwa_core::{Channel, Ears, Heard, Look, NodeId, SessionId, State};

use crate::{Memory, member::Members, past::Past};

/// Where nodes meet. Everything is kept until the last of its nodes and handles is dropped.
///
/// Beside [`join`](World::join) it has what tests need: what goes wrong in real clusters, by a call.
#[derive(Default)]
pub struct World(Mutex<Things>);

#[derive(Default)]
pub(crate) struct Things {
    seed: u64,
    skew: Duration,
    pub(crate) secret: [u8; 32],
    pub(crate) nodes: BTreeMap<NodeId, Place>,
    pub(crate) pasts: HashMap<Channel, Past>,
    pub(crate) members: HashMap<Channel, Members>,
    pub(crate) sessions: HashMap<SessionId, (Instant, Bytes)>,
}

/// One node, as the world knows it.
#[derive(Default)]
pub(crate) struct Place {
    ears: Option<Arc<dyn Ears>>,
    pub(crate) known: BTreeSet<NodeId>,
    pub(crate) subscribed: BTreeSet<Channel>,
    pub(crate) patterns: bool,
    pub(crate) cut: bool,
    /// The others were told that it is gone.
    buried: bool,
    entries_lost: bool,
    queue: VecDeque<Job>,
    telling: bool,
    held: bool,
    lose: usize,
    repeat: usize,
    pub(crate) requests: u64,
    pub(crate) refused: u64,
    heard: u64,
}

/// What a node is to be told.
pub(crate) enum Job {
    Then(Box<dyn FnOnce() + Send>),
    Heard(Heard),
    Letter(NodeId, Bytes),
    Come(NodeId),
    Gone(NodeId),
    State(State),
}

/// Whom to tell what.
type Next = (NodeId, Option<Arc<dyn Ears>>, Job);

impl World {
    /// Makes an empty one. What is random in it comes out of the seed.
    pub fn new(seed: u64) -> Arc<Self> {
        let mut things = Things { seed, ..Default::default() };
        for part in 0..4 {
            let random = things.random().to_le_bytes();
            things.secret[part * 8..][..8].copy_from_slice(&random);
        }
        Arc::new(Self(Mutex::new(things)))
    }

    /// Adds a node. The others hear of it once it begins to hear. A name that is taken is taken over: whoever had it hears
    /// nothing more.
    pub fn join(self: &Arc<Self>, node: NodeId) -> Arc<Memory> {
        self.kill(node);
        let mut things = self.lock();
        let known = things.alive().chain([node]).collect();
        things.nodes.insert(node, Place { known, ..Default::default() });
        drop(things);
        Arc::new(Memory::new(self.clone(), node))
    }

    /// Lets time pass, on top of what passes by itself.
    pub fn advance(&self, time: Duration) {
        self.lock().skew += time;
    }

    /// Loses the next so many publications for a node: it never hears of them.
    pub fn lose(&self, node: NodeId, publications: usize) {
        self.lock().place(node, |it| it.lose = publications);
    }

    /// Brings the next so many publications to a node twice.
    pub fn repeat(&self, node: NodeId, publications: usize) {
        self.lock().place(node, |it| it.repeat = publications);
    }

    /// Keeps back everything that a node would be told, answers included, until it is [released](World::release).
    pub fn hold(&self, node: NodeId) {
        self.lock().place(node, |it| it.held = true);
    }

    /// Tells a node what was kept back.
    pub fn release(&self, node: NodeId) {
        self.lock().place(node, |it| it.held = false);
        self.tell();
    }

    /// Cuts a node off: it is told [`State::Lost`], hears nothing, and what it asks is refused. The others notice nothing yet.
    pub fn cut(&self, node: NodeId) {
        self.lock().place(node, |it| {
            if !std::mem::replace(&mut it.cut, true) {
                it.queue.push_back(Job::State(State::Lost));
            }
        });
        self.tell();
    }

    /// Tells the others that a node is gone, as they find when it was silent for too long; its entries in presence go.
    pub fn bury(&self, node: NodeId) {
        self.lock().bury(node);
        self.tell();
    }

    /// Connects a node that was cut off: it is told [`State::Back`]; if it was [buried](World::bury), the others hear that it came.
    pub fn mend(&self, node: NodeId) {
        self.lock().mend(node);
        self.tell();
    }

    /// Tells a node [`State::Missed`].
    pub fn missed(&self, node: NodeId) {
        self.lock().place(node, |it| it.queue.push_back(Job::State(State::Missed)));
        self.tell();
    }

    /// Kills a node: it hears nothing more, not even that; the others are told that it is gone.
    pub fn kill(&self, node: NodeId) {
        let answers = self.lock().remove(node);
        drop(answers);
        self.tell();
    }

    /// Loses everything that is kept, the secret alone excepted, as a broker that was stopped and came back without its disk. All
    /// nodes are told [`State::Lost`], then [`State::Back`].
    pub fn lose_everything(&self) {
        let mut things = self.lock();
        things.pasts.clear();
        things.members.clear();
        things.sessions.clear();
        for place in things.nodes.values_mut() {
            if place.cut {
                place.entries_lost = true;
                continue;
            }
            let back = State::Back { entries_lost: true };
            place.queue.extend([Job::State(State::Lost), Job::State(back)]);
        }
        drop(things);
        self.tell();
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Things> {
        // What is told is told outside of the lock, so that no panic of a test's can leave half a change behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells all nodes what waits for them, but those to which another thread is talking.
    pub(crate) fn tell(&self) {
        let mut things = self.lock();
        while let Some((node, ears, job)) = things.next_job() {
            drop(things);
            let telling = Telling { world: self, node };
            run(job, ears.as_deref());
            drop(telling);
            things = self.lock();
        }
    }
}

/// Marks a node as being talked to, also while a panic passes.
struct Telling<'a> {
    world: &'a World,
    node: NodeId,
}

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        self.world.lock().place(self.node, |it| it.telling = false);
    }
}

fn run(job: Job, ears: Option<&dyn Ears>) {
    if let Job::Then(then) = job {
        return then();
    }
    let Some(ears) = ears else { return };
    match job {
        Job::Then(_) => {}
        Job::Heard(heard) => ears.heard(heard),
        Job::Letter(from, letter) => ears.letter(from, letter),
        Job::Come(node) => ears.node_come(node),
        Job::Gone(node) => ears.node_gone(node),
        Job::State(state) => ears.state(state),
    }
}

impl Things {
    pub(crate) fn now(&self) -> Instant {
        Instant::now() + self.skew
    }

    /// Returns a number that is never 0 (splitmix64).
    pub(crate) fn random(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.seed;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)).max(1)
    }

    fn place(&mut self, node: NodeId, change: impl FnOnce(&mut Place)) {
        if let Some(place) = self.nodes.get_mut(&node) {
            change(place);
        }
    }

    /// Returns who began to hear and was not buried.
    fn alive(&self) -> impl Iterator<Item = NodeId> {
        self.nodes.iter().filter(|(_, it)| it.ears.is_some() && !it.buried).map(|(node, _)| *node)
    }

    /// Lets a node hear, and the others hear of it.
    pub(crate) fn begin(&mut self, node: NodeId, ears: Arc<dyn Ears>) {
        self.place(node, |it| it.ears = Some(ears));
        self.announce(node);
        self.learn(node);
    }

    /// Takes a node out. Returns the answers that it still waits for.
    pub(crate) fn remove(&mut self, node: NodeId) -> Vec<Box<dyn FnOnce() + Send>> {
        self.bury(node);
        let queue = self.nodes.remove(&node).map(|it| it.queue).unwrap_or_default();
        let answers = queue.into_iter().filter_map(|it| match it {
            Job::Then(then) => Some(then),
            _ => None,
        });
        answers.collect()
    }

    fn announce(&mut self, node: NodeId) {
        for (_, place) in self.nodes.iter_mut().filter(|(it, place)| **it != node && !place.cut) {
            if place.known.insert(node) {
                place.queue.push_back(Job::Come(node));
            }
        }
    }

    /// Tells a node who has come and gone since it last knew.
    fn learn(&mut self, node: NodeId) {
        let alive: BTreeSet<NodeId> = self.alive().chain([node]).collect();
        self.place(node, |it| {
            let gone = it.known.difference(&alive).copied().map(Job::Gone);
            let come = alive.difference(&it.known).copied().map(Job::Come);
            it.queue.extend(gone.chain(come));
            it.known = alive;
        });
    }

    fn bury(&mut self, node: NodeId) {
        self.place(node, |it| (it.buried, it.entries_lost) = (true, true));
        self.members.retain(|_, it| !it.leave(node));
        for (_, place) in self.nodes.iter_mut().filter(|(it, place)| **it != node && !place.cut) {
            if place.known.remove(&node) {
                place.queue.push_back(Job::Gone(node));
            }
        }
    }

    fn mend(&mut self, node: NodeId) {
        let Some(place) = self.nodes.get_mut(&node).filter(|it| it.cut) else { return };
        place.cut = false;
        let entries_lost = std::mem::take(&mut place.entries_lost);
        let was_buried = std::mem::take(&mut place.buried);
        place.queue.push_back(Job::State(State::Back { entries_lost }));
        if was_buried {
            self.announce(node);
        }
        self.learn(node);
    }

    /// Brings a statement to whoever listens. Returns how many subscribers of the channel there are.
    pub(crate) fn bring(&mut self, heard: &Heard, to_patterns: bool) -> u32 {
        let mut nodes = 0;
        for place in self.nodes.values_mut().filter(|it| !it.cut) {
            if place.subscribed.contains(&heard.channel) {
                nodes += 1;
                place.hear(heard.clone());
            }
            if to_patterns && place.patterns {
                place.hear(Heard { by_pattern: true, ..heard.clone() });
            }
        }
        nodes
    }

    pub(crate) fn look(&self, node: NodeId) -> Look {
        let Some(it) = self.nodes.get(&node) else {
            return Look { kind: "memory", ..Default::default() };
        };
        Look {
            kind: "memory",
            up: !it.cut,
            waiting: it.queue.len(),
            counters: vec![("requests", it.requests), ("refused", it.refused), ("heard", it.heard)],
        }
    }

    fn next_job(&mut self) -> Option<Next> {
        let free =
            |(_, it): &(&NodeId, &mut Place)| !it.telling && !it.held && !it.queue.is_empty();
        let (node, place) = self.nodes.iter_mut().find(free)?;
        place.telling = true;
        let job = place.queue.pop_front()?;
        Some((*node, place.ears.clone(), job))
    }
}

impl Place {
    fn hear(&mut self, heard: Heard) {
        if self.lose > 0 {
            self.lose -= 1;
            return;
        }
        self.heard += 1;
        if self.repeat > 0 {
            self.repeat -= 1;
            self.queue.push_back(Job::Heard(heard.clone()));
        }
        self.queue.push_back(Job::Heard(heard));
    }

    pub(crate) fn tell(&mut self, job: Job) {
        self.queue.push_back(job);
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}
