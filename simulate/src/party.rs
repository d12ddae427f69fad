//! One end: a connection, and a transport's owner who does what `step` says and a few things besides.

use std::{collections::VecDeque, fmt, time::Instant};

use bytes::{Bytes, BytesMut};
use taiwa_proto::{CloseCode, Connection, End, Event, Input, Message, Misuse, Pool, Role, Step};

use crate::{Dice, Pipe, Plan, Wish, network::Read};

/// Bytes of the outbox beyond its limit and one message: Pongs, pings, a Close, deflate's overhead.
const OUTBOX_SURPLUS: usize = 8 << 10;

/// One end.
pub struct Party {
    /// The messages that went into the connection.
    pub sent: Vec<Message>,
    /// The messages that came out of it.
    pub received: Vec<Message>,
    /// The code and reason that it closed with, if it wanted to in time.
    pub closed: Option<(CloseCode, &'static str)>,
    /// How it ended, and when.
    pub end: Option<(End, Instant)>,
    conn: Connection,
    pool: Pool,
    wishes: VecDeque<(Instant, Wish)>,
    /// Pings of ours that no Pong followed yet.
    pinged: VecDeque<Vec<u8>>,
    paused: Option<Instant>,
    outbox_bytes_max: usize,
    hangs: bool,
}

impl Party {
    pub(crate) fn new(role: Role, plan: &Plan, now: Instant) -> Self {
        let mut at = now;
        let wishes = match role {
            Role::Client => &plan.wishes[0],
            Role::Server => &plan.wishes[1],
        };
        let longest = wishes.iter().map(|it| match &it.1 {
            Wish::Send(message) => message.as_bytes().len(),
            _ => 0,
        });
        let longest = longest.max().unwrap_or(0);
        let outbox_bytes_max = plan.config.limits.outbox_bytes_max + longest + OUTBOX_SURPLUS;
        let wishes = wishes
            .iter()
            .map(|(gap, wish)| {
                at += *gap;
                (at, wish.clone())
            })
            .collect();
        Self {
            sent: vec![],
            received: vec![],
            closed: None,
            end: None,
            conn: Connection::new(role, plan.config.clone(), plan.deflate, now),
            pool: Pool::new(|bytes| bytes.iter_mut().zip(1..=251).for_each(|(it, i)| *it = i)),
            wishes,
            pinged: VecDeque::new(),
            paused: None,
            outbox_bytes_max,
            hangs: false,
        }
    }

    /// Does nothing any more, with the transport open.
    pub fn hang(&mut self) {
        self.hangs = true;
    }

    /// Tells whether nothing more will happen here.
    pub fn is_over(&self) -> bool {
        self.hangs || self.end.is_some()
    }

    /// Does what can be done at `now`; tells whether there is more to do at once.
    pub(crate) fn turn(
        &mut self,
        incoming: &mut Pipe,
        outgoing: &mut Pipe,
        now: Instant,
        dice: &mut Dice,
    ) -> bool {
        if self.is_over() {
            return false;
        }
        let wished = self.grant(now);
        let read = self.read(incoming, now, dice);
        if !read && self.conn.deadline().is_some_and(|it| it <= now) {
            self.conn.timeout(now, &mut self.pool);
            let next = self.conn.deadline();
            assert!(next.is_none_or(|it| now < it) || matches!(self.conn.step(), Step::End(_)));
        }
        let wrote = self.write(outgoing, now, dice);
        let len = self.conn.outbox().len();
        assert!(len <= self.outbox_bytes_max, "{len} bytes wait");
        let stepped = self.step(incoming, outgoing, now, dice);
        wished || read || wrote || stepped
    }

    /// Returns when, after `now`, something is due here, if nothing comes from outside.
    pub(crate) fn next(&self, now: Instant) -> Option<Instant> {
        if self.is_over() {
            return None;
        }
        // A wish to send waits for room, which comes with a write.
        let has_room = self.conn.has_room();
        let wish = self.wishes.front().filter(|it| has_room || !matches!(it.1, Wish::Send(_)));
        let times = [self.conn.deadline(), self.paused, wish.map(|it| it.0)];
        times.into_iter().flatten().filter(|it| now < *it).min()
    }

    fn grant(&mut self, now: Instant) -> bool {
        if self.wishes.front().is_none_or(|it| now < it.0) {
            return false;
        }
        if !self.conn.is_open() {
            self.wishes.clear();
            return true;
        }
        let (at, wish) = self.wishes.pop_front().expect("looked at above");
        let (conn, pool) = (&mut self.conn, &mut self.pool);
        match wish {
            // Between two pauses something is read, or the peer might well give us up.
            Wish::Pause(_) if self.paused.is_some() => {
                self.wishes.push_front((at, wish));
                return false;
            }
            Wish::Send(_) if !conn.has_room() => {
                self.wishes.push_front((at, wish));
                return false;
            }
            Wish::Send(message) => {
                conn.send(&message, now, pool).expect("open");
                self.sent.push(message);
            }
            Wish::Ping(payload) => {
                conn.ping(&payload, now, pool).expect("open, and short enough");
                self.pinged.push_back(payload);
            }
            Wish::Close(code, reason) => {
                conn.close(code.into(), reason, now, pool).expect("open, and may be sent");
                self.closed = Some((code.into(), reason));
                assert_eq!(conn.send(&"late".into(), now, pool), Err(Misuse::Closing));
            }
            Wish::Pause(time) => {
                conn.pause(now);
                self.paused = Some(now + time);
            }
        }
        true
    }

    fn read(&mut self, pipe: &mut Pipe, now: Instant, dice: &mut Dice) -> bool {
        if self.paused.is_some_and(|it| now < it) {
            return false;
        }
        let resumes = self.paused.take().is_some();
        if resumes {
            self.conn.resume(now);
        }
        match pipe.read(now, dice) {
            Read::Nothing => return resumes,
            Read::Bytes(mut bytes) => {
                let taken = if dice.one_in(2) { self.fill(&bytes, now) } else { 0 };
                self.receive(&mut bytes[taken..], now);
            }
            Read::End => {
                let before = self.conn.step();
                self.conn.end_of_input();
                return before != self.conn.step();
            }
            Read::Reset => self.conn.transport_failed(&mut self.pool),
        }
        true
    }

    fn receive(&mut self, bytes: &mut [u8], now: Instant) {
        let is_over = !matches!(self.conn.step(), Step::Transfer);
        let mut input = Input::new(bytes);
        while let Some(event) = self.conn.receive(&mut input, now, &mut self.pool) {
            assert!(!is_over, "nothing is delivered after the end");
            note(event, &mut self.received, &mut self.pinged);
        }
        assert!(input.is_empty());
    }

    /// Reads into the unfinished message as far as that is offered.
    fn fill(&mut self, bytes: &[u8], now: Instant) -> usize {
        let Some((buffer, room)) = self.conn.spare() else { return 0 };
        let n = room.min(bytes.len());
        BytesMut::extend_from_slice(buffer, &bytes[..n]);
        if let Some(event) = self.conn.filled(n, now, &mut self.pool) {
            note(event, &mut self.received, &mut self.pinged);
        }
        n
    }

    fn write(&mut self, pipe: &mut Pipe, now: Instant, dice: &mut Dice) -> bool {
        let first = self.conn.outbox().first();
        if first.is_empty() {
            return false;
        }
        let n = pipe.write(first, now, dice);
        self.conn.wrote(n, now, &mut self.pool);
        n != 0
    }

    fn step(
        &mut self,
        incoming: &Pipe,
        outgoing: &mut Pipe,
        now: Instant,
        dice: &mut Dice,
    ) -> bool {
        match self.conn.step() {
            Step::Transfer | Step::Discard => return false,
            Step::ShutDown => {
                assert!(self.conn.outbox().is_empty());
                outgoing.shut_down(now, dice);
                self.conn.shut_down();
            }
            Step::End(end) => {
                outgoing.shut_down(now, dice);
                // TCP: closing a socket with unread bytes resets the connection, and so do bytes
                // that come later.
                if !incoming.is_empty() {
                    outgoing.reset(now, dice);
                }
                self.end = Some((end, now));
            }
        }
        true
    }
}

fn note(event: Event<'_>, received: &mut Vec<Message>, pinged: &mut VecDeque<Vec<u8>>) {
    match event {
        Event::Message(payload) => received.push(payload.into_message()),
        Event::Part(_) => unreachable!("parts are not asked for"),
        Event::Ping(_) => {}
        // Keepalive's own pings have no payload.
        Event::Pong(payload) if payload == Bytes::new() => {}
        Event::Pong(payload) => {
            while pinged.pop_front().expect("a Pong has its Ping") != payload {}
        }
    }
}

impl fmt::Debug for Party {
    /// Leaves the messages out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Party")
            .field("sent", &self.sent.len())
            .field("received", &self.received.len())
            .field("conn", &self.conn)
            .field("deadline", &self.conn.deadline())
            .field("wishes", &self.wishes.len())
            .field("paused", &self.paused)
            .field("hangs", &self.hangs)
            .finish_non_exhaustive()
    }
}
