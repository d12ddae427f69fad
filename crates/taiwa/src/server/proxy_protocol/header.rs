//! A PROXY header, read from bytes.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

use crate::server::Addr;

/// What a header says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// The addresses of the transport itself count: LOCAL, UNKNOWN, UNSPEC, and datagrams.
    Transport,
    /// The proxy connects for another.
    Proxied { source: Addr, destination: Addr },
}

/// What is wrong with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderFault {
    Missing,
    TooLong,
    Line,
    Version,
    Command,
    Family,
    Length,
    Field,
    Checksum,
}

impl fmt::Display for HeaderFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "no header",
            Self::TooLong => "the header is too long",
            Self::Line => "the line of version 1 is malformed",
            Self::Version => "an unknown version",
            Self::Command => "an unknown command",
            Self::Family => "an unknown address family or protocol",
            Self::Length => "too short for its addresses",
            Self::Field => "a malformed field (TLV)",
            Self::Checksum => "the checksum is wrong",
        })
    }
}

const SIGNATURE_1: &[u8] = b"PROXY";
const SIGNATURE_2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and protocol, length.
const FIXED_2: usize = 16;

/// Reads the header that `bytes` begin with, and its length. `None`: it is not all there yet.
pub(super) fn parse(
    bytes: &[u8],
    bytes_max: usize,
) -> Result<Option<(Header, usize)>, HeaderFault> {
    if begins(bytes, SIGNATURE_1) {
        parse_line(bytes, bytes_max)
    } else if begins(bytes, SIGNATURE_2) {
        parse_binary(bytes, bytes_max)
    } else {
        // "otherwise the protocol is not covered by this specification and the connection must be dropped."
        Err(HeaderFault::Missing)
    }
}

/// Tells whether `bytes` are the signature, or the beginning of it, or begin with it.
fn begins(bytes: &[u8], signature: &[u8]) -> bool {
    let len = bytes.len().min(signature.len());
    bytes[..len] == signature[..len]
}

/// Version 1: a line of text.
fn parse_line(bytes: &[u8], bytes_max: usize) -> Result<Option<(Header, usize)>, HeaderFault> {
    // "If the CRLF sequence is not found in the first 107 characters, the receiver should declare the line
    // invalid."
    let line_max = 107.min(bytes_max);
    let head = &bytes[..bytes.len().min(line_max)];
    let Some(end) = head.windows(2).position(|it| it == b"\r\n") else {
        return if bytes.len() < line_max { Ok(None) } else { Err(HeaderFault::TooLong) };
    };
    let line = std::str::from_utf8(&head[..end]).map_err(|_| HeaderFault::Line)?;
    let header = line_says(line).ok_or(HeaderFault::Line)?;
    Ok(Some((header, end + 2)))
}

fn line_says(line: &str) -> Option<Header> {
    let rest = line.strip_prefix("PROXY ")?;
    // "the receiver must ignore anything presented before the CRLF is found"
    if rest == "UNKNOWN" || rest.starts_with("UNKNOWN ") {
        return Some(Header::Transport);
    }
    let mut words = rest.split(' ');
    let family = words.next()?;
    let [source, destination, source_port, destination_port] =
        [words.next()?, words.next()?, words.next()?, words.next()?];
    if words.next().is_some() {
        return None;
    }
    let address = |text: &str| -> Option<IpAddr> {
        match family {
            "TCP4" => Some(Ipv4Addr::from_str(text).ok()?.into()),
            "TCP6" => Some(Ipv6Addr::from_str(text).ok()?.into()),
            _ => None,
        }
    };
    let tcp = |address_of: &str, port_of: &str| -> Option<Addr> {
        Some(SocketAddr::new(address(address_of)?, port(port_of)?).into())
    };
    Some(Header::Proxied {
        source: tcp(source, source_port)?,
        destination: tcp(destination, destination_port)?,
    })
}

/// "Heading zeroes are not permitted in front of numbers"
fn port(digits: &str) -> Option<u16> {
    let is_number = digits.bytes().all(|it| it.is_ascii_digit());
    let is_canonical = digits == "0" || !digits.starts_with('0');
    if is_number && is_canonical { digits.parse().ok() } else { None }
}

/// Version 2: binary.
fn parse_binary(bytes: &[u8], bytes_max: usize) -> Result<Option<(Header, usize)>, HeaderFault> {
    let Some((fixed, rest)) = bytes.split_at_checked(FIXED_2) else { return Ok(None) };
    // "the receiver must only accept this value."
    if fixed[12] >> 4 != 2 {
        return Err(HeaderFault::Version);
    }
    // "Receivers must drop connections presenting unexpected values here."
    let is_local = match fixed[12] & 0x0f {
        0 => true,
        1 => false,
        _ => return Err(HeaderFault::Command),
    };
    // "other values are unspecified [...] and must be rejected as invalid by receivers."; of LOCAL the family
    // "is ignored".
    let (family, protocol) = (fixed[13] >> 4, fixed[13] & 0x0f);
    if !is_local && (family > 3 || protocol > 2) {
        return Err(HeaderFault::Family);
    }
    let len = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if FIXED_2 + len > bytes_max {
        return Err(HeaderFault::TooLong);
    }
    let Some(payload) = rest.get(..len) else { return Ok(None) };
    let whole = &bytes[..FIXED_2 + len];
    let header = match (is_local, family, protocol) {
        // Its block is discarded, whatever stands in it.
        (true, ..) => Header::Transport,
        (false, 0, _) | (false, _, 0) => Header::Transport,
        (false, ..) => {
            let len = [12, 36, 216][usize::from(family) - 1];
            let (block, fields) = payload.split_at_checked(len).ok_or(HeaderFault::Length)?;
            check_fields(whole, fields)?;
            if protocol == 1 { addresses(family, block) } else { Header::Transport }
        }
    };
    Ok(Some((header, whole.len())))
}

/// Reads addresses of a stream; `block` has the length of their family.
fn addresses(family: u8, block: &[u8]) -> Header {
    if family == 3 {
        let (source, destination) = block.split_at(108);
        return Header::Proxied { source: unix(source), destination: unix(destination) };
    }
    let size = if family == 1 { 4 } else { 16 };
    let ip = |at: usize| -> IpAddr {
        let bytes = &block[at..at + size];
        match <[u8; 4]>::try_from(bytes) {
            Ok(four) => four.into(),
            Err(_) => <[u8; 16]>::try_from(bytes).expect("4 or 16").into(),
        }
    };
    let port = |at: usize| u16::from_be_bytes([block[at], block[at + 1]]);
    Header::Proxied {
        source: SocketAddr::new(ip(0), port(2 * size)).into(),
        destination: SocketAddr::new(ip(size), port(2 * size + 2)).into(),
    }
}

/// A path ends at its first zero; an abstract address begins with one, and no address has nothing else.
fn unix(block: &[u8]) -> Addr {
    let path = block.split(|it| *it == 0).next().unwrap_or_default();
    match path {
        [] => Addr::Unix(None),
        path => PathBuf::from(String::from_utf8_lossy(path).into_owned()).into(),
    }
}

/// The type of the field with a checksum.
const CRC32C: u8 = 0x03;

/// Checks that the fields (type, length of two bytes, value) fill their room, and the checksum if there is one.
fn check_fields(whole: &[u8], mut fields: &[u8]) -> Result<(), HeaderFault> {
    let mut checksum = None;
    while !fields.is_empty() {
        let (head, rest) = fields.split_at_checked(3).ok_or(HeaderFault::Field)?;
        let len = usize::from(u16::from_be_bytes([head[1], head[2]]));
        let (value, rest) = rest.split_at_checked(len).ok_or(HeaderFault::Field)?;
        if head[0] == CRC32C {
            let value = <[u8; 4]>::try_from(value).map_err(|_| HeaderFault::Field)?;
            let at = whole.len() - rest.len() - value.len();
            if checksum.replace((at, u32::from_be_bytes(value))).is_some() {
                return Err(HeaderFault::Field);
            }
        }
        fields = rest;
    }
    // "the receiver MUST: [...] replace the 32 bits of the checksum field in the received PROXY header with
    // all '0's and calculate a CRC32c checksum value of the whole PROXY header."
    match checksum {
        Some((at, expected)) => {
            let zeroed = whole[..at].iter().chain(&[0; 4]).chain(&whole[at + 4..]);
            if crc32c(zeroed) == expected { Ok(()) } else { Err(HeaderFault::Checksum) }
        }
        None => Ok(()),
    }
}

/// RFC 4960 Appendix B. Bit by bit: a header comes once a connection and is short.
fn crc32c<'a>(bytes: impl IntoIterator<Item = &'a u8>) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}

#[cfg(test)]
mod tests;
