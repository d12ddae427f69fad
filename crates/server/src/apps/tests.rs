//! What the tests of several apps need: tokens, and answers in time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use taiwa_core::{Answer, App, Asked, Question, Refusal};
use tokio::time;

use crate::{
    auth::{AuthSettings, KeySource, Verifier},
    outgoing::{Outgoing, OutgoingLimits, Trust},
};

const SECRET: &str = "a secret of at least thirty-two bytes";

pub(super) fn outgoing() -> Outgoing {
    Outgoing::new(&Trust::Platform, &OutgoingLimits::default())
}

/// Signs claims as HS256.
pub(super) fn token(claims: &str) -> String {
    let header = r#"{"alg":"HS256"}"#;
    let message = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, SECRET.as_bytes());
    let tag = aws_lc_rs::hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", BASE64.encode(tag))
}

/// Where the key of [`token`] is.
pub(super) fn secret_source() -> KeySource {
    KeySource::secret(SECRET)
}

pub(super) fn verifier() -> Verifier {
    with_keys(vec![secret_source()])
}

pub(super) fn with_keys(keys: Vec<KeySource>) -> Verifier {
    Verifier::new(AuthSettings { keys, ..AuthSettings::default() }, &outgoing()).unwrap()
}

/// Returns the second that is now, since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Asks, and waits for what comes later, but not for ever.
pub(super) async fn answer(app: &dyn App, question: Question) -> Result<Answer, Refusal> {
    match app.ask(question) {
        Asked::Now(answer) => answer,
        Asked::Later(later) => {
            time::timeout(Duration::from_secs(20), later).await.expect("an answer in time")
        }
    }
}

/// Asks what is answered at once.
pub(super) fn at_once(app: &dyn App, question: Question) -> Result<Answer, Refusal> {
    match app.ask(question) {
        Asked::Now(answer) => answer,
        Asked::Later(_) => panic!("it is answered later"),
    }
}
