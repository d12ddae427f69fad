//! Tokens and JWK sets as JSON writes them.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, Visitor},
};
use serde_json::value::RawValue;

/// The header of a token (RFC 7515 §4.1), as far as it counts here.
#[derive(Deserialize)]
pub(super) struct Header {
    pub(super) alg: String,
    pub(super) kid: Option<String>,
    pub(super) crit: Option<IgnoredAny>,
}

/// The claims of a token for a connection.
#[derive(Deserialize)]
pub(super) struct ConnectionClaims<'a> {
    #[serde(default)]
    pub(super) sub: Option<String>,
    pub(super) exp: Option<Seconds>,
    pub(super) nbf: Option<Seconds>,
    pub(super) iat: Option<Seconds>,
    pub(super) jti: Option<String>,
    pub(super) aud: Option<Audience>,
    pub(super) iss: Option<String>,
    pub(super) expire_at: Option<Seconds>,
    #[serde(borrow)]
    pub(super) info: Option<&'a RawValue>,
    pub(super) b64info: Option<String>,
    #[serde(borrow)]
    pub(super) meta: Option<&'a RawValue>,
    pub(super) channels: Option<Vec<String>>,
    #[serde(borrow)]
    pub(super) subs: Option<BTreeMap<String, SubscribeOptions<'a>>>,
    /// Only tokens for subscriptions have it.
    pub(super) channel: Option<IgnoredAny>,
}

/// The claims of a token for a subscription.
#[derive(Deserialize)]
pub(super) struct SubscriptionClaims<'a> {
    pub(super) sub: Option<String>,
    pub(super) channel: String,
    pub(super) client: Option<String>,
    pub(super) exp: Option<Seconds>,
    pub(super) nbf: Option<Seconds>,
    pub(super) iat: Option<Seconds>,
    pub(super) jti: Option<String>,
    pub(super) aud: Option<Audience>,
    pub(super) iss: Option<String>,
    pub(super) expire_at: Option<Seconds>,
    #[serde(borrow)]
    pub(super) info: Option<&'a RawValue>,
    pub(super) b64info: Option<String>,
    #[serde(rename = "override")]
    pub(super) overrides: Option<Overrides>,
}

/// The options of one channel of `subs`.
#[derive(Deserialize)]
pub(super) struct SubscribeOptions<'a> {
    #[serde(borrow)]
    pub(super) info: Option<&'a RawValue>,
    pub(super) b64info: Option<String>,
    #[serde(borrow)]
    pub(super) data: Option<&'a RawValue>,
    pub(super) b64data: Option<String>,
    #[serde(rename = "override")]
    pub(super) overrides: Option<Overrides>,
}

#[derive(Deserialize)]
pub(super) struct Overrides {
    pub(super) presence: Option<Flag>,
    pub(super) join_leave: Option<Flag>,
    pub(super) force_push_join_leave: Option<Flag>,
    pub(super) force_recovery: Option<Flag>,
    pub(super) force_positioning: Option<Flag>,
}

#[derive(Deserialize)]
pub(super) struct Flag {
    #[serde(default)]
    pub(super) value: bool,
}

/// One audience or several (RFC 7519 §4.1.3).
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Audience {
    One(String),
    Several(Vec<String>),
}

/// A JWK set (RFC 7517 §5) whose keys are looked at one by one.
#[derive(Deserialize)]
pub(super) struct Jwks {
    pub(super) keys: Vec<serde_json::Value>,
}

/// Seconds since 1970, without what is behind the point. RFC 7519 §2: a `NumericDate` may have a fraction.
#[derive(Clone, Copy)]
pub(super) struct Seconds(pub(super) u64);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_f64(SecondsVisitor)
    }
}

struct SecondsVisitor;

impl Visitor<'_> for SecondsVisitor {
    type Value = Seconds;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("seconds since 1970")
    }

    fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Seconds, E> {
        Ok(Seconds(seconds))
    }

    fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Seconds, E> {
        // Before 1970 is as long ago as 1970.
        Ok(Seconds(u64::try_from(seconds).unwrap_or(0)))
    }

    fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Seconds, E> {
        // Saturates at both ends.
        Ok(Seconds(seconds as u64))
    }
}
