//! Subscribing and unsubscribing, where the subscriber is.

use std::sync::Arc;

use taiwa_core::{
    Authorization, Channel, Connect, Delivery, Event, Link, Member, Question, Recovered, Refusal,
    RefusalKind, Reply, Subscribe, Subscribed, Target, Token, Unsubscribed,
};

use super::{
    Now, Shard,
    session::{Audience, Place, Subscriber, Subscription, To},
    timers::Due,
    waiting::{Attaching, Then, Waiting},
};
use crate::{
    letter::{Attach, Attached, Detach, Text},
    outlet::{Outlet, Seat, Ticket},
    settings::{self, Namespace, Rule},
    slab::Key,
};

impl Shard {
    pub(super) fn subscribe(
        &mut self,
        seat: Seat,
        token: Token,
        link: Link,
        wish: Box<Subscribe>,
        now: Now,
        out: &mut dyn Outlet,
    ) -> Result<Option<Reply>, Refusal> {
        let asked = self.ask_to_subscribe(seat, token, link, wish, now, out);
        self.counters.refused_subscriptions += u64::from(asked.is_err());
        asked.map(|()| None)
    }

    fn ask_to_subscribe(
        &mut self,
        seat: Seat,
        token: Token,
        link: Link,
        wish: Box<Subscribe>,
        now: Now,
        out: &mut dyn Outlet,
    ) -> Result<(), Refusal> {
        let who = self.admitted_client(seat, link)?;
        self.may_add(seat, link, &wish)?;
        let then = Then::Reply(token);
        let (rule, channel) = match &wish.target {
            Target::Pattern(_) => (self.settings.patterns.clone(), None),
            Target::Channel(channel) => {
                (self.namespace(channel)?.subscribe.clone(), Some(channel.clone()))
            }
        };
        let needs_app = match rule {
            Rule::App => true,
            // A token is shown to the app wherever it comes: it may say more than the rule.
            Rule::Token if wish.token.is_none() => {
                return Err(Refusal::new(RefusalKind::Forbidden, "this needs a token"));
            }
            _ if wish.token.is_some() => true,
            Rule::All => false,
            Rule::Users if who.user.is_some() => false,
            Rule::Named if channel.as_ref().is_some_and(|it| is_named(it, &who.user)) => false,
            _ => return Err(Refusal::new(RefusalKind::Forbidden, "this is not allowed")),
        };
        match channel.filter(|_| needs_app) {
            None if needs_app => {
                Err(Refusal::new(RefusalKind::Forbidden, "patterns are not for clients here"))
            }
            None => {
                self.begin(seat, link, wish, Authorization::default(), then, now, out);
                Ok(())
            }
            Some(channel) => {
                let (shown, data) = (wish.token.clone(), wish.data.clone());
                let question = Question::Subscribe { who, channel, token: shown, data };
                let waiting = Waiting::Authorization { seat, link, subscribe: wish, then };
                self.question(Some(seat), waiting, question, now, out)
            }
        }
    }

    /// Refuses what the limits or an equal subscription forbid.
    fn may_add(&self, seat: Seat, link: Link, wish: &Subscribe) -> Result<(), Refusal> {
        let Some(session) = self.sessions.get(seat) else { return Ok(()) };
        if self.subscription(seat, link, &wish.target).is_some() {
            return Err(Refusal::new(RefusalKind::AlreadySubscribed, "subscribed already"));
        }
        let limits = &self.settings.limits;
        if session.subscriptions.len() >= limits.subscriptions_max {
            return Err(Refusal::new(RefusalKind::Limit, "too many subscriptions"));
        }
        if let Some(filter) = &wish.filter
            && let Err(fault) = crate::tags::check(filter, &limits.filters)
        {
            return Err(Refusal::new(RefusalKind::BadRequest, &fault.to_string()));
        }
        Ok(())
    }

    pub(super) fn namespace(&self, channel: &Channel) -> Result<&Arc<Namespace>, Refusal> {
        let unknown = || Refusal::new(RefusalKind::NotFound, "there is no such namespace");
        self.settings.namespace(channel).ok_or_else(unknown)
    }

    /// Finds a subscription of a session, also one that is on its way.
    pub(super) fn subscription(
        &self,
        seat: Seat,
        link: Link,
        target: &Target,
    ) -> Option<&Subscription> {
        let audience = match target {
            Target::Channel(channel) => self.channels.get(channel),
            Target::Pattern(pattern) => self.patterns.get(pattern),
        }?;
        let subscriptions = &self.sessions.get(seat)?.subscriptions;
        subscriptions.iter().find(|it| it.audience == *audience && it.link == link)
    }

    /// Makes the wish of a subscription that comes with a connection.
    pub(super) fn wish(&self, channel: &Channel, connect: &Connect) -> Subscribe {
        let delivery = connect.delivery.unwrap_or(Delivery::Personal);
        let mut wish = Subscribe::new(Target::Channel(channel.clone()), delivery);
        wish.delta = connect.delta;
        wish.since = connect.positions.iter().find(|(it, _)| it == channel).map(|(_, at)| *at);
        wish
    }

    /// Begins a subscription that is allowed: asks the owner of the channel, or tells all shards of the pattern.
    #[expect(clippy::too_many_arguments, reason = "one road, walked once")]
    pub(super) fn begin(
        &mut self,
        seat: Seat,
        link: Link,
        subscribe: Box<Subscribe>,
        authorization: Authorization,
        then: Then,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        let begun = self.try_begin(seat, link, subscribe, authorization, then, now, out);
        if let Err(refusal) = begun {
            self.not_begun(seat, then, refusal, out);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one road, walked once")]
    fn try_begin(
        &mut self,
        seat: Seat,
        link: Link,
        subscribe: Box<Subscribe>,
        authorization: Authorization,
        then: Then,
        now: Now,
        out: &mut dyn Outlet,
    ) -> Result<(), Refusal> {
        // The app took its time; the same may have been subscribed meanwhile.
        self.may_add(seat, link, &subscribe)?;
        let client = self.admitted_client(seat, link)?;
        let audience = self.audience(&subscribe.target)?;
        let expires = authorization.expires.map(|it| now.at + it);
        if let Some(at) = expires {
            self.schedule(at, Due::Subscription(seat, link, audience));
        }
        let client_refreshes = authorization.client_refreshes;
        let target = subscribe.target.clone();
        let ticket = match target.clone() {
            Target::Pattern(pattern) => {
                let left = self.shards;
                Waiting::Pattern { seat, pattern, link, left, then, subscribe }
            }
            Target::Channel(_) => {
                let channel_info = authorization.info.clone();
                let member = Arc::new(Member { client, channel_info });
                let attaching = Attaching { seat, link, subscribe, authorization, member, then };
                Waiting::Attach(Box::new(attaching))
            }
        };
        let full = |_| Refusal::new(RefusalKind::Unavailable, "too many subscriptions at once");
        let ticket = self.waiting.insert(ticket).map_err(full)?;
        let place = Place::Coming(ticket);
        let Some(session) = self.sessions.get_mut(seat) else { return Ok(()) };
        session.subscriptions.push(Subscription {
            link,
            audience,
            place,
            expires,
            client_refreshes,
        });
        self.subscriptions += 1;
        if let Some(it) = self.audiences.get_mut(audience) {
            it.coming += 1;
        }
        match target {
            Target::Pattern(pattern) => {
                let from = self.index;
                self.post_all(|| Text::PatternUp(from, ticket, pattern.clone()), out);
            }
            Target::Channel(channel) => self.ask_owner(ticket, channel, out),
        }
        Ok(())
    }

    fn ask_owner(&mut self, ticket: Ticket, channel: Channel, out: &mut dyn Outlet) {
        let Some(Waiting::Attach(it)) = self.waiting.get(ticket) else { return };
        let attach = Box::new(Attach {
            from: self.index,
            ticket,
            link: it.link,
            member: it.member.clone(),
            since: it.subscribe.since,
            last: it.subscribe.last,
            again: false,
            channel,
        });
        self.post(self.owner(&attach.channel), Text::Attach(attach), out);
    }

    /// Returns the list of those who hear it here, a new one if need be.
    fn audience(&mut self, target: &Target) -> Result<Key, Refusal> {
        let known = match target {
            Target::Channel(channel) => self.channels.get(channel),
            Target::Pattern(pattern) => self.patterns.get(pattern),
        };
        if let Some(known) = known {
            return Ok(*known);
        }
        if self.audiences.len() >= self.settings.limits.channels_max {
            return Err(Refusal::new(RefusalKind::Limit, "too many channels"));
        }
        let to = match target {
            Target::Channel(channel) => {
                To::Channel(channel.clone(), self.namespace(channel)?.clone())
            }
            Target::Pattern(pattern) => To::Pattern(pattern.clone()),
        };
        let audience =
            Audience { to, subscribers: crate::dense::Dense::new(), coming: 0, epoch: 0 };
        let full = |_| Refusal::new(RefusalKind::Limit, "too many channels");
        let key = self.audiences.insert(audience).map_err(full)?;
        match target {
            Target::Channel(channel) => {
                self.channels.insert(channel.clone(), key);
            }
            Target::Pattern(pattern) => {
                if self.matching.insert(pattern, key).is_err() {
                    self.audiences.remove(key);
                    return Err(Refusal::new(
                        RefusalKind::Limit,
                        "the pattern has too many levels",
                    ));
                }
                self.patterns.insert(pattern.clone(), key);
            }
        }
        Ok(key)
    }

    /// Forgets an audience without anyone in it.
    pub(super) fn close_audience(&mut self, key: Key, out: &mut dyn Outlet) {
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

    /// Takes the owner's answer: from here on publications arrive.
    pub(super) fn attached(
        &mut self,
        ticket: Ticket,
        answer: Result<Attached, Refusal>,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        let attaching = match self.waiting.remove(ticket) {
            Some(Waiting::Attach(it)) => it,
            Some(Waiting::CatchUp { seat, link, channel }) => {
                return self.caught_up((seat, link), &channel, answer, out);
            }
            _ => return,
        };
        let (seat, link, then) = (attaching.seat, attaching.link, attaching.then);
        let Target::Channel(channel) = &attaching.subscribe.target else { return };
        let key = self.channels.get(channel).copied();
        let coming = Place::Coming(ticket);
        let mine = key.and_then(|key| {
            let subscriptions = &self.sessions.get(seat)?.subscriptions;
            let is_it =
                |it: &Subscription| it.audience == key && it.link == link && it.place == coming;
            Some((key, subscriptions.iter().position(is_it)?))
        });
        let Some((key, mine)) = mine else {
            // It was given up while the owner was asked.
            if answer.is_ok() {
                self.tell_detached(channel, link, attaching.member.client.session, out);
            }
            return;
        };
        match answer {
            Ok(answer) => {
                let told = self.subscribed_to(channel, &attaching, &answer);
                let Some(audience) = self.audiences.get_mut(key) else { return };
                audience.coming -= 1;
                audience.epoch = answer.at.epoch;
                let place =
                    audience.subscribers.push(subscriber(&attaching, &told, answer.at.offset));
                if let Some(session) = self.sessions.get_mut(seat) {
                    session.subscriptions[mine].place = Place::At(place);
                }
                self.begun(seat, link, then, channel.clone(), told, out);
            }
            Err(refusal) => {
                self.drop_subscription(seat, link, key, now, out);
                self.not_begun(seat, then, refusal, out);
            }
        }
    }

    /// Words what a subscriber is told.
    fn subscribed_to(
        &mut self,
        channel: &Channel,
        attaching: &Attaching,
        answer: &Attached,
    ) -> Subscribed {
        let namespace = self.settings.namespace(channel);
        let wish = &attaching.subscribe;
        let has_positions = namespace.is_some_and(|it| it.history_size > 0);
        match &answer.recovered {
            Recovered::NotAsked => {}
            Recovered::Whole(_) => self.counters.recovered += 1,
            Recovered::Gap(_) => self.counters.gaps += 1,
        }
        let stream = settings::Recovery::Stream;
        Subscribed {
            position: has_positions.then_some(answer.at),
            recoverable: has_positions
                && namespace.is_some_and(|it| it.recovery != settings::Recovery::Off),
            positioned: has_positions
                && namespace
                    .is_some_and(|it| it.positioned || (wish.positioned && it.recovery == stream)),
            recovered: answer.recovered.clone(),
            delta: wish.delta.is_some() && namespace.is_some_and(|it| it.delta),
            expires: attaching
                .authorization
                .expires
                .filter(|_| attaching.authorization.client_refreshes),
            data: attaching.authorization.data.clone(),
        }
    }

    /// Tells whoever waits for it that a subscription has begun.
    pub(super) fn begun(
        &mut self,
        seat: Seat,
        link: Link,
        then: Then,
        channel: Channel,
        told: Subscribed,
        out: &mut dyn Outlet,
    ) {
        match then {
            Then::Reply(token) => {
                out.event(seat, Event::Reply(token, Ok(Reply::Subscribed(Box::new(told)))));
            }
            Then::Connect(ticket) => {
                if let Some(Waiting::Connecting { connected, .. }) = self.waiting.get_mut(ticket) {
                    connected.subscribed.push((channel, told));
                }
                self.one_connected(ticket, out);
            }
            Then::Order(ticket) => {
                out.event(seat, Event::Subscribed(link, channel, Box::new(told)));
                self.one_subscribed(ticket, true, out);
            }
        }
    }

    /// Tells whoever waits for it that there will be no subscription.
    pub(super) fn not_begun(
        &mut self,
        seat: Seat,
        then: Then,
        refusal: Refusal,
        out: &mut dyn Outlet,
    ) {
        self.counters.refused_subscriptions += 1;
        match then {
            Then::Reply(token) => self.refuse(seat, token, refusal, out),
            // The client is let in without it: what the app wants may be more than the limits allow.
            Then::Connect(ticket) => self.one_connected(ticket, out),
            Then::Order(ticket) => self.one_subscribed(ticket, false, out),
        }
    }

    fn one_connected(&mut self, ticket: Ticket, out: &mut dyn Outlet) {
        let Some(Waiting::Connecting { left, .. }) = self.waiting.get_mut(ticket) else { return };
        *left -= 1;
        if *left > 0 {
            return;
        }
        if let Some(Waiting::Connecting { seat, token, connected, .. }) =
            self.waiting.remove(ticket)
            && self.sessions.contains(seat)
        {
            out.event(seat, Event::Reply(token, Ok(Reply::Connected(connected))));
        }
    }

    /// Ends a subscription at its client's wish.
    pub(super) fn unsubscribe(
        &mut self,
        seat: Seat,
        link: Link,
        target: &Target,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        if let Some(key) = self.subscription(seat, link, target).map(|it| it.audience) {
            self.drop_subscription(seat, link, key, now, out);
        }
    }

    /// Ends all subscriptions of a link.
    pub(super) fn end_subscriptions(
        &mut self,
        seat: Seat,
        link: Link,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        loop {
            let subscriptions = self.sessions.get(seat).map(|it| &it.subscriptions[..]);
            let last = subscriptions.unwrap_or_default().iter().rev().find(|it| it.link == link);
            let Some(key) = last.map(|it| it.audience) else { return };
            self.drop_subscription(seat, link, key, now, out);
        }
    }

    /// Ends a subscription without a word to its client.
    pub(super) fn drop_subscription(
        &mut self,
        seat: Seat,
        link: Link,
        key: Key,
        _now: Now,
        out: &mut dyn Outlet,
    ) {
        let Some(session) = self.sessions.get_mut(seat) else { return };
        let is_it = |it: &Subscription| it.audience == key && it.link == link;
        let Some(at) = session.subscriptions.iter().rposition(is_it) else { return };
        let place = session.subscriptions.swap_remove(at).place;
        let session_id = session.id;
        self.subscriptions -= 1;
        let Some(audience) = self.audiences.get_mut(key) else { return };
        match place {
            // Its answer will come and find nobody; then the owner is told.
            Place::Coming(_) => audience.coming -= 1,
            Place::At(place) => {
                let removed = audience.subscribers.remove(place);
                let moved = removed.and_then(|it| it.moved).map(|it| (it.seat, it.link));
                if let To::Channel(channel, _) = &audience.to {
                    let channel = channel.clone();
                    self.tell_detached(&channel, link, session_id, out);
                }
                if let Some((seat, link)) = moved {
                    self.move_to(seat, link, key, place);
                }
            }
        }
        self.close_audience(key, out);
    }

    /// Writes down that a subscriber is at another place of its list.
    pub(super) fn move_to(&mut self, seat: Seat, link: Link, key: Key, place: u32) {
        let Some(session) = self.sessions.get_mut(seat) else { return };
        let is_it = |it: &&mut Subscription| it.audience == key && it.link == link;
        if let Some(it) = session.subscriptions.iter_mut().find(is_it) {
            it.place = Place::At(place);
        }
    }

    fn tell_detached(
        &mut self,
        channel: &Channel,
        link: Link,
        session: taiwa_core::SessionId,
        out: &mut dyn Outlet,
    ) {
        let detach = Detach { from: self.index, channel: channel.clone(), link, session };
        self.post(self.owner(channel), Text::Detach(Box::new(detach)), out);
    }

    /// Ends a subscription and tells its client.
    pub(super) fn end_subscription(
        &mut self,
        (seat, link): (Seat, Link),
        key: Key,
        why: Unsubscribed,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        let Some(target) = self.audiences.get(key).map(|it| it.to.target()) else { return };
        self.drop_subscription(seat, link, key, now, out);
        out.event(seat, Event::Unsubscribed(link, target, why));
    }
}

fn subscriber(attaching: &Attaching, told: &Subscribed, at: u64) -> Subscriber {
    let wish = &attaching.subscribe;
    Subscriber {
        seat: attaching.seat,
        link: attaching.link,
        delivery: wish.delivery,
        delta: wish.delta.filter(|_| told.delta),
        at,
        filter: wish.filter.clone().map(Arc::new),
        echo: wish.echo,
        once: wish.once,
        join_leave: attaching.authorization.join_leave.unwrap_or(wish.join_leave),
        positioned: told.positioned,
        // Whoever recovered the newest publication has it whole.
        has_whole: matches!(&told.recovered, Recovered::Whole(missed) if !missed.is_empty()),
        member: Some(attaching.member.clone()),
        behind: None,
    }
}

/// Tells whether a user stands in a channel's name: `dialogue#ada,bob`.
pub(super) fn is_named(channel: &Channel, user: &Option<taiwa_core::User>) -> bool {
    let (Some((_, names)), Some(user)) = (channel.as_str().split_once('#'), user) else {
        return false;
    };
    names.split(',').any(|it| it == user.as_str())
}
