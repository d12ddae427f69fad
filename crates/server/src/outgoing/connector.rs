//! How a request of ours gets a connection: TCP, and TLS where the URL says so.

use std::{
    error::Error,
    fmt,
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Uri, uri::Scheme};
use hyper_util::{
    client::legacy::connect::{Connected, Connection, HttpConnector},
    rt::TokioIo,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use rustls_platform_verifier::Verifier;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time,
};
use tokio_rustls::TlsConnector;
use tower_service::Service;

/// Whose certificates are believed.
#[derive(Clone, Default)]
pub enum Trust {
    /// Those that the platform's roots vouch for.
    #[default]
    Platform,
    /// Those that these roots vouch for, and no others. [`Trust::from_pem`] reads them.
    Roots(Arc<RootCertStore>),
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Platform => f.write_str("Platform"),
            Self::Roots(roots) => write!(f, "Roots({})", roots.len()),
        }
    }
}

/// Why roots can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustError(String);

impl fmt::Display for TrustError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for TrustError {}

impl Trust {
    /// Reads roots from PEM text; those of the platform don't count then.
    ///
    /// # Errors
    /// If there is none in it, or one that is no certificate.
    pub fn from_pem(pem: &[u8]) -> Result<Self, TrustError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| TrustError(error.to_string()))?;
            roots.add(certificate).map_err(|error| TrustError(error.to_string()))?;
        }
        match roots.is_empty() {
            true => Err(TrustError("no certificate in the PEM text".into())),
            false => Ok(Self::Roots(Arc::new(roots))),
        }
    }

    fn connector(&self) -> Result<TlsConnector, rustls::Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let builder = match self {
            Self::Roots(roots) => builder.with_root_certificates(Arc::clone(roots)),
            Self::Platform => {
                let verifier = Arc::new(Verifier::new(provider)?);
                builder.dangerous().with_custom_certificate_verifier(verifier)
            }
        };
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

/// Opens connections for the client of hyper.
#[derive(Clone)]
pub(super) struct Connector {
    tcp: HttpConnector,
    /// Without roots of the platform only URLs that want them fail, and say why.
    tls: Result<TlsConnector, Arc<str>>,
    connect_max: Duration,
}

impl Connector {
    pub(super) fn new(trust: &Trust, connect_max: Duration) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let tls = trust.connector().map_err(|error| error.to_string().into());
        Self { tcp, tls, connect_max }
    }

    async fn connect(mut self, uri: Uri) -> io::Result<TokioIo<Box<dyn Io>>> {
        let secure = uri.scheme() == Some(&Scheme::HTTPS);
        let host = uri.host().unwrap_or("").trim_start_matches('[').trim_end_matches(']');
        let name = match secure {
            true => Some(ServerName::try_from(host.to_owned()).map_err(io::Error::other)?),
            false => None,
        };
        let tcp = self.tcp.call(uri).await.map_err(io::Error::other)?.into_inner();
        let io: Box<dyn Io> = match name {
            None => Box::new(tcp),
            Some(name) => {
                let tls = self.tls.map_err(|why| io::Error::other(String::from(&*why)))?;
                Box::new(tls.connect(name, tcp).await?)
            }
        };
        Ok(TokioIo::new(io))
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Box<dyn Io>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            // Also bounds a connection whose request has found another one meanwhile.
            time::timeout(connector.connect_max, connector.connect(uri)).await?
        })
    }
}

/// A transport to the other side.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl Io for TcpStream {}

impl Io for tokio_rustls::client::TlsStream<TcpStream> {}

impl Connection for Box<dyn Io> {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}
