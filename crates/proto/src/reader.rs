//! Frames in, messages out: the reading half of RFC 6455 §5 and §6.2.

mod onto;
mod part;
mod partial;
mod payload;
#[cfg(test)]
pub(crate) mod tests;

use std::fmt;

use bytes::{Bytes, BytesMut};

use crate::{
    close::{CloseCode, ClosePayload},
    deflate::{Direction, Window},
    fault::Fault,
    header::{Header, Opcode},
    limits::{Limits, Role},
    mask,
    message::{Kind, Utf8Bytes},
    pool::Pool,
    utf8,
};

pub use onto::read_onto;
pub use part::{Filled, Intake, Part};
use partial::Partial;
use payload::Repr;
pub use payload::{InPlace, Input, Payload};

/// From how many bytes on the rest of a frame is read straight into its message.
const SPARE_LEN_MIN: u64 = 16 << 10;

/// What a [`Reader`] found.
#[derive(Debug)]
pub enum Found<'b> {
    /// A whole message: unmasked, inflated, its text checked.
    Message(Payload<'b>),
    /// The next part of a message, with [`Intake::Parts`].
    Part(Part<'b>),
    /// A Ping and its payload.
    Ping(Bytes),
    /// A Pong and its payload.
    Pong(Bytes),
    /// A Close frame: its code ([`CloseCode::NO_STATUS`] if it has none) and reason.
    Close(CloseCode, Utf8Bytes),
}

/// Reads frames and puts messages together.
///
/// It takes in every byte it is given: of an unfinished header it keeps up to 13 bytes, of an
/// unfinished message what has arrived, and otherwise nothing.
///
/// ```text
///            ┌──────────── header complete, payload all here ───────────┐
///            ▼                                                          │
/// Between { up to 13 bytes of a header } ── payload not all here ──► Data │ Control { bytes left }
///            ▲                                                          │
///            └────────────────── payload complete ──────────────────────┘
/// ```
pub struct Reader {
    role: Role,
    deflate: Option<Direction>,
    /// What the peer may point back to from its next message, if it keeps its window.
    window: Option<Box<Window>>,
    state: State,
    /// The message that is not finished yet. Independent of `state`: control frames come between
    /// the fragments of a message.
    partial: Option<Box<Partial>>,
    intake: Intake,
    /// Frames whose header was read.
    frames: u64,
}

enum State {
    Between {
        begun: [u8; Header::LEN_MAX],
        begun_len: u8,
    },
    Data {
        left: u64,
        key: [u8; 4],
        fin: bool,
    },
    /// Boxed: rarely does a control frame not arrive whole.
    Control(Box<Control>),
}

struct Control {
    opcode: Opcode,
    left: u8,
    key: [u8; 4],
    payload: Vec<u8>,
}

const BETWEEN: State = State::Between { begun: [0; Header::LEN_MAX], begun_len: 0 };

impl Reader {
    /// Makes a reader for one end; `deflate` is what was agreed on for the peer's direction.
    pub fn new(role: Role, deflate: Option<Direction>) -> Self {
        Self {
            role,
            deflate,
            window: None,
            state: BETWEEN,
            partial: None,
            intake: Intake::Whole,
            frames: 0,
        }
    }

    /// Takes the next message or control frame out of `input`; `None` when all of it is consumed.
    ///
    /// # Errors
    /// The first rule that the peer broke. The reader is then of no more use.
    #[expect(clippy::missing_panics_doc, reason = "what it expects is an invariant")]
    pub fn read<'b>(
        &mut self,
        input: &mut Input<'b>,
        limits: &Limits,
        pool: &mut Pool,
    ) -> Result<Option<Found<'b>>, Fault> {
        if let Some(part) = self.resume_partial(limits)? {
            return Ok(Some(part));
        }
        loop {
            let found = match &mut self.state {
                State::Between { .. } => {
                    let Some((header, header_len)) = self.header(input)? else {
                        return Ok(None);
                    };
                    self.frame(header, header_len, input, limits, pool)?
                }
                State::Data { left, key, fin } => {
                    let partial = self.partial.as_ref().expect("data belongs to a message");
                    let is_held = partial.is_held();
                    if input.is_empty() && *left != 0 && !is_held {
                        return Ok(None);
                    }
                    let piece_len =
                        partial.piece_len_max(self.intake).min(*left).min(input.len() as u64);
                    let piece = input.take(piece_len as usize);
                    mask::apply(piece, *key);
                    *key = mask::rotate(*key, piece.len());
                    *left -= piece.len() as u64;
                    let done = (*left == 0).then_some(*fin);
                    self.data(piece, done, limits, pool)?
                }
                State::Control(control_frame) => {
                    let Control { opcode, left, key, payload } = &mut **control_frame;
                    if input.is_empty() && *left != 0 {
                        return Ok(None);
                    }
                    let piece = input.take(usize::from(*left).min(input.len()));
                    *left -= piece.len() as u8;
                    payload.extend_from_slice(piece);
                    if *left != 0 {
                        return Ok(None);
                    }
                    mask::apply(payload, *key);
                    let (opcode, payload) = (*opcode, std::mem::take(payload));
                    self.state = BETWEEN;
                    Some(control(opcode, &payload)?)
                }
            };
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    /// Tells whether a message or a frame is begun and not finished.
    pub fn is_amid(&self) -> bool {
        self.partial.is_some() || !matches!(self.state, State::Between { begun_len: 0, .. })
    }

    /// Lends the buffer of the unfinished message, and how many bytes may be appended to it, when the
    /// rest of a large uncompressed frame may be read straight into it. Its capacity is at most twice
    /// the bytes that arrived, plus 16 KiB; or it is the buffer of a message before, and at most twice as large as this frame.
    pub fn spare(&mut self) -> Option<(&mut BytesMut, usize)> {
        let (State::Data { left, .. }, Intake::Whole) = (&self.state, self.intake) else {
            return None;
        };
        let left = *left;
        let partial = self.partial.as_deref_mut()?;
        if left < SPARE_LEN_MIN || partial.is_compressed() || partial.is_parted {
            return None;
        }
        let payload = &mut partial.payload;
        let room = left.min(payload.len().max(SPARE_LEN_MIN as usize) as u64) as usize;
        if payload.capacity() - payload.len() < SPARE_LEN_MIN as usize {
            payload.reserve(room);
        }
        let room = (payload.capacity() - payload.len()).min(left as usize);
        Some((payload, room))
    }

    /// Takes in `n` bytes that were appended to [`Reader::spare`]'s buffer.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn filled(&mut self, n: usize) -> Result<Option<Found<'static>>, Fault> {
        let (State::Data { left, key, fin }, Some(partial)) = (&mut self.state, &mut self.partial)
        else {
            return Ok(None);
        };
        let start = partial.payload.len().saturating_sub(n);
        let piece = &mut partial.payload[start..];
        mask::apply(piece, *key);
        *key = mask::rotate(*key, piece.len());
        *left = left.saturating_sub(piece.len() as u64);
        if !partial.text_goes_on(start) {
            return Err(Fault::TextNotUtf8);
        }
        match (*left, *fin) {
            (0, true) => self.finish(),
            (0, false) => {
                self.state = BETWEEN;
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    /// Puts the next header together; `None` when `input` ended before it did.
    fn header(&mut self, input: &mut Input<'_>) -> Result<Option<(Header, usize)>, Fault> {
        let State::Between { begun, begun_len } = &mut self.state else { return Ok(None) };
        let begun_before = usize::from(*begun_len);
        if begun_before == 0
            && let Some((header, len)) = Header::parse(input.rest)?
        {
            // The header stays in front of the payload, for `InPlace`.
            return Ok(Some((header, len)));
        }
        let copied = input.len().min(Header::LEN_MAX - begun_before);
        let end = begun_before + copied;
        begun[begun_before..end].copy_from_slice(&input.rest[..copied]);
        match Header::parse(&begun[..end])? {
            Some((header, len)) => {
                input.take(len - begun_before);
                Ok(Some((header, 0)))
            }
            None => {
                input.take(copied);
                *begun_len = end as u8;
                Ok(None)
            }
        }
    }

    /// Begins a frame. `header_len` bytes of its header are still at the front of `input`.
    fn frame<'b>(
        &mut self,
        header: Header,
        header_len: usize,
        input: &mut Input<'b>,
        limits: &Limits,
        pool: &mut Pool,
    ) -> Result<Option<Found<'b>>, Fault> {
        self.check(&header)?;
        self.frames += 1;
        let key = header.mask.unwrap_or_default();
        let is_here = header.payload_len <= (input.len() - header_len) as u64;
        if header.opcode.is_control() {
            let left = header.payload_len as u8;
            if is_here {
                let frame = input.take(header_len + usize::from(left));
                let payload = &mut frame[header_len..];
                mask::apply(payload, key);
                self.state = BETWEEN;
                return control(header.opcode, payload).map(Some);
            }
            input.take(header_len);
            let payload = Vec::with_capacity(usize::from(left));
            let frame = Control { opcode: header.opcode, left, key, payload };
            self.state = State::Control(Box::new(frame));
            return Ok(None);
        }
        let whole = is_here && header.fin && header.opcode != Opcode::Continuation;
        if whole && !header.rsv1 {
            let parts = self.intake == Intake::Parts;
            if !parts && (limits.message_bytes_max as u64) < header.payload_len {
                return Err(Fault::MessageTooBig);
            }
            let frame = input.take(header_len + header.payload_len as usize);
            let payload = &mut frame[header_len..];
            mask::apply(payload, key);
            let kind = kind_of(header.opcode);
            if kind == Kind::Text && !utf8::is_utf8(payload) {
                return Err(Fault::TextNotUtf8);
            }
            self.state = BETWEEN;
            if parts {
                return Ok(Some(Found::Part(Part::whole(kind, &frame[header_len..]))));
            }
            let in_place = InPlace { frame, header_len };
            return Ok(Some(Found::Message(Payload { kind, repr: Repr::InPlace(in_place) })));
        }
        self.begin(&header, limits, pool)?;
        input.take(header_len);
        self.state = State::Data { left: header.payload_len, key, fin: header.fin };
        Ok(None)
    }

    /// Checks what depends on our role, on what was agreed and on the frames before.
    fn check(&self, header: &Header) -> Result<(), Fault> {
        match (self.role, header.mask) {
            // §5.1: "The server MUST close the connection upon receiving a frame that is not masked."
            (Role::Server, None) => return Err(Fault::Unmasked),
            // §5.1: "A client MUST close a connection if it detects a masked frame."
            (Role::Client, Some(_)) => return Err(Fault::Masked),
            _ => {}
        }
        let begins = matches!(header.opcode, Opcode::Text | Opcode::Binary);
        // RFC 7692 §6: RSV1 stands "on only the first fragment of a message"; §6.1: never on a
        // control frame.
        if header.rsv1 && !(begins && self.deflate.is_some()) {
            return Err(Fault::ReservedBit);
        }
        match (header.opcode, self.partial.is_some()) {
            (Opcode::Continuation, false) => Err(Fault::UnexpectedContinuation),
            (Opcode::Text | Opcode::Binary, true) => Err(Fault::ExpectedContinuation),
            _ => Ok(()),
        }
    }

    /// Begins a message, or its next fragment.
    fn begin(&mut self, header: &Header, limits: &Limits, pool: &mut Pool) -> Result<(), Fault> {
        let opcode = header.opcode;
        let inflater = self.deflate.filter(|_| header.rsv1).map(|direction| {
            let window = self.window.take().map(|it| *it);
            let mut inflater = pool.deflate.take_inflater();
            inflater.put_window(window.unwrap_or_else(|| Window::new(direction.window_bits)));
            inflater
        });
        let intake = self.intake;
        let partial = match opcode {
            Opcode::Continuation => self.partial.as_mut().ok_or(Fault::UnexpectedContinuation)?,
            _ => self.partial.insert(Box::new(Partial::new(kind_of(opcode), inflater))),
        };
        partial.announce(header.payload_len, limits, intake, &mut pool.spares)
    }

    /// Takes in an unmasked piece of a data frame; `done` tells, at the frame's end, whether it has FIN.
    fn data<'b>(
        &mut self,
        piece: &'b [u8],
        done: Option<bool>,
        limits: &Limits,
        pool: &mut Pool,
    ) -> Result<Option<Found<'b>>, Fault> {
        let State::Data { left, .. } = self.state else { unreachable!("amid a data frame") };
        let partial = self.partial.as_deref_mut().expect("a data frame belongs to a message");
        if self.intake == Intake::Parts || partial.is_parted {
            return self.part(piece, done, pool);
        }
        if partial.is_compressed() {
            partial.inflate(piece, done == Some(true), limits)?;
        } else {
            partial.append(piece, left)?;
        }
        match done {
            None => Ok(None),
            Some(false) => {
                self.state = BETWEEN;
                Ok(None)
            }
            Some(true) => {
                self.return_inflater(pool);
                self.finish()
            }
        }
    }

    /// Gives the inflater of a finished message back and keeps its window, if the peer keeps its own.
    fn return_inflater(&mut self, pool: &mut Pool) {
        if let Some(mut inflater) = self.partial.as_mut().and_then(|it| it.inflater.take()) {
            if self.deflate.is_some_and(|it| !it.no_context_takeover) {
                self.window = Some(Box::new(inflater.take_window()));
            }
            pool.deflate.give_inflater(inflater);
        }
    }

    fn finish(&mut self) -> Result<Option<Found<'static>>, Fault> {
        self.state = BETWEEN;
        let partial = self.partial.take().expect("a message that ends has begun");
        let payload = partial.finish()?;
        Ok(Some(Found::Message(payload)))
    }

    /// Returns how many frames have begun.
    pub fn frames(&self) -> u64 {
        self.frames
    }
}

fn kind_of(opcode: Opcode) -> Kind {
    if opcode == Opcode::Text { Kind::Text } else { Kind::Binary }
}

fn control(opcode: Opcode, payload: &[u8]) -> Result<Found<'static>, Fault> {
    Ok(match opcode {
        Opcode::Ping => Found::Ping(Bytes::copy_from_slice(payload)),
        Opcode::Pong => Found::Pong(Bytes::copy_from_slice(payload)),
        _ => {
            let (code, reason) = ClosePayload::parse(payload)?;
            Found::Close(code, reason)
        }
    })
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("role", &self.role)
            .field("deflate", &self.deflate)
            .field("is_amid", &self.is_amid())
            .finish_non_exhaustive()
    }
}
