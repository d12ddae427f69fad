//! Transports with or without TLS, and how TLS is chosen.

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::error::{Error, Result, TlsError, UrlError};
use crate::tls::ClientTls;

/// Whether a URL asks for TLS.
#[derive(Clone, Copy, Debug)]
pub enum Mode {
    /// `ws`.
    Plain,
    /// `wss`.
    Tls,
}

/// How to do TLS. Without one: by the roots of the platform.
#[non_exhaustive]
#[derive(Clone)]
pub enum Connector {
    /// Not at all: `wss` fails with [`UrlError::TlsFeatureNotEnabled`].
    Plain,
    /// With these settings.
    Rustls(Arc<ClientConfig>),
}

impl Connector {
    /// Returns the settings for `wss`.
    pub(super) fn config(connector: Option<Self>) -> Result<Arc<ClientConfig>> {
        match connector {
            Some(Self::Plain) => Err(UrlError::TlsFeatureNotEnabled.into()),
            Some(Self::Rustls(config)) => Ok(config),
            None => match ClientTls::default().connector() {
                Ok(connector) => Ok(Arc::clone(connector.settings())),
                Err(crate::Error::Tls(error) | crate::Error::Io(error)) => Err(Error::Io(error)),
                Err(error) => Err(Error::Io(io::Error::other(error))),
            },
        }
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "Connector::Plain",
            Self::Rustls(_) => "Connector::Rustls",
        })
    }
}

/// Returns the name that a certificate has to be for.
pub(super) fn server_name(host: &str) -> Result<ServerName<'static>> {
    Ok(ServerName::try_from(host.to_owned()).map_err(|_| TlsError::InvalidDnsName)?)
}

/// A transport with or without TLS.
#[non_exhaustive]
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "the variants are not ours")]
pub enum MaybeTlsStream<S> {
    /// Without.
    Plain(S),
    /// With.
    Rustls(TlsStream<S>),
}

impl<S> MaybeTlsStream<S> {
    /// Borrows the transport below.
    pub fn get_ref(&self) -> &S {
        match self {
            Self::Plain(it) => it,
            Self::Rustls(it) => it.get_ref().0,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> MaybeTlsStream<S> {
    /// Does the TLS handshake if `mode` asks for it.
    pub(super) async fn start(
        stream: S,
        mode: Mode,
        host: &str,
        connector: Option<Connector>,
    ) -> Result<Self> {
        match mode {
            Mode::Plain => Ok(Self::Plain(stream)),
            Mode::Tls => {
                let connector = TlsConnector::from(Connector::config(connector)?);
                Ok(Self::Rustls(connector.connect(server_name(host)?, stream).await?))
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for MaybeTlsStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(it) => Pin::new(it).poll_read(cx, buffer),
            Self::Rustls(it) => Pin::new(it).poll_read(cx, buffer),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for MaybeTlsStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(it) => Pin::new(it).poll_write(cx, bytes),
            Self::Rustls(it) => Pin::new(it).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(it) => Pin::new(it).poll_flush(cx),
            Self::Rustls(it) => Pin::new(it).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(it) => Pin::new(it).poll_shutdown(cx),
            Self::Rustls(it) => Pin::new(it).poll_shutdown(cx),
        }
    }
}
