//! The client over HTTP/3: forced, found by `Alt-Svc`, shared, missed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use http::Version;
use taiwa::{
    Client, ClientBuilder, CloseCode, Error, HandshakeFault, HandshakeMisuse, Http3, HttpVersion,
    Proxy, Server, Sharing, Upgrade, VersionReason, WebSocket,
};
use tokio::{net::UdpSocket, time::sleep};

use super::{
    bind, echo_over, run, soon,
    tls::{Certificate, certificate},
};

struct Peer {
    certificate: String,
    port: u16,
    /// The most messages that a flooded client was sent.
    flooded: Arc<AtomicUsize>,
    /// How the last WebSocket of `/closed` was closed.
    closed: tokio::sync::watch::Sender<Option<CloseCode>>,
}

impl Peer {
    async fn with(settings: impl FnOnce(Server) -> Server) -> Self {
        let Certificate { certificate, key } = certificate();
        let (server, addr) = bind().await;
        let server = server.tls(certificate.as_bytes(), key.as_bytes()).unwrap();
        let (flooded, closed) =
            (Arc::new(AtomicUsize::new(0)), tokio::sync::watch::Sender::new(None));
        let (count, tell) = (Arc::clone(&flooded), closed.clone());
        run(settings(server).serve(move |upgrade: Upgrade| {
            let (count, tell) = (Arc::clone(&count), tell.clone());
            async move {
                match upgrade.uri().path() {
                    "/refused" => upgrade.reject(401, "token please").await,
                    "/moved" => {
                        let moved = http::Response::builder().status(302).header("location", "/");
                        upgrade.reject_with(moved.body(Default::default()).unwrap()).await
                    }
                    "/flood" => {
                        let mut socket = upgrade.accept().await?;
                        loop {
                            socket.send(vec![7; 10_000]).await?;
                            count.fetch_add(1, SeqCst);
                        }
                    }
                    "/closed" => {
                        let mut socket = upgrade.accept().await?;
                        while socket.recv().await?.is_some() {}
                        tell.send_replace(socket.closed().map(|it| it.code));
                        Ok(())
                    }
                    "/who" => {
                        let peer = upgrade.peer_addr().tcp().map(|it| it.to_string());
                        let mut socket = upgrade.accept().await?;
                        socket.send(peer.unwrap_or_default()).await?;
                        echo_over(socket).await
                    }
                    _ => echo_over(upgrade.accept().await?).await,
                }
            }
        }));
        Self { certificate, port: addr.port(), flooded, closed }
    }

    async fn new() -> Self {
        Self::with(|it| it.http3(Http3::default())).await
    }

    fn url(&self, path: &str) -> String {
        format!("wss://localhost:{}{path}", self.port)
    }

    fn trusting(&self) -> ClientBuilder {
        Client::builder().root_certificate_pem(self.certificate.as_bytes())
    }

    fn forced(&self) -> ClientBuilder {
        self.trusting().http_version(HttpVersion::Http3)
    }
}

async fn open(client: &Client, url: &str) -> (WebSocket, Version, VersionReason) {
    let (socket, response) = soon(client.open(url)).await.expect("it opens");
    let reason = *response.extensions().get::<VersionReason>().expect("it is always there");
    (socket, response.version(), reason)
}

async fn echoes(socket: &mut WebSocket, len: usize) {
    soon(socket.send(vec![7; len])).await.expect("it is taken");
    assert_eq!(soon(socket.recv()).await.expect("it answers"), Some(vec![7; len].into()));
}

#[tokio::test]
async fn http_3_that_is_forced_carries_websockets_which_share_a_connection() {
    let peer = Peer::new().await;
    let client = peer.forced().subprotocols(["a"]).compression(Default::default()).build().unwrap();
    let mut addresses = Vec::new();
    for reason in [VersionReason::Asked, VersionReason::Shared] {
        let (mut socket, version, why) = open(&client, &peer.url("/")).await;
        assert_eq!((version, why), (Version::HTTP_3, reason));
        echoes(&mut socket, 5).await;
        echoes(&mut socket, 300_000).await;
        addresses.push(socket.peer_addr().expect("it is known").port());
        let closed = soon(socket.close(CloseCode::NORMAL, "done")).await.unwrap();
        assert!(closed.clean);
    }
    assert_eq!(addresses, [peer.port, peer.port]);
}

#[tokio::test]
async fn http_3_that_a_response_offered_is_used_from_then_on() {
    let peer = Peer::new().await;
    // However busy the machine is, TCP is not to be first.
    let sharing = Sharing {
        http3_head_start: Duration::from_secs(60),
        http3_within: Duration::from_secs(60),
        ..Sharing::default()
    };
    let client = peer.trusting().sharing(sharing).build().unwrap();
    let mut sockets = Vec::new();
    for (version, reason) in [
        (Version::HTTP_2, VersionReason::Negotiated),
        (Version::HTTP_3, VersionReason::AltSvc),
        (Version::HTTP_3, VersionReason::Shared),
    ] {
        let (mut socket, was, why) = open(&client, &peer.url("/")).await;
        assert_eq!((was, why), (version, reason));
        echoes(&mut socket, 5).await;
        sockets.push(socket);
    }
    for socket in &mut sockets {
        echoes(socket, 5).await;
    }
    let http1 = peer.trusting().http_version(HttpVersion::Http1).build().unwrap();
    for _ in 0..2 {
        assert_eq!(open(&http1, &peer.url("/")).await.1, Version::HTTP_11);
    }
}

#[tokio::test]
async fn an_offer_that_leads_nowhere_costs_a_moment() {
    // It takes datagrams and says nothing, as networks do that lose what is UDP.
    let nobody = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let announced_port = Some(nobody.local_addr().unwrap().port());
    let peer = Peer::with(|it| it.http3(Http3 { announced_port, ..Http3::default() })).await;
    let client = peer.trusting().build().unwrap();
    let (_first, ..) = open(&client, &peer.url("/")).await;
    let (mut socket, version, reason) = open(&client, &peer.url("/")).await;
    assert_eq!((version, reason), (Version::HTTP_2, VersionReason::Shared));
    echoes(&mut socket, 5).await;
    assert_eq!(open(&client, &peer.url("/")).await.1, Version::HTTP_2);
    assert!(nobody.try_recv(&mut [0; 2000]).unwrap() >= 1200, "it was tried");
}

#[tokio::test]
async fn who_comes_at_once_shares_one_connection() {
    let peer = Peer::new().await;
    let client = peer.forced().build().unwrap();
    let mut opening = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (client, url) = (client.clone(), peer.url("/"));
        opening.spawn(async move {
            let (mut socket, _, reason) = open(&client, &url).await;
            echoes(&mut socket, 5).await;
            reason
        });
    }
    let reasons = opening.join_all().await;
    assert_eq!(reasons.iter().filter(|it| **it == VersionReason::Asked).count(), 1);
}

#[tokio::test]
async fn what_can_not_be_carried_over_http_3_is_refused_when_it_is_forced() {
    let peer = Peer::new().await;
    let client = peer.forced().build().unwrap();
    let is_misuse = |error: &Error| matches!(error, Error::Request(HandshakeMisuse::HttpVersion));
    for url in [format!("ws://localhost:{}/", peer.port), "wss+unix:/nowhere.sock:/".to_owned()] {
        let error = soon(client.open(&url)).await.unwrap_err();
        assert!(is_misuse(&error), "{url}: {error:?}");
    }
    let (io, _other) = tokio::io::duplex(1000);
    let error = soon(client.connect_over(io, &peer.url("/"))).await.unwrap_err();
    assert!(is_misuse(&error), "{error:?}");
    let proxy = Proxy::parse("http://127.0.0.1:1").unwrap();
    let behind = peer.forced().proxy(proxy).build().unwrap();
    let error = soon(behind.open(&peer.url("/"))).await.unwrap_err();
    assert!(is_misuse(&error), "{error:?}");
}

#[tokio::test]
async fn a_server_without_websockets_or_without_trust_is_told_from_others() {
    let peer = Peer::with(|it| it.http3(Http3 { websockets: false, ..Http3::default() })).await;
    let error = soon(peer.forced().build().unwrap().open(&peer.url("/"))).await.unwrap_err();
    let missing = HandshakeFault::NoExtendedConnect;
    assert!(matches!(error, Error::Handshake(it) if it == missing), "{error:?}");
    // Otherwise another version is found, twice, and the connections are not left behind.
    let client = peer.trusting().build().unwrap();
    for _ in 0..2 {
        assert_eq!(open(&client, &peer.url("/")).await.1, Version::HTTP_2);
    }
    let stranger = Client::builder().http_version(HttpVersion::Http3).build().unwrap();
    let error = soon(stranger.open(&peer.url("/"))).await.unwrap_err();
    assert!(matches!(error, Error::Tls(_)), "{error:?}");
}

#[tokio::test]
async fn refusals_and_redirects_are_as_over_http_1() {
    let peer = Peer::new().await;
    let client = peer.forced().redirects(1).build().unwrap();
    let error = soon(client.open(&peer.url("/refused"))).await.unwrap_err();
    let Error::Refused(response) = error else { panic!("{error:?}") };
    assert_eq!((response.status().as_u16(), response.version()), (401, Version::HTTP_3));
    assert_eq!(&response.body()[..], b"token please");
    let (mut socket, response) = soon(client.open(&peer.url("/moved"))).await.unwrap();
    let taiwa::FinalUrl(at) = response.extensions().get().unwrap();
    assert_eq!((at.path(), response.version()), ("/", Version::HTTP_3));
    echoes(&mut socket, 5).await;
}

#[tokio::test]
async fn no_more_streams_are_opened_on_a_connection_than_either_end_wants() {
    for (theirs, ours) in [(2, 100), (100, 2)] {
        let limits = Http3 { streams_max: theirs, ..Http3::default() };
        let peer = Peer::with(|it| it.http3(limits)).await;
        let sharing = Sharing { streams_max: ours, ..Sharing::default() };
        let client = peer.forced().sharing(sharing).build().unwrap();
        let mut sockets = Vec::new();
        for _ in 0..5 {
            sockets.push(open(&client, &peer.url("/")).await);
        }
        let fresh = sockets.iter().filter(|(.., reason)| *reason == VersionReason::Asked).count();
        assert_eq!(fresh, 3, "{theirs} {ours}");
        for (socket, ..) in &mut sockets {
            echoes(socket, 5).await;
        }
    }
}

#[tokio::test]
async fn a_full_connection_is_used_again_when_streams_come_free() {
    let peer = Peer::with(|it| it.http3(Http3 { streams_max: 2, ..Http3::default() })).await;
    let client = peer.forced().build().unwrap();
    let (mut one, ..) = open(&client, &peer.url("/who")).await;
    let (mut other, ..) = open(&client, &peer.url("/who")).await;
    let (mut third, _, reason) = open(&client, &peer.url("/who")).await;
    assert_eq!(reason, VersionReason::Asked, "there was no room");
    let first = who(&mut one).await;
    assert_eq!(who(&mut other).await, first);
    assert_ne!(who(&mut third).await, first);
    soon(other.close(CloseCode::NORMAL, "")).await.unwrap();
    drop(other);
    soon(async {
        loop {
            let (mut again, ..) = open(&client, &peer.url("/who")).await;
            if who(&mut again).await == first {
                return;
            }
            soon(again.close(CloseCode::NORMAL, "")).await.unwrap();
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    echoes(&mut one, 5).await;
}

/// The port of the connection that a WebSocket is on, as its server says.
async fn who(socket: &mut WebSocket) -> String {
    let said = soon(socket.recv()).await.expect("it talks").expect("it is open");
    said.as_text().expect("a text").to_owned()
}

#[tokio::test]
async fn an_idle_connection_is_ended_and_the_next_websocket_gets_a_new_one() {
    let peer = Peer::new().await;
    let sharing = Sharing { idle_max: Duration::from_millis(200), ..Sharing::default() };
    let client = peer.forced().sharing(sharing).build().unwrap();
    let (mut socket, ..) = open(&client, &peer.url("/")).await;
    sleep(Duration::from_millis(500)).await;
    echoes(&mut socket, 5).await;
    soon(socket.close(CloseCode::NORMAL, "")).await.unwrap();
    drop(socket);
    sleep(Duration::from_millis(500)).await;
    let (mut socket, _, reason) = open(&client, &peer.url("/")).await;
    assert_eq!(reason, VersionReason::Asked);
    echoes(&mut socket, 5).await;
}

#[tokio::test]
async fn a_websocket_that_is_dropped_says_so_to_its_server() {
    let peer = Peer::new().await;
    let client = peer.forced().build().unwrap();
    let (socket, ..) = open(&client, &peer.url("/closed")).await;
    let mut closed = peer.closed.subscribe();
    drop(socket);
    soon(closed.wait_for(Option::is_some)).await.unwrap();
    assert_eq!(*peer.closed.borrow(), Some(CloseCode::GOING_AWAY));
}

#[tokio::test]
async fn one_paused_websocket_holds_back_none_of_its_99_siblings() {
    let peer = Peer::new().await;
    let client = peer.forced().build().unwrap();
    let (mut paused, ..) = open(&client, &peer.url("/flood")).await;
    let mut siblings = Vec::new();
    for _ in 0..99 {
        let (socket, _, reason) = open(&client, &peer.url("/")).await;
        assert_eq!(reason, VersionReason::Shared);
        siblings.push(socket);
    }
    for socket in &mut siblings {
        soon(socket.send(vec![7; 50_000])).await.unwrap();
    }
    for socket in &mut siblings {
        assert_eq!(soon(socket.recv()).await.unwrap(), Some(vec![7; 50_000].into()));
    }
    let before = peer.flooded.load(SeqCst);
    sleep(Duration::from_millis(200)).await;
    assert_eq!(peer.flooded.load(SeqCst), before, "nobody reads, so it waits");
    for _ in 0..before + 20 {
        assert!(soon(paused.recv()).await.unwrap().is_some());
    }
}
