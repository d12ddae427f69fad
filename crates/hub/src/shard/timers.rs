//! What happens when time has passed.

use std::{cmp::Ordering, time::Instant};

use taiwa_core::{
    CallId, Channel, Client, Disconnect, Event, Link, Question, Refusal, RefusalKind,
};

use super::{Now, Shard, waiting::Waiting};
use crate::{
    outlet::{Outlet, Seat, Ticket},
    slab::Key,
};

/// Something to look at, at a time. What it was for may be gone by then.
#[derive(Debug)]
pub(super) struct Timer {
    at: Instant,
    due: Due,
}

#[derive(Clone, Debug)]
pub(super) enum Due {
    /// The rights of a link end.
    Link(Seat, Link),
    /// The time for a fresh token is over, too.
    LinkGrace(Seat, Link),
    /// The rights of a subscription end; the audience says of which.
    Subscription(Seat, Link, Key),
    SubscriptionGrace(Seat, Link, Key),
    /// A session was kept long enough.
    Kept(Seat),
    /// The app was given time enough.
    Question(Ticket),
    /// The client was given time enough.
    Call(Seat, CallId),
    /// A channel may be of no use any more.
    Channel(Channel),
}

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

impl Shard {
    pub(super) fn schedule(&mut self, at: Instant, due: Due) {
        self.timers.push(Timer { at, due });
    }

    /// Returns when [`Shard::timeout`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.peek().map(|it| it.at)
    }

    /// Does what is due, at most so many things; what is left is due at once.
    pub fn timeout(&mut self, now: Now, limit: usize, out: &mut dyn Outlet) {
        for _ in 0..limit {
            if self.timers.peek().is_none_or(|it| it.at > now.at) {
                break;
            }
            let Some(timer) = self.timers.pop() else { break };
            self.fire(timer.due, now, out);
            self.read_own(now, out);
        }
        if self.timers.len() * 4 < self.timers.capacity() && self.timers.capacity() > 1024 {
            self.timers.shrink_to(self.timers.len() * 2);
        }
    }

    fn fire(&mut self, due: Due, now: Now, out: &mut dyn Outlet) {
        match due {
            Due::Link(seat, link) => self.link_expires(seat, link, now, out),
            Due::LinkGrace(seat, link) => {
                let over = self.link(seat, link).and_then(|it| it.expires);
                if over.is_some_and(|it| it <= now.at) {
                    self.send_away(seat, Disconnect::Expired, out);
                }
            }
            Due::Subscription(seat, link, audience) => {
                self.subscription_expires((seat, link), audience, now, out);
            }
            Due::SubscriptionGrace(seat, link, audience) => {
                self.subscription_ends((seat, link), audience, now, out);
            }
            Due::Kept(seat) => {
                let until = self.sessions.get(seat).and_then(|it| it.kept.as_ref()?.until);
                if until.is_some_and(|it| it <= now.at) {
                    self.depart(seat, None, now, out);
                }
            }
            Due::Question(ticket) => {
                if self.waiting.contains(ticket) {
                    self.counters.app_deadlines += 1;
                    let late =
                        Refusal::new(RefusalKind::Deadline, "the app did not answer in time");
                    self.take_answer(ticket, Err(late), now, out);
                }
            }
            Due::Call(seat, id) => {
                let late = Refusal::new(RefusalKind::Deadline, "the client did not answer in time");
                self.call_answered(seat, id, Err(late), out);
            }
            Due::Channel(channel) => {
                if let Some(owned) = self.owned.get_mut(&channel) {
                    owned.watched = false;
                }
                self.let_go(&channel, now);
            }
        }
    }

    fn link_expires(&mut self, seat: Seat, link: Link, now: Now, out: &mut dyn Outlet) {
        let Some(state) = self.link(seat, link) else { return };
        // A refresh has moved it.
        if state.expires.is_none_or(|it| it > now.at) {
            return;
        }
        let client: std::sync::Arc<Client> = state.client.clone();
        if state.client_refreshes {
            self.schedule(now.at + self.settings.expiry_grace, Due::LinkGrace(seat, link));
            out.event(seat, Event::Expiring(link));
        } else {
            let question = Question::Refresh { who: client, token: None };
            let waiting = Waiting::Refresh { seat, link, token: None };
            if self.question(Some(seat), waiting, question, now, out).is_err() {
                self.send_away(seat, Disconnect::Expired, out);
            }
        }
    }
}
