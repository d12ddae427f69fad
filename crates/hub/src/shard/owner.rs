//! What the owner of a channel does: attach, say, tell.

use std::sync::Arc;

use taiwa_core::{Channel, Publication, Published, Question, Refusal, RefusalKind, SessionId};

use super::{
    Now, Shard,
    nodes::{Errand, Feed, Told},
    owned::Owned,
    timers::Due,
    waiting::Waiting,
};
use crate::{
    far::Wish,
    letter::{Ask, Attach, Attached, Detach, Except, Missed, Road, Said, Text, ToSay, What},
    outlet::{Outlet, Ticket},
};

impl Shard {
    /// Returns a channel that is owned here, a new one if need be.
    pub(super) fn own_channel(
        &mut self,
        channel: &Channel,
        now: Now,
        out: &mut dyn Outlet,
    ) -> Result<&mut Owned, Refusal> {
        if !self.owned.contains_key(channel) {
            if self.owned.len() >= self.settings.limits.channels_max {
                return Err(Refusal::new(RefusalKind::Limit, "too many channels"));
            }
            let namespace = self.namespace(channel)?.clone();
            let epoch = (out.random() as u64).max(1);
            let mut owned = Owned::new(namespace, epoch, self.shards, now.at);
            owned.replica = self.nodes.as_ref().map(|_| Box::default());
            self.owned.insert(channel.clone(), owned);
        }
        let unknown = || Refusal::new(RefusalKind::NotFound, "there is no such channel");
        self.owned.get_mut(channel).ok_or_else(unknown)
    }

    pub(super) fn attach(&mut self, attach: Box<Attach>, now: Now, out: &mut dyn Outlet) {
        if let Some(Errand::Attach(attach)) = self.when_ready(Errand::Attach(attach), now, out) {
            self.attach_now(*attach, now, out);
        }
    }

    pub(super) fn attach_now(&mut self, attach: Attach, now: Now, out: &mut dyn Outlet) {
        let answer = self.try_attach(&attach, now, out);
        let (answer, change) = match answer {
            Ok((attached, change)) => (Ok(attached), change),
            Err(refusal) => (Err(refusal), None),
        };
        self.post(attach.from, Text::Attached(attach.ticket, Box::new(answer)), out);
        let Attach { channel, member, link, .. } = &attach;
        match change {
            Some(_) if self.nodes.is_some() => {
                self.tell_store(channel, member, *link, true, out);
                self.mind_roster(channel, out);
                self.comes_here(channel, *link, member);
            }
            Some(change) => self.tell_change(change, true, out),
            None => self.mind_roster(channel, out),
        }
        self.let_go(&attach.channel, now, out);
    }

    fn try_attach(
        &mut self,
        attach: &Attach,
        now: Now,
        out: &mut dyn Outlet,
    ) -> Result<(Attached, Option<taiwa_core::Change>), Refusal> {
        let (hasher, settings) = (self.hasher.clone(), self.settings.clone());
        let owned = self.own_channel(&attach.channel, now, out)?;
        let change = owned.attach(attach, &hasher)?;
        let recovered = owned.recover(attach.since, attach.last, &settings.limits, now.at);
        let at = owned.position();
        let is_first = owned.subscribers() == 1;
        if is_first && settings.tell_occupied {
            self.tell_occupied(&attach.channel, true, now, out);
        }
        Ok((Attached { at, recovered }, change))
    }

    /// Tells a subscriber what it missed.
    pub(super) fn tell_missed(&mut self, missed: Box<Missed>, now: Now, out: &mut dyn Outlet) {
        if let Some(Errand::Missed(missed)) = self.when_ready(Errand::Missed(missed), now, out) {
            self.tell_missed_now(*missed, now, out);
        }
    }

    pub(super) fn tell_missed_now(&mut self, missed: Missed, now: Now, out: &mut dyn Outlet) {
        let Missed { from, ticket, channel, since } = missed;
        let settings = self.settings.clone();
        let answer = self.own_channel(&channel, now, out).map(|owned| {
            let recovered = owned.recover(Some(since), false, &settings.limits, now.at);
            Attached { at: owned.position(), recovered }
        });
        self.post(from, Text::Attached(ticket, Box::new(answer)), out);
    }

    pub(super) fn detach_from(&mut self, detach: Detach, now: Now, out: &mut dyn Outlet) {
        let Some(owned) = self.owned.get_mut(&detach.channel) else { return };
        let change = owned.detach(&detach, now.at);
        let is_last = owned.subscribers() == 0;
        match change {
            Some(change) if self.nodes.is_some() => {
                let member = &change.member;
                self.tell_store(&detach.channel, member, detach.link, false, out);
            }
            Some(change) => self.tell_change(change, false, out),
            None => {}
        }
        self.mind_roster(&detach.channel, out);
        if is_last && self.settings.tell_occupied {
            self.tell_occupied(&detach.channel, false, now, out);
        }
        self.let_go(&detach.channel, now, out);
    }

    /// Tells the app that a channel has its first subscriber, or has lost its last.
    fn tell_occupied(&mut self, channel: &Channel, occupied: bool, now: Now, out: &mut dyn Outlet) {
        if self.nodes.is_some() {
            return self.ask_occupied(channel, occupied, out);
        }
        let channel = channel.clone();
        let question =
            if occupied { Question::Occupied(channel) } else { Question::Vacated(channel) };
        self.notify(question, now, out);
    }

    pub(super) fn tell_change(
        &mut self,
        change: taiwa_core::Change,
        joined: bool,
        out: &mut dyn Outlet,
    ) {
        let Some(owned) = self.owned.get(&change.channel) else { return };
        let change = Arc::new(change);
        for shard in owned.curious_shards().collect::<Vec<_>>() {
            self.post(shard, Text::Changed(change.clone(), joined), out);
        }
    }

    /// Forgets a channel that is of no use any more, or looks again later.
    pub(super) fn let_go(&mut self, channel: &Channel, now: Now, out: &mut dyn Outlet) {
        let limits = &self.settings.limits;
        let Some(owned) = self.owned.get_mut(channel) else { return };
        match owned.may_go(limits, now.at) {
            Ok(()) => {
                let gone = self.owned.remove(channel).and_then(|it| it.replica);
                if gone.is_some_and(|it| it.feed == Feed::On) {
                    out.far(None, Wish::Unsubscribe(channel.clone()));
                }
            }
            Err(Some(again)) if owned.watched.is_none() => {
                owned.watched = Some(again);
                self.schedule(again, Due::Channel(channel.clone()));
            }
            Err(_) => {}
        }
    }

    /// Says something in a channel that is owned here.
    pub(super) fn say(&mut self, to_say: ToSay, now: Now, out: &mut dyn Outlet) {
        let (from, ticket) = (to_say.from, to_say.ticket);
        let channel = to_say.publish.channel.clone();
        let said = if self.nodes.is_some() {
            self.say_to_all(to_say, now, out).map(|()| None)
        } else {
            self.try_say(to_say, now, out)
        };
        if let (Some(ticket), Some(answer)) = (ticket, said.transpose()) {
            self.post(from, Text::Published(ticket, Box::new(answer)), out);
        }
        self.let_go(&channel, now, out);
    }

    /// Returns the answer to the publisher, unless it comes when all shards have counted.
    fn try_say(
        &mut self,
        to_say: ToSay,
        now: Now,
        out: &mut dyn Outlet,
    ) -> Result<Option<Published>, Refusal> {
        let (hasher, settings) = (self.hasher.clone(), self.settings.clone());
        let ToSay { from, ticket, publish, publisher } = to_say;
        let owned = self.own_channel(&publish.channel, now, out)?;
        if let Some(id) = &publish.id
            && let Some(position) = owned.said_before(id, now.at)
        {
            self.counters.repeated += 1;
            return Ok(Some(Published { position, delivered: None, repeated: true }));
        }
        owned.may_say(now.at)?;
        let origin = publisher.as_ref().map_or(SessionId(0), |it| it.client.session);
        let publication = Publication {
            channel: publish.channel,
            event: publish.event,
            payload: publish.payload,
            position: None,
            delta: None,
            key: publish.key,
            tags: publish.tags,
            publisher: publisher.filter(|_| owned.namespace.publisher),
            at: now.unix_ms,
            volatile: publish.volatile,
            is_list: publish.is_list,
        };
        let publication =
            owned.say(publication, publish.transient || publish.volatile, &settings.limits, now.at);
        let position = publication.position;
        if let Some(id) = publish.id {
            let answers_max = settings.limits.identifiers_max;
            owned.remember(id, position, &hasher, answers_max, now.at);
        }
        let reaches = self.reaches(&publication);
        self.counters.published += 1;
        let receipt = match ticket.filter(|_| publish.receipt && !reaches.is_empty()) {
            Some(ticket) => {
                let to = Told::Shard(from, ticket, position);
                let (left, count) = (reaches.len() as u16, 0);
                self.waiting.insert(Waiting::Receipt { to, left, count }).ok()
            }
            None => None,
        };
        let except = Except::new(publish.except, publish.except_channels);
        let said = Said { publication, origin, except, receipt, road: Road::Both };
        for shard in reaches {
            self.post(shard, Text::Said(said.clone()), out);
        }
        if receipt.is_some() {
            return Ok(None);
        }
        let delivered = publish.receipt.then_some(0);
        Ok(Some(Published { position, delivered, repeated: false }))
    }

    /// Returns the shards on which somebody hears a publication.
    fn reaches(&self, publication: &Publication) -> Vec<u16> {
        let Some(owned) = self.owned.get(&publication.channel) else { return vec![] };
        if self.far.is_empty() || !owned.namespace.patterns {
            return owned.shards().collect();
        }
        let mut set = owned.shards().fold(0_u64, |set, shard| set | 1 << shard);
        let mut found = vec![];
        self.far.find(publication.channel.as_str(), &mut found);
        set = found.into_iter().fold(set, |set, shards| set | shards);
        (0..self.shards).filter(|shard| set & 1 << shard != 0).collect()
    }

    /// Adds up what the shards delivered.
    pub(super) fn delivered(&mut self, ticket: Ticket, delivered: u64, out: &mut dyn Outlet) {
        let Some(Waiting::Receipt { to, left, count }) = self.waiting.get_mut(ticket) else {
            return;
        };
        *count += delivered;
        *left -= 1;
        if *left > 0 {
            return;
        }
        let (to, count) = (*to, *count);
        self.waiting.remove(ticket);
        match to {
            Told::Shard(shard, ticket, position) => {
                let published = Published { position, delivered: Some(count), repeated: false };
                self.post(shard, Text::Published(ticket, Box::new(Ok(published))), out);
            }
            Told::Node(receipt) => self.tell_receipt(receipt, count, out),
        }
    }

    /// Tells something about a channel that is owned here.
    pub(super) fn tell_about(&mut self, ask: Ask, now: Now, out: &mut dyn Outlet) {
        let settings = self.settings.clone();
        let limits = &settings.limits;
        let Ask { from, ticket, channel, what } = ask;
        if self.nodes.is_some() {
            if let Err(refusal) = self.ask_all((from, ticket), channel, what, out) {
                self.post(from, Text::Told(ticket, Box::new(Err(refusal))), out);
            }
            return;
        }
        let is_known = self.owned.contains_key(&channel);
        let answer = self.own_channel(&channel, now, out).and_then(|owned| match what {
            What::Presence => owned.presence(limits),
            What::Counts => owned.counts(),
            What::History(page) => owned.read(page, limits, now.at),
            What::Forget => {
                owned.forget();
                Ok(taiwa_core::Reply::Done)
            }
        });
        self.post(from, Text::Told(ticket, Box::new(answer)), out);
        if !is_known && !matches!(what, What::History(_)) {
            // Asking who is there gives nobody a position that would have to last.
            self.owned.remove(&channel);
        }
        self.let_go(&channel, now, out);
    }
}
