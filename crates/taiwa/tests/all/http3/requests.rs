//! Ordinary requests, and how clients get there.

use std::convert::Infallible;

use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use taiwa::{RequestBody, Upgrade};

use super::{
    super::{echo, run},
    *,
};

async fn answer(request: Request<RequestBody>) -> Response<BoxBody<Bytes, Infallible>> {
    let path = request.uri().path().to_owned();
    let host = request.headers().get("host").map(|it| it.to_str().unwrap().to_owned());
    match &path[..] {
        "/echo" => {
            let body = request.into_body().collect(1 << 20).await.unwrap();
            Response::new(Full::from(body).boxed())
        }
        "/stream" => {
            let pieces = ["one ", "two ", "three"].map(|it| Ok(http_body::Frame::data(it.into())));
            let frames = futures_util::stream::iter(pieces);
            Response::new(BodyExt::boxed(StreamBody::new(frames)))
        }
        _ => {
            let text = format!("{path} of {}", host.unwrap_or_default());
            let mut response = Response::new(Full::from(text).boxed());
            let connection = if path == "/page" { "close" } else { "keep-alive" };
            response.headers_mut().insert("connection", connection.parse().unwrap());
            response
        }
    }
}

#[tokio::test]
async fn they_reach_the_closure_of_http_1_and_so_do_their_bodies() {
    let (server, addr, root) = server(Http3::default()).await;
    run(server.http(answer).serve(echo));
    let client = Client::connect(addr, &root).await;
    let response = client.fetch(get("/other"), b"").await.unwrap();
    assert_eq!(response.body(), "/other of localhost");
    assert_eq!(response.headers()["content-length"], "19");
    assert!(response.headers().contains_key("date"));
    assert!(!response.headers().contains_key("connection"), "HTTP/3 has no such field");
    let post = Request::post("https://localhost/echo").body(()).unwrap();
    let long = "x".repeat(300_000);
    assert!(client.fetch(post, long.as_bytes()).await.unwrap().body() == &long);
    let response = client.fetch(get("/stream"), b"").await.unwrap();
    assert_eq!(response.body(), "one two three");
    let head = Request::head("https://localhost/other").body(()).unwrap();
    let response = client.fetch(head, b"").await.unwrap();
    assert_eq!(
        (response.headers()["content-length"].clone(), &response.body()[..]),
        ("19".parse().unwrap(), "")
    );
}

#[tokio::test]
async fn who_asks_for_nothing_that_is_there_gets_426() {
    let (server, addr, root) = server(Http3::default()).await;
    run(server.serve(echo));
    let response = Client::connect(addr, &root).await.fetch(get("/"), b"").await.unwrap();
    assert!(response.status().is_client_error(), "{response:?}");
}

#[tokio::test]
async fn responses_over_tcp_tell_where_http_3_is() {
    let (server, addr, root) = server(Http3::default()).await;
    run(server.http(answer).serve(echo));
    let expected = format!("alt-svc: h3=\":{}\"; ma=86400", addr.port());
    let ask = async |request: String| {
        let mut tls = super::super::http2::tls(addr, &root, &[b"http/1.1"]).await;
        tls.write_all(request.as_bytes()).await.unwrap();
        let mut read = Vec::new();
        while !read.windows(4).any(|it| it == b"\r\n\r\n") {
            assert!(soon(tls.read_buf(&mut read)).await.unwrap() > 0);
        }
        String::from_utf8_lossy(&read).to_lowercase()
    };
    let head = ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()).await;
    assert!(head.contains(&expected), "{head}");
    let head = ask(super::super::handshake("")).await;
    assert!(head.starts_with("http/1.1 101") && head.contains(&expected), "{head}");
}

#[tokio::test]
async fn settings_that_exclude_each_other_end_the_server_at_once() {
    let (server, _) = bind().await;
    let error = soon(server.http3(Http3::default()).serve(echo).into_future()).await.unwrap_err();
    assert_eq!(error.to_string(), "HTTP/3 needs TLS");
    let (server, addr, _taken) = server_on_taken_port().await;
    let error = soon(server.serve(echo).into_future()).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse, "{addr}");
}

async fn server_on_taken_port() -> (Server, SocketAddr, std::net::UdpSocket) {
    let (server, addr, _) = server(Http3::default()).await;
    (server, addr, std::net::UdpSocket::bind(addr).unwrap())
}

#[tokio::test]
async fn a_given_socket_is_served_instead() {
    let (server, addr, root) = server(Http3::default()).await;
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let there = udp.local_addr().unwrap();
    run(server.udp(udp).serve(|upgrade: Upgrade| {
        let there = upgrade.local_addr().clone();
        async move { upgrade.reject(401, there.to_string()).await }
    }));
    let client = Client::connect(there, &root).await;
    let (_, mut stream) = client.ask(connect("/")).await.err().expect("refused");
    let body = soon(stream.recv_data()).await.unwrap().unwrap();
    assert_eq!(body, there.to_string());
    assert_ne!(there, addr);
}

#[tokio::test]
async fn under_load_newcomers_prove_their_address_and_come_in_all_the_same() {
    let (server, addr, root) = server(Http3 { unproven_max: 0, ..Http3::default() }).await;
    run(server.serve(echo));
    let client = Client::connect(addr, &root).await;
    // A handshake with a Retry packet has a round trip more; that there was one can't be seen, but that it did no harm.
    client.open("/").await.echoes("proven").await;
}

#[tokio::test]
async fn a_shared_listener_has_its_udp_port_when_the_other_server_has_let_it_go() {
    let made = certificate();
    let socket = || {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_reuseport(true).unwrap();
        socket
    };
    let begin = |addr: SocketAddr| {
        let socket = socket();
        socket.bind(addr).unwrap();
        let listener = taiwa::Listener::try_from(socket.listen(16).unwrap()).unwrap().shared();
        let server = Server::from_listener(listener).unwrap();
        let server = server.tls(made.certificate.as_bytes(), made.key.as_bytes()).unwrap();
        (server.local_addr().unwrap(), server.http3(Http3::default()))
    };
    let (addr, server) = begin("127.0.0.1:0".parse().unwrap());
    let (leave, left) = tokio::sync::oneshot::channel::<()>();
    let serving = server.serve(|it: Upgrade| it.reject(401, "the old one"));
    run(serving.with_successor(async { _ = left.await }));
    let client = Client::connect(addr, &made.certificate).await;
    assert_eq!(client.ask(connect("/")).await.err().unwrap().0.status(), 401);
    let (_, server) = begin(addr);
    run(server.serve(echo));
    leave.send(()).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    // What has begun goes on there.
    assert_eq!(client.ask(connect("/")).await.err().unwrap().0.status(), 401);
    client.connection.close(taiwa_h3::error::Code::NO_ERROR, "");
    drop(client);
    let there = soon(async {
        loop {
            let connecting = Client::try_connect(addr, &made.certificate);
            match tokio::time::timeout(Duration::from_secs(1), connecting).await {
                Ok(Ok(client)) => break client,
                _ => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    });
    there.await.open("/").await.echoes("the new one").await;
}

#[tokio::test]
async fn connection_close_in_an_answer_sends_the_client_elsewhere() {
    let (server, addr, root) = server(Http3::default()).await;
    run(server.http(answer).serve(echo));
    let client = Client::connect(addr, &root).await;
    let mut socket = client.open("/").await;
    let response = client.fetch(get("/page"), b"").await.unwrap();
    assert_eq!(response.status(), 200);
    soon(client.connection.peer_going_away()).await;
    socket.echoes("streams go on").await;
    socket.send(0x88, &1000_u16.to_be_bytes()).await;
    let ended = soon(client.connection.closed()).await;
    assert!(ended.to_string().contains("H3_NO_ERROR"), "{ended}");
}
