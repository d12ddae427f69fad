//! What a turn does with its lines: lets them in, has them read, written and timed, lets them go.

use std::{
    collections::{HashMap, VecDeque},
    io,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use taiwa::RawConnection;
use taiwa_hub::wheel::Due;
use taiwa_proto::{Pool, Step};

use super::Lines;
use crate::shard::{
    Key, Left,
    line::{Line, Reading, Writing, token},
    transport::Transport,
};

/// What the engine does with its lines.
impl Lines {
    /// Takes in a line, and writes the response to its handshake if that waits. Bytes behind the handshake are read in this turn;
    /// of those that the kernel has it tells by itself, once it is asked to tell of the socket.
    ///
    /// # Errors
    ///
    /// Of the system; the line is dropped, and its end not told.
    pub(crate) fn take_in(&mut self, raw: RawConnection) -> io::Result<Key> {
        let RawConnection { connection: mut conn, transport, response, leftover, seat, .. } = raw;
        let mut transport = Transport::new(transport)?;
        transport.write_response(&response)?;
        let (registry, is_plain) = (&self.registry, transport.is_plain());
        let mut registered = Ok(());
        // It may come from another shard, or have waited: nobody read it.
        conn.resume(self.now);
        let key = self.slab.insert_with(|key| {
            registered = transport.register(registry, token(key));
            Line::new(conn, transport, seat)
        });
        let key = key.ok_or(io::ErrorKind::OutOfMemory)?;
        if let Err(error) = registered {
            self.slab.remove(key);
            return Err(error);
        }
        if !leftover.is_empty() || !is_plain {
            self.keep_leftover(key, &leftover);
            self.make_ready(key);
        }
        self.touch(key);
        Ok(key)
    }

    /// Takes a paused line off this shard, with all that waits in either direction, to be [brought](super::super::Post::join)
    /// to another. Its end is not told here. `None` if the line has ended, or is not paused: bytes of it may lie in the
    /// buffer of the read.
    pub fn give_away(&mut self, key: Key) -> Option<RawConnection> {
        self.slab.get(key).filter(|it| it.reading == Reading::Paused && it.conn.is_open())?;
        let Line { conn, transport, seat, .. } = self.slab.remove(key)?;
        let leftover = self.take_leftover(key).unwrap_or_default();
        let transport = transport.into_raw(&self.registry).ok()?;
        let (response, subprotocol) = (vec![], None);
        Some(RawConnection { connection: conn, transport, response, leftover, subprotocol, seat })
    }

    /// Notes what the kernel says of a line.
    pub(in crate::shard) fn notice(&mut self, event: &mio::event::Event) {
        let Some(key) = Key::from_bits(event.token().0 as u64) else { return };
        let Some(line) = self.slab.get_mut(key) else { return };
        if event.is_error() && line.reading == Reading::Paused {
            // A reset: nobody is left who could be answered, whatever waits to be read.
            return self.cut(key);
        }
        line.end_is_near |= event.is_read_closed() || event.is_error();
        if event.is_writable() && line.writing == Writing::Blocked {
            line.writing = Writing::Free;
            self.touch(key);
        }
        if event.is_read_closed() || event.is_error() {
            self.make_leaving(key);
        } else if event.is_readable() {
            self.make_ready(key);
        }
    }

    pub(in crate::shard) fn get_mut(&mut self, key: Key) -> Option<(&mut Line, &mut Pool)> {
        Some((self.slab.get_mut(key)?, &mut self.pool))
    }

    /// Has a line written, its step taken and its timer set at the end of the turn.
    pub(in crate::shard) fn touch(&mut self, key: Key) {
        if let Some(line) = self.slab.get_mut(key) {
            line.touch(key, &mut self.touched);
        }
    }

    /// Writes a line now if much waits: later it would not be in the cache any more, and for so many bytes a write more
    /// costs little.
    pub(in crate::shard) fn write_much(&mut self, key: Key) {
        let Self { slab, pool, now, registry, .. } = self;
        if let Some(line) = slab.get_mut(key)
            && MUCH <= line.conn.outbox().len()
            && line.writing != Writing::Blocked
        {
            line.write(key, registry, *now, pool);
        }
    }

    /// Has a line read.
    pub(in crate::shard) fn make_ready(&mut self, key: Key) {
        if let Some(line) = self.slab.get_mut(key)
            && !line.is_ready
        {
            line.is_ready = true;
            self.ready.push_back(key);
        }
    }

    /// Has a line read whose peer has ended its side.
    fn make_leaving(&mut self, key: Key) {
        if let Some(line) = self.slab.get_mut(key)
            && !line.is_ready
        {
            line.is_ready = true;
            self.leaving.push_back(key);
        }
    }

    pub(in crate::shard) fn next_ready(&mut self) -> Option<Key> {
        let key = self.ready.pop_front()?;
        self.is_read(key)
    }

    /// Takes a line whose peer has ended its side.
    pub(in crate::shard) fn next_leaving(&mut self) -> Option<Key> {
        let key = self.leaving.pop_front()?;
        self.is_read(key)
    }

    fn is_read(&mut self, key: Key) -> Option<Key> {
        if let Some(line) = self.slab.get_mut(key) {
            line.is_ready = false;
        }
        Some(key)
    }

    pub(in crate::shard) fn ready_len(&self) -> usize {
        self.ready.len()
    }

    pub(in crate::shard) fn has_work(&self) -> bool {
        !(self.ready.is_empty() && self.leaving.is_empty() && self.touched.is_empty())
    }

    pub(in crate::shard) fn has_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    pub(in crate::shard) fn keep_leftover(&mut self, key: Key, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.leftovers.insert(key, BytesMut::from(bytes));
        }
    }

    pub(in crate::shard) fn take_leftover(&mut self, key: Key) -> Option<BytesMut> {
        // Mostly there is none at all: looking for it would be most of what a small message costs.
        if self.leftovers.is_empty() {
            return None;
        }
        let leftover = self.leftovers.remove(&key);
        if self.leftovers.is_empty() && LEFTOVERS_KEPT < self.leftovers.capacity() {
            self.leftovers = HashMap::new();
        }
        leftover
    }

    /// Notes that all was read that there was to read.
    pub(in crate::shard) fn drained(&mut self, key: Key) {
        let now = self.now;
        if let Some(line) = self.slab.get_mut(key)
            && line.reading == Reading::Resumed
        {
            line.reading = Reading::Wanted;
            line.conn.resume(now);
        }
    }

    /// Takes lines whose time has come, some of them.
    pub(in crate::shard) fn take_due(&mut self) -> Vec<Due<Key>> {
        let mut due = std::mem::take(&mut self.due);
        due.clear();
        self.wheel.advance(self.now, TIMERS_PER_TURN, &mut due);
        due.retain(|it| self.slab.get_mut(it.key).is_some_and(|line| line.alarm.rings(it.tick)));
        due
    }

    /// Takes back the room for them.
    pub(in crate::shard) fn give_back(&mut self, due: Vec<Due<Key>>) {
        self.due = due;
    }

    pub(in crate::shard) fn timer_deadline(&self) -> Option<Instant> {
        self.wheel.next()
    }

    /// Takes a line that is to be [settled](Self::settle).
    pub(in crate::shard) fn next_touched(&mut self) -> Option<Key> {
        self.touched.pop_front()
    }

    /// Writes a line, takes it as far towards its end as it goes, and sets its timer.
    pub(in crate::shard) fn settle(&mut self, key: Key) -> Option<Settled> {
        let Self { slab, pool, now, registry, wheel, .. } = self;
        let line = slab.get_mut(key)?;
        line.is_touched = false;
        match line.writing {
            Writing::Blocked => line.conn.blocked(pool),
            Writing::New | Writing::Free => line.write(key, registry, *now, pool),
        }
        if let Step::ShutDown = line.conn.step()
            && line.writing != Writing::Blocked
        {
            line.shut_down(key, registry, pool);
        }
        if let Step::End(end) = line.conn.step() {
            let stats = line.conn.stats();
            self.slab.remove(key);
            self.take_leftover(key);
            return Some(Settled::Left(Left { end, stats }));
        }
        line.set_timer(key, wheel);
        // Half of the limit, so that it is not full again after one message.
        let has_room = line.conn.has_room_beside(line.conn.outbox().len());
        (line.is_awaited && has_room).then(|| {
            line.is_awaited = false;
            Settled::Room
        })
    }

    /// Returns the key of the first line at this place or after it.
    pub(in crate::shard) fn next_from(&self, place: u32) -> Option<Key> {
        self.slab.next_from(place)
    }

    /// Gives back room that a peak took, as far as it is known to be too much.
    pub(in crate::shard) fn shrink(&mut self) {
        for queue in [&mut self.touched, &mut self.ready, &mut self.leaving] {
            if queue.is_empty() && QUEUE_KEPT < queue.capacity() {
                *queue = VecDeque::new();
            }
        }
    }
}

/// Bytes that are written without waiting for the end of the turn.
const MUCH: usize = 16 << 10;
/// What a timer may be late by.
pub(super) const GRANULARITY: Duration = Duration::from_millis(50);
/// Timers that are looked at in a turn.
const TIMERS_PER_TURN: usize = 1024;
/// Keys for which an emptied queue keeps its room.
const QUEUE_KEPT: usize = 4096;
/// Leftovers for which an emptied map keeps its room.
const LEFTOVERS_KEPT: usize = 256;

/// What settling a line brought.
pub(in crate::shard) enum Settled {
    Left(Left),
    Room,
}
