//! Where `taiwa serve` listens: `HOST:PORT`, `unix:PATH`, `activation`.

use std::{fmt, io, net::UdpSocket, path::PathBuf, str::FromStr};

use taiwa::Listener;
use tokio::net::TcpListener;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Listen {
    Tcp(String),
    Unix(PathBuf),
    /// The sockets that the service manager has opened.
    Activation,
}

impl FromStr for Listen {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_local = text == "activation" || text.starts_with("unix:");
        if is_local && !cfg!(unix) {
            return Err("this system has no unix sockets and no activation");
        }
        match text.strip_prefix("unix:") {
            Some("") => Err("a unix socket is unix:PATH"),
            Some(path) => Ok(Self::Unix(path.into())),
            None if text == "activation" => Ok(Self::Activation),
            None => match text.rsplit_once(':') {
                Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
                    Ok(Self::Tcp(text.to_owned()))
                }
                _ => Err("an address is HOST:PORT, unix:PATH or activation"),
            },
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => f.write_str(addr),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Activation => f.write_str("activation"),
        }
    }
}

/// The mode of a unix socket's file, written in octal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mode(pub(crate) u32);

impl FromStr for Mode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_octal = !text.is_empty() && text.bytes().all(|it| matches!(it, b'0'..=b'7'));
        match u32::from_str_radix(text, 8) {
            Ok(mode) if is_octal && mode <= 0o777 => Ok(Self(mode)),
            _ => Err("a mode is three octal digits, as 660"),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03o}", self.0)
    }
}

/// The sockets of a place.
pub(crate) struct Opened {
    pub(crate) listeners: Vec<Listener>,
    /// For HTTP/3, of whoever opened the others.
    pub(crate) udp: Vec<UdpSocket>,
}

impl From<Listener> for Opened {
    fn from(listener: Listener) -> Self {
        Self { listeners: vec![listener], udp: Vec::new() }
    }
}

impl Listen {
    /// Begins to listen there.
    #[cfg(unix)]
    pub(crate) async fn open(&self, mode: Option<Mode>, reuse_port: bool) -> io::Result<Opened> {
        Ok(match (self, mode) {
            (Self::Tcp(addr), _) if reuse_port => beside_others(addr).await?.shared().into(),
            (Self::Tcp(addr), _) => alone(addr).await?.into(),
            (Self::Unix(path), None) => Listener::unix(path).await?.into(),
            (Self::Unix(path), Some(mode)) => Listener::unix_with_mode(path, mode.0).await?.into(),
            (Self::Activation, _) => {
                let taken = taiwa::Activated::take()?;
                Opened {
                    listeners: taken.listeners.into_iter().map(|(_, it)| it).collect(),
                    udp: taken.udp.into_iter().map(|(_, it)| it).collect(),
                }
            }
        })
    }

    /// Begins to listen there.
    #[cfg(not(unix))]
    pub(crate) async fn open(&self, _: Option<Mode>, reuse_port: bool) -> io::Result<Opened> {
        match self {
            Self::Tcp(_) if reuse_port => Err(io::ErrorKind::Unsupported.into()),
            Self::Tcp(addr) => Ok(alone(addr).await?.into()),
            Self::Unix(_) | Self::Activation => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// Listens on a port that is ours alone. Where the system chooses it, it is one that is free for UDP as well: HTTP/3 may be to
/// have it.
async fn alone(addr: &str) -> io::Result<Listener> {
    let mut listener = TcpListener::bind(addr).await?;
    if addr.ends_with(":0") {
        for _ in 0..TRIES {
            if UdpSocket::bind(listener.local_addr()?).is_ok() {
                break;
            }
            // The one before is held meanwhile, and so not chosen again.
            listener = TcpListener::bind(addr).await?;
        }
    }
    listener.try_into()
}

/// A port is taken by chance; so many in a row are not.
const TRIES: usize = 16;

/// Listens on a port where other processes may listen, too, with sockets of their own.
#[cfg(unix)]
async fn beside_others(addr: &str) -> io::Result<Listener> {
    #[cfg(not(target_os = "linux"))]
    return Err(io::Error::new(io::ErrorKind::Unsupported, "reuse_port is for Linux"));
    #[cfg(target_os = "linux")]
    {
        use std::net::SocketAddr;
        use tokio::net::{TcpSocket, lookup_host};

        let bind = |addr: SocketAddr| {
            let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            socket.set_reuseaddr(true)?;
            socket.set_reuseport(true)?;
            socket.bind(addr)?;
            socket.listen(BACKLOG)
        };
        let mut failed = io::ErrorKind::AddrNotAvailable.into();
        for addr in lookup_host(addr).await? {
            match bind(addr) {
                Ok(listener) => return listener.try_into(),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }
}

/// Connections that wait to be accepted; as tokio has it.
#[cfg(target_os = "linux")]
const BACKLOG: u32 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn places_are_read_as_they_are_shown() {
        for (text, expected) in [
            ("127.0.0.1:8000", Some(Listen::Tcp("127.0.0.1:8000".into()))),
            ("localhost:0", Some(Listen::Tcp("localhost:0".into()))),
            ("unix:/run/chat.sock", Some(Listen::Unix("/run/chat.sock".into()))),
            ("unix:chat.sock", Some(Listen::Unix("chat.sock".into()))),
            ("activation", Some(Listen::Activation)),
            ("unix:", None),
            ("8000", None),
            (":8000", None),
            ("localhost:http", None),
        ] {
            assert_eq!(text.parse().ok(), expected, "{text}");
            assert!(expected.is_none_or(|it| it.to_string() == text), "{text}");
        }
    }

    #[test]
    fn modes_are_octal() {
        for (text, expected) in [("660", Some(0o660)), ("0600", Some(0o600)), ("0", Some(0))] {
            assert_eq!(text.parse().ok(), expected.map(Mode), "{text}");
            let shown = expected.map(|it| Mode(it).to_string());
            assert!(shown.is_none_or(|it| it.parse().ok() == expected.map(Mode)), "{text}");
        }
        for bad in ["", "888", "1777", "+660", "-1", "0o660", "rw", "77777777777777777777"] {
            assert!(bad.parse::<Mode>().is_err(), "{bad}");
        }
    }
}
