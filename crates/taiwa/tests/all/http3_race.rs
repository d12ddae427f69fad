//! HTTP/3 and TCP in a race: who wins, what is said of it and remembered, and where else an origin is served.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use http::Version;
use taiwa::{
    Client, ClientBuilder, Error, Http3, Server, Sharing, Upgrade, VersionStep, VersionSteps,
    WebSocket,
};
use tokio::net::{TcpListener, UdpSocket};

use super::{
    bind, run, soon,
    tls::{Certificate, certificate},
};

const LONG: Duration = Duration::from_secs(60);

struct Peer {
    root: String,
    port: u16,
}

impl Peer {
    async fn new() -> Self {
        Self::with(certificate(), |it| it.http3(Http3::default())).await
    }

    async fn without_http3() -> Self {
        Self::with(certificate(), |it| it).await
    }

    /// A server that says to each WebSocket at which alternative it was asked for.
    async fn with(of: Certificate, settings: impl FnOnce(Server) -> Server) -> Self {
        let Certificate { certificate, key } = of;
        let (server, addr) = bind().await;
        let server = server.tls(certificate.as_bytes(), key.as_bytes()).unwrap();
        run(settings(server).serve(move |mut upgrade: Upgrade| async move {
            if upgrade.uri().path() == "/misdirected" && upgrade.version() == Version::HTTP_3 {
                return upgrade.reject(421, "not here").await;
            }
            if upgrade.uri().path() == "/clear" {
                let clear = http::HeaderValue::from_static("clear");
                upgrade.response_headers().insert("alt-svc", clear);
            }
            let used = upgrade.headers().get("alt-used");
            let used = used.map(|it| it.to_str().unwrap()).unwrap_or("none").to_owned();
            let mut socket = upgrade.accept().await?;
            socket.send(used).await?;
            while socket.recv().await?.is_some() {}
            Ok::<(), Error>(())
        }));
        Self { root: certificate, port: addr.port() }
    }

    fn url(&self, path: &str) -> String {
        format!("wss://localhost:{}{path}", self.port)
    }

    /// A client that was told where HTTP/3 is.
    fn told(&self, alt_svc: &str, sharing: Sharing) -> ClientBuilder {
        let trusting = Client::builder().root_certificate_pem(self.root.as_bytes());
        trusting.sharing(sharing).alt_svc(&self.url("/"), alt_svc)
    }
}

/// HTTP/3 has so long before TCP is tried, and so long in all.
fn times(http3_head_start: Duration, http3_within: Duration) -> Sharing {
    Sharing { http3_head_start, http3_within, ..Sharing::default() }
}

/// A socket that takes datagrams and says nothing, as networks do that lose what is UDP.
async fn silence() -> (UdpSocket, u16) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

async fn open(client: &Client, url: &str) -> (WebSocket, Version, Vec<VersionStep>) {
    let (socket, response) = soon(client.open(url)).await.expect("it opens");
    let VersionSteps(steps) = response.extensions().get().expect("it is there for wss");
    assert!(steps.is_sorted_by_key(|it| it.0), "{steps:?}");
    (socket, response.version(), steps.iter().map(|it| it.1.clone()).collect())
}

async fn says(socket: &mut WebSocket, expected: &str) {
    let said = soon(socket.recv()).await.expect("it talks").expect("it is open");
    assert_eq!(said, expected.into());
}

fn began(at: &str) -> VersionStep {
    VersionStep::Http3Began { at: at.to_owned() }
}

#[tokio::test]
async fn tcp_carries_the_websocket_where_udp_is_silent_once_http_3_had_its_head_start() {
    let (silent, port) = silence().await;
    let peer = Peer::without_http3().await;
    let head_start = Duration::from_millis(300);
    let client = peer.told(&format!(r#"h3=":{port}""#), times(head_start, LONG)).build().unwrap();
    let (mut socket, response) = soon(client.open(&peer.url("/"))).await.expect("by TCP");
    assert_eq!(response.version(), Version::HTTP_2);
    says(&mut socket, "none").await;
    let VersionSteps(steps) = response.extensions().get().unwrap();
    let at = format!("localhost:{port}");
    let expected = [
        began(&at),
        VersionStep::TcpBegan,
        VersionStep::Ready(Version::HTTP_2),
        VersionStep::Http3Outrun { at },
    ];
    assert!(steps.iter().map(|it| &it.1).eq(&expected), "{steps:?}");
    assert!(steps[1].0 >= head_start, "{steps:?}");
    assert!(silent.try_recv(&mut [0; 2000]).unwrap() >= 1200, "it was tried");
    // Nobody waits for it again while that attempt goes on.
    let (_other, version, steps) = open(&client, &peer.url("/")).await;
    assert_eq!((version, steps), (Version::HTTP_2, vec![VersionStep::Shared(Version::HTTP_2)]));
}

#[tokio::test]
async fn silence_is_remembered_for_a_while_and_forgotten_in_another_network() {
    let (_silent, port) = silence().await;
    let peer = Peer::without_http3().await;
    let sharing = times(LONG, Duration::from_millis(200));
    let value = format!(r#"h3=":{port}"; persist=1"#);
    let client = peer.told(&value, sharing.clone()).build().unwrap();
    for network in 0..2 {
        let (_socket, version, steps) = open(&client, &peer.url("/")).await;
        assert_eq!((version, &steps[0]), (Version::HTTP_2, &began(&format!("localhost:{port}"))));
        assert!(matches!(steps[1], VersionStep::Http3Failed { .. }), "{network}: {steps:?}");
        let (_socket, version, steps) = open(&client, &peer.url("/")).await;
        assert_eq!((version, steps.len()), (Version::HTTP_2, 2), "{steps:?}");
        assert!(matches!(steps[0], VersionStep::Http3Avoided { .. }), "{network}: {steps:?}");
        client.network_changed();
    }
    // Without a memory it is tried each time.
    let sharing = Sharing { remembered_for: Duration::ZERO, ..sharing };
    let client = peer.told(&value, sharing).build().unwrap();
    for _ in 0..2 {
        let (_socket, _, steps) = open(&client, &peer.url("/")).await;
        assert!(matches!(steps[1], VersionStep::Http3Failed { .. }), "{steps:?}");
    }
}

#[tokio::test]
async fn http_3_that_is_ready_in_time_is_used_without_tcp() {
    let peer = Peer::new().await;
    let value = format!(r#"h3=":{}""#, peer.port);
    let client = peer.told(&value, times(LONG, LONG)).build().unwrap();
    let (mut socket, version, steps) = open(&client, &peer.url("/")).await;
    let at = format!("localhost:{}", peer.port);
    says(&mut socket, &at).await;
    assert_eq!(version, Version::HTTP_3);
    assert_eq!(steps, [began(&at), VersionStep::Ready(Version::HTTP_3)]);
}

#[tokio::test]
async fn http_3_wins_where_tcp_stalls_or_fails() {
    let peer = Peer::new().await;
    let value = format!(r#"h3=":{}""#, peer.port);
    let at = format!("localhost:{}", peer.port);
    for stalls in [true, false] {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = Peer { root: peer.root.clone(), port: tcp.local_addr().unwrap().port() };
        let accepting = async move {
            let mut accepted = Vec::new();
            while let Ok((io, _)) = tcp.accept().await {
                if stalls {
                    accepted.push(io);
                }
            }
        };
        tokio::spawn(accepting);
        let client = origin.told(&value, times(Duration::ZERO, LONG)).build().unwrap();
        let (mut socket, version, steps) = open(&client, &origin.url("/")).await;
        says(&mut socket, &at).await;
        assert_eq!((version, &steps[0]), (Version::HTTP_3, &began(&at)));
        assert_eq!(steps.last(), Some(&VersionStep::Ready(Version::HTTP_3)));
        if stalls {
            // Unless HTTP/3 was ready at once.
            assert!(
                !steps.iter().any(|it| matches!(it, VersionStep::TcpFailed { .. })),
                "{steps:?}"
            );
        }
    }
}

/// Forwards datagrams between one client at a time and a server, once it is let. To the next client the way is open.
async fn relay(to: u16, open: Arc<AtomicBool>) -> u16 {
    let (front, port) = silence().await;
    let back = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    back.connect(("127.0.0.1", to)).await.unwrap();
    tokio::spawn(async move {
        let (mut client, mut left): (Option<SocketAddr>, Option<SocketAddr>) = (None, None);
        let (mut inwards, mut outwards) = ([0; 2048], [0; 2048]);
        loop {
            tokio::select! {
                Ok((len, from)) = front.recv_from(&mut inwards) => {
                    if left == Some(from) {
                        continue;
                    }
                    if let Some(before) = client.replace(from).filter(|it| *it != from) {
                        left = Some(before);
                        open.store(true, SeqCst);
                    }
                    if open.load(SeqCst) {
                        let _ = back.send(&inwards[..len]).await;
                    }
                }
                Ok(len) = back.recv(&mut outwards) => {
                    if let Some(client) = client.filter(|_| open.load(SeqCst)) {
                        let _ = front.send_to(&outwards[..len], client).await;
                    }
                }
            }
        }
    });
    port
}

#[tokio::test]
async fn http_3_that_was_outrun_carries_those_that_come_later() {
    let peer = Peer::new().await;
    let is_open = Arc::new(AtomicBool::new(false));
    let port = relay(peer.port, Arc::clone(&is_open)).await;
    let at = format!("localhost:{port}");
    // Told by the server itself it would be another port.
    let alone = Peer::without_http3().await;
    let both = Client::builder()
        .root_certificate_pem(alone.root.as_bytes())
        .root_certificate_pem(peer.root.as_bytes())
        .sharing(times(Duration::from_millis(50), LONG))
        .alt_svc(&alone.url("/"), &format!(r#"h3=":{port}""#))
        .build()
        .unwrap();
    let (mut socket, version, steps) = open(&both, &alone.url("/")).await;
    assert_eq!(
        (version, steps.last()),
        (Version::HTTP_2, Some(&VersionStep::Http3Outrun { at: at.clone() }))
    );
    says(&mut socket, "none").await;
    is_open.store(true, SeqCst);
    soon(async {
        loop {
            let (mut socket, version, steps) = open(&both, &alone.url("/")).await;
            if version == Version::HTTP_3 {
                says(&mut socket, &at).await;
                return assert_eq!(steps, [VersionStep::Shared(Version::HTTP_3)]);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_connection_of_http_3_that_died_in_silence_is_replaced_within_the_deadline() {
    let peer = Peer::new().await;
    let is_open = Arc::new(AtomicBool::new(true));
    let port = relay(peer.port, Arc::clone(&is_open)).await;
    let client = peer.told(&format!(r#"h3=":{port}""#), times(LONG, LONG)).build().unwrap();
    let (_first, version, _) = open(&client, &peer.url("/")).await;
    assert_eq!(version, Version::HTTP_3);
    is_open.store(false, SeqCst);
    let (mut socket, _, steps) = open(&client, &peer.url("/")).await;
    says(&mut socket, &format!("localhost:{port}")).await;
    assert_eq!(steps[0], VersionStep::Shared(Version::HTTP_3));
    assert!(matches!(steps[1], VersionStep::Unprocessed { .. }), "{steps:?}");
    assert_eq!(steps[3..], [VersionStep::Ready(Version::HTTP_3)], "{steps:?}");
}

#[tokio::test]
async fn an_alternative_on_another_host_needs_the_certificate_of_the_origin() {
    let origin = Peer::without_http3().await;
    let right = Peer::new().await;
    let made = rcgen::generate_simple_self_signed(["other.example".to_owned()]).unwrap();
    let made = Certificate { certificate: made.cert.pem(), key: made.signing_key.serialize_pem() };
    let wrong = Peer::with(made, |it| it.http3(Http3::default())).await;
    for (other, is_right) in [(&right, true), (&wrong, false)] {
        let at = format!("other.example:{}", other.port);
        let client = origin
            .told(&format!(r#"h3="{at}""#), times(LONG, LONG))
            .root_certificate_pem(right.root.as_bytes())
            .root_certificate_pem(wrong.root.as_bytes())
            .resolver(|_, port| async move { Ok(vec![([127, 0, 0, 1], port).into()]) })
            .build()
            .unwrap();
        let (mut socket, version, steps) = open(&client, &origin.url("/")).await;
        assert_eq!(steps[0], began(&at));
        if is_right {
            says(&mut socket, &at).await;
            assert_eq!(version, Version::HTTP_3);
        } else {
            says(&mut socket, "none").await;
            assert_eq!(version, Version::HTTP_2);
            assert!(matches!(steps[1], VersionStep::Http3Failed { .. }), "{steps:?}");
        }
    }
}

#[tokio::test]
async fn what_a_response_says_replaces_what_was_said_before() {
    let (_silent, port) = silence().await;
    let peer = Peer::without_http3().await;
    let sharing = times(LONG, Duration::from_millis(200));
    let client = peer.told(&format!(r#"h3=":{port}""#), sharing).build().unwrap();
    let (_socket, _, steps) = open(&client, &peer.url("/clear")).await;
    assert_eq!(steps[0], began(&format!("localhost:{port}")));
    let (_socket, _, steps) = open(&client, &peer.url("/")).await;
    assert_eq!(steps, [VersionStep::Shared(Version::HTTP_2)]);
}

#[tokio::test]
async fn an_alternative_that_does_not_serve_the_origin_is_left() {
    let peer = Peer::new().await;
    let at = format!("localhost:{}", peer.port);
    let value = format!(r#"h3=":{}""#, peer.port);
    let client = peer.told(&value, times(LONG, LONG)).build().unwrap();
    let (_socket, version, steps) = open(&client, &peer.url("/misdirected")).await;
    let expected =
        [began(&at), VersionStep::Ready(Version::HTTP_3), VersionStep::Http3Misdirected { at }];
    assert_eq!((version, &steps[..3]), (Version::HTTP_2, &expected[..]));
    let (_socket, version, _) = open(&client, &peer.url("/")).await;
    assert_eq!(version, Version::HTTP_2);
}

#[test]
fn what_is_told_of_an_alternative_must_be_right() {
    for (url, value) in
        [("ws://localhost/", r#"h3=":1""#), ("wss://localhost/", "h3"), ("nowhere", "clear")]
    {
        let built = Client::builder().alt_svc(url, value).build();
        assert!(matches!(built, Err(Error::Request(_))), "{url} {value}");
    }
}
