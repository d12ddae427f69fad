//! What each claim does.

use std::time::Duration;

use super::*;

const NOW: u64 = 1000;

fn invalid(flaw: Flaw) -> Result<Option<u64>, Refusal> {
    Err(Refusal::Invalid(flaw))
}

#[track_caller]
fn check(settings: &AuthSettings, rows: &[(&str, Result<Option<u64>, Refusal>)]) {
    let rules = Rules::new(settings);
    for (claims, expected) in rows {
        let grant = rules.connection(claims.as_bytes(), NOW).map(|grant| grant.expires_at);
        assert_eq!(grant, *expected, "{claims}");
        // The same claims, for a subscription.
        let claims = claims.replacen('{', r#"{"channel":"room","#, 1).replace(",}", "}");
        let subscriber = Subscriber { user: "", client: "", channel: "room" };
        let grant = rules.subscription(claims.as_bytes(), NOW, &subscriber);
        assert_eq!(grant.map(|grant| grant.expires_at), *expected, "{claims}");
    }
}

#[test]
fn exp_and_expire_at_say_how_long_a_token_is_good() {
    check(
        &AuthSettings::default(),
        &[
            ("{}", Ok(None)),
            (r#"{"exp":1001}"#, Ok(Some(1001))),
            (r#"{"exp":1000}"#, Err(Refusal::Expired)),
            (r#"{"exp":1001.9}"#, Ok(Some(1001))),
            (r#"{"exp":1000.9}"#, Err(Refusal::Expired)),
            (r#"{"exp":1e300}"#, Ok(Some(u64::MAX))),
            (r#"{"exp":18446744073709551615}"#, Ok(Some(u64::MAX))),
            (r#"{"exp":-5}"#, Err(Refusal::Expired)),
            (r#"{"exp":0}"#, Err(Refusal::Expired)),
            (r#"{"exp":null}"#, Ok(None)),
            (r#"{"exp":"1001"}"#, invalid(Flaw::Claims)),
            (r#"{"exp":1001,"exp":5000}"#, invalid(Flaw::Claims)),
            (r#"{"exp":1001,"expire_at":2000}"#, Ok(Some(2000))),
            (r#"{"exp":1001,"expire_at":0}"#, Ok(None)),
            (r#"{"exp":1001,"expire_at":1000}"#, Err(Refusal::Expired)),
            (r#"{"exp":1000,"expire_at":2000}"#, Err(Refusal::Expired)),
            (r#"{"expire_at":2000}"#, Ok(Some(2000))),
            (r#"{"nbf":1000}"#, Ok(None)),
            (r#"{"nbf":1001}"#, invalid(Flaw::TooEarly)),
            (r#"{"nbf":1001,"exp":1}"#, invalid(Flaw::TooEarly)),
            (r#"{"aud":"x","iss":"y"}"#, Ok(None)),
            (r#"{"aud":["x"],"iat":5000}"#, Ok(None)),
            (r#"{"aud":7}"#, invalid(Flaw::Claims)),
            (r#"{"sub":7}"#, invalid(Flaw::Claims)),
        ],
    );
}

#[test]
fn leeway_counts_for_exp_and_nbf() {
    let settings = AuthSettings { leeway: Duration::from_secs(10), ..AuthSettings::default() };
    check(
        &settings,
        &[
            (r#"{"exp":991}"#, Ok(Some(1001))),
            (r#"{"exp":990}"#, Err(Refusal::Expired)),
            (r#"{"nbf":1010}"#, Ok(None)),
            (r#"{"nbf":1011}"#, invalid(Flaw::TooEarly)),
            (r#"{"exp":18446744073709551615}"#, Ok(Some(u64::MAX))),
        ],
    );
}

#[test]
fn audience_issuer_and_expiry_are_asked_for_where_they_are_set() {
    let settings = AuthSettings {
        audiences: vec!["a".into(), "b".into()],
        issuers: vec!["i".into(), "j".into()],
        expiry_required: true,
        ..AuthSettings::default()
    };
    check(
        &settings,
        &[
            (r#"{"aud":"a","iss":"i","exp":2000}"#, Ok(Some(2000))),
            (r#"{"aud":["x","b"],"iss":"j","exp":2000}"#, Ok(Some(2000))),
            (r#"{"aud":"a","iss":"i"}"#, invalid(Flaw::NoExpiry)),
            (r#"{"aud":"a","iss":"i","expire_at":2000}"#, invalid(Flaw::NoExpiry)),
            (r#"{"aud":"x","iss":"i","exp":2000}"#, invalid(Flaw::Audience)),
            (r#"{"aud":"x","iss":"i","exp":1}"#, invalid(Flaw::Audience)),
            (r#"{"aud":[],"iss":"i","exp":2000}"#, invalid(Flaw::Audience)),
            (r#"{"iss":"i","exp":2000}"#, invalid(Flaw::Audience)),
            (r#"{"aud":"a","iss":"x","exp":2000}"#, invalid(Flaw::Issuer)),
            (r#"{"aud":"a","exp":2000}"#, invalid(Flaw::Issuer)),
            (r#"{"aud":"a","iss":["i"],"exp":2000}"#, invalid(Flaw::Claims)),
        ],
    );
}

fn granted(claims: &str) -> Result<Grant, Refusal> {
    Rules::new(&AuthSettings::default()).connection(claims.as_bytes(), NOW)
}

#[test]
fn info_is_json_on_one_line_or_bytes() {
    let json = |text: &'static str| Some(Info::Json(text.as_bytes().into()));
    for (claims, expected) in [
        (r#"{}"#, None),
        (r#"{"info":null}"#, None),
        (r#"{"info":{"b": 1, "a":2.50}}"#, json(r#"{"b": 1, "a":2.50}"#)),
        ("{\"info\":{\n \"a\":\r\n\"b\\n\"}}", json("{  \"a\":  \"b\\n\"}")),
        (r#"{"info":1,"b64info":"eyJhIjoxfQ=="}"#, json(r#"{"a":1}"#)),
        (r#"{"b64info":"eyJhIjoxfQ"}"#, json(r#"{"a":1}"#)),
        (r#"{"info":1,"b64info":""}"#, json("1")),
        (r#"{"b64info":"AP8="}"#, Some(Info::Binary(vec![0, 255].into()))),
        (r#"{"b64info":"YWJj"}"#, Some(Info::Binary("abc".into()))),
    ] {
        assert_eq!(granted(claims).unwrap().info, expected, "{claims}");
    }
    for bad in [r#"{"b64info":"?"}"#, r#"{"b64info":1}"#, r#"{"info":}"#] {
        assert_eq!(granted(bad), Err(CLAIMS), "{bad}");
    }
}

#[test]
fn a_channel_in_both_lists_is_subscribed_to_once() {
    let claims = r#"{"sub":"ann","channels":["a","b","a"],"subs":{"b":{"info":1,"b64data":"AP8=",
        "override":{"presence":{"value":false},"join_leave":{"value":true},
        "force_push_join_leave":{"value":true},"force_recovery":{"value":false},
        "force_positioning":null}},"c":{}}}"#;
    let side = |channel: &str| ServerSide { channel: channel.into(), ..ServerSide::default() };
    let b = ServerSide {
        info: Some(Info::Json("1".into())),
        greeting: Some(Info::Binary(vec![0, 255].into())),
        overrides: Overrides {
            presence: Some(false),
            join_leave: Some(true),
            push_join_leave: Some(true),
            recovery: Some(false),
            positioning: None,
        },
        ..side("b")
    };
    assert_eq!(granted(claims).unwrap().channels, [side("a"), b, side("c")]);
}

#[test]
fn channels_have_a_limit() {
    let limits = crate::auth::AuthLimits { channels_max: 3, ..Default::default() };
    let rules = Rules::new(&AuthSettings { limits, ..AuthSettings::default() });
    for (claims, fits) in [
        (r#"{"channels":["a","b"],"subs":{"c":{}}}"#, true),
        (r#"{"channels":["a","b","a","b"]}"#, true),
        (r#"{"channels":["a","b"],"subs":{"c":{},"d":{}}}"#, false),
    ] {
        assert_eq!(rules.connection(claims.as_bytes(), NOW).is_ok(), fits, "{claims}");
    }
}

#[test]
fn who_has_no_sub_has_no_name() {
    for claims in ["{}", r#"{"sub":null}"#, r#"{"sub":""}"#] {
        assert_eq!(granted(claims).unwrap().user, "");
    }
    let grant = granted(r#"{"sub":"ann","jti":"j","iat":9.7,"meta":[1, 2]}"#).unwrap();
    let stamp = Stamp { id: Some("j".into()), user: "ann".into(), issued_at: Some(9) };
    assert_eq!((grant.user.as_str(), grant.stamp), ("ann", stamp));
    assert_eq!(grant.meta.unwrap(), "[1, 2]");
}
