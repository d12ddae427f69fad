//! Random bytes: masking keys, handshake keys, and the pool from which messages are cut.

use std::time::{SystemTime, UNIX_EPOCH};

/// SplitMix64. Fast and evenly spread; what it makes need not be secret, only different each time.
#[derive(Debug)]
pub(crate) struct Noise(u64);

impl Noise {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Each run has another one.
    pub(crate) fn random() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::new(now.as_nanos() as u64)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut it = self.0;
        it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        it ^ (it >> 31)
    }

    pub(crate) fn key(&mut self) -> [u8; 4] {
        let [a, b, c, d, ..] = self.next().to_ne_bytes();
        [a, b, c, d]
    }
}

/// How many places a message may start at.
const STARTS: usize = 1 << 16;

/// A pool of random bytes. A message is a slice of it from a random place: two of the same length differ, so that
/// one that comes too late, twice or on the wrong connection does not pass for another.
#[derive(Debug)]
pub(crate) struct Pool(Vec<u8>);

impl Pool {
    pub(crate) fn new(message_bytes_max: usize, noise: &mut Noise) -> Self {
        let words = (STARTS + message_bytes_max).div_ceil(8);
        Self((0..words).flat_map(|_| noise.next().to_ne_bytes()).collect())
    }

    pub(crate) fn start(&self, noise: &mut Noise) -> usize {
        noise.next() as usize % STARTS
    }

    pub(crate) fn message(&self, start: usize, bytes: usize) -> &[u8] {
        &self.0[start..start + bytes]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_from_different_places_differ() {
        let mut noise = Noise::new(7);
        let pool = Pool::new(16, &mut noise);
        let mut seen: Vec<&[u8]> = (0..STARTS).map(|it| pool.message(it, 16)).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), STARTS);
    }
}
