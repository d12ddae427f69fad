//! `taiwa token check`.

use std::{
    io::Read,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};
use taiwa_server::{
    auth::{Flaw, Refusal, Subscriber, Verifier},
    outgoing::Outgoing,
};

use super::Check;
use crate::{
    config::{settings::Settings, verbs},
    connect::pretty::visible,
    exit::{Exit, Failure},
};

/// Bytes of stdin that are read for a token: more than any limit of tokens that makes sense.
const INPUT_BYTES_MAX: u64 = 1 << 20;

/// The last second of the year 9999, behind which dates have no common form.
const SECONDS_MAX: u64 = 253_402_300_799;

/// A token as it describes itself. Nothing of it is believed before it is verified.
struct Said {
    header: Map<String, Value>,
    claims: Map<String, Value>,
}

pub(super) async fn run(check: Check) -> Result<Exit, Failure> {
    let settings = verbs::load(check.settings.0)?.settings;
    let usage = |it: String| Failure::new(Exit::Usage, it);
    let token = match check.token {
        Some(token) => token,
        None => from_stdin().map_err(usage)?,
    };
    let at_fault = |(key, text): (String, String)| usage(format!("{key}: {text}"));
    let auth = settings.auth().map_err(at_fault)?;
    if auth.keys.is_empty() {
        let text = "there is nothing to check it with: set one of auth.jwt.secrets, public_keys, jwks_files, jwks_urls";
        return Err(usage(text.into()));
    }
    let outgoing = Outgoing::new(&settings.trust().map_err(at_fault)?, &settings.outgoing());
    let verifier = Verifier::new(auth, &outgoing).map_err(|it| usage(it.to_string()))?;

    let said = Said::of(&token);
    let now = SystemTime::now();
    let channel = said.as_ref().and_then(|it| it.claims.get("channel")?.as_str());
    let (verdict, what) = match (channel, &said) {
        (Some(channel), Some(said)) => {
            let subscriber = Subscriber {
                user: check.user.as_deref().unwrap_or(said.text("sub")),
                client: said.text("client"),
                channel: check.channel.as_deref().unwrap_or(channel),
            };
            let verdict = verifier.fetching_subscription(&token, &subscriber, now).await;
            (verdict.map(|it| it.expires_at), format!("a subscription to {}", visible(channel)))
        }
        _ => {
            let verdict = verifier.fetching_connection(&token, now).await;
            (verdict.map(|it| it.expires_at), "a connection".to_owned())
        }
    };
    match (verdict, said) {
        (Ok(expires_at), Some(said)) => {
            let user = match said.text("sub") {
                "" => "of nobody in particular".into(),
                user => format!("of {}", visible(user)),
            };
            let until =
                expires_at.map_or("for ever".into(), |it| format!("until {}", date(it, now)));
            anstream::eprintln!("taiwa: good for {what} {user}, {until}");
            println!("{}", serde_json::to_string_pretty(&said.claims).unwrap_or_default());
            Ok(Exit::Good)
        }
        (Ok(_), None) => Err(Failure::new(Exit::Inside, "a token was taken that can't be read")),
        (Err(refusal), said) => {
            let why = why(refusal, said.as_ref(), &settings, now);
            Err(Failure::new(Exit::Refused, format!("refused: {why}")))
        }
    }
}

fn from_stdin() -> Result<String, String> {
    let mut text = String::new();
    let mut stdin = std::io::stdin().take(INPUT_BYTES_MAX);
    stdin.read_to_string(&mut text).map_err(|it| format!("can't read stdin: {it}"))?;
    match text.trim() {
        "" => Err("there is no token on stdin".into()),
        token => Ok(token.to_owned()),
    }
}

impl Said {
    fn of(token: &str) -> Option<Self> {
        let mut parts = token.split('.');
        let mut part = || {
            let json = URL_SAFE_NO_PAD.decode(parts.next()?).ok()?;
            serde_json::from_slice::<Map<String, Value>>(&json).ok()
        };
        Some(Self { header: part()?, claims: part()? })
    }

    fn text(&self, claim: &str) -> &str {
        self.claims.get(claim).and_then(Value::as_str).unwrap_or_default()
    }

    /// A claim as it stands there, or that it does not.
    fn shown(&self, claim: &str) -> String {
        shown(self.claims.get(claim))
    }

    fn seconds(&self, claim: &str) -> Option<u64> {
        self.claims.get(claim).and_then(Value::as_f64).map(|it| it as u64)
    }
}

fn shown(value: Option<&Value>) -> String {
    value.map_or("none".into(), |it| visible(&it.to_string()))
}

/// Says in full what the peer is not told.
fn why(refusal: Refusal, said: Option<&Said>, settings: &Settings, now: SystemTime) -> String {
    let jwt = &settings.auth.jwt;
    let wanted = |values: &[String]| values.join(", ");
    let Some(said) = said else {
        return match refusal {
            Refusal::Invalid(flaw) => format!("{refusal}: {flaw}"),
            other => other.to_string(),
        };
    };
    let details = match refusal {
        Refusal::Expired => {
            let ends = ["exp", "expire_at"].into_iter().filter_map(|it| said.seconds(it)).min();
            ends.map(|it| format!("since {}", date(it, now)))
        }
        Refusal::Foreign => {
            let (user, channel) = (said.shown("sub"), said.shown("channel"));
            Some(format!("it is for user {user}, channel {channel}"))
        }
        Refusal::Unavailable => Some("a set of auth.jwt.jwks_urls can't be fetched".into()),
        Refusal::Invalid(flaw) => Some(match flaw {
            Flaw::Algorithm | Flaw::NoKey => {
                let (alg, kid) = (shown(said.header.get("alg")), shown(said.header.get("kid")));
                format!("{flaw}: its alg is {alg}, its kid {kid}")
            }
            Flaw::Audience => {
                format!(
                    "{flaw}: its aud is {}, expected: {}",
                    said.shown("aud"),
                    wanted(&jwt.audiences)
                )
            }
            Flaw::Issuer => {
                format!(
                    "{flaw}: its iss is {}, expected: {}",
                    said.shown("iss"),
                    wanted(&jwt.issuers)
                )
            }
            Flaw::TooEarly => match said.seconds("nbf") {
                Some(nbf) => format!("not good before {}", date(nbf, now)),
                None => flaw.to_string(),
            },
            other => other.to_string(),
        }),
        _ => None,
    };
    match details {
        Some(details) => format!("{refusal}: {details}"),
        None => refusal.to_string(),
    }
}

/// Writes a time, and how far it is from now.
fn date(seconds: u64, now: SystemTime) -> String {
    let Some(at) = UNIX_EPOCH.checked_add(Duration::from_secs(seconds)) else {
        return format!("second {seconds}");
    };
    if seconds > SECONDS_MAX {
        return format!("second {seconds}");
    }
    let (distance, ago) = match (now.duration_since(at), at.duration_since(now)) {
        (Ok(ago), _) => (ago, true),
        (_, Ok(ahead)) => (ahead, false),
        _ => (Duration::ZERO, false),
    };
    let distance = humantime::format_duration(Duration::from_secs(distance.as_secs())).to_string();
    // Years to seconds are more than anyone wants to read.
    let distance = distance.split(' ').take(2).collect::<Vec<_>>().join(" ");
    let date = humantime::format_rfc3339_seconds(at);
    if ago { format!("{date} ({distance} ago)") } else { format!("{date} (in {distance})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_their_distance() {
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        for (seconds, expected) in [
            (1_800_000_000, "2027-01-15T08:00:00Z (0s ago)"),
            (1_800_000_090, "2027-01-15T08:01:30Z (in 1m 30s)"),
            (1_799_990_000, "2027-01-15T05:13:20Z (2h 46m ago)"),
            (SECONDS_MAX + 1, "second 253402300800"),
            (u64::MAX, "second 18446744073709551615"),
        ] {
            assert_eq!(date(seconds, now), expected);
        }
    }

    #[test]
    fn what_is_no_token_says_nothing() {
        for text in ["", ".", "a.b.c", "e30", "W10.W10.", "e30.bnVsbA."] {
            assert!(Said::of(text).is_none(), "{text}");
        }
        assert_eq!(Said::of("e30.eyJzdWIiOiJhIn0.").unwrap().text("sub"), "a");
    }
}
