//! Answers: those of the documentation, and those that are none.

use std::time::Duration;

use taiwa_core::{Answer, Disconnect, Payload, RefusalKind};

use super::{
    super::{
        Kind,
        tests::{examples, question},
    },
    *,
};

fn of(kind: Kind, body: &str) -> Result<Result<Answer, Refusal>, Nonsense> {
    read(body.as_bytes(), &question(kind))
}

fn granted(kind: Kind, body: &str) -> Answer {
    of(kind, body).unwrap().unwrap()
}

fn example(name: &str) -> String {
    let mut all = examples("answer").into_iter();
    all.find(|(it, _)| it == name).expect("an example in the documentation").1
}

fn called(body: &str) -> Payload {
    match granted(Kind::Call, body) {
        Answer::Payload(payload) => payload,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_client_is_let_in_as_the_documentation_says() {
    let Answer::Admission(admission) = granted(Kind::Connect, &example("connect")) else {
        panic!("an admission")
    };
    assert_eq!(admission.user, Some(User::from("ada")));
    assert_eq!(admission.info.as_deref(), Some(&br#"{ "name": "Ada" }"#[..]));
    assert_eq!(admission.meta.as_deref(), Some(&br#"{ "plan": "gold" }"#[..]));
    assert_eq!(admission.data, Some(Payload::Json(r#"{ "welcome": true }"#.into())));
    assert_eq!(admission.expires, Some(Duration::from_secs(3600)));
    assert!(!admission.client_refreshes);
    let names: Vec<_> = admission.channels.iter().map(|(it, _)| it.as_str()).collect();
    assert_eq!(names, ["news:sport", "private:ada"]);
    assert_eq!(admission.channels[0].1.join_leave, None);
    assert_eq!(admission.channels[1].1.join_leave, Some(false));
    assert_eq!(admission.channels[1].1.info.as_deref(), Some(&br#"{ "admin": true }"#[..]));

    let Answer::Admission(admission) = granted(Kind::Refresh, &example("refresh")) else {
        panic!("an admission")
    };
    assert_eq!(admission.user, Some(User::from("ada")));
    let Answer::Admission(admission) = granted(Kind::Refresh, r#"{"result":{}}"#) else {
        panic!("an admission")
    };
    assert_eq!(admission.user, Some(User::from("ada")), "who is not named is the same");
    let Answer::Admission(nobody) = granted(Kind::Connect, r#"{"result":{"user":""}}"#) else {
        panic!("an admission")
    };
    assert_eq!((nobody.user, nobody.expires), (None, None));
}

#[test]
fn a_subscription_is_allowed_as_the_documentation_says() {
    let Answer::Authorization(it) = granted(Kind::Subscribe, &example("subscribe")) else {
        panic!("an authorization")
    };
    assert_eq!(it.info.as_deref(), Some(&br#"{ "seat": 7 }"#[..]));
    assert_eq!(it.data, Some(Payload::Text("welcome".into())));
    assert_eq!((it.expires, it.join_leave), (Some(Duration::from_secs(600)), Some(true)));
}

#[test]
fn a_publication_is_changed_as_the_documentation_says() {
    let Answer::Publish(publish) = granted(Kind::Publish, &example("publish")) else {
        panic!("a publication")
    };
    let json = r#"{ "goals": [1, 2], "checked": true }"#;
    assert_eq!(publish.payload, Payload::Json(json.into()));
    assert_eq!(publish.tags.iter().collect::<Vec<_>>(), [("by", "ada"), ("team", "red")]);
    assert_eq!(
        (publish.event.as_deref(), publish.key.as_deref()),
        (Some("score"), Some("match-1"))
    );

    let Question::Publish { publish: asked, .. } = question(Kind::Publish) else { unreachable!() };
    let Answer::Publish(publish) = granted(Kind::Publish, r#"{"result":{}}"#) else {
        panic!("a publication")
    };
    assert_eq!(format!("{publish:?}"), format!("{asked:?}"), "nothing is changed");
}

#[test]
fn a_list_of_arguments_stays_one_as_long_as_the_payload_is_a_list() {
    let Question::Publish { who, publish } = question(Kind::Publish) else { unreachable!() };
    let publish = Publish { is_list: true, payload: Payload::Json("[1]".into()), ..*publish };
    let asked = Question::Publish { who, publish: Box::new(publish) };
    for (result, is_list) in [
        ("{}", true),
        (r#"{"is_list":false}"#, false),
        (r#"{"payload":{"json":[2,3]}}"#, true),
        (r#"{"payload":{"json":{}}}"#, false),
        (r#"{"payload":{"text":"[1]"},"is_list":true}"#, false),
    ] {
        let body = format!(r#"{{"result":{result}}}"#);
        let answer = read(body.as_bytes(), &asked);
        let Ok(Ok(Answer::Publish(publish))) = answer else { panic!("a publication") };
        assert_eq!(publish.is_list, is_list, "{result}");
    }
}

#[test]
fn a_call_is_answered_with_each_kind_of_payload() {
    assert_eq!(called(&example("call")), Payload::Json("3".into()));
    assert_eq!(called(r#"{"result":{}}"#), Payload::null());
    let in_lines = "{\"result\":{\"payload\":{\"json\":[\n1,\r\n2]}}}";
    assert_eq!(called(in_lines), Payload::Json("[ 1,  2]".into()), "one line");
    let mixed = Mixed {
        pieces: ["{\"photo\":", "}"].map(Bytes::from).into(),
        attachments: [Bytes::from(&b"\x00\xff\x80"[..])].into(),
    };
    for (name, expected) in [
        ("json", Payload::Json(r#"{ "goals": [1, 2] }"#.into())),
        ("text", Payload::Text("kick-off".into())),
        ("base64", Payload::Binary(Bytes::from(&b"\x00\xff\x80"[..]))),
        ("mixed", Payload::Mixed(Arc::new(mixed))),
    ] {
        let example = examples("payload").into_iter().find(|(it, _)| it == name).unwrap().1;
        let body = format!(r#"{{"result":{{"payload":{example}}}}}"#);
        assert_eq!(called(&body), expected, "{name}");
        // And back again.
        let question = Question::Call {
            who: crate::apps::example_client(),
            method: "x".into(),
            payload: expected,
        };
        let letter = super::super::Letter {
            kind: Kind::Call,
            id: "1".into(),
            at: std::time::UNIX_EPOCH,
            question,
        };
        let written: serde_json::Value = serde_json::from_slice(&letter.write("x")).unwrap();
        let example: serde_json::Value = serde_json::from_str(&example).unwrap();
        assert_eq!(written["data"]["payload"], example, "{name}");
    }
}

#[test]
fn a_program_says_no_as_the_documentation_says() {
    let refused = |body: &str| of(Kind::Call, body).unwrap().unwrap_err();
    let refusal = refused(&example("error"));
    let expected = Refusal {
        kind: RefusalKind::App,
        text: "the trial is over".into(),
        code: Some(1402),
        details: None,
    };
    assert_eq!(refusal, expected);
    let refusal = refused(&example("error with kind"));
    assert_eq!((refusal.kind, &*refusal.text), (RefusalKind::Expired, "log in again"));
    assert_eq!(refusal.details.as_deref(), Some(&br#"{ "since": 60 }"#[..]));
    let refusal = refused(r#"{"error":{"code":5,"message":"later","temporary":true}}"#);
    assert!(refusal.is_temporary() && refusal.code == Some(5));
    for (word, kind) in [
        ("bad_request", RefusalKind::BadRequest),
        ("unauthorized", RefusalKind::Unauthorized),
        ("forbidden", RefusalKind::Forbidden),
        ("expired", RefusalKind::Expired),
        ("not_found", RefusalKind::NotFound),
        ("limit", RefusalKind::Limit),
    ] {
        let body = format!(r#"{{"error":{{"message":"","kind":"{word}"}}}}"#);
        assert_eq!(refused(&body).kind, kind);
    }
    let Answer::Disconnect(why) = granted(Kind::Publish, &example("disconnect")) else {
        panic!("a disconnect")
    };
    let expected = Disconnect::App { code: 4001, reason: "banned".into(), may_return: false };
    assert_eq!(why, expected);
    assert_eq!(examples("answer").len(), 8, "each example of an answer has its test");
}

#[test]
fn what_has_another_form_is_no_answer() {
    for (kind, body) in [
        (Kind::Call, "{}"),
        (Kind::Call, "[]"),
        (Kind::Call, "null"),
        (Kind::Call, r#"{"result":null}"#),
        (Kind::Call, r#"{"result":{}} x"#),
        (Kind::Call, r#"{"result":{},"error":{"message":"both"}}"#),
        (Kind::Call, r#"{"result":{},"result":{}}"#),
        (Kind::Call, r#"{"resutl":{}}"#),
        (Kind::Call, r#"{"result":{"payload":3}}"#),
        (Kind::Call, r#"{"result":{"payload":{"yaml":"x"}}}"#),
        (Kind::Call, r#"{"result":{"payload":{"text":"x","json":1}}}"#),
        (Kind::Call, r#"{"result":{"payload":{"base64":"AP-A"}}}"#),
        (Kind::Call, r#"{"result":{"payload":{"mixed":{"pieces":["[","]"],"attachments":[]}}}}"#),
        (Kind::Call, r#"{"result":{"payload":{"mixed":{"pieces":[],"attachments":[]}}}}"#),
        // Within a string, as the name of a member, and where there can't be a value.
        (
            Kind::Call,
            r#"{"result":{"payload":{"mixed":{"pieces":["\"a","b\""],"attachments":[""]}}}}"#,
        ),
        (
            Kind::Call,
            r#"{"result":{"payload":{"mixed":{"pieces":["{",":1}"],"attachments":[""]}}}}"#,
        ),
        (
            Kind::Call,
            r#"{"result":{"payload":{"mixed":{"pieces":["[1","]"],"attachments":[""]}}}}"#,
        ),
        (Kind::Connect, r#"{"result":{"user":7}}"#),
        (Kind::Connect, r#"{"result":{"usr":"ada"}}"#),
        (Kind::Connect, r#"{"result":{"expires_in":-1}}"#),
        (Kind::Connect, r#"{"result":{"channels":{"":{}}}}"#),
        (Kind::Connect, r#"{"result":{"channels":["news"]}}"#),
        (Kind::Refresh, r#"{"result":{"user":"bob"}}"#),
        (Kind::Refresh, r#"{"result":{"user":""}}"#),
        (Kind::Subscribe, r#"{"result":{"user":"ada"}}"#),
        (Kind::Publish, r#"{"result":{"channel":"elsewhere"}}"#),
        (Kind::Publish, r#"{"result":{"tags":{"a":1}}}"#),
        (Kind::Call, r#"{"error":{"code":1}}"#),
        (Kind::Call, r#"{"error":{"message":"","code":-1}}"#),
        (Kind::Call, r#"{"error":{"message":"","kind":"odd"}}"#),
        (Kind::Call, r#"{"disconnect":{"code":3999,"reason":""}}"#),
        (Kind::Call, r#"{"disconnect":{"code":5000,"reason":""}}"#),
        (Kind::Call, r#"{"disconnect":{"code":4000}}"#),
    ] {
        let read = of(kind, body);
        assert!(read.is_err(), "{kind:?} {body}: {read:?}");
    }
}

#[test]
fn an_end_that_no_clock_reaches_is_none() {
    for (seconds, expected) in [
        (0, Some(Duration::ZERO)),
        (3_153_600_000, Some(Duration::from_secs(3_153_600_000))),
        (3_153_600_001, None),
        (u64::MAX, None),
    ] {
        let body = format!(r#"{{"result":{{"expires_in":{seconds}}}}}"#);
        let Answer::Admission(admission) = granted(Kind::Connect, &body) else { panic!() };
        assert_eq!(admission.expires, expected);
    }
}
