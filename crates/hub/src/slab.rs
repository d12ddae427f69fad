//! Places for sessions and connections, by keys that die with what they named.

use std::{fmt, num::NonZeroU64};

/// Names one item of one [`Slab`]: 32 bits of place, 32 bits that say which of the place's tenants. It is
/// never 0, so an `Option<Key>` has 8 bytes too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(NonZeroU64);

impl Key {
    fn new(index: u32, generation: u32) -> Option<Self> {
        NonZeroU64::new(u64::from(generation) << 32 | u64::from(index)).map(Self)
    }

    /// Reads a key that was written with [`Key::bits`]. A key that no slab gave is found in none.
    pub fn from_bits(bits: u64) -> Option<Self> {
        // A generation is never 0.
        if bits >> 32 == 0 { None } else { NonZeroU64::new(bits).map(Self) }
    }

    /// Returns the key as a number, as an event of epoll carries it.
    pub fn bits(self) -> u64 {
        self.0.get()
    }

    /// Returns the place, which a later tenant may have too. Sort by it to walk memory forwards.
    pub fn index(self) -> u32 {
        self.0.get() as u32
    }

    fn generation(self) -> u32 {
        (self.0.get() >> 32) as u32
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}.{})", self.index(), self.generation())
    }
}

/// Places in one chunk: the bits of its mask.
const PLACES: usize = 64;

/// Items by [`Key`]. The key of a removed item finds nothing, for ever: also when its place has a new
/// tenant.
///
/// All operations take O(1); inserting looks for the lowest chunk with a free place, 4,096 places at a
/// step. Places come in chunks of 64; the lowest free place is taken first, and an empty chunk gives its
/// memory back (all but one), so a mass disconnect frees what it leaves empty, and the rest as survivors
/// leave. What stays of the highest number there ever was is a quarter of a byte for each place. A place
/// that had 2³²-1 tenants is not let again.
///
/// ```
/// use taiwa_hub::slab::Slab;
///
/// let mut sessions = Slab::new(1_000);
/// let ada = sessions.insert("ada").unwrap();
/// assert_eq!(sessions.remove(ada), Some("ada"));
/// let bob = sessions.insert("bob").unwrap();
/// assert_eq!(ada.index(), bob.index());
/// assert_eq!(sessions.get(ada), None);
/// ```
#[derive(Debug)]
pub struct Slab<T> {
    chunks: Vec<Chunk<T>>,
    /// One bit for each chunk: set if it has, or would have, a free place.
    open: Vec<u64>,
    /// No word of `open` before this one has a bit.
    first_open: usize,
    /// A chunk that keeps its memory without a tenant, if it still has none.
    spare: Option<usize>,
    len: usize,
    items_max: u32,
}

#[derive(Debug)]
enum Chunk<T> {
    /// Without memory; every place starts with the generation `from`, above all that were given before.
    Empty {
        from: u32,
    },
    Let(Box<Tenants<T>>),
}

#[derive(Debug)]
struct Tenants<T> {
    /// Which places are taken.
    taken: u64,
    /// Of the tenant, or of the next one; 0 once a place had too many.
    generations: [u32; PLACES],
    items: Box<[Option<T>]>,
}

impl<T> Chunk<T> {
    fn tenants(&self) -> Option<&Tenants<T>> {
        match self {
            Self::Empty { .. } => None,
            Self::Let(tenants) => Some(tenants),
        }
    }

    /// Frees the memory if no tenant is left, and remembers above which generation to go on.
    fn give_back(&mut self) {
        if let Self::Let(tenants) = self
            && tenants.taken == 0
            // A place that is let no more is remembered by its chunk alone.
            && !tenants.generations.contains(&0)
        {
            let from = tenants.generations.into_iter().max().unwrap_or(1);
            *self = Self::Empty { from };
        }
    }
}

impl<T> Tenants<T> {
    fn new(from: u32) -> Box<Self> {
        Box::new(Self {
            taken: 0,
            generations: [from; PLACES],
            items: (0..PLACES).map(|_| None).collect(),
        })
    }

    /// Returns a place that can be let.
    fn free(&self) -> Option<usize> {
        let mut free = !self.taken;
        while free != 0 {
            let place = free.trailing_zeros() as usize;
            if self.generations[place] != 0 {
                return Some(place);
            }
            free &= free - 1;
        }
        None
    }
}

impl<T> Slab<T> {
    /// Makes an empty slab of at most `items_max` items, which owns no memory.
    pub fn new(items_max: u32) -> Self {
        Self { chunks: Vec::new(), open: Vec::new(), first_open: 0, spare: None, len: 0, items_max }
    }

    /// Sets how many items there may be. Those that are there stay, also if they are more.
    pub fn set_items_max(&mut self, items_max: u32) {
        self.items_max = items_max;
    }

    /// Adds an item.
    ///
    /// # Errors
    ///
    /// Gives the item back if the slab is full.
    #[expect(clippy::missing_panics_doc, reason = "`insert_with` calls once or not at all")]
    pub fn insert(&mut self, item: T) -> Result<Key, T> {
        let mut item = Some(item);
        let key = self.insert_with(|_| item.take().expect("called once"));
        key.ok_or_else(|| item.expect("not called"))
    }

    /// Adds the item that `make` makes of its key; returns `None`, without calling it, if the slab is
    /// full.
    pub fn insert_with(&mut self, make: impl FnOnce(Key) -> T) -> Option<Key> {
        if self.len >= self.items_max as usize {
            return None;
        }
        let number = self.open_chunk()?;
        let chunk = &mut self.chunks[number];
        if let Chunk::Empty { from } = *chunk {
            *chunk = Chunk::Let(Tenants::new(from));
        }
        let Chunk::Let(tenants) = chunk else { return None };
        let place = tenants.free()?;
        let key = Key::new((number * PLACES + place) as u32, tenants.generations[place])?;
        tenants.items[place] = Some(make(key));
        tenants.taken |= 1 << place;
        if tenants.free().is_none() {
            self.open[number / 64] &= !(1 << (number % 64));
        }
        self.len += 1;
        Some(key)
    }

    /// Returns the lowest chunk with a free place, a new one if need be.
    fn open_chunk(&mut self) -> Option<usize> {
        while let Some(word) = self.open.get(self.first_open) {
            if *word != 0 {
                return Some(self.first_open * 64 + word.trailing_zeros() as usize);
            }
            self.first_open += 1;
        }
        let number = self.chunks.len();
        u32::try_from((number + 1) * PLACES - 1).ok()?;
        self.chunks.push(Chunk::Empty { from: 1 });
        self.open.resize(self.chunks.len().div_ceil(64), 0);
        self.open[number / 64] |= 1 << (number % 64);
        self.first_open = number / 64;
        Some(number)
    }

    /// Takes an item out; returns `None` if the key's item has gone already.
    pub fn remove(&mut self, key: Key) -> Option<T> {
        let (number, place) = split(key);
        let Some(Chunk::Let(tenants)) = self.chunks.get_mut(number) else { return None };
        if tenants.generations[place] != key.generation() {
            return None;
        }
        let item = tenants.items[place].take()?;
        tenants.taken &= !(1 << place);
        tenants.generations[place] = key.generation().wrapping_add(1);
        let is_empty = tenants.taken == 0;
        let is_open = tenants.free().is_some();
        self.len -= 1;
        if is_open {
            self.open[number / 64] |= 1 << (number % 64);
            self.first_open = self.first_open.min(number / 64);
        }
        if is_empty && self.spare != Some(number) {
            // One stays, so that a single client that comes and goes does not allocate each time.
            if let Some(spare) = self.spare.replace(number) {
                self.chunks[spare].give_back();
            }
        }
        Some(item)
    }

    /// Returns an item; `None` if it has gone.
    pub fn get(&self, key: Key) -> Option<&T> {
        let (number, place) = split(key);
        let Some(Chunk::Let(tenants)) = self.chunks.get(number) else { return None };
        tenants.items[place].as_ref().filter(|_| tenants.generations[place] == key.generation())
    }

    /// Returns an item, to be changed; `None` if it has gone.
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let (number, place) = split(key);
        let Some(Chunk::Let(tenants)) = self.chunks.get_mut(number) else { return None };
        tenants.items[place].as_mut().filter(|_| tenants.generations[place] == key.generation())
    }

    /// Tells whether the key's item is still there.
    pub fn contains(&self, key: Key) -> bool {
        self.get(key).is_some()
    }

    /// Returns all keys and items in the order of their places.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.chunks.iter().enumerate().flat_map(|(number, chunk)| {
            let tenants = chunk.tenants();
            let taken = tenants.map_or(0, |it| it.taken);
            let items = tenants.into_iter().flat_map(|it| it.generations.iter().zip(&it.items));
            // An empty chunk is not walked, nor is what follows its last tenant.
            let walked = PLACES - taken.leading_zeros() as usize;
            items.take(walked).enumerate().filter_map(move |(place, (generation, item))| {
                Some((Key::new((number * PLACES + place) as u32, *generation)?, item.as_ref()?))
            })
        })
    }

    /// Returns the key of the first item at this place or after it: to go through a slab piece by piece,
    /// start with 0 and go on with the returned key's [index](Key::index) + 1.
    pub fn next_from(&self, index: u32) -> Option<Key> {
        let (first, place) = (index as usize / PLACES, index as usize % PLACES);
        for (number, chunk) in self.chunks.iter().enumerate().skip(first) {
            let Some(tenants) = chunk.tenants() else { continue };
            let from = if number == first { place } else { 0 };
            let taken = tenants.taken & (u64::MAX << from);
            if taken != 0 {
                let place = taken.trailing_zeros() as usize;
                return Key::new((number * PLACES + place) as u32, tenants.generations[place]);
            }
        }
        None
    }

    /// Returns the key of the item at a place, if there is one.
    pub fn key_at(&self, index: u32) -> Option<Key> {
        let tenants = self.chunks.get(index as usize / PLACES)?.tenants()?;
        let place = index as usize % PLACES;
        (tenants.taken & 1 << place != 0).then(|| Key::new(index, tenants.generations[place]))?
    }

    /// Returns how many items there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Tells whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the bytes of memory that the slab owns, without what its items own.
    pub fn bytes(&self) -> usize {
        let lets = self.chunks.iter().filter(|it| it.tenants().is_some()).count();
        lets * (size_of::<Tenants<T>>() + PLACES * size_of::<Option<T>>())
            + self.chunks.capacity() * size_of::<Chunk<T>>()
            + self.open.capacity() * size_of::<u64>()
    }
}

/// Returns where in the table and in the chunk the key's place is.
fn split(key: Key) -> (usize, usize) {
    (key.index() as usize / PLACES, key.index() as usize % PLACES)
}

#[cfg(test)]
mod tests;
