//! Subscribing, where the subscriber is.

use std::sync::Arc;

use taiwa_core::{
    Authorization, Channel, Delivery, Event, Link, Member, Question, Recovered, Refusal,
    RefusalKind, Reply, Subscribe, Subscribed, Target,
};

use super::{
    Now, Shard,
    arrive::Answered,
    session::{Audience, Behind, Expiry, Special, Subscriber, Subscription, To, Why},
    timers::Due,
    waiting::{Asker, Attaching, Then, Waiting},
};
use crate::{
    letter::{Attach, Attached, Text},
    outlet::{Outlet, Seat, Ticket},
    settings::{self, Namespace, Rule},
    slab::Key,
};

impl Shard {
    pub(super) fn subscribe(
        &mut self,
        asker: Asker,
        link: Link,
        wish: Box<Subscribe>,
        now: Now,
        out: &mut dyn Outlet,
    ) -> Answered {
        let asked = self.ask_to_subscribe(asker, link, wish, now, out);
        self.counters.refused_subscriptions += u64::from(asked.is_err());
        asked.map(|()| None)
    }

    fn ask_to_subscribe(
        &mut self,
        asker: Asker,
        link: Link,
        wish: Box<Subscribe>,
        now: Now,
        out: &mut dyn Outlet,
    ) -> Result<(), Refusal> {
        let seat = asker.seat;
        let who = self.admitted_client(seat, link)?;
        self.may_add(seat, link, &wish)?;
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
                let then = Then::Reply(asker);
                self.begin(seat, link, wish, Authorization::default(), then, now, out);
                Ok(())
            }
            Some(channel) => {
                let (token, data) = (wish.token.clone(), wish.data.clone());
                let question = Question::Subscribe { who, channel, token, data };
                let waiting = Waiting::Authorization { asker, link, subscribe: wish };
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
        self.subscription_in(seat, link, self.audience_of(target)?)
    }

    /// Finds the list of those who hear it here.
    pub(super) fn audience_of(&self, target: &Target) -> Option<Key> {
        match target {
            Target::Channel(channel) => self.channels.get(channel).copied(),
            Target::Pattern(pattern) => self.patterns.get(pattern).copied(),
        }
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
        // The app took its time; the same may have been subscribed meanwhile, or the link left.
        let allowed = self
            .may_add(seat, link, &subscribe)
            .and_then(|()| self.admitted_client(seat, link))
            .and_then(|client| Ok((client, self.audience(&subscribe.target)?)));
        let (client, audience) = match allowed {
            Ok(allowed) => allowed,
            Err(refusal) => return self.not_begun(then, refusal, now, out),
        };
        let end = authorization.expires.and_then(|it| now.after(it));
        let expiry = end.map(|at| Expiry::new(at, authorization.client_refreshes));
        let target = subscribe.target.clone();
        let waiting = match target.clone() {
            Target::Pattern(pattern) => {
                let left = self.shards;
                Waiting::Pattern { seat, link, pattern, left, then, wish: subscribe }
            }
            Target::Channel(_) => {
                let channel_info = authorization.info.clone();
                let member = Arc::new(Member { client, channel_info });
                let attaching = Attaching { seat, link, subscribe, authorization, member, then };
                Waiting::Attach(Box::new(attaching))
            }
        };
        let Ok(ticket) = self.waiting.insert(waiting) else { return };
        let Some(session) = self.sessions.get_mut(seat) else { return };
        let coming = Some(ticket);
        session.subscriptions.push(Subscription { audience, coming, expiry, place: 0, link });
        self.subscriptions += 1;
        if let Some(it) = self.audiences.get_mut(audience) {
            it.coming += 1;
        }
        if let Some(at) = end {
            self.schedule(at, Due::Subscription(seat, link, audience));
        }
        match target {
            Target::Pattern(pattern) => {
                let from = self.index;
                self.post_all(|| Text::PatternUp(from, ticket, pattern.clone()), out);
            }
            Target::Channel(channel) => self.ask_owner(ticket, channel, out),
        }
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
            curious: it.is_curious(),
            channel,
        });
        self.post(self.owner(&attach.channel), Text::Attach(attach), out);
    }

    /// Returns the list of those who hear it here, a new one if need be.
    fn audience(&mut self, target: &Target) -> Result<Key, Refusal> {
        if let Some(known) = self.audience_of(target) {
            return Ok(known);
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
        let audience = Audience {
            to,
            subscribers: crate::dense::Dense::new(),
            coming: 0,
            curious: 0,
            epoch: 0,
        };
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
        let (seat, then) = (attaching.seat, attaching.then);
        let Target::Channel(channel) = &attaching.subscribe.target else { return };
        let mine = self.channels.get(channel).and_then(|key| self.coming(seat, *key, ticket));
        let Some((key, mine)) = mine else {
            // It was given up while the owner was asked.
            if answer.is_ok() {
                let (link, curious) = (attaching.link, attaching.is_curious());
                let session = attaching.member.client.session;
                self.tell_detached(channel, link, session, curious, out);
            }
            return self.not_begun(then, given_up(), now, out);
        };
        match answer {
            Ok(mut answer) => {
                if let Some(filter) = &attaching.subscribe.filter {
                    let wanted =
                        |it: &Arc<taiwa_core::Publication>| crate::tags::matches(filter, &it.tags);
                    if let Recovered::Whole(all) | Recovered::Gap(all) = &mut answer.recovered {
                        all.retain(wanted);
                    }
                }
                let told = self.subscribed_to(channel, &attaching, &answer);
                let mut subscriber = self.subscriber(&attaching, &told, answer.at.offset);
                subscriber.mine = mine;
                self.stand(key, mine, subscriber);
                if let Some(audience) = self.audiences.get_mut(key) {
                    audience.epoch = answer.at.epoch;
                }
                self.begun(seat, attaching.link, then, channel.clone(), told, now, out);
            }
            Err(refusal) => {
                self.drop_subscription(seat, mine, out);
                self.not_begun(then, refusal, now, out);
            }
        }
    }

    /// Finds a subscription that is on its way by its ticket, and returns its audience and its place in its session.
    pub(super) fn coming(&self, seat: Seat, key: Key, ticket: Ticket) -> Option<(Key, u32)> {
        let mine = &self.sessions.get(seat)?.subscriptions;
        let is_it = |it: &Subscription| it.coming == Some(ticket) && it.audience == key;
        Some((key, mine.iter().position(is_it)? as u32))
    }

    /// Puts a subscriber into the list in which it is expected.
    pub(super) fn stand(&mut self, key: Key, mine: u32, subscriber: Subscriber) {
        let seat = subscriber.seat;
        let Some(audience) = self.audiences.get_mut(key) else { return };
        audience.coming -= 1;
        audience.curious += u32::from(subscriber.join_leave);
        let place = audience.subscribers.push(subscriber);
        let subscriptions = self.sessions.get_mut(seat).map(|it| &mut it.subscriptions[..]);
        if let Some(it) = subscriptions.and_then(|it| it.get_mut(mine as usize)) {
            (it.coming, it.place) = (None, place);
        }
    }

    fn subscriber(&mut self, attaching: &Attaching, told: &Subscribed, at: u64) -> Subscriber {
        let wish = &attaching.subscribe;
        let special = Special {
            filter: wish.filter.clone().map(|it| self.filters.add(it)),
            delta: match wish.delta {
                Some(Delivery::Shared(encoding)) if told.delta => Some(encoding),
                _ => None,
            },
            member: attaching.member.channel_info.is_some().then(|| attaching.member.clone()),
        };
        let is_special = special != Special::default();
        // Whoever recovered the newest publication has it whole.
        let has_whole = match &told.recovered {
            Recovered::Whole(missed) => {
                missed.last().and_then(|it| it.position).is_some_and(|it| it.offset == at)
            }
            _ => false,
        };
        let waits = match attaching.then {
            Then::Connect(ticket) => self.connects(ticket, attaching.link),
            Then::Restore(_) => true,
            Then::Reply(_) | Then::Order(_) => false,
        };
        Subscriber {
            seat: attaching.seat,
            delivery: wish.delivery,
            at,
            special: is_special.then(|| Box::new(special)),
            behind: waits.then(|| Behind::new(Why::Connecting)),
            mine: 0,
            link: attaching.link,
            echo: wish.echo,
            once: wish.once,
            join_leave: attaching.is_curious(),
            positioned: told.positioned,
            has_whole,
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
    #[expect(clippy::too_many_arguments, reason = "one road, walked once")]
    fn begun(
        &mut self,
        seat: Seat,
        link: Link,
        then: Then,
        channel: Channel,
        told: Subscribed,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        match then {
            Then::Reply(asker) => {
                self.reply(asker, Ok(Reply::Subscribed(Box::new(told))), out);
            }
            Then::Connect(ticket) => {
                // A channel may belong to another link than the one that brought it.
                let is_its_own = self.connects(ticket, link);
                match self.waiting.get_mut(ticket) {
                    Some(Waiting::Connecting { connected, .. }) if is_its_own => {
                        connected.subscribed.push((channel, told));
                    }
                    _ if self.sessions.get(seat).is_some_and(|it| !it.leaving) => {
                        out.event(seat, Event::Subscribed(link, channel, Box::new(told)));
                    }
                    _ => {}
                }
                self.one_connected(ticket, out);
            }
            Then::Order(ticket) => {
                if self.sessions.get(seat).is_some_and(|it| !it.leaving) {
                    out.event(seat, Event::Subscribed(link, channel, Box::new(told)));
                }
                self.one_done(ticket, 1, out);
            }
            Then::Restore(ticket) => {
                return self.one_restored(ticket, Some(Ok((link, told))), now, out);
            }
        }
        self.save_if_kept(seat, now, out);
    }

    /// Tells whoever waits for it that there will be no subscription.
    pub(super) fn not_begun(
        &mut self,
        then: Then,
        refusal: Refusal,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        self.counters.refused_subscriptions += 1;
        match then {
            Then::Reply(asker) => self.reply(asker, Err(refusal), out),
            // The client is let in without it: what the app wants may be more than the limits allow.
            Then::Connect(ticket) => {
                self.count_refusal(&refusal);
                self.one_connected(ticket, out);
            }
            Then::Order(ticket) => {
                self.count_refusal(&refusal);
                self.one_done(ticket, 0, out);
            }
            Then::Restore(ticket) => self.one_restored(ticket, Some(Err(())), now, out),
        }
    }

    /// Takes note that one of the subscriptions that come with a connection stands, or will not.
    fn one_connected(&mut self, ticket: Ticket, out: &mut dyn Outlet) {
        let Some(Waiting::Connecting { left, .. }) = self.waiting.get_mut(ticket) else { return };
        *left -= 1;
        if *left > 0 {
            return;
        }
        let Some(Waiting::Connecting { asker, link, connected, .. }) = self.waiting.remove(ticket)
        else {
            return;
        };
        self.reply(asker, Ok(Reply::Connected(connected)), out);
        let session = self.sessions.get(asker.seat).filter(|it| it.life == asker.life);
        let mine = session.map(|it| &it.subscriptions[..]).unwrap_or_default();
        let mine = mine.iter().filter(|it| it.link == link && it.coming.is_none());
        for (key, place) in mine.map(|it| (it.audience, it.place)).collect::<Vec<_>>() {
            self.release(key, place, Why::Connecting, out);
        }
    }
}

/// What is answered for a subscription that was ended before it had begun.
pub(super) fn given_up() -> Refusal {
    Refusal::new(RefusalKind::NotFound, "the subscription was given up meanwhile")
}

/// Tells whether a user stands in a channel's name: `dialogue#ada,bob`.
pub(super) fn is_named(channel: &Channel, user: &Option<taiwa_core::User>) -> bool {
    let (Some((_, names)), Some(user)) = (channel.as_str().split_once('#'), user) else {
        return false;
    };
    names.split(',').any(|it| it == user.as_str())
}
