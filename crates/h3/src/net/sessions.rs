//! The sessions of WebTransport on one connection: which stream and which datagram belongs to which.

mod inner;
mod request;
mod session;
mod stream;
mod drive;
mod error;
mod waiters;

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

use super::quic_code;
use crate::{
    error::{Code, Fault},
    varint::VarInt,
    webtransport::{Direction, Limits, SessionId, Terms, code, early::Early},
};
pub use error::{DatagramError, StreamError};
use inner::Inner;
pub use request::{SessionError, SessionRequest};
pub use session::{Datagrams, Session};
pub use stream::{BidirectionalStream, ReceiveStream, SendStream};

/// How many ended sessions are remembered, so that streams that come late for one are told that it is gone rather than kept.
const GONE_MAX: usize = 64;

/// The sessions of WebTransport on a connection. The connection hands in what its peer opens and sends for them.
#[derive(Clone)]
pub struct Sessions(Arc<Shared>);

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("count", &self.count()).finish_non_exhaustive()
    }
}

struct Shared {
    quic: quinn::Connection,
    limits: Limits,
    table: Mutex<Table>,
}

struct Table {
    /// `None`: its request is not answered yet.
    seats: HashMap<SessionId, Option<Arc<Inner>>>,
    /// Sessions whose request is about to go out.
    waiting: usize,
    early: Early<Incoming>,
    gone: VecDeque<SessionId>,
    is_closed: bool,
}

/// A stream that the peer opened for a session, with bytes of its body that were read with its header.
enum Incoming {
    Bidirectional(quinn::SendStream, quinn::RecvStream, Bytes),
    Unidirectional(quinn::RecvStream, Bytes),
}

impl Incoming {
    const fn direction(&self) -> Direction {
        match self {
            Self::Bidirectional(..) => Direction::Bidirectional,
            Self::Unidirectional(..) => Direction::Unidirectional,
        }
    }

    fn refuse(self, code: Code) {
        let code = quic_code(code);
        // A stream that the peer has ended already needs no refusal.
        match self {
            Self::Bidirectional(mut send, mut receive, _) => {
                let _ = send.reset(code);
                let _ = receive.stop(code);
            }
            Self::Unidirectional(mut receive, _) => {
                let _ = receive.stop(code);
            }
        }
    }
}

impl Sessions {
    /// Begins without a session.
    pub(super) fn new(quic: quinn::Connection, limits: Limits) -> Self {
        let table = Table {
            seats: HashMap::new(),
            waiting: 0,
            early: Early::new(&limits),
            gone: VecDeque::new(),
            is_closed: false,
        };
        Self(Arc::new(Shared { quic, limits, table: Mutex::new(table) }))
    }

    /// Takes a bidirectional stream that the peer opened for `session`, with what was read behind its header.
    pub(super) fn bidirectional(
        &self,
        session: VarInt,
        send: quinn::SendStream,
        receive: quinn::RecvStream,
        leftover: Bytes,
    ) {
        self.route(session.get(), Incoming::Bidirectional(send, receive, leftover));
    }

    /// Takes a unidirectional stream that the peer opened, with what was read behind its type. The session's identifier may still be on its
    /// way; a task waits for it.
    pub(super) fn unidirectional(&self, mut receive: quinn::RecvStream, leftover: Bytes) {
        if let Some((session, len)) = VarInt::read(&leftover) {
            let leftover = leftover.slice(len..);
            return self.route(session.get(), Incoming::Unidirectional(receive, leftover));
        }
        let sessions = self.clone();
        // It ends with the stream or the connection; QUIC bounds how many streams there are.
        tokio::spawn(async move {
            let mut read = leftover.to_vec();
            loop {
                let missing = read.first().map_or(1, |first| 1 << (first >> 6)) - read.len();
                let mut piece = [0; VarInt::LEN_MAX];
                let Ok(Some(len)) = receive.read(&mut piece[..missing]).await else { return };
                read.extend_from_slice(&piece[..len]);
                if let Some((session, _)) = VarInt::read(&read) {
                    let incoming = Incoming::Unidirectional(receive, Bytes::new());
                    return sessions.route(session.get(), incoming);
                }
            }
        });
    }

    /// Takes a datagram for the session of request stream `stream`.
    pub(super) fn datagram(&self, stream: u64, payload: Bytes) {
        let Some(id) = self.id(stream) else { return };
        let mut table = self.table();
        match table.seats.get(&id) {
            Some(Some(inner)) => {
                let inner = Arc::clone(inner);
                drop(table);
                inner.datagram(payload);
            }
            None if table.gone.contains(&id) => {}
            Some(None) | None => table.early.datagram(id, payload),
        }
    }

    /// Takes that the connection has ended: all its sessions have, too.
    pub(super) fn closed(&self) {
        let mut table = self.table();
        table.is_closed = true;
        let seats = std::mem::take(&mut table.seats);
        table.early = Early::new(&self.0.limits);
        drop(table);
        seats.into_values().flatten().for_each(|it| it.lost());
    }

    /// Keeps a place for a session whose request is about to go out. `None` if there are as many as `max` or our own limit allows, or
    /// the connection has ended.
    pub(super) fn place(&self, max: u64) -> Option<Place> {
        let mut table = self.table();
        let max = usize::try_from(max).unwrap_or(usize::MAX).min(self.0.limits.sessions_max);
        if table.is_closed || table.seats.len() + table.waiting >= max {
            return None;
        }
        table.waiting += 1;
        Some(Place { sessions: self.clone() })
    }

    /// Keeps a place for the session of request stream `stream`, whose request came in. `None` if there are too many, or the connection
    /// has ended.
    pub fn seat(&self, stream: u64) -> Option<Seat> {
        let id = self.id(stream)?;
        let mut table = self.table();
        if table.is_closed || table.seats.len() >= self.0.limits.sessions_max {
            return None;
        }
        table.seats.insert(id, None);
        Some(Seat { sessions: self.clone(), id })
    }

    /// Tells how many sessions there are, those included whose request is not answered yet.
    pub fn count(&self) -> usize {
        let table = self.table();
        table.seats.len() + table.waiting
    }

    /// Asks the peers of all sessions to end them soon.
    pub fn drain(&self) {
        let inners: Vec<_> = self.table().seats.values().flatten().cloned().collect();
        inners.iter().for_each(|it| it.drain());
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing in here is left half done by a panic.
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a session's identifier; a wrong one ends the connection.
    fn id(&self, stream: u64) -> Option<SessionId> {
        SessionId::new(stream).inspect_err(|fault| self.fail(fault)).ok()
    }

    fn fail(&self, fault: &Fault) {
        self.0.quic.close(quic_code(fault.code), fault.rule.as_bytes());
    }

    fn route(&self, session: u64, incoming: Incoming) {
        if self.0.limits.sessions_max == 0 {
            return incoming.refuse(code::BUFFERED_STREAM_REJECTED);
        }
        let Some(id) = self.id(session) else { return };
        let mut table = self.table();
        match table.seats.get(&id) {
            Some(Some(inner)) => {
                let inner = Arc::clone(inner);
                drop(table);
                inner.incoming(incoming);
            }
            None if table.is_closed || table.gone.contains(&id) => {
                drop(table);
                incoming.refuse(code::SESSION_GONE);
            }
            Some(None) | None => {
                let refused = table.early.stream(id, incoming);
                drop(table);
                if let Some(refused) = refused {
                    refused.refuse(code::BUFFERED_STREAM_REJECTED);
                }
            }
        }
    }
}

/// A place for a session that has no stream yet, until it is dropped.
pub(super) struct Place {
    sessions: Sessions,
}

impl Place {
    /// Makes it the place of request stream `stream`.
    fn seat(self, stream: u64) -> Option<Seat> {
        let id = self.sessions.id(stream)?;
        let mut table = self.sessions.table();
        if table.is_closed {
            return None;
        }
        table.seats.insert(id, None);
        drop(table);
        Some(Seat { sessions: self.sessions.clone(), id })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.sessions.table().waiting -= 1;
    }
}

/// A place among the sessions of a connection, until it is dropped.
pub struct Seat {
    sessions: Sessions,
    id: SessionId,
}

impl Seat {
    /// Begins the session, once its request is answered with 2xx: gives it what came before it. `request` is the stream of the request,
    /// `protocol` what both sides agreed to speak.
    pub fn begin(
        self,
        terms: &Terms,
        protocol: Option<String>,
        request: super::RequestStream,
    ) -> Session {
        let shared = &self.sessions.0;
        let (quic, limits) = (shared.quic.clone(), &shared.limits);
        let inner = Arc::new(Inner::new(self.id, quic, terms, protocol, limits));
        let (streams, datagrams) = {
            let mut table = self.sessions.table();
            table.seats.insert(self.id, Some(Arc::clone(&inner)));
            table.early.take(self.id)
        };
        streams.into_iter().for_each(|it| inner.incoming(it));
        datagrams.into_iter().for_each(|it| inner.datagram(it));
        if self.sessions.table().is_closed {
            inner.lost();
        }
        tokio::spawn(drive::drive(Arc::clone(&inner), request, self));
        Session::new(inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut table = self.sessions.table();
        table.seats.remove(&self.id);
        let (streams, _) = table.early.take(self.id);
        table.gone.push_back(self.id);
        if table.gone.len() > GONE_MAX {
            table.gone.pop_front();
        }
        drop(table);
        streams.into_iter().for_each(|it| it.refuse(code::SESSION_GONE));
    }
}

#[cfg(test)]
mod tests;
