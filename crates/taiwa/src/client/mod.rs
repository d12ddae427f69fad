//! [`Client`]: opens connections.

mod builder;
mod chunks;
mod dial;
mod h2;
mod h3;
mod open;
mod pool;
mod proxy;
mod race;
mod redirect;
mod route;
mod sharing;
mod steps;
mod version;

use std::{
    fmt,
    future::Future,
    net::SocketAddr,
    sync::{Arc, LazyLock, OnceLock},
};

use bytes::BytesMut;
use http::HeaderMap;
use taiwa_proto::{CloseCode, Config, Deadline, Role, handshake::HandshakeFault};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};

use crate::{
    error::{Error, RedirectFault},
    io::BoxIo,
    tls::{ClientTls, Connector},
    websocket::{Inner, Opened, WebSocket},
};
pub use builder::ClientBuilder;
use dial::{Dialing, Place, parse_url};
pub(crate) use dial::{Resolver, connect_quic};
use open::{Agreement, Answer};
use pool::Pool;
pub use proxy::Proxy;
pub use redirect::FinalUrl;
use redirect::{Hop, Standing};
use route::{Dialed, Reply, Spoken};
pub use sharing::Sharing;
pub use steps::{VersionStep, VersionSteps};
pub use version::{HttpVersion, VersionReason};

/// Opens a connection to a `ws` or `wss` URL with the defaults of [`Client`]: TLS by the roots of the
/// platform, limits, deadlines and keepalive on, no compression.
///
/// Dropping its future cancels the attempt and drops the transport.
///
/// # Errors
/// See [`Client::connect`].
#[expect(clippy::missing_panics_doc, reason = "what it expects is an invariant")]
pub async fn connect(url: &str) -> Result<WebSocket, Error> {
    static DEFAULT: LazyLock<Result<Client, Error>> = LazyLock::new(|| Client::builder().build());
    let client = DEFAULT.as_ref().expect("the defaults are valid");
    client.connect(url).await
}

/// Opens connections. Cloning is cheap and shares the settings.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), taiwa::Error> {
/// # let server = taiwa::Server::bind("127.0.0.1:0").await?.subprotocols(["v1.json"]);
/// # let url = format!("ws://{}/feed", server.local_addr()?);
/// # tokio::spawn(server.serve(|it: taiwa::Upgrade| async move {
/// #     it.accept().await?.recv().await.map(drop)
/// # }).into_future());
/// use taiwa::{Client, CloseCode, Deflate};
///
/// let client = Client::builder()
///     .header("authorization", "Bearer 1234")
///     .subprotocols(["v2.json", "v1.json"])
///     .compression(Deflate::default())
///     .build()?;
/// let mut socket = client.connect(&url).await?;
/// assert_eq!(socket.subprotocol(), Some("v1.json"));
/// socket.close(CloseCode::NORMAL, "").await?;
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
    redirects_max: u32,
    dialing: Dialing,
    http_version: HttpVersion,
    pool: Pool,
    tls: ClientTls,
    /// Made with the first `wss` connection: it reads the platform's roots.
    connector: OnceLock<Connector>,
    /// For other origins, to which a redirect leads.
    connector_for_strangers: OnceLock<Connector>,
}

impl Client {
    /// Starts with the defaults.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// Opens a connection: resolves the host, connects by TCP (and TLS for `wss`), and does the opening
    /// handshake, all within [`Deadlines::handshake`](crate::Deadlines).
    ///
    /// For `wss` it is carried by HTTP/2 where the server takes it so: a connection that is open already, also by clones of
    /// this client, is shared then (see [`HttpVersion::Auto`] and [`Sharing`]). A task on the runtime that opened it drives
    /// each shared connection.
    ///
    /// Of a host's addresses (the first 32) that one wins which connects first (RFC 8305): families take
    /// turns, and the next begins after 250 ms, or at once when one fails. A proxy of the environment is
    /// used: see [`ClientBuilder::proxy`].
    ///
    /// User and password in the URL, `wss://user:secret@example.org/`, become `Authorization: Basic`
    /// (RFC 7617 §2), unless there is a [header](ClientBuilder::header) of that name. A fragment is an
    /// error (RFC 6455 §3).
    ///
    /// `ws+unix:/run/app.sock:/chat?x=1` leads to a unix socket, in the form of npm's `ws`: the socket's
    /// path (absolute or relative, percent-encoded where it has a colon, a space or a percent sign), a
    /// colon, and what is requested there, `/` if it is left out. `Host` is `localhost`, or what stands
    /// in `ws+unix://host/run/app.sock`; `wss+unix:` adds TLS for that name. On Linux a path that begins
    /// with `%00` is one of the abstract namespace.
    ///
    /// Cancel-safe: dropping the future ends what it began, without a connection left open.
    ///
    /// # Errors
    /// [`Error::Request`], [`Error::Io`], [`Error::Proxy`], [`Error::Tls`], [`Error::Late`];
    /// [`Error::Refused`] when the server answers with another status than 101 (2xx over HTTP/2; a redirect, too, unless
    /// [`ClientBuilder::redirects`] allows it), [`Error::Redirect`], [`Error::Handshake`] when its 101
    /// is wrong.
    pub async fn connect(&self, url: &str) -> Result<WebSocket, Error> {
        Ok(self.open(url).await?.0)
    }

    /// Opens a connection like [`connect`](Self::connect) and returns the head of the server's response.
    /// Cancel-safe like it.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn open(&self, url: &str) -> Result<(WebSocket, http::Response<()>), Error> {
        self.open_with(url, HeaderMap::new()).await
    }

    /// Opens a connection with more headers, which replace those of the same names.
    pub(crate) async fn open_with(
        &self,
        url: &str,
        more: HeaderMap,
    ) -> Result<(WebSocket, http::Response<()>), Error> {
        let (uri, socket) = parse_url(url).map_err(Error::Request)?;
        let mut headers = self.shared.headers.clone();
        headers.extend(more);
        self.in_time(self.follow(Hop { socket, ..Hop::first(uri, headers) })).await
    }

    /// Opens a connection, where redirects lead.
    async fn follow(&self, first: Hop) -> Result<(WebSocket, http::Response<()>), Error> {
        let redirects_max = self.shared.redirects_max;
        let mut hop = first;
        let mut redirects = 0;
        loop {
            let Reply { io, peer_addr, answer } = self.ask(&hop).await?;
            let (refusal, unread) = match answer {
                Answer::Agreed(agreement) => {
                    return self.opened(io, &hop, agreement, peer_addr).await;
                }
                Answer::Refused(response, unread) => (response, unread),
            };
            if redirects_max > 0
                && let Some(next) = hop.redirected_by(&refusal).map_err(Error::Redirect)?
            {
                if redirects == redirects_max {
                    return Err(Error::Redirect(RedirectFault::TooMany { max: redirects_max }));
                }
                redirects += 1;
                hop = next;
                continue;
            }
            return Err(self.refused(io, &hop, refusal, unread).await);
        }
    }

    /// Does the opening handshake over a transport that is connected already, within
    /// [`Deadlines::handshake`](crate::Deadlines). The URL gives `Host` and the path; its scheme adds no TLS.
    ///
    /// Dropping its future cancels the attempt and drops the transport.
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
        let (uri, _) = parse_url(url).map_err(Error::Request)?;
        let hop = Hop::first(uri, self.shared.headers.clone());
        let dialed = Dialed { io: Box::new(io), peer_addr: None, spoken: Spoken::Unsaid };
        self.in_time(self.open_on(dialed, &hop)).await
    }

    /// Opens a connection like [`connect_over`](Self::connect_over), with TLS on the transport: whatever
    /// the scheme, it is done with the client's settings and the URL's host.
    ///
    /// Dropping its future cancels the attempt and drops the transport.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_tls_over<T>(
        &self,
        io: T,
        url: &str,
    ) -> Result<(WebSocket, http::Response<()>), Error>
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (uri, _) = parse_url(url).map_err(Error::Request)?;
        let hop = Hop::first(uri, self.shared.headers.clone());
        self.in_time(async {
            let host = Place::of(&hop.uri).host;
            let offer = self.offer_over();
            let dialed = self.secure(Box::new(io), host, hop.standing, offer).await?;
            self.open_on(dialed, &hop).await
        })
        .await
    }

    /// Forgets what held in the network that the machine has left: where servers speak HTTP/3, unless they said that it holds
    /// everywhere (`persist`, RFC 7838 §3.1), and where it could not be reached. For programs that notice such a change; connections
    /// stay.
    pub fn network_changed(&self) {
        self.shared.pool.leave_network();
    }

    async fn open_on(
        &self,
        dialed: Dialed,
        hop: &Hop,
    ) -> Result<(WebSocket, http::Response<()>), Error> {
        let Reply { io, answer, .. } = self.ask_over(dialed, hop).await?;
        match answer {
            Answer::Agreed(agreement) => self.opened(io, hop, agreement, None).await,
            Answer::Refused(refusal, unread) => Err(self.refused(io, hop, refusal, unread).await),
        }
    }

    pub(crate) async fn in_time<T>(
        &self,
        open: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        match self.shared.config.deadlines.handshake {
            None => open.await,
            Some(within) => match timeout(within, open).await {
                Ok(opened) => opened,
                Err(_) => Err(Error::Late(Deadline::Handshake)),
            },
        }
    }

    fn connector(&self, standing: Standing) -> Result<&Connector, Error> {
        let shared = &self.shared;
        let (made, settings) = match standing {
            Standing::Home => (&shared.connector, &shared.tls),
            Standing::Stranger => (&shared.connector_for_strangers, &shared.tls.for_strangers()),
        };
        if let Some(connector) = made.get() {
            return Ok(connector);
        }
        let connector = settings.connector()?;
        Ok(made.get_or_init(|| connector))
    }

    /// Makes a connection of what was agreed on.
    async fn opened(
        &self,
        io: BoxIo,
        hop: &Hop,
        agreement: Agreement,
        peer_addr: Option<SocketAddr>,
    ) -> Result<(WebSocket, http::Response<()>), Error> {
        let shared = &self.shared;
        let Agreement { agreed, mut response, leftover } = agreement;
        response.extensions_mut().insert(hop.final_url());
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

    /// Reads the body of a refusal.
    async fn refused(
        &self,
        mut io: BoxIo,
        hop: &Hop,
        refusal: http::Response<()>,
        unread: BytesMut,
    ) -> Error {
        let body = open::read_body(&mut io, &refusal, unread, &self.shared.config.limits).await;
        let mut response = refusal.map(|()| body);
        response.extensions_mut().insert(hop.final_url());
        Error::Refused(Box::new(response))
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
