//! What a connection may grow to and how long it may take: limits, deadlines, keepalive.

use std::time::Duration;

use crate::deflate::Deflate;

/// Which end of a connection we are (RFC 6455 §1.2). A client masks what it sends, a server does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// We opened the connection.
    Client,
    /// We accepted the connection.
    Server,
}

/// Bounds of everything in a connection that can grow. Each has one consequence.
///
/// ```
/// use taiwa_proto::Limits;
/// let limits = Limits { message_bytes_max: 16 << 20, ..Limits::default() };
/// assert_eq!(limits.fragments_max, 4096);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one message from the peer, counted after inflating. Default 1 MiB: what JSON
    /// applications rarely pass, and what ten thousand peers may each make us hold.
    /// Past it: [`Fault::MessageTooBig`](crate::Fault::MessageTooBig), close code 1009.
    ///
    /// Buffers of 128 KiB and more are lent to the next messages of that size when theirs have gone: each thread keeps at most
    /// 32 MiB, until a connection of it has something to do and nobody has needed them for a second.
    pub message_bytes_max: usize,
    /// Frames of one message from the peer, empty ones too. Default 4096: an empty frame costs
    /// its sender 2 bytes. Past it: [`Fault::TooManyFragments`](crate::Fault::TooManyFragments),
    /// close code 1008.
    pub fragments_max: u32,
    /// Bytes that wait for the peer to read them. Default 1 MiB. Past it a `send` waits (or a
    /// `try_send` gives the message back); one message larger than the limit is accepted when
    /// nothing else waits.
    pub outbox_bytes_max: usize,
    /// Bytes of whole messages that were received and not yet taken, where the transport can't be told to
    /// wait: in a browser's `WebSocket` (64 bytes are added for each message). Elsewhere nothing piles up,
    /// because what is not received is not read. Default 16 MiB. Past it the connection is closed with
    /// code 4008, and `recv` fails behind the messages that came before; one message larger than the
    /// limit is accepted when nothing else waits.
    pub inbox_bytes_max: usize,
    /// Pongs that wait for the peer to read them; 0 counts as 1. Default 16. Past it the newest replaces the last
    /// one (RFC 6455 §5.5.3 lets an endpoint answer only the newest ping).
    pub pongs_max: u32,
    /// Bytes of the opening handshake's head. Default 16 KiB. Past it: status 431, or the client
    /// gives up.
    pub handshake_bytes_max: usize,
    /// Header lines of the opening handshake. Default 100. Past it: as above.
    pub headers_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes_max: 1 << 20,
            fragments_max: 4096,
            outbox_bytes_max: 1 << 20,
            inbox_bytes_max: 16 << 20,
            pongs_max: 16,
            handshake_bytes_max: 16 << 10,
            headers_max: 100,
        }
    }
}

/// How long the peer may take. `None` waits for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// From the accepted connection to the whole request head, or from the request to the whole
    /// response head. Default 10 s. Past it the connection is dropped (a server answers 408).
    pub handshake: Option<Duration>,
    /// From our Close frame to the end of the connection. Default 5 s. Past it the connection is
    /// dropped; what was agreed on by then counts.
    pub close: Option<Duration>,
    /// Without one byte accepted while bytes wait to be written. Default 30 s. Past it:
    /// [`Deadline::Write`](crate::Deadline::Write), the connection is dropped.
    pub write: Option<Duration>,
    /// From the first byte of a message to its last. Default 60 s. Past it:
    /// [`Deadline::Message`](crate::Deadline::Message), close code 1008.
    pub message: Option<Duration>,
}

impl Default for Deadlines {
    fn default() -> Self {
        let secs = |it| Some(Duration::from_secs(it));
        Self { handshake: secs(10), close: secs(5), write: secs(30), message: secs(60) }
    }
}

/// When to ask a silent peer whether it is still there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence after which a Ping is sent. Default 20 s: below the idle timers of common proxies.
    pub ping_after: Duration,
    /// How long the answer may take; any byte from the peer counts. Default 20 s. Past it:
    /// [`Deadline::Pong`](crate::Deadline::Pong), close code 1011.
    pub pong_within: Duration,
}

impl Default for Keepalive {
    fn default() -> Self {
        Self { ping_after: Duration::from_secs(20), pong_within: Duration::from_secs(20) }
    }
}

/// Everything that is set once for many connections. Share it in an `Arc`. Its default has the limits and
/// deadlines on, keepalive and compression off.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Bounds.
    pub limits: Limits,
    /// Times.
    pub deadlines: Deadlines,
    /// `None`: no pings of our own.
    pub keepalive: Option<Keepalive>,
    /// permessage-deflate (RFC 7692): `None` neither offers nor accepts it.
    pub deflate: Option<Deflate>,
}
