//! What is told to requests and handshakes that reach no conversation: the words of the dialect, where it has some.

use std::time::Duration;

use http::{Method, header::ORIGIN};
use taiwa::Error;
use taiwa_server::Snapshot;

use super::{HostLimits, Stage, Terms, closed, read, said, soon};

/// What a WebSocket that stays outside is told.
async fn refused(stage: &Stage, target: &str) -> (u16, String) {
    match soon(taiwa::connect(&format!("ws://{}{target}", stage.addr))).await {
        Err(Error::Refused(response)) => {
            let body = String::from_utf8(response.body().to_vec()).expect("a text");
            (response.status().as_u16(), body)
        }
        other => panic!("{:?}", other.map(drop)),
    }
}

/// An address with another last digit.
fn forged(address: &str) -> String {
    let last = if address.ends_with('0') { "1" } else { "0" };
    format!("{}{last}", &address[..address.len() - 1])
}

#[tokio::test]
async fn whatever_keeps_a_request_from_its_conversation_is_told_in_the_words_of_the_dialect() {
    let mut limits = HostLimits::default();
    limits.exchanges_max = 2;
    let stage = Stage::with(Terms { shards: 2, limits, ..Terms::default() }).await;
    let address = stage.open("p", "").await;
    let dead = stage.open("q", "").await;
    assert_eq!(stage.post(&format!("/http?to={dead}"), "reply 204; end 1000 x").await.0, 204);
    let absent = "NotFound: there is no such conversation";
    for (query, text) in [
        ("to=", absent),
        ("to=0123", absent),
        (&format!("to={}", forged(&address)), absent),
        (&format!("to={dead}"), absent),
        ("nobody=", "NotFound: nobody is here"),
        ("forbidden=", "Forbidden: you may not"),
    ] {
        let target = format!("/worded?{query}");
        let told = (418, text.to_owned());
        assert_eq!(stage.post(&target, "reply 200").await, told, "{target}");
        assert_eq!(refused(&stage, &target).await, told, "{target}");
        // Where the dialect has no words for it, the server has.
        let target = format!("/http?{query}");
        let (status, body) = stage.post(&target, "reply 200").await;
        let (kind, text) = text.split_once(": ").unwrap();
        let expected = match (kind, query) {
            (_, "nobody=") => 410,
            ("Forbidden", _) => 403,
            _ => 404,
        };
        assert_eq!((status, body), (expected, format!("{text}\n")), "{target}");
    }
    // A conversation of another dialect.
    assert_eq!(stage.post(&format!("/strangers?to={address}"), "reply 200").await.0, 404);
    // One request too many at once.
    let waits = || async { stage.post(&format!("/http?to={address}"), "later").await.1 };
    let (a, b, ()) = tokio::join!(waits(), waits(), async {
        let target = format!("/worded?to={address}");
        let waits = |it: &Snapshot| it.rows.iter().any(|it| it.received == 3);
        soon(async {
            while !stage.running.control().look(1).await.iter().any(waits) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        let told = stage.post(&target, "reply 200").await;
        assert_eq!(told, (418, "Limit: too many requests at once".into()));
        let mut socket = stage.connect(&target).await;
        socket.send("answer 1 200 a; answer 2 200 a").await.unwrap();
    });
    assert_eq!((a.as_str(), b.as_str()), ("a", "a"));
}

#[tokio::test]
async fn one_conversation_too_many_of_an_address_is_told_in_the_words_of_the_dialect() {
    let stage = Stage::with(Terms { of_one_address: 1, ..Terms::default() }).await;
    let address = stage.open("p", "").await;
    let told = "too many connections from this address";
    assert_eq!(stage.post("/worded", "reply 200").await, (418, format!("Limit: {told}")));
    assert_eq!(refused(&stage, "/worded").await, (418, format!("Limit: {told}")));
    assert_eq!(stage.post("/http", "reply 200").await, (429, format!("{told}\n")));
    assert_eq!(refused(&stage, "/ws").await, (429, format!("{told}\n")));
    // The one that it may have goes on.
    assert_eq!(stage.post(&format!("/worded?to={address}"), "reply 200 on").await.1, "on");
}

#[tokio::test]
async fn pages_may_read_why_they_are_turned_away() {
    let stage = Stage::new().await;
    let mine = format!("http://{}", stage.addr);
    for target in ["/worded?to=0123", "/http?to=0123", "/worded?forbidden=", "/worded?nobody="] {
        let mut request = stage.request(Method::POST, target, "reply 200");
        request.headers_mut().insert(ORIGIN, mine.parse().unwrap());
        let response = stage.ask(request).await;
        assert_ne!(response.status(), 200);
        let headers = response.headers();
        assert_eq!(headers["access-control-allow-origin"], mine.as_str(), "{target}");
        assert_eq!(headers["access-control-allow-credentials"], "true", "{target}");
        assert_eq!(headers["cache-control"], "no-store", "{target}");
    }
}

#[tokio::test]
async fn who_may_begin_anew_does_so_where_the_conversation_is_not_there_any_more() {
    let mut stage = Stage::with(Terms { shards: 2, ..Terms::default() }).await;
    let address = stage.open("p", "").await;
    let target = format!("/http?name=n&to_or_new={address}");
    assert_eq!(stage.post(&target, "reply 200 known").await.1, "known");
    stage.hears("p: asked 1 POST").await;
    let mut socket = stage.connect(&format!("/worded?name=n&to_or_new={address}")).await;
    stage.hears("p: joined 2").await;
    socket.send("end 4000 done").await.unwrap();
    assert_eq!(closed(&mut socket).await.0, 4000);
    for address in [address.as_str(), "", "0123", &forged(&address)] {
        let target = format!("/http?name=n&to_or_new={address}");
        assert_eq!(stage.post(&target, "reply 200 new").await.1, "new", "{address}");
        stage.hears("n: asked 0 POST").await;
        let target = format!("/worded?name=n&to_or_new={address}");
        let mut socket = stage.connect(&target).await;
        stage.hears("n: joined 0").await;
        socket.send("send 0 new").await.unwrap();
        assert_eq!(said(&mut socket).await, "new");
    }
    // To begin anew may be refused as any beginning.
    let response = stage.post(&format!("/worded?forbidden=&to_or_new={address}"), "").await;
    assert_eq!(response, (418, "Forbidden: you may not".into()));
    stage.is_empty().await;
}

#[tokio::test]
async fn while_the_server_drains_who_would_begin_anew_is_sent_elsewhere() {
    let stage = Stage::new().await;
    let address = stage.open("p", "").await;
    let running = stage.running.clone();
    let drain = tokio::spawn(async move { running.drain(Duration::from_secs(20)).await });
    soon(async { while stage.post("/http", "reply 204").await.0 != 503 {} }).await;
    for target in [format!("/worded?to_or_new={}", forged(&address)), "/worded".into()] {
        let request = stage.request(Method::POST, &target, "reply 200");
        let response = stage.ask(request).await;
        assert!(response.headers().contains_key("retry-after"), "{target}");
        assert_eq!(read(response).await, (503, "the server goes away\n".into()), "{target}");
        assert_eq!(refused(&stage, &target).await.0, 503, "{target}");
    }
    drain.abort();
}
