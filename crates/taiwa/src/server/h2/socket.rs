//! A WebSocket on a stream of HTTP/2: an extended CONNECT, and its answer (RFC 8441).

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use h2::{RecvStream, ext::Protocol};
use http::{Request, Response, StatusCode};
use taiwa_proto::handshake::Opening;

use super::request::{Respond, send, status, too_many_fields};
use crate::h2::{Pump, pair};
use crate::server::{
    Shared,
    attend::attend,
    connection::{Ends, Opened},
    extended::{self, begin, fit_acceptance},
    plain::with_body,
    upgrade::{RawSeat, Reply},
};

/// A WebSocket that was accepted.
struct Accepted {
    opened: Opened,
    pump: Pump,
    seat: RawSeat,
    within: Option<Duration>,
}

/// Answers an extended CONNECT, and attends to its WebSocket until the stream has ended.
///
/// What opens it is boxed apart: its room is given back before the long life of the WebSocket begins.
pub(super) async fn serve(
    shared: Arc<Shared>,
    ends: Arc<Ends>,
    request: Request<RecvStream>,
    respond: Respond,
) {
    let accepted = Box::pin(open(shared, ends, request, respond)).await;
    let Some(Accepted { opened: Opened { attended, home }, pump, seat, within }) = accepted else {
        return;
    };
    let attending = async {
        attend(attended, home).await;
        // One that was handed out in pieces has a seat of its own.
        drop(seat);
    };
    // In this order: who reads gets bytes straight from the stream.
    tokio::join!(attending, pump.run(within));
}

async fn open(
    shared: Arc<Shared>,
    ends: Arc<Ends>,
    request: Request<RecvStream>,
    mut respond: Respond,
) -> Option<Accepted> {
    let (opening, seat) = match read(&shared, &ends, &request) {
        Ok(it) => it,
        Err(response) => {
            refuse(&shared, *response, &mut respond).await;
            return None;
        }
    };
    let (mut attended, mut waiting, recv) = begin(&shared, &ends, request, opening);
    let reply = tokio::select! {
        biased;
        reply = attended.answer(&mut waiting.reply) => reply,
        // A client that took it back; its closure goes with it, so that resets can't pile them up.
        () = respond.given_up() => return None,
    };
    match reply {
        Reply::Reject(response) => {
            refuse(&shared, response, &mut respond).await;
            attended.run_out().await;
            None
        }
        Reply::Accept(mut response, transfer) => {
            fit_acceptance(&mut response);
            let (stream, pump) = pair(recv, respond.send(response, false).ok()?);
            let _ = transfer.send((Box::new(stream), BytesMut::new()));
            let within = shared.terms.config.deadlines.close;
            let opened = Opened { attended, home: waiting.home };
            Some(Accepted { opened, pump, seat, within })
        }
    }
}

/// Reads the request and checks whether there is room for one more.
fn read(
    shared: &Shared,
    ends: &Ends,
    request: &Request<RecvStream>,
) -> Result<(Opening, RawSeat), Box<Response<Bytes>>> {
    if too_many_fields(request, shared) {
        return Err(Box::new(status(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, Bytes::new())));
    }
    let protocol = request.extensions().get::<Protocol>().map_or("", Protocol::as_str);
    let is_on = shared.http2.as_ref().map(|it| it.websockets);
    extended::read(shared, ends, request, protocol, is_on)
}

/// Sends a response with which the stream ends.
async fn refuse(shared: &Shared, response: Response<Bytes>, respond: &mut Respond) {
    // Who has gone meanwhile needs no answer.
    let _ = send(shared, with_body(response), false, respond).await;
}
