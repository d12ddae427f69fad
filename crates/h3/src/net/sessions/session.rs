//! [`Session`]: one session of WebTransport, as its program has it.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{BufMut, Bytes, BytesMut};
use futures_core::Stream;
use futures_sink::Sink;

use super::{
    BidirectionalStream, DatagramError, ReceiveStream, SendStream, StreamError, inner::Inner,
};
use crate::{
    varint::VarInt,
    webtransport::{Dialect, Direction, Ending, SessionId},
};

/// A session of WebTransport: streams in both directions, and datagrams.
///
/// Clones are the same session. When the last one is dropped it is closed with code 0; so keep one as long as its streams are to
/// live, for a session that ends resets them.
#[derive(Clone)]
pub struct Session(Arc<Handle>);

struct Handle(Arc<Inner>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.close(0, "");
    }
}

impl Session {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        Self(Arc::new(Handle(inner)))
    }

    fn inner(&self) -> &Arc<Inner> {
        &self.0.0
    }

    /// Waits for a stream that the peer opens, on which both sides send; `None` once the session has ended
    /// ([`closed`](Self::closed) tells how).
    ///
    /// Cancel-safe: a stream is given out or stays.
    pub async fn accept_bi(&self) -> Option<BidirectionalStream> {
        let incoming = poll_fn(|cx| self.inner().poll_accept(Direction::Bidirectional, cx)).await?;
        BidirectionalStream::accepted(self.inner(), incoming)
    }

    /// Waits for a stream that the peer opens and alone sends on; `None` once the session has ended.
    ///
    /// Cancel-safe, as [`accept_bi`](Self::accept_bi).
    pub async fn accept_uni(&self) -> Option<ReceiveStream> {
        let incoming =
            poll_fn(|cx| self.inner().poll_accept(Direction::Unidirectional, cx)).await?;
        ReceiveStream::accepted(self.inner(), incoming)
    }

    /// Opens a stream on which both sides send. It waits until the peer allows one more.
    ///
    /// Cancel-safe: dropped while it waits it leaves no stream behind; while it writes the stream's header, one that is reset.
    ///
    /// # Errors
    /// [`StreamError::Ended`] if the session has ended.
    pub async fn open_bi(&self) -> Result<BidirectionalStream, StreamError> {
        let credit = self.credit(Direction::Bidirectional).await?;
        let (send, receive) = self.inner().quic.open_bi().await.map_err(|_| self.lost())?;
        credit.used();
        let stream = BidirectionalStream::opened(self.inner(), send, receive);
        stream.send.write_header(&self.header(Direction::Bidirectional)).await?;
        Ok(stream)
    }

    /// Opens a stream on which we alone send. It waits until the peer allows one more.
    ///
    /// Cancel-safe, as [`open_bi`](Self::open_bi).
    ///
    /// # Errors
    /// As [`open_bi`](Self::open_bi).
    pub async fn open_uni(&self) -> Result<SendStream, StreamError> {
        let credit = self.credit(Direction::Unidirectional).await?;
        let send = self.inner().quic.open_uni().await.map_err(|_| self.lost())?;
        credit.used();
        let stream = SendStream::opened(self.inner(), send);
        stream.write_header(&self.header(Direction::Unidirectional)).await?;
        Ok(stream)
    }

    async fn credit(&self, direction: Direction) -> Result<Credit<'_>, StreamError> {
        poll_fn(|cx| self.inner().poll_open(direction, cx)).await.map_err(StreamError::Ended)?;
        Ok(Credit { inner: self.inner(), direction, is_used: false })
    }

    fn header(&self, direction: Direction) -> Vec<u8> {
        let mut header = Vec::with_capacity(SessionId::HEADER_BYTES_MAX);
        self.inner().id.write_header(direction, &mut header);
        header
    }

    fn lost(&self) -> StreamError {
        self.inner().lost();
        self.inner().ending().map_or(StreamError::Done, StreamError::Ended)
    }

    /// Sends a datagram. It may be lost on the way, or overtaken; if the network is slower than the program, the oldest one that waits is
    /// dropped.
    ///
    /// # Errors
    /// A [`DatagramError`]; the datagram is not sent.
    pub fn send_datagram(&self, payload: &[u8]) -> Result<(), DatagramError> {
        if let Some(ending) = self.inner().ending() {
            return Err(DatagramError::Ended(ending));
        }
        let mut datagram = BytesMut::with_capacity(VarInt::LEN_MAX + payload.len());
        self.quarter().write(&mut datagram);
        datagram.put_slice(payload);
        use quinn::SendDatagramError::{ConnectionLost, Disabled, TooLarge, UnsupportedByPeer};
        self.inner().quic.send_datagram(datagram.freeze()).map_err(|error| match error {
            UnsupportedByPeer | Disabled => DatagramError::Unsupported,
            TooLarge => DatagramError::TooLarge(self.datagram_bytes_max().unwrap_or(0)),
            ConnectionLost(_) => {
                self.inner().lost();
                DatagramError::Ended(self.inner().ending().unwrap_or(Ending::Lost))
            }
        })
    }

    /// Waits for a datagram; `None` once the session has ended and none is left. If the program is slower than the network, the
    /// oldest that wait are dropped: [`Limits::datagrams_max`](crate::webtransport::Limits::datagrams_max).
    ///
    /// Cancel-safe: a datagram is given out or stays.
    pub async fn recv_datagram(&self) -> Option<Bytes> {
        poll_fn(|cx| self.inner().poll_datagram(cx)).await
    }

    /// Returns how many bytes a datagram may have at the moment; `None` if the peer takes none. The path's size is found out
    /// while the connection lives, so it may grow, and shrink.
    pub fn datagram_bytes_max(&self) -> Option<usize> {
        let max = self.inner().quic.max_datagram_size()?;
        Some(max.saturating_sub(self.quarter().encoded_len()))
    }

    /// Tells how many datagrams were dropped because the program did not receive them in time.
    pub fn datagrams_dropped(&self) -> u64 {
        self.inner().datagrams_dropped()
    }

    /// Returns the session's datagrams as a `Stream` and `Sink`.
    pub fn datagrams(&self) -> Datagrams {
        Datagrams(self.clone())
    }

    /// RFC 9297 §2.1: the identifier of the request's stream, divided by four.
    fn quarter(&self) -> VarInt {
        VarInt::new(self.inner().id.stream() / 4).expect("a quarter of a number below 2^62")
    }

    /// Closes the session, with a code and a reason of at most 1,024 bytes; a longer one is cut. All its streams are reset, and what the peer has
    /// not read of them may be lost. Nothing happens if the session has ended.
    pub fn close(&self, code: u32, reason: &str) {
        self.inner().close(code, reason);
    }

    /// Waits for the end, and returns what ended the session.
    ///
    /// Cancel-safe.
    pub async fn closed(&self) -> Ending {
        poll_fn(|cx| self.inner().poll_closed(cx)).await
    }

    /// Returns a future that waits for the end as [`closed`](Self::closed) does, without being a clone of the session.
    pub fn end(&self) -> impl Future<Output = Ending> + Send + use<> {
        let inner = Arc::clone(self.inner());
        async move { poll_fn(|cx| inner.poll_closed(cx)).await }
    }

    /// Returns what ended the session; `None` while it lasts.
    pub fn ending(&self) -> Option<Ending> {
        self.inner().ending()
    }

    /// Asks the peer to end the session soon (draft 16 §4.7). Everything goes on until it does.
    pub fn drain(&self) {
        self.inner().drain();
    }

    /// Waits until the peer asks to end the session soon. Returns `false` if the session ended without.
    ///
    /// Cancel-safe.
    pub async fn draining(&self) -> bool {
        poll_fn(|cx| self.inner().poll_draining(cx)).await.is_some()
    }

    /// Returns which drafts the peer speaks.
    pub fn dialect(&self) -> Dialect {
        self.inner().terms.dialect
    }

    /// Returns the protocol that both sides agreed to speak (draft 16 §3.3); `None` if none was offered, or the server chose none.
    pub fn protocol(&self) -> Option<&str> {
        self.inner().protocol.as_deref()
    }

    /// Tells whether both sides have flow control for each session.
    pub fn has_flow_control(&self) -> bool {
        self.inner().terms.credit.is_some()
    }

    /// Returns the session's identifier: that of its request's stream.
    pub fn id(&self) -> u64 {
        self.inner().id.stream()
    }

    /// Returns the address of the peer, which may change while the connection lives.
    pub fn peer_addr(&self) -> std::net::SocketAddr {
        self.inner().quic.remote_address()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id())
            .field("dialect", &self.dialect())
            .field("ending", &self.ending())
            .finish_non_exhaustive()
    }
}

/// Leave to open a stream; given back unless it is used.
struct Credit<'a> {
    inner: &'a Inner,
    direction: Direction,
    is_used: bool,
}

impl Credit<'_> {
    fn used(mut self) {
        self.is_used = true;
    }
}

impl Drop for Credit<'_> {
    fn drop(&mut self) {
        if !self.is_used {
            self.inner.unopen(self.direction);
        }
    }
}

/// The datagrams of a session, as a `Stream` of those that come and a `Sink` for those to send. Sending never waits.
#[derive(Clone, Debug)]
pub struct Datagrams(Session);

impl Stream for Datagrams {
    type Item = Bytes;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.0.inner().poll_datagram(cx)
    }
}

impl Sink<Bytes> for Datagrams {
    type Error = DatagramError;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), DatagramError>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, payload: Bytes) -> Result<(), DatagramError> {
        self.0.send_datagram(&payload)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), DatagramError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), DatagramError>> {
        Poll::Ready(Ok(()))
    }
}
