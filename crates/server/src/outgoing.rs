//! [`Outgoing`]: the requests that the server itself makes, to fetch keys and to ask webhooks.

mod connector;
#[cfg(test)]
pub(crate) mod peer;

use std::{error::Error, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, Uri, uri::Authority};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use tokio::{sync::Semaphore, time};

use connector::Connector;
pub use connector::{Trust, TrustError};

/// The most bytes of an answer's head, up to what one read brings more; a longer one is [`Failure::Broken`].
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// The most fields of an answer's head; more are [`Failure::Broken`].
const FIELDS_MAX: usize = 64;

/// The longest deadline that counts.
const DEADLINE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Bounds of an [`Outgoing`] as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingLimits {
    /// Requests that are under way at once, 256 by default: as many descriptors may be in use. One more waits
    /// for its turn; if its deadline passes meanwhile, it fails as [`Failure::Busy`].
    pub requests_max: usize,
    /// How long a connection may take to open, its TLS included, 5 s by default. A later one is
    /// [`Failure::Unreachable`].
    pub connect_max: Duration,
    /// Connections to one host and port that are kept open without a request, 32 by default. More are closed.
    pub idle_connections_max: usize,
    /// How long a connection without a request is kept open, 30 s by default: less than most servers do, so that
    /// a request rarely meets a connection that closes.
    pub idle_max: Duration,
}

impl Default for OutgoingLimits {
    fn default() -> Self {
        Self {
            requests_max: 256,
            connect_max: Duration::from_secs(5),
            idle_connections_max: 32,
            idle_max: Duration::from_secs(30),
        }
    }
}

/// Bounds of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How long all of it may take: its turn, the connection, the request, the whole answer. At most a day.
    pub deadline: Duration,
    /// The most bytes of the answer's body.
    pub answer_bytes_max: usize,
}

/// Why there is no answer. Its text names neither the URL nor what was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The deadline passed before the request had its turn. Nothing was sent.
    Busy,
    /// There was no connection: the name, TCP or TLS failed. Nothing was sent.
    Unreachable(String),
    /// The deadline passed. The other side may have seen the request.
    Deadline,
    /// The answer's body is longer than [`Bounds::answer_bytes_max`]. The connection is closed.
    TooLarge,
    /// The connection broke, or what came is no HTTP. The other side may have seen the request.
    Broken(String),
}

impl Failure {
    /// Returns whether the other side has surely not seen the request, so that to repeat it is safe.
    pub fn never_sent(&self) -> bool {
        matches!(self, Self::Busy | Self::Unreachable(_))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("too many requests are under way"),
            Self::Unreachable(why) => write!(f, "no connection: {why}"),
            Self::Deadline => f.write_str("no whole answer in time"),
            Self::TooLarge => f.write_str("the answer is too large"),
            Self::Broken(why) => write!(f, "the connection broke: {why}"),
        }
    }
}

impl Error for Failure {}

/// Makes HTTP/1.1 requests, over TCP or TLS, and keeps connections for the next one. Its clones share all of that.
///
/// It follows no redirect, keeps no cookie, asks for no compression and heeds no proxy of the environment: an answer
/// is what the host of the URL said. It runs on tokio, outside the shards.
#[derive(Clone)]
pub struct Outgoing {
    client: Client<Connector, Full<Bytes>>,
    turns: Arc<Semaphore>,
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing").field("turns", &self.turns).finish_non_exhaustive()
    }
}

impl Outgoing {
    /// Makes a client without connections. With [`Trust::Platform`] it reads the platform's certificates from files.
    pub fn new(trust: &Trust, limits: &OutgoingLimits) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(limits.idle_max)
            .pool_max_idle_per_host(limits.idle_connections_max)
            .http1_max_buf_size(HEAD_BYTES_MAX)
            .http1_max_headers(FIELDS_MAX)
            .build(Connector::new(trust, limits.connect_max));
        let turns = limits.requests_max.clamp(1, Semaphore::MAX_PERMITS);
        Self { client, turns: Arc::new(Semaphore::new(turns)) }
    }

    /// Returns whether the other one is a clone of this.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.turns, &other.turns)
    }

    /// Sends a request and receives its whole answer, whatever its status is. The URI is one that [`parse_url`] made;
    /// `host` and `content-length` are added.
    ///
    /// A request that a kept connection refused unseen is sent again on another one; none is ever repeated that the
    /// other side may have seen.
    ///
    /// # Errors
    /// See [`Failure`].
    ///
    /// # Cancel safety
    /// Dropping the future gives the request up and closes its connection; the other side may have seen it.
    #[expect(clippy::missing_panics_doc, reason = "the semaphore is never closed")]
    pub async fn send(
        &self,
        request: Request<Bytes>,
        bounds: Bounds,
    ) -> Result<Response<Bytes>, Failure> {
        let until = time::Instant::now() + bounds.deadline.min(DEADLINE_MAX);
        let turn = time::timeout_at(until, self.turns.acquire()).await;
        let _turn = turn.map_err(|_| Failure::Busy)?.expect("the semaphore is never closed");
        time::timeout_at(until, self.exchange(request, bounds.answer_bytes_max))
            .await
            .unwrap_or(Err(Failure::Deadline))
    }

    async fn exchange(
        &self,
        request: Request<Bytes>,
        answer_bytes_max: usize,
    ) -> Result<Response<Bytes>, Failure> {
        let answer =
            self.client.request(request.map(Full::new)).await.map_err(|error| {
                match error.is_connect() {
                    true => Failure::Unreachable(innermost(&error)),
                    false => Failure::Broken(innermost(&error)),
                }
            })?;
        let (head, body) = answer.into_parts();
        // Told by its head, before a byte of it was read.
        if http_body::Body::size_hint(&body).lower() > answer_bytes_max as u64 {
            return Err(Failure::TooLarge);
        }
        match Limited::new(body, answer_bytes_max).collect().await {
            Ok(whole) => Ok(Response::from_parts(head, whole.to_bytes())),
            Err(error) if error.is::<LengthLimitError>() => Err(Failure::TooLarge),
            Err(error) => Err(Failure::Broken(innermost(&*error))),
        }
    }
}

/// The layers above only say where they were.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Why a URL is not one to send requests to. Its text does not repeat the URL, which may hold a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UrlError(&'static str);

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for UrlError {}

/// Reads an absolute `http` or `https` URL.
///
/// # Errors
/// If it is something else, or has a user's name or password in it, which would not be sent.
pub fn parse_url(text: &str) -> Result<Uri, UrlError> {
    let uri: Uri = text.parse().map_err(|_| UrlError("no URL"))?;
    match uri.scheme_str() {
        Some("http" | "https") => {}
        _ => return Err(UrlError("a URL must begin with http:// or https://")),
    }
    let authority = uri.authority().map_or("", Authority::as_str);
    if authority.contains('@') {
        return Err(UrlError("a URL must not have a user's name or password in it"));
    }
    match uri.host() {
        None | Some("") => Err(UrlError("a URL must have a host")),
        Some(_) => Ok(uri),
    }
}

/// Returns whether the host of a URL is this machine by its very name: `localhost`, `127.0.0.0/8` or `[::1]`.
pub fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or("").trim_start_matches('[').trim_end_matches(']');
    match host.parse::<std::net::IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests;
