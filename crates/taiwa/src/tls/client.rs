//! The client's TLS: whose certificates it believes, and who it says it is.

use std::{path::Path, sync::Arc};

use quinn::crypto::rustls::QuicClientConfig;
use rustls::{
    ClientConfig, ConfigBuilder, RootCertStore, SupportedProtocolVersion, WantsVerifier,
    client::{Resumption, WantsClientCert},
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    sign::{CertifiedKey, SingleCertAndKey},
    version::{TLS12, TLS13},
};
use rustls_platform_verifier::Verifier;
use tokio_rustls::TlsConnector;

use super::{
    alpn, certificates,
    judge::{Anyone, Judged},
    key_log::KeyLogFile,
    tls_error,
};
use crate::error::Error;

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246), with forward secrecy and authenticated ciphers only.
    #[default]
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

/// Settings of a client's TLS.
#[derive(Clone, Default)]
pub(crate) struct ClientTls {
    trust: Trust,
    identity: Option<Arc<CertifiedKey>>,
    /// Instead of the URL's host.
    server_name: Option<ServerName<'static>>,
    key_log: Option<Arc<KeyLogFile>>,
    version_min: TlsVersion,
}

/// Whose certificates a client believes.
#[derive(Clone)]
enum Trust {
    /// The roots of the platform, and these.
    Platform(Vec<CertificateDer<'static>>),
    /// These roots.
    Roots(RootCertStore),
    /// Anyone's.
    Anyone,
}

impl Default for Trust {
    fn default() -> Self {
        Self::Platform(Vec::new())
    }
}

impl ClientTls {
    /// Adds roots; those of the platform count no longer.
    pub(crate) fn add_roots(&mut self, pem: &[u8]) -> Result<(), Error> {
        let mut roots = match std::mem::take(&mut self.trust) {
            Trust::Roots(roots) => roots,
            Trust::Platform(_) | Trust::Anyone => RootCertStore::empty(),
        };
        for certificate in certificates(pem)? {
            roots.add(certificate).map_err(tls_error)?;
        }
        self.trust = Trust::Roots(roots);
        Ok(())
    }

    /// Adds roots to those that count already.
    pub(crate) fn add_more_roots(&mut self, pem: &[u8]) -> Result<(), Error> {
        // Told now, not with the first connection.
        let mut checked = RootCertStore::empty();
        for certificate in certificates(pem)? {
            checked.add(certificate.clone()).map_err(tls_error)?;
            match &mut self.trust {
                Trust::Platform(more) => more.push(certificate),
                Trust::Roots(roots) => roots.add(certificate).map_err(tls_error)?,
                Trust::Anyone => {}
            }
        }
        Ok(())
    }

    pub(crate) fn trust_anyone(&mut self) {
        self.trust = Trust::Anyone;
    }

    /// Sets the chain and the key that the client shows when it is asked to.
    pub(crate) fn set_identity(&mut self, chain_pem: &[u8], key_pem: &[u8]) -> Result<(), Error> {
        let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(tls_error)?;
        let chain = certificates(chain_pem)?;
        let provider = aws_lc_rs::default_provider();
        let identity = CertifiedKey::from_der(chain, key, &provider).map_err(tls_error)?;
        self.identity = Some(Arc::new(identity));
        Ok(())
    }

    pub(crate) fn set_server_name(&mut self, name: &str) -> Result<(), Error> {
        self.server_name = Some(server_name(name)?);
        Ok(())
    }

    /// Appends the secrets of all connections to a file.
    pub(crate) fn log_keys_to(&mut self, path: &Path) -> Result<(), Error> {
        self.key_log = Some(Arc::new(KeyLogFile::open(path)?));
        Ok(())
    }

    pub(crate) fn set_version_min(&mut self, version: TlsVersion) {
        self.version_min = version;
    }

    /// Forgets what is meant for one host alone: the client's certificate and the server's other name.
    pub(crate) fn for_strangers(&self) -> Self {
        Self { identity: None, server_name: None, ..self.clone() }
    }

    /// Makes a connector that offers HTTP/1.1. With the platform's roots it reads files.
    pub(crate) fn connector(&self) -> Result<Connector, Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let versions: &[&SupportedProtocolVersion] = match self.version_min {
            TlsVersion::Tls12 => &[&TLS13, &TLS12],
            TlsVersion::Tls13 => &[&TLS13],
        };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(tls_error)?;
        let builder = self.trust.verify(builder, provider)?;
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let resolver = SingleCertAndKey::from(Arc::clone(identity));
                builder.with_client_cert_resolver(Arc::new(resolver))
            }
        };
        config.alpn_protocols = vec![alpn::HTTP1.to_vec()];
        if let Some(key_log) = &self.key_log {
            config.key_log = Arc::clone(key_log) as _;
        }
        let inner = TlsConnector::from(Arc::new(config));
        Ok(Connector { inner, server_name: self.server_name.clone() })
    }
}

impl Trust {
    fn verify(
        &self,
        builder: ConfigBuilder<ClientConfig, WantsVerifier>,
        provider: Arc<CryptoProvider>,
    ) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, Error> {
        Ok(match self {
            Self::Platform(more) => {
                let verifier = platform(more, provider)?;
                builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
            }
            Self::Roots(roots) => builder.with_root_certificates(roots.clone()),
            Self::Anyone => {
                let verifier = Arc::new(Judged { judge: Anyone, provider });
                builder.dangerous().with_custom_certificate_verifier(verifier)
            }
        })
    }
}

#[cfg(not(target_os = "android"))]
fn platform(
    more: &[CertificateDer<'static>],
    provider: Arc<CryptoProvider>,
) -> Result<Verifier, Error> {
    Verifier::new_with_extra_roots(more.iter().cloned(), provider).map_err(tls_error)
}

/// Android's verifier takes no more roots.
#[cfg(target_os = "android")]
fn platform(
    more: &[CertificateDer<'static>],
    provider: Arc<CryptoProvider>,
) -> Result<Verifier, Error> {
    if more.is_empty() {
        return Verifier::new(provider).map_err(tls_error);
    }
    Err(tls_error("no roots can be added to those of Android"))
}

/// Begins TLS on a transport. Its clones share the sessions that can be resumed.
#[derive(Clone)]
pub(crate) struct Connector {
    inner: TlsConnector,
    server_name: Option<ServerName<'static>>,
}

impl Connector {
    /// Does the handshake with a host, which may be a name or an address without brackets.
    pub(crate) async fn connect<T>(
        &self,
        host: &str,
        io: T,
    ) -> Result<tokio_rustls::client::TlsStream<T>, Error>
    where
        T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    {
        let name = self.name_of(host)?;
        self.inner.connect(name, io).await.map_err(super::handshake_error)
    }

    /// Returns a connector by the same rules, and with the same sessions to resume, that offers these protocols
    /// ([`alpn`](super::alpn)), the best first.
    pub(crate) fn offering(&self, protocols: &[&[u8]]) -> Self {
        let mut config = ClientConfig::clone(self.inner.config());
        config.alpn_protocols = protocols.iter().map(|it| it.to_vec()).collect();
        let inner = TlsConnector::from(Arc::new(config));
        Self { inner, server_name: self.server_name.clone() }
    }

    /// Makes the TLS of HTTP/3, by the same rules. Sessions that it resumes are its own; nothing is sent before the
    /// handshake is over.
    ///
    /// # Errors
    /// [`Error::Tls`] when TLS 1.3 is not among the versions.
    pub(crate) fn quic(&self) -> Result<quinn::ClientConfig, Error> {
        let mut config = ClientConfig::clone(self.inner.config());
        config.alpn_protocols = vec![alpn::HTTP3.to_vec()];
        config.resumption = Resumption::default();
        let crypto = QuicClientConfig::try_from(config).map_err(tls_error)?;
        Ok(quinn::ClientConfig::new(Arc::new(crypto)))
    }

    /// Returns whose certificate is expected of a host, which may be a name or an address without brackets.
    pub(crate) fn name_of(&self, host: &str) -> Result<ServerName<'static>, Error> {
        match &self.server_name {
            Some(name) => Ok(name.clone()),
            None => server_name(host),
        }
    }

    /// Returns the settings, for a facade that has its own way to connect.
    #[cfg(feature = "compat-tungstenite")]
    pub(crate) fn settings(&self) -> &Arc<ClientConfig> {
        self.inner.config()
    }
}

fn server_name(name: &str) -> Result<ServerName<'static>, Error> {
    ServerName::try_from(name.to_owned()).map_err(tls_error)
}
