//! Who is let in, and as whom.

use std::{path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    args::Time,
    config::values::{Anonymous, Secret, Url},
};

/// Who is let in, and as whom.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Auth {
    /// Whether clients without a token are let in, as nobody in particular: true, false, or `loopback`: as long as the
    /// server listens on loopback addresses and unix sockets alone.
    pub(crate) anonymous: Anonymous,
    /// JSON Web Tokens (RFC 7519), by which clients show who they are. A token is taken only if there is a key for it.
    pub(crate) jwt: Jwt,
}

/// JSON Web Tokens.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Jwt {
    /// Algorithms that are accepted. HS256, HS384 and HS512 need `secret`, the others `public_key` or `jwks_url`.
    pub(crate) algorithms: Vec<Algorithm>,
    /// Secret of HS256, HS384 and HS512, shared with the program that makes the tokens; at least 32 bytes. Better in the
    /// environment than in a file that many read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "at least 32 bytes that nobody guesses")]
    pub(crate) secret: Option<Secret>,
    /// File with the public key in PEM, for RSA, ECDSA and EdDSA.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "/etc/taiwa/jwt.pem")]
    pub(crate) public_key: Option<PathBuf>,
    /// Where a set of public keys (JWKS, RFC 7517) is fetched from.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "https://login.example/.well-known/jwks.json")]
    pub(crate) jwks_url: Option<Url>,
    /// How long a fetched set of keys is believed; a token with an unknown key has it fetched sooner.
    pub(crate) jwks_ttl: Time,
    /// Audiences (`aud`) of which a token must name one; if empty, any will do.
    pub(crate) audience: Vec<String>,
    /// Issuers (`iss`) of which a token must name one; if empty, any will do.
    pub(crate) issuer: Vec<String>,
    /// How far the clocks of this machine and of the one that makes tokens may be apart; `off` for not at all.
    pub(crate) leeway: Time,
}

impl Default for Jwt {
    fn default() -> Self {
        use Algorithm::{EdDsa, Es256, Es384, Hs256, Hs384, Hs512, Ps256, Rs256, Rs384, Rs512};
        Self {
            algorithms: vec![Hs256, Hs384, Hs512, Rs256, Rs384, Rs512, Ps256, Es256, Es384, EdDsa],
            secret: None,
            public_key: None,
            jwks_url: None,
            jwks_ttl: Time(Some(Duration::from_secs(60 * 60))),
            audience: Vec::new(),
            issuer: Vec::new(),
            leeway: Time(None),
        }
    }
}

/// An algorithm of RFC 7518 §3.1 or RFC 8037.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub(crate) enum Algorithm {
    /// HMAC with SHA-256.
    #[serde(rename = "HS256")]
    Hs256,
    /// HMAC with SHA-384.
    #[serde(rename = "HS384")]
    Hs384,
    /// HMAC with SHA-512.
    #[serde(rename = "HS512")]
    Hs512,
    /// RSA PKCS #1 with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// RSA PKCS #1 with SHA-384.
    #[serde(rename = "RS384")]
    Rs384,
    /// RSA PKCS #1 with SHA-512.
    #[serde(rename = "RS512")]
    Rs512,
    /// RSA PSS with SHA-256.
    #[serde(rename = "PS256")]
    Ps256,
    /// RSA PSS with SHA-384.
    #[serde(rename = "PS384")]
    Ps384,
    /// RSA PSS with SHA-512.
    #[serde(rename = "PS512")]
    Ps512,
    /// ECDSA with P-256 and SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// ECDSA with P-384 and SHA-384.
    #[serde(rename = "ES384")]
    Es384,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}
