//! Heads of HTTP on their way in and out.

use std::io::{Read, Write};

use http::{HeaderMap, HeaderName, HeaderValue, Version};
use taiwa_proto::{
    Limits,
    h1::{H1Fault, HeadReader},
};

use super::super::error::{CapacityError, Error, ProtocolError, Result};
use crate::scratch::with_scratch;

/// Header lines of a head.
pub(super) const HEADERS_MAX: usize = 124;
/// Bytes of a head.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Bytes by which something else than HTTP is recognised before its head is whole, if it ever is.
const BEGIN_BYTES: usize = 64;

/// A head that is being read.
pub(super) struct Incoming {
    reader: HeadReader,
    limits: Limits,
    begin: Vec<u8>,
}

impl Incoming {
    pub(super) fn new() -> Self {
        let limits = Limits {
            handshake_bytes_max: HEAD_BYTES_MAX,
            headers_max: HEADERS_MAX,
            ..Limits::default()
        };
        Self { reader: HeadReader::new(), limits, begin: Vec::new() }
    }

    /// Reads until the head is whole; returns it, and what came behind it. `parse` tells whether the first
    /// bytes begin a head.
    pub(super) fn read(
        &mut self,
        io: &mut impl Read,
        parse: fn(&[u8]) -> httparse::Result<usize>,
    ) -> Result<(Vec<u8>, Vec<u8>)> {
        loop {
            let read = with_scratch(|scratch| {
                let len = io.read(&mut scratch.buffer)?;
                if len == 0 {
                    return Err(Error::from(ProtocolError::HandshakeIncomplete));
                }
                if self.begin.len() < BEGIN_BYTES {
                    self.begin.extend(scratch.buffer[..len].iter().take(BEGIN_BYTES));
                    parse(&self.begin)?;
                }
                let head = self.reader.feed(&scratch.buffer[..len], &self.limits);
                Ok(head.map_err(too_much)?.map(|it| (it.as_bytes().to_vec(), it.leftover.to_vec())))
            });
            if let Some(head) = read? {
                return Ok(head);
            }
        }
    }
}

fn too_much(fault: H1Fault) -> Error {
    match fault {
        H1Fault::HeadTooLong => Error::AttackAttempt,
        H1Fault::TooManyHeaders => CapacityError::TooManyHeaders.into(),
        H1Fault::BareLineFeed => httparse::Error::NewLine.into(),
        _ => httparse::Error::Token.into(),
    }
}

/// A head that is being written.
pub(super) struct Outgoing {
    bytes: Vec<u8>,
    written: usize,
}

impl Outgoing {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, written: 0 }
    }

    /// Writes what is left and flushes it.
    pub(super) fn write(&mut self, io: &mut impl Write) -> Result<()> {
        while self.written < self.bytes.len() {
            match io.write(&self.bytes[self.written..])? {
                0 => return Err(Error::Io(std::io::ErrorKind::WriteZero.into())),
                n => self.written += n,
            }
        }
        Ok(io.flush()?)
    }
}

pub(super) fn headers(lines: &[httparse::Header<'_>]) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for line in lines {
        let name = HeaderName::from_bytes(line.name.as_bytes())?;
        headers.append(name, HeaderValue::from_bytes(line.value)?);
    }
    Ok(headers)
}

/// Checks that the parser found the end of the head where it is.
pub(super) fn whole(status: httparse::Status<usize>) -> Result<()> {
    match status {
        httparse::Status::Complete(_) => Ok(()),
        httparse::Status::Partial => Err(ProtocolError::HandshakeIncomplete.into()),
    }
}

pub(super) fn version(version: Version) -> Result<&'static str> {
    match version {
        Version::HTTP_09 => Ok("HTTP/0.9"),
        Version::HTTP_10 => Ok("HTTP/1.0"),
        Version::HTTP_11 => Ok("HTTP/1.1"),
        _ => Err(ProtocolError::WrongHttpVersion.into()),
    }
}
