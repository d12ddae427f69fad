//! A JWK set behind a URL: fetched by one request at a time, kept for a while, fetched again when it must be.
//!
//! ```text
//!                  never fetched ──fetch──► fresh ──its time passes──► stale ──fetch──► fresh
//!                        ▲                    │ unknown kid: a fetch      │ the fetch fails
//!                        │                    ▼ at most every …           ▼
//!                        │                  fresh                       stale, and used until …
//!                        └─────────────────────────────── kept too long ──┘
//! ```

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, Uri, header};
use tokio::{sync::watch, time::Instant};
use tracing::{debug, warn};

use super::{
    keys::{Checked, KeySet, Secrets},
    settings::{FetchError, JwksSettings, SettingsError},
    token::Token,
};
use crate::outgoing::{Bounds, Outgoing, is_loopback, parse_url};

/// What a source of keys has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JwksCounts {
    /// Sets that were fetched.
    pub fetched: u64,
    /// Fetches that failed.
    pub failed: u64,
    /// Tokens that were refused because a fetch was due and not allowed yet, or had failed.
    pub unavailable: u64,
}

/// The set behind one URL.
pub(super) struct JwksUrl {
    url: Uri,
    settings: JwksSettings,
    keys_max: usize,
    outgoing: Outgoing,
    state: Mutex<State>,
    /// Changes whenever a fetch has ended.
    ended: watch::Sender<()>,
    fetched: AtomicU64,
    failed: AtomicU64,
    unavailable: AtomicU64,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    under_way: bool,
    begun: Option<Instant>,
}

/// The last good set.
#[derive(Clone)]
struct Held {
    keys: KeySet,
    at: Instant,
    fresh_for: Duration,
}

/// Whether a question may lead to a fetch.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked {
    /// It may.
    First,
    /// It already did, at this time.
    Again(Instant),
}

impl Asked {
    fn is_answered_by(self, held: &Held) -> bool {
        matches!(self, Self::Again(since) if held.at >= since)
    }
}

/// What the set says of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Checked(Checked),
    /// Only after a fetch, which is allowed.
    Fetch,
    /// Only after a fetch, which is not allowed now or has failed.
    Unavailable,
}

impl fmt::Debug for JwksUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwksUrl").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl JwksUrl {
    pub(super) fn new(
        settings: JwksSettings,
        keys_max: usize,
        outgoing: &Outgoing,
    ) -> Result<Self, SettingsError> {
        let url = parse_url(&settings.url).map_err(SettingsError::Url)?;
        if url.scheme_str() == Some("http") && !settings.plain_http && !is_loopback(&url) {
            return Err(SettingsError::PlainHttp);
        }
        Ok(Self {
            url,
            settings,
            keys_max,
            outgoing: outgoing.clone(),
            state: Mutex::default(),
            ended: watch::Sender::new(()),
            fetched: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            unavailable: AtomicU64::new(0),
        })
    }

    /// Returns whether it was made of these.
    pub(super) fn is(&self, settings: &JwksSettings, keys_max: usize, outgoing: &Outgoing) -> bool {
        self.settings == *settings && self.keys_max == keys_max && self.outgoing.is(outgoing)
    }

    pub(super) fn counts(&self) -> JwksCounts {
        JwksCounts {
            fetched: self.fetched.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            unavailable: self.unavailable.load(Ordering::Relaxed),
        }
    }

    /// Checks a signature with what is here.
    pub(super) fn check(&self, token: &Token<'_>, tries_max: usize, asked: Asked) -> Answer {
        // It takes no secrets, so for these nothing is worth a fetch.
        if token.algorithm.is_hmac() {
            return Answer::Checked(Checked::Unknown { tried: false });
        }
        let now = Instant::now();
        let (held, may_fetch) = {
            let state = self.lock();
            (state.held.clone(), self.may_fetch(&state, now))
        };
        let may_fetch = may_fetch && matches!(asked, Asked::First);
        // Too old a set is none, unless it was fetched for this token.
        let held = held.filter(|held| {
            let kept_for = held.fresh_for.max(self.settings.kept_max);
            asked.is_answered_by(held) || now < after(held.at, kept_for)
        });
        let Some(held) = held else { return self.without(may_fetch) };
        if now >= after(held.at, held.fresh_for) && may_fetch {
            return Answer::Fetch;
        }
        match held.keys.check(token, tries_max) {
            // Behind a set that was fetched for this token there is no newer one.
            Checked::Unknown { .. } if !asked.is_answered_by(&held) => self.without(may_fetch),
            checked => Answer::Checked(checked),
        }
    }

    fn without(&self, may_fetch: bool) -> Answer {
        if may_fetch {
            return Answer::Fetch;
        }
        self.unavailable.fetch_add(1, Ordering::Relaxed);
        Answer::Unavailable
    }

    /// Returns whether a fetch may begin, or be waited for.
    fn may_fetch(&self, state: &State, now: Instant) -> bool {
        let every = self.settings.fetch_every_min;
        state.under_way || state.begun.is_none_or(|begun| now >= after(begun, every))
    }

    /// Begins a fetch if it may and none is under way, and returns how to wait for its end; `None` if there is nothing
    /// to wait for. The fetch goes on when nobody waits.
    pub(super) fn fetch(self: &Arc<Self>) -> Option<watch::Receiver<()>> {
        let mut state = self.lock();
        let now = Instant::now();
        if !self.may_fetch(&state, now) {
            return None;
        }
        let end = self.ended.subscribe();
        if !state.under_way {
            state.under_way = true;
            state.begun = Some(now);
            let ending = Ending(Arc::clone(self));
            tokio::spawn(async move { ending.0.run().await });
        }
        Some(end)
    }

    async fn run(&self) {
        match self.request().await {
            Ok(held) => {
                debug!(host = self.url.host(), "fetched a JWK set");
                self.lock().held = Some(held);
                self.fetched.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                warn!(host = self.url.host(), "a JWK set can't be fetched: {error}");
                self.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    async fn request(&self) -> Result<Held, FetchError> {
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = self.url.clone();
        let accept = "application/jwk-set+json, application/json";
        request.headers_mut().insert(header::ACCEPT, header::HeaderValue::from_static(accept));
        let bounds = Bounds {
            deadline: self.settings.deadline,
            answer_bytes_max: self.settings.answer_bytes_max,
        };
        let answer = self.outgoing.send(request, bounds).await.map_err(FetchError::Failed)?;
        if answer.status() != StatusCode::OK {
            return Err(FetchError::Status(answer.status().as_u16()));
        }
        let keys = KeySet::from_json(answer.body(), Secrets::PassedOver, self.keys_max)
            .ok_or(FetchError::NoSet)?;
        let said = max_age(answer.headers()).unwrap_or(self.settings.cached_for);
        let fresh_for = said.min(self.settings.cached_max).max(self.settings.cached_min);
        Ok(Held { keys, at: Instant::now(), fresh_for })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whatever becomes of a fetch, it ends for those who wait.
struct Ending(Arc<JwksUrl>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.lock().under_way = false;
        self.0.ended.send_replace(());
    }
}

/// A time too far ahead is never.
fn after(begun: Instant, duration: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    begun + duration.min(YEAR)
}

/// Returns how long a response is fresh (RFC 9111 §5.2.2), zero where it must not be kept.
fn max_age(fields: &HeaderMap) -> Option<Duration> {
    let mut age = None;
    for line in fields.get_all(header::CACHE_CONTROL) {
        for directive in line.to_str().unwrap_or("").split(',') {
            let (name, value) = directive.trim().split_once('=').unwrap_or((directive.trim(), ""));
            match name.to_ascii_lowercase().as_str() {
                "no-store" | "no-cache" => return Some(Duration::ZERO),
                // RFC 9111 §1.2.2: a number too large counts as the largest.
                "max-age" => {
                    let digits = value.trim_matches('"');
                    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
                        let seconds = digits.parse().unwrap_or(u64::from(u32::MAX));
                        age = Some(Duration::from_secs(seconds));
                    }
                }
                _ => {}
            }
        }
    }
    age
}

#[cfg(test)]
mod tests;
