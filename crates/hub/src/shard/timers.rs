//! What happens when time has passed.

use std::{
    cmp::Ordering,
    collections::BinaryHeap,
    time::{Duration, Instant},
};

use taiwa_core::{CallId, Channel, Link, Refusal, RefusalKind};

use super::{Now, Shard, orders::Sweep};
use crate::{
    outlet::{Outlet, Seat, Ticket},
    slab::Key,
};

/// Something to look at, at a time. What it was for may be gone by then.
#[derive(Debug)]
struct Timer {
    at: Instant,
    due: Due,
}

#[derive(Clone, Debug)]
pub(super) enum Due {
    /// The rights of a link end, or the time for renewing them.
    Link(Seat, Link),
    /// The same of a subscription; the audience says of which.
    Subscription(Seat, Link, Key),
    /// A session was kept long enough.
    Kept(Seat),
    /// The app was given time enough.
    Question(Ticket),
    /// The client was given time enough.
    Call(Seat, CallId),
    /// A channel may be of no use any more.
    Channel(Channel),
    /// Other nodes were given time enough to tell to how many they delivered a publication.
    Receipts(Ticket),
    /// Other nodes were given time enough for their parts of an order.
    Parts(Ticket),
    /// Another node was given time enough to give a session up.
    Release(Ticket),
    /// What another node would find of a session is old.
    Save(Seat),
    /// The broker may be asked again.
    Repair,
    /// The store may be asked again who is where.
    Relist,
    /// The next sessions have their turn in an order that concerns all.
    Sweep(Box<Sweep>),
}

/// The earliest first. Those of things that are gone are dropped when they may be the most.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Timer>,
    /// How many were true when it was looked last.
    true_then: usize,
}

/// Fewer timers than this are not looked through for those of things that are gone.
const LOOK_FROM: usize = 1024;

impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Timer {}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timer {
    /// The earliest is the greatest, as a heap of greatest wants it.
    fn cmp(&self, other: &Self) -> Ordering {
        other.at.cmp(&self.at)
    }
}

impl Timers {
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }
}

impl Shard {
    pub(super) fn schedule(&mut self, at: Instant, due: Due) {
        self.timers.heap.push(Timer { at, due });
        if self.timers.heap.len() > 2 * self.timers.true_then + LOOK_FROM {
            let mut heap = std::mem::take(&mut self.timers.heap);
            heap.retain(|it| self.is_awaited(it));
            heap.shrink_to(heap.len() * 2);
            self.timers = Timers { true_then: heap.len(), heap };
        }
    }

    /// Tells whether what a timer is for is still there, and looks forward to this very one.
    fn is_awaited(&self, timer: &Timer) -> bool {
        let session = |seat: &Seat| self.sessions.get(*seat);
        match &timer.due {
            Due::Link(seat, link) => self
                .link(*seat, *link)
                .is_some_and(|it| it.expiry.as_ref().is_some_and(|it| it.look == timer.at)),
            Due::Subscription(seat, link, key) => self
                .subscription_in(*seat, *link, *key)
                .is_some_and(|it| it.expiry.as_ref().is_some_and(|it| it.look == timer.at)),
            Due::Kept(seat) => session(seat)
                .and_then(|it| it.kept.as_ref()?.away)
                .is_some_and(|it| it.until == timer.at),
            Due::Question(ticket)
            | Due::Receipts(ticket)
            | Due::Parts(ticket)
            | Due::Release(ticket) => self.waiting.contains(*ticket),
            Due::Save(seat) => {
                session(seat).and_then(|it| it.kept.as_ref()).is_some_and(|it| it.away.is_none())
            }
            Due::Repair => self.nodes.as_ref().is_some_and(|it| it.repairing),
            Due::Relist => self.nodes.as_ref().is_some_and(|it| it.relisting),
            Due::Sweep(_) => true,
            Due::Call(seat, id) => session(seat)
                .and_then(|it| it.rare.as_ref())
                .is_some_and(|it| it.calls.iter().any(|it| it.id == *id)),
            Due::Channel(channel) => {
                self.owned.get(channel).is_some_and(|it| it.watched == Some(timer.at))
            }
        }
    }

    /// Returns when [`Shard::timeout`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.heap.peek().map(|it| it.at)
    }

    /// Does what is due, at most so many things; what is left is due at once.
    pub fn timeout(&mut self, now: Now, limit: usize, out: &mut dyn Outlet) {
        for _ in 0..limit {
            if self.timers.heap.peek().is_none_or(|it| it.at > now.at) {
                break;
            }
            let Some(timer) = self.timers.heap.pop() else { break };
            if self.is_awaited(&timer) {
                self.fire(timer.due, now, out);
                self.read_own(now, out);
            }
        }
        let len = self.timers.heap.len();
        self.timers.true_then = self.timers.true_then.min(len);
        if len * 4 < self.timers.heap.capacity() {
            self.timers.heap.shrink_to((len * 2).max(LOOK_FROM));
        }
    }

    fn fire(&mut self, due: Due, now: Now, out: &mut dyn Outlet) {
        match due {
            Due::Link(seat, link) => self.link_expires(seat, link, now, out),
            Due::Subscription(seat, link, audience) => {
                self.subscription_expires((seat, link), audience, now, out);
            }
            Due::Kept(seat) => self.end_session(seat, None, now, out),
            Due::Question(ticket) => {
                self.counters.app_deadlines += 1;
                let late = Refusal::new(RefusalKind::Deadline, "the app did not answer in time");
                self.take_answer(ticket, Err(late), now, out);
            }
            Due::Call(seat, id) => {
                let late = Refusal::new(RefusalKind::Deadline, "the client did not answer in time");
                self.call_answered(seat, id, Err(late), out);
            }
            Due::Channel(channel) => {
                if let Some(owned) = self.owned.get_mut(&channel) {
                    owned.watched = None;
                }
                self.let_go(&channel, now, out);
            }
            Due::Receipts(ticket) => self.look_at_receipts(ticket, true, out),
            Due::Parts(ticket) => self.parts_are_late(ticket, out),
            Due::Release(ticket) => self.ask_store_for(ticket, out),
            Due::Save(seat) => self.save_session(seat, now, out),
            Due::Repair => self.repair(out),
            Due::Relist => self.relist(out),
            Due::Sweep(sweep) => self.sweep(*sweep, now, out),
        }
    }

    /// Returns when to look again at rights that the app could not be asked about: soon, but not behind the end of the
    /// grace that began with the end of the rights. `None` if that is over.
    pub(super) fn next_try(&self, ended: Instant, now: Now) -> Option<Instant> {
        let grace = self.settings.expiry_grace;
        let over = ended.checked_add(grace)?;
        let again = now.after((grace / 8).max(Duration::from_secs(1)))?;
        (now.at < over).then(|| again.min(over))
    }
}
