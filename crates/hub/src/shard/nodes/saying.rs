//! Publishing on one of several nodes: the broker gives the position, and all nodes hear it. Receipts of all of them.

use std::time::Duration;

use taiwa_core::{NodeId, Position, Published, Refusal, Statement};

use super::{
    super::{Now, Shard, timers::Due, waiting::Waiting},
    nonsense,
    replica::keep,
};
use crate::{
    far::{Found, Wish},
    letter::{Text, ToSay},
    outlet::{Outlet, Ticket},
    wire::{self, FarText, Receipt},
};

/// A publication that the broker is to take.
#[derive(Debug)]
pub(in super::super) struct Saying {
    /// Who published: the shard and its ticket.
    to: Option<(u16, Ticket)>,
    wants_receipt: bool,
    /// What the broker said.
    position: Option<Position>,
    is_accepted: bool,
    /// How many nodes got it, if that is known.
    nodes: Option<u32>,
    /// How many of them said how many they delivered it to, and those.
    told: u32,
    count: u64,
}

/// Where it is told to how many a publication was delivered.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Told {
    /// To the shard that has the publisher.
    Shard(u16, Ticket, Option<Position>),
    /// To whichever node it was said on.
    Node(Receipt),
}

/// How long nodes are waited for that were given a publication, and do not say to how many they delivered it.
const RECEIPTS_WITHIN: Duration = Duration::from_secs(1);

/// The same where the broker does not know how many nodes were given it.
const RECEIPTS_OF_SOME_WITHIN: Duration = Duration::from_millis(200);

impl Shard {
    /// Gives a publication to the broker; returns false if this is the only node.
    pub(in super::super) fn say_to_all(
        &mut self,
        to_say: ToSay,
        now: Now,
        out: &mut dyn Outlet,
    ) -> Result<(), Refusal> {
        let ToSay { from, ticket, publish, publisher } = to_say;
        let namespace = self.namespace(&publish.channel)?.clone();
        if namespace.publications_per_second > 0 {
            self.own_channel(&publish.channel, now, out)?.may_say(now.at)?;
        }
        let wants_receipt = publish.receipt && ticket.is_some();
        let saying = Saying {
            to: ticket.map(|it| (from, it)),
            wants_receipt,
            position: None,
            is_accepted: false,
            nodes: None,
            told: 0,
            count: 0,
        };
        let full = |_| super::replica::unavailable("too many publications");
        let mine = self.waiting.insert(Waiting::Saying(Box::new(saying))).map_err(full)?;
        let Some(nodes) = &self.nodes else { return Ok(()) };
        let receipt = Receipt { node: nodes.node.0, shard: self.index, ticket: mine.bits() };
        let receipt = wants_receipt.then_some(receipt);
        let publisher = publisher.as_deref();
        let body =
            wire::write_publish(&publish, publisher, namespace.publisher, receipt, now.unix_ms);
        let body = match body {
            Ok(body) => body,
            Err(refusal) => {
                self.waiting.remove(mine);
                return Err(refusal);
            }
        };
        let mut keep = keep(&namespace);
        if publish.transient || publish.volatile {
            keep.size = 0;
        }
        let window = namespace.idempotency;
        let id = publish.id.filter(|_| !window.is_zero()).map(|id| (id, window));
        let (channel, to_patterns) =
            (publish.channel, namespace.is_open_to(&self.settings.patterns));
        let statement = Statement { channel, body, keep, id, to_patterns };
        out.far(Some(mine), Wish::Publish(statement));
        Ok(())
    }

    /// Takes what the broker said of a publication.
    pub(super) fn was_accepted(
        &mut self,
        ticket: Ticket,
        found: Result<Found, Refusal>,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        let Some(Waiting::Saying(saying)) = self.waiting.get_mut(ticket) else { return };
        let to = saying.to;
        let accepted = match found {
            Ok(Found::Accepted(accepted)) => accepted,
            other => {
                self.waiting.remove(ticket);
                let refusal = other.err().unwrap_or_else(nonsense);
                if let Some((shard, ticket)) = to {
                    self.post(shard, Text::Published(ticket, Box::new(Err(refusal))), out);
                }
                return;
            }
        };
        let counted = if accepted.repeated {
            &mut self.counters.repeated
        } else {
            &mut self.counters.published
        };
        *counted += 1;
        if saying.wants_receipt && !accepted.repeated {
            (saying.is_accepted, saying.position) = (true, accepted.position);
            saying.nodes = accepted.nodes;
            let within = match accepted.nodes {
                Some(_) => RECEIPTS_WITHIN,
                None => RECEIPTS_OF_SOME_WITHIN,
            };
            if let Some(late) = now.after(within) {
                self.schedule(late, Due::Receipts(ticket));
            }
            return self.look_at_receipts(ticket, false, out);
        }
        self.waiting.remove(ticket);
        let (position, repeated) = (accepted.position, accepted.repeated);
        let published = Published { position, delivered: None, repeated };
        if let Some((shard, ticket)) = to {
            self.post(shard, Text::Published(ticket, Box::new(Ok(published))), out);
        }
    }

    /// Begins to count to how many a publication is delivered here. Returns the ticket for the shards that deliver it.
    pub(super) fn count_for(
        &mut self,
        receipt: Receipt,
        left: u16,
        out: &mut dyn Outlet,
    ) -> Option<Ticket> {
        if left == 0 {
            self.tell_receipt(receipt, 0, out);
            return None;
        }
        let to = Told::Node(receipt);
        self.waiting.insert(Waiting::Receipt { to, left, count: 0 }).ok()
    }

    /// Tells whichever node it was said on to how many a publication was delivered here.
    pub(in super::super) fn tell_receipt(
        &mut self,
        receipt: Receipt,
        count: u64,
        out: &mut dyn Outlet,
    ) {
        let Some(nodes) = &self.nodes else { return };
        if receipt.node == nodes.node.0 {
            if let Some(ticket) = Ticket::from_bits(receipt.ticket) {
                self.delivered_far(ticket, count, out);
            }
        } else if let Ok(letter) = FarText::Delivered(receipt.ticket, count).write(receipt.shard) {
            out.far(None, Wish::Send(NodeId(receipt.node), letter));
        }
    }

    /// Adds up what the nodes delivered.
    pub(super) fn delivered_far(&mut self, ticket: Ticket, count: u64, out: &mut dyn Outlet) {
        let Some(Waiting::Saying(saying)) = self.waiting.get_mut(ticket) else { return };
        saying.told += 1;
        saying.count += count;
        self.look_at_receipts(ticket, false, out);
    }

    /// Answers the publisher if all nodes have told, or it is too late for the others.
    pub(in super::super) fn look_at_receipts(
        &mut self,
        ticket: Ticket,
        is_late: bool,
        out: &mut dyn Outlet,
    ) {
        let Some(Waiting::Saying(saying)) = self.waiting.get(ticket) else { return };
        let have_all = saying.is_accepted && saying.nodes.is_some_and(|it| saying.told >= it);
        if !have_all && !is_late {
            return;
        }
        let (to, position, count) = (saying.to, saying.position, saying.count);
        self.waiting.remove(ticket);
        let published = Published { position, delivered: Some(count), repeated: false };
        if let Some((shard, ticket)) = to {
            self.post(shard, Text::Published(ticket, Box::new(Ok(published))), out);
        }
    }
}
