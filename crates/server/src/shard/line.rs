//! [`Line`]: one connection, and how it is written and timed.

use std::{collections::VecDeque, io, time::Instant};

use mio::{Registry, Token};
use taiwa::RawSeat;
use taiwa_hub::wheel::{Alarm, Wheel};
use taiwa_proto::{Connection, Pool, Step};

use super::{
    Key,
    transport::{Transport, Written},
};

/// Bytes that are read straight into a message at once: few enough to be in the cache still when they are unmasked.
const STRAIGHT_LEN_MAX: usize = 64 << 10;
/// Bytes that are read behind such a message, which has probably another one behind it: what is read of that one before it is
/// known to be large is copied.
const BEHIND_LARGE_LEN_MAX: usize = 16 << 10;

/// One connection.
pub(super) struct Line {
    pub(super) conn: Connection,
    pub(super) transport: Transport,
    pub(super) seat: RawSeat,
    pub(super) alarm: Alarm,
    pub(super) reading: Reading,
    pub(super) writing: Writing,
    /// What was read last went straight into a large message.
    is_behind_large: bool,
    /// In the queue of lines to be written.
    pub(super) is_touched: bool,
    /// In the queue of lines to be read.
    pub(super) is_ready: bool,
    /// The kernel said that there will be no more input: a short read is not the last one.
    pub(super) end_is_near: bool,
    /// Something did not fit, and who stands above waits for room.
    pub(super) is_awaited: bool,
}

/// What came of an attempt to read.
pub(super) struct Read {
    pub(super) read: io::Result<usize>,
    /// So many bytes were asked for.
    pub(super) asked: usize,
    /// They lie in the message.
    pub(super) is_straight: bool,
}

/// Whether a line is read.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Reading {
    Wanted,
    /// Wanted again: the peer is not blamed for its silence before all was read that there is to read.
    Resumed,
    /// Nobody reads until [`Lines::resume`](super::Lines::resume).
    Paused,
}

/// Whether the kernel takes bytes.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Writing {
    /// It always did.
    New,
    /// It tells when it does again, because once it did not.
    Free,
    /// It took no more at the last attempt.
    Blocked,
}

impl Line {
    pub(super) fn new(conn: Connection, transport: Transport, seat: RawSeat) -> Self {
        Self {
            conn,
            transport,
            seat,
            alarm: Alarm::default(),
            reading: Reading::Wanted,
            writing: Writing::New,
            is_behind_large: false,
            is_touched: false,
            is_ready: false,
            end_is_near: false,
            is_awaited: false,
        }
    }

    /// Reads at most `bytes_max` bytes, into `buffer` or straight into a large message that is unfinished.
    pub(super) fn read(&mut self, buffer: &mut [u8], bytes_max: usize) -> Read {
        let straight = self.read_message(bytes_max);
        let is_straight = straight.is_some();
        let (read, asked) = straight.unwrap_or_else(|| {
            let most = if self.is_behind_large { BEHIND_LARGE_LEN_MAX } else { buffer.len() };
            let asked = bytes_max.min(most);
            (self.transport.read(&mut buffer[..asked]), asked)
        });
        if read.is_ok() {
            self.is_behind_large = is_straight;
        }
        Read { read, asked, is_straight }
    }

    /// Reads what is left of a large message straight into it, and not by way of the shard's buffer. `None` if none is
    /// unfinished; otherwise with how many bytes were asked for.
    fn read_message(&mut self, bytes_max: usize) -> Option<(io::Result<usize>, usize)> {
        let Self { conn, transport, .. } = self;
        let (message, room) = conn.spare()?;
        let asked = room.min(bytes_max).min(STRAIGHT_LEN_MAX);
        Some((transport.read_onto(message, asked), asked))
    }

    pub(super) fn write(&mut self, key: Key, registry: &Registry, now: Instant, pool: &mut Pool) {
        let wrote = |conn: &mut Connection, n| conn.wrote(n, now, pool);
        match self.transport.write(&mut self.conn, wrote) {
            Ok(Written::All) => {}
            Ok(Written::Blocked) => self.block(key, registry, pool),
            Err(_) => self.conn.transport_failed(pool),
        }
    }

    /// Shuts down the write side, behind all that was written.
    pub(super) fn shut_down(&mut self, key: Key, registry: &Registry, pool: &mut Pool) {
        if self.transport.is_plain() {
            self.conn.shut_down();
            // What ends by that is dropped next, which says the same to the peer in one call of the kernel.
            if !matches!(self.conn.step(), Step::End(_)) {
                // What fails here can't be told to the peer any more: it ends all the same.
                let _ = self.transport.shut_down();
            }
            return;
        }
        match self.transport.shut_down() {
            Ok(Written::Blocked) => self.block(key, registry, pool),
            Ok(Written::All) | Err(_) => self.conn.shut_down(),
        }
    }

    /// Queues it to be written, unless it is queued.
    pub(super) fn touch(&mut self, key: Key, touched: &mut VecDeque<Key>) {
        if !std::mem::replace(&mut self.is_touched, true) {
            touched.push_back(key);
        }
    }

    /// Waits for room. The kernel is asked to tell of it once it was needed, and from then on: asking costs a call.
    pub(super) fn block(&mut self, key: Key, registry: &Registry, pool: &mut Pool) {
        if std::mem::replace(&mut self.writing, Writing::Blocked) == Writing::New
            && self.transport.register_writes(registry, token(key)).is_err()
        {
            self.conn.transport_failed(pool);
        }
        self.conn.blocked(pool);
    }

    /// Sets the timer if there is none that goes off in time. Deadlines mostly move away: then it goes off early, and is
    /// set anew only there.
    pub(super) fn set_timer(&mut self, key: Key, wheel: &mut Wheel<Key>) {
        if let Some(deadline) = self.conn.deadline() {
            self.alarm.set(deadline, key, wheel);
        }
    }
}

/// An event of the kernel carries the key, so that one of a line that ended means no other.
pub(super) fn token(key: Key) -> Token {
    const { assert!(usize::BITS == 64, "shards need a machine of 64 bits") };
    Token(key.bits() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_line_is_small() {
        // Where assertions are on, mio remembers the selector of each socket.
        let asserting = if cfg!(debug_assertions) { 8 } else { 0 };
        assert!(size_of::<Line>() <= 280 + asserting, "{}", size_of::<Line>());
    }
}
