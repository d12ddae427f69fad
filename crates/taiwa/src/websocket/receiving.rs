//! The receiving half of a connection: messages, parts, Pongs.

use std::{
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::{Buf, Bytes, BytesMut};
use taiwa_proto::{Input, Intake, Message, Step};
use tokio::io::ReadBuf;

use super::{
    found::{Found, Pings, next_cut, next_found},
    inner::{Absence, Inner},
    timer::now,
};
use crate::{
    error::Error,
    scratch::{CUT_LEN_MIN, with_scratch},
};

/// Messages that are kept at most while somebody waits for something else, whatever their size.
const KEPT_MAX: usize = 4096;

/// A Ping whose Pong somebody waits for.
pub(super) struct Asked {
    id: u64,
    payload: Bytes,
    answered: Option<Instant>,
}

/// What the next part of a message is.
pub(crate) enum NextPart {
    /// It lies in the buffer that was lent for it; the message ends with it if the flag says so.
    Filled {
        is_last: bool,
    },
    Part(super::found::Part),
}

impl Inner {
    /// Returns the next message; `None` at the end. The rest of a message whose parts came out is
    /// passed over.
    pub(crate) fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Message>, Error>> {
        if let Some(message) = self.next_kept() {
            return Poll::Ready(Ok(Some(message)));
        }
        self.conn.take_in(Intake::Whole);
        loop {
            match ready!(self.poll_found(cx, Pings::Skip, None))? {
                Some(Found::Message(message)) => return Poll::Ready(Ok(Some(message))),
                Some(_) => {}
                None => return Poll::Ready(Ok(None)),
            }
        }
    }

    /// Returns the next message of those that were read with the last one, if nothing waits to be written before: then nobody
    /// has to be woken for anything. What it [owes](Self::owes_answer) is to be written before it is handed out.
    pub(super) fn next_at_hand(&mut self) -> Option<Message> {
        let writes_nothing = self.is_fed || self.conn.outbox().is_empty();
        if self.leftover.is_empty() || !self.kept.is_empty() || !writes_nothing {
            return None;
        }
        // It was read when the one before it was handed out. Reading the clock for each would cost as much as reading it.
        let now = match self.absence {
            Absence::Untold(since) => since,
            Absence::Not | Absence::Told => now(),
        };
        self.conn.take_in(Intake::Whole);
        let before = self.conn.outbox().len();
        let found = self.next_leftover(now, Pings::Skip, None);
        // What answers a Ping before it does not wait for what else is fed.
        self.is_fed &= self.conn.outbox().len() == before;
        self.pause(now);
        match found {
            Some(Found::Message(message)) => Some(message),
            Some(Found::Pong(payload)) => {
                self.hear_pong(&payload, now);
                None
            }
            _ => None,
        }
    }

    /// Tells whether something waits to be written that was not fed to a sink.
    pub(super) fn owes_answer(&self) -> bool {
        !self.is_fed && !self.conn.outbox().is_empty()
    }

    /// Returns the next message, Ping or Pong; `None` at the end.
    #[cfg(feature = "compat-axum")]
    pub(crate) fn poll_item(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<super::Item>, Error>> {
        use super::Item;
        if let Some(message) = self.next_kept() {
            return Poll::Ready(Ok(Some(Item::Message(message))));
        }
        self.conn.take_in(Intake::Whole);
        loop {
            return Poll::Ready(Ok(match ready!(self.poll_found(cx, Pings::Tell, None))? {
                Some(Found::Message(message)) => Some(Item::Message(message)),
                Some(Found::Ping(payload)) => Some(Item::Ping(payload)),
                Some(Found::Pong(payload)) => Some(Item::Pong(payload)),
                Some(Found::Part(_) | Found::Filled { .. }) => continue,
                None => None,
            }));
        }
    }

    /// Returns the next part of a message; `None` at the end. Bytes of the transport that are wanted as
    /// they are go straight into `buffer`.
    pub(crate) fn poll_part(
        &mut self,
        cx: &mut Context<'_>,
        mut buffer: Option<&mut ReadBuf<'_>>,
    ) -> Poll<Result<Option<NextPart>, Error>> {
        // A message that was kept whole is a part, too.
        if let Some(message) = self.next_kept() {
            let (kind, bytes) = (message.kind(), message.into_bytes());
            let part = super::found::Part { kind, bytes, is_last: true };
            return Poll::Ready(Ok(Some(NextPart::Part(part))));
        }
        self.conn.take_in(Intake::Parts);
        loop {
            let (next, is_last) =
                match ready!(self.poll_found(cx, Pings::Skip, buffer.as_deref_mut()))? {
                    Some(Found::Part(part)) => {
                        let is_last = part.is_last;
                        (NextPart::Part(part), is_last)
                    }
                    Some(Found::Filled { is_last }) => (NextPart::Filled { is_last }, is_last),
                    Some(Found::Message(_) | Found::Ping(_) | Found::Pong(_)) => continue,
                    None => return Poll::Ready(Ok(None)),
                };
            self.amid_parts(!is_last);
            return Poll::Ready(Ok(Some(next)));
        }
    }

    /// Passes over the rest of a message whose parts came out.
    pub(super) fn pass_over(&mut self) {
        self.conn.take_in(Intake::Whole);
        self.amid_parts(false);
    }

    /// Notes whether parts of a message are being read. When they are not any more, others may read.
    fn amid_parts(&mut self, is_amid_parts: bool) {
        self.news.for_senders |= self.is_amid_parts && !is_amid_parts;
        self.is_amid_parts = is_amid_parts;
    }

    fn next_kept(&mut self) -> Option<Message> {
        let was_full = self.is_kept_full();
        let message = self.kept.pop_front()?;
        self.kept_bytes -= message.as_bytes().len();
        // Who waits for the end, or for a Pong, goes on reading.
        self.news.for_senders |= was_full;
        Some(message)
    }

    /// Tells whether no more may be kept.
    fn is_kept_full(&self) -> bool {
        self.kept_bytes > self.kept_bytes_max || self.kept.len() > KEPT_MAX
    }

    /// Drives the connection to its end, dropping messages.
    pub(crate) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while ready!(self.poll_found(cx, Pings::Skip, None))?.is_some() {}
        Poll::Ready(Ok(()))
    }

    /// Drives the connection to its end, keeping messages for who receives them, as many as may be kept.
    /// Then it waits for them to be received.
    pub(crate) fn poll_end_keeping(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while self.closed().is_none() {
            ready!(if self.is_kept_full() {
                self.poll_without_reading(cx)
            } else {
                self.poll_keep(cx)
            })?;
        }
        Poll::Ready(Ok(()))
    }

    /// Takes in one thing and keeps it, if it is a message; ready when it did, or at the end.
    fn poll_keep(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        // A message whose parts are being read is not for keeping: its reader drives the connection.
        if self.is_amid_parts {
            return self.poll_without_reading(cx);
        }
        self.conn.take_in(Intake::Whole);
        if let Some(Found::Message(message)) = ready!(self.poll_found(cx, Pings::Skip, None))?
            && !self.nobody_receives
        {
            self.kept_bytes += message.as_bytes().len();
            self.kept.push_back(message);
            self.news.for_receiver = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes and keeps time for who may not read; ready at the end.
    fn poll_without_reading(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut now = now();
        while self.closed().is_none() {
            if let Step::End(end) = self.conn.step() {
                return Poll::Ready(self.end(end));
            }
            self.hear_going_away();
            let _ = self.poll_write(cx, now);
            self.pause(now);
            now = ready!(self.poll_time(cx));
        }
        Poll::Ready(Ok(()))
    }

    /// Queues a Ping with a payload that no Ping of this connection had, as [`ask`](Self::ask).
    pub(crate) fn ask_anew(&mut self) -> Result<u64, Error> {
        let payload = self.pings.to_be_bytes();
        self.ask(&payload)
    }

    /// Queues a Ping whose answer somebody will wait for, and returns its number.
    pub(crate) fn ask(&mut self, payload: &[u8]) -> Result<u64, Error> {
        self.ping_with(payload)?;
        self.pings += 1;
        let id = self.pings;
        self.asked.push(Asked { id, payload: Bytes::copy_from_slice(payload), answered: None });
        Ok(id)
    }

    /// Forgets a Ping that nobody waits for any more.
    pub(crate) fn forget(&mut self, id: u64) {
        self.asked.retain(|it| it.id != id);
        if self.asked.is_empty() {
            self.asked = Vec::new();
        }
    }

    /// Waits for the answer to a Ping, keeping the messages that come first, and returns when it came.
    pub(crate) fn poll_pong(
        &mut self,
        cx: &mut Context<'_>,
        id: u64,
    ) -> Poll<Result<Instant, Error>> {
        loop {
            let answered = self.asked.iter().find(|it| it.id == id).and_then(|it| it.answered);
            if let Some(at) = answered {
                return Poll::Ready(Ok(at));
            }
            if self.closed().is_some() {
                return Poll::Ready(Err(self.over()));
            }
            if self.is_kept_full() {
                return Poll::Ready(Err(Error::Busy));
            }
            ready!(self.poll_keep(cx))?;
        }
    }

    /// The one loop that reads, writes and keeps time. `None` once the connection has ended.
    fn poll_found(
        &mut self,
        cx: &mut Context<'_>,
        pings: Pings,
        mut buffer: Option<&mut ReadBuf<'_>>,
    ) -> Poll<Result<Option<Found>, Error>> {
        // Once a poll: reading the clock costs as much as reading a small frame.
        let mut now = now();
        self.come_back(now);
        let fed = self.conn.outbox().len();
        loop {
            if self.closed().is_some() {
                return Poll::Ready(self.untold.take().map_or(Ok(None), Err));
            }
            self.hear_going_away();
            if let Some(found) = self.next_leftover(now, pings, buffer.as_deref_mut()) {
                // What a sink was fed may wait for what else has come; an answer, to a Ping say, may not.
                self.is_fed &= self.conn.outbox().len() == fed;
                return Poll::Ready(Ok(Some(self.leave_with(found, cx, now))));
            }
            let _ = self.poll_write(cx, now);
            let Some(transport) = &mut self.transport else { return Poll::Ready(Ok(None)) };
            let progress = match self.conn.step() {
                Step::End(end) => return Poll::Ready(self.end(end).map(|()| None)),
                Step::ShutDown => transport.poll_shut_down(cx).map(|()| {
                    self.conn.shut_down();
                    None
                }),
                Step::Transfer | Step::Discard => {
                    match (buffer.as_deref_mut(), self.conn.part_room()) {
                        (Some(buffer), Some(room)) => {
                            transport.poll_read_part(&mut self.conn, buffer, room, cx, now)
                        }
                        (buffer, _) => {
                            let (conn, leftover) = (&mut self.conn, &mut self.leftover);
                            transport.poll_read(conn, leftover, cx, now, pings, buffer)
                        }
                    }
                }
            };
            match progress {
                Poll::Ready(Some(found)) => {
                    return Poll::Ready(Ok(Some(self.leave_with(found, cx, now))));
                }
                Poll::Ready(None) => {}
                Poll::Pending => {
                    self.resume(now);
                    now = ready!(self.poll_time(cx));
                }
            }
        }
    }

    /// Hands something to the caller, who may stay away for long: what was answered goes out before, and
    /// the peer is not blamed for the time.
    fn leave_with(&mut self, found: Found, cx: &mut Context<'_>, now: Instant) -> Found {
        if let Found::Pong(payload) = &found {
            self.hear_pong(payload, now);
        }
        if !self.is_fed {
            let _ = self.poll_write(cx, now);
        }
        self.pause(now);
        found
    }

    fn hear_pong(&mut self, payload: &Bytes, now: Instant) {
        // RFC 6455 §5.5.3: "the endpoint MAY elect to send a Pong frame for only the most recently
        // processed Ping frame." So a Pong answers all Pings before its own, too, and its own may be one
        // that nobody waits for: of keepalive, say.
        let answered = if self.conn.awaits_pong() {
            self.asked.iter().rposition(|it| it.payload == *payload).map_or(0, |last| last + 1)
        } else {
            self.asked.len()
        };
        for asked in &mut self.asked[..answered] {
            asked.answered.get_or_insert(now);
        }
        self.news.for_senders |= answered != 0;
    }

    /// Notes that nobody reads, unless others do.
    pub(super) fn pause(&mut self, now: Instant) {
        if !self.others_read && matches!(self.absence, Absence::Not) {
            self.absence = Absence::Untold(now);
        }
    }

    /// Tells proto that nobody reads, before anybody asks it for a deadline.
    pub(super) fn tell_absence(&mut self) {
        if let Absence::Untold(since) = self.absence {
            self.absence = Absence::Told;
            self.conn.pause(since);
        }
    }

    /// Somebody reads again. The peer is still not to blame before all is read that there is to read, but nobody asks
    /// proto for a deadline until then.
    fn come_back(&mut self, now: Instant) {
        if let Absence::Untold(since) = self.absence {
            self.absence = Absence::Not;
            self.conn.was_away(since, now);
        }
    }

    /// Says that all was read that there was to read.
    fn resume(&mut self, now: Instant) {
        if let Absence::Told = std::mem::replace(&mut self.absence, Absence::Not) {
            self.conn.resume(now);
        }
    }

    fn next_leftover(
        &mut self,
        now: Instant,
        pings: Pings,
        buffer: Option<&mut ReadBuf<'_>>,
    ) -> Option<Found> {
        if self.leftover.is_empty() && !self.conn.is_holding() {
            return None;
        }
        if buffer.is_none() && CUT_LEN_MIN <= self.leftover.len() {
            let (conn, leftover) = (&mut self.conn, &mut self.leftover);
            let found =
                with_scratch(|scratch| next_cut(conn, leftover, now, &mut scratch.pool, pings));
            if leftover.is_empty() {
                self.leftover = BytesMut::new();
            }
            return found;
        }
        let mut input = Input::new(&mut self.leftover);
        let found = with_scratch(|scratch| {
            next_found(&mut self.conn, &mut input, now, &mut scratch.pool, pings, buffer)
        });
        match input.len() {
            0 => self.leftover = BytesMut::new(),
            rest => self.leftover.advance(self.leftover.len() - rest),
        }
        found
    }
}
