//! One connection after the opening handshake: reader, writer, outbox, closing handshake, times.

mod cutting;
mod ending;
mod parts;
mod sending;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};

use crate::{
    close::{CloseCode, ClosePayload, Closed, Side},
    deflate,
    fault::{Deadline, Fault},
    header::Opcode,
    keepalive::{Clocks, Due},
    limits::{Config, Role},
    outbox::Outbox,
    pool::Pool,
    reader::{Found, Input, Part, Payload, Reader},
    stats::{Stats, Traffic},
    writer::Writer,
};

use ending::Ending;
pub use ending::{End, Step};

/// What [`Connection::receive`] found.
#[derive(Debug)]
pub enum Event<'b> {
    /// A whole message.
    Message(Payload<'b>),
    /// The next part of a message, with [`Intake::Parts`](crate::Intake::Parts).
    Part(Part<'b>),
    /// A Ping; it is answered already.
    Ping(Bytes),
    /// A Pong, asked for or not.
    Pong(Bytes),
}

/// A WebSocket connection without I/O (RFC 6455 §5 to §7).
///
/// The owner of a transport drives it: bytes that came go into [`Connection::receive`], the bytes of
/// [`Connection::outbox`] go out, and [`Connection::step`] says what comes next.
///
/// ```text
///        close()            peer's Close
/// Open ──────────► Closing ──────────────┐
///  │ peer's Close, a fault, a deadline   ▼
///  ├─────────────────────────────────► Ending { flush, shut down, discard } ─► End, told by step()
///  └── end of input, write deadline ───────────────────────────────────────────► ▲
/// ```
///
/// ```
/// use std::{sync::Arc, time::Instant};
/// use taiwa_proto::{Config, Connection, Event, Input, Pool, Role};
///
/// let (now, config) = (Instant::now(), Arc::new(Config::default()));
/// let mut pool = Pool::new(|bytes| bytes.fill(7)); // a real one asks the operating system
/// let mut client = Connection::new(Role::Client, config.clone(), None, now);
/// let mut server = Connection::new(Role::Server, config, None, now);
///
/// client.send(&"対話".into(), now, &mut pool).unwrap();
/// let mut bytes = client.outbox().first().to_vec(); // write these; here, hand them over
/// client.wrote(bytes.len(), now, &mut pool);
///
/// let mut input = Input::new(&mut bytes);
/// let Some(Event::Message(payload)) = server.receive(&mut input, now, &mut pool) else { panic!() };
/// assert_eq!(payload.into_message().as_text(), Some("対話"));
/// assert!(server.receive(&mut input, now, &mut pool).is_none());
/// ```
pub struct Connection {
    reader: Reader,
    writer: Writer,
    outbox: Outbox,
    config: Arc<Config>,
    clocks: Clocks,
    /// `None` as long as it is open.
    leaving: Option<Box<Leaving>>,
    pings: Option<Box<Pings>>,
    received: Received,
    sent_wire_bytes: u64,
    /// In nanoseconds; [`UNKNOWN`] before the first.
    round_trip: u64,
}

/// Closing or closed.
enum Leaving {
    /// We sent Close first and wait for the peer's.
    Closing {
        until: Option<Instant>,
    },
    Ending(Ending),
}

/// Pings that no Pong has answered yet, in either direction: mostly there is none.
#[derive(Default)]
struct Pings {
    /// Pongs in the outbox, counted until the last of them is written.
    pongs: u32,
    /// Bytes that are written when the last of them is.
    pongs_end: u64,
    /// The newest Ping's payload, when the outbox has its fill of Pongs.
    pong: Option<Box<Bytes>>,
    /// The newest Ping of ours.
    pinged: Option<(Box<[u8]>, Instant)>,
}

/// What was received; frames are counted where they are read.
#[derive(Default)]
struct Received {
    messages: u64,
    message_bytes: u64,
    wire_bytes: u64,
}

const UNKNOWN: u64 = u64::MAX;

impl Connection {
    /// Starts an open connection, after a successful opening handshake that agreed on `deflate`.
    pub fn new(
        role: Role,
        config: Arc<Config>,
        deflate: Option<deflate::Params>,
        now: Instant,
    ) -> Self {
        Self {
            reader: Reader::new(role, deflate.map(|it| it.incoming(role))),
            writer: Writer::new(role, deflate.and_then(|it| it.outgoing(role))),
            outbox: Outbox::default(),
            config,
            clocks: Clocks::new(now),
            leaving: None,
            pings: None,
            received: Received::default(),
            sent_wire_bytes: 0,
            round_trip: UNKNOWN,
        }
    }

    /// Takes the next event out of `input`; `None` when all of it is consumed. Call it until `None`,
    /// then follow [`Connection::step`].
    ///
    /// Pings, the peer's Close and its faults are answered into the outbox. After a Close or a fault
    /// whatever else comes is thrown away.
    pub fn receive<'b>(
        &mut self,
        input: &mut Input<'b>,
        now: Instant,
        pool: &mut Pool,
    ) -> Option<Event<'b>> {
        if !input.is_empty() {
            self.clocks.heard(now);
        }
        pool.age_some(now);
        loop {
            let waiting = input.len();
            if self.is_ending() {
                input.take(waiting);
                self.received.wire_bytes += waiting as u64;
                return None;
            }
            let read = self.reader.read(input, &self.config.limits, pool);
            self.received.wire_bytes += (waiting - input.len()) as u64;
            match read {
                Ok(None) => {
                    // What is thrown away is never finished: each piece of it begins the time anew.
                    let is_progress = self.reader.is_skipping();
                    self.clocks.amid(self.reader.is_amid(), is_progress, now);
                    return None;
                }
                Ok(Some(found)) => {
                    if let Some(event) = self.found(found, now, pool) {
                        return Some(event);
                    }
                }
                Err(fault) => self.end_by(fault, now, pool),
            }
        }
    }

    /// Lends the buffer of an unfinished large message and how many bytes may be appended to it, so
    /// that the transport is read straight into it. Call [`Connection::filled`] afterwards.
    /// `None`: read into a buffer of your own and give that to [`Connection::receive`].
    pub fn spare(&mut self) -> Option<(&mut BytesMut, usize)> {
        if self.is_ending() { None } else { self.reader.spare() }
    }

    /// Takes in `n` bytes that were appended to the buffer of [`Connection::spare`].
    pub fn filled(&mut self, n: usize, now: Instant, pool: &mut Pool) -> Option<Event<'static>> {
        self.clocks.heard(now);
        self.received.wire_bytes += n as u64;
        match self.reader.filled(n) {
            Ok(None) => None,
            Ok(Some(found)) => self.found(found, now, pool),
            Err(fault) => {
                self.end_by(fault, now, pool);
                None
            }
        }
    }

    /// Says that the peer will send no more bytes.
    pub fn end_of_input(&mut self) {
        match self.ending() {
            None => self.end_now(End::Lost),
            Some(it) => it.input_ended(),
        }
    }

    /// Says that the transport failed: nothing can be written any more.
    pub fn transport_failed(&mut self, pool: &mut Pool) {
        self.outbox.clear(pool);
        match self.ending() {
            None => self.end_now(End::Lost),
            Some(it) => it.give_up(),
        }
    }

    /// Says that nobody reads until bytes are received or [`Connection::resume`] is called: what the peer
    /// can't deliver meanwhile is not counted as its silence.
    pub fn pause(&mut self, now: Instant) {
        self.clocks.pause(now);
    }

    /// Says that all was read that there is to read.
    pub fn resume(&mut self, now: Instant) {
        self.clocks.resume(now);
    }

    /// Says that nobody read since a time, and that reading goes on now: as [`Connection::pause`] then and
    /// [`Connection::resume`] now, of a connection that is not paused and that nobody asked for its deadline between.
    pub fn was_away(&mut self, since: Instant, now: Instant) {
        self.clocks.was_away(since, now);
    }

    /// Borrows the bytes that wait to be written.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Says that the write side of the transport is shut down, as [`Step::ShutDown`] asked.
    pub fn shut_down(&mut self) {
        if let Some(it) = self.ending() {
            it.shut_down();
        }
    }

    /// Tells whether no Pong came yet for the last Ping that was sent, by [`Connection::ping`] or by
    /// keepalive. When one came, all Pings before are answered, too: the peer may send a Pong for only
    /// the newest of several (RFC 6455 §5.5.3).
    pub fn awaits_pong(&self) -> bool {
        self.pings.as_ref().is_some_and(|it| it.pinged.is_some())
    }

    /// Returns what the owner of the transport has to do next.
    pub fn step(&self) -> Step {
        match self.leaving.as_deref() {
            None | Some(Leaving::Closing { .. }) => Step::Transfer,
            Some(Leaving::Ending(it)) => it.step(self.outbox.is_empty()),
        }
    }

    /// Returns the time at which [`Connection::timeout`] must be called at the latest. It may move to
    /// a later time with every call; an early `timeout` is harmless.
    pub fn deadline(&self) -> Option<Instant> {
        match self.leaving.as_deref() {
            None => self.clocks.next(&self.config),
            Some(Leaving::Closing { until }) => {
                [*until, self.clocks.write_deadline(&self.config)].into_iter().flatten().min()
            }
            Some(Leaving::Ending(it)) => it.until(),
        }
    }

    /// Acts on the time: keepalive pings, deadlines. Read what the transport has before you call it,
    /// or the peer is blamed for bytes that only wait to be read.
    #[expect(clippy::missing_panics_doc, reason = "what it expects is an invariant")]
    pub fn timeout(&mut self, now: Instant, pool: &mut Pool) {
        pool.age_some(now);
        match self.leaving.as_deref_mut() {
            Some(Leaving::Ending(it)) => {
                if it.until().is_some_and(|it| it <= now) {
                    self.outbox.clear(pool);
                    it.give_up();
                }
            }
            Some(Leaving::Closing { until }) if until.is_some_and(|it| it <= now) => {
                self.outbox.clear(pool);
                self.end_now(End::Late(Deadline::Close));
            }
            None | Some(Leaving::Closing { .. }) => match self.clocks.due(now, &self.config) {
                Some(Due::Ping) if self.is_open() => {
                    self.clocks.asked(now);
                    self.control(Opcode::Ping, b"", now, pool).expect("open, and short enough");
                }
                Some(Due::Late(Deadline::Write)) => {
                    self.outbox.clear(pool);
                    self.end_now(End::Late(Deadline::Write));
                }
                Some(Due::Late(late)) if self.is_open() => {
                    let code = late.close_code().unwrap_or(CloseCode::POLICY_VIOLATION);
                    self.end_with_close(End::Late(late), code, "", now, pool);
                }
                _ => {}
            },
        }
    }

    /// Returns what went through so far.
    pub fn stats(&self) -> Stats {
        let Received { messages, message_bytes, wire_bytes } = self.received;
        let frames = self.reader.frames();
        let is_known = self.round_trip != UNKNOWN;
        Stats {
            received: Traffic { messages, frames, message_bytes, wire_bytes },
            sent: Traffic { wire_bytes: self.sent_wire_bytes, ..self.writer.sent() },
            outbox_bytes: self.outbox.len(),
            round_trip: is_known.then(|| Duration::from_nanos(self.round_trip)),
        }
    }

    fn role(&self) -> Role {
        self.writer.role()
    }

    fn is_ending(&self) -> bool {
        matches!(self.leaving.as_deref(), Some(Leaving::Ending(_)))
    }

    fn ending(&mut self) -> Option<&mut Ending> {
        match self.leaving.as_deref_mut() {
            Some(Leaving::Ending(it)) => Some(it),
            None | Some(Leaving::Closing { .. }) => None,
        }
    }

    /// Forgets what was noted of Pings if nothing is left of it.
    fn tidy_pings(&mut self) {
        let is_needed = |it: &Pings| it.pongs > 0 || it.pong.is_some() || it.pinged.is_some();
        self.pings.take_if(|it| !is_needed(it));
    }

    fn count_received(&mut self, bytes: usize, is_end: bool) {
        self.received.message_bytes += bytes as u64;
        self.received.messages += u64::from(is_end);
    }

    fn found<'b>(&mut self, found: Found<'b>, now: Instant, pool: &mut Pool) -> Option<Event<'b>> {
        // A control frame ends its own time as a message does, not that of the message around it.
        // A part begins the time for the next one.
        let is_message = matches!(found, Found::Message(_) | Found::Part(_));
        self.clocks.amid(self.reader.is_amid(), is_message, now);
        match found {
            Found::Message(payload) => {
                self.count_received(payload.as_slice().len(), true);
                Some(Event::Message(payload))
            }
            Found::Part(part) => {
                self.count_received(part.as_slice().len(), part.is_last);
                Some(Event::Part(part))
            }
            Found::Ping(payload) => {
                // §5.5.2: "an endpoint MUST send a Pong frame in response, unless it already received
                // a Close frame". After our own Close nothing follows.
                if self.is_open() {
                    self.answer_ping(payload.clone(), pool);
                    self.clocks.waits(now);
                }
                Some(Event::Ping(payload))
            }
            Found::Pong(payload) => {
                let pinged = self.pings.as_mut().map(|it| &mut it.pinged);
                if let Some((_, sent)) = pinged.and_then(|it| it.take_if(|it| *it.0 == payload[..]))
                {
                    let round_trip = now.saturating_duration_since(sent).as_nanos();
                    self.round_trip = u64::try_from(round_trip).unwrap_or(UNKNOWN);
                    self.tidy_pings();
                }
                Some(Event::Pong(payload))
            }
            Found::Close(code, reason) => {
                self.peer_closed(code, reason, now, pool);
                None
            }
        }
    }

    fn peer_closed(
        &mut self,
        code: CloseCode,
        reason: crate::Utf8Bytes,
        now: Instant,
        pool: &mut Pool,
    ) {
        let by = if self.is_open() { Side::Peer } else { Side::Us };
        let closed = Closed { code, reason: reason.clone(), by, clean: true };
        match by {
            // §5.5.1: "the endpoint typically echos the status code it received"; with the reason, so
            // that a page's close event has what the page said.
            Side::Peer => self.end_with_close(End::Closed(closed), code, &reason, now, pool),
            Side::Us => self.begin_ending(End::Closed(closed), now),
        }
    }

    fn end_by(&mut self, fault: Fault, now: Instant, pool: &mut Pool) {
        self.end_with_close(End::Fault(fault), fault.close_code(), "", now, pool);
    }

    /// Ends the connection; sends a Close frame before, if none was sent yet.
    fn end_with_close(
        &mut self,
        end: End,
        code: CloseCode,
        reason: &str,
        now: Instant,
        pool: &mut Pool,
    ) {
        if self.is_open() {
            let payload = ClosePayload::new(code, reason).expect("the peer's, or one of ours");
            self.control(Opcode::Close, payload.as_slice(), now, pool).expect("open, short enough");
        }
        self.begin_ending(end, now);
    }

    fn begin_ending(&mut self, end: End, now: Instant) {
        self.forget_pong();
        // RFC 6455 §7.1.1: the server closes the TCP connection first, the client waits for it.
        // After a fault either end reads on, or a reset might overtake our Close frame.
        let clean = matches!(end, End::Closed(_));
        let discards = !clean || self.role() == Role::Client;
        let until = self.close_deadline(now);
        self.leave(Leaving::Ending(Ending::new(end, discards, until)));
    }

    fn end_now(&mut self, end: End) {
        self.forget_pong();
        self.leave(Leaving::Ending(Ending::done(end)));
    }

    fn leave(&mut self, how: Leaving) {
        self.leaving = Some(Box::new(how));
    }

    fn forget_pong(&mut self) {
        if let Some(pings) = &mut self.pings {
            pings.pong = None;
        }
        self.tidy_pings();
    }

    fn close_deadline(&self, now: Instant) -> Option<Instant> {
        now.checked_add(self.config.deadlines.close?)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("role", &self.role())
            .field("step", &self.step())
            .field("outbox_bytes", &self.outbox.len())
            .finish_non_exhaustive()
    }
}
