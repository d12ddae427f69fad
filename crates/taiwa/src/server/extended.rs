//! An extended CONNECT that asks for a WebSocket: what is the same over HTTP/2 (RFC 8441) and HTTP/3 (RFC 9220).

use std::sync::Arc;

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response, StatusCode, Uri,
    header::{CONTENT_LENGTH, RETRY_AFTER},
};
use taiwa_proto::handshake::{Opening, Rejection};

use super::{
    Shared,
    attend::Attended,
    connection::{Ends, Waiting},
    h2::{fit_request, status},
    upgrade::{RawSeat, Upgrade},
};

/// Reads the request and checks whether there is room for one more. Who asks where WebSockets are switched off was not told that he
/// may, and has still to be answered.
pub(super) fn read<B>(
    shared: &Shared,
    ends: &Ends,
    request: &Request<B>,
    protocol: &str,
    is_on: Option<bool>,
) -> Result<(Opening, RawSeat), Box<Response<Bytes>>> {
    let opening = match is_on {
        Some(true) => ends.open_connect(request, protocol, &shared.terms),
        Some(false) | None => Err(Rejection::Protocol),
    };
    let opening =
        opening.map_err(|it| Box::new(it.response_over(request.version()).map(Bytes::from)))?;
    let seat = RawSeat::take(&shared.terms);
    if shared.is_overfull() {
        let mut response = status(StatusCode::SERVICE_UNAVAILABLE, Bytes::new());
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
        return Err(Box::new(response));
    }
    Ok((opening, seat))
}

/// Begins the closure that answers; returns what came with the head of the request, too.
pub(super) fn begin<B>(
    shared: &Shared,
    ends: &Arc<Ends>,
    mut request: Request<B>,
    opening: Opening,
) -> (Attended, Waiting, B) {
    fit_request(&mut request);
    let (mut parts, body) = request.into_parts();
    // As over HTTP/1.1, where no other form comes from a client.
    if let Some(path) = parts.uri.path_and_query() {
        parts.uri = Uri::from(path.clone());
    }
    let (upgrade, waiting) = Upgrade::new(&shared.terms, ends, parts, opening);
    let running = (shared.answer)(upgrade);
    (Attended::new(&shared.terms, &ends.peer, running), waiting, body)
}

/// Makes a response one that accepts.
pub(super) fn fit_acceptance(response: &mut Response<()>) {
    // RFC 9110 §9.3.6: "A server MUST NOT send any Transfer-Encoding or Content-Length header fields in a 2xx (Successful)
    // response to CONNECT."
    response.headers_mut().remove(CONTENT_LENGTH);
}
