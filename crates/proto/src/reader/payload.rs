//! The bytes of one read, and the payloads found in them.

use bytes::{Bytes, BytesMut};

use crate::{
    header::Header,
    message::{Kind, Message, Utf8Bytes},
};

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

    /// Takes back what is not consumed, for a later read.
    pub fn into_rest(self) -> &'b mut [u8] {
        self.rest
    }

    /// Takes the first `n` bytes, or all if there are fewer.
    pub(crate) fn take(&mut self, n: usize) -> &'b mut [u8] {
        let rest = std::mem::take(&mut self.rest);
        let (front, back) = rest.split_at_mut(n.min(rest.len()));
        self.rest = back;
        front
    }
}

/// The payload of a whole message, where it happens to lie. The text of a text message is checked.
#[derive(Debug)]
pub struct Payload<'b> {
    pub(super) kind: Kind,
    pub(super) repr: Repr<'b>,
}

#[derive(Debug)]
pub(super) enum Repr<'b> {
    /// In the buffer of the read.
    InPlace(InPlace<'b>),
    /// Collected from several reads or frames, or inflated.
    Owned(BytesMut),
}

impl<'b> Payload<'b> {
    /// Returns the message's kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Borrows the bytes.
    pub fn as_slice(&self) -> &[u8] {
        match &self.repr {
            Repr::InPlace(it) => it.as_slice(),
            Repr::Owned(it) => it,
        }
    }

    /// Makes it one's own: copies what lies in the buffer of the read, freezes what was collected.
    pub fn into_bytes(self) -> Bytes {
        match self.repr {
            Repr::InPlace(it) => Bytes::copy_from_slice(it.as_slice()),
            Repr::Owned(it) => it.freeze(),
        }
    }

    /// Makes a message of it, as [`Payload::into_bytes`] does.
    pub fn into_message(self) -> Message {
        match self.kind {
            Kind::Text => Message::Text(Utf8Bytes::from_checked(self.into_bytes())),
            Kind::Binary => Message::Binary(self.into_bytes()),
        }
    }

    /// Makes it independent of the buffer of the read, as [`Payload::into_bytes`] does.
    pub fn into_owned(self) -> Payload<'static> {
        let kind = self.kind;
        let repr = match self.repr {
            Repr::InPlace(it) => Repr::Owned(it.as_slice().into()),
            Repr::Owned(it) => Repr::Owned(it),
        };
        Payload { kind, repr }
    }

    /// Returns the length, if it lies in the buffer of the read.
    pub(crate) fn len_in_place(&self) -> Option<usize> {
        match &self.repr {
            Repr::InPlace(it) => Some(it.as_slice().len()),
            Repr::Owned(_) => None,
        }
    }

    /// Wraps what was cut out of the buffer of a read: a text is checked.
    pub(crate) fn cut(kind: Kind, bytes: BytesMut) -> Payload<'static> {
        Payload { kind, repr: Repr::Owned(bytes) }
    }

    /// Returns the frame in the buffer of the read, if the message is one whole uncompressed frame
    /// there; otherwise gives the payload back.
    ///
    /// # Errors
    /// The payload itself, when it was collected or inflated.
    pub fn into_in_place(self) -> Result<InPlace<'b>, Self> {
        match self.repr {
            Repr::InPlace(it) => Ok(it),
            Repr::Owned(_) => Err(self),
        }
    }
}

/// A whole frame in the buffer of the read: its header, then its unmasked payload.
#[derive(Debug)]
pub struct InPlace<'b> {
    pub(super) frame: &'b mut [u8],
    pub(super) header_len: usize,
}

impl<'b> InPlace<'b> {
    /// Borrows the payload.
    pub fn as_slice(&self) -> &[u8] {
        &self.frame[self.header_len..]
    }

    /// Borrows the payload to change it.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.frame[self.header_len..]
    }

    /// Turns the frame of a client into one that a server sends, without moving the payload: the
    /// unmasked header is 4 bytes shorter, so it fits. The bytes stay in the buffer of the read, so
    /// the answers to all frames of one read can go out in one vectored write.
    ///
    /// # Errors
    /// The frame itself, if its header came with an earlier read or had no mask.
    ///
    /// ```
    /// use taiwa_proto::{*, reader::{Found, Reader}};
    /// let mut pool = Pool::new(|_| ());
    /// let mut bytes = [0x82, 0x81, 1, 2, 3, 4, b'x' ^ 1];
    /// let mut input = Input::new(&mut bytes);
    /// let mut reader = Reader::new(Role::Server, None);
    /// let found = reader.read(&mut input, &Limits::default(), &mut pool).unwrap();
    /// let Some(Found::Message(payload)) = found else { unreachable!() };
    /// let frame = payload.into_in_place().unwrap().into_reply(Kind::Binary).unwrap();
    /// assert_eq!(frame, [0x82, 1, b'x']);
    /// ```
    pub fn into_reply(self, kind: Kind) -> Result<&'b mut [u8], Self> {
        let opcode = kind.into();
        let payload_len = (self.frame.len() - self.header_len) as u64;
        let header = Header { fin: true, rsv1: false, opcode, mask: None, payload_len };
        let len = header.encoded_len();
        match self.header_len.checked_sub(len) {
            None => Err(self),
            Some(start) => {
                header.write(&mut self.frame[start..]);
                Ok(&mut self.frame[start..])
            }
        }
    }
}
