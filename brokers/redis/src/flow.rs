//! One connection at work: what waits to be written, and what waits for an answer.

use std::{
    collections::VecDeque,
    io,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::{
    ask::{Ask, Pending},
    dial::Wire,
    settings::Settings,
    wire,
};

/// One connection at work.
pub(crate) struct Flow {
    pub(crate) wire: Wire,
    /// What the kernel did not take yet.
    pub(crate) out: BytesMut,
    /// What callers want and was not written yet.
    pub(crate) queue: VecDeque<Ask>,
    /// What was written and has no answer yet; the server answers in order.
    pub(crate) flights: VecDeque<Flight>,
    /// How many of these, at the front, nobody waits for any more.
    pub(crate) late: usize,
    pub(crate) heard_at: Instant,
    pub(crate) beat_at: Instant,
    /// How long what nobody waits for may take.
    request_max: Duration,
}

pub(crate) struct Flight {
    pub(crate) sent: Instant,
    pub(crate) until: Instant,
    pub(crate) what: What,
}

/// What is done with an answer.
pub(crate) enum What {
    Nothing,
    Answer(Pending),
    /// The answer to the subscription to a name, which may be new.
    Told {
        name: Box<[u8]>,
        new: bool,
        pending: Pending,
    },
    Patterns {
        before: bool,
        pending: Pending,
    },
    Beat,
}

/// Writes something, or, if there is nothing, sees to it that it leaves; returns how much was written.
pub(crate) async fn write(writer: &mut (impl AsyncWrite + Unpin), out: &[u8]) -> io::Result<usize> {
    if out.is_empty() {
        return writer.flush().await.map(|()| 0);
    }
    match writer.write(out).await? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        written => Ok(written),
    }
}

impl Flow {
    pub(crate) fn new(wire: Wire, settings: &Settings) -> Self {
        let now = Instant::now();
        Self {
            wire,
            out: BytesMut::new(),
            queue: VecDeque::new(),
            flights: VecDeque::new(),
            late: 0,
            heard_at: now,
            beat_at: now + settings.beat_every,
            request_max: settings.request_max,
        }
    }

    /// Writes a command that has no answer.
    pub(crate) fn say(&mut self, parts: &[&[u8]]) {
        self.out.extend_from_slice(&wire::command(parts));
    }

    /// Writes a command, and keeps what is to be done with its answer.
    pub(crate) fn send(&mut self, command: &[u8], what: What) {
        self.out.extend_from_slice(command);
        let sent = Instant::now();
        let until = match &what {
            What::Answer(it)
            | What::Told { pending: it, .. }
            | What::Patterns { pending: it, .. } => it.until,
            What::Nothing | What::Beat => sent + self.request_max,
        };
        self.flights.push_back(Flight { sent, until, what });
    }
}
