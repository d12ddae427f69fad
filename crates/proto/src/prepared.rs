//! Messages that are framed and compressed once for many receivers.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;

use crate::{
    deflate::{Deflate, Shape},
    header::Header,
    message::Message,
    pool::Pool,
};

/// Ways of compressing that are kept of one message. Servers have one or two of them: a window that
/// a client asks to be smaller makes another one.
const CLASSES_MAX: usize = 8;

/// A message that is sent to many connections: framed once, and compressed once for each way of
/// compressing that was negotiated. Cloning it copies nothing.
///
/// A client masks each frame with a key of its own (RFC 6455 §5.3), so a client that sends one saves the
/// compression and not the framing.
///
/// ```
/// use taiwa_proto::{Message, Prepared};
/// let prepared = Prepared::new("to all");
/// let again = prepared.clone();
/// assert_eq!(again.message(), &Message::from("to all"));
/// ```
#[derive(Clone)]
pub struct Prepared(Arc<Forms>);

struct Forms {
    message: Message,
    /// A server's frame.
    plain: OnceLock<Bytes>,
    compressed: [OnceLock<Compressed>; CLASSES_MAX],
}

/// One way of compressing, and what came of it.
struct Compressed {
    shape: Shape,
    /// The compressed payload, and a server's frame around it. `None`: it does not get smaller.
    frame: Option<(Bytes, usize)>,
}

impl Prepared {
    /// Prepares a message. Nothing is framed or compressed before the first connection needs it.
    pub fn new(message: impl Into<Message>) -> Self {
        Self(Arc::new(Forms {
            message: message.into(),
            plain: OnceLock::new(),
            compressed: Default::default(),
        }))
    }

    /// Borrows the message.
    pub fn message(&self) -> &Message {
        &self.0.message
    }

    /// Returns a server's frame without compression.
    pub(crate) fn plain(&self) -> &Bytes {
        self.0.plain.get_or_init(|| frame(&self.0.message, false, self.0.message.as_bytes()).0)
    }

    /// Returns a server's frame with compression, and how many bytes of it are header. `None` if it is
    /// to be sent plain. The window behind it is that of a compressor that begins with the message.
    pub(crate) fn compressed(
        &self,
        config: &Deflate,
        window_bits: u8,
        pool: &mut Pool,
    ) -> Option<(Bytes, usize)> {
        let shape = Shape::new(config, window_bits);
        for class in &self.0.compressed {
            let found = class.get_or_init(|| Compressed {
                shape,
                frame: self.compress(config, window_bits, pool),
            });
            if found.shape == shape {
                return found.frame.clone();
            }
        }
        self.compress(config, window_bits, pool)
    }

    fn compress(
        &self,
        config: &Deflate,
        window_bits: u8,
        pool: &mut Pool,
    ) -> Option<(Bytes, usize)> {
        let payload = self.0.message.as_bytes();
        if payload.len() < config.message_bytes_min {
            return None;
        }
        let mut compressed = pool.buffer();
        pool.deflate.deflater(config, window_bits).compress(payload, true, &mut compressed);
        let pays = config.message_bytes_min == 0 || compressed.len() < payload.len();
        let made = pays.then(|| frame(&self.0.message, true, &compressed));
        pool.give_back(compressed);
        made
    }
}

/// Makes a server's frame; returns it with the length of its header.
fn frame(message: &Message, rsv1: bool, payload: &[u8]) -> (Bytes, usize) {
    let header = Header {
        fin: true,
        rsv1,
        opcode: message.kind().into(),
        mask: None,
        payload_len: payload.len() as u64,
    };
    let mut bytes = vec![0; header.encoded_len() + payload.len()];
    let header_len = header.write(&mut bytes);
    bytes[header_len..].copy_from_slice(payload);
    (bytes.into(), header_len)
}

impl<M: Into<Message>> From<M> for Prepared {
    fn from(message: M) -> Self {
        Self::new(message)
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Prepared").field(&self.0.message).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_framed_and_compressed_once_for_each_class() {
        let mut pool = Pool::new(|_| ());
        let prepared = Prepared::new("x".repeat(1000));
        assert_eq!(prepared.plain().as_ptr(), prepared.clone().plain().as_ptr());
        let config = Deflate::default();
        let (twelve, _) = prepared.compressed(&config, 12, &mut pool).expect("it gets smaller");
        let (again, header_len) = prepared.compressed(&config, 12, &mut pool).expect("as before");
        assert_eq!((twelve.as_ptr(), header_len), (again.as_ptr(), 2));
        let (nine, _) = prepared.compressed(&config, 9, &mut pool).expect("it gets smaller");
        assert_ne!(twelve.as_ptr(), nine.as_ptr());
    }

    #[test]
    fn more_classes_than_are_kept_still_compress() {
        let mut pool = Pool::new(|_| ());
        let prepared = Prepared::new("x".repeat(1000));
        for level in 1..=9 {
            for bits in 9..=15 {
                let config = Deflate { level, ..Deflate::default() };
                assert!(prepared.compressed(&config, bits, &mut pool).is_some());
            }
        }
    }
}
