//! Frames of clients become frames of a server in place: unmasked, with a header that is four bytes shorter.

const CLOSE: u8 = 8;

/// A header, as long as it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The first byte: FIN, reserved bits, opcode.
    pub first: u8,
    /// Bytes of the header, with its masking key.
    pub bytes: usize,
    /// Bytes of the payload.
    pub payload: usize,
    /// The masking key.
    pub key: [u8; 4],
}

impl Header {
    /// Reads a masked frame's header, if all of it is there.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (payload, at) = match bytes.get(1)? & 0x7f {
            126 => (usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)), 4),
            127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize, 10),
            short => (usize::from(short), 2),
        };
        let key = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(Self { first: bytes[0], bytes: at + 4, payload, key })
    }

    /// Tells whether it is that of a Close.
    pub fn closes(&self) -> bool {
        self.first & 0x0f == CLOSE
    }
}

/// What the frames of one read have become.
#[derive(Debug, PartialEq, Eq)]
pub struct Turned {
    /// The server's frames end here, and begin at 0.
    pub end: usize,
    /// The rest, a frame that is not there whole, begins here.
    pub rest: usize,
    /// The last of them is a Close.
    pub closes: bool,
}

/// Turns all whole frames.
pub fn turn(bytes: &mut [u8]) -> Turned {
    let mut turned = Turned { end: 0, rest: 0, closes: false };
    while let Some(header) = Header::read(&bytes[turned.rest..]) {
        let start = turned.rest + header.bytes;
        let Some(after) = start.checked_add(header.payload).filter(|it| *it <= bytes.len()) else {
            break;
        };
        unmask(&mut bytes[start..after], header.key);
        let own = header.bytes - 4;
        let second = bytes[turned.rest + 1] & 0x7f;
        bytes.copy_within(turned.rest..turned.rest + own, turned.end);
        bytes[turned.end + 1] = second;
        bytes.copy_within(start..after, turned.end + own);
        turned.end += own + header.payload;
        turned.rest = after;
        turned.closes = header.closes();
    }
    turned
}

/// Takes the mask off bytes whose first one has the first byte of the key.
pub fn unmask(bytes: &mut [u8], key: [u8; 4]) {
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut words = bytes.chunks_exact_mut(8);
    for word in &mut words {
        let plain = u64::from_ne_bytes((&*word).try_into().expect("8 bytes")) ^ wide;
        word.copy_from_slice(&plain.to_ne_bytes());
    }
    for (byte, key) in words.into_remainder().iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client's frame.
    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let key = [1, 2, 3, 4];
        let mut out = vec![first];
        match payload.len() {
            len @ 0..=125 => out.push(0x80 | len as u8),
            len @ 126..=0xffff => {
                out.push(0x80 | 126);
                out.extend((len as u16).to_be_bytes());
            }
            len => {
                out.push(0x80 | 127);
                out.extend((len as u64).to_be_bytes());
            }
        }
        out.extend(key);
        let start = out.len();
        out.extend(payload);
        unmask(&mut out[start..], key);
        out
    }

    #[test]
    fn frames_are_turned_in_place_and_the_rest_is_left() {
        for len in [0, 1, 8, 13, 125, 126, 1000, 65_535, 65_536, 70_001] {
            let payload: Vec<u8> = (0..len).map(|it: u32| it as u8).collect();
            let one = masked(0x82, &payload);
            let mut bytes = [&one[..], &masked(0x81, b"hello"), &one[..5]].concat();
            let turned = turn(&mut bytes);
            let own = one.len() - payload.len() - 4;
            assert_eq!(turned.rest, one.len() + 11, "{len}");
            assert_eq!(turned.end, own + payload.len() + 7);
            assert_eq!(bytes[0], 0x82);
            assert_eq!(bytes[own..own + payload.len()], payload);
            assert_eq!(bytes[turned.end - 7..turned.end], *b"\x81\x05hello");
            assert!(!turned.closes);
        }
        let mut close = masked(0x88, b"\x03\xe8");
        assert!(turn(&mut close).closes);
    }
}
