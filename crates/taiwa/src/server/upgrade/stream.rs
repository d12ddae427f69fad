//! [`HyperStream`]: a stream of HTTP/2 that hyper hands over.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes of one write. Hyper keeps copies of up to four writes while the peer gives no credit, however large they are: so it is
/// the outbox that bounds what waits, and not a multiple of it. No peer has to take a larger frame (RFC 9113 §4.2).
const WRITE_BYTES_MAX: usize = 16 << 10;

/// A stream of HTTP/2 that hyper hands over. Its writes are bounded, and a reset is told as one.
pub(super) struct HyperStream(TokioIo<Upgraded>);

impl HyperStream {
    pub(super) fn new(upgraded: Upgraded) -> Self {
        Self(TokioIo::new(upgraded))
    }
}

impl AsyncRead for HyperStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf).map_err(reset)
    }
}

impl AsyncWrite for HyperStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let bytes = &bytes[..bytes.len().min(WRITE_BYTES_MAX)];
        Pin::new(&mut self.0).poll_write(cx, bytes).map_err(reset)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx).map_err(reset)
    }

    /// Sends END_STREAM.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx).map_err(reset)
    }
}

/// RFC 8441 §5: "RST exceptions are represented with the RST_STREAM frame". Hyper has no name of its own for it.
fn reset(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::Other => io::Error::new(io::ErrorKind::ConnectionReset, error),
        _ => error,
    }
}
