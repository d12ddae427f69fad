//! The sending half of a connection: messages, parts, control frames.

use std::time::Instant;

use bytes::Bytes;

use super::{Connection, Leaving};
use crate::{
    close::{CloseCode, ClosePayload},
    fault::Misuse,
    header::Opcode,
    message::{Kind, Message},
    pool::Pool,
    prepared::Prepared,
    writer::Fin,
};

impl Connection {
    /// Queues a message, whole. It is up to the caller to ask [`Connection::has_room`] first.
    ///
    /// # Errors
    /// [`Misuse::Closing`] once the connection begins to close, [`Misuse::Unfinished`] between
    /// [`Connection::send_part`] with [`Fin::More`] and with [`Fin::Last`].
    pub fn send(&mut self, message: &Message, now: Instant, pool: &mut Pool) -> Result<(), Misuse> {
        self.send_checked(message.kind(), message.bytes(), now, pool)
    }

    /// Queues a message, whole, whose text its caller knows to be UTF-8, such as one that was received: it was checked when it
    /// came, and is not looked at again. A peer fails the connection over text that is none (RFC 6455 §8.1).
    ///
    /// # Errors
    /// As [`Connection::send`].
    pub fn send_checked(
        &mut self,
        kind: Kind,
        bytes: &Bytes,
        now: Instant,
        pool: &mut Pool,
    ) -> Result<(), Misuse> {
        debug_assert!(
            kind == Kind::Binary || std::str::from_utf8(bytes).is_ok(),
            "it is not UTF-8"
        );
        self.require_whole()?;
        self.writer.message(kind, bytes, self.config.deflate.as_ref(), &mut self.outbox, pool);
        self.clocks.waits(now);
        Ok(())
    }

    /// Queues a message that is framed and compressed once for many connections. A compressor that keeps
    /// its context ([`Deflate::keep_our_context`](crate::deflate::Deflate)) starts anew behind it.
    ///
    /// # Errors
    /// As [`Connection::send`].
    pub fn send_prepared(
        &mut self,
        prepared: &Prepared,
        now: Instant,
        pool: &mut Pool,
    ) -> Result<(), Misuse> {
        self.require_whole()?;
        self.writer.prepared(prepared, self.config.deflate.as_ref(), &mut self.outbox, pool);
        self.clocks.waits(now);
        Ok(())
    }

    /// Queues the next part of a message as a frame of its own (RFC 6455 §5.4), the first one if none is
    /// unfinished. `kind` is the same for all parts of a message. Pings, Pongs and a Close frame
    /// may come between parts, other messages may not.
    ///
    /// # Errors
    /// [`Misuse::Closing`], and [`Misuse::TextNotUtf8`] if the text does not go on, or end, like this.
    pub fn send_part(
        &mut self,
        kind: Kind,
        bytes: &[u8],
        fin: Fin,
        now: Instant,
        pool: &mut Pool,
    ) -> Result<(), Misuse> {
        self.require_open()?;
        let config = self.config.deflate.as_ref();
        self.writer.fragment(kind, bytes, fin, config, &mut self.outbox, pool)?;
        self.clocks.waits(now);
        Ok(())
    }

    /// Tells whether a message was begun by [`Connection::send_part`] and is not finished.
    pub fn is_sending_parts(&self) -> bool {
        self.writer.is_unfinished()
    }

    /// Tells whether fewer bytes wait than [`Limits::outbox_bytes_max`](crate::Limits).
    pub fn has_room(&self) -> bool {
        self.has_room_beside(0)
    }

    /// Tells whether fewer bytes wait than [`Limits::outbox_bytes_max`](crate::Limits), with `bytes` that wait
    /// elsewhere.
    pub fn has_room_beside(&self, bytes: usize) -> bool {
        self.outbox.len().saturating_add(bytes) < self.config.limits.outbox_bytes_max
    }

    /// Tells whether messages can still be sent.
    pub fn is_open(&self) -> bool {
        self.leaving.is_none()
    }

    /// Queues a Ping.
    ///
    /// # Errors
    /// [`Misuse::ControlTooLong`] over 125 bytes, [`Misuse::Closing`].
    pub fn ping(&mut self, payload: &[u8], now: Instant, pool: &mut Pool) -> Result<(), Misuse> {
        self.control(Opcode::Ping, payload, now, pool)
    }

    /// Queues a Pong that nobody asked for (RFC 6455 §5.5.3: "a unidirectional heartbeat").
    ///
    /// # Errors
    /// As [`Connection::ping`].
    pub fn pong(&mut self, payload: &[u8], now: Instant, pool: &mut Pool) -> Result<(), Misuse> {
        self.control(Opcode::Pong, payload, now, pool)
    }

    /// Begins the closing handshake (RFC 6455 §7.1.2): queues a Close frame behind what waits.
    /// [`CloseCode::NO_STATUS`] with an empty reason sends one without a payload.
    ///
    /// Messages of the peer still arrive until its Close does.
    ///
    /// # Errors
    /// [`Misuse::CloseCode`], [`Misuse::ReasonTooLong`] over 123 bytes, [`Misuse::Closing`].
    pub fn close(
        &mut self,
        code: CloseCode,
        reason: &str,
        now: Instant,
        pool: &mut Pool,
    ) -> Result<(), Misuse> {
        self.require_open()?;
        let payload = ClosePayload::new(code, reason)?;
        self.control(Opcode::Close, payload.as_slice(), now, pool)?;
        self.forget_pong();
        self.leave(Leaving::Closing { until: self.close_deadline(now) });
        Ok(())
    }

    /// Says that the transport took the first `n` bytes of the outbox.
    ///
    /// # Panics
    /// If fewer than `n` bytes wait.
    pub fn wrote(&mut self, n: usize, now: Instant, pool: &mut Pool) {
        self.outbox.consume(n, pool);
        pool.age_some(now);
        self.sent_wire_bytes += n as u64;
        // Not when the outbox is empty: of a connection that always has something to send it never is.
        if let Some(pings) = &mut self.pings
            && pings.pongs_end <= self.sent_wire_bytes
        {
            pings.pongs = 0;
            if let Some(payload) = pings.pong.take() {
                self.answer_ping(*payload, pool);
            }
            self.tidy_pings();
        }
        if n != 0 {
            self.clocks.wrote(!self.outbox.is_empty(), now);
        }
    }

    /// Says that the transport takes no more bytes for now. What waits and was [prepared](Prepared) for many is copied, so that
    /// a peer that does not read holds its own share alone.
    pub fn blocked(&mut self, pool: &mut Pool) {
        self.outbox.unshare(pool);
    }

    /// Answers a Ping. At the limit the newest replaces the one before (§5.5.3: "the endpoint MAY elect to
    /// send a Pong frame for only the most recently processed Ping frame").
    pub(super) fn answer_ping(&mut self, payload: Bytes, pool: &mut Pool) {
        // Even a limit of 0 leaves one: a Ping MUST be answered (§5.5.2).
        let pings = self.pings.get_or_insert_default();
        if pings.pongs < self.config.limits.pongs_max.max(1) {
            pings.pongs += 1;
            self.writer.control(Opcode::Pong, &payload, &mut self.outbox, pool);
            pings.pongs_end = self.sent_wire_bytes + self.outbox.len() as u64;
        } else {
            pings.pong = Some(Box::new(payload));
        }
    }

    pub(super) fn require_open(&self) -> Result<(), Misuse> {
        if self.is_open() { Ok(()) } else { Err(Misuse::Closing) }
    }

    /// Between messages, and open.
    fn require_whole(&self) -> Result<(), Misuse> {
        self.require_open()?;
        if self.writer.is_unfinished() { Err(Misuse::Unfinished) } else { Ok(()) }
    }

    pub(super) fn control(
        &mut self,
        opcode: Opcode,
        payload: &[u8],
        now: Instant,
        pool: &mut Pool,
    ) -> Result<(), Misuse> {
        self.require_open()?;
        if 125 < payload.len() {
            return Err(Misuse::ControlTooLong);
        }
        if opcode == Opcode::Ping {
            let pings = self.pings.get_or_insert_default();
            pings.pinged = Some((payload.into(), now));
        }
        self.writer.control(opcode, payload, &mut self.outbox, pool);
        self.clocks.waits(now);
        Ok(())
    }
}
