//! What was answered to whom lately, so that something said twice happens once.

use std::{
    collections::VecDeque,
    fmt,
    hash::Hash,
    time::{Duration, Instant},
};

use crate::seeded::{Seeded, SeededMap};

/// How long and how many answers are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Answers. When there are more, the oldest is forgotten, and what it answered, said again, happens again.
    pub answers_max: usize,
    /// How long an answer is remembered after its first asking: longer than a client repeats itself.
    pub age_max: Duration,
}

impl Default for Memory {
    /// 100,000 answers, 5 minutes.
    fn default() -> Self {
        Self { answers_max: 100_000, age_max: Duration::from_secs(5 * 60) }
    }
}

/// Answers by key: for publications, say, `(channel, identifier)` with the position that it got.
///
/// Keys are compared whole, so different requests are never taken for one. They are held twice: let cloning them be
/// cheap, and limit their length where they come in. All operations take O(1) on average.
///
/// ```
/// use std::time::Instant;
/// use taiwa_hub::{idempotency::{Answers, Memory}, seeded::Seeded};
///
/// let now = Instant::now();
/// let mut answers = Answers::new(Memory::default(), Seeded::new([7; 16]));
/// assert_eq!(answers.find(&("news", "id-1"), now), None);
/// answers.remember(("news", "id-1"), 42, now);
/// assert_eq!(answers.find(&("news", "id-1"), now), Some(&42));
/// ```
pub struct Answers<K, T> {
    memory: Memory,
    known: SeededMap<K, Known<T>>,
    /// The oldest first. A pair whose number is not that of the known answer is one that was forgotten.
    order: VecDeque<(u64, K)>,
    /// The number of the next answer.
    next: u64,
}

struct Known<T> {
    number: u64,
    at: Instant,
    answer: T,
}

impl<K: Clone + Eq + Hash, T> Answers<K, T> {
    /// Remembers nothing yet.
    pub fn new(memory: Memory, seeded: Seeded) -> Self {
        let known = SeededMap::with_hasher(seeded);
        Self { memory, known, order: VecDeque::new(), next: 0 }
    }

    /// Sets how long and how many answers are remembered from now on.
    pub fn set_memory(&mut self, memory: Memory) {
        self.memory = memory;
    }

    /// Returns what was answered, unless it is too old or was forgotten.
    pub fn find(&mut self, key: &K, now: Instant) -> Option<&T> {
        self.expire(now);
        Some(&self.known.get(key)?.answer)
    }

    /// Remembers an answer, forgets the oldest if there are too many, and returns what the key had before. That one's age
    /// stays: "under way" may become "done" without living longer for it.
    pub fn remember(&mut self, key: K, answer: T, now: Instant) -> Option<T> {
        self.expire(now);
        if let Some(known) = self.known.get_mut(&key) {
            return Some(std::mem::replace(&mut known.answer, answer));
        }
        if self.memory.answers_max == 0 {
            return None;
        }
        while self.known.len() >= self.memory.answers_max {
            self.drop_oldest();
        }
        self.order.push_back((self.next, key.clone()));
        self.known.insert(key, Known { number: self.next, at: now, answer });
        self.next += 1;
        None
    }

    /// Forgets an answer, as that of something that failed and may be tried again; returns it.
    pub fn forget(&mut self, key: &K) -> Option<T> {
        let known = self.known.remove(key)?;
        // What is left of it goes with age; should there ever be more left-overs than answers, all at once.
        if self.order.len() > 2 * self.known.len() + 16 {
            self.order.retain(|(number, key)| is(&self.known, *number, key));
        }
        self.shrink();
        Some(known.answer)
    }

    /// Forgets what is too old.
    pub fn expire(&mut self, now: Instant) {
        while let Some((number, key)) = self.order.front() {
            let is_young = |it: &Known<T>| {
                now.saturating_duration_since(it.at) < self.memory.age_max && it.number == *number
            };
            if self.known.get(key).is_some_and(is_young) {
                break;
            }
            self.drop_oldest();
        }
        self.shrink();
    }

    /// Returns when the oldest answer is too old; `None` if there is none, or no end of time.
    pub fn deadline(&self) -> Option<Instant> {
        let (_, key) = self.order.iter().find(|(number, key)| is(&self.known, *number, key))?;
        self.known[key].at.checked_add(self.memory.age_max)
    }

    /// Returns how many answers are remembered.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Tells whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    fn drop_oldest(&mut self) {
        if let Some((number, key)) = self.order.pop_front()
            && is(&self.known, number, &key)
        {
            self.known.remove(&key);
        }
    }

    /// Gives memory back when three quarters stand empty.
    fn shrink(&mut self) {
        for (len, capacity) in
            [(self.known.len(), self.known.capacity()), (self.order.len(), self.order.capacity())]
        {
            if capacity > 64 && len * 4 < capacity {
                self.known.shrink_to(self.known.len() * 2);
                self.order.shrink_to(self.order.len() * 2);
                return;
            }
        }
    }
}

/// Tells whether a pair of the order stands for the answer that is known.
fn is<K: Eq + Hash, T>(known: &SeededMap<K, Known<T>>, number: u64, key: &K) -> bool {
    known.get(key).is_some_and(|it| it.number == number)
}

impl<K, T> fmt::Debug for Answers<K, T> {
    /// Shows no key and no answer: they belong to the users.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut it = f.debug_struct("Answers");
        it.field("memory", &self.memory).field("len", &self.known.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::dice::Dice;

    fn answers(answers_max: usize, age: u64) -> Answers<u64, u64> {
        let age_max = Duration::from_secs(age);
        Answers::new(Memory { answers_max, age_max }, Seeded::new([1; 16]))
    }

    #[test]
    fn it_forgets_the_oldest_the_too_old_and_nothing_else() {
        for seed in 0..30 {
            let mut dice = Dice::new(seed);
            let (max, age) = (dice.below(20), dice.below(10) as u64);
            let mut answers = answers(max, age);
            // By the number of the first asking: key, time, answer.
            let mut model: BTreeMap<usize, (u64, Instant, u64)> = BTreeMap::new();
            let mut now = Instant::now();
            for step in 0..2_000 {
                now += Duration::from_millis(dice.below(500) as u64);
                model.retain(|_, it| now - it.1 < Duration::from_secs(age));
                let key = dice.below(30) as u64;
                let place = model.iter().find(|it| it.1.0 == key).map(|it| *it.0);
                let known = place.map(|it| model[&it].2);
                match dice.below(3) {
                    0 => assert_eq!(answers.find(&key, now), known.as_ref(), "seed {seed}"),
                    1 => {
                        assert_eq!(answers.remember(key, step as u64, now), known, "seed {seed}");
                        match place.and_then(|it| model.get_mut(&it)) {
                            Some(it) => it.2 = step as u64,
                            None => _ = model.insert(step, (key, now, step as u64)),
                        }
                        if model.len() > max {
                            model.pop_first();
                        }
                    }
                    _ => {
                        answers.expire(now);
                        assert_eq!(answers.forget(&key), known, "seed {seed}");
                        place.and_then(|it| model.remove(&it));
                    }
                }
                assert_eq!(answers.len(), model.len(), "seed {seed}");
                let first = model.first_key_value().map(|it| it.1.1 + Duration::from_secs(age));
                assert_eq!(answers.deadline(), first, "seed {seed}");
                assert!(answers.order.len() <= 2 * model.len() + 17, "seed {seed}");
            }
        }
    }

    #[test]
    fn memory_comes_back_with_age() {
        let mut answers = answers(usize::MAX, 1);
        let now = Instant::now();
        for key in 0..10_000 {
            answers.remember(key, 0, now);
        }
        answers.expire(now + Duration::from_secs(1));
        assert!(answers.is_empty());
        assert!(answers.known.capacity() <= 64 && answers.order.capacity() <= 64);
    }

    #[test]
    fn no_key_is_in_debug_output() {
        let mut answers = Answers::new(Memory::default(), Seeded::new([1; 16]));
        answers.remember("secret", "secret", Instant::now());
        assert!(!format!("{answers:?}").contains("secret"));
    }
}
