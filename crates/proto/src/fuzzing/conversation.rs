//! A whole connection under any bytes and any calls of its owner: what must hold whatever comes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;

use super::Dice;
use crate::{
    CloseCode, Closed, Config, Connection, Deadline, Deadlines, End, Event, Fault, Input,
    Keepalive, Limits, Message, Misuse, Pool, Role, Side, Step,
    deflate::{Deflate, Params},
    reader::{Found, Reader},
};

/// Bytes of the outbox beyond its limit and one message: Pongs, pings, Close, and what incompressible
/// data grows by.
const OUTBOX_SURPLUS: usize = 8 << 10;
/// What a message may hold beyond twice its bytes.
const MESSAGE_SURPLUS: usize = 64 << 10;
/// The longest message that the script sends.
const SENT_LEN_MAX: usize = 255 * 300;
/// From how many bytes on a message is cut out of the buffer of a read.
const CUT_LEN_MIN: usize = 16;

/// Runs one connection four times over the same bytes: whole, by random pieces, by pieces out of which
/// messages are cut, and by pieces read into the message where that is offered. What it says and writes must be the same, and right.
///
/// The first eight bytes choose role, limits and compression, then come up to fifteen calls of the
/// owner with their places in the stream, and what is left is the stream.
pub fn connection(data: &[u8], now: Instant) {
    let Some(case) = Case::read(data) else { return };
    let whole = Run::new(&case, now).through(&case, Reading::Whole);
    let pieces = Run::new(&case, now).through(&case, Reading::Pieces(Dice::new(data)));
    let cut = Run::new(&case, now).through(&case, Reading::Cut(Dice::new(data)));
    let spare = Run::new(&case, now).through(&case, Reading::Spare(Dice::new(data)));
    whole.is_right(&case);
    whole.must_equal(&pieces, &case);
    whole.must_equal(&cut, &case);
    whole.must_equal(&spare, &case);
}

struct Case<'a> {
    role: Role,
    params: Option<Params>,
    config: Arc<Config>,
    calls: Vec<Call>,
    wire: &'a [u8],
}

/// What the owner does after `gap` more bytes came.
struct Call {
    gap: usize,
    what: u8,
    size: u8,
}

impl<'a> Case<'a> {
    fn read(data: &'a [u8]) -> Option<Self> {
        let ([flags, message, fragments, outbox, pongs, deflate, bits, calls], rest) =
            data.split_first_chunk::<8>()?;
        let bit = |byte: u8, at: u8| byte >> at & 1 != 0;
        let params = Params {
            server_no_context_takeover: bit(*deflate, 0),
            client_no_context_takeover: bit(*deflate, 1),
            server_max_window_bits: 9 + (bits & 15) % 7,
            client_max_window_bits: 8 + (bits >> 4) % 8,
        };
        let limits = Limits {
            message_bytes_max: [0, 1, 125, 4000, 70_000, 1 << 20][usize::from(message % 6)],
            fragments_max: [1, 2, 16, 4096][usize::from(fragments % 4)],
            outbox_bytes_max: [1, 100, 4096, 1 << 20][usize::from(outbox % 4)],
            pongs_max: [0, 1, 3, 16][usize::from(pongs % 4)],
            ..Limits::default()
        };
        let ours = Deflate {
            message_bytes_min: [0, 128][usize::from(deflate >> 3 & 1)],
            ..Deflate::default()
        };
        let deadlines = match bit(*flags, 2) {
            true => Deadlines { handshake: None, close: None, write: None, message: None },
            false => Deadlines::default(),
        };
        let config = Arc::new(Config {
            limits,
            deadlines,
            keepalive: bit(*flags, 1).then(Keepalive::default),
            deflate: Some(ours),
        });
        let (script, wire) = rest.split_at_checked(usize::from(calls % 16) * 3)?;
        let calls = script
            .chunks(3)
            .map(|it| Call { gap: usize::from(it[0]), what: it[1], size: it[2] })
            .collect();
        let role = if bit(*flags, 0) { Role::Client } else { Role::Server };
        Some(Self { role, params: bit(*deflate, 2).then_some(params), config, calls, wire })
    }

    fn peer(&self) -> Role {
        match self.role {
            Role::Client => Role::Server,
            Role::Server => Role::Client,
        }
    }
}

/// How the bytes between two calls of the owner are cut.
enum Reading {
    Whole,
    Pieces(Dice),
    /// Out of a buffer of which long messages keep a part.
    Cut(Dice),
    Spare(Dice),
}

#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Message(Message),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
}

struct Run {
    conn: Connection,
    pool: Pool,
    now: Instant,
    seen: Vec<Seen>,
    sent: Vec<Message>,
    written: Vec<u8>,
    /// Our own Close frame went into the outbox by the owner's call.
    closed: bool,
    /// Pongs went out that nobody asked for.
    ponged: bool,
    /// The owner reported the end of the transport before all was written.
    cut: bool,
    /// Bytes of the outbox were thrown away, or left behind.
    lossy: bool,
    end: Option<End>,
}

impl Run {
    fn new(case: &Case<'_>, now: Instant) -> Self {
        fn fill(bytes: &mut [u8]) {
            bytes.iter_mut().zip(1_u8..=251).for_each(|(it, i)| *it = i.wrapping_mul(37));
        }
        Self {
            conn: Connection::new(case.role, case.config.clone(), case.params, now),
            pool: Pool::new(fill),
            now,
            seen: vec![],
            sent: vec![],
            written: vec![],
            closed: false,
            ponged: false,
            cut: false,
            lossy: false,
            end: None,
        }
    }

    fn through(mut self, case: &Case<'_>, mut reading: Reading) -> Self {
        let mut wire = case.wire;
        for call in &case.calls {
            let (front, rest) = wire.split_at(call.gap.min(wire.len()));
            self.read(front, &mut reading);
            self.call(call);
            self.stays_in_bounds(case);
            wire = rest;
        }
        self.read(wire, &mut reading);
        self.stays_in_bounds(case);
        self.finish();
        self
    }

    fn read(&mut self, bytes: &[u8], reading: &mut Reading) {
        self.conn.resume(self.now);
        match reading {
            Reading::Whole => self.receive(bytes),
            Reading::Pieces(dice) => dice.pieces(bytes).for_each(|it| self.receive(it)),
            Reading::Cut(dice) => dice.pieces(bytes).for_each(|it| self.receive_from(it)),
            Reading::Spare(dice) => {
                let mut rest = bytes;
                for piece in dice.pieces(bytes) {
                    let piece = &rest[..piece.len()];
                    rest = &rest[piece.len()..];
                    let taken = self.fill(piece);
                    self.receive(&piece[taken..]);
                }
            }
        }
    }

    fn receive(&mut self, bytes: &[u8]) {
        let is_over = !matches!(self.conn.step(), Step::Transfer);
        let mut bytes = bytes.to_vec();
        let mut input = Input::new(&mut bytes);
        while let Some(event) = self.conn.receive(&mut input, self.now, &mut self.pool) {
            assert!(!is_over, "nothing is delivered after the end");
            self.seen.push(seen(event));
        }
        assert!(input.is_empty());
    }

    fn receive_from(&mut self, bytes: &[u8]) {
        let mut bytes = BytesMut::from(bytes);
        let (now, pool) = (self.now, &mut self.pool);
        while let Some(event) = self.conn.receive_from(&mut bytes, CUT_LEN_MIN, now, pool) {
            self.seen.push(seen(event));
        }
        assert!(bytes.is_empty());
    }

    /// Reads into the unfinished message as far as that is offered.
    fn fill(&mut self, bytes: &[u8]) -> usize {
        let Some((buffer, room)) = self.conn.spare() else { return 0 };
        assert!(buffer.capacity() <= 2 * buffer.len() + MESSAGE_SURPLUS);
        let n = room.min(bytes.len());
        let capacity = buffer.capacity();
        buffer.extend_from_slice(&bytes[..n]);
        assert_eq!(buffer.capacity(), capacity, "what is lent has room");
        if n != 0
            && let Some(event) = self.conn.filled(n, self.now, &mut self.pool)
        {
            self.seen.push(seen(event));
        }
        n
    }

    fn call(&mut self, call: &Call) {
        let Self { conn, pool, now, .. } = self;
        let size = usize::from(call.size);
        match call.what % 12 {
            0 => self.write(size * size),
            1 => self.send(Message::Binary(vec![call.what; size * 300].into())),
            2 => self.send("対話 ".repeat(size).into()),
            3 => {
                let pinged = conn.ping(&vec![7; size % 130], *now, pool);
                assert_eq!(
                    pinged == Err(Misuse::ControlTooLong),
                    conn.is_open() && 125 < size % 130
                );
            }
            4 => self.ponged |= conn.pong(&vec![8; size % 126], *now, pool).is_ok(),
            5 => {
                let code = [1000, 1001, 1005, 3000, 4999, 1006][size % 6].into();
                let reason = if size % 6 == 2 { "" } else { "bye" };
                let closed = conn.close(code, reason, *now, pool).is_ok();
                assert!(!closed || code != CloseCode::ABNORMAL);
                self.closed |= closed;
            }
            6 => self.timeout(Duration::from_millis((size * size) as u64)),
            7 => self.timeout(Duration::from_secs(size as u64)),
            8 => conn.pause(*now),
            9 => {
                self.cut = true;
                conn.end_of_input();
            }
            10 => {
                self.cut = true;
                self.lossy |= !conn.outbox().is_empty();
                conn.transport_failed(pool);
            }
            _ if conn.step() == Step::ShutDown => conn.shut_down(),
            _ => {}
        }
    }

    fn send(&mut self, message: Message) {
        if self.conn.has_room() {
            match self.conn.send(&message, self.now, &mut self.pool) {
                Ok(()) => self.sent.push(message),
                Err(misuse) => assert!(misuse == Misuse::Closing && !self.conn.is_open()),
            }
        }
    }

    fn timeout(&mut self, later: Duration) {
        self.now += later;
        let waited = self.conn.outbox().len();
        self.conn.timeout(self.now, &mut self.pool);
        self.lossy |= self.conn.outbox().len() < waited;
        let late = self.conn.deadline().is_some_and(|it| it <= self.now);
        assert!(!late || matches!(self.conn.step(), Step::End(_)), "what was due is done");
    }

    fn write(&mut self, mut n: usize) {
        while n != 0 && !self.conn.outbox().is_empty() {
            let first = self.conn.outbox().first();
            let take = first.len().min(n);
            self.written.extend_from_slice(&first[..take]);
            self.conn.wrote(take, self.now, &mut self.pool);
            n -= take;
        }
    }

    fn stays_in_bounds(&mut self, case: &Case<'_>) {
        let bound = case.config.limits.outbox_bytes_max + SENT_LEN_MAX + OUTBOX_SURPLUS;
        assert!(self.conn.outbox().len() <= bound, "{} bytes wait", self.conn.outbox().len());
        if let Step::End(end) = self.conn.step() {
            let first = self.end.get_or_insert_with(|| end.clone());
            assert_eq!(*first, end, "it ends once");
        }
    }

    /// Does what is asked for until the end.
    fn finish(&mut self) {
        for _ in 0..6 {
            match self.conn.step() {
                Step::Transfer if self.conn.outbox().is_empty() => self.conn.end_of_input(),
                Step::Transfer => self.write(usize::MAX),
                Step::ShutDown => self.conn.shut_down(),
                Step::Discard => self.conn.end_of_input(),
                Step::End(end) => {
                    assert!(self.end.as_ref().is_none_or(|it| *it == end), "it ends once");
                    self.end = Some(end);
                    self.lossy |= !self.conn.outbox().is_empty();
                    return;
                }
            }
        }
        panic!("no end: {:?}", self.conn);
    }

    fn must_equal(&self, other: &Self, case: &Case<'_>) {
        assert_eq!(self.seen, other.seen);
        // One compressed text may break several rules at once. How much is inflated in one go, and so which
        // one is found first, depends on the pieces.
        let is_payload_fault = |run: &Self| {
            let fault = [Fault::BadDeflate, Fault::TextNotUtf8, Fault::MessageTooBig];
            matches!(run.end, Some(End::Fault(it)) if fault.contains(&it))
        };
        if case.params.is_some() && is_payload_fault(self) && is_payload_fault(other) {
            return assert_eq!(self.written.len(), other.written.len());
        }
        assert_eq!(self.written, other.written);
        assert_eq!(self.end, other.end);
    }

    /// Reads what was written as the peer does.
    fn is_right(&self, case: &Case<'_>) {
        let limits =
            Limits { message_bytes_max: SENT_LEN_MAX, fragments_max: 1, ..Limits::default() };
        let mut reader = Reader::new(case.peer(), case.params.map(|it| it.incoming(case.peer())));
        let mut pool = Pool::new(|_| ());
        let mut bytes = self.written.clone();
        let mut input = Input::new(&mut bytes);
        let (mut messages, mut pongs, mut close) = (vec![], vec![], None);
        loop {
            match reader.read(&mut input, &limits, &mut pool).expect("our own frames are right") {
                None => break,
                Some(_) if close.is_some() => panic!("nothing follows a Close"),
                Some(Found::Message(it)) => messages.push(it.into_message()),
                Some(Found::Pong(it)) => pongs.push(it.to_vec()),
                Some(Found::Ping(_)) => {}
                Some(Found::Close(code, _)) => close = Some(code),
                Some(Found::Part(_)) => unreachable!("parts were not asked for"),
            }
        }
        assert!(self.sent.starts_with(&messages));
        if self.lossy {
            return;
        }
        assert_eq!(self.sent.len(), messages.len());
        assert!(!reader.is_amid());
        let expected = match self.end.as_ref().expect("it ended") {
            _ if self.closed => return,
            End::Fault(fault) => Some(fault.close_code()),
            End::Closed(Closed { code, by: Side::Peer, .. }) => Some(*code),
            End::Closed(_) => panic!("we never closed"),
            End::Late(late @ (Deadline::Message | Deadline::Pong)) => late.close_code(),
            End::Late(_) | End::Lost => None,
        };
        assert_eq!(close, expected);
        self.has_answered(&pongs);
    }

    /// Pongs answer Pings in their order (RFC 6455 §5.5.3), and the newest Ping is always answered.
    fn has_answered(&self, pongs: &[Vec<u8>]) {
        if self.ponged {
            return;
        }
        let mut pings = self.seen.iter().filter_map(|it| match it {
            Seen::Ping(payload) => Some(payload),
            _ => None,
        });
        let newest = pings.clone().next_back();
        for pong in pongs {
            assert!(pings.any(|it| it == pong), "a Pong has its Ping");
        }
        if self.end == Some(End::Lost) && !self.cut {
            assert_eq!(pongs.last(), newest);
        }
    }
}

fn seen(event: Event<'_>) -> Seen {
    match event {
        Event::Message(payload) => {
            let kind = payload.kind();
            let message = payload.into_message();
            assert_eq!(message.kind(), kind);
            if let Message::Text(text) = &message {
                assert!(std::str::from_utf8(text.as_bytes()).is_ok());
            }
            Seen::Message(message)
        }
        Event::Ping(payload) => Seen::Ping(payload.to_vec()),
        Event::Pong(payload) => Seen::Pong(payload.to_vec()),
        Event::Part(_) => unreachable!("parts were not asked for"),
    }
}
