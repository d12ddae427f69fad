//! Asking the other nodes who is in a channel, and answering them.

use std::{
    collections::{BTreeSet, HashSet},
    ops::Bound,
    sync::Arc,
};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::future::join_all;
use taiwa_core::{Channel, Entry, Link, NodeId, Present, SessionId, User};

use crate::{
    Inner,
    line::Fail,
    lock,
    wire::{Scan, put_bytes, put_entry, put_number},
};

/// What a letter to a node begins with.
pub(crate) const LETTER: u8 = 0;
const WHO: u8 = 1;
const COUNTS: u8 = 2;

/// About as many bytes an answer has. What does not fit is asked for again.
const ANSWER_BYTES: usize = 256 * 1024;

impl Inner {
    /// The subject on which a node hears.
    pub(crate) fn node_subject(&self, node: NodeId) -> String {
        format!("{}.n.{node}", self.settings.prefix)
    }

    fn others(&self) -> Vec<NodeId> {
        self.nodes().into_iter().filter(|it| *it != self.node).collect()
    }

    /// Asks a node. One that nobody serves any more has no members. It has half of the time: what it does not say then is left
    /// out, if the server still answers.
    async fn ask_node(&self, node: NodeId, question: BytesMut) -> Result<Option<Bytes>, Fail> {
        let within = self.line.left().min(self.settings.deadline / 2);
        if !self.line.is_up() {
            return Err(Fail::Lost);
        }
        let subject = self.node_subject(node);
        match self.line.ask(subject, None, question.freeze(), within).await {
            Ok(answer) => Ok(Some(answer.payload)),
            Err(Fail::Nobody) => Ok(None),
            Err(fail) => Err(fail),
        }
    }

    pub(crate) async fn all_members(
        self: Arc<Self>,
        channel: &Channel,
        limit: usize,
    ) -> Result<Present, Fail> {
        let mut members: Vec<(NodeId, Entry)> = lock(&self.local)
            .get(channel)
            .map(|here| {
                here.members.values().take(limit).map(|it| (self.node, it.clone())).collect()
            })
            .unwrap_or_default();
        let others = self.others();
        let asked = others.iter().map(|it| self.members_of(*it, channel, limit));
        let mut silent = vec![];
        for (node, theirs) in others.iter().zip(join_all(asked).await) {
            match theirs {
                Ok(theirs) => members.extend(theirs),
                Err(Fail::Deadline) => silent.push(*node),
                Err(fail) => return Err(fail),
            }
        }
        self.is_heard(&silent).await?;
        members.truncate(limit);
        Ok(Present { members, silent })
    }

    /// Finds out whether it is the nodes that are silent, or the server.
    async fn is_heard(&self, silent: &[NodeId]) -> Result<(), Fail> {
        if silent.is_empty() { Ok(()) } else { self.line.settle().await }
    }

    async fn members_of(
        &self,
        node: NodeId,
        channel: &Channel,
        limit: usize,
    ) -> Result<Vec<(NodeId, Entry)>, Fail> {
        let mut members: Vec<(NodeId, Entry)> = Vec::new();
        loop {
            let mut question = question(WHO, channel);
            put_number(&mut question, (limit - members.len()) as u64);
            if let Some((_, last)) = members.last() {
                question.put_u128(last.session.0);
                question.put_u16(last.link.0);
            }
            let Some(answer) = self.ask_node(node, question).await? else { return Ok(members) };
            let mut from = Scan::of(&answer);
            let more = from.byte() == Some(1);
            let before = members.len();
            while !from.is_at_end() {
                let entry = from.entry().ok_or_else(nonsense)?;
                members.push((node, entry));
            }
            if !more || members.len() == before || members.len() >= limit {
                return Ok(members);
            }
        }
    }

    pub(crate) async fn all_counts(
        self: Arc<Self>,
        channel: &Channel,
    ) -> Result<(usize, usize), Fail> {
        let (mut sessions, mut anonymous, mut users) = (0, false, HashSet::new());
        if let Some(here) = lock(&self.local).get(channel) {
            sessions = here.members.len();
            anonymous = here.members.values().any(|it| it.user.is_none());
            users.extend(here.users.keys().cloned());
        }
        let others = self.others();
        let asked = others.iter().map(|it| self.counts_of(*it, channel));
        let mut silent = vec![];
        for (node, counts) in others.iter().zip(join_all(asked).await) {
            match counts {
                Ok(counts) => {
                    sessions += counts.0;
                    anonymous |= counts.1;
                    users.extend(counts.2);
                }
                Err(Fail::Deadline) => silent.push(*node),
                Err(fail) => return Err(fail),
            }
        }
        self.is_heard(&silent).await?;
        Ok((sessions, users.len() + usize::from(anonymous)))
    }

    async fn counts_of(
        &self,
        node: NodeId,
        channel: &Channel,
    ) -> Result<(usize, bool, BTreeSet<User>), Fail> {
        let mut users = BTreeSet::new();
        loop {
            let mut question = question(COUNTS, channel);
            if let Some(last) = users.last() {
                let last: &User = last;
                put_bytes(&mut question, last.as_str().as_bytes());
            }
            let Some(answer) = self.ask_node(node, question).await? else {
                return Ok((0, false, users));
            };
            let mut from = Scan::of(&answer);
            let flags = from.byte().ok_or_else(nonsense)?;
            let sessions = from.number().ok_or_else(nonsense)? as usize;
            let before = users.len();
            while !from.is_at_end() {
                users.insert(User(from.text().ok_or_else(nonsense)?.into()));
            }
            if flags & 1 == 0 || users.len() == before {
                return Ok((sessions, flags & 2 != 0, users));
            }
        }
    }

    /// Answers a question of another node; nothing if it is none.
    pub(crate) fn answer_node(&self, message: &Bytes) -> Option<Bytes> {
        let mut from = Scan::of(message);
        let kind = from.byte()?;
        let channel = Channel::parse(&from.text()?)?;
        match kind {
            WHO => {
                let limit = from.number()? as usize;
                let after = match from.is_at_end() {
                    true => Bound::Unbounded,
                    false => Bound::Excluded((SessionId(from.u128()?), Link(from.u16()?))),
                };
                Some(self.own_members(&channel, limit, after))
            }
            COUNTS => {
                let after = match from.is_at_end() {
                    true => Bound::Unbounded,
                    false => Bound::Excluded(User(from.text()?.into())),
                };
                Some(self.own_counts(&channel, after))
            }
            _ => None,
        }
    }

    /// Whether there are more, and members.
    fn own_members(
        &self,
        channel: &Channel,
        limit: usize,
        after: Bound<(SessionId, Link)>,
    ) -> Bytes {
        let mut out = BytesMut::from(&[0_u8][..]);
        if let Some(here) = lock(&self.local).get(channel) {
            for (i, (_, entry)) in here.members.range((after, Bound::Unbounded)).enumerate() {
                if i >= limit || out.len() > ANSWER_BYTES {
                    out[0] = 1;
                    break;
                }
                put_entry(&mut out, entry);
            }
        }
        out.freeze()
    }

    /// Whether there are more users, and whether there is somebody without a name; how many members; users.
    fn own_counts(&self, channel: &Channel, after: Bound<User>) -> Bytes {
        let mut out = BytesMut::from(&[0_u8][..]);
        let local = lock(&self.local);
        let Some(here) = local.get(channel) else {
            put_number(&mut out, 0);
            return out.freeze();
        };
        put_number(&mut out, here.members.len() as u64);
        let named: usize = here.users.values().sum();
        out[0] = if here.members.len() > named { 2 } else { 0 };
        for user in here.users.range((after, Bound::Unbounded)).map(|it| it.0) {
            if out.len() > ANSWER_BYTES {
                out[0] |= 1;
                break;
            }
            put_bytes(&mut out, user.as_str().as_bytes());
        }
        out.freeze()
    }
}

fn question(kind: u8, channel: &Channel) -> BytesMut {
    let mut out = BytesMut::with_capacity(64);
    out.put_u8(kind);
    put_bytes(&mut out, channel.as_str().as_bytes());
    out
}

fn nonsense() -> Fail {
    Fail::Server("an answer of a node without sense".into())
}
