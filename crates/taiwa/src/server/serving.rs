//! [`Serving`]: a server at work.

use std::{
    future::{Future, IntoFuture},
    io,
    net::SocketAddr,
    pin::Pin,
};

/// A server at work. Await it; dropping it drops all its connections.
#[must_use = "await it"]
pub struct Serving {}

impl Serving {
    /// Shuts down gracefully when `signal` is ready: listeners are dropped, each open connection is closed
    /// with 1001, and when all have ended the server returns.
    ///
    /// A closure that waits in a method of its socket closes it at once. One that waits elsewhere has
    /// [`Deadlines::close`](crate::Deadlines::close) to come back or return; then it is dropped and its
    /// socket closed with 1001 within the same time again.
    pub fn with_shutdown(self, signal: impl Future<Output = ()> + Send + 'static) -> Self {
        let _ = signal;
        self
    }

    /// Hears of closures that returned an error or panicked, and of listeners that fail to accept.
    /// Default: nobody does.
    pub fn on_error(
        self,
        listen: impl Fn(Option<SocketAddr>, &dyn std::fmt::Display) + Send + Sync + 'static,
    ) -> Self {
        let _ = listen;
        self
    }
}

impl IntoFuture for Serving {
    type Output = io::Result<()>;
    type IntoFuture = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        todo!()
    }
}

/// The body of an ordinary request.
pub struct RequestBody {}

impl RequestBody {
    /// Reads all of the body.
    ///
    /// # Errors
    /// When it has more than `bytes_max` bytes, or the connection fails.
    pub async fn collect(self, bytes_max: usize) -> io::Result<bytes::Bytes> {
        let _ = bytes_max;
        todo!()
    }
}

impl http_body::Body for RequestBody {
    type Data = bytes::Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, io::Error>>> {
        let _ = cx;
        todo!()
    }
}
