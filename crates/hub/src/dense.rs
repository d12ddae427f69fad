//! The subscribers of one channel on one shard, side by side in memory.

/// A list without gaps in which the caller's handles are places.
///
/// Adding and removing take O(1): what was last moves into the gap, and the caller, told so, corrects the
/// place that it keeps for it. A fan-out walks plain memory. The limit on how many there may be is the
/// caller's; memory shrinks to the half when three quarters are free.
///
/// ```
/// use taiwa_hub::dense::Dense;
///
/// let mut subscribers = Dense::new();
/// let places: Vec<u32> = ["ada", "bob", "cyd"].map(|it| subscribers.push(it)).into();
/// let removed = subscribers.remove(places[0]).unwrap();
/// assert_eq!(removed.item, "ada");
/// // Whoever keeps the place of this one now writes down `places[0]`.
/// assert_eq!(removed.moved, Some(&"cyd"));
/// assert_eq!(subscribers.get(places[0]), Some(&"cyd"));
/// ```
#[derive(Clone, Debug)]
pub struct Dense<T> {
    items: Vec<T>,
}

/// What [`Dense::remove`] did.
#[derive(Debug, PartialEq, Eq)]
pub struct Removed<'a, T> {
    /// What was at the place.
    pub item: T,
    /// What is at the place now, and was last before; `None` if the removed one was last.
    pub moved: Option<&'a T>,
}

/// Below this many places, memory is not worth a copy.
const SHRINK_FROM: usize = 16;

impl<T> Default for Dense<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Dense<T> {
    /// Makes an empty list, which owns no memory.
    pub fn new() -> Self {
        Self { items: Vec::new() }
    }

    /// Adds an item at the end and returns its place. There are 2³² places at most: more is the caller's
    /// mistake, since no process has so many subscribers.
    #[expect(clippy::missing_panics_doc, reason = "2³² subscribers have no room in memory")]
    pub fn push(&mut self, item: T) -> u32 {
        let place = u32::try_from(self.items.len()).expect("fewer than 2³² items");
        self.items.push(item);
        place
    }

    /// Removes the item at a place; returns `None` and changes nothing if there is no such place.
    pub fn remove(&mut self, place: u32) -> Option<Removed<'_, T>> {
        let index = place as usize;
        if index >= self.items.len() {
            return None;
        }
        let item = self.items.swap_remove(index);
        if self.items.len() * 4 < self.items.capacity() && self.items.capacity() > SHRINK_FROM {
            self.items.shrink_to((self.items.len() * 2).max(SHRINK_FROM));
        }
        Some(Removed { item, moved: self.items.get(index) })
    }

    /// Returns the item at a place.
    pub fn get(&self, place: u32) -> Option<&T> {
        self.items.get(place as usize)
    }

    /// Returns the item at a place, to be changed.
    pub fn get_mut(&mut self, place: u32) -> Option<&mut T> {
        self.items.get_mut(place as usize)
    }

    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Tells whether there is none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Returns the items in the order of their places.
    pub fn as_slice(&self) -> &[T] {
        &self.items
    }

    /// Returns the items in the order of their places, to be changed.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.items
    }

    /// Returns the bytes of memory that the list owns, without what its items own.
    pub fn bytes(&self) -> usize {
        self.items.capacity() * size_of::<T>()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::dice::Dice;

    #[test]
    fn places_stay_right_when_the_caller_corrects_what_moved() {
        for seed in 0..20 {
            let mut dice = Dice::new(seed);
            let mut list = Dense::new();
            let mut places = BTreeMap::new();
            for item in 0..2_000_u64 {
                if dice.one_in(2) && !places.is_empty() {
                    let victim = *places.keys().nth(dice.below(places.len())).unwrap();
                    let place = places.remove(&victim).unwrap();
                    let removed = list.remove(place).unwrap();
                    assert_eq!(removed.item, victim, "seed {seed}");
                    if let Some(moved) = removed.moved {
                        places.insert(*moved, place);
                    }
                } else {
                    places.insert(item, list.push(item));
                }
                assert_eq!(list.len(), places.len(), "seed {seed}");
                for (item, place) in &places {
                    assert_eq!(list.get(*place), Some(item), "seed {seed}");
                }
            }
        }
    }

    #[test]
    fn a_place_that_is_not_there_changes_nothing() {
        let mut list = Dense::new();
        assert_eq!(list.remove(0), None::<Removed<'_, u8>>);
        list.push(1_u8);
        assert_eq!(list.remove(1), None);
        assert_eq!(list.remove(u32::MAX), None);
        assert_eq!(list.as_slice(), [1]);
    }

    #[test]
    fn the_last_one_leaves_without_moving_anything() {
        let mut list = Dense::new();
        list.push('a');
        let last = list.push('b');
        assert_eq!(list.remove(last), Some(Removed { item: 'b', moved: None }));
    }

    #[test]
    fn memory_shrinks_when_all_leave() {
        let mut list = Dense::new();
        for item in 0..10_000_u64 {
            list.push(item);
        }
        assert!(list.bytes() >= 80_000);
        for place in (0..10_000).rev() {
            list.remove(place);
        }
        assert!(list.bytes() <= SHRINK_FROM * 8, "{}", list.bytes());
    }
}
