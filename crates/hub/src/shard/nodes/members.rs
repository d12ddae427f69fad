//! Presence on one of several nodes: each enters its own members into the store.

use std::sync::Arc;

use taiwa_core::{
    Channel, Entry, Keep, Link, Member, Question, Refusal, Reply, SessionId, Statement, User,
};

use super::{
    super::{Now, Shard, waiting::Waiting},
    curious::Asked,
    nonsense,
};
use crate::{
    far::{Found, Wish},
    letter::{Text, What},
    outlet::{Outlet, Ticket},
    wire::{self, Move, Seen},
};

/// A member of whom the store is told.
#[derive(Debug)]
pub(in super::super) struct Coming {
    channel: Channel,
    member: Arc<Member>,
    link: Link,
    joined: bool,
}

/// How many members are remembered who went while the store could not be told.
const UNGONE_MAX: usize = 100_000;

/// Nothing is kept of it.
const FLEETING: Keep =
    Keep { size: 0, ttl: std::time::Duration::ZERO, epoch_ttl: std::time::Duration::ZERO };

impl Shard {
    /// Tells the store that a member has come or gone.
    pub(in super::super) fn tell_store(
        &mut self,
        channel: &Channel,
        member: &Arc<Member>,
        link: Link,
        joined: bool,
        out: &mut dyn Outlet,
    ) {
        let Some(entry) = entry(member, link) else { return };
        let (channel, member) = (channel.clone(), member.clone());
        let coming = Coming { channel: channel.clone(), member, link, joined };
        let Ok(ticket) = self.waiting.insert(Waiting::Coming(Box::new(coming))) else { return };
        let entry = Box::new(entry);
        let wish = if joined { Wish::Come(channel, entry) } else { Wish::Go(channel, entry) };
        out.far(Some(ticket), wish);
    }

    /// Takes the store's answer, and tells all nodes where somebody wants to know.
    pub(super) fn came(
        &mut self,
        coming: Coming,
        found: Result<Found, Refusal>,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        let Ok(Found::First(of_user)) = found else { return self.not_told(coming, now) };
        let Coming { channel, member, link, joined } = &coming;
        let tells = self.settings.namespace(channel).is_some_and(|it| it.join_leave);
        // What is announced is true then, so that of several announcements that overtake each other the last one counts.
        if !tells || self.is_here(channel, member, *link) != *joined {
            return;
        }
        let Some(nodes) = &self.nodes else { return };
        let (node, link) = (nodes.node, *link);
        let it = Move { node, link, member: member.clone(), joined: *joined, of_user };
        let Ok(body) = wire::write_change(&it) else { return };
        let channel = channel.clone();
        let statement = Statement { channel, body, keep: FLEETING, id: None, to_patterns: false };
        if let Ok(ticket) = self.waiting.insert(Waiting::Announcing(Box::new(coming))) {
            out.far(Some(ticket), Wish::Publish(statement));
        }
    }

    /// Remembers that neither the store nor the others may know of a member that came or went.
    pub(super) fn not_told(&mut self, coming: Coming, now: Now) {
        if coming.joined {
            if let Some(replica) = self.replica(&coming.channel) {
                replica.untold = true;
            }
        } else if let Some(nodes) = &mut self.nodes
            && nodes.ungone.len() < UNGONE_MAX
        {
            nodes.ungone.push(coming);
        }
        self.repair_soon(now);
    }

    fn is_here(&self, channel: &Channel, member: &Member, link: Link) -> bool {
        self.owned.get(channel).is_some_and(|it| it.has_member(link, member.client.session))
    }

    /// Tells the store again what it may not know.
    pub(super) fn enter_again(&mut self, all: bool, out: &mut dyn Outlet) {
        let mut members = vec![];
        for (channel, owned) in &mut self.owned {
            let Some(replica) = owned.replica.as_deref_mut() else { continue };
            if !std::mem::replace(&mut replica.untold, false) && !all {
                continue;
            }
            let here = owned.members().map(|(link, member)| (channel.clone(), link, member));
            members.extend(here);
        }
        let Some(nodes) = &mut self.nodes else { return };
        for Coming { channel, member, link, .. } in std::mem::take(&mut nodes.ungone) {
            // Who has come again meanwhile is there.
            if !self.is_here(&channel, &member, link) {
                self.tell_store(&channel, &member, link, false, out);
            }
        }
        for (channel, link, member) in members {
            self.tell_store(&channel, &member, link, true, out);
        }
    }

    /// Looks again at what could not be told or read.
    pub(in super::super) fn repair(&mut self, out: &mut dyn Outlet) {
        if let Some(nodes) = &mut self.nodes {
            nodes.repairing = false;
        }
        self.enter_again(false, out);
        self.read_doubtful(out);
        self.ask_rosters(out);
    }

    /// Asks the store, or the broker, what somebody wants to know about a channel.
    pub(in super::super) fn ask_all(
        &mut self,
        to: (u16, Ticket),
        channel: Channel,
        what: What,
        out: &mut dyn Outlet,
    ) -> Result<(), Refusal> {
        let namespace = self.namespace(&channel)?.clone();
        let limits = &self.settings.limits;
        let wish = match what {
            What::Presence | What::Counts if !namespace.presence => {
                return Err(super::super::owned::no_presence());
            }
            What::Presence => return self.ask_who(to, channel, out),
            What::Counts => Wish::Counts(channel.clone()),
            What::History(_) if namespace.history_size == 0 => {
                return Err(super::super::owned::no_history());
            }
            What::History(mut page) => {
                page.limit = page.limit.min(limits.page_max);
                Wish::Read(channel.clone(), super::replica::keep(&namespace), page)
            }
            What::Forget => {
                let body = wire::write_forgotten()?;
                let statement = Statement {
                    channel: channel.clone(),
                    body,
                    keep: FLEETING,
                    id: None,
                    to_patterns: false,
                };
                out.far(None, Wish::Publish(statement));
                Wish::Forget(channel.clone(), super::replica::keep(&namespace))
            }
        };
        let epoch = match what {
            What::History(page) => page.since.map(|it| it.epoch),
            _ => None,
        };
        let full = |_| super::replica::unavailable("too many questions");
        let waiting = Waiting::Reading(to, (channel, epoch));
        let ticket = self.waiting.insert(waiting).map_err(full)?;
        out.far(Some(ticket), wish);
        Ok(())
    }

    fn ask_who(
        &mut self,
        to: (u16, Ticket),
        channel: Channel,
        out: &mut dyn Outlet,
    ) -> Result<(), Refusal> {
        let asked = self.is_asked(&channel);
        let full = |_| super::replica::unavailable("too many questions");
        let ticket = self.waiting.insert(Waiting::Who(to, asked)).map_err(full)?;
        out.far(Some(ticket), Wish::Who(channel, self.settings.limits.presence_max));
        Ok(())
    }

    /// Takes the answer of the store to somebody who wants to know who is there.
    pub(super) fn was_listed(
        &mut self,
        to: (u16, Ticket),
        asked: &Asked,
        found: Result<Found, Refusal>,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        let answer = match self.learn(asked, found, now, out) {
            Ok(Some(members)) => Ok(Reply::Presence(members)),
            // Of what changed meanwhile nobody was told.
            Ok(None) => match self.ask_who(to, asked.channel.clone(), out) {
                Ok(()) => return,
                Err(refusal) => Err(refusal),
            },
            Err(refusal) => Err(refusal),
        };
        self.post(to.0, Text::Told(to.1, Box::new(answer)), out);
    }

    /// Takes the answer of the store or the broker.
    pub(super) fn was_read(
        &mut self,
        to: (u16, Ticket),
        (channel, epoch): &(Channel, Option<u64>),
        found: Result<Found, Refusal>,
        out: &mut dyn Outlet,
    ) {
        let Some(nodes) = &self.nodes else { return };
        let names = &nodes.names;
        let answer = found.and_then(|found| match found {
            Found::Done => Ok(Reply::Done),
            Found::Counts(sessions, users) => Ok(Reply::Counts { sessions, users }),
            Found::Log(log) if epoch.is_some_and(|it| it != log.position.epoch) => {
                Err(super::super::owned::another_epoch())
            }
            Found::Log(log) => {
                let epoch = log.position.epoch;
                let read = log.entries.iter().filter_map(|(offset, body)| {
                    let position = taiwa_core::Position { epoch, offset: *offset };
                    match wire::read_body(channel, Some(position), body, names)? {
                        wire::Body::Said(spoken) => Some(Arc::new(spoken.publication)),
                        _ => None,
                    }
                });
                let publications = read.collect();
                let position = log.position;
                Ok(Reply::History(Box::new(taiwa_core::History { position, publications })))
            }
            _ => Err(nonsense()),
        });
        self.post(to.0, Text::Told(to.1, Box::new(answer)), out);
    }

    /// Asks whether this node is the first that hears a channel, or was the last one.
    pub(in super::super) fn ask_occupied(
        &mut self,
        channel: &Channel,
        occupied: bool,
        out: &mut dyn Outlet,
    ) {
        let Some(nodes) = &self.nodes else { return };
        // Of a name that no client can say: those of channels are shorter, or do not begin so.
        let Some(name) = Channel::parse(&format!("{OCCUPIED}{channel}")) else { return };
        let entry = Entry {
            session: SessionId(u128::from(nodes.node.0) << 64 | u128::from(self.index)),
            link: Link(0),
            user: Some(User::from("node")),
            body: bytes::Bytes::new(),
        };
        let waiting = Waiting::Occupying(channel.clone(), occupied);
        let Ok(ticket) = self.waiting.insert(waiting) else { return };
        let entry = Box::new(entry);
        let wish = if occupied { Wish::Come(name, entry) } else { Wish::Go(name, entry) };
        out.far(Some(ticket), wish);
    }

    pub(super) fn was_occupied(
        &mut self,
        channel: Channel,
        occupied: bool,
        found: &Result<Found, Refusal>,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        // Who can't find out says it: better twice than never.
        if matches!(found, Ok(Found::First(false))) {
            return;
        }
        let question =
            if occupied { Question::Occupied(channel) } else { Question::Vacated(channel) };
        self.notify(question, now, out);
    }
}

/// Begins the names under which a store knows which nodes hear a channel.
const OCCUPIED: char = '\u{ffff}';

fn entry(member: &Member, link: Link) -> Option<Entry> {
    Some(Entry {
        session: member.client.session,
        link,
        user: member.client.user.clone(),
        body: Seen::of(member).write()?,
    })
}
