//! The content of the benchmark's large messages: both ends make it and compare every byte, so that nobody has to
//! hold a message to check it.

use std::sync::LazyLock;

/// After how many bytes the content repeats. A prime: no part of a message that is lost, doubled or moved by the
/// length of some buffer passes unnoticed.
pub const PERIOD: usize = 131_071;

/// The most bytes that [`Pattern::at`] lends.
pub const PART_MAX: usize = 64 << 10;

/// The bytes, as many as make each part one slice.
#[derive(Debug)]
pub struct Pattern(Box<[u8]>);

/// Returns the pattern, which is made when it is first needed.
#[must_use]
pub fn pattern() -> &'static Pattern {
    static PATTERN: LazyLock<Pattern> = LazyLock::new(Pattern::new);
    &PATTERN
}

impl Pattern {
    /// Makes the bytes: the upper eight bits of a linear congruential generator of 32.
    fn new() -> Self {
        let mut state = 1_u32;
        let one: Vec<u8> = (0..PERIOD)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        Self(one.iter().cycle().take(PERIOD + PART_MAX).copied().collect())
    }

    /// Returns the bytes from `offset` on: `len`, or [`PART_MAX`] if that is less.
    #[must_use]
    pub fn at(&self, offset: u64, len: u64) -> &[u8] {
        let start = (offset % PERIOD as u64) as usize;
        &self.0[start..start + len.min(PART_MAX as u64) as usize]
    }

    /// Tells whether `bytes` are those from `offset` on.
    #[must_use]
    pub fn is_at(&self, mut offset: u64, bytes: &[u8]) -> bool {
        bytes.chunks(PART_MAX).all(|part| {
            let due = self.at(offset, part.len() as u64);
            offset += part.len() as u64;
            part == due
        })
    }

    /// Returns the offset of the first of `bytes` that is not what it should be.
    #[must_use]
    pub fn first_wrong(&self, offset: u64, bytes: &[u8]) -> Option<u64> {
        (offset..).zip(bytes).find(|(at, byte)| self.at(*at, 1) != [**byte]).map(|(at, _)| at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_recognised_at_its_place_only() {
        let pattern = Pattern::new();
        let (place, len) = (3 * PERIOD as u64 - 7, 3 * PART_MAX as u64);
        let mut bytes = vec![];
        while (bytes.len() as u64) < len {
            let at = place + bytes.len() as u64;
            bytes.extend_from_slice(pattern.at(at, len - bytes.len() as u64));
        }
        assert_eq!(bytes.len() as u64, len);
        assert!(pattern.is_at(place, &bytes) && pattern.is_at(place + PERIOD as u64, &bytes));
        assert!(!pattern.is_at(place + 1, &bytes) && !pattern.is_at(0, &bytes));
        assert_eq!(pattern.first_wrong(place, &bytes[..100]), None);
        bytes[70_000] ^= 1;
        assert!(!pattern.is_at(place, &bytes));
        assert_eq!(pattern.first_wrong(place, &bytes), Some(place + 70_000));
    }
}
