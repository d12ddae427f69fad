//! The admin listener: measurements for Prometheus, whether the server lives, whether it takes clients.
//!
//! `GET /metrics`, `GET /health` and `GET /ready`. There are no keys here: listen where clients do not reach.
//!
//! ```no_run
//! # async fn run(running: taiwa_server::Running) -> std::io::Result<()> {
//! use taiwa_server::admin::Admin;
//!
//! let server = taiwa::Server::bind("127.0.0.1:9000").await?;
//! Admin::of(&running).serve(server).await
//! # }
//! ```

mod exposition;
mod process;
mod readiness;

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use tokio::time::timeout;

use crate::{Running, Snapshot, api};
use exposition::{Exposition, Reading};
pub use readiness::Readiness;

/// How long the shards may take to say how they are. Their turns take milliseconds.
const LOOK_DEADLINE: Duration = Duration::from_secs(2);

/// Looks at all shards.
type Look = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Vec<Snapshot>> + Send>> + Send + Sync>;

/// What the admin listener tells, and of whom.
pub struct Admin {
    look: Look,
    shards: usize,
    readiness: Readiness,
    api: Option<api::Tally>,
    readings: Vec<Reading>,
}

impl Admin {
    /// Tells of a site and of its API, if it has one.
    pub fn of(running: &Running) -> Self {
        let control = running.control().clone();
        let look: Look = Box::new(move || {
            let control = control.clone();
            Box::pin(async move { control.look(0).await })
        });
        let api = running.api().map(|it| it.tally().clone());
        let (shards, readiness) = (running.shard_count(), running.readiness().clone());
        Self { look, shards, readiness, api, readings: vec![] }
    }

    /// Tells a number that may fall, too, as `taiwa_NAME`: what waits for a webhook, say. It is read at each scrape.
    #[must_use]
    pub fn gauge(
        mut self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Self {
        self.readings.push(Reading::gauge(name, help, read));
        self
    }

    /// Tells numbers that only grow, as `taiwa_NAME_total` with one label whose values `read` gives beside them. It is
    /// read at each scrape.
    #[must_use]
    pub fn counters(
        mut self,
        name: &'static str,
        help: &'static str,
        label: &'static str,
        read: impl Fn() -> Vec<(&'static str, u64)> + Send + Sync + 'static,
    ) -> Self {
        self.readings.push(Reading::counters(name, help, label, read));
        self
    }

    /// Serves on the listeners of `server`.
    pub fn serve(self, server: taiwa::Server) -> taiwa::Serving {
        let admin = Arc::new(self);
        let server = server.http(move |request| {
            let admin = admin.clone();
            async move { admin.answer(&request).await.map(Full::from) }
        });
        server.serve(|upgrade: taiwa::Upgrade| upgrade.reject(404, "there is no WebSocket here\n"))
    }

    /// Answers a request.
    ///
    /// Cancel-safe.
    pub async fn answer<B>(&self, request: &Request<B>) -> Response<Bytes> {
        let path = request.uri().path();
        if !matches!(path, "/metrics" | "/health" | "/ready") {
            return text(StatusCode::NOT_FOUND, "there are /metrics, /health and /ready\n");
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD only\n");
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match path {
            "/metrics" => self.metrics().await,
            "/health" => self.health().await,
            _ => match self.readiness.is_ready() {
                true => text(StatusCode::OK, "ready\n"),
                false => text(StatusCode::SERVICE_UNAVAILABLE, "going away\n"),
            },
        }
    }

    /// Says whether all shards still take their turns.
    async fn health(&self) -> Response<Bytes> {
        match self.look().await {
            Ok(_) => text(StatusCode::OK, "alive\n"),
            Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, why),
        }
    }

    async fn look(&self) -> Result<Vec<Snapshot>, &'static str> {
        let late = |_| "a shard does not answer\n";
        let shards = timeout(LOOK_DEADLINE, (self.look)()).await.map_err(late)?;
        if shards.len() < self.shards {
            return Err("a shard has ended\n");
        }
        Ok(shards)
    }

    async fn metrics(&self) -> Response<Bytes> {
        let shards = match self.look().await {
            Ok(shards) => shards,
            Err(why) => return text(StatusCode::SERVICE_UNAVAILABLE, why),
        };
        let ready = self.readiness.is_ready();
        let written =
            Exposition { shards, ready, readings: &self.readings }.write(self.api.as_ref());
        let mut response = Response::new(written.into());
        // https://prometheus.io/docs/specs/om/open_metrics_spec/#overall-structure names it so.
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        response
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("readiness", &self.readiness).finish_non_exhaustive()
    }
}

fn text(status: StatusCode, text: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(text.as_bytes()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
