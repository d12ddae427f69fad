//! [`Reconnecting`]: opens a connection again and again, with pauses that spare the server.

mod backoff;
mod attempt;
mod socket;

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, SystemTime},
};

use http::{Response, header::RETRY_AFTER};
use tokio::time::{Instant, Sleep, sleep};

use crate::{client::Client, error::Error, scratch::with_scratch, websocket::WebSocket};
pub use attempt::Attempt;
use attempt::Prepare;
pub use backoff::Backoff;
pub use socket::{Disconnected, ReconnectEvent, ReconnectingWebSocket, SendError};

type Opened = (WebSocket, Response<()>);

/// Opens connections to one URL, one after the other: made by
/// [`Client::reconnecting`](crate::Client::reconnecting).
///
/// [`next`](Self::next) gives one [`WebSocket`] after the other, to be used as any.
/// [`into_socket`](Self::into_socket) makes one object that reconnects by itself and tells of it.
///
/// What is tried again, unless [`retry_if`](Self::retry_if) says otherwise, is [`Error::is_retryable`]:
///
/// | what happened | |
/// |---|---|
/// | no name, no route, connection refused or lost, a passed deadline, 1006 | again |
/// | refused with 408, 425, 429, or 5xx except 501 and 505 | again, after `Retry-After` |
/// | closed with 1001, 1011, 1012, 1013, 1014 | again |
/// | closed with 1000, or without a code (1005) | the end: the peer has no more to say |
/// | closed with 1002, 1003, 1007, 1008, 1009, 1010 | the end: it would happen again |
/// | closed with 3000 to 4999, which the server gave a meaning | the end, unless you know it |
/// | refused with another status, a redirect that is not followed | the end |
/// | a bad URL or header, bad TLS, a fault of the peer against HTTP or RFC 6455 | the end |
///
/// How long it waits, and when it gives up, is in [`Backoff`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), taiwa::Error> {
/// # let server = taiwa::Server::bind("127.0.0.1:0").await?;
/// # let url = format!("ws://{}/", server.local_addr()?);
/// # tokio::spawn(server.serve(|it: taiwa::Upgrade| async move {
/// #     it.accept().await?.send("news").await
/// # }).into_future());
/// use taiwa::Client;
///
/// let client = Client::builder().build()?;
/// let mut feed = client.reconnecting(&url);
/// loop {
///     let mut socket = feed.next().await?;
///     while let Ok(Some(message)) = socket.recv().await {
///         println!("{message:?}");
///     }
///     if !feed.goes_on_after(&socket) {
///         return Ok(()); // closed with 1000: the server has no more to say
///     }
/// }
/// # }
/// ```
#[must_use = "call `next` or `into_socket`"]
pub struct Reconnecting {
    client: Client,
    url: String,
    backoff: Backoff,
    prepare: Option<Prepare>,
    retry_if: Box<dyn Fn(&Error) -> bool + Send>,
    state: State,
    trouble: Trouble,
}

/// ```text
///          ┌──────────── failed ────────────┐
///          ▼                                │
/// Idle ─► Waiting ──► Opening ──► Open ─────┤
///  │                     ▲                  │
///  └─────────────────────┘    gave up ─► Idle
/// ```
enum State {
    /// The next call begins at once.
    Idle,
    Waiting(Pin<Box<Sleep>>),
    Opening(Pin<Box<dyn Future<Output = Result<Opened, Error>> + Send>>),
    /// The connection was handed out.
    Open {
        since: Instant,
    },
}

/// What went wrong since a connection last lasted.
#[derive(Default)]
struct Trouble {
    /// Attempts begun.
    attempts: u32,
    /// Pauses made.
    pauses: u32,
    since: Option<Instant>,
}

/// What became of an attempt or a connection.
enum Outcome {
    Open(Opened),
    /// The next attempt begins after a pause.
    Failed {
        why: Error,
        pause: Duration,
    },
    GaveUp(Error),
}

impl Client {
    /// Begins to keep a connection to a URL. Nothing happens before the first
    /// [`next`](Reconnecting::next).
    pub fn reconnecting(&self, url: impl Into<String>) -> Reconnecting {
        Reconnecting {
            client: self.clone(),
            url: url.into(),
            backoff: Backoff::default(),
            prepare: None,
            retry_if: Box::new(Error::is_retryable),
            state: State::Idle,
            trouble: Trouble::default(),
        }
    }
}

impl Reconnecting {
    /// Sets the pauses and when to give up.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Asks a closure before each attempt: for a fresh token, say, or another URL.
    ///
    /// Its error ends the attempt. Another error than [`Error`] becomes an [`Error::Io`], which is tried
    /// again. It has the time of [`Deadlines::handshake`](crate::Deadlines::handshake).
    ///
    /// ```no_run
    /// # async fn fetch_token() -> Result<String, std::io::Error> { Ok(String::new()) }
    /// # fn run(client: taiwa::Client) {
    /// let feed = client.reconnecting("wss://example.org/feed").before_each(|attempt| async move {
    ///     let token = fetch_token().await?;
    ///     Ok::<_, std::io::Error>(attempt.header("authorization", &format!("Bearer {token}")))
    /// });
    /// # }
    /// ```
    pub fn before_each<F, A, E>(mut self, prepare: F) -> Self
    where
        F: FnMut(Attempt) -> A + Send + 'static,
        A: Future<Output = Result<Attempt, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.prepare = Some(attempt::boxed(prepare));
        self
    }

    /// Decides what is tried again, instead of [`Error::is_retryable`]. A connection that was closed is
    /// told as [`Error::Closed`], whatever its code.
    ///
    /// ```no_run
    /// # fn run(client: taiwa::Client) {
    /// use taiwa::Error;
    ///
    /// let feed = client.reconnecting("wss://example.org/feed").retry_if(|error| match error {
    ///     // This server says so when a token has expired.
    ///     Error::Closed(closed) if closed.code.get() == 4001 => true,
    ///     Error::Refused(response) if response.status() == 401 => true,
    ///     error => error.is_retryable(),
    /// });
    /// # }
    /// ```
    pub fn retry_if(mut self, decide: impl Fn(&Error) -> bool + Send + 'static) -> Self {
        self.retry_if = Box::new(decide);
        self
    }

    /// Opens the next connection: at once the first time, then after a pause, and again until it opens.
    /// Whatever became of the connection before counts as over.
    ///
    /// Cancel-safe: a pause or an attempt that is under way goes on with the next call.
    ///
    /// # Errors
    /// The last one, when it is not to be tried again or [`Backoff`] says to give up. A further call
    /// begins afresh.
    pub async fn next(&mut self) -> Result<WebSocket, Error> {
        poll_fn(|cx| {
            loop {
                match ready!(self.poll_outcome(cx)) {
                    Outcome::Open((socket, _)) => return Poll::Ready(Ok(socket)),
                    Outcome::Failed { .. } => {}
                    Outcome::GaveUp(why) => return Poll::Ready(Err(why)),
                }
            }
        })
        .await
    }

    /// Tells whether the way in which a connection ended is one to be tried again. True for one that has
    /// not ended.
    pub fn goes_on_after(&self, socket: &WebSocket) -> bool {
        socket.closed().is_none_or(|closed| (self.retry_if)(&Error::Closed(closed.clone())))
    }

    /// Returns how many attempts were begun since a connection last lasted
    /// [`Backoff::lasting_after`].
    pub fn attempts(&self) -> u32 {
        self.trouble.attempts
    }

    /// Makes one object of all the connections.
    pub fn into_socket(self) -> ReconnectingWebSocket {
        ReconnectingWebSocket::new(self)
    }

    /// Goes on until a connection is open or something failed.
    fn poll_outcome(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        loop {
            match &mut self.state {
                State::Idle => self.begin(),
                State::Waiting(pause) => {
                    ready!(pause.as_mut().poll(cx));
                    self.begin();
                }
                State::Opening(attempt) => {
                    return Poll::Ready(match ready!(attempt.as_mut().poll(cx)) {
                        Ok(opened) => {
                            self.state = State::Open { since: Instant::now() };
                            Outcome::Open(opened)
                        }
                        Err(why) => self.failed(why),
                    });
                }
                State::Open { .. } => {
                    self.note_end();
                    return Poll::Ready(self.pause_after(Error::Lost));
                }
            }
        }
    }

    fn begin(&mut self) {
        self.trouble.since.get_or_insert_with(Instant::now);
        self.trouble.attempts = self.trouble.attempts.saturating_add(1);
        let attempt = Attempt::new(self.trouble.attempts, self.url.clone());
        let prepared = self.prepare.as_mut().map(|it| it(attempt));
        let (client, url) = (self.client.clone(), self.url.clone());
        self.state = State::Opening(Box::pin(async move {
            let Some(prepared) = prepared else { return client.open(&url).await };
            let attempt = client.in_time(prepared).await?;
            let (url, headers) = attempt.into_parts()?;
            client.open_with(&url, headers).await
        }));
    }

    /// The connection that was handed out has ended.
    fn lost(&mut self, why: Error) -> Outcome {
        self.note_end();
        self.failed(why)
    }

    fn note_end(&mut self) {
        if let State::Open { since } = self.state
            && since.elapsed() >= self.backoff.lasting_after
        {
            self.trouble = Trouble { since: Some(Instant::now()), ..Trouble::default() };
        }
    }

    fn failed(&mut self, why: Error) -> Outcome {
        if (self.retry_if)(&why) { self.pause_after(why) } else { self.give_up(why) }
    }

    fn pause_after(&mut self, why: Error) -> Outcome {
        let random = u64::from_ne_bytes(with_scratch(|scratch| scratch.pool.random()));
        let asked = retry_after(&why, SystemTime::now());
        let pause = self.backoff.pause(self.trouble.pauses, asked, random);
        let spent = self.trouble.since.map_or(Duration::ZERO, |it| it.elapsed());
        let is_late =
            self.backoff.give_up_after.is_some_and(|max| max < spent.saturating_add(pause));
        let is_enough = self.backoff.attempts_max.is_some_and(|max| max <= self.trouble.attempts);
        if is_late || is_enough {
            return self.give_up(why);
        }
        self.trouble.pauses = self.trouble.pauses.saturating_add(1);
        self.state = State::Waiting(Box::pin(sleep(pause)));
        Outcome::Failed { why, pause }
    }

    /// Ends the attempt that is under way.
    fn stop(&mut self) {
        self.state = State::Idle;
    }

    fn give_up(&mut self, why: Error) -> Outcome {
        self.state = State::Idle;
        self.trouble = Trouble::default();
        Outcome::GaveUp(why)
    }
}

impl fmt::Debug for Reconnecting {
    /// Leaves the URL out: there may be secrets in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reconnecting")
            .field("backoff", &self.backoff)
            .field("attempts", &self.trouble.attempts)
            .finish_non_exhaustive()
    }
}

/// Returns how long a server asked us to wait (RFC 9110 §10.2.3): seconds or a date.
fn retry_after(why: &Error, now: SystemTime) -> Option<Duration> {
    let Error::Refused(response) = why else { return None };
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|it| it.is_ascii_digit()) {
        // Past the largest number, it is still very long.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[track_caller]
    fn check(value: &str, secs: Option<u64>) {
        // Sun, 06 Nov 1994 08:49:37 GMT, the date of RFC 9110 §5.6.7.
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        let response = Response::builder().status(503).header("retry-after", value);
        let error = Error::Refused(Box::new(response.body(bytes::Bytes::new()).unwrap()));
        assert_eq!(retry_after(&error, now), secs.map(Duration::from_secs), "{value:?}");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        check("0", Some(0));
        check("120", Some(120));
        check(" 7 ", Some(7));
        check("99999999999999999999999", Some(u64::MAX));
        check("Sun, 06 Nov 1994 08:50:07 GMT", Some(30));
        check("Sunday, 06-Nov-94 08:50:07 GMT", Some(30));
        check("Sun Nov  6 08:50:07 1994", Some(30));
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some(0));
        check("Sat, 05 Nov 1994 08:49:37 GMT", Some(0));
        for bad in ["", "-1", "1.5", "+1", "soon", "06 Nov 1994"] {
            check(bad, None);
        }
        assert_eq!(retry_after(&Error::Lost, SystemTime::now()), None);
    }
}
