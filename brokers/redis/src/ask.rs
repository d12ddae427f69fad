//! What callers want of the connection, and the limits of it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};

use redis::{Cmd, Value, cluster_routing::Slot};
use taiwa_core::{Channel, Ears, Refusal, RefusalKind};

/// What is done with an answer.
pub(crate) type Answer = Box<dyn FnOnce(Result<Value, Refusal>) + Send>;

/// One thing that callers want. Each belongs to a slot, which is told or that of the channel.
pub(crate) enum Ask {
    /// A command and what to do with its answer.
    Request(Slot, Cmd, Pending),
    /// Hear a channel, then ask.
    Subscribe(Channel, Cmd, Pending),
    Unsubscribe(Channel),
    /// Hear what is for patterns, or no longer.
    Patterns(bool, Pending),
    Begin(Arc<dyn Ears>),
    /// Take this node's name out, and tell the others.
    Leave(Pending),
}

/// An answer that somebody waits for. It is told in any case, at the latest when this is dropped.
pub(crate) struct Pending {
    answer: Option<Answer>,
    pub(crate) until: Instant,
    bytes: usize,
    gauge: Arc<Gauge>,
}

/// How much waits, and what was counted.
#[derive(Default)]
pub(crate) struct Gauge {
    pub(crate) up: AtomicBool,
    pub(crate) waiting: AtomicUsize,
    bytes: AtomicUsize,
    pub(crate) requests: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) late: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) heard: AtomicU64,
    pub(crate) letters: AtomicU64,
    pub(crate) reloads: AtomicU64,
}

impl Gauge {
    /// Counts one in.
    pub(crate) fn count(it: &AtomicU64) {
        it.fetch_add(1, Relaxed);
    }

    /// Takes a request in, or refuses it: if the broker is away, or too much waits.
    pub(crate) fn admit(
        self: &Arc<Self>,
        bytes: usize,
        until: Instant,
        limits: (usize, usize),
        answer: Answer,
    ) -> Option<Pending> {
        Self::count(&self.requests);
        let why = if !self.up.load(Relaxed) {
            AWAY
        } else if self.waiting.fetch_add(1, Relaxed) >= limits.0 {
            self.waiting.fetch_sub(1, Relaxed);
            BUSY
        } else if self.bytes.fetch_add(bytes, Relaxed).saturating_add(bytes) > limits.1 {
            self.waiting.fetch_sub(1, Relaxed);
            self.bytes.fetch_sub(bytes, Relaxed);
            BUSY
        } else {
            let gauge = self.clone();
            return Some(Pending { answer: Some(answer), until, bytes, gauge });
        };
        Self::count(&self.refused);
        answer(Err(unavailable(why)));
        None
    }
}

const AWAY: &str = "the broker can't be reached";
const BUSY: &str = "the broker is busy";

/// Says that something can't be done now.
pub(crate) fn unavailable(why: &str) -> Refusal {
    Refusal::new(RefusalKind::Unavailable, why)
}

impl Pending {
    /// Tells the answer.
    pub(crate) fn tell(mut self, result: Result<Value, Refusal>) {
        self.end(result);
    }

    /// Says that the connection broke, or could not be used.
    pub(crate) fn lose(self) {
        self.tell(Err(unavailable(AWAY)));
    }

    /// Says that it took too long.
    pub(crate) fn late(self) {
        Gauge::count(&self.gauge.late);
        self.tell(Err(unavailable("the broker did not answer in time")));
    }

    fn end(&mut self, result: Result<Value, Refusal>) {
        let Some(answer) = self.answer.take() else { return };
        self.gauge.waiting.fetch_sub(1, Relaxed);
        self.gauge.bytes.fetch_sub(self.bytes, Relaxed);
        if result.is_err() {
            Gauge::count(&self.gauge.refused);
        }
        answer(result);
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.end(Err(unavailable(AWAY)));
    }
}
