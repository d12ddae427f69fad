//! Strings in the Huffman code of RFC 7541 Appendix B, which QPACK shares with HPACK (RFC 9204 §4.1.2).
//!
//! The code is canonical: ordered by length, then by symbol. So the lengths alone are written down here, and all other
//! tables follow from them when this is compiled.

/// Bits of the code of each byte, and of EOS (256).
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

const LENGTH_MAX: usize = 30;
const EOS: u16 = 256;

/// The code in three forms: to write, to read the codes of most text at one glance, and to read the others.
struct Tables {
    /// The code of each symbol, in its low bits.
    codes: [u32; 257],
    /// By the next eight bits: the byte and the length of its code; length 0 for codes over eight bits.
    short: [(u8, u8); 256],
    /// All symbols, by the order of their codes.
    symbols: [u16; 257],
    /// By length: the first code of it, and where its symbol stands in `symbols`.
    first: [(u32, u16); LENGTH_MAX + 1],
    /// By length: what 30 bits that begin with a code of it, or a shorter one, are below.
    below: [u32; LENGTH_MAX + 1],
}

const fn tables() -> Tables {
    let mut tables = Tables {
        codes: [0; 257],
        short: [(0, 0); 256],
        symbols: [0; 257],
        first: [(0, 0); LENGTH_MAX + 1],
        below: [0; LENGTH_MAX + 1],
    };
    let (mut code, mut place, mut length) = (0_u32, 0_u16, 1_usize);
    while length <= LENGTH_MAX {
        code <<= 1;
        tables.first[length] = (code, place);
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] as usize == length {
                tables.codes[symbol] = code;
                tables.symbols[place as usize] = symbol as u16;
                if length <= 8 {
                    let mut at = (code << (8 - length)) as usize;
                    let end = ((code + 1) << (8 - length)) as usize;
                    while at < end {
                        tables.short[at] = (symbol as u8, length as u8);
                        at += 1;
                    }
                }
                code += 1;
                place += 1;
            }
            symbol += 1;
        }
        tables.below[length] = code << (LENGTH_MAX - length);
        length += 1;
    }
    tables
}

static TABLES: Tables = tables();

/// What is wrong with a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bad {
    /// It holds EOS, ends within a code, or is padded with anything but the beginning of EOS.
    Code,
    /// It is longer than the bound.
    TooLong,
}

/// Returns how many bytes [`encode`] writes.
pub(super) fn encoded_len(text: &[u8]) -> usize {
    let bits: usize = text.iter().map(|it| usize::from(LENGTHS[usize::from(*it)])).sum();
    bits.div_ceil(8)
}

/// Writes `text` in the code.
pub(super) fn encode(text: &[u8], out: &mut Vec<u8>) {
    // The last `held` bits of `bits` are still to be written; never over 7 + 30.
    let (mut bits, mut held) = (0_u64, 0_u32);
    for byte in text {
        let symbol = usize::from(*byte);
        bits = bits << LENGTHS[symbol] | u64::from(TABLES.codes[symbol]);
        held += u32::from(LENGTHS[symbol]);
        while held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    if held > 0 {
        // RFC 7541 §5.2: "the most significant bits of the code corresponding to the EOS (end-of-string) symbol" pad it.
        out.push((bits << (8 - held)) as u8 | (u8::MAX >> held));
    }
}

/// Reads `bytes` and adds up to `len_max` bytes to `out`.
pub(super) fn decode(bytes: &[u8], len_max: usize, out: &mut Vec<u8>) -> Result<(), Bad> {
    let end = out.len() + len_max;
    let mut bytes = bytes.iter();
    // The first `held` bits of `bits` are still to be read, zeros behind them.
    let (mut bits, mut held) = (0_u64, 0_u32);
    loop {
        while held <= 56 {
            let Some(byte) = bytes.next() else { break };
            bits |= u64::from(*byte) << (56 - held);
            held += 8;
        }
        // Seven bits at the most and all ones: no code is that, so it is padding (RFC 7541 §5.2).
        if held < 8 && bits == !(u64::MAX >> held) {
            return Ok(());
        }
        let (symbol, length) = symbol(bits);
        // RFC 7541 §5.2: "A Huffman-encoded string literal containing the EOS symbol MUST be treated as a decoding error",
        // and so must longer or other padding, of which too few bits are left for a code.
        let Ok(byte) = u8::try_from(symbol) else { return Err(Bad::Code) };
        if length > held {
            return Err(Bad::Code);
        }
        if out.len() == end {
            return Err(Bad::TooLong);
        }
        out.push(byte);
        bits <<= length;
        held -= length;
    }
}

/// Returns the symbol whose code `bits` begins with, and how long the code is.
fn symbol(bits: u64) -> (u16, u32) {
    let (byte, length) = TABLES.short[(bits >> 56) as usize];
    if length > 0 {
        return (byte.into(), length.into());
    }
    let bits = (bits >> (64 - LENGTH_MAX)) as u32;
    for length in 9..=LENGTH_MAX {
        if bits < TABLES.below[length] {
            let (code, place) = TABLES.first[length];
            let at = usize::from(place) + ((bits >> (LENGTH_MAX - length)) - code) as usize;
            return (TABLES.symbols[at], length as u32);
        }
    }
    (EOS, LENGTH_MAX as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8], len_max: usize) -> Result<Vec<u8>, Bad> {
        let mut out = vec![];
        decode(bytes, len_max, &mut out).map(|()| out)
    }

    #[track_caller]
    fn check(text: &str, bytes: &[u8]) {
        let mut out = vec![];
        encode(text.as_bytes(), &mut out);
        assert_eq!((out.as_slice(), encoded_len(text.as_bytes())), (bytes, bytes.len()));
        assert_eq!(decoded(bytes, text.len()).as_deref(), Ok(text.as_bytes()));
        assert_eq!(decoded(bytes, text.len() - 1), Err(Bad::TooLong));
    }

    #[test]
    fn rfc_7541_appendices_c4_and_c6_are_read_and_written() {
        let www = [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
        check("www.example.com", &www);
        check("no-cache", &[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf]);
        check("custom-key", &[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xa9, 0x7d, 0x7f]);
        check("custom-value", &[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xb8, 0xe8, 0xb4, 0xbf]);
        check("302", &[0x64, 0x02]);
        check("private", &[0xae, 0xc3, 0x77, 0x1a, 0x4b]);
        let date = [
            0xd0, 0x7a, 0xbe, 0x94, 0x10, 0x54, 0xd4, 0x44, 0xa8, 0x20, 0x05, 0x95, 0x04, 0x0b,
            0x81, 0x66, 0xe0, 0x82, 0xa6, 0x2d, 0x1b, 0xff,
        ];
        check("Mon, 21 Oct 2013 20:13:21 GMT", &date);
    }

    #[test]
    fn codes_are_those_of_the_rfc() {
        let rows = [
            (0, 0x1ff8),
            (10, 0x3fff_fffc),
            (b' ', 0x14),
            (b'0', 0x0),
            (b'~', 0x1ffd),
            (128, 0xf_ffe6),
            (204, 0x7ff_ffdf),
            (255, 0x3ff_ffee),
        ];
        for (byte, code) in rows {
            assert_eq!(TABLES.codes[usize::from(byte)], code, "{byte}");
        }
        assert_eq!(TABLES.codes[usize::from(EOS)], 0x3fff_ffff);
    }

    #[test]
    fn every_byte_is_read_as_it_was_written_at_any_bit() {
        for before in ["", "0", "a", "00", "?", "\0"] {
            for byte in 0..=u8::MAX {
                let text = [before.as_bytes(), &[byte], b"z"].concat();
                let mut out = vec![];
                encode(&text, &mut out);
                assert_eq!(decoded(&out, 9), Ok(text));
            }
        }
    }

    #[test]
    fn end_of_string_and_bad_padding_are_refused() {
        assert_eq!(decoded(&[], 9), Ok(vec![]));
        // "0" and three ones, then the same with a zero among them.
        assert_eq!(decoded(&[0b0000_0111], 9), Ok(b"0".to_vec()));
        assert_eq!(decoded(&[0b0000_0101], 9), Err(Bad::Code));
        // Eight bits of padding and more, up to EOS itself.
        assert_eq!(decoded(&[0xff], 9), Err(Bad::Code));
        assert_eq!(decoded(&[0b0000_0111, 0xff], 9), Err(Bad::Code));
        assert_eq!(decoded(&[0xff; 4], 9), Err(Bad::Code));
        // A long code that ends too early.
        assert_eq!(decoded(&[0xff, 0xff, 0xfe], 9), Err(Bad::Code));
    }
}
