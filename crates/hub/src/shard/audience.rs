//! Fan-out: one publication to all who hear it here, and what becomes of those who read too slowly.

use std::{mem, sync::Arc};

use taiwa_core::{
    Change, Channel, Delivery, Disconnect, Encoding, Event, Link, Position, Publication, Recovered,
    Refusal, Target,
};

use super::{
    Now, Shard,
    session::{Behind, Place, Session, Subscriber, To},
    waiting::Waiting,
};
use crate::{
    letter::{Attach, Attached, Said, Text},
    order::Counters,
    outlet::{Encoded, Outlet, Seat},
    settings::{Namespace, Slow},
    slab::Key,
};

/// What was encoded in this fan-out; a channel seldom has more than a few encodings.
#[derive(Default)]
struct Writer(Vec<(&'static Encoding, bool, Option<Encoded>)>);

impl Writer {
    fn write(
        &mut self,
        encoding: &'static Encoding,
        is_delta: bool,
        said: &taiwa_core::Said<'_>,
        out: &mut dyn Outlet,
    ) -> Option<Encoded> {
        let known = self.0.iter().find(|(it, delta, _)| *it == encoding && *delta == is_delta);
        if let Some((_, _, encoded)) = known {
            return *encoded;
        }
        let encoded = (encoding.encode)(said).map(|it| out.encoded(it));
        self.0.push((encoding, is_delta, encoded));
        encoded
    }
}

impl Shard {
    /// Delivers a publication to everyone here who hears it.
    pub(super) fn hear(&mut self, said: &Said, now: Now, out: &mut dyn Outlet) {
        self.fan_outs += 1;
        let mut writer = Writer::default();
        let mut count = 0;
        let channel = &said.publication.channel;
        if let Some(key) = self.channels.get(channel).copied() {
            count += self.hear_in(key, said, &mut writer, now, out);
        }
        if !self.patterns.is_empty()
            && self.settings.namespace(channel).is_some_and(|it| it.patterns)
        {
            let mut keys = vec![];
            self.matching.find(channel.as_str(), &mut keys);
            for key in keys {
                count += self.hear_in(key, said, &mut writer, now, out);
            }
        }
        out.fan_out_ended();
        self.counters.delivered += count;
        if let Some(receipt) = said.receipt {
            let owner = self.owner(&said.publication.channel);
            self.post(owner, Text::Delivered(receipt, count), out);
        }
    }

    fn hear_in(
        &mut self,
        key: Key,
        said: &Said,
        writer: &mut Writer,
        now: Now,
        out: &mut dyn Outlet,
    ) -> u64 {
        let (mut slow, mut crowded) = (vec![], vec![]);
        let mut count = 0;
        let log_bytes_max = self.settings.limits.log_bytes_max;
        let Some(audience) = self.audiences.get_mut(key) else { return 0 };
        let namespace = match &audience.to {
            To::Channel(_, namespace) => namespace.clone(),
            To::Pattern(_) => match self.settings.namespace(&said.publication.channel) {
                Some(namespace) => namespace.clone(),
                None => return 0,
            },
        };
        let to = &audience.to;
        for subscriber in audience.subscribers.as_mut_slice() {
            let Some(session) = self.sessions.get_mut(subscriber.seat) else { continue };
            if !hears(subscriber, session, said, self.fan_outs) {
                continue;
            }
            let queued = out.queued(subscriber.seat);
            let full = subscriber.behind.is_some() || queued > namespace.queue_bytes_max;
            if queued > namespace.queue_bytes_max / 2 && !namespace.hold.is_zero() {
                crowded.push(subscriber.seat);
            }
            if full && !is_away(session) {
                if fall_behind(subscriber, &said.publication, &namespace, &mut self.counters, out) {
                    slow.push(subscriber.seat);
                }
                continue;
            }
            count += 1;
            deliver(subscriber, session, to, &said.publication, writer, log_bytes_max, out);
        }
        for seat in slow {
            self.send_away(seat, Disconnect::Slow, out);
        }
        if !crowded.is_empty() {
            self.ask_to_hold(said.origin, &crowded, namespace.hold, now, out);
        }
        count
    }

    /// Tells everyone here who wants to know that somebody came or went.
    pub(super) fn hear_change(&mut self, change: &Arc<Change>, joined: bool, out: &mut dyn Outlet) {
        let Some(key) = self.channels.get(&change.channel).copied() else { return };
        let Some(audience) = self.audiences.get_mut(key) else { return };
        let forced = matches!(&audience.to, To::Channel(_, it) if it.force_join_leave);
        let mut writer = Writer::default();
        let said = match joined {
            true => taiwa_core::Said::Joined(change),
            false => taiwa_core::Said::Left(change),
        };
        for subscriber in audience.subscribers.as_slice() {
            let Some(session) = self.sessions.get(subscriber.seat) else { continue };
            let wants = subscriber.join_leave || forced;
            if !wants || session.leaving || is_away(session) || subscriber.behind.is_some() {
                continue;
            }
            match subscriber.delivery {
                Delivery::Personal if joined => {
                    out.event(subscriber.seat, Event::Joined(subscriber.link, change.clone()));
                }
                Delivery::Personal => {
                    out.event(subscriber.seat, Event::Left(subscriber.link, change.clone()));
                }
                Delivery::Shared(encoding) => {
                    if let Some(encoded) = writer.write(encoding, false, &said, out) {
                        out.deliver(subscriber.seat, encoded);
                    }
                }
            }
        }
        out.fan_out_ended();
    }

    /// Takes note that a client has read what waited for it: what was kept for it follows.
    pub fn drained(&mut self, seat: Seat, now: Now, out: &mut dyn Outlet) {
        let mine = self.sessions.get(seat).map(|it| &it.subscriptions[..]).unwrap_or_default();
        let places = mine.iter().filter_map(|it| match it.place {
            Place::At(place) => Some((it.audience, place)),
            Place::Coming(_) => None,
        });
        for (key, place) in places.collect::<Vec<_>>() {
            self.catch_up(key, place, out);
        }
        self.read_own(now, out);
    }

    fn catch_up(&mut self, key: Key, place: u32, out: &mut dyn Outlet) {
        let log_bytes_max = self.settings.limits.log_bytes_max;
        let Some(audience) = self.audiences.get_mut(key) else { return };
        let to = audience.to.clone();
        let Some(subscriber) = audience.subscribers.get_mut(place) else { return };
        let (seat, link) = (subscriber.seat, subscriber.link);
        let Some(behind) = subscriber.behind.as_mut() else { return };
        if behind.paused {
            if mem::replace(&mut behind.asked, true) {
                return;
            }
            let since = Position { epoch: audience.epoch, offset: subscriber.at };
            let member = subscriber.member.clone();
            if let (To::Channel(channel, _), Some(member)) = (to, member) {
                self.ask_what_was_missed((seat, link), channel, since, member, out);
            }
            return;
        }
        let Some(session) = self.sessions.get_mut(seat) else { return };
        let Some(mut behind) = subscriber.behind.take() else { return };
        if behind.missed > 0 {
            let next = behind.waiting.front().and_then(|it| it.position);
            out.event(seat, Event::Missed(link, to.target(), Some(behind.missed), next));
            behind.missed = 0;
        }
        let mut writer = Writer::default();
        while let Some(publication) = behind.waiting.pop_front() {
            // Each may have another encoding: none is shared with the one before.
            writer.0.clear();
            deliver(subscriber, session, &to, &publication, &mut writer, log_bytes_max, out);
            out.fan_out_ended();
            self.counters.delivered += 1;
        }
    }

    fn ask_what_was_missed(
        &mut self,
        (seat, link): (Seat, Link),
        channel: Channel,
        since: Position,
        member: Arc<taiwa_core::Member>,
        out: &mut dyn Outlet,
    ) {
        let waiting = Waiting::CatchUp { seat, link, channel: channel.clone() };
        let Ok(ticket) = self.waiting.insert(waiting) else { return };
        let (owner, from) = (self.owner(&channel), self.index);
        let (since, last, again) = (Some(since), true, true);
        let attach = Attach { from, ticket, channel, link, member, since, last, again };
        self.post(owner, Text::Attach(Box::new(attach)), out);
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
        let Some(place) = self.subscription(seat, link, &target).map(|it| (it.audience, it.place))
        else {
            return;
        };
        let (key, Place::At(place)) = place else { return };
        let (Some(session), Some(audience)) =
            (self.sessions.get_mut(seat), self.audiences.get_mut(key))
        else {
            return;
        };
        let to = &audience.to;
        let Some(subscriber) = audience.subscribers.get_mut(place) else { return };
        let Some(behind) = subscriber.behind.take() else { return };
        let (at, recovered) = match answer {
            Ok(answer) => (Some(answer.at), answer.recovered),
            Err(_) => (None, Recovered::NotAsked),
        };
        let Recovered::Whole(missed) = recovered else {
            self.counters.gaps += 1;
            subscriber.at = at.map_or(subscriber.at, |it| it.offset);
            subscriber.has_whole = false;
            let count = (!subscriber.positioned).then_some(behind.missed);
            out.event(seat, Event::Missed(link, target, count, at));
            return;
        };
        let mut writer = Writer::default();
        for publication in missed {
            if hears_tags(subscriber, &publication) {
                writer.0.clear();
                deliver(subscriber, session, to, &publication, &mut writer, log_bytes_max, out);
                out.fan_out_ended();
                self.counters.delivered += 1;
            }
        }
    }
}

/// Tells whether a subscriber is to get a publication at all.
fn hears(subscriber: &mut Subscriber, session: &mut Session, said: &Said, fan_out: u64) -> bool {
    let is_own = said.origin == Some(session.id);
    if session.leaving
        || (is_own && !subscriber.echo)
        || said.except.as_ref().is_some_and(|it| it.contains(&session.id))
    {
        return false;
    }
    if !hears_tags(subscriber, &said.publication) {
        return false;
    }
    // Whoever hears everything hears it once; the others, once a subscription.
    if subscriber.once && session.heard == fan_out {
        return false;
    }
    session.heard = fan_out;
    true
}

fn hears_tags(subscriber: &Subscriber, publication: &Publication) -> bool {
    subscriber.filter.as_ref().is_none_or(|it| crate::tags::matches(it, &publication.tags))
}

fn is_away(session: &Session) -> bool {
    session.kept.as_ref().is_some_and(|it| it.until.is_some())
}

/// Gives one subscriber one publication.
fn deliver(
    subscriber: &mut Subscriber,
    session: &mut Session,
    to: &To,
    publication: &Arc<Publication>,
    writer: &mut Writer,
    log_bytes_max: usize,
    out: &mut dyn Outlet,
) {
    let offset = publication.position.map(|it| it.offset);
    let follows = offset == Some(subscriber.at + 1) && subscriber.has_whole;
    if let Some(offset) = offset {
        subscriber.at = offset;
    }
    subscriber.has_whole = true;
    let number = match &mut session.kept {
        None => 0,
        Some(kept) => {
            let number = kept.write(subscriber.link, to.target(), publication, log_bytes_max);
            if kept.until.is_some() {
                return;
            }
            number
        }
    };
    let by_delta = subscriber.delta.filter(|_| follows && publication.delta.is_some());
    let said = match by_delta {
        Some(_) => taiwa_core::Said::Delta(publication),
        None => taiwa_core::Said::Publication(publication),
    };
    match by_delta.unwrap_or(subscriber.delivery) {
        Delivery::Personal => {
            let event = Event::Said(subscriber.link, to.target(), publication.clone(), number);
            out.event(subscriber.seat, event);
        }
        Delivery::Shared(encoding) => {
            if let Some(encoded) = writer.write(encoding, by_delta.is_some(), &said, out) {
                out.deliver(subscriber.seat, encoded);
            }
        }
    }
}

/// Does what the namespace says about a subscriber for which too much waits. Returns whether it is to be sent away.
fn fall_behind(
    subscriber: &mut Subscriber,
    publication: &Arc<Publication>,
    namespace: &Namespace,
    counters: &mut Counters,
    out: &mut dyn Outlet,
) -> bool {
    if namespace.slow == Slow::Disconnect {
        return true;
    }
    let bytes_max = namespace.queue_bytes_max;
    if subscriber.behind.is_none() {
        out.tell_drained(subscriber.seat, bytes_max);
    }
    let behind = subscriber.behind.get_or_insert_with(Box::<Behind>::default);
    let count_max = match namespace.slow {
        Slow::Pause => {
            counters.slow_paused += u64::from(!mem::replace(&mut behind.paused, true));
            behind.missed += 1;
            return false;
        }
        Slow::KeepLatest(count) => {
            let same = behind.waiting.iter().position(|it| it.key == publication.key);
            if let Some(older) = same.and_then(|it| behind.waiting.remove(it)) {
                behind.bytes -= older.weight();
                counters.slow_replaced += 1;
            }
            count
        }
        Slow::DropOldest(count) => count,
        Slow::Disconnect => return true,
    };
    behind.bytes += publication.weight();
    behind.waiting.push_back(publication.clone());
    while behind.waiting.len() > count_max || behind.bytes > bytes_max {
        let Some(oldest) = behind.waiting.pop_front() else { break };
        behind.bytes -= oldest.weight();
        behind.missed += 1;
        counters.slow_dropped += 1;
    }
    false
}
