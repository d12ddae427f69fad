//! The sending half of a connection: messages, parts, control frames.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::{Context, Poll, Waker, ready},
    time::Instant,
};

use taiwa_proto::{CloseCode, Connection, Fin, Kind, Message, Misuse, Prepared, Step};
use tokio::task::coop;

use super::{
    inner::{Absence, Inner},
    timer::now,
    transport::Transport,
};
use crate::{error::Error, scratch::with_scratch};

/// Bytes of a streamed message that wait to be written, at most, beside one part.
pub(crate) const STREAM_OUTBOX_MAX: usize = 64 << 10;

/// Bytes that a sink gathers, at most, before it begins to write: as much as one read brings.
const FED_BYTES_MAX: usize = 64 << 10;

/// Bytes of control frames that may wait beyond the limit of the outbox.
const CONTROL_SURPLUS: usize = 64 << 10;

/// A message on its way out.
#[derive(Clone, Copy)]
pub(crate) enum Outgoing<'m> {
    Message(&'m Message),
    Prepared(&'m Prepared),
}

impl Inner {
    /// Queues a message if there is room: `Ok(false)` if not.
    pub(crate) fn queue(&mut self, message: Outgoing<'_>, now: Instant) -> Result<bool, Error> {
        self.check_may_send()?;
        if !has_room(&self.conn, false) {
            return Ok(false);
        }
        self.queue_anyway(message, now)?;
        Ok(true)
    }

    /// Queues a message, room or not.
    pub(crate) fn queue_anyway(
        &mut self,
        message: Outgoing<'_>,
        now: Instant,
    ) -> Result<(), Error> {
        self.check_open()?;
        with_scratch(|scratch| match message {
            Outgoing::Message(it) => self.conn.send(it, now, &mut scratch.pool),
            Outgoing::Prepared(it) => self.conn.send_prepared(it, now, &mut scratch.pool),
        })?;
        Ok(())
    }

    /// Queues a message as soon as there is room, then is ready when the kernel has everything.
    pub(crate) fn poll_send(
        &mut self,
        message: Outgoing<'_>,
        is_queued: &mut bool,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        let now = now();
        while !*is_queued {
            *is_queued = self.queue(message, now)?;
            if !*is_queued {
                ready!(self.poll_out(cx, now, has_room))?;
            }
        }
        self.poll_out(cx, now, is_written)
    }

    /// Queues a part of a message, whatever waits.
    pub(crate) fn queue_part(&mut self, kind: Kind, part: &[u8], fin: Fin) -> Result<(), Error> {
        self.check_open()?;
        with_scratch(|it| self.conn.send_part(kind, part, fin, now(), &mut it.pool))?;
        self.news.for_senders |= fin == Fin::Last;
        Ok(())
    }

    /// Is ready when the next part of a streamed message may be queued.
    pub(crate) fn poll_part_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_out(cx, now(), |conn, _| conn.outbox().len() < STREAM_OUTBOX_MAX)
    }

    /// Is ready when the outbox is below its limit and no message is unfinished.
    pub(crate) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_out(cx, now(), has_room)
    }

    /// Is ready when a message may be queued, or never may be any more.
    pub(crate) fn poll_reserve(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(self.poll_room(cx))?;
        Poll::Ready(self.check_may_send())
    }

    /// Queues a message of a sink's, room or not. It goes out when the sink is flushed, when much has been gathered or when
    /// there is nothing to read.
    pub(super) fn feed(&mut self, message: &Message) -> Result<(), Error> {
        let now = match self.absence {
            // What was fed before waits already, and not since now.
            Absence::Untold(since) if self.is_fed => since,
            _ => now(),
        };
        self.queue_anyway(Outgoing::Message(message), now)?;
        self.is_fed = true;
        Ok(())
    }

    /// Tells whether a sink that was fed may be fed more before anything is written.
    pub(super) fn may_feed(&self) -> bool {
        let may_gather = self.is_fed && self.conn.outbox().len() < FED_BYTES_MAX;
        may_gather && has_room(&self.conn, false) && self.check_may_send().is_ok()
    }

    /// Is ready when the kernel has everything.
    pub(crate) fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_out(cx, now(), is_written)
    }

    fn poll_out(
        &mut self,
        cx: &mut Context<'_>,
        mut now: Instant,
        enough: fn(&Connection, is_written: bool) -> bool,
    ) -> Poll<Result<(), Error>> {
        loop {
            // First of all: a connection that has ended has nothing left to write.
            if let Step::End(end) = self.conn.step() {
                self.end(end)?;
            }
            self.check_open()?;
            self.hear_going_away();
            let is_written = self.poll_write(cx, now).is_ready();
            if enough(&self.conn, is_written) {
                return Poll::Ready(self.check_open());
            }
            self.pause(now);
            now = ready!(self.poll_time(cx));
        }
    }

    /// Writes what the kernel takes, and what policies held back while it took nothing.
    #[inline]
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<()> {
        self.is_fed = false;
        // It is asked before and after each read, and mostly there is nothing.
        let is_idle = self.transport.as_ref().is_none_or(Transport::is_flushed)
            && self.conn.outbox().is_empty()
            && self.held_back.is_none();
        if is_idle { Poll::Ready(()) } else { self.poll_write_waiting(cx, now) }
    }

    fn poll_write_waiting(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<()> {
        loop {
            let Some(transport) = &mut self.transport else { return Poll::Ready(()) };
            let before = self.conn.outbox().len();
            let written = transport.poll_write(&mut self.conn, cx, now);
            self.news.for_senders |= self.conn.outbox().len() < before;
            ready!(written);
            if !self.refill(now) {
                return Poll::Ready(());
            }
        }
    }

    /// Queues the next message that a policy holds back.
    fn refill(&mut self, now: Instant) -> bool {
        let Some(held_back) = &mut self.held_back else { return false };
        if !self.conn.is_open() || self.conn.is_sending_parts() {
            return false;
        }
        let Some(message) = held_back.next() else { return false };
        with_scratch(|scratch| message.queue(&mut self.conn, now, &mut scratch.pool)).is_ok()
    }

    /// Writes what the kernel takes at once.
    pub(crate) fn write_some(&mut self) {
        let _ = self.poll_write_once(&mut Context::from_waker(Waker::noop()), now());
    }

    /// [`poll_write`](Self::poll_write) for who does not wait and is not polled again: it writes even if the task
    /// has used up what tokio lets it do in one go, or the bytes would be left to a task of another connection's.
    pub(crate) fn poll_write_once(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<()> {
        let writing = poll_fn(|cx| self.poll_write(cx, now));
        pin!(coop::unconstrained(writing)).poll(cx)
    }

    /// Control frames may pass the limit of the outbox a little, so that a Ping can be sent behind
    /// messages that wait. A loop of them can't go on for ever.
    fn check_control_room(&self) -> Result<(), Error> {
        self.check_open()?;
        let waiting = self.conn.outbox().len().saturating_sub(CONTROL_SURPLUS);
        let is_full = self.outbox_bytes_max <= waiting;
        if is_full { Err(Error::OutboxFull) } else { Ok(()) }
    }

    /// Queues a ping.
    pub(crate) fn ping_with(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.check_control_room()?;
        with_scratch(|scratch| self.conn.ping(payload, now(), &mut scratch.pool))?;
        Ok(())
    }

    /// Queues a pong that nobody asked for.
    pub(crate) fn pong(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.check_control_room()?;
        with_scratch(|scratch| self.conn.pong(payload, now(), &mut scratch.pool))?;
        Ok(())
    }

    /// Queues a Close frame, behind what policies hold back. No harm if one is queued or sent already.
    pub(crate) fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Misuse> {
        if self.closed().is_some() {
            return Ok(());
        }
        // Who waits for room hears that there is no use in it.
        self.news.for_senders = true;
        let now = now();
        let sendable = code == CloseCode::NO_STATUS && reason.is_empty() || code.is_sendable();
        while sendable && self.refill(now) {}
        match with_scratch(|it| self.conn.close(code, reason, now, &mut it.pool)) {
            Ok(()) | Err(Misuse::Closing) => Ok(()),
            Err(misuse) => Err(misuse),
        }
    }
}

/// Whether a whole message may be queued, or would be refused at once.
fn has_room(conn: &Connection, _: bool) -> bool {
    conn.has_room() && !(conn.is_sending_parts() && conn.is_open())
}

fn is_written(_: &Connection, is_written: bool) -> bool {
    is_written
}
