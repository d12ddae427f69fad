//! A message that is not finished: what has arrived of it, checked as far as it goes.

use bytes::{Buf, BytesMut};

use crate::{
    deflate::Inflater, fault::Fault, limits::Limits, message::Kind, spares::Spares, utf8::Utf8,
};

use super::{
    Intake,
    part::{COMPRESSED_LEN_MAX, PART_LEN_MAX},
    payload::{Payload, Repr},
};

/// Bytes that compressed fragments may have beyond the message limit: blocks that inflate to nothing
/// cost no memory, so this only bounds the work.
const COMPRESSED_SURPLUS: u64 = 64 << 10;
/// The most that is allocated at once on the word of a header.
const FIRST_LEN_MAX: usize = 16 << 10;

/// Returns the most, up to `len_max`, from which doubling leads to `len` and not beyond: a buffer doubles when it grows.
fn step_towards(mut len: u64, len_max: usize) -> usize {
    while (len_max as u64) < len {
        len = len.div_ceil(2);
    }
    len as usize
}

pub(super) struct Partial {
    pub(super) kind: Kind,
    /// Lent from the pool, if it is compressed.
    pub(super) inflater: Option<Box<Inflater>>,
    /// Parts of it came out, so it can't come out whole.
    pub(super) is_parted: bool,
    /// The rest of it is thrown away.
    pub(super) is_skipped: bool,
    fragments: u32,
    /// Payload bytes in the headers so far.
    announced: u64,
    pub(super) payload: BytesMut,
    text: Utf8,
    /// Compressed bytes that were taken in and not inflated yet: of a message in parts.
    held: BytesMut,
    /// The inflater has more to give without more bytes.
    is_full: bool,
}

impl Partial {
    pub(super) fn new(kind: Kind, inflater: Option<Box<Inflater>>) -> Self {
        Self {
            kind,
            inflater,
            is_parted: false,
            is_skipped: false,
            fragments: 0,
            announced: 0,
            payload: BytesMut::new(),
            text: Utf8::default(),
            held: BytesMut::new(),
            is_full: false,
        }
    }

    pub(super) fn is_compressed(&self) -> bool {
        self.inflater.is_some()
    }

    /// Counts a frame of `len` bytes in, before any of them is looked at.
    pub(super) fn announce(
        &mut self,
        len: u64,
        limits: &Limits,
        intake: Intake,
        spares: &mut Spares,
    ) -> Result<(), Fault> {
        self.fragments = self.fragments.saturating_add(1);
        self.announced = self.announced.saturating_add(len);
        if intake == Intake::Parts || self.is_parted {
            return Ok(());
        }
        self.check_limits(limits)?;
        if self.payload.is_empty() && !self.is_compressed() {
            self.payload = spares.take(len).unwrap_or_default();
            self.payload.reserve(step_towards(len, FIRST_LEN_MAX));
        }
        Ok(())
    }

    pub(super) fn check_limits(&self, limits: &Limits) -> Result<(), Fault> {
        if limits.fragments_max < self.fragments {
            return Err(Fault::TooManyFragments);
        }
        let surplus = if self.is_compressed() { COMPRESSED_SURPLUS } else { 0 };
        if (limits.message_bytes_max as u64).saturating_add(surplus) < self.announced {
            return Err(Fault::MessageTooBig);
        }
        Ok(())
    }

    /// Tells whether there is more of the message without more bytes.
    pub(super) fn is_held(&self) -> bool {
        self.is_full || !self.held.is_empty()
    }

    /// Returns how many bytes may be taken in at once.
    pub(super) fn piece_len_max(&self, intake: Intake) -> u64 {
        match (self.is_held(), self.is_compressed()) {
            (true, _) => 0,
            (false, true) if self.is_parted || intake == Intake::Parts => COMPRESSED_LEN_MAX,
            (false, _) => u64::MAX,
        }
    }

    /// Inflates a piece, or what is held, until a part is full.
    pub(super) fn inflate_some(&mut self, piece: &[u8], is_last: bool) -> Result<BytesMut, Fault> {
        let mut part = BytesMut::new();
        let Some(inflater) = &mut self.inflater else { return Ok(part) };
        self.held.extend_from_slice(piece);
        let taken = inflater.inflate_some(&self.held, &mut part, PART_LEN_MAX);
        if let Ok(taken) = taken {
            self.held.advance(taken);
            self.is_full = PART_LEN_MAX <= part.len();
        }
        let ended = match taken {
            Ok(_) if is_last && !self.is_full && self.held.is_empty() => inflater.end_message(),
            Ok(_) => Ok(()),
            Err(fault) => Err(fault),
        };
        // What came out before the fault is checked first: text that is bad stays bad.
        self.check(&part)?;
        ended?;
        Ok(part)
    }

    /// Checks the next bytes of a text.
    pub(super) fn check(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        if self.kind == Kind::Binary || self.text.push(bytes) {
            Ok(())
        } else {
            Err(Fault::TextNotUtf8)
        }
    }

    /// Takes in a piece of an uncompressed frame of which `left` bytes are still to come.
    pub(super) fn append(&mut self, piece: &[u8], left: u64) -> Result<(), Fault> {
        let start = self.payload.len();
        let arrived = start + piece.len();
        if self.payload.capacity() < arrived {
            let capacity = step_towards(arrived as u64 + left, 2 * arrived);
            self.payload.reserve(capacity - start);
        }
        self.payload.extend_from_slice(piece);
        if self.text_goes_on(start) { Ok(()) } else { Err(Fault::TextNotUtf8) }
    }

    pub(super) fn inflate(
        &mut self,
        piece: &[u8],
        is_last: bool,
        limits: &Limits,
    ) -> Result<(), Fault> {
        let Some(inflater) = &mut self.inflater else { return Ok(()) };
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
        Ok(inflated?)
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
