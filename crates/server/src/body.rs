//! [`SiteBody`]: the body of an answer, whole or as it comes.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;

use crate::{cluster::Forwarded, host};

/// The body of an answer. One that goes on tells its conversation when it is dropped.
pub struct SiteBody(Form);

enum Form {
    Whole(Full<Bytes>),
    Goes(host::Body),
    Far(Forwarded),
}

impl SiteBody {
    pub(crate) fn whole(body: Full<Bytes>) -> Self {
        Self(Form::Whole(body))
    }
}

impl Default for SiteBody {
    fn default() -> Self {
        Self::from("")
    }
}

impl From<Bytes> for SiteBody {
    fn from(bytes: Bytes) -> Self {
        Self::whole(Full::new(bytes))
    }
}

impl From<&'static str> for SiteBody {
    fn from(text: &'static str) -> Self {
        Self::whole(Full::from(text))
    }
}

impl From<host::Body> for SiteBody {
    fn from(body: host::Body) -> Self {
        Self(Form::Goes(body))
    }
}

impl From<Forwarded> for SiteBody {
    fn from(body: Forwarded) -> Self {
        Self(Form::Far(body))
    }
}

impl Body for SiteBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.0 {
            Form::Whole(body) => Pin::new(body).poll_frame(cx),
            Form::Goes(body) => {
                Poll::Ready(ready!(body.poll_next(cx)).map(|it| Ok(Frame::data(it))))
            }
            Form::Far(body) => {
                Poll::Ready(ready!(body.poll_next(cx)).map(|it| Ok(Frame::data(it))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Form::Whole(body) => body.is_end_stream(),
            Form::Goes(_) | Form::Far(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Form::Whole(body) => body.size_hint(),
            Form::Goes(_) | Form::Far(_) => SizeHint::default(),
        }
    }
}
