//! [`Tunnel`]: the bytes that a CONNECT carries.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{RecvHalf, SendHalf};
use crate::{
    frame::{self, FrameType},
    varint::VarInt,
};

/// The bytes that a CONNECT carries in both directions (RFC 9114 §4.4): those of DATA frames, whose bounds mean nothing.
///
/// Its end is the end of the peer's stream; [`shutdown`](tokio::io::AsyncWriteExt::shutdown) ends ours. A peer that gives the stream
/// up is an [`io::ErrorKind::ConnectionReset`]. Dropped before its shutdown, it is given up with H3_REQUEST_CANCELLED.
///
/// What is written is framed and copied, up to 64 KiB, and may wait here until the next write or flush.
#[derive(Debug)]
pub struct Tunnel {
    send: SendHalf,
    recv: RecvHalf,
    unread: Bytes,
}

/// The most bytes of one DATA frame that is written.
const FRAME_BYTES_MAX: usize = 64 << 10;

impl Tunnel {
    pub(super) fn new(send: SendHalf, recv: RecvHalf) -> Self {
        Self { send, recv, unread: Bytes::new() }
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.unread.is_empty() {
            match ready!(self.recv.poll_data(cx))? {
                Some(bytes) => self.unread = bytes,
                None => return Poll::Ready(Ok(())),
            }
        }
        let bytes = self.unread.len().min(into.remaining());
        into.put_slice(&self.unread[..bytes]);
        self.unread.advance(bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // The frame before goes first: so no more than one waits here.
        ready!(self.send.poll_flush(cx))?;
        let all = slices.iter().map(|it| it.len()).sum::<usize>();
        let payload_bytes = all.min(FRAME_BYTES_MAX);
        if payload_bytes == 0 {
            return Poll::Ready(Ok(0));
        }
        let mut frame = Vec::with_capacity(payload_bytes + 2 * VarInt::LEN_MAX);
        frame::write_head(FrameType::DATA, payload_bytes as u64, &mut frame);
        let mut left = payload_bytes;
        for slice in slices {
            let part = left.min(slice.len());
            frame.extend_from_slice(&slice[..part]);
            left -= part;
        }
        self.send.queue_frame(frame.into())?;
        // What QUIC takes now need not be asked for later.
        if let Poll::Ready(Err(error)) = self.send.poll_flush(cx) {
            return Poll::Ready(Err(error.into()));
        }
        Poll::Ready(Ok(payload_bytes))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(ready!(self.send.poll_flush(cx))?))
    }

    /// RFC 9220 §3: an orderly closure is the end of the stream.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(ready!(self.send.poll_finish(cx))?))
    }
}
