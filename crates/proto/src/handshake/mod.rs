//! The opening handshake (RFC 6455 §4) over `http` types, for any version of HTTP.
//!
//! [`server`] and [`client`] are the two halves. Over HTTP/1.1 a request upgrades its connection ([`Opening::read`]); over
//! HTTP/2 and HTTP/3 an extended CONNECT (RFC 8441, RFC 9220) opens a stream ([`Opening::read_connect`]). What is
//! independent of HTTP's version, subprotocols and extensions, is in [`Offer`].

pub mod client;
pub mod extensions;
pub mod fuzzing;
mod negotiation;
mod origins;
mod rejection;
pub mod server;
mod subprotocols;
pub(crate) mod tokens;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

use crate::deflate;

pub use client::{HandshakeFault, HandshakeMisuse, Pending, Wish, is_interim, parse_uri};
pub use negotiation::Offer;
pub use origins::{Arrival, Origin, Origins};
pub use rejection::Rejection;
pub use server::{Opening, is_upgrade, permit_request};
pub use subprotocols::{Grammar, SUBPROTOCOLS_MAX, choose_subprotocol, parse_subprotocols};
pub use tokens::{ListFault, is_token};

/// What both ends agreed on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agreed {
    /// The subprotocol, if one.
    pub subprotocol: Option<String>,
    /// permessage-deflate, if on.
    pub deflate: Option<deflate::Params>,
}

/// Returns the `Sec-WebSocket-Accept` that answers a `Sec-WebSocket-Key` (RFC 6455 §4.2.2).
///
/// ```
/// use taiwa_proto::handshake::accept_key;
/// assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
/// ```
pub fn accept_key(key: &str) -> String {
    let mut sha1 = Sha1::new();
    sha1.update(key.as_bytes());
    sha1.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(sha1.finalize())
}
