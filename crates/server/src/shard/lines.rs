//! [`Lines`]: the connections of one shard, as what stands above them acts on them.

use std::{
    collections::{HashMap, VecDeque},
    fmt, io,
    time::Instant,
};

use bytes::BytesMut;
use mio::{Registry, Token};
use taiwa::{CloseCode, Kind, Message, Misuse, Prepared, RawSeat, Stats};
use taiwa_proto::{Connection, Fin, Pool, Step};

use super::{
    Key, Left,
    slab::Slab,
    transport::{Transport, Written},
    wheel::Wheel,
};

/// The connections of one shard. What stands above is lent them in each of its calls.
///
/// Nothing is written before the turn ends, unless an outbox is full.
pub struct Lines {
    slab: Slab<Line>,
    pub(super) pool: Pool,
    pub(super) now: Instant,
    registry: Registry,
    wheel: Wheel,
    /// To be written at the end of the turn.
    touched: VecDeque<Key>,
    /// To be read in this turn or the next.
    ready: VecDeque<Key>,
    /// Read and not parsed: of lines that were paused, or had their share of a turn.
    leftovers: HashMap<Key, BytesMut>,
    shard: usize,
}

/// One connection.
pub(super) struct Line {
    pub(super) conn: Connection,
    pub(super) transport: Transport,
    _seat: RawSeat,
    /// The tick of its timer that counts; 0 if there is none.
    timer: u64,
    /// Nobody reads it until [`Lines::resume`].
    pub(super) is_paused: bool,
    /// Proto knows that nobody reads.
    rests: bool,
    /// In `touched`.
    is_touched: bool,
    /// In `ready`.
    is_ready: bool,
    /// The kernel said that there will be no more input: a short read is not the last one.
    pub(super) end_is_near: bool,
    /// The kernel took no more at the last write.
    is_blocked: bool,
    /// The kernel is asked to tell of room to write.
    tells_room: bool,
    /// Something did not fit, and who stands above waits for room.
    is_awaited: bool,
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
            slab: Slab::new(),
            pool: Pool::new(fill),
            now,
            registry,
            wheel: Wheel::new(now),
            touched: VecDeque::new(),
            ready: VecDeque::new(),
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

    /// Queues a message that is copied from a slice: for one that lies in a buffer of somebody else.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`Misuse::TextNotUtf8`].
    pub fn send_slice(&mut self, key: Key, kind: Kind, payload: &[u8]) -> Result<(), Unsent> {
        self.queue(key, |conn, now, pool| conn.send_part(kind, payload, Fin::Last, now, pool))
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
            line.is_paused = true;
            line.rests = true;
            line.conn.pause(now);
        }
    }

    /// Reads a line again.
    pub fn resume(&mut self, key: Key) {
        if let Some(line) = self.slab.get_mut(key)
            && std::mem::take(&mut line.is_paused)
        {
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
        let Self { slab, pool, now, registry, .. } = self;
        let line = slab.get_mut(key).ok_or(Unsent::Gone)?;
        if !line.conn.has_room() && !line.is_blocked {
            line.write(key, registry, *now, pool);
        }
        if !line.conn.has_room() {
            line.is_awaited = true;
            return Err(Unsent::Full);
        }
        write(&mut line.conn, *now, pool).map_err(Unsent::Misuse)?;
        self.touch(key);
        Ok(())
    }
}

/// What the engine does with its lines.
impl Lines {
    /// Takes in a line and reads it in this turn: bytes behind its handshake, and what came before it was registered.
    pub(super) fn join(
        &mut self,
        conn: Connection,
        mut transport: Transport,
        leftover: BytesMut,
        seat: RawSeat,
    ) -> io::Result<Key> {
        let token = Token(self.slab.next_key().index as usize);
        transport.register(&self.registry, token)?;
        let key = self.slab.insert(Line {
            conn,
            transport,
            _seat: seat,
            timer: 0,
            is_paused: false,
            rests: false,
            is_touched: false,
            is_ready: false,
            end_is_near: false,
            is_blocked: false,
            tells_room: false,
            is_awaited: false,
        });
        self.keep_leftover(key, &leftover);
        self.make_ready(key);
        self.touch(key);
        Ok(key)
    }

    /// Notes what the kernel says of a line.
    pub(super) fn notice(&mut self, event: &mio::event::Event) {
        let Some(key) = self.slab.key_at(event.token().0) else { return };
        let Some(line) = self.slab.get_mut(key) else { return };
        if event.is_error() && line.is_paused {
            // A reset: nobody is left who could be answered, whatever waits to be read.
            return self.cut(key);
        }
        line.end_is_near |= event.is_read_closed() || event.is_error();
        let has_room = event.is_writable() && line.is_blocked;
        if has_room {
            line.is_blocked = false;
            self.touch(key);
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.make_ready(key);
        }
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<(&mut Line, &mut Pool)> {
        Some((self.slab.get_mut(key)?, &mut self.pool))
    }

    /// Has a line written, its step taken and its timer set at the end of the turn.
    pub(super) fn touch(&mut self, key: Key) {
        if let Some(line) = self.slab.get_mut(key)
            && !line.is_touched
        {
            line.is_touched = true;
            self.touched.push_back(key);
        }
    }

    /// Has a line read.
    pub(super) fn make_ready(&mut self, key: Key) {
        if let Some(line) = self.slab.get_mut(key)
            && !line.is_ready
        {
            line.is_ready = true;
            self.ready.push_back(key);
        }
    }

    pub(super) fn next_ready(&mut self) -> Option<Key> {
        let key = self.ready.pop_front()?;
        if let Some(line) = self.slab.get_mut(key) {
            line.is_ready = false;
        }
        Some(key)
    }

    pub(super) fn ready_len(&self) -> usize {
        self.ready.len()
    }

    pub(super) fn has_work(&self) -> bool {
        !self.ready.is_empty() || !self.touched.is_empty()
    }

    pub(super) fn keep_leftover(&mut self, key: Key, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.leftovers.insert(key, BytesMut::from(bytes));
        }
    }

    pub(super) fn take_leftover(&mut self, key: Key) -> Option<BytesMut> {
        let leftover = self.leftovers.remove(&key);
        if self.leftovers.is_empty() && LEFTOVERS_KEPT < self.leftovers.capacity() {
            self.leftovers = HashMap::new();
        }
        leftover
    }

    /// Notes that all was read that there was to read.
    pub(super) fn drained(&mut self, key: Key) {
        let now = self.now;
        if let Some(line) = self.slab.get_mut(key)
            && std::mem::take(&mut line.rests)
        {
            line.conn.resume(now);
        }
    }

    /// Takes a line whose timer has gone off and counts.
    pub(super) fn next_due(&mut self) -> Option<Key> {
        while let Some((key, tick)) = self.wheel.pop(self.now) {
            // A timer that was set anew for an earlier time leaves the later one behind.
            if let Some(line) = self.slab.get_mut(key)
                && line.timer == tick
            {
                line.timer = 0;
                return Some(key);
            }
        }
        None
    }

    pub(super) fn timer_deadline(&mut self) -> Option<Instant> {
        self.wheel.deadline()
    }

    pub(super) fn next_touched(&mut self) -> Option<Key> {
        let key = self.touched.pop_front()?;
        if let Some(line) = self.slab.get_mut(key) {
            line.is_touched = false;
        }
        Some(key)
    }

    /// Writes a line, takes it as far towards its end as it goes, and sets its timer.
    pub(super) fn settle(&mut self, key: Key) -> Option<Settled> {
        let Self { slab, pool, now, registry, wheel, .. } = self;
        let line = slab.get_mut(key)?;
        if !line.is_blocked {
            line.write(key, registry, *now, pool);
        }
        if let Step::ShutDown = line.conn.step()
            && !line.is_blocked
        {
            match line.transport.shut_down() {
                Ok(Written::Blocked) => line.block(key, registry, pool),
                // What failed here can't be told to the peer any more: it ends all the same.
                Ok(Written::All) | Err(_) => line.conn.shut_down(),
            }
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

    /// Returns the keys of lines among `count` places from `from` on.
    pub(super) fn keys(&self, from: usize, count: usize) -> impl Iterator<Item = Key> + use<> {
        let keys: Vec<Key> = (from..from + count).filter_map(|it| self.slab.key_at(it)).collect();
        keys.into_iter()
    }

    pub(super) fn places(&self) -> usize {
        self.slab.places()
    }

    /// Gives back room that a peak took, as far as it is known to be too much.
    pub(super) fn shrink(&mut self) {
        for queue in [&mut self.touched, &mut self.ready] {
            if queue.is_empty() && QUEUE_KEPT < queue.capacity() {
                *queue = VecDeque::new();
            }
        }
    }
}

/// Keys for which an emptied queue keeps its room.
const QUEUE_KEPT: usize = 4096;
/// Leftovers for which an emptied map keeps its room.
const LEFTOVERS_KEPT: usize = 256;

/// What settling a line brought.
pub(super) enum Settled {
    Left(Left),
    Room,
}

impl Line {
    fn write(&mut self, key: Key, registry: &Registry, now: Instant, pool: &mut Pool) {
        let wrote = |conn: &mut Connection, n| conn.wrote(n, now, pool);
        match self.transport.write(&mut self.conn, wrote) {
            Ok(Written::All) => self.is_blocked = false,
            Ok(Written::Blocked) => self.block(key, registry, pool),
            Err(_) => self.conn.transport_failed(pool),
        }
    }

    /// Waits for room. The kernel is asked to tell of it once it was needed, and from then on: asking costs a call.
    fn block(&mut self, key: Key, registry: &Registry, pool: &mut Pool) {
        self.is_blocked = true;
        if !self.tells_room {
            self.tells_room = true;
            let token = Token(key.index as usize);
            if self.transport.register_writes(registry, token).is_err() {
                self.conn.transport_failed(pool);
            }
        }
    }

    /// Sets the timer if there is none that goes off in time. Deadlines mostly move away: then it goes off early, and is
    /// set anew only there.
    fn set_timer(&mut self, key: Key, wheel: &mut Wheel) {
        if let Some(deadline) = self.conn.deadline()
            && (self.timer == 0 || wheel.tick(deadline) < self.timer)
        {
            self.timer = wheel.set(key, deadline);
        }
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
