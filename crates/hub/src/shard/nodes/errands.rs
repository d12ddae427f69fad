//! Orders that concern several nodes: each does its part and tells.

use std::time::Duration;

use taiwa_core::{NodeId, Refusal, SessionId};

use super::{
    super::{Now, Shard, timers::Due, waiting::Waiting},
    replica::unavailable,
    tag,
};
use crate::{
    far::Wish,
    letter::{Deed, Task, Text},
    order::{Answers, Done, Whom},
    outlet::{OrderId, Outlet, Ticket},
    wire::FarText,
};

/// For whom an order is done.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum For {
    /// Whoever ordered here.
    Order(OrderId),
    /// A shard of another node, and its ticket.
    Node(NodeId, u16, u64),
}

/// Parts of an order that are on their way.
#[derive(Debug)]
pub(in super::super) struct Gather {
    pub(in super::super) purpose: For,
    pub(in super::super) left: usize,
    /// Of those, the parts of other nodes.
    nodes: Vec<NodeId>,
    pub(in super::super) done: Option<Done>,
    pub(in super::super) refusal: Option<Refusal>,
    pub(in super::super) limit: usize,
    /// Whether it is told which node said what.
    pub(in super::super) by_node: bool,
    /// Whether it calls several clients: what a node does not tell is counted then.
    is_call: bool,
}

/// How long nodes may take for their part, besides what the order itself takes.
const WITHIN: Duration = Duration::from_secs(3);

impl Shard {
    /// Gives an order to the shards and nodes that it concerns.
    pub(in super::super) fn give_out(
        &mut self,
        order: OrderId,
        task: Task,
        by_node: bool,
        now: Now,
        out: &mut dyn Outlet,
    ) -> Result<(), Refusal> {
        let one = of_session(&task);
        let others = self.nodes.as_ref().map(|it| it.others.clone()).unwrap_or_default();
        let nodes: Vec<_> = match one {
            Some(id) if self.is_ours(id) => vec![],
            Some(id) => others.into_iter().filter(|it| it.tag() == tag(id)).collect(),
            None => others,
        };
        let takes = match &task {
            Task::Call { calling, .. } | Task::ToSessions(_, Deed::Call { calling, .. }) => {
                calling.deadline
            }
            _ => Duration::ZERO,
        };
        let purpose = For::Order(order);
        let ticket = self.give_out_here(purpose, &task, nodes.clone(), by_node, out)?;
        let Some(ticket) = ticket.filter(|_| !nodes.is_empty()) else { return Ok(()) };
        let mut letters = vec![];
        let text = FarText::Task(self.index, ticket.bits(), Box::new(task));
        for node in nodes {
            letters.push((node, text.write(self.index)?));
        }
        for (node, letter) in letters {
            out.far(None, Wish::Send(node, letter));
        }
        if let Some(late) = now.after(takes.saturating_add(WITHIN)) {
            self.schedule(late, Due::Parts(ticket));
        }
        Ok(())
    }

    /// Gives a task to the shards here that it concerns. Nothing waits if nobody is concerned.
    fn give_out_here(
        &mut self,
        purpose: For,
        task: &Task,
        nodes: Vec<NodeId>,
        by_node: bool,
        out: &mut dyn Outlet,
    ) -> Result<Option<Ticket>, Refusal> {
        let limit = match task {
            Task::Channels { limit, .. } | Task::Sessions { limit, .. } => *limit,
            _ => usize::MAX,
        };
        let shards = match of_session(task) {
            Some(id) if self.is_ours(id) && id.shard() < self.shards => id.shard()..id.shard() + 1,
            Some(_) => 0..0,
            None => 0..self.shards,
        };
        let left = shards.len() + nodes.len();
        if left == 0 {
            let gone = Refusal::new(taiwa_core::RefusalKind::NotFound, "there is no such session");
            return Err(gone);
        }
        let is_call = matches!(task, Task::ToSessions(_, Deed::Call { .. }));
        let (done, refusal) = (None, None);
        let gather = Gather { purpose, left, nodes, done, refusal, limit, by_node, is_call };
        let full = |_| unavailable("too many orders");
        let ticket = self.waiting.insert(Waiting::Gather(Box::new(gather))).map_err(full)?;
        let from = self.index;
        for shard in shards {
            self.post(shard, Text::Task(from, ticket, Box::new(task.clone())), out);
        }
        Ok(Some(ticket))
    }

    /// Does this node's part of an order of another one.
    pub(super) fn far_task(&mut self, purpose: For, task: Task, out: &mut dyn Outlet) {
        if let Err(refusal) = self.give_out_here(purpose, &task, vec![], false, out) {
            self.finish(purpose, Err(refusal), out);
        }
    }

    /// Takes the part of another node.
    pub(super) fn far_part(
        &mut self,
        ticket: Ticket,
        from: NodeId,
        part: Result<Done, Refusal>,
        out: &mut dyn Outlet,
    ) {
        let Some(Waiting::Gather(gather)) = self.waiting.get_mut(ticket) else { return };
        let Some(at) = gather.nodes.iter().position(|it| *it == from) else { return };
        gather.nodes.swap_remove(at);
        let part = part.map(|part| match part {
            Done::Info(all) if gather.by_node => Done::Nodes(vec![(from, all)]),
            part => part,
        });
        self.task_done(ticket, part, out);
    }

    /// Waits no longer for the parts of other nodes.
    pub(in super::super) fn parts_are_late(&mut self, ticket: Ticket, out: &mut dyn Outlet) {
        let Some(Waiting::Gather(gather)) = self.waiting.get_mut(ticket) else { return };
        for node in std::mem::take(&mut gather.nodes) {
            self.part_lost(ticket, node, out);
        }
    }

    /// Waits no longer for anything of a node that is gone.
    pub(super) fn give_up_on(&mut self, node: NodeId, out: &mut dyn Outlet) {
        let waits = |it: &Waiting| matches!(it, Waiting::Gather(it) if it.nodes.contains(&node));
        let all = self.waiting.iter().filter(|(_, it)| waits(it)).map(|(key, _)| key);
        for ticket in all.collect::<Vec<_>>() {
            if let Some(Waiting::Gather(gather)) = self.waiting.get_mut(ticket) {
                gather.nodes.retain(|it| *it != node);
            }
            self.part_lost(ticket, node, out);
        }
    }

    fn part_lost(&mut self, ticket: Ticket, node: NodeId, out: &mut dyn Outlet) {
        self.counters.parts_lost += 1;
        let lost = match self.waiting.get(ticket) {
            Some(Waiting::Gather(gather)) if gather.is_call => {
                Ok(Done::Answers(Box::new(Answers { nodes_lost: 1, ..Answers::default() })))
            }
            _ => Err(unavailable(&format!("node {node} did not answer"))),
        };
        self.task_done(ticket, lost, out);
    }

    /// Adds a part to what the others did.
    pub(in super::super) fn task_done(
        &mut self,
        ticket: Ticket,
        part: Result<Done, Refusal>,
        out: &mut dyn Outlet,
    ) {
        let node = self.nodes.as_ref().map_or(NodeId(0), |it| it.node);
        let Some(Waiting::Gather(gather)) = self.waiting.get_mut(ticket) else { return };
        match part {
            Ok(Done::Info(all)) if gather.by_node => {
                let part = Done::Nodes(vec![(node, all)]);
                gather.done = Some(joined(gather.done.take(), part, gather.limit));
            }
            Ok(Done::Answers(part)) => {
                let mut all = match gather.done.take() {
                    Some(Done::Answers(all)) => all,
                    _ => Box::default(),
                };
                all.join(*part, &self.settings.limits);
                gather.done = Some(Done::Answers(all));
            }
            Ok(part) => gather.done = Some(joined(gather.done.take(), part, gather.limit)),
            Err(why) => gather.refusal = Some(why),
        }
        gather.left -= 1;
        if gather.left > 0 {
            return;
        }
        if let Some(Waiting::Gather(gather)) = self.waiting.remove(ticket) {
            let Gather { purpose, done, refusal, .. } = *gather;
            let nothing = || unavailable("no shard answered");
            self.finish(purpose, done.ok_or_else(|| refusal.unwrap_or_else(nothing)), out);
        }
    }

    fn finish(&mut self, purpose: For, result: Result<Done, Refusal>, out: &mut dyn Outlet) {
        match purpose {
            For::Order(order) => out.done(order, result),
            For::Node(node, shard, ticket) => {
                let letter = FarText::TaskDone(ticket, result).write(shard);
                let letter = letter.or_else(|why| FarText::TaskDone(ticket, Err(why)).write(shard));
                if let Ok(letter) = letter {
                    out.far(None, Wish::Send(node, letter));
                }
            }
        }
    }
}

/// Returns the one session that a task concerns.
fn of_session(task: &Task) -> Option<SessionId> {
    match task {
        Task::ToSessions(Whom::Session(id), _)
        | Task::Sessions { whom: Whom::Session(id), .. }
        | Task::Call { session: id, .. }
        | Task::Session(id) => Some(*id),
        _ => None,
    }
}

fn joined(mine: Option<Done>, theirs: Done, limit: usize) -> Done {
    match (mine, theirs) {
        (Some(Done::Affected(mine)), Done::Affected(theirs)) => Done::Affected(mine + theirs),
        (Some(Done::Channels(mut mine)), Done::Channels(theirs)) => {
            mine.extend(theirs);
            mine.sort();
            // Nodes have subscribers of one channel; shards of one node have not.
            mine.dedup_by(|next, known| {
                let same = next.0 == known.0;
                known.1 += if same { next.1 } else { 0 };
                same
            });
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
        (Some(Done::Nodes(mut mine)), Done::Nodes(theirs)) => {
            for (node, infos) in theirs {
                match mine.iter_mut().find(|(it, _)| *it == node) {
                    Some((_, known)) => known.extend(infos),
                    None => mine.push((node, infos)),
                }
            }
            mine.sort_by_key(|it| it.0);
            Done::Nodes(mine)
        }
        (_, theirs) => theirs,
    }
}
