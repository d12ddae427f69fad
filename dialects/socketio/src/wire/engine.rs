//! Engine.IO: packets, alone in a message of a WebSocket, or several in the body of a request.

use base64::{
    Engine,
    alphabet::STANDARD as ALPHABET,
    engine::DecodePaddingMode,
    engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD},
};
use bytes::Bytes;

use taiwa_core::{Message, Polled};

use super::Fault;

/// Which revision of the protocol a client speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Revision {
    /// `EIO=3`: clients of Socket.IO 1 and 2.
    V3,
    /// `EIO=4`: clients of Socket.IO 3 and 4.
    V4,
}

/// A packet from the client.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Frame {
    /// It leaves.
    Close,
    /// With what comes back in the pong.
    Ping(Bytes),
    /// It is there.
    Pong,
    /// What the layer above is told.
    Message(Message),
    /// It changes to this transport.
    Upgrade,
    /// Nothing.
    Noop,
}

/// Stands between the packets of a body.
const SEPARATOR: u8 = 0x1e;

/// Some clients leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl Revision {
    /// Reads a message of a WebSocket.
    ///
    /// # Errors
    ///
    /// A fault if it is no packet.
    pub(crate) fn frame(self, message: Message) -> Result<Frame, Fault> {
        match (self, message) {
            (_, Message::Text(text)) => frame(&text),
            (Self::V4, binary @ Message::Binary(_)) => Ok(Frame::Message(binary)),
            (Self::V3, Message::Binary(bytes)) => binary(&bytes),
        }
    }

    /// Reads the body of a request: all of its packets, or none.
    ///
    /// # Errors
    ///
    /// A fault if one of them is none, or if there are more than `packets_max`.
    pub(crate) fn payload(
        self,
        body: &Bytes,
        is_binary: bool,
        packets_max: usize,
    ) -> Result<Vec<Frame>, Fault> {
        match (self, is_binary) {
            (Self::V4, true) => Err(Fault("a body is text")),
            (Self::V3, true) => octets(body, packets_max),
            (Self::V4, false) => separated(body, packets_max),
            (Self::V3, false) => counted(body, packets_max),
        }
    }

    /// Wraps what the layer above says for a WebSocket.
    pub(crate) fn message(self, message: Message) -> Message {
        match message {
            Message::Text(text) => Message::Text([b"4", &text[..]].concat().into()),
            Message::Binary(bytes) => self.wrapped(bytes),
        }
    }

    /// Wraps bytes for a WebSocket.
    pub(crate) fn wrapped(self, bytes: Bytes) -> Message {
        match self {
            Self::V4 => Message::Binary(bytes),
            Self::V3 => Message::Binary([&[4], &bytes[..]].concat().into()),
        }
    }

    /// Returns what writes the answer to a poll out of what would be messages of a WebSocket.
    pub(crate) fn poll(self, takes_binary: bool) -> fn(&[Message]) -> Polled {
        match (self, takes_binary) {
            (Self::V4, _) => write_separated,
            (Self::V3, false) => write_counted,
            (Self::V3, true) => write_octets,
        }
    }
}

fn frame(text: &Bytes) -> Result<Frame, Fault> {
    let (kind, data) = text.split_first().ok_or(Fault("an empty packet"))?;
    Ok(match kind {
        b'1' => Frame::Close,
        b'2' => Frame::Ping(text.slice_ref(data)),
        b'3' => Frame::Pong,
        b'4' => Frame::Message(Message::Text(text.slice_ref(data))),
        b'5' => Frame::Upgrade,
        // What only servers send means nothing.
        b'0' | b'6' => Frame::Noop,
        _ => return Err(Fault("an unknown type of packet")),
    })
}

/// Reads a binary packet of revision 3: its type is a byte.
fn binary(bytes: &Bytes) -> Result<Frame, Fault> {
    match bytes.split_first() {
        Some((4, data)) => Ok(Frame::Message(Message::Binary(bytes.slice_ref(data)))),
        _ => Err(Fault("a binary packet that is no message")),
    }
}

fn decoded(base64: &[u8]) -> Result<Bytes, Fault> {
    BASE64.decode(base64).map(Bytes::from).map_err(|_| Fault("no base64"))
}

/// Reads packets with separators between them.
fn separated(body: &Bytes, packets_max: usize) -> Result<Vec<Frame>, Fault> {
    let mut frames = vec![];
    utf8(body)?;
    for packet in body.split(|it| *it == SEPARATOR) {
        if frames.len() >= packets_max {
            return Err(TOO_MANY);
        }
        frames.push(match packet.split_first() {
            Some((b'b', base64)) => Frame::Message(Message::Binary(decoded(base64)?)),
            _ => frame(&body.slice_ref(packet))?,
        });
    }
    Ok(frames)
}

/// Reads packets each behind its length in UTF-16, as JavaScript counts.
fn counted(body: &Bytes, packets_max: usize) -> Result<Vec<Frame>, Fault> {
    let mut frames = vec![];
    let mut rest = utf8(body)?;
    if rest.is_empty() {
        return Err(Fault("an empty body"));
    }
    while !rest.is_empty() {
        let (length, behind) = rest.split_once(':').ok_or(Fault("a packet without its length"))?;
        let digits = length.len() <= 9 && length.bytes().all(|it| it.is_ascii_digit());
        let units: usize = length.parse().ok().filter(|_| digits).ok_or(Fault("no length"))?;
        let end = end_of(behind, units).ok_or(Fault("a packet shorter than its length"))?;
        let (packet, behind) = behind.split_at(end);
        rest = behind;
        if packet.is_empty() {
            continue;
        }
        if frames.len() >= packets_max {
            return Err(TOO_MANY);
        }
        frames.push(match packet.strip_prefix("b4") {
            Some(base64) => Frame::Message(Message::Binary(decoded(base64.as_bytes())?)),
            None => frame(&body.slice_ref(packet.as_bytes()))?,
        });
    }
    Ok(frames)
}

/// Finds where so many units of UTF-16 end, if they end between two characters.
fn end_of(text: &str, mut units: usize) -> Option<usize> {
    for (at, letter) in text.char_indices() {
        if units == 0 {
            return Some(at);
        }
        units = units.checked_sub(letter.len_utf16())?;
    }
    (units == 0).then_some(text.len())
}

/// Reads packets behind headers in bytes: 0 for text or 1, the digits of the length in bytes, 255.
fn octets(body: &Bytes, packets_max: usize) -> Result<Vec<Frame>, Fault> {
    let mut frames = vec![];
    let mut rest = &body[..];
    while let Some((kind, behind)) = rest.split_first() {
        if frames.len() >= packets_max {
            return Err(TOO_MANY);
        }
        let digits = behind.iter().take(10).take_while(|it| **it <= 9).count();
        let length = behind[..digits].iter().fold(0, |all, it| all * 10 + usize::from(*it));
        let (Some(255), 1..=9) = (behind.get(digits), digits) else {
            return Err(Fault("no length"));
        };
        let behind = &behind[digits + 1..];
        let (packet, behind) =
            behind.split_at_checked(length).ok_or(Fault("a packet shorter than its length"))?;
        rest = behind;
        let packet = body.slice_ref(packet);
        frames.push(match kind {
            0 => {
                utf8(&packet)?;
                frame(&packet)?
            }
            1 => binary(&packet)?,
            _ => return Err(Fault("neither text nor binary")),
        });
    }
    Ok(frames)
}

const TOO_MANY: Fault = Fault("too many packets in a body");

fn utf8(body: &Bytes) -> Result<&str, Fault> {
    std::str::from_utf8(body).map_err(|_| Fault("no UTF-8"))
}

const TEXT: &str = "text/plain; charset=UTF-8";

fn write_separated(messages: &[Message]) -> Polled {
    let mut out = vec![];
    for message in messages {
        if !out.is_empty() {
            out.push(SEPARATOR);
        }
        match message {
            Message::Text(text) => out.extend_from_slice(text),
            Message::Binary(bytes) => {
                out.push(b'b');
                out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
            }
        }
    }
    Polled { content_type: TEXT, body: out.into() }
}

fn write_counted(messages: &[Message]) -> Polled {
    let mut out = vec![];
    for message in messages {
        match message {
            Message::Text(text) => {
                let units = String::from_utf8_lossy(text).encode_utf16().count();
                out.extend_from_slice(format!("{units}:").as_bytes());
                out.extend_from_slice(text);
            }
            Message::Binary(bytes) => {
                let base64 = STANDARD.encode(bytes.get(1..).unwrap_or_default());
                out.extend_from_slice(format!("{}:b4{base64}", base64.len() + 2).as_bytes());
            }
        }
    }
    Polled { content_type: TEXT, body: out.into() }
}

fn write_octets(messages: &[Message]) -> Polled {
    if !messages.iter().any(|it| matches!(it, Message::Binary(_))) {
        return write_counted(messages);
    }
    let mut out = vec![];
    for message in messages {
        let bytes = message.as_bytes();
        out.push(u8::from(matches!(message, Message::Binary(_))));
        out.extend(bytes.len().to_string().bytes().map(|it| it - b'0'));
        out.push(255);
        out.extend_from_slice(bytes);
    }
    Polled { content_type: "application/octet-stream", body: out.into() }
}

#[cfg(test)]
mod tests;
