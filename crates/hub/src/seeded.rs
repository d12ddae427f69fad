//! Hashing with a key that the caller draws: chosen names cannot flood one bucket, and equal keys make
//! equal runs.

use std::{
    collections::{HashMap, HashSet, hash_map::DefaultHasher},
    fmt,
    hash::{BuildHasher, Hasher},
};

/// Hashes with a secret key of 16 bytes.
///
/// std's own `RandomState` draws its key from the system, so no two runs of a simulation would be the
/// same. Here the caller draws: at random in a server, from the seed in a simulation. Hashes differ
/// between releases of Rust and must not leave the process.
///
/// ```
/// use std::hash::BuildHasher;
/// use taiwa_hub::seeded::Seeded;
///
/// let (a, b) = (Seeded::new([1; 16]), Seeded::new([2; 16]));
/// assert_eq!(a.hash_one("news"), a.clone().hash_one("news"));
/// assert_ne!(a.hash_one("news"), b.hash_one("news"));
/// ```
#[derive(Clone)]
pub struct Seeded(DefaultHasher);

impl Seeded {
    /// Takes the key, which must stay secret where strangers choose what is hashed.
    pub fn new(key: [u8; 16]) -> Self {
        // std's keyed hasher is SipHash with a key of zeros. A secret that goes in first leaves it in
        // a state that nobody knows, as its key would.
        let mut hasher = DefaultHasher::new();
        hasher.write(&key);
        Self(hasher)
    }
}

impl BuildHasher for Seeded {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        self.0.clone()
    }
}

impl fmt::Debug for Seeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seeded(..)")
    }
}

/// A map whose order depends on the key and on what was done to it, and on nothing else.
pub type SeededMap<K, V> = HashMap<K, V, Seeded>;

/// A set whose order depends on the key and on what was done to it, and on nothing else.
pub type SeededSet<K> = HashSet<K, Seeded>;

#[cfg(test)]
mod tests {
    use super::*;

    fn order(key: u8) -> Vec<u32> {
        let mut set = SeededSet::with_hasher(Seeded::new([key; 16]));
        set.extend(0..100);
        set.into_iter().collect()
    }

    #[test]
    fn equal_keys_make_equal_orders_and_other_keys_others() {
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
    }

    #[test]
    fn every_byte_of_the_key_counts() {
        let plain = Seeded::new([0; 16]).hash_one(7);
        for place in 0..16 {
            let mut key = [0; 16];
            key[place] = 1;
            assert_ne!(Seeded::new(key).hash_one(7), plain, "byte {place}");
        }
    }

    #[test]
    fn the_key_is_not_in_debug_output() {
        assert_eq!(format!("{:?}", Seeded::new([42; 16])), "Seeded(..)");
    }
}
