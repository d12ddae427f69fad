//! Frame headers: how to read one, how to write one (RFC 6455 §5.2).

use crate::{fault::Fault, message::Kind};

/// What a frame is (RFC 6455 §5.2, §11.8). Reserved opcodes never get this far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Opcode {
    /// 0: the next fragment of a message.
    Continuation = 0,
    /// 1: the first or only fragment of a text message.
    Text = 1,
    /// 2: the first or only fragment of a binary message.
    Binary = 2,
    /// 8: the closing handshake.
    Close = 8,
    /// 9: asks for a Pong.
    Ping = 9,
    /// 10: answers a Ping.
    Pong = 10,
}

impl From<Kind> for Opcode {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Text => Self::Text,
            Kind::Binary => Self::Binary,
        }
    }
}

impl Opcode {
    /// Tells whether frames of this kind may stand between the fragments of a message (RFC 6455 §5.5).
    pub const fn is_control(self) -> bool {
        self as u8 & 8 != 0
    }

    const fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }
}

/// The header of one frame (RFC 6455 §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The last fragment of its message.
    pub fin: bool,
    /// The first reserved bit: with permessage-deflate, a compressed message (RFC 7692 §6).
    pub rsv1: bool,
    /// What the frame is.
    pub opcode: Opcode,
    /// The masking key of a frame from a client.
    pub mask: Option<[u8; 4]>,
    /// Bytes of payload, below 2^63.
    pub payload_len: u64,
}

impl Header {
    /// The longest header: 2 bytes, 8 of length, 4 of mask.
    pub const LEN_MAX: usize = 14;

    /// Reads the header at the front of `bytes` and returns it with its length; `None` if it is not
    /// all there yet.
    ///
    /// # Errors
    /// What a header alone can break: [`Fault::ReservedBit`] (RSV2, RSV3), [`Fault::ReservedOpcode`],
    /// [`Fault::ControlTooLong`], [`Fault::ControlFragmented`], [`Fault::LengthTopBit`],
    /// [`Fault::LengthNotMinimal`]. Whether its mask, RSV1 and place in a message are right is
    /// up to the [`Reader`](crate::reader::Reader). A fault in the first two bytes is found as soon
    /// as these are there.
    ///
    /// ```
    /// use taiwa_proto::header::{Header, Opcode};
    /// let (header, len) = Header::parse(&[0x81, 0x05]).unwrap().unwrap();
    /// assert_eq!((header.opcode, header.payload_len, len), (Opcode::Text, 5, 2));
    /// assert_eq!(Header::parse(&[0x81]), Ok(None));
    /// ```
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Fault> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        // "MUST be 0 unless an extension is negotiated that defines meanings for non-zero values."
        if first & 0x30 != 0 {
            return Err(Fault::ReservedBit);
        }
        let opcode = Opcode::from_bits(first & 15).ok_or(Fault::ReservedOpcode)?;
        let fin = first & 0x80 != 0;
        let short = second & 0x7f;
        if opcode.is_control() {
            // §5.5: "All control frames MUST have a payload length of 125 bytes or less and MUST NOT
            // be fragmented."
            if 125 < short {
                return Err(Fault::ControlTooLong);
            }
            if !fin {
                return Err(Fault::ControlFragmented);
            }
        }
        let (payload_len, len_bytes) = match short {
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
        // "the most significant bit MUST be 0"
        if payload_len >> 63 != 0 {
            return Err(Fault::LengthTopBit);
        }
        // "the minimal number of bytes MUST be used to encode the length"
        if (len_bytes == 2 && payload_len < 126) || (len_bytes == 8 && payload_len < 1 << 16) {
            return Err(Fault::LengthNotMinimal);
        }
        let mask = match second & 0x80 != 0 {
            false => None,
            true => match rest[len_bytes..].first_chunk::<4>() {
                Some(key) => Some(*key),
                None => return Ok(None),
            },
        };
        let len = 2 + len_bytes + if mask.is_some() { 4 } else { 0 };
        Ok(Some((Self { fin, rsv1: first & 0x40 != 0, opcode, mask, payload_len }, len)))
    }

    /// Returns how many bytes [`Header::write`] needs, 2 to 14.
    pub const fn encoded_len(&self) -> usize {
        let len_bytes = match self.payload_len {
            0..=125 => 0,
            126..=0xffff => 2,
            _ => 8,
        };
        2 + len_bytes + if self.mask.is_some() { 4 } else { 0 }
    }

    /// Writes the header, with the length in its shortest form, and returns how many bytes of `out`
    /// it took.
    ///
    /// # Panics
    /// If `out` is shorter than [`Header::encoded_len`].
    pub fn write(&self, out: &mut [u8]) -> usize {
        out[0] = u8::from(self.fin) << 7 | u8::from(self.rsv1) << 6 | self.opcode as u8;
        let mask_bit = if self.mask.is_some() { 0x80 } else { 0 };
        let mut len = 2;
        match self.payload_len {
            it @ 0..=125 => out[1] = mask_bit | it as u8,
            it @ 126..=0xffff => {
                out[1] = mask_bit | 126;
                out[2..4].copy_from_slice(&(it as u16).to_be_bytes());
                len = 4;
            }
            it => {
                out[1] = mask_bit | 127;
                out[2..10].copy_from_slice(&it.to_be_bytes());
                len = 10;
            }
        }
        if let Some(key) = self.mask {
            out[len..len + 4].copy_from_slice(&key);
            len += 4;
        }
        len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for payload_len in [0, 1, 125, 126, 127, 0xffff, 0x1_0000, u64::MAX >> 1] {
            for mask in [None, Some([1, 2, 3, 4])] {
                for opcode in [Opcode::Continuation, Opcode::Text, Opcode::Binary] {
                    let header = Header { fin: false, rsv1: true, opcode, mask, payload_len };
                    let mut out = [0; Header::LEN_MAX];
                    let len = header.write(&mut out);
                    assert_eq!(len, header.encoded_len());
                    assert_eq!(Header::parse(&out), Ok(Some((header, len))));
                    for part in 0..len {
                        assert_eq!(Header::parse(&out[..part]), Ok(None), "{part} of {len} bytes");
                    }
                }
            }
        }
    }

    #[test]
    fn each_broken_rule_has_its_fault() {
        #[track_caller]
        fn check(bytes: &[u8], fault: Fault) {
            assert_eq!(Header::parse(bytes), Err(fault));
        }
        check(&[0xa1, 0], Fault::ReservedBit);
        check(&[0x91, 0], Fault::ReservedBit);
        for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
            check(&[0x80 | opcode, 0], Fault::ReservedOpcode);
        }
        check(&[0x89, 126], Fault::ControlTooLong);
        check(&[0x88, 127], Fault::ControlTooLong);
        check(&[0x09, 0], Fault::ControlFragmented);
        check(&[0x82, 126, 0, 125], Fault::LengthNotMinimal);
        check(&[0x82, 127, 0, 0, 0, 0, 0, 0, 255, 255], Fault::LengthNotMinimal);
        check(&[0x82, 127, 128, 0, 0, 0, 0, 1, 0, 0], Fault::LengthTopBit);
        check(&[0x82, 127, 255, 255, 255, 255, 255, 255, 255, 255], Fault::LengthTopBit);
    }
}
