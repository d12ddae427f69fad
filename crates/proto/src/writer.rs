//! Messages in, frames out: the writing half of RFC 6455 §5 and §6.1.

use bytes::Bytes;

use crate::{
    deflate::{Deflate, Deflater, Direction},
    header::{Header, Opcode},
    limits::Role,
    mask,
    message::{Kind, Message},
    outbox::Outbox,
    pool::Pool,
};

/// Payloads from this size on are not copied by a server: one more slice costs less than the copy.
const SHARED_BYTES_MIN: usize = 4096;

/// Writes frames into an [`Outbox`].
pub struct Writer {
    role: Role,
    /// How to compress, if that was agreed on.
    deflate: Option<Direction>,
    /// A compressor of our own, from the first message on that keeps its window.
    deflater: Option<Box<Deflater>>,
}

impl Writer {
    /// Makes a writer; `deflate` is what was agreed on for our direction.
    pub fn new(role: Role, deflate: Option<Direction>) -> Self {
        Self { role, deflate, deflater: None }
    }

    /// Writes a whole message as one frame. With permessage-deflate agreed on, messages from
    /// [`Deflate::message_bytes_min`] bytes on are compressed. A compressor that keeps its window sees
    /// only what the peer's inflater will see (RFC 7692 §7.2.3.2).
    pub fn message(
        &mut self,
        message: &Message,
        config: Option<&Deflate>,
        outbox: &mut Outbox,
        pool: &mut Pool,
    ) {
        let opcode = match message.kind() {
            Kind::Text => Opcode::Text,
            Kind::Binary => Opcode::Binary,
        };
        if let (Some(direction), Some(config)) = (self.deflate, config)
            && config.message_bytes_min <= message.as_bytes().len()
        {
            let mut compressed = pool.buffer();
            self.compress(message.as_bytes(), direction, config, &mut compressed, pool);
            // A compressor that forgets the message anyway leaves the choice to the end; one that keeps
            // it does not, or its window and the peer's would differ.
            let pays = !direction.no_context_takeover
                || config.message_bytes_min == 0
                || compressed.len() < message.as_bytes().len();
            if pays {
                self.frame(opcode, true, &compressed, outbox, pool);
            }
            pool.give_back(compressed);
            if pays {
                return;
            }
        }
        let bytes = message.bytes();
        if self.role == Role::Server && SHARED_BYTES_MIN <= bytes.len() {
            let header = self.header(opcode, false, bytes.len(), pool);
            outbox.append(pool, |out| push_header(&header, out));
            outbox.append_shared(Bytes::clone(bytes));
        } else {
            self.frame(opcode, false, bytes, outbox, pool);
        }
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
        self.frame(opcode, false, payload, outbox, pool);
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

    fn header(&self, opcode: Opcode, rsv1: bool, len: usize, pool: &mut Pool) -> Header {
        // §5.1: "a client MUST mask all frames that it sends", "A server MUST NOT mask any frames"
        let mask = (self.role == Role::Client).then(|| pool.mask_key());
        Header { fin: true, rsv1, opcode, mask, payload_len: len as u64 }
    }

    fn frame(
        &self,
        opcode: Opcode,
        rsv1: bool,
        payload: &[u8],
        outbox: &mut Outbox,
        pool: &mut Pool,
    ) {
        let header = self.header(opcode, rsv1, payload.len(), pool);
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
