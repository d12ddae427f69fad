//! [`RequestBody`]: the body of an ordinary request.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;

/// The body of an ordinary request; see [`Server::http`](crate::Server::http). It has no limit of its own:
/// read it by [`collect`](Self::collect), or frame by frame as an [`http_body::Body`].
#[derive(Debug)]
pub struct RequestBody {
    incoming: Incoming,
}

impl RequestBody {
    pub(super) fn new(incoming: Incoming) -> Self {
        Self { incoming }
    }

    /// Reads all of the body.
    ///
    /// Not cancel-safe: what was read by then is lost.
    ///
    /// # Errors
    /// An [`io::Error`] when it has more than `bytes_max` bytes, or when the connection fails.
    pub async fn collect(self, bytes_max: usize) -> io::Result<Bytes> {
        let body = Limited::new(self.incoming, bytes_max);
        Ok(BodyExt::collect(body).await.map_err(io::Error::other)?.to_bytes())
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Pin::new(&mut self.incoming).poll_frame(cx).map_err(io::Error::other)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
