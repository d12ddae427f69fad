//! Requests: what a client wants at the door, for which conversation a request is, and how one is refused.

use std::sync::Arc;

use taiwa_core::{
    Addressee, Channel, Knock, Refusal, RefusalKind, Request, Response, Secret, Transport,
};

use crate::{
    ENGINE, Settings,
    wire::{Revision, quoted},
};

/// What a client wants, as far as its first request says.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) revision: Revision,
    /// Whether it takes binary bodies, in revision 3.
    pub(crate) takes_binary: bool,

    /// The name of its session in requests.
    pub(crate) sid: Box<str>,
    /// Whether it speaks Engine.IO alone.
    pub(crate) echo: bool,
    pub(crate) token: Option<Secret>,
    /// What it wants to hear.
    pub(crate) channels: Vec<Channel>,
}

const TRANSPORT_UNKNOWN: &str = "Transport unknown";
pub(crate) const SESSION_UNKNOWN: &str = "Session ID unknown";
const BAD_METHOD: &str = "Bad handshake method";
pub(crate) const BAD_REQUEST: &str = "Bad request";
const FORBIDDEN: &str = "Forbidden";
const VERSION_UNKNOWN: &str = "Unsupported protocol version";

/// The protocol's errors, by their numbers.
const ERRORS: [&str; 6] =
    [TRANSPORT_UNKNOWN, SESSION_UNKNOWN, BAD_METHOD, BAD_REQUEST, FORBIDDEN, VERSION_UNKNOWN];

/// Tells for which conversation a request is.
pub(crate) fn addressee(request: &Request) -> Addressee {
    let (transport, subprotocol) = (Transport::Http, None);
    let knock = Knock { transport, request, subprotocol, address: "", random: 0 };
    match (knock.query("sid"), knock.query("transport").as_deref()) {
        (None, _) => Addressee::New,
        (Some(_), Some("polling" | "websocket")) if knock.query("j").is_some() => {
            Addressee::Nobody(400, JSONP)
        }
        (Some(sid), Some("polling" | "websocket")) => Addressee::Known(sid.into()),
        (Some(_), _) => Addressee::Nobody(400, TRANSPORT_UNKNOWN),
    }
}

const JSONP: &str = "JSONP is not spoken here";

/// Reads what a client wants.
///
/// # Errors
///
/// A refusal with the protocol's number and words.
pub(crate) fn opening(knock: &Knock<'_>, settings: &Settings) -> Result<Opening, Refusal> {
    let polls = match (knock.query("transport").as_deref(), knock.transport) {
        // Published clients open a session without any query.
        (None | Some("webtransport"), Transport::WebTransport) => false,
        (Some("polling" | "websocket"), _) if knock.query("j").is_some() => return Err(bad(JSONP)),
        (Some("polling"), Transport::Http) => true,
        (Some("websocket"), Transport::WebSocket) => false,
        (Some("websocket" | "polling"), _) => return Err(bad(BAD_REQUEST)),
        _ => return Err(bad(TRANSPORT_UNKNOWN)),
    };
    if polls && &*knock.request.method != "GET" {
        return Err(bad(BAD_METHOD));
    }
    let revision = match knock.query("EIO").as_deref() {
        Some("4") => Revision::V4,
        None if knock.transport == Transport::WebTransport => Revision::V4,
        Some("3") if knock.transport != Transport::WebTransport => Revision::V3,
        _ => return Err(bad(VERSION_UNKNOWN)),
    };
    let mut channels = vec![];
    for name in knock.queries("channel").take(settings.channels_max + 1) {
        let channel = Channel::parse(&name).ok_or_else(|| bad("this names no channel"))?;
        if !channels.contains(&channel) {
            channels.push(channel);
        }
    }
    if channels.len() > settings.channels_max {
        return Err(bad("too many channels"));
    }
    Ok(Opening {
        revision,
        takes_binary: knock.query("b64").is_none(),
        sid: match polls {
            true => knock.address.into(),
            false => format!("{:032x}", knock.random).into(),
        },
        echo: settings.engine_echo && ENGINE.starts_with(&*knock.request.path),
        token: token(knock),
        channels,
    })
}

/// Finds the token: in the header, where programs put it; or in the query, where logs of proxies may show it.
fn token(knock: &Knock<'_>) -> Option<Secret> {
    // RFC 9110 §11.1: "It uses a case-insensitive token to identify the authentication scheme"
    let bearer = knock.request.header("authorization").and_then(|it| {
        let (scheme, token) = it.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
    });
    let token = bearer.or_else(|| knock.query("token")).or_else(|| knock.query("access_token"));
    token.filter(|it| !it.is_empty()).map(|it| Secret::from(Arc::from(it)))
}

fn bad(text: &str) -> Refusal {
    Refusal::new(RefusalKind::BadRequest, text)
}

/// Says no to a request.
pub(crate) fn refused(why: &Refusal) -> Response {
    let known = ERRORS.iter().position(|it| **it == *why.text);
    let (status, code) = match (why.kind, known) {
        (RefusalKind::BadRequest, Some(code)) => (400, code),
        (RefusalKind::BadRequest, None) => (400, 3),
        (RefusalKind::NotFound, _) => return error(400, 1, SESSION_UNKNOWN),
        (RefusalKind::Rate(_), _) => (429, 4),
        (RefusalKind::Limit | RefusalKind::Unavailable | RefusalKind::Deadline, _) => (503, 4),
        _ => (403, 4),
    };
    error(status, code, if why.text.is_empty() { ERRORS[code] } else { &why.text })
}

/// Refuses a request to a session that has ended.
pub(crate) fn gone() -> Response {
    error(400, 1, SESSION_UNKNOWN)
}

/// Refuses a request that no client makes in the state of its session.
pub(crate) fn bad_request() -> Response {
    error(400, 3, BAD_REQUEST)
}

/// Refuses a body that is too large.
pub(crate) fn too_large() -> Response {
    error(413, 3, "Payload too large")
}

fn error(status: u16, code: usize, message: &str) -> Response {
    let headers = vec![("content-type", "application/json".to_owned())];
    let body = format!("{{\"code\":{code},\"message\":{}}}", quoted(message)).into();
    Response::Whole { status, headers, body }
}

/// Answers a request that has brought packets.
pub(crate) fn taken() -> Response {
    // As text/plain some browsers would offer it for download.
    let headers = vec![("content-type", "text/html".to_owned())];
    Response::Whole { status: 200, headers, body: "ok".into() }
}
