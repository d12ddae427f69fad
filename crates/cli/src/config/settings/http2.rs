//! Bounds of connections of HTTP/2.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use taiwa::Http2;

use super::Settings;
use crate::args::Size;

/// Bounds of each connection of HTTP/2 (RFC 9113), which carries many WebSockets and requests as streams.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Http2Limits {
    /// Streams at the same time, WebSockets and requests together; past it one is refused and may be tried again.
    pub(crate) streams_max: u32,
    /// Bytes of a stream that a client may send before they are read, and for all streams together so many times as many;
    /// past it the stream is reset.
    pub(crate) window: Size,
    /// Bytes of a stream that wait until the connection takes them; past it the next message waits in its queue.
    pub(crate) unsent_max: Size,
    /// Streams that a client may reset in a second; past it the connection ends with ENHANCE_YOUR_CALM.
    pub(crate) resets_max: u32,
}

impl Default for Http2Limits {
    fn default() -> Self {
        let limits = Http2::default();
        Self {
            streams_max: limits.streams_max,
            window: Size(limits.stream_window as usize),
            unsent_max: Size(limits.stream_unsent_max as usize),
            resets_max: limits.resets_per_second_max,
        }
    }
}

impl Settings {
    /// Returns how HTTP/2 is spoken; `None`: not.
    pub(crate) fn http2(&self) -> Option<Http2> {
        let bytes = |it: Size| it.0.try_into().unwrap_or(u32::MAX);
        let Http2Limits { streams_max, window, unsent_max, resets_max } = self.limits.http2.clone();
        self.http2.then(|| Http2 {
            streams_max,
            stream_window: bytes(window),
            stream_unsent_max: bytes(unsent_max),
            resets_per_second_max: resets_max,
            idle_max: self.times.http2_idle.0,
            websockets: self.http2_websockets,
            ..Http2::default()
        })
    }
}
