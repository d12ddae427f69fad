//! Errors by blame: the peer, our caller, the world.

mod proxy;

use std::{fmt, io};

use bytes::Bytes;
use http::StatusCode;
use taiwa_proto::{
    CloseCode, Closed, Deadline, Fault, Message, Misuse,
    h1::H1Fault,
    handshake::{HandshakeFault, HandshakeMisuse},
};

pub use proxy::{ProxyError, ProxyFault};

/// Why a call did not do what it was asked to.
///
/// A normal close is not an error: [`WebSocket::recv`](crate::WebSocket::recv) returns `None` for it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), taiwa::Error> {
/// # let server = taiwa::Server::bind("127.0.0.1:0").await?;
/// # let url = format!("ws://{}/", server.local_addr()?);
/// # tokio::spawn(server.serve(|it: taiwa::Upgrade| it.reject(401, "token please")).into_future());
/// use taiwa::Error;
///
/// match taiwa::connect(&url).await {
///     Ok(socket) => println!("{socket:?}"),
///     Err(Error::Refused(response)) => {
///         assert_eq!(response.status(), 401);
///         assert_eq!(&response.body()[..], b"token please");
///     }
///     Err(error) if error.is_retryable() => println!("later: {error}"),
///     Err(error) => return Err(error),
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The peer broke a rule of the protocol or a limit of ours. It was sent a Close frame with
    /// [`Fault::close_code`] before this was returned.
    Fault(Fault),
    /// The peer let a deadline pass.
    Late(Deadline),
    /// The connection ended without a Close frame (1006).
    Lost,
    /// The connection is closed; there is nothing to send on.
    Closed(Closed),
    /// Our caller asked for something that can't be done. The connection is unharmed.
    Misuse(Misuse),
    /// The answer to a ping did not come before the messages that came ahead of it filled
    /// [`Limits::message_bytes_max`](crate::Limits::message_bytes_max). Receive them first.
    Busy,
    /// More than [`Limits::outbox_bytes_max`](crate::Limits::outbox_bytes_max) bytes wait for the peer to
    /// read them. Of a [`Handle`](crate::events::Handle): one more message came, and the connection was
    /// closed for it. Of a Ping or Pong: it was not queued, and the connection is unharmed.
    OutboxFull,
    /// In a browser: messages were not received in time and filled
    /// [`Limits::inbox_bytes_max`](crate::Limits::inbox_bytes_max). The connection was closed with 4008.
    InboxFull,
    /// The server answered the opening handshake with something else than an upgrade: here is its
    /// response, with as much of the body as came with it (at most
    /// [`Limits::handshake_bytes_max`](crate::Limits::handshake_bytes_max)).
    Refused(Box<http::Response<Bytes>>),
    /// The server redirected the opening handshake to where the client does not go. Only with
    /// [`ClientBuilder::redirects`](crate::ClientBuilder::redirects).
    Redirect(RedirectFault),
    /// The proxy did not lead to the server: which one, and why.
    Proxy(Box<ProxyError>),
    /// The server's response 101 breaks a rule of the opening handshake (RFC 6455 §4.1).
    Handshake(HandshakeFault),
    /// What the server sent is no HTTP, or passes a limit.
    Http(H1Fault),
    /// [`Upgrade::accept`](crate::Upgrade::accept) or [`reject`](crate::Upgrade::reject) was called where the
    /// answer is a response to return: of [`Upgrade::on_upgrade`](crate::Upgrade::on_upgrade), or another.
    ResponseExpected,
    /// The URL, a header or a subprotocol that was asked for can't be requested.
    Request(HandshakeMisuse),
    /// The name or value of a header is none (RFC 9110 §5.1, §5.5).
    Header(http::Error),
    /// A certificate, a key or a TLS handshake is bad.
    Tls(io::Error),
    /// The transport failed: connecting, reading or writing.
    Io(io::Error),
}

impl Error {
    /// Returns the close code that belongs to the error: the one we sent, the one we received, or 1006
    /// if the connection ended without any. `None` if the error did not end an open connection.
    pub fn close_code(&self) -> Option<CloseCode> {
        match self {
            Self::Fault(fault) => Some(fault.close_code()),
            Self::Late(Deadline::Handshake) => None,
            Self::Late(deadline) => Some(deadline.close_code().unwrap_or(CloseCode::ABNORMAL)),
            Self::Lost | Self::Io(_) => Some(CloseCode::ABNORMAL),
            Self::Closed(closed) => Some(closed.code),
            Self::InboxFull => Some(CloseCode::POLICY_VIOLATION),
            Self::Handshake(HandshakeFault::ExtensionMissing) => {
                Some(CloseCode::MANDATORY_EXTENSION)
            }
            Self::Misuse(_) | Self::Busy | Self::Refused(_) | Self::Handshake(_) => None,
            Self::ResponseExpected | Self::OutboxFull => None,
            Self::Redirect(_)
            | Self::Proxy(_)
            | Self::Http(_)
            | Self::Request(_)
            | Self::Header(_)
            | Self::Tls(_) => None,
        }
    }

    /// Tells whether the same attempt may succeed later: after a lost transport, a passed deadline,
    /// a close with 1001, 1006, 1011 to 1014, a refusal with 408, 425, 429 or 5xx (except 501 and 505), by
    /// the server or an HTTP proxy, and a SOCKS proxy's replies 1 and 3 to 6.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Late(_)
            | Self::Lost
            | Self::Io(_)
            | Self::Busy
            | Self::InboxFull
            | Self::OutboxFull => true,
            Self::Closed(closed) => matches!(closed.code.get(), 1001 | 1006 | 1011..=1014),
            Self::Refused(response) => is_passing(response.status()),
            Self::Proxy(error) => match error.fault() {
                ProxyFault::Io(_) => true,
                ProxyFault::Refused(response) => is_passing(response.status()),
                // RFC 1928 §6: failures, but not the proxy's rules, nor what it can't do at all.
                ProxyFault::SocksRefused(reply) => matches!(reply, 1 | 3..=6),
                _ => false,
            },
            Self::Fault(_) | Self::Misuse(_) | Self::Handshake(_) => false,
            Self::ResponseExpected => false,
            Self::Redirect(_)
            | Self::Http(_)
            | Self::Request(_)
            | Self::Header(_)
            | Self::Tls(_) => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(fault) => write!(f, "the peer broke the protocol: {fault}"),
            Self::Late(deadline) => write!(f, "too late: {deadline}"),
            Self::Lost => f.write_str("the connection ended without a Close frame"),
            Self::Closed(closed) => write!(f, "the connection is closed ({})", closed.code),
            Self::Misuse(misuse) => misuse.fmt(f),
            Self::ResponseExpected => {
                f.write_str("this upgrade is answered by returning a response: that of on_upgrade")
            }
            Self::OutboxFull => f.write_str("the peer reads too slowly: the outbox is full"),
            Self::Busy => f.write_str("too many messages came before the answer to the ping"),
            Self::InboxFull => f.write_str("messages were not received in time"),
            Self::Refused(response) => write!(f, "refused with status {}", response.status()),
            Self::Redirect(fault) => fault.fmt(f),
            Self::Proxy(error) => error.fmt(f),
            Self::Handshake(fault) => write!(f, "bad opening handshake: {fault}"),
            Self::Http(fault) => write!(f, "bad answer to the opening handshake: {fault}"),
            Self::Request(misuse) => write!(f, "can't be requested: {misuse}"),
            Self::Header(error) => write!(f, "bad header: {error}"),
            Self::Tls(error) => write!(f, "TLS: {error}"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Fault(it) => Some(it),
            Self::Late(it) => Some(it),
            Self::Misuse(it) => Some(it),
            Self::Redirect(it) => Some(it),
            Self::Proxy(it) => Some(it),
            Self::Handshake(it) => Some(it),
            Self::Http(it) => Some(it),
            Self::Request(it) => Some(it),
            Self::Header(it) => Some(it),
            Self::Tls(it) | Self::Io(it) => Some(it),
            Self::Lost | Self::Closed(_) | Self::Busy | Self::InboxFull | Self::Refused(_) => None,
            Self::ResponseExpected | Self::OutboxFull => None,
        }
    }
}

/// Says whether a server that refused with this status may accept later.
fn is_passing(status: StatusCode) -> bool {
    match status.as_u16() {
        501 | 505 => false,
        408 | 425 | 429 | 500..=599 => true,
        _ => false,
    }
}

/// Why a redirect was not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedirectFault {
    /// One more than [`ClientBuilder::redirects`](crate::ClientBuilder::redirects) allows; perhaps they
    /// lead in a circle.
    TooMany {
        /// How many were followed.
        max: u32,
    },
    /// `Location` is there twice, is no URL, or not one of `ws`, `wss`, `http` or `https` without a
    /// fragment.
    Location,
    /// From `wss` (or `https`) to `ws` (or `http`): what was to be secret would go in the clear.
    Downgrade,
}

impl fmt::Display for RedirectFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany { max } => write!(f, "one redirect more than the {max} allowed"),
            Self::Location => f.write_str("a redirect to what is no WebSocket URL"),
            Self::Downgrade => f.write_str("a redirect from wss to ws, which would give up TLS"),
        }
    }
}

impl std::error::Error for RedirectFault {}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Misuse> for Error {
    fn from(misuse: Misuse) -> Self {
        Self::Misuse(misuse)
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Why [`WebSocket::try_send`](crate::WebSocket::try_send) gave a message back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrySendError {
    /// [`Limits::outbox_bytes_max`](crate::Limits::outbox_bytes_max) bytes wait for the peer to read.
    Full(Message),
    /// The connection is closing or closed.
    Closing(Message),
}

impl TrySendError {
    /// Takes the message back.
    pub fn into_message(self) -> Message {
        match self {
            Self::Full(message) | Self::Closing(message) => message,
        }
    }
}

impl fmt::Display for TrySendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "the outbox is full",
            Self::Closing(_) => "the connection is closing",
        })
    }
}

impl std::error::Error for TrySendError {}
