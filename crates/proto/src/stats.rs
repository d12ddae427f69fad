//! What went through a connection.

use std::time::Duration;

/// One direction of a connection since it was opened. Counters wrap after 2⁶⁴.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Messages, counted at their end.
    pub messages: u64,
    /// Frames of all kinds, control frames too.
    pub frames: u64,
    /// Bytes of messages before compression or after inflating.
    pub message_bytes: u64,
    /// Bytes on the transport behind the opening handshake: headers, payloads as they are sent, control
    /// frames. TLS is not counted.
    pub wire_bytes: u64,
}

impl Traffic {
    /// Returns wire bytes per message byte: below 1 where compression pays, a little above 1
    /// without it. `None` before the first message byte.
    ///
    /// ```
    /// use taiwa_proto::Traffic;
    /// let traffic = Traffic { message_bytes: 1000, wire_bytes: 250, ..Traffic::default() };
    /// assert_eq!(traffic.ratio(), Some(0.25));
    /// ```
    pub fn ratio(&self) -> Option<f64> {
        (self.message_bytes != 0).then(|| self.wire_bytes as f64 / self.message_bytes as f64)
    }
}

/// A connection's counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// From the peer to us.
    pub received: Traffic,
    /// From us to the peer. Messages count when they are queued, `wire_bytes` when the transport took
    /// them.
    pub sent: Traffic,
    /// Bytes that wait for the peer to read them.
    pub outbox_bytes: usize,
    /// Between the last Ping that was answered, of keepalive or by hand, and its Pong.
    pub round_trip: Option<Duration>,
}
