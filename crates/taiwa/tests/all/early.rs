//! Upgrades that are decided about at once.

use std::{
    io::{Read, Write},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use taiwa::{Client, Deadlines, Error, RawConnection, RawSocket, RawTransport, Server, Upgrade};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    time::sleep,
};

use super::{bind, run, soon, tls::certificate};

/// What became of upgrades.
struct House {
    /// Accepted at once.
    given: UnboundedReceiver<RawConnection>,
    /// Accepted by the closure to which they were given back.
    later: UnboundedReceiver<String>,
    errors: UnboundedReceiver<String>,
    asked: Arc<AtomicUsize>,
}

/// Accepts at once what is for `/now`, gives `/later` back, drops `/drop`, panics at `/panic`.
fn house(server: Server) -> House {
    let (give, given) = unbounded_channel();
    let (tell, later) = unbounded_channel();
    let (complain, errors) = unbounded_channel();
    let asked = Arc::<AtomicUsize>::default();
    let counts = asked.clone();
    let server = server.http(|request: http::Request<taiwa::RequestBody>| async move {
        http::Response::new(Full::new(Bytes::from(format!("page {}", request.uri().path()))))
    });
    let serving = server.upgrades_at_once(move |upgrade| {
        counts.fetch_add(1, Ordering::Relaxed);
        match upgrade.uri().path() {
            "/now" => {
                give.send(upgrade.subprotocol(["x"]).accept_raw_at_once().unwrap()).unwrap();
                Ok(())
            }
            "/drop" => Ok(()),
            "/panic" => panic!("no idea"),
            _ => Err(upgrade),
        }
    });
    let serving = serving.serve(move |upgrade: Upgrade| {
        let tell = tell.clone();
        async move {
            tell.send(upgrade.uri().path().to_owned()).unwrap();
            let mut socket = upgrade.accept().await?;
            socket.send("welcome").await
        }
    });
    run(serving.on_error(move |_, error| drop(complain.send(error.to_string()))));
    House { given, later, errors, asked }
}

fn request(target: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: y, x\r\n\r\n"
    )
}

async fn answer(mut tcp: TcpStream) -> String {
    let mut all = vec![];
    soon(tcp.read_to_end(&mut all)).await.unwrap();
    String::from_utf8_lossy(&all).into_owned()
}

async fn ask(addr: std::net::SocketAddr, request: &[u8]) -> TcpStream {
    let mut tcp = TcpStream::connect(addr).await.unwrap();
    soon(tcp.write_all(request)).await.unwrap();
    tcp
}

#[tokio::test]
async fn a_whole_request_is_accepted_with_a_response_that_waits_to_be_written() {
    let (server, addr) = bind().await;
    let mut house = house(server);
    let tcp = ask(addr, &[request("/now").as_bytes(), b"\x81\x80"].concat()).await;
    let raw = soon(house.given.recv()).await.unwrap();
    assert_eq!(raw.leftover[..], b"\x81\x80"[..]);
    assert_eq!(raw.subprotocol.as_deref(), Some("x"));
    let RawTransport::Plain(RawSocket::Tcp(mut socket)) = raw.transport else { panic!() };
    // It is ours alone, does not block, and waits for no segment to be full.
    assert_eq!(socket.read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    assert!(socket.nodelay().unwrap());
    socket.write_all(&raw.response).unwrap();
    drop(socket);
    let said = answer(tcp).await;
    assert!(said.starts_with("HTTP/1.1 101 "), "{said}");
    assert!(said.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{said}");
    assert!(said.ends_with("\r\n\r\n"), "{said}");
}

#[tokio::test]
async fn a_request_in_pieces_is_accepted_when_it_is_whole() {
    let (server, addr) = bind().await;
    let mut house = house(server);
    let request = request("/now");
    let (first, second) = request.split_at(30);
    let mut tcp = ask(addr, first.as_bytes()).await;
    sleep(Duration::from_millis(50)).await;
    tcp.write_all(second.as_bytes()).await.unwrap();
    let raw = soon(house.given.recv()).await.unwrap();
    assert!(raw.response.starts_with(b"HTTP/1.1 101 "));
    assert!(matches!(raw.transport, RawTransport::Plain(RawSocket::Tcp(_))));
}

#[tokio::test]
async fn over_tls_it_is_accepted_in_the_task_of_its_connection() {
    let made = certificate();
    let (server, addr) = bind().await;
    let mut house = house(server.tls(made.certificate.as_bytes(), made.key.as_bytes()).unwrap());
    let client = Client::builder().root_certificate_pem(made.certificate.as_bytes());
    let client = client.subprotocols(["x"]).build().unwrap();
    let url = format!("wss://localhost:{}/now", addr.port());
    let tcp = TcpStream::connect(addr).await.unwrap();
    let connecting =
        tokio::spawn(async move { client.connect_tls_over(tcp, &url).await.map(drop) });
    let mut raw = soon(house.given.recv()).await.unwrap();
    let response = std::mem::take(&mut raw.response);
    let RawTransport::Tls(RawSocket::Tcp(mut socket), mut session) = raw.transport else {
        panic!()
    };
    session.writer().write_all(&response).unwrap();
    while session.wants_write() {
        session.write_tls(&mut socket).unwrap();
    }
    soon(connecting).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_is_given_back_is_answered_by_the_closure_that_may_wait() {
    let (server, addr) = bind().await;
    let mut house = house(server);
    let mut socket = soon(taiwa::connect(&format!("ws://{addr}/later"))).await.unwrap();
    assert_eq!(soon(socket.recv()).await.unwrap().unwrap().as_text(), Some("welcome"));
    assert_eq!(house.later.recv().await.as_deref(), Some("/later"));
    // It is asked once, whether it came whole or in pieces.
    assert_eq!(house.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn all_else_is_served_as_ever() {
    let (server, addr) = bind().await;
    let house = house(server);
    for (request, expected) in [
        ("GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "page /x"),
        ("GET /x HTTP/1.1\r\nHost: a\nConnection: close\r\n\r\n", "HTTP/1.1 400 "),
        (&request("/now").replace("Version: 13", "Version: 12"), "HTTP/1.1 426 "),
        (&request("/now").replace("Host: localhost", "Host: a\r\nOrigin: http://b"), " 403 "),
    ] {
        let said = answer(ask(addr, request.as_bytes()).await).await;
        assert!(said.contains(expected), "{request:?} {said:?}");
    }
    assert_eq!(house.asked.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn one_that_is_dropped_or_panics_is_closed_and_no_other() {
    let (server, addr) = bind().await;
    let mut house = house(server);
    for path in ["/drop", "/panic"] {
        // At the end of which there may be a reset.
        let mut tcp = ask(addr, request(path).as_bytes()).await;
        let mut all = vec![];
        let _ = soon(tcp.read_to_end(&mut all)).await;
        assert_eq!(all, b"", "{path}");
    }
    assert_eq!(soon(house.errors.recv()).await.as_deref(), Some("panicked: no idea"));
    let _tcp = ask(addr, request("/now").as_bytes()).await;
    assert!(soon(house.given.recv()).await.is_some());
}

#[tokio::test]
async fn those_that_were_accepted_count_among_the_connections() {
    let (server, addr) = bind().await;
    let mut house = house(server.connections_max(1));
    let _first = ask(addr, request("/now").as_bytes()).await;
    let held = soon(house.given.recv()).await.unwrap();
    let said = answer(ask(addr, request("/now").as_bytes()).await).await;
    assert!(said.starts_with("HTTP/1.1 503 "), "{said}");
    drop(held);
    let _second = ask(addr, request("/now").as_bytes()).await;
    assert!(soon(house.given.recv()).await.is_some());
}

#[tokio::test]
async fn a_refusal_goes_out_in_place_of_the_response() {
    let (server, addr) = bind().await;
    let mut house = house(server);
    let tcp = ask(addr, request("/now").as_bytes()).await;
    let mut gone = http::Response::new(Bytes::from_static(b"later\n"));
    *gone.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
    soon(house.given.recv()).await.unwrap().refuse(gone);
    let said = answer(tcp).await;
    assert!(said.starts_with("HTTP/1.1 503 ") && said.ends_with("\r\n\r\nlater\n"), "{said}");
    assert!(said.contains("Connection: close\r\n"), "{said}");
}

#[tokio::test]
async fn only_what_is_to_be_decided_at_once_can_be_accepted_so() {
    let (server, addr) = bind().await;
    let (tell, mut told) = unbounded_channel();
    run(server.serve(move |upgrade: Upgrade| {
        tell.send(upgrade.accept_raw_at_once().map(drop)).unwrap();
        async { Ok::<(), Error>(()) }
    }));
    let _tcp = ask(addr, request("/").as_bytes()).await;
    assert!(matches!(soon(told.recv()).await, Some(Err(Error::ResponseExpected))));
}

#[tokio::test]
async fn who_says_nothing_for_a_while_is_let_in_when_something_comes() {
    let (server, addr) = bind().await;
    let mut house = house(server);
    // Longer than the kernel is asked to keep connections back that say nothing.
    let mut silent = TcpStream::connect(addr).await.unwrap();
    sleep(Duration::from_millis(2500)).await;
    silent.write_all(request("/now").as_bytes()).await.unwrap();
    assert!(soon(house.given.recv()).await.is_some());
}

#[tokio::test]
async fn who_never_says_anything_is_told_so_in_the_end() {
    let (server, addr) = bind().await;
    let _house = house(server.deadlines(Deadlines {
        handshake: Some(Duration::from_millis(200)),
        ..Deadlines::default()
    }));
    let said = answer(TcpStream::connect(addr).await.unwrap()).await;
    assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
}
