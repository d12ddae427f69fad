//! Frames byte by byte, right ones and wrong ones.

use taiwa_proto::Role;
use zlib_rs::{Deflate, DeflateConfig, DeflateFlush};

/// A key that shows a forgotten unmasking: no byte of it is 0.
pub const KEY: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

/// Who writes frames.
#[derive(Clone, Copy, Debug)]
pub struct Sender(pub Role);

impl Sender {
    /// One who masks.
    pub const CLIENT: Self = Self(Role::Client);
    /// One who does not.
    pub const SERVER: Self = Self(Role::Server);

    /// One frame; `first` is FIN, the reserved bits and the opcode.
    pub fn frame(self, first: u8, payload: &[u8]) -> Vec<u8> {
        let len = payload.len();
        let [.., a, b] = (len as u64).to_be_bytes();
        let mut bytes = match len {
            0..=125 => self.head(first, len as u8, &[]),
            126..=0xffff => self.head(first, 126, &[a, b]),
            _ => self.head(first, 127, &(len as u64).to_be_bytes()),
        };
        bytes.extend(payload.iter().enumerate().map(|(i, it)| match self.0 {
            Role::Client => it ^ KEY[i % 4],
            Role::Server => *it,
        }));
        bytes
    }

    /// A header with any length field.
    pub fn head(self, first: u8, len: u8, extended: &[u8]) -> Vec<u8> {
        match self.0 {
            Role::Client => [&[first, 0x80 | len], extended, &KEY].concat(),
            Role::Server => [&[first, len], extended].concat(),
        }
    }

    /// A Close frame.
    pub fn close(self, code: u16, reason: &[u8]) -> Vec<u8> {
        self.frame(0x88, &[&code.to_be_bytes(), reason].concat())
    }

    /// A header with the mask bit that this sender must not set, or must.
    pub fn wrongly_masked(self, first: u8) -> Vec<u8> {
        match self.0 {
            Role::Client => vec![first, 0],
            Role::Server => [&[first, 0x80][..], &KEY].concat(),
        }
    }
}

/// What [`frames`] finds: the first byte and the unmasked payload of each.
pub type Frame = (u8, Vec<u8>);

/// Takes whole frames apart.
///
/// # Panics
/// If the bytes are no whole frames, or not masked as `from` must.
pub fn frames(from: Role, mut bytes: &[u8]) -> Vec<Frame> {
    let mut found = vec![];
    while let [first, second, rest @ ..] = bytes {
        assert_eq!(second & 0x80 != 0, from == Role::Client, "masked by the client alone");
        let (len, rest) = match second & 0x7f {
            126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            127 => (u64::from_be_bytes(rest[..8].try_into().unwrap()) as usize, &rest[8..]),
            len => (usize::from(len), rest),
        };
        let (key, rest) = match from {
            Role::Client => (<[u8; 4]>::try_from(&rest[..4]).unwrap(), &rest[4..]),
            Role::Server => ([0; 4], rest),
        };
        let payload = rest[..len].iter().enumerate().map(|(i, it)| it ^ key[i % 4]).collect();
        found.push((*first, payload));
        bytes = &rest[len..];
    }
    assert!(bytes.is_empty(), "a header cut short: {bytes:x?}");
    found
}

/// Compresses a whole message as RFC 7692 §7.2.1 has it, with an empty window.
pub fn deflated(message: &[u8]) -> Vec<u8> {
    let mut out = vec![0; message.len() + message.len() / 8 + 64];
    let config = DeflateConfig { level: 6, window_bits: -15, ..DeflateConfig::default() };
    let mut stream = Deflate::new_with_config(config);
    stream.compress(message, &mut out, DeflateFlush::SyncFlush).expect("room enough");
    out.truncate(stream.total_out() as usize);
    assert!(out.ends_with(&[0, 0, 0xff, 0xff]));
    out.truncate(out.len() - 4);
    out
}
