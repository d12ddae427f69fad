//! One connection at work: what waits to be sent, and what waits for an answer.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream::FuturesOrdered};
use redis::{Cmd, RedisResult, Value, cluster_routing::Slot};
use tokio::task::unconstrained;

use crate::{
    ask::Pending,
    dial::{SENT_MAX, Wire},
    reply::{bytes_of, command},
};

/// How much is with the library, or on its way, at once; more waits here, where its deadlines are watched.
const SENT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// One connection at work.
pub(crate) struct Flow {
    pub(crate) wire: Wire,
    /// What was not sent yet.
    pub(crate) waiting: VecDeque<Item>,
    /// What was sent and has no answer yet, in the order of sending, which is that of the answers.
    sent: FuturesOrdered<Sent>,
    /// What is done with each of these answers.
    pub(crate) flights: VecDeque<Flight>,
    bytes: usize,
    /// How many of them, at the front, nobody waits for any more.
    pub(crate) late: usize,
}

type Sent = Pin<Box<dyn Future<Output = (Cmd, RedisResult<Value>)> + Send>>;

/// Something to be asked.
pub(crate) struct Item {
    /// To which slot it belongs.
    pub(crate) slot: Slot,
    pub(crate) command: Cmd,
    pub(crate) what: What,
    pub(crate) until: Instant,
}

pub(crate) struct Flight {
    pub(crate) slot: Slot,
    pub(crate) sent: Instant,
    pub(crate) until: Instant,
    bytes: usize,
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
    /// What one server of several kept of this node's mark.
    Mark,
}

impl Item {
    /// Makes one; what nobody waits for may take so long.
    pub(crate) fn new(slot: Slot, command: Cmd, what: What, request_max: Duration) -> Self {
        let until = match &what {
            What::Answer(it)
            | What::Told { pending: it, .. }
            | What::Patterns { pending: it, .. } => it.until,
            What::Nothing | What::Beat | What::Mark => Instant::now() + request_max,
        };
        Self { slot, command, what, until }
    }
}

impl Flow {
    pub(crate) fn new(wire: Wire) -> Self {
        Self {
            wire,
            waiting: VecDeque::new(),
            sent: FuturesOrdered::new(),
            flights: VecDeque::new(),
            bytes: 0,
            late: 0,
        }
    }

    /// Says something that has a short answer, which nobody waits for.
    pub(crate) fn say(&mut self, slot: Slot, parts: &[&[u8]], request_max: Duration) {
        self.waiting.push_back(Item::new(slot, command(parts), What::Nothing, request_max));
    }

    /// Hands to the library what it may have.
    pub(crate) fn pump(&mut self) {
        while self.flights.len() < SENT_MAX
            && self.bytes < SENT_BYTES_MAX
            && let Some(Item { slot, command, what, until }) = self.waiting.pop_front()
        {
            let bytes = bytes_of(&command);
            self.bytes += bytes;
            self.flights.push_back(Flight { slot, sent: Instant::now(), until, bytes, what });
            let mut redis = self.wire.redis.clone();
            // What yields before it is sent would be overtaken: so it never does, and the library has room for all.
            self.sent.push_back(Box::pin(unconstrained(async move {
                let answer = redis.send_packed_command(&command).await;
                (command, answer)
            })));
        }
    }

    /// Takes the next answer, with what was asked and what is to be done with it.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(Cmd, Flight, RedisResult<Value>)> {
        match self.sent.poll_next_unpin(cx) {
            Poll::Ready(Some((command, answer))) => {
                let flight = self.flights.pop_front().expect("one for each that was sent");
                self.wire.tap.answered();
                self.bytes -= flight.bytes;
                self.late = self.late.saturating_sub(1);
                Poll::Ready((command, flight, answer))
            }
            _ => Poll::Pending,
        }
    }

    /// Tells whether something is unanswered, and the server has been silent, for so long.
    pub(crate) fn is_silent(&self, silence_max: Duration, now: Instant) -> bool {
        let waits = self.flights.front().map(|it| now.saturating_duration_since(it.sent));
        now.saturating_duration_since(self.wire.tap.heard_at()) >= silence_max
            && waits.is_some_and(|it| it >= silence_max)
    }

    /// Takes out what nobody waits for any more.
    pub(crate) fn late(&mut self, now: Instant, late: &mut Vec<What>) {
        while let Some(flight) = self.flights.get_mut(self.late).filter(|it| it.until <= now) {
            self.late += 1;
            // What a beat brings is wanted whenever it comes.
            if !matches!(flight.what, What::Beat | What::Mark) {
                late.push(std::mem::replace(&mut flight.what, What::Nothing));
            }
        }
        take_late(&mut self.waiting, now, late);
    }

    /// Asks an idle server for a sign of life.
    pub(crate) fn ping(&mut self, slot: Slot, after: Duration, now: Instant) {
        let idle = self.flights.is_empty() && self.waiting.is_empty();
        if idle && now.saturating_duration_since(self.wire.tap.heard_at()) >= after {
            self.say(slot, &[b"PING"], after);
        }
    }
}

/// Takes out what waited for too long.
pub(crate) fn take_late(waiting: &mut VecDeque<Item>, now: Instant, late: &mut Vec<What>) {
    if waiting.iter().any(|it| it.until <= now) {
        for item in std::mem::take(waiting) {
            match item.what {
                What::Nothing | What::Beat | What::Mark => waiting.push_back(item),
                what if item.until <= now => late.push(what),
                what => waiting.push_back(Item { what, ..item }),
            }
        }
    }
}
