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

use super::{h2, h3};

/// The body of an ordinary request; see [`Server::http`](crate::Server::http). It has no limit of its own:
/// read it by [`collect`](Self::collect), or frame by frame as an [`http_body::Body`].
#[derive(Debug)]
pub struct RequestBody {
    incoming: Source,
}

/// By version of HTTP.
#[derive(Debug)]
enum Source {
    Http1(Incoming),
    Http2(h2::StreamBody),
    Http3(Box<h3::StreamBody>),
}

impl RequestBody {
    pub(super) fn http1(incoming: Incoming) -> Self {
        Self { incoming: Source::Http1(incoming) }
    }

    pub(super) fn http2(incoming: h2::StreamBody) -> Self {
        Self { incoming: Source::Http2(incoming) }
    }

    pub(super) fn http3(incoming: h3::StreamBody) -> Self {
        Self { incoming: Source::Http3(Box::new(incoming)) }
    }

    /// Reads all of the body.
    ///
    /// Not cancel-safe: what was read by then is lost.
    ///
    /// # Errors
    /// An [`io::Error`] when it has more than `bytes_max` bytes, or when the connection fails.
    pub async fn collect(self, bytes_max: usize) -> io::Result<Bytes> {
        let body = Limited::new(self, bytes_max);
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
        match &mut self.incoming {
            Source::Http1(it) => Pin::new(it).poll_frame(cx).map_err(io::Error::other),
            Source::Http2(it) => it.poll_frame(cx),
            Source::Http3(it) => it.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.incoming {
            Source::Http1(it) => it.is_end_stream(),
            Source::Http2(it) => it.is_end_stream(),
            Source::Http3(it) => it.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.incoming {
            Source::Http1(it) => it.size_hint(),
            Source::Http2(it) => it.size_hint(),
            Source::Http3(it) => it.size_hint(),
        }
    }
}
