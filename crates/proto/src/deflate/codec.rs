//! One message through DEFLATE (RFC 1951) as RFC 7692 §7.2 has it, on zlib-rs.

use bytes::BytesMut;

use super::Deflate;

/// Compresses messages.
pub struct Deflater {}

impl Deflater {
    /// Makes a compressor with an empty window of `window_bits` (9 to 15).
    pub fn new(config: &Deflate, window_bits: u8) -> Self {
        let _ = (config, window_bits);
        todo!()
    }

    /// Appends the compressed form of a message (or of its next fragment) to `out`, without the trailing
    /// `00 00 ff ff` of RFC 7692 §7.2.1 if it is the `last` piece. An empty message becomes one byte, `00`.
    pub fn compress(&mut self, payload: &[u8], last: bool, out: &mut Vec<u8>) {
        let _ = (payload, last, out);
        todo!()
    }

    /// Empties the window.
    pub fn reset(&mut self) {
        todo!()
    }
}

/// Inflates messages.
pub struct Inflater {}

/// Why a message can't be inflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InflateFault {
    /// Not DEFLATE data, or data goes on behind its end.
    Bad,
    /// More than `out_len_max` bytes.
    TooBig,
}

impl Inflater {
    /// Makes an inflater with an empty window of `window_bits` (8 to 15).
    pub fn new(window_bits: u8) -> Self {
        let _ = window_bits;
        todo!()
    }

    /// Inflates the next piece of a message, appending to `out`, which never grows past `out_len_max` bytes
    /// in all. Stops within one 16 KiB chunk of the limit.
    pub fn inflate(
        &mut self,
        piece: &[u8],
        out: &mut BytesMut,
        out_len_max: usize,
    ) -> Result<(), InflateFault> {
        let _ = (piece, out, out_len_max);
        todo!()
    }

    /// Ends a message (feeds `00 00 ff ff`, RFC 7692 §7.2.2): what is still inside comes out.
    /// The window stays for the next message.
    pub fn end_message(
        &mut self,
        out: &mut BytesMut,
        out_len_max: usize,
    ) -> Result<(), InflateFault> {
        let _ = (out, out_len_max);
        todo!()
    }

    /// Empties the window and forgets an unfinished message.
    pub fn reset(&mut self) {
        todo!()
    }
}
