//! [`Verifier`]: a token in, what it grants or why it is refused out.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{
    sync::{Semaphore, watch},
    time::Instant,
};

use super::{
    claims::Rules,
    counts::{AuthCounts, Counters},
    grant::{Grant, Stamp, SubscriptionGrant},
    jwks::{Answer, Asked, JwksCounts, JwksUrl},
    keys::{Checked, Key, KeySet, Secrets},
    refusal::{Flaw, Refusal},
    revocation::Revocations,
    settings::{AuthSettings, KeySource, SettingsError},
    token::Token,
};
use crate::outgoing::Outgoing;

/// What is known of a token at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict<T> {
    /// It is good.
    Granted(T),
    /// It is refused.
    Refused(Refusal),
    /// A key must be fetched first: ask [`Verifier::fetching_connection`] or [`Verifier::fetching_subscription`].
    Undecided,
}

/// Who brings a token for a subscription, and for which channel.
#[derive(Clone, Copy, Debug)]
pub struct Subscriber<'a> {
    /// The session's user, empty without one.
    pub user: &'a str,
    /// The session's id, which the claim `client` may name.
    pub client: &'a str,
    /// The channel that is asked for.
    pub channel: &'a str,
}

/// Verifies tokens. Its clones share keys and revocations.
///
/// Keys for connections and for subscriptions may differ: make two of them.
#[derive(Clone, Debug)]
pub struct Verifier {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    rules: Rules,
    /// From the configuration.
    local: Vec<KeySet>,
    fetched: Vec<Arc<JwksUrl>>,
    token_bytes_max: usize,
    tries_max: usize,
    waiting: Semaphore,
    revocations: Arc<Revocations>,
    counters: Arc<Counters>,
}

impl Verifier {
    /// Makes a verifier. Nothing is fetched yet.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn new(settings: AuthSettings, outgoing: &Outgoing) -> Result<Self, SettingsError> {
        let revocations = Arc::new(Revocations::new(&settings.limits));
        Self::with(settings, outgoing, revocations, Arc::default(), &[])
    }

    /// Makes a verifier that takes the place of this one: what was revoked stays revoked, and counts go on. Sets of keys
    /// that were fetched from the same URL, in the same way, are not fetched again.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn renewed(
        &self,
        settings: AuthSettings,
        outgoing: &Outgoing,
    ) -> Result<Self, SettingsError> {
        let Inner { revocations, counters, fetched, .. } = &*self.inner;
        let limits = settings.limits.clone();
        let (revocations, counters) = (revocations.clone(), counters.clone());
        let made = Self::with(settings, outgoing, revocations, counters, fetched)?;
        made.inner.revocations.set_limits(&limits);
        Ok(made)
    }

    fn with(
        settings: AuthSettings,
        outgoing: &Outgoing,
        revocations: Arc<Revocations>,
        counters: Arc<Counters>,
        known: &[Arc<JwksUrl>],
    ) -> Result<Self, SettingsError> {
        let limits = &settings.limits;
        let bytes_min = limits.secret_bytes_min;
        let mut local = Vec::new();
        let mut fetched = Vec::new();
        for source in &settings.keys {
            match source {
                KeySource::Secret(secret) => {
                    local.push(KeySet::new([Key::from_secret(secret, bytes_min)?]));
                }
                KeySource::Pem(pem) => local.push(KeySet::new([Key::from_pem(pem)?])),
                KeySource::Jwks(json) => {
                    let secrets = Secrets::Taken { bytes_min };
                    let set = KeySet::from_json(json.bytes(), secrets, limits.keys_max);
                    let set = set.filter(|set| !set.is_empty());
                    local.push(set.ok_or(SettingsError::Jwks)?);
                }
                KeySource::JwksUrl(url) => {
                    let keys_max = limits.keys_max;
                    fetched.push(match known.iter().find(|it| it.is(url, keys_max, outgoing)) {
                        Some(known) => known.clone(),
                        None => Arc::new(JwksUrl::new(url.clone(), keys_max, outgoing)?),
                    });
                }
            }
        }
        let inner = Inner {
            rules: Rules::new(&settings),
            local,
            fetched,
            token_bytes_max: limits.token_bytes_max,
            tries_max: limits.tries_max,
            waiting: Semaphore::new(limits.waiting_max.min(Semaphore::MAX_PERMITS)),
            revocations,
            counters,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Verifies a connection's token with the keys that are here. It never waits.
    pub fn verify_connection(&self, token: &str, now: SystemTime) -> Verdict<Grant> {
        self.inner.counted(self.inner.connection(token, now, Asked::First))
    }

    /// Verifies a subscription's token with the keys that are here. It never waits.
    pub fn verify_subscription(
        &self,
        token: &str,
        subscriber: &Subscriber<'_>,
        now: SystemTime,
    ) -> Verdict<SubscriptionGrant> {
        self.inner.counted(self.inner.subscription(token, subscriber, now, Asked::First))
    }

    /// Verifies a connection's token, and fetches keys first if it must. It runs on tokio.
    ///
    /// # Errors
    /// See [`Refusal`].
    ///
    /// # Cancel safety
    /// Dropping the future gives up the answer alone: a fetch goes on for those who still wait.
    pub async fn fetching_connection(
        &self,
        token: &str,
        now: SystemTime,
    ) -> Result<Grant, Refusal> {
        self.fetching(now, |now, asked| self.inner.connection(token, now, asked)).await
    }

    /// Verifies a subscription's token, and fetches keys first if it must. It runs on tokio.
    ///
    /// # Errors
    /// See [`Refusal`].
    ///
    /// # Cancel safety
    /// Dropping the future gives up the answer alone: a fetch goes on for those who still wait.
    pub async fn fetching_subscription(
        &self,
        token: &str,
        subscriber: &Subscriber<'_>,
        now: SystemTime,
    ) -> Result<SubscriptionGrant, Refusal> {
        let verify = |now, asked| self.inner.subscription(token, subscriber, now, asked);
        self.fetching(now, verify).await
    }

    /// Verifies, and if it must, once more with fetched keys. Only the end of it is counted.
    async fn fetching<T>(
        &self,
        now: SystemTime,
        verify: impl Fn(SystemTime, Asked) -> Verdict<T>,
    ) -> Result<T, Refusal> {
        let begun = Instant::now();
        let mut verdict = verify(now, Asked::First);
        if matches!(verdict, Verdict::Undecided) {
            verdict = match self.inner.fetch().await {
                Ok(()) => {
                    let now = now.checked_add(begun.elapsed()).unwrap_or(now);
                    verify(now, Asked::Again(begun))
                }
                Err(refusal) => Verdict::Refused(refusal),
            };
        }
        let decided = decided(verdict).unwrap_or(Err(Refusal::Unavailable));
        self.inner.counters.count(decided.as_ref().map_err(|it| *it));
        decided
    }

    /// Fetches the keys of all URLs that may be fetched now, so that the first token needs not wait, and returns what
    /// the sources have done so far, in the order of the settings. It runs on tokio.
    ///
    /// # Cancel safety
    /// Dropping the future stops no fetch.
    pub async fn fetch_keys(&self) -> Vec<JwksCounts> {
        self.inner.fetch_all().await;
        self.jwks_counts()
    }

    /// Returns what the URLs with keys have done so far, in the order of the settings.
    pub fn jwks_counts(&self) -> Vec<JwksCounts> {
        self.inner.fetched.iter().map(|source| source.counts()).collect()
    }

    /// Returns how many tokens were taken and refused so far.
    pub fn counts(&self) -> AuthCounts {
        self.inner.counters.read()
    }

    /// Returns how much longer than its `exp` says a token is good, in whole seconds.
    pub fn leeway(&self) -> Duration {
        Duration::from_secs(self.inner.rules.leeway())
    }

    /// Returns the tokens that are no good before their time, to add some and to hear of them.
    pub fn revocations(&self) -> &Revocations {
        &self.inner.revocations
    }
}

fn decided<T>(verdict: Verdict<T>) -> Option<Result<T, Refusal>> {
    match verdict {
        Verdict::Granted(grant) => Some(Ok(grant)),
        Verdict::Refused(refusal) => Some(Err(refusal)),
        Verdict::Undecided => None,
    }
}

/// A time before 1970 is 1970.
fn seconds(now: SystemTime) -> u64 {
    now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Inner {
    fn connection(&self, token: &str, now: SystemTime, asked: Asked) -> Verdict<Grant> {
        let now = seconds(now);
        self.verify(token, asked, |json| {
            let grant = self.rules.connection(json, now)?;
            self.unless_revoked(&grant.stamp, now)?;
            Ok(grant)
        })
    }

    fn counted<T>(&self, verdict: Verdict<T>) -> Verdict<T> {
        match &verdict {
            Verdict::Granted(grant) => self.counters.count(Ok(grant)),
            Verdict::Refused(refusal) => self.counters.count::<T>(Err(*refusal)),
            Verdict::Undecided => {}
        }
        verdict
    }

    fn subscription(
        &self,
        token: &str,
        subscriber: &Subscriber<'_>,
        now: SystemTime,
        asked: Asked,
    ) -> Verdict<SubscriptionGrant> {
        let now = seconds(now);
        self.verify(token, asked, |json| {
            let grant = self.rules.subscription(json, now, subscriber)?;
            self.unless_revoked(&grant.stamp, now)?;
            Ok(grant)
        })
    }

    fn unless_revoked(&self, stamp: &Stamp, now: u64) -> Result<(), Refusal> {
        match self.revocations.hits(stamp, now) {
            true => Err(Refusal::Revoked),
            false => Ok(()),
        }
    }

    /// The claims are looked at behind a good signature only.
    fn verify<T>(
        &self,
        text: &str,
        asked: Asked,
        read: impl FnOnce(&[u8]) -> Result<T, Refusal>,
    ) -> Verdict<T> {
        let refused = |flaw| Verdict::Refused(Refusal::Invalid(flaw));
        let token = match Token::parse(text, self.token_bytes_max) {
            Ok(token) => token,
            Err(flaw) => return refused(flaw),
        };
        match self.check(&token, asked) {
            Answer::Fetch => Verdict::Undecided,
            Answer::Unavailable => Verdict::Refused(Refusal::Unavailable),
            Answer::Checked(Checked::Bad | Checked::Unknown { tried: true }) => {
                refused(Flaw::Signature)
            }
            Answer::Checked(Checked::Unknown { tried: false }) => refused(Flaw::NoKey),
            Answer::Checked(Checked::Good) => {
                match token.claims().map_err(Refusal::Invalid).and_then(|json| read(&json)) {
                    Ok(grant) => Verdict::Granted(grant),
                    Err(refusal) => Verdict::Refused(refusal),
                }
            }
        }
    }

    /// Asks all sources: one whose key signed decides; otherwise one that may have such a key after a fetch.
    fn check(&self, token: &Token<'_>, asked: Asked) -> Answer {
        let mut best = Answer::Checked(Checked::Unknown { tried: false });
        let local = self.local.iter().map(|set| Answer::Checked(set.check(token, self.tries_max)));
        let fetched = self.fetched.iter().map(|source| source.check(token, self.tries_max, asked));
        for answer in local.chain(fetched) {
            if answer == Answer::Checked(Checked::Good) {
                return answer;
            }
            if rank(answer) > rank(best) {
                best = answer;
            }
        }
        best
    }

    async fn fetch(&self) -> Result<(), Refusal> {
        let _waiting = self.waiting.try_acquire().map_err(|_| Refusal::Unavailable)?;
        self.fetch_all().await;
        Ok(())
    }

    async fn fetch_all(&self) {
        // All of them begin before the first is waited for.
        let ends: Vec<watch::Receiver<()>> =
            self.fetched.iter().filter_map(JwksUrl::fetch).collect();
        for mut end in ends {
            // The sender lives as long as `self`.
            let _ = end.changed().await;
        }
    }
}

/// A key of one source that did not sign says nothing of another source, whose key may have the same `kid`.
fn rank(answer: Answer) -> u8 {
    match answer {
        Answer::Checked(Checked::Unknown { tried: false }) => 0,
        Answer::Checked(Checked::Unknown { tried: true }) => 1,
        Answer::Checked(Checked::Bad) => 2,
        Answer::Unavailable => 3,
        Answer::Fetch => 4,
        Answer::Checked(Checked::Good) => 5,
    }
}
