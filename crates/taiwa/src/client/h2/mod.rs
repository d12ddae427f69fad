//! WebSockets over HTTP/2 (RFC 8441): connections that several of them share, and opening one on a stream.

mod connection;
mod open;

pub(super) use connection::{Connection, Lease};
pub(super) use open::{Age, Unopened, open};
