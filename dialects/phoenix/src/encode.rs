//! What is said in a channel, written once for all clients of a serializer.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::value::RawValue;
use taiwa_core::{Change, Encoding, Member, Message, Messages, Publication, Said};

use crate::wire::{Head, Outlet, Ref, Serializer, place, quoted};

/// The events of npm's `Presence`.
const STATE: &str = "presence_state";
const DIFF: &str = "presence_diff";

/// The event of a publication that has none, or one that means something else to clients.
const MESSAGE: &str = "message";

/// The event that tells where a publication lies which came in a binary frame.
const HERE: &str = "taiwa:here";

const V1: Outlet = Outlet { serializer: Serializer::V1, is_binary: false, has_positions: false };
const V2: Outlet = Outlet { serializer: Serializer::V2, is_binary: true, has_positions: false };
const V2_TEXT: Outlet = Outlet { is_binary: false, ..V2 };
const V1_POSITIONS: Outlet = Outlet { has_positions: true, ..V1 };
const V2_POSITIONS: Outlet = Outlet { has_positions: true, ..V2 };
const V2_TEXT_POSITIONS: Outlet = Outlet { has_positions: true, ..V2_TEXT };

static IN_V1: Encoding = Encoding { name: "phoenix-v1", encode: |it| encode(V1, it) };
static IN_V2: Encoding = Encoding { name: "phoenix-v2", encode: |it| encode(V2, it) };
static IN_V2_TEXT: Encoding =
    Encoding { name: "phoenix-v2-text", encode: |it| encode(V2_TEXT, it) };
static IN_V1_POSITIONS: Encoding =
    Encoding { name: "phoenix-v1-positions", encode: |it| encode(V1_POSITIONS, it) };
static IN_V2_POSITIONS: Encoding =
    Encoding { name: "phoenix-v2-positions", encode: |it| encode(V2_POSITIONS, it) };
static IN_V2_TEXT_POSITIONS: Encoding =
    Encoding { name: "phoenix-v2-text-positions", encode: |it| encode(V2_TEXT_POSITIONS, it) };

impl Outlet {
    /// Returns how publications are written for this client and others like it.
    pub(crate) fn encoding(self) -> &'static Encoding {
        match (self.serializer, self.is_binary, self.has_positions) {
            (Serializer::V1, _, false) => &IN_V1,
            (Serializer::V1, _, true) => &IN_V1_POSITIONS,
            (Serializer::V2, true, false) => &IN_V2,
            (Serializer::V2, true, true) => &IN_V2_POSITIONS,
            (Serializer::V2, false, false) => &IN_V2_TEXT,
            (Serializer::V2, false, true) => &IN_V2_TEXT_POSITIONS,
        }
    }

    /// Writes something missed for the one client that missed it.
    pub(crate) fn missed(self, join_ref: &Ref, it: &Publication) -> Messages {
        let reference = self.reference(it);
        let (topic, event) = (it.channel.as_str(), event(it));
        let head = Head { join_ref, reference: &reference, topic, event };
        self.placed(it, self.push(head, &it.payload))
    }

    /// Writes who is in a channel.
    pub(crate) fn presence(
        self,
        join_ref: &Ref,
        topic: &str,
        members: &[impl AsRef<Member>],
    ) -> Message {
        let head = Head { join_ref, reference: "null", topic, event: STATE };
        self.text(head, crowd(members.iter().map(AsRef::as_ref)).as_bytes())
    }

    /// Returns the place of a publication as the reference of its message, for those who want it.
    fn reference(self, it: &Publication) -> String {
        match it.position.filter(|_| self.has_positions) {
            Some(at) => quoted(&place(at)),
            None => "null".to_owned(),
        }
    }

    /// Adds the place of a publication behind a frame that has no place for it.
    fn placed(self, it: &Publication, message: Message) -> Messages {
        match (&message, it.position.filter(|_| self.has_positions)) {
            (Message::Binary(_), Some(at)) => {
                let reference = quoted(&place(at));
                let topic = it.channel.as_str();
                let head = Head { join_ref: &Ref::NONE, reference: &reference, topic, event: HERE };
                Messages::Several([message, self.text(head, b"{}")].into())
            }
            _ => message.into(),
        }
    }
}

/// Tells whether an event is the protocol's own, which nobody may forge.
pub(crate) fn is_reserved(event: &str) -> bool {
    event.starts_with("phx_") || matches!(event, STATE | DIFF | HERE)
}

fn event(it: &Publication) -> &str {
    it.event.as_deref().filter(|it| !is_reserved(it)).unwrap_or(MESSAGE)
}

fn encode(outlet: Outlet, said: &Said<'_>) -> Messages {
    match *said {
        Said::Publication(it) | Said::Delta(it) => {
            let reference = outlet.reference(it);
            let topic = it.channel.as_str();
            outlet.placed(it, outlet.broadcast(&reference, topic, event(it), &it.payload))
        }
        Said::Joined(it) => diff(outlet, it, |who| format!("{{\"joins\":{who},\"leaves\":{{}}}}")),
        Said::Left(it) => diff(outlet, it, |who| format!("{{\"joins\":{{}},\"leaves\":{who}}}")),
        _ => Messages::None,
    }
}

fn diff(outlet: Outlet, it: &Change, written: fn(String) -> String) -> Messages {
    let payload = written(crowd([&*it.member]));
    let topic = it.channel.as_str();
    let head = Head { join_ref: &Ref::NONE, reference: "null", topic, event: DIFF };
    outlet.text(head, payload.as_bytes()).into()
}

/// Writes members under their keys: the user, of the anonymous the session. A user has an entry for each session.
fn crowd<'a>(members: impl IntoIterator<Item = &'a Member>) -> String {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for member in members {
        let key = match &member.client.user {
            Some(user) => user.as_str().to_owned(),
            None => member.client.session.to_string(),
        };
        all.entry(key).or_default().push(meta(member));
    }
    let all = all.into_iter();
    let keys =
        all.map(|(key, metas)| format!("{}:{{\"metas\":[{}]}}", quoted(&key), metas.join(",")));
    format!("{{{}}}", keys.collect::<Vec<_>>().join(","))
}

/// Writes what others see of a member. Its reference is its session, which is in a channel once.
fn meta(member: &Member) -> String {
    let mut fields: BTreeMap<String, String> = BTreeMap::new();
    let infos = [("info", member.client.info()), ("channel_info", member.channel_info.as_ref())];
    for (name, info) in infos {
        let Some(info) = info else { continue };
        match inside(info) {
            Some(all) => fields.extend(all.into_iter().map(|(k, v)| (k, v.get().to_owned()))),
            None => {
                fields.insert(name.to_owned(), String::from_utf8_lossy(info).into_owned());
            }
        }
    }
    fields.retain(|name, _| !matches!(name.as_str(), "phx_ref" | "phx_ref_prev"));
    let mut text = format!("{{\"phx_ref\":\"{}\"", member.client.session);
    for (name, value) in fields {
        text += &format!(",{}:{value}", quoted(&name));
    }
    text + "}"
}

/// Reads the names of an object.
pub(crate) fn inside(json: &Bytes) -> Option<BTreeMap<String, &RawValue>> {
    serde_json::from_slice(json).ok()
}
