//! [`Running::drain`]: clients leave one after the other, and nobody new is let in.

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use tokio::{sync::oneshot, time::timeout_at};

use crate::{body::SiteBody, host::Note, random, site::Running};

impl Running {
    /// Lets all clients go, one after the other: the goodbyes are spread evenly over `period`, so that who comes back does
    /// so spread, too, and each client hears in the words of its dialect that it may come back. Returns when all have
    /// gone, or at the end of `period`; then [`shut_down`](Self::shut_down) ends what is left.
    ///
    /// From its beginning the server is not [ready](Self::readiness) and lets nobody in: opening handshakes, and requests
    /// with which a conversation would begin, get status 503 with `Retry-After`, a number of seconds that goes beyond
    /// `period` and differs from client to client. An `EventSource`, which would never come back after a 503, gets an
    /// empty stream with a `retry:` line in its place. Conversations that have not left yet go on, with their
    /// requests; so does the HTTP API.
    ///
    /// Called again it may only shorten the period. Cancel-safe: the clients leave all the same.
    ///
    /// ```
    /// # use std::{sync::Arc, time::Duration};
    /// # use taiwa_server::{Anyone, Site, hub::Settings};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let site = Site::new(Settings::open(), Arc::new(Anyone)).start()?;
    /// site.drain(Duration::from_secs(10)).await;
    /// site.shut_down(Duration::from_secs(5)).await?;
    /// # Ok(()) }
    /// ```
    pub async fn drain(&self, period: Duration) {
        self.drain_before(period, Next::Later).await;
    }

    /// Lets all clients go as [`drain`](Self::drain) does, where another process listens in the same place already, as after
    /// [`Serving::with_successor`](taiwa::Serving::with_successor): newcomers that still reach this one, by a connection
    /// that is open, are told to come again at once, by another.
    pub async fn drain_for_successor(&self, period: Duration) {
        self.drain_before(period, Next::IsThere).await;
    }

    async fn drain_before(&self, period: Duration, next: Next) {
        self.0.readiness.go_away();
        let until = Instant::now() + period;
        let _ = self.0.exit.set(Exit { until, period, next });
        let leaving = self.0.shards.posts().iter().map(|post| {
            let (gone, awaited) = oneshot::channel();
            post.send(Note::Leave(until, gone));
            awaited
        });
        let leaving = leaving.collect::<Vec<_>>();
        let all = async {
            for shard in leaving {
                // One that has ended has nobody left.
                let _ = shard.await;
            }
        };
        let far = async {
            if let Some(membership) = &self.0.membership {
                membership.carried.drain(until).await;
            }
        };
        let _ = timeout_at(until.into(), async { tokio::join!(all, far) }).await;
    }
}

/// Tells those who come while the server drains.
pub(crate) struct Exit {
    until: Instant,
    period: Duration,
    next: Next,
}

/// Who serves newcomers.
enum Next {
    /// Whoever comes behind the end of this process.
    Later,
    /// Another process, which a new connection reaches.
    IsThere,
}

/// What is told to clients that come too late.
pub(crate) const GOES_AWAY: &str = "the server goes away\n";

impl Exit {
    /// Returns after how many seconds a client may come: when somebody is there, and not all at once.
    pub(crate) fn retry_after(&self) -> u64 {
        if let Next::IsThere = self.next {
            return 1;
        }
        let left = self.until.saturating_duration_since(Instant::now());
        let seconds = |it: Duration| it.as_millis().div_ceil(1000) as u64;
        seconds(left) + 1 + random::bits() as u64 % seconds(self.period).max(1)
    }

    /// Answers a request with which a conversation would begin.
    pub(crate) fn turn_away(&self, asked: &HeaderMap) -> Response<SiteBody> {
        let accept = asked.get(header::ACCEPT).map_or(&b""[..], HeaderValue::as_bytes);
        let after = self.retry_after();
        if accept.starts_with(b"text/event-stream") {
            // WHATWG HTML §9.2.3: "Any other HTTP response code or Content-Type aborts the connection": for good.
            let text = format!("retry: {}\n\n", after * 1000 - random::bits() as u64 % 1000);
            let mut response = Response::new(SiteBody::from(Bytes::from(text)));
            let headers = response.headers_mut();
            let kind = HeaderValue::from_static("text/event-stream");
            headers.insert(header::CONTENT_TYPE, kind);
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            close_behind(&mut response);
            return response;
        }
        unavailable(after).map(SiteBody::from)
    }
}

/// Says 503 (RFC 9110 §15.6.4), and on a connection that ends: its next one may reach another server.
pub(crate) fn unavailable(retry_after: u64) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(GOES_AWAY.as_bytes()));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after));
    close_behind(&mut response);
    response
}

/// Ends the connection behind a response: who is at the wrong server for a while finds the right one by another.
pub(crate) fn close_behind<B>(response: &mut Response<B>) {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
}

/// Whether the server drains, and since when.
pub(crate) type Exiting = OnceLock<Exit>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_called_back_while_the_server_is_there_nor_all_at_once() {
        let period = Duration::from_secs(10);
        let exit = Exit { until: Instant::now() + period, period, next: Next::Later };
        let times = (0..1000).map(|_| exit.retry_after()).collect::<Vec<_>>();
        assert!(times.iter().all(|it| (11..=20).contains(it)), "{times:?}");
        for second in 11..=20 {
            let share = times.iter().filter(|it| **it == second).count();
            assert!((50..200).contains(&share), "{share} at {second}");
        }
        let at_once = Exit { until: Instant::now(), period: Duration::ZERO, next: Next::Later };
        assert_eq!(at_once.retry_after(), 1);
        let next = Exit { next: Next::IsThere, ..exit };
        assert_eq!(next.retry_after(), 1);
    }
}
