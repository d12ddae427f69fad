//! [`Pipe`]: one end of a WebSocket that goes through two nodes, as bytes to be read and written.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::{Buf, Bytes};
use taiwa_core::{NodeId, NodeRegistry};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    Membership,
    carry::{Name, Seat},
    wire::Carry,
};

/// Bytes of one direction that were sent and not read at the other end.
const WINDOW: usize = 256 << 10;
/// Bytes of one letter.
const PIECE: usize = 64 << 10;
/// The other end is told of so many bytes that were read here.
const TOLD_EVERY: usize = WINDOW / 4;

/// One end of a WebSocket, as other nodes and its owner see it.
pub(super) struct End {
    name: Name,
    /// The node of the other end.
    other: NodeId,
    /// Its conversation, if that is here.
    seat: Option<Seat>,
    registry: Arc<dyn NodeRegistry>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    arrived: VecDeque<Bytes>,
    arrived_bytes: usize,
    /// The number of the next part from the other end.
    expected: u64,
    /// Nothing more comes.
    is_over: bool,
    /// Read, and the other end was not told.
    untold: usize,
    reader: Option<Waker>,
    /// The number of the next part to the other end.
    next: u64,
    /// Sent, and not known to be read.
    on_their_way: usize,
    /// Nothing more goes.
    has_ended: bool,
    writer: Option<Waker>,
    /// The line is lost.
    is_cut: bool,
    is_told_to_leave: bool,
}

impl State {
    fn wake(&mut self) {
        self.reader.take().into_iter().chain(self.writer.take()).for_each(Waker::wake);
    }
}

impl End {
    pub(super) fn new(
        name: Name,
        other: NodeId,
        seat: Option<Seat>,
        registry: Arc<dyn NodeRegistry>,
    ) -> Self {
        Self { name, other, seat, registry, state: Mutex::default() }
    }

    pub(super) fn other(&self) -> NodeId {
        self.other
    }

    pub(super) fn seat(&self) -> Option<&Seat> {
        self.seat.as_ref()
    }

    /// No code that can panic runs under this lock, and nothing is sent under it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is sent from the end of the conversation goes to the end of the socket.
    fn is_answer(&self) -> bool {
        self.seat.is_some()
    }

    /// Sends a part; if it can't be sent, the line is lost.
    fn send(self: &Arc<Self>, carry: &Carry<'_>) {
        let Some(letter) = carry.write() else { return };
        let end = self.clone();
        let then = move |sent: Result<(), _>| {
            if sent.is_err() {
                end.cut();
            }
        };
        self.registry.send(self.other, letter, Box::new(then));
    }

    /// Takes what arrived; `None` is the end.
    pub(super) fn arrived(&self, number: u64, bytes: Option<&[u8]>) {
        let mut state = self.state();
        state.expected += 1;
        // Each keeps to the window that the other has given it; what does not is no end of ours.
        let fits = state.arrived_bytes + bytes.map_or(0, <[u8]>::len) <= WINDOW;
        if number + 1 != state.expected || !fits || state.is_over {
            state.is_cut = true;
        } else if let Some(bytes) = bytes {
            state.arrived_bytes += bytes.len();
            state.arrived.push_back(Bytes::copy_from_slice(bytes));
        } else {
            state.is_over = true;
        }
        state.wake();
    }

    /// Takes note of what the other end has read.
    pub(super) fn was_taken(&self, bytes: u64) {
        let mut state = self.state();
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        state.on_their_way = state.on_their_way.saturating_sub(bytes);
        state.wake();
    }

    /// Takes note that the line is lost.
    pub(super) fn cut(&self) {
        let mut state = self.state();
        state.is_cut = true;
        state.wake();
    }

    pub(super) fn is_told(&self) -> bool {
        self.state().is_told_to_leave
    }

    /// Has the conversation told that this node goes away.
    pub(super) fn tell_to_leave(self: &Arc<Self>, after: Option<Duration>) {
        self.state().is_told_to_leave = true;
        let after = after.map(|it| it.as_millis() as u64);
        self.send(&Carry::Leave { id: self.name.1, after });
    }
}

/// One end of a WebSocket as whoever carries its bytes has it. Dropped before both directions are over, it cuts the line.
pub(super) struct Pipe {
    end: Arc<End>,
    membership: Arc<Membership>,
}

impl Pipe {
    pub(super) fn new(end: Arc<End>, membership: Arc<Membership>) -> Self {
        Self { end, membership }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.membership.carried.forget(self.end.name);
        let is_over = {
            let state = self.end.state();
            state.is_over && state.has_ended
        };
        if !is_over {
            let (is_answer, id) = (self.end.is_answer(), self.end.name.1);
            self.end.send(&Carry::Cut { is_answer, id });
        }
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.end.state();
        let Some(first) = state.arrived.front_mut() else {
            if state.is_cut {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            if !state.is_over {
                state.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
            return Poll::Ready(Ok(()));
        };
        let len = first.len().min(buffer.remaining());
        buffer.put_slice(&first[..len]);
        first.advance(len);
        if first.is_empty() {
            state.arrived.pop_front();
        }
        state.arrived_bytes -= len;
        state.untold += len;
        if state.untold >= TOLD_EVERY {
            let bytes = std::mem::take(&mut state.untold) as u64;
            drop(state);
            let (is_answer, id) = (self.end.is_answer(), self.end.name.1);
            self.end.send(&Carry::Room { is_answer, id, bytes });
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.end.state();
        if state.is_cut || state.has_ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let len = buffer.len().min(PIECE).min(WINDOW - state.on_their_way);
        if len == 0 && !buffer.is_empty() {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        state.on_their_way += len;
        let number = state.next;
        state.next += 1;
        drop(state);
        let (is_answer, id) = (self.end.is_answer(), self.end.name.1);
        self.end.send(&Carry::Bytes { is_answer, id, number, bytes: &buffer[..len] });
        Poll::Ready(Ok(len))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.end.state();
        if std::mem::replace(&mut state.has_ended, true) || state.is_cut {
            return Poll::Ready(Ok(()));
        }
        let number = state.next;
        state.next += 1;
        drop(state);
        let (is_answer, id) = (self.end.is_answer(), self.end.name.1);
        self.end.send(&Carry::Over { is_answer, id, number });
        Poll::Ready(Ok(()))
    }
}
