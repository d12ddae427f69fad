//! Bytes between a transport and a connection.

use std::{
    future::Future,
    io::{self, IoSlice},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::{BufMut, BytesMut};
use taiwa_proto::{Connection, Event, Filled, Input};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::found::{Found, Pings, next_cut, next_found};
use crate::{
    io::BoxIo,
    scratch::{CUT_LEN_MIN, READ_LEN, with_scratch},
};

/// Slices of one vectored write.
const SLICES: usize = 16;
/// Bytes that are read into a large message at once: few enough to be in the cache still when they are unmasked.
const STRAIGHT_LEN_MAX: usize = 64 << 10;
/// Bytes that are read behind such a message, which has probably another one behind it: what is read of that one before it is
/// known to be large is copied.
const BEHIND_LARGE_LEN_MAX: usize = 16 << 10;

/// A transport and what is known of its health.
pub(crate) struct Transport {
    io: BoxIo,
    /// Bytes are in the transport's own buffers (of TLS, say).
    unflushed: bool,
    behind: Behind,
    /// Why it failed. From then on it takes and loses all that is written, so that the connection goes
    /// through its states to the end. Reading goes on: the peer's Close frame may still be there.
    failed: Option<io::Error>,
}

impl Transport {
    pub(crate) fn new(io: BoxIo) -> Self {
        Self { io, unflushed: false, behind: Behind::Small, failed: None }
    }

    /// Returns why the transport failed, if it did.
    pub(crate) fn failure(&self) -> Option<io::Error> {
        self.failed.as_ref().map(|error| match error.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(error.kind(), error.to_string()),
        })
    }

    /// Tells whether the transport has no bytes in buffers of its own.
    pub(crate) fn is_flushed(&self) -> bool {
        !self.unflushed
    }

    /// Tells whether it has not failed.
    pub(crate) fn is_well(&self) -> bool {
        self.failed.is_none()
    }

    /// Writes the outbox; ready when the kernel has all of it.
    pub(crate) fn poll_write(
        &mut self,
        conn: &mut Connection,
        cx: &mut Context<'_>,
        now: Instant,
    ) -> Poll<()> {
        while !conn.outbox().is_empty() {
            let n = match &self.failed {
                Some(_) => conn.outbox().len(),
                None => match self.poll_write_some(conn, cx) {
                    Poll::Pending => {
                        with_scratch(|scratch| conn.blocked(&mut scratch.pool));
                        return Poll::Pending;
                    }
                    Poll::Ready(Ok(n)) => n,
                    Poll::Ready(Err(error)) => {
                        self.failed = Some(error);
                        continue;
                    }
                },
            };
            with_scratch(|scratch| conn.wrote(n, now, &mut scratch.pool));
        }
        if self.unflushed && self.failed.is_none() {
            if let Err(error) = ready!(Pin::new(&mut self.io).poll_flush(cx)) {
                self.failed = Some(error);
            }
            self.unflushed = false;
        }
        Poll::Ready(())
    }

    fn poll_write_some(
        &mut self,
        conn: &Connection,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let (outbox, io) = (conn.outbox(), Pin::new(&mut self.io));
        let first = outbox.first();
        // One piece goes by the plain call, which costs the kernel less, and us the list.
        let n = if first.len() < outbox.len() && io.is_write_vectored() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = outbox.slices(&mut slices);
            ready!(io.poll_write_vectored(cx, &slices[..count]))?
        } else {
            ready!(io.poll_write(cx, first))?
        };
        self.unflushed = true;
        Poll::Ready(if n == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(n) })
    }

    /// Shuts down the write side; ready when that is done or can't be.
    pub(crate) fn poll_shut_down(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.failed.is_none()
            && let Err(error) = ready!(Pin::new(&mut self.io).poll_shutdown(cx))
        {
            self.failed = Some(error);
        }
        Poll::Ready(())
    }

    /// Reads once and returns the first thing found; what lies behind it goes to `leftover`. A part of a message
    /// goes into `buffer` if it fits.
    pub(crate) fn poll_read(
        &mut self,
        conn: &mut Connection,
        leftover: &mut BytesMut,
        cx: &mut Context<'_>,
        now: Instant,
        pings: Pings,
        buffer: Option<&mut ReadBuf<'_>>,
    ) -> Poll<Option<Found>> {
        let read = match self.poll_read_message(conn, cx, now) {
            Some(read) => ready!(read),
            None if self.behind == Behind::Medium && buffer.is_none() => {
                ready!(self.poll_read_and_cut(conn, leftover, cx, now, pings))
            }
            None => ready!(self.poll_read_frames(conn, leftover, cx, now, pings, buffer)),
        };
        Poll::Ready(match read {
            Ok(Read::End) => {
                conn.end_of_input();
                None
            }
            Ok(Read::Bytes(found)) => found,
            Err(error) => {
                self.failed.get_or_insert(error);
                conn.end_of_input();
                None
            }
        })
    }

    /// Reads straight to where the next part of a message is wanted: at most `room` bytes, all of them
    /// payload.
    pub(super) fn poll_read_part(
        &mut self,
        conn: &mut Connection,
        buffer: &mut ReadBuf<'_>,
        room: u64,
        cx: &mut Context<'_>,
        now: Instant,
    ) -> Poll<Option<Found>> {
        let start = buffer.filled().len();
        let len = buffer.remaining().min(usize::try_from(room).unwrap_or(usize::MAX));
        let mut limited = ReadBuf::new(buffer.initialize_unfilled_to(len));
        let read = ready!(Pin::new(&mut self.io).poll_read(cx, &mut limited));
        let n = limited.filled().len();
        if let Err(error) = read {
            self.failed.get_or_insert(error);
        }
        if n == 0 {
            conn.end_of_input();
            return Poll::Ready(None);
        }
        buffer.advance(n);
        let bytes = &mut buffer.filled_mut()[start..];
        let filled = with_scratch(|scratch| conn.fill_part(bytes, now, &mut scratch.pool));
        Poll::Ready(match filled {
            Filled::More => Some(Found::Filled { is_last: false }),
            Filled::Last => Some(Found::Filled { is_last: true }),
            Filled::Fault => {
                buffer.set_filled(start);
                None
            }
        })
    }

    /// Reads straight into a large message; `None` if none is unfinished.
    fn poll_read_message(
        &mut self,
        conn: &mut Connection,
        cx: &mut Context<'_>,
        now: Instant,
    ) -> Option<Poll<io::Result<Read>>> {
        let (buffer, len) = conn.spare()?;
        let mut room = buffer.limit(len.min(STRAIGHT_LEN_MAX));
        // Safe to drop after each poll: it either read and is ready, or did nothing.
        let n = match pin!(self.io.read_buf(&mut room)).poll(cx) {
            Poll::Pending => return Some(Poll::Pending),
            Poll::Ready(Err(error)) => return Some(Poll::Ready(Err(error))),
            Poll::Ready(Ok(0)) => return Some(Poll::Ready(Ok(Read::End))),
            Poll::Ready(Ok(n)) => n,
        };
        self.behind = Behind::Large;
        let event: Option<Event<'static>> =
            with_scratch(|scratch| conn.filled(n, now, &mut scratch.pool));
        let found = event.and_then(|it| Found::from_event(it, Pings::Skip));
        Some(Poll::Ready(Ok(Read::Bytes(found))))
    }

    fn poll_read_frames(
        &mut self,
        conn: &mut Connection,
        leftover: &mut BytesMut,
        cx: &mut Context<'_>,
        now: Instant,
        pings: Pings,
        buffer: Option<&mut ReadBuf<'_>>,
    ) -> Poll<io::Result<Read>> {
        with_scratch(|scratch| {
            let len = if self.behind == Behind::Large { BEHIND_LARGE_LEN_MAX } else { READ_LEN };
            let mut read = ReadBuf::new(&mut scratch.buffer[..len]);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut read))?;
            let bytes = read.filled_mut();
            if bytes.is_empty() {
                return Poll::Ready(Ok(Read::End));
            }
            let mut input = Input::new(bytes);
            let found = next_found(conn, &mut input, now, &mut scratch.pool, pings, buffer);
            leftover.extend_from_slice(input.into_rest());
            self.behind = Behind::found(found.as_ref()).unwrap_or(Behind::Small);
            Poll::Ready(Ok(Read::Bytes(found)))
        })
    }

    /// Reads once into a buffer of which messages, and `leftover`, keep their part. Into memory that nobody has written before:
    /// a transport that clears it does so for messages of a quarter of it or more.
    fn poll_read_and_cut(
        &mut self,
        conn: &mut Connection,
        leftover: &mut BytesMut,
        cx: &mut Context<'_>,
        now: Instant,
        pings: Pings,
    ) -> Poll<io::Result<Read>> {
        with_scratch(|scratch| {
            let bytes = &mut scratch.cuttable;
            bytes.clear();
            // The same memory again, if nobody keeps a part of it any more.
            bytes.reserve(READ_LEN);
            let mut room = (&mut *bytes).limit(READ_LEN);
            // Safe to drop after each poll: it either read and is ready, or did nothing.
            if ready!(pin!(self.io.read_buf(&mut room)).poll(cx))? == 0 {
                return Poll::Ready(Ok(Read::End));
            }
            let found = next_cut(conn, bytes, now, &mut scratch.pool, pings);
            if CUT_LEN_MIN <= bytes.len() {
                *leftover = bytes.split();
            } else {
                leftover.extend_from_slice(bytes);
            }
            self.behind = Behind::found(found.as_ref()).unwrap_or(Behind::Medium);
            Poll::Ready(Ok(Read::Bytes(found)))
        })
    }
}

/// What was read last.
#[derive(Clone, Copy, PartialEq)]
enum Behind {
    /// Messages that are copied out of what was read.
    Small,
    /// Messages that are worth cutting out.
    Medium,
    /// A part of a large message, straight into it.
    Large,
}

impl Behind {
    /// `None` for what tells nothing of the messages of the peer.
    fn found(found: Option<&Found>) -> Option<Self> {
        let Found::Message(message) = found? else { return None };
        let is_worth_it = CUT_LEN_MIN <= message.as_bytes().len();
        Some(if is_worth_it { Self::Medium } else { Self::Small })
    }
}

/// What one read brought.
enum Read {
    Bytes(Option<Found>),
    End,
}
