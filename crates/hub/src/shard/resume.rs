//! Sessions that are kept while their client is away, and taken up again.

use std::{sync::Arc, time::Duration};

use taiwa_core::{
    Admission, Client, Delivery, Disconnect, Event, Link, Refusal, RefusalKind, Reply, Resume,
    ResumeKey,
};

use super::{
    Now, Shard,
    arrive::Answered,
    audience::Writer,
    session::{Away, Kept, Why},
    timers::Due,
};
use crate::outlet::{Outlet, Seat};

impl Shard {
    /// Keeps a session for when its line is lost.
    pub(super) fn keep(
        &mut self,
        seat: Seat,
        ttl: Duration,
        now: Now,
        out: &mut dyn Outlet,
    ) -> Answered {
        let ttl = ttl.min(self.settings.limits.keep_max);
        let Some(session) = self.sessions.get_mut(seat) else { return Ok(None) };
        let id = session.id();
        let kept = session.kept.get_or_insert_with(|| Box::new(Kept::new(out.random())));
        kept.ttl = ttl;
        let key = ResumeKey { session: id, secret: kept.secret };
        self.save_session(seat, now, out);
        Ok(Some(Reply::Kept(key)))
    }

    /// Takes note that a session has lost its last line. It is kept if it asked for that and nothing is lost that was on its
    /// way to the client, otherwise it ends. Returns whether it is kept; its conversation is no more in both cases.
    pub fn detach(&mut self, seat: Seat, now: Now, out: &mut dyn Outlet) -> bool {
        let Some(session) = self.sessions.get(seat) else { return false };
        if session.is_away() {
            return true;
        }
        let was_let_in = session.links.iter().any(|it| it.admitted);
        let kept = session.kept.as_ref().filter(|_| was_let_in && !session.leaving);
        let until = kept.and_then(|it| now.after(it.ttl));
        let is_whole = until.is_some() && self.unplug(seat, out);
        let kept = self.sessions.get_mut(seat).and_then(|it| it.kept.as_mut());
        let (Some(until), Some(kept), true) = (until, kept, is_whole) else {
            self.depart(seat, None, now, out);
            return false;
        };
        self.went_away += 1;
        let number = self.went_away;
        kept.away = Some(Away { until, number });
        self.away.insert(number, seat);
        self.schedule(until, Due::Kept(seat));
        self.save_session(seat, now, out);
        let mut is_kept = true;
        while self.away.len() > self.settings.limits.kept_max {
            let Some((_, oldest)) = self.away.pop_first() else { break };
            self.counters.limit_hits += 1;
            self.end_session(oldest, None, now, out);
            is_kept &= oldest != seat;
        }
        self.read_own(now, out);
        is_kept
    }

    /// Takes a session out of the hands of its conversation: what waits for the client goes into the log, what the
    /// conversation was to answer is answered for it. Returns false if something on its way to the client has no place
    /// in the log, so that nobody could go on with the session without a gap.
    pub(super) fn unplug(&mut self, seat: Seat, out: &mut dyn Outlet) -> bool {
        self.end_calls(seat, out);
        let log_bytes_max = self.settings.limits.log_bytes_max;
        let Some(session) = self.sessions.get_mut(seat) else { return false };
        session.life += 1;
        while let Some(at) = session.links.iter().position(|it| !it.admitted) {
            session.links.swap_remove(at);
        }
        let Some(kept) = &mut session.kept else { return false };
        for subscription in session.subscriptions.iter() {
            if subscription.coming.is_some() {
                return false;
            }
            let Some(audience) = self.audiences.get_mut(subscription.audience) else { continue };
            let target = audience.to.target();
            let Some(it) = audience.subscribers.get_mut(subscription.place) else { continue };
            let Some(behind) = it.behind.take() else { continue };
            if behind.why != Why::Slow || behind.missed > 0 {
                return false;
            }
            for publication in behind.waiting {
                it.at = publication.position.map_or(it.at, |it| it.offset);
                it.has_whole = publication.position.is_some();
                kept.write(subscription.link, target.clone(), &publication, log_bytes_max);
            }
        }
        true
    }

    /// Ends the calls of the app that a conversation has not answered.
    pub(super) fn end_calls(&mut self, seat: Seat, out: &mut dyn Outlet) {
        let Some(session) = self.sessions.get_mut(seat) else { return };
        let who = session.id();
        let Some(calls) = session.rare.as_mut().map(|it| std::mem::take(&mut it.calls)) else {
            return;
        };
        for call in calls {
            let gone = Refusal::new(RefusalKind::Unavailable, "the client has gone");
            self.give_answer(who, call, Err(gone), out);
        }
    }

    /// Gives the conversation of a seat an earlier session, if that is still there and whole, and returns its seat. The
    /// other seat is no more then.
    pub(super) fn resume(
        &mut self,
        fresh: Seat,
        link: Link,
        resume: &Resume,
        admission: &Admission,
        now: Now,
        out: &mut dyn Outlet,
    ) -> Option<Seat> {
        let taken = self.seat_to_take(fresh, link, resume, admission);
        let taken = taken.and_then(|taken| {
            let session = self.sessions.get(taken)?;
            let was_away = session.is_away();
            let mut is_whole = was_away || self.unplug(taken, out);
            let kept = self.sessions.get_mut(taken)?.kept.as_mut()?;
            is_whole &= kept.read(resume.read);
            if !is_whole {
                // Nobody could take it up later, either.
                self.send_away(taken, Disconnect::Replaced, now, out);
                return None;
            }
            if let Some(away) = kept.away.take() {
                self.away.remove(&away.number);
            }
            Some(taken)
        });
        let Some(taken) = taken else {
            self.counters.resumed_anew += 1;
            return None;
        };
        self.counters.resumed += 1;
        let address = self.sessions.get(fresh).and_then(|it| it.client.address);
        self.end_session(fresh, None, now, out);
        out.reseat(fresh, taken);
        if let Some(session) = self.sessions.get_mut(taken)
            && let Some(state) = session.links.iter_mut().find(|it| it.link == link)
        {
            let is_first = Arc::ptr_eq(&state.client, &session.client);
            state.client = Arc::new(Client { address, ..Client::clone(&state.client) });
            if is_first {
                session.client = state.client.clone();
            }
        }
        self.take_in(taken, link, admission, now);
        Some(taken)
    }

    /// Finds the session that a client may take up: it knows the secret, is the same user, and has nothing else yet.
    fn seat_to_take(
        &self,
        fresh: Seat,
        link: Link,
        resume: &Resume,
        admission: &Admission,
    ) -> Option<Seat> {
        let taken = self.seat_of(resume.key.session).filter(|it| *it != fresh)?;
        let theirs = self.sessions.get(taken).filter(|it| !it.leaving)?;
        theirs.kept.as_ref().filter(|it| it.secret == resume.key.secret)?;
        let state = theirs.links.iter().find(|it| it.link == link && it.admitted)?;
        let has_nothing = self.sessions.get(fresh).is_some_and(|it| it.links.len() == 1);
        (state.client.user == admission.user && has_nothing).then_some(taken)
    }

    /// Tells a session that was taken up again what was said meanwhile.
    pub(super) fn replay(&mut self, seat: Seat, read: u64, out: &mut dyn Outlet) {
        let Some(kept) = self.sessions.get(seat).and_then(|it| it.kept.as_ref()) else { return };
        let first = kept.top - kept.log.len() as u64 + 1;
        let missed: Vec<_> = (first..).zip(kept.log.iter().cloned()).collect();
        for (number, (link, target, publication)) in missed {
            if number <= read {
                continue;
            }
            let delivery = self.subscription(seat, link, &target).and_then(|it| {
                let audience = self.audiences.get(it.audience)?;
                Some(audience.subscribers.get(it.place)?.delivery)
            });
            match delivery {
                Some(Delivery::Shared(encoding)) => {
                    let said = taiwa_core::Said::Publication(&publication);
                    if let Some(encoded) = Writer::default().write(encoding, false, &said, out) {
                        out.deliver(seat, encoded);
                        out.fan_out_ended();
                    }
                }
                _ => out.event(seat, Event::Said(link, target, publication, number)),
            }
        }
    }
}
