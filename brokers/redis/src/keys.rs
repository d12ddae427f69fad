//! The names of keys and channels in Redis.

use std::fmt::Write as _;

use redis::cluster_routing::Slot;
use taiwa_core::{Channel, NodeId, SessionId};

/// Makes names that begin with the prefix of the cluster.
///
/// Everything of one channel has `{channel}` in its name, so that a cluster of Redis servers keeps it in one slot; who is
/// alive, and the channel that tells of it, have `{.}`.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    prefix: String,
    /// Publishing knows no databases, so their number stands in the names of channels.
    spoken: String,
    /// Whether there are slots.
    clustered: bool,
}

/// Where everything is that has no slot of its own.
const ONLY: Slot = Slot::new(0).expect("there is a first one");

impl Keys {
    pub(crate) fn new(prefix: &str, database: u32, clustered: bool) -> Self {
        let spoken = match database {
            0 => prefix.to_owned(),
            other => format!("{prefix}{other}:"),
        };
        Self { prefix: prefix.into(), spoken, clustered }
    }

    pub(crate) fn clustered(&self) -> bool {
        self.clustered
    }

    /// Tells in which slot a key is kept, or what is said in a channel; on a single server there is one slot.
    pub(crate) fn slot(&self, name: &[u8]) -> Slot {
        if self.clustered { Slot::for_key(name) } else { ONLY }
    }

    /// The verb that says something in a slot's channel.
    pub(crate) fn publish(&self) -> &'static [u8] {
        if self.clustered { b"SPUBLISH" } else { b"PUBLISH" }
    }

    fn of(&self, channel: &Channel, what: &str) -> String {
        format!("{}{{{}}}:{what}", self.prefix, unbraced(channel))
    }

    /// Epoch and offset.
    pub(crate) fn top(&self, channel: &Channel) -> String {
        self.of(channel, "top")
    }

    /// What was said.
    pub(crate) fn log(&self, channel: &Channel) -> String {
        self.of(channel, "log")
    }

    /// What was said with an identifier.
    pub(crate) fn id(&self, channel: &Channel, id: &str) -> String {
        self.of(channel, &format!("id:{id}"))
    }

    /// The members of a node.
    pub(crate) fn members(&self, channel: &Channel, node: NodeId) -> String {
        self.of(channel, &format!("members:{node}"))
    }

    /// The users of a node, each with the number of its members.
    pub(crate) fn users(&self, channel: &Channel, node: NodeId) -> String {
        self.of(channel, &format!("users:{node}"))
    }

    pub(crate) fn session(&self, session: SessionId) -> String {
        format!("{}session:{session}", self.prefix)
    }

    pub(crate) fn secret(&self) -> String {
        format!("{}secret", self.prefix)
    }

    /// Who is alive.
    pub(crate) fn nodes(&self) -> String {
        format!("{}nodes{{.}}", self.prefix)
    }

    /// What vanishes before the entries of a node do.
    pub(crate) fn mark(&self, node: NodeId) -> String {
        format!("{}mark{{.}}:{node}", self.prefix)
    }

    /// The same, in a slot of one server of several: the first number whose slot it has makes the name.
    pub(crate) fn mark_within(&self, node: NodeId, has: impl Fn(Slot) -> bool) -> Option<String> {
        // 16,384 slots: of so many names each slot has some.
        let number = (0..200_000_u32).find(|it| has(Slot::for_key(it.to_string())))?;
        Some(format!("{}mark{{{number}}}:{node}", self.prefix))
    }

    /// Where a channel is heard.
    pub(crate) fn heard(&self, channel: &Channel) -> String {
        format!("{}{{{}}}", self.spoken, unbraced(channel))
    }

    /// Where statements for patterns are heard.
    pub(crate) fn patterns(&self) -> String {
        format!("{}patterns", self.spoken)
    }

    /// Where nodes say that they come and go.
    pub(crate) fn changes(&self) -> String {
        let tag = if self.clustered { "{.}" } else { "" };
        format!("{}nodes{tag}", self.spoken)
    }

    /// Where letters for a node are heard.
    pub(crate) fn letters(&self, node: NodeId) -> String {
        format!("{}node:{node}", self.spoken)
    }
}

/// Returns a channel's name without braces: the first closing one would end what decides where a key is kept.
fn unbraced(channel: &Channel) -> String {
    let mut name = String::with_capacity(channel.as_str().len());
    for letter in channel.as_str().chars() {
        match letter {
            '{' | '}' | '%' => {
                write!(name, "%{:02X}", u32::from(letter)).expect("a String takes it")
            }
            _ => name.push(letter),
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_different_things_differ() {
        let keys = Keys::new("t:", 0, false);
        let mut names = vec![keys.nodes(), keys.secret(), keys.mark(NodeId(1))];
        for name in ["a", "}", "{", "%7D", "a}:log", "a:log", "nodes"] {
            let channel = Channel::parse(name).unwrap();
            let node = NodeId(1);
            names.extend([keys.top(&channel), keys.log(&channel), keys.id(&channel, "x")]);
            names.extend([keys.members(&channel, node), keys.users(&channel, node)]);
            let top = keys.top(&channel);
            let tag = top.split_once('{').unwrap().1.split_once('}').unwrap().0;
            assert!(!tag.is_empty() && names.iter().rev().take(5).all(|it| it.contains(tag)));
        }
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn databases_do_not_hear_each_other() {
        let chat = Channel::parse("chat").unwrap();
        assert_eq!(Keys::new("t:", 0, false).heard(&chat), "t:{chat}");
        assert_eq!(Keys::new("t:", 2, false).heard(&chat), "t:2:{chat}");
        assert_eq!(Keys::new("t:", 2, false).log(&chat), "t:{chat}:log");
    }

    #[test]
    fn a_cluster_keeps_what_belongs_together_in_one_slot() {
        let keys = Keys::new("t:", 0, true);
        let node = NodeId(7);
        for name in ["chat", "{a}b", "}{", "%7B", "."] {
            let it = Channel::parse(name).unwrap();
            let all = [keys.top(&it), keys.log(&it), keys.id(&it, "{x}"), keys.heard(&it)];
            let members = [keys.members(&it, node), keys.users(&it, NodeId(8))];
            let slots = all.iter().chain(&members).map(|it| keys.slot(it.as_bytes()));
            assert!(slots.collect::<std::collections::HashSet<_>>().len() == 1, "{name}");
        }
        let alive = [keys.nodes(), keys.mark(node), keys.changes()];
        assert!(alive.iter().all(|it| keys.slot(it.as_bytes()) == Slot::for_key(".")));
        let last = Slot::new(16_383).unwrap();
        let mark = keys.mark_within(node, |it| it == last).unwrap();
        assert_eq!(keys.slot(mark.as_bytes()), last);
        let alone = Keys::new("t:", 0, false);
        assert_eq!(alone.slot(b"a"), alone.slot(b"b"));
    }
}
