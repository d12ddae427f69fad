//! Why a token is refused: what its bearer is told, and what stands in our log.

use std::{error::Error, fmt};

/// Why a token is refused. Its text is for the peer: it names neither the token nor what it was checked against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// It was good until its `exp` or `expire_at`. Its bearer should fetch another one.
    Expired,
    /// It, or all of its user's tokens of that time, have been revoked.
    Revoked,
    /// It is good, but for another user, client or channel than the one that brings it.
    Foreign,
    /// It can't be checked now, because its key can't be fetched now. Its bearer should come again.
    Unavailable,
    /// It is no good. The flaw is for our log, not for the peer.
    Invalid(Flaw),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "the token has expired",
            Self::Revoked => "the token has been revoked",
            Self::Foreign => "the token is for another user, client or channel",
            Self::Unavailable => "the token can't be checked now",
            Self::Invalid(_) => "the token is invalid",
        })
    }
}

impl Error for Refusal {}

/// What is wrong with a token, for our log: it shows nothing of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flaw {
    /// It is longer than [`AuthLimits::token_bytes_max`](super::AuthLimits::token_bytes_max).
    TooLong,
    /// It does not consist of a header, claims and a signature.
    Malformed,
    /// Its header has `crit`, and we know no extension (RFC 7515 §4.1.11).
    Critical,
    /// Its `alg` is `none` or one that we don't speak.
    Algorithm,
    /// No key of ours fits its `alg` and `kid`.
    NoKey,
    /// Its signature is not one of our keys'.
    Signature,
    /// A claim has the wrong type, is missing, stands twice or is too much.
    Claims,
    /// It has no `exp`, which [`AuthSettings::expiry_required`](super::AuthSettings::expiry_required) asks for.
    NoExpiry,
    /// Its `nbf` lies ahead.
    TooEarly,
    /// Its `aud` has none of our audiences.
    Audience,
    /// Its `iss` is none of our issuers.
    Issuer,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "too long",
            Self::Malformed => "not a token",
            Self::Critical => "a critical extension that is not known",
            Self::Algorithm => "an algorithm that is not spoken",
            Self::NoKey => "no key for its algorithm and kid",
            Self::Signature => "a wrong signature",
            Self::Claims => "claims of a wrong form",
            Self::NoExpiry => "no exp",
            Self::TooEarly => "nbf lies ahead",
            Self::Audience => "another audience",
            Self::Issuer => "another issuer",
        })
    }
}
