//! Saying no, and sending clients away.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

/// Why the hub or the app says no to one request. The conversation goes on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// What kind of no it is; each dialect has its own words for it.
    pub kind: RefusalKind,
    /// Says more, for the client's developer. Inside details never stand here.
    pub text: Arc<str>,
    /// The app's own number, if it gave one.
    pub code: Option<u32>,
    /// What the app wants the client to know, a JSON text.
    pub details: Option<Bytes>,
}

/// What kind of no it is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum RefusalKind {
    /// The request makes no sense.
    BadRequest,
    /// Who asks has not said who it is, or could not prove it.
    Unauthorized,
    /// Who asks may not do this.
    Forbidden,
    /// A token was good once; with a fresh one the request may succeed.
    Expired,
    /// There is no such channel, method or session, or it is not to be seen.
    NotFound,
    /// The link is subscribed to it already.
    AlreadySubscribed,
    /// The namespace does not offer this.
    NotAvailable,
    /// A limit is reached; the text names it.
    Limit,
    /// Too many in too short a time; it may succeed after this.
    Rate(Duration),
    /// The position that was asked for is no longer in the history.
    Unrecoverable,
    /// The answer did not come in time.
    Deadline,
    /// The app could not be asked, or answered nonsense; it may succeed later.
    Unavailable,
    /// The app says no in words of its own.
    App,
}

impl Refusal {
    /// Says no.
    pub fn new(kind: RefusalKind, text: &str) -> Self {
        Self { kind, text: text.into(), code: None, details: None }
    }

    /// Tells whether the same request may succeed later without a change.
    pub fn is_temporary(&self) -> bool {
        use RefusalKind::{Deadline, Limit, Rate, Unavailable};
        matches!(self.kind, Limit | Rate(_) | Deadline | Unavailable)
    }
}

/// Why a client must go, and whether it may come back.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Disconnect {
    /// All was said.
    Done,
    /// It did not speak the dialect; it would not after coming back.
    BadRequest,
    /// It did not say in time who it is.
    Unauthorized,
    /// It fell silent.
    Stale,
    /// It read too slowly; it may come back and recover.
    Slow,
    /// Its rights have ended; it may come back with fresh ones.
    Expired,
    /// Its rights were taken back.
    Revoked,
    /// What it missed can't be told any more; it may come back and begin anew.
    InsufficientState,
    /// A limit is reached; the text names it. It may come back later.
    Limit(&'static str),
    /// It sent more than it may in the time.
    Rate,
    /// The server goes away; it may come back, after this time if there is one.
    Shutdown(Option<Duration>),
    /// Another connection took its session over.
    Replaced,
    /// The app, or whoever runs the server, says so.
    App {
        /// A number of the app's own: a close code from 4000 to 4999.
        code: u16,
        /// A reason, at most 123 bytes of which reach a WebSocket.
        reason: Arc<str>,
        /// Whether it may come back.
        may_return: bool,
    },
}

impl Disconnect {
    /// Tells whether the client may come back by itself.
    pub fn may_return(&self) -> bool {
        match self {
            Self::Done | Self::BadRequest | Self::Unauthorized | Self::Revoked | Self::Replaced => {
                false
            }
            Self::Stale
            | Self::Slow
            | Self::Expired
            | Self::InsufficientState
            | Self::Limit(_)
            | Self::Rate
            | Self::Shutdown(_) => true,
            Self::App { may_return, .. } => *may_return,
        }
    }
}
