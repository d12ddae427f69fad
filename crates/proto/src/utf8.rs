//! Text that arrives in pieces: UTF-8 checked as far as it came (RFC 6455 §8.1, RFC 3629).

use std::str;

use simdutf8::{basic, compat};

/// Below this many bytes the standard library is as quick as SIMD (measured at 32 and 1,024 bytes).
const SIMD_BYTES_MIN: usize = 64;

/// A validator that remembers an unfinished character between pieces.
///
/// A byte that can't belong to any text fails in the call that brings it, also in the middle of a
/// character. Work is linear in the bytes, whatever the pieces.
///
/// ```
/// use taiwa_proto::utf8::Utf8;
/// let mut text = Utf8::default();
/// assert!(text.push(&"対".as_bytes()[..1]) && !text.is_complete());
/// assert!(text.push(&"対".as_bytes()[1..]) && text.is_complete());
/// assert!(!text.push(&[0xff]));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Utf8 {
    /// The first `begun_len` bytes of a character.
    begun: [u8; 3],
    begun_len: u8,
}

impl Utf8 {
    /// Takes the next piece; `false` if no text goes on like this. After `false` the validator is
    /// of no more use.
    pub fn push(&mut self, mut piece: &[u8]) -> bool {
        while self.begun_len != 0 {
            let [first, rest @ ..] = piece else { return true };
            piece = rest;
            if !self.push_into_begun(*first) {
                return false;
            }
        }
        if is_utf8(piece) {
            return true;
        }
        // Only an unfinished character at the end may be amiss.
        let Err(fault) = compat::from_utf8(piece) else { return true };
        if fault.error_len().is_some() {
            return false;
        }
        let begun = &piece[fault.valid_up_to()..];
        self.begun[..begun.len()].copy_from_slice(begun);
        self.begun_len = begun.len() as u8;
        true
    }

    /// Tells whether the text may end here: no character is unfinished.
    pub fn is_complete(&self) -> bool {
        self.begun_len == 0
    }

    fn push_into_begun(&mut self, byte: u8) -> bool {
        let len = usize::from(self.begun_len);
        let mut character = [0; 4];
        character[..len].copy_from_slice(&self.begun[..len]);
        character[len] = byte;
        match str::from_utf8(&character[..=len]) {
            Ok(_) => self.begun_len = 0,
            Err(fault) if fault.error_len().is_some() => return false,
            Err(_) => {
                // Unfinished after this byte, so at most three bytes long.
                self.begun[len] = byte;
                self.begun_len += 1;
            }
        }
        true
    }
}

/// Tells whether `bytes` are a whole text.
pub fn is_utf8(bytes: &[u8]) -> bool {
    if bytes.len() < SIMD_BYTES_MIN {
        str::from_utf8(bytes).is_ok()
    } else {
        basic::from_utf8(bytes).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The judgement of the standard library on all that has come so far.
    fn expected(bytes: &[u8]) -> (bool, bool) {
        match str::from_utf8(bytes) {
            Ok(_) => (true, true),
            Err(it) => (it.error_len().is_none(), false),
        }
    }

    #[track_caller]
    fn check(bytes: &[u8]) {
        for piece_len in [1, 2, 3, 5, 64, 100] {
            let mut text = Utf8::default();
            let mut came = 0;
            for piece in bytes.chunks(piece_len) {
                came += piece.len();
                let (goes_on, complete) = expected(&bytes[..came]);
                assert_eq!(text.push(piece), goes_on, "{:x?} by {piece_len}", &bytes[..came]);
                if !goes_on {
                    break;
                }
                assert_eq!(text.is_complete(), complete, "{:x?} by {piece_len}", &bytes[..came]);
            }
        }
    }

    #[test]
    fn every_pair_and_many_longer_runs_are_judged_as_the_standard_library_does() {
        for first in 0..=255 {
            for second in 0..=255 {
                check(&[first, second]);
            }
        }
        let edges = [0, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc2, 0xe0, 0xed, 0xf0, 0xf4];
        for a in 0xc0..=255 {
            for b in edges {
                for c in edges {
                    check(&[a, b, c, 0x80]);
                    check(&[b'x', a, b, c]);
                }
            }
        }
    }

    #[test]
    fn long_texts_pass_and_one_bad_byte_in_them_fails() {
        let text = "κόσμε 対話 🦀 plain ".repeat(20);
        check(text.as_bytes());
        for place in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[place] = 0xff;
            check(&bytes);
        }
    }
}
