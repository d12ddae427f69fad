//! How fast somebody may go: a token bucket that never drifts.

use std::time::{Duration, Instant};

/// So many tokens in so much time, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    tokens: u32,
    /// In nanoseconds.
    per: u64,
    burst: u32,
}

impl Rate {
    /// Allows `tokens` in each `per`, and `burst` at once after a rest. A bucket's state is a whole number of
    /// 1/`tokens` nanoseconds, so no rate is rounded.
    ///
    /// Returns `None` if one of them is 0, or if filling an empty bucket at one token in `per` would take 584 years or
    /// more.
    pub fn new(tokens: u32, per: Duration, burst: u32) -> Option<Self> {
        let per = u64::try_from(per.as_nanos()).ok()?;
        per.checked_mul(u64::from(burst))?;
        (tokens > 0 && per > 0 && burst > 0).then_some(Self { tokens, per, burst })
    }

    /// Allows `tokens` a second and as many at once; `None` if it is 0.
    pub fn per_second(tokens: u32) -> Option<Self> {
        Self::new(tokens, Duration::from_secs(1), tokens)
    }

    /// Returns how many tokens a full bucket has.
    pub fn burst(&self) -> u32 {
        self.burst
    }

    /// A full bucket: each token weighs `per`, and each nanosecond brings `tokens`.
    fn full(&self) -> u64 {
        self.per * u64::from(self.burst)
    }
}

/// What somebody has left of a [`Rate`]: 24 bytes.
///
/// The rate is an argument of every call, so that many buckets share one and it may change; what is in the bucket counts
/// on in parts of the new rate, and never above its burst.
///
/// ```
/// use std::time::{Duration, Instant};
/// use taiwa_hub::rate::{Bucket, Rate};
///
/// let rate = Rate::per_second(2).unwrap();
/// let now = Instant::now();
/// let mut bucket = Bucket::full(&rate, now);
/// assert_eq!(bucket.take(2, &rate, now), Ok(()));
/// assert_eq!(bucket.take(1, &rate, now), Err(Duration::from_millis(500)));
/// assert_eq!(bucket.take(1, &rate, now + Duration::from_millis(500)), Ok(()));
/// ```
#[derive(Clone, Debug)]
pub struct Bucket {
    level: u64,
    /// When the level was true.
    at: Instant,
}

impl Bucket {
    /// Starts with a whole burst.
    pub fn full(rate: &Rate, now: Instant) -> Self {
        Self { level: rate.full(), at: now }
    }

    /// Takes `n` tokens if they are there.
    ///
    /// # Errors
    ///
    /// Takes nothing and returns after how long they will be there if nobody takes any, not a nanosecond less;
    /// [`Duration::MAX`] if `n` is above the burst, so never.
    pub fn take(&mut self, n: u32, rate: &Rate, now: Instant) -> Result<(), Duration> {
        self.fill(rate, now);
        if n > rate.burst {
            return Err(Duration::MAX);
        }
        let wanted = rate.per * u64::from(n);
        match self.level.checked_sub(wanted) {
            Some(left) => {
                self.level = left;
                Ok(())
            }
            None => {
                let wait = (wanted - self.level).div_ceil(u64::from(rate.tokens));
                // A clock that stepped back must first come to where it was.
                Err(self.at.saturating_duration_since(now) + Duration::from_nanos(wait))
            }
        }
    }

    /// Returns how many tokens could be taken.
    pub fn tokens(&mut self, rate: &Rate, now: Instant) -> u32 {
        self.fill(rate, now);
        (self.level / rate.per) as u32
    }

    /// Tells whether the bucket is full, so that forgetting it and making a new one later changes nothing.
    pub fn is_full(&mut self, rate: &Rate, now: Instant) -> bool {
        self.fill(rate, now);
        self.level == rate.full()
    }

    fn fill(&mut self, rate: &Rate, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_nanos();
        // Below 2¹²⁸ for any passed time: it has at most 94 bits, the rate 32.
        let gained = passed * u128::from(rate.tokens);
        let level = (u128::from(self.level) + gained).min(u128::from(rate.full()));
        self.level = level as u64;
        self.at = self.at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;

    #[test]
    fn no_pattern_of_taking_gains_or_loses_a_token() {
        for seed in 0..50 {
            let mut dice = Dice::new(seed);
            let (tokens, burst) = (1 + dice.below(1_000) as u32, 1 + dice.below(50) as u32);
            let per = Duration::from_nanos(1 + dice.below(3_000_000_000) as u64);
            let rate = Rate::new(tokens, per, burst).unwrap();
            let start = Instant::now();
            let (mut now, mut bucket) = (start, Bucket::full(&rate, start));
            let mut taken = 0_u128;
            for _ in 0..10_000 {
                let n = 1 + dice.below(burst as usize) as u32;
                match bucket.take(n, &rate, now) {
                    Ok(()) => taken += u128::from(n),
                    // Whoever waits exactly so long gets it, and a nanosecond earlier does not.
                    Err(wait) => {
                        let early = now + wait - Duration::from_nanos(1);
                        assert!(bucket.clone().take(n, &rate, early).is_err(), "seed {seed}");
                        now += wait;
                        assert_eq!(bucket.take(n, &rate, now), Ok(()), "seed {seed}");
                        taken += u128::from(n);
                    }
                }
                // Never full in between, so all time that passed was worth exactly the rate.
                let worth = (now - start).as_nanos() * u128::from(tokens) / per.as_nanos();
                assert!(taken <= worth + u128::from(burst), "seed {seed}: {taken} of {worth}");
                assert!(taken + u128::from(burst) >= worth, "seed {seed}: {taken} of {worth}");
            }
        }
    }

    #[test]
    fn a_third_of_a_second_does_not_drift() {
        let rate = Rate::new(3, Duration::from_secs(1), 1).unwrap();
        let start = Instant::now();
        let mut bucket = Bucket::full(&rate, start);
        let mut now = start;
        for _ in 0..3_000 {
            bucket.take(1, &rate, now).unwrap();
            now += bucket.clone().take(1, &rate, now).unwrap_err();
        }
        // 3,000 thirds are 1,000 s; each wait is rounded up, by less than a nanosecond.
        let over = (now - start) - Duration::from_secs(1_000);
        assert!(over <= Duration::from_nanos(3_000), "{over:?}");
    }

    #[test]
    fn impossible_rates_are_refused_and_impossible_numbers_never_come() {
        let second = Duration::from_secs(1);
        assert_eq!(Rate::new(0, second, 1), None);
        assert_eq!(Rate::new(1, Duration::ZERO, 1), None);
        assert_eq!(Rate::new(1, second, 0), None);
        assert_eq!(Rate::new(1, Duration::MAX, 1), None);
        assert_eq!(Rate::new(1, Duration::from_secs(86_400), u32::MAX), None);
        let rate = Rate::new(u32::MAX, second, 5).unwrap();
        let now = Instant::now();
        assert_eq!(Bucket::full(&rate, now).take(6, &rate, now), Err(Duration::MAX));
    }

    #[test]
    fn the_edges_of_the_clock_do_no_harm() {
        let rate = Rate::new(u32::MAX, Duration::from_secs(4), u32::MAX).unwrap();
        let start = Instant::now() + Duration::from_secs(1_000);
        let mut bucket = Bucket::full(&rate, start);
        assert_eq!(bucket.take(u32::MAX, &rate, start), Ok(()));
        let second = Duration::from_secs(1);
        // A clock that steps back gives nothing for the second time.
        assert_eq!(bucket.take(1, &rate, start - second), Err(second + Duration::from_nanos(1)));
        assert_eq!(bucket.tokens(&rate, start - second), 0);
        assert_eq!(bucket.tokens(&rate, start + second), u32::MAX / 4);
        let far = start + Duration::from_secs(u64::from(u32::MAX));
        assert!(bucket.is_full(&rate, far));
        let mut end = far;
        for shift in (0..63).rev() {
            end = end.checked_add(Duration::from_secs(1 << shift)).unwrap_or(end);
        }
        assert_eq!(bucket.take(u32::MAX, &rate, end), Ok(()));
        assert!(!bucket.is_full(&rate, end));
    }

    #[test]
    fn a_changed_rate_counts_at_once() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let (many, few) = (Rate::per_second(100).unwrap(), Rate::per_second(2).unwrap());
        let mut bucket = Bucket::full(&many, now);
        assert_eq!(bucket.tokens(&few, now), 2);
        bucket.take(2, &few, now).unwrap();
        assert_eq!(bucket.tokens(&many, now + second), 100);
    }
}
