//! Every way in which a request is refused, and in which words.

use std::time::Duration;

use http::Request;
use serde_json::json;
use taiwa_server::api::{Api, Key, KeyError, Limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    asking::{ask, refused, request, send, told},
    probe::{Client, KEY, SOON, listening, site},
};

fn said(status: u16, code: &str, field: &str) -> (u16, String, String) {
    (status, code.to_owned(), field.to_owned())
}

#[tokio::test]
async fn who_shows_no_key_or_a_wrong_one_gets_401_and_a_challenge() {
    let site = site(Limits::default());
    for header in [
        None,
        Some(("authorization", "Bearer open-sesam".to_owned())),
        Some(("authorization", "Bearer open-sesame2".to_owned())),
        Some(("authorization", "Bearer ".to_owned())),
        Some(("authorization", "Basic b3Blbi1zZXNhbWU=".to_owned())),
        Some(("authorization", KEY.to_owned())),
        Some(("x-api-key", String::new())),
        Some(("x-api-key", "x".repeat(600))),
    ] {
        for path in ["/api/v1/publish", "/api/v1/batch", "/api/v1/nothing", "/api/other"] {
            let mut request = Request::post(path).body("no JSON at all".into()).unwrap();
            if let Some((name, value)) = &header {
                request.headers_mut().insert(*name, value.parse().unwrap());
            }
            let answer = send(&site, request).await;
            assert_eq!(told(&answer), said(401, "unauthorized", ""), "{header:?} {path}");
            assert_eq!(answer.headers["www-authenticate"], "Bearer realm=\"taiwa\"");
        }
    }
}

#[tokio::test]
async fn a_key_may_do_what_it_allows() {
    let site = site(Limits::default());
    let forbidden = said(403, "forbidden", "");
    let publish = json!({ "channel": "news:a", "data": 1 }).to_string();
    assert_eq!(refused(&site, "publish", "key-of-reader", publish.clone()).await, forbidden);
    let read = request("history", "key-of-reader", r#"{"channel": "a"}"#);
    assert_eq!(send(&site, read).await.status, 200);
    assert_eq!(send(&site, request("publish", "key-of-news", publish.clone())).await.status, 200);
    for (command, body) in [
        ("publish", json!({ "channel": "other", "data": 1 })),
        ("broadcast", json!({ "channels": ["news:a", "other"], "data": 1 })),
        ("history", json!({ "channel": "new" })),
        ("channels", json!({})),
        ("channels", json!({ "prefix": "new" })),
        ("disconnect", json!({ "all": true })),
        ("info", json!({})),
        ("revoke", json!({ "user": "ada" })),
        ("call", json!({ "session": "0".repeat(32), "method": "m", "data": 1 })),
    ] {
        assert_eq!(
            refused(&site, command, "key-of-news", body.to_string()).await,
            forbidden,
            "{command}"
        );
    }
    let list = request("channels", "key-of-news", r#"{"prefix": "news:"}"#);
    assert_eq!(send(&site, list).await.status, 200);
    for (command, body, status) in [
        ("tell", json!({ "in_channel": "news:a", "data": 1 }), 200),
        ("tell", json!({ "in_channel": "a", "data": 1 }), 403),
        ("call_all", json!({ "in_channel": "news:a", "method": "m", "data": 1 }), 200),
        ("subscribe", json!({ "in_channel": "news:a", "channel": "news:b" }), 200),
        ("subscribe", json!({ "in_channel": "a", "channel": "news:b" }), 403),
        ("disconnect", json!({ "in_channel": "news:a" }), 403),
        ("sessions", json!({ "in_channel": "news:a" }), 403),
    ] {
        let answer = send(&site, request(command, "key-of-news", body.to_string())).await;
        assert_eq!(answer.status, status, "{command} {body}");
    }
    let tell = request("tell", "key-of-both", r#"{"user": "ada", "text": "hi"}"#);
    assert_eq!(send(&site, tell).await.status, 200, "it is named, though it is about no channel");
    assert_eq!(refused(&site, "disconnect", "key-of-both", r#"{"all": true}"#).await, forbidden);
}

#[tokio::test]
async fn what_is_no_json_is_400_and_what_is_not_said_to_be_json_415() {
    let site = site(Limits::default());
    for body in ["", "{", "[1,", "{\"channel\": \"a\", \"data\": 1} x", "\u{1}"] {
        let (status, code, _) = refused(&site, "publish", KEY, body).await;
        assert_eq!((status, &*code), (400, "malformed"), "{body:?}");
    }
    let bytes = b"{\"channel\": \"\xff\", \"data\": 1}".to_vec();
    assert_eq!(refused(&site, "publish", KEY, bytes).await.0, 400);
    for (name, value) in [
        ("content-type", "text/plain"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("content-encoding", "gzip"),
    ] {
        let mut request = request("info", KEY, "{}");
        request.headers_mut().insert(name, value.parse().unwrap());
        let (status, code, field) = told(&send(&site, request).await);
        assert_eq!((status, &*code), (415, "unsupported_media_type"));
        assert_eq!(field.to_lowercase(), name);
    }
}

#[tokio::test]
async fn a_wrong_field_is_named() {
    let site = site(Limits::default());
    let long = "x".repeat(257);
    let tags = (0..17).map(|it| (it.to_string(), json!("x"))).collect::<serde_json::Map<_, _>>();
    for (command, body, field) in [
        ("publish", json!({ "data": 1 }), ""),
        ("publish", json!([]), ""),
        ("publish", json!({ "channel": "", "data": 1 }), "channel"),
        ("publish", json!({ "channel": "a\nb", "data": 1 }), "channel"),
        ("publish", json!({ "channel": 7, "data": 1 }), "channel"),
        ("publish", json!({ "channel": "a" }), "data"),
        ("publish", json!({ "channel": "a", "data": 1, "text": "" }), "data"),
        ("publish", json!({ "channel": "a", "base64": "%" }), "base64"),
        ("publish", json!({ "channel": "a", "data": 1, "chanel": "b" }), "chanel"),
        ("publish", json!({ "channel": "a", "data": 1, "tags": { "k": 1 } }), "tags.k"),
        ("publish", json!({ "channel": "a", "data": 1, "tags": { "k": long } }), "tags.k"),
        ("publish", json!({ "channel": "a", "data": 1, "tags": tags }), "tags"),
        ("publish", json!({ "channel": "a", "data": 1, "id": long }), "id"),
        ("publish", json!({ "channel": "a", "data": 1, "key": long }), "key"),
        ("publish", json!({ "channel": "a", "data": 1, "event": long }), "event"),
        ("publish", json!({ "channel": "a", "data": 1, "except": ["0", "x"] }), "except[0]"),
        ("publish", json!({ "channel": "a", "data": 1, "receipt": "yes" }), "receipt"),
        ("publish", json!({ "channel": "a", "data": 1, "text": null }), "text"),
        ("history", json!({ "channel": "a", "limit": 1.5 }), "limit"),
        ("history", json!({ "channel": "a", "limit": 1_u64 << 32 }), "limit"),
        (
            "history",
            json!({ "channel": "a", "since": { "epoch": "1", "offset": 1_u64 << 53 } }),
            "since.offset",
        ),
        ("tell", json!({ "all": true, "user": null, "data": 1 }), "user"),
        ("broadcast", json!({ "channels": [], "data": 1 }), "channels"),
        ("broadcast", json!({ "channels": ["a", ""], "data": 1 }), "channels[1]"),
        ("history", json!({ "channel": "a", "limit": -1 }), "limit"),
        ("history", json!({ "channel": "a", "since": { "offset": 1 } }), "since"),
        (
            "history",
            json!({ "channel": "a", "since": { "epoch": "+1", "offset": 1 } }),
            "since.epoch",
        ),
        ("channels", json!({ "limit": 0 }), "limit"),
        ("sessions", json!({ "limit": 10_001 }), "limit"),
        ("subscribe", json!({ "channel": "a" }), "session"),
        ("subscribe", json!({ "channel": "a", "user": "a", "all": true }), "session"),
        ("subscribe", json!({ "channel": "a", "all": false }), "all"),
        (
            "subscribe",
            json!({ "channel": "a", "all": true, "expires_after_s": u64::MAX }),
            "expires_after_s",
        ),
        ("unsubscribe", json!({ "all": true }), ""),
        ("disconnect", json!({ "all": true, "code": 1000 }), "code"),
        ("disconnect", json!({ "all": true, "code": 5000 }), "code"),
        ("disconnect", json!({ "all": true, "reason": "x".repeat(124) }), "reason"),
        ("disconnect", json!({ "session": "0123" }), "session"),
        ("refresh", json!({ "all": true, "expires_after_s": 315_360_001 }), "expires_after_s"),
        ("call", json!({ "session": "0".repeat(32), "method": long, "data": 1 }), "method"),
        (
            "call",
            json!({ "session": "0".repeat(32), "method": "m", "data": 1, "deadline_ms": 0 }),
            "deadline_ms",
        ),
        ("tell", json!({ "data": 1 }), "session"),
        ("tell", json!({ "all": true }), "data"),
        ("info", json!({ "verbose": true }), "verbose"),
    ] {
        let answer = refused(&site, command, KEY, body.to_string()).await;
        assert_eq!(answer, said(422, "invalid", field), "{command} {body}");
    }
}

#[tokio::test]
async fn a_wrong_field_of_links_lists_and_attachments_is_named() {
    let site = site(Limits::default());
    let long = "x".repeat(257);
    let session = |link: &str| format!("{}.{link}", "0".repeat(32));
    let many: Vec<_> = (0..65).map(|it| it.to_string()).collect();
    for (command, body, field) in [
        ("sessions", json!([null, 5]), ""),
        ("tell", json!({ "all": true, "data": 1, "event": long }), "event"),
        ("tell", json!({ "all": true, "data": 1, "scope": long }), "scope"),
        ("tell", json!({ "all": true, "in_channel": "a", "data": 1 }), "session"),
        ("tell", json!({ "session": session("x"), "data": 1 }), "session"),
        ("tell", json!({ "session": session("10000"), "data": 1 }), "session"),
        ("call_all", json!({ "method": "m", "data": 1 }), "session"),
        (
            "call_all",
            json!({ "all": true, "method": "m", "data": 1, "deadline_ms": 0 }),
            "deadline_ms",
        ),
        ("publish", json!({ "channel": "a", "args": 1 }), "args"),
        ("publish", json!({ "channel": "a", "args": [1], "data": 1 }), "args"),
        (
            "publish",
            json!({ "channel": "a", "data": 1, "except_channels": many }),
            "except_channels",
        ),
        (
            "broadcast",
            json!({ "channels": many, "data": 1, "once_each": true, "except_channels": ["x"] }),
            "channels",
        ),
    ] {
        let answer = refused(&site, command, KEY, body.to_string()).await;
        assert_eq!(answer, said(422, "invalid", field), "{command} {body}");
    }
}

#[tokio::test]
async fn what_is_to_be_revoked_is_said_in_one_way() {
    let site = site(Limits::default());
    for (body, field) in [
        (json!({}), "user"),
        (json!({ "user": "ada", "token_id": "1" }), "user"),
        (json!({ "user": "" }), "user"),
        (json!({ "token_id": "" }), "token_id"),
        (json!({ "token_id": "1", "issued_before": 1 }), "issued_before"),
        (json!({ "token_id": "1", "until": -1 }), "until"),
    ] {
        let answer = refused(&site, "revoke", KEY, body.to_string()).await;
        assert_eq!(answer, said(422, "invalid", field), "{body}");
    }
    let answer = refused(&site, "revoke", KEY, r#"{"user": "ada"}"#).await;
    assert_eq!(answer, said(409, "not_available", ""), "there are no tokens here");
}

#[tokio::test]
async fn an_idempotency_key_stands_where_it_means_something() {
    let site = site(Limits::default());
    let publish = r#"{"channel": "a", "data": 1, "id": "other"}"#;
    for (command, body, value, field) in [
        ("publish", publish, "", "Idempotency-Key"),
        ("publish", publish, "\"\"", "Idempotency-Key"),
        ("info", "{}", "x", "Idempotency-Key"),
        ("batch", r#"{"commands": []}"#, "x", "Idempotency-Key"),
    ] {
        let mut request = request(command, KEY, body);
        request.headers_mut().insert("idempotency-key", value.parse().unwrap());
        assert_eq!(
            told(&send(&site, request).await),
            said(422, "invalid", field),
            "{command} {value}"
        );
    }
}

#[tokio::test]
async fn other_paths_and_methods_are_404_and_405() {
    let site = site(Limits::default());
    for path in ["/api/v1/publsh", "/api/v1/", "/api/v1", "/api/", "/api/v2/publish"] {
        let request = Request::post(path).header("x-api-key", KEY).body("{}".into()).unwrap();
        assert_eq!(told(&send(&site, request).await), said(404, "not_found", ""), "{path}");
    }
    for (method, path, allow) in [
        ("GET", "/api/v1/publish", "POST"),
        ("OPTIONS", "/api/v1/publish", "POST"),
        ("PUT", "/api/v1/batch", "POST"),
        ("POST", "/api/v1/openapi.json", "GET, HEAD"),
    ] {
        let request = Request::builder().method(method).uri(path).body("".into()).unwrap();
        let answer = send(&site, request).await;
        assert_eq!(told(&answer), said(405, "method_not_allowed", ""), "{method} {path}");
        assert_eq!(answer.headers["allow"], allow);
    }
}

#[tokio::test]
async fn what_the_hub_refuses_has_a_status_of_its_kind() {
    let site = site(Limits::default());
    let address = listening(&site).await;
    let ada = Client::connect(&address, "user=ada").await;
    ask(&site, "publish", json!({ "channel": "news:a", "data": 1 })).await;
    let call = |method: &str| json!({ "session": ada.session, "method": method, "data": 1, "deadline_ms": 50 });
    let other_epoch = json!({ "epoch": "1", "offset": 0 });
    for (command, body, status, code) in [
        ("publish", json!({ "channel": "nowhere:a", "data": 1 }), 404, "not_found"),
        ("call", json!({ "session": "0".repeat(32), "method": "m", "data": 1 }), 404, "not_found"),
        ("call", json!({ "session": "f".repeat(32), "method": "m", "data": 1 }), 404, "not_found"),
        ("history", json!({ "channel": "bare:a" }), 409, "not_available"),
        ("presence", json!({ "channel": "bare:a" }), 409, "not_available"),
        ("presence_stats", json!({ "channel": "bare:a" }), 409, "not_available"),
        ("history", json!({ "channel": "news:a", "since": other_epoch }), 409, "unrecoverable"),
        ("call", call("no"), 409, "refused"),
        ("call", call("silent"), 504, "deadline"),
    ] {
        let answer = refused(&site, command, KEY, body.to_string()).await;
        assert_eq!(answer, said(status, code, ""), "{command} {body}");
    }
    let no = send(&site, request("call", KEY, call("no").to_string())).await;
    let error = &no.body["error"];
    assert_eq!((&error["app_code"], &error["details"]["until"]), (&json!(77), &json!("tomorrow")));
    assert_eq!((&error["message"], &error["temporary"]), (&json!("not today"), &json!(false)));
}

#[tokio::test]
async fn too_fast_is_429_and_says_when_to_come_back() {
    let site = site(Limits::default());
    let address = listening(&site).await;
    // Without a subscriber and a history nothing is remembered of the channel.
    let _ada = Client::connect(&address, "channel=bare:a").await;
    let body = json!({ "channel": "bare:a", "data": 1 });
    ask(&site, "publish", body.clone()).await;
    let answer = send(&site, request("publish", KEY, body.to_string())).await;
    assert_eq!(told(&answer), said(429, "rate", ""));
    let after = answer.body["error"]["retry_after_ms"].as_u64().unwrap();
    assert!((1..=1000).contains(&after), "{after}");
    assert_eq!(
        (&answer.headers["retry-after"], &answer.body["error"]["temporary"]),
        (&"1".parse().unwrap(), &json!(true))
    );
}

#[tokio::test]
async fn what_is_too_large_is_413() {
    let limits = Limits::default().with(|it| {
        it.body_bytes_max = 1000;
        it.payload_bytes_max = 10;
        it.batch_max = 2;
        it.broadcast_max = 2;
    });
    let site = site(limits);
    let text = "x".repeat(11);
    for (command, body, field) in [
        ("publish", json!({ "channel": "a", "text": "x".repeat(1000) }), ""),
        ("publish", json!({ "channel": "a", "text": text }), "text"),
        ("publish", json!({ "channel": "a", "data": text }), "data"),
        ("tell", json!({ "all": true, "base64": "AAAAAAAAAAAAAAAA" }), "base64"),
        ("broadcast", json!({ "channels": ["a", "b", "c"], "data": 1 }), "channels"),
        (
            "batch",
            json!({ "commands": [{ "info": {} }, { "info": {} }, { "info": {} }] }),
            "commands",
        ),
    ] {
        let answer = refused(&site, command, KEY, body.to_string()).await;
        assert_eq!(answer, said(413, "too_large", field), "{command}");
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_is_408_and_one_that_breaks_off_harms_nobody() {
    let limits = Limits::default().with(|it| it.body_deadline = Duration::from_millis(100));
    let site = site(limits);
    let address = listening(&site).await;
    let head = format!(
        "POST /api/v1/info HTTP/1.1\r\nHost: a\r\nX-API-Key: {KEY}\r\nContent-Type: application/json\r\n\
         Content-Length: 2\r\n\r\n{{"
    );
    let mut tcp = tokio::net::TcpStream::connect(&address).await.unwrap();
    tcp.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    tokio::time::timeout(SOON, tcp.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(answer, b"HTTP/1.1 408");
    drop(tcp);
    let mut tcp = tokio::net::TcpStream::connect(&address).await.unwrap();
    tcp.write_all(head.as_bytes()).await.unwrap();
    drop(tcp);
    ask(&site, "info", json!({})).await;
}

#[tokio::test]
async fn more_requests_at_once_than_allowed_are_503() {
    let site = site(Limits::default().with(|it| it.requests_max = 1));
    let address = listening(&site).await;
    let ada = Client::connect(&address, "").await;
    let call = json!({ "session": ada.session, "method": "silent", "data": 1, "deadline_ms": 500 });
    let first = tokio::spawn({
        let site = site.clone();
        async move {
            // The others below may be in its way.
            loop {
                let answer = send(&site, request("call", KEY, call.to_string())).await;
                if answer.status != 503 {
                    break told(&answer);
                }
                tokio::task::yield_now().await;
            }
        }
    });
    let until = tokio::time::Instant::now() + SOON;
    loop {
        let answer = send(&site, request("info", KEY, "{}")).await;
        if answer.status == 503 {
            assert_eq!(told(&answer), said(503, "unavailable", ""));
            assert_eq!(answer.headers["retry-after"], "1");
            break;
        }
        assert!(tokio::time::Instant::now() < until, "the first request never began");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(first.await.unwrap(), said(504, "deadline", ""));
    ask(&site, "info", json!({})).await;
}

#[tokio::test]
async fn a_server_that_has_ended_is_503() {
    let site = site(Limits::default());
    site.shut_down(Duration::from_secs(1)).await.unwrap();
    let answer = refused(&site, "publish", KEY, r#"{"channel": "a", "data": 1}"#).await;
    assert_eq!(answer, said(503, "unavailable", ""));
}

#[test]
fn nothing_but_visible_characters_is_a_key_and_none_is_shown() {
    for secret in ["", "a b", "ключ", "a\n", &"x".repeat(513)] {
        assert_eq!(Key::new("k", secret).unwrap_err(), KeyError::Text, "{secret:?}");
    }
    let key = Key::new("backend", "open-sesame").unwrap();
    assert_eq!(key.clone().commands([]).unwrap_err(), KeyError::Nothing);
    assert_eq!(key.clone().channels([]).unwrap_err(), KeyError::Nothing);
    assert_eq!(key.clone().commands(["publsh"]).unwrap_err(), KeyError::Command("publsh".into()));
    let shown = format!("{:?} {:?}", key, Api::new(vec![key.clone()], Limits::default()));
    assert!(shown.contains("backend") && !shown.contains("sesame") && !shown.contains("digest"));
}

#[test]
fn a_path_is_plain() {
    for (path, sound) in [
        ("", true),
        ("/api", true),
        ("/a/b-c.d_e~1", true),
        ("api", false),
        ("/", false),
        ("/api/", false),
        ("/{x}", false),
        ("/a//b", false),
        ("/*a", false),
    ] {
        let api = Api::new(vec![], Limits::default()).path(path);
        assert_eq!(api.is_ok(), sound, "{path:?}");
    }
}
