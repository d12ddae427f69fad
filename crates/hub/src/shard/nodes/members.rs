//! Presence on one of several nodes: each enters its own members into the store.

use std::sync::Arc;

use taiwa_core::{
    Change, Channel, Entry, Keep, Link, Member, NodeId, Question, Refusal, Reply, SessionId,
    Statement, User,
};

use super::{
    super::{Now, Shard, waiting::Waiting},
    nonsense,
    replica::Feed,
};
use crate::{
    far::{Found, Wish},
    letter::{Text, What},
    outlet::{Outlet, Ticket},
    wire::{self, Names, Seen},
};

/// A member of whom the store is told.
#[derive(Debug)]
pub(in super::super) struct Coming {
    channel: Channel,
    member: Arc<Member>,
    link: Link,
    joined: bool,
    /// Whether others are to hear of it.
    is_news: bool,
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
        is_news: bool,
        out: &mut dyn Outlet,
    ) {
        let Some(entry) = entry(member, link) else { return };
        let (channel, member) = (channel.clone(), member.clone());
        let coming = Coming { channel: channel.clone(), member, link, joined, is_news };
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
        let Coming { channel, member, link, joined, is_news } = coming;
        let of_user = match found {
            Ok(Found::First(of_user)) => of_user,
            _ => {
                if joined {
                    if let Some(owned) = self.owned.get_mut(&channel)
                        && let Some(replica) = owned.replica.as_deref_mut()
                    {
                        replica.untold = true;
                    }
                } else if let (Some(nodes), Some(entry)) = (&mut self.nodes, entry(&member, link))
                    && nodes.ungone.len() < UNGONE_MAX
                {
                    nodes.ungone.push((channel, entry));
                }
                return self.repair_soon(now);
            }
        };
        let tells = self.settings.namespace(&channel).is_some_and(|it| it.join_leave);
        if let Ok(body) = wire::write_change(&member, joined, of_user)
            && tells
            && is_news
        {
            let statement =
                Statement { channel, body, keep: FLEETING, id: None, to_patterns: false };
            out.far(None, Wish::Publish(statement));
        }
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
        for (channel, entry) in std::mem::take(&mut nodes.ungone) {
            out.far(None, Wish::Go(channel, Box::new(entry)));
        }
        for (channel, link, member) in members {
            self.tell_store(&channel, &member, link, true, false, out);
        }
    }

    /// Looks again at what could not be told or read.
    pub(in super::super) fn repair(&mut self, out: &mut dyn Outlet) {
        if let Some(nodes) = &mut self.nodes {
            nodes.repairing = false;
        }
        self.enter_again(false, out);
        self.read_doubtful(out);
    }

    /// Asks the store who was on a node that is gone, wherever somebody wants to hear who goes.
    pub(super) fn ask_who_was_on(&mut self, node: NodeId, out: &mut dyn Outlet) {
        let limit = self.settings.limits.presence_max;
        let curious = self.owned.iter().filter(|(_, it)| {
            it.curious_shards().next().is_some()
                && it.replica.as_ref().is_some_and(|it| it.feed == Feed::On)
        });
        for channel in curious.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            let waiting = Waiting::Dead(channel.clone(), node);
            if let Ok(ticket) = self.waiting.insert(waiting) {
                out.far(Some(ticket), Wish::Who(channel, limit));
            }
        }
    }

    /// Says of all who were on a node that is gone that they went.
    pub(super) fn mourn(
        &mut self,
        channel: &Channel,
        node: NodeId,
        found: Result<Found, Refusal>,
        out: &mut dyn Outlet,
    ) {
        let (Some(nodes), Ok(Found::Members(members))) = (&self.nodes, found) else { return };
        let names = nodes.names.clone();
        let is_alive = |it: &NodeId| *it == nodes.node || nodes.others.contains(it);
        let mut left: Vec<User> = members
            .iter()
            .filter(|(it, _)| is_alive(it))
            .filter_map(|(_, entry)| entry.user.clone())
            .collect();
        for (_, entry) in members.iter().filter(|(it, _)| *it == node) {
            let Some(member) = Seen::read(&entry.body, &names) else { continue };
            let of_user = entry.user.as_ref().is_none_or(|it| !left.contains(it));
            // The last of several sessions on that node was the last of the user.
            left.extend(entry.user.clone());
            let (channel, member) = (channel.clone(), Arc::new(member));
            self.tell_change(Change { channel, member, of_user }, false, out);
        }
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
            What::Presence => Wish::Who(channel.clone(), limits.presence_max),
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
            Found::Members(members) => Ok(Reply::Presence(seen(&members, names))),
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

fn seen(members: &[(NodeId, Entry)], names: &Names) -> Arc<[Arc<Member>]> {
    members.iter().filter_map(|(_, it)| Seen::read(&it.body, names).map(Arc::new)).collect()
}
