//! Patterns, which have no owner: every shard knows which shards want what matches.

use std::sync::Arc;

use taiwa_core::{Event, Pattern, Recovered, Reply, Subscribed};

use super::{
    Shard,
    session::{Place, Subscriber},
    waiting::{Then, Waiting},
};
use crate::{
    letter::Text,
    outlet::{Outlet, Ticket},
};

impl Shard {
    pub(super) fn pattern_up(
        &mut self,
        shard: u16,
        ticket: Ticket,
        pattern: Pattern,
        out: &mut dyn Outlet,
    ) {
        match self.far.get_mut(&pattern) {
            Some(shards) => *shards |= 1 << shard,
            // The shard that asks has such an index, too, and the pattern is in it.
            None => drop(self.far.insert(&pattern, 1 << shard)),
        }
        self.post(shard, Text::PatternReady(ticket), out);
    }

    pub(super) fn pattern_down(&mut self, shard: u16, pattern: &Pattern) {
        let Some(shards) = self.far.get_mut(pattern) else { return };
        *shards &= !(1 << shard);
        if *shards == 0 {
            self.far.remove(pattern);
        }
    }

    pub(super) fn pattern_ready(&mut self, ticket: Ticket, out: &mut dyn Outlet) {
        let Some(Waiting::Pattern { left, .. }) = self.waiting.get_mut(ticket) else { return };
        *left -= 1;
        if *left > 0 {
            return;
        }
        let Some(Waiting::Pattern { seat, pattern, link, then, subscribe, .. }) =
            self.waiting.remove(ticket)
        else {
            return;
        };
        let Some(key) = self.patterns.get(&pattern).copied() else { return };
        let (Some(session), Some(audience)) =
            (self.sessions.get_mut(seat), self.audiences.get_mut(key))
        else {
            return;
        };
        let coming = Place::Coming(ticket);
        let mut mine = session.subscriptions.iter_mut();
        let Some(mine) = mine.find(|it| it.audience == key && it.place == coming) else { return };
        audience.coming -= 1;
        let subscriber = Subscriber {
            seat,
            link,
            delivery: subscribe.delivery,
            delta: None,
            at: 0,
            filter: subscribe.filter.map(Arc::new),
            echo: subscribe.echo,
            once: subscribe.once,
            join_leave: false,
            positioned: false,
            has_whole: false,
            member: None,
            behind: None,
        };
        mine.place = Place::At(audience.subscribers.push(subscriber));
        let told = Subscribed {
            position: None,
            recoverable: false,
            positioned: false,
            recovered: Recovered::NotAsked,
            delta: false,
            expires: None,
            data: None,
        };
        if let Then::Reply(token) = then {
            out.event(seat, Event::Reply(token, Ok(Reply::Subscribed(Box::new(told)))));
        }
    }
}
