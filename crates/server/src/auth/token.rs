//! A token as text: its header, what was signed, and the signature (RFC 7515 §7.1).

use std::str::FromStr;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::AlgorithmFamily;

use super::{refusal::Flaw, wire};

/// A token whose signature nobody has checked yet.
pub(super) struct Token<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<String>,
    /// What was signed: header and claims as they stand in the text.
    pub(super) message: &'a str,
    pub(super) signature: &'a str,
    claims: &'a str,
}

/// An `alg` that is spoken (RFC 7518 §3.1, RFC 8037 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// What `jsonwebtoken` speaks.
    Common(jsonwebtoken::Algorithm),
    /// ECDSA with P-521, which it does not.
    Es512,
}

impl Algorithm {
    pub(super) fn from_name(name: &str) -> Option<Self> {
        match name {
            "ES512" => Some(Self::Es512),
            name => jsonwebtoken::Algorithm::from_str(name).ok().map(Self::Common),
        }
    }

    /// Returns those of a family, without ES512.
    pub(super) fn all_of(family: AlgorithmFamily) -> Vec<Self> {
        family.algorithms().iter().copied().map(Self::Common).collect()
    }

    pub(super) fn is_hmac(self) -> bool {
        matches!(self, Self::Common(it) if it.family() == AlgorithmFamily::Hmac)
    }
}

impl<'a> Token<'a> {
    pub(super) fn parse(text: &'a str, bytes_max: usize) -> Result<Self, Flaw> {
        if text.len() > bytes_max {
            return Err(Flaw::TooLong);
        }
        let (message, signature) = text.rsplit_once('.').ok_or(Flaw::Malformed)?;
        let (header, claims) = message.split_once('.').ok_or(Flaw::Malformed)?;
        if claims.contains('.') {
            return Err(Flaw::Malformed);
        }
        let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| Flaw::Malformed)?;
        let header: wire::Header = serde_json::from_slice(&header).map_err(|_| Flaw::Malformed)?;
        // RFC 7515 §4.1.11: "If any of the listed extension Header Parameters are not understood and supported by the
        // recipient, then the JWS is invalid."
        if header.crit.is_some() {
            return Err(Flaw::Critical);
        }
        // Among those that are not spoken is "none" (RFC 7518 §3.6).
        let algorithm = Algorithm::from_name(&header.alg).ok_or(Flaw::Algorithm)?;
        Ok(Self { algorithm, key_id: header.kid, message, signature, claims })
    }

    /// Returns the signature's bytes.
    pub(super) fn signature_bytes(&self) -> Option<Vec<u8>> {
        URL_SAFE_NO_PAD.decode(self.signature).ok()
    }

    /// Returns the claims as JSON. Only for a token whose signature is good.
    pub(super) fn claims(&self) -> Result<Vec<u8>, Flaw> {
        URL_SAFE_NO_PAD.decode(self.claims).map_err(|_| Flaw::Malformed)
    }
}
