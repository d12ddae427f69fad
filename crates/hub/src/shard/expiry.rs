//! The end of a subscription's rights, unless they are refreshed.

use std::sync::Arc;

use taiwa_core::{
    Answer, Channel, Event, Link, Question, Refusal, RefusalKind, Reply, Target, Token,
    Unsubscribed,
};

use super::{
    Now, Shard,
    arrive::nonsense,
    session::{Subscription, To},
    timers::Due,
    waiting::Waiting,
};
use crate::{
    outlet::{Outlet, Seat},
    slab::Key,
};

impl Shard {
    #[expect(clippy::too_many_arguments, reason = "the parts of a command")]
    pub(super) fn refresh_subscription(
        &mut self,
        seat: Seat,
        token: Token,
        link: Link,
        channel: &Channel,
        fresh: Arc<str>,
        now: Now,
        out: &mut dyn Outlet,
    ) -> Result<Option<Reply>, Refusal> {
        let who = self.admitted_client(seat, link)?;
        if self.subscription(seat, link, &Target::Channel(channel.clone())).is_none() {
            return Err(Refusal::new(RefusalKind::NotFound, "not subscribed"));
        }
        self.ask_for_subscription((seat, link), who, channel, Some(fresh), Some(token), now, out)?;
        Ok(None)
    }

    #[expect(clippy::too_many_arguments, reason = "one question")]
    fn ask_for_subscription(
        &mut self,
        (seat, link): (Seat, Link),
        who: Arc<taiwa_core::Client>,
        channel: &Channel,
        fresh: Option<Arc<str>>,
        token: Option<Token>,
        now: Now,
        out: &mut dyn Outlet,
    ) -> Result<(), Refusal> {
        let channel = channel.clone();
        let question =
            Question::Subscribe { who, channel: channel.clone(), token: fresh, data: None };
        let waiting = Waiting::SubscriptionRefresh { seat, link, channel, token };
        self.question(Some(seat), waiting, question, now, out)
    }

    pub(super) fn subscription_refreshed(
        &mut self,
        (seat, link): (Seat, Link),
        channel: &Channel,
        token: Option<Token>,
        answer: Result<Answer, Refusal>,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        let Some(key) = self.channels.get(channel).copied() else { return };
        match answer {
            Ok(Answer::Authorization(it)) => {
                let expires = it.expires.map(|it| now.at + it);
                let Some(session) = self.sessions.get_mut(seat) else { return };
                let is_it = |it: &&mut Subscription| it.audience == key && it.link == link;
                let Some(mine) = session.subscriptions.iter_mut().find(is_it) else { return };
                mine.expires = expires;
                if let Some(at) = expires {
                    self.schedule(at, Due::Subscription(seat, link, key));
                }
                if let Some(token) = token {
                    let told = it.expires.filter(|_| it.client_refreshes);
                    out.event(seat, Event::Reply(token, Ok(Reply::Expires(told))));
                }
            }
            Err(refusal) if refusal.is_temporary() && token.is_none() => {
                let again = now.at + self.settings.expiry_grace;
                self.schedule(again, Due::SubscriptionGrace(seat, link, key));
            }
            other => match token {
                Some(token) => self.refuse(seat, token, other.err().unwrap_or_else(nonsense), out),
                None => {
                    self.end_subscription((seat, link), key, Unsubscribed::Expired, now, out);
                }
            },
        }
    }

    pub(super) fn subscription_expires(
        &mut self,
        (seat, link): (Seat, Link),
        key: Key,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        let subscriptions = self.sessions.get(seat).map(|it| &it.subscriptions[..]);
        let mut mine = subscriptions.unwrap_or_default().iter();
        let Some(mine) = mine.find(|it| it.audience == key && it.link == link) else { return };
        // A refresh has moved it.
        if mine.expires.is_none_or(|it| it > now.at) {
            return;
        }
        if mine.client_refreshes {
            let over = now.at + self.settings.expiry_grace;
            return self.schedule(over, Due::SubscriptionGrace(seat, link, key));
        }
        let Some(To::Channel(channel, _)) = self.audiences.get(key).map(|it| it.to.clone()) else {
            return;
        };
        let asked = self.admitted_client(seat, link).and_then(|who| {
            self.ask_for_subscription((seat, link), who, &channel, None, None, now, out)
        });
        if asked.is_err() {
            self.end_subscription((seat, link), key, Unsubscribed::Expired, now, out);
        }
    }

    /// Ends a subscription unless it was refreshed in time.
    pub(super) fn subscription_ends(
        &mut self,
        (seat, link): (Seat, Link),
        key: Key,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        let subscriptions = self.sessions.get(seat).map(|it| &it.subscriptions[..]);
        let mut mine = subscriptions.unwrap_or_default().iter();
        let over = mine.any(|it| {
            it.audience == key && it.link == link && it.expires.is_some_and(|it| it <= now.at)
        });
        if over {
            self.end_subscription((seat, link), key, Unsubscribed::Expired, now, out);
        }
    }
}
