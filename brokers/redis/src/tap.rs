//! What goes through a connection, looked at from outside: signs of life, the longest answer, and whether to read on.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes of what subscriptions brought that may wait for the node: while there are more, nothing is read.
const PUSHED_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What is known of a connection.
#[derive(Debug)]
pub(crate) struct Tap {
    began: Instant,
    /// When something came last, in milliseconds after the beginning.
    heard: AtomicU64,
    /// Bytes that came behind the last answer.
    unanswered: AtomicUsize,
    reply_bytes_max: usize,
    /// Bytes of what subscriptions brought and nobody took yet.
    pushed: AtomicUsize,
    reader: AtomicWaker,
}

impl Tap {
    pub(crate) fn new(reply_bytes_max: usize) -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            heard: AtomicU64::new(0),
            unanswered: AtomicUsize::new(0),
            reply_bytes_max,
            pushed: AtomicUsize::new(0),
            reader: AtomicWaker::new(),
        })
    }

    /// Tells when something came last.
    pub(crate) fn heard_at(&self) -> Instant {
        self.began + Duration::from_millis(self.heard.load(Relaxed))
    }

    /// Takes note that an answer is whole.
    pub(crate) fn answered(&self) {
        self.unanswered.store(0, Relaxed);
    }

    /// Takes note that a subscription brought something.
    pub(crate) fn push(&self, bytes: usize) {
        self.answered();
        self.pushed.fetch_add(bytes, SeqCst);
    }

    /// Takes note that it was taken.
    pub(crate) fn take(&self, bytes: usize) {
        let before = self.pushed.fetch_sub(bytes, SeqCst);
        if before > PUSHED_BYTES_MAX && before - bytes <= PUSHED_BYTES_MAX {
            self.reader.wake();
        }
    }

    fn is_full(&self) -> bool {
        self.pushed.load(SeqCst) > PUSHED_BYTES_MAX
    }
}

/// A transport with a tap in it.
pub(crate) struct Tapped<T> {
    pub(crate) transport: T,
    pub(crate) tap: Arc<Tap>,
}

impl<T: AsyncRead + Unpin> AsyncRead for Tapped<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.tap.is_full() {
            self.tap.reader.register(cx.waker());
            // It may have been taken meanwhile.
            if self.tap.is_full() {
                return Poll::Pending;
            }
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.transport).poll_read(cx, buffer))?;
        let tap = &self.tap;
        let came = buffer.filled().len() - before;
        tap.heard.store(tap.began.elapsed().as_millis() as u64, Relaxed);
        if tap.unanswered.fetch_add(came, Relaxed).saturating_add(came) > tap.reply_bytes_max {
            let why = "an answer is longer than reply_bytes_max";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Tapped<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn what_nobody_takes_stops_the_reading() {
        let tap = Tap::new(100);
        let mut tapped = Tapped { transport: &[7; 50][..], tap: tap.clone() };
        tap.push(PUSHED_BYTES_MAX + 1);
        let mut buffer = [0; 10];
        let reading = tapped.read(&mut buffer);
        tokio::pin!(reading);
        let soon = Duration::from_millis(20);
        assert!(tokio::time::timeout(soon, &mut reading).await.is_err());
        tap.take(1);
        let read = tokio::time::timeout(Duration::from_secs(5), reading).await;
        assert_eq!(read.expect("it is woken").unwrap(), 10);
    }

    #[tokio::test]
    async fn an_answer_that_is_too_long_ends_the_reading() {
        let tap = Tap::new(15);
        let mut tapped = Tapped { transport: &[7; 50][..], tap: tap.clone() };
        let mut buffer = [0; 10];
        assert_eq!(tapped.read(&mut buffer).await.unwrap(), 10);
        tap.answered();
        assert_eq!(tapped.read(&mut buffer).await.unwrap(), 10);
        assert!(tapped.read(&mut buffer).await.is_err());
    }
}
