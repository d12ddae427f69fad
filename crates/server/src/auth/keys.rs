//! Keys, and which tokens they may check: that is decided by what a key is, never by what a token says.

use std::{fmt, sync::Arc};

use aws_lc_rs::signature::{ECDSA_P521_SHA512_FIXED, UnparsedPublicKey};
use jsonwebtoken::{
    AlgorithmFamily, DecodingKey, DecodingKeyKind,
    crypto::aws_lc,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse},
};

use super::{
    settings::{Secret, SettingsError},
    token::{Algorithm, Token},
    wire,
};

const ES256: Algorithm = Algorithm::Common(jsonwebtoken::Algorithm::ES256);
const ES384: Algorithm = Algorithm::Common(jsonwebtoken::Algorithm::ES384);
const EDDSA: Algorithm = Algorithm::Common(jsonwebtoken::Algorithm::EdDSA);

/// What the crypto below us takes, in bits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// A key. `Debug` doesn't show it.
pub(super) struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    decoding: DecodingKey,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("algorithms", &self.algorithms).finish_non_exhaustive()
    }
}

/// Whether a JWK set may have secrets in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Secrets {
    Taken { bytes_min: usize },
    PassedOver,
}

impl Key {
    pub(super) fn from_secret(secret: &Secret, bytes_min: usize) -> Result<Self, SettingsError> {
        // Without any there would be nothing to know, whatever the setting says.
        let bytes_min = bytes_min.max(1);
        match secret.bytes().len() < bytes_min {
            true => Err(SettingsError::SecretTooShort { bytes_min }),
            false => Ok(Self::secret(secret.bytes())),
        }
    }

    fn secret(bytes: &[u8]) -> Self {
        let algorithms = Algorithm::all_of(AlgorithmFamily::Hmac);
        Self { id: None, algorithms, decoding: DecodingKey::from_secret(bytes) }
    }

    /// Reads a public key. A private one is refused: it should not be here at all.
    pub(super) fn from_pem(pem: &str) -> Result<Self, SettingsError> {
        if pem.contains("PRIVATE KEY") || pem.contains("CERTIFICATE") {
            return Err(SettingsError::Pem);
        }
        let pem = pem.as_bytes();
        let key = if let Ok(key) = DecodingKey::from_rsa_pem(pem) {
            let components = aws_lc::DEFAULT_PROVIDER.key_utils.rsa_pub_components_from_public_key;
            let der = key.try_get_as_bytes().map_err(|_| SettingsError::Pem)?;
            components(der).ok().and_then(|(n, e)| Self::rsa(&n, &e))
        } else if let Ok(key) = DecodingKey::from_ec_pem(pem) {
            Self::ec(key)
        } else {
            DecodingKey::from_ed_pem(pem).ok().and_then(Self::ed)
        };
        key.ok_or(SettingsError::Pem)
    }

    fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<Self> {
        let first = modulus.iter().position(|byte| *byte != 0)?;
        let modulus = &modulus[first..];
        let bits = modulus.len() * 8 - modulus[0].leading_zeros() as usize;
        let decoding = DecodingKey::from_rsa_raw_components(modulus, exponent);
        let algorithms = Algorithm::all_of(AlgorithmFamily::Rsa);
        RSA_BITS.contains(&bits).then_some(Self { id: None, algorithms, decoding })
    }

    /// Takes a key whose bytes are an uncompressed point (SEC 1 §2.3.3).
    fn ec(decoding: DecodingKey) -> Option<Self> {
        // RFC 7518 §3.4: each algorithm has its curve.
        let algorithm = match decoding.try_get_as_bytes().ok()? {
            [4, rest @ ..] if rest.len() == 2 * 32 => ES256,
            [4, rest @ ..] if rest.len() == 2 * 48 => ES384,
            [4, rest @ ..] if rest.len() == 2 * 66 => Algorithm::Es512,
            _ => return None,
        };
        Some(Self { id: None, algorithms: vec![algorithm], decoding })
    }

    fn ed(decoding: DecodingKey) -> Option<Self> {
        (decoding.try_get_as_bytes().ok()?.len() == 32).then_some(Self {
            id: None,
            algorithms: vec![EDDSA],
            decoding,
        })
    }

    /// Reads a key of a set, unless it is not for signatures or of a kind that is not spoken.
    fn from_jwk(value: serde_json::Value, secrets: Secrets) -> Option<Self> {
        let named = value.get("alg").and_then(|alg| alg.as_str()).map(str::to_owned);
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let common = &jwk.common;
        let other_use =
            common.public_key_use.as_ref().is_some_and(|it| *it != PublicKeyUse::Signature);
        let other_operations =
            common.key_operations.as_ref().is_some_and(|it| !it.contains(&KeyOperations::Verify));
        if other_use || other_operations {
            return None;
        }
        let mut key = Self::from_parameters(&jwk, secrets)?;
        if let Some(name) = named {
            let only = Algorithm::from_name(&name)?;
            key.algorithms.retain(|algorithm| *algorithm == only);
        }
        key.id = common.key_id.clone();
        (!key.algorithms.is_empty()).then_some(key)
    }

    fn from_parameters(jwk: &Jwk, secrets: Secrets) -> Option<Self> {
        let decoding = DecodingKey::from_jwk(jwk).ok()?;
        match (&jwk.algorithm, secrets) {
            (AlgorithmParameters::RSA(_), _) => match decoding.kind() {
                DecodingKeyKind::RsaModulusExponent { n, e } => Self::rsa(n, e),
                _ => None,
            },
            (AlgorithmParameters::EllipticCurve(it), _) => {
                let key = Self::ec(decoding)?;
                let algorithm = match it.curve {
                    EllipticCurve::P256 => ES256,
                    EllipticCurve::P384 => ES384,
                    EllipticCurve::P521 => Algorithm::Es512,
                    _ => return None,
                };
                (key.algorithms == [algorithm]).then_some(key)
            }
            (AlgorithmParameters::OctetKeyPair(it), _) => match it.curve {
                EllipticCurve::Ed25519 => Self::ed(decoding),
                _ => None,
            },
            (AlgorithmParameters::OctetKey(_), Secrets::Taken { bytes_min }) => {
                let bytes = decoding.try_get_as_bytes().ok()?;
                (bytes.len() >= bytes_min.max(1)).then(|| Self::secret(bytes))
            }
            _ => None,
        }
    }

    /// Returns whether it may check a token. A key without an id may check any of its algorithm.
    fn fits(&self, token: &Token<'_>) -> bool {
        let same_id = match (&self.id, &token.key_id) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => true,
        };
        same_id && self.algorithms.contains(&token.algorithm)
    }

    fn verifies(&self, token: &Token<'_>) -> bool {
        let message = token.message.as_bytes();
        let Some(signature) = token.signature_bytes() else { return false };
        match token.algorithm {
            // Not by the provider of the process: what other crates of a program ask of `jsonwebtoken` may leave none,
            // and that panics.
            Algorithm::Common(algorithm) => {
                (aws_lc::DEFAULT_PROVIDER.verifier_factory)(&algorithm, &self.decoding)
                    .is_ok_and(|verifier| verifier.verify(message, &signature).is_ok())
            }
            Algorithm::Es512 => self.decoding.try_get_as_bytes().is_ok_and(|point| {
                let key = UnparsedPublicKey::new(&ECDSA_P521_SHA512_FIXED, point);
                key.verify(message, &signature).is_ok()
            }),
        }
    }
}

/// Keys of one source.
#[derive(Clone, Debug, Default)]
pub(super) struct KeySet(Arc<[Key]>);

/// What a set says of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checked {
    /// One of its keys made the signature.
    Good,
    /// The key that the token names did not make the signature.
    Bad,
    /// It has no key that the token names; for a token that names none: no key that made the signature.
    Unknown {
        /// Whether a key was tried.
        tried: bool,
    },
}

impl KeySet {
    pub(super) fn new(keys: impl Into<Arc<[Key]>>) -> Self {
        Self(keys.into())
    }

    /// Reads a JWK set. Keys that can't be used are passed over.
    ///
    /// RFC 7517 §5: "Implementations SHOULD ignore JWKs within a JWK Set that use "kty" (key type) values that are not
    /// understood by them, that are missing required members, or for which values are out of the supported ranges."
    ///
    /// Returns `None` if it is no set or has more than `keys_max`.
    pub(super) fn from_json(json: &[u8], secrets: Secrets, keys_max: usize) -> Option<Self> {
        let set: wire::Jwks = serde_json::from_slice(json).ok()?;
        if set.keys.len() > keys_max {
            return None;
        }
        let keys = set.keys.into_iter().filter_map(|key| Key::from_jwk(key, secrets));
        Some(Self(keys.collect()))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks the signature with the keys that may do so, at most `tries_max` of them.
    pub(super) fn check(&self, token: &Token<'_>, tries_max: usize) -> Checked {
        let mut tried = false;
        let mut named = false;
        for key in self.0.iter().filter(|key| key.fits(token)).take(tries_max) {
            if key.verifies(token) {
                return Checked::Good;
            }
            tried = true;
            named |= key.id.is_some() && token.key_id.is_some();
        }
        match named {
            true => Checked::Bad,
            false => Checked::Unknown { tried },
        }
    }
}

#[cfg(test)]
mod tests;
