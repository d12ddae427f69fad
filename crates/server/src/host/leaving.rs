//! The server drains: its conversations leave one after the other.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::{FAREWELLS_PER_TURN, Host};
use crate::{random, shard::Lines};

/// How long a client is asked to stay away: not so short that one which finds nobody asks all the time.
const AWAY_MIN: Duration = Duration::from_millis(500);
/// What comes on top at most: clients that hear it in one turn do not come back as one crowd.
const AWAY_MORE: u32 = 1000;

/// Returns how long a client is asked to stay away.
pub(crate) fn away() -> Duration {
    AWAY_MIN + Duration::from_millis(u64::from(random::bits() as u32 % AWAY_MORE))
}

/// Goodbyes, evenly spread over the time that is left, by one clock for all conversations of the shard.
pub(super) struct Leaving {
    until: Instant,
    /// When the next one is told; `None` while all were.
    next_at: Option<Instant>,
    /// Those from this place on were not told in this round. Who comes meanwhile may sit before it: then there is another.
    place: Option<u32>,
    /// How many were not told when the round began, less those told since.
    left: usize,
    gone: Vec<oneshot::Sender<()>>,
}

impl Leaving {
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.next_at
    }

    /// Notes that there is one more to be told.
    pub(super) fn one_more(&mut self, now: Instant) {
        self.left += 1;
        self.next_at.get_or_insert(now);
    }
}

impl Host {
    /// Begins to let conversations go, until then; tells `gone` when none is left.
    pub(super) fn leave(&mut self, until: Instant, gone: oneshot::Sender<()>, lines: &mut Lines) {
        let now = lines.now();
        let left = self.stage.talks.len();
        let leaving = self.leaving.get_or_insert_with(|| Leaving {
            until,
            next_at: Some(now),
            place: Some(0),
            left,
            gone: vec![],
        });
        leaving.until = leaving.until.min(until);
        leaving.gone.push(gone);
    }

    /// Says goodbye to those whose time has come.
    pub(super) fn lead_out(&mut self, lines: &mut Lines) {
        let now = lines.now();
        for _ in 0..FAREWELLS_PER_TURN {
            let Some(leaving) = &mut self.leaving else { return };
            let Some(at) = leaving.next_at.filter(|it| *it <= now) else { return };
            let next = leaving.place.and_then(|it| self.stage.talks.next_from(it));
            let Some(key) = next else {
                let untold = self.stage.talks.iter().filter(|(_, it)| !it.is_told).count();
                (leaving.place, leaving.left) = (Some(0), untold);
                leaving.next_at = leaving.next_at.filter(|_| untold > 0);
                continue;
            };
            leaving.place = key.index().checked_add(1);
            let Some(talk) = self.stage.talks.get_mut(key).filter(|it| !it.is_told) else {
                continue;
            };
            talk.is_told = true;
            let time_left = leaving.until.saturating_duration_since(at);
            let share = u32::try_from(leaving.left).unwrap_or(u32::MAX).max(1);
            leaving.next_at = Some(at + time_left / share);
            leaving.left = leaving.left.saturating_sub(1);
            self.say_goodbye(key, Some(away()), lines);
        }
    }

    /// Tells whoever waits for it when no conversation is left.
    pub(super) fn tell_when_gone(&mut self) {
        if let Some(leaving) = &mut self.leaving
            && self.stage.talks.is_empty()
        {
            for gone in leaving.gone.drain(..) {
                // Who asked may wait no longer.
                let _ = gone.send(());
            }
        }
    }
}
