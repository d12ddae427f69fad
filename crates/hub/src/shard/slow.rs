//! Subscribers that lag behind: what was kept for them follows once they have read, or the history is asked.

use taiwa_core::{Channel, Event, Link, Position, Recovered, Refusal, Target};

use super::{
    Now, Shard,
    audience::{Writer, deliver},
    session::{To, Why},
    waiting::Waiting,
};
use crate::{
    letter::{Attached, Missed, Text},
    outlet::{Outlet, Seat},
    slab::Key,
};

impl Shard {
    /// Takes note that a client has read what waited for it: what was kept for it follows.
    pub fn drained(&mut self, seat: Seat, now: Now, out: &mut dyn Outlet) {
        let mine = self.sessions.get(seat).filter(|it| !it.leaving && !it.is_away());
        let mine = mine.map(|it| &it.subscriptions[..]).unwrap_or_default();
        let places = mine.iter().filter(|it| it.coming.is_none()).map(|it| (it.audience, it.place));
        for (key, place) in places.collect::<Vec<_>>() {
            let subscriber = self.audiences.get(key).and_then(|it| it.subscribers.get(place));
            match subscriber.and_then(|it| it.behind.as_ref()).map(|it| it.why) {
                Some(Why::Slow) => self.release(key, place, Why::Slow, out),
                Some(Why::Paused) => self.ask_for_missed(key, place, out),
                Some(Why::Connecting | Why::Asking) | None => {}
            }
        }
        self.read_own(now, out);
    }

    /// Gives a subscriber what was kept for it, as much as may wait for its client, and the rest later.
    pub(super) fn release(&mut self, key: Key, place: u32, why: Why, out: &mut dyn Outlet) {
        let log_bytes_max = self.settings.limits.log_bytes_max;
        let Some(audience) = self.audiences.get_mut(key) else { return };
        let to = audience.to.clone();
        let Some(subscriber) = audience.subscribers.get_mut(place) else { return };
        if subscriber.behind.as_ref().is_none_or(|it| it.why != why) {
            return;
        }
        let Some(mut behind) = subscriber.behind.take() else { return };
        let (seat, link) = (subscriber.seat, subscriber.link);
        let Some(session) = self.sessions.get_mut(seat) else { return };
        if behind.missed > 0 {
            let next = behind.waiting.front().and_then(|it| it.position);
            out.event(seat, Event::Missed(link, to.target(), Some(behind.missed), next));
            behind.missed = 0;
        }
        let mut sent = 0;
        while let Some(publication) = behind.waiting.front() {
            let namespace = self.settings.namespace(&publication.channel);
            let bytes_max = namespace.map_or(0, |it| it.queue_bytes_max);
            if sent > 0 && sent.max(out.queued(seat)) > bytes_max {
                behind.why = Why::Slow;
                subscriber.behind = Some(behind);
                return out.tell_drained(seat, bytes_max);
            }
            let Some(publication) = behind.waiting.pop_front() else { break };
            behind.bytes -= publication.weight();
            sent += publication.weight();
            // Each is encoded for this one alone.
            let writer = &mut Writer::default();
            deliver(subscriber, session, &to, &publication, writer, log_bytes_max, out);
            out.fan_out_ended();
            self.counters.delivered += 1;
        }
    }

    /// Asks the history what a paused subscriber missed.
    fn ask_for_missed(&mut self, key: Key, place: u32, out: &mut dyn Outlet) {
        let Some(audience) = self.audiences.get_mut(key) else { return };
        let Some(subscriber) = audience.subscribers.get_mut(place) else { return };
        let (seat, link) = (subscriber.seat, subscriber.link);
        let To::Channel(channel, _) = &audience.to else {
            // Patterns have no history.
            let Some(behind) = subscriber.behind.take() else { return };
            let target = audience.to.target();
            return out.event(seat, Event::Missed(link, target, Some(behind.missed), None));
        };
        let since = Position { epoch: audience.epoch, offset: subscriber.at };
        let channel = channel.clone();
        let waiting = Waiting::CatchUp { seat, link, channel: channel.clone() };
        let Ok(ticket) = self.waiting.insert(waiting) else { return };
        if let Some(behind) = &mut subscriber.behind {
            behind.why = Why::Asking;
        }
        let owner = self.owner(&channel);
        let missed = Missed { from: self.index, ticket, channel, since };
        self.post(owner, Text::Missed(Box::new(missed)), out);
    }

    /// Gives a paused subscriber what the history has; from here on publications arrive again.
    pub(super) fn caught_up(
        &mut self,
        (seat, link): (Seat, Link),
        channel: &Channel,
        answer: Result<Attached, Refusal>,
        out: &mut dyn Outlet,
    ) {
        let log_bytes_max = self.settings.limits.log_bytes_max;
        let target = Target::Channel(channel.clone());
        let Some(mine) = self.subscription(seat, link, &target) else { return };
        let (key, place) = (mine.audience, mine.place);
        let (Some(session), Some(audience)) =
            (self.sessions.get_mut(seat), self.audiences.get_mut(key))
        else {
            return;
        };
        let Some(subscriber) = audience.subscribers.get_mut(place) else { return };
        let is_asking = subscriber.behind.as_ref().is_some_and(|it| it.why == Why::Asking);
        let Some(mut behind) = subscriber.behind.take_if(|_| is_asking && !session.leaving) else {
            return;
        };
        let To::Channel(_, namespace) = &audience.to else { return };
        let (at, missed) = match answer {
            Ok(Attached { at, recovered: Recovered::Whole(missed) }) => (at, missed),
            other => {
                self.counters.gaps += 1;
                let at = other.ok().map(|it| it.at);
                subscriber.at = at.map_or(subscriber.at, |it| it.offset);
                subscriber.has_whole = false;
                if let Some(kept) = &mut session.kept {
                    kept.lose();
                }
                let count = (!subscriber.positioned).then_some(behind.missed);
                return out.event(seat, Event::Missed(link, target, count, at));
            }
        };
        let mut sent = 0;
        for publication in missed {
            if sent > 0 && sent.max(out.queued(seat)) > namespace.queue_bytes_max {
                // The rest is asked for when this was read.
                behind.why = Why::Paused;
                subscriber.behind = Some(behind);
                out.tell_drained(seat, namespace.queue_bytes_max);
                return;
            }
            let filter = subscriber.special.as_ref().and_then(|it| it.filter);
            self.fan_outs += 1;
            if filter.is_none_or(|it| self.filters.matches(it, &publication.tags, self.fan_outs)) {
                sent += publication.weight();
                let (writer, to) = (&mut Writer::default(), &audience.to);
                deliver(subscriber, session, to, &publication, writer, log_bytes_max, out);
                out.fan_out_ended();
                self.counters.delivered += 1;
            }
        }
        if subscriber.at < at.offset {
            (subscriber.at, subscriber.has_whole) = (at.offset, false);
        }
    }
}
