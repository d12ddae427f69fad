//! Who is in a channel.

use bytes::Bytes;
use redis::Value;
use taiwa_core::{Channel, Entry, Link, NodeId, PresenceStore, SessionId, Then, User};

use crate::{
    node::{Redis, millis},
    reply::Reply,
    said::{self, Broken},
    scripts::Script,
};

impl PresenceStore for Redis {
    fn come(&self, channel: &Channel, entry: Entry, then: Then<bool>) {
        let user = user_of(&entry);
        let written = [said::counted(&user).as_bytes(), &entry.body].concat();
        let ttl = millis(self.shared.settings.presence_ttl);
        let field = field_of(&entry);
        let arguments: &[&[u8]] = &[field.as_bytes(), &written, user.as_bytes(), ttl.as_bytes()];
        let (shared, place) = (self.shared.clone(), channel.clone());
        let read = move |it: Value| {
            // In the order of the answers, so that a renewal that found nothing before does not take it out.
            shared.present().insert(place);
            let first = it.number().ok_or(Broken)? == 1;
            Ok(first || entry.user.is_none())
        };
        self.script(Script::Come, &self.own_first(channel), arguments, then, read);
    }

    fn go(&self, channel: &Channel, entry: Entry, then: Then<bool>) {
        let (field, anonymous) = (field_of(&entry), entry.user.is_none());
        let read = move |it: Value| {
            let was = it.number().ok_or(Broken)?;
            Ok(was == 2 || was == 1 && anonymous)
        };
        self.script(Script::Go, &self.own_first(channel), &[field.as_bytes()], then, read);
    }

    fn who(&self, channel: &Channel, limit: usize, then: Then<Vec<(NodeId, Entry)>>) {
        let nodes = self.shared.alive();
        let keys: Vec<_> = nodes.iter().map(|it| self.shared.keys.members(channel, *it)).collect();
        // Lua counts in floating point.
        let limit = limit.min(1 << 31).to_string();
        let read = move |it: Value| members(&nodes, &it).ok_or(Broken);
        self.script(Script::Who, &keys, &[limit.as_bytes()], then, read);
    }

    fn counts(&self, channel: &Channel, then: Then<(usize, usize)>) {
        let (nodes, keys) = (self.shared.alive(), &self.shared.keys);
        let members = nodes.iter().map(|it| keys.members(channel, *it));
        let users = nodes.iter().map(|it| keys.users(channel, *it));
        let all: Vec<String> = members.chain(users).collect();
        let read = |it: Value| {
            let Some([sessions, users]) = it.list() else { return Err(Broken) };
            let number = |it: &Value| it.number().and_then(|it| it.try_into().ok());
            number(sessions).zip(number(users)).ok_or(Broken)
        };
        self.script(Script::Counts, &all, &[], then, read);
    }
}

impl Redis {
    /// Returns the keys of our members and users, and of the users of all others that are alive.
    fn own_first(&self, channel: &Channel) -> Vec<String> {
        let (node, keys) = (self.shared.node, &self.shared.keys);
        let nodes = self.shared.alive();
        let others = nodes.iter().filter(|it| **it != node).map(|it| keys.users(channel, *it));
        [keys.members(channel, node), keys.users(channel, node)].into_iter().chain(others).collect()
    }
}

/// Writes the user: `u` and the name, or `a` for the anonymous, which count as one.
fn user_of(entry: &Entry) -> String {
    entry.user.as_ref().map_or_else(|| "a".into(), |it| format!("u{}", it.as_str()))
}

fn field_of(entry: &Entry) -> String {
    format!("{}:{}", entry.session, entry.link.0)
}

/// Reads what each node keeps: fields and entries by turns.
fn members(nodes: &[NodeId], answer: &Value) -> Option<Vec<(NodeId, Entry)>> {
    let mut all = vec![];
    for (node, pairs) in nodes.iter().zip(answer.list()?) {
        for pair in pairs.list()?.chunks_exact(2) {
            all.push((*node, member(pair[0].text()?, &pair[1].body()?)?));
        }
    }
    Some(all)
}

fn member(field: &[u8], written: &Bytes) -> Option<Entry> {
    let (session, link) = std::str::from_utf8(field).ok()?.split_once(':')?;
    let (user, body) = said::uncounted(written).ok()?;
    Some(Entry {
        session: session.parse::<SessionId>().ok()?,
        link: Link(link.parse().ok()?),
        user: user.strip_prefix('u').map(User::from),
        body,
    })
}
