//! Counting the sessions of each user, on one shard for all.

use std::{collections::hash_map::Entry, hash::BuildHasher};

use taiwa_core::{Disconnect, SessionId, User};

use super::{Now, Shard};
use crate::{letter::Text, outlet::Outlet};

impl Shard {
    /// Returns which shard counts a user's sessions.
    pub(super) fn counter_of(&self, user: &User) -> u16 {
        (self.hasher.hash_one(user) % u64::from(self.shards)) as u16
    }

    /// Counts one session more. It is let in already; if it is one too many, its shard is told.
    pub(super) fn user_in(&mut self, session: SessionId, user: User, out: &mut dyn Outlet) {
        let count = self.user_counts.entry(user).or_default();
        *count += 1;
        if *count > self.settings.limits.user_sessions_max {
            self.post(session.shard(), Text::UserFull(session), out);
        }
    }

    pub(super) fn user_out(&mut self, user: User) {
        if let Entry::Occupied(mut count) = self.user_counts.entry(user) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    /// Sends a session away that is one too many of its user.
    pub(super) fn user_full(&mut self, session: SessionId, now: Now, out: &mut dyn Outlet) {
        let full = Disconnect::Limit("sessions of a user");
        let Some(seat) = self.seat_of(session) else { return };
        self.counters.refused_connections += 1;
        if self.sessions.get(seat).is_some_and(|it| it.is_away()) {
            self.depart(seat, Some(full), now, out);
        } else {
            self.send_away(seat, full, now, out);
        }
    }
}
