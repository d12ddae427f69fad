//! [`Client`]: opens connections.

mod builder;
mod chunks;
mod open;

use std::{
    fmt,
    future::Future,
    net::SocketAddr,
    sync::{Arc, LazyLock, OnceLock},
};

use http::{HeaderMap, Uri};
use rustls::pki_types::ServerName;
use taiwa_proto::{
    CloseCode, Config, Deadline, Role,
    handshake::{HandshakeFault, Wish, parse_uri},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::{
    error::Error,
    io::BoxIo,
    scratch::with_scratch,
    tls::{Trust, handshake_error},
    websocket::{Inner, Opened, WebSocket},
};
pub use builder::ClientBuilder;

/// Opens a connection to a `ws` or `wss` URL with the defaults of [`Client`]: TLS by the roots of the
/// platform, limits, deadlines and keepalive on, no compression.
///
/// # Errors
/// See [`Client::connect`].
pub async fn connect(url: &str) -> Result<WebSocket, Error> {
    static DEFAULT: LazyLock<Result<Client, Error>> = LazyLock::new(|| Client::builder().build());
    let client = DEFAULT.as_ref().expect("the defaults are valid");
    client.connect(url).await
}

/// Opens connections. Cloning is cheap and shares the settings.
///
/// ```no_run
/// # async fn run() -> Result<(), taiwa::Error> {
/// use taiwa::{Client, Deflate};
///
/// let client = Client::builder()
///     .header("authorization", "Bearer 1234")
///     .subprotocols(["v2.json", "v1.json"])
///     .compression(Deflate::default())
///     .build()?;
/// let socket = client.connect("wss://example.org/feed").await?;
/// println!("we speak {:?}", socket.subprotocol());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    config: Arc<Config>,
    deflate_required: bool,
    headers: HeaderMap,
    subprotocols: Vec<String>,
    trust: Trust,
    /// Made with the first `wss` connection: it reads the platform's roots.
    connector: OnceLock<TlsConnector>,
}

impl Client {
    /// Starts with the defaults.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// Opens a connection: resolves the host, connects by TCP (and TLS for `wss`), and does the opening
    /// handshake, all within [`Deadlines::handshake`].
    ///
    /// # Errors
    /// [`Error::Request`], [`Error::Io`], [`Error::Tls`], [`Error::Late`]; [`Error::Refused`] when the server
    /// answers with another status than 101 (redirects too), [`Error::Handshake`] when its 101 is wrong.
    pub async fn connect(&self, url: &str) -> Result<WebSocket, Error> {
        Ok(self.open(url).await?.0)
    }

    /// Opens a connection like [`connect`](Self::connect) and returns the head of the server's response.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn open(&self, url: &str) -> Result<(WebSocket, http::Response<()>), Error> {
        let uri = parse_uri(url).map_err(Error::Request)?;
        self.in_time(async {
            let (io, peer_addr) = self.dial(&uri).await?;
            self.open_over(io, &uri, peer_addr).await
        })
        .await
    }

    /// Does the opening handshake over a transport that is connected already, within
    /// [`Deadlines::handshake`]. The URL gives `Host` and the path; its scheme adds no TLS.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), except [`Error::Tls`].
    pub async fn connect_over<T>(
        &self,
        io: T,
        url: &str,
    ) -> Result<(WebSocket, http::Response<()>), Error>
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let uri = parse_uri(url).map_err(Error::Request)?;
        self.in_time(self.open_over(Box::new(io), &uri, None)).await
    }

    async fn in_time<T>(&self, open: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        match self.shared.config.deadlines.handshake {
            None => open.await,
            Some(within) => match timeout(within, open).await {
                Ok(opened) => opened,
                Err(_) => Err(Error::Late(Deadline::Handshake)),
            },
        }
    }

    async fn dial(&self, uri: &Uri) -> Result<(BoxIo, Option<SocketAddr>), Error> {
        let is_tls = uri.scheme_str() == Some("wss");
        let host = uri.host().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(host);
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let tcp = TcpStream::connect((host, port)).await?;
        tcp.set_nodelay(true)?;
        let peer_addr = tcp.peer_addr().ok();
        if !is_tls {
            return Ok((Box::new(tcp), peer_addr));
        }
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| Error::Tls(std::io::Error::other(error)))?;
        let tls = self.connector()?.connect(name, tcp).await.map_err(handshake_error)?;
        Ok((Box::new(tls), peer_addr))
    }

    fn connector(&self) -> Result<&TlsConnector, Error> {
        if let Some(connector) = self.shared.connector.get() {
            return Ok(connector);
        }
        let connector = self.shared.trust.connector()?;
        Ok(self.shared.connector.get_or_init(|| connector))
    }

    async fn open_over(
        &self,
        mut io: BoxIo,
        uri: &Uri,
        peer_addr: Option<SocketAddr>,
    ) -> Result<(WebSocket, http::Response<()>), Error> {
        let shared = &self.shared;
        let wish = Wish {
            subprotocols: &shared.subprotocols,
            deflate: shared.config.deflate.as_ref(),
            headers: shared.headers.clone(),
            ..Wish::new(uri, with_scratch(|scratch| scratch.pool.random()))
        };
        let answer = open::shake_hands(&mut io, wish, &shared.config.limits).await?;
        let open::Answer { agreed, response, leftover } = answer;
        let opened = Opened { io, leftover, agreed, peer_addr };
        let inner = Inner::new(Role::Client, Arc::clone(&shared.config), opened);
        let mut socket = WebSocket::new(inner);
        if shared.deflate_required && socket.deflate().is_none() {
            // RFC 6455 §7.4.1: 1010 says that the client "has expected the server to negotiate one or
            // more extension", and the reason which ones.
            let _ = socket.close(CloseCode::MANDATORY_EXTENSION, "permessage-deflate").await;
            return Err(Error::Handshake(HandshakeFault::ExtensionMissing));
        }
        Ok((socket, response))
    }
}

impl fmt::Debug for Client {
    /// Leaves the values of the headers out: there are secrets among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("config", &self.shared.config)
            .field("subprotocols", &self.shared.subprotocols)
            .finish_non_exhaustive()
    }
}
