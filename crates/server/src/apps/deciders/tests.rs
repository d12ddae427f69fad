//! Who decides what, where there are rules and webhooks.

use serde_json::{Value, json};
use taiwa_core::{Channel, Payload, Publish, User};

use super::{
    super::{
        example_client,
        tests::{answer, now, outgoing, secret_source, token, verifier},
        webhooks::WebhookUrls,
    },
    *,
};
use crate::{
    auth::{AuthSettings, KeySource, Verifier},
    outgoing::peer::{self, Peer},
};

/// A program that answers all questions alike.
async fn program(result: Value) -> Peer {
    let body = json!({ "result": result }).to_string();
    Peer::start(move |_, _| peer::answer(200, "", body.as_bytes())).await
}

fn deciders(url: &str, change: impl FnOnce(&mut DecidersSettings)) -> Deciders {
    let mut settings = DecidersSettings::default();
    settings.webhooks.urls = WebhookUrls::all(url);
    change(&mut settings);
    Deciders::new(settings, &outgoing()).unwrap()
}

fn connect(token: Option<String>) -> Question {
    let connect = Connect { token: token.map(Into::into), ..Connect::default() };
    Question::Connect { who: example_client(), connect: Box::new(connect) }
}

fn ada() -> Arc<Client> {
    Arc::new(Client { user: Some(User::from("ada")), ..Client::clone(&example_client()) })
}

async fn admitted(deciders: &Deciders, question: Question) -> Admission {
    match answer(deciders, question).await {
        Ok(Answer::Admission(admission)) => *admission,
        other => panic!("{other:?}"),
    }
}

fn data(peer: &Peer) -> Value {
    let heard = peer.heard();
    serde_json::from_slice::<Value>(&heard.last().unwrap().body).unwrap()["data"].take()
}

fn names(admission: &Admission) -> Vec<&str> {
    admission.channels.iter().map(|(it, _)| it.as_str()).collect()
}

#[tokio::test]
async fn a_good_token_counts_before_the_webhook_and_is_not_shown_to_it() {
    let result = json!({ "info": 2, "channels": { "both": { "info": 1 } }, "expires_in": 30 });
    let peer = program(result).await;
    let deciders = deciders(&peer.url, |it| {
        it.rules.connections = Some(verifier());
        it.rules.personal_prefix = Some("#".into());
    });
    let exp = now() + 600;
    let claims = format!(
        r#"{{"sub":"ada","info":1,"meta":{{"a":1}},"exp":{exp},"channels":["both","token"]}}"#
    );
    let admission = admitted(&deciders, connect(Some(token(&claims)))).await;
    assert_eq!(admission.user, Some(User::from("ada")));
    assert_eq!(admission.info.as_deref(), Some(&b"2"[..]), "the webhook's");
    assert_eq!(admission.meta.as_deref(), Some(&br#"{"a":1}"#[..]), "the token's");
    assert_eq!(names(&admission), ["both", "token", "#ada"]);
    assert!(admission.channels[0].1.info.is_some(), "of two the webhook's counts");
    assert_eq!(admission.expires, Some(Duration::from_secs(30)), "the earlier end counts");
    assert!(admission.client_refreshes, "by a token, as it has come");
    let data = data(&peer);
    assert_eq!((&data["client"]["user"], &data["token"]), (&json!("ada"), &Value::Null));

    let bad = answer(&deciders, connect(Some("x".into()))).await.unwrap_err();
    assert_eq!(bad.kind, RefusalKind::Unauthorized);
    assert_eq!(peer.heard().len(), 1, "nobody asks about a bad token");
    assert_eq!(deciders.rules().bearers().0, 1);
}

#[tokio::test]
async fn a_webhook_can_not_make_another_user_of_a_token() {
    let peer = program(json!({ "user": "root" })).await;
    let deciders = deciders(&peer.url, |it| it.rules.connections = Some(verifier()));
    let asked = answer(&deciders, connect(Some(token(r#"{"sub":"ada"}"#)))).await;
    assert_eq!(asked.unwrap_err().kind, RefusalKind::Unavailable);
    assert_eq!(deciders.rules().bearers(), (0, 0), "who is not let in is not remembered");
    let without = admitted(&deciders, connect(None)).await;
    assert_eq!(without.user, Some(User::from("root")), "without a token it decides alone");
}

#[tokio::test]
async fn without_keys_or_before_tokens_the_webhook_sees_the_token() {
    for (verifier, tokens_first) in [(None, true), (Some(verifier()), false)] {
        let peer = program(json!({ "user": "bob" })).await;
        let deciders = deciders(&peer.url, |it| {
            it.rules.connections = verifier;
            it.rules.personal_prefix = Some("#".into());
            it.tokens_first = tokens_first;
        });
        let admission = admitted(&deciders, connect(Some("opaque".into()))).await;
        assert_eq!(admission.user, Some(User::from("bob")));
        assert_eq!(names(&admission), ["#bob"]);
        assert_eq!(data(&peer)["token"], "opaque");
        let bob = Client { user: Some(User::from("bob")), ..Client::clone(&ada()) };
        let token = Some("fresh".into());
        admitted(&deciders, Question::Refresh { who: Arc::new(bob), token }).await;
        assert_eq!(data(&peer)["token"], "fresh");
    }
}

#[tokio::test]
async fn tokens_for_channels_and_fresh_ones_are_the_rules_business_where_there_are_keys() {
    let peer = program(json!({})).await;
    let deciders = deciders(&peer.url, |it| it.rules.connections = Some(verifier()));
    let subscribe = |token: Option<String>| Question::Subscribe {
        who: ada(),
        channel: Channel::parse("news").unwrap(),
        token: token.map(Into::into),
        data: None,
    };
    let good = token(r#"{"sub":"ada","channel":"news"}"#);
    assert!(answer(&deciders, subscribe(Some(good))).await.is_ok());
    assert!(answer(&deciders, subscribe(Some("x".into()))).await.is_err());
    let refresh =
        |token: Option<String>| Question::Refresh { who: ada(), token: token.map(Into::into) };
    assert!(answer(&deciders, refresh(Some(token(r#"{"sub":"ada"}"#)))).await.is_ok());
    assert!(answer(&deciders, refresh(Some("x".into()))).await.is_err());
    assert_eq!(peer.heard().len(), 0);
    assert!(answer(&deciders, subscribe(None)).await.is_ok());
    assert!(answer(&deciders, refresh(None)).await.is_ok());
    assert_eq!(peer.heard().len(), 2);
}

#[tokio::test]
async fn what_has_no_webhook_is_decided_by_the_rules() {
    let settings = DecidersSettings {
        rules: RulesSettings { connections: Some(verifier()), ..RulesSettings::default() },
        ..DecidersSettings::default()
    };
    let deciders = Deciders::new(settings, &outgoing()).unwrap();
    let came = answer(&deciders, connect(Some(token(r#"{"sub":"ada"}"#)))).await;
    assert!(matches!(came, Ok(Answer::Admission(_))));
    let channel = Channel::parse("news").unwrap();
    let publish = Box::new(Publish::new(channel, Payload::null()));
    let call = Question::Call { who: ada(), method: "x".into(), payload: Payload::null() };
    let no = |it: Result<Answer, Refusal>| it.unwrap_err().kind;
    let published = answer(&deciders, Question::Publish { who: ada(), publish }).await;
    assert_eq!(no(published), RefusalKind::Forbidden);
    assert_eq!(no(answer(&deciders, call).await), RefusalKind::NotFound);
    assert_eq!(deciders.told(), Told { disconnected: true, occupied: false });
    assert_eq!(deciders.rules().bearers().0, 1);
    answer(&deciders, Question::Disconnected { who: ada(), why: None }).await.unwrap();
    assert_eq!(deciders.rules().bearers().0, 0);
}

#[tokio::test]
async fn the_end_of_a_session_is_told_to_the_rules_and_the_webhook() {
    let peer = program(json!({})).await;
    let deciders = deciders(&peer.url, |it| it.rules.connections = Some(verifier()));
    admitted(&deciders, connect(Some(token(r#"{"sub":"ada"}"#)))).await;
    assert_eq!(deciders.rules().bearers().0, 1);
    answer(&deciders, Question::Disconnected { who: ada(), why: None }).await.unwrap();
    assert_eq!(deciders.rules().bearers().0, 0);
    assert_eq!(deciders.drained(Duration::from_secs(20)).await, 0);
    assert_eq!(data(&peer)["client"]["user"], "ada");
    assert_eq!(deciders.told(), Told { disconnected: true, occupied: true });
}

#[tokio::test]
async fn what_was_revoked_and_who_came_is_known_to_those_that_take_the_place() {
    let old = Deciders::new(DecidersSettings::default(), &outgoing()).unwrap();
    let first = verifier();
    let with =
        |it: &Verifier| RulesSettings { connections: Some(it.clone()), ..RulesSettings::default() };
    let old = old.renewed(with(&first), true);
    let mut revoked = old.rules().revoked_sessions().unwrap();
    let claims = format!(r#"{{"sub":"ada","jti":"lost","exp":{}}}"#, now() + 60);
    admitted(&old, connect(Some(token(&claims)))).await;

    let settings = AuthSettings {
        keys: vec![KeySource::secret("another secret of at least 32 bytes"), secret_source()],
        ..AuthSettings::default()
    };
    let second = first.renewed(settings, &outgoing()).unwrap();
    let new = old.renewed(with(&second), true);
    assert_eq!(new.rules().bearers().0, 1, "who came stays known");
    second.revocations().revoke_token("lost", None, now()).unwrap();
    assert_eq!(revoked.next().await, [example_client().session]);
    let refusal = answer(&new, connect(Some(token(&claims)))).await.unwrap_err();
    assert!(refusal.text.contains("revoked"), "{refusal:?}");
    assert_eq!((first.counts().granted, second.counts().granted), (1, 1));

    let settings = AuthSettings { keys: vec![], ..AuthSettings::default() };
    let none = second.renewed(settings, &outgoing()).unwrap();
    let new = new.renewed(with(&none), true);
    assert!(answer(&new, connect(Some(token(r#"{"sub":"ada"}"#)))).await.is_err());
}

#[tokio::test]
async fn webhooks_that_are_exchanged_tell_what_they_had_to_tell() {
    let (first, second) = (program(json!({})).await, program(json!({})).await);
    let old = deciders(&first.url, |_| {});
    let channel = Channel::parse("a").unwrap();
    old.ask(Question::Occupied(channel.clone()));
    let settings = WebhookSettings { urls: WebhookUrls::all(&second.url), ..Default::default() };
    let new = old.clone().with_webhooks(settings, &outgoing()).unwrap();
    new.ask(Question::Occupied(channel.clone()));
    // A shard that has not heard of it yet.
    old.ask(Question::Vacated(channel));
    assert_eq!(new.drained(Duration::from_secs(20)).await, 0);
    assert_eq!((first.heard().len(), second.heard().len()), (2, 1));
    assert_eq!(new.webhooks().counts(Kind::Occupied).told, 2, "they count on");
}
