//! HTTP/3 (RFC 9114) with QPACK's static table (RFC 9204), datagrams and capsules (RFC 9297): a layer without I/O, and quinn under it.

pub mod varint;
pub mod error;
pub mod qpack;
pub mod head;
pub mod capsule;
pub mod datagram;
pub mod frame;
pub mod settings;
pub mod streams;
pub mod connection;
pub mod request;
pub mod webtransport;
#[cfg(feature = "net")]
pub mod net;

#[doc(hidden)]
pub mod fuzzing;

pub use head::Protocol;
