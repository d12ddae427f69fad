//! The protocol's numbers: errors, reasons to unsubscribe, reasons to leave.

use std::{borrow::Cow, time::Duration};

use taiwa_core::{Disconnect, Refusal, RefusalKind, Unsubscribed};

use crate::wire::Error;

/// Tells the client why it is refused. The numbers up to 399 are the protocol's; an app has those from 400 to 1999.
pub(super) fn error(refusal: &Refusal) -> Error<'_> {
    let (code, word) = match refusal.kind {
        RefusalKind::Unauthorized => (101, "unauthorized"),
        RefusalKind::NotFound => (102, "unknown channel"),
        RefusalKind::Forbidden => (103, "permission denied"),
        RefusalKind::AlreadySubscribed => (105, "already subscribed"),
        RefusalKind::Limit => (106, "limit exceeded"),
        RefusalKind::BadRequest => (107, "bad request"),
        RefusalKind::NotAvailable => (108, "not available"),
        RefusalKind::Expired => (109, "token expired"),
        RefusalKind::Rate(_) => (111, "too many requests"),
        RefusalKind::Unrecoverable => (112, "unrecoverable position"),
        RefusalKind::App => (400, "refused"),
        _ => (100, "internal server error"),
    };
    // PyPI's client wants a text.
    let message = if refusal.text.is_empty() { word } else { &refusal.text };
    Error { code: refusal.code.unwrap_or(code), message, temporary: refusal.is_temporary() }
}

/// Tells the client why its call is refused: a method that nobody knows is no channel that nobody knows.
pub(super) fn call_error(refusal: &Refusal) -> Error<'_> {
    let error = error(refusal);
    match refusal.kind {
        RefusalKind::NotFound => Error {
            code: refusal.code.unwrap_or(104),
            message: if refusal.text.is_empty() { "method not found" } else { error.message },
            ..error
        },
        _ => error,
    }
}

/// The request can't be one.
pub(super) const BAD_REQUEST: Error<'_> =
    Error { code: 107, message: "bad request", temporary: false };

/// We do not do that.
pub(super) const NOT_AVAILABLE: Error<'_> =
    Error { code: 108, message: "not available", temporary: false };

/// The history does not reach back to what the client has.
pub(super) const UNRECOVERABLE: Error<'_> =
    Error { code: 112, message: "unrecoverable position", temporary: false };

/// The hub answered something else than was asked.
pub(super) const INTERNAL: Error<'_> =
    Error { code: 100, message: "internal server error", temporary: true };

/// From this number on a client subscribes again.
pub(super) const RESUBSCRIBE: u32 = 2500;

/// Tells why a subscription ended.
pub(super) fn unsubscribed(why: &Unsubscribed) -> (u32, &str) {
    match why {
        Unsubscribed::Slow => (RESUBSCRIBE, "slow"),
        Unsubscribed::InsufficientState => (RESUBSCRIBE, "insufficient state"),
        Unsubscribed::Expired => (2501, "subscription expired"),
        Unsubscribed::Limit(which) => (2000, which),
        _ => (2000, "server unsubscribe"),
    }
}

/// How long a reason fits into a Close frame beside its code.
///
/// RFC 6455 §5.5: "All control frames MUST have a payload length of 125 bytes or less".
const REASON_BYTES_MAX: usize = 123;

/// Why a client leaves: a close code and its reason.
pub(super) struct Ending {
    pub(super) code: u16,
    pub(super) reason: Cow<'static, str>,
}

impl Ending {
    pub(super) const CLOSED: Self = Self::new(3000, "connection closed");
    pub(super) const INSUFFICIENT_STATE: Self = Self::new(3010, "insufficient state");
    pub(super) const NO_PONG: Self = Self::new(3012, "no pong");
    pub(super) const RATE: Self = Self::new(3013, "too many requests");
    pub(super) const INVALID_TOKEN: Self = Self::new(3500, "invalid token");
    pub(super) const BAD_REQUEST: Self = Self::new(3501, "bad request");
    pub(super) const STALE: Self = Self::new(3502, "stale");

    const fn new(code: u16, reason: &'static str) -> Self {
        Self { code, reason: Cow::Borrowed(reason) }
    }

    /// Says why the hub sends a client away. The protocol's own terminal numbers for limits would keep a client away that
    /// may come back, so a limit is told as too many requests.
    pub(super) fn of(why: &Disconnect) -> Self {
        match why {
            Disconnect::Done => Self::new(3503, "force disconnect"),
            Disconnect::BadRequest => Self::BAD_REQUEST,
            Disconnect::Unauthorized => Self::STALE,
            Disconnect::Stale => Self::NO_PONG,
            Disconnect::Slow => Self::new(3008, "slow"),
            Disconnect::Expired => Self::new(3005, "connection expired"),
            Disconnect::Revoked => Self::INVALID_TOKEN,
            Disconnect::InsufficientState => Self::INSUFFICIENT_STATE,
            Disconnect::Limit(which) => Self::new(3013, which),
            Disconnect::Rate => Self::RATE,
            Disconnect::Shutdown(_) => Self::new(3001, "shutdown"),
            Disconnect::Replaced => Self::new(3503, "replaced"),
            Disconnect::App { code, reason, may_return } => Self {
                code: application(*code, *may_return),
                reason: Cow::Owned(
                    reason[..reason.floor_char_boundary(REASON_BYTES_MAX)].to_owned(),
                ),
            },
            _ if why.may_return() => Self::new(3011, "force reconnect"),
            _ => Self::new(3503, "force disconnect"),
        }
    }

    /// Tells whether a client comes back after it.
    pub(super) fn returns(&self) -> bool {
        !matches!(self.code, 3500..=3999 | 4500..=4999)
    }
}

/// Moves an app's number to where clients read from it whether they may come back: 4000 to 4499, otherwise 4500 to 4999.
fn application(code: u16, may_return: bool) -> u16 {
    code % 500 + if may_return { 4000 } else { 4500 }
}

/// Writes a time to live: whole seconds, not more than there are, but at least one.
pub(super) fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_return_returns() {
        let app = |code, may_return| Disconnect::App { code, reason: "x".into(), may_return };
        for (why, code) in [
            (Disconnect::Done, 3503),
            (Disconnect::BadRequest, 3501),
            (Disconnect::Unauthorized, 3502),
            (Disconnect::Stale, 3012),
            (Disconnect::Slow, 3008),
            (Disconnect::Expired, 3005),
            (Disconnect::Revoked, 3500),
            (Disconnect::InsufficientState, 3010),
            (Disconnect::Limit("sessions"), 3013),
            (Disconnect::Rate, 3013),
            (Disconnect::Shutdown(None), 3001),
            (Disconnect::Replaced, 3503),
            (app(4000, true), 4000),
            (app(4000, false), 4500),
            (app(4999, true), 4499),
            (app(4999, false), 4999),
        ] {
            let ending = Ending::of(&why);
            assert_eq!(ending.code, code, "{why:?}");
            assert_eq!(ending.returns(), why.may_return(), "{why:?}");
            assert!(!ending.reason.is_empty(), "{why:?}");
        }
    }

    #[test]
    fn long_reasons_are_cut_between_characters() {
        for (len, expected) in [(61, 122), (62, 122), (100, 122)] {
            let reason = "é".repeat(len).into();
            let why = Disconnect::App { code: 4000, reason, may_return: true };
            assert_eq!(Ending::of(&why).reason.len(), expected);
        }
    }

    #[test]
    fn refusals_have_the_numbers_of_the_protocol() {
        use RefusalKind::*;
        for (kind, code, temporary) in [
            (Unauthorized, 101, false),
            (NotFound, 102, false),
            (Forbidden, 103, false),
            (AlreadySubscribed, 105, false),
            (Limit, 106, true),
            (BadRequest, 107, false),
            (NotAvailable, 108, false),
            (Expired, 109, false),
            (Rate(Duration::from_secs(1)), 111, true),
            (Unrecoverable, 112, false),
            (App, 400, false),
            (Deadline, 100, true),
            (Unavailable, 100, true),
        ] {
            let refusal = Refusal::new(kind, "");
            let error = error(&refusal);
            assert_eq!((error.code, error.temporary), (code, temporary), "{kind:?}");
            assert!(!error.message.is_empty(), "{kind:?}");
        }
        let refusal = Refusal { code: Some(1042), ..Refusal::new(App, "too late") };
        assert_eq!(error(&refusal), Error { code: 1042, message: "too late", temporary: false });
    }

    #[test]
    fn times_to_live_are_whole_seconds() {
        for (millis, expected) in [(0, 1), (999, 1), (1999, 1), (60_000, 60)] {
            assert_eq!(seconds(Duration::from_millis(millis)), expected);
        }
        assert_eq!(seconds(Duration::MAX), u32::MAX);
    }
}
