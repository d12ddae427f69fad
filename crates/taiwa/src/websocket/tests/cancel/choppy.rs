//! A transport in memory that takes and gives a few bytes at a time, and often nothing.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::super::Dice;

/// One direction.
#[derive(Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    is_shut: bool,
}

pub(super) struct Choppy {
    from: Arc<Mutex<Pipe>>,
    to: Arc<Mutex<Pipe>>,
    room: usize,
    dice: Dice,
}

/// Makes both ends; `room` bytes fit between them in each direction.
pub(super) fn choppy(seed: u64, room: usize) -> [Choppy; 2] {
    let (up, down) = (Arc::<Mutex<Pipe>>::default(), Arc::<Mutex<Pipe>>::default());
    let end = |from: &Arc<_>, to: &Arc<_>, more| Choppy {
        from: Arc::clone(from),
        to: Arc::clone(to),
        room,
        dice: Dice(seed.wrapping_mul(31) + more),
    };
    [end(&down, &up, 1), end(&up, &down, 2)]
}

impl Choppy {
    /// Not now, although it may be possible. The transport would have to wake the task.
    fn refuses(&mut self, cx: &mut Context<'_>) -> bool {
        let refuses = self.dice.roll(3) == 0;
        if refuses {
            cx.waker().wake_by_ref();
        }
        refuses
    }

    /// How many bytes it takes or gives at once.
    fn len(&mut self) -> usize {
        let most = if self.dice.roll(6) == 0 { 5000 } else { 30 };
        1 + self.dice.roll(most) as usize
    }
}

impl AsyncRead for Choppy {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.refuses(cx) {
            return Poll::Pending;
        }
        let len = this.len();
        let mut from = this.from.lock().expect("no panic");
        if from.bytes.is_empty() {
            return if from.is_shut { Poll::Ready(Ok(())) } else { Poll::Pending };
        }
        let len = len.min(from.bytes.len()).min(buffer.remaining());
        let (front, _) = from.bytes.as_slices();
        let len = len.min(front.len());
        buffer.put_slice(&front[..len]);
        from.bytes.drain(..len);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Choppy {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.refuses(cx) {
            return Poll::Pending;
        }
        let len = this.len();
        let mut to = this.to.lock().expect("no panic");
        assert!(!to.is_shut, "written to after it was shut down");
        let len = len.min(this.room - to.bytes.len());
        if len == 0 {
            return Poll::Pending;
        }
        let before = to.bytes.len();
        to.bytes.extend(slices.iter().flat_map(|it| it.iter()).take(len));
        Poll::Ready(Ok(to.bytes.len() - before))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.get_mut().refuses(cx) { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.refuses(cx) {
            return Poll::Pending;
        }
        this.to.lock().expect("no panic").is_shut = true;
        Poll::Ready(Ok(()))
    }
}

impl Drop for Choppy {
    fn drop(&mut self) {
        self.to.lock().expect("no panic").is_shut = true;
    }
}
