//! Where a [`Server`] listens.

use std::{io, net::SocketAddr};

use taiwa_proto::{Config, Keepalive, handshake::Origins};
use tokio::net::{TcpListener, ToSocketAddrs};

use super::{Addr, Listener, Server, Subprotocols, h2::Http2, h3::Ports};

impl Server {
    /// Listens on an address; port 0 lets the system choose one, see [`local_addr`](Self::local_addr). Of
    /// a name with several addresses it is the first that can be bound.
    ///
    /// Cancel-safe: dropped, it listens on nothing.
    ///
    /// # Errors
    /// As [`TcpListener::bind`].
    pub async fn bind(addr: impl ToSocketAddrs) -> io::Result<Self> {
        Ok(Self::on(Listener::tcp(TcpListener::bind(addr).await?)?))
    }

    /// Listens on a further address.
    ///
    /// Not cancel-safe: the server is dropped with its future.
    ///
    /// # Errors
    /// As [`TcpListener::bind`].
    pub async fn listen(self, addr: impl ToSocketAddrs) -> io::Result<Self> {
        self.listen_on(Listener::tcp(TcpListener::bind(addr).await?)?)
    }

    /// Listens on a unix socket at a path (unix(7)); its length is limited by the system, to 107 bytes on
    /// Linux.
    ///
    /// A socket that a dead server left there is replaced: one that refuses connections. The file is
    /// removed when the listener is dropped: at the end of the server, or when its
    /// [shutdown](crate::Serving::with_shutdown) begins. It is as open as the process's umask lets it be;
    /// [`Listener::unix_with_mode`] gives it a mode.
    ///
    /// Cancel-safe: dropped, it listens on nothing.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// use taiwa::{Listener, Server};
    /// let folder = std::env::temp_dir().join(format!("taiwa-doc-{}", std::process::id()));
    /// std::fs::create_dir_all(&folder)?;
    /// let server = Server::bind_unix(folder.join("a.sock")).await?;
    /// let server = server.listen_on(Listener::unix_with_mode(folder.join("b.sock"), 0o600).await?)?;
    /// drop(server);
    /// assert!(std::fs::read_dir(&folder)?.next().is_none());
    /// std::fs::remove_dir(&folder)
    /// # }
    /// ```
    ///
    /// Of two servers that replace the same dead socket at the same instant, one may remove the other's;
    /// then that one is not reached any more.
    ///
    /// # Errors
    /// [`io::ErrorKind::AddrInUse`] if another server listens there, or a file that is no socket stands
    /// there; other errors of the system.
    #[cfg(unix)]
    pub async fn bind_unix(path: impl AsRef<std::path::Path>) -> io::Result<Self> {
        Ok(Self::on(Listener::unix(path).await?))
    }

    /// Listens on a further unix socket, as [`bind_unix`](Self::bind_unix).
    ///
    /// Not cancel-safe: the server is dropped with its future.
    ///
    /// # Errors
    /// As [`bind_unix`](Self::bind_unix).
    #[cfg(unix)]
    pub async fn listen_unix(self, path: impl AsRef<std::path::Path>) -> io::Result<Self> {
        self.listen_on(Listener::unix(path).await?)
    }

    /// Serves on a socket that is there already: a [`TcpListener`] or `UnixListener` of tokio or of `std`.
    /// The file of such a unix socket is not removed at the end.
    ///
    /// With options of the system's own, for example several processes on one port:
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// use taiwa::Server;
    /// let socket = tokio::net::TcpSocket::new_v4()?;
    /// # #[cfg(unix)]
    /// socket.set_reuseport(true)?;
    /// socket.bind("127.0.0.1:0".parse().unwrap())?;
    /// let server = Server::from_listener(socket.listen(1024)?)?;
    /// # drop(server);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] when the socket does not listen; [`io::ErrorKind::Other`] when there
    /// is no tokio runtime here.
    pub fn from_listener<L>(listener: L) -> io::Result<Self>
    where
        L: TryInto<Listener>,
        L::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        Ok(Self::on(listener.try_into().map_err(told)?))
    }

    /// Serves on a further socket, as [`from_listener`](Self::from_listener).
    ///
    /// # Errors
    /// As [`from_listener`](Self::from_listener).
    pub fn listen_on<L>(mut self, listener: L) -> io::Result<Self>
    where
        L: TryInto<Listener>,
        L::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.listeners.push(listener.try_into().map_err(told)?);
        Ok(self)
    }

    pub(super) fn on(listener: Listener) -> Self {
        Self {
            listeners: vec![listener],
            config: Config { keepalive: Some(Keepalive::default()), ..Config::default() },
            origins: Origins::default(),
            subprotocols: Subprotocols::default(),
            proxies: None,
            certificates: None,
            clients: None,
            key_log: None,
            connections_max: 10_000,
            http1: true,
            http2: Some(Http2::default()),
            http3: None,
            udp: Ports::default(),
            sessions: None,
            http: None,
            at_once: None,
            tuner: None,
        }
    }

    /// Returns the address of the first TCP listener.
    ///
    /// # Errors
    /// [`io::ErrorKind::AddrNotAvailable`] if there is none; see [`addrs`](Self::addrs). As
    /// [`TcpListener::local_addr`].
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        let first = self.local_addrs()?.first().copied();
        first.ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
    }

    /// Returns the addresses of all TCP listeners.
    ///
    /// # Errors
    /// As [`TcpListener::local_addr`].
    pub fn local_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        Ok(self.addrs()?.iter().filter_map(Addr::tcp).collect())
    }

    /// Returns the addresses of all listeners.
    ///
    /// # Errors
    /// As [`TcpListener::local_addr`].
    pub fn addrs(&self) -> io::Result<Vec<Addr>> {
        self.listeners.iter().map(Listener::local_addr).collect()
    }
}

/// A `Listener` converts into itself without an error of its own.
fn told(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    match error.into().downcast::<io::Error>() {
        Ok(error) => *error,
        Err(error) => io::Error::other(error),
    }
}
