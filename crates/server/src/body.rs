//! [`SiteBody`]: the body of an answer, whole or as it comes.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
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

/// Makes a response of a status, headers of a dialect and a body.
pub(crate) fn response<B>(
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: B,
) -> Response<B> {
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let out = response.headers_mut();
    // What is said here is for one client alone, and a proxy must not gather it.
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    out.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    out.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let mut given = HeaderMap::new();
    add_headers(&mut given, headers);
    // What a dialect says counts, and it may say a name, such as `set-cookie`, several times.
    out.extend(given);
    response
}

/// Adds headers of a dialect; what is none is left out.
pub(crate) fn add_headers(to: &mut HeaderMap, headers: Vec<(&'static str, String)>) {
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            to.append(name, value);
        }
    }
}

/// Makes a response of a text.
pub(crate) fn text<B: From<&'static str>>(status: StatusCode, text: &'static str) -> Response<B> {
    let mut response = Response::new(B::from(text));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// Reads a whole body of at most so many bytes.
///
/// # Errors
///
/// The status that says why not.
pub(crate) async fn read<B>(body: B, bytes_max: usize) -> Result<Bytes, StatusCode>
where
    B: Body<Data: Into<Bytes>>,
{
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let mut body = std::pin::pin!(body);
    let mut whole = BytesMut::new();
    while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let Ok(piece) = frame.map_err(|_| StatusCode::BAD_REQUEST)?.into_data() else {
            continue;
        };
        let piece: Bytes = piece.into();
        if whole.len() + piece.len() > bytes_max {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}
