//! What a client says by its request, and what a close code says to it.

use std::sync::Arc;

use serde::de::IgnoredAny;
use taiwa_core::{
    Channel, Disconnect, Knock, Refusal, RefusalKind, Request, Secret, Transport, Unsubscribed,
};

use crate::{Settings, framing::Datagrams};

/// What a client wants, all of which its request says.
#[derive(Debug, Default)]
pub(crate) struct Wish {
    /// What it hears; it speaks to the first. None for the echo.
    pub(crate) channels: Vec<Channel>,
    /// Whether it hears itself.
    pub(crate) echo: bool,
    /// Whether it first hears the last value of each channel.
    pub(crate) last: bool,
    pub(crate) token: Option<Secret>,
}

/// Reads a request.
pub(crate) fn wish(knock: &Knock<'_>, settings: &Settings) -> Result<Wish, Refusal> {
    if knock.transport == Transport::WebTransport {
        datagrams(knock.request)?;
    }
    let wish = Wish {
        echo: truth(knock, "echo")?,
        last: truth(knock, "last")?,
        token: token(knock),
        channels: vec![],
    };
    let mut names: Vec<String> = knock.queries("channel").take(settings.channels_max + 1).collect();
    if names.len() > settings.channels_max {
        return Err(bad("too many channels"));
    }
    if names.is_empty() {
        if settings.echo && &*knock.request.path == "/echo" {
            return Ok(wish);
        }
        let path = knock.path().ok_or_else(|| bad("the path is not UTF-8"))?;
        names.push(match path.strip_prefix('/') {
            Some("") | None => path,
            Some(name) => name.into(),
        });
    }
    let mut channels = vec![];
    for name in names {
        let channel = Channel::parse(&name).ok_or_else(|| bad("this names no channel"))?;
        if !channels.contains(&channel) {
            channels.push(channel);
        }
    }
    Ok(Wish { channels, ..wish })
}

fn truth(knock: &Knock<'_>, name: &str) -> Result<bool, Refusal> {
    match knock.query(name).as_deref() {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(bad(&format!("{name} is true or false"))),
    }
}

/// Reads what the client of a session hears by datagrams.
pub(crate) fn datagrams(request: &Request) -> Result<Datagrams, Refusal> {
    match request.queries("datagrams").next().as_deref() {
        None | Some("volatile") => Ok(Datagrams::Volatile),
        Some("none") => Ok(Datagrams::None),
        Some("all") => Ok(Datagrams::All),
        Some(_) => Err(bad("datagrams is none, volatile or all")),
    }
}

fn bad(text: &str) -> Refusal {
    Refusal::new(RefusalKind::BadRequest, text)
}

/// Finds the token: in the header, where programs put it; among the subprotocols, where pages can; or in the query,
/// where logs of proxies may show it.
fn token(knock: &Knock<'_>) -> Option<Secret> {
    // RFC 9110 §11.1: "It uses a case-insensitive token to identify the authentication scheme"
    let bearer = knock.request.header("authorization").and_then(|it| {
        let (scheme, token) = it.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let offered = || {
        let lists = knock.request.headers.iter().filter(|it| *it.0 == *"sec-websocket-protocol");
        let mut all =
            lists.filter_map(|it| std::str::from_utf8(&it.1).ok()).flat_map(|it| it.split(','));
        all.find_map(|it| it.trim().strip_prefix("bearer."))
    };
    let token = bearer.or_else(offered).map(Arc::from);
    token
        .or_else(|| knock.query("token").map(Arc::from))
        .filter(|it: &Arc<str>| !it.is_empty())
        .map(Secret::from)
}

/// Tells whether a text is one JSON text (RFC 8259).
pub(crate) fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(text).is_ok()
}

/// A close code with its reason.
pub(crate) type Ending = (u16, Arc<str>);

/// Says no to a client that has no other ear for it.
pub(crate) fn refused(refusal: &Refusal) -> Ending {
    let code = match refusal.kind {
        RefusalKind::BadRequest => 4400,
        RefusalKind::Unauthorized => 4401,
        RefusalKind::NotFound => 4404,
        RefusalKind::NotAvailable => 4405,
        RefusalKind::AlreadySubscribed => 4409,
        RefusalKind::Unrecoverable => 4410,
        RefusalKind::Expired => 4419,
        RefusalKind::Rate(_) => 4429,
        RefusalKind::Limit | RefusalKind::Deadline | RefusalKind::Unavailable => 1013,
        RefusalKind::App => {
            let code = refusal.code.and_then(|it| u16::try_from(it).ok());
            code.filter(|it| (4000..=4999).contains(it)).unwrap_or(4403)
        }
        // What is not known yet.
        _ => 4403,
    };
    (code, reason(&refusal.text))
}

/// Tells whether a datagram that is refused so is lost, as any may be, and nothing else comes of it.
pub(crate) fn is_loss(refusal: &Refusal) -> bool {
    use RefusalKind::{Deadline, Limit, Rate, Unavailable};
    matches!(refusal.kind, Rate(_) | Limit | Deadline | Unavailable)
}

/// Sends a client away.
pub(crate) fn disconnected(why: &Disconnect) -> Ending {
    let (code, text) = match why {
        Disconnect::Done => (1000, ""),
        Disconnect::BadRequest => (4400, "bad request"),
        Disconnect::Unauthorized => (4401, "unauthorized"),
        Disconnect::Stale => (4408, "silent for too long"),
        Disconnect::Slow => (1013, "slow reader"),
        Disconnect::Expired => (4419, "rights have ended"),
        Disconnect::Revoked => (4403, "rights were taken back"),
        Disconnect::InsufficientState => (1013, "something was missed"),
        Disconnect::Limit(text) => (1013, *text),
        Disconnect::Rate => (4429, "too much in too short a time"),
        Disconnect::Shutdown(None) => (1001, "the server goes away"),
        // IANA's registry of close codes: "Service Restart".
        Disconnect::Shutdown(Some(_)) => (1012, "the server goes away"),
        Disconnect::Replaced => (4409, "replaced by another connection"),
        Disconnect::App { code: code @ 4000..=4999, reason, .. } => (*code, &**reason),
        Disconnect::App { reason, .. } => (4403, &**reason),
        // What is not known yet.
        _ => (1013, ""),
    };
    (code, reason(text))
}

/// Ends a client's stay because one of its subscriptions was ended: it has no ear for less.
pub(crate) fn unsubscribed(why: &Unsubscribed) -> Ending {
    match why {
        Unsubscribed::App => (4403, "unsubscribed".into()),
        Unsubscribed::Expired => disconnected(&Disconnect::Expired),
        Unsubscribed::Slow => disconnected(&Disconnect::Slow),
        Unsubscribed::InsufficientState => disconnected(&Disconnect::InsufficientState),
        Unsubscribed::Limit(text) => disconnected(&Disconnect::Limit(text)),
        // What is not known yet.
        _ => (1013, "".into()),
    }
}

/// RFC 6455 §5.5: a control frame's payload has at most 125 bytes, two of which are the code.
fn reason(text: &str) -> Arc<str> {
    text[..text.floor_char_boundary(123)].into()
}
