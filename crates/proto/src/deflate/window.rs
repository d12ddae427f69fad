//! The LZ77 window of a peer between two of its messages.

use std::fmt;

/// The last bytes that a peer said, to which its next message may point back (RFC 7692 §7.1.1).
///
/// It is all that has to be kept for a peer that keeps its context: 2^`window_bits` bytes when full,
/// nothing before the first message.
pub struct Window {
    /// A ring once it is full; until then the oldest byte is the first.
    bytes: Vec<u8>,
    oldest: usize,
    bits: u8,
}

impl Window {
    /// Makes an empty window of `window_bits` (9 to 15; what is outside is brought to the nearest
    /// end: 8 keeps what 9 does, because zlib's compressors use 9 when asked for 8).
    pub fn new(window_bits: u8) -> Self {
        // zlib has no 8-bit window: its compressors use 9 bits when asked for 8, and say 8 all the same.
        Self { bytes: Vec::new(), oldest: 0, bits: window_bits.clamp(9, 15) }
    }

    /// Returns how many bytes are kept.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Tells whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Forgets all bytes and keeps their memory.
    pub(super) fn forget(&mut self) {
        self.bytes.clear();
        self.oldest = 0;
    }

    /// Takes in bytes that the peer said after all others.
    pub(super) fn push(&mut self, said: &[u8]) {
        let len_max = 1 << self.bits;
        let said = &said[said.len().saturating_sub(len_max)..];
        let free = len_max - self.bytes.len();
        let (head, tail) = said.split_at(said.len().min(free));
        if self.bytes.capacity() < self.bytes.len() + head.len() {
            let wanted = (2 * self.bytes.len()).max(self.bytes.len() + head.len()).min(len_max);
            self.bytes.reserve_exact(wanted - self.bytes.len());
        }
        self.bytes.extend_from_slice(head);
        let (to_end, from_start) = tail.split_at(tail.len().min(self.bytes.len() - self.oldest));
        self.bytes[self.oldest..self.oldest + to_end.len()].copy_from_slice(to_end);
        self.bytes[..from_start.len()].copy_from_slice(from_start);
        if !tail.is_empty() {
            self.oldest = (self.oldest + tail.len()) % len_max;
        }
    }

    /// Borrows the bytes, oldest first.
    pub(super) fn parts(&self) -> [&[u8]; 2] {
        let (newer, older) = self.bytes.split_at(self.oldest);
        [older, newer]
    }
}

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Window").field("bits", &self.bits).field("len", &self.bytes.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_keeps_the_last_bytes_in_order() {
        for bits in [8, 9, 10, 12] {
            let len_max = 1 << bits.max(9);
            let (mut window, mut said) = (Window::new(bits), Vec::new());
            for round in 0..2000_usize {
                let len =
                    [0, 1, 7, 100, 511, 512, 513, 1024, 9000][(round * round + round / 9) % 9];
                let piece: Vec<u8> = (0..len).map(|i| (i * 31 + round) as u8).collect();
                window.push(&piece);
                said.extend_from_slice(&piece);
                said.drain(..said.len().saturating_sub(len_max));
                assert!(window.parts().concat() == said, "{bits} bits, round {round}");
                assert_eq!((window.len(), window.is_empty()), (said.len(), said.is_empty()));
                assert!(window.bytes.capacity() <= len_max, "{} bytes", window.bytes.capacity());
            }
        }
    }

    #[test]
    fn a_silent_peer_costs_nothing() {
        assert_eq!(Window::new(15).bytes.capacity(), 0);
    }
}
