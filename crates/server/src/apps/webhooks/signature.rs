//! Signatures by which a program knows that a request comes from here, as Standard Webhooks describes them.

use std::{
    error::Error,
    fmt,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use http::HeaderValue;

/// The fewest bytes of a secret: 192 bits, as Standard Webhooks asks for.
const SECRET_BYTES_MIN: usize = 24;

/// A secret shared with a program. `Debug` doesn't show it.
#[derive(Clone)]
pub struct SigningSecret(Arc<hmac::Key>);

/// Why a text is no secret. It does not repeat the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SecretError {
    /// It has less than 24 bytes.
    TooShort,
    /// Behind `whsec_` there is no base64.
    NoBase64,
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooShort => "a secret for webhooks must have 24 bytes or more",
            Self::NoBase64 => "what stands behind whsec_ must be base64",
        })
    }
}

impl Error for SecretError {}

impl SigningSecret {
    /// Takes a text's own bytes or, if it begins with `whsec_`, what the rest is the base64 of.
    ///
    /// ```
    /// use taiwa_server::apps::webhooks::{SecretError, SigningSecret};
    /// assert!(SigningSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").is_ok());
    /// assert_eq!(SigningSecret::parse("a short one").unwrap_err(), SecretError::TooShort);
    /// ```
    ///
    /// # Errors
    /// See [`SecretError`].
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let bytes = match text.strip_prefix("whsec_") {
            Some(rest) => BASE64.decode(rest).map_err(|_| SecretError::NoBase64)?,
            None => text.as_bytes().to_vec(),
        };
        if bytes.len() < SECRET_BYTES_MIN {
            return Err(SecretError::TooShort);
        }
        Ok(Self(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &bytes))))
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(…)")
    }
}

/// Returns the second since 1970 that stands in `webhook-timestamp`; a time before is 0.
pub(super) fn timestamp(now: SystemTime) -> u64 {
    now.duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs())
}

/// Returns what stands in `webhook-signature`: one signature for each secret, separated by spaces. Standard Webhooks:
/// what is signed is the identifier, the timestamp and the body, with a full stop between them.
pub(super) fn signatures(
    secrets: &[SigningSecret],
    id: &str,
    timestamp: u64,
    body: &[u8],
) -> Option<HeaderValue> {
    let sign = |secret: &SigningSecret| {
        let mut signing = hmac::Context::with_key(&secret.0);
        signing.update(format!("{id}.{timestamp}.").as_bytes());
        signing.update(body);
        format!("v1,{}", BASE64.encode(signing.sign()))
    };
    let all = secrets.iter().map(sign).collect::<Vec<_>>().join(" ");
    HeaderValue::try_from(all).ok().filter(|it| !it.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(secrets: &[&str], id: &str, at: u64, body: &str, expected: Option<&str>) {
        let secrets: Vec<_> = secrets.iter().map(|it| SigningSecret::parse(it).unwrap()).collect();
        let signed = signatures(&secrets, id, at, body.as_bytes());
        assert_eq!(signed.as_ref().map(|it| it.to_str().unwrap()), expected);
    }

    /// The signatures come from Python's `hmac`; the first is also the example that Standard Webhooks publishes.
    #[test]
    fn signatures_are_those_that_another_program_computes() {
        let (known, text) =
            ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "a secret of thirty-two bytes or more");
        let (id, at) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330);
        let body = "{\"test\": 2432232314}";
        let first = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        check(&[known], id, at, body, Some(first));
        let second = "v1,hmkrkcxT0XszjpLYl9MBUEPn6V4nm4I8NmapMfebxbY=";
        let (other, body2) = ("0000000000000001", "{\"specversion\":\"1.0\"}");
        check(&[text], other, 1_700_000_000, body2, Some(second));
        let rotated = signatures(
            &[SigningSecret::parse(known).unwrap(), SigningSecret::parse(text).unwrap()],
            other,
            1_700_000_000,
            body2.as_bytes(),
        );
        let rotated = rotated.unwrap();
        let (one, two) = rotated.to_str().unwrap().split_once(' ').unwrap();
        assert!(one.starts_with("v1,") && one != two);
        assert_eq!(two, second, "while a secret is replaced, there is a signature of each");
        check(&[], id, at, body, None);
    }

    #[test]
    fn secrets_are_long_enough_and_stay_unseen() {
        for (text, expected) in [
            ("x".repeat(23), Some(SecretError::TooShort)),
            ("x".repeat(24), None),
            (format!("whsec_{}", BASE64.encode([7; 23])), Some(SecretError::TooShort)),
            (format!("whsec_{}", BASE64.encode([7; 24])), None),
            ("whsec_not base64 at all, whatever".into(), Some(SecretError::NoBase64)),
        ] {
            assert_eq!(SigningSecret::parse(&text).err(), expected, "{text}");
        }
        let secret = SigningSecret::parse("correct horse battery staple").unwrap();
        assert_eq!(format!("{secret:?}"), "SigningSecret(…)");
        assert!(!SecretError::TooShort.to_string().contains("horse"));
    }
}
