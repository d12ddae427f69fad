//! Entry points for fuzzers: each takes any bytes, calls what stands beside it and asserts what must
//! hold. Public for `fuzz/` and the replay of its corpus, and for nobody else.

mod conversation;
mod parts;

use bytes::BytesMut;

use crate::{
    close::{CloseCode, ClosePayload},
    deflate::{Deflate, Deflater, InflateFault, Inflater},
    header::Header,
    utf8::{Utf8, is_utf8},
};

pub use crate::handshake::fuzzing::{
    extensions, offer, origin, request as handshake_request, response as handshake_response,
    subprotocols, uri,
};
pub use conversation::connection;
pub use parts::parts;

/// Bytes that inflating may take beyond what its limit says: zlib's chunks and `BytesMut`'s rounding.
const CAPACITY_SURPLUS: usize = 4 << 10;
/// Bytes that [`deflate_round_trip`] compresses at the most: one window.
const DEFLATED_LEN_MAX: usize = 4 << 10;

/// A header that is read is written back as it was; a cut one is asked to go on, or refused for the
/// same fault.
pub fn header(data: &[u8]) {
    let whole = Header::parse(data);
    for end in 0..data.len().min(Header::LEN_MAX) {
        match Header::parse(&data[..end]) {
            Ok(None) => {}
            cut => assert_eq!(cut, whole, "cut at {end}"),
        }
    }
    if let Ok(Some((header, len))) = whole {
        let mut out = [0; Header::LEN_MAX];
        assert_eq!((header.write(&mut out), header.encoded_len()), (len, len));
        assert_eq!(out[..len], data[..len]);
    }
}

/// Text in pieces is judged as the standard library judges all that has come.
pub fn utf8(data: &[u8]) {
    let mut dice = Dice::new(data);
    assert_eq!(is_utf8(data), std::str::from_utf8(data).is_ok());
    let (mut text, mut came) = (Utf8::default(), 0);
    for piece in dice.pieces(data) {
        came += piece.len();
        let (goes_on, complete) = match std::str::from_utf8(&data[..came]) {
            Ok(_) => (true, true),
            Err(it) => (it.error_len().is_none(), false),
        };
        assert_eq!(text.push(piece), goes_on);
        if !goes_on {
            return;
        }
        assert_eq!(text.is_complete(), complete);
    }
}

/// Anything is inflated, or refused, in bounds and the same by any pieces, also behind a message that
/// failed.
pub fn inflate(data: &[u8]) {
    let [window, limit, data @ ..] = data else { return };
    let out_len_max = 1 << (limit % 18);
    let whole = inflated(&mut Inflater::new(8 + window % 8), [data].into_iter(), out_len_max);
    let mut inflater = Inflater::new(8 + window % 8);
    let by_bytes = inflated(&mut inflater, data.chunks(1), out_len_max);
    let pieces = Dice::new(data).pieces(data);
    inflater.reset();
    let by_pieces = inflated(&mut inflater, pieces, out_len_max);
    // Bad and too big at once: how much is inflated in one go decides which is found first.
    assert_eq!(whole.as_ref().ok(), by_bytes.as_ref().ok());
    assert_eq!(whole.as_ref().ok(), by_pieces.as_ref().ok());
}

fn inflated<'a>(
    inflater: &mut Inflater,
    pieces: impl Iterator<Item = &'a [u8]>,
    out_len_max: usize,
) -> Result<BytesMut, InflateFault> {
    let mut out = BytesMut::new();
    for piece in pieces {
        let judged = inflater.inflate(piece, &mut out, out_len_max);
        assert!(out.len() <= out_len_max);
        assert!(out.capacity() <= out_len_max + CAPACITY_SURPLUS, "{}", out.capacity());
        judged?;
    }
    inflater.end_message()?;
    Ok(out)
}

/// What one end compresses, in fragments or not, with or without its window, the other inflates to the
/// same, and no compressed message ends with what RFC 7692 §7.2.1 has the sender leave out.
pub fn deflate_round_trip(data: &[u8]) {
    let [level, shape, data @ ..] = data else { return };
    // Longer ones find nothing new and take long: each fragment is a flush.
    let data = &data[..data.len().min(DEFLATED_LEN_MAX)];
    let window_bits = 9 + shape % 7;
    let keeps = shape & 0x80 != 0;
    let config =
        Deflate { level: 1 + level % 9, memory_level: 1 + (level >> 4) % 9, ..Deflate::default() };
    let mut deflater = Deflater::new(&config, window_bits);
    let mut inflater = Inflater::new(window_bits);
    let mut dice = Dice::new(data);
    for message in data.split(|it| *it == 0xff) {
        if !keeps {
            deflater.reset();
            inflater.reset();
        }
        let mut out = BytesMut::new();
        let mut fragments: Vec<_> = dice.pieces(message).collect();
        let last = fragments.pop().unwrap_or_default();
        let mut compressed = vec![];
        for fragment in fragments {
            compressed.clear();
            deflater.compress(fragment, false, &mut compressed);
            inflater.inflate(&compressed, &mut out, message.len()).expect("our own");
        }
        compressed.clear();
        deflater.compress(last, true, &mut compressed);
        assert!(!compressed.ends_with(&[0, 0, 0xff, 0xff]) && !compressed.is_empty());
        inflater.inflate(&compressed, &mut out, message.len()).expect("our own");
        inflater.end_message().expect("whole");
        assert_eq!(out, message);
    }
}

/// A Close payload is refused by the rules of RFC 6455 §5.5.1 and §7.4, or written back as it was.
pub fn close_payload(data: &[u8]) {
    let data = &data[..data.len().min(125)];
    let is_right = match data {
        [] => true,
        [_] => false,
        [high, low, reason @ ..] => {
            CloseCode::new(u16::from_be_bytes([*high, *low])).is_sendable()
                && std::str::from_utf8(reason).is_ok()
        }
    };
    match ClosePayload::parse(data) {
        Ok((code, reason)) => {
            assert!(is_right);
            let written = ClosePayload::new(code, &reason).expect("a code that was read");
            assert_eq!(written.as_slice(), data);
        }
        Err(_) => assert!(!is_right),
    }
}

/// Cheap numbers that depend on the input alone (xorshift), for sizes that no byte of the input gives.
struct Dice(u64);

impl Dice {
    fn new(seed: &[u8]) -> Self {
        // FNV-1a: any change of the input changes the cuts.
        let fold = |hash: u64, it: &u8| (hash ^ u64::from(*it)).wrapping_mul(0x100_0000_01b3);
        Self(seed.iter().fold(0xcbf2_9ce4_8422_2325, fold) | 1)
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end.max(1)
    }

    /// Cuts `bytes` into pieces, mostly small ones, now and then an empty one.
    fn pieces<'a>(&mut self, bytes: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut dice = Self(self.0);
        self.below(2);
        let mut rest = bytes;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let len_max = [2, 4, 16, 256, 64 << 10][dice.below(5)];
            let (piece, after) = rest.split_at(dice.below(len_max).min(rest.len()));
            rest = after;
            Some(piece)
        })
    }
}
