//! `Upgrade` behind a server of bare hyper.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use taiwa::{
    Client, CloseCode, Deadlines, Error, HandshakeRejection, Origin, Origins, Rejection, Sockets,
    Upgrade,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Notify, mpsc},
    time::sleep,
};

use super::{frame, handshake, rest, soon};

type Answer = Response<Full<Bytes>>;

/// Serves with hyper until the test ends; `answer` gets each request that is upgraded.
async fn serve<F>(sockets: Sockets, answer: F) -> SocketAddr
where
    F: Fn(Upgrade) -> Answer + Clone + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.expect("it accepts");
            let (sockets, answer) = (sockets.clone(), answer.clone());
            let service = service_fn(move |mut request: Request<Incoming>| {
                let response = match sockets.upgrade(&mut request) {
                    Ok(upgrade) => answer(upgrade),
                    Err(rejection) => rejection.response_over(request.version()).map(Full::from),
                };
                async move { Ok::<_, Infallible>(response) }
            });
            let http = http1::Builder::new().serve_connection(TokioIo::new(tcp), service);
            tokio::spawn(http.with_upgrades());
        }
    });
    addr
}

fn echo(upgrade: Upgrade) -> Answer {
    upgrade.on_upgrade(|mut socket| async move {
        while let Some(message) = socket.recv().await? {
            socket.send(message).await?;
        }
        Ok::<(), Error>(())
    })
}

/// Sockets whose errors can be heard.
fn heard() -> (Sockets, mpsc::UnboundedReceiver<String>) {
    let (tell, told) = mpsc::unbounded_channel();
    let sockets = Sockets::builder().on_error(move |_, error| {
        tell.send(error.to_string()).expect("the test listens");
    });
    (sockets.build(), told)
}

/// Its type is that of a closure which does not panic.
fn fail(why: &str) {
    panic!("{why}");
}

async fn connect(addr: SocketAddr) -> taiwa::WebSocket {
    soon(taiwa::connect(&format!("ws://{addr}/"))).await.expect("it connects")
}

#[tokio::test]
async fn frames_that_hyper_read_behind_the_request_are_kept() {
    let addr = serve(Sockets::default(), echo).await;
    let mut tcp = TcpStream::connect(addr).await.unwrap();
    let bytes = [handshake("").into_bytes(), frame(0x81, b"early"), frame(0x81, b"bird")].concat();
    tcp.write_all(&bytes).await.unwrap();
    let mut read = Vec::new();
    while !read.ends_with(b"\x81\x05early\x81\x04bird") {
        assert_ne!(soon(tcp.read_buf(&mut read)).await.unwrap(), 0, "{}", read.escape_ascii());
    }
    tcp.write_all(&frame(0x88, b"")).await.unwrap();
    assert_eq!(rest(&mut tcp).await, [0x88, 0]);
}

#[tokio::test]
async fn the_closure_sees_the_request_and_its_settings_count() {
    let (sockets, seen) = (Sockets::default(), Arc::new(Notify::new()));
    let notify = Arc::clone(&seen);
    let addr = serve(sockets.clone(), move |mut upgrade| {
        assert_eq!(
            (upgrade.uri().path(), &upgrade.headers()["x-a"]),
            ("/p", &"1".parse().unwrap())
        );
        upgrade.response_headers().insert("set-cookie", "a=b".parse().unwrap());
        let limits = taiwa::Limits { message_bytes_max: 4, ..taiwa::Limits::default() };
        let notify = Arc::clone(&notify);
        upgrade.subprotocol(["v2"]).limits(limits).on_upgrade(|mut socket| async move {
            assert!(socket.peer_addr().is_some(), "it is a TcpStream");
            let error = socket.recv().await.unwrap_err();
            assert!(matches!(error, Error::Fault(taiwa::Fault::MessageTooBig)), "{error:?}");
            notify.notify_one();
        })
    })
    .await;
    let client = Client::builder().header("x-a", "1").subprotocols(["v1", "v2"]).build().unwrap();
    let (mut socket, response) = soon(client.open(&format!("ws://{addr}/p"))).await.unwrap();
    assert_eq!(
        (socket.subprotocol(), &response.headers()["set-cookie"]),
        (Some("v2"), &"a=b".parse().unwrap())
    );
    assert_eq!(sockets.open(), 1);
    socket.send("12345").await.unwrap();
    assert_eq!(soon(socket.recv()).await.unwrap(), None);
    assert_eq!(socket.closed().unwrap().code, CloseCode::MESSAGE_TOO_BIG);
    soon(seen.notified()).await;
    soon(async {
        while sockets.open() > 0 {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_a_closure_leaves_is_closed_with_1000_or_1011() {
    for (path, code, text) in [
        ("drop", CloseCode::NORMAL, None),
        ("error", CloseCode::INTERNAL_ERROR, Some("secret")),
        ("panic", CloseCode::INTERNAL_ERROR, Some("panicked: ouch")),
        ("panic-early", CloseCode::INTERNAL_ERROR, Some("panicked: early")),
    ] {
        let (sockets, mut told) = heard();
        let addr = serve(sockets, |upgrade| match upgrade.uri().path() {
            "/drop" => upgrade.on_upgrade(|socket| async move { drop(socket) }),
            "/error" => upgrade.on_upgrade(|_socket| async move { Err::<(), _>("secret") }),
            "/panic" => upgrade.on_upgrade(|_socket| async move { fail("ouch") }),
            _ => upgrade.on_upgrade(|socket| {
                if socket.closed().is_none() {
                    panic!("early")
                }
                async move {}
            }),
        })
        .await;
        let mut socket = soon(taiwa::connect(&format!("ws://{addr}/{path}"))).await.unwrap();
        assert_eq!(soon(socket.recv()).await.unwrap(), None);
        let closed = socket.closed().unwrap();
        assert_eq!((closed.code, &closed.reason[..], closed.clean), (code, "", true), "{path}");
        if let Some(text) = text {
            assert_eq!(soon(told.recv()).await.as_deref(), Some(text));
        }
    }
}

#[tokio::test]
async fn the_socket_can_be_awaited_instead_of_given_to_a_closure() {
    let sockets = Sockets::default();
    let addr = serve(sockets.clone(), |upgrade| {
        let (response, handover) = upgrade.respond().expect("nobody shuts down");
        tokio::spawn(async move {
            let mut socket = handover.await.unwrap();
            let message = socket.recv().await.unwrap().unwrap();
            socket.send(message).await.unwrap();
        });
        response
    })
    .await;
    let mut socket = connect(addr).await;
    socket.send("x").await.unwrap();
    assert_eq!(soon(socket.recv()).await.unwrap(), Some("x".into()));
    assert_eq!(soon(socket.recv()).await.unwrap(), None);
    let closed = socket.closed().unwrap();
    assert_eq!((closed.code, closed.clean), (CloseCode::NORMAL, true));
    assert_eq!(soon(sockets.shut_down()).await, 0);
}

#[tokio::test]
async fn a_request_that_may_not_be_upgraded_gets_a_response_that_says_why() {
    let origins = Origins::default().allow(Origin::parse("https://app.example").unwrap());
    let sockets = Sockets::builder().origins(origins).build();
    let addr = serve(sockets, echo).await;
    for (request, status, body) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "426 ", "This is a WebSocket endpoint.\n"),
        (handshake("Origin: https://evil.example\r\n"), "403 ", "Origin not allowed.\n"),
        (handshake("Origin: https://app.example\r\n"), "101 ", ""),
        (handshake("").replace("13\r\n", "8\r\n"), "426 ", "Sec-WebSocket-Version must be 13.\n"),
        (
            handshake("").replace("HTTP/1.1", "HTTP/1.0"),
            "400 ",
            "A WebSocket is opened with HTTP/1.1.\n",
        ),
        (
            handshake("Content-Length: 2\r\n"),
            "400 ",
            "A WebSocket is opened with a request without a body.\n",
        ),
    ] {
        let (mut tcp, head) = super::request(addr, &request).await;
        assert!(head["HTTP/1.1 ".len()..].starts_with(status), "{request}{head}");
        if status != "101 " {
            let rest = [head.into_bytes(), rest(&mut tcp).await].concat();
            assert!(rest.ends_with(body.as_bytes()), "{}", rest.escape_ascii());
        }
    }
}

#[test]
fn other_versions_are_refused_clearly() {
    for (version, method, why) in [
        (Version::HTTP_10, "GET", HandshakeRejection::HttpVersion),
        (Version::HTTP_09, "GET", HandshakeRejection::HttpVersion),
        (Version::HTTP_2, "GET", HandshakeRejection::NotUpgrade),
        // A tunnel (RFC 9110 §9.3.6), which is no extended CONNECT without `:protocol`.
        (Version::HTTP_2, "CONNECT", HandshakeRejection::NotUpgrade),
        (Version::HTTP_3, "CONNECT", HandshakeRejection::NotUpgrade),
    ] {
        let request = Request::builder().method(method).version(version);
        let request = request.uri("https://a.example/").header("sec-websocket-version", "13");
        let mut request = request.body(()).unwrap();
        assert!(!Upgrade::is_requested_by(&request));
        let rejection = Upgrade::from_request(&mut request).unwrap_err();
        assert_eq!(rejection, Rejection::Request(why), "{version:?} {method}");
    }
}

#[test]
fn a_connection_that_nobody_gives_away_is_not_upgraded() {
    let mut request = Request::builder().uri("/");
    for line in handshake("").lines().skip(1).filter(|it| !it.is_empty()) {
        let (name, value) = line.split_once(": ").unwrap();
        request = request.header(name, value);
    }
    let mut request = request.body(()).unwrap();
    let sockets = Sockets::builder().sockets_max(1).build();
    // Its seat is given back each time.
    for _ in 0..3 {
        assert_eq!(sockets.upgrade(&mut request).unwrap_err(), Rejection::NotUpgradable);
    }
    assert_eq!(Rejection::NotUpgradable.status(), 500);
}

#[tokio::test]
async fn a_name_bound_to_this_machine_is_seen_once_the_transport_is_ours() {
    let (sockets, mut told) = heard();
    let addr = serve(sockets, |upgrade| {
        upgrade.on_upgrade(|_| async { fail("a page of evil.example is in") })
    })
    .await;
    // `Host` is a.example, too: the same host, by DNS that says 127.0.0.1.
    let mut tcp = TcpStream::connect(addr).await.unwrap();
    let close = [b"\x88\x14", &1008_u16.to_be_bytes()[..], b"origin not allowed"].concat();
    tcp.write_all(handshake("Origin: http://a.example\r\n").as_bytes()).await.unwrap();
    let mut read = Vec::new();
    while !read.ends_with(&close) {
        assert_ne!(soon(tcp.read_buf(&mut read)).await.unwrap(), 0, "{}", read.escape_ascii());
    }
    assert!(read.starts_with(b"HTTP/1.1 101 "), "{}", read.escape_ascii());
    tcp.write_all(&frame(0x88, &1008_u16.to_be_bytes())).await.unwrap();
    assert_eq!(rest(&mut tcp).await, b"");
    assert_eq!(soon(told.recv()).await.as_deref(), Some("the connection is closed (1008)"));
}

#[tokio::test]
async fn accept_and_reject_say_that_a_response_is_expected() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let addr = serve(Sockets::default(), move |upgrade| {
        let tell = tell.clone();
        tokio::spawn(async move {
            let error = match upgrade.uri().path() {
                "/accept" => upgrade.accept().await.err(),
                _ => upgrade.reject(403, "no").await.err(),
            };
            tell.send(error).unwrap();
        });
        Response::new(Full::from("another response"))
    })
    .await;
    for path in ["accept", "reject"] {
        let refused = soon(taiwa::connect(&format!("ws://{addr}/{path}"))).await;
        assert!(matches!(&refused, Err(Error::Refused(it)) if it.status() == 200), "{refused:?}");
        assert!(matches!(soon(told.recv()).await.unwrap(), Some(Error::ResponseExpected)));
    }
}

#[tokio::test]
async fn a_response_that_is_not_sent_is_told_and_gives_its_seat_back() {
    let (sockets, mut told) = heard();
    let addr = serve(sockets.clone(), |upgrade| {
        let lost: Response<()> = upgrade.on_upgrade(|_| async { fail("there is no socket") });
        drop(lost);
        Response::new(Full::from("another response"))
    })
    .await;
    let refused = soon(taiwa::connect(&format!("ws://{addr}/"))).await;
    assert!(matches!(&refused, Err(Error::Refused(it)) if it.status() == 200), "{refused:?}");
    assert!(soon(told.recv()).await.is_some());
    assert_eq!(soon(sockets.shut_down()).await, 0);
}

#[tokio::test]
async fn past_the_most_sockets_upgrades_get_503_until_there_is_room() {
    let sockets = Sockets::builder().sockets_max(1).build();
    let addr = serve(sockets, echo).await;
    let mut first = connect(addr).await;
    let second = soon(taiwa::connect(&format!("ws://{addr}/"))).await;
    let Err(Error::Refused(response)) = second else { panic!("{second:?}") };
    assert_eq!(
        (response.status().as_u16(), &response.headers()["retry-after"]),
        (503, &"5".parse().unwrap())
    );
    soon(first.close(CloseCode::NORMAL, "")).await.unwrap();
    soon(async {
        while taiwa::connect(&format!("ws://{addr}/")).await.is_err() {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn shutting_down_closes_each_socket_with_1001_and_waits_for_it() {
    let close = Some(Duration::from_millis(200));
    let sockets = Sockets::builder().deadlines(Deadlines { close, ..Deadlines::default() }).build();
    let (tell, mut told) = mpsc::unbounded_channel();
    let addr = serve(sockets.clone(), move |upgrade| {
        let (tell, path) = (tell.clone(), upgrade.uri().path().to_owned());
        upgrade.on_upgrade(move |mut socket| async move {
            match &path[..] {
                "/recv" => assert_eq!(socket.recv().await.unwrap(), None),
                "/away" => sleep(Duration::from_secs(1000)).await,
                _ => unreachable!(),
            }
            tell.send(path).unwrap();
        })
    })
    .await;
    let mut clients = Vec::new();
    for path in ["recv", "away", "recv"] {
        let mut socket = soon(taiwa::connect(&format!("ws://{addr}/{path}"))).await.unwrap();
        clients.push(tokio::spawn(async move {
            assert_eq!(socket.recv().await.unwrap(), None);
            let closed = socket.closed().unwrap();
            (closed.code, closed.clean)
        }));
    }
    assert_eq!(sockets.open(), 3);
    assert_eq!(soon(sockets.shut_down()).await, 0);
    for client in clients {
        assert_eq!(soon(client).await.unwrap(), (CloseCode::GOING_AWAY, true));
    }
    let mut returned = Vec::new();
    while let Ok(path) = told.try_recv() {
        returned.push(path);
    }
    // The one that slept never came back: it was dropped.
    assert_eq!(returned, ["/recv", "/recv"]);
    let refused = soon(taiwa::connect(&format!("ws://{addr}/recv"))).await;
    assert!(matches!(&refused, Err(Error::Refused(it)) if it.status() == 503), "{refused:?}");
}

#[tokio::test]
async fn a_peer_that_does_not_answer_holds_the_end_for_a_while_only() {
    let close = Some(Duration::from_millis(100));
    let sockets = Sockets::builder().deadlines(Deadlines { close, ..Deadlines::default() }).build();
    let addr = serve(sockets.clone(), echo).await;
    let (_silent, head) = super::request(addr, &handshake("")).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    soon(async {
        while sockets.open() == 0 {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let begun = std::time::Instant::now();
    assert_eq!(soon(sockets.shut_down()).await, 0);
    assert!(begun.elapsed() >= Duration::from_millis(100), "it waits for the answer");
}

#[tokio::test]
async fn an_upgrade_that_is_decided_after_the_end_gets_503() {
    let sockets = Sockets::default();
    let ending = sockets.clone();
    let addr = serve(sockets, move |upgrade| {
        let ending = ending.clone();
        tokio::spawn(async move { ending.shut_down().await });
        // The other task runs first on this one thread.
        std::thread::sleep(Duration::from_millis(1));
        upgrade.origins(&Origins::default()).unwrap().on_upgrade(|_| async {})
    })
    .await;
    let mut socket = match soon(taiwa::connect(&format!("ws://{addr}/"))).await {
        Ok(socket) => socket,
        Err(Error::Refused(response)) => return assert_eq!(response.status(), 503),
        Err(error) => panic!("{error:?}"),
    };
    // Decided before: then it is closed at once.
    assert_eq!(soon(socket.recv()).await.unwrap(), None);
    assert_eq!(socket.closed().unwrap().code, CloseCode::GOING_AWAY);
}
