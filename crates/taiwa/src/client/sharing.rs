//! [`Sharing`]: limits of connections that several WebSockets share.

use std::time::Duration;

/// Limits of the connections of HTTP/2 and HTTP/3 that a [`Client`](crate::Client) and its clones share, set by
/// [`ClientBuilder::sharing`](crate::ClientBuilder::sharing). WebSockets of one origin (scheme, host, port, unix socket) are
/// streams of one connection; those of different runtimes share none.
///
/// ```
/// use taiwa::{Client, Sharing};
/// let client = Client::builder().sharing(Sharing { streams_max: 1, ..Sharing::default() }).build()?;
/// # Ok::<(), taiwa::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sharing {
    /// WebSockets on one connection, at least 1; the server's own limit counts, too. Default 100, which most servers grant.
    /// Past it: another connection.
    pub streams_max: u32,
    /// Bytes that the server may send on one stream before they are read (RFC 9113 §6.9.2, RFC 9000 §4.1), at least 1 and at most 16 MiB.
    /// Default 256 KiB: a round trip of 50 ms carries 5 MB/s. Past it the server waits. The connection has room for all of
    /// its streams at once, so one that is not read never holds back another.
    pub stream_window: u32,
    /// How long a connection without a WebSocket stays open. Default 90 s. Past it: it is ended.
    pub idle_max: Duration,
    /// Connections that are shared at once. Default 256. Past it: a connection of its own for each WebSocket, closed with
    /// it.
    pub connections_max: usize,
    /// Origins of which something is remembered. Default 1,024. Past it: the one that was not used for longest is forgotten.
    pub origins_max: usize,
    /// How long it is remembered that a server takes no WebSockets over HTTP/2, or could not be reached over HTTP/3. Default
    /// 10 min. Past it: it is tried again.
    pub remembered_for: Duration,
    /// Places of HTTP/3 (`Alt-Svc`, RFC 7838) that are remembered of one origin. Default 4. Past it: the rest, which the server
    /// likes less, is passed over.
    pub alternatives_max: usize,
    /// How long HTTP/3 is tried alone before TCP is, too. Default 250 ms, which RFC 8305 §5 recommends between two attempts; zero
    /// begins both at once. Past it: whichever is ready for a WebSocket first is used.
    pub http3_head_start: Duration,
    /// How long HTTP/3 may take until it is ready for a WebSocket, also when TCP has carried one meanwhile. Default 5 s. Past it:
    /// it is not tried again for [`remembered_for`](Self::remembered_for).
    pub http3_within: Duration,
}

impl Default for Sharing {
    fn default() -> Self {
        Self {
            streams_max: 100,
            stream_window: 256 << 10,
            idle_max: Duration::from_secs(90),
            connections_max: 256,
            origins_max: 1024,
            remembered_for: Duration::from_secs(600),
            alternatives_max: 4,
            http3_head_start: Duration::from_millis(250),
            http3_within: Duration::from_secs(5),
        }
    }
}

/// What RFC 9113 §6.9.1 has for the largest window.
const WINDOW_MAX: u64 = (1 << 31) - 1;
const STREAM_WINDOW_MAX: u32 = 16 << 20;

impl Sharing {
    pub(super) fn stream_window(&self) -> u32 {
        self.stream_window.clamp(1, STREAM_WINDOW_MAX)
    }

    /// As many streams as the window of a connection has room for.
    pub(super) fn streams_max(&self) -> usize {
        let room = WINDOW_MAX / u64::from(self.stream_window());
        u64::from(self.streams_max).clamp(1, room) as usize
    }

    pub(super) fn connection_window(&self) -> u32 {
        // Of at most `WINDOW_MAX`, by the lines before. RFC 9113 §6.9.2: a connection begins with 65,535.
        (self.stream_window() * self.streams_max() as u32).max(65_535)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(streams_max: u32, stream_window: u32, streams: usize, window: u32) {
        let it = Sharing { streams_max, stream_window, ..Sharing::default() };
        assert_eq!((it.streams_max(), it.connection_window()), (streams, window));
    }

    #[test]
    fn a_connection_has_room_for_all_its_streams() {
        check(100, 256 << 10, 100, 100 << 18);
        check(0, 0, 1, 65_535);
        check(u32::MAX, 1, (1 << 31) - 1, (1 << 31) - 1);
        check(1000, u32::MAX, 127, 127 << 24);
    }
}
