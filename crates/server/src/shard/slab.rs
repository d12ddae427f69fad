//! [`Slab`]: lines by key, where a key of a line that ended never means another.

/// Names a line of one shard. It is never used again for another line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub(super) index: u32,
    generation: u32,
}

impl Key {
    /// Returns its place, which a later line may have too.
    pub fn place(self) -> usize {
        self.index as usize
    }

    /// Returns it as one number, unique in its shard.
    pub fn get(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }
}

/// Things in boxes, so that an empty place costs 16 bytes and growing moves pointers alone.
pub(super) struct Slab<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
    /// Of the next key. It does not belong to the place: places are given back.
    generation: u32,
    len: usize,
}

struct Place<T> {
    /// ABA guard: whose key it is.
    generation: u32,
    held: Option<Box<T>>,
}

impl<T> Slab<T> {
    pub(super) fn new() -> Self {
        Self { places: Vec::new(), free: Vec::new(), generation: 0, len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Returns the key that the next thing gets.
    pub(super) fn next_key(&self) -> Key {
        let index = self.free.last().copied().unwrap_or(self.places.len() as u32);
        Key { index, generation: self.generation }
    }

    pub(super) fn insert(&mut self, thing: T) -> Key {
        let key = self.next_key();
        let place = Place { generation: key.generation, held: Some(Box::new(thing)) };
        match self.free.pop() {
            Some(index) => self.places[index as usize] = place,
            None => self.places.push(place),
        }
        self.generation = self.generation.wrapping_add(1);
        self.len += 1;
        key
    }

    pub(super) fn get(&self, key: Key) -> Option<&T> {
        let place = self.places.get(key.index as usize)?;
        if place.generation == key.generation { place.held.as_deref() } else { None }
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let place = self.places.get_mut(key.index as usize)?;
        if place.generation == key.generation { place.held.as_deref_mut() } else { None }
    }

    /// Returns the key of what is at a place now.
    pub(super) fn key_at(&self, index: usize) -> Option<Key> {
        let place = self.places.get(index)?;
        place.held.as_ref()?;
        Some(Key { index: index as u32, generation: place.generation })
    }

    /// Returns how many places there are, empty ones too.
    pub(super) fn places(&self) -> usize {
        self.places.len()
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<Box<T>> {
        self.get(key)?;
        let thing = self.places[key.index as usize].held.take();
        self.len -= 1;
        self.free.push(key.index);
        if self.len == 0 {
            // The only time at which every place can go.
            (self.places, self.free) = (Vec::new(), Vec::new());
        }
        thing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_something_removed_finds_nothing_even_when_its_place_is_taken_again() {
        let mut slab = Slab::new();
        let (a, b) = (slab.insert('a'), slab.insert('b'));
        assert_eq!(slab.remove(a).as_deref(), Some(&'a'));
        let c = slab.insert('c');
        assert_eq!((c.index, slab.len(), slab.places()), (a.index, 2, 2));
        assert_eq!((slab.get(a), slab.get(b), slab.get(c)), (None, Some(&'b'), Some(&'c')));
        assert_eq!((slab.remove(a), slab.key_at(0)), (None, Some(c)));
    }

    #[test]
    fn when_the_last_one_goes_all_memory_does_and_old_keys_stay_old() {
        let mut slab = Slab::new();
        let old: Vec<Key> = (0..100).map(|it| slab.insert(it)).collect();
        for key in &old {
            assert!(slab.remove(*key).is_some());
        }
        assert_eq!((slab.places.capacity(), slab.free.capacity()), (0, 0));
        let new = slab.insert(1);
        assert_eq!((new.index, slab.get(old[0])), (0, None));
    }
}
