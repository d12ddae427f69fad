//! Bounds of WebTransport on one connection, and what is announced of them.

use super::dialect::setting;

/// What the sessions of one connection may use. Each bound has one consequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Sessions at once on a connection. Default 16: a page has a few. Past it a request is reset with H3_REQUEST_REJECTED, as
    /// draft 16 §5.2 has it. A peer without flow control may have one alone (draft 16 §5.1), unless it speaks draft 02 or 07.
    pub sessions_max: usize,
    /// Bidirectional streams that the peer may have open at once in a session. Default 100. Where both sides have flow control
    /// one more ends the session with WT_FLOW_CONTROL_ERROR; otherwise that stream is refused with WT_BUFFERED_STREAM_REJECTED.
    pub streams_bidirectional_max: u64,
    /// Unidirectional streams, likewise. Default 100.
    pub streams_unidirectional_max: u64,
    /// Bytes that the peer may send on a session's streams before they are read here. Default 1 MiB. Past it the session ends
    /// with WT_FLOW_CONTROL_ERROR; without flow control the windows of QUIC hold alone.
    pub session_window: u64,
    /// Streams of a connection that wait for their session's request, which may arrive behind them. Default 16. Past it the
    /// oldest is refused with WT_BUFFERED_STREAM_REJECTED.
    pub early_streams_max: usize,
    /// Datagrams of a connection that wait so. Default 16. Past it the oldest is dropped.
    pub early_datagrams_max: usize,
    /// Datagrams of a session that wait to be received by the program. Default 256, some 300 KiB. Past it the oldest is
    /// dropped.
    pub datagrams_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions_max: 16,
            streams_bidirectional_max: 100,
            streams_unidirectional_max: 100,
            session_window: 1 << 20,
            early_streams_max: 16,
            early_datagrams_max: 16,
            datagrams_max: 256,
        }
    }
}

impl Limits {
    /// The most that flow control can say of streams: 2^60 (draft 16 §5.6.2).
    pub(super) const STREAMS_MAX: u64 = 1 << 60;
    /// The most that it can say of bytes.
    const BYTES_MAX: u64 = (1 << 62) - 1;

    /// Returns the settings that announce WebTransport to peers of all drafts, as pairs of identifier and value. They go with
    /// SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 9220), SETTINGS_H3_DATAGRAM (RFC 9297 §2.1.1) and its older form of draft 04, which
    /// peers of draft 02 ask for and which is among these.
    ///
    /// What flow control begins with is half of each bound, because some clients wait for a capsule whatever the settings say,
    /// and a capsule must say more than was said before (draft 16 §5.6.4): the first one says the rest.
    pub fn settings(&self) -> [(u64, u64); 9] {
        let first = self.first();
        let sessions = (self.sessions_max as u64).clamp(1, u64::from(u32::MAX));
        [
            (setting::H3_DATAGRAM_DRAFT_04, 1),
            (setting::ENABLE_WEBTRANSPORT_DRAFT_02, 1),
            (setting::MAX_SESSIONS_DRAFT_03, sessions),
            (setting::MAX_SESSIONS_DRAFT_07, sessions),
            (setting::MAX_SESSIONS_DRAFT_13, sessions),
            (setting::ENABLED, 1),
            (setting::INITIAL_MAX_DATA, first.data),
            (setting::INITIAL_MAX_STREAMS_BIDI, first.bidirectional),
            (setting::INITIAL_MAX_STREAMS_UNI, first.unidirectional),
        ]
    }

    /// What the peer may use of a session before a capsule says more.
    pub(super) fn first(&self) -> Credit {
        let half = |bound: u64| (bound / 2).max(1);
        Credit {
            data: half(self.session_window.min(Self::BYTES_MAX)),
            bidirectional: half(self.streams_bidirectional_max.min(Self::STREAMS_MAX)),
            unidirectional: half(self.streams_unidirectional_max.min(Self::STREAMS_MAX)),
        }
    }
}

/// What one side may use of a session, counted from its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Credit {
    /// Bytes on all streams, their headers not counted.
    pub data: u64,
    /// Bidirectional streams opened.
    pub bidirectional: u64,
    /// Unidirectional streams opened.
    pub unidirectional: u64,
}
