//! A server made of the crates h2 and tungstenite, which does as it is told.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use h2::{Reason, RecvStream, SendStream, server::SendResponse};
use http::{Request, Response};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::sleep,
};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::{
    WebSocketStream, accept_async,
    tungstenite::{Message, protocol::Role},
};

use crate::{soon, tls::certificate};

/// How the server behaves.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) alpn: &'static [&'static str],
    pub(super) extended_connect: bool,
    pub(super) settings_after: Duration,
    pub(super) streams_max: Option<u32>,
    /// How many streams are refused unseen, one of each connection.
    pub(super) refuse_streams: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            alpn: &["h2", "http/1.1"],
            extended_connect: true,
            settings_after: Duration::ZERO,
            streams_max: Some(1000),
            refuse_streams: 0,
        }
    }
}

/// What all connections are told at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Serve,
    GoAway,
    FallSilent,
}

pub(super) struct Peer {
    pub(super) addr: SocketAddr,
    pub(super) certificate: String,
    is_tls: bool,
    word: watch::Sender<Word>,
    shared: Arc<Shared>,
}

struct Shared {
    settings: Settings,
    connections: AtomicUsize,
    ended: watch::Sender<usize>,
    refused: AtomicUsize,
    flooded: AtomicUsize,
}

impl Peer {
    pub(super) async fn tls(settings: Settings) -> Self {
        let made = certificate();
        let chain = vec![CertificateDer::from_pem_slice(made.certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(made.key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        config.alpn_protocols = settings.alpn.iter().map(|it| it.as_bytes().to_vec()).collect();
        let acceptor = Some(TlsAcceptor::from(Arc::new(config)));
        Self { certificate: made.certificate, ..Self::start(settings, acceptor).await }
    }

    pub(super) async fn cleartext(settings: Settings) -> Self {
        Self::start(settings, None).await
    }

    async fn start(settings: Settings, acceptor: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            settings,
            connections: AtomicUsize::new(0),
            ended: watch::Sender::new(0),
            refused: AtomicUsize::new(0),
            flooded: AtomicUsize::new(0),
        });
        let (word, is_tls) = (watch::Sender::new(Word::Serve), acceptor.is_some());
        let (all, words) = (Arc::clone(&shared), word.clone());
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                all.connections.fetch_add(1, SeqCst);
                let (shared, acceptor, word) =
                    (Arc::clone(&all), acceptor.clone(), words.subscribe());
                tokio::spawn(async move {
                    serve(&shared, acceptor, tcp, word).await;
                    shared.ended.send_modify(|it| *it += 1);
                });
            }
        });
        Self { addr, certificate: String::new(), is_tls, word, shared }
    }

    pub(super) fn url(&self, path: &str) -> String {
        let scheme = if self.is_tls { "wss" } else { "ws" };
        format!("{scheme}://localhost:{}{path}", self.addr.port())
    }

    /// How many connections came by TCP.
    pub(super) fn connections(&self) -> usize {
        self.shared.connections.load(SeqCst)
    }

    /// Waits until so many connections have ended.
    pub(super) async fn ended(&self, count: usize) {
        soon(self.shared.ended.subscribe().wait_for(|it| *it >= count)).await.unwrap();
    }

    /// How many bytes the requests for `/flood` were answered with.
    pub(super) fn flooded(&self) -> usize {
        self.shared.flooded.load(SeqCst)
    }

    /// Sends GOAWAY on the connections that are open.
    pub(super) fn go_away(&self) {
        self.word.send_replace(Word::GoAway);
    }

    /// Reads and writes nothing more on the connections that are open.
    pub(super) fn fall_silent(&self) {
        self.word.send_replace(Word::FallSilent);
    }
}

async fn serve(
    shared: &Arc<Shared>,
    acceptor: Option<TlsAcceptor>,
    tcp: TcpStream,
    word: watch::Receiver<Word>,
) {
    let Some(acceptor) = acceptor else { return serve_http2(shared, tcp, word).await };
    let Ok(tls) = acceptor.accept(tcp).await else { return };
    if tls.get_ref().1.alpn_protocol() == Some(b"h2") {
        serve_http2(shared, tls, word).await;
    } else if let Ok(socket) = accept_async(tls).await {
        echo(socket).await;
    }
}

async fn serve_http2(
    shared: &Arc<Shared>,
    io: impl AsyncRead + AsyncWrite + Unpin,
    mut word: watch::Receiver<Word>,
) {
    // What was said before is for others.
    word.mark_unchanged();
    sleep(shared.settings.settings_after).await;
    let mut builder = h2::server::Builder::new();
    if shared.settings.extended_connect {
        builder.enable_connect_protocol();
    }
    if let Some(max) = shared.settings.streams_max {
        builder.max_concurrent_streams(max);
    }
    let Ok(mut connection) = builder.handshake::<_, Bytes>(io).await else { return };
    let mut may_refuse = true;
    loop {
        tokio::select! {
            accepted = connection.accept() => {
                let Some(Ok((request, mut respond))) = accepted else { return };
                let refused = &shared.refused;
                if may_refuse && refused.load(SeqCst) < shared.settings.refuse_streams {
                    may_refuse = false;
                    refused.fetch_add(1, SeqCst);
                    respond.send_reset(Reason::REFUSED_STREAM);
                } else {
                    tokio::spawn(answer(Arc::clone(shared), request, respond));
                }
            }
            said = word.changed() => {
                let now = *word.borrow_and_update();
                match (said, now) {
                    (Ok(()), Word::FallSilent) => std::future::pending().await,
                    (Ok(()), Word::GoAway) => connection.graceful_shutdown(),
                    _ => return,
                }
            }
        }
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) {
    assert_eq!(request.method(), "CONNECT");
    let protocol = request.extensions().get::<h2::ext::Protocol>().expect("it is extended");
    assert_eq!(protocol.as_str(), "websocket");
    assert_eq!(request.headers()["sec-websocket-version"], "13");
    for name in ["host", "sec-websocket-key", "connection", "upgrade"] {
        assert!(!request.headers().contains_key(name), "{name}");
    }
    let refuse = |status: u16, name: &str, value: &str| {
        Response::builder().status(status).header(name, value).body(()).unwrap()
    };
    match request.uri().path() {
        "/refused" => {
            let head = refuse(401, "www-authenticate", "Bearer");
            let mut body = respond.send_response(head, false).unwrap();
            body.send_data("token please".into(), true).unwrap();
        }
        "/moved" => _ = respond.send_response(refuse(302, "location", "/"), true).unwrap(),
        "/chosen" => {
            let head = refuse(200, "sec-websocket-protocol", "another");
            drop(respond.send_response(head, false).unwrap());
        }
        "/http1" => respond.send_reset(Reason::HTTP_1_1_REQUIRED),
        "/never" => _ = std::future::poll_fn(|cx| respond.poll_reset(cx)).await,
        "/reset" => {
            let mut send = respond.send_response(Response::new(()), false).unwrap();
            sleep(Duration::from_millis(100)).await;
            send.send_reset(Reason::INTERNAL_ERROR);
        }
        path => {
            let is_flood = path == "/flood";
            let send = respond.send_response(Response::new(()), false).unwrap();
            let (ours, theirs) = duplex(16 << 10);
            tokio::spawn(carry(shared, theirs, send, request.into_body(), is_flood));
            let mut socket = WebSocketStream::from_raw_socket(ours, Role::Server, None).await;
            if is_flood {
                while socket.send(Message::binary(vec![7; 10_000])).await.is_ok() {}
            } else {
                echo(socket).await;
            }
        }
    }
}

async fn echo<T: AsyncRead + AsyncWrite + Unpin>(mut socket: WebSocketStream<T>) {
    while let Some(Ok(message)) = socket.next().await {
        if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
            return;
        }
    }
}

/// Carries bytes between a stream of HTTP/2 and a pipe.
async fn carry(
    shared: Arc<Shared>,
    pipe: DuplexStream,
    mut send: SendStream<Bytes>,
    mut recv: RecvStream,
    is_flood: bool,
) {
    let (mut from, mut to) = tokio::io::split(pipe);
    let inwards = async {
        while let Some(Ok(bytes)) = recv.data().await {
            if to.write_all(&bytes).await.is_err() {
                return;
            }
            let _ = recv.flow_control().release_capacity(bytes.len());
        }
        let _ = to.shutdown().await;
    };
    let outwards = async {
        let mut bytes = vec![0; 8 << 10];
        while let Ok(len @ 1..) = from.read(&mut bytes).await {
            let mut rest = Bytes::copy_from_slice(&bytes[..len]);
            while !rest.is_empty() {
                send.reserve_capacity(rest.len());
                while send.capacity() == 0 {
                    match std::future::poll_fn(|cx| send.poll_capacity(cx)).await {
                        Some(Ok(_)) => {}
                        _ => return,
                    }
                }
                let part = rest.split_to(rest.len().min(send.capacity()));
                if is_flood {
                    shared.flooded.fetch_add(part.len(), SeqCst);
                }
                if send.send_data(part, false).is_err() {
                    return;
                }
            }
        }
        let _ = send.send_data(Bytes::new(), true);
    };
    tokio::join!(inwards, outwards);
}
