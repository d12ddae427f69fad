//! An ordinary request over HTTP/3: what it says, and its answer.

use std::{
    future::{Future, poll_fn},
    io,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{
    Method, Request, Response,
    header::{CONNECTION, CONTENT_LENGTH},
};
use http_body::{Body, Frame, SizeHint};
use taiwa_h3::{
    error::Code,
    net::{Error, RecvHalf, RequestStream, SendHalf},
};
use taiwa_proto::handshake::Rejection;
use tokio::time::timeout;

use crate::server::{
    Shared,
    body::RequestBody,
    connection::Ends,
    h2::{fit_headers, fit_length, fit_request},
    plain::{ResponseBody, with_body},
};

/// The body of a request.
#[derive(Debug)]
pub(in crate::server) struct StreamBody {
    recv: RecvHalf,
    /// As the head told.
    bytes_left: Option<u64>,
}

impl StreamBody {
    pub(in crate::server) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match ready!(self.recv.poll_data(cx)) {
            Ok(Some(bytes)) => {
                let read = bytes.len() as u64;
                self.bytes_left = self.bytes_left.map(|it| it.saturating_sub(read));
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Ok(None) => {
                self.bytes_left = Some(0);
                Poll::Ready(self.recv.trailers().map(|it| Ok(Frame::trailers(it))))
            }
            Err(error) => Poll::Ready(Some(Err(error.into()))),
        }
    }

    pub(in crate::server) fn is_end_stream(&self) -> bool {
        self.recv.is_ended() && !self.recv.has_trailers()
    }

    pub(in crate::server) fn size_hint(&self) -> SizeHint {
        self.bytes_left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// Answers a request.
pub(super) async fn answer(
    shared: Arc<Shared>,
    ends: Arc<Ends>,
    mut request: Request<()>,
    stream: RequestStream,
) {
    let is_head = request.method() == Method::HEAD;
    let (mut send, recv) = stream.split();
    let response = match &shared.http {
        None => with_body(Rejection::NotUpgrade.response_over(request.version())),
        Some(answer) => {
            fit_request(&mut request);
            ends.introduce(request.extensions_mut());
            let length = request.headers().get(CONTENT_LENGTH);
            let bytes_left = length.and_then(|it| it.to_str().ok()?.parse().ok());
            let body = RequestBody::http3(StreamBody { recv, bytes_left });
            tokio::select! {
                biased;
                response = answer(request.map(|()| body)) => response,
                // The client does not want it any more, or is gone.
                _ = send.stopped() => return,
                () = shared.terms.patience() => return,
            }
        }
    };
    // Who has gone meanwhile needs no answer.
    let _ = respond(&shared, response, is_head, &mut send).await;
}

/// Sends a response with its body.
pub(super) async fn respond(
    shared: &Shared,
    response: Response<ResponseBody>,
    is_head: bool,
    send: &mut SendHalf,
) -> Result<(), Error> {
    let (mut parts, body) = response.into_parts();
    // By which an answer of HTTP/1.1 ends its connection. Here streams go on, and the next one needs another connection.
    let connection = parts.headers.get(CONNECTION);
    if connection.is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"close")) {
        send.go_away();
    }
    fit_headers(&mut parts.headers);
    let has_ended = fit_length(&mut parts, &body, is_head);
    in_time(shared, send, |send| {
        let head = Response::from_parts(parts, ());
        async move { send.send_response(&head).await }
    })
    .await?;
    if !has_ended && !send_body(shared, body, send).await? {
        return Ok(());
    }
    in_time(shared, send, |send| send.finish()).await
}

/// Sends the body. `false`: it was given up.
async fn send_body(
    shared: &Shared,
    body: ResponseBody,
    send: &mut SendHalf,
) -> Result<bool, Error> {
    let (mut body, mut patience) = (pin!(body), pin!(shared.terms.patience()));
    loop {
        let frame = tokio::select! {
            biased;
            // A client that is gone is noticed before more is said.
            _ = send.stopped() => return Ok(false),
            frame = poll_fn(|cx| body.as_mut().poll_frame(cx)) => frame,
            () = &mut patience => {
                send.reset(Code::REQUEST_CANCELLED);
                return Ok(false);
            }
        };
        match frame {
            None => return Ok(true),
            Some(Err(_)) => {
                send.reset(Code::INTERNAL_ERROR);
                return Ok(false);
            }
            Some(Ok(frame)) => {
                match frame.into_data() {
                    Ok(data) => in_time(shared, send, |send| send.send_data(data)).await?,
                    Err(frame) => {
                        if let Ok(trailers) = frame.into_trailers() {
                            in_time(shared, send, |send| async move {
                                send.send_trailers(&trailers).await
                            })
                            .await?;
                            return Ok(true);
                        }
                    }
                }
            }
        }
    }
}

/// Gives the stream up when the client does not read in time.
async fn in_time<'a, F>(
    shared: &Shared,
    send: &'a mut SendHalf,
    what: impl FnOnce(&'a mut SendHalf) -> F,
) -> Result<(), Error>
where
    F: Future<Output = Result<(), Error>> + 'a,
{
    match shared.terms.config.deadlines.write {
        // Dropped with its stream, which is given up then.
        Some(within) => match timeout(within, what(send)).await {
            Ok(sent) => sent,
            Err(_) => Err(Error::Reset(Code::REQUEST_CANCELLED)),
        },
        None => what(send).await,
    }
}
