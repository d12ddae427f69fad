//! Engine.IO 4.1: packets on a stream of WebTransport, each behind its length.

use bytes::{Buf, BufMut, BytesMut};
use taiwa_core::{Addressee, Framing, Message, Unframed};

use crate::http::{BAD_REQUEST, SESSION_UNKNOWN};

/// The bit of a header that says binary; the others are a length, or how a length is written.
const BINARY: u8 = 0x80;
/// Behind it stands a length of two bytes.
const LENGTH_16: u8 = 126;
/// Behind it stands a length of eight bytes.
const LENGTH_64: u8 = 127;
/// No bytes, in base64.
const EMPTY: &[u8] = b"b";

/// How packets lie on a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Framed {
    /// How many bytes a packet may have.
    pub(crate) payload_bytes_max: usize,
}

impl Framing for Framed {
    fn read(
        &self,
        arrived: &mut BytesMut,
        _: usize,
        bytes_max: usize,
    ) -> Result<Option<Message>, Unframed> {
        let Some((first, rest)) = arrived.split_first() else { return Ok(None) };
        let (header_bytes, length) = match (first & !BINARY, rest) {
            (LENGTH_16, [a, b, ..]) => (3, u64::from(u16::from_be_bytes([*a, *b]))),
            (LENGTH_64, [a, b, c, d, e, f, g, h, ..]) => {
                (9, u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]))
            }
            (LENGTH_16 | LENGTH_64, _) => return Ok(None),
            (length, _) => (1, u64::from(length)),
        };
        let is_binary = first & BINARY != 0;
        let bytes_max = bytes_max.min(self.payload_bytes_max);
        let length = usize::try_from(length).ok().filter(|it| *it <= bytes_max);
        let length = length.ok_or(Unframed::TOO_LONG)?;
        if arrived.len() - header_bytes < length {
            return Ok(None);
        }
        arrived.advance(header_bytes);
        let payload = arrived.split_to(length).freeze();
        if is_binary {
            return Ok(Some(Message::Binary(payload)));
        }
        match std::str::from_utf8(&payload) {
            Ok(_) => Ok(Some(Message::Text(payload))),
            Err(_) => Err(Unframed::NO_TEXT),
        }
    }

    fn write(&self, message: &Message, out: &mut BytesMut) {
        let (kind, payload) = match message {
            // The published parser takes a frame without a payload for an error: no bytes go in base64, as in a poll.
            Message::Binary(payload) if payload.is_empty() => (0, EMPTY),
            Message::Text(payload) => (0, &payload[..]),
            Message::Binary(payload) => (BINARY, &payload[..]),
        };
        match payload.len() {
            length @ ..126 => out.put_u8(kind | length as u8),
            length @ ..0x1_0000 => {
                out.put_u8(kind | LENGTH_16);
                out.put_u16(length as u16);
            }
            length => {
                out.put_u8(kind | LENGTH_64);
                out.put_u64(length as u64);
            }
        }
        out.extend_from_slice(payload);
    }
}

/// Tells for which conversation a session is, by the first packet of its stream.
pub(crate) fn addressee(first: &Message) -> Addressee {
    #[derive(serde::Deserialize)]
    struct Named {
        sid: Box<str>,
    }
    let Message::Text(text) = first else { return NOT_OPENED };
    match text.split_first() {
        Some((b'0', [])) => Addressee::New,
        Some((b'0', named)) => match serde_json::from_slice(named) {
            Ok(Named { sid }) => Addressee::Known(sid),
            Err(_) => Addressee::Nobody(400, SESSION_UNKNOWN),
        },
        _ => NOT_OPENED,
    }
}

const NOT_OPENED: Addressee = Addressee::Nobody(400, BAD_REQUEST);

#[cfg(test)]
mod tests;
