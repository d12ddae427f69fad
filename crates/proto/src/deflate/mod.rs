//! permessage-deflate (RFC 7692): what is negotiated, and the codec.

pub mod codec;
pub mod negotiate;

pub use codec::{Deflater, InflateFault, Inflater};

/// How we want to compress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deflate {
    /// zlib's level, 1 to 9. Default 1: five times as fast as 6 for 10 % more bytes.
    pub level: u8,
    /// Window of our compressor as a power of two, 9 to 15. Default 12. Never more than negotiated.
    pub window_bits: u8,
    /// zlib's memLevel, 1 to 9. Default 5.
    pub memory_level: u8,
    /// Messages of fewer bytes go out uncompressed. Default 128. The decision falls before the
    /// compressor sees the message.
    pub message_bytes_min: usize,
    /// Keep our compressor's window from message to message: better ratio, and about 161 KiB of
    /// memory per connection. Default `false`: one compressor serves all connections of a thread.
    pub keep_our_context: bool,
    /// Let the peer keep its window from message to message: about 47 KiB per connection here.
    /// Default `false`: one inflater serves all connections of a thread.
    pub keep_peer_context: bool,
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
