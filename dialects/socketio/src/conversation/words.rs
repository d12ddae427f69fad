//! How refusals and farewells are said.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::value::RawValue;

use taiwa_core::{
    Disconnect, Knock, Member, Payload, Position, Publication, Recovered, Refusal, RefusalKind,
    Reply, Request, Transport, Unsubscribed,
};

use crate::wire::{Args, quoted};

/// Returns the close code and the reason by which a client hears why it must go.
pub(super) fn ending(why: &Disconnect) -> (u16, String) {
    let (code, text) = match why {
        Disconnect::Done => (1000, ""),
        Disconnect::BadRequest => (4400, "bad request"),
        Disconnect::Unauthorized => (4401, "unauthorized"),
        Disconnect::Stale => (4408, "silent for too long"),
        Disconnect::Slow => (1013, "slow reader"),
        Disconnect::Expired => (4419, "rights have ended"),
        Disconnect::Revoked => (4403, "rights were taken back"),
        Disconnect::InsufficientState => (1013, "something was missed"),
        Disconnect::Limit(text) => (1013, *text),
        Disconnect::Rate => (4429, "too much in too short a time"),
        Disconnect::Shutdown(None) => (1001, "the server goes away"),
        // IANA's registry of close codes: "Service Restart".
        Disconnect::Shutdown(Some(_)) => (1012, "the server goes away"),
        Disconnect::Replaced => (4409, "replaced by another connection"),
        Disconnect::App { code: code @ 4000..=4999, reason, .. } => (*code, &**reason),
        Disconnect::App { reason, .. } => (4403, &**reason),
        // What is not known yet.
        _ => (1013, ""),
    };
    // RFC 6455 §5.5: a control frame's payload has at most 125 bytes, two of which are the code.
    (code, text[..text.floor_char_boundary(123)].to_owned())
}

/// Names the kind of a refusal.
fn kind(refusal: &Refusal) -> &'static str {
    match refusal.kind {
        RefusalKind::BadRequest => "invalid",
        RefusalKind::Unauthorized => "unauthorized",
        RefusalKind::Forbidden => "forbidden",
        RefusalKind::Expired => "expired",
        RefusalKind::NotFound => "not_found",
        RefusalKind::AlreadySubscribed => "exists",
        RefusalKind::NotAvailable => "not_available",
        RefusalKind::Limit => "limit",
        RefusalKind::Rate(_) => "rate",
        RefusalKind::Unrecoverable => "unrecoverable",
        RefusalKind::Deadline => "deadline",
        RefusalKind::App => "refused",
        _ => "unavailable",
    }
}

/// The close code and reason for a client that comes back by itself (RFC 6455 §7.4.1, the IANA registry).
pub(super) const TRY_AGAIN: (u16, &str) = (1013, "try again later");

/// Tells whether the same may be granted in a moment, without anybody doing anything about it.
pub(super) fn may_pass(refusal: &Refusal) -> bool {
    matches!(refusal.kind, RefusalKind::Unavailable | RefusalKind::Deadline)
}

/// Says in words why, for a developer.
pub(super) fn message(refusal: &Refusal) -> &str {
    if refusal.text.is_empty() { kind(refusal) } else { &refusal.text }
}

/// Writes the answer to what was refused: an object with the one member `error`.
pub(super) fn error(refusal: &Refusal) -> String {
    let mut text = format!(
        "{{\"error\":{{\"code\":{},\"message\":{},\"temporary\":{}",
        quoted(kind(refusal)),
        quoted(message(refusal)),
        refusal.is_temporary(),
    );
    if let RefusalKind::Rate(after) = refusal.kind {
        text += &format!(",\"retry_after_ms\":{}", after.as_millis());
    }
    text += &refusal.code.map(|it| format!(",\"app_code\":{it}")).unwrap_or_default();
    if let Some(details) = refusal.details.as_ref().and_then(|it| std::str::from_utf8(it).ok()) {
        text += &format!(",\"details\":{details}");
    }
    text + "}}"
}

/// Returns what a client is told of a refusal besides its text, a JSON text.
pub(super) fn details(refusal: &Refusal) -> Option<Bytes> {
    match (&refusal.details, refusal.code) {
        (Some(details), _) => Some(details.clone()),
        (None, Some(code)) => Some(format!("{{\"code\":{code}}}").into()),
        (None, None) => None,
    }
}

/// Returns the name of an event, which is a JSON text.
pub(super) fn plain(name: &Bytes) -> String {
    match serde_json::from_slice(name) {
        Ok(name) => name,
        Err(_) => String::from_utf8_lossy(name).into_owned(),
    }
}

/// Tells whether a name fits one of the settings, where a `*` at the end stands for all endings.
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => pattern == name,
    }
}

/// Makes a JSON object of the query in the name of a namespace, sorted by name; of equal names the last counts.
pub(super) fn object(query: &str) -> Bytes {
    let request = Request::get(&format!("/?{query}"));
    let (transport, subprotocol) = (Transport::WebSocket, None);
    let knock = Knock { transport, request: &request, subprotocol, address: "", random: 0 };
    let names = query.split('&').map(|it| it.split_once('=').map_or(it, |it| it.0));
    let mut all = BTreeMap::new();
    for name in names.filter(|it| !it.is_empty()) {
        // Names with percent signs in them mean nothing to anybody here.
        if let Some(value) = knock.queries(name).last() {
            all.insert(name, value);
        }
    }
    serde_json::to_vec(&all).expect("texts under texts").into()
}

/// Returns a member of a JSON object that is a string.
pub(super) fn member(object: &Bytes, name: &str) -> Option<String> {
    let members: BTreeMap<String, &RawValue> = serde_json::from_slice(object).ok()?;
    serde_json::from_str(members.get(name)?.get()).ok()
}

/// Reads an object of wishes; nothing is no wishes.
pub(super) fn options<'a, T: Default + serde::Deserialize<'a>>(json: &'a Bytes) -> Option<T> {
    if json.is_empty() {
        return Some(T::default());
    }
    serde_json::from_slice(json).ok()
}

/// Says why the server ended a subscription.
pub(super) fn unsubscribed(why: &Unsubscribed) -> &'static str {
    match why {
        Unsubscribed::App => "app",
        Unsubscribed::Expired => "expired",
        Unsubscribed::Slow => "slow",
        Unsubscribed::InsufficientState => "insufficient_state",
        Unsubscribed::Limit(_) => "limit",
        // What is not known yet.
        _ => "unavailable",
    }
}

/// Writes a reply of the hub as a JSON object.
pub(super) fn reply(reply: &Reply) -> String {
    let mut object = Object::default();
    match reply {
        Reply::Published(it) => object.position(it.position),
        Reply::Subscribed(it) => {
            object.position(it.position);
            object.flag("recoverable", it.recoverable);
            match it.recovered {
                Recovered::NotAsked => {}
                Recovered::Whole(_) => object.member("recovered", "true"),
                Recovered::Gap(_) => object.member("recovered", "false"),
            }
            if let Some(payload) = &it.data {
                object.member("data", &value(payload));
            }
        }
        Reply::Presence(members) => {
            let members: Vec<String> = members.iter().map(|it| member_of(it)).collect();
            object.member("members", &format!("[{}]", members.join(",")));
        }
        Reply::History(it) => {
            object.position(Some(it.position));
            let all: Vec<String> = it.publications.iter().map(|it| publication(it)).collect();
            object.member("publications", &format!("[{}]", all.join(",")));
        }
        _ => {}
    }
    object.end()
}

fn member_of(it: &Member) -> String {
    let mut object = Object::default();
    object.text("session", &it.client.session.to_string());
    if let Some(user) = &it.client.user {
        object.text("user", user.as_str());
    }
    for (name, info) in [("info", it.client.info()), ("channel_info", it.channel_info.as_ref())] {
        if let Some(info) = info {
            object.member(name, &String::from_utf8_lossy(info));
        }
    }
    object.end()
}

fn publication(it: &Publication) -> String {
    let mut object = Object::default();
    if let Some(position) = it.position {
        object.member("offset", &position.offset.to_string());
    }
    object.text("event", it.event.as_deref().unwrap_or("message"));
    let data = value(&it.payload);
    match it.is_list {
        true => object.member("args", &data),
        false => object.member("args", &format!("[{data}]")),
    }
    object.end()
}

/// Writes a payload as a JSON text, bytes in it as `{"base64":…}`.
fn value(payload: &Payload) -> String {
    let args = Args::of(payload, false);
    let mut text = String::new();
    for (number, piece) in args.pieces.iter().enumerate() {
        if number > 0 {
            let base64 = STANDARD.encode(&args.attachments[number - 1]);
            text += &format!("{{\"base64\":\"{base64}\"}}");
        }
        text += &String::from_utf8_lossy(piece);
    }
    text
}

/// A JSON object that is being written.
#[derive(Default)]
struct Object(String);

impl Object {
    fn member(&mut self, name: &str, json: &str) {
        let comma = if self.0.is_empty() { "" } else { "," };
        self.0 += &format!("{comma}\"{name}\":{json}");
    }

    fn text(&mut self, name: &str, text: &str) {
        self.member(name, &quoted(text));
    }

    fn flag(&mut self, name: &str, set: bool) {
        if set {
            self.member(name, "true");
        }
    }

    fn position(&mut self, position: Option<Position>) {
        if let Some(Position { epoch, offset }) = position {
            self.text("epoch", &epoch.to_string());
            self.member("offset", &offset.to_string());
        }
    }

    fn end(self) -> String {
        format!("{{{}}}", self.0)
    }
}
