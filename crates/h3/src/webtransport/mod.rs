//! WebTransport over HTTP/3 without I/O: draft-ietf-webtrans-http3, from draft 02 to draft 16.
//!
//! A session begins with an extended CONNECT (RFC 9220), whose stream then carries capsules (RFC 9297 §3). Streams name their
//! session in a header, datagrams by the quarter of its stream's identifier. What differs between drafts is in [`dialect`]: the
//! settings by which peers find each other, and whether each session has flow control of its own.

pub mod capsule;
pub mod code;
pub mod dialect;
pub mod early;
pub mod flow;
pub mod header;
pub mod limits;
pub mod protocols;
pub mod session;

pub use self::{
    capsule::{Capsule, REASON_BYTES_MAX},
    dialect::{Dialect, Terms, is_token},
    header::{Direction, SessionId},
    limits::Limits,
    session::{Ending, Event, Session},
};
