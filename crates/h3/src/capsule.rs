//! The Capsule Protocol (RFC 9297 §3.2): typed, length-prefixed values in the DATA of a stream.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::{
    error::{Code, Fault},
    varint::VarInt,
};

/// The type of a DATAGRAM capsule (RFC 9297 §3.5): a datagram on a stream.
pub const DATAGRAM: VarInt = VarInt::from_u32(0);

/// One capsule: its type and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capsule {
    /// Its type (RFC 9297 §5.4).
    pub kind: VarInt,
    /// What it says.
    pub value: Bytes,
}

/// Writes a capsule: type, length and value.
pub fn write(kind: VarInt, value: &[u8], out: &mut impl BufMut) {
    kind.write(out);
    // A value that is in memory is shorter than 2^62.
    VarInt::try_from(value.len()).unwrap_or(VarInt::MAX).write(out);
    out.put_slice(value);
}

/// Cuts the bytes of a stream into capsules, wherever the network cut them.
///
/// It keeps the 16 bytes of a type and a length, and of a value no more than has come and is wanted.
///
/// ```
/// use bytes::Bytes;
/// use taiwa_h3::{capsule::{Reader, write}, varint::VarInt};
///
/// let (close, unknown) = (VarInt::from_u32(0x2843), VarInt::from_u32(0x17));
/// let mut bytes = vec![];
/// write(unknown, b"whatever", &mut bytes);
/// write(close, b"\0\0\0\x07bye", &mut bytes);
/// let mut bytes = Bytes::from(bytes);
/// let mut reader = Reader::new(1028);
/// let capsule = reader.next(&mut bytes, |kind| kind == close)?.expect("all of it is here");
/// assert_eq!((capsule.kind, &capsule.value[..]), (close, &b"\0\0\0\x07bye"[..]));
/// assert_eq!(reader.next(&mut bytes, |_| true)?, None);
/// reader.end()?;
/// # Ok::<(), taiwa_h3::error::Fault>(())
/// ```
#[derive(Debug)]
pub struct Reader {
    value_bytes_max: usize,
    state: State,
}

/// ```text
/// Head ─wanted─► Value ─all of it─► Head
///   └──────────► Passing ─all of it─► Head
/// ```
#[derive(Debug)]
enum State {
    /// Type and length, as far as they have come.
    Head { bytes: [u8; 2 * VarInt::LEN_MAX], len: usize },
    /// A value, as far as it has come, and how many bytes it will have.
    Value { kind: VarInt, value: BytesMut, value_bytes: usize },
    /// Nobody wants the next bytes.
    Passing { left: u64 },
}

const HEAD: State = State::Head { bytes: [0; 2 * VarInt::LEN_MAX], len: 0 };

impl Reader {
    /// Begins. A wanted capsule whose value is longer than `value_bytes_max` is a fault of the stream.
    pub const fn new(value_bytes_max: usize) -> Self {
        Self { value_bytes_max, state: HEAD }
    }

    /// Takes bytes off the front of `input`, up to the end of the next capsule whose type `is_wanted`; all others are passed over
    /// (RFC 9297 §3.2), however long they are. `None` when it needs more, and then `input` is empty.
    ///
    /// # Errors
    /// A stream error H3_MESSAGE_ERROR for a wanted capsule over the bound of [`Reader::new`]. Nothing more is to be read then.
    pub fn next(
        &mut self,
        input: &mut Bytes,
        is_wanted: impl Fn(VarInt) -> bool,
    ) -> Result<Option<Capsule>, Fault> {
        loop {
            match &mut self.state {
                State::Head { bytes, len } => {
                    let Some((kind, value_bytes)) = read_head(bytes, len, input) else {
                        return Ok(None);
                    };
                    self.state = if is_wanted(kind) {
                        let value_bytes = self.bounded(value_bytes)?;
                        State::Value { kind, value: BytesMut::new(), value_bytes }
                    } else {
                        State::Passing { left: value_bytes.get() }
                    };
                }
                State::Value { kind, value, value_bytes } => {
                    let more = input.split_to(input.len().min(*value_bytes - value.len()));
                    let whole = if more.len() == *value_bytes {
                        // Nearly always a value lies in one piece, and is not copied.
                        more
                    } else {
                        value.extend_from_slice(&more);
                        if value.len() < *value_bytes {
                            return Ok(None);
                        }
                        std::mem::take(value).freeze()
                    };
                    let capsule = Capsule { kind: *kind, value: whole };
                    self.state = HEAD;
                    return Ok(Some(capsule));
                }
                State::Passing { left } => {
                    let len = usize::try_from(*left).map_or(input.len(), |it| it.min(input.len()));
                    input.advance(len);
                    *left -= len as u64;
                    if *left > 0 {
                        return Ok(None);
                    }
                    self.state = HEAD;
                }
            }
        }
    }

    /// Takes note of the end of the stream.
    ///
    /// # Errors
    /// A stream error H3_MESSAGE_ERROR if it cuts a capsule in two.
    pub const fn end(&self) -> Result<(), Fault> {
        // RFC 9297 §3.3: "When a stream carrying capsules terminates cleanly, if the last capsule on the stream was truncated, this MUST
        // be treated as if the message were malformed or incomplete."
        match self.state {
            State::Head { len: 0, .. } => Ok(()),
            _ => Err(Fault::stream(Code::MESSAGE_ERROR, "stream ends within a capsule")),
        }
    }

    fn bounded(&self, value_bytes: VarInt) -> Result<usize, Fault> {
        usize::try_from(value_bytes.get())
            .ok()
            .filter(|it| *it <= self.value_bytes_max)
            .ok_or(Fault::stream(Code::MESSAGE_ERROR, "capsule is too long"))
    }
}

/// Takes type and length off the front of `input`, if both are all there by now.
fn read_head(
    bytes: &mut [u8; 2 * VarInt::LEN_MAX],
    len: &mut usize,
    input: &mut Bytes,
) -> Option<(VarInt, VarInt)> {
    while input.has_remaining() {
        bytes[*len] = input.get_u8();
        *len += 1;
        if let Some((kind, kind_len)) = VarInt::read(&bytes[..*len])
            && let Some((value_bytes, _)) = VarInt::read(&bytes[kind_len..*len])
        {
            return Some((kind, value_bytes));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNWANTED: u64 = 0x17;

    fn read(bytes: &[u8], step: usize, value_bytes_max: usize) -> Result<Vec<Capsule>, Fault> {
        let (mut reader, mut capsules) = (Reader::new(value_bytes_max), vec![]);
        for piece in bytes.chunks(step) {
            let mut piece = Bytes::copy_from_slice(piece);
            while let Some(capsule) = reader.next(&mut piece, |it| it.get() != UNWANTED)? {
                capsules.push(capsule);
            }
            assert!(piece.is_empty(), "all is taken in");
        }
        reader.end()?;
        Ok(capsules)
    }

    fn capsule(kind: u64, value: &[u8]) -> Capsule {
        let kind = VarInt::new(kind).expect("below 2^62");
        Capsule { kind, value: Bytes::copy_from_slice(value) }
    }

    #[test]
    fn capsules_are_found_wherever_the_network_cuts() {
        let all = [
            capsule(0x2843, b"1234reason"),
            capsule(UNWANTED, &[7; 3000]),
            capsule(0, b""),
            capsule(UNWANTED, b""),
            capsule((1 << 62) - 1, &[1; 100]),
        ];
        let mut bytes = vec![];
        all.iter().for_each(|it| write(it.kind, &it.value, &mut bytes));
        let wanted: Vec<_> = all.into_iter().filter(|it| it.kind.get() != UNWANTED).collect();
        for step in [1, 2, 3, 7, 64, 1000, bytes.len()] {
            assert_eq!(read(&bytes, step, 100).as_ref(), Ok(&wanted), "in steps of {step}");
        }
    }

    #[test]
    fn a_wanted_capsule_over_the_bound_is_a_fault_before_its_value_comes() {
        let mut bytes = vec![];
        write(DATAGRAM, &[0; 101], &mut bytes);
        let fault = read(&bytes[..3], 1, 100).expect_err("too long");
        assert_eq!(fault, Fault::stream(Code::MESSAGE_ERROR, "capsule is too long"));
        assert!(read(&bytes, 1, 101).is_ok());
        let longest = [&[0][..], &[0xff; 8]].concat();
        assert_eq!(read(&longest, 9, 100), Err(fault));
    }

    #[test]
    fn an_announced_length_costs_nothing() {
        let mut reader = Reader::new(usize::MAX);
        let mut bytes = Bytes::from_static(b"\x00\xff\xff\xff\xff\xff\xff\xff\xffab");
        assert_eq!(reader.next(&mut bytes, |_| true), Ok(None));
        let State::Value { value, .. } = &reader.state else { panic!("a value begins") };
        assert!((2..100).contains(&value.capacity()));
    }

    #[test]
    fn a_stream_that_ends_within_a_capsule_is_malformed() {
        for kind in [0x2843, UNWANTED] {
            let mut bytes = vec![];
            let it = capsule(kind, b"value");
            write(it.kind, &it.value, &mut bytes);
            for cut in 1..bytes.len() {
                let fault = read(&bytes[..cut], 99, 99).expect_err("cut");
                assert_eq!(
                    (fault.code, fault.rule),
                    (Code::MESSAGE_ERROR, "stream ends within a capsule")
                );
            }
            assert!(read(&bytes, 99, 99).is_ok());
        }
    }
}
