//! Frames in, messages out: the reading half of RFC 6455 §5 and §6.2.

use bytes::{Bytes, BytesMut};

/// Bytes of one read. Events borrow from it; what they took is gone from the front.
#[derive(Debug)]
pub struct Input<'b> {
    pub(crate) rest: &'b mut [u8],
}

impl<'b> Input<'b> {
    /// Wraps the bytes of one read. They are unmasked in place.
    pub fn new(bytes: &'b mut [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Returns how many bytes are not consumed yet.
    pub fn len(&self) -> usize {
        self.rest.len()
    }

    /// Tells whether all is consumed.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}

/// The payload of a message, where it happens to lie.
#[derive(Debug)]
pub enum Payload<'b> {
    /// In the buffer of the read, behind its frame header.
    InPlace(InPlace<'b>),
    /// Collected from several reads or inflated.
    Owned(BytesMut),
}

impl Payload<'_> {
    /// Borrows the bytes.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::InPlace(it) => it.as_slice(),
            Self::Owned(it) => it,
        }
    }

    /// Makes it one's own: copies what lies in the read buffer, freezes what is collected.
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::InPlace(it) => Bytes::copy_from_slice(it.as_slice()),
            Self::Owned(it) => it.freeze(),
        }
    }
}

/// A whole frame in the buffer of the read: its header, then its unmasked payload.
#[derive(Debug)]
pub struct InPlace<'b> {
    pub(crate) frame: &'b mut [u8],
    pub(crate) header_len: usize,
}

impl InPlace<'_> {
    /// Borrows the payload.
    pub fn as_slice(&self) -> &[u8] {
        &self.frame[self.header_len..]
    }
}
