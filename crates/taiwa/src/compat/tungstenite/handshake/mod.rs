//! The opening handshake, driven over a transport that is lent to each call.

pub mod client;
mod head;
pub mod server;

pub use super::blocking::handshake::{HandshakeError, HandshakeRole, MidHandshake};

/// Returns the `Sec-WebSocket-Accept` that answers a `Sec-WebSocket-Key` (RFC 6455 §4.2.2).
///
/// ```
/// use taiwa::compat::tungstenite::tungstenite::handshake::derive_accept_key;
/// assert_eq!(derive_accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
/// ```
pub fn derive_accept_key(request_key: &[u8]) -> String {
    taiwa_proto::handshake::accept_key(&String::from_utf8_lossy(request_key))
}
