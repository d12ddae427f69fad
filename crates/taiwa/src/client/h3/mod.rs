//! WebSockets over HTTP/3 (RFC 9220): connections that several of them share, and opening one on a stream.

mod alt_svc;
mod connection;
mod open;
mod stream;

pub(super) use alt_svc::{Alternative, Alternatives, Choice, Offer, read_alt_svc, read_value};
pub(super) use connection::{Connection, Lease, connect, transport};
pub(super) use open::open;
