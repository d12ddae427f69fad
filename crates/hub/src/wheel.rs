//! When to look at a connection again: timers for millions, each in O(1).

use std::{
    collections::VecDeque,
    fmt,
    time::{Duration, Instant},
};

/// Ticks per slot of the next level: the bits of a level's mask.
const SLOTS: u64 = 64;

/// Levels; together they reach 2⁴² ticks ahead, 139 years in ticks of a millisecond.
const LEVELS: usize = 7;

/// The last tick there is. A time behind it counts as it.
const LAST: u64 = (1 << (6 * LEVELS)) - 1;

/// A slot that held more gives its memory back when it was emptied.
const SLOT_KEPT: usize = 64;

/// A hierarchical timing wheel: entries lie in slots of coarse ticks, and coarser slots are spread over finer ones as
/// their time comes near.
///
/// Nothing is ever removed: a key whose entry is not true any more comes up once, and the caller sees that it is not due
/// (its connection has a later deadline, or its slab does not know the key). [`Alarm`] does that book-keeping, with one
/// entry for each connection. An entry takes 16 bytes with a key of 8. The number of entries is limited by the caller's
/// number of connections.
///
/// ```
/// use std::time::{Duration, Instant};
/// use taiwa_hub::wheel::Wheel;
///
/// let start = Instant::now();
/// let mut wheel = Wheel::new(Duration::from_millis(50), start);
/// wheel.schedule("pong", start + Duration::from_secs(10));
/// let mut due = vec![];
/// wheel.advance(start + Duration::from_millis(9_999), usize::MAX, &mut due);
/// assert!(due.is_empty());
/// wheel.advance(start + Duration::from_secs(10), usize::MAX, &mut due);
/// assert_eq!(due[0].key, "pong");
/// ```
pub struct Wheel<K> {
    start: Instant,
    granularity: Duration,
    /// The tick up to which everything has come up, itself included.
    now: u64,
    levels: [Level<K>; LEVELS],
    /// Due, and not handed out yet.
    ready: VecDeque<Due<K>>,
    len: usize,
}

struct Level<K> {
    /// Which slots have an entry.
    occupied: u64,
    slots: [Vec<Due<K>>; SLOTS as usize],
}

/// An entry whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due<K> {
    /// Whose it is.
    pub key: K,
    /// Which entry it was, for [`Alarm::rings`].
    pub tick: u64,
}

impl<K> Wheel<K> {
    /// Starts a wheel. An entry comes up at its time or up to one granularity later, never earlier: 10 to 100 ms suit
    /// deadlines of connections. A granularity of zero counts as a nanosecond.
    pub fn new(granularity: Duration, start: Instant) -> Self {
        let level = |_| Level { occupied: 0, slots: std::array::from_fn(|_| Vec::new()) };
        let levels = std::array::from_fn(level);
        let granularity = granularity.max(Duration::from_nanos(1));
        Self { start, granularity, now: 0, levels, ready: VecDeque::new(), len: 0 }
    }

    /// Adds an entry and returns its tick. A time that has passed comes up with the next [`Wheel::advance`].
    pub fn schedule(&mut self, key: K, at: Instant) -> u64 {
        let tick = self.tick_of(at);
        self.len += 1;
        self.place(Due { key, tick });
        tick
    }

    /// Hands out what is due, the earliest tick first, and of one tick in no promised but a repeatable order. What was
    /// scheduled when its time had passed already stands behind all that was due by then. Returns whether more is due
    /// than the `limit`; the next call goes on there, so one turn never has to see all of a storm.
    ///
    /// A time before that of an earlier call counts as that one's.
    pub fn advance(&mut self, now: Instant, limit: usize, due: &mut Vec<Due<K>>) -> bool {
        let end = self.passed(now).max(self.now);
        let mut left = limit;
        loop {
            let count = left.min(self.ready.len());
            due.extend(self.ready.drain(..count));
            left -= count;
            self.len -= count;
            if !self.ready.is_empty() {
                return true;
            }
            if self.ready.capacity() > SLOT_KEPT {
                self.ready = VecDeque::new();
            }
            match self.earliest() {
                Some((level, tick)) if tick <= end => self.open(level, tick),
                _ => break,
            }
        }
        self.now = end;
        false
    }

    /// Returns when to call [`Wheel::advance`] next: when the first entry is due, or earlier, when a coarse slot must be
    /// spread; `None` without entries.
    pub fn next(&self) -> Option<Instant> {
        let tick = if self.ready.is_empty() { self.earliest()?.1 } else { self.now };
        let (whole, rest) = (tick / u64::from(u32::MAX), tick % u64::from(u32::MAX));
        let far =
            self.granularity.checked_mul(u32::MAX)?.checked_mul(u32::try_from(whole).ok()?)?;
        self.start.checked_add(far)?.checked_add(self.granularity.checked_mul(rest as u32)?)
    }

    /// Returns how many entries there are, also those that are not true any more.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Tells whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the bytes of memory that the wheel owns.
    pub fn bytes(&self) -> usize {
        let slots = self.levels.iter().flat_map(|it| &it.slots).map(Vec::capacity);
        size_of::<Self>() + (slots.sum::<usize>() + self.ready.capacity()) * size_of::<Due<K>>()
    }

    /// The first tick at which a time has come.
    fn tick_of(&self, at: Instant) -> u64 {
        let after = at.saturating_duration_since(self.start).as_nanos();
        let granularity = self.granularity.as_nanos();
        // Asked for each line that is written: 128 bits are divided slowly.
        let ticks = match (u64::try_from(after), u64::try_from(granularity)) {
            (Ok(after), Ok(granularity)) => Ok(after.div_ceil(granularity)),
            _ => u64::try_from(after.div_ceil(granularity)),
        };
        ticks.unwrap_or(LAST).min(LAST)
    }

    /// The last tick that has come by now.
    fn passed(&self, now: Instant) -> u64 {
        let after = now.saturating_duration_since(self.start).as_nanos();
        u64::try_from(after / self.granularity.as_nanos()).unwrap_or(LAST).min(LAST)
    }

    fn place(&mut self, due: Due<K>) {
        if due.tick <= self.now {
            self.ready.push_back(due);
            return;
        }
        // The highest digit in which it differs from now is the level: all lower levels come up first.
        let level = (due.tick ^ self.now).ilog2() as usize / 6;
        let slot = due.tick >> (6 * level) & (SLOTS - 1);
        self.levels[level].occupied |= 1 << slot;
        self.levels[level].slots[slot as usize].push(due);
    }

    /// Returns level and first tick of the slot that is next.
    fn earliest(&self) -> Option<(usize, u64)> {
        let level = self.levels.iter().position(|it| it.occupied != 0)?;
        let slot = u64::from(self.levels[level].occupied.trailing_zeros());
        let shift = 6 * level;
        let above = self.now >> shift >> 6 << 6 << shift;
        Some((level, above | slot << shift))
    }

    /// Goes to the tick at which a slot begins, and spreads the slot.
    fn open(&mut self, level: usize, tick: u64) {
        let slot = tick >> (6 * level) & (SLOTS - 1);
        self.levels[level].occupied &= !(1 << slot);
        self.now = tick;
        let mut entries = std::mem::take(&mut self.levels[level].slots[slot as usize]);
        if level == 0 {
            self.ready.extend(entries.drain(..));
        } else {
            for due in entries.drain(..) {
                self.place(due);
            }
        }
        if entries.capacity() <= SLOT_KEPT {
            self.levels[level].slots[slot as usize] = entries;
        }
    }
}

impl<K> fmt::Debug for Wheel<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut it = f.debug_struct("Wheel");
        it.field("now", &self.now).field("len", &self.len).finish_non_exhaustive()
    }
}

/// The one entry that somebody has in a wheel: 8 bytes in the connection.
///
/// Deadlines mostly move away from now (something arrived, so the peer is alive): that costs nothing here, since the
/// entry stays, comes up early, and is then set anew. Only an earlier deadline needs a new entry; the old one is then
/// not true any more, and silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alarm(u64);

impl Default for Alarm {
    fn default() -> Self {
        Self(u64::MAX)
    }
}

impl Alarm {
    /// Makes sure that `key` comes up at this time or before.
    pub fn set<K>(&mut self, at: Instant, key: K, wheel: &mut Wheel<K>) {
        if wheel.tick_of(at) < self.0 {
            self.0 = wheel.schedule(key, at);
        }
    }

    /// Tells whether an entry that came up is the one that counts, so that the owner must look at its deadlines now,
    /// and set the alarm again.
    pub fn rings(&mut self, tick: u64) -> bool {
        let rings = self.0 == tick;
        if rings {
            self.0 = u64::MAX;
        }
        rings
    }
}

#[cfg(test)]
mod tests;
