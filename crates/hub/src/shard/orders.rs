//! Orders of the server's own API and of the app: done here, by a channel's owner, or by all shards.

use taiwa_core::{
    Authorization, Channel, Connect, Disconnect, Event, Payload, Position, Refusal, RefusalKind,
    Target, Unsubscribed,
};

use super::{
    Now, Shard,
    session::To,
    timers::Due,
    waiting::{Then, Waiting},
};
use crate::{
    letter::{Task, Text, What},
    order::{Done, Order, Whom},
    outlet::{OrderId, Outlet, Seat, Ticket},
};

impl Shard {
    /// Does an order; any shard takes any. The answer comes by [`Outlet::done`], now or later.
    pub fn order(&mut self, id: OrderId, order: Order, now: Now, out: &mut dyn Outlet) {
        if let Err(refusal) = self.try_order(id, order, out) {
            out.done(id, Err(refusal));
        }
        self.read_own(now, out);
    }

    fn try_order(
        &mut self,
        id: OrderId,
        order: Order,
        out: &mut dyn Outlet,
    ) -> Result<(), Refusal> {
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
            Order::Subscribe { whom, channel, authorization, since } => {
                self.namespace(&channel)?;
                Task::Subscribe { whom, channel, authorization, since }
            }
            Order::Unsubscribe { whom, channel } => Task::Unsubscribe { whom, channel },
            Order::Disconnect { whom, why } => Task::Disconnect { whom, why },
            Order::Refresh { whom, expires } => Task::Refresh { whom, expires },
            Order::Tell { whom, payload } => {
                self.fits(&payload)?;
                Task::Tell { whom, payload }
            }
            Order::Call { session, method, payload, deadline } => {
                self.fits(&payload)?;
                Task::Call { session, method, payload, deadline }
            }
            Order::Info => Task::Info,
        };
        self.give_out(id, task, out)
    }

    /// Gives a task to the shards that it concerns.
    fn give_out(
        &mut self,
        order: OrderId,
        task: Task,
        out: &mut dyn Outlet,
    ) -> Result<(), Refusal> {
        let limit = match &task {
            Task::Channels { limit, .. } | Task::Sessions { limit, .. } => *limit,
            _ => usize::MAX,
        };
        let shards = match session(&task).map(|it| it.shard()) {
            Some(shard) if shard < self.shards => shard..shard + 1,
            Some(_) => {
                return Err(Refusal::new(RefusalKind::NotFound, "there is no such session"));
            }
            None => 0..self.shards,
        };
        let left = shards.len() as u16;
        let waiting = Waiting::Gather { order, left, done: None, refusal: None, limit };
        let full = |_| Refusal::new(RefusalKind::Unavailable, "too many orders");
        let ticket = self.waiting.insert(waiting).map_err(full)?;
        let from = self.index;
        for shard in shards {
            self.post(shard, Text::Task(from, ticket, Box::new(task.clone())), out);
        }
        Ok(())
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
        let done = match task {
            Task::Channels { prefix, limit } => self.list_channels(&prefix, limit),
            Task::Sessions { user, limit } => {
                let whom = user.map_or(Whom::All, Whom::User);
                let seats = self.seats(&whom).into_iter().take(limit);
                let clients = seats.flat_map(|it| self.sessions.get(it)).flat_map(|it| &it.links);
                Done::Sessions(clients.map(|it| it.client.clone()).collect())
            }
            Task::Subscribe { whom, channel, authorization, since } => {
                let to = (from, ticket);
                return self.subscribe_all(to, &whom, channel, *authorization, since, now, out);
            }
            Task::Unsubscribe { whom, channel } => {
                let seats = self.seats(&whom);
                Done::Affected(
                    seats.into_iter().map(|it| self.unsubscribe_from(it, &channel, now, out)).sum(),
                )
            }
            Task::Disconnect { whom, why } => self.disconnect_all(&whom, &why, now, out),
            Task::Refresh { whom, expires } => {
                let seats = self.seats(&whom);
                Done::Affected(
                    seats.into_iter().filter(|it| self.extend(*it, expires, now)).count(),
                )
            }
            Task::Tell { whom, payload } => self.tell_all(&whom, &payload, out),
            Task::Call { session, method, payload, deadline } => {
                let gone = || Refusal::new(RefusalKind::NotFound, "there is no such session");
                let called = self.seat_of(session).ok_or_else(gone).and_then(|seat| {
                    self.call_client(seat, (from, ticket), method, payload, deadline, now, out)
                });
                if let Err(refusal) = called {
                    self.answer_order((from, ticket), Err(refusal), out);
                }
                return;
            }
            Task::Info => Done::Info(vec![self.info()]),
        };
        self.answer_order((from, ticket), Ok(done), out);
    }

    /// Adds a shard's part to what the others did.
    pub(super) fn task_done(
        &mut self,
        ticket: Ticket,
        part: Result<Done, Refusal>,
        _now: Now,
        out: &mut dyn Outlet,
    ) {
        let Some(Waiting::Gather { left, done, refusal, limit, .. }) = self.waiting.get_mut(ticket)
        else {
            return;
        };
        match part {
            Ok(part) => *done = Some(joined(done.take(), part, *limit)),
            Err(why) => *refusal = Some(why),
        }
        *left -= 1;
        if *left > 0 {
            return;
        }
        let waiting = self.waiting.remove(ticket);
        if let Some(Waiting::Gather { order, done, refusal, .. }) = waiting {
            let nothing = || Refusal::new(RefusalKind::Unavailable, "no shard answered");
            out.done(order, done.ok_or_else(|| refusal.unwrap_or_else(nothing)));
        }
    }

    /// Returns the seats of those who are meant.
    fn seats(&self, whom: &Whom) -> Vec<Seat> {
        match whom {
            Whom::Session(id) => self.seat_of(*id).into_iter().collect(),
            Whom::User(user) => self.users.get(user).cloned().unwrap_or_default(),
            Whom::All => self.sessions.iter().map(|(seat, _)| seat).collect(),
        }
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

    #[expect(clippy::too_many_arguments, reason = "the parts of an order")]
    fn subscribe_all(
        &mut self,
        to: (u16, Ticket),
        whom: &Whom,
        channel: Channel,
        authorization: Authorization,
        since: Option<Position>,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        let target = Target::Channel(channel.clone());
        let links = self.seats(whom).into_iter().filter_map(|seat| {
            let session = self.sessions.get(seat).filter(|it| !it.leaving)?;
            let link = session.links.iter().find(|it| it.admitted)?.link;
            self.subscription(seat, link, &target).is_none().then_some((seat, link))
        });
        let links = links.collect::<Vec<_>>();
        if links.is_empty() {
            return self.answer_order(to, Ok(Done::Affected(0)), out);
        }
        let waiting = Waiting::TaskSubscribe { to, left: links.len(), done: 0 };
        let Ok(ticket) = self.waiting.insert(waiting) else { return };
        for (seat, link) in links {
            let delivery = self.sessions.get(seat).and_then(|it| it.delivery);
            let connect = Connect { delivery, ..Connect::default() };
            let mut wish = self.wish(&channel, &connect);
            wish.since = since;
            let then = Then::Order(ticket);
            self.begin(seat, link, Box::new(wish), authorization.clone(), then, now, out);
        }
    }

    pub(super) fn one_subscribed(&mut self, ticket: Ticket, begun: bool, out: &mut dyn Outlet) {
        let Some(Waiting::TaskSubscribe { to, left, done }) = self.waiting.get_mut(ticket) else {
            return;
        };
        *left -= 1;
        *done += usize::from(begun);
        if *left == 0 {
            let (to, done) = (*to, *done);
            self.waiting.remove(ticket);
            self.answer_order(to, Ok(Done::Affected(done)), out);
        }
    }

    /// Ends what a session hears of a channel on any of its links; returns 1 if it heard it.
    fn unsubscribe_from(
        &mut self,
        seat: Seat,
        channel: &Channel,
        now: Now,
        out: &mut dyn Outlet,
    ) -> usize {
        let Some(key) = self.channels.get(channel).copied() else { return 0 };
        let mut count = 0;
        loop {
            let subscriptions = self.sessions.get(seat).map(|it| &it.subscriptions[..]);
            let mine = subscriptions.unwrap_or_default().iter().find(|it| it.audience == key);
            let Some(link) = mine.map(|it| it.link) else { return count };
            count = 1;
            self.end_subscription((seat, link), key, Unsubscribed::App, now, out);
        }
    }

    fn disconnect_all(
        &mut self,
        whom: &Whom,
        why: &Disconnect,
        now: Now,
        out: &mut dyn Outlet,
    ) -> Done {
        let seats = self.seats(whom);
        for seat in &seats {
            let away = self.sessions.get(*seat).and_then(|it| it.kept.as_ref()?.until).is_some();
            if away {
                self.depart(*seat, Some(why.clone()), now, out);
            } else {
                self.send_away(*seat, why.clone(), out);
            }
        }
        Done::Affected(seats.len())
    }

    fn extend(&mut self, seat: Seat, expires: Option<std::time::Duration>, now: Now) -> bool {
        let Some(session) = self.sessions.get_mut(seat) else { return false };
        let at = expires.map(|it| now.at + it);
        let links = session.links.iter_mut().map(|it| {
            it.expires = at;
            it.link
        });
        let links = links.collect::<Vec<_>>();
        if let Some(at) = at {
            for link in links {
                self.schedule(at, Due::Link(seat, link));
            }
        }
        true
    }

    fn tell_all(&mut self, whom: &Whom, payload: &Payload, out: &mut dyn Outlet) -> Done {
        let mut count = 0;
        for seat in self.seats(whom) {
            let Some(session) = self.sessions.get(seat) else { continue };
            let away = session.kept.as_ref().is_some_and(|it| it.until.is_some());
            if session.leaving || away {
                continue;
            }
            let Some(link) = session.links.iter().find(|it| it.admitted) else { continue };
            count += 1;
            out.event(seat, Event::Told(link.link, payload.clone()));
        }
        Done::Affected(count)
    }

    /// Goes through the channels that have a subscriber here, for whoever looks into a shard.
    pub fn audiences(&self) -> impl Iterator<Item = (&Channel, usize)> {
        self.audiences.iter().filter_map(|(_, it)| match &it.to {
            To::Channel(channel, _) => Some((channel, it.subscribers.len())),
            To::Pattern(_) => None,
        })
    }
}

/// Returns the one session that a task concerns.
fn session(task: &Task) -> Option<taiwa_core::SessionId> {
    match task {
        Task::Subscribe { whom: Whom::Session(id), .. }
        | Task::Unsubscribe { whom: Whom::Session(id), .. }
        | Task::Disconnect { whom: Whom::Session(id), .. }
        | Task::Refresh { whom: Whom::Session(id), .. }
        | Task::Tell { whom: Whom::Session(id), .. }
        | Task::Call { session: id, .. } => Some(*id),
        _ => None,
    }
}

fn joined(mine: Option<Done>, theirs: Done, limit: usize) -> Done {
    match (mine, theirs) {
        (Some(Done::Affected(mine)), Done::Affected(theirs)) => Done::Affected(mine + theirs),
        (Some(Done::Channels(mut mine)), Done::Channels(theirs)) => {
            mine.extend(theirs);
            mine.sort();
            mine.truncate(limit);
            Done::Channels(mine)
        }
        (Some(Done::Sessions(mut mine)), Done::Sessions(theirs)) => {
            mine.extend(theirs);
            mine.truncate(limit);
            Done::Sessions(mine)
        }
        (Some(Done::Info(mut mine)), Done::Info(theirs)) => {
            mine.extend(theirs);
            Done::Info(mine)
        }
        (_, theirs) => theirs,
    }
}
