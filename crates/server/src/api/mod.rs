//! The HTTP API: what a backend wants of the hub, as JSON commands by POST.
//!
//! There is `POST {path}/v1/publish` and so on, `POST {path}/v1/batch` for several at once, and `GET
//! {path}/v1/openapi.json`, the document that says it all. A request shows a [`Key`].
//!
//! ```text
//! curl -H 'X-API-Key: …' -H 'Content-Type: application/json' http://127.0.0.1:8000/api/v1/publish \
//!      -d '{"channel": "news", "data": {"title": "対話"}}'
//! ```

mod desk;
mod keys;
mod verbs;
mod clients;
mod errand;
mod revoke;
mod ask;
mod answer;
mod values;
mod problem;
mod serve;
mod openapi;

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use prometheus_client::{
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};
use serde::Serialize;
use taiwa_core::Refusal;
use taiwa_hub::{Done, Order};
use tokio::sync::Semaphore;

pub use desk::Desk;
pub use keys::{KEY_BYTES_MAX, Key, KeyError};
pub use openapi::document;

use crate::auth::Verifier;

/// Bounds of the API. Each has one consequence.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of a request's body, 8 MiB by default; a larger one is answered with 413.
    pub body_bytes_max: usize,
    /// How long a body may take to arrive, 10 s by default; a slower one is answered with 408.
    pub body_deadline: Duration,
    /// Requests at once, 256 by default; one more is answered with 503. With [`Limits::body_bytes_max`] it bounds memory.
    pub requests_max: usize,
    /// Commands of a batch, 1,000 by default; more are answered with 413.
    pub batch_max: usize,
    /// Channels of a broadcast, 1,000 by default; more are answered with 413.
    pub broadcast_max: usize,
    /// Orders of one request that the hub does side by side, 64 by default; others wait for these.
    pub side_by_side_max: usize,
    /// Entries of a list, 10,000 by default; who asks for more is answered with 422.
    pub list_max: usize,
    /// The longest time for a call's answer, 60 s by default; who asks for more gets this.
    pub call_deadline_max: Duration,
    /// See [`taiwa_hub::Limits::payload_bytes_max`]; a larger payload is answered with 413.
    pub payload_bytes_max: usize,
    /// See [`taiwa_hub::Limits::name_bytes_max`]; a longer name is answered with 422.
    pub name_bytes_max: usize,
    /// See [`taiwa_hub::Limits::tags_max`]; more are answered with 422.
    pub tags_max: usize,
    /// See [`taiwa_hub::Limits::except_channels_max`]; more are answered with 422.
    pub except_channels_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self::of(&taiwa_hub::Limits::default())
    }
}

impl Limits {
    /// Returns the defaults, with those that the hub has, too, as it has them.
    pub fn of(hub: &taiwa_hub::Limits) -> Self {
        Self {
            body_bytes_max: 8 << 20,
            body_deadline: Duration::from_secs(10),
            requests_max: 256,
            batch_max: 1000,
            broadcast_max: 1000,
            side_by_side_max: 64,
            list_max: 10_000,
            call_deadline_max: Duration::from_secs(60),
            payload_bytes_max: hub.payload_bytes_max,
            name_bytes_max: hub.name_bytes_max,
            tags_max: hub.tags_max,
            except_channels_max: hub.except_channels_max,
        }
    }

    /// Returns the limits with changes made by `change`; the struct may get more fields.
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// An order that is being done.
type Doing = Pin<Box<dyn Future<Output = Result<Done, Refusal>> + Send>>;

/// The HTTP API as it is set: who may use it, where it is, what bounds it.
#[derive(Clone, Debug)]
pub struct Api {
    keys: Vec<Key>,
    everyone: Option<Key>,
    path: String,
    limits: Limits,
    verifier: Option<Verifier>,
}

/// A path below which there can be no API.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PathError(String);

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(path) = self;
        write!(f, "{path:?} is no path for the API: one is like /api, of letters, digits and -._~")
    }
}

impl std::error::Error for PathError {}

impl Api {
    /// Makes an API below `/api`, for who shows one of the keys. Without keys nobody may use it.
    pub fn new(keys: Vec<Key>, limits: Limits) -> Self {
        Self { keys, everyone: None, path: "/api".into(), limits, verifier: None }
    }

    /// Makes an API below `/api` that asks for no key: whoever can reach it may do all. It is for listeners that nobody
    /// else can reach, such as a unix socket in a folder of one's own.
    pub fn without_keys(limits: Limits) -> Self {
        Self { everyone: Some(Key::everyone()), ..Self::new(Vec::new(), limits) }
    }

    /// Sets the path below which it is; an empty one means the root.
    ///
    /// # Errors
    /// [`PathError`] if it does not begin with `/`, ends with one, or has something else in it than letters, digits and
    /// `-._~`.
    pub fn path(mut self, path: &str) -> Result<Self, PathError> {
        let sound = |segment: &str| {
            let plain = |it: u8| it.is_ascii_alphanumeric() || b"-._~".contains(&it);
            !segment.is_empty() && segment.bytes().all(plain)
        };
        let wrong = || PathError(path.to_owned());
        if !path.is_empty() {
            let rest = path.strip_prefix('/').ok_or_else(wrong)?;
            rest.split('/').all(sound).then_some(()).ok_or_else(wrong)?;
        }
        path.clone_into(&mut self.path);
        Ok(self)
    }

    /// Lets `revoke` revoke tokens that this verifier, and those that share its revocations, would take. Without one the
    /// command is answered with 409. Who holds sessions must end those that came with such a token: see
    /// [`Rules::revoked_sessions`](crate::apps::rules::Rules::revoked_sessions).
    pub fn verifier(mut self, verifier: Verifier) -> Self {
        self.verifier = Some(verifier);
        self
    }

    /// Opens it: from now on `order` does what is asked of it; see [`Control::order`](crate::Control::order).
    pub fn open<F, D>(self, order: F) -> Desk
    where
        F: Fn(Order) -> D + Send + Sync + 'static,
        D: Future<Output = Result<Done, Refusal>> + Send + 'static,
    {
        Desk::new(self, Orders(Arc::new(move |it| Box::pin(order(it)))))
    }
}

/// What does orders.
#[derive(Clone)]
struct Orders(Arc<dyn Fn(Order) -> Doing + Send + Sync>);

impl fmt::Debug for Orders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Orders")
    }
}

/// What all requests share.
struct Office {
    order: Orders,
    keys: Vec<Key>,
    /// What those may do who show no key.
    everyone: Option<Key>,
    limits: Limits,
    verifier: Option<Verifier>,
    requests: Semaphore,
    document: String,
    tally: Tally,
}

/// How many requests came to the API, by command and status. Cheap to clone; clones count together.
#[derive(Clone, Debug, Default)]
pub struct Tally(Family<[(&'static str, String); 2], Counter>);

impl Tally {
    fn count(&self, command: &'static str, status: StatusCode) {
        let labels = [("command", command.to_owned()), ("status", status.as_str().to_owned())];
        self.0.get_or_create(&labels).inc();
    }

    /// Registers it as `api_requests`.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("api_requests", "Requests to the HTTP API", self.0.clone());
    }
}

/// Makes a response out of JSON.
fn respond(status: StatusCode, content: &impl Serialize) -> Response<Body> {
    let json = serde_json::to_vec(content).expect("the keys of our maps are strings");
    json_response(status, json)
}

fn json_response(status: StatusCode, json: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(json.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
