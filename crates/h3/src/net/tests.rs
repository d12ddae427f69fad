//! Two ends of ours over loopback, and peers that break rules.

use std::{future::Future, net::Ipv4Addr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::*;
use crate::{
    Protocol,
    error::{Code, Fault},
    frame::{self, FrameType},
    head,
    settings::Settings,
    streams::StreamType,
};

/// Both ends of a connection of QUIC.
pub(super) struct Pair {
    pub(super) server: quinn::Connection,
    pub(super) client: quinn::Connection,
    _endpoints: [quinn::Endpoint; 2],
}

async fn pair(limits: &Limits) -> Pair {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("it has them")
        .with_no_client_auth()
        .with_single_cert(
            vec![key.cert.der().clone()],
            PrivatePkcs8KeyDer::from(key.signing_key.serialize_der()).into(),
        )
        .expect("they fit");
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let tls = QuicServerConfig::try_from(tls).expect("it has the ciphers");
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(tls));
    config.transport_config(Arc::new(limits.transport()));
    let server = quinn::Endpoint::server(config, (Ipv4Addr::LOCALHOST, 0).into()).expect("bound");

    let mut roots = rustls::RootCertStore::empty();
    roots.add(key.cert.der().clone()).expect("right");
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("it has them")
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let tls = QuicClientConfig::try_from(tls).expect("it has the ciphers");
    let mut config = quinn::ClientConfig::new(Arc::new(tls));
    config.transport_config(Arc::new(Limits::default().transport()));
    let client = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).expect("bound");
    let address = server.local_addr().expect("bound");
    let connecting = client.connect_with(config, address, "localhost").expect("right");
    let accepting = async { server.accept().await.expect("open").await };
    let (client_side, server_side) = tokio::join!(connecting, accepting);
    Pair {
        server: server_side.expect("connected"),
        client: client_side.expect("connected"),
        _endpoints: [server, client],
    }
}

/// A server and a client of ours.
pub(super) async fn ours(limits: Limits) -> (Connection, Connection, Pair) {
    let pair = pair(&limits).await;
    let (server, driver) = Connection::server(pair.server.clone(), limits.settings(), limits);
    tokio::spawn(driver);
    let limits = Limits::default();
    let (client, driver) = Connection::client(pair.client.clone(), limits.settings(), limits);
    tokio::spawn(driver);
    (server, client, pair)
}

/// A server of ours, and a client that writes what it likes.
pub(super) async fn raw(limits: Limits) -> (Connection, Pair) {
    let pair = pair(&limits).await;
    let (server, driver) = Connection::server(pair.server.clone(), limits.settings(), limits);
    tokio::spawn(driver);
    (server, pair)
}

pub(super) async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(10), what).await.expect("in time")
}

fn get(path: &str) -> Request<()> {
    Request::get(format!("https://localhost{path}")).body(()).expect("right")
}

fn websocket() -> Request<()> {
    let request = Request::connect("https://localhost/chat").extension(Protocol::WEBSOCKET);
    request.body(()).expect("right")
}

fn ok() -> Response<()> {
    Response::new(())
}

async fn all(stream: &mut RequestStream) -> Result<Vec<u8>, Error> {
    let mut content = vec![];
    while let Some(bytes) = stream.recv_data().await? {
        content.extend_from_slice(&bytes);
    }
    Ok(content)
}

/// The code with which our server closed the connection of a raw client.
async fn closed_with(pair: &Pair) -> Code {
    match soon(pair.client.closed()).await {
        quinn::ConnectionError::ApplicationClosed(close) => super::code(close.error_code),
        other => panic!("{other}"),
    }
}

async fn uni(pair: &Pair, bytes: &[u8]) -> quinn::SendStream {
    let mut stream = pair.client.open_uni().await.expect("open");
    stream.write_all(bytes).await.expect("written");
    stream
}

fn control(frames: &[u8]) -> Vec<u8> {
    let mut bytes = vec![];
    StreamType::CONTROL.write(&mut bytes);
    Settings::default().write(&mut bytes);
    [&bytes, frames].concat()
}

fn headers(request: &Request<()>) -> Vec<u8> {
    let (mut section, mut bytes) = (vec![], vec![]);
    head::write_request(request, &mut section).expect("right");
    frame::write(FrameType::HEADERS, &section, &mut bytes);
    bytes
}

#[tokio::test]
async fn a_request_is_answered_with_content_and_trailers() {
    let (server, client, _pair) = ours(Limits::default()).await;
    let answering = async {
        let (request, mut stream) = server.accept().await.expect("open");
        assert_eq!((request.method(), request.uri().path()), (&Method::POST, "/x"));
        let content = all(&mut stream).await.expect("whole");
        assert_eq!(stream.recv.trailers().expect("there")["last"], "yes");
        stream.send_response(&ok()).await.expect("sent");
        stream.send_data(content.into()).await.expect("sent");
        stream.finish().await.expect("sent");
    };
    let asking = async {
        let request = Request::post("https://localhost/x").body(()).expect("right");
        let mut stream = client.open(request).await.expect("open");
        let long = Bytes::from(vec![7; 300_000]);
        stream.send_data(long.clone()).await.expect("sent");
        let trailers = HeaderMap::from_iter([("last".parse().unwrap(), "yes".parse().unwrap())]);
        stream.send_trailers(&trailers).await.expect("sent");
        stream.finish().await.expect("sent");
        let response = stream.recv_response().await.expect("there");
        assert_eq!(response.status(), StatusCode::OK);
        assert!(all(&mut stream).await.expect("whole") == long);
    };
    soon(async { tokio::join!(answering, asking) }).await;
}

#[tokio::test]
async fn a_tunnel_carries_bytes_and_both_ends() {
    let (server, client, _pair) = ours(Limits::default()).await;
    let answering = async {
        let (request, mut stream) = server.accept().await.expect("open");
        assert_eq!(request.extensions().get(), Some(&Protocol::WEBSOCKET));
        stream.send_response(&ok()).await.expect("sent");
        let (mut read, mut write) = tokio::io::split(stream.into_io());
        tokio::io::copy(&mut read, &mut write).await.expect("echoed");
        write.shutdown().await.expect("ended");
    };
    let asking = async {
        let mut stream = client.open(websocket()).await.expect("open");
        assert!(stream.recv_response().await.expect("there").status().is_success());
        let (mut read, mut write) = tokio::io::split(stream.into_io());
        let sent: Vec<u8> = (0..400_000_u32).map(|it| it as u8).collect();
        let writing = async {
            write.write_all(&sent).await.expect("written");
            write.shutdown().await.expect("ended");
        };
        let mut echoed = vec![];
        let (_, bytes) = tokio::join!(writing, read.read_to_end(&mut echoed));
        assert_eq!(bytes.expect("to the end"), sent.len());
        assert!(echoed == sent);
    };
    soon(async { tokio::join!(answering, asking) }).await;
}

#[tokio::test]
async fn a_tunnel_that_is_dropped_resets_the_peer() {
    let (server, client, _pair) = ours(Limits::default()).await;
    soon(async {
        let mut stream = client.open(websocket()).await.expect("open");
        let (_, mut theirs) = server.accept().await.expect("open");
        theirs.send_response(&ok()).await.expect("sent");
        stream.recv_response().await.expect("there");
        drop(theirs.into_io());
        let mut tunnel = stream.into_io();
        let error = tunnel.read(&mut [0; 9]).await.expect_err("reset");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        assert!(error.to_string().contains("H3_REQUEST_CANCELLED"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn streams_that_nobody_reads_do_not_starve_the_others() {
    let (server, client, _pair) = ours(Limits::default()).await;
    soon(async {
        let mut paused = vec![];
        for _ in 0..100 {
            let mut stream = client.open(websocket()).await.expect("open");
            let (_, theirs) = server.accept().await.expect("open");
            let filling = stream.send_data(vec![1; 64 << 10].into());
            // The head of the frame is over what may wait.
            assert!(timeout(Duration::from_millis(20), filling).await.is_err());
            paused.push((stream, theirs));
        }
        let mut stream = client.open(websocket()).await.expect("open");
        let (_, mut theirs) = server.accept().await.expect("open");
        let sending = async {
            stream.send_data(vec![2; 4 << 20].into()).await.expect("sent");
            stream.finish().await.expect("sent");
        };
        let (content, ()) = tokio::join!(all(&mut theirs), sending);
        assert_eq!(content.expect("whole").len(), 4 << 20);
    })
    .await;
}

#[tokio::test]
async fn going_away_lets_what_has_begun_end_and_rejects_what_comes() {
    let (server, client, _pair) = ours(Limits::default()).await;
    soon(async {
        let mut begun = client.open(get("/1")).await.expect("open");
        let (_, mut theirs) = server.accept().await.expect("open");
        server.go_away();
        assert!(server.accept().await.is_none(), "no more come");
        client.peer_going_away().await;
        assert!(matches!(client.open(get("/2")).await, Err(Error::GoingAway)));
        theirs.send_response(&ok()).await.expect("sent");
        theirs.finish().await.expect("sent");
        assert!(begun.recv_response().await.is_ok());
    })
    .await;
}

#[tokio::test]
async fn a_request_behind_goaway_is_rejected() {
    let (server, pair) = raw(Limits::default()).await;
    server.go_away();
    assert!(soon(server.accept()).await.is_none());
    let (mut send, mut recv) = pair.client.open_bi().await.expect("open");
    send.write_all(&headers(&get("/"))).await.expect("written");
    let error = soon(recv.read_to_end(100)).await.expect_err("reset");
    assert!(error.to_string().contains(&Code::REQUEST_REJECTED.get().to_string()), "{error}");
}

#[tokio::test]
async fn extended_connect_waits_for_settings_and_needs_them() {
    let limits = Limits::default();
    let pair = pair(&limits).await;
    let (_server, driver) = Connection::server(pair.server.clone(), Settings::default(), limits);
    tokio::spawn(driver);
    let limits = Limits::default();
    let (client, driver) = Connection::client(pair.client.clone(), limits.settings(), limits);
    tokio::spawn(driver);
    let opened = soon(client.open(websocket())).await;
    assert!(matches!(opened, Err(Error::NoConnectProtocol)));
}

#[tokio::test]
async fn a_head_that_is_too_large_gets_status_431() {
    let mut limits = Limits::default();
    limits.section.section_bytes_max = 200;
    let (_server, client, _pair) = ours(limits).await;
    soon(async {
        client.peer_settings().await.expect("there");
        let large = || {
            let request = Request::get("https://localhost/").header("x", "y".repeat(300));
            request.body(()).expect("right")
        };
        assert!(matches!(client.open(large()).await, Err(Error::HeadTooLarge)));
    })
    .await;
    let mut limits = Limits::default();
    limits.section.section_bytes_max = 200;
    let (_server, pair) = raw(limits).await;
    let (mut send, mut recv) = pair.client.open_bi().await.expect("open");
    let request = Request::get("https://localhost/").header("x", "y".repeat(300));
    send.write_all(&headers(&request.body(()).expect("right"))).await.expect("written");
    let answer = soon(recv.read_to_end(1000)).await.expect("to its end");
    let section = answer.get(2..).expect("HEADERS");
    let response = head::read_response(section, &Default::default()).expect("right");
    assert_eq!(response.status(), 431);
}

#[tokio::test]
async fn a_malformed_request_ends_its_stream_alone() {
    let (server, pair) = raw(Limits::default()).await;
    let (mut send, mut recv) = pair.client.open_bi().await.expect("open");
    // An empty field section: no pseudo-header fields (RFC 9114 §4.3.1).
    send.write_all(b"\x01\x02\x00\x00").await.expect("written");
    let error = soon(recv.read_to_end(100)).await.expect_err("reset");
    assert!(error.to_string().contains(&Code::MESSAGE_ERROR.get().to_string()), "{error}");
    let (mut send, _recv) = pair.client.open_bi().await.expect("open");
    send.write_all(&headers(&get("/still"))).await.expect("written");
    assert_eq!(soon(server.accept()).await.expect("open").0.uri().path(), "/still");
}

#[tokio::test]
async fn less_content_than_announced_is_told_to_who_reads() {
    let (server, pair) = raw(Limits::default()).await;
    let (mut send, mut recv) = pair.client.open_bi().await.expect("open");
    let request = Request::post("https://localhost/").header("content-length", "5");
    let request = headers(&request.body(()).expect("right"));
    send.write_all(&[&request[..], b"\x00\x02ab"].concat()).await.expect("written");
    send.finish().expect("open");
    let (_, mut stream) = soon(server.accept()).await.expect("open");
    let error = soon(all(&mut stream)).await.expect_err("too little");
    assert!(matches!(error, Error::Fault(Fault { code: Code::MESSAGE_ERROR, .. })), "{error}");
    drop(stream);
    let error = soon(recv.read_to_end(100)).await.expect_err("reset");
    assert!(error.to_string().contains(&Code::MESSAGE_ERROR.get().to_string()), "{error}");
}

#[tokio::test]
async fn critical_streams_that_end_end_the_connection() {
    for kind in [0, 2, 3] {
        let (_server, pair) = raw(Limits::default()).await;
        let bytes = if kind == 0 { control(b"") } else { vec![kind] };
        let mut stream = uni(&pair, &bytes).await;
        stream.finish().expect("open");
        assert_eq!(closed_with(&pair).await, Code::CLOSED_CRITICAL_STREAM, "of type {kind}");
        let (_server, pair) = raw(Limits::default()).await;
        let mut stream = uni(&pair, &bytes).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        stream.reset(1_u32.into()).expect("open");
        assert_eq!(closed_with(&pair).await, Code::CLOSED_CRITICAL_STREAM, "of type {kind}");
    }
}

#[tokio::test]
async fn a_client_may_not_stop_our_control_stream() {
    let (_server, pair) = raw(Limits::default()).await;
    let mut stream = soon(pair.client.accept_uni()).await.expect("open");
    stream.stop(0_u32.into()).expect("open");
    assert_eq!(closed_with(&pair).await, Code::CLOSED_CRITICAL_STREAM);
}

#[tokio::test]
async fn faults_of_the_connection_close_it_with_their_code() {
    for (bytes, code) in [
        (control(b"\x00\x00"), Code::FRAME_UNEXPECTED),
        (vec![0x00, 0x07, 0x01, 0x00], Code::MISSING_SETTINGS),
        (vec![0x01, 0x00], Code::STREAM_CREATION_ERROR),
        (vec![0x02, 0xff], Code::QPACK_ENCODER_STREAM_ERROR),
        (vec![0x03, 0x01], Code::QPACK_DECODER_STREAM_ERROR),
    ] {
        let (_server, pair) = raw(Limits::default()).await;
        let _stream = uni(&pair, &bytes).await;
        assert_eq!(closed_with(&pair).await, code, "{bytes:?}");
    }
    for (bytes, code) in [
        (vec![0x00, 0x00], Code::FRAME_UNEXPECTED),
        (vec![0x02, 0x00], Code::FRAME_UNEXPECTED),
        (vec![0x01, 0x03, 0x00, 0x00, 0x80], Code::QPACK_DECOMPRESSION_FAILED),
    ] {
        let (_server, pair) = raw(Limits::default()).await;
        let (mut send, _recv) = pair.client.open_bi().await.expect("open");
        send.write_all(&bytes).await.expect("written");
        assert_eq!(closed_with(&pair).await, code, "{bytes:?}");
    }
    let (_server, pair) = raw(Limits::default()).await;
    pair.client.send_datagram(Bytes::from_static(b"\xff")).expect("sent");
    assert_eq!(closed_with(&pair).await, Code::DATAGRAM_ERROR);
}

#[tokio::test]
async fn streams_that_nobody_knows_are_stopped_and_nothing_else() {
    let (server, pair) = raw(Limits::default()).await;
    let stream = uni(&pair, b"\x21whatever").await;
    let stopped = soon(stream.stopped()).await.expect("open");
    assert_eq!(stopped.map(super::code), Some(Code::STREAM_CREATION_ERROR));
    let mut early = pair.client.open_uni().await.expect("open");
    early.finish().expect("open");
    let (mut send, _recv) = pair.client.open_bi().await.expect("open");
    send.write_all(&headers(&get("/"))).await.expect("written");
    assert!(soon(server.accept()).await.is_some());
}

#[tokio::test]
async fn streams_that_are_given_up_too_fast_end_the_connection() {
    let limits = Limits { resets_per_second_max: 20, ..Limits::default() };
    let (_server, pair) = raw(limits).await;
    let flooding = async {
        while let Ok((mut send, _recv)) = pair.client.open_bi().await {
            // A head that never ends.
            if send.write_all(b"\x01\x20").await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
            let _ = send.reset(0_u32.into());
        }
    };
    soon(flooding).await;
    assert_eq!(closed_with(&pair).await, Code::EXCESSIVE_LOAD);
}

#[tokio::test]
async fn a_head_that_does_not_come_gives_the_stream_up() {
    let limits = Limits { head_within: Duration::from_millis(100), ..Limits::default() };
    let (_server, pair) = raw(limits).await;
    let (mut send, mut recv) = pair.client.open_bi().await.expect("open");
    send.write_all(b"\x01\x20").await.expect("written");
    let error = soon(recv.read_to_end(100)).await.expect_err("reset");
    assert!(error.to_string().contains(&Code::REQUEST_REJECTED.get().to_string()), "{error}");
}

#[tokio::test]
async fn a_connection_without_requests_is_ended() {
    let limits = Limits { idle_max: Some(Duration::from_millis(200)), ..Limits::default() };
    let (server, client, pair) = ours(limits).await;
    let stream = soon(client.open(websocket())).await.expect("open");
    let accepted = soon(server.accept()).await.expect("open");
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(pair.client.close_reason().is_none(), "a request is under way");
    drop((stream, accepted));
    assert_eq!(closed_with(&pair).await, Code::NO_ERROR);
}

#[tokio::test]
async fn a_driver_that_is_dropped_closes_the_connection() {
    let limits = Limits::default();
    let pair = pair(&limits).await;
    let (server, driver) = Connection::server(pair.server.clone(), limits.settings(), limits);
    drop(tokio::time::timeout(Duration::from_millis(50), driver).await);
    assert_eq!(closed_with(&pair).await, Code::NO_ERROR);
    assert!(soon(server.accept()).await.is_none());
}

#[tokio::test]
async fn a_stream_is_reserved_if_the_peer_allows_one_and_waited_for_otherwise() {
    let (server, client, _pair) = ours(Limits { streams_max: 1, ..Limits::default() }).await;
    soon(client.peer_settings()).await.expect("they come");
    let reserved = client.reserve().expect("one is allowed");
    assert!(client.reserve().is_none(), "no more than one");
    let request = || Request::get("https://localhost/").body(()).expect("right");
    let mut stream = soon(client.open_on(reserved, request())).await.expect("sent");
    soon(stream.finish()).await.expect("sent");
    let (_, mut answering) = soon(server.accept()).await.expect("open");
    soon(answering.send_response(&Response::new(()))).await.expect("taken");
    soon(answering.finish()).await.expect("taken");
    drop(answering);
    soon(stream.recv_response()).await.expect("answered");
    assert_eq!(soon(stream.recv_data()).await.expect("whole"), None);
    drop(stream);
    drop(soon(client.room()).await.expect("there is room again"));
    let stream = soon(client.open(request())).await;
    stream.expect("one that was given back is another's");
}
