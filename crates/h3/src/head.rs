//! Heads of requests and responses, and trailers, as field sections (RFC 9114 §4.2, §4.3, §4.4; RFC 9220).

mod protocol;
mod read;
mod write;

pub use protocol::Protocol;
pub use read::{content_length, read_request, read_response, read_trailers};
pub use write::{write_request, write_response, write_trailers};

use http::header::{CONNECTION, TRANSFER_ENCODING, UPGRADE};

/// RFC 9114 §4.2: "An endpoint MUST NOT generate an HTTP/3 field section containing connection-specific fields; any
/// message containing connection-specific fields MUST be treated as malformed." They are listed in RFC 9110 §7.6.1;
/// `te` is judged by its value.
fn is_connection_specific(name: &http::HeaderName) -> bool {
    [CONNECTION, TRANSFER_ENCODING, UPGRADE].contains(name)
        || ["keep-alive", "proxy-connection"].contains(&name.as_str())
}
