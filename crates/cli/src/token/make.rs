//! `taiwa token make`.

use std::{
    fs,
    path::Path,
    str::FromStr,
    time::{SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{Algorithm, AlgorithmFamily, EncodingKey, Header};
use serde_json::{Map, Value};

use super::Make;
use crate::{
    config::{settings::Settings, verbs},
    exit::{Exit, Failure},
};

/// Claims that a flag of their own sets.
const OF_FLAGS: [(&str, &str); 3] = [("sub", "--user"), ("exp", "--ttl"), ("channel", "--channel")];

/// Reads `NAME=VALUE`.
pub(super) fn claim(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("a claim is NAME=VALUE")?;
    if let Some((_, flag)) = OF_FLAGS.iter().find(|it| it.0 == name) {
        return Err(format!("{flag} sets this claim"));
    }
    Ok((name.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| value.into())))
}

/// Reads the name of an algorithm.
pub(super) fn algorithm(text: &str) -> Result<Algorithm, String> {
    Algorithm::from_str(text).map_err(|_| {
        "an algorithm is HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 or EdDSA".into()
    })
}

pub(super) fn run(mut make: Make) -> Result<Exit, Failure> {
    let settings = verbs::load(std::mem::take(&mut make.settings.0))?.settings;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs());
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|it| Failure::new(Exit::Inside, it))?;
    let claims = claims(&make, &settings, now, u128::from_ne_bytes(id));
    let usage = |it: String| Failure::new(Exit::Usage, it);
    let (key, algorithms) = match &make.key {
        Some(path) => private_key(path).map_err(usage)?,
        None => (secret(&settings).map_err(usage)?, AlgorithmFamily::Hmac.algorithms()),
    };
    let token = sign(&claims, &key, algorithms, &make).map_err(usage)?;
    println!("{token}");
    Ok(Exit::Good)
}

/// The claims as Centrifugo's users know them.
fn claims(make: &Make, settings: &Settings, now: u64, id: u128) -> Map<String, Value> {
    let mut claims = Map::new();
    claims.insert("sub".into(), make.user.as_str().into());
    if let Some(channel) = &make.channel {
        claims.insert("channel".into(), channel.as_str().into());
    }
    claims.insert("iat".into(), now.into());
    if let Some(ttl) = make.ttl.0 {
        // A part of a second is a second: it is to be good at all.
        let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        claims.insert("exp".into(), (now + seconds).into());
    }
    claims.insert("jti".into(), format!("{id:032x}").into());
    let jwt = &settings.auth.jwt;
    for (name, values) in [("aud", &jwt.audiences), ("iss", &jwt.issuers)] {
        if let Some(first) = values.first() {
            claims.insert(name.into(), first.as_str().into());
        }
    }
    claims.extend(make.claim.iter().cloned());
    claims
}

fn secret(settings: &Settings) -> Result<EncodingKey, String> {
    match settings.auth.jwt.secrets.first() {
        Some(secret) => Ok(EncodingKey::from_secret(secret.reveal().as_bytes())),
        None => Err("there is nothing to sign with: set auth.jwt.secrets, as by TAIWA_AUTH__JWT__SECRETS, or give a \
                     --key"
            .into()),
    }
}

/// Reads a key, and returns what it may sign by, the usual first.
fn private_key(path: &Path) -> Result<(EncodingKey, &'static [Algorithm]), String> {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    let pem = fs::read(path).map_err(|it| format!("can't read {}: {it}", path.display()))?;
    if let Ok(key) = EncodingKey::from_rsa_pem(&pem) {
        return Ok((key, &[RS256, RS384, RS512, PS256, PS384, PS512]));
    }
    if let Ok(key) = EncodingKey::from_ec_pem(&pem) {
        return Ok((key, &[ES256, ES384]));
    }
    if let Ok(key) = EncodingKey::from_ed_pem(&pem) {
        return Ok((key, &[EdDSA]));
    }
    let path = path.display();
    Err(format!(
        "{path} is no private key in PEM that can sign; a key of another form becomes one by: openssl pkcs8 -topk8 \
         -nocrypt -in {path}"
    ))
}

/// Signs by the algorithm that was asked for, or by the first one that fits the key: only one fits a curve.
fn sign(
    claims: &Map<String, Value>,
    key: &EncodingKey,
    algorithms: &[Algorithm],
    make: &Make,
) -> Result<String, String> {
    let wanted = match make.algorithm {
        Some(one) if !algorithms.contains(&one) => {
            return Err(format!("the key can't sign by {one:?}, but by {}", names(algorithms)));
        }
        Some(one) => vec![one],
        None => algorithms.to_vec(),
    };
    let signed = wanted.iter().find_map(|algorithm| {
        let mut header = Header::new(*algorithm);
        header.kid.clone_from(&make.kid);
        jsonwebtoken::encode(&header, claims, key).ok()
    });
    signed.ok_or_else(|| {
        format!("the key can't sign by {}: it must be a private one, in PKCS #8", names(&wanted))
    })
}

fn names(algorithms: &[Algorithm]) -> String {
    algorithms.iter().map(|it| format!("{it:?}")).collect::<Vec<_>>().join(", ")
}
