//! A request for a session of WebTransport, and the closure that answers it.

use std::{future::Future, pin::Pin, sync::Arc};

use http::{Request, Response, StatusCode};
use taiwa_h3::net::{self, Connection, RequestStream};
use taiwa_proto::handshake::permit_request;

use crate::{
    server::{Ends, RawSeat, Shared},
    webtransport::SessionRequest,
};

/// The closure that answers requests for sessions.
pub(in crate::server) type Answer = Arc<dyn Fn(SessionRequest) -> Running + Send + Sync>;
pub(in crate::server) type Running = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// Serves a session to its end, or as long as its closure runs.
pub(super) async fn serve(
    shared: Arc<Shared>,
    ends: Arc<Ends>,
    connection: Connection,
    request: Request<()>,
    stream: RequestStream,
) {
    let Some(answer) = &shared.sessions else { return };
    let Some(asked) = net::SessionRequest::new(&connection, request, stream).await else { return };
    // Draft 16 §3.2: "the WebTransport server MUST verify the Origin header to ensure that the specified origin is allowed to access the
    // server in question. If the verification fails, the WebTransport server SHOULD reply with status code 403".
    let permitted = permit_request(asked.request(), &shared.terms.origins, ends.arrival());
    let seat = RawSeat::take(&shared.terms);
    let refused = match permitted {
        Err(_) => Some(StatusCode::FORBIDDEN),
        Ok(()) if shared.is_overfull() => Some(StatusCode::SERVICE_UNAVAILABLE),
        Ok(()) => None,
    };
    if let Some(status) = refused {
        let mut response = Response::new(());
        *response.status_mut() = status;
        // Who has gone meanwhile needs no answer.
        let _ = asked.reject(&response, bytes::Bytes::new()).await;
        return;
    }
    let peer = ends.peer.clone();
    let running = answer(SessionRequest::new(asked, ends, seat));
    tokio::select! {
        biased;
        returned = running => if let Err(error) = returned {
            (shared.terms.on_error)(Some(&peer), &error);
        },
        // Its session is closed with it.
        () = shared.terms.patience() => {}
    }
}
