//! What the peer sent, made our own.

use std::time::Instant;

use bytes::Bytes;
use taiwa_proto::{Connection, Event, Input, Message, Pool};

/// Something that the peer sent.
pub(crate) enum Found {
    Message(Message),
    Pong(Bytes),
}

impl Found {
    /// `None` for what needs nobody's attention.
    pub(crate) fn from_event(event: Event<'_>) -> Option<Self> {
        match event {
            Event::Message(payload) => Some(Self::Message(payload.into_message())),
            Event::Ping(_) => None,
            Event::Pong(payload) => Some(Self::Pong(payload)),
        }
    }
}

/// Takes the next thing out of `input`; `None` when all of it is consumed.
pub(crate) fn next_found(
    conn: &mut Connection,
    input: &mut Input<'_>,
    now: Instant,
    pool: &mut Pool,
) -> Option<Found> {
    loop {
        if let Some(found) = Found::from_event(conn.receive(input, now, pool)?) {
            return Some(found);
        }
    }
}
