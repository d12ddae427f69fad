//! Why clients are refused, and why they leave.

use std::borrow::Cow;

use serde_json::value::RawValue;
use taiwa_core::{Disconnect, Payload, Refusal, RefusalKind, Unsubscribed};

use crate::{encode::inside, wire::quoted};

/// The topic of heartbeats, and of what the app says to one client outside of all channels. It is no channel.
pub(super) const SYSTEM: &str = "phoenix";

/// There is no such channel, or it is not joined.
pub(super) const UNMATCHED: &str = "unmatched topic";
pub(super) const TOO_MANY_CHANNELS: &str = "too many channels joined";
pub(super) const TOO_MANY_PUSHES: &str = "too many pushes wait for an answer";
pub(super) const RESERVED: &str = "this event is the protocol's own";
/// The hub answered something else than was asked.
pub(super) const INTERNAL: &str = "internal server error";

/// Says why in the words of all Phoenix apps.
pub(super) fn reason(text: &str) -> Payload {
    Payload::Json(format!("{{\"reason\":{}}}", quoted(text)).into())
}

/// Says why the hub or the app refuses. What the app gives as details is the answer, with a reason if it has none.
pub(super) fn refused(refusal: &Refusal) -> Payload {
    let text = match refusal.kind {
        RefusalKind::NotFound => UNMATCHED,
        _ if !refusal.text.is_empty() => &refusal.text,
        RefusalKind::Unauthorized => "unauthorized",
        RefusalKind::Forbidden => "forbidden",
        RefusalKind::Expired => "expired",
        RefusalKind::Limit => "limit reached",
        RefusalKind::Rate(_) => "too many requests",
        RefusalKind::BadRequest => "bad request",
        RefusalKind::NotAvailable => "not available",
        RefusalKind::Deadline => "timeout",
        RefusalKind::Unavailable => "unavailable",
        _ => "refused",
    };
    call_refused(refusal, text)
}

/// Says why a call is refused: a method that nobody knows is no topic that nobody knows.
pub(super) fn call_refused(refusal: &Refusal, text: &str) -> Payload {
    let mut own = vec![("reason", quoted(text))];
    own.extend(refusal.code.map(|it| ("code", it.to_string())));
    with_own(own, refusal.details.as_ref().map(|it| Payload::Json(it.clone())).as_ref())
}

/// Adds names to an object; where it has them already its own count. What is no object stands under `data`.
pub(super) fn with_own(own: Vec<(&str, String)>, data: Option<&Payload>) -> Payload {
    let theirs = data.and_then(|it| match it {
        Payload::Json(text) => inside(text),
        _ => None,
    });
    if let (true, Some(_), Some(data)) = (own.is_empty(), &theirs, data) {
        return data.clone();
    }
    let mut fields: Vec<(Cow<'_, str>, Cow<'_, str>)> = own
        .into_iter()
        .filter(|(name, _)| theirs.as_ref().is_none_or(|it| !it.contains_key(*name)))
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    match (theirs, data) {
        (Some(theirs), _) => {
            let theirs = theirs.into_iter();
            fields.extend(theirs.map(|(k, v): (_, &RawValue)| (k.into(), v.get().into())));
        }
        (None, Some(data)) => {
            let text = crate::wire::json_text(data);
            fields.push(("data".into(), String::from_utf8_lossy(&text).into_owned().into()));
        }
        (None, None) => {}
    }
    let fields: Vec<_> = fields.iter().map(|(k, v)| format!("{}:{v}", quoted(k))).collect();
    Payload::Json(format!("{{{}}}", fields.join(",")).into())
}

/// Says why the server ended a subscription; `None` if it did so in good order, after which a client does not join again.
pub(super) fn unsubscribed(why: &Unsubscribed) -> Option<&str> {
    Some(match why {
        Unsubscribed::App => return None,
        Unsubscribed::Expired => "expired",
        Unsubscribed::Slow => "slow",
        Unsubscribed::Limit(which) => which,
        _ => "insufficient state",
    })
}

/// RFC 6455 §5.5: "All control frames MUST have a payload length of 125 bytes or less"; two of them are the code.
const REASON_BYTES_MAX: usize = 123;

/// A client of Phoenix comes back from every close code but this one, and some not from 1008.
const NEVER_AGAIN: u16 = 1000;

/// Why a client leaves: a close code and its reason.
pub(super) struct Ending {
    pub(super) code: u16,
    pub(super) reason: Cow<'static, str>,
}

impl Ending {
    pub(super) const DONE: Self = Self::new(NEVER_AGAIN, "done");
    pub(super) const BAD_REQUEST: Self = Self::new(NEVER_AGAIN, "bad request");
    pub(super) const STALE: Self = Self::new(1001, "silent for too long");
    pub(super) const SLOW: Self = Self::new(1001, "slow reader");
    pub(super) const RATE: Self = Self::new(1013, "too much in too short a time");

    const fn new(code: u16, reason: &'static str) -> Self {
        Self { code, reason: Cow::Borrowed(reason) }
    }

    /// Says why a client may not come in. With a fresh token, or later, it may: then it comes back.
    pub(super) fn refused(refusal: &Refusal) -> Self {
        let text = if refusal.text.is_empty() { "refused" } else { &refusal.text };
        let returns = refusal.is_temporary() || refusal.kind == RefusalKind::Expired;
        Self { code: if returns { 1013 } else { NEVER_AGAIN }, reason: cut(text) }
    }

    /// Says why the hub sends a client away.
    pub(super) fn of(why: &Disconnect) -> Self {
        match why {
            Disconnect::Done => Self::DONE,
            Disconnect::BadRequest => Self::BAD_REQUEST,
            Disconnect::Unauthorized => Self::new(NEVER_AGAIN, "unauthorized"),
            Disconnect::Revoked => Self::new(NEVER_AGAIN, "rights were taken back"),
            Disconnect::Replaced => Self::new(NEVER_AGAIN, "replaced by another connection"),
            Disconnect::Stale => Self::STALE,
            Disconnect::Slow => Self::SLOW,
            Disconnect::Rate => Self::RATE,
            Disconnect::Expired => Self::new(1001, "rights have ended"),
            Disconnect::InsufficientState => Self::new(1001, "something was missed"),
            Disconnect::Limit(which) => Self::new(1013, which),
            Disconnect::Shutdown(_) => Self::new(1012, "the server goes away"),
            Disconnect::App { code, reason, may_return } => {
                let code = match may_return {
                    false => NEVER_AGAIN,
                    true if (4000..=4999).contains(code) => *code,
                    true => 1001,
                };
                Self { code, reason: cut(reason) }
            }
            _ if why.may_return() => Self::new(1001, "disconnected"),
            _ => Self::new(NEVER_AGAIN, "disconnected"),
        }
    }

    /// Tells whether the client comes back.
    pub(super) fn returns(&self) -> bool {
        self.code != NEVER_AGAIN
    }
}

fn cut(reason: &str) -> Cow<'static, str> {
    Cow::Owned(reason[..reason.floor_char_boundary(REASON_BYTES_MAX)].to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn who_may_return_returns() {
        let app = |code, may_return| Disconnect::App { code, reason: "x".into(), may_return };
        for (why, code) in [
            (Disconnect::Done, 1000),
            (Disconnect::BadRequest, 1000),
            (Disconnect::Unauthorized, 1000),
            (Disconnect::Stale, 1001),
            (Disconnect::Slow, 1001),
            (Disconnect::Expired, 1001),
            (Disconnect::Revoked, 1000),
            (Disconnect::InsufficientState, 1001),
            (Disconnect::Limit("sessions"), 1013),
            (Disconnect::Rate, 1013),
            (Disconnect::Shutdown(None), 1012),
            (Disconnect::Replaced, 1000),
            (app(4000, true), 4000),
            (app(4000, false), 1000),
            (app(1000, true), 1001),
        ] {
            let ending = Ending::of(&why);
            assert_eq!(ending.code, code, "{why:?}");
            assert_eq!(ending.returns(), why.may_return(), "{why:?}");
            assert!(!ending.reason.is_empty(), "{why:?}");
        }
    }

    #[test]
    fn refusals_say_why_and_what_the_app_adds() {
        #[track_caller]
        fn check(refusal: &Refusal, expected: &str) {
            let Payload::Json(text) = refused(refusal) else { panic!("no JSON") };
            assert_eq!(text, expected);
        }
        use RefusalKind::*;
        for (kind, expected) in [
            (Unauthorized, "unauthorized"),
            (Forbidden, "forbidden"),
            (NotFound, "unmatched topic"),
            (Rate(Duration::ZERO), "too many requests"),
            (App, "refused"),
        ] {
            check(&Refusal::new(kind, ""), &format!("{{\"reason\":\"{expected}\"}}"));
        }
        check(&Refusal::new(App, "go away"), r#"{"reason":"go away"}"#);
        let with = |details: &'static str| Refusal {
            code: Some(7),
            details: Some(details.into()),
            ..Refusal::new(App, "no")
        };
        check(&with(r#"{"why":[1]}"#), r#"{"reason":"no","code":7,"why":[1]}"#);
        check(&with(r#"{"reason":"mine","code":1}"#), r#"{"code":1,"reason":"mine"}"#);
        check(&with("[1]"), r#"{"reason":"no","code":7,"data":[1]}"#);
    }

    #[test]
    fn long_reasons_are_cut_between_characters() {
        for (len, expected) in [(61, 122), (62, 122), (100, 122)] {
            let reason = "é".repeat(len).into();
            let why = Disconnect::App { code: 4000, reason, may_return: true };
            assert_eq!(Ending::of(&why).reason.len(), expected);
        }
    }
}
