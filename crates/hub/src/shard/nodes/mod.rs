//! One of several nodes: what this shard hears of the others, and asks of what all have in common.

mod replica;
mod doubt;
mod saying;
mod members;
mod roster;
mod curious;
mod errands;
mod saved;
mod restore;

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use taiwa_core::{Channel, Heard, NodeId, Refusal, RefusalKind, SessionId, State};

use super::{Now, Shard, waiting::Waiting};
use crate::{
    far::Found,
    outlet::{Outlet, Ticket},
    wire::FarText,
};

pub(super) use curious::Asked;
pub(super) use errands::Gather;
pub(super) use members::Coming;
pub(super) use replica::{Errand, Feed, Replica};
pub(super) use restore::Restoring;
pub(super) use saying::{Saying, Told};

/// What a shard knows of the nodes.
#[derive(Debug)]
pub(super) struct Nodes {
    pub(super) node: NodeId,
    /// The dialects of this node.
    pub(super) names: Arc<[&'static str]>,
    /// The other nodes that are alive.
    pub(super) others: Vec<NodeId>,
    /// Channels that may have missed something, to be read again a few at a time.
    pub(super) doubtful: VecDeque<Channel>,
    /// How many of them are being read.
    pub(super) reading: usize,
    /// Members who went while the store could not be told.
    pub(super) ungone: Vec<Coming>,
    /// Whether a look at what could not be told is on the timers.
    pub(super) repairing: bool,
    /// Channels of which the store is to be asked who is there, a few at a time.
    pub(super) to_list: VecDeque<Channel>,
    /// How many of them it is being asked about.
    pub(super) listing: usize,
    /// Whether a look at all of them is on the timers.
    pub(super) relisting: bool,
    /// Counts the times at which rosters began anew.
    pub(super) rounds: u64,
}

impl Shard {
    /// Makes the shard one of a node among others. Positions, histories and presence are what they have in common then,
    /// and channels have an owner on each node, which keeps a replica of what was said. `dialects` are those of this node.
    #[must_use]
    pub fn in_cluster(mut self, node: NodeId, dialects: Arc<[&'static str]>) -> Self {
        self.nodes = Some(Box::new(Nodes {
            node,
            names: dialects,
            others: vec![],
            doubtful: VecDeque::new(),
            reading: 0,
            ungone: vec![],
            repairing: false,
            to_list: VecDeque::new(),
            listing: 0,
            relisting: false,
            rounds: 0,
        }));
        self
    }

    /// Tells whether a session may be of this node.
    pub(super) fn is_ours(&self, session: SessionId) -> bool {
        self.nodes.as_ref().is_none_or(|it| tag(session) == it.node.tag())
    }

    /// Takes what came of a [`Wish`](crate::far::Wish).
    pub fn found(
        &mut self,
        ticket: Ticket,
        found: Result<Found, Refusal>,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        match self.waiting.get(ticket) {
            // It goes on waiting, for nodes that deliver.
            Some(Waiting::Saying(_)) => self.was_accepted(ticket, found, now, out),
            _ => self.take_found(ticket, found, now, out),
        }
        self.read_own(now, out);
    }

    fn take_found(
        &mut self,
        ticket: Ticket,
        found: Result<Found, Refusal>,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        match self.waiting.remove(ticket) {
            Some(Waiting::Feed(channel)) => self.fed(&channel, log(found), now, out),
            Some(Waiting::Sync(channel)) => self.synced(&channel, log(found), now, out),
            Some(Waiting::Reading(to, channel)) => self.was_read(to, &channel, found, out),
            Some(Waiting::Coming(it)) => self.came(*it, found, now, out),
            Some(Waiting::Announcing(it)) if found.is_err() => self.not_told(*it, now),
            Some(Waiting::Roster(asked)) => self.listed(&asked, found, now, out),
            Some(Waiting::Who(to, asked)) => self.was_listed(to, &asked, found, now, out),
            Some(Waiting::Occupying(channel, occupied)) => {
                self.was_occupied(channel, occupied, &found, now, out);
            }
            Some(Waiting::HearingPatterns(shard, answer)) => {
                // Refused, what other nodes say is not heard until the broker is back.
                self.post(shard, crate::letter::Text::PatternReady(answer), out);
            }
            Some(Waiting::Taking(it)) => self.taken(*it, found, now, out),
            _ => {}
        }
    }

    /// Takes what was said in a channel, on whatever node. Only the shard that [owns](Shard::owner) the channel is told.
    pub fn heard(&mut self, heard: Heard, now: Now, out: &mut dyn Outlet) {
        self.take_heard(heard, now, out);
        self.read_own(now, out);
    }

    /// Takes a letter of another node for [this shard](crate::far::shard_of).
    pub fn far_letter(&mut self, from: NodeId, letter: &Bytes, now: Now, out: &mut dyn Outlet) {
        let Some(nodes) = &self.nodes else { return };
        match FarText::read(letter, &nodes.names) {
            Some(FarText::Task(shard, ticket, task)) => {
                self.far_task(errands::For::Node(from, shard, ticket), *task, out);
            }
            Some(FarText::TaskDone(ticket, part)) => {
                if let Some(ticket) = Ticket::from_bits(ticket) {
                    self.far_part(ticket, from, part, out);
                }
            }
            Some(FarText::Delivered(ticket, count)) => {
                if let Some(ticket) = Ticket::from_bits(ticket) {
                    self.delivered_far(ticket, count, out);
                }
            }
            Some(FarText::Release { from: shard, ticket, session, secret, user }) => {
                self.release_to(from, (shard, ticket), (session, secret), user, now, out);
            }
            Some(FarText::Released(ticket, saved)) => {
                if let Some(ticket) = Ticket::from_bits(ticket) {
                    self.released(ticket, saved, now, out);
                }
            }
            None => self.counters.unread += 1,
        }
        self.read_own(now, out);
    }

    /// Takes note of a node that has come.
    pub fn node_come(&mut self, node: NodeId, now: Now, out: &mut dyn Outlet) {
        let Some(nodes) = &mut self.nodes else { return };
        if node == nodes.node || nodes.others.contains(&node) {
            return;
        }
        nodes.others.push(node);
        // Whoever is on it may have been there before.
        self.list_all_again(false, out);
        self.read_own(now, out);
    }

    /// Takes note of a node that is gone: who was on it has left all channels, and answers nothing more.
    pub fn node_gone(&mut self, node: NodeId, now: Now, out: &mut dyn Outlet) {
        let Some(nodes) = &mut self.nodes else { return };
        nodes.others.retain(|it| *it != node);
        self.give_up_on(node, out);
        self.mourn(node, out);
        self.read_own(now, out);
    }

    /// Takes note that the broker was lost, or is back.
    pub fn cluster_state(&mut self, state: State, now: Now, out: &mut dyn Outlet) {
        match state {
            State::Lost => {}
            State::Missed => {
                self.doubt_all(out);
                self.list_all_again(true, out);
            }
            State::Back { entries_lost } => {
                self.doubt_all(out);
                self.enter_again(entries_lost, out);
                if entries_lost {
                    self.list_all_later(now);
                } else {
                    self.list_all_again(true, out);
                }
            }
        }
        self.read_own(now, out);
    }
}

/// Returns random bits for the identifier of a session, which tells its node.
pub(super) fn session_bits(random: u128, tag: Option<u16>) -> u128 {
    tag.map_or(random, |tag| random << 16 >> 16 | u128::from(tag) << 112)
}

/// Returns what of its node stands in the identifier of a session.
pub(super) fn tag(session: SessionId) -> u16 {
    (session.0 >> 112) as u16
}

fn log(found: Result<Found, Refusal>) -> Result<taiwa_core::Log, Refusal> {
    match found {
        Ok(Found::Log(log)) => Ok(log),
        other => Err(other.err().unwrap_or_else(nonsense)),
    }
}

fn nonsense() -> Refusal {
    Refusal::new(RefusalKind::Unavailable, "the broker answered something else")
}
