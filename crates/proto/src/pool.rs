//! What the connections of one thread share: mask keys, compressors, spare buffers.

/// Things that connections borrow for the length of a call. Make one per thread.
#[derive(Debug)]
pub struct Pool {}

impl Pool {
    /// Makes a pool; `fill` fills a buffer with random bytes of the operating system (mask keys must
    /// be unpredictable, RFC 6455 §10.3).
    pub fn new(fill: fn(&mut [u8])) -> Self {
        let _ = fill;
        Self {}
    }
}
