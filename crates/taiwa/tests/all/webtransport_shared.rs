//! WebTransport: connections that sessions share, and what is agreed on to speak in them.

use std::{collections::HashSet, net::SocketAddr, time::Duration};

use taiwa::{
    Error, HandshakeFault, Http3, Sharing, Upgrade,
    webtransport::{Client, ClientBuilder, Ending, Limits, Session, SessionRequest},
};
use tokio::sync::{Mutex, mpsc};

use super::{
    bind, soon,
    tls::{Certificate, certificate},
};

/// A server that hands each session out, and what its clients trust.
struct Place {
    url: String,
    root: String,
    sessions: Mutex<mpsc::Receiver<Session>>,
}

impl Place {
    async fn new(sessions_max: usize) -> Self {
        Self::with(sessions_max, certificate()).await
    }

    async fn with(sessions_max: usize, of: Certificate) -> Self {
        let (server, addr) = bind().await;
        let Certificate { certificate, key } = of;
        let (found, sessions) = mpsc::channel(100);
        let limits = Limits { sessions_max, ..Limits::default() };
        let server = server
            .tls(certificate.as_bytes(), key.as_bytes())
            .unwrap()
            .http3(Http3 { webtransport: limits, ..Http3::default() })
            .webtransport(move |request: SessionRequest| {
                let found = found.clone();
                async move {
                    let mut request = request.protocol(["v1", "v2"]);
                    if request.path() == "/wrong" {
                        let wrong = http::HeaderValue::from_static("\"v9\"");
                        request.response_headers().insert("wt-protocol", wrong);
                    }
                    let session = request.accept().await?;
                    let _ = found.send(session.clone()).await;
                    session.closed().await;
                    Ok::<(), Error>(())
                }
            });
        tokio::spawn(server.serve(|it: Upgrade| it.reject(404, "")).into_future());
        let url = format!("https://localhost:{}/", addr.port());
        Self { url, root: certificate, sessions: Mutex::new(sessions) }
    }

    fn builder(&self) -> ClientBuilder {
        Client::builder().roots(self.root.as_bytes()).unwrap()
    }

    /// Opens a session, and returns both sides of it and where the client's connection comes from.
    async fn connect(&self, client: &Client) -> (Session, Session, SocketAddr) {
        let here = soon(client.connect(&self.url)).await.expect("it is there");
        let there = soon(self.sessions.lock().await.recv()).await.expect("it serves");
        let from = there.peer_addr();
        (here, there, from)
    }
}

#[tokio::test]
async fn sessions_of_one_origin_share_a_connection_also_one_after_the_other() {
    let place = Place::new(16).await;
    let client = place.builder().build().unwrap();
    let (one, one_there, first) = place.connect(&client).await;
    let (other, other_there, second) = place.connect(&client.clone()).await;
    assert_eq!(first, second);
    assert_ne!(one.id(), other.id());
    one.close(7, "bye");
    assert_eq!(soon(one_there.closed()).await, Ending::ByPeer(7, "bye".to_owned()));
    // The other one lives.
    other.send_datagram(b"hi").unwrap();
    assert_eq!(soon(other_there.recv_datagram()).await.as_deref(), Some(&b"hi"[..]));
    drop((one, other));
    soon(other_there.closed()).await;
    assert_eq!(place.connect(&client).await.2, first);
    let stranger = place.builder().build().unwrap();
    assert_ne!(place.connect(&stranger).await.2, first, "another client");
}

#[tokio::test]
async fn no_more_sessions_share_a_connection_than_either_side_allows() {
    for (theirs, ours, connections) in [(2, 16, 3), (16, 2, 3), (1, 16, 5), (16, 1, 5)] {
        let place = Place::new(theirs).await;
        let limits = Limits { sessions_max: ours, ..Limits::default() };
        let client = place.builder().limits(limits).build().unwrap();
        let mut sessions = Vec::new();
        for _ in 0..5 {
            sessions.push(place.connect(&client).await);
        }
        let from: HashSet<_> = sessions.iter().map(|it| it.2).collect();
        assert_eq!(from.len(), connections, "{theirs} {ours}");
        assert!(sessions.iter().all(|it| it.0.ending().is_none()));
    }
}

#[tokio::test]
async fn who_comes_at_once_shares_one_connection() {
    let place = Place::new(16).await;
    let client = place.builder().build().unwrap();
    let mut opening = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let (client, url) = (client.clone(), place.url.clone());
        opening.spawn(async move { soon(client.connect(&url)).await.expect("it is there") });
    }
    let _sessions = opening.join_all().await;
    let mut from = HashSet::new();
    for _ in 0..10 {
        from.insert(soon(place.sessions.lock().await.recv()).await.unwrap().peer_addr());
    }
    assert_eq!(from.len(), 1);
}

#[tokio::test]
async fn a_connection_without_a_session_is_ended_after_its_time() {
    let place = Place::new(16).await;
    let sharing = Sharing { idle_max: Duration::from_millis(100), ..Sharing::default() };
    let client = place.builder().sharing(sharing).build().unwrap();
    let (here, there, first) = place.connect(&client).await;
    drop(here);
    soon(there.closed()).await;
    soon(async {
        while place.connect(&client).await.2 == first {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_server_that_goes_away_is_not_held_up_by_a_connection_without_a_session() {
    let (server, addr) = bind().await;
    let Certificate { certificate, key } = certificate();
    let server = server
        .tls(certificate.as_bytes(), key.as_bytes())
        .unwrap()
        .http3(Http3::default())
        .webtransport(|request: SessionRequest| async move {
            request.accept().await?.closed().await;
            Ok::<(), Error>(())
        });
    let stop = tokio::sync::watch::Sender::new(false);
    let mut stopped = stop.subscribe();
    let serving = server.serve(|it: Upgrade| it.reject(404, "")).with_shutdown(async move {
        let _ = stopped.wait_for(|it| *it).await;
    });
    let serving = tokio::spawn(serving.into_future());
    let client = Client::builder().roots(certificate.as_bytes()).unwrap().build().unwrap();
    let session = soon(client.connect(&format!("https://localhost:{}/", addr.port()))).await;
    let session = session.expect("it is there");
    session.close(0, "");
    drop(session);
    stop.send_replace(true);
    soon(serving).await.expect("no panic").expect("it ends well");
    drop(client);
}

#[tokio::test]
async fn connections_that_are_believed_by_hash_are_never_shared() {
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    let now = std::time::SystemTime::now();
    params.not_before = (now - Duration::from_secs(3600)).into();
    params.not_after = (now + Duration::from_secs(10 * 86_400)).into();
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let made = params.self_signed(&key).unwrap();
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, made.der());
    let of = Certificate { certificate: made.pem(), key: key.serialize_pem() };
    let place = Place::with(16, of).await;
    let hash = hash.as_ref().try_into().unwrap();
    let client = Client::builder().certificate_hash(hash).build().unwrap();
    let (_one, _, first) = place.connect(&client).await;
    let (_other, _, second) = place.connect(&client).await;
    assert_ne!(first, second);
}

#[tokio::test]
async fn both_sides_agree_on_what_is_spoken() {
    let place = Place::new(16).await;
    for (offered, agreed) in [(&["v3", "v2", "v1"][..], Some("v2")), (&["v3"], None), (&[], None)] {
        let client = place.builder().protocols(offered).build().unwrap();
        let (here, there, _) = place.connect(&client).await;
        assert_eq!((here.protocol(), there.protocol()), (agreed, agreed), "{offered:?}");
    }
    let client = place.builder().protocols(["v3"]).build().unwrap();
    let wrong = soon(client.connect(&format!("{}wrong", place.url))).await;
    let fault = HandshakeFault::SubprotocolNotOffered;
    assert!(matches!(&wrong, Err(Error::Handshake(it)) if *it == fault), "{wrong:?}");
    for names in [["a", "a"], ["b", "é"]] {
        let built = Client::builder().protocols(names).build();
        assert!(matches!(built, Err(Error::Request(_))), "{names:?}");
    }
}
