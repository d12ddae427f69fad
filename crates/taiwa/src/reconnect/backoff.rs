//! How long to wait before the next attempt, and when to give up.

use std::time::Duration;

/// Pauses between attempts: full jitter, that is a random time between nothing and a bound that doubles.
/// Clients that lost their server together come back spread over that time.
///
/// ```
/// use std::time::Duration;
/// use taiwa::Backoff;
///
/// let patient = Backoff { attempts_max: Some(10), ..Backoff::default() };
/// assert_eq!(patient.initial, Duration::from_secs(1));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The bound of the first pause. Default 1 s. The bound of the pause behind it is twice that, and so
    /// on.
    pub initial: Duration,
    /// The bound of the bounds. Default 60 s.
    pub max: Duration,
    /// How much of a `Retry-After` counts: the pause is that long at least, and the random time comes on
    /// top of it. Default 5 min.
    pub retry_after_max: Duration,
    /// A connection that stayed open so long lets the bounds and the counts begin afresh. Default 30 s.
    /// One that did not counts as an attempt that failed.
    pub lasting_after: Duration,
    /// How many attempts may fail in a row. `None`, the default: no matter how many.
    pub attempts_max: Option<u32>,
    /// How long attempts may fail in a row: none is begun later. `None`, the default: no matter how long.
    pub give_up_after: Option<Duration>,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(1),
            max: Duration::from_secs(60),
            retry_after_max: Duration::from_secs(5 * 60),
            lasting_after: Duration::from_secs(30),
            attempts_max: None,
            give_up_after: None,
        }
    }
}

impl Backoff {
    /// Returns how long to wait when so many pauses were made before.
    pub(super) fn pause(&self, pauses: u32, asked: Option<Duration>, random: u64) -> Duration {
        let doubled = 1_u32.checked_shl(pauses).unwrap_or(u32::MAX);
        let bound = self.initial.saturating_mul(doubled).min(self.max);
        let nanos = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
        let jitter = (u128::from(nanos) * u128::from(random)) >> 64;
        let asked = asked.unwrap_or_default().min(self.retry_after_max);
        asked.saturating_add(Duration::from_nanos(jitter as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: u64 = u64::MAX;

    #[test]
    fn bounds_double_up_to_the_greatest() {
        let backoff = Backoff::default();
        for (pauses, secs) in
            [(0, 1), (1, 2), (2, 4), (5, 32), (6, 60), (7, 60), (31, 60), (32, 60), (u32::MAX, 60)]
        {
            let bound = Duration::from_secs(secs);
            let longest = backoff.pause(pauses, None, ALL);
            assert!(longest <= bound && longest + Duration::from_nanos(1) >= bound, "{pauses}");
            assert_eq!(backoff.pause(pauses, None, ALL / 2).as_secs_f64().round(), {
                (secs as f64 / 2.0 - 1e-6).round()
            });
            assert_eq!(backoff.pause(pauses, None, 0), Duration::ZERO);
        }
    }

    #[test]
    fn what_the_server_asks_for_comes_first_up_to_its_limit() {
        let backoff = Backoff::default();
        let (secs, bound) = (Duration::from_secs, Duration::from_secs(1));
        assert_eq!(backoff.pause(0, Some(secs(7)), 0), secs(7));
        assert!(backoff.pause(0, Some(secs(7)), ALL) + Duration::from_nanos(1) >= secs(7) + bound);
        assert_eq!(backoff.pause(0, Some(secs(u64::MAX)), 0), secs(300));
        let deaf = Backoff { retry_after_max: Duration::ZERO, ..backoff };
        assert_eq!(deaf.pause(0, Some(secs(7)), 0), Duration::ZERO);
    }

    #[test]
    fn no_setting_overflows() {
        let long = Duration::MAX;
        let backoff =
            Backoff { initial: long, max: long, retry_after_max: long, ..Backoff::default() };
        for pauses in [0, 1, 40, u32::MAX] {
            backoff.pause(pauses, Some(long), ALL);
        }
    }
}
