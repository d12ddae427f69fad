//! [`VersionSteps`]: what was tried until there was a connection for a WebSocket.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::Version;
use tokio::time::Instant;

use super::h3::Alternative;

/// What was tried for a WebSocket whose version of HTTP was open, in order, each with the time since it was asked for: an extension of
/// the response that [`Client::open`](crate::Client::open) returns for `wss` URLs, beside [`VersionReason`](crate::VersionReason).
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), taiwa::Error> {
/// use taiwa::{Client, VersionSteps};
///
/// let (socket, response) = Client::builder().build()?.open("wss://feed.example/").await?;
/// if let Some(VersionSteps(steps)) = response.extensions().get() {
///     for (after, step) in steps.iter() {
///         println!("after {} ms: {step}", after.as_millis());
///     }
/// }
/// # drop(socket);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionSteps(pub Arc<[(Duration, VersionStep)]>);

/// One of the [`VersionSteps`]. Its `Display` is a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VersionStep {
    /// A connection of this version is open and has room: it is used.
    Shared(Version),
    /// HTTP/3 is not tried at this host and port, where it could not be reached, for so long.
    Http3Avoided {
        /// Host and port.
        at: String,
        /// How long it is remembered.
        within: Duration,
    },
    /// HTTP/3 is tried at this host and port of UDP.
    Http3Began {
        /// Host and port.
        at: String,
    },
    /// HTTP/3 can't be used there, which is remembered for a while.
    Http3Failed {
        /// Host and port.
        at: String,
        /// What an error says.
        why: String,
    },
    /// TCP was ready first. HTTP/3 goes on for the WebSockets that come later.
    Http3Outrun {
        /// Host and port.
        at: String,
    },
    /// The server of that place does not serve this origin (421, RFC 7838 §6).
    Http3Misdirected {
        /// Host and port.
        at: String,
    },
    /// TCP, and TLS on it, is begun.
    TcpBegan,
    /// TCP, or what is spoken on it, failed.
    TcpFailed {
        /// What an error says.
        why: String,
    },
    /// HTTP/3 was ready first.
    TcpOutrun,
    /// A connection of this version is ready: it is used.
    Ready(Version),
    /// The connection took no request: another one is looked for.
    Unprocessed {
        /// What an error says.
        why: String,
    },
    /// The server wants HTTP/1.1 for it.
    Http1Required,
}

impl fmt::Display for VersionStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shared(version) => write!(f, "an open connection of {version:?} has room"),
            Self::Http3Avoided { at, within } => write!(
                f,
                "HTTP/3 at {at} could not be reached before, so it is not tried for another {} s",
                within.as_secs()
            ),
            Self::Http3Began { at } => write!(f, "HTTP/3 is tried at {at} (UDP)"),
            Self::Http3Failed { at, why } => write!(f, "HTTP/3 at {at} failed: {why}"),
            Self::Http3Outrun { at } => {
                write!(f, "HTTP/3 at {at} has not answered yet: TCP was first")
            }
            Self::Http3Misdirected { at } => {
                write!(f, "HTTP/3 at {at} does not serve this origin")
            }
            Self::TcpBegan => f.write_str("TCP is tried"),
            Self::TcpFailed { why } => write!(f, "TCP failed: {why}"),
            Self::TcpOutrun => f.write_str("TCP is given up: HTTP/3 was first"),
            Self::Ready(version) => write!(f, "{version:?} is ready for a WebSocket"),
            Self::Unprocessed { why } => write!(f, "another connection is needed: {why}"),
            Self::Http1Required => f.write_str("the server wants HTTP/1.1 for it"),
        }
    }
}

/// Takes the steps down.
pub(super) struct Trace {
    began: Instant,
    steps: Mutex<Vec<(Duration, VersionStep)>>,
}

impl Trace {
    pub(super) fn begin() -> Self {
        Self { began: Instant::now(), steps: Mutex::default() }
    }

    pub(super) fn note(&self, step: VersionStep) {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        steps.push((self.began.elapsed(), step));
    }

    /// Notes that HTTP/3 is not tried somewhere, once.
    pub(super) fn note_avoided(&self, at: &Alternative, within: Duration) {
        let steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        let is_noted = steps.iter().any(|(_, it)| matches!(it, VersionStep::Http3Avoided { .. }));
        drop(steps);
        if !is_noted {
            self.note(VersionStep::Http3Avoided { at: at.to_string(), within });
        }
    }

    pub(super) fn steps(self) -> VersionSteps {
        VersionSteps(self.steps.into_inner().unwrap_or_else(PoisonError::into_inner).into())
    }
}
