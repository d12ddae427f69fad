//! Commands and replies as messages of Protocol Buffers, each behind its length.
//!
//! Written out by hand: the schema is small, payloads stay slices of the frame, and nothing but the commands themselves
//! is allocated. Field numbers are those of the published `client.proto`.

use std::num::NonZeroU32;

use bytes::Bytes;

use taiwa_core::Payload;

use super::{
    Command, ConnectRequest, EmulationRequest, Fault, FilterNode, HistoryRequest, Limits, Request,
    StreamPosition, SubscribeRequest, payload::kind,
};

mod body;

pub(super) use body::write;

/// Reads messages behind their lengths.
pub(super) fn commands(frame: &Bytes, limits: &Limits) -> Result<Vec<Command>, Fault> {
    let mut commands = Vec::new();
    let mut rest = Message { frame, rest: frame };
    while !rest.rest.is_empty() {
        if commands.len() == limits.commands_max {
            return Err(Fault::Limit("commands"));
        }
        let message = rest.delimited()?;
        commands.push(command(Message { frame, rest: message }, limits)?);
    }
    Ok(commands)
}

/// Reads the body of a request to the emulation endpoint.
pub(super) fn emulation(body: &Bytes) -> Result<EmulationRequest, Fault> {
    let (mut session, mut data) = (String::new(), Bytes::new());
    for field in (Message { frame: body, rest: body }) {
        match field? {
            (2, value) => session = value.text()?,
            (3, value) => data = value.bytes()?,
            _ => {}
        }
    }
    Ok(EmulationRequest { session, data })
}

/// A message that is being read, field by field. After a fault nothing follows.
#[derive(Clone, Copy)]
struct Message<'a> {
    frame: &'a Bytes,
    rest: &'a [u8],
}

/// What a field holds. Which of them it must be, the schema says.
#[derive(Clone, Copy)]
enum Value<'a> {
    Varint(u64),
    Delimited(Message<'a>),
    /// Of a type that no field of the schema has.
    Fixed,
}

impl<'a> Message<'a> {
    fn varint(&mut self) -> Result<u64, Fault> {
        let mut value = 0;
        for (i, byte) in self.rest.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[i + 1..];
                return Ok(value);
            }
        }
        Err(Fault::Malformed)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Fault::Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn delimited(&mut self) -> Result<&'a [u8], Fault> {
        let len = usize::try_from(self.varint()?).map_err(|_| Fault::Malformed)?;
        self.take(len)
    }

    fn field(&mut self) -> Result<(u32, Value<'a>), Fault> {
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).ok().filter(|it| *it != 0).ok_or(Fault::Malformed)?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => Value::Delimited(Message { frame: self.frame, rest: self.delimited()? }),
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return Err(Fault::Malformed),
        };
        Ok((number, value))
    }
}

impl<'a> Iterator for Message<'a> {
    type Item = Result<(u32, Value<'a>), Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

impl<'a> Value<'a> {
    fn number(self) -> Result<u64, Fault> {
        match self {
            Self::Varint(value) => Ok(value),
            Self::Delimited(_) | Self::Fixed => Err(Fault::Malformed),
        }
    }

    fn flag(self) -> Result<bool, Fault> {
        self.number().map(|it| it != 0)
    }

    fn message(self) -> Result<Message<'a>, Fault> {
        match self {
            Self::Delimited(message) => Ok(message),
            Self::Varint(_) | Self::Fixed => Err(Fault::Malformed),
        }
    }

    fn text(self) -> Result<String, Fault> {
        let text = std::str::from_utf8(self.message()?.rest).map_err(|_| Fault::Malformed)?;
        Ok(text.to_owned())
    }

    /// Keeps the bytes, as its namesake for JSON does: in place if they are most of the frame, otherwise as a copy.
    fn bytes(self) -> Result<Bytes, Fault> {
        let Message { frame, rest } = self.message()?;
        let large = rest.len() >= frame.len() / 2 && !rest.is_empty();
        Ok(if large { frame.slice_ref(rest) } else { Bytes::copy_from_slice(rest) })
    }

    fn payload(self) -> Result<Payload, Fault> {
        self.bytes().map(kind)
    }
}

fn command(message: Message<'_>, limits: &Limits) -> Result<Command, Fault> {
    let mut id = 0;
    let mut first = None;
    for field in message {
        match field? {
            (1, value) => id = value.number()? as u32,
            // Of several requests the first one of the schema counts.
            (number @ 4..=15, value) if first.is_none_or(|(it, _)| number <= it) => {
                first = Some((number, value.message()?));
            }
            _ => {}
        }
    }
    let id = NonZeroU32::new(id);
    match (first, id) {
        (None, None) => Ok(Command::Pong),
        (None, Some(_)) => Err(Fault::NoRequest),
        (Some((12, message)), _) => {
            let data = data(message, 1)?;
            Ok(Command::Send(data.unwrap_or(Payload::Binary(Bytes::new()))))
        }
        (Some((number, message)), Some(id)) => {
            Ok(Command::Request(id, request(number, message, limits)?))
        }
        (Some(_), None) => Err(Fault::NoId),
    }
}

fn request(number: u32, message: Message<'_>, limits: &Limits) -> Result<Request, Fault> {
    Ok(match number {
        4 => Request::Connect(connect(message, limits)?),
        5 => subscribe(message, limits)?,
        6 => Request::Unsubscribe { channel: text(message, 1)? },
        7 => match int(message, 3)? {
            0 => Request::Publish { channel: text(message, 1)?, data: data(message, 2)? },
            _ => Request::NotOffered,
        },
        8 => Request::Presence { channel: text(message, 1)? },
        9 => Request::PresenceStats { channel: text(message, 1)? },
        10 => history(message)?,
        11 => Request::Ping,
        13 => {
            let data = data(message, 1)?.unwrap_or(Payload::Binary(Bytes::new()));
            Request::Rpc { method: text(message, 2)?, data }
        }
        14 => Request::Refresh { token: text(message, 1)? },
        15 => match int(message, 3)? {
            0 => Request::SubRefresh { channel: text(message, 1)?, token: text(message, 2)? },
            _ => Request::NotOffered,
        },
        _ => return Err(Fault::NoRequest),
    })
}

/// Finds the last field of that number, which is the one that counts.
fn last(message: Message<'_>, number: u32) -> Result<Option<Value<'_>>, Fault> {
    let mut found = None;
    for field in message {
        let (it, value) = field?;
        if it == number {
            found = Some(value);
        }
    }
    Ok(found)
}

fn text(message: Message<'_>, number: u32) -> Result<String, Fault> {
    last(message, number)?.map_or(Ok(String::new()), Value::text)
}

fn int(message: Message<'_>, number: u32) -> Result<u64, Fault> {
    last(message, number)?.map_or(Ok(0), Value::number)
}

fn data(message: Message<'_>, number: u32) -> Result<Option<Payload>, Fault> {
    last(message, number)?.map(Value::payload).transpose()
}

fn connect(message: Message<'_>, limits: &Limits) -> Result<ConnectRequest, Fault> {
    let mut connect = ConnectRequest::default();
    let mut subs = 0;
    for field in message {
        match field? {
            (1, value) => connect.token = value.text()?,
            (2, value) => connect.data = Some(value.payload()?),
            (3, value) => {
                subs += 1;
                if subs > limits.subs_max {
                    return Err(Fault::Limit("subs"));
                }
                let entry = value.message()?;
                let Some(sub) = last(entry, 2)? else { continue };
                if let Some(position) = recover(sub.message()?)? {
                    connect.subs.push((text(entry, 1)?, position));
                }
            }
            (4, value) => connect.name = value.text()?,
            (5, value) => connect.version = value.text()?,
            _ => {}
        }
    }
    Ok(connect)
}

/// Reads what a `SubscribeRequest` says of recovery.
fn recover(message: Message<'_>) -> Result<Option<StreamPosition>, Fault> {
    let position = StreamPosition { offset: int(message, 7)?, epoch: text(message, 6)? };
    Ok((int(message, 3)? != 0).then_some(position))
}

fn subscribe(message: Message<'_>, limits: &Limits) -> Result<Request, Fault> {
    let mut subscribe = SubscribeRequest { recover: recover(message)?, ..Default::default() };
    for field in message {
        match field? {
            (1, value) => subscribe.channel = value.text()?,
            (2, value) => subscribe.token = value.text()?,
            (8, value) => subscribe.data = Some(value.payload()?),
            (9, value) => subscribe.positioned = value.flag()?,
            (10, value) => subscribe.recoverable = value.flag()?,
            (11, value) => subscribe.join_leave = value.flag()?,
            (12, value) => subscribe.delta = value.text()?,
            (13, value) => {
                let mut nodes = limits.filter_nodes_max;
                subscribe.tf = Some(filter(value.message()?, &mut nodes)?);
            }
            (14, value) => subscribe.flag = value.number()?.cast_signed(),
            (15, value) if value.number()? != 0 => return Ok(Request::NotOffered),
            _ => {}
        }
    }
    Ok(Request::Subscribe(Box::new(subscribe)))
}

/// Reads a filter of at most so many nodes, which bounds how deep it is.
fn filter(message: Message<'_>, nodes: &mut usize) -> Result<FilterNode, Fault> {
    *nodes = nodes.checked_sub(1).ok_or(Fault::Limit("filter nodes"))?;
    let mut node = FilterNode::default();
    for field in message {
        match field? {
            (1, value) => node.op = value.text()?,
            (2, value) => node.key = value.text()?,
            (3, value) => node.cmp = value.text()?,
            (4, value) => node.val = value.text()?,
            (5, value) => node.vals.push(value.text()?),
            (6, value) => node.nodes.push(filter(value.message()?, nodes)?),
            _ => {}
        }
    }
    Ok(node)
}

fn history(message: Message<'_>) -> Result<Request, Fault> {
    let since = match last(message, 8)? {
        Some(value) => {
            let position = value.message()?;
            Some(StreamPosition { offset: int(position, 1)?, epoch: text(position, 2)? })
        }
        None => None,
    };
    Ok(Request::History(HistoryRequest {
        channel: text(message, 1)?,
        // An int32: a negative one came as ten bytes, of which the lowest four count.
        limit: (int(message, 7)? as u32).cast_signed(),
        since,
        reverse: int(message, 9)? != 0,
    }))
}
