//! How HTTP/3 is spoken, and bounds of its connections.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use taiwa::{Http3, webtransport};

use super::Settings;
use crate::args::Size;

/// Bounds of each connection of HTTP/3 (RFC 9114), which carries many WebSockets and requests as streams.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Http3Limits {
    /// Streams at the same time, WebSockets and requests together; past it the client waits.
    pub(crate) streams_max: u32,
    /// Bytes of a stream that a client may send before they are read; past it the client waits.
    pub(crate) window: Size,
    /// Streams that a client may give up in a second; past it the connection ends with H3_EXCESSIVE_LOAD.
    pub(crate) resets_max: u32,
    /// Sessions of WebTransport at the same time; one more is rejected.
    pub(crate) sessions_max: usize,
    /// Bytes that a client may send on all streams of a session before they are read; past it the client waits, or its session
    /// ends.
    pub(crate) session_window: Size,
    /// Datagrams of a session that wait to be taken; past it the oldest is dropped.
    pub(crate) datagrams_max: usize,
    /// Handshakes under way; past it newcomers have to prove their address first, which takes a round trip more.
    pub(crate) unproven_max: usize,
}

impl Default for Http3Limits {
    fn default() -> Self {
        let limits = Http3::default();
        Self {
            streams_max: limits.streams_max,
            window: Size(limits.stream_window as usize),
            resets_max: limits.resets_per_second_max,
            sessions_max: limits.webtransport.sessions_max,
            session_window: Size(limits.webtransport.session_window as usize),
            datagrams_max: limits.webtransport.datagrams_max,
            unproven_max: limits.unproven_max,
        }
    }
}

impl Settings {
    /// Returns how HTTP/3 is spoken; `None`: not. It needs TLS, and no proxy brings it.
    pub(crate) fn http3(&self) -> Option<Http3> {
        let limits = self.limits.http3.clone();
        let is_on = self.http3 && self.tls.is_on() && self.proxy_protocol.is_empty();
        is_on.then(|| Http3 {
            streams_max: limits.streams_max,
            stream_window: limits.window.0.try_into().unwrap_or(u32::MAX),
            resets_per_second_max: limits.resets_max,
            unproven_max: limits.unproven_max,
            idle_max: self.times.http3_idle.0,
            silence_max: self.times.http3_silence.0.unwrap_or(Http3::default().silence_max),
            websockets: self.http3_websockets,
            announced_port: self.http3_port,
            webtransport: webtransport::Limits {
                sessions_max: if self.webtransport { limits.sessions_max } else { 0 },
                session_window: limits.session_window.0 as u64,
                datagrams_max: limits.datagrams_max,
                ..webtransport::Limits::default()
            },
            ..Http3::default()
        })
    }
}
