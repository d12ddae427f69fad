//! An ordinary request over HTTP/2: what it says, and its answer.

use std::{
    future::poll_fn,
    io,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, SystemTime},
};

use bytes::{Buf, Bytes};
use h2::{Reason, RecvStream, SendStream, server::SendResponse};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, COOKIE, DATE, HOST, TRANSFER_ENCODING, UPGRADE},
    response::Parts,
};
use http_body::{Body, Frame, SizeHint};
use taiwa_proto::handshake::Rejection;
use tokio::{sync::Notify, time::timeout};

use crate::h2::{broken, poll_capacity};
use crate::server::{
    Shared,
    body::RequestBody,
    connection::Ends,
    plain::{ResponseBody, with_body},
};

/// The body of a request.
#[derive(Debug)]
pub(in crate::server) struct StreamBody {
    recv: RecvStream,
    has_data_ended: bool,
    /// As the head told.
    bytes_left: Option<u64>,
}

impl StreamBody {
    pub(in crate::server) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        while !self.has_data_ended {
            match ready!(self.recv.poll_data(cx)) {
                Some(Ok(data)) => {
                    // Who reads a body reads on: its credit goes out again at once.
                    let _ = self.recv.flow_control().release_capacity(data.len());
                    let read = data.len() as u64;
                    self.bytes_left = self.bytes_left.map(|it| it.saturating_sub(read));
                    if !data.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(broken(error)))),
                None => self.has_data_ended = true,
            }
        }
        let trailers = ready!(self.recv.poll_trailers(cx)).map_err(broken).transpose();
        Poll::Ready(trailers.map(|it| it.map(Frame::trailers)))
    }

    pub(in crate::server) fn is_end_stream(&self) -> bool {
        self.recv.is_end_stream()
    }

    pub(in crate::server) fn size_hint(&self) -> SizeHint {
        let bytes_left = if self.recv.is_end_stream() { Some(0) } else { self.bytes_left };
        bytes_left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// Where the answer to a stream's request goes.
pub(super) struct Respond {
    pub(super) respond: SendResponse<Bytes>,
    /// Tells the connection to end.
    pub(super) leave: Arc<Notify>,
}

impl Respond {
    /// Waits until the client does not want an answer any more, or is gone.
    pub(super) async fn given_up(&mut self) {
        let _ = poll_fn(|cx| self.respond.poll_reset(cx)).await;
    }

    /// Sends the head of a response, without what is of the connection (RFC 9113 §8.2.2). `Connection: close`, by which an
    /// answer of HTTP/1.1 ends its connection, becomes a GOAWAY: streams go on, the next one needs another connection.
    pub(super) fn send(
        &mut self,
        mut response: Response<()>,
        has_ended: bool,
    ) -> io::Result<SendStream<Bytes>> {
        let headers = response.headers_mut();
        if headers.get(CONNECTION).is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"close")) {
            self.leave.notify_one();
        }
        fit_headers(headers);
        self.respond.send_response(response, has_ended).map_err(broken)
    }
}

/// Answers a request.
pub(super) async fn answer(
    shared: Arc<Shared>,
    ends: Arc<Ends>,
    request: Request<RecvStream>,
    mut respond: Respond,
) {
    let is_head = request.method() == Method::HEAD;
    let response = match (&shared.http, too_many_fields(&request, &shared)) {
        (_, true) => with_body(status(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, Bytes::new())),
        (None, _) => with_body(Rejection::NotUpgrade.response_over(request.version())),
        (Some(answer), _) => {
            let length = request.headers().get(CONTENT_LENGTH);
            let bytes_left = length.and_then(|it| it.to_str().ok()?.parse().ok());
            let mut request = request
                .map(|recv| StreamBody { recv, has_data_ended: false, bytes_left })
                .map(RequestBody::http2);
            fit_request(&mut request);
            ends.introduce(request.extensions_mut());
            let answering = answer(request);
            tokio::select! {
                biased;
                response = answering => response,
                () = respond.given_up() => return,
                () = shared.terms.patience() => return,
            }
        }
    };
    let mut response = response;
    shared.terms.alternative.tell(&ends, response.headers_mut());
    // Who has gone meanwhile needs no answer.
    let _ = send(&shared, response, is_head, &mut respond).await;
}

pub(super) fn too_many_fields<B>(request: &Request<B>, shared: &Shared) -> bool {
    request.headers().len() > shared.terms.config.limits.headers_max
}

pub(in crate::server) fn status<B>(status: StatusCode, body: B) -> Response<B> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

/// Gives a request the form of one of HTTP/1.1 in what closures look for there, whatever the version: `:authority` is in `Host`
/// (RFC 9113 §8.3.1), and cookies are in one field.
pub fn fit_request<B>(request: &mut Request<B>) {
    let host = request.uri().authority().and_then(|it| HeaderValue::from_str(it.as_str()).ok());
    let headers = request.headers_mut();
    if let Some(host) = host.filter(|_| !headers.contains_key(HOST)) {
        headers.insert(HOST, host);
    }
    // RFC 9113 §8.2.3 and RFC 9114 §4.2.1: cookies "MAY be split into separate field lines [...]. If there are multiple
    // Cookie header fields after decompression, these MUST be concatenated into a single octet string using the two-octet
    // delimiter [...] "; " before being passed into a non-HTTP/2 context".
    let crumbs: Vec<_> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() > 1
        && let Ok(cookies) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
    {
        headers.insert(COOKIE, cookies);
    }
}

/// Sends a response with its body.
pub(super) async fn send(
    shared: &Shared,
    response: Response<ResponseBody>,
    is_head: bool,
    respond: &mut Respond,
) -> io::Result<()> {
    let (mut parts, body) = response.into_parts();
    let has_ended = fit_length(&mut parts, &body, is_head);
    let head = Response::from_parts(parts, ());
    let send = respond.send(head, has_ended)?;
    if has_ended { Ok(()) } else { send_body(shared, body, send).await }
}

/// Makes a head tell how long the body is, if that is known; returns whether nothing follows the head. A status of 1xx, with which
/// nothing ends, becomes 500.
pub(in crate::server) fn fit_length(parts: &mut Parts, body: &ResponseBody, is_head: bool) -> bool {
    if parts.status.is_informational() {
        parts.status = StatusCode::INTERNAL_SERVER_ERROR;
    }
    let is_empty = matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if !is_empty
        && !parts.headers.contains_key(CONTENT_LENGTH)
        && let Some(len) = body.size_hint().exact()
        && !(is_head && len == 0)
    {
        parts.headers.insert(CONTENT_LENGTH, len.into());
    }
    is_head || is_empty || body.is_end_stream()
}

/// Takes out what is of the connection (RFC 9113 §8.2.2), and writes the date, as over HTTP/1.1.
pub(in crate::server) fn fit_headers(headers: &mut HeaderMap) {
    const OF_THE_CONNECTION: [HeaderName; 5] = [
        CONNECTION,
        UPGRADE,
        TRANSFER_ENCODING,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
    ];
    for name in OF_THE_CONNECTION {
        headers.remove(name);
    }
    if !headers.contains_key(DATE)
        && let Ok(date) = HeaderValue::from_str(&httpdate::fmt_http_date(SystemTime::now()))
    {
        headers.insert(DATE, date);
    }
}

async fn send_body(
    shared: &Shared,
    body: ResponseBody,
    mut send: SendStream<Bytes>,
) -> io::Result<()> {
    let within = shared.terms.config.deadlines.write;
    let (mut body, mut patience) = (pin!(body), pin!(shared.terms.patience()));
    loop {
        let frame = tokio::select! {
            biased;
            // A client that is gone is noticed before more is said.
            _ = poll_fn(|cx| send.poll_reset(cx)) => return Ok(()),
            frame = poll_fn(|cx| body.as_mut().poll_frame(cx)) => frame,
            () = &mut patience => {
                send.send_reset(Reason::CANCEL);
                return Ok(());
            }
        };
        match frame {
            None => return send.send_data(Bytes::new(), true).map_err(broken),
            Some(Err(_)) => {
                send.send_reset(Reason::INTERNAL_ERROR);
                return Ok(());
            }
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => {
                    let is_last = body.is_end_stream();
                    if send_data(&mut send, data, is_last, within).await? {
                        return Ok(());
                    }
                }
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        return send.send_trailers(trailers).map_err(broken);
                    }
                }
            },
        }
    }
}

/// Sends one piece of a body. `true`: it was the last one.
async fn send_data(
    send: &mut SendStream<Bytes>,
    mut data: Bytes,
    is_last: bool,
    within: Option<Duration>,
) -> io::Result<bool> {
    while data.has_remaining() {
        let room = poll_fn(|cx| poll_capacity(send, cx, data.len()));
        let n = match within {
            Some(within) => match timeout(within, room).await {
                Ok(n) => n?,
                Err(late) => {
                    send.send_reset(Reason::CANCEL);
                    return Err(late.into());
                }
            },
            None => room.await?,
        };
        let piece = data.split_to(n);
        send.send_data(piece, is_last && data.is_empty()).map_err(broken)?;
    }
    Ok(is_last)
}
