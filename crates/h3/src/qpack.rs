//! QPACK with the static table alone (RFC 9204): field sections, and the two streams that have nothing to say.
//!
//! We announce a dynamic table of capacity 0 and use none of the peer's, so no field section ever waits for a stream:
//! whatever refers to a dynamic table is a [`Fault`].

mod integer;
mod table;
mod huffman;
mod encode;
mod decode;
mod streams;

pub use decode::{FieldLine, FieldLines, SectionLimits};
pub use encode::SectionWriter;
pub use streams::{DecoderStream, EncoderStream};

#[cfg(doc)]
use crate::error::Fault;

/// What a field line counts beyond its name and value (RFC 9114 §4.2.2).
const LINE_OVERHEAD: usize = 32;

/// Writes `text` in Huffman's code, for fuzzers.
pub(crate) fn huffman_encoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(huffman::encoded_len(text));
    huffman::encode(text, &mut out);
    out
}

/// Reads a string of up to `len_max` bytes in Huffman's code, for fuzzers.
pub(crate) fn huffman_decoded(bytes: &[u8], len_max: usize) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    huffman::decode(bytes, len_max, &mut out).ok()?;
    Some(out)
}
