//! What tokens are checked against, and the bounds of checking them.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use crate::outgoing::{Failure, UrlError};

/// What tokens are checked against.
#[derive(Clone, Debug, Default)]
pub struct AuthSettings {
    /// Where keys come from. Without any, every token is refused.
    pub keys: Vec<KeySource>,
    /// Of these one must be in a token's `aud`. Empty, the default: `aud` is not looked at.
    pub audiences: Vec<String>,
    /// One of these must be a token's `iss`. Empty, the default: `iss` is not looked at.
    pub issuers: Vec<String>,
    /// How far the clock that made a token may be from ours, none by default. It lengthens `exp` and shortens `nbf`.
    pub leeway: Duration,
    /// Refuses tokens without `exp`. They are taken by default, and are good forever unless revoked.
    pub expiry_required: bool,
    /// The bounds.
    pub limits: AuthLimits,
}

/// Bounds of what checking tokens may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthLimits {
    /// The longest token that is looked at, 16 KiB by default: most servers take no longer field of a head either. A
    /// longer one is refused as [`Flaw::TooLong`](super::Flaw::TooLong).
    pub token_bytes_max: usize,
    /// Channels in a connection's `channels` and `subs` together, 128 by default. More are refused as
    /// [`Flaw::Claims`](super::Flaw::Claims).
    pub channels_max: usize,
    /// The fewest bytes of a secret, 32 by default. RFC 7518 §3.2 asks for as many as the hash has, which is 32 for
    /// HS256. A shorter one is a [`SettingsError`].
    pub secret_bytes_min: usize,
    /// Keys of one set, 64 by default: issuers have two or three. A set with more is not taken.
    pub keys_max: usize,
    /// Keys of one source that are tried for one token, 8 by default. It matters for tokens without `kid` alone: keys
    /// behind those are not tried.
    pub tries_max: usize,
    /// Tokens that wait for keys to be fetched, 1024 by default. One more is refused as
    /// [`Refusal::Unavailable`](super::Refusal::Unavailable).
    pub waiting_max: usize,
    /// Revoked tokens that are remembered, 100,000 by default (some 10 MB). When it is reached and none of them has
    /// expired, no further one is revoked and whoever asks for it is told; none is forgotten.
    pub revoked_tokens_max: usize,
    /// Users whose older tokens are revoked, 100,000 by default, with the same consequence.
    pub revoked_users_max: usize,
    /// The longest `jti` or user of a revocation, 255 bytes by default. A longer one is not revoked and whoever asks
    /// for it is told.
    pub revoked_bytes_max: usize,
    /// Revocations that a receiver of [`Revocations::events`](super::Revocations::events) may be behind, 1024 by
    /// default. Beyond that it is told that it lags and must check its sessions one by one.
    pub revocation_events_max: usize,
}

impl Default for AuthLimits {
    fn default() -> Self {
        Self {
            token_bytes_max: 16 * 1024,
            channels_max: 128,
            secret_bytes_min: 32,
            keys_max: 64,
            tries_max: 8,
            waiting_max: 1024,
            revoked_tokens_max: 100_000,
            revoked_users_max: 100_000,
            revoked_bytes_max: 255,
            revocation_events_max: 1024,
        }
    }
}

/// Bytes that nobody may see: `Debug` shows how many there are.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<[u8]>);

impl Secret {
    /// Takes the bytes.
    pub fn new(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self(bytes.into())
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}

/// Where keys come from. What a key is decides which algorithms a token may name: a token never does.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum KeySource {
    /// A secret that the issuer of tokens shares with us: HS256, HS384, HS512.
    Secret(Secret),
    /// A public key in PEM (`PUBLIC KEY` or `RSA PUBLIC KEY`): RSA of 2048 to 8192 bits for RS256, RS384, RS512, PS256,
    /// PS384, PS512; P-256 for ES256; P-384 for ES384; P-521 for ES512; Ed25519 for EdDSA.
    Pem(String),
    /// A JWK set (RFC 7517 §5) as JSON, which may hold secrets (`oct`) too.
    Jwks(Secret),
    /// A JWK set to fetch.
    JwksUrl(JwksSettings),
}

impl KeySource {
    /// Takes the bytes of a text as a secret.
    pub fn secret(text: &str) -> Self {
        Self::Secret(Secret::new(text.as_bytes()))
    }
}

/// A JWK set to fetch, and how often. Secrets (`oct`) in it don't count: what anyone can fetch is none.
#[derive(Clone, PartialEq, Eq)]
pub struct JwksSettings {
    /// Where it is. Its query may hold a secret: `Debug` doesn't show it.
    pub url: String,
    /// Takes an `http` URL whose host is not this machine itself. Refused by default: whoever can change an answer on
    /// its way could sign any token.
    pub plain_http: bool,
    /// How long a set counts if its answer says nothing of it, 10 min by default. A token that needs a set past its
    /// time waits until it is fetched again.
    pub cached_for: Duration,
    /// The shortest time of a set, whatever `Cache-Control: max-age` says, 1 min by default.
    pub cached_min: Duration,
    /// The longest time of a set, whatever `Cache-Control: max-age` says, 24 h by default: as long may a key that its
    /// issuer withdrew still count.
    pub cached_max: Duration,
    /// How long the last good set counts while no new one can be fetched, 24 h by default. Afterwards tokens are
    /// refused as [`Refusal::Unavailable`](super::Refusal::Unavailable).
    pub kept_max: Duration,
    /// The shortest time between two fetches, whether they bring something or not, 10 s by default. A token with an
    /// unknown `kid` sooner than that is refused as [`Refusal::Unavailable`](super::Refusal::Unavailable).
    pub fetch_every_min: Duration,
    /// How long a fetch may take, 5 s by default. Then it has failed.
    pub deadline: Duration,
    /// The longest answer, 256 KiB by default. A longer one is a failed fetch.
    pub answer_bytes_max: usize,
}

impl JwksSettings {
    /// Makes settings with the defaults.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            plain_http: false,
            cached_for: Duration::from_secs(10 * 60),
            cached_min: Duration::from_secs(60),
            cached_max: Duration::from_secs(24 * 60 * 60),
            kept_max: Duration::from_secs(24 * 60 * 60),
            fetch_every_min: Duration::from_secs(10),
            deadline: Duration::from_secs(5),
            answer_bytes_max: 256 * 1024,
        }
    }
}

impl fmt::Debug for JwksSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwksSettings")
            .field("cached_for", &self.cached_for)
            .field("fetch_every_min", &self.fetch_every_min)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// Why settings can't be used. Its text repeats no key and no URL.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettingsError {
    /// A secret is shorter than [`AuthLimits::secret_bytes_min`].
    SecretTooShort {
        /// How many bytes it must have.
        bytes_min: usize,
    },
    /// It is no public key in PEM of a kind that [`KeySource::Pem`] names.
    Pem,
    /// It is no JWK set, has no key that can be used, or has too many.
    Jwks,
    /// The URL of a JWK set can't be used.
    Url(UrlError),
    /// The URL of a JWK set is `http`, and its host is another machine.
    PlainHttp,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SecretTooShort { bytes_min } => {
                write!(f, "a secret for tokens must have {bytes_min} bytes or more")
            }
            Self::Pem => f.write_str(
                "no public key in PEM: RSA of 2048 to 8192 bits, P-256, P-384, P-521 or Ed25519 will do",
            ),
            Self::Jwks => f.write_str("no JWK set with keys that can be used"),
            Self::Url(error) => write!(f, "the URL of a JWK set: {error}"),
            Self::PlainHttp => f.write_str(
                "the URL of a JWK set must be https: over http anyone on the way could change the keys",
            ),
        }
    }
}

impl Error for SettingsError {}

/// Why a JWK set could not be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FetchError {
    /// There was no answer.
    Failed(Failure),
    /// The answer had another status than 200.
    Status(u16),
    /// The answer is no JWK set, or has too many keys.
    NoSet,
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(failure) => failure.fmt(f),
            Self::Status(status) => write!(f, "the status was {status}"),
            Self::NoSet => f.write_str("the answer is no JWK set that can be used"),
        }
    }
}
