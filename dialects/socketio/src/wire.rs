//! Packets of Engine.IO and Socket.IO, read and written.

mod args;
mod engine;
mod framed;
mod packet;
mod attached;
mod text;
mod msgpack;
mod msgpack_json;

pub(crate) use args::{Args, Count};
pub(crate) use engine::{Frame, Revision};
pub(crate) use framed::{Framed, addressee as session_addressee};
pub(crate) use packet::{Assembly, Bounds, Packet, Reply, Said};

/// The client broke a rule of its protocol: its connection is closed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Fault(pub(crate) &'static str);

/// Writes a JSON string.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("every text is a JSON string")
}
