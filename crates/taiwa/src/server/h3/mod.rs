//! HTTP/3 (RFC 9114): its limits, and what serves its connections.

mod listen;
mod connection;
mod request;
mod socket;
mod session;

use std::time::Duration;

use taiwa_h3::{net, settings::SettingId};

pub(super) use connection::serve;
pub(super) use listen::{Endpoints, Ports};
pub(super) use request::StreamBody;
pub(super) use session::Answer;

use super::Shared;

/// Limits of HTTP/3, and of each of its connections, of a [`Server`](crate::Server); see
/// [`Server::http3`](crate::Server::http3).
///
/// The window of a connection is not among them: it has room for the windows of all its streams, so that streams that nobody
/// reads can never use up what the others need.
///
/// ```
/// use taiwa::Http3;
/// let limits = Http3 { streams_max: 1000, ..Http3::default() };
/// assert_eq!(limits.stream_window, 64 << 10);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http3 {
    /// Streams that a client may have open at once on one connection: requests and WebSockets together. 0 counts as 1.
    /// Default 256: more than a browser's page opens, and with the window of a stream 16 MiB that one connection may make
    /// us hold. Past it: the client waits (RFC 9000 §4.6).
    pub streams_max: u32,
    /// Bytes of one stream that a client may send before they are read: the backpressure of a WebSocket, and of a
    /// request's body. Default 64 KiB, as over HTTP/2. Past it: the client waits, and one that does not is cut off (RFC
    /// 9000 §4.1).
    pub stream_window: u32,
    /// Bytes of a request's head, each field counted as RFC 9114 §4.2.2 says: its name, its value and 32. `None`, the
    /// default: [`Limits::handshake_bytes_max`](crate::Limits::handshake_bytes_max). Past it: status 431.
    pub head_bytes_max: Option<u32>,
    /// Streams that a client may give up in one second. Default 512: a page that is left takes back twice what it can have
    /// asked for. Past it, which is how "rapid reset" begins: the connection ends with `H3_EXCESSIVE_LOAD`.
    pub resets_per_second_max: u32,
    /// How long a connection without any stream is kept. Default 60 s: a page that is looked at asks again before that.
    /// Past it: the connection closes. `None`: for ever.
    pub idle_max: Option<Duration>,
    /// How long a client may be silent, as QUIC sees it, before its connection is lost; every third of that it is asked for a
    /// sign. Default 30 s. 0 counts as 1 s.
    pub silence_max: Duration,
    /// Handshakes that may be under way before newcomers have to prove their address first (RFC 9000 §8.1.2), which costs them
    /// a round trip, and those who have forged it all. Default 100.
    pub unproven_max: usize,
    /// Whether WebSockets are taken by extended CONNECT (RFC 9220). Default `true`. Without it clients are not told that
    /// they may, browsers open a connection of HTTP/1.1 for each WebSocket, and an extended CONNECT gets status 501.
    pub websockets: bool,
    /// The port that responses over TLS name as that of HTTP/3 (`Alt-Svc`, RFC 7838). `None`, the default: the port at which
    /// the request arrived. Something else where ports are mapped on the way to us.
    pub announced_port: Option<u16>,
    /// How long clients may remember that, in whole seconds. Default 1 day. 0: it is not announced.
    pub announced_for: Duration,
    /// Sessions of WebTransport on one connection, and what each may use; see [`Server::webtransport`](crate::Server::webtransport).
    /// Default: [`webtransport::Limits::default`](crate::webtransport::Limits).
    pub webtransport: crate::webtransport::Limits,
}

impl Default for Http3 {
    fn default() -> Self {
        Self {
            streams_max: 256,
            stream_window: 64 << 10,
            head_bytes_max: None,
            resets_per_second_max: 512,
            idle_max: Some(Duration::from_secs(60)),
            silence_max: Duration::from_secs(30),
            unproven_max: 100,
            websockets: true,
            announced_port: None,
            announced_for: Duration::from_secs(24 * 60 * 60),
            webtransport: crate::webtransport::Limits::default(),
        }
    }
}

impl Http3 {
    /// Makes the limits of a connection.
    fn limits(&self, shared: &Shared) -> net::Limits {
        let config = &shared.terms.config;
        let of_the_handshake = config.limits.handshake_bytes_max;
        let silence_max = self.silence_max.max(Duration::from_secs(1));
        let mut limits = net::Limits::default();
        limits.streams_max = self.streams_max.max(1);
        limits.stream_window = self.stream_window;
        limits.section.section_bytes_max =
            self.head_bytes_max.map_or(of_the_handshake, |it| it as usize);
        // Those that begin with a colon come on top.
        limits.section.lines_max = config.limits.headers_max.saturating_add(PSEUDO_FIELDS);
        limits.resets_per_second_max = self.resets_per_second_max;
        limits.idle_max = self.idle_max;
        limits.silence_max = silence_max;
        limits.webtransport = self.webtransport.clone();
        if shared.sessions.is_none() {
            limits.webtransport.sessions_max = 0;
        }
        limits.ping_after = silence_max / 3;
        if let Some(within) = config.deadlines.handshake {
            limits.head_within = within;
        }
        limits
    }

    /// Makes what a connection announces.
    fn settings(&self, limits: &net::Limits) -> taiwa_h3::settings::Settings {
        let mut settings = limits.settings();
        // Sessions of WebTransport begin by it, too.
        let is_on = self.websockets || limits.webtransport.sessions_max > 0;
        settings.set(SettingId::ENABLE_CONNECT_PROTOCOL, is_on.into());
        settings
    }
}

/// `:method`, `:scheme`, `:authority`, `:path` and `:protocol`.
const PSEUDO_FIELDS: usize = 5;
