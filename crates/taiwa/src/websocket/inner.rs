//! A connection with its transport, driven by polling.
//!
//! Every function here either changes nothing or changes the connection as a whole, so a future that
//! calls it may be dropped after any poll.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::{Buf, BytesMut};
use taiwa_proto::{
    CloseCode, Closed, Config, Connection, End, Input, Message, Misuse, Side, Step, Utf8Bytes,
    deflate, handshake::Agreed, limits::Role,
};
use tokio::sync::oneshot;

use super::{
    found::{Found, Pings, next_found},
    going_away::Ear,
    timer::{Timer, now},
    transport::Transport,
};
use crate::{error::Error, io::BoxIo, scratch::with_scratch};

/// One open connection.
pub(crate) struct Inner {
    conn: Connection,
    /// `None` once the connection has ended.
    transport: Option<Transport>,
    /// How it ended.
    closed: Option<Closed>,
    /// Read and not parsed: what followed a message in one read. Empty, it holds no memory.
    leftover: BytesMut,
    /// Messages that came while `ping` waited.
    kept: VecDeque<Message>,
    kept_bytes: usize,
    kept_bytes_max: usize,
    pings: u64,
    timer: Timer,
    /// Nobody reads, and proto knows it.
    paused: bool,
    ear: Option<Ear>,
    agreed: Agreed,
    peer_addr: Option<SocketAddr>,
    /// Where a dropped connection goes to be closed.
    pub(super) home: Option<oneshot::Sender<Box<Inner>>>,
    /// The socket was dropped by a panic.
    pub(crate) panicked: bool,
}

/// What the opening handshake leaves for the connection.
pub(crate) struct Opened {
    pub(crate) io: BoxIo,
    /// Bytes behind the handshake.
    pub(crate) leftover: BytesMut,
    pub(crate) agreed: Agreed,
    pub(crate) peer_addr: Option<SocketAddr>,
}

impl Inner {
    pub(crate) fn new(role: Role, config: Arc<Config>, opened: Opened) -> Self {
        let Opened { io, leftover, agreed, peer_addr } = opened;
        Self {
            kept_bytes_max: config.limits.message_bytes_max,
            conn: Connection::new(role, config, agreed.deflate, now()),
            transport: Some(Transport::new(io)),
            closed: None,
            leftover,
            kept: VecDeque::new(),
            kept_bytes: 0,
            pings: 0,
            timer: Timer::default(),
            paused: false,
            ear: None,
            agreed,
            peer_addr,
            home: None,
            panicked: false,
        }
    }

    /// Has the connection close itself when the server goes away, and go home when dropped.
    pub(crate) fn of_server(mut self, ear: Ear, home: oneshot::Sender<Box<Inner>>) -> Self {
        self.ear = Some(ear);
        self.home = Some(home);
        self
    }

    pub(crate) fn closed(&self) -> Option<&Closed> {
        self.closed.as_ref()
    }

    pub(crate) fn subprotocol(&self) -> Option<&str> {
        self.agreed.subprotocol.as_deref()
    }

    pub(crate) fn deflate(&self) -> Option<&deflate::Params> {
        self.agreed.deflate.as_ref()
    }

    pub(crate) fn peer_addr(&self) -> Option<SocketAddr> {
        self.peer_addr
    }

    /// Returns the next message; `None` at the end.
    pub(crate) fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Message>, Error>> {
        if let Some(message) = self.next_kept() {
            return Poll::Ready(Ok(Some(message)));
        }
        loop {
            match ready!(self.poll_found(cx, Pings::Skip))? {
                Some(Found::Message(message)) => return Poll::Ready(Ok(Some(message))),
                Some(Found::Ping(_) | Found::Pong(_)) => {}
                None => return Poll::Ready(Ok(None)),
            }
        }
    }

    /// Returns the next message, Ping or Pong; `None` at the end.
    #[cfg(any(feature = "compat-tungstenite", feature = "compat-axum"))]
    pub(crate) fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Found>, Error>> {
        if let Some(message) = self.next_kept() {
            return Poll::Ready(Ok(Some(Found::Message(message))));
        }
        self.poll_found(cx, Pings::Tell)
    }

    fn next_kept(&mut self) -> Option<Message> {
        let message = self.kept.pop_front()?;
        self.kept_bytes -= message.as_bytes().len();
        Some(message)
    }

    /// Drives the connection to its end, dropping messages.
    pub(crate) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while ready!(self.poll_found(cx, Pings::Skip))?.is_some() {}
        Poll::Ready(Ok(()))
    }

    /// Waits for the answer to a ping, keeping the messages that come first.
    pub(crate) fn poll_pong(
        &mut self,
        cx: &mut Context<'_>,
        ping: &[u8],
    ) -> Poll<Result<(), Error>> {
        loop {
            if self.kept_bytes > self.kept_bytes_max || self.kept.len() > KEPT_MAX {
                return Poll::Ready(Err(Error::Busy));
            }
            match ready!(self.poll_found(cx, Pings::Skip))? {
                Some(Found::Message(message)) => {
                    self.kept_bytes += message.as_bytes().len();
                    self.kept.push_back(message);
                }
                Some(Found::Pong(payload)) if payload == ping => return Poll::Ready(Ok(())),
                Some(Found::Ping(_) | Found::Pong(_)) => {}
                None => return Poll::Ready(Err(self.over())),
            }
        }
    }

    /// The one loop that reads, writes and keeps time. `None` once the connection has ended.
    fn poll_found(
        &mut self,
        cx: &mut Context<'_>,
        pings: Pings,
    ) -> Poll<Result<Option<Found>, Error>> {
        // Once a poll: reading the clock costs as much as reading a small frame.
        let mut now = now();
        loop {
            if self.closed.is_some() {
                return Poll::Ready(Ok(None));
            }
            self.poll_going_away(cx);
            if let Some(found) = self.next_leftover(now, pings) {
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
                    transport.poll_read(&mut self.conn, &mut self.leftover, cx, now, pings)
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
        let _ = self.poll_write(cx, now);
        self.pause(now);
        found
    }

    fn pause(&mut self, now: Instant) {
        self.paused = true;
        self.conn.pause(now);
    }

    /// Says that all was read that there was to read.
    fn resume(&mut self, now: Instant) {
        if std::mem::take(&mut self.paused) {
            self.conn.resume(now);
        }
    }

    /// Queues a message if there is room: `Ok(false)` if not.
    pub(crate) fn queue(&mut self, message: &Message, now: Instant) -> Result<bool, Error> {
        self.check_open()?;
        if !self.conn.has_room() {
            return Ok(false);
        }
        with_scratch(|scratch| self.conn.send(message, now, &mut scratch.pool))?;
        Ok(true)
    }

    /// Queues a message as soon as there is room, then is ready when the kernel has everything.
    pub(crate) fn poll_send(
        &mut self,
        message: &Message,
        is_queued: &mut bool,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        let now = now();
        while !*is_queued {
            *is_queued = self.queue(message, now)?;
            if !*is_queued {
                ready!(self.poll_out(cx, now, Connection::has_room))?;
            }
        }
        self.poll_out(cx, now, |_| false)
    }

    /// Is ready when the outbox is below its limit.
    pub(crate) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_out(cx, now(), Connection::has_room)
    }

    /// Is ready when the kernel has everything.
    pub(crate) fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_out(cx, now(), |_| false)
    }

    fn poll_out(
        &mut self,
        cx: &mut Context<'_>,
        mut now: Instant,
        enough: fn(&Connection) -> bool,
    ) -> Poll<Result<(), Error>> {
        loop {
            // First of all: a connection that has ended has nothing left to write.
            if let Step::End(end) = self.conn.step() {
                self.end(end)?;
            }
            self.check_open()?;
            self.poll_going_away(cx);
            if self.poll_write(cx, now).is_ready() || enough(&self.conn) {
                return Poll::Ready(self.check_open());
            }
            self.pause(now);
            now = ready!(self.poll_time(cx));
        }
    }

    /// Writes what the kernel takes.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<()> {
        match &mut self.transport {
            Some(transport) => transport.poll_write(&mut self.conn, cx, now),
            None => Poll::Ready(()),
        }
    }

    /// Returns a payload that no Ping of this kind had before.
    pub(crate) fn ping_payload(&mut self) -> [u8; 8] {
        self.pings += 1;
        self.pings.to_be_bytes()
    }

    /// Queues a ping.
    pub(crate) fn ping_with(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.check_open()?;
        with_scratch(|scratch| self.conn.ping(payload, now(), &mut scratch.pool))?;
        Ok(())
    }

    /// Queues a pong that nobody asked for.
    pub(crate) fn pong(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.check_open()?;
        with_scratch(|scratch| self.conn.pong(payload, now(), &mut scratch.pool))?;
        Ok(())
    }

    /// Queues a Close frame. No harm if one is queued or sent already.
    pub(crate) fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Misuse> {
        if self.closed.is_some() {
            return Ok(());
        }
        match with_scratch(|it| self.conn.close(code, reason, now(), &mut it.pool)) {
            Ok(()) | Err(Misuse::Closing) => Ok(()),
            Err(misuse) => Err(misuse),
        }
    }

    /// Acts on deadlines that have passed and returns the time; pending when none has.
    fn poll_time(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        ready!(self.timer.poll(cx, self.conn.deadline()));
        let now = now();
        with_scratch(|scratch| self.conn.timeout(now, &mut scratch.pool));
        Poll::Ready(now)
    }

    /// Begins the closing handshake if the server goes away.
    fn poll_going_away(&mut self, cx: &mut Context<'_>) {
        if self.ear.as_mut().is_some_and(|ear| ear.poll_heard(cx)) {
            self.ear = None;
            let _ = self.close(CloseCode::GOING_AWAY, "");
        }
    }

    fn next_leftover(&mut self, now: Instant, pings: Pings) -> Option<Found> {
        if self.leftover.is_empty() {
            return None;
        }
        let mut input = Input::new(&mut self.leftover);
        let found = with_scratch(|scratch| {
            next_found(&mut self.conn, &mut input, now, &mut scratch.pool, pings)
        });
        match input.len() {
            0 => self.leftover = BytesMut::new(),
            rest => self.leftover.advance(self.leftover.len() - rest),
        }
        found
    }

    /// What a call gets that can't be served any more.
    fn check_open(&self) -> Result<(), Error> {
        match self.transport.as_ref().map(Transport::failure) {
            None => Err(self.over()),
            Some(Some(failure)) => Err(Error::Io(failure)),
            Some(None) => Ok(()),
        }
    }

    fn over(&self) -> Error {
        match &self.closed {
            Some(closed) => Error::Closed(closed.clone()),
            None => Error::Lost,
        }
    }

    /// The one road out: drops the transport, and says once why.
    fn end(&mut self, end: End) -> Result<(), Error> {
        let failure = self.transport.take().and_then(|it| it.failure());
        self.leftover = BytesMut::new();
        self.ear = None;
        self.home = None;
        let without_handshake =
            |code, by| Closed { code, reason: Utf8Bytes::default(), by, clean: false };
        let (closed, result) = match end {
            End::Closed(closed) => (closed, Ok(())),
            End::Fault(fault) => {
                (without_handshake(fault.close_code(), Side::Us), Err(Error::Fault(fault)))
            }
            End::Late(deadline) => {
                let code = deadline.close_code().unwrap_or(CloseCode::ABNORMAL);
                (without_handshake(code, Side::Us), Err(Error::Late(deadline)))
            }
            End::Lost => {
                let error = failure.map_or(Error::Lost, Error::Io);
                (without_handshake(CloseCode::ABNORMAL, Side::Peer), Err(error))
            }
        };
        self.closed = Some(closed);
        result
    }
}

/// Messages that `ping` keeps at most, whatever their size.
const KEPT_MAX: usize = 4096;
