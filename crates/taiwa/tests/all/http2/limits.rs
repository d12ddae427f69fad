//! Limits of a connection, and switches.

use std::time::Duration;

use http::Request;
use taiwa::{Deadlines, Http2, Limits, Upgrade};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep},
};

use super::{
    super::{bind, connect as connect_http1, echo, request, rest, run, soon, tls::certificate},
    Client, body, connect, get,
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[tokio::test]
async fn a_head_past_the_limits_gets_431() {
    let (server, addr) = bind().await;
    let limits = Limits { handshake_bytes_max: 4096, headers_max: 20, ..Limits::default() };
    run(server.limits(limits).serve(echo));
    let client = Client::connect(addr).await;
    let long = |mut request: Request<()>| {
        request.headers_mut().insert("x-long", "x".repeat(5000).parse().unwrap());
        request
    };
    let many = |mut request: Request<()>| {
        for n in 0..21 {
            let name: http::HeaderName = format!("x-{n}").parse().unwrap();
            request.headers_mut().insert(name, "x".parse().unwrap());
        }
        request
    };
    for request in [long(get("/")), many(get("/"))] {
        assert_eq!(client.request(request, None).await.status(), 431);
    }
    for request in [long(connect("/")), many(connect("/"))] {
        assert_eq!(client.ask(request).await.err().unwrap().status(), 431);
    }
    client.open("/").await.echoes("the connection goes on").await;
}

#[tokio::test]
async fn websockets_count_where_a_number_of_connections_is_allowed() {
    let (server, addr) = bind().await;
    run(server.connections_max(3).serve(echo));
    let client = Client::connect(addr).await;
    let one = client.open("/").await;
    let _two = client.open("/").await;
    let refused = client.ask(connect("/")).await.err().unwrap();
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["retry-after"]),
        (503, &"5".parse().unwrap())
    );
    let (_, head) = request(addr, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    // An ordinary request takes no place.
    assert_eq!(client.request(get("/"), None).await.status(), 400);
    drop(one);
    soon(async {
        while client.ask(connect("/")).await.is_err() {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn who_resets_streams_in_a_row_is_told_to_calm_down() {
    let (server, addr) = bind().await;
    run(server.http2(Http2 { resets_per_second_max: 50, ..Http2::default() }).serve(echo));
    let client = Client::connect(addr).await;
    client.open("/").await.echoes("x").await;
    let flood = async {
        for _ in 0..1000 {
            let Ok(mut ready) = client.send.clone().ready().await else { return };
            let Ok((_, mut send)) = ready.send_request(get("/"), false) else { return };
            send.send_reset(h2::Reason::CANCEL);
            tokio::task::yield_now().await;
        }
    };
    soon(flood).await;
    let error = soon(client.ending).await.unwrap().unwrap_err();
    assert_eq!(error.reason(), Some(h2::Reason::ENHANCE_YOUR_CALM), "{error}");
    let _others_come_in = connect_http1(addr).await;
}

#[tokio::test]
async fn fewer_resets_are_fine() {
    let (server, addr) = bind().await;
    run(server.serve(echo));
    let client = Client::connect(addr).await;
    for _ in 0..500 {
        let mut ready = soon(client.send.clone().ready()).await.unwrap();
        let (_, mut send) = ready.send_request(get("/"), false).unwrap();
        send.send_reset(h2::Reason::CANCEL);
        tokio::task::yield_now().await;
    }
    client.open("/").await.echoes("still there").await;
}

#[tokio::test]
async fn a_connection_without_streams_ends_after_a_while_and_one_with_a_stream_does_not() {
    let (server, addr) = bind().await;
    let idle_max = Some(Duration::from_millis(300));
    run(server.http2(Http2 { idle_max, ..Http2::default() }).serve(echo));
    // Before it connects: what comes between counts for the connection, too.
    let begun = Instant::now();
    let (idle, busy) = (Client::connect(addr).await, Client::connect(addr).await);
    let mut socket = busy.open("/").await;
    soon(idle.ending).await.unwrap().expect("GOAWAY with NO_ERROR");
    assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
    sleep(Duration::from_millis(300)).await;
    socket.echoes("still there").await;
    drop(socket);
    soon(busy.ending).await.unwrap().expect("GOAWAY with NO_ERROR");
}

#[tokio::test]
async fn a_handshake_has_a_deadline() {
    let (server, addr) = bind().await;
    let handshake = Some(Duration::from_millis(300));
    run(server.deadlines(Deadlines { handshake, ..Deadlines::default() }).serve(echo));
    for begun in [&PREFACE[..10], b"P"] {
        let mut tcp = TcpStream::connect(addr).await.unwrap();
        tcp.write_all(begun).await.unwrap();
        let answer = rest(&mut tcp).await;
        assert!(answer.starts_with(b"HTTP/1.1 408 "), "{}", answer.escape_ascii());
    }
}

#[tokio::test]
async fn a_preface_in_pieces_is_one_and_what_only_begins_like_it_is_not() {
    let (server, addr) = bind().await;
    run(server.serve(echo));
    let mut tcp = TcpStream::connect(addr).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    for byte in PREFACE {
        tcp.write_all(&[*byte]).await.unwrap();
        sleep(Duration::from_millis(1)).await;
    }
    // SETTINGS of the server: type 4 on stream 0.
    let mut header = [0; 9];
    soon(tcp.read_exact(&mut header)).await.unwrap();
    assert_eq!((header[3], &header[5..]), (4, &[0, 0, 0, 0][..]));

    for (begun, rest) in
        [("P", "UT / HTTP/1.1\r\nHost: a\r\n\r\n"), ("PR", "OPFIND / HTTP/1.1\r\nHost: a\r\n\r\n")]
    {
        let mut tcp = TcpStream::connect(addr).await.unwrap();
        tcp.write_all(begun.as_bytes()).await.unwrap();
        sleep(Duration::from_millis(20)).await;
        tcp.write_all(rest.as_bytes()).await.unwrap();
        let head = soon(super::super::read_head(&mut tcp)).await;
        assert!(head.starts_with("HTTP/1.1 426 "), "{head}");
    }
}

#[tokio::test]
async fn each_version_has_its_switch() {
    let (server, addr) = bind().await;
    run(server.http2(None).serve(echo));
    let mut tcp = TcpStream::connect(addr).await.unwrap();
    tcp.write_all(PREFACE).await.unwrap();
    let answer = rest(&mut tcp).await;
    assert!(
        answer.starts_with(b"HTTP/1.1 505 ") || answer.starts_with(b"HTTP/1.1 400 "),
        "{}",
        answer.escape_ascii()
    );

    let (server, addr) = bind().await;
    run(server.http1(false).serve(echo));
    let (_, head) = request(addr, &super::super::handshake("")).await;
    assert!(head.starts_with("HTTP/1.1 505 "), "{head}");
    Client::connect(addr).await.open("/").await.echoes("x").await;

    let (server, addr) = bind().await;
    run(server.http2(Http2 { websockets: false, ..Http2::default() }).serve(echo));
    let client = Client::connect(addr).await;
    assert_eq!(client.request(get("/"), None).await.status(), 400);
    assert!(!client.send.is_extended_connect_protocol_enabled());

    let (server, _) = bind().await;
    let error = server.http1(false).http2(None).serve(echo).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}

#[tokio::test]
async fn over_tls_the_switches_decide_what_is_offered() {
    let made = certificate();
    for (http1, http2, agreed) in [
        (true, Some(Http2::default()), &b"h2"[..]),
        (false, Some(Http2::default()), b"h2"),
        (true, None, b"http/1.1"),
    ] {
        let (server, addr) = bind().await;
        let server = server.tls(made.certificate.as_bytes(), made.key.as_bytes()).unwrap();
        run(server.http1(http1).http2(http2).serve(echo));
        let tls = super::tls(addr, &made.certificate, &[b"http/1.1", b"h2"]).await;
        assert_eq!(tls.get_ref().1.alpn_protocol(), Some(agreed));
    }
}

#[tokio::test]
async fn a_panic_ends_its_own_stream_and_is_told() {
    let (server, addr) = bind().await;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let server = server.http(|request: Request<taiwa::RequestBody>| async move {
        assert_ne!(request.uri().path(), "/panic", "a panic of the user's");
        http::Response::new(http_body_util::Full::<bytes::Bytes>::from("fine"))
    });
    let serving = server.serve(|upgrade: Upgrade| echo(upgrade));
    run(serving.on_error(move |_, error| tell.send(error.to_string()).unwrap()));
    let client = Client::connect(addr).await;
    let error = client.try_request(get("/panic"), None).await.unwrap_err();
    assert_eq!(error.reason(), Some(h2::Reason::CANCEL));
    assert!(soon(told.recv()).await.unwrap().contains("panic"));
    assert_eq!(body(client.request(get("/"), None).await).await.unwrap(), "fine");
}
