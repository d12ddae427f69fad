//! Messages in parts: large ones go through without being held.

use bytes::{Bytes, BytesMut};

use super::{BETWEEN, Found, Reader, State};
use crate::{deflate::InflateFault, fault::Fault, limits::Limits, mask, message::Kind, pool::Pool};

/// How messages come out of a [`Reader`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Intake {
    /// Whole, within [`Limits::message_bytes_max`] and [`Limits::fragments_max`].
    #[default]
    Whole,
    /// In parts as they arrive, each inflated and its text checked. Nothing is held, so neither
    /// limit counts: whoever reads decides how much is too much.
    Parts,
}

/// A part of a message: unmasked, inflated, checked as text as far as it goes. A part of a text may end
/// inside a code point.
#[derive(Debug)]
pub struct Part<'b> {
    /// The kind of the message.
    pub kind: Kind,
    /// Whether the message ends with it. Only the last part may be empty.
    pub is_last: bool,
    bytes: Piece<'b>,
}

#[derive(Debug)]
enum Piece<'b> {
    InPlace(&'b [u8]),
    Owned(BytesMut),
}

impl Piece<'_> {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::InPlace(it) => it,
            Self::Owned(it) => it,
        }
    }

    fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }
}

impl<'b> Part<'b> {
    pub(super) fn whole(kind: Kind, bytes: &'b [u8]) -> Self {
        Self { kind, is_last: true, bytes: Piece::InPlace(bytes) }
    }

    /// Borrows the bytes: at most 64 KiB, or what was collected before parts were asked for.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    /// Makes it independent of the buffer of the read, as [`Part::into_bytes`] does.
    pub fn into_owned(self) -> Part<'static> {
        let bytes = match self.bytes {
            Piece::InPlace(it) => Piece::Owned(it.into()),
            Piece::Owned(it) => Piece::Owned(it),
        };
        Part { kind: self.kind, is_last: self.is_last, bytes }
    }

    /// Makes them one's own: copies what lies in the buffer of the read.
    pub fn into_bytes(self) -> Bytes {
        match self.bytes {
            Piece::InPlace(it) => Bytes::copy_from_slice(it),
            Piece::Owned(it) => it.freeze(),
        }
    }
}

/// What came of bytes that were read straight to where they are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// They are the next part; more follows.
    More,
    /// They are the last part.
    Last,
    /// They are of no use: the peer broke a rule.
    Fault,
}

/// Compressed bytes that are inflated at a time: what has to be held when less than all comes out.
pub(super) const COMPRESSED_LEN_MAX: u64 = 4 << 10;
/// Inflated bytes of a part.
pub(super) const PART_LEN_MAX: usize = 16 << 10;

impl Reader {
    /// Sets how messages come out from now on. The unfinished message is affected: with
    /// [`Intake::Parts`] what was collected of it is its first part; with [`Intake::Whole`] the rest
    /// of a message whose parts came out is thrown away, still checked.
    pub fn take_in(&mut self, intake: Intake) {
        self.intake = intake;
        if let (Intake::Whole, Some(partial)) = (intake, &mut self.partial) {
            partial.is_skipped |= partial.is_parted;
        }
    }

    /// Tells whether the rest of a message is being thrown away.
    pub(crate) fn is_skipping(&self) -> bool {
        self.partial.as_ref().is_some_and(|it| it.is_skipped)
    }

    /// Tells whether there is more to come out without more bytes: call [`Reader::read`], with an empty
    /// input if there is none.
    pub fn is_holding(&self) -> bool {
        self.partial.as_ref().is_some_and(|it| {
            it.is_held() || self.intake == Intake::Parts && !it.payload.is_empty()
        })
    }

    /// Returns how many bytes may be read straight to where they are wanted, and then be given to
    /// [`Reader::fill_part`]: the rest of an uncompressed frame, with [`Intake::Parts`].
    pub fn part_room(&self) -> Option<u64> {
        let State::Data { left, .. } = self.state else { return None };
        let partial = self.partial.as_ref()?;
        let ready = self.intake == Intake::Parts
            && !partial.is_compressed()
            && !partial.is_skipped
            && partial.payload.is_empty();
        (ready && left != 0).then_some(left)
    }

    /// Unmasks and checks bytes of the peer in place; at most [`Reader::part_room`] of them. They are the
    /// next part of the message.
    ///
    /// # Errors
    /// [`Fault::TextNotUtf8`].
    pub fn fill_part(&mut self, bytes: &mut [u8]) -> Result<Filled, Fault> {
        let (State::Data { left, key, fin }, Some(partial)) = (&mut self.state, &mut self.partial)
        else {
            return Ok(Filled::More);
        };
        mask::apply(bytes, *key);
        *key = mask::rotate(*key, bytes.len());
        *left = left.saturating_sub(bytes.len() as u64);
        partial.is_parted = true;
        partial.check(bytes)?;
        match (*left, *fin) {
            (0, true) => {
                self.end_parts()?;
                Ok(Filled::Last)
            }
            (0, false) => {
                self.state = BETWEEN;
                Ok(Filled::More)
            }
            _ => Ok(Filled::More),
        }
    }

    /// Goes on with an unfinished message after [`Reader::take_in`].
    pub(super) fn resume_partial(
        &mut self,
        limits: &Limits,
    ) -> Result<Option<Found<'static>>, Fault> {
        let Some(partial) = &mut self.partial else { return Ok(None) };
        match self.intake {
            Intake::Parts if partial.is_skipped || partial.payload.is_empty() => Ok(None),
            Intake::Parts => {
                partial.is_parted = true;
                let bytes = Piece::Owned(std::mem::take(&mut partial.payload));
                Ok(Some(Found::Part(Part { kind: partial.kind, is_last: false, bytes })))
            }
            // Begun while no limit counted.
            Intake::Whole if partial.is_skipped => Ok(None),
            Intake::Whole => partial.check_limits(limits).map(|()| None),
        }
    }

    /// Takes in an unmasked piece and returns the part that it makes.
    pub(super) fn part<'b>(
        &mut self,
        piece: &'b [u8],
        done: Option<bool>,
        pool: &mut Pool,
    ) -> Result<Option<Found<'b>>, Fault> {
        let partial = self.partial.as_deref_mut().expect("a data frame belongs to a message");
        let (kind, is_skipped) = (partial.kind, partial.is_skipped);
        let bytes = if partial.is_compressed() {
            Piece::Owned(partial.inflate_some(piece, done == Some(true))?)
        } else {
            partial.check(piece)?;
            Piece::InPlace(piece)
        };
        let is_last = done == Some(true) && !partial.is_held();
        let is_wanted = !is_skipped && (is_last || !bytes.is_empty());
        // Only now: what nobody has seen of a message may still come out whole.
        partial.is_parted |= is_wanted;
        if is_last {
            self.return_inflater(pool);
            self.end_parts()?;
        } else if done == Some(false) && !partial.is_held() {
            self.state = BETWEEN;
        }
        Ok(is_wanted.then_some(Found::Part(Part { kind, is_last, bytes })))
    }

    fn end_parts(&mut self) -> Result<(), Fault> {
        self.state = BETWEEN;
        let partial = self.partial.take().expect("a message that ends has begun");
        partial.finish().map(drop)
    }
}

impl From<InflateFault> for Fault {
    fn from(fault: InflateFault) -> Self {
        match fault {
            InflateFault::Bad => Self::BadDeflate,
            InflateFault::TooBig => Self::MessageTooBig,
        }
    }
}
