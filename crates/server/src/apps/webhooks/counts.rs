//! What webhooks have done so far.

use std::{
    fmt,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use tracing::{debug, warn};

use super::Kind;

/// What the webhook of one kind has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KindCounts {
    /// Questions that were asked.
    pub asked: u64,
    /// Of these, those that the program answered with a yes or a no of its own.
    pub answered: u64,
    /// Of these, those that it did not answer in time.
    pub late: u64,
    /// Of these, those that it did not answer, or not with what fits.
    pub failed: u64,
    /// Questions that were not asked because too many were under way.
    pub turned_away: u64,
    /// Events that the program took.
    pub told: u64,
    /// Attempts to tell an event again.
    pub retries: u64,
    /// Events that were dropped because the queue was full.
    pub dropped: u64,
    /// Events that were given up: all attempts failed, or the program does not want them.
    pub given_up: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters([Counter; Kind::ALL.len()]);

#[derive(Debug, Default)]
pub(super) struct Counter {
    pub(super) asked: AtomicU64,
    pub(super) answered: AtomicU64,
    pub(super) late: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) turned_away: AtomicU64,
    pub(super) told: AtomicU64,
    pub(super) retries: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) given_up: AtomicU64,
    failing: AtomicBool,
}

impl Counters {
    pub(super) fn of(&self, kind: Kind) -> &Counter {
        &self.0[kind as usize]
    }

    /// Notes that a program did what it was to do.
    pub(super) fn works(&self, kind: Kind) {
        self.of(kind).failing.store(false, Relaxed);
    }

    /// Logs what went wrong: the first time a warning, then only for those who look closer, until it works again. A
    /// program that is down would otherwise fill the log.
    pub(super) fn fails(&self, kind: Kind, why: &dyn fmt::Display) {
        match self.of(kind).failing.swap(true, Relaxed) {
            false => {
                warn!(webhook = kind.name(), "{why}; further faults are counted until it works")
            }
            true => debug!(webhook = kind.name(), "{why}"),
        }
    }
}

impl Counter {
    pub(super) fn read(&self) -> KindCounts {
        KindCounts {
            asked: self.asked.load(Relaxed),
            answered: self.answered.load(Relaxed),
            late: self.late.load(Relaxed),
            failed: self.failed.load(Relaxed),
            turned_away: self.turned_away.load(Relaxed),
            told: self.told.load(Relaxed),
            retries: self.retries.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            given_up: self.given_up.load(Relaxed),
        }
    }
}

/// Counts one more.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}
