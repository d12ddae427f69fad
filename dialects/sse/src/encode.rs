//! What is said in a channel, as an event of an `EventSource` or as a line of JSON.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use taiwa_core::{Channel, Encoding, Message, Messages, Mixed, Payload, Polled, Publication, Said};

use crate::cursor;

/// How a client wants to be written to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Shape {
    /// An event whose data is the payload.
    Raw,
    /// An event whose data is a JSON object, in which the channel stands, too.
    Object,
    /// A line with such an object.
    Line,
}

/// Names of events that begin so are ours; a publication of such a name arrives without it.
const RESERVED: &str = "taiwa:";

static RAW: Encoding = Encoding { name: "sse", encode: |it| numbered(it, Shape::Raw) };
static OBJECT: Encoding = Encoding { name: "sse-json", encode: |it| numbered(it, Shape::Object) };
static LINE: Encoding = Encoding { name: "lines", encode: |it| numbered(it, Shape::Line) };
static RAW_ALONE: Encoding = Encoding { name: "sse-alone", encode: |it| alone(it, Shape::Raw) };
static OBJECT_ALONE: Encoding =
    Encoding { name: "sse-json-alone", encode: |it| alone(it, Shape::Object) };
static LINE_ALONE: Encoding = Encoding { name: "lines-alone", encode: |it| alone(it, Shape::Line) };

impl Shape {
    /// Returns how the one channel of a client is written, with its position as identifier.
    pub(crate) fn numbered(self) -> &'static Encoding {
        match self {
            Self::Raw => &RAW,
            Self::Object => &OBJECT,
            Self::Line => &LINE,
        }
    }

    /// Returns how channels are written that are no part of the cursor, without identifier.
    pub(crate) fn alone(self) -> &'static Encoding {
        match self {
            Self::Raw => &RAW_ALONE,
            Self::Object => &OBJECT_ALONE,
            Self::Line => &LINE_ALONE,
        }
    }

    /// Returns how a poll is answered: its messages stand one behind the other.
    pub(crate) fn poll(self) -> fn(&[Message]) -> Polled {
        match self {
            Self::Raw | Self::Object => |said| polled(Self::Raw, said),
            Self::Line => |said| polled(Self::Line, said),
        }
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Raw | Self::Object => "text/event-stream",
            Self::Line => "application/x-ndjson",
        }
    }

    /// Returns what says that there is nothing to say.
    pub(crate) fn heartbeat(self) -> Message {
        Message::Text(Bytes::from_static(if self == Self::Line { b"{}\n" } else { b":\n\n" }))
    }
}

fn numbered(said: &Said<'_>, shape: Shape) -> Messages {
    let Said::Publication(it) = said else { return Messages::None };
    publication(shape, it.position.map(cursor::id).as_deref(), it).into()
}

fn alone(said: &Said<'_>, shape: Shape) -> Messages {
    let Said::Publication(it) = said else { return Messages::None };
    publication(shape, None, it).into()
}

fn polled(shape: Shape, said: &[Message]) -> Polled {
    let body = said.iter().map(|it| &it.as_bytes()[..]).collect::<Vec<_>>().concat().into();
    Polled { content_type: shape.content_type(), body }
}

/// Writes a publication with the identifier that the client has once it has read it.
pub(crate) fn publication(shape: Shape, id: Option<&str>, it: &Publication) -> Message {
    written(shape, id, Some(&it.channel), it.event.as_deref(), &it.payload)
}

/// Writes what the app says to this client.
pub(crate) fn told(shape: Shape, payload: &Payload) -> Message {
    written(shape, None, None, None, payload)
}

/// Writes where the client stands, in an event for which nobody needs to listen, and when it is to come back.
pub(crate) fn place(shape: Shape, retry: Option<Duration>, id: Option<&str>) -> Option<Message> {
    let retry = retry.map(|it| format!("retry: {}\n", it.as_millis())).unwrap_or_default();
    let text = match (shape, id) {
        (Shape::Line, id) => format!("{{\"id\":{}}}\n", quoted(id?)),
        // Browsers would take the identifier without data, too (WHATWG HTML §9.2.6); npm's `eventsource` would not.
        (_, Some(id)) => format!("{retry}id: {id}\nevent: {RESERVED}here\ndata: {{}}\n\n"),
        (_, None) if retry.is_empty() => return None,
        (_, None) => retry + "\n",
    };
    Some(Message::Text(text.into()))
}

/// Writes something that the server itself says: an event, or a line in whose object it has a name of its own.
pub(crate) fn notice(shape: Shape, name: &str, retry: Option<Duration>, object: &str) -> Message {
    let text = match shape {
        Shape::Line => format!("{{\"{name}\":{object}}}\n"),
        _ => {
            let retry = retry.map(|it| format!("retry: {}\n", it.as_millis())).unwrap_or_default();
            format!("{retry}event: {RESERVED}{name}\ndata: {object}\n\n")
        }
    };
    Message::Text(text.into())
}

fn written(
    shape: Shape,
    id: Option<&str>,
    channel: Option<&Channel>,
    event: Option<&str>,
    payload: &Payload,
) -> Message {
    let event = event.filter(|it| !it.starts_with(RESERVED));
    let mut out = Vec::with_capacity(payload.len() + 96);
    if shape == Shape::Line {
        object(&mut out, id, channel, event, payload);
        out.push(b'\n');
        return Message::Text(out.into());
    }
    if let Some(id) = id {
        out.extend_from_slice(format!("id: {id}\n").as_bytes());
    }
    if shape == Shape::Object {
        out.extend_from_slice(b"data: ");
        object(&mut out, None, channel, event, payload);
        out.extend_from_slice(b"\n\n");
        return Message::Text(out.into());
    }
    raw(&mut out, event, payload);
    Message::Text(out.into())
}

/// Writes name and data of an event. Binary is base64 under a name that says so.
fn raw(out: &mut Vec<u8>, event: Option<&str>, payload: &Payload) {
    let in_base64 = matches!(payload, Payload::Binary(_));
    let event = event.map(|it| it.replace(['\r', '\n'], " ")).unwrap_or_default();
    let name = match (event.as_str(), in_base64) {
        ("", false) => None,
        ("", true) => Some("base64".to_owned()),
        (_, false) => Some(event),
        (_, true) => Some(format!("{event};base64")),
    };
    if let Some(name) = name {
        out.extend_from_slice(format!("event: {name}\n").as_bytes());
    }
    match payload {
        Payload::Json(bytes) | Payload::Text(bytes) => lines(out, bytes),
        Payload::Binary(bytes) => lines(out, STANDARD.encode(bytes).as_bytes()),
        Payload::Mixed(mixed) => lines(out, &in_line(mixed)),
        // What is not known yet arrives empty.
        _ => lines(out, b""),
    }
    out.push(b'\n');
}

/// Writes a text as lines of data. WHATWG HTML §9.2.5: a line ends with CR LF, LF, or CR, and the client puts them together
/// with LF.
fn lines(out: &mut Vec<u8>, mut text: &[u8]) {
    loop {
        let end = text.iter().position(|it| matches!(it, b'\r' | b'\n'));
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(&text[..end.unwrap_or(text.len())]);
        out.push(b'\n');
        let Some(end) = end else { return };
        let width = if text[end..].starts_with(b"\r\n") { 2 } else { 1 };
        text = &text[end + width..];
    }
}

/// Writes a publication as one JSON object on one line.
fn object(
    out: &mut Vec<u8>,
    id: Option<&str>,
    channel: Option<&Channel>,
    event: Option<&str>,
    payload: &Payload,
) {
    out.push(b'{');
    for (name, value) in [("channel", channel.map(Channel::as_str)), ("id", id), ("event", event)] {
        if let Some(value) = value {
            out.extend_from_slice(format!("\"{name}\":{},", quoted(value)).as_bytes());
        }
    }
    let (name, value) = match payload {
        Payload::Json(bytes) => ("data", on_one_line(bytes)),
        Payload::Text(bytes) => ("data", quoted(&String::from_utf8_lossy(bytes)).into()),
        Payload::Binary(bytes) => ("data_base64", quoted(&STANDARD.encode(bytes)).into()),
        Payload::Mixed(mixed) => ("data", on_one_line(&in_line(mixed).into())),
        // What is not known yet arrives as nothing.
        _ => ("data", Bytes::from_static(b"null")),
    };
    out.extend_from_slice(format!("\"{name}\":").as_bytes());
    out.extend_from_slice(&value);
    out.push(b'}');
}

/// RFC 8259 §2, §7: a line break in a JSON text is white space, since in strings it is escaped.
fn on_one_line(json: &Bytes) -> Bytes {
    let breaks = |it: &u8| matches!(it, b'\r' | b'\n');
    if !json.iter().any(breaks) {
        return json.clone();
    }
    json.iter().map(|it| if breaks(it) { b' ' } else { *it }).collect()
}

/// Writes a JSON string.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("every text is a JSON string")
}

/// Writes JSON with its attachments in it, as strings in base64 (RFC 4648 §4).
fn in_line(mixed: &Mixed) -> Vec<u8> {
    let mut text = Vec::new();
    for (i, piece) in mixed.pieces.iter().enumerate() {
        text.extend_from_slice(piece);
        if let Some(bytes) = mixed.attachments.get(i) {
            text.extend_from_slice(quoted(&STANDARD.encode(bytes)).as_bytes());
        }
    }
    text
}
