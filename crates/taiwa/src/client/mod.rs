//! [`Client`]: opens connections.

use std::sync::Arc;

use taiwa_proto::{Config, Deadlines, Keepalive, Limits, deflate::Deflate};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{error::Error, websocket::WebSocket};

/// Opens a connection to a `ws` or `wss` URL with the defaults of [`Client`]: TLS by the roots of the
/// platform, limits, deadlines and keepalive on, no compression.
///
/// # Errors
/// See [`Client::connect`].
pub async fn connect(url: &str) -> Result<WebSocket, Error> {
    Client::builder().build()?.connect(url).await
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
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {}

impl Client {
    /// Starts with the defaults.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// Opens a connection: resolves the host, connects by TCP (and TLS for `wss`), and does the opening
    /// handshake, all within [`Deadlines::handshake`].
    ///
    /// # Errors
    /// [`Error::Url`], [`Error::Io`], [`Error::Tls`], [`Error::Late`]; [`Error::Refused`] when the server
    /// answers with another status than 101 (redirects too), [`Error::Handshake`] when its 101 is wrong.
    pub async fn connect(&self, url: &str) -> Result<WebSocket, Error> {
        Ok(self.open(url).await?.0)
    }

    /// Opens a connection like [`connect`](Self::connect) and returns the head of the server's response.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn open(&self, url: &str) -> Result<(WebSocket, http::Response<()>), Error> {
        let _ = (url, &self.shared);
        todo!()
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
        let _ = (io, url);
        todo!()
    }
}

/// Settings of a [`Client`]. What is wrong with them is told by [`build`](Self::build).
#[derive(Clone, Debug)]
#[must_use]
pub struct ClientBuilder {
    config: Config,
}

impl Default for ClientBuilder {
    fn default() -> Self {
        Self { config: Config { keepalive: Some(Keepalive::default()), ..Config::default() } }
    }
}

impl ClientBuilder {
    /// Adds a header to the request, for example `authorization`, `cookie`, `origin`.
    pub fn header(self, name: &str, value: &str) -> Self {
        let _ = (name, value);
        self
    }

    /// Offers subprotocols, the most preferred first (RFC 6455 §1.9). Default: none.
    pub fn subprotocols<S: Into<String>>(self, names: impl IntoIterator<Item = S>) -> Self {
        let _ = names;
        self
    }

    /// Offers permessage-deflate (RFC 7692). Default: not.
    pub fn compression(mut self, deflate: Deflate) -> Self {
        self.config.deflate = Some(deflate);
        self
    }

    /// Sets the limits.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.config.limits = limits;
        self
    }

    /// Sets the deadlines.
    pub fn deadlines(mut self, deadlines: Deadlines) -> Self {
        self.config.deadlines = deadlines;
        self
    }

    /// Sets when silent peers are pinged; `None` never. Default: [`Keepalive::default`].
    pub fn keepalive(mut self, keepalive: impl Into<Option<Keepalive>>) -> Self {
        self.config.keepalive = keepalive.into();
        self
    }

    /// Sets limits, deadlines, keepalive and compression at once. Note that [`Config::default`] has
    /// keepalive off.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Trusts the certificates in `pem` as roots, and those of the platform no longer. May be called
    /// several times.
    pub fn root_certificate_pem(self, pem: &[u8]) -> Self {
        let _ = pem;
        self
    }

    /// Accepts any certificate of the server: whoever sits in between can read and write everything.
    pub fn danger_accept_any_certificate(self) -> Self {
        self
    }

    /// Makes the client.
    ///
    /// # Errors
    /// [`Error::Tls`] for a bad root certificate, [`Error::Handshake`] for a header or subprotocol that
    /// can't be sent.
    pub fn build(self) -> Result<Client, Error> {
        Ok(Client { shared: Arc::new(Shared {}) })
    }
}
