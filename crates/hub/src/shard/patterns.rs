//! Patterns, which have no owner: every shard knows which shards want what matches.

use taiwa_core::{Pattern, Recovered, Reply, Subscribed};

use super::{
    Now, Shard,
    session::{Special, Subscriber},
    subscribe::given_up,
    waiting::{Then, Waiting},
};
use crate::{
    far::Wish,
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
        if self.nodes.is_some() {
            // What other nodes say has to come, too. Told each time: only then is it known that it does.
            let waiting = Waiting::HearingPatterns(shard, ticket);
            let Ok(ticket) = self.waiting.insert(waiting) else { return };
            return out.far(Some(ticket), Wish::HearPatterns(true));
        }
        self.post(shard, Text::PatternReady(ticket), out);
    }

    pub(super) fn pattern_down(&mut self, shard: u16, pattern: &Pattern, out: &mut dyn Outlet) {
        let Some(shards) = self.far.get_mut(pattern) else { return };
        *shards &= !(1 << shard);
        if *shards == 0 {
            self.far.remove(pattern);
            if self.nodes.is_some() && self.far.is_empty() {
                out.far(None, Wish::HearPatterns(false));
            }
        }
    }

    /// Takes note that one more shard knows of a pattern: with the last one the subscription stands.
    pub(super) fn pattern_ready(&mut self, ticket: Ticket, now: Now, out: &mut dyn Outlet) {
        let Some(Waiting::Pattern { left, .. }) = self.waiting.get_mut(ticket) else { return };
        *left -= 1;
        if *left > 0 {
            return;
        }
        let Some(Waiting::Pattern { seat, link, pattern, then, wish, .. }) =
            self.waiting.remove(ticket)
        else {
            return;
        };
        let key = self.patterns.get(&pattern).copied();
        let Some((key, mine)) = key.and_then(|key| self.coming(seat, key, ticket)) else {
            return self.not_begun(then, given_up(), now, out);
        };
        let filter = wish.filter.map(|it| self.filters.add(it));
        let special = filter.map(|it| Box::new(Special { filter: Some(it), ..Special::default() }));
        let subscriber = Subscriber {
            seat,
            delivery: wish.delivery,
            at: 0,
            special,
            behind: None,
            mine,
            link,
            echo: wish.echo,
            once: wish.once,
            join_leave: false,
            positioned: false,
            has_whole: false,
        };
        self.stand(key, mine, subscriber);
        let told = Subscribed {
            position: None,
            recoverable: false,
            positioned: false,
            recovered: Recovered::NotAsked,
            delta: false,
            expires: None,
            data: None,
        };
        if let Then::Reply(asker) = then {
            self.reply(asker, Ok(Reply::Subscribed(Box::new(told))), out);
        }
    }
}
