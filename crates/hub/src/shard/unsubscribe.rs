//! The end of subscriptions, where the subscriber is.

use taiwa_core::{Channel, Event, Link, SessionId, Target, Unsubscribed};

use super::{
    Now, Shard,
    session::{Audience, To},
};
use crate::{
    letter::{Detach, Text},
    outlet::{Outlet, Seat},
    slab::Key,
};

impl Shard {
    /// Ends a subscription at its client's wish.
    pub(super) fn unsubscribe(
        &mut self,
        seat: Seat,
        link: Link,
        target: &Target,
        out: &mut dyn Outlet,
    ) {
        if let Some(key) = self.audience_of(target) {
            self.end_one(seat, link, key, out);
        }
    }

    /// Ends all subscriptions of a link, the newest first: that takes the same short time for each.
    pub(super) fn end_subscriptions(&mut self, seat: Seat, link: Link, out: &mut dyn Outlet) {
        let count = self.sessions.get(seat).map_or(0, |it| it.subscriptions.len());
        for place in (0..count).rev() {
            let mine = self.sessions.get(seat).and_then(|it| it.subscriptions.get(place));
            if mine.is_some_and(|it| it.link == link) {
                self.drop_subscription(seat, place as u32, out);
            }
        }
    }

    /// Ends a subscription of a session, and tells its client.
    pub(super) fn end_subscription(
        &mut self,
        (seat, link): (Seat, Link),
        key: Key,
        why: Unsubscribed,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        let Some(session) = self.sessions.get(seat) else { return };
        let (is_away, leaving) = (session.is_away(), session.leaving);
        let Some(target) = self.audiences.get(key).map(|it| it.to.target()) else { return };
        if is_away {
            // Nobody could tell its client when it comes back: it begins anew then.
            return self.end_session(seat, None, now, out);
        }
        if self.end_one(seat, link, key, out) && !leaving {
            out.event(seat, Event::Unsubscribed(link, target, why));
        }
    }

    /// Ends a subscription without a word to its client; returns whether there was one.
    fn end_one(&mut self, seat: Seat, link: Link, key: Key, out: &mut dyn Outlet) -> bool {
        let mine = self.sessions.get(seat).map(|it| &it.subscriptions[..]).unwrap_or_default();
        let Some(place) = mine.iter().position(|it| it.audience == key && it.link == link) else {
            return false;
        };
        self.drop_subscription(seat, place as u32, out);
        true
    }

    /// Takes a subscription out of its session and out of its list.
    pub(super) fn drop_subscription(&mut self, seat: Seat, mine: u32, out: &mut dyn Outlet) {
        let Some(session) = self.sessions.get_mut(seat) else { return };
        let Some(dropped) = session.subscriptions.swap_remove(mine as usize) else { return };
        let id = session.id();
        self.subscriptions -= 1;
        // What was the last of the session is in its place now, and says so in its list.
        if let Some(moved) = session.subscriptions.get(mine as usize)
            && moved.coming.is_none()
            && let Some(audience) = self.audiences.get_mut(moved.audience)
            && let Some(subscriber) = audience.subscribers.get_mut(moved.place)
        {
            subscriber.mine = mine;
        }
        let key = dropped.audience;
        let Some(audience) = self.audiences.get_mut(key) else { return };
        if dropped.coming.is_some() {
            // Its answer will come and find nobody; then the owner is told.
            audience.coming -= 1;
            return self.close_audience(key, out);
        }
        let Some(removed) = audience.subscribers.remove(dropped.place) else { return };
        // What was the last of the list is in its place now, and says so in its session.
        if let Some(moved) = removed.moved
            && let Some(session) = self.sessions.get_mut(moved.seat)
            && let Some(it) = session.subscriptions.get_mut(moved.mine as usize)
        {
            it.place = dropped.place;
        }
        let curious = removed.item.join_leave;
        audience.curious -= u32::from(curious);
        let filter = removed.item.special.and_then(|it| it.filter);
        if let To::Channel(channel, _) = &audience.to {
            let channel = channel.clone();
            self.tell_detached(&channel, dropped.link, id, curious, out);
        }
        if let Some(filter) = filter {
            self.filters.remove(filter);
        }
        self.close_audience(key, out);
    }

    pub(super) fn tell_detached(
        &mut self,
        channel: &Channel,
        link: Link,
        session: SessionId,
        curious: bool,
        out: &mut dyn Outlet,
    ) {
        let (from, channel) = (self.index, channel.clone());
        let detach = Detach { from, channel, link, session, curious };
        self.post(self.owner(&detach.channel), Text::Detach(Box::new(detach)), out);
    }

    /// Forgets an audience without anyone in it.
    fn close_audience(&mut self, key: Key, out: &mut dyn Outlet) {
        let empty = |it: &&Audience| it.subscribers.is_empty() && it.coming == 0;
        if self.audiences.get(key).filter(empty).is_none() {
            return;
        }
        match self.audiences.remove(key).map(|it| it.to) {
            Some(To::Channel(channel, _)) => {
                self.channels.remove(&channel);
            }
            Some(To::Pattern(pattern)) => {
                self.patterns.remove(&pattern);
                self.matching.remove(&pattern);
                let from = self.index;
                self.post_all(|| Text::PatternDown(from, pattern.clone()), out);
            }
            None => {}
        }
    }
}
