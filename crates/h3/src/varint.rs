//! Variable-length integers of QUIC (RFC 9000 §16): one to eight bytes, up to 2^62 - 1.

use std::fmt;

use bytes::{Buf, BufMut};

/// A number that QUIC and HTTP/3 can say: at most 2^62 - 1 (RFC 9000 §16).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VarInt(u64);

impl VarInt {
    /// The largest: 2^62 - 1.
    pub const MAX: Self = Self((1 << 62) - 1);
    /// The most bytes that one takes.
    pub const LEN_MAX: usize = 8;

    /// Takes `value`; `None` if it is over [`VarInt::MAX`].
    pub const fn new(value: u64) -> Option<Self> {
        if value <= Self::MAX.0 { Some(Self(value)) } else { None }
    }

    /// Takes a value that always fits; for constants.
    pub const fn from_u32(value: u32) -> Self {
        Self(value as u64)
    }

    /// Returns the number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Reads the number at the front of `bytes` and returns it with its length in bytes; `None` if it
    /// is not all there yet. Longer forms than needed are right (RFC 9000 §16).
    ///
    /// ```
    /// use taiwa_h3::varint::VarInt;
    ///
    /// assert_eq!(VarInt::read(&[0x7b, 0xbd, 0xff]), Some((VarInt::from_u32(15_293), 2)));
    /// assert_eq!(VarInt::read(&[0x7b]), None);
    /// ```
    pub fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let first = *bytes.first()?;
        let len = len_of(first);
        let rest = bytes.get(1..len)?;
        let value =
            rest.iter().fold(u64::from(first & 0x3f), |value, it| value << 8 | u64::from(*it));
        Some((Self(value), len))
    }

    /// Takes the number off the front of `bytes`, which may lie in several pieces; `None`, and nothing
    /// is taken, if it is not all there yet.
    pub fn take(bytes: &mut impl Buf) -> Option<Self> {
        if !bytes.has_remaining() {
            return None;
        }
        let len = len_of(bytes.chunk()[0]);
        if bytes.remaining() < len {
            return None;
        }
        let value = bytes.get_uint(len);
        // The two bits on top tell the length (RFC 9000 §16).
        Some(Self(value & (u64::MAX >> (64 - (8 * len - 2)))))
    }

    /// Returns how many bytes [`VarInt::write`] writes: 1, 2, 4 or 8.
    pub const fn encoded_len(self) -> usize {
        match self.0 {
            0..=0x3f => 1,
            0x40..=0x3fff => 2,
            0x4000..=0x3fff_ffff => 4,
            _ => 8,
        }
    }

    /// Writes the number in its shortest form.
    pub fn write(self, out: &mut impl BufMut) {
        match self.encoded_len() {
            1 => out.put_u8(self.0 as u8),
            2 => out.put_u16(self.0 as u16 | 0x4000),
            4 => out.put_u32(self.0 as u32 | 0x8000_0000),
            _ => out.put_u64(self.0 | 0xc000_0000_0000_0000),
        }
    }
}

/// RFC 9000 §16: "The two most significant bits of the first byte encode the base-2 logarithm of the integer
/// encoding length in bytes."
const fn len_of(first: u8) -> usize {
    1 << (first >> 6)
}

/// A number over 2^62 - 1, which no QUIC peer can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number over 2^62 - 1 has no variable-length form")
    }
}

impl std::error::Error for TooLarge {}

impl TryFrom<u64> for VarInt {
    type Error = TooLarge;

    fn try_from(value: u64) -> Result<Self, TooLarge> {
        Self::new(value).ok_or(TooLarge)
    }
}

impl TryFrom<usize> for VarInt {
    type Error = TooLarge;

    fn try_from(value: usize) -> Result<Self, TooLarge> {
        u64::try_from(value).ok().and_then(Self::new).ok_or(TooLarge)
    }
}

impl From<u32> for VarInt {
    fn from(value: u32) -> Self {
        Self(value.into())
    }
}

impl From<VarInt> for u64 {
    fn from(value: VarInt) -> Self {
        value.0
    }
}

impl fmt::Display for VarInt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], value: u64) {
        assert_eq!(VarInt::read(bytes), Some((VarInt(value), bytes.len())));
        for cut in 0..bytes.len() {
            let (front, back) = bytes.split_at(cut);
            assert_eq!(VarInt::read(front), None, "cut at {cut}");
            let mut alone = front;
            assert_eq!((VarInt::take(&mut alone), alone.len()), (None, cut));
            let mut pieces = front.chain(back);
            assert_eq!((VarInt::take(&mut pieces), pieces.remaining()), (Some(VarInt(value)), 0));
        }
    }

    #[test]
    fn rfc_9000_appendix_a1_is_read() {
        check(&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c], 151_288_809_941_952_652);
        check(&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333);
        check(&[0x7b, 0xbd], 15_293);
        check(&[0x25], 37);
        check(&[0x40, 0x25], 37);
    }

    #[test]
    fn bounds_of_each_length_are_written_in_the_shortest_form() {
        let bounds = [
            (0, 1),
            (63, 1),
            (64, 2),
            (16_383, 2),
            (16_384, 4),
            ((1 << 30) - 1, 4),
            (1 << 30, 8),
            ((1 << 62) - 1, 8),
        ];
        for (value, len) in bounds {
            let mut out = vec![];
            VarInt(value).write(&mut out);
            assert_eq!((out.len(), VarInt(value).encoded_len()), (len, len), "{value}");
            check(&out, value);
        }
    }

    #[test]
    fn larger_numbers_are_refused() {
        assert_eq!(VarInt::try_from(1_u64 << 62), Err(TooLarge));
        assert_eq!(VarInt::try_from(u64::MAX), Err(TooLarge));
        assert_eq!(VarInt::new((1 << 62) - 1), Some(VarInt::MAX));
    }
}
