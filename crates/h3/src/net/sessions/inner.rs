//! What handles, streams and the driver of one session share.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;

use super::{Incoming, waiters::Waiters};
use crate::{
    error::{Code, Fault},
    net::quic_code,
    webtransport::{
        Direction, Ending, Event, Limits, Session, SessionId, Terms, code, early::Datagrams,
    },
};

/// One session, as seen by all who have a part in it.
pub(super) struct Inner {
    pub(super) id: SessionId,
    pub(super) quic: quinn::Connection,
    pub(super) terms: Terms,
    /// What both sides agreed to speak.
    pub(super) protocol: Option<String>,
    state: Mutex<State>,
}

struct State {
    session: Session,
    bidirectional: VecDeque<Incoming>,
    unidirectional: VecDeque<Incoming>,
    datagrams: Datagrams,
    /// The halves of streams that the program has, to be reset when the session ends.
    halves: HashMap<(quinn::StreamId, bool), Half>,
    /// What is to be reset when the peer has heard of our close; `None` if whatever comes is to be reset at once.
    rest: Option<Vec<Rest>>,
    /// For streams and datagrams of the peer, its wish to end the session, and its end.
    incoming: Waiters,
    /// For credit.
    credit: Waiters,
    /// The driver, for capsules to send.
    driver: Waiters,
}

/// One direction of a stream that the program has.
pub(super) enum Half {
    Send(Weak<Mutex<Waited<quinn::SendStream>>>),
    Receive(Weak<Mutex<Waited<quinn::RecvStream>>>),
}

/// What is left of a stream when its session has ended.
enum Rest {
    Send(Arc<Mutex<Waited<quinn::SendStream>>>),
    Receive(Arc<Mutex<Waited<quinn::RecvStream>>>),
    Incoming(Incoming),
}

/// A half of a stream, and who waits for it: quinn forgets that one when we give the half up ourselves.
///
/// Who has it locked takes no lock of the session.
pub(super) struct Waited<T> {
    pub(super) quic: T,
    waker: Option<Waker>,
}

impl<T> Waited<T> {
    pub(super) fn new(quic: T) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self { quic, waker: None }))
    }

    /// Remembers who waits; it is woken when the session ends.
    pub(super) fn wait(&mut self, cx: &Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.waker = Some(cx.waker().clone()),
        }
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in here is left half done by a panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Half {
    /// Returns what is to be reset, unless the program has dropped it.
    fn rest(&self) -> Option<Rest> {
        match self {
            Self::Send(half) => half.upgrade().map(Rest::Send),
            Self::Receive(half) => half.upgrade().map(Rest::Receive),
        }
    }
}

impl Rest {
    /// Wakes who waits: it finds that the session has ended.
    fn wake(&self) {
        match self {
            Self::Send(half) => lock(half).wake(),
            Self::Receive(half) => lock(half).wake(),
            Self::Incoming(_) => {}
        }
    }

    fn abort(self) {
        let code = quic_code(code::SESSION_GONE);
        // What has ended before needs no reset. Nobody begins to wait between the two.
        match self {
            Self::Send(half) => {
                let mut half = lock(&half);
                let _ = half.quic.reset(code);
                half.wake();
            }
            Self::Receive(half) => {
                let mut half = lock(&half);
                let _ = half.quic.stop(code);
                half.wake();
            }
            Self::Incoming(incoming) => incoming.refuse(code::SESSION_GONE),
        }
    }
}

impl Inner {
    pub(super) fn new(
        id: SessionId,
        quic: quinn::Connection,
        terms: &Terms,
        protocol: Option<String>,
        limits: &Limits,
    ) -> Self {
        let state = State {
            session: Session::new(terms, limits),
            bidirectional: VecDeque::new(),
            unidirectional: VecDeque::new(),
            datagrams: Datagrams::new(limits.datagrams_max),
            halves: HashMap::new(),
            rest: None,
            incoming: Waiters::default(),
            credit: Waiters::default(),
            driver: Waiters::default(),
        };
        Self { id, quic, terms: *terms, protocol, state: Mutex::new(state) }
    }

    /// Does something to the session, and whatever follows from it: capsules are sent, and an end is told to all.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = lock(&self.state);
        let was_open = state.session.ending().is_none();
        let answer = change(&mut state);
        if state.session.has_capsules() {
            state.driver.wake();
        }
        if !was_open || state.session.ending().is_none() {
            return answer;
        }
        state.incoming.wake();
        state.credit.wake();
        state.driver.wake();
        let bidirectional = std::mem::take(&mut state.bidirectional);
        let unidirectional = std::mem::take(&mut state.unidirectional);
        let incoming = bidirectional.into_iter().chain(unidirectional).map(Rest::Incoming);
        let halves = std::mem::take(&mut state.halves);
        let halves = halves.into_values().filter_map(|it| it.rest());
        let rest: Vec<Rest> = halves.chain(incoming).collect();
        // Draft 16 §6: "Upon learning that the session has been terminated, the endpoint MUST reset the send side and abort
        // reading on the receive side of all unidirectional and bidirectional streams associated with the session […] using the
        // WT_SESSION_GONE error code".
        if let Some(Ending::ByUs(..)) = state.session.ending() {
            // The peer learns of it first, and from the close, which tells why: see `drive`.
            rest.iter().for_each(Rest::wake);
            state.rest = Some(rest);
        } else {
            drop(state);
            rest.into_iter().for_each(Rest::abort);
        }
        answer
    }

    /// Resets all streams of a session that we have closed, and from now on at once what comes.
    pub(super) fn reset_rest(&self) {
        let rest = lock(&self.state).rest.take();
        rest.into_iter().flatten().for_each(Rest::abort);
    }

    /// Tells whether all streams are to be reset later, whatever becomes of them meanwhile.
    pub(super) fn resets_later(&self) -> bool {
        lock(&self.state).rest.is_some()
    }

    /// Takes a stream that the peer opened.
    pub(super) fn incoming(&self, incoming: Incoming) {
        let refused = self.change(|state| {
            if state.session.ending().is_some() {
                let Some(rest) = &mut state.rest else {
                    return Some((incoming, code::SESSION_GONE));
                };
                rest.push(Rest::Incoming(incoming));
                return None;
            }
            match state.session.accept(incoming.direction()) {
                Ok(true) => {}
                Ok(false) => return Some((incoming, code::BUFFERED_STREAM_REJECTED)),
                Err(_) => return Some((incoming, code::SESSION_GONE)),
            }
            match incoming.direction() {
                Direction::Bidirectional => state.bidirectional.push_back(incoming),
                Direction::Unidirectional => state.unidirectional.push_back(incoming),
            }
            state.incoming.wake();
            None
        });
        if let Some((incoming, code)) = refused {
            incoming.refuse(code);
        }
    }

    pub(super) fn datagram(&self, payload: Bytes) {
        self.change(|state| {
            if state.session.ending().is_none() {
                state.datagrams.push(payload);
                state.incoming.wake();
            }
        });
    }

    pub(super) fn lost(&self) {
        self.end(Ending::Lost);
    }

    pub(super) fn end(&self, ending: Ending) {
        self.change(|state| state.session.end(ending));
    }

    /// The peer has ended its side of the session's stream.
    pub(super) fn finished(&self) {
        self.change(|state| state.session.finished());
    }

    pub(super) fn close(&self, code: u32, reason: &str) {
        self.change(|state| state.session.close(code, reason));
    }

    pub(super) fn drain(&self) {
        self.change(|state| state.session.drain());
    }

    /// Takes a capsule of the peer.
    pub(super) fn capsule(&self, kind: u64, value: &[u8]) -> Result<(), Fault> {
        self.change(|state| {
            match state.session.receive(kind, value)? {
                Some(Event::Draining) => state.incoming.wake(),
                Some(Event::Raised) => state.credit.wake(),
                Some(Event::Ended) | None => {}
            }
            Ok(())
        })
    }

    pub(super) fn broken(&self, code: Code) {
        self.end(Ending::Broken(code));
    }

    /// Returns capsules to send; nothing if the session has ended and all are sent.
    pub(super) fn poll_capsules(&self, cx: &Context<'_>) -> Poll<Vec<u8>> {
        let mut state = lock(&self.state);
        if state.session.has_capsules() || state.session.ending().is_some() {
            return Poll::Ready(state.session.take_capsules());
        }
        state.driver.add(cx);
        Poll::Pending
    }

    pub(super) fn poll_accept(
        &self,
        direction: Direction,
        cx: &Context<'_>,
    ) -> Poll<Option<Incoming>> {
        self.poll_incoming(cx, |state| match direction {
            Direction::Bidirectional => state.bidirectional.pop_front(),
            Direction::Unidirectional => state.unidirectional.pop_front(),
        })
    }

    pub(super) fn poll_datagram(&self, cx: &Context<'_>) -> Poll<Option<Bytes>> {
        self.poll_incoming(cx, |state| state.datagrams.pop())
    }

    pub(super) fn poll_draining(&self, cx: &Context<'_>) -> Poll<Option<()>> {
        self.poll_incoming(cx, |state| state.session.is_draining().then_some(()))
    }

    pub(super) fn poll_closed(&self, cx: &Context<'_>) -> Poll<Ending> {
        let _: Option<()> = ready!(self.poll_incoming(cx, |_| None));
        Poll::Ready(self.ending().expect("nothing else comes of it"))
    }

    /// Takes something that came; `None` if the session has ended and nothing is left.
    fn poll_incoming<T>(
        &self,
        cx: &Context<'_>,
        take: impl FnOnce(&mut State) -> Option<T>,
    ) -> Poll<Option<T>> {
        let mut state = lock(&self.state);
        if let Some(found) = take(&mut state) {
            return Poll::Ready(Some(found));
        }
        if state.session.ending().is_some() {
            return Poll::Ready(None);
        }
        state.incoming.add(cx);
        Poll::Pending
    }

    /// Waits until the peer lets us open one more stream.
    pub(super) fn poll_open(
        &self,
        direction: Direction,
        cx: &Context<'_>,
    ) -> Poll<Result<(), Ending>> {
        self.change(|state| {
            if let Some(ending) = state.session.ending() {
                return Poll::Ready(Err(ending.clone()));
            }
            if state.session.open(direction) {
                return Poll::Ready(Ok(()));
            }
            state.credit.add(cx);
            Poll::Pending
        })
    }

    /// Takes back that a stream was opened: there is none.
    pub(super) fn unopen(&self, direction: Direction) {
        self.change(|state| {
            state.session.unopen(direction);
            state.credit.wake();
        });
    }

    /// Waits until the peer lets us send, and returns how much of `wanted`, which is more than nothing.
    pub(super) fn poll_send(&self, wanted: usize, cx: &Context<'_>) -> Poll<Result<usize, Ending>> {
        self.change(|state| {
            if let Some(ending) = state.session.ending() {
                return Poll::Ready(Err(ending.clone()));
            }
            match state.session.send(wanted as u64) {
                0 => {
                    state.credit.add(cx);
                    Poll::Pending
                }
                taken => Poll::Ready(Ok(usize::try_from(taken).unwrap_or(wanted))),
            }
        })
    }

    pub(super) fn unsend(&self, unused: usize) {
        if unused > 0 {
            self.change(|state| {
                state.session.unsend(unused as u64);
                state.credit.wake();
            });
        }
    }

    /// Counts what was read; that may be what ends the session.
    pub(super) fn read(&self, bytes: usize) -> Result<(), Ending> {
        self.change(|state| match state.session.read(bytes as u64) {
            Ok(()) => Ok(()),
            Err(fault) => Err(Ending::Broken(fault.code)),
        })
    }

    /// A stream was given up before all it carried was read.
    pub(super) fn unread(&self) {
        self.change(|state| state.session.unread());
    }

    /// A stream of the peer is done with.
    pub(super) fn done(&self, direction: Direction) {
        self.change(|state| state.session.done(direction));
    }

    pub(super) fn ending(&self) -> Option<Ending> {
        lock(&self.state).session.ending().cloned()
    }

    pub(super) fn datagrams_dropped(&self) -> u64 {
        lock(&self.state).datagrams.dropped()
    }

    /// Remembers a half of a stream, to be reset with the session; at once, if that has ended.
    pub(super) fn remember(&self, id: quinn::StreamId, half: Half) {
        let key = (id, matches!(half, Half::Send(_)));
        let late = self.change(|state| {
            if state.session.ending().is_none() {
                state.halves.insert(key, half);
                return None;
            }
            let late = half.rest()?;
            match &mut state.rest {
                Some(rest) => rest.push(late),
                None => return Some(late),
            }
            None
        });
        if let Some(late) = late {
            late.abort();
        }
    }

    pub(super) fn forget(&self, id: quinn::StreamId, is_send: bool) {
        lock(&self.state).halves.remove(&(id, is_send));
    }
}

/// Keeps count of a stream of the peer until both its halves are dropped.
pub(super) struct Lease {
    pub(super) inner: Arc<Inner>,
    pub(super) direction: Option<Direction>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(direction) = self.direction {
            self.inner.done(direction);
        }
    }
}
