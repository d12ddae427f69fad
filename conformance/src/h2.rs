//! A client of HTTP/2 that writes any frames and sees each frame that comes (RFC 9113 §4.1): a blocking socket with deadlines.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// Types of frames (RFC 9113 §6).
pub mod kind {
    /// Bytes of a stream.
    pub const DATA: u8 = 0;
    /// Begins a list of fields.
    pub const HEADERS: u8 = 1;
    /// Ends a stream at once.
    pub const RST_STREAM: u8 = 3;
    /// Says what its sender can do.
    pub const SETTINGS: u8 = 4;
    /// Promises a stream, which only servers may.
    pub const PUSH_PROMISE: u8 = 5;
    /// Asks for an answer.
    pub const PING: u8 = 6;
    /// Ends a connection.
    pub const GOAWAY: u8 = 7;
    /// Gives credit.
    pub const WINDOW_UPDATE: u8 = 8;
    /// Goes on with a list of fields.
    pub const CONTINUATION: u8 = 9;
}

/// Flags of frames.
pub mod flag {
    /// Answers SETTINGS or PING.
    pub const ACK: u8 = 1;
    /// No more of this stream.
    pub const END_STREAM: u8 = 1;
    /// No CONTINUATION follows.
    pub const END_HEADERS: u8 = 4;
    /// Padding is at the end.
    pub const PADDED: u8 = 8;
}

/// What opens a connection: the preface, and SETTINGS without any (RFC 9113 §3.4).
pub fn preface() -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(kind::SETTINGS, 0, 0, &[]));
    bytes
}

/// Writes a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Writes a field as a literal that is not indexed, without Huffman (RFC 7541 §6.2.2), both of less than 127 bytes.
pub fn field(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0, name.len() as u8];
    bytes.extend(name.as_bytes());
    bytes.push(value.len() as u8);
    bytes.extend(value.as_bytes());
    bytes
}

/// Writes a list of fields.
pub fn fields(list: &[(&str, &str)]) -> Vec<u8> {
    list.iter().flat_map(|(name, value)| field(name, value)).collect()
}

/// The fields of a GET.
pub const GET: &[(&str, &str)] =
    &[(":method", "GET"), (":scheme", "http"), (":authority", "127.0.0.1"), (":path", "/")];

/// The fields that open a WebSocket at `/echo` (RFC 8441 §5).
pub const CONNECT: &[(&str, &str)] = &[
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "http"),
    (":authority", "127.0.0.1"),
    (":path", "/echo"),
    ("sec-websocket-version", "13"),
];

/// A frame that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream; 0 is the connection.
    pub stream: u32,
    /// Its payload.
    pub payload: Vec<u8>,
}

impl Frame {
    /// Returns the error code of a GOAWAY or RST_STREAM.
    pub fn code(&self) -> Option<u32> {
        let bytes = match self.kind {
            kind::GOAWAY => self.payload.get(4..8)?,
            kind::RST_STREAM => self.payload.get(..4)?,
            _ => return None,
        };
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    }
}

/// A connection behind its preface.
#[derive(Debug)]
pub struct Http2 {
    tcp: TcpStream,
    read: Vec<u8>,
}

impl Http2 {
    /// Connects, and writes the preface.
    pub fn connect(addr: SocketAddr) -> Self {
        let tcp = TcpStream::connect(addr).expect("somebody listens");
        tcp.set_nodelay(true).expect("a socket");
        tcp.set_write_timeout(Some(Duration::from_secs(10))).expect("a socket");
        let mut connection = Self { tcp, read: vec![] };
        connection.write(&preface());
        connection
    }

    /// Writes all of it, unless the server has gone.
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        self.tcp.write_all(bytes).is_ok()
    }

    /// Writes again and again until the server takes no more for `stall`, or so many bytes are written. Returns how many.
    pub fn flood(&mut self, bytes: &[u8], bytes_max: usize, stall: Duration) -> usize {
        self.tcp.set_write_timeout(Some(stall)).expect("a socket");
        let mut written = 0;
        while written < bytes_max {
            let at = written % bytes.len();
            match self.tcp.write(&bytes[at..]) {
                Ok(n) if n > 0 => written += n,
                _ => break,
            }
        }
        written
    }

    /// Opens a WebSocket at `/echo` on a stream.
    pub fn open(&mut self, stream: u32) {
        self.open_with(stream, false);
    }

    /// Opens one, and offers compression if `deflate`.
    pub fn open_with(&mut self, stream: u32, deflate: bool) {
        let mut list = fields(CONNECT);
        if deflate {
            list.extend(field("sec-websocket-extensions", "permessage-deflate"));
        }
        self.write(&frame(kind::HEADERS, flag::END_HEADERS, stream, &list));
        let answer = self.until(|it| it.stream == stream).expect("an answer");
        // 0x88 is `:status: 200` (RFC 7541 App. A).
        assert_eq!(
            (answer.kind, answer.payload.first()),
            (kind::HEADERS, Some(&0x88)),
            "{answer:?}"
        );
    }

    /// Reads the next frame; `None` is the end of the connection.
    ///
    /// # Errors
    /// If none comes in time, or the socket fails.
    pub fn next(&mut self, within: Duration) -> std::io::Result<Option<Frame>> {
        let deadline = Instant::now() + within;
        loop {
            if let [a, b, c, kind, flags, stream @ ..] = &self.read[..]
                && let [s0, s1, s2, s3, rest @ ..] = stream
            {
                let len = u32::from_be_bytes([0, *a, *b, *c]) as usize;
                if rest.len() >= len {
                    let stream = u32::from_be_bytes([*s0, *s1, *s2, *s3]);
                    let payload = rest[..len].to_vec();
                    let frame = Frame { kind: *kind, flags: *flags, stream, payload };
                    self.read.drain(..9 + len);
                    return Ok(Some(frame));
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            self.tcp.set_read_timeout(Some(left))?;
            let mut bytes = [0; 16384];
            match self.tcp.read(&mut bytes) {
                Ok(0) => return Ok(None),
                Ok(n) => self.read.extend_from_slice(&bytes[..n]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads until such a frame comes; `None` is the end of the connection.
    pub fn until(&mut self, is_it: impl Fn(&Frame) -> bool) -> Option<Frame> {
        while let Some(frame) = self.next(Duration::from_secs(20)).expect("frames in time") {
            if is_it(&frame) {
                return Some(frame);
            }
        }
        None
    }

    /// Reads the next bytes of a stream, without regard to where its frames end. Empty: it has ended.
    pub fn data(&mut self, stream: u32) -> Vec<u8> {
        let ends = |it: &Frame| it.kind == kind::RST_STREAM || it.flags & flag::END_STREAM != 0;
        let is_it = |it: &Frame| {
            it.stream == stream && (ends(it) || it.kind == kind::DATA && !it.payload.is_empty())
        };
        let frame = self.until(is_it).filter(|it| it.kind == kind::DATA);
        frame.map_or_else(Vec::new, |it| it.payload)
    }

    /// Reads until the server says GOAWAY with an error, or ends the connection; returns the code.
    pub fn goaway(&mut self) -> Option<u32> {
        let said = self.until(|it| it.kind == kind::GOAWAY && it.code() != Some(0));
        said.and_then(|it| it.code())
    }

    /// Has the server answer a PING: all that was written before is read by then.
    pub fn is_alive(&mut self) -> bool {
        self.write(&frame(kind::PING, 0, 0, b"alive...")) && {
            let pong = self.until(|it| it.kind == kind::PING && it.flags == flag::ACK);
            pong.is_some_and(|it| it.payload == b"alive...")
        }
    }
}
