//! [`SocketStream`]: a stream of HTTP/2 as the bytes of a WebSocket (RFC 8441 §5), for both roles.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use ::h2::{Reason, RecvStream, SendStream};
use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::timeout,
};

use super::broken;

/// Bytes of one write: those of a DATA frame that every peer takes (RFC 9113 §4.2). What a stream reserves of the connection's
/// window beyond them its siblings could not use meanwhile.
const WRITE_MAX: usize = 16 << 10;

/// One stream in both directions.
///
/// What is not read holds back the credit of this stream alone: the window of the connection has room for the windows of
/// all streams. Shutting down sends END_STREAM; dropped before that, the stream is reset with CANCEL, as RFC 8441 §5 has it
/// for a TCP connection that is reset. A reset throws away what waits to be written; see
/// [`ended_when_dropped`](Self::ended_when_dropped).
pub(crate) struct SocketStream {
    inlet: Arc<Mutex<Inlet>>,
    send: SendStream<Bytes>,
    is_shut_down: bool,
    is_ended_when_dropped: bool,
}

/// The receiving side, which the [`Pump`] looks after while nobody reads.
struct Inlet {
    /// `None` once nobody reads any more.
    recv: Option<RecvStream>,
    /// Received and not read. Its bytes are not released.
    waiting: BytesMut,
    end: Option<End>,
    /// Of the pump: the one that the stream wakes.
    pump: Waker,
    reader: Option<Waker>,
    /// The socket has ended in an orderly way: what still comes is thrown away.
    is_parting: bool,
}

/// How the peer's side ended.
enum End {
    Orderly,
    Broken(io::ErrorKind, String),
}

/// Takes what arrived off the stream while nobody reads, up to the stream's window. Otherwise each frame would wait in the
/// memory of the crate under us, at a quarter of a kilobyte besides its bytes; and that crate ends a connection with too
/// many of them, so that one WebSocket with small messages that pauses would end its siblings.
///
/// When the socket has ended it waits for the peer's END_STREAM, so that the peer is not told CANCEL behind an orderly end.
pub(crate) struct Pump(Arc<Mutex<Inlet>>);

/// Makes both of a stream's two directions.
pub(crate) fn pair(recv: RecvStream, send: SendStream<Bytes>) -> (SocketStream, Pump) {
    let inlet = Arc::new(Mutex::new(Inlet {
        recv: Some(recv),
        waiting: BytesMut::new(),
        end: None,
        pump: Waker::noop().clone(),
        reader: None,
        is_parting: false,
    }));
    let stream = SocketStream {
        inlet: Arc::clone(&inlet),
        send,
        is_shut_down: false,
        is_ended_when_dropped: false,
    };
    (stream, Pump(inlet))
}

/// A panic while it is held leaves it whole: each step does.
fn lock(inlet: &Mutex<Inlet>) -> MutexGuard<'_, Inlet> {
    inlet.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pump {
    /// Runs until the stream has ended; after the end of our side not longer than `within`.
    pub(crate) async fn run(self, within: Option<Duration>) {
        poll_fn(|cx| self.poll_socket(cx)).await;
        let parted = poll_fn(|cx| self.poll_parted(cx));
        match within {
            Some(within) => drop(timeout(within, parted).await),
            None => parted.await,
        }
        lock(&self.0).recv = None;
    }

    /// Is ready when the socket has ended its side, or the stream has ended.
    fn poll_socket(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut inlet = lock(&self.0);
        inlet.pump.clone_from(cx.waker());
        let had = inlet.waiting.len();
        inlet.fill();
        if (inlet.waiting.len() > had || inlet.end.is_some())
            && let Some(reader) = inlet.reader.take()
        {
            reader.wake();
        }
        if inlet.is_parting || inlet.recv.is_none() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Is ready when the peer has ended its side, too.
    fn poll_parted(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut inlet = lock(&self.0);
        inlet.pump.clone_from(cx.waker());
        inlet.fill();
        // Not released: a peer that goes on sends no more than its window.
        inlet.waiting = BytesMut::new();
        if inlet.end.is_some() || inlet.recv.is_none() { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Inlet {
    /// Takes all that has arrived.
    fn fill(&mut self) {
        while let Some(data) = self.next() {
            self.waiting.extend_from_slice(&data);
        }
    }

    /// Takes the next bytes that have arrived. `None`: there are none for the moment, and the pump is woken when some
    /// come; or the stream has ended.
    fn next(&mut self) -> Option<Bytes> {
        if self.end.is_some() {
            return None;
        }
        let recv = self.recv.as_mut()?;
        loop {
            match recv.poll_data(&mut Context::from_waker(&self.pump)) {
                Poll::Pending => return None,
                Poll::Ready(Some(Ok(data))) if data.is_empty() => {}
                Poll::Ready(Some(Ok(data))) => return Some(data),
                // RFC 9113 §8.1: a server may so "request that the client abort transmission of a request without error".
                Poll::Ready(Some(Err(error)))
                    if error.is_reset() && error.reason() == Some(Reason::NO_ERROR) =>
                {
                    self.end = Some(End::Orderly);
                    return None;
                }
                Poll::Ready(Some(Err(error))) => {
                    let error = broken(error);
                    self.end = Some(End::Broken(error.kind(), error.to_string()));
                    return None;
                }
                Poll::Ready(None) => {
                    self.end = Some(End::Orderly);
                    return None;
                }
            }
        }
    }

    fn release(&mut self, bytes: usize) {
        if let Some(recv) = &mut self.recv {
            // Fails for a stream that has ended, which needs none.
            let _ = recv.flow_control().release_capacity(bytes);
        }
    }
}

impl AsyncRead for SocketStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut inlet = lock(&self.inlet);
        let before = buffer.filled().len();
        let n = inlet.waiting.len().min(buffer.remaining());
        buffer.put_slice(&inlet.waiting[..n]);
        inlet.waiting.advance(n);
        if inlet.waiting.is_empty() {
            // Its memory goes, too: a connection that waits needs none.
            inlet.waiting = BytesMut::new();
        }
        while buffer.remaining() > 0
            && let Some(data) = inlet.next()
        {
            let n = data.len().min(buffer.remaining());
            buffer.put_slice(&data[..n]);
            inlet.waiting.extend_from_slice(&data[n..]);
        }
        let read = buffer.filled().len() - before;
        if read > 0 {
            inlet.release(read);
            return Poll::Ready(Ok(()));
        }
        match &inlet.end {
            Some(End::Orderly) => Poll::Ready(Ok(())),
            Some(End::Broken(kind, why)) => Poll::Ready(Err(io::Error::new(*kind, why.clone()))),
            None if buffer.remaining() == 0 => Poll::Ready(Ok(())),
            None => {
                inlet.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl SocketStream {
    /// Has the stream ended, not reset, when it is dropped: what was written arrives, the Close frame of a WebSocket that
    /// was dropped among it. It is reset if the peer has not ended in time, by [`Pump::run`].
    pub(crate) fn ended_when_dropped(mut self) -> Self {
        self.is_ended_when_dropped = true;
        self
    }

    /// Waits until up to `wanted` bytes may be sent, and returns how many.
    fn poll_capacity(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<io::Result<usize>> {
        poll_capacity(&mut self.send, cx, wanted)
    }
}

/// Waits until up to `wanted` bytes, at least one, may be sent, and returns how many.
pub(crate) fn poll_capacity(
    send: &mut SendStream<Bytes>,
    cx: &mut Context<'_>,
    wanted: usize,
) -> Poll<io::Result<usize>> {
    send.reserve_capacity(wanted.min(WRITE_MAX));
    while send.capacity() == 0 {
        match ready!(send.poll_capacity(cx)) {
            Some(Ok(_)) => {}
            Some(Err(error)) => return Poll::Ready(Err(broken(error))),
            // Closed: the reason is told where resets are.
            None => {
                return Poll::Ready(Err(match send.poll_reset(cx) {
                    Poll::Ready(Ok(reason)) => broken(reason.into()),
                    Poll::Ready(Err(error)) => broken(error),
                    Poll::Pending => io::ErrorKind::BrokenPipe.into(),
                }));
            }
        }
    }
    Poll::Ready(Ok(send.capacity().min(wanted)))
}

impl AsyncWrite for SocketStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let n = ready!(self.poll_capacity(cx, bytes.len()))?;
        let sent = self.send.send_data(Bytes::copy_from_slice(&bytes[..n]), false);
        Poll::Ready(sent.map(|()| n).map_err(broken))
    }

    /// Makes one DATA frame of several slices, if it has room for them.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let len = slices.iter().map(|it| it.len()).sum();
        if len == 0 {
            return Poll::Ready(Ok(0));
        }
        let n = ready!(self.poll_capacity(cx, len))?;
        let mut data = BytesMut::with_capacity(n);
        for slice in slices {
            data.extend_from_slice(&slice[..slice.len().min(n - data.len())]);
        }
        Poll::Ready(self.send.send_data(data.freeze(), false).map(|()| n).map_err(broken))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// The connection's task writes by itself.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_shut_down {
            // RFC 8441 §5: "Orderly TCP-level closures are represented as END_STREAM flags".
            self.is_shut_down = true;
            self.send.send_data(Bytes::new(), true).map_err(broken)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for SocketStream {
    fn drop(&mut self) {
        let is_ended = self.is_shut_down
            // It fails for a stream that is closed already.
            || self.is_ended_when_dropped && self.send.send_data(Bytes::new(), true).is_ok();
        let mut inlet = lock(&self.inlet);
        if is_ended {
            inlet.is_parting = true;
        } else {
            // RFC 8441 §5: "RST exceptions are represented with the RST_STREAM frame with the CANCEL error code".
            self.send.send_reset(Reason::CANCEL);
            inlet.recv = None;
        }
        inlet.waiting = BytesMut::new();
        inlet.pump.wake_by_ref();
    }
}

#[cfg(test)]
mod tests;
