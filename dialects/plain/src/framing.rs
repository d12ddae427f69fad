//! How messages lie on the stream of a session of WebTransport, and in its datagrams.
//!
//! Between a session and its conversation a text message is one of the stream. A binary message has a mark in front: for one of
//! the stream [`KEPT`], otherwise the first byte of the datagram, which it then is.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use taiwa_core::{Framing, Message, Unframed};

/// A datagram of text.
const TEXT: u8 = 0;
/// A datagram of bytes.
const BINARY: u8 = 1;
/// Bytes of the stream.
const KEPT: u8 = 2;

/// In front of a message of the stream: the length of its payload, most significant byte first, and in the highest bit whether
/// it is binary.
const HEADER_BYTES: usize = 4;
const IS_BINARY: u32 = 1 << 31;

/// What a client hears by datagrams.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Datagrams {
    /// Nothing.
    None,
    /// What is volatile.
    #[default]
    Volatile,
    /// Whatever fits.
    All,
}

impl Framing for Datagrams {
    fn read(
        &self,
        arrived: &mut BytesMut,
        _: usize,
        bytes_max: usize,
    ) -> Result<Option<Message>, Unframed> {
        let Some(header) = arrived.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let header = u32::from_be_bytes(*header);
        let len = (header & !IS_BINARY) as usize;
        if len > bytes_max {
            return Err(Unframed::TOO_LONG);
        }
        if arrived.len() < HEADER_BYTES + len {
            return Ok(None);
        }
        let mut message = arrived.split_to(HEADER_BYTES + len);
        if header & IS_BINARY == 0 {
            message.advance(HEADER_BYTES);
            return Ok(Some(Message::Text(message.freeze())));
        }
        message.advance(HEADER_BYTES - 1);
        message[0] = KEPT;
        Ok(Some(Message::Binary(message.freeze())))
    }

    fn write(&self, message: &Message, out: &mut BytesMut) {
        let (kind, payload) = match message {
            Message::Text(text) => (0, &text[..]),
            Message::Binary(marked) => match marked.split_first() {
                Some((&TEXT, payload)) => (0, payload),
                Some((_, payload)) => (IS_BINARY, payload),
                None => return,
            },
        };
        out.put_u32(kind | payload.len() as u32);
        out.put_slice(payload);
    }

    fn read_datagram(&self, datagram: Bytes) -> Option<Message> {
        let is_message = match datagram.split_first()? {
            (&TEXT, payload) => std::str::from_utf8(payload).is_ok(),
            (&BINARY, _) => true,
            _ => false,
        };
        is_message.then_some(Message::Binary(datagram))
    }

    fn datagram(&self, message: &Message) -> Option<Bytes> {
        match (self, message) {
            (Self::None, _) => None,
            (Self::Volatile, Message::Text(_)) => None,
            (Self::All, Message::Text(text)) => Some(marked(TEXT, text)),
            (_, Message::Binary(bytes)) => match (self, bytes.split_first()?) {
                (Self::Volatile, (&KEPT, _)) => None,
                (_, (&KEPT, payload)) => Some(marked(BINARY, payload)),
                _ => Some(bytes.clone()),
            },
        }
    }
}

fn marked(mark: u8, payload: &[u8]) -> Bytes {
    [&[mark], payload].concat().into()
}

/// Makes of what a client is to hear what its session takes.
pub(crate) fn mark(message: Message, is_volatile: bool) -> Message {
    match (message, is_volatile) {
        (Message::Text(text), false) => Message::Text(text),
        (Message::Text(text), true) => Message::Binary(marked(TEXT, &text)),
        (Message::Binary(bytes), false) => Message::Binary(marked(KEPT, &bytes)),
        (Message::Binary(bytes), true) => Message::Binary(marked(BINARY, &bytes)),
    }
}

/// Takes the mark off what a client said, and tells whether that is volatile: it came as a datagram.
pub(crate) fn unmark(message: Message) -> (Message, bool) {
    match message {
        Message::Text(text) => (Message::Text(text), false),
        Message::Binary(mut bytes) => match bytes.try_get_u8() {
            Ok(TEXT) => (Message::Text(bytes), true),
            mark => (Message::Binary(bytes), mark == Ok(BINARY)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &'static str) -> Message {
        Message::Text(text.into())
    }

    fn binary(bytes: &'static [u8]) -> Message {
        Message::Binary(bytes.into())
    }

    /// Reads what arrives in pieces of this size.
    fn read(bytes: &[u8], piece: usize, max: usize) -> Result<Vec<(Message, bool)>, Unframed> {
        let (mut arrived, mut all) = (BytesMut::new(), vec![]);
        for bytes in bytes.chunks(piece) {
            let mut seen = arrived.len();
            arrived.extend_from_slice(bytes);
            while let Some(message) = Datagrams::Volatile.read(&mut arrived, seen, max)? {
                all.push(unmark(message));
                seen = 0;
            }
        }
        Ok(all)
    }

    #[test]
    fn messages_of_the_stream_stand_behind_their_length_however_they_arrive() {
        let all = [text("hello"), text(""), binary(b"\x01\x02"), binary(b""), text("対話")];
        let mut stream = BytesMut::new();
        for message in &all {
            Datagrams::Volatile.write(&mark(message.clone(), false), &mut stream);
        }
        assert_eq!(stream[..9], *b"\0\0\0\x05hello");
        assert_eq!(stream[13..19], *b"\x80\0\0\x02\x01\x02");
        let expected: Vec<_> = all.into_iter().map(|it| (it, false)).collect();
        for piece in 1..=stream.len() {
            assert_eq!(read(&stream, piece, 6), Ok(expected.clone()), "by {piece} bytes");
        }
        assert_eq!(read(&stream, 1, 5), Err(Unframed::TOO_LONG));
    }

    #[test]
    fn a_message_that_is_too_long_is_not_waited_for() {
        assert_eq!(read(b"\0\0\0\x0a", 4, 10), Ok(vec![]));
        for header in [b"\0\0\0\x0b", b"\x80\0\0\x0b", b"\xff\xff\xff\xff"] {
            assert_eq!(read(header, 4, 10), Err(Unframed::TOO_LONG));
        }
    }

    #[test]
    fn a_datagram_is_a_message_behind_its_kind_and_comes_and_goes_as_it_is() {
        for (datagram, message) in
            [(&b"\0hello"[..], text("hello")), (b"\0", text("")), (b"\x01\xff", binary(b"\xff"))]
        {
            let read = Datagrams::Volatile.read_datagram(datagram.into()).unwrap();
            assert_eq!(unmark(read.clone()), (message.clone(), true));
            assert_eq!(mark(message, true), read);
            for all in [Datagrams::Volatile, Datagrams::All] {
                assert_eq!(all.datagram(&read), Some(datagram.into()));
            }
        }
        for nonsense in [&b""[..], b"\0\xff", b"\x02hello", b"\xff"] {
            assert_eq!(Datagrams::All.read_datagram(nonsense.into()), None, "{nonsense:?}");
        }
    }

    #[test]
    fn what_goes_by_datagrams_is_the_client_s_choice() {
        use Datagrams::{All, None as Nothing, Volatile};
        let each = |message: Message, is_volatile| {
            let message = mark(message, is_volatile);
            [Nothing, Volatile, All].map(|it| it.datagram(&message).map(Vec::from))
        };
        let hello = Some(b"\0hello".to_vec());
        assert_eq!(each(text("hello"), false), [None, None, hello.clone()]);
        assert_eq!(each(text("hello"), true), [None, hello.clone(), hello]);
        let seven = Some(b"\x01\x07".to_vec());
        assert_eq!(each(binary(b"\x07"), false), [None, None, seven.clone()]);
        assert_eq!(each(binary(b"\x07"), true), [None, seven.clone(), seven]);
        // What does not fit into one goes on the stream.
        for (message, stream) in
            [(text("hello"), &b"\0\0\0\x05hello"[..]), (binary(b"\x07"), b"\x80\0\0\x01\x07")]
        {
            let mut out = BytesMut::new();
            Volatile.write(&mark(message, true), &mut out);
            assert_eq!(out, stream);
        }
    }
}
