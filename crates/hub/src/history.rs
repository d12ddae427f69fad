//! What was said in a channel, in order: kept within limits, and honest about what is gone.

use std::{
    collections::{VecDeque, vec_deque},
    fmt,
    time::{Duration, Instant},
};

use taiwa_core::Position;

/// How much of a channel's past is kept. Whatever limit is reached first, the oldest items go; who asks for them is told
/// of a [`Recovery::Gap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Items. With 0 nothing is kept, and offsets go on counting.
    pub items_max: usize,
    /// Bytes: those that the caller names for each item, plus the [own size](History::ITEM_BYTES) of its entry. An item
    /// above it alone is counted but not kept, and nor is anything before it, since a history has no holes.
    pub bytes_max: usize,
    /// How long an item is kept.
    pub age_max: Duration,
    /// How long epoch and offset outlive the last item and the last one who asked: longer than clients stay away.
    pub position_age_max: Duration,
}

impl Default for Retention {
    /// 100 items, 1 MiB, 5 minutes; the position for 30 days.
    fn default() -> Self {
        Self {
            items_max: 100,
            bytes_max: 1 << 20,
            age_max: Duration::from_secs(5 * 60),
            position_age_max: Duration::from_secs(30 * 24 * 60 * 60),
        }
    }
}

/// The log of one channel: items with offsets from 1 upwards, without holes, of which the newest are kept.
///
/// Times are the caller's, and so is the retention, which may change between calls. Every call that can see items first
/// drops those that are too old, so nobody is shown one past its age.
///
/// ```
/// use std::time::Instant;
/// use taiwa_core::Position;
/// use taiwa_hub::history::{History, Recovery, Retention};
///
/// let (now, keep) = (Instant::now(), Retention { items_max: 2, ..Retention::default() });
/// let mut history = History::new(0xfeed, now);
/// for item in ["a", "b", "c"] {
///     history.push(item, item.len(), &keep, now);
/// }
/// let since = |epoch, offset| Position { epoch, offset };
/// let Recovery::Whole(missed) = history.recover(since(0xfeed, 1), 10, &keep, now) else { panic!() };
/// assert_eq!(missed.collect::<Vec<_>>(), [(2, &"b"), (3, &"c")]);
/// assert!(matches!(history.recover(since(0xfeed, 0), 10, &keep, now), Recovery::Gap(_)));
/// assert!(matches!(history.recover(since(0xbeef, 3), 10, &keep, now), Recovery::Gap(_)));
/// ```
#[derive(Clone)]
pub struct History<T> {
    epoch: u64,
    /// The offset of the last item there ever was.
    top: u64,
    /// The newest items; the last one has the offset `top`.
    items: VecDeque<Entry<T>>,
    /// The sum of the entries' bytes, without their own size.
    bytes: usize,
    /// When somebody last pushed, recovered or read.
    touched: Instant,
}

#[derive(Clone)]
struct Entry<T> {
    item: T,
    bytes: usize,
    at: Instant,
}

/// What a subscriber who was away gets.
#[derive(Debug)]
pub enum Recovery<'a, T> {
    /// These are all that were missed, perhaps none: there is no gap.
    Whole(Items<'a, T>),
    /// Something is lost: it was dropped, or the position is of another epoch, or ahead of the history, or more was
    /// missed than the limit allows. Here is the newest of what is kept, within the limit.
    Gap(Items<'a, T>),
}

/// Below this many entries, memory is not worth a copy.
const SHRINK_FROM: usize = 8;

impl<T> History<T> {
    /// The bytes of an entry itself, which count towards [`Retention::bytes_max`].
    pub const ITEM_BYTES: usize = size_of::<Entry<T>>();

    /// Begins a history; the epoch must be random, so that no two lives of a channel have the same.
    pub fn new(epoch: u64, now: Instant) -> Self {
        Self { epoch, top: 0, items: VecDeque::new(), bytes: 0, touched: now }
    }

    /// Goes on where a history of the same epoch was, as after a move between shards: without items, so that everybody
    /// who is not at this position is told of a gap.
    pub fn resume(position: Position, now: Instant) -> Self {
        Self { top: position.offset, ..Self::new(position.epoch, now) }
    }

    /// Returns where the channel stands: the epoch and the last offset given, 0 before the first.
    pub fn position(&self) -> Position {
        Position { epoch: self.epoch, offset: self.top }
    }

    /// Returns the position that the next pushed item will have, as the item itself may carry it.
    pub fn next(&self) -> Position {
        Position { epoch: self.epoch, offset: self.top + 1 }
    }

    /// Adds an item that owns so many bytes, drops what is now too much, and returns its offset.
    pub fn push(&mut self, item: T, bytes: usize, keep: &Retention, now: Instant) -> u64 {
        self.top += 1;
        self.touched = self.touched.max(now);
        self.items.push_back(Entry { item, bytes, at: now });
        self.bytes = self.bytes.saturating_add(bytes);
        self.expire(keep, now);
        self.top
    }

    /// Returns what came behind a position, at most `limit` items, and counts as a sign of life of the channel.
    pub fn recover(
        &mut self,
        since: Position,
        limit: usize,
        keep: &Retention,
        now: Instant,
    ) -> Recovery<'_, T> {
        self.touched = self.touched.max(now);
        self.expire(keep, now);
        let missed = self.top.checked_sub(since.offset).filter(|_| since.epoch == self.epoch);
        match missed.and_then(|it| usize::try_from(it).ok()) {
            Some(missed) if missed <= limit.min(self.items.len()) => {
                Recovery::Whole(self.newest(missed))
            }
            _ => Recovery::Gap(self.newest(limit)),
        }
    }

    /// Returns the items behind an offset, the oldest first, at most `limit`. Items that are gone are left out without a
    /// word: whoever must know asks [`History::recover`].
    pub fn after(
        &mut self,
        offset: u64,
        limit: usize,
        keep: &Retention,
        now: Instant,
    ) -> Items<'_, T> {
        self.touched = self.touched.max(now);
        self.expire(keep, now);
        let from = self.place(offset.saturating_add(1));
        self.range(from, from.saturating_add(limit).min(self.items.len()))
    }

    /// Returns the items before an offset, at most `limit`, those next to it: to be read backwards with
    /// [`Iterator::rev`]. `u64::MAX` begins at the end.
    pub fn before(
        &mut self,
        offset: u64,
        limit: usize,
        keep: &Retention,
        now: Instant,
    ) -> Items<'_, T> {
        self.touched = self.touched.max(now);
        self.expire(keep, now);
        let end = self.place(offset);
        self.range(end.saturating_sub(limit), end)
    }

    /// Returns the last item, if it is kept still: all that a channel which keeps its last value needs.
    pub fn last(&mut self, keep: &Retention, now: Instant) -> Option<(u64, &T)> {
        self.expire(keep, now);
        self.items.back().map(|it| (self.top, &it.item))
    }

    /// Counts as a sign of life of the channel.
    pub fn touch(&mut self, now: Instant) {
        self.touched = self.touched.max(now);
    }

    /// Drops all items. Epoch and offset stay, so whoever missed one of them is told of a gap.
    pub fn clear(&mut self) {
        self.items = VecDeque::new();
        self.bytes = 0;
    }

    /// Drops what is too much or too old, and gives back memory that this leaves empty.
    pub fn expire(&mut self, keep: &Retention, now: Instant) {
        while let Some(oldest) = self.items.front() {
            let age = now.saturating_duration_since(oldest.at);
            let fits = self.items.len() <= keep.items_max && self.counted() <= keep.bytes_max;
            if fits && age < keep.age_max {
                break;
            }
            self.bytes -= oldest.bytes;
            self.items.pop_front();
        }
        if self.items.len() * 4 < self.items.capacity() && self.items.capacity() > SHRINK_FROM {
            self.items.shrink_to((self.items.len() * 2).max(SHRINK_FROM));
        }
    }

    /// Tells whether nothing is left worth keeping: no item, and nobody asked for longer than
    /// [`Retention::position_age_max`]. The history may go then; the channel's next one has another epoch, and whoever
    /// returns even later is told of a gap.
    pub fn is_idle(&mut self, keep: &Retention, now: Instant) -> bool {
        self.expire(keep, now);
        self.items.is_empty()
            && now.saturating_duration_since(self.touched) >= keep.position_age_max
    }

    /// Returns when to look again: when the oldest item is too old, or the position if there is no item. `None` means
    /// never, because the age is unlimited.
    pub fn deadline(&self, keep: &Retention) -> Option<Instant> {
        match self.items.front() {
            Some(oldest) => oldest.at.checked_add(keep.age_max),
            None => self.touched.checked_add(keep.position_age_max),
        }
    }

    /// Returns how many items are held. Some may be too old already, until the next call that drops them.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Tells whether no item is held.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Returns what [`Retention::bytes_max`] limits.
    pub fn counted(&self) -> usize {
        self.bytes.saturating_add(self.items.len() * Self::ITEM_BYTES)
    }

    /// Returns the bytes of memory held: those named for the items, all entries with the spare ones, and the history
    /// itself.
    pub fn bytes(&self) -> usize {
        self.bytes.saturating_add(self.items.capacity() * Self::ITEM_BYTES + size_of::<Self>())
    }

    /// Returns the index of the first item with this offset or a later one.
    fn place(&self, offset: u64) -> usize {
        let from_end = self.top.saturating_add(1).saturating_sub(offset);
        self.items.len().saturating_sub(usize::try_from(from_end).unwrap_or(usize::MAX))
    }

    fn newest(&self, count: usize) -> Items<'_, T> {
        self.range(self.items.len().saturating_sub(count), self.items.len())
    }

    fn range(&self, from: usize, to: usize) -> Items<'_, T> {
        let to_end = (self.items.len() - from) as u64;
        Items { next: self.top + 1 - to_end, items: self.items.range(from..to) }
    }
}

impl<T> fmt::Debug for History<T> {
    /// Shows no item: they belong to the users.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut it = f.debug_struct("History");
        it.field("position", &self.position()).field("len", &self.len());
        it.field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

/// Items with their offsets, the oldest first; from both ends.
pub struct Items<'a, T> {
    /// The offset of the first one left.
    next: u64,
    items: vec_deque::Iter<'a, Entry<T>>,
}

impl<'a, T> Iterator for Items<'a, T> {
    type Item = (u64, &'a T);

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.items.next()?;
        self.next += 1;
        Some((self.next - 1, &entry.item))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.items.size_hint()
    }
}

impl<T> DoubleEndedIterator for Items<'_, T> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let entry = self.items.next_back()?;
        Some((self.next + self.items.len() as u64, &entry.item))
    }
}

impl<T> ExactSizeIterator for Items<'_, T> {}

impl<T> fmt::Debug for Items<'_, T> {
    /// Shows no item: they belong to the users.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut it = f.debug_struct("Items");
        it.field("next", &self.next).field("len", &self.items.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
