//! What the peer sent, made our own.

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use taiwa_proto::{Connection, Event, Input, Kind, Message, Pool};
use tokio::io::ReadBuf;

use crate::scratch::CUT_LEN_MIN;

/// Something that the peer sent.
pub(crate) enum Found {
    Message(Message),
    /// Answered already. Only the facades ask for it.
    #[cfg_attr(not(feature = "compat-axum"), expect(dead_code))]
    Ping(Bytes),
    Pong(Bytes),
    /// The next part of a message, if parts are asked for.
    Part(Part),
    /// The next part lies in the buffer that was lent for it.
    Filled {
        is_last: bool,
    },
}

/// What the facades see.
#[cfg(feature = "compat-axum")]
pub(crate) enum Item {
    Message(Message),
    /// Answered already.
    Ping(Bytes),
    Pong(Bytes),
}

/// A part of a message.
pub(crate) struct Part {
    pub(crate) kind: Kind,
    pub(crate) bytes: Bytes,
    pub(crate) is_last: bool,
}

/// What becomes of Pings.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Pings {
    /// Answered, that is all: all Pings of one read are answered by one write.
    Skip,
    /// Answered and told.
    #[cfg(feature = "compat-axum")]
    Tell,
}

impl Found {
    /// `None` for what needs nobody's attention.
    pub(crate) fn from_event(event: Event<'_>, pings: Pings) -> Option<Self> {
        match event {
            Event::Message(payload) => Some(Self::Message(payload.into_message())),
            Event::Part(part) => Some(Self::Part(Part {
                kind: part.kind,
                is_last: part.is_last,
                bytes: part.into_bytes(),
            })),
            Event::Ping(_) if pings == Pings::Skip => None,
            Event::Ping(payload) => Some(Self::Ping(payload)),
            Event::Pong(payload) => Some(Self::Pong(payload)),
        }
    }
}

/// Takes the next thing out of `bytes`, of which a message that is long enough keeps its part; `None` when all of them are
/// consumed.
pub(crate) fn next_cut(
    conn: &mut Connection,
    bytes: &mut BytesMut,
    now: Instant,
    pool: &mut Pool,
    pings: Pings,
) -> Option<Found> {
    loop {
        let event = conn.receive_from(bytes, CUT_LEN_MIN, now, pool)?;
        if let Some(found) = Found::from_event(event, pings) {
            return Some(found);
        }
    }
}

/// Takes the next thing out of `input`; `None` when all of it is consumed. A part of a message goes into `buffer`
/// if it fits.
pub(crate) fn next_found(
    conn: &mut Connection,
    input: &mut Input<'_>,
    now: Instant,
    pool: &mut Pool,
    pings: Pings,
    mut buffer: Option<&mut ReadBuf<'_>>,
) -> Option<Found> {
    loop {
        match (conn.receive(input, now, pool)?, buffer.as_deref_mut()) {
            (Event::Part(part), Some(buffer)) if part.as_slice().len() <= buffer.remaining() => {
                buffer.put_slice(part.as_slice());
                return Some(Found::Filled { is_last: part.is_last });
            }
            (event, _) => {
                if let Some(found) = Found::from_event(event, pings) {
                    return Some(found);
                }
            }
        }
    }
}
