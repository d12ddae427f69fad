//! Requests: how clients come in, who they say they are, and long polls.

use std::collections::BTreeMap;

use bytes::Bytes;
use taiwa_core::{
    Addressee, Knock, Payload, Refusal, RefusalKind, Request, Response, Secret, Transport,
};

use crate::wire::{
    Outlet, Serializer, bearer,
    poll::{self, CONTENT_TYPE},
};

/// In front of an address it is the token of a session of long polls: a user's token begins otherwise.
const SESSION: &str = "lp-";
/// Where newer clients put that token; older ones put it into the query.
const SESSION_HEADER: &str = "x-phoenix-longpoll-token";
/// Where clients of long polls put the user's token.
const TOKEN_HEADER: &str = "x-phoenix-authtoken";

/// Returns what clients know a session of long polls by.
pub(crate) fn session_token(address: &str) -> String {
    format!("{SESSION}{address}")
}

/// Tells for which session a long poll is.
pub(crate) fn addressee(request: &Request) -> Addressee {
    let in_query = || {
        let values = queries(request).filter(|(name, _)| name == "token").map(|(_, it)| it);
        values.filter(|it| it.starts_with(SESSION)).last()
    };
    let token = request.header(SESSION_HEADER).map(str::to_owned).or_else(in_query);
    let address = token.and_then(|it| Some(it.strip_prefix(SESSION)?.into()));
    match (&*request.method, address) {
        ("GET", Some(address)) => Addressee::KnownOrNew(address),
        ("GET", None) => Addressee::New,
        // A session without a name is not there.
        ("POST", address) => Addressee::Known(address.unwrap_or_default()),
        _ => Addressee::Nobody(405, "only GET and POST"),
    }
}

/// What a client says by its first request.
#[derive(Debug)]
pub(crate) struct Hello {
    pub(crate) outlet: Outlet,
    pub(crate) token: Option<Secret>,
    /// The parameters, as a JSON object of texts.
    pub(crate) data: Option<Payload>,
}

/// Reads the first request.
///
/// # Errors
///
/// A refusal of versions that are not spoken.
pub(crate) fn hello(knock: &Knock<'_>) -> Result<Hello, Refusal> {
    // Of parameters with the same name the framework takes the last.
    let Some(serializer) = Serializer::of(knock.queries("vsn").last().as_deref()) else {
        let text = "vsn is 1.0.0 or 2.0.0";
        return Err(Refusal::new(RefusalKind::Forbidden, text));
    };
    let mut data = BTreeMap::new();
    for (name, value) in queries(knock.request) {
        if !matches!(name.as_str(), "vsn" | "token" | "positions") {
            data.insert(name, value);
        }
    }
    let data = (!data.is_empty()).then(|| serde_json::to_vec(&data).expect("texts are JSON"));
    Ok(Hello {
        outlet: Outlet {
            serializer,
            is_binary: serializer == Serializer::V2 && knock.transport == Transport::WebSocket,
            has_positions: knock.queries("positions").last().is_some_and(|it| it == "true"),
        },
        token: token(knock),
        data: data.map(|it| Payload::Json(it.into())),
    })
}

/// Finds the user's token: among the subprotocols or in a header, where npm's client puts it; in the header where programs put
/// it; or in the query, where logs of proxies may show it.
fn token(knock: &Knock<'_>) -> Option<Secret> {
    let request = knock.request;
    let header = |name| request.header(name).map(str::to_owned);
    let offered = || bearer(request.header("sec-websocket-protocol")?);
    // RFC 9110 §11.1: "It uses a case-insensitive token to identify the authentication scheme"
    let authorization = || {
        let (scheme, token) = request.header("authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
    };
    // The npm package up to 1.8 has `token=null` in its first poll.
    let is_theirs = |it: &String| !it.starts_with(SESSION) && it != "null";
    let in_query = || knock.queries("token").filter(is_theirs).last();
    let token = header(TOKEN_HEADER).or_else(offered).or_else(authorization).or_else(in_query);
    token.filter(|it| !it.is_empty()).map(Secret::from)
}

/// Goes through the query.
fn queries(request: &Request) -> impl Iterator<Item = (String, String)> {
    let names = request.query.split('&').filter(|it| !it.is_empty());
    names.filter_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((decoded(name)?, decoded(value)?))
    })
}

/// Undoes `application/x-www-form-urlencoded`, as [`Knock::queries`] does.
fn decoded(text: &str) -> Option<String> {
    let request = Request::get(&format!("/?={text}"));
    let (transport, subprotocol) = (Transport::Http, None);
    let knock = Knock { transport, request: &request, subprotocol, address: "", random: 0 };
    knock.query("")
}

/// Answers a request whole.
pub(crate) fn whole(body: Bytes) -> Response {
    Response::Whole { status: 200, headers: headers(Some(CONTENT_TYPE)), body }
}

/// Answers a poll as soon as there is something to say.
pub(crate) fn waiting(token: &str) -> Response {
    Response::Poll { headers: headers(None), head: poll::head(token).into(), write: poll::polled }
}

fn headers(content_type: Option<&str>) -> Vec<(&'static str, String)> {
    let mut headers = vec![("cache-control", "no-store".to_owned())];
    headers.extend(content_type.map(|it| ("content-type", it.to_owned())));
    headers
}

/// Says no to a long poll that reaches no session.
pub(crate) fn turned_away(why: &Refusal) -> Response {
    let status = match why.kind {
        RefusalKind::NotFound => 410,
        _ if why.is_temporary() => 500,
        _ => 403,
    };
    whole(poll::status(status))
}
