//! Ways to a server: names and addresses, the race between them, TLS over any transport.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use taiwa::{Addr, Client, ClientBuilder, Deadline, Deadlines, Error, Upgrade, WebSocket};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::{authority::Authority, bind, echo_server, run, soon};

/// Says first how the request arrived, then echoes.
pub(crate) async fn witness(upgrade: Upgrade) -> Result<(), Error> {
    let header = |name| upgrade.headers().get(name).and_then(|it| it.to_str().ok()).unwrap_or("-");
    let told = format!(
        "{} host={} tls={} authorization={} x={} proxy-authorization={}",
        upgrade.uri(),
        upgrade.host(),
        upgrade.is_tls(),
        header("authorization"),
        header("x"),
        header("proxy-authorization"),
    );
    let mut socket = upgrade.accept().await?;
    socket.send(told).await?;
    while let Some(message) = socket.recv().await? {
        socket.send(message).await?;
    }
    Ok(())
}

pub(crate) async fn told(socket: &mut WebSocket) -> String {
    let message = soon(socket.recv()).await.unwrap().expect("the witness speaks first");
    message.as_text().unwrap().to_owned()
}

pub(crate) async fn echoes(socket: &mut WebSocket) {
    for len in [3, 100_000] {
        soon(socket.send(vec![7; len])).await.unwrap();
        assert_eq!(soon(socket.recv()).await.unwrap(), Some(vec![7; len].into()));
    }
}

/// The machine may have a proxy in its environment, which the names of tests are not for.
fn without_proxy() -> ClientBuilder {
    Client::builder().proxy(None)
}

/// A client whose resolver knows one answer to all questions, with the port that it is asked for.
pub(crate) fn resolving_to(addresses: Vec<SocketAddr>) -> ClientBuilder {
    without_proxy().resolver(move |_, _| {
        let addresses = addresses.clone();
        async move { Ok(addresses) }
    })
}

/// An address where nobody listens.
pub(crate) async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// A listener that takes in no more connections: its queue is full.
async fn black_hole() -> (SocketAddr, TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let listener = socket.listen(0).unwrap();
    let addr = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    let short = Duration::from_millis(200);
    while let Ok(connected) = tokio::time::timeout(short, TcpStream::connect(addr)).await {
        queued.push(connected.unwrap());
        assert!(queued.len() < 50, "the queue is never full");
    }
    (addr, listener, queued)
}

#[tokio::test]
async fn a_resolver_of_ones_own_is_asked_for_names_and_never_for_addresses() {
    let (server, addr) = bind().await;
    run(server.serve(witness));
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let client = without_proxy().resolver(move |host, port| {
        count.fetch_add(1, Ordering::Relaxed);
        assert_eq!((&*host, port), ("app.example", addr.port()));
        async move { Ok(vec![addr]) }
    });
    let client = client.build().unwrap();
    let url = format!("ws://app.example:{}/a?b", addr.port());
    let mut socket = soon(client.connect(&url)).await.unwrap();
    let host = format!("/a?b host=app.example:{} ", addr.port());
    assert!(told(&mut socket).await.starts_with(&host));
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    drop(soon(client.connect(&format!("ws://{addr}/"))).await.unwrap());
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn what_a_resolver_can_not_find_is_told() {
    let client = without_proxy().resolver(|_, _| async { Err(ErrorKind::NotFound.into()) });
    let error = soon(client.build().unwrap().connect("ws://app.example/")).await.unwrap_err();
    assert!(matches!(&error, Error::Io(it) if it.kind() == ErrorKind::NotFound), "{error:?}");
    assert_eq!(error.to_string(), "can't resolve app.example: entity not found");
    let client = resolving_to(Vec::new()).build().unwrap();
    let error = soon(client.connect("ws://app.example/")).await.unwrap_err();
    assert_eq!(error.to_string(), "app.example has no address");
}

#[tokio::test]
async fn an_address_that_is_silent_holds_up_the_next_one_for_a_quarter_of_a_second() {
    let (silent, listener, _queued) = black_hole().await;
    let good = echo_server().await;
    let client = resolving_to(vec![silent, good]).build().unwrap();
    let begun = Instant::now();
    let mut socket = soon(client.connect("ws://app.example/")).await.unwrap();
    assert!((250..5000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    assert_eq!(socket.peer_addr(), Some(good));
    echoes(&mut socket).await;
    drop(listener);
}

#[tokio::test]
async fn addresses_that_fail_are_passed_over_and_named_when_all_did() {
    let (one, two, good) = (nobody().await, nobody().await, echo_server().await);
    let client = resolving_to(vec![one, two, good]).build().unwrap();
    let socket = soon(client.connect("ws://app.example/")).await.unwrap();
    assert_eq!(socket.peer_addr(), Some(good));
    let client = resolving_to(vec![one, two]).build().unwrap();
    let error = soon(client.connect("ws://app.example/")).await.unwrap_err();
    assert!(matches!(&error, Error::Io(it) if it.kind() == ErrorKind::ConnectionRefused));
    let error = error.to_string();
    assert!([one, two].iter().all(|it| error.contains(&it.to_string())), "{error}");
}

#[tokio::test]
async fn resolving_and_connecting_count_for_the_handshakes_deadline() {
    let (silent, _listener, _queued) = black_hole().await;
    let handshake = Some(Duration::from_millis(600));
    let deadlines = Deadlines { handshake, ..Deadlines::default() };
    let never = without_proxy().resolver(|_, _| std::future::pending());
    for builder in [resolving_to(vec![silent, silent]), never] {
        let client = builder.deadlines(deadlines.clone()).build().unwrap();
        let begun = Instant::now();
        let error = soon(client.connect("ws://app.example/")).await.unwrap_err();
        assert!(matches!(error, Error::Late(Deadline::Handshake)), "{error:?}");
        assert!((600..5000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    }
}

/// Linux has all of 127.0.0.0/8.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_connection_comes_from_the_local_address() {
    let (server, addr) = bind().await;
    run(server.serve(|upgrade: Upgrade| async move {
        let Addr::Tcp(peer) = *upgrade.peer_addr() else { panic!("it is TCP") };
        upgrade.accept().await?.send(peer.ip().to_string()).await
    }));
    let client = Client::builder().local_address([127, 0, 0, 3].into()).build().unwrap();
    let mut socket = soon(client.connect(&format!("ws://{addr}/"))).await.unwrap();
    assert_eq!(told(&mut socket).await, "127.0.0.3");
    let client = Client::builder().local_address([192, 0, 2, 1].into()).build().unwrap();
    let error = soon(client.connect(&format!("ws://{addr}/"))).await.unwrap_err();
    assert!(matches!(&error, Error::Io(it) if it.kind() == ErrorKind::AddrNotAvailable));
}

/// A witness with TLS, and what to trust.
pub(crate) async fn secure_witness() -> (SocketAddr, Authority) {
    let authority = Authority::new();
    let identity = authority.server();
    let (server, addr) = bind().await;
    let server = server.tls(identity.chain.as_bytes(), identity.key.as_bytes()).unwrap();
    run(server.serve(witness));
    (addr, authority)
}

pub(crate) fn trusting(authority: &Authority) -> ClientBuilder {
    Client::builder().root_certificate_pem(authority.pem.as_bytes())
}

#[tokio::test]
async fn a_scheme_in_capitals_has_tls_all_the_same() {
    let (addr, authority) = secure_witness().await;
    let url = format!("WSS://localhost:{}/", addr.port());
    let mut socket = soon(trusting(&authority).build().unwrap().connect(&url)).await.unwrap();
    assert!(told(&mut socket).await.contains(" tls=true "));
}

#[tokio::test]
async fn tls_goes_over_a_transport_that_is_handed_in() {
    let (addr, authority) = secure_witness().await;
    let client = trusting(&authority).build().unwrap();
    let url = format!("wss://localhost:{}/x", addr.port());
    // Not a socket: a pipe, behind which bytes are carried on.
    let (near, mut far) = tokio::io::duplex(1000);
    let mut tcp = TcpStream::connect(addr).await.unwrap();
    tokio::spawn(async move { tokio::io::copy_bidirectional(&mut far, &mut tcp).await });
    let (mut socket, _) = soon(client.connect_tls_over(near, &url)).await.unwrap();
    assert!(told(&mut socket).await.starts_with("/x host=localhost:"));
    assert_eq!(socket.peer_addr(), None);
    echoes(&mut socket).await;
    // The certificate is for localhost.
    let tcp = TcpStream::connect(addr).await.unwrap();
    let error = soon(client.connect_tls_over(tcp, "wss://other.example/")).await.unwrap_err();
    assert!(matches!(error, Error::Tls(_)), "{error:?}");
}
