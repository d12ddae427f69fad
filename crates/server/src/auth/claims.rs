//! From the claims of a token with a good signature to what it grants.

use std::collections::BTreeMap;

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use serde_json::value::RawValue;

use super::{
    grant::{Grant, Info, Overrides, ServerSide, Stamp, SubscriptionGrant},
    refusal::{Flaw, Refusal},
    settings::AuthSettings,
    verifier::Subscriber,
    wire::{self, Audience, Seconds},
};

/// What is asked of claims.
#[derive(Debug)]
pub(super) struct Rules {
    audiences: Vec<String>,
    issuers: Vec<String>,
    leeway: u64,
    expiry_required: bool,
    channels_max: usize,
}

/// The claims that tokens for connections and for subscriptions have in common.
struct Registered {
    exp: Option<Seconds>,
    nbf: Option<Seconds>,
    expire_at: Option<Seconds>,
    aud: Option<Audience>,
    iss: Option<String>,
}

const CLAIMS: Refusal = Refusal::Invalid(Flaw::Claims);

impl Rules {
    pub(super) fn new(settings: &AuthSettings) -> Self {
        Self {
            audiences: settings.audiences.clone(),
            issuers: settings.issuers.clone(),
            leeway: settings.leeway.as_secs(),
            expiry_required: settings.expiry_required,
            channels_max: settings.limits.channels_max,
        }
    }

    pub(super) fn leeway(&self) -> u64 {
        self.leeway
    }

    /// Reads the claims of a token for a connection at a time in seconds since 1970.
    pub(super) fn connection(&self, json: &[u8], now: u64) -> Result<Grant, Refusal> {
        let claims: wire::ConnectionClaims<'_> =
            serde_json::from_slice(json).map_err(|_| CLAIMS)?;
        // A token for one subscription is no pass for a whole connection.
        if claims.channel.is_some() {
            return Err(CLAIMS);
        }
        let expires_at = self.check(
            Registered {
                exp: claims.exp,
                nbf: claims.nbf,
                expire_at: claims.expire_at,
                aud: claims.aud,
                iss: claims.iss,
            },
            now,
        )?;
        let user = claims.sub.unwrap_or_default();
        Ok(Grant {
            expires_at,
            info: info(claims.info, claims.b64info)?,
            meta: claims.meta.map(one_line),
            channels: self.channels(claims.channels, claims.subs)?,
            stamp: stamp(claims.jti, &user, claims.iat),
            user,
        })
    }

    /// Reads the claims of a token for a subscription.
    pub(super) fn subscription(
        &self,
        json: &[u8],
        now: u64,
        subscriber: &Subscriber<'_>,
    ) -> Result<SubscriptionGrant, Refusal> {
        let claims: wire::SubscriptionClaims<'_> =
            serde_json::from_slice(json).map_err(|_| CLAIMS)?;
        let expires_at = self.check(
            Registered {
                exp: claims.exp,
                nbf: claims.nbf,
                expire_at: claims.expire_at,
                aud: claims.aud,
                iss: claims.iss,
            },
            now,
        )?;
        let user = claims.sub.unwrap_or_default();
        // An empty `client` is none, as where the claim comes from.
        let client = claims.client.filter(|client| !client.is_empty());
        let same = user == subscriber.user
            && claims.channel == subscriber.channel
            && client.is_none_or(|client| client == subscriber.client);
        if !same {
            return Err(Refusal::Foreign);
        }
        Ok(SubscriptionGrant {
            expires_at,
            info: info(claims.info, claims.b64info)?,
            overrides: overrides(claims.overrides),
            stamp: stamp(claims.jti, &user, claims.iat),
        })
    }

    /// Returns when what the token grants ends. A token that is for someone else is not called expired, so that nobody
    /// fetches another one in vain.
    fn check(&self, claims: Registered, now: u64) -> Result<Option<u64>, Refusal> {
        if !self.issuers.is_empty() && !claims.iss.is_some_and(|iss| self.issuers.contains(&iss)) {
            return Err(Refusal::Invalid(Flaw::Issuer));
        }
        if !self.audiences.is_empty() {
            // RFC 7519 §4.1.3: "If the principal processing the claim does not identify itself with a value in the
            // "aud" claim when this claim is present, then the JWT MUST be rejected."
            let ours = match &claims.aud {
                None => false,
                Some(Audience::One(one)) => self.audiences.contains(one),
                Some(Audience::Several(all)) => all.iter().any(|it| self.audiences.contains(it)),
            };
            if !ours {
                return Err(Refusal::Invalid(Flaw::Audience));
            }
        }
        // RFC 7519 §4.1.5: "the current date/time MUST be after or equal to the not-before date/time".
        if claims.nbf.is_some_and(|nbf| nbf.0 > now.saturating_add(self.leeway)) {
            return Err(Refusal::Invalid(Flaw::TooEarly));
        }
        let exp = claims.exp.map(|exp| exp.0.saturating_add(self.leeway));
        if exp.is_none() && self.expiry_required {
            return Err(Refusal::Invalid(Flaw::NoExpiry));
        }
        // RFC 7519 §4.1.4: "the current date/time MUST be before the expiration date/time".
        if exp.is_some_and(|exp| now >= exp) {
            return Err(Refusal::Expired);
        }
        match claims.expire_at {
            None => Ok(exp),
            Some(Seconds(0)) => Ok(None),
            Some(Seconds(at)) if now >= at => Err(Refusal::Expired),
            Some(Seconds(at)) => Ok(Some(at)),
        }
    }

    fn channels(
        &self,
        channels: Option<Vec<String>>,
        subs: Option<BTreeMap<String, wire::SubscribeOptions<'_>>>,
    ) -> Result<Vec<ServerSide>, Refusal> {
        let mut all: BTreeMap<String, ServerSide> = BTreeMap::new();
        for channel in channels.unwrap_or_default() {
            all.insert(channel.clone(), ServerSide { channel, ..ServerSide::default() });
        }
        for (channel, options) in subs.unwrap_or_default() {
            let side = ServerSide {
                channel: channel.clone(),
                info: info(options.info, options.b64info)?,
                greeting: info(options.data, options.b64data)?,
                overrides: overrides(options.overrides),
            };
            all.insert(channel, side);
        }
        match all.len() > self.channels_max {
            true => Err(CLAIMS),
            false => Ok(all.into_values().collect()),
        }
    }
}

fn stamp(id: Option<String>, user: &str, iat: Option<Seconds>) -> Stamp {
    Stamp { id, user: user.to_owned(), issued_at: iat.map(|iat| iat.0) }
}

fn overrides(claims: Option<wire::Overrides>) -> Overrides {
    let Some(claims) = claims else { return Overrides::default() };
    let value = |flag: Option<wire::Flag>| flag.map(|flag| flag.value);
    Overrides {
        presence: value(claims.presence),
        join_leave: value(claims.join_leave),
        push_join_leave: value(claims.force_push_join_leave),
        recovery: value(claims.force_recovery),
        positioning: value(claims.force_positioning),
    }
}

/// Some libraries pad and some don't.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Base64 counts before JSON, as where the claims come from.
fn info(json: Option<&RawValue>, base64: Option<String>) -> Result<Option<Info>, Refusal> {
    let Some(text) = base64.filter(|text| !text.is_empty()) else {
        return Ok(json.map(|json| Info::Json(one_line(json))));
    };
    let bytes = BASE64.decode(text).map_err(|_| CLAIMS)?;
    Ok(Some(match serde_json::from_slice::<&RawValue>(&bytes) {
        Ok(json) => Info::Json(one_line(json)),
        Err(_) => Info::Binary(bytes.into()),
    }))
}

/// Some dialects separate JSON by line ends. Within JSON one can only stand where a space may stand too.
fn one_line(json: &RawValue) -> Bytes {
    let mut bytes = json.get().as_bytes().to_vec();
    for byte in &mut bytes {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    bytes.into()
}

#[cfg(test)]
mod tests;
