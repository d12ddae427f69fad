//! Endpoints that rotate, fail, hang, say too much, and what becomes of tokens meanwhile.

use std::{future::poll_fn, sync::RwLock, task::Poll, time::SystemTime};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::*;
use crate::{
    auth::{AuthLimits, AuthSettings, Flaw, KeySource, Refusal, Secret, Verdict, Verifier},
    outgoing::{
        OutgoingLimits, Trust,
        peer::{Peer, Reply, answer},
    },
};

/// The most that a test waits; what it waits for comes much sooner.
const PATIENCE: Duration = Duration::from_secs(20);
const NEVER: Duration = Duration::from_secs(60 * 60);

/// An issuer's key.
struct Signer {
    key: EncodingKey,
    public: Vec<u8>,
}

impl Signer {
    fn new() -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let key = EncodingKey::from_ed_der(&pair.serialize_der());
        Self { key, public: pair.public_key_raw().to_vec() }
    }

    fn jwk(&self, kid: &str) -> Value {
        let x = URL_SAFE_NO_PAD.encode(&self.public);
        json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x})
    }

    fn token(&self, kid: Option<&str>) -> String {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = kid.map(str::to_owned);
        encode(&header, &json!({"sub": "ann"}), &self.key).unwrap()
    }
}

fn set(keys: &[Value]) -> Vec<u8> {
    json!({ "keys": keys }).to_string().into_bytes()
}

/// An endpoint whose answer a test exchanges.
struct Endpoint {
    peer: Peer,
    body: Arc<RwLock<Play>>,
}

#[derive(Clone)]
enum Play {
    Set(Vec<u8>, &'static str),
    Status(u16),
    Hang,
    Long(usize),
}

impl Endpoint {
    async fn start(play: Play) -> Self {
        let body = Arc::new(RwLock::new(play));
        let played = Arc::clone(&body);
        let peer = Peer::start(move |_, _| match &*played.read().unwrap() {
            Play::Set(body, fields) => answer(200, fields, body),
            Play::Status(status) => answer(*status, "location: /\r\n", b"{\"keys\":[]}"),
            Play::Hang => Reply::SendAndHang(Vec::new()),
            // Without a length: nobody can know before.
            Play::Long(bytes) => {
                let head = b"HTTP/1.1 200 -\r\nconnection: close\r\n\r\n{\"keys\":[";
                Reply::SendAndClose([&head[..], &vec![b' '; *bytes]].concat())
            }
        })
        .await;
        Self { peer, body }
    }

    fn play(&self, play: Play) {
        *self.body.write().unwrap() = play;
    }

    fn settings(&self) -> JwksSettings {
        JwksSettings {
            fetch_every_min: NEVER,
            deadline: PATIENCE,
            ..JwksSettings::new(format!("{}/keys", self.peer.url))
        }
    }

    fn requests(&self) -> usize {
        self.peer.heard().len()
    }
}

fn verifier(settings: JwksSettings) -> Verifier {
    limited(settings, AuthLimits::default())
}

fn limited(settings: JwksSettings, limits: AuthLimits) -> Verifier {
    let keys = vec![KeySource::JwksUrl(settings)];
    let outgoing = Outgoing::new(&Trust::Platform, &OutgoingLimits::default());
    Verifier::new(AuthSettings { keys, limits, ..AuthSettings::default() }, &outgoing).unwrap()
}

async fn ask(verifier: &Verifier, token: &str) -> Result<(), Refusal> {
    let asked = verifier.fetching_connection(token, SystemTime::now());
    tokio::time::timeout(PATIENCE, asked).await.expect("an answer in time").map(drop)
}

/// Without a fetch.
fn at_once(verifier: &Verifier, token: &str) -> Option<Result<(), Refusal>> {
    match verifier.verify_connection(token, SystemTime::now()) {
        Verdict::Granted(_) => Some(Ok(())),
        Verdict::Refused(refusal) => Some(Err(refusal)),
        Verdict::Undecided => None,
    }
}

const STALE_AT_ONCE: &str = "cache-control: max-age=0\r\n";
const NO_KEY: Result<(), Refusal> = Err(Refusal::Invalid(Flaw::NoKey));
const BAD: Result<(), Refusal> = Err(Refusal::Invalid(Flaw::Signature));
const UNAVAILABLE: Result<(), Refusal> = Err(Refusal::Unavailable);

#[tokio::test]
async fn a_set_is_fetched_once_for_all_who_wait_and_those_who_come_later() {
    let signer = Signer::new();
    let endpoint = Endpoint::start(Play::Set(set(&[signer.jwk("a")]), "")).await;
    let verifier = verifier(endpoint.settings());
    let token = signer.token(Some("a"));
    assert_eq!(at_once(&verifier, &token), None);
    let asking: Vec<_> = (0..50)
        .map(|_| {
            let (verifier, token) = (verifier.clone(), token.clone());
            tokio::spawn(async move { ask(&verifier, &token).await })
        })
        .collect();
    for asked in asking {
        assert_eq!(asked.await.unwrap(), Ok(()));
    }
    assert_eq!(at_once(&verifier, &token), Some(Ok(())));
    assert_eq!(at_once(&verifier, &signer.token(None)), Some(Ok(())));
    assert_eq!(endpoint.requests(), 1);
    let head = &endpoint.peer.heard()[0].head;
    assert!(head.starts_with("get /keys http/1.1\r\n") && head.contains("accept: "), "{head}");
    let counts = JwksCounts { fetched: 1, failed: 0, unavailable: 0 };
    assert_eq!(verifier.jwks_counts(), [counts]);
}

#[tokio::test]
async fn keys_can_be_fetched_before_the_first_token() {
    let signer = Signer::new();
    let endpoint = Endpoint::start(Play::Set(set(&[signer.jwk("a")]), "")).await;
    let verifier = verifier(endpoint.settings());
    let counts = JwksCounts { fetched: 1, failed: 0, unavailable: 0 };
    assert_eq!(verifier.fetch_keys().await, [counts]);
    assert_eq!(at_once(&verifier, &signer.token(Some("a"))), Some(Ok(())));
}

#[tokio::test]
async fn after_a_rotation_the_new_key_is_good_and_the_old_one_is_not() {
    let (old, new) = (Signer::new(), Signer::new());
    let endpoint = Endpoint::start(Play::Set(set(&[old.jwk("old")]), "")).await;
    let settings = JwksSettings { fetch_every_min: Duration::ZERO, ..endpoint.settings() };
    let verifier = verifier(settings);
    assert_eq!(ask(&verifier, &old.token(Some("old"))).await, Ok(()));
    endpoint.play(Play::Set(set(&[new.jwk("new")]), ""));
    assert_eq!(at_once(&verifier, &old.token(Some("old"))), Some(Ok(())), "until it is known");
    assert_eq!(at_once(&verifier, &new.token(Some("new"))), None);
    assert_eq!(ask(&verifier, &new.token(Some("new"))).await, Ok(()));
    assert_eq!(ask(&verifier, &old.token(Some("old"))).await, NO_KEY);
    assert_eq!(ask(&verifier, &old.token(Some("new"))).await, BAD);
    // Without a kid, too.
    endpoint.play(Play::Set(set(&[old.jwk("old")]), ""));
    assert_eq!(ask(&verifier, &old.token(None)).await, Ok(()));
    assert_eq!(ask(&verifier, &new.token(None)).await, BAD);
}

#[tokio::test]
async fn a_kid_may_move_to_another_key_and_a_key_to_another_kid() {
    let (one, two) = (Signer::new(), Signer::new());
    let endpoint = Endpoint::start(Play::Set(set(&[one.jwk("a"), two.jwk("b")]), STALE_AT_ONCE));
    let endpoint = endpoint.await;
    let settings = JwksSettings {
        fetch_every_min: Duration::ZERO,
        cached_min: Duration::ZERO,
        ..endpoint.settings()
    };
    let verifier = verifier(settings);
    for flip in [false, true, false] {
        let (a, b) = if flip { ("b", "a") } else { ("a", "b") };
        endpoint.play(Play::Set(set(&[one.jwk(a), two.jwk(b)]), STALE_AT_ONCE));
        assert_eq!(ask(&verifier, &one.token(Some(a))).await, Ok(()));
        assert_eq!(ask(&verifier, &two.token(Some(b))).await, Ok(()));
        assert_eq!(ask(&verifier, &one.token(Some(b))).await, BAD);
    }
}

#[tokio::test]
async fn unknown_kids_lead_to_one_fetch_in_a_while() {
    let signer = Signer::new();
    let endpoint = Endpoint::start(Play::Set(set(&[signer.jwk("a")]), "")).await;
    let verifier = verifier(endpoint.settings());
    assert_eq!(ask(&verifier, &signer.token(Some("a"))).await, Ok(()));
    for number in 0..20 {
        let token = signer.token(Some(&format!("unknown {number}")));
        assert_eq!(ask(&verifier, &token).await, UNAVAILABLE);
    }
    assert_eq!(at_once(&verifier, &signer.token(Some("a"))), Some(Ok(())));
    assert_eq!(endpoint.requests(), 1);
    assert_eq!(verifier.jwks_counts()[0].unavailable, 20);
    assert_eq!(verifier.counts().unavailable, 20);
}

#[tokio::test]
async fn a_token_by_hmac_leads_to_no_fetch() {
    let endpoint = Endpoint::start(Play::Set(set(&[]), "")).await;
    let verifier = verifier(endpoint.settings());
    let key = EncodingKey::from_secret(b"any");
    let token = encode(&Header::new(Algorithm::HS256), &json!({}), &key).unwrap();
    assert_eq!(at_once(&verifier, &token), Some(NO_KEY));
    assert_eq!(ask(&verifier, &token).await, NO_KEY);
    assert_eq!(endpoint.requests(), 0);
}

#[tokio::test]
async fn the_last_good_set_is_used_while_the_endpoint_fails() {
    let signer = Signer::new();
    let good = Play::Set(set(&[signer.jwk("a")]), STALE_AT_ONCE);
    let endpoint = Endpoint::start(good.clone()).await;
    let settings = JwksSettings {
        fetch_every_min: Duration::ZERO,
        cached_min: Duration::ZERO,
        deadline: Duration::from_millis(100),
        ..endpoint.settings()
    };
    let verifier = verifier(settings);
    let token = signer.token(Some("a"));
    assert_eq!(ask(&verifier, &token).await, Ok(()));
    let bodies = ["", "{", "[]", r#"{"keys":1}"#, r#"{"keys":null}"#];
    let plays = bodies.into_iter().map(|body| Play::Set(body.into(), ""));
    let others = [
        Play::Status(500),
        Play::Status(404),
        Play::Status(302),
        Play::Status(204),
        Play::Hang,
        Play::Long(10 * 1024 * 1024),
        Play::Set(set(&vec![json!({}); 65]), ""),
    ];
    for (failed, play) in (1..).zip(plays.chain(others)) {
        endpoint.play(play);
        assert_eq!(at_once(&verifier, &token), None, "it is stale");
        assert_eq!(ask(&verifier, &token).await, Ok(()));
        let counts = JwksCounts { fetched: 1, failed, unavailable: 0 };
        assert_eq!(verifier.jwks_counts(), [counts]);
    }
    // A kid that the last good set does not have can't be refused for good.
    assert_eq!(ask(&verifier, &signer.token(Some("b"))).await, UNAVAILABLE);
    endpoint.play(Play::Set(set(&[signer.jwk("b")]), ""));
    assert_eq!(ask(&verifier, &signer.token(Some("b"))).await, Ok(()));
}

#[tokio::test]
async fn the_last_good_set_is_not_kept_forever() {
    let signer = Signer::new();
    let endpoint = Endpoint::start(Play::Set(set(&[signer.jwk("a")]), STALE_AT_ONCE)).await;
    let settings = JwksSettings {
        fetch_every_min: Duration::ZERO,
        cached_min: Duration::ZERO,
        kept_max: Duration::ZERO,
        ..endpoint.settings()
    };
    let verifier = verifier(settings);
    let token = signer.token(Some("a"));
    assert_eq!(ask(&verifier, &token).await, Ok(()));
    endpoint.play(Play::Status(500));
    assert_eq!(ask(&verifier, &token).await, UNAVAILABLE);
}

#[tokio::test]
async fn a_failing_endpoint_is_left_alone_for_a_while_and_its_stale_set_used_at_once() {
    let signer = Signer::new();
    let endpoint = Endpoint::start(Play::Status(500)).await;
    let failing = verifier(endpoint.settings());
    for _ in 0..5 {
        assert_eq!(ask(&failing, &signer.token(Some("a"))).await, UNAVAILABLE);
    }
    assert_eq!(endpoint.requests(), 1);

    endpoint.play(Play::Set(set(&[signer.jwk("a")]), STALE_AT_ONCE));
    let settings = JwksSettings { cached_min: Duration::ZERO, ..endpoint.settings() };
    let stale = verifier(settings);
    assert_eq!(ask(&stale, &signer.token(Some("a"))).await, Ok(()));
    assert_eq!(at_once(&stale, &signer.token(Some("a"))), Some(Ok(())));
    assert_eq!(endpoint.requests(), 2);
}

#[tokio::test]
async fn an_empty_set_is_a_set_that_withdraws_all_keys() {
    let signer = Signer::new();
    let endpoint = Endpoint::start(Play::Set(set(&[signer.jwk("a")]), STALE_AT_ONCE)).await;
    let settings = JwksSettings {
        fetch_every_min: Duration::ZERO,
        cached_min: Duration::ZERO,
        ..endpoint.settings()
    };
    let verifier = verifier(settings);
    assert_eq!(ask(&verifier, &signer.token(Some("a"))).await, Ok(()));
    endpoint.play(Play::Set(set(&[]), ""));
    assert_eq!(ask(&verifier, &signer.token(Some("a"))).await, NO_KEY);
}

#[tokio::test]
async fn a_fetch_goes_on_when_who_asked_for_it_is_gone() {
    let signer = Signer::new();
    let endpoint = Endpoint::start(Play::Set(set(&[signer.jwk("a")]), "")).await;
    let verifier = verifier(endpoint.settings());
    let token = signer.token(Some("a"));
    let mut asked = Box::pin(verifier.fetching_connection(&token, SystemTime::now()));
    let waits = poll_fn(|task| Poll::Ready(asked.as_mut().poll(task).is_pending())).await;
    assert!(waits);
    drop(asked);
    assert_eq!(ask(&verifier, &token).await, Ok(()));
    assert_eq!(endpoint.requests(), 1);
}

#[tokio::test]
async fn those_who_wait_have_a_limit() {
    let signer = Signer::new();
    let endpoint = Endpoint::start(Play::Hang).await;
    let limits = AuthLimits { waiting_max: 1, ..AuthLimits::default() };
    let settings = JwksSettings { deadline: Duration::from_millis(300), ..endpoint.settings() };
    let verifier = limited(settings, limits);
    let token = signer.token(Some("a"));
    let first = {
        let (verifier, token) = (verifier.clone(), token.clone());
        tokio::spawn(async move { ask(&verifier, &token).await })
    };
    // The first one has begun to wait once its fetch was heard.
    let begun = std::time::Instant::now();
    while endpoint.requests() == 0 {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(at_once(&verifier, &token), None);
    assert_eq!(ask(&verifier, &token).await, UNAVAILABLE);
    assert_eq!(first.await.unwrap(), UNAVAILABLE);
    assert_eq!(verifier.jwks_counts()[0].failed, 1);
}

#[tokio::test]
async fn keys_come_over_tls_from_who_is_believed() {
    let signer = Signer::new();
    let body = set(&[signer.jwk("a")]);
    let (peer, pem) = Peer::start_tls(move |_, _| answer(200, "", &body)).await;
    for (trust, expected) in
        [(Trust::from_pem(pem.as_bytes()).unwrap(), Ok(())), (Trust::Platform, UNAVAILABLE)]
    {
        let outgoing = Outgoing::new(&trust, &OutgoingLimits::default());
        let keys = vec![KeySource::JwksUrl(JwksSettings::new(peer.url.clone()))];
        let verifier =
            Verifier::new(AuthSettings { keys, ..AuthSettings::default() }, &outgoing).unwrap();
        assert_eq!(ask(&verifier, &signer.token(Some("a"))).await, expected);
    }
}

#[tokio::test]
async fn two_issuers_may_have_a_kid_in_common() {
    let (one, two) = (Signer::new(), Signer::new());
    let first = Endpoint::start(Play::Set(set(&[one.jwk("a")]), "")).await;
    let second = Endpoint::start(Play::Set(set(&[two.jwk("a")]), "")).await;
    let keys = vec![KeySource::JwksUrl(first.settings()), KeySource::JwksUrl(second.settings())];
    let outgoing = Outgoing::new(&Trust::Platform, &OutgoingLimits::default());
    let verifier =
        Verifier::new(AuthSettings { keys, ..AuthSettings::default() }, &outgoing).unwrap();
    assert_eq!(ask(&verifier, &two.token(Some("a"))).await, Ok(()));
    assert_eq!(at_once(&verifier, &one.token(Some("a"))), Some(Ok(())));
    let stranger = Signer::new();
    assert_eq!(at_once(&verifier, &stranger.token(Some("a"))), Some(BAD));
}

#[tokio::test]
async fn a_kid_in_the_configuration_does_not_hide_the_same_kid_of_an_issuer() {
    let (ours, theirs) = (Signer::new(), Signer::new());
    let endpoint = Endpoint::start(Play::Set(set(&[theirs.jwk("a")]), "")).await;
    let local = Secret::new(set(&[ours.jwk("a")]));
    let keys = vec![KeySource::Jwks(local), KeySource::JwksUrl(endpoint.settings())];
    let outgoing = Outgoing::new(&Trust::Platform, &OutgoingLimits::default());
    let verifier =
        Verifier::new(AuthSettings { keys, ..AuthSettings::default() }, &outgoing).unwrap();
    assert_eq!(at_once(&verifier, &ours.token(Some("a"))), Some(Ok(())), "without a fetch");
    assert_eq!(ask(&verifier, &theirs.token(Some("a"))).await, Ok(()));
}

#[test]
fn cache_control_says_how_long_a_set_is_fresh() {
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    for (lines, expected) in [
        (&[][..], None),
        (&["max-age=60"], seconds(60)),
        (&["public, MAX-AGE=\"60\""], seconds(60)),
        (&["public", "max-age=60"], seconds(60)),
        (&["max-age=60, no-cache"], seconds(0)),
        (&["no-store"], seconds(0)),
        (&["max-age=99999999999999999999999"], seconds(u64::from(u32::MAX))),
        (&["max-age=-1"], None),
        (&["max-age=+1"], None),
        (&["max-age="], None),
        (&["max-age"], None),
        (&["s-maxage=60"], None),
    ] {
        let mut fields = HeaderMap::new();
        for line in lines {
            fields.append(header::CACHE_CONTROL, line.parse().unwrap());
        }
        assert_eq!(max_age(&fields), expected, "{lines:?}");
    }
}

#[tokio::test]
async fn what_the_endpoint_says_of_time_is_bounded() {
    let signer = Signer::new();
    for (fields, expected) in [
        ("", 600),
        ("cache-control: max-age=1\r\n", 60),
        ("cache-control: max-age=120\r\n", 120),
        ("cache-control: max-age=999999999\r\n", 86_400),
    ] {
        let endpoint = Endpoint::start(Play::Set(set(&[signer.jwk("a")]), fields)).await;
        let outgoing = Outgoing::new(&Trust::Platform, &OutgoingLimits::default());
        let source = JwksUrl::new(endpoint.settings(), 10, &outgoing).unwrap();
        let held = source.request().await.unwrap();
        assert_eq!(held.fresh_for, Duration::from_secs(expected), "{fields}");
    }
}
