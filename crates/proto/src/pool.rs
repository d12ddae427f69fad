//! What the connections of one thread share: mask keys, compressors, spare buffers.

use std::{fmt, time::Instant};

use crate::{deflate::Shared, message::Message, outbox::Rest, run::Runs, spares::Spares};

/// Bytes of randomness fetched at a time: 1,024 mask keys.
const KEYS_LEN: usize = 4096;
/// Buffers kept for the next connection that has something to write.
const BUFFERS_MAX: usize = 16;
/// Bytes above which a buffer is given back to the allocator instead.
const BUFFER_LEN_MAX: usize = 128 << 10;

/// Things that connections borrow for the length of a call. Make one per thread.
///
/// It holds at most 2 MiB of spare buffers, 64 KiB of frames that many send, the codecs of
/// [`deflate::Shared`](crate::deflate::Shared), and at most 32 MiB of buffers of large messages, each until a second has
/// passed in which nobody needed it.
pub struct Pool {
    fill: fn(&mut [u8]),
    keys: Vec<u8>,
    keys_used: usize,
    buffers: Vec<Vec<u8>>,
    #[expect(clippy::vec_box, reason = "boxes are what connections borrow")]
    rests: Vec<Box<Rest>>,
    pub(crate) deflate: Shared,
    pub(crate) runs: Runs,
    pub(crate) spares: Spares,
}

impl Pool {
    /// Makes a pool; `fill` fills a buffer with random bytes of the operating system: mask keys
    /// "MUST NOT be predictable" (RFC 6455 §10.3).
    ///
    /// ```
    /// let pool = taiwa_proto::Pool::new(|bytes| bytes.fill(4)); // a real one asks the system
    /// ```
    pub fn new(fill: fn(&mut [u8])) -> Self {
        Self {
            fill,
            keys: Vec::new(),
            keys_used: 0,
            buffers: Vec::new(),
            rests: Vec::new(),
            deflate: Shared::default(),
            runs: Runs::default(),
            spares: Spares::default(),
        }
    }

    /// Says that what was [prepared](crate::Prepared) and sent so far is written, or will be alone: what is sent from here on
    /// is joined anew, for all connections that send the same until the next call. Call it when connections begin to be
    /// written together, in each turn of an event loop; without that everything works the same, and costs more.
    pub fn begin_turn(&mut self) {
        self.runs.end();
    }

    /// Keeps the buffer of a message that is of no more use for the next one like it, if it has 128 KiB or more and nobody else
    /// has it. Messages that were written whole are taken back without it.
    pub fn take_back(&mut self, message: Message) {
        self.spares.give(message.into_bytes());
    }

    /// Gives up the buffers of large messages that nobody has needed for a second. Every connection does it when it receives,
    /// writes or keeps time; returns when somebody else has to, if none does so before.
    pub fn age(&mut self, now: Instant) -> Option<Instant> {
        self.spares.age(now)
    }

    /// [`age`](Self::age) for who does it with each message: mostly there is nothing to give up.
    #[inline]
    pub(crate) fn age_some(&mut self, now: Instant) {
        if !self.spares.is_empty() {
            self.spares.age(now);
        }
    }

    /// Returns a mask key that was not used before (RFC 6455 §5.3: "a fresh masking key" per frame).
    pub fn mask_key(&mut self) -> [u8; 4] {
        self.random()
    }

    /// Returns `N` random bytes, at most 4,096, for a mask key or the handshake's nonce.
    pub fn random<const N: usize>(&mut self) -> [u8; N] {
        const { assert!(N <= KEYS_LEN) };
        if self.keys.len() < self.keys_used + N {
            self.keys.resize(KEYS_LEN, 0);
            (self.fill)(&mut self.keys);
            self.keys_used = 0;
        }
        let bytes = &mut self.keys[self.keys_used..self.keys_used + N];
        self.keys_used += N;
        let mut taken = [0; N];
        taken.copy_from_slice(bytes);
        // A used key is of no more use to anyone who reads this memory.
        bytes.fill(0);
        taken
    }

    pub(crate) fn buffer(&mut self) -> Vec<u8> {
        self.buffers.pop().unwrap_or_default()
    }

    pub(crate) fn rest(&mut self) -> Box<Rest> {
        self.rests.pop().unwrap_or_default()
    }

    /// Takes back an empty one.
    pub(crate) fn give_rest_back(&mut self, rest: Box<Rest>) {
        if rest.is_small() && self.rests.len() < BUFFERS_MAX {
            self.rests.push(rest);
        }
    }

    pub(crate) fn give_back(&mut self, mut buffer: Vec<u8>) {
        let worth_keeping = 0 < buffer.capacity() && buffer.capacity() <= BUFFER_LEN_MAX;
        if worth_keeping && self.buffers.len() < BUFFERS_MAX {
            buffer.clear();
            self.buffers.push(buffer);
        }
    }
}

impl fmt::Debug for Pool {
    /// Tells nothing about the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("buffers", &self.buffers.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;

    #[test]
    fn no_key_is_given_twice() {
        static CALLS: AtomicU8 = AtomicU8::new(0);
        fn fill(bytes: &mut [u8]) {
            let call = CALLS.fetch_add(1, Ordering::Relaxed);
            for (i, it) in bytes.chunks_mut(4).enumerate() {
                it.copy_from_slice(&[call + 1, (i >> 8) as u8, i as u8, 7]);
            }
        }
        let mut pool = Pool::new(fill);
        let keys: std::collections::HashSet<_> = (0..3000).map(|_| pool.mask_key()).collect();
        assert_eq!((keys.len(), CALLS.load(Ordering::Relaxed)), (3000, 3));
    }
}
