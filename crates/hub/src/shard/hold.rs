//! Holding publishers up for subscribers who are behind with reading.

use std::time::Duration;

use taiwa_core::SessionId;

use super::{Now, Shard};
use crate::{
    letter::Text,
    outlet::{Outlet, Seat},
};

/// How long one publication too many holds its publisher up; the next one does so again.
const HOLD: Duration = Duration::from_millis(10);

/// Who was not crowded for so long is held for anew.
const FORGIVEN_AFTER: Duration = Duration::from_secs(1);

/// Crowded subscribers that are remembered before the forgiven ones are forgotten.
const CROWDED_KEPT: usize = 256;

impl Shard {
    /// Holds the publisher up, unless all who are crowded have been so for too long.
    pub(super) fn ask_to_hold(
        &mut self,
        origin: SessionId,
        crowded: &[Seat],
        hold: Duration,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        if self.crowded.len() > CROWDED_KEPT.max(crowded.len() * 2) {
            self.crowded.retain(|_, (_, last)| now.at.duration_since(*last) < FORGIVEN_AFTER);
        }
        let mut waits = false;
        for seat in crowded {
            let (since, last) = self.crowded.entry(*seat).or_insert((now.at, now.at));
            if now.at.saturating_duration_since(*last) >= FORGIVEN_AFTER {
                *since = now.at;
            }
            *last = now.at;
            waits |= now.at.saturating_duration_since(*since) < hold;
        }
        // A publisher of another node is held up there by who reads there alone.
        if waits && origin != SessionId(0) && self.is_ours(origin) {
            self.post(origin.shard(), Text::Hold(origin), out);
        }
    }

    /// Holds a publisher up that is on this shard.
    pub(super) fn hold(&mut self, session: SessionId, now: Now, out: &mut dyn Outlet) {
        if let Some(seat) = self.seat_of(session) {
            out.hold(seat, now.at + HOLD);
        }
    }
}
