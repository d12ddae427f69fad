//! Who is let in by which token, and what revocations reach.

use taiwa_core::{Connect, Publish};

use super::{
    super::tests::{answer, at_once, now, token, verifier, with_keys},
    *,
};
use crate::{
    apps::example_client,
    auth::{JwksSettings, KeySource, Stamp},
    outgoing::peer::{self, Peer},
};

fn rules(change: impl FnOnce(&mut RulesSettings)) -> Rules {
    let mut settings = RulesSettings { connections: Some(verifier()), ..RulesSettings::default() };
    change(&mut settings);
    Rules::new(settings)
}

fn connect(token: Option<&str>) -> Question {
    connect_as(SessionId(1), token)
}

fn connect_as(session: SessionId, token: Option<&str>) -> Question {
    let who = Arc::new(Client { session, ..Client::clone(&example_client()) });
    let connect = Connect { token: token.map(Into::into), ..Connect::default() };
    Question::Connect { who, connect: Box::new(connect) }
}

fn user(name: &str) -> Arc<Client> {
    Arc::new(Client { user: Some(User::from(name)), ..Client::clone(&example_client()) })
}

fn subscribe(token: Option<&str>) -> Question {
    let channel = Channel::parse("news").unwrap();
    Question::Subscribe { who: user("ada"), channel, token: token.map(Into::into), data: None }
}

#[track_caller]
fn admitted(rules: &Rules, claims: &str) -> Admission {
    match at_once(rules, connect(Some(&token(claims)))) {
        Ok(Answer::Admission(admission)) => *admission,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn check_no(answer: Result<Answer, Refusal>, expected: RefusalKind) {
    match answer {
        Err(refusal) => assert_eq!(refusal.kind, expected),
        Ok(answer) => panic!("{answer:?}"),
    }
}

#[test]
fn who_brings_no_token_comes_in_where_the_settings_say_so() {
    for (anonymous, connections, token, expected) in [
        (false, None, None, Some(RefusalKind::Unauthorized)),
        (false, Some(verifier()), None, Some(RefusalKind::Unauthorized)),
        (true, None, None, None),
        (true, Some(verifier()), None, None),
        // A bad token is not better than none.
        (true, None, Some("x"), Some(RefusalKind::Unauthorized)),
        (true, Some(verifier()), Some("x"), Some(RefusalKind::Unauthorized)),
        (true, Some(verifier()), Some(""), Some(RefusalKind::Unauthorized)),
    ] {
        let settings = RulesSettings { anonymous, connections, ..RulesSettings::default() };
        match at_once(&Rules::new(settings), connect(token)) {
            Ok(Answer::Admission(admission)) => {
                assert_eq!((admission.user, expected), (None, None));
            }
            other => assert_eq!(Some(other.unwrap_err().kind), expected, "{token:?}"),
        }
    }
}

#[test]
fn a_token_says_who_a_client_is() {
    let exp = now() + 600;
    let claims = format!(
        r#"{{"sub":"ada","exp":{exp},"info":{{"name":"Ada"}},"meta":{{"plan":"gold"}},
            "channels":["a"],"subs":{{"b":{{"b64data":"AP8=","b64info":"AP8=",
            "override":{{"join_leave":{{"value":true}}}}}}}}}}"#
    );
    let admission = admitted(&rules(|_| ()), &claims);
    assert_eq!(admission.user, Some(User::from("ada")));
    assert_eq!(admission.info.as_deref(), Some(&br#"{"name":"Ada"}"#[..]));
    assert_eq!(admission.meta.as_deref(), Some(&br#"{"plan":"gold"}"#[..]));
    let expires = admission.expires.unwrap().as_secs();
    assert!((590..=600).contains(&expires) && admission.client_refreshes, "{expires}");
    let [(a, plain), (b, other)] = &admission.channels[..] else { panic!("two channels") };
    assert_eq!((a.as_str(), plain.join_leave), ("a", None));
    assert_eq!((b.as_str(), other.join_leave), ("b", Some(true)));
    assert_eq!(other.info.as_deref(), Some(&b"\"AP8=\""[..]), "bytes are a string of base64");
    assert_eq!(other.data, Some(Payload::Binary(Bytes::from(&b"\x00\xff"[..]))));

    let nobody = admitted(&rules(|_| ()), "{}");
    assert_eq!((nobody.user, nobody.expires), (None, None));
    let late = admitted(&rules(|_| ()), r#"{"sub":"ada","exp":9007199254740992}"#);
    assert_eq!(late.expires, None, "no clock of ours tells that far");
}

#[test]
fn a_token_that_is_no_good_is_refused_with_the_reason() {
    let rules = rules(|_| ());
    let (past, control) = (now() - 10, r#"{"channels":["a\nb"]}"#);
    let expired = token(&format!(r#"{{"sub":"ada","exp":{past}}}"#));
    check_no(at_once(&rules, connect(Some(&expired))), RefusalKind::Expired);
    check_no(at_once(&rules, connect(Some(&token(control)))), RefusalKind::BadRequest);
    let for_a_channel = token(r#"{"sub":"ada","channel":"news"}"#);
    check_no(at_once(&rules, connect(Some(&for_a_channel))), RefusalKind::Unauthorized);
    let refusal = at_once(&rules, connect(Some("secret-token"))).unwrap_err();
    assert!(!format!("{refusal:?}").contains("secret-token"));
}

#[test]
fn a_fresh_token_must_be_of_the_same_user() {
    let rules = rules(|_| ());
    let refresh = |claims: Option<&str>| {
        let token = claims.map(|it| token(it).into());
        at_once(&rules, Question::Refresh { who: user("ada"), token })
    };
    let answer = refresh(Some(r#"{"sub":"ada"}"#)).unwrap();
    let Answer::Admission(admission) = answer else { panic!("{answer:?}") };
    assert_eq!(admission.user, Some(User::from("ada")));
    check_no(refresh(Some(r#"{"sub":"bob"}"#)), RefusalKind::Unauthorized);
    check_no(refresh(Some("{}")), RefusalKind::Unauthorized);
    check_no(refresh(None), RefusalKind::Expired);
    let without = Rules::new(RulesSettings::default());
    let question = Question::Refresh { who: user("ada"), token: Some("x".into()) };
    check_no(at_once(&without, question), RefusalKind::Unauthorized);
}

#[test]
fn a_token_for_a_channel_is_for_its_user_and_channel_alone() {
    let rules = rules(|_| ());
    let exp = now() + 60;
    let good = format!(r#"{{"sub":"ada","channel":"news","exp":{exp},"info":7}}"#);
    let answer = at_once(&rules, subscribe(Some(&token(&good)))).unwrap();
    let Answer::Authorization(it) = answer else { panic!("{answer:?}") };
    assert_eq!(it.info.as_deref(), Some(&b"7"[..]));
    assert!(it.client_refreshes && it.expires.is_some_and(|it| it.as_secs() > 50));
    let session = SessionId(1).to_string();
    let mine = format!(r#"{{"sub":"ada","channel":"news","client":"{session}"}}"#);
    assert!(at_once(&rules, subscribe(Some(&token(&mine)))).is_ok());
    for (claims, expected) in [
        (r#"{"sub":"bob","channel":"news"}"#, RefusalKind::Forbidden),
        (r#"{"sub":"ada","channel":"news","client":"7"}"#, RefusalKind::Forbidden),
        (r#"{"sub":"ada","channel":"other"}"#, RefusalKind::Forbidden),
        (r#"{"sub":"ada"}"#, RefusalKind::Forbidden),
        (r#"{"sub":"ada","channel":"news","exp":1}"#, RefusalKind::Expired),
    ] {
        check_no(at_once(&rules, subscribe(Some(&token(claims)))), expected);
    }
    check_no(at_once(&rules, subscribe(None)), RefusalKind::Forbidden);
    let without = Rules::new(RulesSettings::default());
    check_no(at_once(&without, subscribe(Some("x"))), RefusalKind::Forbidden);
}

#[test]
fn what_no_token_says_is_refused_and_events_are_noted() {
    let rules = rules(|_| ());
    let who = example_client;
    let channel = || Channel::parse("news").unwrap();
    let publish = Box::new(Publish::new(channel(), Payload::null()));
    let call = Question::Call { who: who(), method: "add".into(), payload: Payload::null() };
    let tell = Question::Tell { who: who(), payload: Payload::null() };
    check_no(at_once(&rules, Question::Publish { who: who(), publish }), RefusalKind::Forbidden);
    check_no(at_once(&rules, call), RefusalKind::NotFound);
    check_no(at_once(&rules, tell), RefusalKind::NotFound);
    for event in [
        Question::Disconnected { who: who(), why: None },
        Question::Occupied(channel()),
        Question::Vacated(channel()),
    ] {
        assert!(matches!(at_once(&rules, event), Ok(Answer::Noted)));
    }
}

#[test]
fn each_user_has_a_channel_of_its_own_where_the_settings_say_so() {
    let rules = rules(|it| it.personal_prefix = Some("personal:#".into()));
    let names = |claims: &str| -> Vec<String> {
        let channels = admitted(&rules, claims).channels;
        channels.iter().map(|(it, _)| it.as_str().to_owned()).collect()
    };
    assert_eq!(names(r#"{"sub":"ada"}"#), ["personal:#ada"]);
    assert_eq!(names(r#"{"sub":"ada","channels":["a","personal:#ada"]}"#).len(), 2, "once");
    assert!(names("{}").is_empty(), "nobody has none");
    assert!(names(r#"{"sub":"ada,bob"}"#).is_empty(), "it would be bob's, too");
    assert!(names(&format!(r#"{{"sub":"{}"}}"#, "x".repeat(2000))).is_empty());
}

#[tokio::test]
async fn a_revocation_names_the_sessions_that_it_hits() {
    let rules = rules(|_| ());
    let verifier = rules.inner.connections.clone().unwrap();
    let mut revoked = rules.revoked_sessions().unwrap();
    for (number, claims) in [
        (1, r#"{"sub":"ada","jti":"t1","iat":1000}"#),
        (2, r#"{"sub":"ada","jti":"t2","iat":3000}"#),
        (3, r#"{"sub":"bob","jti":"t3","iat":1000}"#),
        (4, r#"{"sub":"bob","jti":"t4","iat":1000}"#),
    ] {
        let came = at_once(&rules, connect_as(SessionId(number), Some(&token(claims))));
        assert!(came.is_ok(), "{came:?}");
    }
    assert_eq!(rules.bearers(), (4, 0));
    let gone = Arc::new(Client { session: SessionId(4), ..Client::clone(&example_client()) });
    at_once(&rules, Question::Disconnected { who: gone, why: None }).unwrap();

    let list = verifier.revocations();
    list.revoke_token("t4", None, now()).unwrap();
    list.revoke_user("ada", 2000, None, now()).unwrap();
    let limit = Duration::from_secs(20);
    let hit = tokio::time::timeout(limit, revoked.next()).await.unwrap();
    assert_eq!(hit, [SessionId(1)], "session 4 has gone, and 2 has a newer token");
    list.revoke_token("t3", None, now()).unwrap();
    let hit = tokio::time::timeout(limit, revoked.next()).await.unwrap();
    assert_eq!(hit, [SessionId(3)]);
    assert_eq!(rules.bearers(), (1, 0));
    let again = at_once(&rules, connect(Some(&token(r#"{"sub":"bob","jti":"t3"}"#))));
    check_no(again, RefusalKind::Unauthorized);

    // More than can be listened to: each session is asked for.
    list.revoke_token("t2", None, now()).unwrap();
    for number in 0..2000 {
        list.revoke_token(&format!("x{number}"), None, now()).unwrap();
    }
    let hit = tokio::time::timeout(limit, revoked.next()).await.unwrap();
    assert_eq!(hit, [SessionId(2)]);
}

#[test]
fn there_is_room_for_so_many_bearers_of_tokens_that_count() {
    let rules = rules(|it| it.bearers_max = 2);
    let stamp = Stamp::default();
    let bearers = &rules.inner.bearers;
    bearers.remember(SessionId(1), &stamp, Some(100), 50);
    bearers.remember(SessionId(2), &stamp, None, 50);
    bearers.remember(SessionId(3), &stamp, None, 99);
    assert_eq!(bearers.counts(), (2, 1), "no room");
    bearers.remember(SessionId(2), &stamp, None, 99);
    assert_eq!(bearers.counts(), (2, 1), "it is there already");
    bearers.remember(SessionId(3), &stamp, Some(200), 100);
    assert_eq!(bearers.counts(), (2, 1), "the first one's time was over");
    bearers.remember(SessionId(4), &stamp, None, 199);
    assert_eq!(bearers.counts(), (2, 2));
}

#[tokio::test]
async fn keys_that_must_be_fetched_first_are_waited_for_outside_of_the_shard() {
    let jwks = r#"{"keys":[]}"#;
    let peer = Peer::start(move |_, _| peer::answer(200, "", jwks.as_bytes())).await;
    let settings = JwksSettings { plain_http: true, ..JwksSettings::new(&peer.url) };
    let fetching = with_keys(vec![KeySource::JwksUrl(settings)]);
    let rules = rules(|it| it.connections = Some(fetching));
    let (es256, nothing) = ("eyJhbGciOiJFUzI1NiIsImtpZCI6ImEifQ", "e30");
    let unknown = format!("{es256}.{nothing}.{}", "A".repeat(86));
    let question = connect(Some(&unknown));
    assert!(matches!(rules.ask(question.clone()), Asked::Later(_)), "it is not known yet");
    let refused = answer(&rules, question).await.unwrap_err();
    assert!(matches!(refused.kind, RefusalKind::Unauthorized | RefusalKind::Unavailable));
    assert_eq!(peer.heard().len(), 1);
    let subscription = answer(&rules, subscribe(Some(&unknown))).await.unwrap_err();
    assert!(matches!(subscription.kind, RefusalKind::Forbidden | RefusalKind::Unavailable));
}
