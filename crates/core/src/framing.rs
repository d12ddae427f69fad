//! How a dialect's messages lie on a stream of bytes, which has no borders of its own.

use bytes::{Bytes, BytesMut};

use crate::Message;

/// How the messages of one client lie on the stream of its session of WebTransport, and what its datagrams are.
///
/// It holds no state: what has arrived of a message that is not whole yet is the caller's. The messages are those of the
/// client's conversation; what a dialect's framing and conversation agree on, such as a mark in front of what is to go as a
/// datagram, is theirs alone.
pub trait Framing: Send + Sync {
    /// Takes the first message off the front of what has arrived on the stream. Of `arrived`, the first `seen` bytes were there at
    /// the call before, which found no whole message in them. With `None` it wants more, and has left what belongs to a message.
    ///
    /// # Errors
    ///
    /// What has arrived is no message, or begins one of more than `bytes_max` bytes. That is to be found out as soon as it
    /// can be: what is waited for takes memory.
    fn read(
        &self,
        arrived: &mut BytesMut,
        seen: usize,
        bytes_max: usize,
    ) -> Result<Option<Message>, Unframed>;

    /// Writes a message behind those that are to be sent on the stream before it.
    fn write(&self, message: &Message, out: &mut BytesMut);

    /// Reads a datagram. With `None`, the default, it is dropped.
    fn read_datagram(&self, datagram: Bytes) -> Option<Message> {
        let _ = datagram;
        None
    }

    /// Returns the datagram as which a message is to go, if it fits into one; with `None`, the default, it goes on the stream.
    fn datagram(&self, message: &Message) -> Option<Bytes> {
        let _ = message;
        None
    }
}

/// Why what has arrived is no message: the session is closed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Unframed {
    /// The close code.
    pub code: u16,
    /// The reason, of at most 123 bytes.
    pub reason: &'static str,
}

impl Unframed {
    /// The message is longer than the limit.
    pub const TOO_LONG: Self = Self { code: 1009, reason: "the message is too long" };
    /// Text is not UTF-8.
    pub const NO_TEXT: Self = Self { code: 1007, reason: "the text is no UTF-8" };
    /// The stream ends where a message does not.
    pub const CUT: Self = Self { code: 1002, reason: "the stream ends within a message" };
}
