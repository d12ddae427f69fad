//! Frames: writes the client's masked ones, takes the server's apart and checks every byte (RFC 6455 §5).

use bench_pattern::pattern;

/// The first bit of a message's last frame.
pub(crate) const FIN: u8 = 0x80;
/// The bit of a message that is compressed (RFC 7692 §6).
const RSV1: u8 = 0x40;
pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// Appends one final frame, masked.
pub(crate) fn frame(out: &mut Vec<u8>, opcode: u8, payload: &[u8], key: [u8; 4]) {
    fragment(out, FIN | opcode, payload, key);
}

/// Appends one final frame of a message that is compressed, masked.
pub(crate) fn compressed(out: &mut Vec<u8>, opcode: u8, payload: &[u8], key: [u8; 4]) {
    fragment(out, FIN | RSV1 | opcode, payload, key);
}

/// Appends one frame that begins with the byte `first`, masked.
pub(crate) fn fragment(out: &mut Vec<u8>, first: u8, payload: &[u8], key: [u8; 4]) {
    out.push(first);
    match payload.len() {
        bytes @ 0..=125 => out.push(0x80 | bytes as u8),
        bytes @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(bytes as u16).to_be_bytes());
        }
        bytes => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(bytes as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&key);
    let start = out.len();
    out.extend_from_slice(payload);
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut words = out[start..].chunks_exact_mut(8);
    for word in &mut words {
        let masked = u64::from_ne_bytes(word.try_into().expect("8 bytes")) ^ wide;
        word.copy_from_slice(&masked.to_ne_bytes());
    }
    for (byte, key) in words.into_remainder().iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

/// What a message is to be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Expected<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// The same as text.
    Text(&'a [u8]),
    /// This many bytes of the pattern.
    Pattern(u64),
    /// Something compressed, to be compared when it is inflated.
    Compressed,
}

impl Expected<'_> {
    fn opcode(self) -> u8 {
        match self {
            Self::Text(_) => TEXT,
            Self::Bytes(_) | Self::Pattern(_) | Self::Compressed => BINARY,
        }
    }
}

/// Bytes of a compressed message.
const COMPRESSED_MAX: usize = 1 << 20;

/// What the server's bytes amount to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The message that was expected, whole and right.
    Message,
    /// A compressed message, as it came.
    Compressed(Vec<u8>),
    /// A Ping with this payload.
    Ping(Vec<u8>),
    /// A Close with this code, if it has one.
    Close(Option<u16>),
}

/// Takes the server's bytes as they come, keeps no payload of messages that are not compressed.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    header: [u8; 10],
    header_bytes: usize,
    payload_left: u64,
    in_payload: bool,
    /// Bytes of the message that came and were right; `None` between messages.
    message_at: Option<u64>,
    compressed: Vec<u8>,
    control: Vec<u8>,
}

impl Incoming {
    /// Takes bytes up to the end of one frame. Returns how many it took and what they amount to.
    ///
    /// # Errors
    /// A rule of RFC 6455 is broken, or the message is not `expected`.
    pub(crate) fn take(
        &mut self,
        bytes: &[u8],
        expected: Option<Expected<'_>>,
    ) -> Result<(usize, Option<Found>), String> {
        let mut taken = 0;
        while !self.in_payload {
            let Some(byte) = bytes.get(taken) else { return Ok((taken, None)) };
            self.header[self.header_bytes] = *byte;
            self.header_bytes += 1;
            taken += 1;
            if self.header_bytes == self.header_bytes_due() {
                self.open_frame(expected)?;
            }
        }
        let left = usize::try_from(self.payload_left).unwrap_or(usize::MAX);
        let part = &bytes[taken..][..left.min(bytes.len() - taken)];
        taken += part.len();
        self.payload_left -= part.len() as u64;
        if self.opcode() >= CLOSE {
            self.control.extend_from_slice(part);
        } else {
            self.compare(part, expected)?;
        }
        if self.payload_left > 0 {
            return Ok((taken, None));
        }
        Ok((taken, self.end_frame(expected)?))
    }

    fn opcode(&self) -> u8 {
        self.header[0] & 0x0f
    }

    fn header_bytes_due(&self) -> usize {
        match (self.header_bytes, self.header[1] & 0x7f) {
            (0 | 1, _) => 2,
            (_, 126) => 4,
            (_, 127) => 10,
            _ => 2,
        }
    }

    fn open_frame(&mut self, expected: Option<Expected<'_>>) -> Result<(), String> {
        let [first, second, ..] = self.header;
        let due = expected.map(Expected::opcode);
        let begins = Some(first & 0x0f) == due;
        let reserved = match expected {
            Some(Expected::Compressed) if begins => RSV1,
            _ => 0,
        };
        if first & 0x70 != reserved {
            return Err(match reserved {
                0 => "reserved bits are set".into(),
                _ => "a message is not compressed".into(),
            });
        }
        if second & 0x80 != 0 {
            return Err("a server's frame is masked".into());
        }
        self.payload_left = match (second, &self.header[2..]) {
            (126, [a, b, ..]) => u64::from(u16::from_be_bytes([*a, *b])),
            (127, rest) => u64::from_be_bytes(rest.try_into().expect("8 bytes")),
            _ => u64::from(second),
        };
        if (second == 126 && self.payload_left < 126)
            || (second == 127 && self.payload_left <= 0xffff)
        {
            return Err("a length is not in its shortest form".into());
        }
        self.in_payload = true;
        self.control.clear();
        match (self.opcode(), self.message_at) {
            (opcode, None) if Some(opcode) == due => {
                self.message_at = Some(0);
                self.compressed.clear();
            }
            (TEXT | BINARY, None) if due.is_none() => {
                return Err("a message that nobody waits for".into());
            }
            (CONTINUATION, Some(_)) => {}
            (CLOSE | PING, _) if first & 0x80 != 0 && self.payload_left <= 125 => {}
            (other, _) => return Err(format!("opcode {other} where {due:?} was due")),
        }
        Ok(())
    }

    fn compare(&mut self, part: &[u8], expected: Option<Expected<'_>>) -> Result<(), String> {
        let (Some(at), Some(expected)) = (self.message_at, expected) else {
            return Err("payload outside of a message".into());
        };
        let end = at + part.len() as u64;
        let too_long = |due: u64| Err(format!("more than the {due} bytes that are due"));
        let wrong = match expected {
            Expected::Bytes(due) | Expected::Text(due) => {
                match due.get(at as usize..end as usize) {
                    None => return too_long(due.len() as u64),
                    Some(due) if part == due => None,
                    Some(due) => {
                        let right = part.iter().zip(due).take_while(|(a, b)| a == b).count();
                        Some(at + right as u64)
                    }
                }
            }
            Expected::Pattern(due) if due < end => return too_long(due),
            Expected::Pattern(_) if pattern().is_at(at, part) => None,
            Expected::Pattern(_) => pattern().first_wrong(at, part),
            Expected::Compressed if COMPRESSED_MAX < self.compressed.len() + part.len() => {
                return too_long(COMPRESSED_MAX as u64);
            }
            Expected::Compressed => {
                self.compressed.extend_from_slice(part);
                None
            }
        };
        self.message_at = Some(end);
        wrong.map_or(Ok(()), |at| Err(format!("byte {at} came back changed")))
    }

    fn end_frame(&mut self, expected: Option<Expected<'_>>) -> Result<Option<Found>, String> {
        self.in_payload = false;
        self.header_bytes = 0;
        match self.opcode() {
            PING => Ok(Some(Found::Ping(self.control.clone()))),
            CLOSE => Ok(Some(Found::Close(match self.control.as_slice() {
                [a, b, ..] => Some(u16::from_be_bytes([*a, *b])),
                _ => None,
            }))),
            _ if self.header[0] & FIN == 0 => Ok(None),
            _ => {
                let at = self.message_at.take();
                let due = match expected {
                    None => None,
                    Some(Expected::Bytes(bytes) | Expected::Text(bytes)) => {
                        Some(bytes.len() as u64)
                    }
                    Some(Expected::Pattern(bytes)) => Some(bytes),
                    Some(Expected::Compressed) => {
                        return Ok(Some(Found::Compressed(std::mem::take(&mut self.compressed))));
                    }
                };
                match at == due {
                    true => Ok(Some(Found::Message)),
                    false => Err(format!("{at:?} bytes came back of {due:?}")),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], expected: Option<&[u8]>) -> Result<Vec<Found>, String> {
        read_all(bytes, expected.map(Expected::Bytes))
    }

    fn read_all(bytes: &[u8], expected: Option<Expected<'_>>) -> Result<Vec<Found>, String> {
        let mut found = vec![];
        // Every split gives the same.
        for step in [1, 2, 3, usize::MAX] {
            let mut incoming = Incoming::default();
            found.clear();
            for mut part in bytes.chunks(step.min(bytes.len())) {
                while !part.is_empty() {
                    let (taken, one) = incoming.take(part, expected)?;
                    part = &part[taken..];
                    found.extend(one);
                }
            }
        }
        Ok(found)
    }

    #[test]
    fn the_example_of_rfc_6455_5_7_is_written() {
        let mut out = vec![];
        frame(&mut out, 1, b"Hello", [0x37, 0xfa, 0x21, 0x3d]);
        assert_eq!(out, [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
        for (bytes, header) in [(125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let payload = vec![7; bytes];
            let mut out = vec![];
            frame(&mut out, BINARY, &payload, [1, 2, 3, 4]);
            assert_eq!(out.len(), header + 4 + bytes);
            let key = [1, 2, 3, 4];
            let masked = |(at, byte): (usize, &u8)| byte ^ key[at % 4] == 7;
            assert!(out[header + 4..].iter().enumerate().all(masked));
        }
    }

    #[test]
    fn right_answers_are_found() {
        let message = Ok(vec![Found::Message]);
        assert_eq!(read(b"\x82\x02ab", Some(b"ab")), message);
        assert_eq!(read(b"\x02\x01a\x80\x01b", Some(b"ab")), message);
        let ping = Ok(vec![Found::Ping(b"p".into()), Found::Message]);
        assert_eq!(read(b"\x02\x01a\x89\x01p\x80\x01b", Some(b"ab")), ping);
        assert_eq!(read(b"\x88\x02\x03\xe8", None), Ok(vec![Found::Close(Some(1000))]));
        let long = [b"\x82\x7e\x01\x00".as_slice(), &[9; 256]].concat();
        assert_eq!(read(&long, Some(&[9; 256])), message);
    }

    #[test]
    fn wrong_answers_are_refused() {
        for (bytes, expected) in [
            (b"\x82\x02ax".as_slice(), Some(b"ab".as_slice())),
            (b"\x82\x01a", Some(b"ab")),
            (b"\x82\x03abc", Some(b"ab")),
            (b"\x81\x02ab", Some(b"ab")),
            (b"\x82\x82ab", Some(b"ab")),
            (b"\xc2\x02ab", Some(b"ab")),
            (b"\x80\x02ab", Some(b"ab")),
            (b"\x82\x7e\x00\x02ab", Some(b"ab")),
            (b"\x82\x02ab", None),
            (b"\x09\x01p", None),
        ] {
            assert!(read(bytes, expected).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn text_comes_back_as_text() {
        let text = Some(Expected::Text(b"ab"));
        assert_eq!(read_all(b"\x81\x02ab", text), Ok(vec![Found::Message]));
        assert!(read_all(b"\x82\x02ab", text).is_err());
    }

    #[test]
    fn a_large_message_is_the_pattern_and_nothing_else() {
        let expected = |bytes| Some(Expected::Pattern(bytes));
        let begun = [b"\x02\x7e\x01\x00".as_slice(), pattern().at(0, 256)].concat();
        let whole = [begun.as_slice(), b"\x80\x02", pattern().at(256, 2)].concat();
        assert_eq!(read_all(&whole, expected(258)), Ok(vec![Found::Message]));
        for bytes in [257, 259] {
            assert!(read_all(&whole, expected(bytes)).is_err(), "{bytes}");
        }
        let doubled = [begun.as_slice(), b"\x80\x02", pattern().at(0, 2)].concat();
        assert_eq!(read_all(&doubled, expected(258)), Err("byte 256 came back changed".into()));
    }

    #[test]
    fn a_compressed_message_is_kept_for_inflating() {
        let expected = Some(Expected::Compressed);
        let fragments = b"\xc2\x01a\x42\x01b\x80\x01c";
        let found = [Found::Compressed(b"a".into()), Found::Compressed(b"bc".into())];
        assert_eq!(read_all(fragments, expected), Ok(found.into()));
        for bytes in [b"\x82\x01a".as_slice(), b"\xa2\x01a", b"\x42\x01a\xc0\x01b"] {
            assert!(read_all(bytes, expected).is_err(), "{bytes:?}");
        }
    }
}
