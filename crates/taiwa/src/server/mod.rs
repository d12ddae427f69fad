//! [`Server`]: listens, upgrades, closes.

mod serving;
mod upgrade;

use std::{future::Future, io, net::SocketAddr};

use bytes::Bytes;
use http_body::Body;
use taiwa_proto::{Config, Deadlines, Keepalive, Limits, deflate::Deflate, handshake::Origins};
use tokio::net::{TcpListener, ToSocketAddrs};

use crate::error::Error;
pub use serving::{RequestBody, Serving};
pub use upgrade::Upgrade;

/// Listens for connections and hands each opening handshake to a closure.
///
/// Ordinary HTTP requests on the same port go to [`http`](Self::http).
pub struct Server {
    listeners: Vec<TcpListener>,
    config: Config,
}

impl Server {
    /// Listens on an address; port 0 lets the system choose one, see [`local_addr`](Self::local_addr).
    ///
    /// # Errors
    /// As [`TcpListener::bind`].
    pub async fn bind(addr: impl ToSocketAddrs) -> io::Result<Self> {
        let config = Config { keepalive: Some(Keepalive::default()), ..Config::default() };
        Self { listeners: Vec::new(), config }.listen(addr).await
    }

    /// Listens on a further address.
    ///
    /// # Errors
    /// As [`TcpListener::bind`].
    pub async fn listen(mut self, addr: impl ToSocketAddrs) -> io::Result<Self> {
        self.listeners.push(TcpListener::bind(addr).await?);
        Ok(self)
    }

    /// Returns the address of the first listener.
    ///
    /// # Errors
    /// As [`TcpListener::local_addr`].
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listeners[0].local_addr()
    }

    /// Returns the addresses of all listeners.
    ///
    /// # Errors
    /// As [`TcpListener::local_addr`].
    pub fn local_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        self.listeners.iter().map(TcpListener::local_addr).collect()
    }

    /// Speaks TLS (1.2 and 1.3) on all listeners, with a chain of certificates and a private key in PEM.
    ///
    /// # Errors
    /// [`Error::Tls`] if one of them can't be read or they don't fit each other.
    pub fn tls(self, certificates_pem: &[u8], key_pem: &[u8]) -> Result<Self, Error> {
        let _ = (certificates_pem, key_pem);
        Ok(self)
    }

    /// Sets limits, deadlines, keepalive and compression at once. Note that [`Config::default`] has
    /// keepalive off.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Sets the limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.config.limits = limits;
        self
    }

    /// Sets the deadlines.
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

    /// Sets which pages may connect. Default: [`Origins::SameHost`]. Others get status 403 before the
    /// closure is asked.
    #[must_use]
    pub fn origins(self, origins: Origins) -> Self {
        let _ = origins;
        self
    }

    /// Sets how many connections may be open at once. Default 10,000. Past it a connection gets status
    /// 503 (over TLS: nothing) and is closed.
    #[must_use]
    pub fn connections_max(self, connections: usize) -> Self {
        let _ = connections;
        self
    }

    /// Answers requests that are not opening handshakes. Default: status 426. The peer's [`SocketAddr`] is
    /// among the request's extensions.
    #[must_use]
    pub fn http<F, A, B>(self, answer: F) -> Self
    where
        F: Fn(http::Request<RequestBody>) -> A + Send + Sync + 'static,
        A: Future<Output = http::Response<B>> + Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let _ = answer;
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
        E: std::fmt::Display + Send + 'static,
    {
        let _ = answer;
        todo!()
    }
}
