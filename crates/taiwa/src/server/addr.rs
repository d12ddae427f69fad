//! [`Addr`]: where an end of a connection is. [`Credentials`]: who a peer on the same machine is.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::pki_types::CertificateDer;

/// Where an end of a connection is.
///
/// ```
/// use taiwa::Addr;
/// let addr = Addr::from("127.0.0.1:8000".parse::<std::net::SocketAddr>().unwrap());
/// assert_eq!(addr.to_string(), "127.0.0.1:8000");
/// assert_eq!(addr.port(), Some(8000));
/// assert_eq!(Addr::Unix(None).to_string(), "unix:");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Addr {
    /// An address of TCP.
    Tcp(SocketAddr),
    /// A unix socket and its path. Clients rarely have one, and abstract addresses never do.
    Unix(Option<Arc<Path>>),
    /// Not known to us: the transport was handed in.
    Unknown,
}

/// Our own address on the connection by which an ordinary request came: among the extensions of the request that
/// [`Server::http`](crate::Server::http) answers.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct LocalAddr(pub Addr);

/// The certificates that a client has shown, each in DER (RFC 5280), its own first: verified, as
/// [`Server::client_certificates`](crate::Server::client_certificates) asks for. Among the extensions of the request that
/// [`Server::http`](crate::Server::http) answers, if it has shown any; for WebSockets see
/// [`Upgrade::peer_certificates`](crate::Upgrade::peer_certificates).
#[derive(Clone, Debug)]
pub struct PeerCertificates(pub(super) Arc<[CertificateDer<'static>]>);

impl PeerCertificates {
    /// Returns them one by one.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.0.iter().map(|it| it.as_ref())
    }
}

impl Addr {
    /// Returns the address of TCP; `None` for every other transport.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(addr) => Some(*addr),
            Self::Unix(_) | Self::Unknown => None,
        }
    }

    /// Returns the IP address; `None` for every transport but TCP.
    pub fn ip(&self) -> Option<IpAddr> {
        self.tcp().map(|it| it.ip())
    }

    /// Returns the port; `None` for every transport but TCP.
    pub fn port(&self) -> Option<u16> {
        self.tcp().map(|it| it.port())
    }
}

impl From<SocketAddr> for Addr {
    fn from(addr: SocketAddr) -> Self {
        Self::Tcp(addr)
    }
}

impl PartialEq<SocketAddr> for Addr {
    fn eq(&self, other: &SocketAddr) -> bool {
        self.tcp().as_ref() == Some(other)
    }
}

#[cfg(unix)]
impl From<tokio::net::unix::SocketAddr> for Addr {
    fn from(addr: tokio::net::unix::SocketAddr) -> Self {
        Self::Unix(addr.as_pathname().map(Arc::from))
    }
}

impl From<PathBuf> for Addr {
    fn from(path: PathBuf) -> Self {
        Self::Unix(Some(path.into()))
    }
}

/// As other programs write it: `127.0.0.1:8000`, `[::1]:8000`, `unix:/run/chat.sock`.
impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            // Whoever connects chooses the path it comes from: it must not forge a line of a log.
            Self::Unix(Some(path)) => {
                write!(f, "unix:{}", path.display().to_string().escape_debug())
            }
            Self::Unix(None) => f.write_str("unix:"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// Who a peer on the same machine is, as the kernel says (`SO_PEERCRED`, unix(7)): of the process that
/// connected, at the time it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Credentials {
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its process, where the system tells. A process that ended may have left its number to another:
    /// good for a log, not for a decision.
    pub pid: Option<i32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_as_other_programs_write_them() {
        let tcp = |it: &str| Addr::from(it.parse::<SocketAddr>().unwrap());
        for (addr, text) in [
            (tcp("127.0.0.1:1"), "127.0.0.1:1"),
            (tcp("[::1]:1"), "[::1]:1"),
            (PathBuf::from("/run/a b.sock").into(), "unix:/run/a b.sock"),
            (PathBuf::from("/run/a\nb").into(), "unix:/run/a\\nb"),
            (Addr::Unix(None), "unix:"),
            (Addr::Unknown, "unknown"),
        ] {
            assert_eq!(addr.to_string(), text);
        }
    }
}
