//! Integers that begin in the low bits of a byte (RFC 9204 §4.1.1, RFC 7541 §5.1).

/// The largest that is read: RFC 9204 §4.1.1 asks for 62 bits, and nothing in QPACK needs more.
const MAX: u64 = (1 << 62) - 1;
/// The most bytes behind the first: 62 bits, 7 a byte. More are zeros that somebody pads with.
const CONTINUATION_LEN_MAX: usize = 9;

/// Over [`MAX`], or longer than any number needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overflow;

/// Reads the integer in the low `prefix_bits` (1 to 8) of the first byte and those that follow, and returns it with its
/// length in bytes; `None` if it is not all there.
pub(super) fn read(bytes: &[u8], prefix_bits: u32) -> Result<Option<(u64, usize)>, Overflow> {
    let Some((first, rest)) = bytes.split_first() else { return Ok(None) };
    let prefix_max = u8::MAX >> (8 - prefix_bits);
    let mut value = u64::from(first & prefix_max);
    if value < u64::from(prefix_max) {
        return Ok(Some((value, 1)));
    }
    for (at, byte) in rest.iter().enumerate() {
        if at == CONTINUATION_LEN_MAX {
            return Err(Overflow);
        }
        // At most 2^62 - 1 before and below 2^63 added, so nothing is lost before it is compared.
        value += u64::from(byte & 0x7f) << (7 * at);
        if value > MAX {
            return Err(Overflow);
        }
        if byte & 0x80 == 0 {
            return Ok(Some((value, at + 2)));
        }
    }
    Ok(None)
}

/// Writes `value` behind the bits of `first` that are above its low `prefix_bits` (1 to 8).
pub(super) fn write(value: u64, prefix_bits: u32, first: u8, out: &mut Vec<u8>) {
    let prefix_max = u64::from(u8::MAX >> (8 - prefix_bits));
    if value < prefix_max {
        return out.push(first | value as u8);
    }
    out.push(first | prefix_max as u8);
    let mut rest = value - prefix_max;
    while rest > 0x7f {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: u64, prefix_bits: u32, bytes: &[u8]) {
        let mut out = vec![];
        write(value, prefix_bits, 0, &mut out);
        assert_eq!(out, bytes);
        assert_eq!(read(bytes, prefix_bits), Ok(Some((value, bytes.len()))));
        for cut in 0..bytes.len() {
            assert_eq!(read(&bytes[..cut], prefix_bits), Ok(None), "cut at {cut}");
        }
    }

    #[test]
    fn rfc_7541_appendix_c1_is_read_and_written() {
        check(10, 5, &[0x0a]);
        check(1337, 5, &[0x1f, 0x9a, 0x0a]);
        check(42, 8, &[0x2a]);
    }

    #[test]
    fn bounds_of_every_prefix_are_read_and_written() {
        for prefix_bits in 1..=8 {
            let prefix_max = (1_u64 << prefix_bits) - 1;
            for value in [0, prefix_max - 1, prefix_max, prefix_max + 127, prefix_max + 128, MAX] {
                let mut out = vec![];
                write(value, prefix_bits, 0, &mut out);
                assert_eq!(read(&out, prefix_bits), Ok(Some((value, out.len()))), "{value}");
            }
        }
    }

    #[test]
    fn bits_above_the_prefix_are_neither_read_nor_lost() {
        let mut out = vec![];
        write(3, 4, 0x50, &mut out);
        assert_eq!((out.as_slice(), read(&out, 4)), (&[0x53][..], Ok(Some((3, 1)))));
    }

    #[test]
    fn larger_and_padded_numbers_overflow() {
        let mut out = vec![];
        write(MAX + 1, 8, 0, &mut out);
        assert_eq!(read(&out, 8), Err(Overflow));
        assert_eq!(read(&[0xff; 12], 8), Err(Overflow));
        let padded = [[0xff].as_slice(), &[0x80; 9], &[0]].concat();
        assert_eq!(read(&padded, 8), Err(Overflow));
    }
}
