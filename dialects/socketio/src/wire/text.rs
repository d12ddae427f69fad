//! Socket.IO's own parser: a type, what belongs to it, and a JSON text.

use bytes::Bytes;
use serde_json::value::RawValue;

use super::{Args, Fault, args::Count, engine::Revision, packet::Said, quoted};

/// A packet before its attachments have come.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) namespace: Box<str>,
    pub(crate) said: Said,
    /// How many are to come.
    pub(crate) attachments: usize,
}

/// Events that mean something else to clients and servers of Socket.IO: no packet may name them.
pub(crate) const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// A number of JavaScript holds all numbers with so many digits.
const DIGITS_MAX: usize = 15;

/// Reads a packet: `<type>[<attachments>-][<namespace>,][<number>][<JSON>]`.
///
/// # Errors
///
/// A fault if it is none.
pub(crate) fn read(text: &Bytes) -> Result<Header, Fault> {
    let whole = std::str::from_utf8(text).map_err(|_| Fault("no UTF-8"))?;
    let mut letters = whole.chars();
    let kind = letters.next().ok_or(Fault("an empty packet"))?;
    let mut rest = letters.as_str();
    let mut attachments = 0;
    if matches!(kind, '5' | '6') {
        let (digits, behind) = rest.split_once('-').ok_or(Fault("no number of attachments"))?;
        attachments = number(digits).ok_or(Fault("no number of attachments"))? as usize;
        rest = behind;
    }
    let mut namespace = "/";
    if rest.starts_with('/') {
        (namespace, rest) = rest.split_once(',').unwrap_or((rest, ""));
    }
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, json) = rest.split_at(digits);
    let id = match digits {
        "" => None,
        _ => Some(number(digits).ok_or(Fault("too large a number"))?),
    };
    let json = text.slice_ref(json.as_bytes());
    let said = match kind {
        '0' => Said::Connect(object(json)?),
        '1' if json.is_empty() => Said::Disconnect,
        '2' | '5' => event(id, &json)?,
        '3' | '6' => ack(id, &json)?,
        _ => return Err(Fault("no such packet")),
    };
    Ok(Header { namespace: namespace.into(), said, attachments })
}

fn number(digits: &str) -> Option<u64> {
    let sound = digits.len() <= DIGITS_MAX && digits.bytes().all(|it| it.is_ascii_digit());
    digits.parse().ok().filter(|_| sound)
}

fn object(json: Bytes) -> Result<Option<Bytes>, Fault> {
    if json.is_empty() {
        return Ok(None);
    }
    let sound = json.trim_ascii_start().starts_with(b"{")
        && serde_json::from_slice::<&RawValue>(&json).is_ok();
    if sound { Ok(Some(json)) } else { Err(Fault("no object in a CONNECT packet")) }
}

fn event(id: Option<u64>, json: &Bytes) -> Result<Said, Fault> {
    let elements = array(json)?;
    // Socket.IO 5: "The payload is mandatory and MUST be a non-empty array. If that's not the case, then the receiver
    // MUST close the connection."
    let (name, args) = elements.split_first().ok_or(Fault("an event without a name"))?;
    let name = name.get();
    match name.as_bytes().first() {
        Some(b'"') => {
            let name: String =
                serde_json::from_str(name).map_err(|_| Fault("an event without a name"))?;
            if RESERVED.contains(&&*name) {
                return Err(Fault("a reserved name of an event"));
            }
        }
        Some(b'0'..=b'9' | b'-') => {}
        _ => return Err(Fault("an event without a name")),
    }
    let name = json.slice_ref(name.as_bytes());
    let (count, args) = between(json, args);
    Ok(Said::Event { id, name, count, args })
}

fn ack(id: Option<u64>, json: &Bytes) -> Result<Said, Fault> {
    let elements = array(json)?;
    let id = id.ok_or(Fault("an answer to nothing"))?;
    let (count, args) = between(json, &elements);
    Ok(Said::Ack { id, count, args })
}

fn array(json: &Bytes) -> Result<Vec<&RawValue>, Fault> {
    serde_json::from_slice(json).map_err(|_| Fault("no array"))
}

/// Returns elements of an array, as they stand in it side by side.
fn between(json: &Bytes, elements: &[&RawValue]) -> (Count, Args) {
    let (Some(first), Some(last)) = (elements.first(), elements.last()) else {
        return (Count::None, Args::json(Bytes::new()));
    };
    let count = if elements.len() == 1 { Count::One } else { Count::Several };
    let start = first.get().as_ptr().addr() - json.as_ptr().addr();
    let end = last.get().as_ptr().addr() - json.as_ptr().addr() + last.get().len();
    (count, Args::json(json.slice(start..end)))
}

/// Writes the type of a packet, with the number of its attachments if it has any.
pub(crate) fn kind(out: &mut String, plain: char, binary: char, args: &Args) {
    match args.attachments.len() {
        0 => out.push(plain),
        many => *out += &format!("{binary}{many}-"),
    }
}

/// Writes why somebody may not come in.
pub(crate) fn error(out: &mut String, revision: Revision, message: &str, details: Option<&Bytes>) {
    let details = details.and_then(|it| std::str::from_utf8(it).ok());
    match (revision, details) {
        (Revision::V3, Some(details)) => *out += details,
        (Revision::V3, None) => *out += &quoted(message),
        (Revision::V4, details) => {
            *out += &format!("{{\"message\":{}", quoted(message));
            *out += &details.map(|it| format!(",\"data\":{it}")).unwrap_or_default();
            out.push('}');
        }
    }
}

#[cfg(test)]
mod tests;
