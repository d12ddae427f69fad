//! [`Watched`]: a transport of HTTP/2 that counts what its peer sends, and ends so that the last word is read.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// The transport of a connection. The crate under us does not tell what the peer resets, and a reset that comes with its
/// request is seen by nobody else.
pub(super) struct Watched<T> {
    io: T,
    frames: Frames,
    resets: Allowance,
    /// Frames since we had to wait last.
    in_turn: usize,
    /// Too many: nothing is read any more.
    flooded: Arc<AtomicBool>,
    /// Our side is shut down; what still comes is thrown away.
    parting: Option<Parting>,
}

struct Parting {
    until: Pin<Box<Sleep>>,
    bytes: usize,
}

/// Frames after which those who read the streams have their turn: until then frames wait in the memory of the crate under us,
/// which ends a connection with too many.
const TURN: usize = 1024;
/// How long a peer may take to read our last word.
const PART_WITHIN: Duration = Duration::from_secs(1);
/// Bytes of a peer that are read and thrown away meanwhile.
const PART_BYTES_MAX: usize = 256 << 10;

impl<T> Watched<T> {
    /// Returns it with what is set when the peer resets more than `per_second` streams.
    pub(super) fn new(io: T, per_second: u32) -> (Self, Arc<AtomicBool>) {
        let flooded = Arc::<AtomicBool>::default();
        let watched = Self {
            io,
            frames: Frames::default(),
            resets: Allowance::new(per_second, Instant::now()),
            in_turn: 0,
            flooded: Arc::clone(&flooded),
            parting: None,
        };
        (watched, flooded)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.flooded.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        if this.in_turn >= TURN {
            this.in_turn = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let Poll::Ready(read) = Pin::new(&mut this.io).poll_read(cx, buffer) else {
            this.in_turn = 0;
            return Poll::Pending;
        };
        read?;
        let Counted { frames, resets } = this.frames.count(&buffer.filled()[before..]);
        this.in_turn += frames;
        if resets > 0 && !this.resets.take(resets, Instant::now()) {
            this.flooded.store(true, Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// Shuts down, and reads what the peer still sends for a moment: closing a socket with unread bytes resets the
    /// connection, and the reset may overtake our GOAWAY.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.parting.is_none() {
            ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
        }
        let parting = this
            .parting
            .get_or_insert_with(|| Parting { until: Box::pin(sleep(PART_WITHIN)), bytes: 0 });
        let mut thrown_away = [0; 4096];
        while parting.bytes < PART_BYTES_MAX && parting.until.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::new(&mut thrown_away);
            match ready!(Pin::new(&mut this.io).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => parting.bytes += buffer.filled().len(),
                _ => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Follows the frames of a client's bytes (RFC 9113 §4.1), whose preface comes first.
struct Frames {
    /// Bytes that are no header: of the preface, or of the payload of a frame.
    skip: usize,
    header: [u8; HEADER],
    filled: usize,
}

const HEADER: usize = 9;
const RST_STREAM: u8 = 3;

/// What came.
#[derive(Default)]
struct Counted {
    frames: usize,
    /// Of these, such that reset a stream.
    resets: u32,
}

impl Default for Frames {
    fn default() -> Self {
        Self { skip: super::PREFACE.len(), header: [0; HEADER], filled: 0 }
    }
}

impl Frames {
    /// Takes the next bytes, and counts the frames that begin in them.
    fn count(&mut self, mut bytes: &[u8]) -> Counted {
        let mut counted = Counted::default();
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            if bytes.is_empty() {
                return counted;
            }
            let n = (HEADER - self.filled).min(bytes.len());
            self.header[self.filled..][..n].copy_from_slice(&bytes[..n]);
            self.filled += n;
            bytes = &bytes[n..];
            if self.filled == HEADER {
                let [a, b, c, kind, ..] = self.header;
                self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
                self.filled = 0;
                counted.frames += 1;
                counted.resets += u32::from(kind == RST_STREAM);
            }
        }
    }
}

/// A number of something in each second: what was not taken is saved up to that number.
struct Allowance {
    per_second: f64,
    left: f64,
    at: Instant,
}

impl Allowance {
    fn new(per_second: u32, now: Instant) -> Self {
        Self { per_second: per_second.into(), left: per_second.into(), at: now }
    }

    /// Takes so many. `false`: there are not so many.
    fn take(&mut self, count: u32, now: Instant) -> bool {
        let since = now.duration_since(self.at).as_secs_f64();
        self.left = (self.left + since * self.per_second).min(self.per_second);
        self.at = now;
        self.left -= f64::from(count);
        self.left >= 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, len: usize) -> Vec<u8> {
        let mut frame = vec![0, (len >> 8) as u8, len as u8, kind, 0, 0, 0, 0, 1];
        frame.resize(HEADER + len, RST_STREAM);
        frame
    }

    #[test]
    fn resets_are_counted_wherever_the_bytes_are_cut() {
        let mut bytes = super::super::PREFACE.to_vec();
        for it in [frame(4, 0), frame(3, 4), frame(0, 700), frame(3, 4), frame(1, 3), frame(3, 4)] {
            bytes.extend(it);
        }
        for step in [1, 2, 3, 8, 9, 10, 24, 25, 100, bytes.len()] {
            let mut frames = Frames::default();
            let counted: Vec<_> = bytes.chunks(step).map(|it| frames.count(it)).collect();
            let resets: u32 = counted.iter().map(|it| it.resets).sum();
            assert_eq!(resets, 3, "in pieces of {step}");
            assert_eq!(counted.iter().map(|it| it.frames).sum::<usize>(), 6);
        }
    }

    #[test]
    fn an_allowance_grows_with_time_and_not_past_a_second() {
        let start = Instant::now();
        let mut resets = Allowance::new(10, start);
        assert!(resets.take(10, start));
        assert!(!resets.take(1, start));
        let mut resets = Allowance::new(10, start);
        let later = start + Duration::from_secs(3600);
        assert!(resets.take(10, later));
        assert!(resets.take(5, later + Duration::from_millis(500)));
        assert!(!resets.take(1, later + Duration::from_millis(500)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_never_stops_sending_is_read_for_a_moment_only() {
        use tokio::io::AsyncWriteExt;
        let (ours, mut theirs) = tokio::io::duplex(1024);
        let (mut watched, _) = Watched::new(ours, 1);
        let sends = tokio::spawn(async move {
            let mut sent = 0;
            while theirs.write_all(&[0; 1024]).await.is_ok() {
                sent += 1024;
            }
            sent
        });
        watched.shutdown().await.unwrap();
        drop(watched);
        let sent = sends.await.unwrap();
        assert!((PART_BYTES_MAX..PART_BYTES_MAX + 16384).contains(&sent), "{sent}");

        // One that says nothing and stays is waited for, not for ever.
        let (ours, _theirs) = tokio::io::duplex(1024);
        let (mut watched, _) = Watched::new(ours, 1);
        let begun = Instant::now();
        watched.shutdown().await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), PART_WITHIN.as_secs());
    }
}
