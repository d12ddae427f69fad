//! Which keys of a set count.

use serde_json::{Value, json};

use super::*;

const TAKEN: Secrets = Secrets::Taken { bytes_min: 4 };

/// Of 2048 bits, and of no private key that anyone knows.
fn modulus(bytes: usize) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.encode(vec![0xff; bytes])
}

#[track_caller]
fn count(keys: Value, secrets: Secrets, expected: usize) {
    let set = KeySet::from_json(json!({ "keys": keys }).to_string().as_bytes(), secrets, 10);
    assert_eq!(set.expect("a set").0.len(), expected, "{keys}");
}

#[test]
fn a_key_that_cannot_be_used_is_passed_over_and_the_others_count() {
    let good = json!({"kty":"OKP","crv":"Ed25519","x":modulus(32)});
    count(json!([good]), TAKEN, 1);
    let mut use_enc = good.clone();
    use_enc["use"] = "enc".into();
    let mut use_sig = good.clone();
    use_sig["use"] = "sig".into();
    let mut ops_sign = good.clone();
    ops_sign["key_ops"] = json!(["sign"]);
    let mut other_alg = good.clone();
    other_alg["alg"] = "RS256".into();
    let mut unknown_alg = good.clone();
    unknown_alg["alg"] = "RSA-OAEP".into();
    let bad = [
        json!({"kty":"OKP","crv":"X25519","x":modulus(32)}),
        json!({"kty":"OKP","crv":"Ed25519","x":modulus(31)}),
        json!({"kty":"OKP","crv":"Ed25519"}),
        json!({"kty":"EC","crv":"P-256","x":modulus(48),"y":modulus(48)}),
        json!({"kty":"EC","crv":"P-256","x":modulus(31),"y":modulus(32)}),
        json!({"kty":"EC","crv":"secp256k1","x":modulus(32),"y":modulus(32)}),
        json!({"kty":"RSA","n":modulus(128),"e":"AQAB"}),
        json!({"kty":"RSA","n":modulus(1025),"e":"AQAB"}),
        json!({"kty":"RSA","n":"","e":"AQAB"}),
        json!({"kty":"RSA","n":"?","e":"AQAB"}),
        json!({"kty":"oct","k":"AAA"}),
        json!({"kty":"quantum"}),
        json!({}),
        json!(null),
        json!([1]),
        use_enc,
        ops_sign,
        other_alg,
        unknown_alg,
    ];
    for bad in bad {
        count(json!([bad, good]), TAKEN, 1);
    }
    let rsa = json!({"kty":"RSA","n":modulus(256),"e":"AQAB"});
    let p521 = json!({"kty":"EC","crv":"P-521","x":modulus(66),"y":modulus(66)});
    count(json!([use_sig, rsa, p521, good]), TAKEN, 4);
}

#[test]
fn secrets_are_taken_from_the_configuration_alone() {
    let secret = json!([{"kty":"oct","k":"AAAAAAAA"}]);
    count(secret.clone(), TAKEN, 1);
    count(secret, Secrets::PassedOver, 0);
}

#[test]
fn a_set_has_a_limit_and_must_be_one() {
    let keys = |count| json!({ "keys": vec![json!({}); count] }).to_string();
    assert!(KeySet::from_json(keys(10).as_bytes(), TAKEN, 10).is_some());
    assert!(KeySet::from_json(keys(11).as_bytes(), TAKEN, 10).is_none());
    for bad in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[]"#, "\u{feff}{\"keys\":[]}"] {
        assert!(KeySet::from_json(bad.as_bytes(), TAKEN, 10).is_none(), "{bad}");
    }
    assert!(KeySet::from_json(br#"{"keys":[]}"#, TAKEN, 10).unwrap().is_empty());
}
