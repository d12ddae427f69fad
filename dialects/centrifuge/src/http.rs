//! How clients come in. Some can only listen on their connection: HTTP streaming and server-sent events, with requests beside
//! them.

use bytes::Bytes;

use taiwa_core::{Addressee, Knock, Refusal, RefusalKind, Request, Response, Transport};

use crate::{
    encode::Outlet,
    wire::{Fault, Format},
};

/// Where a session of WebTransport begins.
pub(crate) const SESSION: &str = "/connection/webtransport";
/// Where a `POST` of the connect command is answered by a body that goes on.
pub(crate) const STREAM: &str = "/connection/http_stream";
/// Where a `GET` with the connect command in its query is answered by server-sent events.
pub(crate) const EVENTS: &str = "/connection/sse";
/// Where all other commands of such clients go, each `POST` with the name of its conversation.
pub(crate) const EMULATION: &str = "/emulation";

/// The name in the query that holds the connect command.
const CONNECT: &str = "cf_connect";

/// Tells for which conversation a request is.
pub(crate) fn addressee(request: &Request) -> Addressee {
    match (&*request.path, &*request.method) {
        (EMULATION, "POST") => match format(request).emulation(&request.body) {
            Ok(it) => Addressee::Known(it.session.into()),
            Err(_) => Addressee::Nobody(400, "this is no emulation request"),
        },
        (EMULATION | STREAM, method) if method != "POST" => Addressee::Nobody(405, "only POST"),
        (EVENTS, method) if !matches!(method, "GET" | "POST") => {
            Addressee::Nobody(405, "only GET and POST")
        }
        _ => Addressee::New,
    }
}

/// Tells how a client at the door wants to be written to, and which frame of commands it brings along.
///
/// # Errors
///
/// A refusal if it has to bring one and does not.
pub(crate) fn opening(knock: &Knock<'_>) -> Result<(Outlet, Option<Bytes>), Refusal> {
    let request = knock.request;
    match (knock.transport, &*request.path) {
        (Transport::WebSocket, _) => Ok(match knock.subprotocol {
            Some("centrifuge-protobuf") => (Outlet::Protobuf, None),
            None if wants_protobuf(request) => (Outlet::Protobuf, None),
            _ => (Outlet::Json, None),
        }),
        (Transport::WebTransport, _) => Ok((session(request), None)),
        (Transport::Http, STREAM) => match format(request) {
            Format::Json => Ok((Outlet::Lines, Some(request.body.clone()))),
            Format::Protobuf => Ok((Outlet::Protobuf, Some(request.body.clone()))),
        },
        (Transport::Http, EVENTS) if &*request.method == "POST" => {
            Ok((Outlet::Events, Some(request.body.clone())))
        }
        (Transport::Http, EVENTS) => match knock.query(CONNECT) {
            Some(frame) => Ok((Outlet::Events, Some(frame.into()))),
            None => Err(Refusal::new(RefusalKind::BadRequest, "cf_connect has the first command")),
        },
        _ => Err(Refusal::new(RefusalKind::NotFound, "no conversation begins here")),
    }
}

/// Tells how a client with a session of WebTransport wants to be written to: on its stream a reply has to end.
pub(crate) fn session(request: &Request) -> Outlet {
    if wants_protobuf(request) { Outlet::Protobuf } else { Outlet::Lines }
}

fn wants_protobuf(request: &Request) -> bool {
    let asks = |name| request.queries(name).next().is_some_and(|it| it == "protobuf");
    asks("cf_protocol") || asks("format")
}

/// Tells in which format the body of a request is.
fn format(request: &Request) -> Format {
    match request.header("content-type") {
        Some("application/octet-stream") => Format::Protobuf,
        _ => Format::Json,
    }
}

/// Reads what a request to a conversation that is there brings: a frame of commands.
///
/// # Errors
///
/// A fault if it does not.
pub(crate) fn frame(request: &Request) -> Result<Bytes, Fault> {
    format(request).emulation(&request.body).map(|it| it.data)
}

/// Begins the body of a stream.
pub(crate) fn stream(outlet: Outlet) -> Response {
    let kind = match outlet {
        Outlet::Json | Outlet::Lines => "application/x-ndjson",
        Outlet::Events => "text/event-stream",
        Outlet::Protobuf => "application/octet-stream",
    };
    Response::Stream { headers: vec![("content-type", kind.to_owned())] }
}

/// Answers with a status alone.
pub(crate) fn status(status: u16) -> Response {
    Response::Whole { status, headers: vec![], body: Bytes::new() }
}
