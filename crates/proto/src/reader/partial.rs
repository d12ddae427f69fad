//! A message that is not finished: what has arrived of it, checked as far as it goes.

use bytes::BytesMut;

use crate::{
    deflate::{InflateFault, Inflater},
    fault::Fault,
    limits::Limits,
    message::Kind,
    utf8::Utf8,
};

use super::payload::{Payload, Repr};

/// Bytes that compressed fragments may have beyond the message limit: blocks that inflate to nothing
/// cost no memory, so this only bounds the work.
const COMPRESSED_SURPLUS: u64 = 64 << 10;
/// The most that is allocated at once on the word of a header.
const FIRST_LEN_MAX: usize = 16 << 10;

pub(super) struct Partial {
    kind: Kind,
    pub(super) compressed: bool,
    fragments: u32,
    /// Payload bytes in the headers so far.
    announced: u64,
    pub(super) payload: BytesMut,
    text: Utf8,
}

impl Partial {
    pub(super) fn new(kind: Kind, compressed: bool) -> Self {
        let (payload, text) = (BytesMut::new(), Utf8::default());
        Self { kind, compressed, fragments: 0, announced: 0, payload, text }
    }

    /// Counts a frame of `len` bytes in, before any of them is looked at.
    pub(super) fn announce(&mut self, len: u64, limits: &Limits) -> Result<(), Fault> {
        self.fragments += 1;
        if limits.fragments_max < self.fragments {
            return Err(Fault::TooManyFragments);
        }
        self.announced = self.announced.saturating_add(len);
        let surplus = if self.compressed { COMPRESSED_SURPLUS } else { 0 };
        if (limits.message_bytes_max as u64).saturating_add(surplus) < self.announced {
            return Err(Fault::MessageTooBig);
        }
        if self.payload.is_empty() && !self.compressed {
            self.payload.reserve(len.min(FIRST_LEN_MAX as u64) as usize);
        }
        Ok(())
    }

    pub(super) fn append(&mut self, piece: &[u8]) -> Result<(), Fault> {
        let start = self.payload.len();
        self.payload.extend_from_slice(piece);
        if self.text_goes_on(start) { Ok(()) } else { Err(Fault::TextNotUtf8) }
    }

    pub(super) fn inflate(
        &mut self,
        inflater: &mut Inflater,
        piece: &[u8],
        is_last: bool,
        limits: &Limits,
    ) -> Result<(), Fault> {
        let start = self.payload.len();
        let len_max = limits.message_bytes_max;
        let mut inflated = inflater.inflate(piece, &mut self.payload, len_max);
        if is_last && inflated.is_ok() {
            inflated = inflater.end_message();
        }
        // What came out before the fault is checked first: text that is bad stays bad.
        if !self.text_goes_on(start) {
            return Err(Fault::TextNotUtf8);
        }
        inflated.map_err(|it| match it {
            InflateFault::Bad => Fault::BadDeflate,
            InflateFault::TooBig => Fault::MessageTooBig,
        })
    }

    /// Checks the text that was appended from `start` on.
    pub(super) fn text_goes_on(&mut self, start: usize) -> bool {
        self.kind == Kind::Binary || self.text.push(&self.payload[start..])
    }

    pub(super) fn finish(self) -> Result<Payload<'static>, Fault> {
        if !self.text.is_complete() {
            return Err(Fault::TextNotUtf8);
        }
        Ok(Payload { kind: self.kind, repr: Repr::Owned(self.payload) })
    }
}
