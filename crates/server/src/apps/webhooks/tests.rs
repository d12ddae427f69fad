//! Webhooks against a program on loopback that answers as the test says.

use std::time::Duration;

use serde_json::{Value, json};
use taiwa_core::{
    About, Channel, Client, Connect, Disconnect, Payload, Publish, SessionId, Tags, User,
};

use super::*;
use crate::outgoing::{
    OutgoingLimits, Trust,
    peer::{Heard, Peer, Reply, answer},
};

const PAGE: &str = include_str!("../../../../../docs/webhooks.md");

/// Returns the JSON behind each comment of the documentation that begins so, with the rest of the comment.
pub(super) fn examples(kind: &str) -> Vec<(String, String)> {
    let mark = format!("<!-- {kind}");
    let parts = PAGE.split(&mark).skip(1);
    let found: Vec<_> = parts
        .map(|part| {
            let (name, rest) = part.split_once(" -->\n```json\n").expect("JSON behind the comment");
            let (json, _) = rest.split_once("\n```").expect("an end of the JSON");
            (name.trim_start_matches(": ").to_owned(), json.to_owned())
        })
        .collect();
    assert!(!found.is_empty(), "the documentation has examples of {kind}");
    found
}

fn outgoing() -> Outgoing {
    Outgoing::new(&Trust::Platform, &OutgoingLimits::default())
}

fn quick() -> WebhookLimits {
    let millisecond = Duration::from_millis(1);
    WebhookLimits { pause_min: millisecond, pause_max: millisecond, ..WebhookLimits::default() }
}

fn webhooks(url: &str, limits: WebhookLimits) -> Webhooks {
    let secret = SigningSecret::parse("a secret of thirty-two bytes or more").unwrap();
    let settings = WebhookSettings {
        urls: WebhookUrls::all(url),
        secrets: vec![secret],
        source: None,
        limits,
    };
    Webhooks::new(settings, &outgoing()).unwrap()
}

fn client() -> Arc<Client> {
    Arc::new(Client {
        session: SessionId(42),
        user: None,
        about: None,
        address: Some([192, 0, 2, 7].into()),
        dialect: "centrifuge",
    })
}

fn ada() -> Arc<Client> {
    let about = About::new(None, Some(r#"{"plan":"gold"}"#.into()));
    Arc::new(Client { user: Some(User::from("ada")), about, ..Client::clone(&client()) })
}

pub(super) fn question(kind: Kind) -> Question {
    let who = ada();
    let channel = Channel::parse("news:sport").unwrap();
    let score = || Payload::Json(r#"{ "goals": [1, 2] }"#.into());
    match kind {
        Kind::Connect => Question::Connect {
            who: client(),
            connect: Box::new(Connect {
                token: Some("what the client showed".into()),
                data: Some(Payload::Json(r#"{"room":"kitchen"}"#.into())),
                client: Some(("js".into(), "5.3.0".into())),
                ..Connect::default()
            }),
        },
        Kind::Refresh => {
            Question::Refresh { who, token: Some("a fresh one, if the client showed one".into()) }
        }
        Kind::Subscribe => Question::Subscribe {
            who,
            channel,
            token: Some("for the channel, if the client showed one".into()),
            data: Some(Payload::Text("please".into())),
        },
        Kind::Publish => Question::Publish {
            who,
            publish: Box::new(Publish {
                event: Some("score".into()),
                key: Some("match-1".into()),
                tags: Tags::new([("team".into(), "red".into())]),
                ..Publish::new(channel, score())
            }),
        },
        Kind::Call => {
            Question::Call { who, method: "add".into(), payload: Payload::Json("[1, 2]".into()) }
        }
        Kind::Tell => Question::Tell { who, payload: Payload::Binary(vec![0, 0xff, 0x80].into()) },
        Kind::Disconnect => Question::Disconnected {
            who,
            why: Some(Disconnect::App { code: 4001, reason: "banned".into(), may_return: false }),
        },
        Kind::Occupied => Question::Occupied(channel),
        Kind::Vacated => Question::Vacated(channel),
    }
}

fn numbered(number: usize) -> Question {
    Question::Occupied(Channel::parse(&format!("channel-{number}")).unwrap())
}

async fn ask(webhooks: &Webhooks, question: Question) -> Result<Answer, Refusal> {
    match webhooks.ask(question).expect("there is a URL") {
        Asked::Now(answer) => answer,
        Asked::Later(later) => {
            time::timeout(Duration::from_secs(20), later).await.expect("an answer in time")
        }
    }
}

async fn kind_of_no(webhooks: &Webhooks) -> RefusalKind {
    let refusal = ask(webhooks, question(Kind::Call)).await.unwrap_err();
    assert!(!refusal.text.contains("127.0.0.1"), "clients do not learn where the app is");
    refusal.kind
}

async fn all_told(webhooks: &Webhooks) {
    assert_eq!(webhooks.drained(Duration::from_secs(20)).await, 0, "something was not told");
}

/// Waits until something is so, for a limited time.
async fn until(what: impl Fn() -> bool) {
    for _ in 0..2000 {
        if what() {
            return;
        }
        time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it did not become so in time");
}

fn body(heard: &Heard) -> Value {
    serde_json::from_slice(&heard.body).unwrap()
}

fn field<'a>(heard: &'a Heard, name: &str) -> &'a str {
    let mut lines = heard.head.lines().filter_map(|it| it.split_once(": "));
    lines.find(|(it, _)| *it == name).expect("the field is there").1
}

fn ok() -> Reply {
    answer(200, "", br#"{"result":{}}"#)
}

#[test]
fn requests_are_those_of_the_documentation() {
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_772_366_400_250);
    let examples = examples("request");
    assert_eq!(examples.len(), Kind::ALL.len(), "each kind has an example");
    for (name, example) in examples {
        let kind = Kind::ALL.into_iter().find(|it| it.name() == name).expect("a kind");
        let id = "5f0c1d2e3b4a69780000000000000001".into();
        let letter = Letter { kind, id, at, question: question(kind) };
        let mut expected: Value = serde_json::from_str(&example).unwrap();
        for (name, value) in [
            ("specversion", "1.0"),
            ("source", "taiwa"),
            ("time", "2026-03-01T12:00:00.250Z"),
            ("datacontenttype", "application/json"),
        ] {
            expected[name] = value.into();
        }
        let written: Value = serde_json::from_slice(&letter.write("taiwa")).unwrap();
        assert_eq!(written, expected, "{name}");
        if kind == Kind::Occupied {
            let whole: Value = serde_json::from_str(&self::examples("whole request")[0].1).unwrap();
            assert_eq!(whole, written);
        }
    }
}

#[test]
fn a_link_with_a_name_and_a_list_of_arguments_are_told() {
    let Question::Publish { who, mut publish } = question(Kind::Publish) else { unreachable!() };
    let about = About::in_scope(who.about.clone(), Some("/chat".into()));
    let who = Arc::new(Client { about, ..Client::clone(&who) });
    (publish.is_list, publish.payload) = (true, Payload::Json("[1]".into()));
    let question = Question::Publish { who, publish };
    let (kind, id, at) = (Kind::Publish, "1".to_owned(), SystemTime::UNIX_EPOCH);
    let body = Letter { kind, id, at, question }.write("taiwa");
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        (&body["data"]["client"]["scope"], &body["data"]["is_list"]),
        (&"/chat".into(), &true.into())
    );
}

#[test]
fn no_time_of_a_clock_breaks_a_letter() {
    for (at, expected) in [
        (SystemTime::UNIX_EPOCH - Duration::from_secs(1), "1970-01-01T00:00:00.000Z"),
        (SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40), "9999-12-31T23:59:59.000Z"),
    ] {
        let letter = Letter { kind: Kind::Occupied, id: "1".into(), at, question: numbered(1) };
        let written: Value = serde_json::from_slice(&letter.write("taiwa")).unwrap();
        assert_eq!(written["time"], expected);
    }
}

#[tokio::test]
async fn every_question_and_event_reaches_the_program_signed() {
    let peer = Peer::start(|_, _| ok()).await;
    let webhooks = webhooks(&peer.url, quick());
    for kind in Kind::ALL {
        let answer = ask(&webhooks, question(kind)).await.unwrap();
        let fits = match kind {
            Kind::Connect | Kind::Refresh => matches!(answer, Answer::Admission(_)),
            Kind::Subscribe => matches!(answer, Answer::Authorization(_)),
            Kind::Publish => matches!(answer, Answer::Publish(_)),
            Kind::Call => matches!(answer, Answer::Payload(_)),
            _ => matches!(answer, Answer::Noted),
        };
        assert!(fits, "{kind:?}: {answer:?}");
    }
    all_told(&webhooks).await;
    let heard = peer.heard();
    let mut ids = Vec::new();
    for kind in Kind::ALL {
        let of_kind = |it: &&Heard| body(it)["type"] == kind.event_type();
        let heard = heard.iter().find(of_kind).expect("it was heard");
        assert!(heard.head.starts_with("post / http/1.1"), "{}", heard.head);
        assert_eq!(field(heard, "content-type"), ONE);
        assert_eq!(body(heard)["id"], field(heard, "webhook-id"));
        assert!(field(heard, "webhook-signature").starts_with("v1,"));
        let sent: u64 = field(heard, "webhook-timestamp").parse().unwrap();
        assert!(signature::timestamp(SystemTime::now()).abs_diff(sent) < 60);
        ids.push(field(heard, "webhook-id").to_owned());
        let counts = webhooks.counts(kind);
        let happened = if kind.is_question() { counts.answered } else { counts.told };
        assert_eq!(happened, 1, "{kind:?}");
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), Kind::ALL.len(), "no two have one identifier");
}

#[tokio::test]
async fn an_answer_that_does_not_count_is_a_refusal() {
    let large = format!(r#"{{"result":{{"payload":{{"text":"{}"}}}}}}"#, "x".repeat(10 << 20));
    let deep = "[".repeat(500_000);
    for (what, reply) in [
        ("500", answer(500, "", br#"{"result":{}}"#)),
        ("201", answer(201, "", br#"{"result":{}}"#)),
        ("a redirect", answer(302, "location: /elsewhere\r\n", b"")),
        ("no JSON", answer(200, "", b"<html>")),
        ("JSON that goes down for ever", answer(200, "", deep.as_bytes())),
        ("no UTF-8", answer(200, "", b"{\"result\":{\"payload\":{\"text\":\"\xff\"}}}")),
        ("nothing", answer(200, "", b"")),
        ("10 MB", answer(200, "", large.as_bytes())),
        ("no HTTP", Reply::SendAndClose(b"SSH-2.0-OpenSSH\r\n\r\n".to_vec())),
        ("an early end", Reply::SendAndClose(Vec::new())),
        ("half of an answer", Reply::SendAndClose(b"HTTP/1.1 200 -\r\ncontent-le".to_vec())),
    ] {
        let replies = std::sync::Mutex::new(Some(reply));
        let peer = Peer::start(move |_, _| replies.lock().unwrap().take().unwrap_or_else(ok)).await;
        let webhooks = webhooks(&peer.url, quick());
        assert_eq!(kind_of_no(&webhooks).await, RefusalKind::Unavailable, "{what}");
        assert_eq!(peer.heard().len(), 1, "{what}: what may have been seen is not asked again");
        assert_eq!(webhooks.counts(Kind::Call).failed, 1);
        let next = ask(&webhooks, question(Kind::Call)).await;
        assert!(next.is_ok(), "{what}: the next question has an answer: {next:?}");
    }
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_is_a_refusal() {
    for begun in ["", "HTTP/1.1 200 -\r\ncontent-length: 100\r\n\r\n{\"result\""] {
        let peer = Peer::start(move |_, _| Reply::SendAndHang(begun.as_bytes().to_vec())).await;
        let limits = WebhookLimits { deadline: Duration::from_millis(200), ..quick() };
        let webhooks = webhooks(&peer.url, limits);
        assert_eq!(kind_of_no(&webhooks).await, RefusalKind::Deadline);
        assert_eq!((peer.heard().len(), webhooks.counts(Kind::Call).late), (1, 1));
    }
}

#[tokio::test]
async fn a_question_without_a_connection_is_asked_once_more() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let limits = WebhookLimits { pause_min: Duration::from_secs(2), ..WebhookLimits::default() };
    let webhooks = webhooks(&format!("http://{free}"), limits);
    let program = async {
        // Behind the first attempt, and before the second, which comes after a second at least.
        time::sleep(Duration::from_millis(300)).await;
        let listener = tokio::net::TcpListener::bind(free).await.unwrap();
        let (mut tcp, _) = listener.accept().await.unwrap();
        tokio::io::AsyncReadExt::read_u8(&mut tcp).await.unwrap();
        let Reply::Send(bytes) = ok() else { unreachable!() };
        tokio::io::AsyncWriteExt::write_all(&mut tcp, &bytes).await.unwrap();
        tcp
    };
    let asked = ask(&webhooks, question(Kind::Call));
    // In this order it listens first, should a slow machine find both times over at once.
    let program = time::timeout(Duration::from_secs(20), program);
    let (_tcp, answer) = tokio::join!(program, asked);
    assert!(matches!(answer, Ok(Answer::Payload(_))), "{answer:?}");

    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let webhooks = self::webhooks(&format!("http://{gone}"), quick());
    assert_eq!(kind_of_no(&webhooks).await, RefusalKind::Unavailable, "not again and again");
}

#[tokio::test]
async fn too_many_questions_are_refused_at_once() {
    let peer = Peer::start(|_, _| Reply::SendAndHang(Vec::new())).await;
    let webhooks = webhooks(&peer.url, WebhookLimits { questions_max: 2, ..quick() });
    let first = webhooks.ask(question(Kind::Call)).unwrap();
    let _second = webhooks.ask(question(Kind::Connect)).unwrap();
    let Asked::Now(Err(refusal)) = webhooks.ask(question(Kind::Call)).unwrap() else {
        panic!("no room for a third")
    };
    assert_eq!(refusal.kind, RefusalKind::Unavailable);
    assert_eq!(webhooks.counts(Kind::Call).turned_away, 1);
    drop(first);
    assert!(matches!(webhooks.ask(question(Kind::Call)), Ok(Asked::Later(_))), "room again");
    let told = webhooks.ask(question(Kind::Occupied)).unwrap();
    assert!(matches!(told, Asked::Now(Ok(Answer::Noted))), "what is told needs no such place");
}

#[tokio::test]
async fn so_many_requests_and_no_more_are_at_one_url_at_once() {
    let peer = Peer::start(|_, _| Reply::SendAndHang(Vec::new())).await;
    let webhooks = webhooks(&peer.url, WebhookLimits { requests_max: 2, ..quick() });
    let asking: Vec<_> = (0..6)
        .map(|_| match webhooks.ask(question(Kind::Call)) {
            Ok(Asked::Later(later)) => tokio::spawn(later),
            _ => panic!("it is asked"),
        })
        .collect();
    until(|| peer.heard().len() == 2).await;
    time::sleep(Duration::from_millis(200)).await;
    assert_eq!((peer.heard().len(), peer.connections()), (2, 2), "the others wait");
    let given_up = asking.iter().position(|it| !it.is_finished()).unwrap();
    asking[given_up].abort();
    until(|| peer.heard().len() == 3).await;
    asking.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn events_are_told_again_in_order_until_they_are_taken() {
    let peer = Peer::start(|number, _| match number {
        0 => answer(500, "", b""),
        1 => answer(429, "", b""),
        2 => Reply::SendAndClose(Vec::new()),
        _ => answer(204, "", b""),
    })
    .await;
    let webhooks = webhooks(&peer.url, quick());
    for number in 0..3 {
        ask(&webhooks, numbered(number)).await.unwrap();
    }
    all_told(&webhooks).await;
    let heard = peer.heard();
    let channels: Vec<_> = heard.iter().map(|it| body(it)["data"]["channel"].clone()).collect();
    let [first, second, third] = ["channel-0", "channel-1", "channel-2"].map(Value::from);
    assert_eq!(channels, [&first, &first, &first, &first, &second, &third].map(Value::clone));
    let ids: Vec<_> = heard[..4].iter().map(|it| field(it, "webhook-id")).collect();
    assert!(ids.iter().all(|it| *it == ids[0]), "told again it is the same: {ids:?}");
    let counts = webhooks.counts(Kind::Occupied);
    assert_eq!((counts.told, counts.retries, counts.given_up), (3, 3, 0));
}

#[tokio::test]
async fn events_are_given_up_when_tried_often_enough_or_not_wanted() {
    for (status, attempts) in [(503, 3), (408, 3), (400, 1), (404, 1), (301, 1)] {
        let peer = Peer::start(move |_, _| answer(status, "", b"")).await;
        let webhooks = webhooks(&peer.url, WebhookLimits { retries_max: 2, ..quick() });
        ask(&webhooks, question(Kind::Vacated)).await.unwrap();
        all_told(&webhooks).await;
        assert_eq!(peer.heard().len(), attempts, "{status}");
        let counts = webhooks.counts(Kind::Vacated);
        let retries = attempts as u64 - 1;
        assert_eq!((counts.told, counts.retries, counts.given_up), (0, retries, 1), "{status}");
    }
}

#[tokio::test]
async fn a_full_queue_drops_the_oldest_and_counts_it() {
    for limits in [
        WebhookLimits { queue_max: 2, ..quick() },
        // Two of them, with their names of 9 bytes.
        WebhookLimits { queue_bytes_max: 2 * (512 + 9), ..quick() },
    ] {
        let peer = Peer::start(|_, _| ok()).await;
        let webhooks = webhooks(&peer.url, limits);
        for number in 0..6 {
            // What is told on this thread has no turn before the first wait.
            assert!(matches!(webhooks.ask(numbered(number)), Ok(Asked::Now(Ok(Answer::Noted)))));
        }
        assert_eq!((webhooks.waiting(), webhooks.counts(Kind::Occupied).dropped), (2, 4));
        all_told(&webhooks).await;
        let heard = peer.heard();
        let channels: Vec<_> = heard.iter().map(|it| body(it)["data"]["channel"].clone()).collect();
        assert_eq!(channels, ["channel-4", "channel-5"]);
    }
    // What alone is more than all of the room is dropped itself.
    let webhooks =
        webhooks("http://127.0.0.1:1", WebhookLimits { queue_bytes_max: 600, ..quick() });
    let payload = Payload::Text("x".repeat(100).into());
    ask(&webhooks, Question::Tell { who: client(), payload }).await.unwrap();
    assert_eq!((webhooks.waiting(), webhooks.counts(Kind::Tell).dropped), (0, 1));
}

#[tokio::test]
async fn batches_tell_several_at_once() {
    let peer = Peer::start(|_, _| ok()).await;
    let limits = WebhookLimits { batch_max: 3, ..quick() };
    let webhooks = webhooks(&peer.url, limits);
    for number in 0..4 {
        ask(&webhooks, numbered(number)).await.unwrap();
    }
    all_told(&webhooks).await;
    let heard = peer.heard();
    let of = |it: &Heard| -> Vec<Value> {
        body(it).as_array().unwrap().iter().map(|it| it["data"]["channel"].clone()).collect()
    };
    assert_eq!(
        heard.iter().map(of).collect::<Vec<_>>(),
        [
            vec![json!("channel-0"), json!("channel-1"), json!("channel-2")],
            vec![json!("channel-3")],
        ]
    );
    assert_eq!(field(&heard[0], "content-type"), letter::BATCH);
    assert_eq!(body(&heard[0])[0]["id"], field(&heard[0], "webhook-id"));
    assert_eq!(webhooks.counts(Kind::Occupied).told, 4);
}

#[tokio::test]
async fn what_has_no_url_is_given_back() {
    let settings = WebhookSettings {
        urls: WebhookUrls { call: Some("http://127.0.0.1:1/".into()), ..WebhookUrls::default() },
        ..WebhookSettings::default()
    };
    let webhooks = Webhooks::new(settings, &outgoing()).unwrap();
    for kind in Kind::ALL {
        assert_eq!(webhooks.ask(question(kind)).is_ok(), kind == Kind::Call, "{kind:?}");
        assert_eq!(webhooks.has(kind), kind == Kind::Call);
    }
}

#[tokio::test]
async fn waiting_for_the_queue_ends_with_the_deadline() {
    let peer = Peer::start(|_, _| Reply::SendAndHang(Vec::new())).await;
    let webhooks = webhooks(&peer.url, quick());
    ask(&webhooks, question(Kind::Occupied)).await.unwrap();
    assert_eq!(webhooks.drained(Duration::from_millis(100)).await, 1);
}

#[tokio::test]
async fn secrets_stay_unseen() {
    let url = "http://127.0.0.1:1/hook?key=topsecret";
    let settings = WebhookSettings {
        urls: WebhookUrls::all(url),
        secrets: vec![SigningSecret::parse("topsecret topsecret topsecret").unwrap()],
        ..WebhookSettings::default()
    };
    let webhooks = Webhooks::new(settings.clone(), &outgoing()).unwrap();
    let refusal = ask(&webhooks, question(Kind::Call)).await.unwrap_err();
    for text in [format!("{settings:?}"), format!("{webhooks:?}"), format!("{refusal:?}")] {
        assert!(!text.contains("topsecret") && !text.contains("127.0.0.1"), "{text}");
    }
    for wrong in ["http://me:topsecret@127.0.0.1/", "topsecret", "ftp://topsecret/", ""] {
        let urls = WebhookUrls { call: Some(wrong.into()), ..WebhookUrls::default() };
        let settings = WebhookSettings { urls, ..WebhookSettings::default() };
        let error = Webhooks::new(settings, &outgoing()).unwrap_err();
        assert!(error.to_string().starts_with("the webhook call: "), "{error}");
        assert!(!format!("{error} {error:?}").contains("topsecret"), "{error}");
    }
    for source in ["", "two words", "線"] {
        let settings =
            WebhookSettings { source: Some(source.into()), ..WebhookSettings::default() };
        assert_eq!(Webhooks::new(settings, &outgoing()).unwrap_err(), SettingsError::Source);
    }
}
