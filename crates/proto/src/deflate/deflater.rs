//! Compresses messages: RFC 7692 §7.2.1 on zlib-rs.

use std::fmt;

use zlib_rs::{DeflateConfig, DeflateFlush};

use super::{Deflate, SYNC_TAIL};

/// Bytes asked of the compressor at a time.
const CHUNK_LEN_MAX: usize = 16 << 10;

/// Compresses the messages of one direction of a connection, or, if it is [`reset`](Self::reset)
/// before each message, of many connections.
///
/// ```
/// use taiwa_proto::deflate::{Deflate, Deflater};
/// let mut deflater = Deflater::new(&Deflate::default(), 15);
/// let mut out = Vec::new();
/// deflater.compress(b"Hello", true, &mut out);
/// assert_eq!(out, [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]); // RFC 7692 §7.2.3.1
/// ```
pub struct Deflater {
    stream: zlib_rs::Deflate,
    shape: Shape,
}

/// What a compressor is built with. Compressors of equal shape stand in for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    level: u8,
    window_bits: u8,
    memory_level: u8,
}

impl Shape {
    /// Brings values that zlib would refuse to the nearest that it takes, so that no configuration
    /// makes a compressor that can't compress.
    pub(crate) fn new(config: &Deflate, window_bits: u8) -> Self {
        Self {
            level: config.level.clamp(1, 9),
            window_bits: window_bits.clamp(9, 15),
            memory_level: config.memory_level.clamp(1, 9),
        }
    }
}

impl Deflater {
    /// Makes a compressor with an empty window of `window_bits` (9 to 15); values outside of their
    /// range are brought to its nearest end.
    pub fn new(config: &Deflate, window_bits: u8) -> Self {
        let shape = Shape::new(config, window_bits);
        let stream = zlib_rs::Deflate::new_with_config(DeflateConfig {
            level: i32::from(shape.level),
            // Negative: DEFLATE without zlib's header.
            window_bits: -i32::from(shape.window_bits),
            mem_level: i32::from(shape.memory_level),
            ..DeflateConfig::default()
        });
        Self { stream, shape }
    }

    /// Appends the compressed form of a message (or of its next fragment) to `out`, without the
    /// trailing `00 00 ff ff` of RFC 7692 §7.2.1 if it is the `last` piece. An empty message becomes
    /// one byte, `00`.
    ///
    /// Every fragment is flushed, so that the peer can read all of it before the next one comes. An
    /// empty fragment that is not the last appends nothing.
    #[expect(clippy::missing_panics_doc, reason = "what it expects is an invariant")]
    pub fn compress(&mut self, payload: &[u8], last: bool, out: &mut Vec<u8>) {
        if payload.is_empty() {
            // Each piece ended on a byte boundary; zlib does not flush twice without input between.
            // RFC 7692 §7.2.3.6: "If the compression library doesn't generate any data when the
            // buffer is empty, an empty uncompressed DEFLATE block can be built and used for this
            // purpose as follows: 0x00".
            if last {
                out.push(0);
            }
            return;
        }
        let mut rest = payload;
        // Enough for what does not compress at all, with the flush: messages below 14 KiB need one
        // round, and no more than this is zeroed for them.
        let mut chunk_len = (payload.len() + payload.len() / 8 + 64).min(CHUNK_LEN_MAX);
        loop {
            let start = out.len();
            out.resize(start + chunk_len, 0);
            let (total_in, total_out) = (self.stream.total_in(), self.stream.total_out());
            self.stream
                .compress(rest, &mut out[start..], DeflateFlush::SyncFlush)
                .expect("a compressor of legal shape refuses no input");
            let consumed = (self.stream.total_in() - total_in) as usize;
            let produced = (self.stream.total_out() - total_out) as usize;
            out.truncate(start + produced);
            rest = &rest[consumed..];
            // Room left over: all is written, the flush too.
            if produced < chunk_len {
                break;
            }
            chunk_len = CHUNK_LEN_MAX;
        }
        debug_assert!(rest.is_empty() && out.ends_with(&SYNC_TAIL));
        if last {
            // RFC 7692 §7.2.1: "Remove 4 octets (that are 0x00 0x00 0xff 0xff) from the tail end."
            out.truncate(out.len() - SYNC_TAIL.len());
        }
    }

    /// Empties the window.
    pub fn reset(&mut self) {
        self.stream.reset();
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }
}

impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflater").field("shape", &self.shape).finish_non_exhaustive()
    }
}
