//! [`Limits`]: what a connection may take.

use std::time::Duration;

use quinn::{IdleTimeout, TransportConfig, VarInt};

use crate::{
    qpack::SectionLimits,
    request::Bounds,
    settings::{SettingId, Settings},
    webtransport,
};

/// What a connection may take; each says why it is as it is, and what happens past it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Streams that the peer may have open at once in both directions: requests, WebSockets, streams of WebTransport. Default 256;
    /// more have to wait (RFC 9000 §4.6).
    pub streams_max: u32,
    /// Streams that the peer may have open at once in its own direction: three of HTTP/3, and those of WebTransport. Default 128;
    /// more have to wait.
    pub unidirectional_max: u32,
    /// Bytes that the peer may send on a stream before they are read. Default 64 KiB; then it has to wait. One that is not
    /// read holds so much memory.
    pub stream_window: u32,
    /// Bytes that the peer may send on all streams before they are read. Default 16 MiB; never less than all streams may have at
    /// once, so that streams which nobody reads can't starve the others.
    pub connection_window: u32,
    /// The head of a message. Default 16 KiB in 100 fields; past it a request gets status 431, a response is given up.
    pub section: SectionLimits,
    /// Time for a request's head to come. Default 10 s; past it the stream is given up (H3_REQUEST_REJECTED).
    pub head_within: Duration,
    /// Streams in a second that the peer opens and gives up before they are over. Default 100; past it the connection is ended with
    /// H3_EXCESSIVE_LOAD.
    pub resets_per_second_max: u32,
    /// Frames of a stream in a row that bring nothing. Default 1,000; past it the connection is ended with
    /// H3_EXCESSIVE_LOAD.
    pub idle_frames_max: u32,
    /// Bytes of datagrams that were received and not read. Default 64 KiB; then the oldest are lost.
    pub datagram_bytes_max: usize,
    /// Silence after which a connection is lost; the smaller one of both ends counts. Default 30 s.
    pub silence_max: Duration,
    /// Silence after which the peer is asked for a sign (a PING of QUIC). Default 10 s.
    pub ping_after: Duration,
    /// Time without a request under way, after which a server ends the connection. Default 60 s; `None`: it does not.
    pub idle_max: Option<Duration>,
    /// Sessions of WebTransport, and what each may take. Default: [`webtransport::Limits::default`]; with no sessions at all
    /// WebTransport is not announced.
    pub webtransport: webtransport::Limits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            streams_max: 256,
            unidirectional_max: 128,
            stream_window: 64 << 10,
            connection_window: 16 << 20,
            section: SectionLimits::default(),
            head_within: Duration::from_secs(10),
            resets_per_second_max: 100,
            idle_frames_max: 1000,
            datagram_bytes_max: 64 << 10,
            silence_max: Duration::from_secs(30),
            ping_after: Duration::from_secs(10),
            idle_max: Some(Duration::from_secs(60)),
            webtransport: webtransport::Limits::default(),
        }
    }
}

impl Limits {
    /// Makes the settings that announce them: with the extended CONNECT (RFC 9220 §3) and datagrams (RFC 9297 §2.1.1), without a
    /// dynamic table (RFC 9204 §5).
    pub fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        settings
            .set(SettingId::MAX_FIELD_SECTION_SIZE, self.section.section_bytes_max as u64)
            .set(SettingId::QPACK_MAX_TABLE_CAPACITY, 0)
            .set(SettingId::QPACK_BLOCKED_STREAMS, 0)
            .set(SettingId::ENABLE_CONNECT_PROTOCOL, 1)
            .set(SettingId::H3_DATAGRAM, 1);
        if self.webtransport.sessions_max > 0 {
            for (id, value) in self.webtransport.settings() {
                SettingId::new(id).map(|id| settings.set(id, value));
            }
        }
        settings
    }

    /// Makes the part of them that QUIC enforces.
    pub fn transport(&self) -> TransportConfig {
        let streams = u64::from(self.streams_max) + u64::from(self.unidirectional_max);
        let all = streams * u64::from(self.stream_window);
        let window = all.max(self.connection_window.into());
        let mut transport = TransportConfig::default();
        transport
            .max_concurrent_bidi_streams(self.streams_max.into())
            .max_concurrent_uni_streams(self.unidirectional_max.max(CRITICAL_STREAMS).into())
            .stream_receive_window(self.stream_window.into())
            .receive_window(VarInt::from_u64(window).unwrap_or(VarInt::MAX))
            .send_window(window)
            .datagram_receive_buffer_size(Some(self.datagram_bytes_max))
            .datagram_send_buffer_size(self.datagram_bytes_max)
            .keep_alive_interval(Some(self.ping_after))
            .max_idle_timeout(IdleTimeout::try_from(self.silence_max).ok());
        transport
    }

    pub(super) fn bounds(&self) -> Bounds {
        let section_bytes_max = self.section.section_bytes_max;
        Bounds { section_bytes_max, idle_frames_max: self.idle_frames_max }
    }
}

/// RFC 9114 §6.2: "the transport parameters sent by both clients and servers MUST allow the peer to create at least three
/// unidirectional streams."
const CRITICAL_STREAMS: u32 = 3;
