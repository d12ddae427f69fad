//! Finding the end of a head while its bytes arrive.

use std::borrow::Cow;

use super::H1Fault;
use crate::handshake::tokens::is_tchar;
use crate::limits::Limits;

/// Collects one head. Each byte is looked at once, however small the reads are.
///
/// A new reader owns no memory until the first bytes of an unfinished head arrive; a head that comes in
/// one piece is not copied at all.
///
/// ```
/// use taiwa_proto::Limits;
/// use taiwa_proto::h1::{HeadReader, parse_request};
/// let (mut reader, limits) = (HeadReader::new(), Limits::default());
/// assert!(reader.feed(b"GET /chat HTTP/1.1\r\nHost: a\r", &limits).unwrap().is_none());
/// let head = reader.feed(b"\n\r\n\x81\x00", &limits).unwrap().unwrap();
/// assert_eq!(head.leftover, b"\x81\x00");
/// assert_eq!(parse_request(&head).unwrap().uri(), "/chat");
/// ```
#[derive(Debug, Default)]
pub struct HeadReader {
    seen: Vec<u8>,
    /// Bytes of the line that has not ended yet.
    line_len: usize,
    /// Lines that have ended, the first one of the message included.
    lines: usize,
}

/// A whole head, and what came after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// The head with the empty line at its end.
    pub(super) bytes: Cow<'a, [u8]>,
    /// Header lines in it.
    pub(super) headers: usize,
    /// Bytes of the last read that follow the head: the body, or the first frames.
    pub leftover: &'a [u8],
}

impl Head<'_> {
    /// Returns the head as it came, with the empty line at its end.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl HeadReader {
    /// Makes a reader without memory of its own.
    pub const fn new() -> Self {
        Self { seen: Vec::new(), line_len: 0, lines: 0 }
    }

    /// Says whether no byte of a head has arrived.
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    /// Returns how many bytes of memory the reader owns.
    pub fn memory(&self) -> usize {
        self.seen.capacity()
    }

    /// Takes the bytes of one read. Returns the head once its end is among them, and is then ready for
    /// the next head on the connection.
    ///
    /// # Errors
    ///
    /// An [`H1Fault`] as soon as it is certain: past a limit, at a bare LF, or at a first byte that
    /// begins no message of HTTP (a TLS client, say). The reader is of no use after that.
    pub fn feed<'a>(
        &mut self,
        read: &'a [u8],
        limits: &Limits,
    ) -> Result<Option<Head<'a>>, H1Fault> {
        if read.is_empty() {
            return Ok(None);
        }
        // A method and a version begin with a token character; an empty line may come before them.
        if self.seen.is_empty() && !(is_tchar(read[0]) || b"\r\n".contains(&read[0])) {
            return Err(H1Fault::StartLine);
        }
        let room = limits.handshake_bytes_max.saturating_sub(self.seen.len());
        let scanned = &read[..read.len().min(room)];
        let mut at = 0;
        while let Some(len) = scanned[at..].iter().position(|&byte| byte == b'\n') {
            let line = &scanned[at..at + len];
            at += len + 1;
            if self.end_line(line, limits)? {
                let headers = std::mem::take(&mut self.lines) - 1;
                let (head, leftover) = read.split_at(at);
                let bytes = if self.seen.is_empty() {
                    Cow::Borrowed(head)
                } else {
                    self.seen.extend_from_slice(head);
                    Cow::Owned(std::mem::take(&mut self.seen))
                };
                return Ok(Some(Head { bytes, headers, leftover }));
            }
        }
        if read.len() >= room {
            return Err(H1Fault::HeadTooLong);
        }
        self.line_len += read.len() - at;
        self.seen.extend_from_slice(read);
        Ok(None)
    }

    /// Ends a line of which `rest` is what this read holds of it, without LF. Says whether it was the
    /// empty line at the end of a head.
    fn end_line(&mut self, rest: &[u8], limits: &Limits) -> Result<bool, H1Fault> {
        let len = std::mem::take(&mut self.line_len) + rest.len();
        let last = if len == 0 { None } else { rest.last().or(self.seen.last()) };
        // RFC 9112 §2.2 lets a recipient take a single LF for the end of a line. We don't: a proxy before
        // us that does not would see another head than we.
        if last != Some(&b'\r') {
            return Err(H1Fault::BareLineFeed);
        }
        if len > 1 {
            if self.lines > limits.headers_max {
                return Err(H1Fault::TooManyHeaders);
            }
            self.lines += 1;
            return Ok(false);
        }
        // RFC 9112 §2.2: "a server that is expecting to receive and parse a request-line SHOULD ignore at
        // least one empty line (CRLF) received prior to the request-line."
        Ok(self.lines > 0)
    }
}
