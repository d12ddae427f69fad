//! Channels in which somebody here wants to hear who comes and goes: each has a [`Roster`] where it is owned, filled by the
//! store, kept by what nodes say, and looked through when a node dies or comes back.

use std::sync::Arc;

use taiwa_core::{Change, Channel, Link, Member, NodeId, Present, Refusal};

use super::{
    super::{Now, Shard, timers::Due, waiting::Waiting},
    replica::Feed,
    roster::{Answer, Roster, Tell},
};
use crate::{
    far::{Found, Wish},
    outlet::Outlet,
    wire::{Move, Seen},
};

/// A question to the store about the members of a channel.
#[derive(Debug)]
pub(in super::super) struct Asked {
    pub(super) channel: Channel,
    /// Of the roster that the channel had then.
    round: Option<u64>,
}

/// How many rosters the store is asked about at once.
const LISTING_MAX: usize = 64;

/// When members are looked through after the store lost all: until then the nodes have entered theirs again.
const RELIST_AFTER: std::time::Duration = std::time::Duration::from_secs(3);

impl Shard {
    /// Sees to it that a channel has a roster as long as somebody here wants to hear who comes and goes.
    pub(in super::super) fn mind_roster(&mut self, channel: &Channel, out: &mut dyn Outlet) {
        let (Some(nodes), Some(owned)) = (&mut self.nodes, self.owned.get_mut(channel)) else {
            return;
        };
        let is_wanted = owned.curious_shards().next().is_some();
        let Some(replica) = owned.replica.as_deref_mut() else { return };
        match (&replica.roster, is_wanted && replica.feed == Feed::On) {
            (None, true) => {
                nodes.rounds += 1;
                replica.roster = Some(Box::new(Roster::new(nodes.rounds, &self.hasher)));
                self.list_again(channel);
                self.ask_rosters(out);
            }
            (Some(_), false) => replica.roster = None,
            _ => {}
        }
    }

    /// Takes note of a member that comes here.
    pub(in super::super) fn comes_here(&mut self, channel: &Channel, link: Link, member: &Member) {
        let limit = self.settings.limits.presence_max;
        if let Some(roster) = self.roster(channel) {
            roster.comes(link, member, limit);
        }
    }

    fn roster(&mut self, channel: &Channel) -> Option<&mut Roster> {
        self.replica(channel)?.roster.as_deref_mut()
    }

    /// Has the store asked who is in a channel, when its turn comes.
    fn list_again(&mut self, channel: &Channel) {
        let Some(roster) = self.roster(channel) else { return };
        if !std::mem::replace(&mut roster.is_due, true)
            && let Some(nodes) = &mut self.nodes
        {
            nodes.to_list.push_back(channel.clone());
        }
    }

    /// The same for all channels. `is_doubtful` says that changes may not have been heard.
    pub(super) fn list_all_again(&mut self, is_doubtful: bool, out: &mut dyn Outlet) {
        let Some(nodes) = &mut self.nodes else { return };
        nodes.rounds += 1;
        let round = nodes.rounds;
        let mut all = vec![];
        for (channel, owned) in &mut self.owned {
            let roster = owned.replica.as_deref_mut().and_then(|it| it.roster.as_deref_mut());
            let Some(roster) = roster else { continue };
            if is_doubtful {
                roster.doubt(round);
            }
            all.push(channel.clone());
        }
        for channel in all {
            self.list_again(&channel);
        }
        self.ask_rosters(out);
    }

    /// The same, but later.
    pub(super) fn list_all_later(&mut self, now: Now) {
        let Some(nodes) = &mut self.nodes else { return };
        if !std::mem::replace(&mut nodes.relisting, true)
            && let Some(at) = now.after(RELIST_AFTER)
        {
            self.schedule(at, Due::Relist);
        }
    }

    /// Takes note that the time for that has come.
    pub(in super::super) fn relist(&mut self, out: &mut dyn Outlet) {
        if let Some(nodes) = &mut self.nodes {
            nodes.relisting = false;
        }
        self.list_all_again(false, out);
    }

    /// Asks the store about the next channels.
    pub(super) fn ask_rosters(&mut self, out: &mut dyn Outlet) {
        let limit = self.settings.limits.presence_max;
        while let Some(nodes) = self.nodes.as_mut().filter(|it| it.listing < LISTING_MAX)
            && let Some(channel) = nodes.to_list.pop_front()
        {
            let Some(roster) = self.roster(&channel) else { continue };
            roster.is_due = false;
            let asked = self.is_asked(&channel);
            let Ok(ticket) = self.waiting.insert(Waiting::Roster(asked)) else { return };
            if let Some(nodes) = &mut self.nodes {
                nodes.listing += 1;
            }
            out.far(Some(ticket), Wish::Who(channel, limit));
        }
    }

    /// Takes note that the store is asked who is in a channel, by whomever.
    pub(super) fn is_asked(&mut self, channel: &Channel) -> Asked {
        let round = self.roster(channel).map(|it| {
            it.ask();
            it.round
        });
        Asked { channel: channel.clone(), round }
    }

    /// Takes the store's answer for a roster.
    pub(super) fn listed(
        &mut self,
        asked: &Asked,
        found: Result<Found, Refusal>,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        if let Some(nodes) = &mut self.nodes {
            nodes.listing -= 1;
        }
        // What is unsure is asked again by the timer, as is a store that refuses.
        let is_sure = matches!(&found, Ok(Found::Members(it)) if it.silent.is_empty());
        drop(self.learn(asked, found, now, out));
        if is_sure {
            self.ask_rosters(out);
        } else {
            self.repair_soon(now);
        }
    }

    /// Takes the store's answer, whoever asked, and tells who came and went without a word. Returns who is there, as those
    /// know it who were told; `None` if the store has to be asked again for that.
    pub(super) fn learn(
        &mut self,
        asked: &Asked,
        found: Result<Found, Refusal>,
        now: Now,
        out: &mut dyn Outlet,
    ) -> Result<Option<Arc<[Arc<Member>]>>, Refusal> {
        let Asked { channel, round } = asked;
        let is_awaited = round.is_some() && self.roster(channel).map(|it| it.round) == *round;
        let Present { members, silent } = match found {
            Ok(Found::Members(present)) => present,
            other => {
                if is_awaited && let Some(roster) = self.roster(channel) {
                    roster.not_answered();
                    self.list_again(channel);
                    self.repair_soon(now);
                }
                return Err(other.err().unwrap_or_else(super::nonsense));
            }
        };
        let names = self.nodes.as_ref().map(|it| it.names.clone()).unwrap_or_default();
        let is_cut = members.len() >= self.settings.limits.presence_max;
        let members: Vec<_> = members
            .into_iter()
            .filter_map(|(node, it)| Some((node, it.link, Arc::new(Seen::read(&it.body, &names)?))))
            .collect();
        let raw: Arc<[_]> = members.iter().map(|it| it.2.clone()).collect();
        let Some(roster) = self.roster(channel) else { return Ok(Some(raw)) };
        if !is_awaited {
            let is_told = roster.knows_something();
            let all = roster.all().map(Iterator::collect);
            return Ok(all.or(is_told.then_some(raw)));
        }
        let is_unsure = !silent.is_empty();
        let tell = self.compare(channel, Answer { members, silent, is_cut });
        if tell.is_none() || is_unsure {
            self.list_again(channel);
            self.repair_soon(now);
        }
        for it in tell.unwrap_or_default() {
            self.tell_move(channel, it, out);
        }
        let all = self.roster(channel).and_then(|it| it.all().map(Iterator::collect));
        Ok(Some(all.unwrap_or(raw)))
    }

    /// Compares the roster of a channel with the store's answer and with who is here.
    fn compare(&mut self, channel: &Channel, mut answer: Answer) -> Option<Vec<Tell>> {
        let limit = self.settings.limits.presence_max;
        let (nodes, owned) = (self.nodes.as_ref()?, self.owned.get_mut(channel)?);
        answer.members.retain(|(node, ..)| *node != nodes.node);
        answer.members.extend(owned.members().map(|(link, it)| (nodes.node, link, it)));
        let roster = owned.replica.as_deref_mut()?.roster.as_deref_mut()?;
        roster.learn(answer, nodes.node, |it| nodes.others.contains(&it), limit)
    }

    /// Takes in what a node says: somebody came, or went.
    pub(super) fn hear_move(&mut self, channel: &Channel, it: Move, out: &mut dyn Outlet) {
        let Some(nodes) = &self.nodes else { return };
        // Of a node that is gone all have left; when it comes back the store is asked.
        if it.node != nodes.node && !nodes.others.contains(&it.node) {
            return;
        }
        self.mind_roster(channel, out);
        let limit = self.settings.limits.presence_max;
        let Some(roster) = self.roster(channel) else { return };
        if let Some(tell) = roster.hear(it, limit) {
            self.tell_move(channel, tell, out);
        }
    }

    /// Says of all who were on a node that is gone that they went.
    pub(super) fn mourn(&mut self, node: NodeId, out: &mut dyn Outlet) {
        let mut gone = vec![];
        for (channel, owned) in &mut self.owned {
            let roster = owned.replica.as_deref_mut().and_then(|it| it.roster.as_deref_mut());
            let Some(roster) = roster else { continue };
            gone.extend(roster.lose(node).into_iter().map(|it| (channel.clone(), it)));
        }
        for (channel, tell) in gone {
            self.tell_move(&channel, tell, out);
        }
    }

    fn tell_move(
        &mut self,
        channel: &Channel,
        (member, joined, of_user): Tell,
        out: &mut dyn Outlet,
    ) {
        self.tell_change(Change { channel: channel.clone(), member, of_user }, joined, out);
    }
}

#[cfg(test)]
mod tests;
