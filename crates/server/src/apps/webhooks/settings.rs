//! Which programs are asked and told, and the bounds of it.

use std::{error::Error, fmt, time::Duration};

use super::{Kind, signature::SigningSecret};
use crate::outgoing::UrlError;

/// Which programs are asked and told.
#[derive(Clone, Debug, Default)]
pub struct WebhookSettings {
    /// Where each kind goes. What has no URL is not asked or told.
    pub urls: WebhookUrls,
    /// Each request is signed with each of these. To replace one, add the new one here, teach it to the program, then
    /// take the old one away. Without any, the default, requests are not signed and the program can't tell whether they
    /// come from here.
    pub secrets: Vec<SigningSecret>,
    /// The `source` of the CloudEvents, which tells the programs of several servers apart: a URI reference, not empty.
    /// `taiwa` if it is not set.
    pub source: Option<Box<str>>,
    /// The bounds.
    pub limits: WebhookLimits,
}

/// Where each kind goes: absolute `http` or `https` URLs. `Debug` shows which there are, not what they are: a query may
/// hold a secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct WebhookUrls {
    /// For [`Kind::Connect`].
    pub connect: Option<String>,
    /// For [`Kind::Refresh`].
    pub refresh: Option<String>,
    /// For [`Kind::Subscribe`].
    pub subscribe: Option<String>,
    /// For [`Kind::Publish`].
    pub publish: Option<String>,
    /// For [`Kind::Call`].
    pub call: Option<String>,
    /// For [`Kind::Tell`].
    pub tell: Option<String>,
    /// For [`Kind::Disconnect`].
    pub disconnect: Option<String>,
    /// For [`Kind::Occupied`].
    pub occupied: Option<String>,
    /// For [`Kind::Vacated`].
    pub vacated: Option<String>,
}

impl WebhookUrls {
    /// Sends all kinds to one URL, whose program tells them apart by `type`.
    pub fn all(url: &str) -> Self {
        let url = || Some(url.to_owned());
        Self {
            connect: url(),
            refresh: url(),
            subscribe: url(),
            publish: url(),
            call: url(),
            tell: url(),
            disconnect: url(),
            occupied: url(),
            vacated: url(),
        }
    }

    /// Returns the URL of a kind.
    pub fn of(&self, kind: Kind) -> Option<&str> {
        let url = match kind {
            Kind::Connect => &self.connect,
            Kind::Refresh => &self.refresh,
            Kind::Subscribe => &self.subscribe,
            Kind::Publish => &self.publish,
            Kind::Call => &self.call,
            Kind::Tell => &self.tell,
            Kind::Disconnect => &self.disconnect,
            Kind::Occupied => &self.occupied,
            Kind::Vacated => &self.vacated,
        };
        url.as_deref()
    }
}

impl fmt::Debug for WebhookUrls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let there = Kind::ALL.into_iter().filter(|it| self.of(*it).is_some());
        f.debug_set().entries(there.map(Kind::name)).finish()
    }
}

/// Bounds of webhooks. A URL that several kinds share has one queue and one number of requests at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookLimits {
    /// From a question to its whole answer, and from an attempt to tell something to its whole answer, 5 s by default.
    /// Past it a question is refused as [`RefusalKind::Deadline`](taiwa_core::RefusalKind::Deadline), and what was to be
    /// told is told again. At most a day.
    pub deadline: Duration,
    /// Questions that are under way or wait for their turn, of all URLs together, 1024 by default. One more is refused as
    /// [`RefusalKind::Unavailable`](taiwa_core::RefusalKind::Unavailable).
    pub questions_max: usize,
    /// Requests to one URL at once, 64 by default. A question beyond it waits for its turn.
    pub requests_max: usize,
    /// Bytes of an answer, 1 MiB by default. A longer one counts as none, and its question is refused as
    /// [`RefusalKind::Unavailable`](taiwa_core::RefusalKind::Unavailable).
    pub answer_bytes_max: usize,
    /// What is to be told to one URL and waits for its turn, 10,000 by default. Past it the oldest is dropped and counted.
    pub queue_max: usize,
    /// Bytes of what is to be told to one URL, 64 MiB by default. Past it the oldest is dropped and counted.
    pub queue_bytes_max: usize,
    /// How often it is tried again to tell something, 5 times by default. Past it it is given up and counted.
    pub retries_max: u32,
    /// The pause before the first of these, 200 ms by default, and before a question that found no connection is asked for
    /// the second and last time. Each further one is twice as long; of each a random part, up to a half, is left out, so
    /// that many servers don't come at once.
    pub pause_min: Duration,
    /// The longest pause, 30 s by default: longer ones are cut to it.
    pub pause_max: Duration,
    /// How many events one request may tell, 1 by default. With more, requests are batches: arrays of CloudEvents.
    pub batch_max: usize,
    /// Bytes in one batch before encoding, 1 MiB by default. What is behind them is in the next batch; one alone may be
    /// larger.
    pub batch_bytes_max: usize,
}

impl Default for WebhookLimits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(5),
            questions_max: 1024,
            requests_max: 64,
            answer_bytes_max: 1 << 20,
            queue_max: 10_000,
            queue_bytes_max: 64 << 20,
            retries_max: 5,
            pause_min: Duration::from_millis(200),
            pause_max: Duration::from_secs(30),
            batch_max: 1,
            batch_bytes_max: 1 << 20,
        }
    }
}

/// Why settings can't be used. Its text repeats no URL and no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettingsError {
    /// The URL of a kind can't be used.
    Url(Kind, UrlError),
    /// The `source` is empty or has characters that no URI reference has.
    Source,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(kind, error) => write!(f, "the webhook {}: {error}", kind.name()),
            Self::Source => f.write_str("the source of webhooks is no URI reference"),
        }
    }
}

impl Error for SettingsError {}
