//! HTTP/2 (RFC 9113): its limits, and what serves a connection.

mod connection;
mod request;
mod socket;
mod watch;

use std::time::Duration;

pub(super) use connection::{PREFACE, serve};
pub use request::fit_request;
pub(super) use request::{StreamBody, fit_headers, fit_length, status};

/// Limits of each HTTP/2 connection of a [`Server`](crate::Server); see [`Server::http2`](crate::Server::http2).
///
/// The window of a connection is not among them: it is [`streams_max`](Self::streams_max) times
/// [`stream_window`](Self::stream_window), so that streams that nobody reads can never use up what the others need.
///
/// ```
/// use taiwa::Http2;
/// let limits = Http2 { streams_max: 1000, ..Http2::default() };
/// assert_eq!(limits.stream_window, 64 << 10);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http2 {
    /// Streams that a client may have open at once on one connection: requests and WebSockets together. 0 counts as 1.
    /// Default 256: more than a browser's page opens, and with the window of a stream 16 MiB that one connection may make
    /// us hold. Past it: the stream is refused with `REFUSED_STREAM`, which clients may try again. Streams that were
    /// reset count as long as their closure runs, up to the same number again.
    pub streams_max: u32,
    /// Bytes of one stream that a client may send before they are read: the backpressure of a WebSocket, and of a
    /// request's body. 0 counts as 1. At most 2³¹ − 1 (RFC 9113 §6.9.1), all streams of a connection together, too. Default 64 KiB:
    /// what the protocol begins with. Past it: the stream is reset with `FLOW_CONTROL_ERROR`.
    pub stream_window: u32,
    /// Bytes of one stream that wait here until the connection takes them; 0 counts as 1. Default 64 KiB: enough to keep
    /// a network busy. Past it: writing waits, and [`Deadlines::write`](crate::Deadlines::write) runs.
    pub stream_unsent_max: u32,
    /// Bytes of a request's head, each field counted as RFC 9113 §6.5.2 says: its name, its value and 32. `None`, the
    /// default: [`Limits::handshake_bytes_max`](crate::Limits::handshake_bytes_max). Past it: status 431. A head in pieces
    /// without end: the connection ends with `ENHANCE_YOUR_CALM`.
    pub head_bytes_max: Option<u32>,
    /// Streams that a client may reset in one second (and as many at once). Default 512: a page that is left takes back
    /// twice what it can have asked for. Past it, which is how "rapid reset" begins (CVE-2023-44487): the connection ends with
    /// `ENHANCE_YOUR_CALM`.
    pub resets_per_second_max: u32,
    /// How long a connection without any stream is kept. Default 60 s: a page that is looked at asks again before that.
    /// Past it: the client is told to open another one (GOAWAY), and the connection closes. `None`: for ever.
    pub idle_max: Option<Duration>,
    /// Whether WebSockets are taken by extended CONNECT (RFC 8441). Default `true`. Without it clients are not told that
    /// they may, browsers open a connection of HTTP/1.1 for each WebSocket, and an extended CONNECT gets status 501.
    pub websockets: bool,
}

impl Default for Http2 {
    fn default() -> Self {
        Self {
            streams_max: 256,
            stream_window: 64 << 10,
            stream_unsent_max: 64 << 10,
            head_bytes_max: None,
            resets_per_second_max: 512,
            idle_max: Some(Duration::from_secs(60)),
            websockets: true,
        }
    }
}
