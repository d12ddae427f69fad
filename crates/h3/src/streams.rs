//! Unidirectional streams (RFC 9114 §6.2): the number that each begins with says what it is.

use std::fmt;

use bytes::{Buf, BufMut, Bytes};

use crate::varint::VarInt;

/// What a unidirectional stream is (RFC 9114 §11.2.4). Unknown ones survive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamType(VarInt);

impl StreamType {
    /// The control stream (RFC 9114 §6.2.1): each endpoint has one, and it stays open.
    pub const CONTROL: Self = Self(VarInt::from_u32(0x00));
    /// A push stream (RFC 9114 §6.2.2).
    pub const PUSH: Self = Self(VarInt::from_u32(0x01));
    /// QPACK's encoder stream (RFC 9204 §4.2).
    pub const QPACK_ENCODER: Self = Self(VarInt::from_u32(0x02));
    /// QPACK's decoder stream (RFC 9204 §4.2).
    pub const QPACK_DECODER: Self = Self(VarInt::from_u32(0x03));
    /// A stream of a WebTransport session (draft-ietf-webtrans-http3 §4.2).
    pub const WEBTRANSPORT: Self = Self(VarInt::from_u32(0x54));

    /// Takes any type; `None` if it is over 2^62 - 1.
    pub const fn new(kind: u64) -> Option<Self> {
        match VarInt::new(kind) {
            Some(kind) => Some(Self(kind)),
            None => None,
        }
    }

    /// Returns the number.
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    /// Writes the first bytes of such a stream.
    pub fn write(self, out: &mut impl BufMut) {
        self.0.write(out);
    }
}

impl fmt::Debug for StreamType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::CONTROL => "control",
            Self::PUSH => "push",
            Self::QPACK_ENCODER => "QPACK encoder",
            Self::QPACK_DECODER => "QPACK decoder",
            Self::WEBTRANSPORT => "WebTransport",
            _ => return write!(f, "{:#x}", self.get()),
        })
    }
}

/// Reads numbers that may come byte by byte: at the front of a stream, its type, and behind it perhaps a session.
///
/// ```
/// use bytes::Bytes;
/// use taiwa_h3::streams::{NumberReader, StreamType};
///
/// let mut reader = NumberReader::default();
/// assert_eq!(reader.next(&mut Bytes::from_static(b"\x40")), None);
/// let mut bytes = Bytes::from_static(b"\x54rest");
/// let kind = reader.next(&mut bytes).map(StreamType::from);
/// assert_eq!(kind, Some(StreamType::WEBTRANSPORT));
/// assert_eq!(bytes, "rest");
/// ```
#[derive(Debug, Default)]
pub struct NumberReader {
    bytes: [u8; VarInt::LEN_MAX],
    len: usize,
}

impl NumberReader {
    /// Takes the next number off the front of `input`; `None` when it needs more, and then `input` is empty.
    pub fn next(&mut self, input: &mut Bytes) -> Option<VarInt> {
        while input.has_remaining() {
            self.bytes[self.len] = input.get_u8();
            self.len += 1;
            if let Some((number, _)) = VarInt::read(&self.bytes[..self.len]) {
                self.len = 0;
                return Some(number);
            }
        }
        None
    }
}

impl From<VarInt> for StreamType {
    fn from(kind: VarInt) -> Self {
        Self(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_streams_are_written_and_read() {
        for kind in [StreamType::CONTROL, StreamType::WEBTRANSPORT, StreamType(VarInt::MAX)] {
            let mut out = vec![];
            kind.write(&mut out);
            let mut reader = NumberReader::default();
            let (last, first) = out.split_last().expect("one byte at least");
            for byte in first {
                assert_eq!(reader.next(&mut Bytes::copy_from_slice(&[*byte])), None);
            }
            let mut end = Bytes::copy_from_slice(&[*last, 0x25]);
            assert_eq!(reader.next(&mut end).map(StreamType::from), Some(kind));
            assert_eq!(reader.next(&mut end), Some(VarInt::from_u32(0x25)), "the next number");
        }
    }
}
