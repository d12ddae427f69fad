//! [`Server`]: listens, upgrades, closes.

mod acceptor;
#[cfg(unix)]
mod activation;
mod addr;
mod alternative;
mod attend;
mod body;
mod connection;
mod early;
mod extended;
mod h2;
mod h3;
mod listen;
mod listener;
mod network;
mod plain;
mod proxy_protocol;
mod serving;
mod sockets;
mod subprotocols;
mod terms;
mod tuner;
#[cfg(unix)]
mod unix;
mod upgrade;
mod versions;

use std::{fmt, future::Future, sync::Arc};

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt;
use rustls::server::danger::ClientCertVerifier;
use taiwa_proto::{Config, Deadlines, Keepalive, Limits, deflate::Deflate, handshake::Origins};
use tokio_rustls::TlsAcceptor;

pub use self::{
    h2::{Http2, fit_request},
    h3::Http3,
};
use crate::{
    error::Error,
    tls::{self, Certificates, ClientCertificates, KeyLogFile, ServerTls},
};
#[cfg(unix)]
pub use activation::Activated;
pub use addr::{Addr, Credentials, LocalAddr, PeerCertificates};
use alternative::Alternative;
pub use body::RequestBody;
pub(crate) use connection::Ends;
pub use listener::Listener;
pub use network::Network;
pub use serving::Serving;
pub use sockets::{Sockets, SocketsBuilder};
pub use subprotocols::SubprotocolPolicy;
use subprotocols::Subprotocols;
use terms::Terms;
pub use tuner::{Tuner, Tuning};
pub use upgrade::{
    Handover, Outcome, RawConnection, RawIo, RawSeat, RawSocket, RawStream, RawTransport,
    Rejection, Upgrade, UpgradeBody, UpgradeFuture, UpgradeLayer, UpgradeService,
};

type Answer = Arc<dyn Fn(Upgrade) -> attend::Running + Send + Sync>;
/// What decides about upgrades without waiting, or gives them back.
type AtOnce = Arc<dyn Fn(Upgrade) -> Result<(), Upgrade> + Send + Sync>;

/// What all connections of a server share.
#[derive(Clone)]
struct Shared {
    terms: Arc<Terms>,
    /// From whom connections are taken, each with a PROXY header.
    proxies: Option<Vec<Network>>,
    tls: Option<TlsAcceptor>,
    /// To be looked after.
    certificates: Option<Certificates>,
    connections_max: usize,
    http1: bool,
    http2: Option<Http2>,
    http3: Option<Http3>,
    /// With `http3`: the same certificates.
    quic: Option<quinn::ServerConfig>,
    /// What answers requests for sessions of WebTransport.
    sessions: Option<h3::Answer>,
    http: Option<plain::Answer>,
    answer: Answer,
    at_once: Option<AtOnce>,
    tuner: Option<Tuner>,
}

/// Listens for connections and hands each opening handshake to a closure.
///
/// Ordinary HTTP requests on the same port go to [`http`](Self::http).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), taiwa::Error> {
/// use taiwa::{Deflate, Error, Limits, Server, Upgrade};
///
/// let server = Server::bind("127.0.0.1:0")
///     .await?
///     .connections_max(1000)
///     .limits(Limits { message_bytes_max: 64 << 10, ..Limits::default() })
///     .compression(Deflate::default());
/// let url = format!("ws://{}/", server.local_addr()?);
/// let echo = |upgrade: Upgrade| async move {
///     let mut socket = upgrade.accept().await?;
///     while let Some(message) = socket.recv().await? {
///         socket.send(message).await?;
///     }
///     Ok::<(), Error>(())
/// };
/// tokio::spawn(server.serve(echo).into_future());
///
/// let mut socket = taiwa::connect(&url).await?;
/// socket.send("hello").await?;
/// assert_eq!(socket.recv().await?, Some("hello".into()));
/// # Ok(()) }
/// ```
pub struct Server {
    listeners: Vec<Listener>,
    config: Config,
    origins: Origins,
    subprotocols: Subprotocols,
    proxies: Option<Vec<Network>>,
    certificates: Option<Certificates>,
    clients: Option<Arc<dyn ClientCertVerifier>>,
    key_log: Option<Arc<KeyLogFile>>,
    connections_max: usize,
    http1: bool,
    http2: Option<Http2>,
    http3: Option<Http3>,
    sessions: Option<h3::Answer>,
    udp: h3::Ports,
    http: Option<plain::Answer>,
    at_once: Option<AtOnce>,
    tuner: Option<Tuner>,
}

impl Server {
    /// Speaks TLS (1.2 and 1.3) on all listeners, with a chain of certificates and a private key in PEM. By ALPN
    /// (RFC 7301) `h2` and `http/1.1` are agreed on, as far as they are switched on; sessions resume by tickets (RFC 8446
    /// §4.6.1), one for each connection, that are good for 12 hours at most and for this server alone.
    ///
    /// # Errors
    /// [`Error::Tls`] if one of them can't be read or they don't fit each other.
    pub fn tls(self, certificates_pem: &[u8], key_pem: &[u8]) -> Result<Self, Error> {
        Ok(self.tls_reloading(Certificates::new(certificates_pem, key_pem)?))
    }

    /// Speaks TLS as [`tls`](Self::tls) does, with certificates that can be exchanged while the server runs.
    #[must_use]
    pub fn tls_reloading(mut self, certificates: Certificates) -> Self {
        self.certificates = Some(certificates);
        self
    }

    /// Asks clients for a certificate of their own, to be verified against these roots in PEM; certificates
    /// are not checked for having been revoked. It needs [`tls`](Self::tls): without it [`Serving`] ends with
    /// an error at once. What a client showed is in [`Upgrade::peer_certificates`], and with ordinary requests in
    /// [`PeerCertificates`].
    ///
    /// # Errors
    /// [`Error::Tls`] if there is no root in the PEM text or one can't be read.
    pub fn client_certificates(
        mut self,
        roots_pem: &[u8],
        policy: ClientCertificates,
    ) -> Result<Self, Error> {
        self.clients = Some(tls::client_verifier(roots_pem, policy)?);
        Ok(self)
    }

    /// Appends the secrets of each TLS connection, over TCP and QUIC, to a file in the format of `SSLKEYLOGFILE`: whoever
    /// has it and captured the traffic can read it, as Wireshark does. A file that does not exist is made for its owner's
    /// eyes only. Default: none. It is for debugging; without it nobody can read what was said.
    ///
    /// # Errors
    /// [`Error::Tls`] if the file can't be opened.
    pub fn key_log_file(mut self, path: impl AsRef<std::path::Path>) -> Result<Self, Error> {
        self.key_log = Some(Arc::new(KeyLogFile::open(path.as_ref())?));
        Ok(self)
    }

    /// Sets limits, deadlines, keepalive and compression at once. Note that [`Config::default`] has
    /// keepalive off.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Sets the limits of each connection, in bytes and counts; each says what happens past it. Default:
    /// [`Limits::default`].
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.config.limits = limits;
        self
    }

    /// Sets the deadlines; each says what happens past it. Default: [`Deadlines::default`].
    #[must_use]
    pub fn deadlines(mut self, deadlines: Deadlines) -> Self {
        self.config.deadlines = deadlines;
        self
    }

    /// Sets when silent peers are pinged; `None` never. Default: [`Keepalive::default`].
    #[must_use]
    pub fn keepalive(mut self, keepalive: impl Into<Option<Keepalive>>) -> Self {
        self.config.keepalive = keepalive.into();
        self
    }

    /// Accepts permessage-deflate (RFC 7692). Default: not.
    #[must_use]
    pub fn compression(mut self, deflate: Deflate) -> Self {
        self.config.deflate = Some(deflate);
        self
    }

    /// Sets which pages may connect. Default: [`Origins::SameHost`]. Others get status 403 before the closure
    /// is asked; so do, on a loopback address, pages of the same host by a name with a dot: a page may have
    /// had its own name resolve to this machine. A unix socket no page can reach, so who names its origin
    /// there came through a proxy.
    #[must_use]
    pub fn origins(mut self, origins: Origins) -> Self {
        self.origins = origins;
        self
    }

    /// Sets how many connections may be open at once. Default 10,000. Past it a connection gets status
    /// 503 (over TLS: nothing) and is closed. Over HTTP/2 the connection counts as one, and each WebSocket on it as one
    /// more: past it an extended CONNECT gets status 503.
    #[must_use]
    pub fn connections_max(mut self, connections: usize) -> Self {
        self.connections_max = connections;
        self
    }

    /// Lets a [`Tuner`] set limits, deadlines, origins and the number of connections while the server runs. Until it does,
    /// what was set here holds.
    #[must_use]
    pub fn tuned_by(mut self, tuner: &Tuner) -> Self {
        self.tuner = Some(tuner.clone());
        self
    }

    /// Answers requests that are not opening handshakes. Default: status 426. The peer's [`Addr`] is among
    /// the request's extensions, over TCP also as a [`SocketAddr`](std::net::SocketAddr).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// # use tokio::io::{AsyncReadExt, AsyncWriteExt};
    /// use http_body_util::Full;
    /// use taiwa::{RequestBody, Server, Upgrade};
    ///
    /// let server = Server::bind("127.0.0.1:0").await?.http(
    ///     |request: http::Request<RequestBody>| async move {
    ///         http::Response::new(Full::from(format!("a page at {}", request.uri().path())))
    ///     },
    /// );
    /// # let mut tcp = tokio::net::TcpStream::connect(server.local_addr()?).await?;
    /// let serving = server.serve(|upgrade: Upgrade| async move { upgrade.accept().await.map(drop) });
    /// # tokio::spawn(serving.into_future());
    /// # tcp.write_all(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await?;
    /// # let mut answer = String::new();
    /// # tcp.read_to_string(&mut answer).await?;
    /// # assert!(answer.ends_with("\r\n\r\na page at /x"), "{answer}");
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn http<F, A, B>(mut self, answer: F) -> Self
    where
        F: Fn(http::Request<RequestBody>) -> A + Send + Sync + 'static,
        A: Future<Output = http::Response<B>> + Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.http = Some(Arc::new(move |request| {
            let answering = answer(request);
            Box::pin(
                async move { answering.await.map(|body| body.map_err(Into::into).boxed_unsync()) },
            )
        }));
        self
    }

    /// Asks first, for each opening handshake over HTTP/1.1 that is the first request on its connection, a closure that
    /// decides without waiting: by [`Upgrade::accept_raw_at_once`], or by giving the upgrade back, to the closure of
    /// [`serve`](Self::serve). It may run on the task that accepts connections. If it panics, or drops the upgrade, the
    /// connection is closed.
    #[doc(hidden)]
    #[must_use]
    pub fn upgrades_at_once<F>(mut self, answer: F) -> Self
    where
        F: Fn(Upgrade) -> Result<(), Upgrade> + Send + Sync + 'static,
    {
        self.at_once = Some(Arc::new(answer));
        self
    }

    /// Serves until the listeners are dropped or [`Serving::with_shutdown`] says so. The closure runs once
    /// for each opening handshake, in a task of its own; see [`Upgrade`].
    ///
    /// When the closure returns `Ok` with the socket dropped but not closed, the server closes it with
    /// 1000; after an `Err` or a panic with 1011. What the error says is told to
    /// [`on_error`](Serving::on_error) and never to the peer.
    pub fn serve<F, A, E>(self, answer: F) -> Serving
    where
        F: Fn(Upgrade) -> A + Send + Sync + 'static,
        A: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display + Send + 'static,
    {
        let answer = Arc::new(answer);
        let protocols = self.protocols();
        let is_open = self.clients.is_some() && self.certificates.is_none();
        let (clients, key_log) = (self.clients, self.key_log);
        let tls = self.certificates.clone();
        let tls = tls.map(|certificates| ServerTls { certificates, clients, key_log });
        let quic = tls.as_ref().filter(|_| self.http3.is_some()).map(ServerTls::quic);
        let tls = tls.map(|it| it.acceptor(&protocols));
        let mut terms = Terms::new(self.config, self.origins, self.subprotocols);
        terms.alternative = Arc::new(Alternative::new(self.http3.as_ref()));
        let shared = Shared {
            terms: Arc::new(terms),
            proxies: self.proxies,
            tls,
            certificates: self.certificates,
            connections_max: self.connections_max,
            http1: self.http1,
            http2: self.http2,
            http3: self.http3,
            quic,
            sessions: self.sessions,
            http: self.http,
            tuner: self.tuner,
            at_once: self.at_once,
            answer: Arc::new(move |upgrade| {
                let answer = Arc::clone(&answer);
                // Called inside, so that a panic of the closure itself is caught, too.
                Box::pin(async move { answer(upgrade).await.map_err(|error| error.to_string()) })
            }),
        };
        Serving {
            listeners: self.listeners,
            udp: self.udp,
            shared,
            signal: None,
            successor: None,
            is_open,
        }
    }
}
