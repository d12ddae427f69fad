//! Blocking transports with or without TLS.

use std::{
    fmt,
    io::{self, Read, Write},
    net::TcpStream,
};

use rustls::{ClientConnection, StreamOwned};

use super::super::{
    error::{Result, TlsError},
    maybe_tls::{Connector, Mode, server_name},
};

/// Sets `TCP_NODELAY`.
pub trait NoDelay {
    /// Sets it.
    ///
    /// # Errors
    /// From the operating system.
    fn set_nodelay(&mut self, nodelay: bool) -> io::Result<()>;
}

impl NoDelay for TcpStream {
    fn set_nodelay(&mut self, nodelay: bool) -> io::Result<()> {
        TcpStream::set_nodelay(self, nodelay)
    }
}

impl<S: Read + Write + NoDelay> NoDelay for MaybeTlsStream<S> {
    fn set_nodelay(&mut self, nodelay: bool) -> io::Result<()> {
        match self {
            Self::Plain(it) => it.set_nodelay(nodelay),
            Self::Rustls(it) => it.sock.set_nodelay(nodelay),
        }
    }
}

/// A blocking transport with or without TLS.
#[non_exhaustive]
#[expect(clippy::large_enum_variant, reason = "the variants are not ours")]
pub enum MaybeTlsStream<S: Read + Write> {
    /// Without.
    Plain(S),
    /// With.
    Rustls(StreamOwned<ClientConnection, S>),
}

impl<S: Read + Write> MaybeTlsStream<S> {
    pub(super) fn start(
        stream: S,
        mode: Mode,
        host: &str,
        connector: Option<Connector>,
    ) -> Result<Self> {
        match mode {
            Mode::Plain => Ok(Self::Plain(stream)),
            Mode::Tls => {
                let config = Connector::config(connector)?;
                let tls = ClientConnection::new(config, server_name(host)?);
                Ok(Self::Rustls(StreamOwned::new(tls.map_err(TlsError::from)?, stream)))
            }
        }
    }
}

impl<S: Read + Write + fmt::Debug> fmt::Debug for MaybeTlsStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(it) => f.debug_tuple("Plain").field(it).finish(),
            Self::Rustls(it) => f.debug_tuple("Rustls").field(&it.sock).finish(),
        }
    }
}

impl<S: Read + Write> Read for MaybeTlsStream<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(it) => it.read(buffer),
            Self::Rustls(it) => it.read(buffer),
        }
    }
}

impl<S: Read + Write> Write for MaybeTlsStream<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(it) => it.write(bytes),
            Self::Rustls(it) => it.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(it) => it.flush(),
            Self::Rustls(it) => it.flush(),
        }
    }
}
