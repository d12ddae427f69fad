//! Order: what concerns one channel, one user in a channel, one session or one node happens one after the other.

use std::{
    collections::{HashMap, VecDeque, hash_map},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use futures_util::future::join_all;
use taiwa_core::{Accepted, Channel, NodeId, SessionId, Statement, Then, User};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Inner;

/// What is ordered among itself.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Key {
    Channel(Channel),
    User(Channel, User),
    Session(SessionId),
    Node(NodeId),
    Patterns,
}

/// Statements that go out in one message, at most.
const PARTS_MAX: usize = 64;
/// Their bytes, unless it is one statement alone.
const BYTES_MAX: usize = 64 * 1024;
/// Reads of one channel at once.
const READS_MAX: usize = 64;

/// What is to be done. It begins when it is its turn.
pub(crate) type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A call that waits for its turn.
pub(crate) enum Job {
    /// A statement; those behind one another go out together.
    Say(Box<Saying>),
    /// Something that changes nothing; those behind one another happen at once.
    Read(Work),
    /// Something that happens alone.
    Do(Work),
}

/// A statement that waits.
pub(crate) struct Saying {
    pub(crate) statement: Statement,
    pub(crate) then: Then<Accepted>,
    pub(crate) place: Place,
}

/// One of the places in the queue, taken until it is dropped.
pub(crate) struct Place {
    _call: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
    pub(crate) since: Instant,
}

/// All lanes of a node.
pub(crate) struct Lanes {
    lanes: Mutex<HashMap<Key, VecDeque<Job>>>,
    places: Arc<Semaphore>,
    places_max: usize,
    /// Bytes that may still wait.
    bytes: Arc<Semaphore>,
}

/// What a lane does next.
enum Turn {
    Say(Vec<Saying>),
    Read(Vec<Work>),
    Do(Work),
}

impl Lanes {
    pub(crate) fn new(places_max: usize, bytes_max: usize) -> Self {
        let places_max = places_max.min(Semaphore::MAX_PERMITS);
        let bytes = bytes_max.min(Semaphore::MAX_PERMITS);
        Self {
            lanes: Mutex::default(),
            places: Arc::new(Semaphore::new(places_max)),
            places_max,
            bytes: Arc::new(Semaphore::new(bytes)),
        }
    }

    /// Takes a place for a call with so many bytes, if there is one.
    pub(crate) fn place(&self, bytes: usize) -> Option<Place> {
        let call = self.places.clone().try_acquire_owned().ok()?;
        let bytes = self.bytes.clone().try_acquire_many_owned(u32::try_from(bytes).ok()?).ok()?;
        Some(Place { _call: call, _bytes: bytes, since: Instant::now() })
    }

    /// How many places are taken.
    pub(crate) fn waiting(&self) -> usize {
        self.places_max - self.places.available_permits()
    }

    fn lanes(&self) -> std::sync::MutexGuard<'_, HashMap<Key, VecDeque<Job>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what is next in a lane; a lane without anything ends.
    fn next(&self, key: &Key) -> Option<Turn> {
        let mut lanes = self.lanes();
        let queue = lanes.get_mut(key)?;
        let Some(job) = queue.pop_front() else {
            lanes.remove(key);
            return None;
        };
        Some(match job {
            Job::Do(work) => Turn::Do(work),
            Job::Read(work) => {
                let mut reads = vec![work];
                while reads.len() < READS_MAX
                    && let Some(Job::Read(work)) =
                        queue.pop_front_if(|it| matches!(it, Job::Read(_)))
                {
                    reads.push(work);
                }
                Turn::Read(reads)
            }
            Job::Say(first) => {
                let mut bytes = first.statement.body.len();
                let mut sayings = vec![*first];
                while let Some(Job::Say(next)) =
                    queue.pop_front_if(|it| goes_along(&sayings, bytes, it))
                {
                    bytes += next.statement.body.len();
                    sayings.push(*next);
                }
                Turn::Say(sayings)
            }
        })
    }
}

/// Whether a job can go out in the message of those before it. One with an identifier goes alone: it may turn out to be said.
fn goes_along(sayings: &[Saying], bytes: usize, job: &mut Job) -> bool {
    let Job::Say(next) = job else { return false };
    let first = &sayings[0].statement;
    let next = &next.statement;
    first.id.is_none()
        && next.id.is_none()
        && first.keep == next.keep
        && sayings.len() < PARTS_MAX
        && bytes + next.body.len() <= BYTES_MAX
}

impl Inner {
    /// Puts a job behind the others of its key.
    pub(crate) fn enter(self: &Arc<Self>, key: Key, job: Job) {
        match self.lanes.lanes().entry(key) {
            hash_map::Entry::Occupied(mut lane) => lane.get_mut().push_back(job),
            hash_map::Entry::Vacant(lane) => {
                let inner = self.clone();
                let key = lane.key().clone();
                lane.insert(VecDeque::from([job]));
                self.runtime.spawn(async move {
                    while let Some(turn) = inner.lanes.next(&key) {
                        inner.take_turn(turn).await;
                    }
                });
            }
        }
    }

    async fn take_turn(self: &Arc<Self>, turn: Turn) {
        match turn {
            Turn::Say(sayings) => self.say(sayings).await,
            Turn::Do(work) => work.await,
            Turn::Read(reads) => drop(join_all(reads).await),
        }
    }
}
