//! Messages of Phoenix' serializers, read and written; and of its long poll.
//!
//! The protocol is what the framework's own server and its npm package do: `V2.JSONSerializer`, `V1.JSONSerializer` and
//! the transport `LongPoll`.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{BufMut, Bytes, BytesMut};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use taiwa_core::{Message, Payload, Position};

pub(crate) mod poll;
mod payload;

pub(crate) use payload::{json_text, quoted};

/// What a client joins, leaves and pushes with, and the server answers with.
pub(crate) const JOIN: &str = "phx_join";
pub(crate) const LEAVE: &str = "phx_leave";
pub(crate) const REPLY: &str = "phx_reply";
pub(crate) const CLOSE: &str = "phx_close";
pub(crate) const ERROR: &str = "phx_error";

/// Lengths in binary frames are bytes.
const FIELD_MAX: usize = 255;

const PUSH_KIND: u8 = 0;
const REPLY_KIND: u8 = 1;
const BROADCAST_KIND: u8 = 2;

/// How a client writes and reads; it says so once, by `vsn`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Serializer {
    /// Objects with the names `topic`, `event`, `payload`, `ref`.
    V1,
    /// Lists of `join_ref`, `ref`, topic, event, payload; and binary frames.
    V2,
}

impl Serializer {
    /// Reads the version that a client names; none is the first (`Phoenix.Socket.__connect__`: `params["vsn"] || "1.0.0"`). The
    /// framework takes what fits `~> 1.0.0` and `~> 2.0.0`.
    pub(crate) fn of(vsn: Option<&str>) -> Option<Self> {
        let (serializer, patch) = match vsn {
            None => return Some(Self::V1),
            Some(vsn) => match vsn.strip_prefix("1.0.") {
                Some(patch) => (Self::V1, patch),
                None => (Self::V2, vsn.strip_prefix("2.0.")?),
            },
        };
        let digits = !patch.is_empty() && patch.bytes().all(|it| it.is_ascii_digit());
        digits.then_some(serializer)
    }
}

/// Something by which a client recognises an answer, or a join: kept as the JSON text that it wrote, to be given back as
/// it came.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Ref(Option<Box<str>>);

impl Ref {
    pub(crate) const NONE: Self = Self(None);

    fn read(raw: Option<&RawValue>) -> Result<Self, Fault> {
        let text = raw.map(RawValue::get).filter(|it| *it != "null");
        match text {
            None => Ok(Self::NONE),
            Some(it) if it.len() > FIELD_MAX => Err(Fault::Malformed),
            Some(it) if it.starts_with(['{', '[', 't', 'f']) => Err(Fault::Malformed),
            Some(it) => Ok(Self(Some(it.into()))),
        }
    }

    fn of_text(text: &str) -> Self {
        match text {
            "" => Self::NONE,
            text => Self(Some(quoted(text).into())),
        }
    }

    /// Tells whether the client gave none.
    pub(crate) fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Returns it as JSON.
    pub(crate) fn json(&self) -> &str {
        self.0.as_deref().unwrap_or("null")
    }

    /// Returns it as it stands in binary frames.
    fn bytes(&self) -> Vec<u8> {
        match self.0.as_deref() {
            None => vec![],
            Some(text) => match serde_json::from_str::<String>(text) {
                Ok(inside) => inside.into_bytes(),
                Err(_) => text.as_bytes().to_vec(),
            },
        }
    }
}

/// The client wrote what can't be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    Malformed,
}

/// One thing that a client says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Incoming {
    pub(crate) join_ref: Ref,
    pub(crate) reference: Ref,
    pub(crate) topic: Box<str>,
    pub(crate) event: Box<str>,
    pub(crate) payload: Payload,
}

impl Incoming {
    /// Returns about how many bytes it takes.
    pub(crate) fn weight(&self) -> usize {
        size_of::<Self>() + self.topic.len() + self.event.len() + self.payload.len()
    }
}

/// Reads a message.
pub(crate) fn read(serializer: Serializer, message: &Message) -> Result<Incoming, Fault> {
    match (serializer, message) {
        (Serializer::V2, Message::Text(text)) => list(text),
        (Serializer::V2, Message::Binary(bytes)) => binary(bytes),
        // The first serializer knows text alone, whatever the kind of the message.
        (Serializer::V1, it) => object(it.as_bytes()),
    }
}

struct List<'a> {
    join_ref: Option<&'a RawValue>,
    reference: Option<&'a RawValue>,
    topic: String,
    event: String,
    payload: &'a RawValue,
}

impl<'de> Deserialize<'de> for List<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Five;

        impl<'de> Visitor<'de> for Five {
            type Value = List<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of five")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<List<'de>, A::Error> {
                let short = || serde::de::Error::invalid_length(0, &self);
                let read = List {
                    join_ref: list.next_element()?.ok_or_else(short)?,
                    reference: list.next_element()?.ok_or_else(short)?,
                    topic: list.next_element()?.ok_or_else(short)?,
                    event: list.next_element()?.ok_or_else(short)?,
                    payload: list.next_element()?.ok_or_else(short)?,
                };
                // `[join_ref, ref, topic, event, payload | _]`: more is not looked at.
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(read)
            }
        }

        from.deserialize_seq(Five)
    }
}

fn list(frame: &Bytes) -> Result<Incoming, Fault> {
    let text = std::str::from_utf8(frame).map_err(|_| Fault::Malformed)?;
    let read: List<'_> = serde_json::from_str(text).map_err(|_| Fault::Malformed)?;
    Ok(Incoming {
        join_ref: Ref::read(read.join_ref)?,
        reference: Ref::read(read.reference)?,
        topic: read.topic.into(),
        event: read.event.into(),
        payload: Payload::Json(frame.slice_ref(read.payload.get().as_bytes())),
    })
}

#[derive(Deserialize)]
struct Object<'a> {
    #[serde(borrow, default)]
    join_ref: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "ref")]
    reference: Option<&'a RawValue>,
    topic: String,
    event: String,
    #[serde(borrow)]
    payload: &'a RawValue,
}

fn object(frame: &Bytes) -> Result<Incoming, Fault> {
    let text = std::str::from_utf8(frame).map_err(|_| Fault::Malformed)?;
    // A list would be read in the order of the names.
    if !text.trim_start().starts_with('{') {
        return Err(Fault::Malformed);
    }
    let read: Object<'_> = serde_json::from_str(text).map_err(|_| Fault::Malformed)?;
    Ok(Incoming {
        join_ref: Ref::read(read.join_ref)?,
        reference: Ref::read(read.reference)?,
        topic: read.topic.into(),
        event: read.event.into(),
        payload: Payload::Json(frame.slice_ref(read.payload.get().as_bytes())),
    })
}

/// Reads a push: its kind, four lengths, what they measure, and the payload.
fn binary(frame: &Bytes) -> Result<Incoming, Fault> {
    let Some((&[PUSH_KIND, a, b, c, d], mut rest)) = frame.split_first_chunk() else {
        return Err(Fault::Malformed);
    };
    let mut field = |len: u8| {
        let (field, behind) = rest.split_at_checked(len.into()).ok_or(Fault::Malformed)?;
        rest = behind;
        std::str::from_utf8(field).map_err(|_| Fault::Malformed)
    };
    let (join_ref, reference, topic, event) = (field(a)?, field(b)?, field(c)?, field(d)?);
    Ok(Incoming {
        join_ref: Ref::of_text(join_ref),
        reference: Ref::of_text(reference),
        topic: topic.into(),
        event: event.into(),
        payload: Payload::Binary(frame.slice_ref(rest)),
    })
}

/// How things leave for a client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Outlet {
    pub(crate) serializer: Serializer,
    /// Whether binary frames reach it: a long poll has text alone.
    pub(crate) is_binary: bool,
    /// Whether it is told where each publication lies.
    pub(crate) has_positions: bool,
}

/// Something for a client, before its payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'a> {
    pub(crate) join_ref: &'a Ref,
    /// A JSON text.
    pub(crate) reference: &'a str,
    pub(crate) topic: &'a str,
    pub(crate) event: &'a str,
}

impl Outlet {
    /// Writes a message whose payload is a JSON text.
    pub(crate) fn text(self, head: Head<'_>, payload: &[u8]) -> Message {
        let Head { join_ref, reference, topic, event } = head;
        let (topic, event) = (quoted(topic), quoted(event));
        let (before, behind) = match self.serializer {
            Serializer::V2 => {
                (format!("[{},{reference},{topic},{event},", join_ref.json()), "]".to_owned())
            }
            Serializer::V1 => (
                format!("{{\"topic\":{topic},\"event\":{event},\"payload\":"),
                format!(",\"ref\":{reference}}}"),
            ),
        };
        let mut out = Vec::with_capacity(before.len() + payload.len() + behind.len());
        out.extend_from_slice(before.as_bytes());
        out.extend_from_slice(payload);
        out.extend_from_slice(behind.as_bytes());
        Message::Text(out.into())
    }

    /// Writes what is said to all.
    pub(crate) fn broadcast(
        self,
        reference: &str,
        topic: &str,
        event: &str,
        payload: &Payload,
    ) -> Message {
        if let (true, Payload::Binary(bytes)) = (self.is_binary, payload)
            && let Some(frame) =
                framed(BROADCAST_KIND, &[topic.as_bytes(), event.as_bytes()], bytes)
        {
            return frame;
        }
        let head = Head { join_ref: &Ref::NONE, reference, topic, event };
        self.text(head, &json_text(payload))
    }

    /// Writes what is said to one client of a topic.
    pub(crate) fn push(self, head: Head<'_>, payload: &Payload) -> Message {
        if let (true, Payload::Binary(bytes)) = (self.is_binary, payload)
            && let fields = [&head.join_ref.bytes(), head.topic.as_bytes(), head.event.as_bytes()]
            && let Some(frame) = framed(PUSH_KIND, &fields, bytes)
        {
            return frame;
        }
        self.text(head, &json_text(payload))
    }

    /// Writes an answer.
    pub(crate) fn reply(
        self,
        join_ref: &Ref,
        reference: &Ref,
        topic: &str,
        status: Status,
        response: &Payload,
    ) -> Message {
        if let (true, Payload::Binary(bytes)) = (self.is_binary, response)
            && let fields = [
                &join_ref.bytes()[..],
                &reference.bytes(),
                topic.as_bytes(),
                status.as_str().as_bytes(),
            ]
            && let Some(frame) = framed(REPLY_KIND, &fields, bytes)
        {
            return frame;
        }
        let head = Head { join_ref, reference: reference.json(), topic, event: REPLY };
        let mut payload =
            format!("{{\"status\":\"{}\",\"response\":", status.as_str()).into_bytes();
        payload.extend_from_slice(&json_text(response));
        payload.push(b'}');
        self.text(head, &payload)
    }
}

/// How a request went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Status {
    Ok,
    Error,
}

impl Status {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
        }
    }
}

/// Writes a binary frame; `None` if one of its fields is too long for one.
fn framed(kind: u8, fields: &[&[u8]], payload: &[u8]) -> Option<Message> {
    let len = fields.iter().map(|it| it.len() + 1).sum::<usize>();
    let mut out = BytesMut::with_capacity(1 + len + payload.len());
    out.put_u8(kind);
    for field in fields {
        out.put_u8(u8::try_from(field.len()).ok()?);
    }
    for field in fields {
        out.extend_from_slice(field);
    }
    out.extend_from_slice(payload);
    Some(Message::Binary(out.freeze()))
}

/// Writes where a channel stands, as clients bring it back: `epoch-offset`, the epoch in hexadecimal.
pub(crate) fn place(at: Position) -> String {
    format!("{:x}-{}", at.epoch, at.offset)
}

/// Reads that. What is none of ours stands where no history is: no epoch is 0.
pub(crate) fn position(text: &str) -> Position {
    const UNKNOWN: Position = Position { epoch: 0, offset: 0 };
    let digits = |it: &str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_hexdigit());
    let Some((epoch, offset)) = text.split_once('-') else { return UNKNOWN };
    if !digits(epoch) || !offset.bytes().all(|it| it.is_ascii_digit()) {
        return UNKNOWN;
    }
    match (u64::from_str_radix(epoch, 16), offset.parse()) {
        (Ok(epoch), Ok(offset)) if offset < 1 << 53 => Position { epoch, offset },
        _ => UNKNOWN,
    }
}

/// What a client says beside the payload of a join, in it: a token, and where it stood.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Wish {
    #[serde(deserialize_with = "lenient")]
    pub(crate) token: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(crate) since: Option<String>,
}

/// A name that means something else to the app is none of ours.
fn lenient<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let raw = <&RawValue>::deserialize(from)?;
    Ok(serde_json::from_str(raw.get()).ok())
}

/// Reads that out of the payload of a join; another payload than an object says nothing.
pub(crate) fn wish(payload: &Payload) -> Wish {
    match payload {
        Payload::Json(text) if text.starts_with(b"{") => {
            serde_json::from_slice(text).unwrap_or_default()
        }
        _ => Wish::default(),
    }
}

/// Reads a token out of the subprotocols that a client offers: `base64url.bearer.phx.` and the token in base64 without padding,
/// of either alphabet.
pub(crate) fn bearer(subprotocols: &str) -> Option<String> {
    const PREFIX: &str = "base64url.bearer.phx.";
    let token = subprotocols.split(',').find_map(|it| it.trim().strip_prefix(PREFIX))?;
    let token: String = token
        .trim_end_matches('=')
        .chars()
        .map(|it| match it {
            '-' => '+',
            '_' => '/',
            other => other,
        })
        .collect();
    let bytes = base64::engine::general_purpose::STANDARD_NO_PAD.decode(token).ok()?;
    String::from_utf8(bytes).ok()
}

/// Writes bytes as a JSON text of their own, where no binary frame can go.
pub(crate) fn envelope(bytes: &[u8]) -> Vec<u8> {
    format!("{{\"base64\":\"{}\"}}", STANDARD.encode(bytes)).into_bytes()
}

#[cfg(test)]
mod tests;
