//! Orders of the server's own API and of the app: done here, by a channel's owner, or by all shards.

use std::{sync::Arc, time::Duration};

use taiwa_core::{
    Admission, Authorization, Channel, Client, Connected, Event, Link, Refusal, RefusalKind,
    SessionId, Subscribe, Target, Unsubscribed,
};

use super::{
    Now, Shard,
    session::{AnswerTo, LinkState, Session, To},
    timers::Due,
    waiting::{Then, Waiting},
};
use crate::{
    letter::{Calling, Deed, Except, Task, What},
    order::{ClientAnswer, Done, Order, SessionInfo, Whom},
    outlet::{OrderId, Outlet, Seat, Ticket},
};

/// How many sessions have their turn at once in an order that concerns all.
const SWEEP: usize = 1000;

/// An order that concerns many sessions, of which some had their turn.
#[derive(Clone, Debug)]
pub(super) struct Sweep {
    ticket: Ticket,
    deed: Deed,
    /// The place from which on it goes on: among all, or among these.
    from: u32,
    among: Option<Arc<[Found]>>,
}

/// A session, and the link by which it is meant, if by one.
type Found = (Seat, Option<Link>);

impl Shard {
    /// Does an order; any shard takes any. The answer comes by [`Outlet::done`], now or later.
    pub fn order(&mut self, id: OrderId, order: Order, now: Now, out: &mut dyn Outlet) {
        if let Err(refusal) = self.try_order(id, order, now, out) {
            out.done(id, Err(refusal));
        }
        self.read_own(now, out);
    }

    fn try_order(
        &mut self,
        id: OrderId,
        order: Order,
        now: Now,
        out: &mut dyn Outlet,
    ) -> Result<(), Refusal> {
        let by_node = matches!(order, Order::Nodes);
        let waiting = Waiting::Order(id);
        let task = match order {
            Order::Publish(publish) => {
                let namespace = self.namespace(&publish.channel)?.clone();
                let publish = self.checked(*publish, &namespace)?;
                let full = |_| Refusal::new(RefusalKind::Unavailable, "too many orders");
                let ticket = self.waiting.insert(waiting).map_err(full)?;
                self.give_to_owner(Some(ticket), publish, None, out);
                return Ok(());
            }
            Order::Presence(channel) => {
                return self.ask_channel(waiting, channel, What::Presence, out);
            }
            Order::Counts(channel) => return self.ask_channel(waiting, channel, What::Counts, out),
            Order::History(channel, page) => {
                return self.ask_channel(waiting, channel, What::History(page), out);
            }
            Order::Forget(channel) => return self.ask_channel(waiting, channel, What::Forget, out),
            Order::Channels { prefix, limit } => Task::Channels { prefix, limit },
            Order::Sessions { whom, limit } => Task::Sessions { whom, limit },
            Order::Session(id) => Task::Session(id),
            Order::Subscribe { whom, channel, authorization, since } => {
                self.namespace(&channel)?;
                Task::ToSessions(whom, Deed::Subscribe { channel, authorization, since })
            }
            Order::Unsubscribe { whom, channel } => {
                Task::ToSessions(whom, Deed::Unsubscribe(channel))
            }
            Order::Disconnect { whom, which, why } => {
                Task::ToSessions(whom, Deed::Disconnect(which, why))
            }
            Order::Refresh { whom, expires } => Task::ToSessions(whom, Deed::Refresh(expires)),
            Order::Tell { whom, which, event, args } => {
                self.args_fit(&args)?;
                Task::ToSessions(whom, Deed::Tell { which, event, args })
            }
            Order::Call { session, which, method, args, deadline } => {
                self.args_fit(&args)?;
                let calling = Box::new(Calling { method, args, deadline });
                Task::Call { session, which, calling }
            }
            Order::CallAll { whom, which, method, args, except, except_channels, deadline } => {
                self.args_fit(&args)?;
                if except_channels.len() > self.settings.limits.except_channels_max {
                    let text = "too many channels are excepted";
                    return Err(Refusal::new(RefusalKind::Limit, text));
                }
                let calling = Box::new(Calling { method, args, deadline });
                let except = Except::new(except, except_channels);
                Task::ToSessions(whom, Deed::Call { which, calling, except })
            }
            Order::Info | Order::Nodes => Task::Info,
        };
        self.give_out(id, task, by_node, now, out)
    }

    /// Does this shard's part of an order.
    pub(super) fn task(
        &mut self,
        from: u16,
        ticket: Ticket,
        task: Task,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        let to = (from, ticket);
        match task {
            Task::Channels { prefix, limit } => {
                let list = self.list_channels(&prefix, limit);
                self.answer_order(to, Ok(list), out);
            }
            Task::Sessions { whom, limit } => {
                let list = self.list_sessions(&whom, limit);
                self.answer_order(to, Ok(Done::Sessions(list)), out);
            }
            Task::Call { session, which, calling } => {
                let gone = || Refusal::new(RefusalKind::NotFound, "there is no such session");
                let called = self.seat_of(session).ok_or_else(gone).and_then(|seat| {
                    let link = self.sessions.get(seat).and_then(|it| it.link_of(&which, None));
                    let answer_to = AnswerTo::Order(from, ticket);
                    self.call_client((seat, link), answer_to, *calling, now, out)
                });
                if let Err(refusal) = called {
                    self.answer_order(to, Err(refusal), out);
                }
            }
            Task::Session(id) => {
                let gone = || Refusal::new(RefusalKind::NotFound, "there is no such session");
                let told = self.tell_of(id).ok_or_else(gone);
                self.answer_order(to, told.map(|it| Done::Session(Box::new(it))), out);
            }
            Task::Info => self.answer_order(to, Ok(Done::Info(vec![self.info()])), out),
            Task::ToSessions(whom, deed) => self.begin_sweep(to, &whom, deed, now, out),
        }
    }

    /// Finds those who are meant; `None` for all.
    fn find(&self, whom: &Whom) -> Option<Vec<Found>> {
        Some(match whom {
            Whom::All => return None,
            Whom::Session(id) => self.seat_of(*id).map(|it| (it, None)).into_iter().collect(),
            Whom::User(user) => {
                let seats = self.users.get(user).map(|it| &it[..]).unwrap_or_default();
                seats.iter().map(|it| (*it, None)).collect()
            }
            Whom::Channel(channel) => {
                let audience = self.channels.get(channel).and_then(|it| self.audiences.get(*it));
                let all = audience.map(|it| it.subscribers.as_slice()).unwrap_or_default();
                all.iter().map(|it| (it.seat, Some(it.link))).collect()
            }
        })
    }

    fn begin_sweep(
        &mut self,
        to: (u16, Ticket),
        whom: &Whom,
        deed: Deed,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        let answers = matches!(deed, Deed::Call { .. }).then(Box::default);
        let waiting = Waiting::Deed { to, left: 1, done: 0, answers };
        let Ok(ticket) = self.waiting.insert(waiting) else { return };
        let among = self.find(whom).map(Into::into);
        self.sweep(Sweep { ticket, deed, from: 0, among }, now, out);
    }

    /// Does something to the next so many of those who are meant, and to the rest in later turns.
    pub(super) fn sweep(&mut self, mut sweep: Sweep, now: Now, out: &mut dyn Outlet) {
        for _ in 0..SWEEP {
            let next = match &sweep.among {
                Some(all) => all.get(sweep.from as usize).map(|it| (sweep.from, *it)),
                None => self.sessions.next_from(sweep.from).map(|it| (it.index(), (it, None))),
            };
            let Some((at, found)) = next else { return self.one_done(sweep.ticket, 0, out) };
            self.do_to_one(found, &sweep.deed, sweep.ticket, now, out);
            match at.checked_add(1) {
                Some(next) => sweep.from = next,
                None => return self.one_done(sweep.ticket, 0, out),
            }
        }
        let soon = now.after(Duration::from_millis(1)).unwrap_or(now.at);
        self.schedule(soon, Due::Sweep(Box::new(sweep)));
    }

    fn do_to_one(
        &mut self,
        (seat, own): Found,
        deed: &Deed,
        ticket: Ticket,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        let Some(session) = self.sessions.get(seat).filter(|it| !it.leaving) else { return };
        let first = session.links.iter().find(|it| it.admitted).map(|it| it.link);
        let is_away = session.is_away();
        let is_done = match (deed, first) {
            (Deed::Subscribe { channel, authorization, since }, Some(link)) if !is_away => {
                let link = session.link_for(channel, own).unwrap_or(link);
                let target = Target::Channel(channel.clone());
                if self.subscription(seat, link, &target).is_none() {
                    let mut wish = Subscribe::new(target, session.delivery);
                    wish.since = *since;
                    wish.last = self.is_value(channel);
                    if let Some(Waiting::Deed { left, .. }) = self.waiting.get_mut(ticket) {
                        *left += 1;
                    }
                    let (wish, how) = (Box::new(wish), Authorization::clone(authorization));
                    self.begin(seat, link, wish, how, Then::Order(ticket), now, out);
                }
                false
            }
            (Deed::Unsubscribe(channel), _) => self.unsubscribe_from(seat, channel, now, out),
            (Deed::Disconnect(None, why), _) => {
                self.send_away(seat, why.clone(), now, out);
                true
            }
            (Deed::Disconnect(Some(which), why), _) => {
                let link = session.link_of(which, own);
                if let Some(link) = link {
                    self.send_link_away(seat, link, why.clone(), now, out);
                }
                link.is_some()
            }
            (Deed::Refresh(expires), Some(_)) => self.extend(seat, *expires, now, out),
            (Deed::Tell { which, event, args }, Some(_)) if !is_away => {
                let link = session.link_of(which, own);
                if let Some(link) = link {
                    out.event(seat, Event::Told(link, event.clone(), args.clone()));
                }
                link.is_some()
            }
            (Deed::Call { which, calling, except }, Some(_)) => {
                let link = session.link_of(which, own);
                if let Some(link) =
                    link.filter(|it| !self.is_left_out(session, *it, except.as_deref()))
                {
                    self.call_one((seat, link), calling, ticket, now, out);
                }
                false
            }
            _ => false,
        };
        if let Some(Waiting::Deed { done, .. }) = self.waiting.get_mut(ticket) {
            *done += usize::from(is_done);
        }
    }

    fn is_left_out(&self, session: &Session, link: Link, except: Option<&Except>) -> bool {
        let Some(except) = except else { return false };
        let hears = |channel: &Channel| {
            let here = self.channels.get(channel);
            session.subscriptions.iter().any(|it| {
                it.link == link && it.coming.is_none() && here.is_some_and(|at| *at == it.audience)
            })
        };
        except.sessions.binary_search(&session.id()).is_ok() || except.channels.iter().any(hears)
    }

    /// Takes note that a part of a deed is done; with the last one the order is answered.
    pub(super) fn one_done(&mut self, ticket: Ticket, count: usize, out: &mut dyn Outlet) {
        let Some(Waiting::Deed { left, done, .. }) = self.waiting.get_mut(ticket) else { return };
        *left -= 1;
        *done += count;
        if *left == 0
            && let Some(Waiting::Deed { to, done, answers, .. }) = self.waiting.remove(ticket)
        {
            let done = answers.map_or(Done::Affected(done), Done::Answers);
            self.answer_order(to, Ok(done), out);
        }
    }

    /// Calls one of several clients.
    fn call_one(
        &mut self,
        (seat, link): (Seat, Link),
        calling: &Calling,
        ticket: Ticket,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        if let Some(Waiting::Deed { left, .. }) = self.waiting.get_mut(ticket) {
            *left += 1;
        }
        let answer_to = AnswerTo::Deed(ticket);
        let called = self.call_client((seat, Some(link)), answer_to, calling.clone(), now, out);
        if let Err(refusal) = called
            && let Some(session) = self.sessions.get(seat).map(Session::id)
        {
            self.one_answered(ticket, ClientAnswer { session, link, answer: Err(refusal) }, out);
        }
    }

    /// Takes the answer of one of several clients.
    pub(super) fn one_answered(
        &mut self,
        ticket: Ticket,
        answer: ClientAnswer,
        out: &mut dyn Outlet,
    ) {
        let limits = &self.settings.limits;
        if let Some(Waiting::Deed { answers: Some(all), .. }) = self.waiting.get_mut(ticket) {
            all.add(answer, limits);
        }
        self.one_done(ticket, 0, out);
    }

    fn list_sessions(&self, whom: &Whom, limit: usize) -> Vec<Arc<Client>> {
        let links = |it: &Session, own: Option<Link>| {
            let is_meant = |it: &&LinkState| it.admitted && own.is_none_or(|own| it.link == own);
            it.links.iter().filter(is_meant).map(|it| it.client.clone()).collect::<Vec<_>>()
        };
        let Some(found) = self.find(whom) else {
            return self.sessions.iter().flat_map(|(_, it)| links(it, None)).take(limit).collect();
        };
        let of_user = |it: &Arc<Client>| match whom {
            Whom::User(user) => it.user.as_ref() == Some(user),
            _ => true,
        };
        let sessions =
            found.iter().filter_map(|(seat, own)| Some((self.sessions.get(*seat)?, own)));
        sessions.flat_map(|(it, own)| links(it, *own)).filter(of_user).take(limit).collect()
    }

    fn tell_of(&self, id: SessionId) -> Option<SessionInfo> {
        let session = self.sessions.get(self.seat_of(id)?)?;
        let (mut channels, mut patterns) = (vec![], vec![]);
        for subscription in session.subscriptions.iter().filter(|it| it.coming.is_none()) {
            match self.audiences.get(subscription.audience).map(|it| &it.to) {
                Some(To::Channel(channel, _)) => channels.push(channel.clone()),
                Some(To::Pattern(pattern)) => patterns.push(pattern.as_str().into()),
                None => {}
            }
        }
        channels.sort();
        channels.dedup();
        let (client, is_connected) = (session.client.clone(), !session.is_away());
        Some(SessionInfo { client, is_connected, channels, patterns })
    }

    fn list_channels(&self, prefix: &str, limit: usize) -> Done {
        let mine = self
            .owned
            .iter()
            .filter(|(name, it)| it.subscribers() > 0 && name.as_str().starts_with(prefix));
        let mut list: Vec<_> = mine.map(|(name, it)| (name.clone(), it.subscribers())).collect();
        list.sort();
        list.truncate(limit);
        Done::Channels(list)
    }

    /// Ends what a session hears of a channel on any of its links; returns whether it heard it.
    fn unsubscribe_from(
        &mut self,
        seat: Seat,
        channel: &Channel,
        now: Now,
        out: &mut dyn Outlet,
    ) -> bool {
        let mut found = false;
        while let Some(key) = self.channels.get(channel).copied() {
            let mine = self.sessions.get(seat).map(|it| &it.subscriptions[..]).unwrap_or_default();
            let Some(link) = mine.iter().find(|it| it.audience == key).map(|it| it.link) else {
                break;
            };
            found = true;
            self.end_subscription((seat, link), key, Unsubscribed::App, now, out);
        }
        found
    }

    /// Lets the rights of a session go on for so long, or for ever, and tells its client.
    fn extend(
        &mut self,
        seat: Seat,
        expires: Option<Duration>,
        now: Now,
        out: &mut dyn Outlet,
    ) -> bool {
        let Some(session) = self.sessions.get(seat) else { return false };
        let is_away = session.is_away();
        let links = session.links.iter().filter(|it| it.admitted);
        for (link, client) in links.map(|it| (it.link, it.client.clone())).collect::<Vec<_>>() {
            let client_refreshes = self.refreshes_itself(seat, link);
            let admission = Admission { expires, client_refreshes, ..Admission::default() };
            self.set_expiry(seat, link, &admission, now);
            let connected = Connected {
                session: client.session,
                user: client.user.clone(),
                expires: expires.filter(|_| client_refreshes),
                data: None,
                subscribed: vec![],
                resumed: None,
                links: vec![],
            };
            if !is_away {
                out.event(seat, Event::Refreshed(link, Box::new(connected)));
            }
        }
        true
    }

    fn refreshes_itself(&self, seat: Seat, link: Link) -> bool {
        let expiry = self.link(seat, link).and_then(|it| it.expiry.as_ref());
        expiry.is_some_and(|it| it.client_refreshes)
    }

    /// Goes through the channels that have a subscriber here, for whoever looks into a shard.
    pub fn audiences(&self) -> impl Iterator<Item = (&Channel, usize)> {
        self.audiences.iter().filter_map(|(_, it)| match &it.to {
            To::Channel(channel, _) => Some((channel, it.subscribers.len())),
            To::Pattern(_) => None,
        })
    }
}
