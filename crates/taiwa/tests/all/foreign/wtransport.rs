//! wtransport at the other end of sessions of WebTransport, in both roles.

use std::time::{Duration, SystemTime};

use taiwa::{
    Error, Http3, Upgrade,
    webtransport::{Client, Dialect, Ending, Session, SessionRequest, StreamError},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
    time::interval,
};
use wtransport::{
    ClientConfig, Connection, Endpoint, Identity, ServerConfig, VarInt,
    config::IpBindConfig,
    endpoint::{ConnectOptions, IncomingSession, endpoint_side},
    error::{ConnectingError, ConnectionError, StreamReadError, StreamWriteError},
    tls::{Certificate, CertificateChain, PrivateKey, Sha256Digest},
};

use crate::{bind, soon};

const LONG: usize = 2 << 20;

/// A certificate that is trusted by its hash, whoever looks at it: of P-256, for less than 14 days.
struct Pinned {
    der: Vec<u8>,
    key: rcgen::KeyPair,
    pem: String,
}

impl Pinned {
    fn new() -> Self {
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        let now = SystemTime::now();
        params.not_before = (now - Duration::from_secs(3600)).into();
        params.not_after = (now + Duration::from_secs(10 * 86_400)).into();
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { der: certificate.der().to_vec(), pem: certificate.pem(), key }
    }

    fn hash(&self) -> [u8; 32] {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &self.der);
        digest.as_ref().try_into().unwrap()
    }
}

/// Our server, which refuses `/no` and hands out each other session with what was asked.
struct Ours {
    url: String,
    hash: [u8; 32],
    sessions: mpsc::Receiver<(String, Session)>,
}

impl Ours {
    async fn begin() -> Self {
        let (server, addr) = bind().await;
        let certificate = Pinned::new();
        let (found, sessions) = mpsc::channel(8);
        let server = server
            .tls(certificate.pem.as_bytes(), certificate.key.serialize_pem().as_bytes())
            .unwrap()
            .http3(Http3::default())
            .webtransport(move |request: SessionRequest| {
                let found = found.clone();
                async move {
                    if request.path() == "/no" {
                        return request.reject(404, "not here").await;
                    }
                    let told = request.headers().get("x-told").and_then(|it| it.to_str().ok());
                    let asked = format!("{} {told:?}", request.uri());
                    let session = request.accept().await?;
                    let _ = found.send((asked, session.clone())).await;
                    session.closed().await;
                    Ok::<(), Error>(())
                }
            });
        tokio::spawn(server.serve(|it: Upgrade| it.reject(404, "")).into_future());
        let url = format!("https://{addr}");
        Self { url, hash: certificate.hash(), sessions }
    }

    /// Connects wtransport to it.
    async fn met(&mut self) -> (Session, Connection) {
        let client = client(self.hash);
        let theirs = soon(client.connect(format!("{}/chat", self.url))).await.expect("it is there");
        (soon(self.sessions.recv()).await.expect("it serves").1, theirs)
    }
}

/// wtransport's client, which trusts a hash.
fn client(hash: [u8; 32]) -> Endpoint<endpoint_side::Client> {
    let config = ClientConfig::builder()
        .with_bind_config(IpBindConfig::LocalV4)
        .with_server_certificate_hashes([Sha256Digest::new(hash)])
        .build();
    Endpoint::client(config).expect("a free port")
}

/// wtransport's server.
struct Theirs {
    url: String,
    hash: [u8; 32],
    endpoint: Endpoint<endpoint_side::Server>,
}

impl Theirs {
    fn begin() -> Self {
        let certificate = Pinned::new();
        let chain =
            CertificateChain::single(Certificate::from_der(certificate.der.clone()).unwrap());
        let key = PrivateKey::from_der_pkcs8(certificate.key.serialize_der());
        let config = ServerConfig::builder()
            .with_bind_address(([127, 0, 0, 1], 0).into())
            .with_identity(Identity::new(chain, key))
            .build();
        let endpoint = Endpoint::server(config).expect("a free port");
        let url = format!("https://{}", endpoint.local_addr().expect("bound"));
        Self { url, hash: certificate.hash(), endpoint }
    }

    fn client(&self) -> Client {
        Client::builder().certificate_hash(self.hash).header("x-told", "dialogue").build().unwrap()
    }

    async fn met(&self) -> (Session, Connection) {
        let (client, url) = (self.client(), format!("{}/chat", self.url));
        let accept = async { accepted(self.endpoint.accept().await).await };
        let (ours, theirs) = soon(async { tokio::join!(client.connect(&url), accept) }).await;
        (ours.expect("it is there"), theirs)
    }
}

async fn accepted(incoming: IncomingSession) -> Connection {
    incoming.await.expect("a session is asked for").accept().await.expect("it waits")
}

/// Whole messages of one side arrive at the other, by each way that a session has.
async fn talk(ours: &Session, theirs: &Connection) {
    they_answer(ours, theirs, b"a question of ours".to_vec()).await;
    we_answer(ours, theirs, b"a question of theirs".to_vec()).await;
    they_answer(ours, theirs, vec![7; LONG]).await;
    we_answer(ours, theirs, vec![9; LONG]).await;
    one_way(ours, theirs).await;
    datagrams(ours, theirs).await;
}

async fn they_answer(ours: &Session, theirs: &Connection, question: Vec<u8>) {
    let asking = async {
        let stream = ours.open_bi().await.unwrap();
        let (mut send, mut receive) = stream.split();
        let mut answer = vec![];
        let saying = async {
            send.write_all(&question).await.unwrap();
            send.shutdown().await.unwrap();
        };
        let hearing = async { receive.read_to_end(&mut answer).await.unwrap() };
        tokio::join!(saying, hearing);
        answer
    };
    let answering = async {
        let (mut send, mut receive) = theirs.accept_bi().await.unwrap();
        tokio::io::copy(&mut receive, &mut send).await.unwrap();
        send.finish().await.unwrap();
    };
    let (answer, ()) = soon(async { tokio::join!(asking, answering) }).await;
    assert!(answer == question, "{} bytes where {} were due", answer.len(), question.len());
}

async fn we_answer(ours: &Session, theirs: &Connection, question: Vec<u8>) {
    let asking = async {
        let (mut send, mut receive) = theirs.open_bi().await.unwrap().await.unwrap();
        let mut answer = vec![];
        let saying = async {
            send.write_all(&question).await.unwrap();
            send.finish().await.unwrap();
        };
        let hearing = async { receive.read_to_end(&mut answer).await.unwrap() };
        tokio::join!(saying, hearing);
        answer
    };
    let answering = async {
        let (mut send, mut receive) = ours.accept_bi().await.expect("open").split();
        tokio::io::copy(&mut receive, &mut send).await.unwrap();
        send.shutdown().await.unwrap();
    };
    let (answer, ()) = soon(async { tokio::join!(asking, answering) }).await;
    assert!(answer == question, "{} bytes where {} were due", answer.len(), question.len());
}

/// More streams in one direction than either side has at once.
async fn one_way(ours: &Session, theirs: &Connection) {
    for number in 0..110 {
        let text = format!("message {number}");
        let mut send = soon(ours.open_uni()).await.unwrap();
        soon(send.write_all(text.as_bytes())).await.unwrap();
        soon(send.shutdown()).await.unwrap();
        let mut read = String::new();
        let mut receive = soon(theirs.accept_uni()).await.unwrap();
        soon(receive.read_to_string(&mut read)).await.unwrap();
        assert_eq!(read, text, "from us");
        let mut send = soon(soon(theirs.open_uni()).await.unwrap()).await.unwrap();
        soon(send.write_all(text.as_bytes())).await.unwrap();
        // Its `finish` would wait for the last byte's acknowledgement.
        drop(send);
        let mut read = String::new();
        let mut receive = soon(ours.accept_uni()).await.expect("open");
        soon(receive.read_to_string(&mut read)).await.unwrap();
        assert_eq!(read, text, "from them");
    }
}

/// Any may be lost, so it is said until it is heard.
async fn datagrams(ours: &Session, theirs: &Connection) {
    let mut again = interval(Duration::from_millis(100));
    let heard = soon(async {
        loop {
            tokio::select! {
                heard = theirs.receive_datagram() => return heard.unwrap(),
                _ = again.tick() => ours.send_datagram("対話 of ours".as_bytes()).unwrap(),
            }
        }
    });
    assert_eq!(&*heard.await, "対話 of ours".as_bytes());
    let heard = soon(async {
        loop {
            tokio::select! {
                heard = ours.recv_datagram() => return heard,
                _ = again.tick() => theirs.send_datagram("対話 of theirs").unwrap(),
            }
        }
    });
    assert_eq!(heard.await.as_deref(), Some("対話 of theirs".as_bytes()));
}

/// Draft 16 §4.4: an application's code as QUIC carries it, written anew here.
fn code(application: u64) -> VarInt {
    VarInt::try_from(0x52e4_a40f_a8db + application + application / 0x1e).unwrap()
}

/// Either side gives up streams of the other, with codes.
async fn given_up(ours: &Session, theirs: &Connection) {
    let mut stream = soon(ours.open_bi()).await.unwrap();
    soon(stream.write_all(b"half")).await.unwrap();
    let (mut send, mut receive) = soon(theirs.accept_bi()).await.unwrap();
    let (mut ours_sending, mut ours_receiving) = stream.split();
    ours_sending.reset(70_000);
    let mut read = vec![];
    let ended = loop {
        match soon(receive.read(&mut [0; 16])).await {
            Ok(Some(_)) => {}
            other => break other,
        }
    };
    assert_eq!(ended, Err(StreamReadError::Reset(code(70_000))));
    ours_receiving.stop(3);
    assert_eq!(soon(send.stopped()).await, StreamWriteError::Stopped(code(3)));

    let (mut send, receive) = soon(soon(theirs.open_bi()).await.unwrap()).await.unwrap();
    soon(send.write_all(b"half")).await.unwrap();
    let stream = soon(ours.accept_bi()).await.expect("open");
    let (ours_sending, mut ours_receiving) = stream.split();
    send.reset(code(29)).unwrap();
    let error = soon(ours_receiving.read_to_end(&mut read)).await.expect_err("reset");
    let inside = error.get_ref().and_then(|it| it.downcast_ref::<StreamError>());
    assert_eq!(inside, Some(&StreamError::Reset(Some(29))));
    receive.stop(code(30));
    assert_eq!(soon(ours_sending.stopped()).await, Ok(Some(30)));
}

/// wtransport tells who waits for streams how the session was closed.
async fn told_of_the_close(ours: Session, theirs: &Connection) {
    ours.close(3000, "またね");
    let ended = soon(theirs.accept_bi()).await.map(drop).expect_err("closed");
    let ConnectionError::ApplicationClosed(close) = ended else { panic!("{ended:?}") };
    assert_eq!(close.code(), VarInt::from_u32(3000));
    assert_eq!(close.reason(), "またね".as_bytes());
    assert_eq!(soon(ours.closed()).await, Ending::ByUs(3000, "またね".to_owned()));
}

#[tokio::test]
async fn their_client_talks_to_our_server() {
    let mut server = Ours::begin().await;
    let options = ConnectOptions::builder(format!("{}/chat?x=1", server.url));
    let client = client(server.hash);
    let theirs = soon(client.connect(options.add_header("x-told", "dialogue").build())).await;
    let theirs = theirs.expect("it is there");
    let (asked, ours) = soon(server.sessions.recv()).await.expect("it serves");
    assert_eq!(asked, format!("{}/chat?x=1 Some(\"dialogue\")", server.url));
    assert_eq!((ours.dialect(), ours.has_flow_control()), (Dialect::Draft07, false));
    talk(&ours, &theirs).await;
    given_up(&ours, &theirs).await;
    told_of_the_close(ours, &theirs).await;
    // It closes the connection, and nothing of it stays with us.
    let (ours, theirs) = server.met().await;
    talk(&ours, &theirs).await;
    // No capsule: it closes the connection of QUIC.
    theirs.close(VarInt::from_u32(4001), b"gone");
    assert_eq!(soon(ours.closed()).await, Ending::Lost);
}

#[tokio::test]
async fn our_client_talks_to_their_server() {
    let server = Theirs::begin();
    let (client, url) = (server.client(), format!("{}/chat?x=1", server.url));
    let accept = async {
        let request = server.endpoint.accept().await.await.expect("a session is asked for");
        assert_eq!(request.path(), "/chat?x=1");
        assert_eq!(request.authority(), server.url.trim_start_matches("https://"));
        assert_eq!(request.headers().get("x-told").map(String::as_str), Some("dialogue"));
        request.accept_with_headers([("x-answer", "taiwa")]).await.expect("it waits")
    };
    let (opened, theirs) = soon(async { tokio::join!(client.open(&url), accept) }).await;
    let (ours, response) = opened.expect("it is there");
    assert_eq!(
        (response.status().as_u16(), &response.headers()["x-answer"]),
        (200, &"taiwa".parse().unwrap())
    );
    assert_eq!((ours.dialect(), ours.has_flow_control()), (Dialect::Draft07, false));
    talk(&ours, &theirs).await;
    given_up(&ours, &theirs).await;
    told_of_the_close(ours, &theirs).await;
    let (ours, theirs) = server.met().await;
    theirs.close(VarInt::from_u32(4001), b"gone");
    assert_eq!(soon(ours.closed()).await, Ending::Lost);
    // Dropped, a session of theirs ends, too.
    let (ours, theirs) = server.met().await;
    drop(theirs);
    let ending = soon(ours.closed()).await;
    assert!(matches!(ending, Ending::Lost | Ending::ByPeer(0, _)), "{ending:?}");
}

#[tokio::test]
async fn either_side_is_told_of_a_refusal() {
    let server = Ours::begin().await;
    let refused = soon(client(server.hash).connect(format!("{}/no", server.url))).await;
    assert!(matches!(refused, Err(ConnectingError::SessionRejected)), "{:?}", refused.err());
    let server = Theirs::begin();
    let (client, url) = (server.client(), format!("{}/no", server.url));
    let refuse = async { server.endpoint.accept().await.await.expect("it asks").not_found().await };
    let (refused, ()) = soon(async { tokio::join!(client.connect(&url), refuse) }).await;
    let Err(Error::Refused(response)) = refused else { panic!("{refused:?}") };
    assert_eq!(response.status(), 404);
}

#[tokio::test]
async fn either_side_believes_no_certificate_of_another_hash() {
    let server = Ours::begin().await;
    let refused = soon(client([7; 32]).connect(format!("{}/chat", server.url))).await;
    assert!(matches!(refused, Err(ConnectingError::ConnectionError(_))), "{:?}", refused.err());
    let server = Theirs::begin();
    let stranger = Client::builder().certificate_hash([7; 32]).build().unwrap();
    let url = format!("{}/chat", server.url);
    let refuse = async { server.endpoint.accept().await.await.map(drop) };
    let (refused, theirs) = soon(async { tokio::join!(stranger.connect(&url), refuse) }).await;
    assert!(matches!(refused, Err(Error::Tls(_))), "{refused:?}");
    assert!(theirs.is_err(), "a session without trust");
}
