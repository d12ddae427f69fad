//! Fan-out: one publication to all who hear it here.

use std::sync::Arc;

use taiwa_core::{Change, Delivery, Disconnect, Encoding, Event, Publication};

use super::{
    Now, Shard,
    session::{Behind, Session, Subscriber, Subscription, To, Why},
};
use crate::{
    letter::{Road, Said, Text},
    outlet::{Encoded, Outlet},
    settings::{Namespace, Slow},
    slab::Key,
};

/// What was encoded in this fan-out; a channel seldom has more than a few encodings.
#[derive(Default)]
pub(super) struct Writer(Vec<(&'static Encoding, bool, Option<Encoded>)>);

impl Writer {
    pub(super) fn write(
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
        let written = (encoding.encode)(said);
        let encoded = (!written.is_empty()).then(|| out.encoded(written));
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
        let except = said.except.as_ref().map(|it| &it.channels[..]).unwrap_or_default();
        // Those that nobody here subscribes to except nobody here.
        let except: Vec<_> =
            except.iter().filter_map(|it| self.channels.get(it).copied()).collect();
        if said.road != Road::Patterns
            && let Some(key) = self.channels.get(channel).copied()
        {
            count += self.hear_in(key, (said, &except), &mut writer, now, out);
        }
        if !self.patterns.is_empty()
            && said.road != Road::Channel
            && self
                .settings
                .namespace(channel)
                .is_some_and(|it| it.is_open_to(&self.settings.patterns))
        {
            let mut keys = vec![];
            self.matching.find(channel.as_str(), &mut keys);
            for key in keys {
                count += self.hear_in(key, (said, &except), &mut writer, now, out);
            }
        }
        out.fan_out_ended();
        self.counters.delivered += count;
        if let Some(receipt) = said.receipt {
            self.post(self.owner(channel), Text::Delivered(receipt, count), out);
        }
    }

    /// Delivers to one list; returns to how many.
    fn hear_in(
        &mut self,
        key: Key,
        (said, except): (&Said, &[Key]),
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
            if session.leaving {
                continue;
            }
            let filter = subscriber.special.as_ref().and_then(|it| it.filter);
            let tags = &said.publication.tags;
            let wants = is_for(subscriber, session, said, except)
                && filter.is_none_or(|it| self.filters.matches(it, tags, self.fan_outs))
                // Whoever hears everything hears it once; the others, once a subscription.
                && !(subscriber.once && session.heard == self.fan_outs);
            if !wants {
                pass_by(subscriber, &said.publication);
                continue;
            }
            if said.publication.volatile && must_wait(subscriber, session, out) {
                continue;
            }
            session.heard = self.fan_outs;
            let queued = if session.is_away() { 0 } else { out.queued(subscriber.seat) };
            if queued > namespace.queue_bytes_max / 2 && !namespace.hold.is_zero() {
                crowded.push(subscriber.seat);
            }
            if subscriber.behind.is_none() && queued > namespace.queue_bytes_max {
                if namespace.slow == Slow::Disconnect {
                    slow.push(subscriber.seat);
                    continue;
                }
                self.counters.slow_paused += u64::from(namespace.slow == Slow::Pause);
                fall_behind(subscriber, &namespace, out);
            }
            if let Some(behind) = &mut subscriber.behind {
                let lost = behind.missed;
                behind.take(&said.publication, &namespace, &mut self.counters);
                if let Some(kept) = session.kept.as_mut().filter(|_| behind.missed > lost) {
                    kept.lose();
                }
                continue;
            }
            count += 1;
            deliver(subscriber, session, to, &said.publication, writer, log_bytes_max, out);
        }
        for seat in slow {
            self.send_away(seat, Disconnect::Slow, now, out);
        }
        if !crowded.is_empty() {
            self.ask_to_hold(said.origin, &crowded, namespace.hold, now, out);
        }
        count
    }

    /// Tells everyone here who wants to know that somebody came or went.
    pub(super) fn hear_change(
        &mut self,
        change: &Arc<Change>,
        joined: bool,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        let Some(key) = self.channels.get(&change.channel).copied() else { return };
        let Some(audience) = self.audiences.get(key) else { return };
        let To::Channel(_, namespace) = &audience.to else { return };
        if audience.curious == 0 && !namespace.force_join_leave {
            return;
        }
        let mut slow = vec![];
        let mut writer = Writer::default();
        let said = match joined {
            true => taiwa_core::Said::Joined(change),
            false => taiwa_core::Said::Left(change),
        };
        for subscriber in audience.subscribers.as_slice() {
            let Some(session) = self.sessions.get(subscriber.seat) else { continue };
            let wants = subscriber.join_leave || namespace.force_join_leave;
            if !wants || session.leaving || session.is_away() || subscriber.behind.is_some() {
                continue;
            }
            if out.queued(subscriber.seat) > namespace.queue_bytes_max {
                // Who came and went is not kept for anyone: presence can be asked for.
                if namespace.slow == Slow::Disconnect {
                    slow.push(subscriber.seat);
                }
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
        for seat in slow {
            self.send_away(seat, Disconnect::Slow, now, out);
        }
    }
}

/// Tells whether the publisher wants a subscriber to get a publication, and it wants what it says itself.
fn is_for(subscriber: &Subscriber, session: &Session, said: &Said, except: &[Key]) -> bool {
    if subscriber.echo && said.except.is_none() {
        return true;
    }
    let id = session.id();
    let is_own = said.origin == id;
    let is_named = said.except.as_ref().is_some_and(|it| it.sessions.binary_search(&id).is_ok());
    let hears_other = |it: &Subscription| {
        it.link == subscriber.link && it.coming.is_none() && except.contains(&it.audience)
    };
    (subscriber.echo || !is_own)
        && !is_named
        && (except.is_empty() || !session.subscriptions.iter().any(hears_other))
}

/// Tells whether nothing said to a subscriber now would be on its way at once.
fn must_wait(subscriber: &Subscriber, session: &Session, out: &dyn Outlet) -> bool {
    session.is_away() || subscriber.behind.is_some() || !out.takes_at_once(subscriber.seat)
}

/// Sends nothing more to a subscriber until it has read.
fn fall_behind(subscriber: &mut Subscriber, namespace: &Namespace, out: &mut dyn Outlet) {
    let why = if namespace.slow == Slow::Pause { Why::Paused } else { Why::Slow };
    subscriber.behind = Some(Behind::new(why));
    out.tell_drained(subscriber.seat, namespace.queue_bytes_max);
}

/// Takes note that a subscriber does without a publication, unless it lags behind it.
fn pass_by(subscriber: &mut Subscriber, publication: &Publication) {
    if let Some(position) = publication.position
        && subscriber.behind.is_none()
    {
        (subscriber.at, subscriber.has_whole) = (position.offset, false);
    }
}

/// Gives one subscriber one publication.
pub(super) fn deliver(
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
    subscriber.at = offset.unwrap_or(subscriber.at);
    // Clients build on what they got last, so nothing builds on what has no place in the history.
    subscriber.has_whole = offset.is_some();
    let number = match &mut session.kept {
        // Whoever misses it is not to have it later.
        _ if publication.volatile => 0,
        None => 0,
        Some(kept) => {
            let number = kept.write(subscriber.link, to.target(), publication, log_bytes_max);
            if kept.away.is_some() {
                return;
            }
            number
        }
    };
    let by_delta = match &subscriber.special {
        Some(special) if follows && publication.delta.is_some() => special.delta,
        _ => None,
    };
    let (encoding, said) = match (by_delta, subscriber.delivery) {
        (Some(encoding), _) => (encoding, taiwa_core::Said::Delta(publication)),
        (None, Delivery::Shared(encoding)) => {
            (encoding, taiwa_core::Said::Publication(publication))
        }
        (None, Delivery::Personal) => {
            let event = Event::Said(subscriber.link, to.target(), publication.clone(), number);
            return out.event(subscriber.seat, event);
        }
    };
    if let Some(encoded) = writer.write(encoding, by_delta.is_some(), &said, out) {
        out.deliver(subscriber.seat, encoded);
    }
}

impl Behind {
    /// Keeps a publication for later as the namespace says, or counts it as missed.
    fn take(
        &mut self,
        publication: &Arc<Publication>,
        namespace: &Namespace,
        counters: &mut crate::order::Counters,
    ) {
        let count_max = match (self.why, namespace.slow) {
            (Why::Paused | Why::Asking, _) => {
                self.missed += 1;
                return;
            }
            (Why::Slow, Slow::KeepLatest(count)) => {
                let is_older = |it: &Arc<Publication>| {
                    it.key == publication.key && it.channel == publication.channel
                };
                let same = self.waiting.iter().position(is_older);
                if let Some(older) = same.and_then(|it| self.waiting.remove(it)) {
                    self.bytes -= older.weight();
                    counters.slow_replaced += 1;
                }
                count
            }
            (Why::Slow, Slow::DropOldest(count)) => count,
            (Why::Slow | Why::Connecting, _) => usize::MAX,
        };
        self.bytes += publication.weight();
        self.waiting.push_back(publication.clone());
        while self.waiting.len() > count_max || self.bytes > namespace.queue_bytes_max {
            let Some(oldest) = self.waiting.pop_front() else { break };
            self.bytes -= oldest.weight();
            self.missed += 1;
            counters.slow_dropped += 1;
        }
    }
}
