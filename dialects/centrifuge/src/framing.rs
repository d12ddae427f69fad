//! How commands and replies lie on the stream of a session of WebTransport: JSON by lines, Protocol Buffers behind lengths.

use bytes::{Buf, BytesMut};
use taiwa_core::{Framing, Message, Unframed};

use crate::wire::Format;

/// The most bytes that a length has.
const LENGTH_BYTES_MAX: usize = 10;

/// What has arrived is no length.
const NO_LENGTH: Unframed = Unframed { code: 3501, reason: "bad request" };

/// One command is one message. What is written has its end or its length already.
impl Framing for Format {
    fn read(
        &self,
        arrived: &mut BytesMut,
        seen: usize,
        bytes_max: usize,
    ) -> Result<Option<Message>, Unframed> {
        match self {
            Self::Json => line(arrived, seen, bytes_max),
            Self::Protobuf => delimited(arrived, bytes_max),
        }
    }

    fn write(&self, message: &Message, out: &mut BytesMut) {
        out.extend_from_slice(message.as_bytes());
    }
}

fn line(
    arrived: &mut BytesMut,
    mut seen: usize,
    bytes_max: usize,
) -> Result<Option<Message>, Unframed> {
    loop {
        let end = arrived[seen..].iter().position(|it| *it == b'\n').map(|it| seen + it);
        if end.unwrap_or(arrived.len()) > bytes_max {
            return Err(Unframed::TOO_LONG);
        }
        let Some(end) = end else { return Ok(None) };
        let line = arrived.split_to(end + 1);
        if !line.trim_ascii().is_empty() {
            return Ok(Some(Message::Text(line.freeze().slice(..end))));
        }
        seen = 0;
    }
}

fn delimited(arrived: &mut BytesMut, bytes_max: usize) -> Result<Option<Message>, Unframed> {
    let mut len = 0_u64;
    for (i, byte) in arrived.iter().enumerate().take(LENGTH_BYTES_MAX) {
        len |= u64::from(byte & 0x7f).checked_shl(7 * i as u32).unwrap_or(0);
        if byte & 0x80 != 0 {
            continue;
        }
        let len = usize::try_from(len).ok().filter(|it| *it <= bytes_max);
        let whole = i + 1 + len.ok_or(Unframed::TOO_LONG)?;
        let is_whole = arrived.len() >= whole;
        return Ok(is_whole.then(|| Message::Binary(arrived.split_to(whole).freeze())));
    }
    if arrived.remaining() < LENGTH_BYTES_MAX { Ok(None) } else { Err(NO_LENGTH) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads what arrives in pieces of this size.
    fn read(
        format: Format,
        bytes: &[u8],
        piece: usize,
        max: usize,
    ) -> Result<Vec<Message>, Unframed> {
        let (mut arrived, mut all) = (BytesMut::new(), vec![]);
        for bytes in bytes.chunks(piece) {
            let mut seen = arrived.len();
            arrived.extend_from_slice(bytes);
            while seen < arrived.len() {
                match format.read(&mut arrived, seen, max)? {
                    Some(message) => (all.push(message), seen = 0).1,
                    None => break,
                }
            }
        }
        Ok(all)
    }

    #[track_caller]
    fn check(format: Format, bytes: &[u8], expected: &[Message]) {
        for piece in 1..=bytes.len() {
            let read = read(format, bytes, piece, 200);
            assert_eq!(read.as_deref(), Ok(expected), "by {piece} bytes");
        }
    }

    fn text(text: &'static str) -> Message {
        Message::Text(text.into())
    }

    #[test]
    fn a_line_is_a_command_and_empty_ones_are_none() {
        check(Format::Json, b"{\"id\":1}\n{}\n", &[text("{\"id\":1}"), text("{}")]);
        check(Format::Json, b"\n \r\n{}\r\n\n{}\n", &[text("{}\r"), text("{}")]);
        check(Format::Json, b"{}", &[]);
    }

    #[test]
    fn a_length_stands_before_each_command_of_protocol_buffers() {
        let long = [&[0xac, 0x01][..], &[7; 0xac]].concat();
        let stream = [&b"\x02\x08\x01\x00"[..], &long, b"\x03\x08"].concat();
        let binary = |bytes: &[u8]| Message::Binary(bytes.to_vec().into());
        check(Format::Protobuf, &stream, &[binary(b"\x02\x08\x01"), binary(b"\0"), binary(&long)]);
    }

    #[test]
    fn what_is_too_long_is_not_waited_for() {
        for (format, bytes, expected) in [
            (Format::Json, &b"12345"[..], Ok(vec![])),
            (Format::Json, b"12345\n", Ok(vec![text("12345")])),
            (Format::Json, b"123456", Err(Unframed::TOO_LONG)),
            (Format::Json, b"{}\n123456\n", Err(Unframed::TOO_LONG)),
            (Format::Protobuf, b"\x05", Ok(vec![])),
            (Format::Protobuf, b"\x06", Err(Unframed::TOO_LONG)),
            (
                Format::Protobuf,
                b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
                Err(Unframed::TOO_LONG),
            ),
            (Format::Protobuf, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff", Ok(vec![])),
            (Format::Protobuf, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", Err(NO_LENGTH)),
        ] {
            assert_eq!(read(format, bytes, bytes.len(), 5), expected, "{bytes:?}");
        }
    }

    #[test]
    fn nonsense_is_read_alike_however_it_arrives() {
        let mut state = 1_u32;
        let mut random = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        for _ in 0..500 {
            // Few values, so that lines end and lengths are short now and then.
            let any = [b'\n', b' ', 0, 1, 3, b'x', 0x80, 0xff];
            let bytes: Vec<u8> = (0..random()).map(|_| any[usize::from(random() % 8)]).collect();
            for format in [Format::Json, Format::Protobuf] {
                let whole = read(format, &bytes, bytes.len().max(1), 20);
                for piece in [1, 2, 7] {
                    assert_eq!(read(format, &bytes, piece, 20), whole, "{bytes:?} by {piece}");
                }
            }
        }
    }
}
