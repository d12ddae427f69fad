//! One connection, several owners: the halves of a split [`WebSocket`].
//!
//! There is no task of ours and no queue between the halves: whoever polls takes the lock and drives the
//! connection, for the time of one poll. The transport and the timer have one waker, the alarm, that
//! wakes everyone who waits.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use taiwa_proto::{Closed, handshake::Agreed};

use super::{Inner, WebSocket, inner::News, timer::now};
use crate::error::Error;

/// What the halves of a connection share.
pub(super) struct Shared {
    state: Mutex<State>,
    alarm: Arc<Alarm>,
    /// [`Alarm`] as a waker, made once.
    waker: Waker,
    /// Numbers for whoever waits, and for senders.
    next_id: AtomicU64,
    pub(super) agreed: Agreed,
    pub(super) peer_addr: Option<std::net::SocketAddr>,
}

/// What the lock is for.
pub(super) struct State {
    pub(super) socket: WebSocket,
    /// Permits that are out.
    pub(super) permits: usize,
    pub(super) receiver_is_gone: bool,
    /// How the connection ended, met by a sender while there was a receiver to tell it.
    pub(super) failure: Option<Error>,
}

/// The receiver's number among those who wait.
pub(super) const RECEIVER: u64 = 0;

impl Shared {
    pub(super) fn new(socket: WebSocket) -> Self {
        let alarm = Arc::new(Alarm::default());
        let inner = socket.inner();
        let (agreed, peer_addr) = (inner.agreed().clone(), inner.peer_addr());
        let state = State { socket, permits: 0, receiver_is_gone: false, failure: None };
        Self {
            state: Mutex::new(state),
            waker: Waker::from(Arc::clone(&alarm)),
            alarm,
            next_id: AtomicU64::new(RECEIVER + 1),
            agreed,
            peer_addr,
        }
    }

    pub(super) fn into_socket(self) -> WebSocket {
        // Whoever panicked in a poll left the connection as it was after the last whole change.
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner).socket
    }

    pub(super) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// A turn of one of the senders, or of what waits for one of them.
    pub(super) fn turn(&self) -> Turn<'_> {
        Turn { shared: self, id: self.next_id(), is_enrolled: false }
    }

    /// A turn of a sender that is polled by hand.
    pub(super) fn senders_turn(&self, id: u64) -> Turn<'_> {
        Turn { shared: self, id, is_enrolled: false }
    }

    pub(super) fn receivers_turn(&self) -> Turn<'_> {
        Turn { shared: self, id: RECEIVER, is_enrolled: false }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wake_senders(&self) {
        self.alarm.wake_senders();
    }

    /// Wakes those who wait for what a call brought, once the lock is free again.
    fn spread(&self, news: News) {
        if news.for_receiver {
            self.alarm.wake_receiver();
        }
        if news.for_senders {
            self.alarm.wake_senders();
        }
    }
}

impl State {
    pub(super) fn inner(&mut self) -> &mut Inner {
        self.socket.inner_mut()
    }

    pub(super) fn closed(&self) -> Option<&Closed> {
        self.socket.inner().closed()
    }
}

/// The right to poll the connection, and to be woken for it. Dropping it ends the wait.
pub(super) struct Turn<'a> {
    pub(super) shared: &'a Shared,
    id: u64,
    is_enrolled: bool,
}

impl Turn<'_> {
    /// Polls the connection; when that is pending, `cx` is woken with everyone else who waits.
    pub(super) fn poll<R>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Inner, &mut Context<'_>) -> Poll<R>,
    ) -> Poll<R> {
        self.poll_state(cx, |state, cx| poll(state.inner(), cx))
    }

    pub(super) fn poll_state<R>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut State, &mut Context<'_>) -> Poll<R>,
    ) -> Poll<R> {
        let alarm = &self.shared.alarm;
        let mut state = self.shared.lock();
        let rung = alarm.rung.load(Ordering::SeqCst);
        let polled = poll(&mut state, &mut Context::from_waker(&self.shared.waker));
        let news = std::mem::take(&mut state.inner().news);
        if polled.is_pending() {
            alarm.enrol(self.id, cx.waker());
            self.is_enrolled = true;
            // It went off since the poll, and may have missed us.
            if alarm.rung.load(Ordering::SeqCst) != rung {
                cx.waker().wake_by_ref();
            }
        }
        drop(state);
        self.shared.spread(news);
        polled
    }

    /// Stays enrolled: the one who polls has no future whose end would end the wait.
    pub(super) fn stay(mut self) {
        self.is_enrolled = false;
    }

    /// Does something that does not wait, writes what the kernel takes, and leaves the rest to whoever
    /// waits: all of them are woken when the kernel takes more.
    pub(super) fn act<R>(&mut self, act: impl FnOnce(&mut Inner) -> R) -> R {
        self.act_on_state(|state| act(state.inner()))
    }

    pub(super) fn act_on_state<R>(&mut self, act: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.shared.lock();
        let result = act(&mut state);
        let (inner, cx) = (state.inner(), &mut Context::from_waker(&self.shared.waker));
        if inner.poll_write(cx, now()).is_pending() {
            // The deadline of the write is one that nobody has set a timer for.
            let _ = inner.poll_time(cx);
        }
        let news = std::mem::take(&mut inner.news);
        drop(state);
        self.shared.spread(news);
        result
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.is_enrolled {
            self.shared.alarm.leave(self.id);
        }
    }
}

/// Wakes everyone who waits.
#[derive(Default)]
struct Alarm {
    /// How often it went off.
    rung: AtomicU64,
    waiting: Mutex<Vec<(u64, Waker)>>,
}

impl Alarm {
    fn enrol(&self, id: u64, waker: &Waker) {
        let mut waiting = self.lock();
        match waiting.iter_mut().find(|it| it.0 == id) {
            Some((_, enrolled)) => enrolled.clone_from(waker),
            None => waiting.push((id, waker.clone())),
        }
    }

    fn leave(&self, id: u64) {
        let mut waiting = self.lock();
        if let Some(at) = waiting.iter().position(|it| it.0 == id) {
            waiting.swap_remove(at);
        }
    }

    fn wake_receiver(&self) {
        self.rung.fetch_add(1, Ordering::SeqCst);
        let receiver = self.lock().iter().find(|it| it.0 == RECEIVER).map(|it| it.1.clone());
        if let Some(waker) = receiver {
            waker.wake();
        }
    }

    fn wake_senders(&self) {
        self.rung.fetch_add(1, Ordering::SeqCst);
        let senders: Vec<Waker> =
            self.lock().iter().filter(|it| it.0 != RECEIVER).map(|it| it.1.clone()).collect();
        senders.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(u64, Waker)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_receiver();
        self.wake_senders();
    }
}
