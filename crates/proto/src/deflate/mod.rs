//! permessage-deflate (RFC 7692): what is negotiated, and the codec.

pub mod negotiate;

mod deflater;
mod inflater;
mod shared;
mod window;

#[cfg(test)]
mod tests;

pub use deflater::Deflater;
pub(crate) use deflater::Shape;
pub use inflater::{InflateFault, Inflater};
pub use shared::Shared;
pub use window::Window;

use crate::limits::Role;

/// What a sync flush ends with, the lengths of an empty stored block; senders leave it out and
/// receivers put it back (RFC 7692 §7.2.1, §7.2.2).
const SYNC_TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// How we want to compress. A number outside of its range counts as the nearest one inside.
///
/// ```
/// use taiwa_proto::deflate::Deflate;
/// // Better ratio, for some 200 KiB of memory a connection:
/// let dear = Deflate { level: 6, keep_our_context: true, keep_peer_context: true, ..Deflate::default() };
/// assert_eq!(dear.window_bits, 12);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deflate {
    /// zlib's level, 1 to 9. Default 1: two to four times as fast as 6, for up to a third more bytes.
    pub level: u8,
    /// Window of our compressor as a power of two, 9 to 15. Default 12. Never more than negotiated.
    pub window_bits: u8,
    /// zlib's memLevel, 1 to 9. Default 5.
    pub memory_level: u8,
    /// Messages of fewer bytes go out uncompressed, and without `keep_our_context` those that do not
    /// get smaller. Default 128; 0 sends every message compressed.
    pub message_bytes_min: usize,
    /// Keep our compressor's window from message to message: better ratio, and about 161 KiB of
    /// memory per connection. Default `false`: one compressor serves all connections of a thread.
    pub keep_our_context: bool,
    /// Let the peer keep its window from message to message. Default `false`: nothing has to be kept
    /// per connection.
    pub keep_peer_context: bool,
    /// With `keep_peer_context`: the window that we ask the peer not to exceed, as a power of two, 9 to
    /// 15. Default 15. A peer may decline; its full window is what a connection keeps, 32 KiB at 15.
    pub peer_window_bits: u8,
}

impl Default for Deflate {
    fn default() -> Self {
        Self {
            level: 1,
            window_bits: 12,
            memory_level: 5,
            message_bytes_min: 128,
            keep_our_context: false,
            keep_peer_context: false,
            peer_window_bits: 15,
        }
    }
}

/// What both ends agreed on (RFC 7692 §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    /// The server starts each message with an empty window.
    pub server_no_context_takeover: bool,
    /// The client starts each message with an empty window.
    pub client_no_context_takeover: bool,
    /// The server's window as a power of two, 8 to 15.
    pub server_max_window_bits: u8,
    /// The client's window as a power of two, 8 to 15.
    pub client_max_window_bits: u8,
}

/// How the messages of one direction are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Direction {
    /// The window as a power of two: 9 to 15 for our own messages, 8 to 15 for the peer's.
    pub window_bits: u8,
    /// Each message starts with an empty window.
    pub no_context_takeover: bool,
}

impl Params {
    /// Returns how `role` may compress its own messages; a smaller window is always allowed. `None`:
    /// it sends them uncompressed, which RFC 7692 §6 leaves open for each message. That is so when a
    /// server answers `client_max_window_bits=8`, a window that zlib's compressors don't have.
    pub fn outgoing(&self, role: Role) -> Option<Direction> {
        Some(self.direction(role)).filter(|it| 9 <= it.window_bits)
    }

    /// Returns how the peer of `role` compresses its messages.
    pub fn incoming(&self, role: Role) -> Direction {
        self.direction(match role {
            Role::Client => Role::Server,
            Role::Server => Role::Client,
        })
    }

    fn direction(&self, sender: Role) -> Direction {
        match sender {
            Role::Client => Direction {
                window_bits: self.client_max_window_bits,
                no_context_takeover: self.client_no_context_takeover,
            },
            Role::Server => Direction {
                window_bits: self.server_max_window_bits,
                no_context_takeover: self.server_no_context_takeover,
            },
        }
    }
}

impl std::fmt::Display for Params {
    /// Writes them as `Sec-WebSocket-Extensions` does, parameters with their default left out
    /// (RFC 7692 §7.1).
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("permessage-deflate")?;
        for (is_set, name) in [
            (self.server_no_context_takeover, "server_no_context_takeover"),
            (self.client_no_context_takeover, "client_no_context_takeover"),
        ] {
            if is_set {
                write!(f, "; {name}")?;
            }
        }
        for (bits, name) in [
            (self.server_max_window_bits, "server_max_window_bits"),
            (self.client_max_window_bits, "client_max_window_bits"),
        ] {
            if bits != 15 {
                write!(f, "; {name}={bits}")?;
            }
        }
        Ok(())
    }
}
