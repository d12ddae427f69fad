//! `taiwa token`: what it makes is taken, and what would be refused is told why.

mod support;

use std::{fs, io::Write};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use support::{Outcome, Running, peer, taiwa};

const SECRET: &str = "a secret of at least thirty-two bytes";

/// Runs `taiwa token` with a secret.
fn token(args: &[&str], input: &str) -> Outcome {
    with(&[("TAIWA_AUTH__JWT__SECRETS", SECRET)], args, input)
}

fn with(variables: &[(&str, &str)], args: &[&str], input: &str) -> Outcome {
    let mut command = taiwa(&[&["token"], args].concat());
    command.envs(variables.iter().copied());
    let mut running = Running::start(command);
    running.feed(input);
    running.finish()
}

fn make(args: &[&str]) -> String {
    token(&[&["make"], args].concat(), "").expect(0).stdout_text().trim().to_owned()
}

fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// Checks that a token is refused, with these words.
#[track_caller]
fn refused(args: &[&str], token_text: &str, words: &[&str]) {
    let outcome = token(&[&["check"], args].concat(), token_text).expect(5);
    assert!(outcome.stdout.is_empty());
    for word in words {
        assert!(outcome.stderr.contains(word), "no {word:?} in {}", outcome.stderr);
    }
}

#[test]
fn what_is_made_is_taken() {
    let made = make(&["--user", "ada", "--claim", "info={\"name\":\"Ada\"}", "--claim", "x=a b"]);
    let said = claims(&made);
    assert_eq!(
        (&said["sub"], &said["info"]["name"], &said["x"]),
        (&"ada".into(), &"Ada".into(), &"a b".into())
    );
    assert_eq!(said["exp"].as_u64().unwrap() - said["iat"].as_u64().unwrap(), 3600);
    assert_eq!(said["jti"].as_str().unwrap().len(), 32);
    let checked = token(&["check"], &made).expect(0);
    assert!(
        checked.stderr.contains("good for a connection of ada, until 20"),
        "{}",
        checked.stderr
    );
    assert_eq!(serde_json::from_str::<Value>(checked.stdout_text()).unwrap(), said);
    // As an argument, too.
    token(&["check", &made], "").expect(0);

    let made = make(&["--user", "ada", "--channel", "news", "--ttl", "off"]);
    assert_eq!((&claims(&made)["channel"], &claims(&made)["exp"]), (&"news".into(), &Value::Null));
    let checked = token(&["check"], &made).expect(0);
    let told = "good for a subscription to news of ada, for ever";
    assert!(checked.stderr.contains(told), "{}", checked.stderr);
}

#[test]
fn what_is_refused_is_told_why() {
    let made = make(&["--user", "ada", "--claim", "expire_at=1700000000"]);
    refused(&[], &made, &["refused: the token has expired: since 2023-11-14T22:13:20Z (", " ago)"]);
    let (head, signature) = made.rsplit_once('.').unwrap();
    let flipped: String = signature.chars().rev().collect();
    refused(&[], &format!("{head}.{flipped}"), &["a wrong signature"]);
    refused(&[], "nonsense", &["not a token"]);
    refused(&[], "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.", &["alg is \"none\""]);
    let made = make(&["--user", "ada", "--claim", "aud=other", "--claim", "iss=me"]);
    let audience = ["--set", "auth.jwt.audiences=ours,theirs"];
    refused(&audience, &made, &["its aud is \"other\", expected: ours, theirs"]);
    refused(&["--set", "auth.jwt.issuers=you"], &made, &["its iss is \"me\", expected: you"]);
    let made = make(&["--claim", "nbf=4000000000"]);
    refused(&[], &made, &["not good before 2096-10-02T07:06:40Z (in "]);
    let made = make(&["--ttl", "off"]);
    refused(&["--set", "auth.jwt.expiry_required=true"], &made, &["no exp"]);
    let made = make(&["--user", "ada", "--channel", "news"]);
    refused(&["--user", "bob"], &made, &["it is for user \"ada\", channel \"news\""]);
    refused(&["--channel", "other"], &made, &["it is for user \"ada\", channel \"news\""]);
    // A terminal is given nothing to obey.
    let made = make(&["--claim", "aud=\u{1b}[2J"]);
    let outcome = token(&["check", "--set", "auth.jwt.audiences=ours"], &made).expect(5);
    assert!(!outcome.stderr.contains('\u{1b}'), "{}", outcome.stderr);
}

#[test]
fn the_audience_and_issuer_of_the_settings_are_claimed() {
    let set = ["--set", "auth.jwt.audiences=ours,theirs", "--set", "auth.jwt.issuers=me"];
    let made = make(&set);
    assert_eq!((&claims(&made)["aud"], &claims(&made)["iss"]), (&"ours".into(), &"me".into()));
    token(&[&["check"], &set[..]].concat(), &made).expect(0);
    let made = make(&[&set[..], &["--claim", "aud=theirs"]].concat());
    assert_eq!(claims(&made)["aud"], "theirs");
}

#[test]
fn private_keys_sign_and_public_keys_check() {
    let folder = std::env::temp_dir().join(format!("taiwa-test-token-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    for (algorithm, name) in [
        (&rcgen::PKCS_ECDSA_P256_SHA256, "ES256"),
        (&rcgen::PKCS_ECDSA_P384_SHA384, "ES384"),
        (&rcgen::PKCS_ED25519, "EdDSA"),
        (&rcgen::PKCS_RSA_SHA256, "RS256"),
    ] {
        let pair = rcgen::KeyPair::generate_for(algorithm).unwrap();
        fs::write(path("private.pem"), pair.serialize_pem()).unwrap();
        fs::write(path("public.pem"), pair.public_key_pem()).unwrap();
        let args = ["make", "--user", "ada", "--key", &path("private.pem"), "--kid", "k1"];
        let made = with(&[], &args, "").expect(0).stdout_text().trim().to_owned();
        let header = URL_SAFE_NO_PAD.decode(made.split('.').next().unwrap()).unwrap();
        let header: Value = serde_json::from_slice(&header).unwrap();
        assert_eq!((&header["alg"], &header["kid"]), (&name.into(), &"k1".into()));
        let public = [("TAIWA_AUTH__JWT__PUBLIC_KEYS", &*path("public.pem"))];
        with(&public, &["check"], &made).expect(0);
        // A public key is no secret, and a secret no public key.
        refused(&[], &made, &["no key for its alg"]);
        let outcome = with(&public, &["check"], &make(&[])).expect(5);
        assert!(outcome.stderr.contains("no key for its alg"), "{}", outcome.stderr);
    }
    let args = ["make", "--key", &path("private.pem"), "--algorithm", "PS512"];
    with(&[], &args, "").expect(0);
    let args = ["make", "--key", &path("private.pem"), "--algorithm", "ES256"];
    assert!(with(&[], &args, "").expect(2).stderr.contains("can't sign by ES256, but by RS256"));
    let args = ["make", "--key", &path("public.pem")];
    assert!(with(&[], &args, "").expect(2).stderr.contains("must be a private one"));
    fs::write(path("private.pem"), "nonsense").unwrap();
    let args = ["make", "--key", &path("private.pem")];
    assert!(with(&[], &args, "").expect(2).stderr.contains("no private key in PEM"));
    let _ = fs::remove_dir_all(&folder);
}

#[test]
fn keys_are_fetched_where_the_settings_say() {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let folder = std::env::temp_dir().join(format!("taiwa-test-jwks-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let key = folder.join("private.pem");
    fs::write(&key, pair.serialize_pem()).unwrap();
    let args = ["make", "--user", "ada", "--key", key.to_str().unwrap(), "--kid", "k1"];
    let made = with(&[], &args, "").expect(0).stdout_text().trim().to_owned();
    let _ = fs::remove_dir_all(&folder);

    let x = URL_SAFE_NO_PAD.encode(pair.public_key_raw());
    let set = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"k1","x":"{x}"}}]}}"#);
    let (url, told) = peer(move |mut stream, head| {
        let head_of_answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", set.len());
        stream.write_all((head_of_answer + &set).as_bytes()).unwrap();
        head
    });
    let url = format!("{}jwks.json", url.replace("ws://", "http://"));
    let from_there = [("TAIWA_AUTH__JWT__JWKS_URLS", &*url)];
    with(&from_there, &["check"], &made).expect(0);
    let head = told.recv_timeout(support::PATIENCE).unwrap();
    assert!(head.starts_with("GET /jwks.json HTTP/1.1\r\n"), "{head}");
    // That peer answers once.
    let refused = with(&from_there, &["check"], &made).expect(5);
    assert!(refused.stderr.contains("jwks_urls can't be fetched"), "{}", refused.stderr);
}

#[test]
fn without_keys_there_is_nothing_to_do() {
    assert!(with(&[], &["make"], "").expect(2).stderr.contains("auth.jwt.secrets"));
    assert!(with(&[], &["check", "x"], "").expect(2).stderr.contains("auth.jwt.secrets"));
    assert!(token(&["check"], "").expect(2).stderr.contains("no token on stdin"));
    for bad in ["sub=x", "no value", "exp=1"] {
        token(&["make", "--claim", bad], "").expect(2);
    }
    token(&["make", "--algorithm", "none"], "").expect(2);
    // Nothing repeats a secret.
    let short = with(&[("TAIWA_AUTH__JWT__SECRETS", "opensesame")], &["make"], "").expect(2);
    assert!(
        short.stderr.contains("32 bytes") && !short.stderr.contains("sesame"),
        "{}",
        short.stderr
    );
}
