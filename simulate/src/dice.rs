//! Numbers that a seed decides.

use std::time::Duration;

/// A xorshift generator.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Starts from any seed; near seeds give far numbers.
    pub fn new(seed: u64) -> Self {
        // The finalizer of splitmix64.
        let mut it = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        it = (it ^ it >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        it = (it ^ it >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self((it ^ it >> 31) | 1)
    }

    /// Returns the next number.
    pub fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Returns a number below `end`, 0 if `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.roll() >> 11) as usize % end.max(1)
    }

    /// Returns a number from 1 to `max`.
    pub fn up_to(&mut self, max: usize) -> usize {
        1 + self.below(max)
    }

    /// Tells whether one chance in `n` came true.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// Returns one of `choices`.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Returns a time below `max`, in steps of a microsecond.
    pub fn time(&mut self, max: Duration) -> Duration {
        Duration::from_micros(self.below(max.as_micros() as usize) as u64)
    }
}
