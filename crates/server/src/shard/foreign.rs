//! Transports that are no sockets, or none of this node: a task carries their bytes to and from a pair of sockets.
//!
//! So they are lines as all others: bounded by the buffers of the kernel, with the same events. It costs two descriptors,
//! a task and a copy more each way.

use std::{
    io::{self, ErrorKind},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use taiwa::RawIo;
#[cfg(unix)]
use taiwa::{RawConnection, RawSocket, RawTransport};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::timeout,
};

/// Bytes that the task carries at a time, each way. An idle line holds none of them.
const PIECE_LEN: usize = 16 << 10;
/// How long a peer may still send after its shard is done with it, so that nothing resets what the shard wrote last.
const PARTING_WITHIN: Duration = Duration::from_secs(5);

/// Gives a connection a socket, if its transport is none.
#[cfg(unix)]
pub(super) fn carry(raw: RawConnection) -> io::Result<RawConnection> {
    let RawTransport::Other(io) = raw.transport else { return Ok(raw) };
    let (ours, shards) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    shards.set_nonblocking(true)?;
    tokio::spawn(carry_between(io, BytesMut::new(), tokio::net::UnixStream::from_std(ours)?));
    Ok(RawConnection { transport: RawTransport::Plain(RawSocket::Unix(shards)), ..raw })
}

/// Carries bytes between a peer's transport, of which something was read already, and what leads to its shard, until that shard
/// is done with it.
pub(crate) async fn carry_between(
    io: Box<dyn RawIo>,
    leftover: BytesMut,
    socket: impl AsyncRead + AsyncWrite + Unpin,
) {
    let to_shard = Direction { piece: leftover, stage: Stage::Carries };
    Carried { io, socket, to_shard, to_peer: Direction::default() }.run().await;
}

/// A transport and the way to its shard.
struct Carried<S> {
    io: Box<dyn RawIo>,
    socket: S,
    to_shard: Direction,
    to_peer: Direction,
}

/// One way.
#[derive(Default)]
struct Direction {
    /// Read and not written. Empty, it holds no memory.
    piece: BytesMut,
    stage: Stage,
}

#[derive(Default, PartialEq)]
enum Stage {
    #[default]
    Carries,
    /// Bytes are in the buffers of the transport.
    Flushes,
    ShutsDown,
    Done,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Carried<S> {
    async fn run(mut self) {
        std::future::poll_fn(|cx| self.poll_until_shard_is_done(cx)).await;
        // Nothing more goes to the peer. What it sends is of interest to nobody; it is read all the same.
        let rest =
            std::future::poll_fn(|cx| self.to_shard.poll(&mut self.io, &mut self.socket, cx));
        let _ = timeout(PARTING_WITHIN, rest).await;
    }

    fn poll_until_shard_is_done(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Self { io, socket, to_shard, to_peer } = self;
        let _ = to_shard.poll(&mut *io, &mut *socket, cx);
        to_peer.poll(socket, io, cx)
    }
}

impl Direction {
    /// Carries bytes until there are no more, then shuts down the write side. What can't be read any more has ended,
    /// whatever the reason: of that the other side has to hear.
    fn poll(
        &mut self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        if self.stage != Stage::Done {
            let _ = ready!(self.poll_carry(Pin::new(&mut from), Pin::new(&mut to), cx));
            (self.stage, self.piece) = (Stage::Done, BytesMut::new());
        }
        Poll::Ready(())
    }

    fn poll_carry(
        &mut self,
        mut from: Pin<&mut impl AsyncRead>,
        mut to: Pin<&mut impl AsyncWrite>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            while !self.piece.is_empty() {
                let n = ready!(to.as_mut().poll_write(cx, &self.piece))?;
                if n == 0 {
                    return Poll::Ready(Err(ErrorKind::WriteZero.into()));
                }
                self.piece.advance(n);
                self.stage = Stage::Flushes;
            }
            self.piece = BytesMut::new();
            if self.stage == Stage::ShutsDown {
                return to.poll_shutdown(cx);
            }
            match self.poll_read(from.as_mut(), cx) {
                Poll::Ready(0) => self.stage = Stage::ShutsDown,
                Poll::Ready(_) => {}
                Poll::Pending if self.stage == Stage::Flushes => {
                    ready!(to.as_mut().poll_flush(cx))?;
                    self.stage = Stage::Carries;
                    return Poll::Pending;
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn poll_read(&mut self, from: Pin<&mut impl AsyncRead>, cx: &mut Context<'_>) -> Poll<usize> {
        let mut buffer = [0; PIECE_LEN];
        let mut read = ReadBuf::new(&mut buffer);
        if ready!(from.poll_read(cx, &mut read)).is_ok() {
            self.piece.extend_from_slice(read.filled());
        }
        Poll::Ready(self.piece.len())
    }
}
