//! One connection, several owners: the halves of a split [`WebSocket`].
//!
//! There is no task of ours and no queue between the halves: whoever polls takes the lock and drives the
//! connection, for the time of one poll. The transport and the timer have one waker, the alarm, that
//! wakes everyone who waits.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Instant,
};

use taiwa_proto::{Closed, handshake::Agreed};

use super::{Inner, WebSocket, inner::News, timer::now};

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
    /// How the connection ended, for who can't hold the lock.
    pub(super) closed: OnceLock<Closed>,
}

/// What the lock is for.
pub(super) struct State {
    pub(super) socket: WebSocket,
    /// Permits that are out.
    pub(super) permits: usize,
}

/// The receiver's number among those who wait.
pub(super) const RECEIVER: u64 = 0;

impl Shared {
    pub(super) fn new(socket: WebSocket) -> Self {
        let alarm = Arc::new(Alarm::default());
        let inner = socket.inner();
        let (agreed, peer_addr) = (inner.agreed().clone(), inner.peer_addr());
        let state = State { socket, permits: 0 };
        Self {
            state: Mutex::new(state),
            waker: Waker::from(Arc::clone(&alarm)),
            alarm,
            next_id: AtomicU64::new(RECEIVER + 1),
            agreed,
            peer_addr,
            closed: OnceLock::new(),
        }
    }

    pub(super) fn into_socket(self) -> WebSocket {
        // Whoever panicked in a poll left the connection as it was after the last whole change.
        let mut state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.inner().others_read = false;
        state.socket
    }

    pub(super) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// A turn of one of the senders, or of what waits for one of them.
    pub(super) fn turn(&self) -> Turn<'_> {
        self.senders_turn(self.next_id())
    }

    /// A turn of who reads what comes, but is not the receiver.
    pub(super) fn reading_turn(&self) -> Turn<'_> {
        self.turn().that_reads()
    }

    /// A turn of a sender that is polled by hand.
    pub(super) fn senders_turn(&self, id: u64) -> Turn<'_> {
        Turn { shared: self, id, reads: false, is_enrolled: false }
    }

    pub(super) fn receivers_turn(&self) -> Turn<'_> {
        Turn { shared: self, id: RECEIVER, reads: true, is_enrolled: false }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wake_senders(&self) {
        self.alarm.wake_senders();
    }

    /// Ends the wait of who polls by hand.
    pub(super) fn leave(&self, id: u64) {
        self.alarm.leave(id);
    }

    fn note_end(&self, state: &mut State) {
        if let (None, Some(closed)) = (self.closed.get(), state.closed()) {
            let _ = self.closed.set(closed.clone());
        }
    }

    /// Wakes those who wait for what a call brought, once the lock is free again.
    fn spread(&self, news: News) {
        if news.for_receiver {
            self.alarm.wake_receiver();
        }
        // Who enrols holds the lock under which the news came: without senders now, none waits for it.
        if news.for_senders && self.alarm.senders.load(Ordering::Relaxed) != 0 {
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
    /// Whether polling it reads.
    reads: bool,
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
        state.inner().others_read = alarm.has_reader_but(self.id);
        let polled = poll(&mut state, &mut Context::from_waker(&self.shared.waker));
        let news = std::mem::take(&mut state.inner().news);
        if polled.is_pending() {
            alarm.enrol(self.id, self.reads, cx.waker());
            self.is_enrolled = true;
            // It went off since the poll, and may have missed us.
            if alarm.rung.load(Ordering::SeqCst) != rung {
                cx.waker().wake_by_ref();
            }
        } else if std::mem::take(&mut self.is_enrolled) {
            alarm.leave(self.id);
        }
        self.shared.note_end(&mut state);
        drop(state);
        self.shared.spread(news);
        polled
    }

    /// Says that polling it reads, and keeps or drops what comes.
    pub(super) fn that_reads(mut self) -> Self {
        self.reads = true;
        self
    }

    /// Stays enrolled: the one who polls has no future whose end would end the wait.
    pub(super) fn stay(mut self) {
        if !std::mem::take(&mut self.is_enrolled) {
            // Ready: what an earlier poll enrolled is over.
            self.shared.leave(self.id);
        }
    }

    /// Does something that does not wait, writes what the kernel takes, and leaves the rest to whoever
    /// waits: all of them are woken when the kernel takes more.
    pub(super) fn act<R>(&mut self, act: impl FnOnce(&mut Inner) -> R) -> R {
        self.act_on_state(|state, _| act(state.inner()))
    }

    /// [`act`](Self::act) with what belongs to all halves, and the time.
    pub(super) fn act_on_state<R>(&mut self, act: impl FnOnce(&mut State, Instant) -> R) -> R {
        let mut state = self.shared.lock();
        let now = now();
        let result = act(&mut state, now);
        let (inner, cx) = (state.inner(), &mut Context::from_waker(&self.shared.waker));
        if inner.poll_write_once(cx, now).is_pending() {
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
    waiting: Mutex<Vec<Waiting>>,
    /// Those of them that are not the receiver.
    senders: AtomicUsize,
}

struct Waiting {
    id: u64,
    /// Whether he reads when woken.
    reads: bool,
    waker: Waker,
}

impl Alarm {
    fn enrol(&self, id: u64, reads: bool, waker: &Waker) {
        let mut waiting = self.lock();
        match waiting.iter_mut().find(|it| it.id == id) {
            Some(enrolled) => {
                enrolled.reads = reads;
                enrolled.waker.clone_from(waker);
            }
            None => {
                waiting.push(Waiting { id, reads, waker: waker.clone() });
                self.senders.fetch_add(usize::from(id != RECEIVER), Ordering::Relaxed);
            }
        }
    }

    fn has_reader_but(&self, id: u64) -> bool {
        self.lock().iter().any(|it| it.reads && it.id != id)
    }

    fn leave(&self, id: u64) {
        let mut waiting = self.lock();
        if let Some(at) = waiting.iter().position(|it| it.id == id) {
            waiting.swap_remove(at);
            self.senders.fetch_sub(usize::from(id != RECEIVER), Ordering::Relaxed);
        }
    }

    fn wake_receiver(&self) {
        self.rung.fetch_add(1, Ordering::SeqCst);
        let waiting = self.lock();
        let receiver = waiting.iter().find(|it| it.id == RECEIVER).map(|it| it.waker.clone());
        drop(waiting);
        if let Some(waker) = receiver {
            waker.wake();
        }
    }

    fn wake_senders(&self) {
        self.rung.fetch_add(1, Ordering::SeqCst);
        let waiting = self.lock();
        let senders = waiting.iter().filter(|it| it.id != RECEIVER);
        let senders: Vec<Waker> = senders.map(|it| it.waker.clone()).collect();
        drop(waiting);
        senders.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Waiting>> {
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
