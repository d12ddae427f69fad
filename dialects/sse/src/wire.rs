//! What a client says by its request, and how it is refused.

use std::{sync::Arc, time::Duration};

use taiwa_core::{
    Channel, Disconnect, Knock, Refusal, RefusalKind, Request, Response, Secret, Unsubscribed,
};

use crate::{Settings, cursor::Cursor, encode::Shape};

/// What a client wants, all of which its request says.
#[derive(Debug)]
pub(crate) struct Wish {
    /// What it hears, and from where on.
    pub(crate) cursor: Cursor,
    /// Whether it first hears the last value of each channel.
    pub(crate) last: bool,
    pub(crate) token: Option<Secret>,
    pub(crate) shape: Shape,
    /// Whether it is answered once.
    pub(crate) poll: bool,
    /// Whether it is an `EventSource`, which comes back by itself, but never after a status other than 200.
    pub(crate) returns: bool,
    /// After which time it comes back.
    pub(crate) retry: Duration,
}

/// Reads a request.
pub(crate) fn wish(knock: &Knock<'_>, settings: &Settings) -> Result<Wish, Refusal> {
    let mut names: Vec<String> = knock.queries("channel").take(settings.channels_max + 1).collect();
    let path = knock.path().ok_or_else(|| bad("the path is not UTF-8"))?;
    if let Some(name) = path.strip_prefix("/sse/").filter(|it| !it.is_empty()) {
        names.insert(0, name.into());
    }
    if names.len() > settings.channels_max {
        return Err(bad("too many channels"));
    }
    let mut channels = vec![];
    for name in names {
        let channel = Channel::parse(&name).ok_or_else(|| bad("this names no channel"))?;
        if !channels.contains(&channel) {
            channels.push(channel);
        }
    }
    let poll = truth(knock, "poll")?;
    let shape = shape(knock, poll)?;
    let header = knock.request.header("last-event-id").map(str::to_owned);
    let returns = shape != Shape::Line && (header.is_some() || is_event_source(knock.request));
    // WHATWG HTML §9.2.3: the header is set if the last event ID "is not the empty string".
    let id = header.or_else(|| knock.query("lastEventId")).filter(|it| !it.is_empty());
    let half = settings.retry.as_millis() / 2 + 1;
    let more = Duration::from_millis(((knock.random >> 64) % half) as u64);
    Ok(Wish {
        cursor: Cursor::read(channels, id.as_deref()),
        last: truth(knock, "last")?,
        token: token(knock, settings),
        shape,
        poll,
        returns,
        retry: settings.retry + more,
    })
}

/// Tells whether who asks is an `EventSource`. WHATWG HTML §9.2.2: "Set `Accept`/`text/event-stream` in request's header list."
fn is_event_source(request: &Request) -> bool {
    request.header("accept").is_some_and(|it| it.starts_with("text/event-stream"))
}

/// Has an `EventSource` that asked in vain ask again: any status but 200 would be its end, and its program could not see
/// why (WHATWG HTML §9.2.3).
pub(crate) fn come_again(request: &Request, why: &Refusal, retry: Duration) -> Option<Response> {
    if !why.is_temporary() || !is_event_source(request) {
        return None;
    }
    let headers = vec![
        ("content-type", "text/event-stream".to_owned()),
        ("cache-control", "no-store".to_owned()),
    ];
    let body = format!("retry: {}\n\n", delay(why, retry).as_millis()).into();
    Some(Response::Whole { status: 200, headers, body })
}

/// After which time a client that asked in vain may ask again.
pub(crate) fn delay(why: &Refusal, retry: Duration) -> Duration {
    match why.kind {
        RefusalKind::Rate(rate) => rate.max(retry),
        _ => retry,
    }
}

fn shape(knock: &Knock<'_>, poll: bool) -> Result<Shape, Refusal> {
    let accept = knock.request.header("accept").unwrap_or("");
    Ok(match (knock.query("format").as_deref(), poll) {
        (Some("lines") | None, true) => Shape::Line,
        (_, true) => return Err(bad("a poll is answered in lines")),
        (Some("lines"), false) => Shape::Line,
        (Some("json"), false) => Shape::Object,
        (Some("raw"), false) => Shape::Raw,
        (None, false) if accept.contains("application/x-ndjson") => Shape::Line,
        (None, false) => Shape::Raw,
        (Some(_), false) => return Err(bad("format is raw, json or lines")),
    })
}

fn truth(knock: &Knock<'_>, name: &str) -> Result<bool, Refusal> {
    match knock.query(name).as_deref() {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(bad(&format!("{name} is true or false"))),
    }
}

fn bad(text: &str) -> Refusal {
    Refusal::new(RefusalKind::BadRequest, text)
}

/// Finds the token: in the header, where programs put it; in the cookie of the settings; or in the query, where logs of
/// proxies may show it.
fn token(knock: &Knock<'_>, settings: &Settings) -> Option<Secret> {
    // RFC 9110 §11.1: "It uses a case-insensitive token to identify the authentication scheme"
    let bearer = knock.request.header("authorization").and_then(|it| {
        let (scheme, token) = it.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let cookie = || {
        let wanted = settings.cookie.as_deref()?;
        let mut pairs = knock.request.header("cookie")?.split(';');
        pairs.find_map(|it| {
            let (name, value) = it.trim().split_once('=')?;
            (name == wanted).then(|| value.trim_matches('"'))
        })
    };
    let token = bearer.or_else(cookie).map(Arc::from);
    token
        .or_else(|| knock.query("token").map(Arc::from))
        .filter(|it: &Arc<str>| !it.is_empty())
        .map(Secret::from)
}

/// Returns the status that says no before anything else was said.
fn status(refusal: &Refusal) -> u16 {
    match refusal.kind {
        RefusalKind::BadRequest | RefusalKind::NotAvailable => 400,
        RefusalKind::Unauthorized | RefusalKind::Expired => 401,
        RefusalKind::Forbidden => 403,
        RefusalKind::NotFound => 404,
        RefusalKind::AlreadySubscribed => 409,
        RefusalKind::Unrecoverable => 410,
        RefusalKind::Rate(_) => 429,
        RefusalKind::Limit | RefusalKind::Deadline | RefusalKind::Unavailable => 503,
        RefusalKind::App => {
            let code = refusal.code.and_then(|it| u16::try_from(it).ok());
            code.filter(|it| (400..=599).contains(it)).unwrap_or(403)
        }
        // What is not known yet.
        _ => 403,
    }
}

/// Writes a refusal.
pub(crate) fn refused(refusal: &Refusal) -> Response {
    let status = status(refusal);
    let mut headers = vec![("content-type", "text/plain; charset=utf-8".to_owned())];
    // RFC 9110 §15.5.2: "The server generating a 401 response MUST send a WWW-Authenticate header field"
    if status == 401 {
        headers.push(("www-authenticate", "Bearer".into()));
    }
    if let RefusalKind::Rate(after) = refusal.kind {
        headers.push(("retry-after", after.as_millis().div_ceil(1000).to_string()));
    }
    Response::Whole { status, headers, body: format!("{}\n", refusal.text).into() }
}

/// Answers a request by another method than `GET`.
pub(crate) fn not_allowed() -> Response {
    // RFC 9110 §15.5.6: "The origin server MUST generate an Allow header field in a 405 response"
    let headers =
        vec![("content-type", "text/plain; charset=utf-8".to_owned()), ("allow", "GET".to_owned())];
    Response::Whole { status: 405, headers, body: "GET alone is spoken here\n".into() }
}

/// Says a disconnect before anything else was said: nothing at all, and not to come back, if all was said.
///
/// # Errors
/// It is refused.
pub(crate) fn turned_away(why: &Disconnect) -> Result<Response, Refusal> {
    let kind = match why {
        Disconnect::Done | Disconnect::Replaced => {
            // WHATWG HTML §9.2.3: "Clients will reconnect if the connection is closed; a client can be told to stop
            // reconnecting using the HTTP 204 No Content response code."
            return Ok(Response::Whole { status: 204, headers: vec![], body: "".into() });
        }
        Disconnect::BadRequest => RefusalKind::BadRequest,
        Disconnect::Unauthorized | Disconnect::Expired => RefusalKind::Unauthorized,
        Disconnect::Rate => RefusalKind::Rate(Duration::from_secs(1)),
        it if it.may_return() => RefusalKind::Unavailable,
        _ => RefusalKind::Forbidden,
    };
    Err(Refusal::new(kind, reason(why)))
}

/// Says in words why a client must go.
pub(crate) fn reason(why: &Disconnect) -> &str {
    match why {
        Disconnect::Done => "all was said",
        Disconnect::BadRequest => "bad request",
        Disconnect::Unauthorized => "unauthorized",
        Disconnect::Stale => "silent for too long",
        Disconnect::Slow => "slow reader",
        Disconnect::Expired => "rights have ended",
        Disconnect::Revoked => "rights were taken back",
        Disconnect::InsufficientState => "something was missed",
        Disconnect::Limit(text) => text,
        Disconnect::Rate => "too much in too short a time",
        Disconnect::Shutdown(_) => "the server goes away",
        Disconnect::Replaced => "replaced by another connection",
        Disconnect::App { reason, .. } => reason,
        // What is not known yet.
        _ => "disconnected",
    }
}

/// Says what becomes of a client whose subscription the server ended: it comes back and subscribes again, which is how it
/// recovers. `None` if the app ended it, which no coming back undoes.
pub(crate) fn unsubscribed(why: &Unsubscribed) -> Option<Disconnect> {
    Some(match why {
        Unsubscribed::App => return None,
        Unsubscribed::Expired => Disconnect::Expired,
        Unsubscribed::Slow => Disconnect::Slow,
        Unsubscribed::Limit(text) => Disconnect::Limit(text),
        _ => Disconnect::InsufficientState,
    })
}
