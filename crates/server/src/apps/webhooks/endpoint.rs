//! [`Endpoint`]: one URL, with its signatures, its turns, and when it is asked again.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Method, Request, Response, Uri,
    header::{ACCEPT, CONTENT_TYPE, USER_AGENT},
};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{self, Instant},
};
use tracing::Span;

use super::{
    Kind,
    settings::WebhookLimits,
    signature::{SigningSecret, signatures, timestamp},
};
use crate::{
    outgoing::{Bounds, Failure, Outgoing},
    trace,
};

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// One URL.
#[derive(Debug)]
pub(super) struct Endpoint {
    uri: Uri,
    secrets: Arc<[SigningSecret]>,
    outgoing: Outgoing,
    turns: Semaphore,
    deadline: Duration,
    pause: Duration,
    answer_bytes_max: usize,
}

impl Endpoint {
    pub(super) fn new(
        uri: Uri,
        secrets: Arc<[SigningSecret]>,
        outgoing: Outgoing,
        limits: &WebhookLimits,
    ) -> Self {
        Self {
            uri,
            secrets,
            outgoing,
            turns: Semaphore::new(limits.requests_max.clamp(1, Semaphore::MAX_PERMITS)),
            deadline: limits.deadline.min(Duration::from_secs(24 * 60 * 60)),
            pause: limits.pause_min,
            answer_bytes_max: limits.answer_bytes_max,
        }
    }

    /// Begins the span of a question, or of an attempt to tell something.
    pub(super) fn span(&self, kind: Kind) -> Span {
        trace::webhook(kind, &self.uri)
    }

    /// Asks a question: once, and once more if there was no connection to ask over.
    pub(super) async fn ask(
        &self,
        id: &str,
        media_type: &'static str,
        body: Bytes,
    ) -> Result<Response<Bytes>, Failure> {
        let until = Instant::now() + self.deadline;
        let _turn = self.turn(until).await?;
        let first = self.post(id, media_type, body.clone(), until).await;
        // Before a connection is there, no byte of the question has left.
        if !matches!(first, Err(Failure::Unreachable(_))) {
            return first;
        }
        let pause = jittered(self.pause);
        if Instant::now() + pause >= until {
            return first;
        }
        time::sleep(pause).await;
        self.post(id, media_type, body, until).await
    }

    /// Makes one attempt to tell something.
    pub(super) async fn tell(
        &self,
        id: &str,
        media_type: &'static str,
        body: Bytes,
    ) -> Result<Response<Bytes>, Failure> {
        let until = Instant::now() + self.deadline;
        let _turn = self.turn(until).await?;
        self.post(id, media_type, body, until).await
    }

    async fn turn(&self, until: Instant) -> Result<SemaphorePermit<'_>, Failure> {
        let turn = time::timeout_at(until, self.turns.acquire()).await;
        Ok(turn.map_err(|_| Failure::Busy)?.expect("the semaphore is never closed"))
    }

    async fn post(
        &self,
        id: &str,
        media_type: &'static str,
        body: Bytes,
        until: Instant,
    ) -> Result<Response<Bytes>, Failure> {
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        // Each attempt has the time of its own, so that a program can refuse old ones.
        let timestamp = timestamp(SystemTime::now());
        let signature = signatures(&self.secrets, id, timestamp, request.body());
        let fields = request.headers_mut();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        fields.insert(ACCEPT, HeaderValue::from_static("application/json"));
        fields.insert(USER_AGENT, HeaderValue::from_static("taiwa"));
        fields.insert(ID, HeaderValue::try_from(id).expect("identifiers are hexadecimal"));
        fields.insert(TIMESTAMP, timestamp.into());
        if let Some(signature) = signature {
            fields.insert(SIGNATURE, signature);
        }
        trace::hand_on(fields);
        let deadline = until.saturating_duration_since(Instant::now());
        let bounds = Bounds { deadline, answer_bytes_max: self.answer_bytes_max };
        self.outgoing.send(request, bounds).await
    }
}

/// Leaves out a random part of a pause, at most a half.
pub(super) fn jittered(pause: Duration) -> Duration {
    // Without randomness the pause is merely the same for all.
    let part = getrandom::u32().map_or(0.0, |it| f64::from(it) / f64::from(u32::MAX));
    pause.mul_f64(1.0 - part / 2.0)
}
