//! The opening handshake (RFC 6455 §4) over `http` types, for any version of HTTP.

pub mod client;
pub mod extensions;
pub mod server;

use crate::deflate;

/// What both ends agreed on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agreed {
    /// The subprotocol, if one.
    pub subprotocol: Option<String>,
    /// permessage-deflate, if on.
    pub deflate: Option<deflate::Params>,
}
