//! A WebSocket on a stream of HTTP/3: an extended CONNECT, and its answer (RFC 9220).

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use taiwa_h3::{Protocol, net::RequestStream};

use super::request::respond;
use crate::server::{
    Shared,
    attend::attend,
    connection::{Ends, Opened},
    extended::{self, begin, fit_acceptance},
    h2::fit_headers,
    plain::with_body,
    upgrade::{RawSeat, Reply},
};

/// A WebSocket that was accepted.
struct Accepted {
    opened: Opened,
    seat: RawSeat,
}

/// Answers an extended CONNECT, and attends to its WebSocket.
///
/// What opens it is boxed apart: its room is given back before the long life of the WebSocket begins.
pub(super) async fn serve(
    shared: Arc<Shared>,
    ends: Arc<Ends>,
    request: Request<()>,
    stream: RequestStream,
) {
    let accepted = Box::pin(open(shared, ends, request, stream)).await;
    let Some(Accepted { opened: Opened { attended, home }, seat }) = accepted else { return };
    attend(attended, home).await;
    // One that was handed out in pieces has a seat of its own.
    drop(seat);
}

async fn open(
    shared: Arc<Shared>,
    ends: Arc<Ends>,
    request: Request<()>,
    mut stream: RequestStream,
) -> Option<Accepted> {
    let protocol = request.extensions().get::<Protocol>().map_or("", Protocol::as_str);
    let is_on = shared.http3.as_ref().map(|it| it.websockets);
    let (opening, seat) = match extended::read(&shared, &ends, &request, protocol, is_on) {
        Ok(it) => it,
        Err(response) => {
            refuse(&shared, *response, stream).await;
            return None;
        }
    };
    let (mut attended, mut waiting, ()) = begin(&shared, &ends, request, opening);
    let reply = tokio::select! {
        biased;
        reply = attended.answer(&mut waiting.reply) => reply,
        // A client that took it back; its closure goes with it, so that resets can't pile them up.
        _ = stream.stopped() => return None,
    };
    match reply {
        Reply::Reject(response) => {
            refuse(&shared, response, stream).await;
            attended.run_out().await;
            None
        }
        Reply::Accept(mut response, transfer) => {
            fit_headers(response.headers_mut());
            fit_acceptance(&mut response);
            stream.send_response(&response).await.ok()?;
            let _ = transfer.send((Box::new(stream.into_io()), BytesMut::new()));
            Some(Accepted { opened: Opened { attended, home: waiting.home }, seat })
        }
    }
}

/// Sends a response with which the stream ends.
async fn refuse(shared: &Shared, response: Response<Bytes>, stream: RequestStream) {
    let (mut send, _recv) = stream.split();
    // Who has gone meanwhile needs no answer.
    let _ = respond(shared, with_body(response), false, &mut send).await;
}
