//! The end of a subscription's rights, unless they are refreshed.

use std::time::Instant;

use taiwa_core::{
    Answer, Channel, Link, Question, Refusal, RefusalKind, Reply, Secret, Target, Unsubscribed,
};

use super::{
    Now, Shard,
    arrive::{Answered, nonsense},
    session::{Expiry, Subscription, To},
    timers::Due,
    waiting::{Asker, Waiting},
};
use crate::{
    outlet::{Outlet, Seat},
    slab::Key,
};

impl Shard {
    /// Shows the app a fresh token for a subscription.
    pub(super) fn refresh_subscription(
        &mut self,
        asker: Asker,
        link: Link,
        channel: &Channel,
        fresh: Secret,
        now: Now,
        out: &mut dyn Outlet,
    ) -> Answered {
        let seat = asker.seat;
        let who = self.admitted_client(seat, link)?;
        if self.subscription(seat, link, &Target::Channel(channel.clone())).is_none() {
            return Err(not_subscribed());
        }
        let token = Some(fresh);
        let question = Question::Subscribe { who, channel: channel.clone(), token, data: None };
        let (channel, asker) = (channel.clone(), Some(asker));
        let waiting = Waiting::SubscriptionRefresh { seat, link, channel, asker };
        self.question(Some(seat), waiting, question, now, out)?;
        Ok(None)
    }

    /// Lets a subscription go on, or not, as the app said.
    pub(super) fn subscription_refreshed(
        &mut self,
        (seat, link): (Seat, Link),
        channel: &Channel,
        asker: Option<Asker>,
        answer: Result<Answer, Refusal>,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        let key = self.channels.get(channel).copied();
        let key = key.filter(|it| self.subscription_in(seat, link, *it).is_some());
        let (key, refusal) = match (key, answer) {
            (Some(key), Ok(Answer::Authorization(it))) => {
                let at = it.expires.and_then(|it| now.after(it));
                if let Some(mine) = self.subscription_mut(seat, link, key) {
                    mine.expiry = at.map(|at| Expiry::new(at, it.client_refreshes));
                }
                if let Some(at) = at {
                    self.schedule(at, Due::Subscription(seat, link, key));
                }
                if let Some(asker) = asker {
                    let told = it.expires.filter(|_| it.client_refreshes);
                    self.reply(asker, Ok(Reply::Expires(told)), out);
                }
                return;
            }
            (None, _) => (None, not_subscribed()),
            (key, Ok(_)) => (key, nonsense()),
            (key, Err(refusal)) => (key, refusal),
        };
        match (asker, key) {
            (Some(asker), _) => self.reply(asker, Err(refusal), out),
            (None, Some(key)) if refusal.is_temporary() => {
                self.try_subscription_again((seat, link), key, now, out);
            }
            (None, Some(key)) => {
                self.end_subscription((seat, link), key, Unsubscribed::Expired, now, out);
            }
            (None, None) => {}
        }
    }

    /// The app could not be asked: a client does not pay for that before the grace is over.
    fn try_subscription_again(
        &mut self,
        (seat, link): (Seat, Link),
        key: Key,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        let expiry = self.subscription_in(seat, link, key).and_then(|it| it.expiry.as_ref());
        let Some(ended) = expiry.map(|it| it.at) else { return };
        match self.next_try(ended, now) {
            Some(again) => self.look_at_subscription((seat, link), key, again),
            None => self.end_subscription((seat, link), key, Unsubscribed::Expired, now, out),
        }
    }

    fn look_at_subscription(&mut self, (seat, link): (Seat, Link), key: Key, at: Instant) {
        let mine = self.subscription_mut(seat, link, key);
        if let Some(expiry) = mine.and_then(|it| it.expiry.as_mut()) {
            expiry.look = at;
            self.schedule(at, Due::Subscription(seat, link, key));
        }
    }

    fn subscription_mut(&mut self, seat: Seat, link: Link, key: Key) -> Option<&mut Subscription> {
        let mine = &mut self.sessions.get_mut(seat)?.subscriptions;
        mine.iter_mut().find(|it| it.audience == key && it.link == link)
    }

    /// The rights of a subscription end, or the grace behind that.
    pub(super) fn subscription_expires(
        &mut self,
        (seat, link): (Seat, Link),
        key: Key,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        let Some(mine) = self.subscription_in(seat, link, key) else { return };
        let Some(expiry) = mine.expiry.as_deref().copied() else { return };
        if expiry.client_refreshes {
            // The client knows the time and refreshes by itself.
            let over = expiry.at.checked_add(self.settings.expiry_grace).filter(|it| *it > now.at);
            return match over.filter(|_| expiry.look == expiry.at) {
                Some(over) => self.look_at_subscription((seat, link), key, over),
                None => self.end_subscription((seat, link), key, Unsubscribed::Expired, now, out),
            };
        }
        let Some(To::Channel(channel, _)) = self.audiences.get(key).map(|it| it.to.clone()) else {
            return;
        };
        let asked = self.admitted_client(seat, link).and_then(|who| {
            let question =
                Question::Subscribe { who, channel: channel.clone(), token: None, data: None };
            let waiting = Waiting::SubscriptionRefresh { seat, link, channel, asker: None };
            self.question(Some(seat), waiting, question, now, out)
        });
        if asked.is_err() {
            self.try_subscription_again((seat, link), key, now, out);
        }
    }
}

fn not_subscribed() -> Refusal {
    Refusal::new(RefusalKind::NotFound, "not subscribed")
}
