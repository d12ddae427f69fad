//! Frames of HTTP/3 (RFC 9114 §7): their types, and a [`Reader`] that cuts a stream into them.

use std::fmt;

use bytes::{Buf, BufMut, Bytes};

use crate::{
    error::{Code, Fault},
    varint::VarInt,
};

/// The type of a frame (RFC 9114 §11.2.1). Unknown ones survive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameType(VarInt);

impl FrameType {
    /// DATA (RFC 9114 §7.2.1): bytes of a message's content.
    pub const DATA: Self = Self(VarInt::from_u32(0x00));
    /// HEADERS (RFC 9114 §7.2.2): a field section.
    pub const HEADERS: Self = Self(VarInt::from_u32(0x01));
    /// CANCEL_PUSH (RFC 9114 §7.2.3).
    pub const CANCEL_PUSH: Self = Self(VarInt::from_u32(0x03));
    /// SETTINGS (RFC 9114 §7.2.4).
    pub const SETTINGS: Self = Self(VarInt::from_u32(0x04));
    /// PUSH_PROMISE (RFC 9114 §7.2.5).
    pub const PUSH_PROMISE: Self = Self(VarInt::from_u32(0x05));
    /// GOAWAY (RFC 9114 §7.2.6).
    pub const GOAWAY: Self = Self(VarInt::from_u32(0x07));
    /// MAX_PUSH_ID (RFC 9114 §7.2.7).
    pub const MAX_PUSH_ID: Self = Self(VarInt::from_u32(0x0d));
    /// WT_STREAM: not a frame but the first bytes of a WebTransport stream (draft-ietf-webtrans-http3 §4.3); no
    /// length follows, but the identifier of the session.
    pub const WT_STREAM: Self = Self(VarInt::from_u32(0x41));
    /// PRIORITY_UPDATE for a request stream (RFC 9218 §7.2).
    pub const PRIORITY_UPDATE: Self = Self(VarInt::from_u32(0xf0700));
    /// PRIORITY_UPDATE for a push stream (RFC 9218 §7.2).
    pub const PRIORITY_UPDATE_PUSH: Self = Self(VarInt::from_u32(0xf0701));

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

    /// Tells whether HTTP/2 has a frame of this type and HTTP/3 has none (RFC 9114 §7.2.8).
    pub const fn is_of_http2(self) -> bool {
        matches!(self.get(), 0x02 | 0x06 | 0x08 | 0x09)
    }

    /// Tells whether RFC 9114 §7.2 gives it a meaning. All others are ignored, wherever they stand, but those of HTTP/2.
    pub const fn is_known(self) -> bool {
        matches!(self.get(), 0x00 | 0x01 | 0x03 | 0x04 | 0x05 | 0x07 | 0x0d)
    }
}

impl fmt::Debug for FrameType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::DATA => "DATA",
            Self::HEADERS => "HEADERS",
            Self::CANCEL_PUSH => "CANCEL_PUSH",
            Self::SETTINGS => "SETTINGS",
            Self::PUSH_PROMISE => "PUSH_PROMISE",
            Self::GOAWAY => "GOAWAY",
            Self::MAX_PUSH_ID => "MAX_PUSH_ID",
            Self::WT_STREAM => "WT_STREAM",
            Self::PRIORITY_UPDATE => "PRIORITY_UPDATE",
            Self::PRIORITY_UPDATE_PUSH => "PRIORITY_UPDATE_PUSH",
            _ => return write!(f, "{:#x}", self.get()),
        })
    }
}

/// Writes the type and length of a frame; its payload follows.
pub fn write_head(kind: FrameType, payload_bytes: u64, out: &mut impl BufMut) {
    kind.0.write(out);
    // A payload that is in memory is shorter than 2^62.
    VarInt::new(payload_bytes).unwrap_or(VarInt::MAX).write(out);
}

/// Writes a whole frame.
pub fn write(kind: FrameType, payload: &[u8], out: &mut impl BufMut) {
    write_head(kind, payload.len() as u64, out);
    out.put_slice(payload);
}

/// Writes a frame whose payload is one number: GOAWAY, MAX_PUSH_ID, CANCEL_PUSH.
pub fn write_number(kind: FrameType, number: VarInt, out: &mut impl BufMut) {
    write_head(kind, number.encoded_len() as u64, out);
    number.write(out);
}

/// Reads a payload that is one number.
///
/// # Errors
/// H3_FRAME_ERROR if it is not exactly that.
pub fn read_number(payload: &[u8]) -> Result<VarInt, Fault> {
    match VarInt::read(payload) {
        Some((number, len)) if len == payload.len() => Ok(number),
        // RFC 9114 §7.1: "A frame payload that contains additional bytes after the identified fields or a frame payload
        // that terminates before the end of the identified fields MUST be treated as a connection error of type
        // H3_FRAME_ERROR."
        _ => Err(Fault::connection(Code::FRAME_ERROR, "payload is not one number")),
    }
}

/// What [`Reader::next`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A frame begins.
    Head {
        /// Its type.
        kind: FrameType,
        /// Bytes of its payload.
        payload_bytes: u64,
    },
    /// Bytes of the payload of the frame that began last. A frame without payload has one such piece, an empty one.
    Payload {
        /// The bytes, not copied.
        bytes: Bytes,
        /// Whether the frame ends behind them.
        is_last: bool,
    },
}

/// Cuts the bytes of a stream into frames, wherever the network cut them.
///
/// It keeps at most the 16 bytes of a frame's type and length, never a payload.
///
/// ```
/// use bytes::Bytes;
/// use taiwa_h3::frame::{FrameType, Piece, Reader};
///
/// let (mut reader, mut bytes) = (Reader::default(), Bytes::from_static(b"\x00\x05he"));
/// assert_eq!(reader.next(&mut bytes), Some(Piece::Head { kind: FrameType::DATA, payload_bytes: 5 }));
/// let part = Piece::Payload { bytes: Bytes::from_static(b"he"), is_last: false };
/// assert_eq!(reader.next(&mut bytes), Some(part));
/// assert_eq!(reader.next(&mut bytes), None);
/// assert!(reader.is_inside_frame());
/// ```
#[derive(Debug, Default)]
pub struct Reader {
    state: State,
}

#[derive(Debug)]
enum State {
    Head(Partial),
    Payload { left: u64 },
}

impl Default for State {
    fn default() -> Self {
        Self::Head(Partial::default())
    }
}

impl Reader {
    /// Takes the next piece off the front of `input`; `None` when it needs more, and then `input` is empty.
    pub fn next(&mut self, input: &mut Bytes) -> Option<Piece> {
        match &mut self.state {
            State::Head(partial) => {
                let (kind, payload_bytes) = partial.take(input)?;
                self.state = State::Payload { left: payload_bytes.get() };
                let kind = FrameType(kind);
                Some(Piece::Head { kind, payload_bytes: payload_bytes.get() })
            }
            State::Payload { left } if *left > 0 && input.is_empty() => None,
            State::Payload { left } => {
                let bytes = usize::try_from(*left).map_or(input.len(), |it| it.min(input.len()));
                *left -= bytes as u64;
                let is_last = *left == 0;
                if is_last {
                    self.state = State::default();
                }
                Some(Piece::Payload { bytes: input.split_to(bytes), is_last })
            }
        }
    }

    /// Tells whether a stream that ends here cuts a frame in two (RFC 9114 §7.1).
    pub fn is_inside_frame(&self) -> bool {
        match &self.state {
            State::Head(partial) => partial.len > 0,
            State::Payload { .. } => true,
        }
    }

    /// Returns the session that a WebTransport stream names, where its first frame would be: [`FrameType::WT_STREAM`]
    /// has the identifier in the place of the length. Everything behind belongs to WebTransport.
    pub(crate) fn into_session(self) -> Option<VarInt> {
        match self.state {
            State::Payload { left } => VarInt::new(left),
            State::Head(_) => None,
        }
    }
}

/// Two numbers that may come byte by byte.
#[derive(Debug, Default)]
struct Partial {
    bytes: [u8; 2 * VarInt::LEN_MAX],
    len: usize,
}

impl Partial {
    /// Takes both numbers, if they are all there by now.
    fn take(&mut self, input: &mut Bytes) -> Option<(VarInt, VarInt)> {
        // Nearly always they lie in one piece.
        if self.len == 0
            && let Some((pair, len)) = read_pair(input)
        {
            input.advance(len);
            return Some(pair);
        }
        while input.has_remaining() {
            self.bytes[self.len] = input.get_u8();
            self.len += 1;
            if let Some((pair, _)) = read_pair(&self.bytes[..self.len]) {
                self.len = 0;
                return Some(pair);
            }
        }
        None
    }
}

fn read_pair(bytes: &[u8]) -> Option<((VarInt, VarInt), usize)> {
    let (first, len) = VarInt::read(bytes)?;
    let (second, more) = VarInt::read(&bytes[len..])?;
    Some(((first, second), len + more))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads frames whose bytes come in pieces of `step` bytes, each payload put together again.
    fn frames(bytes: &[u8], step: usize) -> Vec<(FrameType, Vec<u8>)> {
        let (mut reader, mut frames, mut payload) = (Reader::default(), vec![], vec![]);
        let mut kind = None;
        for piece in bytes.chunks(step) {
            let mut piece = Bytes::copy_from_slice(piece);
            while let Some(found) = reader.next(&mut piece) {
                match found {
                    Piece::Head { kind: it, .. } => kind = Some(it),
                    Piece::Payload { bytes, is_last } => {
                        payload.extend_from_slice(&bytes);
                        if is_last {
                            frames
                                .push((kind.take().expect("a head"), std::mem::take(&mut payload)));
                        }
                    }
                }
            }
            assert!(piece.is_empty(), "all is taken in");
        }
        assert!(!reader.is_inside_frame());
        frames
    }

    #[test]
    fn frames_are_found_wherever_the_network_cuts() {
        let mut bytes = vec![];
        let long = vec![7; 70_000];
        write(FrameType::HEADERS, b"abc", &mut bytes);
        write(FrameType::DATA, b"", &mut bytes);
        write(FrameType::new(0x21).expect("small"), &long, &mut bytes);
        write_number(FrameType::GOAWAY, VarInt::MAX, &mut bytes);
        for step in [1, 2, 3, 7, 64, 1000, bytes.len()] {
            let read = frames(&bytes, step);
            let kinds: Vec<_> = read.iter().map(|it| it.0.get()).collect();
            assert_eq!(kinds, [1, 0, 0x21, 7], "in steps of {step}");
            let lens: Vec<_> = read.iter().map(|it| it.1.len()).collect();
            assert_eq!(lens, [3, 0, 70_000, 8]);
            assert_eq!(read_number(&read[3].1), Ok(VarInt::MAX));
        }
    }

    #[test]
    fn a_stream_that_ends_within_a_frame_is_known() {
        let whole = b"\x40\x00\x40\x01x";
        for cut in 1..whole.len() {
            let mut reader = Reader::default();
            let mut bytes = Bytes::copy_from_slice(&whole[..cut]);
            while reader.next(&mut bytes).is_some() {}
            assert!(reader.is_inside_frame(), "cut at {cut}");
        }
    }

    #[test]
    fn an_announced_length_costs_nothing() {
        let mut reader = Reader::default();
        let mut bytes = Bytes::from_static(b"\x00\xff\xff\xff\xff\xff\xff\xff\xffab");
        assert!(matches!(reader.next(&mut bytes), Some(Piece::Head { .. })));
        let part = Piece::Payload { bytes: Bytes::from_static(b"ab"), is_last: false };
        assert_eq!(reader.next(&mut bytes), Some(part));
    }

    #[test]
    fn a_number_with_bytes_behind_it_or_too_few_is_a_frame_error() {
        for payload in [&b""[..], b"\x40", b"\x01\x02"] {
            assert_eq!(read_number(payload).expect_err("wrong").code, Code::FRAME_ERROR);
        }
    }
}
