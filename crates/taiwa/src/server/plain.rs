//! Ordinary HTTP/1.1 on the same port, by hyper, and opening handshakes that come later on such a
//! connection.

use std::{
    convert::Infallible,
    future::Future,
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn, upgrade::OnUpgrade};
use hyper_util::rt::{TokioIo, TokioTimer};
use taiwa_proto::handshake::{Rejection, is_upgrade};
use tokio::sync::oneshot;

use super::{
    Shared,
    attend::Attended,
    body::RequestBody,
    connection::{Ends, Opened, Waiting},
    upgrade::{Reply, Upgrade},
};
use crate::{io::BoxIo, rewind::Rewind};

/// The body of a response, of whatever type.
pub(super) type ResponseBody = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;
/// What answers ordinary requests.
pub(super) type Answer = Arc<
    dyn Fn(Request<RequestBody>) -> Pin<Box<dyn Future<Output = Response<ResponseBody>> + Send>>
        + Send
        + Sync,
>;

/// An opening handshake that was accepted; hyper still has the transport.
struct Accepted {
    upgrading: OnUpgrade,
    transfer: oneshot::Sender<(BoxIo, BytesMut)>,
    attended: Attended,
    waiting: Waiting,
}

/// At most one: after it the connection is no longer HTTP.
type Slot = Arc<Mutex<Option<Accepted>>>;

/// Serves a connection that begins with `read`, until it is a WebSocket or ends.
pub(super) async fn serve(
    shared: Arc<Shared>,
    io: BoxIo,
    ends: Arc<Ends>,
    read: Bytes,
) -> Option<Opened> {
    let slot = Slot::default();
    let service = service_fn(|request| {
        let (shared, ends, slot) = (Arc::clone(&shared), Arc::clone(&ends), Arc::clone(&slot));
        async move { Ok::<_, Infallible>(respond(shared, ends, slot, request).await) }
    });
    let limits = &shared.terms.config.limits;
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(shared.terms.config.deadlines.handshake)
        .max_headers(limits.headers_max)
        .max_buf_size(limits.handshake_bytes_max.max(BUFFER_MIN));
    let io = TokioIo::new(Rewind { first: read, io });
    let mut http = pin!(http.serve_connection(io, service).with_upgrades());
    let served = tokio::select! {
        served = &mut http => served,
        () = shared.terms.going_away.wait() => {
            http.as_mut().graceful_shutdown();
            tokio::select! {
                served = http => served,
                () = shared.terms.patience() => return None,
            }
        }
    };
    let accepted = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
    let (Ok(()), Some(accepted)) = (served, accepted) else { return None };
    let Accepted { upgrading, transfer, attended, waiting } = accepted;
    if let Ok(upgraded) = upgrading.await {
        let _ = transfer.send((Box::new(TokioIo::new(upgraded)), BytesMut::new()));
    }
    Some(Opened { attended, home: waiting.home })
}

/// hyper's least.
const BUFFER_MIN: usize = 8192;

async fn respond(
    shared: Arc<Shared>,
    ends: Arc<Ends>,
    slot: Slot,
    mut request: Request<Incoming>,
) -> Response<ResponseBody> {
    if is_upgrade(&request) {
        return upgrade(shared, ends, slot, request).await;
    }
    let mut response = match &shared.http {
        None => with_body(Rejection::NotUpgrade.response()),
        Some(answer) => {
            ends.introduce(request.extensions_mut());
            answer(request.map(RequestBody::http1)).await
        }
    };
    shared.terms.alternative.tell(&ends, response.headers_mut());
    response
}

async fn upgrade(
    shared: Arc<Shared>,
    ends: Arc<Ends>,
    slot: Slot,
    mut request: Request<Incoming>,
) -> Response<ResponseBody> {
    let opening = match ends.open(&request, &shared.terms) {
        Ok(opening) => opening,
        Err(rejection) => return with_body(rejection.response()),
    };
    let upgrading = hyper::upgrade::on(&mut request);
    let (upgrade, mut waiting) =
        Upgrade::new(&shared.terms, &ends, request.into_parts().0, opening);
    let running = (shared.answer)(upgrade);
    let mut attended = Attended::new(&shared.terms, &ends.peer, running);
    match attended.answer(&mut waiting.reply).await {
        Reply::Reject(response) => {
            attended.run_out().await;
            with_body(response)
        }
        Reply::Accept(response, transfer) => {
            let accepted = Accepted { upgrading, transfer, attended, waiting };
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(accepted);
            with_body(response.map(|()| Bytes::new()))
        }
    }
}

pub(super) fn with_body<B: Into<Bytes>>(response: Response<B>) -> Response<ResponseBody> {
    response.map(|body| Full::new(body.into()).map_err(|never| match never {}).boxed_unsync())
}
