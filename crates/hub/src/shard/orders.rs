//! Orders of the server's own API and of the app: done here, by a channel's owner, or by all shards.

use std::{sync::Arc, time::Duration};

use taiwa_core::{
    Admission, Authorization, Channel, Client, Connected, Event, Link, Refusal, RefusalKind,
    SessionId, Subscribe, Target, Unsubscribed, User,
};

use super::{
    Now, Shard,
    session::{Session, To},
    timers::Due,
    waiting::{Then, Waiting},
};
use crate::{
    letter::{Deed, Task, What},
    order::{Done, Order, SessionInfo, Whom},
    outlet::{OrderId, Outlet, Seat, Ticket},
};

/// How many sessions have their turn at once in an order that concerns all.
const SWEEP: usize = 1000;

/// An order that concerns all sessions, of which some had their turn.
#[derive(Clone, Debug)]
pub(super) struct Sweep {
    ticket: Ticket,
    deed: Deed,
    /// The place from which on it goes on.
    from: u32,
}

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
            Order::Sessions { user, limit } => Task::Sessions { user, limit },
            Order::Session(id) => Task::Session(id),
            Order::Subscribe { whom, channel, authorization, since } => {
                self.namespace(&channel)?;
                Task::ToSessions(whom, Deed::Subscribe { channel, authorization, since })
            }
            Order::Unsubscribe { whom, channel } => {
                Task::ToSessions(whom, Deed::Unsubscribe(channel))
            }
            Order::Disconnect { whom, why } => Task::ToSessions(whom, Deed::Disconnect(why)),
            Order::Refresh { whom, expires } => Task::ToSessions(whom, Deed::Refresh(expires)),
            Order::Tell { whom, payload } => {
                self.fits(&payload)?;
                Task::ToSessions(whom, Deed::Tell(payload))
            }
            Order::Call { session, method, payload, deadline } => {
                self.fits(&payload)?;
                Task::Call { session, method, payload, deadline }
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
            Task::Sessions { user, limit } => {
                let list = self.list_sessions(user.as_ref(), limit);
                self.answer_order(to, Ok(Done::Sessions(list)), out);
            }
            Task::Call { session, method, payload, deadline } => {
                let gone = || Refusal::new(RefusalKind::NotFound, "there is no such session");
                let called = self.seat_of(session).ok_or_else(gone).and_then(|seat| {
                    self.call_client(seat, to, method, payload, deadline, now, out)
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
            Task::ToSessions(whom, deed) => match whom {
                Whom::All => self.begin_sweep(to, deed, now, out),
                Whom::Session(id) => {
                    let seats = self.seat_of(id).into_iter().collect();
                    self.do_to(to, seats, deed, now, out);
                }
                Whom::User(user) => {
                    let seats = self.users.get(&user).cloned().unwrap_or_default();
                    self.do_to(to, seats, deed, now, out);
                }
            },
        }
    }

    /// Does something to a few sessions and answers the order.
    fn do_to(
        &mut self,
        to: (u16, Ticket),
        seats: Vec<Seat>,
        deed: Deed,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        let Ok(ticket) = self.waiting.insert(Waiting::Deed { to, left: 1, done: 0 }) else {
            return;
        };
        for seat in seats {
            self.do_to_one(seat, &deed, ticket, now, out);
        }
        self.one_done(ticket, 0, out);
    }

    fn begin_sweep(&mut self, to: (u16, Ticket), deed: Deed, now: Now, out: &mut dyn Outlet) {
        let Ok(ticket) = self.waiting.insert(Waiting::Deed { to, left: 1, done: 0 }) else {
            return;
        };
        self.sweep(Sweep { ticket, deed, from: 0 }, now, out);
    }

    /// Does something to the next so many of all sessions, and to the rest in later turns.
    pub(super) fn sweep(&mut self, mut sweep: Sweep, now: Now, out: &mut dyn Outlet) {
        for _ in 0..SWEEP {
            let Some(seat) = self.sessions.next_from(sweep.from) else {
                return self.one_done(sweep.ticket, 0, out);
            };
            self.do_to_one(seat, &sweep.deed, sweep.ticket, now, out);
            match seat.index().checked_add(1) {
                Some(next) => sweep.from = next,
                None => return self.one_done(sweep.ticket, 0, out),
            }
        }
        let soon = now.after(Duration::from_millis(1)).unwrap_or(now.at);
        self.schedule(soon, Due::Sweep(Box::new(sweep)));
    }

    fn do_to_one(
        &mut self,
        seat: Seat,
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
            (Deed::Disconnect(why), _) => {
                self.send_away(seat, why.clone(), now, out);
                true
            }
            (Deed::Refresh(expires), Some(_)) => self.extend(seat, *expires, now, out),
            (Deed::Tell(payload), Some(link)) if !is_away => {
                out.event(seat, Event::Told(link, payload.clone()));
                true
            }
            _ => false,
        };
        if let Some(Waiting::Deed { done, .. }) = self.waiting.get_mut(ticket) {
            *done += usize::from(is_done);
        }
    }

    /// Takes note that a part of a deed is done; with the last one the order is answered.
    pub(super) fn one_done(&mut self, ticket: Ticket, count: usize, out: &mut dyn Outlet) {
        let Some(Waiting::Deed { to, left, done }) = self.waiting.get_mut(ticket) else { return };
        *left -= 1;
        *done += count;
        if *left == 0 {
            let (to, done) = (*to, *done);
            self.waiting.remove(ticket);
            self.answer_order(to, Ok(Done::Affected(done)), out);
        }
    }

    fn list_sessions(&self, user: Option<&User>, limit: usize) -> Vec<Arc<Client>> {
        let links = |it: &Session| {
            let links = it.links.iter().filter(|it| it.admitted).map(|it| it.client.clone());
            links.collect::<Vec<_>>()
        };
        match user {
            Some(user) => {
                let seats = self.users.get(user).map(|it| &it[..]).unwrap_or_default();
                let sessions = seats.iter().filter_map(|it| self.sessions.get(*it));
                let clients = sessions.flat_map(links);
                clients.filter(|it| it.user.as_ref() == Some(user)).take(limit).collect()
            }
            None => self.sessions.iter().flat_map(|(_, it)| links(it)).take(limit).collect(),
        }
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
