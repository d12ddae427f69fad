//! Credit: what the peer lets us use, and what we let it use. Counts run from a session's beginning and never shrink.

use super::code;
use crate::error::Fault;

/// What the peer lets us use, of bytes or of streams.
#[derive(Clone, Debug)]
pub struct Allowance {
    /// `None`: without bounds.
    limit: Option<u64>,
    used: u64,
    /// The bound at which the peer was told that we wait.
    told: Option<u64>,
}

impl Allowance {
    /// Begins with `limit`; `None` where there is no flow control.
    pub const fn new(limit: Option<u64>) -> Self {
        Self { limit, used: 0, told: None }
    }

    /// Uses up to `wanted`, and returns how much.
    pub fn take(&mut self, wanted: u64) -> u64 {
        let free = self.limit.map_or(u64::MAX, |limit| limit - self.used);
        let taken = wanted.min(free);
        self.used = self.used.saturating_add(taken);
        taken
    }

    /// Gives back what was taken last and then not used.
    pub fn untake(&mut self, unused: u64) {
        self.used -= unused;
    }

    /// Tells at which bound we wait, once for each bound: to be said to the peer.
    pub fn blocked(&mut self) -> Option<u64> {
        let limit = self.limit.filter(|limit| *limit == self.used && self.told != Some(*limit))?;
        self.told = Some(limit);
        Some(limit)
    }

    /// Takes a higher bound from the peer. Where there is no flow control it is ignored (draft 16 §5.1).
    ///
    /// # Errors
    /// A fault, if it is not higher.
    pub fn raise(&mut self, to: u64) -> Result<(), Fault> {
        let Some(limit) = &mut self.limit else { return Ok(()) };
        // Draft 16 §5.6.4: "If an endpoint receives a WT_MAX_DATA capsule with a Maximum Data value that does not increase the
        // Maximum Data value previously received, it MUST close the WebTransport session with a WT_FLOW_CONTROL_ERROR error
        // code." §5.6.2 says the same of WT_MAX_STREAMS.
        if to <= *limit {
            return Err(Fault::stream(code::FLOW_CONTROL_ERROR, "a bound was not raised"));
        }
        *limit = to;
        Ok(())
    }
}

/// What we let the peer use, of bytes or of streams.
#[derive(Clone, Debug)]
pub struct Grant {
    /// What may be in use at once.
    window: u64,
    /// What the peer was told.
    limit: u64,
    used: u64,
    returned: u64,
    /// What was granted beside the window, in place of what nobody can count.
    extra: u64,
    has_gap: bool,
    /// Where the peer said that it waits.
    waits_at: Option<u64>,
}

impl Grant {
    /// Begins with `first`, on the way to `window`.
    pub const fn new(first: u64, window: u64) -> Self {
        Self {
            window,
            limit: first,
            used: 0,
            returned: 0,
            extra: 0,
            has_gap: false,
            waits_at: None,
        }
    }

    /// Counts what the peer used; tells whether it was allowed to.
    #[must_use]
    pub fn take(&mut self, amount: u64) -> bool {
        self.used = self.used.saturating_add(amount);
        self.used <= self.limit
    }

    /// Tells how much is in use: used, and not given back.
    pub const fn in_use(&self) -> u64 {
        self.used - self.returned
    }

    /// Tells how much may be in use at once.
    pub const fn window(&self) -> u64 {
        self.window
    }

    /// Gives back what is no longer in use.
    pub fn give_back(&mut self, amount: u64) {
        self.returned = self.returned.saturating_add(amount).min(self.used);
    }

    /// Returns the bound to tell the peer, if it is worth a capsule: if half the window would be new.
    pub fn raised(&mut self) -> Option<u64> {
        // No capsule says more of streams (draft 16 §5.6.2), and nobody lives to see so many bytes.
        let limit = self.returned.saturating_add(self.window).saturating_add(self.extra);
        let limit = limit.min(1 << 60);
        let is_worth = limit.saturating_sub(self.limit) >= (self.window / 2).max(1);
        is_worth.then(|| self.limit = limit).map(|()| limit)
    }

    /// Takes that the peer waits at `limit`. Returns the bound to tell it, if something was lost.
    pub fn blocked_at(&mut self, limit: u64) -> Option<u64> {
        self.waits_at = Some(limit);
        self.make_good()
    }

    /// Takes that the peer used what can't be counted here: what a stream carried that was given up unread, since QUIC does not
    /// tell that. Returns the bound to tell a peer that waits.
    pub fn lost(&mut self) -> Option<u64> {
        self.has_gap = true;
        self.make_good()
    }

    /// What was lost is at most a window, and granting so much anew costs nothing but that.
    fn make_good(&mut self) -> Option<u64> {
        if !self.has_gap || self.waits_at != Some(self.limit) {
            return None;
        }
        self.has_gap = false;
        self.extra = self.extra.saturating_add(self.window);
        self.raised()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_peer_allows_is_used_and_then_waited_for() {
        let mut allowance = Allowance::new(Some(10));
        assert_eq!((allowance.take(7), allowance.blocked()), (7, None));
        assert_eq!(
            (allowance.take(7), allowance.blocked(), allowance.blocked()),
            (3, Some(10), None)
        );
        assert_eq!(allowance.take(1), 0);
        assert_eq!(allowance.raise(10).expect_err("no more").code, code::FLOW_CONTROL_ERROR);
        assert!(allowance.raise(9).is_err());
        allowance.raise(12).expect("more");
        assert_eq!((allowance.take(7), allowance.blocked()), (2, Some(12)));
        allowance.untake(1);
        assert_eq!(allowance.take(7), 1);
    }

    #[test]
    fn without_flow_control_nothing_is_bounded_and_bounds_are_ignored() {
        let mut allowance = Allowance::new(None);
        allowance.raise(0).expect("ignored");
        assert_eq!((allowance.take(u64::MAX), allowance.take(5)), (u64::MAX, 5));
        assert_eq!(allowance.blocked(), None);
    }

    #[test]
    fn a_bound_is_raised_by_at_least_half_a_window() {
        let mut grant = Grant::new(5, 10);
        assert_eq!(grant.raised(), Some(10));
        assert_eq!(grant.raised(), None);
        assert!(grant.take(10));
        grant.give_back(4);
        assert_eq!((grant.in_use(), grant.raised()), (6, None));
        grant.give_back(1);
        assert_eq!(grant.raised(), Some(15));
        assert!(grant.take(5) && !grant.take(1));
    }

    #[test]
    fn what_was_lost_with_resets_is_made_good_when_the_peer_waits() {
        let mut grant = Grant::new(10, 10);
        assert!(grant.take(2));
        assert_eq!(grant.blocked_at(10), None, "it may just not have been read yet");
        assert_eq!(grant.lost(), Some(20));
        assert_eq!(
            (grant.lost(), grant.blocked_at(9), grant.blocked_at(20)),
            (None, None, Some(30))
        );
        assert_eq!(grant.blocked_at(30), None, "that was made good");
        assert!(grant.take(28) && !grant.take(1));
    }

    #[test]
    fn no_bound_is_told_that_a_capsule_cannot_say() {
        let mut grant = Grant::new(1 << 59, u64::MAX);
        assert_eq!(grant.raised(), None, "not half of it is new");
        let mut grant = Grant::new(10, 1 << 60);
        assert_eq!(grant.raised(), Some(1 << 60));
        assert_eq!(grant.raised(), None);
    }
}
