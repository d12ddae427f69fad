//! HTTP webhooks: programs in any language that are asked and told. docs/webhooks.md has what they get and may answer.
//!
//! A question is asked over HTTP while its session waits, and refused if there is no answer in time. What is told waits
//! in a queue for each URL, in order, and is told again until the program takes it or it was tried often enough.

mod settings;
mod kind;
mod signature;
mod wire;
mod letter;
mod answer;
mod counts;
mod endpoint;
mod queue;

use std::{
    fmt,
    sync::{Arc, atomic::AtomicU64, atomic::Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use http::{StatusCode, Uri};
use taiwa_core::{Answer, Asked, Question, Refusal, RefusalKind};
use tokio::{
    runtime::Handle,
    sync::Semaphore,
    task::JoinHandle,
    time::{self, Instant},
};
use tracing::Instrument;

pub use counts::KindCounts;
pub use kind::Kind;
pub use settings::{SettingsError, WebhookLimits, WebhookSettings, WebhookUrls};
pub use signature::{SecretError, SigningSecret};

use super::{noted, refuse};
use crate::{
    outgoing::{Failure, Outgoing, parse_url},
    trace,
};
use counts::{Counters, count};
use endpoint::Endpoint;
use letter::{Letter, ONE};
use queue::Queue;

/// Asks and tells programs. Dropping it drops what still waits to be told.
pub struct Webhooks {
    shared: Arc<Shared>,
    /// By kind.
    ways: [Option<Way>; Kind::ALL.len()],
    tellers: Vec<(Arc<Queue>, JoinHandle<()>)>,
    /// Makes the identifiers: random for this process, and how many there were.
    ids: (u64, AtomicU64),
}

#[derive(Clone)]
struct Way {
    endpoint: Arc<Endpoint>,
    queue: Arc<Queue>,
}

struct Shared {
    source: Arc<str>,
    counters: Arc<Counters>,
    questions: Arc<Semaphore>,
}

impl fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = Kind::ALL.into_iter().filter(|it| self.has(*it)).map(Kind::name);
        f.debug_set().entries(kinds).finish()
    }
}

impl Drop for Webhooks {
    fn drop(&mut self) {
        for (_, teller) in &self.tellers {
            teller.abort();
        }
    }
}

impl Webhooks {
    /// Starts telling. It needs a running tokio only if there is a URL.
    ///
    /// # Errors
    /// See [`SettingsError`].
    ///
    /// # Panics
    /// If there is a URL and this is called outside of tokio, or if the system has no randomness.
    pub fn new(settings: WebhookSettings, outgoing: &Outgoing) -> Result<Self, SettingsError> {
        Self::counted(settings, outgoing, Arc::default())
    }

    /// Makes webhooks that take the place of these, and count on. What waits to be told waits here.
    ///
    /// # Errors
    /// See [`SettingsError`].
    ///
    /// # Panics
    /// As [`Webhooks::new`].
    pub fn renewed(
        &self,
        settings: WebhookSettings,
        outgoing: &Outgoing,
    ) -> Result<Self, SettingsError> {
        Self::counted(settings, outgoing, self.shared.counters.clone())
    }

    fn counted(
        settings: WebhookSettings,
        outgoing: &Outgoing,
        counters: Arc<Counters>,
    ) -> Result<Self, SettingsError> {
        let source: Arc<str> = settings.source.as_deref().unwrap_or("taiwa").into();
        if source.is_empty() || !source.bytes().all(|it| it.is_ascii_graphic()) {
            return Err(SettingsError::Source);
        }
        let limits = settings.limits;
        let secrets: Arc<[_]> = settings.secrets.into();
        let mut known: Vec<(Uri, Way)> = Vec::new();
        let mut ways = [const { None }; Kind::ALL.len()];
        for kind in Kind::ALL {
            let Some(text) = settings.urls.of(kind) else { continue };
            let uri = parse_url(text).map_err(|it| SettingsError::Url(kind, it))?;
            let way = match known.iter().find(|(it, _)| *it == uri) {
                Some((_, way)) => way.clone(),
                None => {
                    let (secrets, outgoing) = (secrets.clone(), outgoing.clone());
                    let endpoint = Endpoint::new(uri.clone(), secrets, outgoing, &limits);
                    let endpoint = Arc::new(endpoint);
                    let (source, counters) = (source.clone(), counters.clone());
                    let queue = Queue::new(endpoint.clone(), source, limits.clone(), counters);
                    let way = Way { endpoint, queue: Arc::new(queue) };
                    known.push((uri, way.clone()));
                    way
                }
            };
            ways[kind as usize] = Some(way);
        }
        let tellers = known.into_iter().map(|(_, way)| {
            let teller = Handle::current().spawn(way.queue.clone().run());
            (way.queue, teller)
        });
        let questions = limits.questions_max.min(Semaphore::MAX_PERMITS);
        Ok(Self {
            tellers: tellers.collect(),
            shared: Arc::new(Shared {
                source,
                counters,
                questions: Arc::new(Semaphore::new(questions)),
            }),
            ways,
            ids: (getrandom::u64().expect("the system has randomness"), AtomicU64::new(0)),
        })
    }

    /// Returns whether there is a URL for a kind.
    pub fn has(&self, kind: Kind) -> bool {
        self.ways[kind as usize].is_some()
    }

    /// Asks or tells what has a URL, and gives back what has none. A question is answered later, on tokio; what is told
    /// is [`Answer::Noted`] at once.
    ///
    /// # Errors
    /// The question, if there is no URL for it.
    pub fn ask(&self, question: Question) -> Result<Asked, Question> {
        let kind = Kind::of(&question);
        let way = kind.and_then(|kind| Some((kind, self.ways[kind as usize].as_ref()?)));
        let Some((kind, way)) = way else { return Err(question) };
        let id = format!("{:016x}{:016x}", self.ids.0, self.ids.1.fetch_add(1, Relaxed));
        let letter = Letter { kind, id, at: SystemTime::now(), question };
        if !kind.is_question() {
            way.queue.push(letter);
            return Ok(noted());
        }
        let Ok(place) = self.shared.questions.clone().try_acquire_owned() else {
            count(&self.shared.counters.of(kind).turned_away);
            return Ok(refuse(RefusalKind::Unavailable, "the app has too many questions"));
        };
        let (shared, endpoint) = (self.shared.clone(), way.endpoint.clone());
        Ok(Asked::Later(Box::pin(async move {
            let answer = shared.question(&endpoint, &letter).await;
            drop(place);
            answer
        })))
    }

    /// Waits until everything is told, but no longer than this, and returns how much is left.
    ///
    /// # Cancel safety
    /// Cancel-safe: dropping the future ends the waiting alone.
    pub async fn drained(&self, deadline: Duration) -> usize {
        let until = Instant::now() + deadline.min(Duration::from_secs(24 * 60 * 60));
        for (queue, _) in &self.tellers {
            // Past the deadline what is left is counted below.
            let _ = time::timeout_at(until, queue.drained()).await;
        }
        self.waiting()
    }

    /// Returns how many events wait or are being told.
    pub fn waiting(&self) -> usize {
        self.tellers.iter().map(|(queue, _)| queue.len()).sum()
    }

    /// Returns what the webhook of a kind has done so far.
    pub fn counts(&self, kind: Kind) -> KindCounts {
        self.shared.counters.of(kind).read()
    }
}

impl Shared {
    async fn question(&self, endpoint: &Endpoint, letter: &Letter) -> Result<Answer, Refusal> {
        let counter = self.counters.of(letter.kind);
        count(&counter.asked);
        let body = letter.write(&self.source);
        let refusal = |kind, text| Err(Refusal::new(kind, text));
        let span = endpoint.span(letter.kind);
        let answer = endpoint.ask(&letter.id, ONE, body).instrument(span.clone()).await;
        trace::heard(&span, &answer);
        drop(span);
        let fault = match answer {
            Ok(answer) if answer.status() == StatusCode::OK => {
                match answer::read(answer.body(), &letter.question) {
                    Ok(answer) => {
                        count(&counter.answered);
                        self.counters.works(letter.kind);
                        return answer;
                    }
                    Err(nonsense) => nonsense.to_string(),
                }
            }
            Ok(answer) => format!("the status was {}", answer.status().as_u16()),
            Err(failure @ (Failure::Deadline | Failure::Busy)) => {
                count(&counter.late);
                self.counters.fails(letter.kind, &failure);
                return refusal(RefusalKind::Deadline, "the app did not answer in time");
            }
            Err(failure) => failure.to_string(),
        };
        count(&counter.failed);
        self.counters.fails(letter.kind, &fault);
        refusal(RefusalKind::Unavailable, "the app can't be asked now")
    }
}

#[cfg(test)]
mod tests;
