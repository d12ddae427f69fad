//! [`Lines`]: the connections of one shard, as what stands above them acts on them.

mod turning;

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    time::Instant,
};

use bytes::{Bytes, BytesMut};
use mio::Registry;
use taiwa::{CloseCode, Kind, Message, Misuse, Prepared, Stats};
use taiwa_hub::{
    slab::Slab,
    wheel::{Due, Wheel},
};
use taiwa_proto::{Connection, Fin, Payload, Pool};

use super::{
    Key,
    line::{Line, Reading, Writing},
};
pub(super) use turning::Settled;

/// The connections of one shard. What stands above is lent them in each of its calls.
///
/// What is sent is written when the turn ends, or earlier if it is much.
pub struct Lines {
    slab: Slab<Line>,
    pub(super) pool: Pool,
    pub(super) now: Instant,
    registry: Registry,
    wheel: Wheel<Key>,
    /// Timers that went off in this turn.
    due: Vec<Due<Key>>,
    /// To be written at the end of the turn.
    touched: VecDeque<Key>,
    /// To be read in this turn or the next.
    ready: VecDeque<Key>,
    /// To be read, and to end behind what there is: some of them in each turn, so that a crowd that leaves keeps nobody waiting.
    leaving: VecDeque<Key>,
    /// Read and not parsed: of lines that were paused, or had their share of a turn.
    leftovers: HashMap<Key, BytesMut>,
    shard: usize,
}

/// Why something was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsent {
    /// The line has ended, or never was.
    Gone,
    /// As many bytes wait as [`Limits::outbox_bytes_max`](taiwa::Limits) allows, and the kernel takes none.
    /// [`Above::room`](super::Above::room) is called when there is room again.
    Full,
    /// The connection closes, or what was to be sent may not be.
    Misuse(Misuse),
}

impl fmt::Display for Unsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("the connection has ended"),
            Self::Full => f.write_str("too many bytes wait for the peer to read them"),
            Self::Misuse(misuse) => misuse.fmt(f),
        }
    }
}

impl std::error::Error for Unsent {}

impl Lines {
    pub(super) fn new(registry: Registry, shard: usize, now: Instant) -> Self {
        Self {
            slab: Slab::new(u32::MAX),
            pool: Pool::new(fill),
            now,
            registry,
            wheel: Wheel::new(turning::GRANULARITY, now),
            due: Vec::new(),
            touched: VecDeque::new(),
            ready: VecDeque::new(),
            leaving: VecDeque::new(),
            leftovers: HashMap::new(),
            shard,
        }
    }

    /// Returns the time of this turn.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Returns the number of this shard, from 0.
    pub fn shard(&self) -> usize {
        self.shard
    }

    /// Returns how many lines there are.
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// Tells whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Queues a message.
    ///
    /// # Errors
    /// [`Unsent`] says why it is not queued. One that is larger than the limit is queued when less than the limit waits.
    pub fn send(&mut self, key: Key, message: &Message) -> Result<(), Unsent> {
        self.queue(key, |conn, now, pool| conn.send(message, now, pool))
    }

    /// Queues a message whose text is known to be UTF-8, such as one that was received: it is not looked at again.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_checked(&mut self, key: Key, kind: Kind, bytes: &Bytes) -> Result<(), Unsent> {
        self.queue(key, |conn, now, pool| conn.send_checked(kind, bytes, now, pool))
    }

    /// Queues a message that is copied from a slice: for one that lies in a buffer of somebody else.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`Misuse::TextNotUtf8`].
    pub fn send_slice(&mut self, key: Key, kind: Kind, payload: &[u8]) -> Result<(), Unsent> {
        self.queue(key, |conn, now, pool| conn.send_part(kind, payload, Fin::Last, now, pool))
    }

    /// Queues a message as it was received: copied if it lies in the read buffer, otherwise only handed on.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_payload(&mut self, key: Key, payload: Payload<'_>) -> Result<(), Unsent> {
        let kind = payload.kind();
        match payload.into_in_place() {
            // Text that was checked by the reader is checked again here; it is in the cache.
            Ok(frame) => self.send_slice(key, kind, frame.as_slice()),
            Err(payload) => self.send(key, &payload.into_message()),
        }
    }

    /// Queues a message that is framed, and compressed, once for all lines that get it, on all shards.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_prepared(&mut self, key: Key, message: &Prepared) -> Result<(), Unsent> {
        self.queue(key, |conn, now, pool| conn.send_prepared(message, now, pool))
    }

    /// Queues a Ping. Its Pong is in [`Stats::round_trip`].
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`Misuse::ControlTooLong`] over 125 bytes.
    pub fn ping(&mut self, key: Key, payload: &[u8]) -> Result<(), Unsent> {
        self.queue(key, |conn, now, pool| conn.ping(payload, now, pool))
    }

    /// Begins the closing handshake, behind what waits. The end is told by [`Above::left`](super::Above::left), after
    /// [`Deadlines::close`](taiwa::Deadlines) at the latest.
    ///
    /// # Errors
    /// [`Unsent::Gone`], and [`Unsent::Misuse`] if it closes already, or if code or reason may not be sent.
    pub fn close(&mut self, key: Key, code: CloseCode, reason: &str) -> Result<(), Unsent> {
        let Self { slab, pool, now, .. } = self;
        let line = slab.get_mut(key).ok_or(Unsent::Gone)?;
        line.conn.close(code, reason, *now, pool).map_err(Unsent::Misuse)?;
        self.touch(key);
        // A Close frame behind messages that nobody takes would never come.
        self.resume(key);
        Ok(())
    }

    /// Drops a line without a closing handshake, and what waits. The end is told by
    /// [`Above::left`](super::Above::left) at the end of the turn, as lost.
    pub fn cut(&mut self, key: Key) {
        let Self { slab, pool, .. } = self;
        if let Some(line) = slab.get_mut(key) {
            line.conn.transport_failed(pool);
            self.touch(key);
        }
    }

    /// Returns how many bytes wait for the peer to read them, 0 for a line that has ended. At the end of a turn it is
    /// what the kernel did not take.
    pub fn queued_bytes(&self, key: Key) -> usize {
        self.slab.get(key).map_or(0, |line| line.conn.outbox().len())
    }

    /// Tells whether the kernel took all that it was offered so far: what is sent now is offered to it at the end of this
    /// turn. False for a line that has ended.
    pub fn takes_at_once(&self, key: Key) -> bool {
        let line = self.slab.get(key);
        line.is_some_and(|it| it.writing != Writing::Blocked || it.conn.outbox().is_empty())
    }

    /// Has [`Above::room`](super::Above::room) called once less than half of
    /// [`Limits::outbox_bytes_max`](taiwa::Limits) waits, at the end of this turn at the earliest.
    pub fn await_room(&mut self, key: Key) {
        if let Some(line) = self.slab.get_mut(key) {
            line.is_awaited = true;
            self.touch(key);
        }
    }

    /// Tells whether half of [`Limits::outbox_bytes_max`](taiwa::Limits) waits for the peer, or more: whoever lets it go on
    /// asking makes it wait for more than it reads.
    pub fn is_half_full(&self, key: Key) -> bool {
        self.slab.get(key).is_some_and(|it| !it.conn.has_room_beside(it.conn.outbox().len()))
    }

    /// Tells whether messages can be sent on a line: it has not ended and does not close.
    pub fn is_open(&self, key: Key) -> bool {
        self.slab.get(key).is_some_and(|line| line.conn.is_open())
    }

    /// Reads no more from a line: its peer notices when the kernel's buffers are full. Its silence is not counted
    /// against it. A line that closes is not paused.
    pub fn pause(&mut self, key: Key) {
        let now = self.now;
        if let Some(line) = self.slab.get_mut(key)
            && line.conn.is_open()
        {
            line.reading = Reading::Paused;
            line.conn.pause(now);
        }
    }

    /// Reads a line again.
    pub fn resume(&mut self, key: Key) {
        if let Some(line) = self.slab.get_mut(key)
            && line.reading == Reading::Paused
        {
            line.reading = Reading::Resumed;
            self.make_ready(key);
        }
    }

    /// Returns what went through a line so far.
    pub fn stats(&self, key: Key) -> Option<Stats> {
        self.slab.get(key).map(|line| line.conn.stats())
    }

    fn queue(
        &mut self,
        key: Key,
        write: impl FnOnce(&mut Connection, Instant, &mut Pool) -> Result<(), Misuse>,
    ) -> Result<(), Unsent> {
        let Self { slab, pool, now, registry, touched, .. } = self;
        let line = slab.get_mut(key).ok_or(Unsent::Gone)?;
        if !line.conn.has_room() && line.writing != Writing::Blocked {
            line.write(key, registry, *now, pool);
        }
        if !line.conn.has_room() {
            line.is_awaited = true;
            return Err(Unsent::Full);
        }
        write(&mut line.conn, *now, pool).map_err(Unsent::Misuse)?;
        line.touch(key, touched);
        Ok(())
    }
}

fn fill(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system gives random bytes");
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines")
            .field("shard", &self.shard)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
