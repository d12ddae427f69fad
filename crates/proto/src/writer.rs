//! Messages in, frames out: the writing half of RFC 6455 §5 and §6.1.

use bytes::Bytes;

use crate::{
    deflate::{Deflate, Deflater, Direction},
    fault::Misuse,
    header::{Header, Opcode},
    limits::Role,
    mask,
    message::Kind,
    outbox::Outbox,
    pool::Pool,
    prepared::Prepared,
    stats::Traffic,
    utf8::Utf8,
};

/// Payloads from this size on are not copied by a server: one more slice costs less than the copy.
const SHARED_BYTES_MIN: usize = 4096;

/// Whether a message ends with a fragment: its FIN bit (RFC 6455 §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fin {
    /// More fragments follow.
    More,
    /// It is the last one.
    Last,
}

/// Writes frames into an [`Outbox`].
pub struct Writer {
    role: Role,
    /// How to compress, if that was agreed on.
    deflate: Option<Direction>,
    /// A compressor of our own, from the first message on that keeps its window.
    deflater: Option<Box<Deflater>>,
    /// A message is begun and not finished.
    unfinished: Option<Box<Unfinished>>,
    sent: Sent,
}

/// What was written.
#[derive(Clone, Copy, Default)]
struct Sent {
    messages: u64,
    frames: u64,
    message_bytes: u64,
}

/// A message that goes out in fragments.
#[derive(Clone, Copy)]
struct Unfinished {
    /// By `Writer::deflater`.
    is_compressed: bool,
    text: Utf8,
}

impl Writer {
    /// Makes a writer; `deflate` is what was agreed on for our direction.
    pub fn new(role: Role, deflate: Option<Direction>) -> Self {
        Self { role, deflate, deflater: None, unfinished: None, sent: Sent::default() }
    }

    /// Writes a whole message as one frame; its text is known to be UTF-8. With permessage-deflate agreed on, messages from
    /// [`Deflate::message_bytes_min`] bytes on are compressed. A compressor that keeps its window sees
    /// only what the peer's inflater will see (RFC 7692 §7.2.3.2).
    pub fn message(
        &mut self,
        kind: Kind,
        bytes: &Bytes,
        config: Option<&Deflate>,
        outbox: &mut Outbox,
        pool: &mut Pool,
    ) {
        let opcode = kind.into();
        self.count(bytes.len());
        if let Some((direction, config)) = self.compression(config, bytes.len()) {
            let mut compressed = pool.buffer();
            self.compress(bytes, direction, config, &mut compressed, pool);
            // A compressor that forgets the message anyway leaves the choice to the end; one that keeps
            // it does not, or its window and the peer's would differ.
            let pays = !direction.no_context_takeover
                || config.message_bytes_min == 0
                || compressed.len() < bytes.len();
            if pays {
                self.frame(opcode, Flags::COMPRESSED, &compressed, outbox, pool);
            }
            pool.give_back(compressed);
            if pays {
                return;
            }
        }
        if self.role == Role::Server && SHARED_BYTES_MIN <= bytes.len() {
            let header = self.header(opcode, Flags::WHOLE, bytes.len(), pool);
            self.sent.frames += 1;
            outbox.append(pool, |out| push_header(&header, out));
            outbox.append_shared(Bytes::clone(bytes), pool);
        } else {
            self.frame(opcode, Flags::WHOLE, bytes, outbox, pool);
        }
    }

    /// Writes a message that many connections send. A compressor that keeps its window starts anew
    /// behind it: what the peer has in its window since then is more than it points back to.
    pub fn prepared(
        &mut self,
        prepared: &Prepared,
        config: Option<&Deflate>,
        outbox: &mut Outbox,
        pool: &mut Pool,
    ) {
        let message = prepared.message();
        let opcode = message.kind().into();
        self.count(message.as_bytes().len());
        let compression = self.compression(config, message.as_bytes().len());
        let compressed = compression.and_then(|(direction, config)| {
            prepared.compressed(config, direction.window_bits.min(config.window_bits), pool)
        });
        if compressed.is_some()
            && let Some(deflater) = &mut self.deflater
        {
            deflater.reset();
        }
        match (self.role, compressed) {
            (Role::Server, Some((frame, _))) => self.whole_frame(&frame, outbox, pool),
            (Role::Server, None) => self.whole_frame(prepared.plain(), outbox, pool),
            (Role::Client, Some((frame, header_len))) => {
                self.frame(opcode, Flags::COMPRESSED, &frame[header_len..], outbox, pool);
            }
            (Role::Client, None) => {
                self.frame(opcode, Flags::WHOLE, message.as_bytes(), outbox, pool);
            }
        }
    }

    /// Writes a fragment of a message of `kind`, the first one if none is unfinished. Each fragment can be
    /// read, and inflated, as soon as it arrives. A message is compressed if its first fragment has
    /// [`Deflate::message_bytes_min`] bytes.
    ///
    /// # Errors
    /// [`Misuse::TextNotUtf8`]; nothing is written then.
    pub fn fragment(
        &mut self,
        kind: Kind,
        payload: &[u8],
        fin: Fin,
        config: Option<&Deflate>,
        outbox: &mut Outbox,
        pool: &mut Pool,
    ) -> Result<(), Misuse> {
        let is_first = self.unfinished.is_none();
        let fin_bit = fin == Fin::Last;
        let mut unfinished = match &self.unfinished {
            Some(unfinished) => **unfinished,
            None => self.begin(config, payload.len(), pool),
        };
        if kind == Kind::Text
            && !(unfinished.text.push(payload) && (!fin_bit || unfinished.text.is_complete()))
        {
            return Err(Misuse::TextNotUtf8);
        }
        let opcode = if is_first { kind.into() } else { Opcode::Continuation };
        self.sent.message_bytes += payload.len() as u64;
        match &mut self.deflater {
            Some(deflater) if unfinished.is_compressed => {
                let mut compressed = pool.buffer();
                deflater.compress(payload, fin_bit, &mut compressed);
                // RFC 7692 §6.1: "An endpoint MUST NOT set the "Per-Message Compressed" bit of control
                // frames and non-first fragments of a data message."
                let flags = Flags { fin: fin_bit, rsv1: is_first };
                self.frame(opcode, flags, &compressed, outbox, pool);
                pool.give_back(compressed);
            }
            _ => {
                let flags = Flags { fin: fin_bit, rsv1: false };
                self.frame(opcode, flags, payload, outbox, pool);
            }
        }
        if fin_bit {
            self.sent.messages += 1;
            self.unfinished = None;
            if self.deflate.is_some_and(|it| it.no_context_takeover)
                && let Some(deflater) = self.deflater.take()
            {
                pool.deflate.give_deflater(*deflater);
            }
        } else if let Some(known) = &mut self.unfinished {
            **known = unfinished;
        } else {
            self.unfinished = Some(Box::new(unfinished));
        }
        Ok(())
    }

    fn begin(&mut self, config: Option<&Deflate>, len: usize, pool: &mut Pool) -> Unfinished {
        let compression = self.compression(config, len);
        if let Some((direction, config)) = compression {
            let window_bits = direction.window_bits.min(config.window_bits);
            self.deflater
                .get_or_insert_with(|| Box::new(pool.deflate.take_deflater(config, window_bits)));
        }
        Unfinished { is_compressed: compression.is_some(), text: Utf8::default() }
    }

    /// Tells whether a message is begun and not finished.
    pub fn is_unfinished(&self) -> bool {
        self.unfinished.is_some()
    }

    /// Returns what was written; `wire_bytes` is counted by who writes them.
    pub fn sent(&self) -> Traffic {
        let Sent { messages, frames, message_bytes } = self.sent;
        Traffic { messages, frames, message_bytes, wire_bytes: 0 }
    }

    pub(crate) fn role(&self) -> Role {
        self.role
    }

    /// Writes a control frame; `payload` has at most 125 bytes, which the caller has checked.
    pub fn control(
        &mut self,
        opcode: Opcode,
        payload: &[u8],
        outbox: &mut Outbox,
        pool: &mut Pool,
    ) {
        debug_assert!(opcode.is_control() && payload.len() <= 125);
        self.frame(opcode, Flags::WHOLE, payload, outbox, pool);
    }

    fn count(&mut self, message_len: usize) {
        self.sent.messages += 1;
        self.sent.message_bytes += message_len as u64;
    }

    /// Returns how to compress a message of `len` bytes, if it is to be compressed.
    fn compression<'c>(
        &self,
        config: Option<&'c Deflate>,
        len: usize,
    ) -> Option<(Direction, &'c Deflate)> {
        let (direction, config) = (self.deflate?, config?);
        (config.message_bytes_min <= len).then_some((direction, config))
    }

    fn compress(
        &mut self,
        payload: &[u8],
        direction: Direction,
        config: &Deflate,
        out: &mut Vec<u8>,
        pool: &mut Pool,
    ) {
        let window_bits = direction.window_bits.min(config.window_bits);
        if direction.no_context_takeover {
            pool.deflate.deflater(config, window_bits).compress(payload, true, out);
        } else {
            self.deflater
                .get_or_insert_with(|| Box::new(Deflater::new(config, window_bits)))
                .compress(payload, true, out);
        }
    }

    fn header(&self, opcode: Opcode, flags: Flags, len: usize, pool: &mut Pool) -> Header {
        // §5.1: "a client MUST mask all frames that it sends", "A server MUST NOT mask any frames"
        let mask = (self.role == Role::Client).then(|| pool.mask_key());
        let Flags { fin, rsv1 } = flags;
        Header { fin, rsv1, opcode, mask, payload_len: len as u64 }
    }

    fn frame(
        &mut self,
        opcode: Opcode,
        flags: Flags,
        payload: &[u8],
        outbox: &mut Outbox,
        pool: &mut Pool,
    ) {
        self.sent.frames += 1;
        let header = self.header(opcode, flags, payload.len(), pool);
        outbox.append(pool, |out| {
            out.reserve(header.encoded_len() + payload.len());
            push_header(&header, out);
            let start = out.len();
            out.extend_from_slice(payload);
            if let Some(key) = header.mask {
                mask::apply(&mut out[start..], key);
            }
        });
    }

    /// Writes a frame that is made already.
    fn whole_frame(&mut self, frame: &Bytes, outbox: &mut Outbox, pool: &mut Pool) {
        self.sent.frames += 1;
        let run = (frame.len() < SHARED_BYTES_MIN).then(|| pool.runs.append(frame)).flatten();
        match run {
            Some(run) => outbox.append_run(run, frame.len(), pool),
            None => outbox.append_shared(Bytes::clone(frame), pool),
        }
    }
}

/// The bits of a header that we set.
#[derive(Clone, Copy)]
struct Flags {
    fin: bool,
    rsv1: bool,
}

impl Flags {
    const WHOLE: Self = Self { fin: true, rsv1: false };
    const COMPRESSED: Self = Self { fin: true, rsv1: true };
}

fn push_header(header: &Header, out: &mut Vec<u8>) {
    let mut bytes = [0; Header::LEN_MAX];
    let len = header.write(&mut bytes);
    out.extend_from_slice(&bytes[..len]);
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer")
            .field("role", &self.role)
            .field("deflate", &self.deflate)
            .finish_non_exhaustive()
    }
}
