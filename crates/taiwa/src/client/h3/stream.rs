//! [`H3Stream`]: the bytes of one WebSocket on a stream of an HTTP/3 connection.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use taiwa_h3::net::Tunnel;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    runtime::Handle,
    time::timeout,
};

use super::Lease;

/// How long a dropped stream may take to what was written.
const LINGER: Duration = Duration::from_secs(5);

/// A stream that became a tunnel, and its place on the connection. Dropped before its end, it is ended behind what was
/// written.
pub(super) struct H3Stream {
    /// There until it is dropped.
    open: Option<(Tunnel, Lease)>,
    is_shut_down: bool,
}

impl H3Stream {
    pub(super) fn new(tunnel: Tunnel, lease: Lease) -> Self {
        Self { open: Some((tunnel, lease)), is_shut_down: false }
    }

    fn tunnel(&mut self) -> Pin<&mut Tunnel> {
        Pin::new(&mut self.open.as_mut().expect("there until dropped").0)
    }
}

impl Drop for H3Stream {
    fn drop(&mut self) {
        if let Some((mut tunnel, lease)) = self.open.take()
            && !self.is_shut_down
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(async move {
                // A stream that fails has nobody left to be told.
                let _ = timeout(LINGER, tunnel.shutdown()).await;
                drop(lease);
            });
        }
    }
}

impl AsyncRead for H3Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.tunnel().poll_read(cx, buffer)
    }
}

impl AsyncWrite for H3Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.tunnel().poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.tunnel().poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.open.as_ref().is_some_and(|(tunnel, _)| tunnel.is_write_vectored())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tunnel().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut_down = self.tunnel().poll_shutdown(cx);
        self.is_shut_down |= shut_down.is_ready();
        shut_down
    }
}
