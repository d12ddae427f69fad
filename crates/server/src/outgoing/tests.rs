//! What comes back, and what is said when nothing does.

use std::time::Instant;

use super::*;
use peer::{Peer, Reply, answer};

/// The most that a test waits; what it waits for comes much sooner.
const PATIENCE: Duration = Duration::from_secs(20);

const BOUNDS: Bounds = Bounds { deadline: PATIENCE, answer_bytes_max: 1000 };

fn plain() -> Outgoing {
    Outgoing::new(&Trust::Platform, &OutgoingLimits::default())
}

fn get(url: &str) -> Request<Bytes> {
    Request::get(parse_url(url).unwrap()).body(Bytes::new()).unwrap()
}

#[tokio::test]
async fn requests_one_after_the_other_use_one_connection() {
    let peer = Peer::start(|number, _| answer(200 + number as u16, "x: y\r\n", b"hello")).await;
    let outgoing = plain();
    for status in 200..203 {
        let request = Request::post(parse_url(&format!("{}/a?b=c", peer.url)).unwrap());
        let request = request.header("x-key", "k").body(Bytes::from_static(b"body")).unwrap();
        let came = outgoing.send(request, BOUNDS).await.unwrap();
        assert_eq!(came.status().as_u16(), status);
        assert_eq!(came.headers()["x"], "y");
        assert_eq!(came.body(), "hello");
    }
    assert_eq!(peer.connections(), 1);
    let heard = &peer.heard()[2];
    assert!(heard.head.starts_with("post /a?b=c http/1.1\r\n"), "{}", heard.head);
    let host = peer.url.strip_prefix("http://").unwrap();
    for field in [&format!("host: {host}"), "x-key: k", "content-length: 4"] {
        assert!(heard.head.contains(field), "{field} in {}", heard.head);
    }
    assert_eq!(heard.body, b"body");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_followed() {
    let peer = Peer::start(|_, _| answer(302, "location: /elsewhere\r\n", b"")).await;
    let came = plain().send(get(&peer.url), BOUNDS).await.unwrap();
    assert_eq!(came.status(), 302);
    assert_eq!(peer.heard().len(), 1);
}

#[tokio::test]
async fn a_body_may_be_as_long_as_its_bound_and_no_longer() {
    let chunked = |length: usize| {
        let body = "a".repeat(length);
        let text =
            format!("HTTP/1.1 200 -\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n{body}");
        Reply::Send(text.into_bytes().into_iter().chain(*b"\r\n0\r\n\r\n").collect())
    };
    let peer = Peer::start(move |number, _| match number {
        0 => answer(200, "", &[b'a'; 1000]),
        1 => answer(200, "", &[b'a'; 1001]),
        2 => chunked(1000),
        3 => chunked(1001),
        // Told by the head alone: the body never comes.
        _ => Reply::SendAndHang(b"HTTP/1.1 200 -\r\ncontent-length: 1001\r\n\r\n".to_vec()),
    })
    .await;
    let outgoing = plain();
    for fits in [true, false, true, false, false] {
        match outgoing.send(get(&peer.url), BOUNDS).await {
            Ok(came) => assert_eq!((came.body().len(), fits), (1000, true)),
            Err(failure) => assert_eq!((failure, fits), (Failure::TooLarge, false)),
        }
    }
}

#[tokio::test]
async fn a_deadline_bounds_the_head_and_the_body() {
    let peer = Peer::start(|number, _| match number {
        0 => Reply::SendAndHang(Vec::new()),
        _ => Reply::SendAndHang(b"HTTP/1.1 200 -\r\ncontent-length: 2\r\n\r\na".to_vec()),
    })
    .await;
    let outgoing = plain();
    let bounds = Bounds { deadline: Duration::from_millis(50), ..BOUNDS };
    for _ in 0..2 {
        let begun = Instant::now();
        let failure = outgoing.send(get(&peer.url), bounds).await.unwrap_err();
        assert_eq!((failure.clone(), failure.never_sent()), (Failure::Deadline, false));
        assert!(begun.elapsed() >= bounds.deadline && begun.elapsed() < PATIENCE);
    }
}

#[tokio::test]
async fn what_is_no_http_or_ends_early_is_broken() {
    let long = format!("HTTP/1.1 200 -\r\nx: {}\r\n\r\n", "a".repeat(4 * HEAD_BYTES_MAX));
    let many = format!("HTTP/1.1 200 -\r\n{}\r\n", "x: y\r\n".repeat(FIELDS_MAX + 1));
    let replies = [
        "".to_owned(),
        "SSH-2.0-OpenSSH\r\n\r\n".to_owned(),
        "HTTP/1.1 200 -\r\ncontent-length: 2\r\n\r\na".to_owned(),
        long,
        many,
    ];
    let count = replies.len();
    let peer = Peer::start(move |number, _| {
        Reply::SendAndClose(replies[number % count].clone().into_bytes())
    })
    .await;
    let outgoing = plain();
    for _ in 0..count {
        let failure = outgoing.send(get(&peer.url), BOUNDS).await.unwrap_err();
        assert!(matches!(failure, Failure::Broken(_)), "{failure:?}");
        assert!(!failure.never_sent());
    }
    assert_eq!(peer.heard().len(), count, "none is repeated that the peer saw");
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_sent() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/secret", listener.local_addr().unwrap());
    drop(listener);
    let failure = plain().send(get(&url), BOUNDS).await.unwrap_err();
    assert!(matches!(failure, Failure::Unreachable(_)), "{failure:?}");
    assert!(failure.never_sent());
    assert!(!failure.to_string().contains("secret"));
}

#[tokio::test]
async fn a_peer_that_is_silent_in_the_tls_handshake_is_unreachable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let connect_max = Duration::from_millis(50);
    let limits = OutgoingLimits { connect_max, ..OutgoingLimits::default() };
    let failure = Outgoing::new(&Trust::Platform, &limits).send(get(&url), BOUNDS).await;
    let failure = failure.unwrap_err();
    assert!(matches!(failure, Failure::Unreachable(_)), "{failure:?}");
}

#[tokio::test]
async fn only_a_certificate_of_a_believed_root_will_do() {
    let (peer, pem) = Peer::start_tls(|_, _| answer(200, "", b"hello")).await;
    let (_, other) = Peer::start_tls(|_, _| answer(200, "", b"")).await;
    let limits = OutgoingLimits::default();
    let believing = Outgoing::new(&Trust::from_pem(pem.as_bytes()).unwrap(), &limits);
    let came = believing.send(get(&peer.url), BOUNDS).await.unwrap();
    assert_eq!(came.body(), "hello");
    let named = peer.url.replace("127.0.0.1", "localhost");
    let failures = [
        believing.send(get(&named), BOUNDS).await,
        plain().send(get(&peer.url), BOUNDS).await,
        Outgoing::new(&Trust::from_pem(other.as_bytes()).unwrap(), &limits)
            .send(get(&peer.url), BOUNDS)
            .await,
    ];
    for failure in failures {
        let failure = failure.unwrap_err();
        assert!(failure.never_sent() && failure.to_string().contains("certificate"), "{failure}");
    }
    assert_eq!(peer.heard().len(), 1);
}

#[tokio::test]
async fn one_request_too_many_waits_for_its_turn() {
    let peer = Peer::start(|_, heard| match heard.head.contains("get /hang ") {
        true => Reply::SendAndHang(Vec::new()),
        false => answer(200, "", b""),
    })
    .await;
    let limits = OutgoingLimits { requests_max: 1, ..OutgoingLimits::default() };
    let outgoing = Outgoing::new(&Trust::Platform, &limits);
    let hanging = {
        let (outgoing, request) = (outgoing.clone(), get(&format!("{}/hang", peer.url)));
        tokio::spawn(async move { outgoing.send(request, BOUNDS).await })
    };
    let begun = Instant::now();
    while peer.heard().is_empty() {
        assert!(begun.elapsed() < PATIENCE);
        time::sleep(Duration::from_millis(1)).await;
    }
    let short = Bounds { deadline: Duration::from_millis(20), ..BOUNDS };
    let failure = outgoing.send(get(&peer.url), short).await.unwrap_err();
    assert_eq!((failure.clone(), failure.never_sent()), (Failure::Busy, true));
    hanging.abort();
    assert_eq!(outgoing.send(get(&peer.url), BOUNDS).await.unwrap().status(), 200);
}

#[test]
fn only_urls_of_http_with_a_host_will_do() {
    for good in ["http://a", "https://a.b:8443/c?d=e", "http://[::1]:1/", "HTTPS://a/"] {
        assert!(parse_url(good).is_ok(), "{good}");
    }
    let bad =
        ["", "/a", "a", "a:80", "ws://a", "file:///a", "http://", "http:///a", "http://u:p@a/"];
    for bad in bad {
        assert!(parse_url(bad).is_err(), "{bad}");
    }
}

#[test]
fn loopback_is_told_by_the_name_alone() {
    for (url, expected) in [
        ("http://localhost:1/", true),
        ("http://LocalHost/", true),
        ("http://127.8.9.1/", true),
        ("http://[::1]:80/", true),
        ("http://127.0.0.1.example/", false),
        ("http://localhost.example/", false),
        ("http://10.0.0.1/", false),
    ] {
        assert_eq!(is_loopback(&parse_url(url).unwrap()), expected, "{url}");
    }
}

#[test]
fn roots_are_read_from_pem() {
    assert!(Trust::from_pem(b"").is_err());
    let bad = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(Trust::from_pem(bad).is_err());
}
