//! What the door says to those who may not come in, and to pages of others.

use http::{Method, StatusCode, header};
use taiwa::{Error, Origin, Origins};

use super::{Stage, Terms, read, soon};

/// Tries to open a WebSocket and returns the status it is refused with.
async fn refused(stage: &Stage, target: &str) -> u16 {
    match soon(taiwa::connect(&format!("ws://{}{target}", stage.addr))).await {
        Err(Error::Refused(response)) => response.status().as_u16(),
        other => panic!("{:?}", other.map(drop)),
    }
}

#[tokio::test]
async fn who_comes_to_the_wrong_door_is_told_so() {
    let stage = Stage::with(Terms { shards: 2, ..Terms::default() }).await;
    let address = stage.open("p", "").await;
    let forged = {
        let last = if address.ends_with('0') { "1" } else { "0" };
        format!("{}{last}", &address[..address.len() - 1])
    };
    for (target, status) in [
        ("/http/nobody", 410),
        ("/http/forbidden", 403),
        ("/http/rate", 429),
        ("/http?to=", 404),
        ("/http?to=0123", 404),
        (&format!("/http?to={forged}"), 404),
        // A conversation of another dialect.
        (&format!("/strangers?to={address}"), 404),
        ("/elsewhere", 405),
    ] {
        assert_eq!(stage.post(target, "reply 200").await.0, status, "{target}");
    }
    for (target, status) in [
        ("/elsewhere", 404),
        ("/http", 404),
        ("/join?to=0123", 404),
        (&format!("/join?to={forged}"), 404),
    ] {
        assert_eq!(refused(&stage, target).await, status, "{target}");
    }
    let response = stage.ask(stage.request(Method::POST, "/http/rate", "")).await;
    assert_eq!(response.headers()["retry-after"], "7");
    assert_eq!(read(response).await.1, "not so fast\n");
}

#[tokio::test]
async fn a_body_is_as_long_as_it_may_be() {
    let stage = Stage::new().await;
    let orders = |len: usize| format!("reply 200 ok;{}", " ".repeat(len - 13));
    assert_eq!(stage.post("/http", &orders(100_000)).await, (200, "ok".into()));
    assert_eq!(stage.post("/http", &orders(100_001)).await.0, 413);
    // Where nobody reads it, it has the same limit.
    assert_eq!(stage.post("/elsewhere", &orders(100_001)).await.0, 413);
    stage.is_empty().await;
}

#[tokio::test]
async fn methods_are_the_affair_of_the_dialect() {
    let mut stage = Stage::new().await;
    for method in [Method::HEAD, Method::OPTIONS, Method::DELETE, Method::PATCH] {
        let target = format!("/http?name={method}");
        let request = stage.request(method.clone(), &target, "reply 202 body");
        let (status, body) = read(stage.ask(request).await).await;
        let expected = if method == Method::HEAD { "" } else { "body" };
        assert_eq!((status, body.as_str()), (202, expected), "{method}");
        stage.hears(&format!("{method}: asked 0 {method}")).await;
    }
}

#[tokio::test]
async fn a_subprotocol_is_agreed_on_if_a_door_has_it() {
    let stage = Stage::new().await;
    for (offered, agreed) in [(&["other", "puppet"][..], Some("puppet")), (&["other"], None)] {
        let client =
            taiwa::Client::builder().subprotocols(offered.iter().copied()).build().unwrap();
        let (socket, _) = soon(client.open(&format!("ws://{}/ws", stage.addr))).await.unwrap();
        assert_eq!(socket.subprotocol(), agreed, "{offered:?}");
    }
}

#[tokio::test]
async fn a_dialect_adds_headers_to_the_handshake_with_which_a_conversation_begins() {
    let stage = Stage::new().await;
    let address = stage.open("p", "").await;
    let cookies = async |target: &str| {
        let client = taiwa::Client::builder().build().unwrap();
        let url = format!("ws://{}{target}", stage.addr);
        let (_socket, response) = soon(client.open(&url)).await.unwrap();
        assert!(!response.headers().contains_key("x-broken"), "what is no header is left out");
        let cookies = response.headers().get_all(header::SET_COOKIE).iter();
        cookies.map(|it| it.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(cookies("/ws?cookie=a%3D1&cookie=b%3D2").await, ["a=1", "b=2"]);
    assert!(cookies("/ws").await.is_empty());
    assert!(cookies(&format!("/join?cookie=a%3D1&to={address}")).await.is_empty());
}

/// Asks with headers, and returns the status and the `Access-Control` headers with their values.
async fn across(
    stage: &Stage,
    method: Method,
    headers: &[(&'static str, &str)],
) -> (StatusCode, Vec<String>) {
    let mut request = stage.request(method, "/http?name=p", "reply 200 ok");
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().expect("a value"));
    }
    let response = stage.ask(request).await;
    let allowed = response.headers().iter().filter_map(|(name, value)| {
        let name = name.as_str().strip_prefix("access-control-")?;
        Some(format!("{name}: {}", value.to_str().ok()?))
    });
    (response.status(), allowed.collect())
}

#[tokio::test]
async fn only_pages_that_may_reach_a_conversation_and_read_its_answers() {
    let listed = Origins::default().allow(Origin::parse("https://app.example").unwrap());
    let mut stage = Stage::with(Terms { origins: listed, ..Terms::default() }).await;
    let (host, mine) = (format!("{}", stage.addr), format!("http://{}", stage.addr));
    for (host, origin, passes) in [
        (host.as_str(), None, true),
        (&host, Some(mine.as_str()), true),
        (&host, Some("https://app.example"), true),
        (&host, Some("https://evil.example"), false),
        (&host, Some("null"), false),
        // A page had its own name resolve to this machine; to its own host it names no origin.
        ("evil.example", Some("http://evil.example"), false),
        ("evil.example", None, false),
        ("app.example", None, true),
    ] {
        let mut headers = vec![(header::HOST.as_str(), host)];
        headers.extend(origin.map(|it| ("origin", it)));
        let headers: Vec<(&'static str, &str)> = headers
            .iter()
            .map(|(name, value)| (if *name == "host" { "host" } else { "origin" }, *value))
            .collect();
        let (status, allowed) = across(&stage, Method::POST, &headers).await;
        match passes {
            true => {
                assert_eq!(status, StatusCode::OK, "{host} {origin:?}");
                stage.hears("p: asked 0 POST").await;
                let expected: Vec<String> = origin.map_or(vec![], |it| {
                    vec![format!("allow-origin: {it}"), "allow-credentials: true".into()]
                });
                assert_eq!(allowed, expected);
            }
            false => {
                assert_eq!((status, allowed), (StatusCode::FORBIDDEN, vec![]), "{host} {origin:?}");
                stage.has_not_heard("p: asked");
            }
        }
    }
}

#[tokio::test]
async fn a_browser_that_asks_first_is_answered_without_a_conversation() {
    let mut stage = Stage::new().await;
    let mine = format!("http://{}", stage.addr);
    let preflight = |origin| {
        [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "content-type, x-own"),
        ]
    };
    let (status, allowed) = across(&stage, Method::OPTIONS, &preflight(mine.as_str())).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert!(allowed.contains(&"allow-headers: content-type, x-own".into()), "{allowed:?}");
    assert!(allowed.iter().any(|it| it.starts_with("allow-methods: ") && it.contains("POST")));
    let refused = across(&stage, Method::OPTIONS, &preflight("https://evil.example")).await;
    assert_eq!(refused, (StatusCode::FORBIDDEN, vec![]));
    stage.has_not_heard("p: asked");
}
