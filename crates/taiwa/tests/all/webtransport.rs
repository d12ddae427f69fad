//! WebTransport: our client with our server.

use std::{io, sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use taiwa::{
    Error, Http3, Origins, Upgrade,
    webtransport::{
        Client, DatagramError, Dialect, Ending, Limits, Session, SessionRequest, StreamError,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{Mutex, mpsc},
};

use super::{
    bind, soon,
    tls::{Certificate, certificate},
};

/// A server that hands each session out; what its clients trust, and its URL.
struct Place {
    url: String,
    root: String,
    sessions: Mutex<mpsc::Receiver<Session>>,
}

impl Place {
    async fn next(&self) -> Session {
        soon(self.sessions.lock().await.recv()).await.expect("it serves")
    }

    async fn connect(&self) -> Session {
        soon(self.client().connect(&self.url)).await.expect("it is there")
    }

    fn client(&self) -> Client {
        Client::builder().roots(self.root.as_bytes()).unwrap().build().unwrap()
    }
}

async fn serve(http3: Http3, origins: Origins) -> Place {
    let (server, addr) = bind().await;
    let Certificate { certificate, key } = certificate();
    let (found, sessions) = mpsc::channel(8);
    let server = server
        .tls(certificate.as_bytes(), key.as_bytes())
        .unwrap()
        .http3(http3)
        .origins(origins)
        .webtransport(move |request: SessionRequest| {
            let found = found.clone();
            async move {
                if request.path() == "/no" {
                    return request.reject(451, "not here").await;
                }
                let session = request.accept().await?;
                let _ = found.send(session.clone()).await;
                session.closed().await;
                Ok::<(), Error>(())
            }
        });
    tokio::spawn(server.serve(|it: Upgrade| it.reject(404, "")).into_future());
    let url = format!("https://localhost:{}/chat?x=1", addr.port());
    Place { url, root: certificate, sessions: Mutex::new(sessions) }
}

async fn place() -> Place {
    serve(Http3::default(), Origins::SameHost).await
}

#[tokio::test]
async fn sessions_are_opened_used_and_closed_with_code_and_reason() {
    let place = place().await;
    let client = place.connect().await;
    let server = place.next().await;
    assert_eq!((client.dialect(), server.dialect()), (Dialect::Draft15, Dialect::Draft15));
    let mut stream = soon(client.open_bi()).await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    let mut other = soon(server.accept_bi()).await.expect("open");
    let mut read = [0; 5];
    soon(other.read_exact(&mut read)).await.unwrap();
    assert_eq!(&read, b"hello");
    client.close(3000, "done");
    assert_eq!(soon(server.closed()).await, Ending::ByPeer(3000, "done".to_owned()));
    let error = soon(other.read(&mut read)).await.expect_err("the session has ended");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    let inside = error.get_ref().and_then(|it| it.downcast_ref::<StreamError>());
    assert!(matches!(inside, Some(StreamError::Ended(Ending::ByPeer(3000, _)))), "{inside:?}");
}

#[tokio::test]
async fn datagrams_are_a_stream_and_a_sink() {
    let place = place().await;
    let client = place.connect().await;
    let server = place.next().await;
    let (mut here, mut there) = (client.datagrams(), server.datagrams());
    for text in ["one", "two"] {
        here.send(text.into()).await.unwrap();
        assert_eq!(soon(there.next()).await.as_deref(), Some(text.as_bytes()));
    }
    drop((client, here));
    assert_eq!(soon(there.next()).await, None);
    let refused = server.send_datagram(b"late");
    assert!(matches!(refused, Err(DatagramError::Ended(Ending::ByPeer(0, _)))), "{refused:?}");
}

#[tokio::test]
async fn a_refusal_has_its_status() {
    let place = place().await;
    let url = place.url.replace("/chat", "/no");
    let refused = soon(place.client().connect(&url)).await;
    let Err(Error::Refused(response)) = refused else { panic!("{refused:?}") };
    assert_eq!(response.status(), 451);
}

#[tokio::test]
async fn pages_of_other_origins_are_refused() {
    let place = place().await;
    let of = |origin: &str| {
        let client = Client::builder().roots(place.root.as_bytes()).unwrap();
        client.header("origin", origin).build().unwrap()
    };
    let refused = soon(of("https://evil.example").connect(&place.url)).await;
    let Err(Error::Refused(response)) = refused else { panic!("{refused:?}") };
    assert_eq!(response.status(), 403);
    let home = place.url.trim_end_matches("/chat?x=1");
    soon(of(home).connect(&place.url)).await.expect("its own page");
}

#[tokio::test]
async fn a_certificate_is_believed_by_its_hash_alone() {
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    let now = std::time::SystemTime::now();
    params.not_before = (now - Duration::from_secs(3600)).into();
    params.not_after = (now + Duration::from_secs(10 * 86_400)).into();
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let (server, addr) = bind().await;
    let server = server
        .tls(certificate.pem().as_bytes(), key.serialize_pem().as_bytes())
        .unwrap()
        .http3(Http3::default())
        .webtransport(|request: SessionRequest| async move {
            request.accept().await?.closed().await;
            Ok::<(), Error>(())
        });
    tokio::spawn(server.serve(|it: Upgrade| it.reject(404, "")).into_future());
    // Its name is not asked for, nor who vouches for it.
    let url = format!("https://{addr}/");
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate.der());
    let hash: [u8; 32] = hash.as_ref().try_into().unwrap();
    let client = Client::builder().certificate_hash([7; 32]).certificate_hash(hash);
    soon(client.build().unwrap().connect(&url)).await.expect("its hash is known");
    let stranger = Client::builder().certificate_hash([7; 32]).build().unwrap();
    let refused = soon(stranger.connect(&url)).await;
    assert!(matches!(refused, Err(Error::Tls(_))), "{refused:?}");
}

#[tokio::test]
async fn a_server_without_room_for_sessions_does_not_announce_them() {
    let limits = Limits { sessions_max: 0, ..Limits::default() };
    let place = serve(Http3 { webtransport: limits, ..Http3::default() }, Origins::SameHost).await;
    let refused = soon(place.client().connect(&place.url)).await;
    let Err(Error::Io(error)) = refused else { panic!("{refused:?}") };
    assert_eq!(error.kind(), io::ErrorKind::Unsupported, "{error}");
}

#[tokio::test]
async fn a_server_that_shuts_down_asks_its_sessions_to_end() {
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
    let stop = Arc::new(tokio::sync::Notify::new());
    let stopped = Arc::clone(&stop);
    let serving = server
        .serve(|it: Upgrade| it.reject(404, ""))
        .with_shutdown(async move { stopped.notified().await });
    let serving = tokio::spawn(serving.into_future());
    let client = Client::builder().roots(certificate.as_bytes()).unwrap().build().unwrap();
    let url = format!("https://localhost:{}/", addr.port());
    let session = soon(client.connect(&url)).await.expect("it is there");
    stop.notify_one();
    assert!(soon(session.draining()).await);
    session.close(0, "");
    soon(serving).await.expect("no panic").expect("it ends well");
}

#[tokio::test]
async fn wrong_urls_and_deadlines_are_told() {
    let client = Client::builder().build().unwrap();
    for url in ["wss://localhost/", "https:///", "https://localhost/#x", "https://u:p@localhost/"] {
        let refused = client.connect(url).await;
        assert!(matches!(refused, Err(Error::Request(_))), "{url}: {refused:?}");
    }
    // Somebody who hears and never answers.
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let client = Client::builder().within(Some(Duration::from_millis(100))).build().unwrap();
    let refused = soon(client.connect(&format!("https://{}/", silent.local_addr().unwrap()))).await;
    assert!(matches!(refused, Err(Error::Late(_))), "{refused:?}");
}
