//! One shard at work: turn after turn, each with a bounded amount of work.

#[cfg(test)]
mod tests;

use std::{
    io,
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use mio::{Events, Poll, Token};
use taiwa::RawConnection;
use taiwa_proto::{Event, Input, Step};

use taiwa_hub::wheel::Due;

use super::{
    Above, Key, Lines,
    line::{Read, Reading},
    lines::Settled,
    post::{Inbound, Inbox},
};

/// Bytes of the one buffer that all lines of a shard are read into.
const BUFFER_LEN: usize = 256 << 10;
/// Events that are taken from the kernel in a turn: many, so that whoever says something is not behind all who leave.
const EVENTS_PER_TURN: usize = 4096;
/// Lines that are read in a turn.
const LINES_PER_TURN: usize = 256;
/// Lines of those whose peer has ended its side: each of them ends a conversation, which is more work than a message.
const LEAVING_PER_TURN: usize = 64;
/// Bytes that are read from each line in a turn, at least if it has them.
const BYTES_PER_LINE: usize = 64 << 10;
/// Bytes that are read from a line while there is no crowd: a large message that comes in one go costs less, and leaves its
/// memory to the next one. A message of 1 MiB fits with its header.
const BYTES_OF_FEW: usize = (1 << 20) + BUFFER_LEN;
/// Bytes of a turn behind which there is a crowd.
const CROWD_BYTES: usize = 4 << 20;
/// Messages of one line in a turn, and their bytes: more come out of 64 KiB that are compressed or empty.
const MESSAGES_PER_LINE: usize = 1024;
const MESSAGE_BYTES_PER_LINE: usize = 1 << 20;
/// Letters and new lines that are taken in a turn.
const LETTERS_PER_TURN: usize = 1024;
/// Lines that are written in a turn; each costs a call of the kernel.
const WRITES_PER_TURN: usize = 4096;
/// Lines that are said goodbye to in a turn.
const FAREWELLS_PER_TURN: usize = 512;

/// Wakes the shard; all other tokens are places of lines.
pub(super) const WAKER: Token = Token(usize::MAX);

pub(super) struct Shard<A: Above> {
    above: A,
    lines: Lines,
    poll: Poll,
    events: Events,
    inbox: Inbox<A>,
    buffer: Box<[u8]>,
    /// There may be more letters than one turn takes.
    letters_wait: bool,
    shutdown: Shutdown,
}

/// The way to the end.
enum Shutdown {
    Not,
    Begun {
        until: Instant,
        /// The next place whose line is to be said goodbye to; `None` when all were.
        place: Option<u32>,
        /// What has no line was said goodbye to.
        is_parted: bool,
        /// All shards know that this one has no line left.
        is_empty: bool,
    },
}

/// What the shards of one server tell each other when they shut down: a shard without lines still answers letters of
/// those that have some.
pub(super) struct Company {
    /// Shards that have lines left, or were not told to shut down.
    pub(super) occupied: AtomicUsize,
    pub(super) wake_all: Box<dyn Fn() + Send + Sync>,
}

impl<A: Above> Shard<A> {
    pub(super) fn new(index: usize, above: A, poll: Poll, inbox: Inbox<A>) -> io::Result<Self> {
        let lines = Lines::new(poll.registry().try_clone()?, index, Instant::now());
        Ok(Self {
            above,
            lines,
            poll,
            events: Events::with_capacity(EVENTS_PER_TURN),
            inbox,
            buffer: vec![0; BUFFER_LEN].into_boxed_slice(),
            letters_wait: false,
            shutdown: Shutdown::Not,
        })
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// If the kernel refuses to be asked for events.
    pub(super) fn run(&mut self, company: &Arc<Company>) -> io::Result<()> {
        while self.turn()?.is_continue() && !self.is_over(company) {}
        self.drop_all();
        Ok(())
    }

    /// Waits for something to do and does it. Breaks if there will not be another turn.
    // By its name `cargo xtask instructions` finds what it counts.
    #[inline(never)]
    fn turn(&mut self) -> io::Result<ControlFlow<()>> {
        self.wait()?;
        match self.take_letters() {
            ControlFlow::Continue(more) => self.letters_wait = more,
            ControlFlow::Break(()) => return Ok(ControlFlow::Break(())),
        }
        self.notice();
        self.read_ready();
        self.keep_time();
        self.above.turn_ended(&mut self.lines);
        self.say_farewell();
        self.settle();
        Ok(ControlFlow::Continue(()))
    }

    /// Drops all lines that are left. Their end is told as every end is.
    fn drop_all(&mut self) {
        let mut place = 0;
        while let Some(key) = self.lines.next_from(place) {
            self.lines.cut(key);
            place = key.index().saturating_add(1);
        }
        while !self.lines.is_empty() && self.lines.has_touched() {
            self.settle();
        }
    }

    /// Waits for events, or for the next time something is due; not at all while there is work.
    fn wait(&mut self) -> io::Result<()> {
        let until = if self.letters_wait || self.lines.has_work() || self.is_parting() {
            Some(Duration::ZERO)
        } else {
            self.lines.shrink();
            let ends = match self.shutdown {
                Shutdown::Begun { until, .. } => Some(until),
                Shutdown::Not => None,
            };
            let spares = self.lines.pool.age(self.lines.now);
            let times = [self.lines.timer_deadline(), self.above.deadline(), ends, spares];
            let next = times.into_iter().flatten().min();
            next.map(|it| it.saturating_duration_since(Instant::now()))
        };
        if let Err(error) = self.poll.poll(&mut self.events, until)
            && error.kind() != io::ErrorKind::Interrupted
        {
            return Err(error);
        }
        // Once a turn: reading the clock costs as much as reading a small frame.
        self.lines.now = Instant::now();
        self.lines.pool.begin_turn();
        Ok(())
    }

    /// Takes what came from other threads; continues with whether there may be more.
    fn take_letters(&mut self) -> ControlFlow<(), bool> {
        self.inbox.open();
        for _ in 0..LETTERS_PER_TURN {
            match self.inbox.next() {
                None => return ControlFlow::Continue(false),
                Some(Inbound::Letter(letter)) => self.above.letter(letter, &mut self.lines),
                Some(Inbound::Join(line)) => {
                    let (raw, opening) = *line;
                    self.join(raw, opening);
                }
                Some(Inbound::ShutDown(by)) => match &mut self.shutdown {
                    Shutdown::Begun { until, .. } => *until = by.min(*until),
                    Shutdown::Not => {
                        self.shutdown = Shutdown::Begun {
                            until: by,
                            place: Some(0),
                            is_parted: false,
                            is_empty: false,
                        };
                    }
                },
                Some(Inbound::Look) => {}
                Some(Inbound::Stop) => return ControlFlow::Break(()),
            }
        }
        ControlFlow::Continue(true)
    }

    fn join(&mut self, raw: RawConnection, opening: A::Opening) {
        match self.lines.take_in(raw) {
            Ok(key) => {
                self.above.joined(key, opening, &mut self.lines);
                if let Shutdown::Begun { .. } = self.shutdown {
                    self.above.farewell(key, &mut self.lines);
                }
            }
            // The kernel has no room for one more; nobody above knows of the line.
            Err(error) => tracing::warn!("a connection could not be polled: {error}"),
        }
    }

    fn notice(&mut self) {
        for event in &self.events {
            if event.token() != WAKER {
                self.lines.notice(event);
            }
        }
    }

    fn read_ready(&mut self) {
        let mut read = 0;
        for _ in 0..self.lines.ready_len().min(LINES_PER_TURN) {
            let Some(key) = self.lines.next_ready() else { return };
            read += self.read(key, if read < CROWD_BYTES { BYTES_OF_FEW } else { BYTES_PER_LINE });
            self.lines.write_much(key);
        }
        for _ in 0..LEAVING_PER_TURN {
            let Some(key) = self.lines.next_leaving() else { return };
            self.read(key, BYTES_PER_LINE);
        }
    }

    /// Reads a line until there is nothing to read or it has had its share; then it is read again in the next turn.
    /// Returns how many bytes it read.
    fn read(&mut self, key: Key, bytes_max: usize) -> usize {
        let mut share = Share { messages: MESSAGES_PER_LINE, bytes: MESSAGE_BYTES_PER_LINE };
        let Self { above, lines, buffer, .. } = self;
        if let Some(mut leftover) = lines.take_leftover(key)
            && take_in(above, lines, key, &mut leftover, &mut share).is_break()
        {
            return 0;
        }
        let mut total = 0;
        while total < bytes_max {
            let Some((line, _)) = lines.get_mut(key) else { return total };
            if line.reading == Reading::Paused || matches!(line.conn.step(), Step::End(_)) {
                return total;
            }
            let Read { read, asked, is_straight } = line.read(buffer, bytes_max - total);
            match read {
                Ok(0) => {
                    line.conn.end_of_input();
                    lines.touch(key);
                    return total;
                }
                Ok(n) => {
                    let was_all = n < asked && line.transport.is_plain() && !line.end_is_near;
                    total += n;
                    if is_straight {
                        take_filled(above, lines, key, n, &mut share);
                    } else if take_in(above, lines, key, &mut buffer[..n], &mut share).is_break() {
                        return total;
                    }
                    if was_all {
                        lines.drained(key);
                        return total;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !line.transport.is_plain() {
                        // TLS may have answered something that nobody else sees.
                        lines.touch(key);
                    }
                    lines.drained(key);
                    return total;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    line.conn.end_of_input();
                    lines.touch(key);
                    return total;
                }
            }
        }
        lines.make_ready(key);
        total
    }

    fn keep_time(&mut self) {
        let due = self.lines.take_due();
        for Due { key, .. } in &due {
            let key = *key;
            // A peer is not to be blamed for bytes that only wait to be read.
            self.read(key, BYTES_PER_LINE);
            let now = self.lines.now();
            if let Some((line, pool)) = self.lines.get_mut(key) {
                line.conn.timeout(now, pool);
                self.lines.touch(key);
            }
        }
        self.lines.give_back(due);
        if self.above.deadline().is_some_and(|it| it <= self.lines.now()) {
            self.above.timeout(&mut self.lines);
        }
    }

    fn settle(&mut self) {
        for _ in 0..WRITES_PER_TURN {
            let Some(key) = self.lines.next_touched() else { return };
            match self.lines.settle(key) {
                None => {}
                Some(Settled::Room) => self.above.room(key, &mut self.lines),
                Some(Settled::Left(left)) => self.above.left(key, left, &mut self.lines),
            }
        }
    }

    fn is_parting(&self) -> bool {
        matches!(
            self.shutdown,
            Shutdown::Begun { place: Some(_), .. } | Shutdown::Begun { is_parted: false, .. }
        )
    }

    fn say_farewell(&mut self) {
        let Shutdown::Begun { place, is_parted, .. } = &mut self.shutdown else { return };
        if !*is_parted {
            *is_parted = self.above.parting(&mut self.lines);
        }
        for _ in 0..FAREWELLS_PER_TURN {
            let Some(from) = *place else { return };
            let key = self.lines.next_from(from);
            *place = key.and_then(|it| it.index().checked_add(1));
            if let Some(key) = key {
                self.above.farewell(key, &mut self.lines);
            }
        }
    }

    /// Tells whether this shard may end: no shard has lines, or time is up.
    fn is_over(&mut self, company: &Company) -> bool {
        let Shutdown::Begun { until, is_parted, is_empty, .. } = &mut self.shutdown else {
            return false;
        };
        if !*is_empty && *is_parted && self.lines.is_empty() {
            *is_empty = true;
            if company.occupied.fetch_sub(1, Ordering::AcqRel) == 1 {
                (company.wake_all)();
            }
        }
        let all_are_empty = company.occupied.load(Ordering::Acquire) == 0;
        all_are_empty || *until <= self.lines.now()
    }
}

/// What a line may still have of a turn.
struct Share {
    messages: usize,
    bytes: usize,
}

/// Gives bytes of a line to its connection, and what they make to above. Breaks when the line may not go on: what is
/// left of the bytes is kept.
fn take_in<A: Above>(
    above: &mut A,
    lines: &mut Lines,
    key: Key,
    bytes: &mut [u8],
    share: &mut Share,
) -> ControlFlow<()> {
    let mut input = Input::new(bytes);
    let now = lines.now();
    lines.touch(key);
    loop {
        let Some((line, pool)) = lines.get_mut(key) else { return ControlFlow::Break(()) };
        let is_over = share.messages == 0 || share.bytes == 0;
        if line.reading == Reading::Paused || (is_over && !input.is_empty()) {
            lines.keep_leftover(key, input.into_rest());
            if is_over {
                lines.make_ready(key);
            }
            return ControlFlow::Break(());
        }
        let Some(event) = line.conn.receive(&mut input, now, pool) else {
            return ControlFlow::Continue(());
        };
        tell(above, lines, key, event, share);
    }
}

/// Tells a connection of bytes that were read straight into its message, and above of the message if it is whole.
fn take_filled<A: Above>(above: &mut A, lines: &mut Lines, key: Key, n: usize, share: &mut Share) {
    let now = lines.now();
    lines.touch(key);
    if let Some((line, pool)) = lines.get_mut(key)
        && let Some(event) = line.conn.filled(n, now, pool)
    {
        tell(above, lines, key, event, share);
    }
}

fn tell<A: Above>(above: &mut A, lines: &mut Lines, key: Key, event: Event<'_>, share: &mut Share) {
    if let Event::Message(payload) = event {
        share.messages = share.messages.saturating_sub(1);
        share.bytes = share.bytes.saturating_sub(payload.as_slice().len());
        above.received(key, payload, lines);
    }
}
