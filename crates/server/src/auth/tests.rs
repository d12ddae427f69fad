//! Tokens by another implementation, and what is no token at all.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::{token::Token, *};
use crate::outgoing::{Outgoing, OutgoingLimits, Trust};

/// By `tests/vectors.py`.
const VECTORS: &str = include_str!("tests/vectors.json");

const SECRET: &str = "thirty-two bytes are a must here";

/// When the vectors are good.
fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn vectors(which: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(VECTORS).unwrap();
    all[which].as_array().unwrap().clone()
}

fn with(settings: AuthSettings) -> Verifier {
    let outgoing = Outgoing::new(&Trust::Platform, &OutgoingLimits::default());
    Verifier::new(settings, &outgoing).unwrap()
}

fn knowing(keys: Vec<KeySource>) -> Verifier {
    with(AuthSettings { keys, ..AuthSettings::default() })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn jwks(keys: &[&Value]) -> KeySource {
    KeySource::Jwks(Secret::new(json!({ "keys": keys }).to_string().into_bytes()))
}

/// A token of our own, by HS256 and [`SECRET`].
fn signed(claims: &str) -> String {
    signed_as(r#"{"alg":"HS256"}"#, claims)
}

fn signed_as(header: &str, claims: &str) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
    let message = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, SECRET.as_bytes());
    let tag = aws_lc_rs::hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", BASE64.encode(tag))
}

#[track_caller]
fn check(verifier: &Verifier, token: &str, expected: Result<(), Refusal>) {
    let verdict = match verifier.verify_connection(token, now()) {
        Verdict::Granted(_) => Ok(()),
        Verdict::Refused(refusal) => Err(refusal),
        Verdict::Undecided => panic!("undecided"),
    };
    assert_eq!(verdict, expected, "{token}");
}

#[test]
fn tokens_of_every_algorithm_by_another_implementation_are_good() {
    let rows = vectors("good");
    assert_eq!(rows.len(), 13);
    let all = knowing(vec![jwks(&rows.iter().map(|row| &row["jwk"]).collect::<Vec<_>>())]);
    for row in &rows {
        let token = text(&row["token"]);
        let source = match row.get("pem") {
            Some(pem) => KeySource::Pem(text(pem)),
            None => KeySource::secret(row["secret"].as_str().unwrap()),
        };
        check(&knowing(vec![source]), &token, Ok(()));
        check(&knowing(vec![jwks(&[&row["jwk"]])]), &token, Ok(()));
        check(&all, &token, Ok(()));
    }
}

#[test]
fn what_another_implementation_wrote_is_granted() {
    let row = &vectors("good")[0];
    let verifier = knowing(vec![KeySource::secret(row["secret"].as_str().unwrap())]);
    let verdict = verifier.verify_connection(row["token"].as_str().unwrap(), now());
    let json = |text: &'static str| Some(Info::Json(text.into()));
    let expected = Grant {
        user: "42".into(),
        expires_at: Some(4_102_444_800),
        info: json(r#"{"name":"Zo\u00eb"}"#),
        meta: Some(r#"{"plan":"paid"}"#.into()),
        channels: vec![
            ServerSide { channel: "news".into(), ..ServerSide::default() },
            ServerSide {
                channel: "room".into(),
                greeting: json(r#"{"hi":1}"#),
                overrides: Overrides { presence: Some(true), ..Overrides::default() },
                ..ServerSide::default()
            },
        ],
        stamp: Stamp { id: Some("one".into()), user: "42".into(), issued_at: Some(1_700_000_000) },
    };
    assert_eq!(verdict, Verdict::Granted(expected));
}

#[test]
fn a_token_that_names_another_algorithm_than_its_key_has_is_refused() {
    let expected = [
        ("none", Flaw::Algorithm),
        ("None", Flaw::Algorithm),
        ("the public key as a secret", Flaw::NoKey),
        ("another key", Flaw::Signature),
        ("ES256 for an RSA key", Flaw::NoKey),
        ("RS256 for a key of a curve", Flaw::NoKey),
    ];
    let rows = vectors("bad");
    for (name, flaw) in expected {
        let row = rows.iter().find(|row| row["alg"] == name).unwrap();
        let verifier = knowing(vec![KeySource::Pem(text(&row["pem"]))]);
        check(&verifier, row["token"].as_str().unwrap(), Err(Refusal::Invalid(flaw)));
    }
}

#[test]
fn the_algorithm_of_a_jwk_is_the_only_one_it_has() {
    let rows = vectors("good");
    let rs256 = rows.iter().find(|row| row["alg"] == "RS256").unwrap();
    let mut jwk = rs256["jwk"].clone();
    for (alg, expected) in [
        ("RS256", Ok(())),
        ("PS256", Err(Refusal::Invalid(Flaw::NoKey))),
        ("RS512", Err(Refusal::Invalid(Flaw::NoKey))),
    ] {
        jwk["alg"] = alg.into();
        check(&knowing(vec![jwks(&[&jwk])]), rs256["token"].as_str().unwrap(), expected);
    }
}

#[test]
fn every_alg_is_refused_for_a_key_of_another_kind() {
    let rows = vectors("good");
    let family = |alg: &str| match &alg[..2] {
        "HS" => 0,
        "RS" | "PS" => 1,
        "Ed" => 2,
        _ => 3 + alg.len() + usize::from(alg.as_bytes()[2]),
    };
    for key in &rows {
        let source = match key.get("pem") {
            Some(pem) => KeySource::Pem(text(pem)),
            None => KeySource::secret(key["secret"].as_str().unwrap()),
        };
        let verifier = knowing(vec![source]);
        for token in &rows {
            let (ours, theirs) = (text(&key["alg"]), text(&token["alg"]));
            let expected = match family(&ours) == family(&theirs) {
                true => Ok(()),
                false => Err(Refusal::Invalid(Flaw::NoKey)),
            };
            check(&verifier, token["token"].as_str().unwrap(), expected);
        }
    }
}

#[test]
fn keys_that_are_too_weak_or_not_spoken_are_no_settings() {
    let rows = vectors("bad");
    let outgoing = Outgoing::new(&Trust::Platform, &OutgoingLimits::default());
    let refused = |source: KeySource| {
        let settings = AuthSettings { keys: vec![source], ..AuthSettings::default() };
        Verifier::new(settings, &outgoing).unwrap_err()
    };
    for name in ["RSA of 1024 bits", "Ed448"] {
        let row = rows.iter().find(|row| row["alg"] == name).unwrap();
        assert_eq!(refused(KeySource::Pem(text(&row["pem"]))), SettingsError::Pem, "{name}");
    }
    let private = rcgen::KeyPair::generate().unwrap().serialize_pem();
    assert_eq!(refused(KeySource::Pem(private)), SettingsError::Pem);
    assert_eq!(refused(KeySource::Pem("nonsense".into())), SettingsError::Pem);
    let short = &SECRET[1..];
    let expected = SettingsError::SecretTooShort { bytes_min: 32 };
    assert_eq!(refused(KeySource::secret(short)), expected);
    assert!(!expected.to_string().contains(short));
    for set in ["", "{}", "[]", r#"{"keys":[]}"#, r#"{"keys":[{"kty":"oct","k":"c2hvcnQ"}]}"#] {
        let source = KeySource::Jwks(Secret::new(set.as_bytes()));
        assert_eq!(refused(source), SettingsError::Jwks, "{set}");
    }
    let url = |url: &str| refused(KeySource::JwksUrl(JwksSettings::new(url)));
    assert_eq!(url("http://keys.example/"), SettingsError::PlainHttp);
    assert!(matches!(url("keys.example"), SettingsError::Url(_)));
}

#[test]
fn a_shorter_secret_is_taken_where_it_is_allowed() {
    let limits = AuthLimits { secret_bytes_min: 0, ..AuthLimits::default() };
    let settings = |secret| AuthSettings {
        keys: vec![KeySource::secret(secret)],
        limits: limits.clone(),
        ..AuthSettings::default()
    };
    let outgoing = Outgoing::new(&Trust::Platform, &OutgoingLimits::default());
    assert!(Verifier::new(settings("secret"), &outgoing).is_ok());
    assert!(Verifier::new(settings(""), &outgoing).is_err());
}

#[test]
fn nothing_that_is_printed_shows_a_secret() {
    let url = "https://keys.example/?token=hidden";
    let settings = AuthSettings {
        keys: vec![KeySource::secret(SECRET), KeySource::JwksUrl(JwksSettings::new(url))],
        ..AuthSettings::default()
    };
    let shown = format!("{settings:?} {:?}", with(settings.clone()));
    let bytes = format!("{:?}", SECRET.as_bytes());
    for secret in [SECRET, "hidden", bytes.trim_matches(['[', ']'])] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn what_is_no_token_is_malformed() {
    let verifier = knowing(vec![KeySource::secret(SECRET)]);
    let good = signed("{}");
    check(&verifier, &good, Ok(()));
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (header, claims) = message.split_once('.').unwrap();
    let padded = format!("{header}=.{claims}.{signature}");
    let four = format!("{good}.{claims}");
    for text in ["", ".", "..", "...", "a.b.c", "{}.{}.{}", header, message, &padded, &four] {
        check(&verifier, text, Err(Refusal::Invalid(Flaw::Malformed)));
    }
    for (header, flaw) in [
        (r#"{}"#, Flaw::Malformed),
        (r#"{"alg":1}"#, Flaw::Malformed),
        (r#"{"alg":"HS256","alg":"none"}"#, Flaw::Malformed),
        (r#"["HS256"]x"#, Flaw::Malformed),
        (r#"{"alg":"hs256"}"#, Flaw::Algorithm),
        (r#"{"alg":"ES256K"}"#, Flaw::Algorithm),
        (r#"{"alg":""}"#, Flaw::Algorithm),
        (r#"{"alg":"HS512"}"#, Flaw::Signature),
        (r#"{"alg":"ES256"}"#, Flaw::NoKey),
        (r#"{"alg":"HS256","crit":["exp"],"exp":1}"#, Flaw::Critical),
    ] {
        check(&verifier, &signed_as(header, "{}"), Err(Refusal::Invalid(flaw)));
    }
    for header in [r#"{"alg":"HS256","typ":"at+jwt"}"#, r#"{"kid":"any","alg":"HS256","x":{}}"#] {
        check(&verifier, &signed_as(header, "{}"), Ok(()));
    }
}

#[test]
fn a_wrong_signature_is_refused_before_a_claim_is_looked_at() {
    let verifier = knowing(vec![KeySource::secret(SECRET)]);
    let expired = signed(r#"{"exp":1}"#);
    check(&verifier, &expired, Err(Refusal::Expired));
    let (message, signature) = expired.rsplit_once('.').unwrap();
    let mut turned = signature.to_owned().into_bytes();
    turned[0] = if turned[0] == b'A' { b'B' } else { b'A' };
    let turned = String::from_utf8(turned).unwrap();
    for signature in ["", "AA", &signature[1..], &turned] {
        let token = format!("{message}.{signature}");
        check(&verifier, &token, Err(Refusal::Invalid(Flaw::Signature)));
    }
    let claims = signed("not json");
    check(&verifier, &claims, Err(Refusal::Invalid(Flaw::Claims)));
}

#[test]
fn a_token_may_be_as_long_as_its_limit_and_no_longer() {
    let token = signed("{}");
    for (bytes_max, expected) in
        [(token.len(), Ok(())), (token.len() - 1, Err(Refusal::Invalid(Flaw::TooLong)))]
    {
        let limits = AuthLimits { token_bytes_max: bytes_max, ..AuthLimits::default() };
        let keys = vec![KeySource::secret(SECRET)];
        check(&with(AuthSettings { keys, limits, ..AuthSettings::default() }), &token, expected);
    }
}

#[test]
fn without_a_kid_keys_are_tried_up_to_a_limit() {
    let rows = vectors("good");
    let hs256 = rows.iter().find(|row| row["alg"] == "HS256").unwrap();
    let mut wrong = hs256["jwk"].clone();
    wrong["k"] = "YS1zZWNyZXQtdGhhdC1pcy1ub3QtdGhlLW9uZS10aGF0LXNpZ25lZA".into();
    let mut right = wrong.clone();
    right["k"] = {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        URL_SAFE_NO_PAD.encode(SECRET).into()
    };
    right["kid"] = "right".into();
    for (tries_max, expected) in [(2, Err(Refusal::Invalid(Flaw::Signature))), (3, Ok(()))] {
        let limits = AuthLimits { tries_max, ..AuthLimits::default() };
        let keys = vec![jwks(&[&wrong, &wrong, &right])];
        let verifier = with(AuthSettings { keys, limits, ..AuthSettings::default() });
        check(&verifier, &signed("{}"), expected);
        check(&verifier, &signed_as(r#"{"alg":"HS256","kid":"right"}"#, "{}"), Ok(()));
        let other = signed_as(r#"{"alg":"HS256","kid":"HS256"}"#, "{}");
        check(&verifier, &other, Err(Refusal::Invalid(Flaw::Signature)));
        let unknown = signed_as(r#"{"alg":"HS256","kid":"left"}"#, "{}");
        check(&verifier, &unknown, Err(Refusal::Invalid(Flaw::NoKey)));
    }
}

#[test]
fn a_subscription_needs_the_token_that_was_made_for_it() {
    let verifier = knowing(vec![KeySource::secret(SECRET)]);
    let us = Subscriber { user: "ann", client: "c1", channel: "room" };
    let ask = |claims: &str| verifier.verify_subscription(&signed(claims), &us, now());
    for good in [
        r#"{"sub":"ann","channel":"room"}"#,
        r#"{"sub":"ann","channel":"room","client":"c1"}"#,
        r#"{"sub":"ann","channel":"room","client":""}"#,
    ] {
        assert!(matches!(ask(good), Verdict::Granted(_)), "{good}");
    }
    for foreign in [
        r#"{"channel":"room"}"#,
        r#"{"sub":"bob","channel":"room"}"#,
        r#"{"sub":"ann","channel":"rooms"}"#,
        r#"{"sub":"ann","channel":"room","client":"c2"}"#,
    ] {
        assert_eq!(ask(foreign), Verdict::Refused(Refusal::Foreign), "{foreign}");
    }
    let claims = Verdict::Refused(Refusal::Invalid(Flaw::Claims));
    assert_eq!(ask(r#"{"sub":"ann"}"#), claims, "a token for a connection");
    let connection = verifier.verify_connection(&signed(r#"{"sub":"a","channel":"b"}"#), now());
    assert_eq!(connection, Verdict::Refused(Refusal::Invalid(Flaw::Claims)));
    let full = r#"{"sub":"ann","channel":"room","exp":1800000009,"iat":7,"jti":"j",
        "info":{"a": 1},"override":{"force_recovery":{"value":true},"join_leave":{}}}"#;
    let overrides =
        Overrides { recovery: Some(true), join_leave: Some(false), ..Overrides::default() };
    let stamp = Stamp { id: Some("j".into()), user: "ann".into(), issued_at: Some(7) };
    let info = Some(Info::Json(r#"{"a": 1}"#.into()));
    let expires_at = Some(1_800_000_009);
    let grant = SubscriptionGrant { expires_at, info, overrides, stamp };
    assert_eq!(ask(full), Verdict::Granted(grant));
}

#[test]
fn a_revoked_token_is_refused_for_connections_and_subscriptions() {
    let verifier = knowing(vec![KeySource::secret(SECRET)]);
    let claims = r#"{"sub":"ann","jti":"j","iat":100}"#;
    let subscription = r#"{"sub":"ann","jti":"j","iat":100,"channel":"room"}"#;
    let us = Subscriber { user: "ann", client: "", channel: "room" };
    check(&verifier, &signed(claims), Ok(()));
    verifier.revocations().revoke_token("j", None, 0).unwrap();
    check(&verifier, &signed(claims), Err(Refusal::Revoked));
    let verdict = verifier.verify_subscription(&signed(subscription), &us, now());
    assert_eq!(verdict, Verdict::Refused(Refusal::Revoked));
    check(&verifier, &signed(r#"{"sub":"ann","jti":"k","iat":100}"#), Ok(()));
    verifier.revocations().revoke_user("ann", 101, None, 0).unwrap();
    check(&verifier, &signed(r#"{"sub":"ann","jti":"k","iat":100}"#), Err(Refusal::Revoked));
    check(&verifier, &signed(r#"{"sub":"ann","jti":"k","iat":101}"#), Ok(()));
    check(&verifier, &signed(r#"{"sub":"bob","jti":"k","iat":100}"#), Ok(()));
}

/// SplitMix64: the same nonsense with every run of a seed.
struct Nonsense(u64);

impl Nonsense {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }

    /// Changes, removes, repeats or moves a few bytes.
    fn spoil(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(3) {
            if bytes.is_empty() {
                return;
            }
            let at = self.below(bytes.len());
            match self.below(5) {
                0 => bytes[at] = b"AZaz09-_=.\"{}[]:,\\\0\x7f"[self.below(20)],
                1 => bytes.truncate(at),
                2 => drop(bytes.remove(at)),
                3 => bytes.insert(at, bytes[self.below(bytes.len())]),
                _ => {
                    let other = self.below(bytes.len());
                    bytes.swap(at, other);
                }
            }
        }
    }
}

#[test]
fn no_nonsense_is_granted_and_none_panics() {
    let seed = 20_261_122;
    let mut nonsense = Nonsense(seed);
    let rows = vectors("good");
    let keys = rows.iter().map(|row| &row["jwk"]).collect::<Vec<_>>();
    let verifier = knowing(vec![jwks(&keys)]);
    for round in 0..4000 {
        // Most of it goes to the cheap algorithms.
        let row = &rows[if round % 8 == 0 { nonsense.below(rows.len()) } else { round % 3 }];
        let good = text(&row["token"]);
        let mut bytes = good.clone().into_bytes();
        nonsense.spoil(&mut bytes);
        let Ok(spoilt) = String::from_utf8(bytes) else { continue };
        let verdict = verifier.verify_connection(&spoilt, now());
        if spoilt != good {
            assert!(matches!(verdict, Verdict::Refused(_)), "seed {seed}: {spoilt}");
        }
    }
}

#[test]
fn claims_that_are_nonsense_do_not_panic_behind_a_good_signature() {
    let mut nonsense = Nonsense(7);
    let verifier = knowing(vec![KeySource::secret(SECRET)]);
    let us = Subscriber { user: "42", client: "", channel: "news" };
    let seeds = [
        r#"{"sub":"42","exp":4102444800,"nbf":1.5,"iat":1e300,"aud":["a"],"info":{"a":[1]},
            "b64info":"AAA=","channels":["a"],"subs":{"b":{"data":1,"override":{}}},"expire_at":-1}"#,
        r#"{"sub":"42","channel":"news","client":"","override":{"presence":{"value":true}}}"#,
    ];
    let (mut granted, mut refused) = (0, 0);
    for round in 0..6000 {
        let mut bytes = seeds[round % 2].as_bytes().to_vec();
        nonsense.spoil(&mut bytes);
        let token = signed(&String::from_utf8_lossy(&bytes));
        let connection = verifier.verify_connection(&token, now());
        let subscription = verifier.verify_subscription(&token, &us, now());
        for refusal in
            [matches!(connection, Verdict::Refused(_)), matches!(subscription, Verdict::Refused(_))]
        {
            if refusal { refused += 1 } else { granted += 1 }
        }
    }
    assert!(granted > 100 && refused > 100, "both happen: {granted}, {refused}");
}

#[tokio::test]
async fn each_token_counts_once_by_what_became_of_it() {
    let verifier = knowing(vec![KeySource::secret(SECRET)]);
    let good = signed(r#"{"sub":"ann","jti":"k"}"#);
    let us = Subscriber { user: "ann", client: "c", channel: "news" };
    verifier.verify_connection(&good, now());
    verifier.fetching_connection(&good, now()).await.unwrap();
    verifier.verify_connection(&signed(r#"{"sub":"ann","exp":1}"#), now());
    verifier.verify_connection("nonsense", now());
    let other = signed(r#"{"sub":"ann","channel":"other"}"#);
    verifier.verify_subscription(&other, &us, now());
    assert_eq!(verifier.fetching_subscription(&other, &us, now()).await, Err(Refusal::Foreign));
    verifier.revocations().revoke_token("k", None, 0).unwrap();
    verifier.verify_connection(&good, now());
    let counts =
        AuthCounts { granted: 2, expired: 1, invalid: 1, revoked: 1, foreign: 2, unavailable: 0 };
    assert_eq!(verifier.counts(), counts);
}

#[test]
fn deep_nesting_costs_no_stack() {
    let verifier = knowing(vec![KeySource::secret(SECRET)]);
    let deep = "[".repeat(5000);
    check(&verifier, &signed(&deep), Err(Refusal::Invalid(Flaw::Claims)));
    let ignored = format!(r#"{{"x":{}{}}}"#, "[".repeat(4000), "]".repeat(4000));
    check(&verifier, &signed(&ignored), Ok(()));
    assert!(matches!(Token::parse(&signed_as(&deep, "{}"), 100_000), Err(Flaw::Malformed)));
}
