//! Upgrades that are taken in pieces.

use std::{
    io::{Read, Write},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use taiwa::{
    Client, Config, Error, Network, RawConnection, RawSocket, RawTransport, Server, Sockets,
    Upgrade,
};
use taiwa_proto::{Event, Input, Pool};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
};

use super::{bind, run, soon, tls::certificate};

/// Serves, and gives out what it accepts.
fn raw(server: Server) -> UnboundedReceiver<RawConnection> {
    let (give, given) = unbounded_channel();
    run(server.serve(move |upgrade: Upgrade| {
        let give = give.clone();
        async move {
            let _ = give.send(upgrade.subprotocol(["x"]).accept_raw().await?);
            Ok::<(), Error>(())
        }
    }));
    given
}

fn request(target: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

const HELLO: &[u8] = b"\x81\x85\0\0\0\0hello";

/// Reads a message out of what lies behind the handshake, and then one from the socket itself.
#[track_caller]
fn check(raw: &mut RawConnection, mut socket: impl Read, expected: &str) {
    let (now, mut pool) = (Instant::now(), Pool::new(|_| ()));
    let deadline = now + Duration::from_secs(20);
    let mut bytes = raw.leftover.to_vec();
    loop {
        let mut input = Input::new(&mut bytes);
        if let Some(event) = raw.connection.receive(&mut input, now, &mut pool) {
            let Event::Message(payload) = event else { panic!("{event:?}") };
            assert_eq!(payload.into_message().as_text(), Some(expected));
            return raw.leftover.clear();
        }
        bytes = vec![0; 1000];
        let n = match socket.read(&mut bytes) {
            Ok(n) => n,
            // It does not block.
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => 0,
            Err(error) => panic!("{error}"),
        };
        bytes.truncate(n);
        assert!(Instant::now() < deadline, "nothing comes");
    }
}

#[tokio::test]
async fn over_tcp_it_is_the_socket_and_what_was_read_behind_the_request() {
    let (server, addr) = bind().await;
    let mut given = raw(server);
    let mut tcp = TcpStream::connect(addr).await.unwrap();
    soon(tcp.write_all(&[request("/").as_bytes(), HELLO].concat())).await.unwrap();
    let mut it = soon(given.recv()).await.unwrap();
    check(&mut it, std::io::empty(), "hello");
    let RawTransport::Plain(RawSocket::Tcp(mut socket)) = it.transport else { panic!("{it:?}") };
    assert_eq!(socket.peer_addr().unwrap(), tcp.local_addr().unwrap());
    // It is ours alone, and does not block.
    let block = socket.read(&mut [0]).unwrap_err();
    assert_eq!(block.kind(), std::io::ErrorKind::WouldBlock);
    socket.write_all(b"direct").unwrap();
    drop(socket);
    let mut all = String::new();
    soon(tcp.read_to_string(&mut all)).await.unwrap();
    assert!(all.starts_with("HTTP/1.1 101 ") && all.ends_with("\r\n\r\ndirect"), "{all}");
}

#[tokio::test]
async fn behind_other_requests_on_the_same_connection_it_is_the_socket_as_well() {
    let (server, addr) = bind().await;
    let mut given = raw(server.http(|_| async { http::Response::new(Empty::<Bytes>::new()) }));
    let mut tcp = TcpStream::connect(addr).await.unwrap();
    let plain = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    soon(tcp.write_all(&[plain, request("/").as_bytes(), HELLO].concat())).await.unwrap();
    let mut it = soon(given.recv()).await.unwrap();
    assert!(matches!(it.transport, RawTransport::Plain(RawSocket::Tcp(_))), "{it:?}");
    check(&mut it, std::io::empty(), "hello");
}

#[tokio::test]
async fn a_header_of_a_proxy_stays_in_front() {
    let (server, addr) = bind().await;
    let mut given = raw(server.proxy_protocol([Network::parse("127.0.0.1").unwrap()]));
    let mut tcp = TcpStream::connect(addr).await.unwrap();
    let header = b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n";
    let request = request(&format!("/{}", "x".repeat(3000)));
    soon(tcp.write_all(&[header, request.as_bytes(), HELLO].concat())).await.unwrap();
    let mut it = soon(given.recv()).await.unwrap();
    assert!(matches!(it.transport, RawTransport::Plain(RawSocket::Tcp(_))), "{it:?}");
    check(&mut it, std::io::empty(), "hello");
}

#[tokio::test]
async fn over_tls_it_is_the_socket_and_the_session() {
    let made = certificate();
    for proxied in [false, true] {
        let (server, addr) = bind().await;
        let server = server.tls(made.certificate.as_bytes(), made.key.as_bytes()).unwrap();
        let mut given = raw(match proxied {
            true => server.proxy_protocol([Network::parse("127.0.0.1").unwrap()]),
            false => server,
        });
        let mut tcp = TcpStream::connect(addr).await.unwrap();
        if proxied {
            soon(tcp.write_all(b"PROXY UNKNOWN\r\n")).await.unwrap();
        }
        let pem = made.certificate.as_bytes();
        let client = Client::builder().root_certificate_pem(pem).subprotocols(["x"]);
        let url = format!("wss://localhost:{}/", addr.port());
        let client = client.build().unwrap();
        let (mut socket, _) = soon(client.connect_tls_over(tcp, &url)).await.unwrap();
        let mut it = soon(given.recv()).await.unwrap();
        assert_eq!(it.subprotocol.as_deref(), Some("x"));
        soon(socket.send("hello")).await.unwrap();
        let RawTransport::Tls(RawSocket::Tcp(mut tcp), mut session) =
            std::mem::replace(&mut it.transport, RawTransport::Other(Box::new(tokio::io::empty())))
        else {
            panic!("{it:?}")
        };
        tcp.set_nonblocking(false).unwrap();
        tcp.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let stream = rustls::Stream::new(&mut *session, &mut tcp);
        check(&mut it, stream, "hello");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn over_a_unix_socket_it_is_the_socket() {
    let folder = super::tools::Folder::new();
    let path = folder.0.join("a.sock");
    let mut given = raw(Server::bind_unix(&path).await.unwrap());
    let mut unix = tokio::net::UnixStream::connect(&path).await.unwrap();
    soon(unix.write_all(&[request("/").as_bytes(), HELLO].concat())).await.unwrap();
    let mut it = soon(given.recv()).await.unwrap();
    assert!(matches!(it.transport, RawTransport::Plain(RawSocket::Unix(_))), "{it:?}");
    check(&mut it, std::io::empty(), "hello");
}

#[tokio::test]
async fn behind_hyper_it_is_the_socket_or_what_hyper_has() {
    let (server, addr) = bind().await;
    drop(server);
    let listener = tokio::net::TcpListener::bind(addr).await.unwrap();
    for is_socket in [true, false] {
        let sockets = Sockets::builder().config(Config::default()).sockets_max(1).build();
        let (give, mut given) = unbounded_channel();
        let service = service_fn(|mut request: Request<Incoming>| {
            let (sockets, give) = (sockets.clone(), give.clone());
            async move {
                let (response, opens) = sockets.upgrade(&mut request)?.respond_raw()?;
                tokio::spawn(async move { give.send(opens.await.unwrap()).unwrap() });
                Ok::<Response<Empty<Bytes>>, taiwa::Rejection>(response)
            }
        });
        let mut tcp = TcpStream::connect(addr).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        soon(tcp.write_all(&[request("/").as_bytes(), HELLO].concat())).await.unwrap();
        let http = http1::Builder::new();
        if is_socket {
            soon(http.serve_connection(TokioIo::new(accepted), service).with_upgrades()).await
        } else {
            let io = TokioIo::new(tokio::io::BufStream::new(accepted));
            soon(http.serve_connection(io, service).with_upgrades()).await
        }
        .unwrap();
        let mut it = soon(given.recv()).await.unwrap();
        // It has its seat as long as it lasts.
        assert_eq!(sockets.open(), 1);
        match &mut it.transport {
            RawTransport::Plain(RawSocket::Tcp(_)) if is_socket => {
                check(&mut it, std::io::empty(), "hello");
            }
            RawTransport::Other(io) if !is_socket => {
                let mut bytes = [0; 11];
                soon(io.read_exact(&mut bytes)).await.unwrap();
                assert_eq!(bytes, HELLO);
            }
            transport => panic!("{transport:?}"),
        }
        drop(it);
        assert_eq!(sockets.open(), 0);
    }
}
