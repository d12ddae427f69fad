//! The published schema of replies, said once for both encodings: which field has which number and name.

use taiwa_core::{Member, Payload, Position, Publication};

use super::{ConnectResult, Error, Outcome, Push, Reply, Shape, SubscribeResult, epoch_text};

/// Takes the fields of one message. As in proto3, a number that is 0, a `false` and an empty text are left out.
pub(super) trait Fields {
    fn number(&mut self, tag: u32, name: &'static str, value: u64);
    fn flag(&mut self, tag: u32, name: &'static str, value: bool);
    fn text(&mut self, tag: u32, name: &'static str, value: &str);
    /// Takes a text that JSON clients want even if it is empty.
    fn label(&mut self, tag: u32, name: &'static str, value: &str);
    fn payload(&mut self, tag: u32, name: &'static str, value: &Payload);
    /// Takes a whole payload of a subscription that may get deltas.
    fn quoted(&mut self, tag: u32, name: &'static str, value: &Payload);
    /// Takes a delta.
    fn delta(&mut self, tag: u32, name: &'static str, value: &[u8]);
    /// Takes a JSON text.
    fn json(&mut self, tag: u32, name: &'static str, value: &[u8]);
    fn message(&mut self, tag: u32, name: &'static str, fields: impl FnOnce(&mut Self));
    fn messages<T>(
        &mut self,
        tag: u32,
        name: &'static str,
        items: &[T],
        fields: impl Fn(&mut Self, &T),
    );
    fn map<'a, T>(
        &mut self,
        tag: u32,
        name: &'static str,
        entries: impl ExactSizeIterator<Item = (&'a str, T)>,
        fields: impl Fn(&mut Self, T),
    );
    fn texts<'a>(
        &mut self,
        tag: u32,
        name: &'static str,
        entries: impl ExactSizeIterator<Item = (&'a str, &'a str)>,
    );
}

/// Says the fields of a reply.
pub(super) fn reply<F: Fields>(to: &mut F, reply: &Reply<'_>) {
    match reply {
        Reply::Ping => {}
        Reply::Error { id, error } => {
            to.number(1, "id", id.get().into());
            to.message(2, "error", |to| said(to, error));
        }
        Reply::Done { id, outcome: it } => {
            to.number(1, "id", id.get().into());
            outcome(to, it);
        }
        Reply::Push { channel, push: it } => to.message(4, "push", |to| {
            to.text(2, "channel", channel);
            push(to, it);
        }),
    }
}

fn said<F: Fields>(to: &mut F, error: &Error<'_>) {
    to.number(1, "code", error.code.into());
    to.label(2, "message", error.message);
    to.flag(3, "temporary", error.temporary);
}

fn outcome<F: Fields>(to: &mut F, outcome: &Outcome<'_>) {
    match outcome {
        Outcome::Connect(result) => to.message(5, "connect", |to| connect(to, result)),
        Outcome::Subscribe(result) => to.message(6, "subscribe", |to| subscribe(to, result)),
        Outcome::Unsubscribe => to.message(7, "unsubscribe", |_| {}),
        Outcome::Publish => to.message(8, "publish", |_| {}),
        Outcome::Presence(members) => to.message(9, "presence", |to| {
            let names: Vec<String> =
                members.iter().map(|it| it.client.session.to_string()).collect();
            let entries = names.iter().map(String::as_str).zip(members.iter());
            to.map(1, "presence", entries, |to, it| member(to, it));
        }),
        Outcome::PresenceStats { clients, users } => to.message(10, "presence_stats", |to| {
            to.number(1, "num_clients", *clients as u64);
            to.number(2, "num_users", *users as u64);
        }),
        Outcome::History { publications, position } => to.message(11, "history", |to| {
            to.messages(1, "publications", publications, |to, it| {
                publication(to, it, Shape::Plain);
            });
            to.text(2, "epoch", &epoch_text(position.epoch));
            to.number(3, "offset", position.offset);
        }),
        Outcome::Ping => to.message(12, "ping", |_| {}),
        Outcome::Rpc(payload) => to.message(13, "rpc", |to| to.payload(1, "data", payload)),
        Outcome::Refresh { client, version, ttl } => to.message(14, "refresh", |to| {
            to.text(1, "client", &client.to_string());
            to.text(2, "version", version);
            expiry(to, 3, *ttl);
        }),
        Outcome::SubRefresh { ttl } => to.message(15, "sub_refresh", |to| expiry(to, 1, *ttl)),
    }
}

fn push<F: Fields>(to: &mut F, push: &Push<'_>) {
    match push {
        Push::Publication(it, shape) => to.message(4, "pub", |to| publication(to, it, *shape)),
        Push::Matched(it) => to.message(4, "pub", |to| {
            publication(to, it, Shape::Plain);
            to.text(10, "channel", it.channel.as_str());
        }),
        Push::Delta(it, delta) => to.message(4, "pub", |to| {
            to.delta(4, "data", delta);
            around(to, it, true);
        }),
        Push::Join(it) => to.message(5, "join", |to| to.message(1, "info", |to| member(to, it))),
        Push::Leave(it) => to.message(6, "leave", |to| to.message(1, "info", |to| member(to, it))),
        Push::Unsubscribe { code, reason } => to.message(7, "unsubscribe", |to| {
            to.number(2, "code", (*code).into());
            to.label(3, "reason", reason);
        }),
        Push::Message(it) => to.message(8, "message", |to| to.payload(1, "data", it)),
        Push::Subscribe(it) => to.message(9, "subscribe", |to| {
            to.flag(1, "recoverable", it.recoverable);
            to.text(4, "epoch", &epoch(it.position));
            to.number(5, "offset", offset(it.position));
            to.flag(6, "positioned", it.positioned);
            if let Some(payload) = it.data {
                to.payload(7, "data", payload);
            }
        }),
        Push::Disconnect { code, reason, reconnect } => to.message(11, "disconnect", |to| {
            to.number(1, "code", (*code).into());
            to.label(2, "reason", reason);
            to.flag(3, "reconnect", *reconnect);
        }),
        Push::Refresh { ttl } => to.message(12, "refresh", |to| expiry(to, 1, *ttl)),
    }
}

fn connect<F: Fields>(to: &mut F, it: &ConnectResult<'_>) {
    to.text(1, "client", &it.client.to_string());
    to.text(2, "version", it.version);
    expiry(to, 3, it.ttl);
    if let Some(payload) = it.data {
        to.payload(5, "data", payload);
    }
    let subs = it.subs.iter().map(|(channel, result)| (*channel, result));
    to.map(6, "subs", subs, |to, result| subscribe(to, result));
    to.number(7, "ping", it.ping.into());
    to.flag(8, "pong", it.ping > 0);
    to.text(9, "session", it.session);
}

fn subscribe<F: Fields>(to: &mut F, it: &SubscribeResult<'_>) {
    expiry(to, 1, it.ttl);
    to.flag(3, "recoverable", it.recoverable);
    to.text(6, "epoch", &epoch(it.position));
    to.messages(7, "publications", it.publications, |to, one| publication(to, one, it.shape));
    to.flag(8, "recovered", it.recovered);
    to.number(9, "offset", offset(it.position));
    to.flag(10, "positioned", it.positioned);
    if let Some(payload) = it.data {
        to.payload(11, "data", payload);
    }
    to.flag(12, "was_recovering", it.was_recovering);
    to.flag(13, "delta", it.shape == Shape::Delta);
}

fn publication<F: Fields>(to: &mut F, it: &Publication, shape: Shape) {
    match shape {
        Shape::Plain => to.payload(4, "data", &it.payload),
        Shape::Delta => to.quoted(4, "data", &it.payload),
    }
    around(to, it, false);
}

/// Says what stands around a publication's payload.
fn around<F: Fields>(to: &mut F, it: &Publication, delta: bool) {
    if let Some(publisher) = &it.publisher {
        to.message(5, "info", |to| member(to, publisher));
    }
    to.number(6, "offset", offset(it.position));
    to.texts(7, "tags", it.tags.iter());
    to.flag(8, "delta", delta);
    to.number(9, "time", it.at);
}

fn member<F: Fields>(to: &mut F, it: &Member) {
    let client = &it.client;
    to.label(1, "user", client.user.as_ref().map_or("", |it| it.as_str()));
    to.label(2, "client", &client.session.to_string());
    if let Some(info) = client.info() {
        to.json(3, "conn_info", info);
    }
    if let Some(info) = &it.channel_info {
        to.json(4, "chan_info", info);
    }
}

fn epoch(position: Option<Position>) -> String {
    position.map_or(String::new(), |it| epoch_text(it.epoch))
}

fn offset(position: Option<Position>) -> u64 {
    position.map_or(0, |it| it.offset)
}

/// Says after how many seconds something ends; `first` is the number of `expires`, and `ttl` follows it.
fn expiry<F: Fields>(to: &mut F, first: u32, ttl: Option<u32>) {
    to.flag(first, "expires", ttl.is_some());
    to.number(first + 1, "ttl", ttl.unwrap_or(0).into());
}
