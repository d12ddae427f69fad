//! A connection with its transport, driven by polling.
//!
//! Every function here either changes nothing or changes the connection as a whole, so a future that
//! calls it may be dropped after any poll.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use bytes::BytesMut;
use taiwa_proto::{
    CloseCode, Closed, Config, Connection, End, Message, Misuse, Side, Stats, Utf8Bytes, deflate,
    handshake::Agreed, limits::Role,
};
use tokio::sync::oneshot;

use super::{
    going_away::Ear,
    receiving::Asked,
    slow::HeldBack,
    timer::{Timer, now},
    transport::Transport,
    two_tasks::TwoTasks,
};
use crate::{error::Error, io::BoxIo, scratch::with_scratch};

/// One open connection.
pub(crate) struct Inner {
    pub(super) conn: Connection,
    /// `None` once the connection has ended.
    pub(super) transport: Option<Transport>,
    /// How it ended.
    closed: Option<Closed>,
    /// Read and not parsed: what followed a message in one read. Empty, it holds no memory.
    pub(super) leftover: BytesMut,
    /// Messages that came while somebody waited for something else.
    pub(super) kept: VecDeque<Message>,
    pub(super) kept_bytes: usize,
    pub(super) kept_bytes_max: usize,
    pub(super) outbox_bytes_max: usize,
    /// Pings whose Pongs somebody waits for, in the order in which they were sent, and the number of the
    /// last one.
    pub(super) asked: Vec<Asked>,
    pub(super) pings: u64,
    /// How the connection ended, met by a sender and not yet told to the receiver.
    pub(super) untold: Option<Error>,
    /// The receiving half was dropped: messages are, too.
    pub(super) nobody_receives: bool,
    /// Others wait in a method that reads.
    pub(super) others_read: bool,
    /// Parts of a message are being read.
    pub(super) is_amid_parts: bool,
    /// What policies for slow readers hold back; made when there is a first one.
    pub(crate) held_back: Option<Box<HeldBack>>,
    pub(crate) news: News,
    timer: Timer,
    /// Nobody reads.
    pub(super) absence: Absence,
    /// A sink was given messages that nobody has asked to write: they may wait for more.
    pub(super) is_fed: bool,
    ear: Option<Ear>,
    agreed: Agreed,
    peer_addr: Option<SocketAddr>,
    /// Where a dropped connection goes to be closed.
    pub(super) home: Option<oneshot::Sender<Box<Inner>>>,
    /// Who polls it as a stream and as a sink; made for the first one.
    pub(super) tasks: Option<Arc<TwoTasks>>,
    /// The socket was dropped by a panic.
    pub(crate) panicked: bool,
}

/// Whether nobody reads, so that the peer is not to blame for what it can't deliver.
#[derive(Clone, Copy)]
pub(super) enum Absence {
    Not,
    /// Since then, and proto does not know it: mostly who has got a message comes back before anybody asks for a deadline.
    Untold(Instant),
    /// Proto knows it.
    Told,
}

/// What one call brought that others may wait for.
#[derive(Clone, Copy, Default)]
pub(crate) struct News {
    pub(crate) for_receiver: bool,
    pub(crate) for_senders: bool,
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
            outbox_bytes_max: config.limits.outbox_bytes_max,
            conn: Connection::new(role, config, agreed.deflate, now()),
            transport: Some(Transport::new(io)),
            closed: None,
            leftover,
            kept: VecDeque::new(),
            kept_bytes: 0,
            asked: Vec::new(),
            pings: 0,
            untold: None,
            nobody_receives: false,
            others_read: false,
            is_amid_parts: false,
            held_back: None,
            news: News::default(),
            timer: Timer::default(),
            absence: Absence::Not,
            is_fed: false,
            ear: None,
            agreed,
            peer_addr,
            home: None,
            tasks: None,
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

    pub(super) fn agreed(&self) -> &Agreed {
        &self.agreed
    }

    pub(crate) fn subprotocol(&self) -> Option<&str> {
        self.agreed.subprotocol.as_deref()
    }

    pub(crate) fn deflate(&self) -> Option<&deflate::Params> {
        self.agreed.deflate.as_ref()
    }

    pub(crate) fn stats(&self) -> Stats {
        self.conn.stats()
    }

    pub(crate) fn peer_addr(&self) -> Option<SocketAddr> {
        self.peer_addr
    }

    /// Acts on deadlines that have passed and returns the time; pending when none has and the server stays.
    pub(crate) fn poll_time(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        self.tell_absence();
        if self.timer.poll(cx, self.conn.deadline()).is_pending() {
            let goes_away = self.ear.as_mut().is_some_and(|ear| ear.poll_heard(cx));
            return if goes_away { Poll::Ready(now()) } else { Poll::Pending };
        }
        let now = now();
        with_scratch(|scratch| self.conn.timeout(now, &mut scratch.pool));
        Poll::Ready(now)
    }

    /// Begins the closing handshake if the server goes away. [`poll_time`](Self::poll_time) wakes the task when it does.
    pub(super) fn hear_going_away(&mut self) {
        if self.ear.as_ref().is_some_and(Ear::has_heard) {
            self.ear = None;
            let _ = self.close(CloseCode::GOING_AWAY, "");
        }
    }

    /// What a call gets that can't be served any more.
    #[inline]
    pub(super) fn check_open(&self) -> Result<(), Error> {
        let is_open = self.transport.as_ref().is_some_and(Transport::is_well);
        if is_open { Ok(()) } else { Err(self.why_not_open()) }
    }

    #[cold]
    fn why_not_open(&self) -> Error {
        let failure = self.transport.as_ref().and_then(Transport::failure);
        failure.map_or_else(|| self.over(), Error::Io)
    }

    /// What a message gets that can't be sent any more.
    pub(super) fn check_may_send(&self) -> Result<(), Error> {
        self.check_open()?;
        if self.conn.is_open() { Ok(()) } else { Err(Error::Misuse(Misuse::Closing)) }
    }

    pub(super) fn over(&self) -> Error {
        match &self.closed {
            Some(closed) => Error::Closed(closed.clone()),
            None => Error::Lost,
        }
    }

    /// The one road out: drops the transport, and says once why.
    pub(super) fn end(&mut self, end: End) -> Result<(), Error> {
        let failure = self.transport.take().and_then(|it| it.failure());
        self.leftover = BytesMut::new();
        self.ear = None;
        self.home = None;
        if let Some(held_back) = self.held_back.take() {
            held_back.give_up();
        }
        self.news = News { for_receiver: true, for_senders: true };
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

/// Writes the extensions that were agreed on (RFC 7692 §7.1).
pub(super) fn extensions(agreed: &Agreed) -> String {
    agreed.deflate.as_ref().map_or_else(String::new, ToString::to_string)
}
