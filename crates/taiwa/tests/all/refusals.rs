//! Opening handshakes that are refused, by either side.

use bytes::Bytes;
use taiwa::{
    Client, CloseCode, Deadlines, Deflate, Error, HandshakeFault, Origin, Origins, Upgrade,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::Duration,
};

use super::{bind, echo, handshake, request, rest, run, soon};

#[tokio::test]
async fn a_refusal_tells_status_headers_and_body() {
    let (server, addr) = bind().await;
    run(server.serve(|upgrade: Upgrade| async move {
        tokio::task::yield_now().await;
        match upgrade.uri().path() {
            "/401" => upgrade.reject(401, "token please").await,
            "/odd" => upgrade.reject(42, "").await,
            "/302" => {
                let response = http::Response::builder().status(302).header("location", "/new");
                upgrade.reject_with(response.body(Bytes::new()).unwrap()).await
            }
            _ => Ok::<(), Error>(()),
        }
    }));
    let refused = |path: &'static str| async move {
        match soon(taiwa::connect(&format!("ws://{addr}{path}"))).await {
            Err(Error::Refused(response)) => *response,
            other => panic!("{other:?}"),
        }
    };
    let response = refused("/401").await;
    assert_eq!((response.status().as_u16(), &response.body()[..]), (401, &b"token please"[..]));
    assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(refused("/odd").await.status(), 500);
    assert_eq!(refused("/302").await.headers()["location"], "/new");
    assert_eq!(refused("/dropped").await.status(), 500);
}

#[tokio::test]
async fn pages_of_other_hosts_are_refused_unless_allowed() {
    let (server, addr) = bind().await;
    run(server.serve(echo));
    let (lenient, lenient_addr) = bind().await;
    let friend = Origin::parse("https://friend.example").unwrap();
    run(lenient.origins(Origins::SameHost.allow(friend)).serve(echo));
    for (addr, origin, status) in [
        (addr, "http://a.example\r\nX-Forwarded-For: 192.0.2.1", 101),
        (addr, "http://a.example", 403), // no name of this machine, and no proxy in between
        (addr, "http://evil.example", 403),
        (addr, "null", 403),
        (addr, "https://friend.example", 403),
        (lenient_addr, "https://friend.example", 101),
        (lenient_addr, "https://evil.example", 403),
    ] {
        let (_, head) = request(addr, &handshake(&format!("Origin: {origin}\r\n"))).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{origin}: {head}");
    }
}

#[tokio::test]
async fn a_bad_handshake_is_refused_and_the_connection_closed() {
    let (server, addr) = bind().await;
    run(server.serve(echo));
    let good = handshake("");
    for (bad, status) in [
        (good.replace("Version: 13", "Version: 8"), 426),
        (good.replace("==", ""), 400),
        (handshake("Content-Length: 5\r\n"), 400),
        (handshake("Transfer-Encoding: chunked\r\n"), 400),
        (good.replace("GET", "POST"), 405),
        ("nonsense\r\n\r\n".to_owned(), 400),
        (handshake(&format!("X: {}\r\n", "x".repeat(150_000))), 431),
        (handshake(&"X: y\r\n".repeat(100)), 431),
    ] {
        let (mut tcp, head) = request(addr, &bad).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {head}");
        assert!(head.to_lowercase().contains("connection: "), "{head}");
        rest(&mut tcp).await;
    }
}

#[tokio::test]
async fn a_client_that_sends_no_request_gets_408() {
    let (server, addr) = bind().await;
    let handshake = Some(Duration::from_millis(200));
    run(server.deadlines(Deadlines { handshake, ..Deadlines::default() }).serve(echo));
    let (mut tcp, head) = request(addr, "GET / HTTP/1.1\r\nHost: a").await;
    assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
    rest(&mut tcp).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_is_late() {
    let (near, mut far) = tokio::io::duplex(1024);
    let client = Client::builder().build().unwrap();
    let begun = tokio::time::Instant::now();
    let opened = client.connect_over(near, "ws://a.example/").await;
    assert!(matches!(opened, Err(Error::Late(taiwa::Deadline::Handshake))));
    assert_eq!(begun.elapsed().as_secs(), 10);
    let mut request = String::new();
    far.read_to_string(&mut request).await.unwrap();
    assert!(request.starts_with("GET / HTTP/1.1\r\n"), "{request}");
}

/// Lets a client connect to a server that answers every request with `response`.
async fn connect_to(response: String) -> Result<taiwa::WebSocket, Error> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut read = [0; 4096];
        assert!(tcp.read(&mut read).await.unwrap() > 0);
        tcp.write_all(response.as_bytes()).await.unwrap();
        tcp.shutdown().await.unwrap();
        let _ = tcp.read_to_end(&mut Vec::new()).await;
    });
    soon(taiwa::connect(&format!("ws://{addr}/"))).await
}

#[tokio::test]
async fn what_a_server_answers_wrongly_is_told_apart() {
    let upgrade = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n";
    assert!(matches!(connect_to(upgrade.into()).await, Err(Error::Handshake(_))));
    assert!(matches!(connect_to("SSH-2.0-x\r\n\r\n".into()).await, Err(Error::Http(_))));
    assert!(matches!(connect_to(String::new()).await, Err(Error::Io(_))));
    let endless = format!("HTTP/1.1 200 OK\r\nX: {}\r\n", "x".repeat(20_000));
    assert!(matches!(connect_to(endless).await, Err(Error::Http(_))));
    let chunked = "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 503 No\r\n\
        Transfer-Encoding: chunked\r\n\r\n4\r\nbusy\r\n0\r\n\r\n";
    let Err(Error::Refused(response)) = connect_to(chunked.into()).await else { panic!() };
    assert_eq!((response.status().as_u16(), &response.body()[..]), (503, &b"busy"[..]));
    assert!(Error::Refused(response).is_retryable());
}

#[tokio::test]
async fn the_body_of_a_refusal_ends_where_http_says_or_at_the_limit() {
    let long = "x".repeat(20_000);
    let chunks = format!("{}0\r\n\r\n", "3e8\r\n".to_owned() + &"y".repeat(1000) + "\r\n");
    for (head, body, expected) in [
        ("Content-Length: 5\r\n", "five!and more", "five!"),
        ("Content-Length: 0\r\n", "nothing", ""),
        // The server ends early: what came is what there is.
        ("Content-Length: 50\r\n", "five!", "five!"),
        ("", "until the end", "until the end"),
        ("", &long, &long[..16 << 10]),
        ("Content-Length: 20000\r\n", &long, &long[..16 << 10]),
        ("Content-Length: 99999999999999999999999\r\n", "huge", "huge"),
        ("Transfer-Encoding: chunked\r\n", &chunks, &"y".repeat(1000)),
        ("Transfer-Encoding: chunked\r\n", "5\r\nab", "ab"),
        // RFC 9112 §6.3: "Transfer-Encoding overrides the Content-Length".
        ("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", &chunks, &"y".repeat(1000)),
    ] {
        let response = connect_to(format!("HTTP/1.1 403 No\r\n{head}\r\n{body}")).await;
        let Err(Error::Refused(response)) = response else { panic!("{response:?}") };
        assert!(response.body() == expected.as_bytes(), "{head}: {} bytes", response.body().len());
    }
    for status in [204, 304] {
        let Err(Error::Refused(response)) =
            connect_to(format!("HTTP/1.1 {status} No\r\nContent-Length: 4\r\n\r\nbody")).await
        else {
            panic!("{status}")
        };
        assert!(response.body().is_empty(), "{status}");
    }
}

#[tokio::test]
async fn a_server_without_a_required_extension_is_left_with_1010() {
    let (server, addr) = bind().await;
    let (tell, told) = tokio::sync::oneshot::channel();
    let tell = std::sync::Mutex::new(Some(tell));
    run(server.serve(move |upgrade: Upgrade| {
        let tell = tell.lock().unwrap().take().unwrap();
        async move {
            let mut socket = upgrade.accept().await?;
            assert!(socket.recv().await?.is_none());
            let _ = tell.send(socket.closed().unwrap().clone());
            Ok::<(), Error>(())
        }
    }));
    let client = Client::builder().compression_required(Deflate::default()).build().unwrap();
    let error = soon(client.connect(&format!("ws://{addr}/"))).await.unwrap_err();
    assert!(matches!(error, Error::Handshake(HandshakeFault::ExtensionMissing)), "{error}");
    assert_eq!(error.close_code(), Some(CloseCode::MANDATORY_EXTENSION));
    let closed = soon(told).await.unwrap();
    assert_eq!((closed.code.get(), &*closed.reason), (1010, "permessage-deflate"));
}

#[tokio::test]
async fn what_can_not_be_requested_is_told_without_connecting() {
    for url in ["", "nonsense", "ftp://a.example/", "ws://", "ws://a.example/#part"] {
        assert!(matches!(taiwa::connect(url).await, Err(Error::Request(_))), "{url}");
    }
    let builder = Client::builder;
    assert!(matches!(builder().header("a b", "c").build(), Err(Error::Header(_))));
    assert!(matches!(builder().header("a", "b\r\nc: d").build(), Err(Error::Header(_))));
    assert!(matches!(builder().header("upgrade", "x").build(), Err(Error::Request(_))));
    assert!(matches!(builder().subprotocols(["a b"]).build(), Err(Error::Request(_))));
    assert!(matches!(builder().root_certificate_pem(b"x").build(), Err(Error::Tls(_))));
}
