//! A channel as its owner on one of several nodes has it: a replica of what all nodes say in it.
//!
//! The broker tells the log and then everything behind it. The owner applies it in the order of positions, whatever way it
//! comes: what lies at or before the newest is a duplicate, what lies right behind is said to the subscribers here, and
//! anything further on means that something was not heard, so the log is read from there.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use taiwa_core::{Channel, Heard, Keep, Log, Page, Position, Publication, Refusal, RefusalKind};

use super::super::{Now, Shard, owned::Owned, waiting::Waiting};
use crate::{
    far::Wish,
    letter::{Attach, Except, Missed, Road, Said, Text},
    outlet::Outlet,
    settings::Namespace,
    wire::{self, Body, Spoken},
};

/// What a replica is besides the history.
#[derive(Debug, Default)]
pub(in super::super) struct Replica {
    pub(in super::super) feed: Feed,
    /// What waits for it.
    waiting: Vec<Errand>,
    /// What was heard before the log was told.
    early: VecDeque<Heard>,
    /// More was heard than is kept.
    early_lost: bool,
    /// The log is being read.
    syncing: bool,
    /// Something was heard of this epoch, of which the log that was read then is not.
    strange: Option<u64>,
    /// It is among the doubtful.
    pub(super) doubted: bool,
    /// It is one of those of them that are being read.
    pub(super) counted: bool,
    /// Since when nobody subscribes.
    pub(in super::super) idle: Option<Instant>,
    /// The store may not know all members here.
    pub(in super::super) untold: bool,
    /// Who is there, if somebody here wants to hear who comes and goes.
    pub(super) roster: Option<Box<super::roster::Roster>>,
}

/// Whether the broker tells what is said.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in super::super) enum Feed {
    #[default]
    Off,
    Asked,
    On,
}

/// Something that needs the replica.
#[derive(Debug)]
pub(in super::super) enum Errand {
    Attach(Box<Attach>),
    Missed(Box<Missed>),
}

/// How much is kept of what is heard before the log is told; beyond that the log is read once more.
const EARLY_MAX: usize = 4096;

impl Errand {
    fn channel(&self) -> &Channel {
        match self {
            Self::Attach(it) => &it.channel,
            Self::Missed(it) => &it.channel,
        }
    }

    /// Tells whether its client has seen what this node has not: it comes from another one.
    fn is_ahead(&self, at: Position) -> bool {
        let since = match self {
            Self::Attach(it) => it.since,
            Self::Missed(it) => Some(it.since),
        };
        since.is_some_and(|it| it.epoch != at.epoch || it.offset > at.offset)
    }
}

impl Replica {
    /// Tells whether something waits that needs it.
    pub(in super::super) fn is_needed(&self) -> bool {
        !self.waiting.is_empty() || self.feed == Feed::Asked || self.syncing
    }

    fn keep_early(&mut self, heard: Heard) {
        if self.early.len() < EARLY_MAX {
            self.early.push_back(heard);
        } else {
            self.early_lost = true;
        }
    }
}

/// Returns how long the past of the channels of a namespace is kept.
pub(in super::super) fn keep(namespace: &Namespace) -> Keep {
    Keep {
        size: namespace.history_size,
        ttl: namespace.history_ttl,
        epoch_ttl: namespace.epoch_ttl,
    }
}

impl Shard {
    /// Returns an errand that can be done now; of others it is seen to that they are done later.
    pub(in super::super) fn when_ready(
        &mut self,
        errand: Errand,
        now: Now,
        out: &mut dyn Outlet,
    ) -> Option<Errand> {
        if self.nodes.is_none() {
            return Some(errand);
        }
        let channel = errand.channel().clone();
        if let Err(refusal) = self.own_channel(&channel, now, out) {
            self.refuse(errand, &refusal, out);
            return None;
        }
        let limit = self.settings.limits.page_max;
        let owned = self.owned.get_mut(&channel)?;
        let (at, keep) = (owned.position(), keep(&owned.namespace));
        let replica = owned.replica.as_deref_mut()?;
        match replica.feed {
            Feed::On if keep.size > 0 && errand.is_ahead(at) => {
                replica.waiting.push(errand);
                self.sync(&channel, out);
            }
            Feed::On => return Some(errand),
            Feed::Asked => replica.waiting.push(errand),
            Feed::Off => {
                replica.waiting.push(errand);
                replica.feed = Feed::Asked;
                let Ok(ticket) = self.waiting.insert(Waiting::Feed(channel.clone())) else {
                    return None;
                };
                out.far(Some(ticket), Wish::Subscribe(channel, keep, limit.min(keep.size)));
            }
        }
        None
    }

    fn refuse(&mut self, errand: Errand, refusal: &Refusal, out: &mut dyn Outlet) {
        let (from, ticket) = match errand {
            Errand::Attach(it) => (it.from, it.ticket),
            Errand::Missed(it) => (it.from, it.ticket),
        };
        self.post(from, Text::Attached(ticket, Box::new(Err(refusal.clone()))), out);
    }

    fn do_errand(&mut self, errand: Errand, now: Now, out: &mut dyn Outlet) {
        match errand {
            Errand::Attach(it) => self.attach_now(*it, now, out),
            Errand::Missed(it) => self.tell_missed_now(*it, now, out),
        }
    }

    /// Takes the log with which a replica begins.
    pub(super) fn fed(
        &mut self,
        channel: &Channel,
        log: Result<Log, Refusal>,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        let Some(replica) = self.replica(channel) else { return };
        match log {
            Ok(log) => {
                replica.feed = Feed::On;
                self.fill(channel, log, now);
                self.after_log(channel, now, out);
            }
            Err(refusal) => {
                replica.feed = Feed::Off;
                replica.early.clear();
                for errand in std::mem::take(&mut replica.waiting) {
                    self.refuse(errand, &refusal, out);
                }
            }
        }
        self.let_go(channel, now, out);
    }

    /// Begins a replica's history. Nobody listens yet.
    fn fill(&mut self, channel: &Channel, log: Log, now: Now) {
        let limits = &self.settings.limits;
        let (Some(nodes), Some(owned)) = (&self.nodes, self.owned.get_mut(channel)) else { return };
        if !owned.has_positions() {
            return;
        }
        let Position { epoch, offset: top } = log.position;
        let before = log.entries.first().map_or(top, |it| it.0 - 1);
        owned.restart(Position { epoch, offset: before }, now.at);
        for (offset, body) in log.entries {
            let position = Position { epoch, offset };
            match wire::read_body(channel, Some(position), &body, &nodes.names) {
                Some(Body::Said(spoken)) if offset == owned.position().offset + 1 => {
                    owned.apply(spoken.publication, limits, now);
                }
                // A node of another version said it.
                _ => owned.restart(position, now.at),
            }
        }
        if owned.position().offset < top {
            owned.restart(log.position, now.at);
        }
    }

    pub(super) fn replica(&mut self, channel: &Channel) -> Option<&mut Replica> {
        self.owned.get_mut(channel)?.replica.as_deref_mut()
    }

    /// Reads what lies behind the newest, unless it is being read.
    pub(super) fn sync(&mut self, channel: &Channel, out: &mut dyn Outlet) {
        let limit = self.settings.limits.page_max;
        let Some(owned) = self.owned.get_mut(channel) else { return };
        let (at, keep) = (owned.position(), keep(&owned.namespace));
        let Some(replica) = owned.replica.as_deref_mut() else { return };
        if std::mem::replace(&mut replica.syncing, true) {
            return;
        }
        let Ok(ticket) = self.waiting.insert(Waiting::Sync(channel.clone())) else { return };
        let page = Page { since: Some(at), limit, reverse: false };
        out.far(Some(ticket), Wish::Read(channel.clone(), keep, page));
    }

    /// Takes what lay behind the newest.
    pub(super) fn synced(
        &mut self,
        channel: &Channel,
        log: Result<Log, Refusal>,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        let Some(replica) = self.replica(channel) else { return };
        replica.syncing = false;
        let was_counted = std::mem::replace(&mut replica.counted, false);
        match log {
            Ok(log) => {
                let limit = self.settings.limits.page_max;
                let is_full = log.entries.len() >= limit && limit > 0;
                let top = log.position.offset;
                self.apply(channel, log, now, out);
                let at = self.owned.get(channel).map(Owned::position);
                if is_full && at.is_some_and(|it| it.offset < top) {
                    self.sync(channel, out);
                } else {
                    self.after_log(channel, now, out);
                }
            }
            Err(refusal) => {
                for errand in std::mem::take(&mut replica.waiting) {
                    self.refuse(errand, &refusal, out);
                }
                self.doubt(channel.clone());
                self.repair_soon(now);
            }
        }
        if was_counted && let Some(nodes) = &mut self.nodes {
            nodes.reading -= 1;
            // A broker that refuses is asked again by the timer.
            if !nodes.repairing {
                self.read_doubtful(out);
            }
        }
        self.let_go(channel, now, out);
    }

    /// Applies a log: entries in the order of their offsets.
    fn apply(&mut self, channel: &Channel, log: Log, now: Now, out: &mut dyn Outlet) {
        let Some(owned) = self.owned.get_mut(channel).filter(|it| it.has_positions()) else {
            return;
        };
        let Position { epoch, offset: top } = log.position;
        if owned.position().epoch != epoch {
            // Nothing of the former epoch says what is missing.
            let before = log.entries.first().map_or(top, |it| it.0 - 1);
            self.skip_to(channel, Position { epoch, offset: before }, now, out);
        }
        let is_page = log.entries.len() >= self.settings.limits.page_max;
        if self.owned.get(channel).is_some_and(|it| it.position().offset > top) {
            // Nothing is applied while the log is read: it has lost what was said already.
            self.skip_to(channel, log.position, now, out);
        }
        for (offset, body) in log.entries {
            let position = Position { epoch, offset };
            self.next(channel, position, &body, now, out);
        }
        let at = self.owned.get(channel).map(Owned::position);
        if !is_page && at.is_some_and(|it| it.offset < top) {
            // What lies there is kept no longer.
            self.skip_to(channel, log.position, now, out);
        }
    }

    /// Goes on with what was heard meanwhile, and with what waits.
    fn after_log(&mut self, channel: &Channel, now: Now, out: &mut dyn Outlet) {
        let Some(replica) = self.replica(channel) else { return };
        let (early, waiting) =
            (std::mem::take(&mut replica.early), std::mem::take(&mut replica.waiting));
        let lost = std::mem::replace(&mut replica.early_lost, false);
        let mut strange = None;
        for heard in early {
            let epoch = heard.position.map(|it| it.epoch);
            let Some(owned) = self.owned.get_mut(channel) else { return };
            let at = owned.position();
            match (epoch, owned.replica.as_deref_mut()) {
                // The log was read because of it and is still of another epoch: that one is over.
                (Some(epoch), Some(replica))
                    if epoch != at.epoch && replica.strange == Some(epoch) =>
                {
                    self.counters.duplicates += 1;
                }
                _ => {
                    strange = epoch.filter(|it| *it != at.epoch).or(strange);
                    self.take_own(heard, now, out);
                }
            }
        }
        if let Some(replica) = self.replica(channel) {
            replica.strange = strange;
        }
        for errand in waiting {
            self.do_errand(errand, now, out);
        }
        if lost {
            self.sync(channel, out);
        }
    }

    /// Takes what was said on whatever node.
    pub(super) fn take_heard(&mut self, heard: Heard, now: Now, out: &mut dyn Outlet) {
        let feed = self.replica(&heard.channel).map_or(Feed::Off, |it| it.feed);
        match (heard.by_pattern, feed) {
            (false, Feed::On) => self.take_own(heard, now, out),
            (false, Feed::Asked) => {
                if let Some(replica) = self.replica(&heard.channel) {
                    replica.keep_early(heard);
                }
            }
            // Its subscription is on its way to its end.
            (false, Feed::Off) => {}
            (true, _) => self.take_by_pattern(&heard, out),
        }
    }

    fn take_by_pattern(&mut self, heard: &Heard, out: &mut dyn Outlet) {
        let Some(nodes) = &self.nodes else { return };
        let body = wire::read_body(&heard.channel, heard.position, &heard.body, &nodes.names);
        let Some(Body::Said(spoken)) = body else { return };
        let Spoken { publication, origin, except, except_channels, .. } = *spoken;
        let mut found = vec![];
        self.far.find(publication.channel.as_str(), &mut found);
        let set = found.into_iter().fold(0, |set: u64, shards| set | shards);
        let except = Except::new(except, except_channels);
        let publication = Arc::new(publication);
        let said = Said { publication, origin, except, receipt: None, road: Road::Patterns };
        for shard in (0..self.shards).filter(|it| set & 1 << it != 0) {
            self.post(shard, Text::Said(said.clone()), out);
        }
    }

    /// Takes what the channel's own subscription brings.
    fn take_own(&mut self, heard: Heard, now: Now, out: &mut dyn Outlet) {
        let Heard { channel, position, body, .. } = heard;
        let Some(owned) = self.owned.get_mut(&channel) else { return };
        let at = owned.position();
        let Some(position) = position.filter(|_| owned.has_positions()) else {
            return self.take_fleeting(&channel, &body, now, out);
        };
        let is_next = position.epoch == at.epoch && position.offset == at.offset + 1;
        if position.epoch == at.epoch && position.offset <= at.offset {
            self.counters.duplicates += 1;
        } else if is_next && !owned.replica.as_ref().is_some_and(|it| it.syncing) {
            self.next(&channel, position, &body, now, out);
        } else {
            if let Some(replica) = owned.replica.as_deref_mut() {
                replica.keep_early(Heard {
                    channel: channel.clone(),
                    position: Some(position),
                    body,
                    by_pattern: false,
                });
            }
            self.sync(&channel, out);
        }
    }

    /// Applies what lies at a position, unless that is known.
    fn next(
        &mut self,
        channel: &Channel,
        position: Position,
        body: &bytes::Bytes,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        let (Some(nodes), Some(owned)) = (&self.nodes, self.owned.get_mut(channel)) else { return };
        let at = owned.position();
        if position.offset <= at.offset {
            return;
        }
        let read = wire::read_body(channel, Some(position), body, &nodes.names);
        if position.offset > at.offset + 1 {
            let before = Position { offset: position.offset - 1, ..position };
            self.skip_to(channel, before, now, out);
        }
        match read {
            Some(Body::Said(spoken)) => self.spread(*spoken, now, out),
            // A node of another version said it.
            _ => {
                self.counters.unread += 1;
                self.skip_to(channel, position, now, out);
            }
        }
    }

    /// Says a publication to who hears it here.
    fn spread(&mut self, spoken: Spoken, now: Now, out: &mut dyn Outlet) {
        let Spoken { publication, origin, except, except_channels, receipt } = spoken;
        let settings = self.settings.clone();
        let publication = match self.owned.get_mut(&publication.channel) {
            Some(owned) => owned.apply(publication, &settings.limits, now),
            None => return,
        };
        // Patterns hear it on a road of their own.
        let reaches: Vec<_> = match self.owned.get(&publication.channel) {
            Some(owned) => owned.shards().collect(),
            None => return,
        };
        let receipt = receipt.and_then(|it| self.count_for(it, reaches.len() as u16, out));
        let except = Except::new(except, except_channels);
        let said = Said { publication, origin, except, receipt, road: Road::Channel };
        for shard in reaches {
            self.post(shard, Text::Said(said.clone()), out);
        }
    }

    /// Takes what has no position.
    fn take_fleeting(
        &mut self,
        channel: &Channel,
        body: &bytes::Bytes,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        let Some(nodes) = &self.nodes else { return };
        match wire::read_body(channel, None, body, &nodes.names) {
            Some(Body::Said(spoken)) => self.spread(*spoken, now, out),
            Some(Body::Changed(it)) => self.hear_move(channel, it, out),
            Some(Body::Forgotten) => {
                if let Some(owned) = self.owned.get_mut(channel) {
                    owned.forget();
                }
            }
            None => self.counters.unread += 1,
        }
    }

    /// Goes on behind something that can't be had any more, and says so to all who listen here.
    fn skip_to(&mut self, channel: &Channel, to: Position, now: Now, out: &mut dyn Outlet) {
        let Some(owned) = self.owned.get_mut(channel) else { return };
        owned.restart(to, now.at);
        for shard in owned.shards().collect::<Vec<_>>() {
            self.post(shard, Text::Broken(channel.clone(), to), out);
        }
    }
}

impl Owned {
    /// Tells whether publications have positions.
    pub(in super::super) fn has_positions(&self) -> bool {
        self.namespace.history_size > 0
    }

    /// Takes a publication that another node, or this one, gave to all.
    fn apply(
        &mut self,
        mut publication: Publication,
        limits: &crate::settings::Limits,
        now: Now,
    ) -> Arc<Publication> {
        if publication.position.is_none() || !self.has_positions() {
            publication.position = None;
            return Arc::new(publication);
        }
        let age = std::time::Duration::from_millis(now.unix_ms.saturating_sub(publication.at));
        let at = now.at.checked_sub(age).unwrap_or(now.at);
        self.push(publication, limits, at)
    }
}

/// Says that the broker can't be asked.
pub(super) fn unavailable(text: &str) -> Refusal {
    Refusal::new(RefusalKind::Unavailable, text)
}
