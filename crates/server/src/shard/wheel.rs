//! [`Wheel`]: when to look at which line, coarsely.

use std::time::{Duration, Instant};

use super::Key;

/// What a timer is late by, at most, beside the length of a turn.
const TICK: Duration = Duration::from_millis(100);
/// Ticks in a round, 51.2 seconds. What lies farther ahead goes off at the end of the round and is set anew.
const SLOTS: usize = 512;
/// Timers for which an emptied slot keeps its room.
const KEPT_MAX: usize = 64;

/// A wheel of timers. It holds keys alone; whether something is due says who owns them, so that a timer that goes off
/// early costs a look and no more.
pub(super) struct Wheel {
    start: Instant,
    slots: Vec<Vec<Key>>,
    /// Ticks up to this one are done; a slot that is not done in one turn is done in the next ones.
    done: u64,
    /// No slot before this tick has timers.
    next: u64,
    len: usize,
}

impl Wheel {
    pub(super) fn new(start: Instant) -> Self {
        let slots = (0..SLOTS).map(|_| Vec::new()).collect();
        Self { start, slots, done: 0, next: u64::MAX, len: 0 }
    }

    /// Returns at which tick a timer for this time would go off. Of what lies farther ahead than a round it is a
    /// time before.
    pub(super) fn tick(&self, at: Instant) -> u64 {
        let after = at.saturating_duration_since(self.start);
        // Rounded up: never before its time, or it would go off in vain.
        let tick = after.as_millis().div_ceil(TICK.as_millis()) as u64;
        tick.clamp(self.done + 1, self.done + SLOTS as u64 - 1)
    }

    /// Sets a timer, and returns the tick at which it goes off.
    pub(super) fn set(&mut self, key: Key, at: Instant) -> u64 {
        let tick = self.tick(at);
        self.slots[tick as usize % SLOTS].push(key);
        self.next = self.next.min(tick);
        self.len += 1;
        tick
    }

    /// Takes one key whose time has come, with the tick of its timer; `None` when there is none.
    pub(super) fn pop(&mut self, now: Instant) -> Option<(Key, u64)> {
        let due = (now.saturating_duration_since(self.start).as_millis() / TICK.as_millis()) as u64;
        while self.len != 0 && self.next <= due {
            let slot = &mut self.slots[self.next as usize % SLOTS];
            if let Some(key) = slot.pop() {
                self.len -= 1;
                self.done = self.next - 1;
                return Some((key, self.next));
            }
            slot.shrink_to(KEPT_MAX);
            self.done = self.next;
            self.next += 1;
        }
        if self.len == 0 {
            self.next = u64::MAX;
            self.done = self.done.max(due);
        }
        None
    }

    /// Returns when the next timer goes off.
    pub(super) fn deadline(&mut self) -> Option<Instant> {
        if self.len == 0 {
            return None;
        }
        while self.slots[self.next as usize % SLOTS].is_empty() {
            self.next += 1;
        }
        Some(self.start + Duration::from_millis(self.next * TICK.as_millis() as u64))
    }
}
