//! Ordinary HTTP on the port of a WebSocket server.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::Full;
use taiwa::RequestBody;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{bind, echo, frame, handshake, request, rest, run, soon};

async fn answer(request: http::Request<RequestBody>) -> http::Response<Full<Bytes>> {
    let peer = request.extensions().get::<SocketAddr>().expect("the peer is known").ip();
    let path = request.uri().path().to_owned();
    let body = match request.into_body().collect(10).await {
        Ok(body) => String::from_utf8(body.to_vec()).unwrap(),
        Err(_) => "too long".to_owned(),
    };
    http::Response::new(Full::from(format!("{path} {peer} {body}.")))
}

#[tokio::test]
async fn requests_and_upgrades_share_one_kept_connection() {
    let (server, addr) = bind().await;
    run(server.http(answer).serve(echo));
    let post = "POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 4\r\n\r\nbody";
    let (mut tcp, mut text) = request(addr, post).await;
    while !text.ends_with('.') {
        let mut more = [0; 1024];
        let n = soon(tcp.read(&mut more)).await.unwrap();
        text.push_str(std::str::from_utf8(&more[..n]).unwrap());
    }
    assert!(text.starts_with("HTTP/1.1 200 ") && text.ends_with("/a 127.0.0.1 body."), "{text}");

    let bytes = [handshake("").into_bytes(), frame(0x81, b"hi"), frame(0x88, b"")].concat();
    tcp.write_all(&bytes).await.unwrap();
    let read = rest(&mut tcp).await;
    assert!(read.starts_with(b"HTTP/1.1 101 "), "{}", read.escape_ascii());
    assert!(read.ends_with(b"\x81\x02hi\x88\x00"), "{}", read.escape_ascii());
}

#[tokio::test]
async fn a_body_over_the_callers_limit_is_an_error() {
    let (server, addr) = bind().await;
    run(server.http(answer).serve(echo));
    let post = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 11\r\n\r\n\
        0123456789a";
    let (mut tcp, head) = request(addr, post).await;
    let text = head + &String::from_utf8(rest(&mut tcp).await).unwrap();
    assert!(text.ends_with("too long."), "{text}");
}

#[tokio::test]
async fn a_handshake_refused_on_a_kept_connection_leaves_it_usable() {
    let (server, addr) = bind().await;
    let serving = server
        .http(answer)
        .serve(|upgrade: taiwa::Upgrade| async move { upgrade.reject(403, "no").await });
    run(serving);
    let get = "GET /a HTTP/1.1\r\nHost: a.example\r\n\r\n";
    let (mut tcp, _) = request(addr, get).await;
    tcp.write_all(handshake("").as_bytes()).await.unwrap();
    let last = "GET /b HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";
    tcp.write_all(last.as_bytes()).await.unwrap();
    let text = String::from_utf8(rest(&mut tcp).await).unwrap();
    assert!(text.contains("HTTP/1.1 403 ") && text.ends_with("/b 127.0.0.1 ."), "{text}");
}

#[tokio::test]
async fn without_an_answer_of_the_users_a_request_gets_426() {
    let (server, addr) = bind().await;
    run(server.serve(echo));
    let (_, head) = request(addr, "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 426 "), "{head}");
    assert!(head.contains("upgrade: websocket"), "{head}");
}
