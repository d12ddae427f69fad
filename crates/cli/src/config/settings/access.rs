//! Who is let in, and as whom.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use taiwa_server::auth::JwksSettings;

use crate::{
    args::Time,
    config::values::{Anonymous, Secret, Url},
};

/// Who is let in, and as whom.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Auth {
    /// Whether clients without a token are let in, as nobody in particular: true, false, or `loopback`: as long as the
    /// server listens on loopback addresses and unix sockets alone.
    pub(crate) anonymous: Anonymous,
    /// Whether a token is checked before a webhook is asked, wherever there are keys for it. Otherwise, and where there
    /// are none, a webhook gets the token and decides alone.
    pub(crate) tokens_first: bool,
    /// Subscribes each user to a channel of its own, whose name is this and the user: with `personal:#` that of ada is
    /// `personal:#ada`, which the right `named` lets nobody else hear.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"personal:#")]
    pub(crate) personal_prefix: Option<String>,
    /// JSON Web Tokens (RFC 7519), by which clients show who they are. A token is taken only if there is a key for it.
    pub(crate) jwt: Jwt,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            anonymous: Anonymous::Loopback,
            tokens_first: true,
            personal_prefix: None,
            jwt: Jwt::default(),
        }
    }
}

/// JSON Web Tokens.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Jwt {
    /// Secrets of HS256, HS384 and HS512, shared with the program that makes the tokens; at least 32 bytes each. Several
    /// while one takes the place of another: each is accepted, and `taiwa token make` signs with the first. Better in
    /// the environment than in a file that many read.
    pub(crate) secrets: Vec<Secret>,
    /// Files with a public key each, in PEM: RSA for RS256, RS384, RS512, PS256, PS384 and PS512; P-256 for ES256; P-384
    /// for ES384; P-521 for ES512; Ed25519 for EdDSA.
    pub(crate) public_keys: Vec<PathBuf>,
    /// Files with sets of keys (JWKS, RFC 7517), which may hold secrets.
    pub(crate) jwks_files: Vec<PathBuf>,
    /// Where sets of public keys (JWKS) are fetched from: https, or http on this machine.
    pub(crate) jwks_urls: Vec<Url>,
    /// How long a fetched set is believed if its answer does not say it; a token with an unknown key has it fetched
    /// sooner.
    pub(crate) jwks_ttl: Time,
    /// Audiences (`aud`) of which a token must name one; if empty, any will do.
    pub(crate) audiences: Vec<String>,
    /// Issuers (`iss`) of which a token must name one; if empty, any will do.
    pub(crate) issuers: Vec<String>,
    /// How far the clock of the machine that makes tokens may be from this one's; `off` for not at all.
    pub(crate) leeway: Time,
    /// Whether tokens without an end (`exp`) are refused.
    pub(crate) expiry_required: bool,
}

impl Default for Jwt {
    fn default() -> Self {
        Self {
            secrets: Vec::new(),
            public_keys: Vec::new(),
            jwks_files: Vec::new(),
            jwks_urls: Vec::new(),
            jwks_ttl: Time(Some(JwksSettings::new("").cached_for)),
            audiences: Vec::new(),
            issuers: Vec::new(),
            leeway: Time(None),
            expiry_required: false,
        }
    }
}
