//! [`Roster`]: who is in a channel on all nodes, as those know it who want to hear who comes and goes.

use std::sync::Arc;

use taiwa_core::{Link, Member, NodeId, SessionId, User};

use crate::{
    seeded::{Seeded, SeededMap, SeededSet},
    wire::Move,
};

/// Says nothing twice and forgets nobody: whoever comes is listed, whoever goes was. Of a node that dies it knows who was
/// on it.
///
/// The store's answers and what nodes say of changes overtake each other. So a change that is heard while an answer is
/// awaited counts for more than that answer: if the answer is the newer one, another change is on its way.
#[derive(Debug)]
pub(in super::super) struct Roster {
    /// Tells the answers that are awaited from those that are not any more.
    pub(super) round: u64,
    members: SeededMap<Who, Listed>,
    /// How many of them each user has.
    users: SeededMap<User, u32>,
    /// What was heard while an answer is awaited: who came, or went.
    news: SeededMap<(NodeId, Who), Option<Arc<Member>>>,
    /// More was heard than is kept.
    news_lost: bool,
    /// Who came here before anybody has told who is there: that is to be told, too.
    fresh: SeededSet<Who>,
    /// Answers that are awaited.
    asked: u32,
    knows: Knows,
    /// It is among those that the store is asked about next.
    pub(super) is_due: bool,
}

/// How much the list says.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Knows {
    /// Nobody has told yet who is there.
    Nothing,
    /// There are more members than are listed.
    Some,
    All,
}

/// A link of a session.
type Who = (SessionId, Link);

#[derive(Debug)]
struct Listed {
    member: Arc<Member>,
    /// Where it is. A session that moves is on two nodes for a moment.
    on: NodeId,
    also: Vec<NodeId>,
}

/// Who is there, as the store and this node know it.
pub(super) struct Answer {
    pub(super) members: Vec<(NodeId, Link, Arc<Member>)>,
    /// Nodes of which nothing is said.
    pub(super) silent: Vec<NodeId>,
    /// There may be more.
    pub(super) is_cut: bool,
}

/// What is to be told: who, whether it came, whether it is the first or last of its user.
pub(super) type Tell = (Arc<Member>, bool, bool);

impl Roster {
    pub(super) fn new(round: u64, hasher: &Seeded) -> Self {
        Self {
            round,
            members: SeededMap::with_hasher(hasher.clone()),
            users: SeededMap::with_hasher(hasher.clone()),
            news: SeededMap::with_hasher(hasher.clone()),
            news_lost: false,
            fresh: SeededSet::with_hasher(hasher.clone()),
            asked: 0,
            knows: Knows::Nothing,
            is_due: false,
        }
    }

    /// Lists all members; `None` if they are not all known.
    pub(super) fn all(&self) -> Option<impl Iterator<Item = Arc<Member>>> {
        let members = self.members.values().map(|it| it.member.clone());
        (self.knows == Knows::All).then_some(members)
    }

    /// Tells whether anybody has told who is there.
    pub(super) fn knows_something(&self) -> bool {
        self.knows != Knows::Nothing
    }

    /// Takes note that somebody comes here, which is not said yet.
    pub(super) fn comes(&mut self, link: Link, member: &Member, limit: usize) {
        if self.knows == Knows::Nothing && self.fresh.len() < limit {
            self.fresh.insert((member.client.session, link));
        }
    }

    fn forget_fresh(&mut self) -> SeededSet<Who> {
        let none = SeededSet::with_hasher(self.fresh.hasher().clone());
        std::mem::replace(&mut self.fresh, none)
    }

    /// Takes note that the store is asked who is there.
    pub(super) fn ask(&mut self) {
        self.asked += 1;
    }

    /// Takes note that it did not answer, of this round.
    pub(super) fn not_answered(&mut self) {
        self.asked = self.asked.saturating_sub(1);
        if self.asked == 0 {
            self.forget_news();
        }
    }

    /// Takes note that changes may not have been heard. No answer is awaited any more: those that come are of the former
    /// round.
    pub(super) fn doubt(&mut self, round: u64) {
        (self.round, self.asked) = (round, 0);
        self.forget_news();
    }

    fn forget_news(&mut self) {
        self.news_lost = false;
        self.news.clear();
        self.news.shrink_to(64);
    }

    /// Takes in that somebody came or went. Returns what to tell.
    pub(super) fn hear(&mut self, it: Move, limit: usize) -> Option<Tell> {
        let who = (it.member.client.session, it.link);
        if self.asked > 0 && self.news.len() < limit {
            self.news.insert((it.node, who), it.joined.then(|| it.member.clone()));
        } else if self.asked > 0 {
            self.news_lost = true;
        }
        if it.joined { self.came(it, who, limit) } else { self.went(it, who) }
    }

    fn came(&mut self, it: Move, who: Who, limit: usize) -> Option<Tell> {
        if let Some(listed) = self.members.get_mut(&who) {
            listed.is_on(it.node);
            return None;
        }
        if self.members.len() >= limit && self.knows == Knows::All {
            self.knows = Knows::Some;
        }
        let mut of_user = it.of_user;
        if self.members.len() < limit {
            let is_first = self.enter(who, it.node, it.member.clone());
            if self.knows == Knows::All {
                of_user = is_first;
            }
        }
        Some((it.member, true, of_user))
    }

    fn went(&mut self, it: Move, who: Who) -> Option<Tell> {
        let knows_all = self.knows == Knows::All;
        let Some(listed) = self.members.get_mut(&who) else {
            return (!knows_all).then_some((it.member, false, it.of_user));
        };
        if listed.is_elsewhere(it.node) {
            return None;
        }
        let (member, is_last) = self.leave(who)?;
        Some((member, false, if knows_all { is_last } else { it.of_user }))
    }

    /// Takes in who is there, asked for with [`Roster::ask`]. Returns what to tell: who came and who went without a word; or
    /// `None` if it has to be asked again.
    pub(super) fn learn(
        &mut self,
        answer: Answer,
        here: NodeId,
        is_alive: impl Fn(NodeId) -> bool,
        limit: usize,
    ) -> Option<Vec<Tell>> {
        let news_lost = self.news_lost;
        let mut truth: SeededMap<Who, Listed> =
            SeededMap::with_hasher(self.members.hasher().clone());
        let mut add = |node, link, member: Arc<Member>| {
            let new = || Listed { member: member.clone(), on: node, also: vec![] };
            truth.entry((member.client.session, link)).or_insert_with(new).is_on(node);
        };
        for (node, link, member) in answer.members {
            let is_news = self.news.contains_key(&(node, (member.client.session, link)));
            // Of its own members this node itself knows.
            if node == here || (is_alive(node) && !is_news) {
                add(node, link, member);
            }
        }
        for ((node, (_, link)), member) in &self.news {
            if let Some(member) = member.clone().filter(|_| *node != here && is_alive(*node)) {
                add(*node, *link, member);
            }
        }
        // Who was on a node that is silent is taken to be there until it says something, or is gone.
        for ((_, link), it) in &self.members {
            for node in it.nodes().filter(|it| answer.silent.contains(it) && is_alive(*it)) {
                add(node, *link, it.member.clone());
            }
        }
        self.not_answered();
        if news_lost {
            return None;
        }
        let before = self.knows;
        let fresh = self.forget_fresh();
        self.knows = match answer.is_cut || truth.len() > limit {
            true => Knows::Some,
            false => Knows::All,
        };
        let mut tell = vec![];
        let gone: Vec<Who> = match self.knows {
            Knows::All => {
                self.members.keys().filter(|it| !truth.contains_key(*it)).copied().collect()
            }
            // Who is not among them may be there all the same.
            _ => vec![],
        };
        for (who, it) in truth {
            if let Some(listed) = self.members.get_mut(&who) {
                (listed.on, listed.also) = (it.on, it.also);
            } else if self.members.len() < limit.saturating_add(gone.len()) {
                let of_user = self.enter(who, it.on, it.member.clone());
                self.members.entry(who).and_modify(|listed| listed.also = it.also);
                // Who was not listed before for want of room was told of all the same.
                let is_news = before == Knows::All && self.knows == Knows::All;
                if is_news || fresh.contains(&who) {
                    tell.push((it.member, true, of_user));
                }
            }
        }
        for who in gone {
            tell.extend(self.leave(who).map(|(member, of_user)| (member, false, of_user)));
        }
        Some(tell)
    }

    /// Takes out who was on a node that is gone. Returns what to tell.
    pub(super) fn lose(&mut self, node: NodeId) -> Vec<Tell> {
        let lost: Vec<Who> = self
            .members
            .iter_mut()
            .filter_map(|(who, it)| (!it.is_elsewhere(node)).then_some(*who))
            .collect();
        let gone = lost.into_iter().filter_map(|who| self.leave(who));
        gone.map(|(member, of_user)| (member, false, of_user)).collect()
    }

    /// Lists somebody. Returns whether it is the first of its user; of the anonymous each is.
    fn enter(&mut self, who: Who, node: NodeId, member: Arc<Member>) -> bool {
        let is_first = match member.client.user.clone() {
            Some(user) => {
                let count = self.users.entry(user).or_default();
                *count += 1;
                *count == 1
            }
            None => true,
        };
        self.members.insert(who, Listed { member, on: node, also: vec![] });
        is_first
    }

    /// Strikes somebody off. Returns whether it was the last of its user; of the anonymous each is.
    fn leave(&mut self, who: Who) -> Option<(Arc<Member>, bool)> {
        let member = self.members.remove(&who)?.member;
        let Some(user) = member.client.user.as_ref() else { return Some((member, true)) };
        let Some(count) = self.users.get_mut(user) else { return Some((member, true)) };
        *count -= 1;
        let is_last = *count == 0;
        if is_last {
            self.users.remove(user);
        }
        Some((member, is_last))
    }
}

impl Listed {
    fn nodes(&self) -> impl Iterator<Item = NodeId> {
        [self.on].into_iter().chain(self.also.iter().copied())
    }

    fn is_on(&mut self, node: NodeId) {
        if self.on != node && !self.also.contains(&node) {
            self.also.push(node);
        }
    }

    /// Takes note that it is not on a node any more. Returns whether it is on another one.
    fn is_elsewhere(&mut self, node: NodeId) -> bool {
        self.also.retain(|it| *it != node);
        if self.on == node
            && let Some(other) = self.also.pop()
        {
            self.on = other;
        }
        self.on != node
    }
}

#[cfg(test)]
mod tests;
