//! Frames as values: [`CloseFrame`], [`Frame`], [`FrameHeader`].

use std::{
    fmt,
    io::{Cursor, Write},
    str::{self, Utf8Error},
};

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    coding::{CloseCode, Control, Fragment, OpCode},
    error::{Error, ProtocolError, Result},
    utf8_bytes::Utf8Bytes,
};

/// The content of a Close frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame {
    /// The code.
    pub code: CloseCode,
    /// The reason, at most 123 bytes.
    pub reason: Utf8Bytes,
}

impl CloseFrame {
    /// Reads the payload of a Close frame.
    pub(super) fn parse(payload: &[u8]) -> Result<Option<Self>> {
        match payload {
            [] => Ok(None),
            // RFC 6455 §5.5.1: "If there is a body, the first two bytes of the body MUST be a 2-byte
            // unsigned integer"
            [_] => Err(ProtocolError::InvalidCloseSequence.into()),
            [high, low, reason @ ..] => Ok(Some(Self {
                code: u16::from_be_bytes([*high, *low]).into(),
                reason: str::from_utf8(reason)?.into(),
            })),
        }
    }
}

impl fmt::Display for CloseFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.reason, self.code)
    }
}

/// The header of a frame, without the length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// The last fragment of its message.
    pub is_final: bool,
    /// The first reserved bit.
    pub rsv1: bool,
    /// The second reserved bit.
    pub rsv2: bool,
    /// The third reserved bit.
    pub rsv3: bool,
    /// What the frame is.
    pub opcode: OpCode,
    /// The masking key.
    pub mask: Option<[u8; 4]>,
}

impl Default for FrameHeader {
    /// The header of an unmasked Close frame.
    fn default() -> Self {
        Self {
            is_final: true,
            rsv1: false,
            rsv2: false,
            rsv3: false,
            opcode: OpCode::Control(Control::Close),
            mask: None,
        }
    }
}

impl FrameHeader {
    /// The longest header: 2 bytes, 8 of length, 4 of mask.
    pub(super) const LEN_MAX: usize = 14;

    /// Reads a header and the length behind it; `None`, and nothing taken, if it is not all there yet.
    ///
    /// # Errors
    /// [`ProtocolError::InvalidOpcode`].
    pub fn parse(cursor: &mut Cursor<impl AsRef<[u8]>>) -> Result<Option<(Self, u64)>> {
        let bytes = cursor.get_ref().as_ref();
        let start = bytes.len().min(usize::try_from(cursor.position()).unwrap_or(usize::MAX));
        let Some((header, payload_len, len)) = Self::parse_slice(&bytes[start..])? else {
            return Ok(None);
        };
        cursor.set_position((start + len) as u64);
        Ok(Some((header, payload_len)))
    }

    /// Reads a header, the payload's length and the header's own; `None` if it is not all there yet.
    pub(super) fn parse_slice(bytes: &[u8]) -> Result<Option<(Self, u64, usize)>> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        let (payload_len, len_bytes) = match second & 0x7f {
            126 => match rest.first_chunk::<2>() {
                Some(it) => (u64::from(u16::from_be_bytes(*it)), 2),
                None => return Ok(None),
            },
            127 => match rest.first_chunk::<8>() {
                Some(it) => (u64::from_be_bytes(*it), 8),
                None => return Ok(None),
            },
            it => (u64::from(it), 0),
        };
        let mask = match second & 0x80 {
            0 => None,
            _ => match rest[len_bytes..].first_chunk::<4>() {
                Some(key) => Some(*key),
                None => return Ok(None),
            },
        };
        let opcode = OpCode::from(first & 15);
        if let OpCode::Data(Fragment::Reserved(it)) | OpCode::Control(Control::Reserved(it)) =
            opcode
        {
            return Err(ProtocolError::InvalidOpcode(it).into());
        }
        let header = Self {
            is_final: first & 0x80 != 0,
            rsv1: first & 0x40 != 0,
            rsv2: first & 0x20 != 0,
            rsv3: first & 0x10 != 0,
            opcode,
            mask,
        };
        let len = 2 + len_bytes + if mask.is_some() { 4 } else { 0 };
        Ok(Some((header, payload_len, len)))
    }

    /// Returns how many bytes the header of a frame with `length` bytes of payload has, 2 to 14.
    pub fn len(&self, length: u64) -> usize {
        let len_bytes = match length {
            0..=125 => 0,
            126..=0xffff => 2,
            _ => 8,
        };
        2 + len_bytes + if self.mask.is_some() { 4 } else { 0 }
    }

    /// Writes the header of a frame with `length` bytes of payload.
    ///
    /// # Errors
    /// [`Error::Io`] from `output`.
    pub fn format(&self, length: u64, output: &mut impl Write) -> Result<()> {
        let mut bytes = Vec::with_capacity(Self::LEN_MAX);
        self.push(length, &mut bytes);
        output.write_all(&bytes)?;
        Ok(())
    }

    fn push(&self, length: u64, out: &mut Vec<u8>) {
        let bits = [(self.is_final, 0x80), (self.rsv1, 0x40), (self.rsv2, 0x20), (self.rsv3, 0x10)];
        let first = bits.iter().filter(|(is_set, _)| *is_set).map(|(_, bit)| bit).sum::<u8>();
        out.push(first | u8::from(self.opcode));
        let mask_bit = if self.mask.is_some() { 0x80 } else { 0 };
        match length {
            it @ 0..=125 => out.push(mask_bit | it as u8),
            it @ 126..=0xffff => {
                out.push(mask_bit | 126);
                out.put_u16(it as u16);
            }
            it => {
                out.push(mask_bit | 127);
                out.put_u64(it);
            }
        }
        out.extend_from_slice(self.mask.as_ref().map_or(&[], |it| &it[..]));
    }
}

/// A frame, its payload not masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    header: FrameHeader,
    payload: Bytes,
}

impl Frame {
    /// Returns how many bytes the frame has on the wire, header included.
    pub fn len(&self) -> usize {
        self.header.len(self.payload.len() as u64) + self.payload.len()
    }

    /// Tells whether the frame has no bytes: never.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Borrows the header.
    pub fn header(&self) -> &FrameHeader {
        &self.header
    }

    /// Borrows the header to change it.
    pub fn header_mut(&mut self) -> &mut FrameHeader {
        &mut self.header
    }

    /// Borrows the payload.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Takes the payload.
    pub fn into_payload(self) -> Bytes {
        self.payload
    }

    /// Takes the payload as text.
    ///
    /// # Errors
    /// If it is no UTF-8.
    pub fn into_text(self) -> Result<Utf8Bytes, Utf8Error> {
        self.payload.try_into()
    }

    /// Borrows the payload as text.
    ///
    /// # Errors
    /// If it is no UTF-8.
    pub fn to_text(&self) -> Result<&str, Utf8Error> {
        str::from_utf8(&self.payload)
    }

    /// Makes a data frame.
    pub fn message(data: impl Into<Bytes>, opcode: OpCode, is_final: bool) -> Self {
        let header = FrameHeader { is_final, opcode, ..FrameHeader::default() };
        Self { header, payload: data.into() }
    }

    /// Makes a Ping.
    pub fn ping(data: impl Into<Bytes>) -> Self {
        Self::control(Control::Ping, data.into())
    }

    /// Makes a Pong.
    pub fn pong(data: impl Into<Bytes>) -> Self {
        Self::control(Control::Pong, data.into())
    }

    /// Makes a Close frame; `None` has no payload.
    pub fn close(msg: Option<CloseFrame>) -> Self {
        let mut payload = BytesMut::new();
        if let Some(CloseFrame { code, reason }) = msg {
            payload.put_u16(code.into());
            payload.put_slice(reason.as_bytes());
        }
        Self::control(Control::Close, payload.freeze())
    }

    /// Puts a header and a payload together.
    pub fn from_payload(header: FrameHeader, payload: Bytes) -> Self {
        Self { header, payload }
    }

    /// Writes the frame, masked if its header has a key.
    ///
    /// # Errors
    /// [`Error::Io`] from `output`.
    pub fn format(self, output: &mut impl Write) -> Result<(), Error> {
        let mut bytes = Vec::with_capacity(self.len());
        self.push(&mut bytes);
        output.write_all(&bytes)?;
        Ok(())
    }

    /// Appends the frame, masked if its header has a key.
    pub(super) fn push(&self, out: &mut Vec<u8>) {
        out.reserve(self.len());
        self.header.push(self.payload.len() as u64, out);
        let start = out.len();
        out.extend_from_slice(&self.payload);
        if let Some(key) = self.header.mask {
            taiwa_proto::mask::apply(&mut out[start..], key);
        }
    }

    fn control(control: Control, payload: Bytes) -> Self {
        let header = FrameHeader { opcode: OpCode::Control(control), ..FrameHeader::default() };
        Self { header, payload }
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FrameHeader { is_final, opcode, .. } = self.header;
        write!(f, "{opcode} frame, final: {is_final}, {} bytes of payload", self.payload.len())
    }
}
