//! Commands and replies as lines of JSON, with payloads as raw JSON values in them.

use std::{borrow::Cow, collections::BTreeMap, num::NonZeroU32};

use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use taiwa_core::Payload;

use super::{
    Command, ConnectRequest, EmulationRequest, Fault, FilterNode, HistoryRequest, Limits, Request,
    StreamPosition, SubscribeRequest,
};

mod object;

pub(super) use object::write;

/// Reads lines of commands; empty ones are skipped.
pub(super) fn commands(frame: &Bytes, limits: &Limits) -> Result<Vec<Command>, Fault> {
    let mut commands = Vec::new();
    for line in frame.split(|it| *it == b'\n').filter(|it| !it.trim_ascii().is_empty()) {
        if commands.len() == limits.commands_max {
            return Err(Fault::Limit("commands"));
        }
        let read: CommandRead<'_> = serde_json::from_slice(line).map_err(|_| Fault::Malformed)?;
        commands.push(command(read, frame, limits)?);
    }
    Ok(commands)
}

/// Reads the body of a request to the emulation endpoint, whose frame of commands is a string.
pub(super) fn emulation(body: &Bytes) -> Result<EmulationRequest, Fault> {
    let read: EmulationRead = serde_json::from_slice(body).map_err(|_| Fault::Malformed)?;
    Ok(EmulationRequest { session: read.session, data: read.data.into() })
}

#[derive(Deserialize)]
struct EmulationRead {
    session: String,
    data: String,
}

type Text<'a> = Option<Cow<'a, str>>;

#[derive(Deserialize)]
struct CommandRead<'a> {
    id: Option<u32>,
    #[serde(borrow)]
    connect: Option<ConnectRead<'a>>,
    #[serde(borrow)]
    subscribe: Option<SubscribeRead<'a>>,
    #[serde(borrow)]
    unsubscribe: Option<ChannelRead<'a>>,
    #[serde(borrow)]
    publish: Option<PublishRead<'a>>,
    #[serde(borrow)]
    presence: Option<ChannelRead<'a>>,
    #[serde(borrow)]
    presence_stats: Option<ChannelRead<'a>>,
    #[serde(borrow)]
    history: Option<HistoryRead<'a>>,
    ping: Option<Nothing>,
    #[serde(borrow)]
    send: Option<SendRead<'a>>,
    #[serde(borrow)]
    rpc: Option<RpcRead<'a>>,
    #[serde(borrow)]
    refresh: Option<TokenRead<'a>>,
    #[serde(borrow)]
    sub_refresh: Option<TokenRead<'a>>,
}

#[derive(Deserialize)]
struct Nothing {}

#[derive(Deserialize)]
struct ConnectRead<'a> {
    #[serde(borrow)]
    token: Text<'a>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    subs: Option<BTreeMap<String, PositionRead>>,
    name: Option<String>,
    version: Option<String>,
}

#[derive(Default, Deserialize)]
struct PositionRead {
    recover: Option<bool>,
    offset: Option<u64>,
    epoch: Option<String>,
}

#[derive(Deserialize)]
struct SubscribeRead<'a> {
    #[serde(borrow)]
    channel: Text<'a>,
    #[serde(borrow)]
    token: Text<'a>,
    recover: Option<bool>,
    offset: Option<u64>,
    epoch: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    positioned: Option<bool>,
    recoverable: Option<bool>,
    join_leave: Option<bool>,
    #[serde(borrow)]
    delta: Text<'a>,
    tf: Option<FilterRead>,
    flag: Option<i64>,
    #[serde(rename = "type")]
    kind: Option<i32>,
}

#[derive(Deserialize)]
struct FilterRead {
    op: Option<String>,
    key: Option<String>,
    cmp: Option<String>,
    val: Option<String>,
    vals: Option<Vec<String>>,
    nodes: Option<Vec<FilterRead>>,
}

#[derive(Deserialize)]
struct ChannelRead<'a> {
    #[serde(borrow)]
    channel: Text<'a>,
}

#[derive(Deserialize)]
struct PublishRead<'a> {
    #[serde(borrow)]
    channel: Text<'a>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    #[serde(rename = "type")]
    kind: Option<i32>,
}

#[derive(Deserialize)]
struct HistoryRead<'a> {
    #[serde(borrow)]
    channel: Text<'a>,
    limit: Option<i32>,
    since: Option<PositionRead>,
    reverse: Option<bool>,
}

#[derive(Deserialize)]
struct SendRead<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RpcRead<'a> {
    #[serde(borrow)]
    method: Text<'a>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct TokenRead<'a> {
    #[serde(borrow)]
    channel: Text<'a>,
    #[serde(borrow)]
    token: Text<'a>,
    #[serde(rename = "type")]
    kind: Option<i32>,
}

fn command(read: CommandRead<'_>, frame: &Bytes, limits: &Limits) -> Result<Command, Fault> {
    let id = NonZeroU32::new(read.id.unwrap_or(0));
    let data = |it: Option<&RawValue>| it.map(|it| Payload::Json(kept(frame, it)));
    let request = if let Some(it) = read.connect {
        Request::Connect(connect(it, frame, limits)?)
    } else if let Some(it) = read.subscribe {
        subscribe(it, frame, limits)?
    } else if let Some(it) = read.unsubscribe {
        Request::Unsubscribe { channel: text(it.channel) }
    } else if let Some(it) = read.publish {
        match it.kind.unwrap_or(0) {
            0 => Request::Publish { channel: text(it.channel), data: data(it.data) },
            _ => Request::NotOffered,
        }
    } else if let Some(it) = read.presence {
        Request::Presence { channel: text(it.channel) }
    } else if let Some(it) = read.presence_stats {
        Request::PresenceStats { channel: text(it.channel) }
    } else if let Some(it) = read.history {
        Request::History(HistoryRequest {
            channel: text(it.channel),
            limit: it.limit.unwrap_or(0),
            since: it.since.map(position),
            reverse: it.reverse.unwrap_or(false),
        })
    } else if read.ping.is_some() {
        Request::Ping
    } else if let Some(it) = read.send {
        return Ok(Command::Send(data(it.data).unwrap_or(Payload::null())));
    } else if let Some(it) = read.rpc {
        let data = data(it.data).unwrap_or(Payload::null());
        Request::Rpc { method: text(it.method), data }
    } else if let Some(it) = read.refresh {
        Request::Refresh { token: text(it.token) }
    } else if let Some(it) = read.sub_refresh {
        match it.kind.unwrap_or(0) {
            0 => Request::SubRefresh { channel: text(it.channel), token: text(it.token) },
            _ => Request::NotOffered,
        }
    } else {
        return if id.is_none() { Ok(Command::Pong) } else { Err(Fault::NoRequest) };
    };
    Ok(Command::Request(id.ok_or(Fault::NoId)?, request))
}

fn connect(it: ConnectRead<'_>, frame: &Bytes, limits: &Limits) -> Result<ConnectRequest, Fault> {
    let subs = it.subs.unwrap_or_default();
    if subs.len() > limits.subs_max {
        return Err(Fault::Limit("subs"));
    }
    let recovering = subs.into_iter().filter(|(_, it)| it.recover == Some(true));
    Ok(ConnectRequest {
        token: text(it.token),
        data: it.data.map(|it| Payload::Json(kept(frame, it))),
        subs: recovering.map(|(channel, it)| (channel, position(it))).collect(),
        name: it.name.unwrap_or_default(),
        version: it.version.unwrap_or_default(),
    })
}

fn subscribe(it: SubscribeRead<'_>, frame: &Bytes, limits: &Limits) -> Result<Request, Fault> {
    if it.kind.unwrap_or(0) != 0 {
        return Ok(Request::NotOffered);
    }
    let mut nodes = limits.filter_nodes_max;
    let position =
        StreamPosition { offset: it.offset.unwrap_or(0), epoch: it.epoch.unwrap_or_default() };
    Ok(Request::Subscribe(Box::new(SubscribeRequest {
        channel: text(it.channel),
        token: text(it.token),
        data: it.data.map(|it| Payload::Json(kept(frame, it))),
        recover: it.recover.unwrap_or(false).then_some(position),
        positioned: it.positioned.unwrap_or(false),
        recoverable: it.recoverable.unwrap_or(false),
        join_leave: it.join_leave.unwrap_or(false),
        delta: text(it.delta),
        tf: it.tf.map(|it| filter(it, &mut nodes)).transpose()?,
        flag: it.flag.unwrap_or(0),
    })))
}

/// Takes a filter of at most so many nodes. How deep it is, serde_json has bounded.
fn filter(it: FilterRead, nodes: &mut usize) -> Result<FilterNode, Fault> {
    *nodes = nodes.checked_sub(1).ok_or(Fault::Limit("filter nodes"))?;
    let below = it.nodes.unwrap_or_default().into_iter();
    Ok(FilterNode {
        op: it.op.unwrap_or_default(),
        key: it.key.unwrap_or_default(),
        cmp: it.cmp.unwrap_or_default(),
        val: it.val.unwrap_or_default(),
        vals: it.vals.unwrap_or_default(),
        nodes: below.map(|it| filter(it, nodes)).collect::<Result<_, _>>()?,
    })
}

fn position(it: PositionRead) -> StreamPosition {
    StreamPosition { offset: it.offset.unwrap_or(0), epoch: it.epoch.unwrap_or_default() }
}

/// Takes a `null` for the value that it is.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

fn text(it: Text<'_>) -> String {
    it.unwrap_or_default().into_owned()
}

/// Keeps a part of a frame: in place if it is most of it, otherwise as a copy, so that a small payload in a history does
/// not hold a large frame in memory.
fn kept(frame: &Bytes, part: &RawValue) -> Bytes {
    let part = part.get().as_bytes();
    if part.len() >= frame.len() / 2 { frame.slice_ref(part) } else { Bytes::copy_from_slice(part) }
}
