//! Streams of a session, as their program has them.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    Incoming,
    error::{StreamError, application},
    inner::{Half, Inner, Lease, Waited, lock},
};
use crate::{
    net::quic_code,
    webtransport::{Direction, code},
};

/// The sending half of a stream.
///
/// Writing waits for the peer's credit: of the stream, of the connection and, where both sides have flow control, of the session. Bytes that
/// were taken are on their way without a flush. [`shutdown`](tokio::io::AsyncWriteExt::shutdown) ends the stream. Dropped without
/// that, or [`reset`](Self::reset), the stream is reset, since what the peer has is not the whole; code 0.
///
/// Errors are [`io::Error`]s with a [`StreamError`] inside. Writing is cancel-safe as far as tokio's calls are: `write` is, `write_all` is not.
pub struct SendStream {
    half: Arc<Mutex<Waited<quinn::SendStream>>>,
    id: quinn::StreamId,
    lease: Arc<Lease>,
    is_ended: bool,
}

/// The receiving half of a stream.
///
/// Not reading holds the peer back. Dropped before its end, the peer is asked to stop, with code 0.
///
/// Errors are [`io::Error`]s with a [`StreamError`] inside. Reading is cancel-safe as far as tokio's calls are: `read` is, `read_exact` is not.
pub struct ReceiveStream {
    half: Arc<Mutex<Waited<quinn::RecvStream>>>,
    id: quinn::StreamId,
    lease: Arc<Lease>,
    /// Read with the header of the stream.
    leftover: Bytes,
    is_ended: bool,
}

/// A stream on which both sides send. Read and write it as it is, or take its halves.
pub struct BidirectionalStream {
    /// What is written here goes to the peer.
    pub send: SendStream,
    /// What the peer sent.
    pub receive: ReceiveStream,
}

impl BidirectionalStream {
    pub(super) fn opened(
        inner: &Arc<Inner>,
        send: quinn::SendStream,
        receive: quinn::RecvStream,
    ) -> Self {
        Self::new(inner, send, receive, Bytes::new(), None)
    }

    pub(super) fn accepted(inner: &Arc<Inner>, incoming: Incoming) -> Option<Self> {
        let direction = Some(incoming.direction());
        let Incoming::Bidirectional(send, receive, leftover) = incoming else { return None };
        Some(Self::new(inner, send, receive, leftover, direction))
    }

    fn new(
        inner: &Arc<Inner>,
        send: quinn::SendStream,
        receive: quinn::RecvStream,
        leftover: Bytes,
        direction: Option<Direction>,
    ) -> Self {
        let lease = Arc::new(Lease { inner: Arc::clone(inner), direction });
        Self {
            send: SendStream::new(Arc::clone(&lease), send),
            receive: ReceiveStream::new(lease, receive, leftover),
        }
    }

    /// Splits the stream into its halves.
    pub fn split(self) -> (SendStream, ReceiveStream) {
        (self.send, self.receive)
    }
}

impl SendStream {
    pub(super) fn opened(inner: &Arc<Inner>, half: quinn::SendStream) -> Self {
        Self::new(Arc::new(Lease { inner: Arc::clone(inner), direction: None }), half)
    }

    fn new(lease: Arc<Lease>, half: quinn::SendStream) -> Self {
        let id = half.id();
        let half = Waited::new(half);
        lease.inner.remember(id, Half::Send(Arc::downgrade(&half)));
        Self { half, id, lease, is_ended: false }
    }

    /// Returns the identifier of the stream in QUIC (RFC 9000 §2.1).
    pub fn id(&self) -> u64 {
        self.id.into()
    }

    /// Sets which of the connection's streams goes first when not all can: the highest number. Default 0.
    pub fn set_priority(&self, priority: i32) {
        // A stream that has ended has no turn to wait for.
        let _ = lock(&self.half).quic.set_priority(priority);
    }

    /// Gives the stream up: the peer may lose what it has not read, and is told `code`. Nothing happens if the stream has ended.
    pub fn reset(&mut self, code: u32) {
        self.is_ended = true;
        if !self.lease.inner.resets_later() {
            let _ = lock(&self.half).quic.reset(quic_code(code::to_http(code)));
        }
    }

    /// Waits until the peer asks to stop, and returns its code; `Ok(None)` if the stream was finished before and everything has
    /// arrived.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// [`StreamError::Ended`] if the session ended first.
    pub async fn stopped(&self) -> Result<Option<u32>, StreamError> {
        let stopped = lock(&self.half).quic.stopped();
        match stopped.await {
            Ok(None) => Ok(None),
            Ok(Some(code)) => Ok(Some(application(code).unwrap_or(0))),
            Err(_) => Err(self.ended()),
        }
    }

    /// Writes the header of the stream, which no session's flow control counts.
    pub(super) async fn write_header(&self, header: &[u8]) -> Result<(), StreamError> {
        let mut rest = header;
        while !rest.is_empty() {
            let written = std::future::poll_fn(|cx| self.poll_half(cx, rest));
            rest = &rest[written.await.map_err(|it| self.lost(it))?..];
        }
        Ok(())
    }

    fn poll_half(
        &self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize, quinn::WriteError>> {
        let mut half = lock(&self.half);
        let written = Pin::new(&mut half.quic).poll_write(cx, bytes);
        if written.is_pending() {
            half.wait(cx);
        }
        written
    }

    fn ended(&self) -> StreamError {
        self.lease.inner.ending().map_or(StreamError::Done, StreamError::Ended)
    }

    fn lost(&self, error: quinn::WriteError) -> StreamError {
        match error {
            quinn::WriteError::Stopped(code) => match self.lease.inner.ending() {
                Some(ending) => StreamError::Ended(ending),
                None => StreamError::stopped(code),
            },
            quinn::WriteError::ConnectionLost(_) => {
                self.lease.inner.lost();
                self.ended()
            }
            quinn::WriteError::ClosedStream | quinn::WriteError::ZeroRttRejected => self.ended(),
        }
    }
}

impl AsyncWrite for SendStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let inner = &this.lease.inner;
        let allowed = ready!(inner.poll_send(bytes.len(), cx)).map_err(StreamError::Ended)?;
        match this.poll_half(cx, &bytes[..allowed]) {
            Poll::Pending => {
                inner.unsend(allowed);
                Poll::Pending
            }
            Poll::Ready(Ok(written)) => {
                inner.unsend(allowed - written);
                Poll::Ready(Ok(written))
            }
            Poll::Ready(Err(error)) => {
                inner.unsend(allowed);
                Poll::Ready(Err(this.lost(error).into()))
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if std::mem::replace(&mut this.is_ended, true) {
            return Poll::Ready(Ok(()));
        }
        let finished = lock(&this.half).quic.finish();
        Poll::Ready(finished.map_err(|_| this.ended().into()))
    }
}

impl Drop for SendStream {
    fn drop(&mut self) {
        self.lease.inner.forget(self.id, true);
        if !self.is_ended {
            self.reset(0);
        }
    }
}

impl ReceiveStream {
    pub(super) fn accepted(inner: &Arc<Inner>, incoming: Incoming) -> Option<Self> {
        let direction = Some(incoming.direction());
        let Incoming::Unidirectional(receive, leftover) = incoming else { return None };
        let lease = Arc::new(Lease { inner: Arc::clone(inner), direction });
        Some(Self::new(lease, receive, leftover))
    }

    fn new(lease: Arc<Lease>, half: quinn::RecvStream, leftover: Bytes) -> Self {
        let id = half.id();
        let half = Waited::new(half);
        lease.inner.remember(id, Half::Receive(Arc::downgrade(&half)));
        Self { half, id, lease, leftover, is_ended: false }
    }

    /// Returns the identifier of the stream in QUIC (RFC 9000 §2.1).
    pub fn id(&self) -> u64 {
        self.id.into()
    }

    /// Asks the peer to stop sending, and throws away what comes; it is told `code`. Nothing happens if the stream has ended.
    pub fn stop(&mut self, code: u32) {
        if !std::mem::replace(&mut self.is_ended, true) {
            self.lease.inner.unread();
        }
        if !self.lease.inner.resets_later() {
            let _ = lock(&self.half).quic.stop(quic_code(code::to_http(code)));
        }
    }

    fn lost(&self, error: quinn::ReadError) -> StreamError {
        let inner = &self.lease.inner;
        match error {
            quinn::ReadError::Reset(code) => match inner.ending() {
                Some(ending) => StreamError::Ended(ending),
                None => StreamError::reset(code),
            },
            quinn::ReadError::ConnectionLost(_) => {
                inner.lost();
                inner.ending().map_or(StreamError::Done, StreamError::Ended)
            }
            quinn::ReadError::ClosedStream
            | quinn::ReadError::IllegalOrderedRead
            | quinn::ReadError::ZeroRttRejected => {
                inner.ending().map_or(StreamError::Done, StreamError::Ended)
            }
        }
    }
}

impl AsyncRead for ReceiveStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        if let Some(ending) = this.lease.inner.ending() {
            return Poll::Ready(Err(StreamError::Ended(ending).into()));
        }
        if this.leftover.is_empty() {
            let mut half = lock(&this.half);
            let read = half.quic.poll_read_buf(cx, buffer);
            if read.is_pending() {
                half.wait(cx);
            }
            drop(half);
            if let Err(error) = ready!(read) {
                if !std::mem::replace(&mut this.is_ended, true) {
                    this.lease.inner.unread();
                }
                return Poll::Ready(Err(this.lost(error).into()));
            }
            this.is_ended =
                this.is_ended || (buffer.filled().len() == before && buffer.remaining() > 0);
        } else {
            let len = this.leftover.len().min(buffer.remaining());
            buffer.put_slice(&this.leftover[..len]);
            this.leftover.advance(len);
        }
        let read = buffer.filled().len() - before;
        Poll::Ready(this.lease.inner.read(read).map_err(|it| StreamError::Ended(it).into()))
    }
}

impl Drop for ReceiveStream {
    fn drop(&mut self) {
        self.lease.inner.forget(self.id, false);
        if !self.is_ended {
            self.stop(0);
        }
    }
}

impl AsyncRead for BidirectionalStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().receive).poll_read(cx, buffer)
    }
}

impl AsyncWrite for BidirectionalStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().send).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().send).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().send).poll_shutdown(cx)
    }
}
