//! The client's TLS: whose certificates it believes.

use std::sync::Arc;

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio_rustls::TlsConnector;

use super::{ALPN, certificates, tls_error};
use crate::error::Error;

/// Whose certificates a client believes.
#[derive(Clone, Debug, Default)]
pub(crate) enum Trust {
    /// The roots of the platform.
    #[default]
    Platform,
    /// These roots.
    Roots(RootCertStore),
    /// Anyone's.
    Anyone,
}

impl Trust {
    /// Adds roots in PEM; those of the platform count no longer.
    pub(crate) fn add_pem(&mut self, pem: &[u8]) -> Result<(), Error> {
        let mut roots = match std::mem::take(self) {
            Self::Roots(roots) => roots,
            Self::Platform | Self::Anyone => RootCertStore::empty(),
        };
        for certificate in certificates(pem)? {
            roots.add(certificate).map_err(tls_error)?;
        }
        *self = Self::Roots(roots);
        Ok(())
    }

    /// Makes a connector. For [`Trust::Platform`] it reads files.
    pub(crate) fn connector(&self) -> Result<TlsConnector, Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(tls_error)?;
        let builder = match self {
            Self::Platform => builder.with_platform_verifier().map_err(tls_error)?,
            Self::Roots(roots) => builder.with_root_certificates(roots.clone()),
            Self::Anyone => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyCertificate { provider })),
        };
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

/// Believes any certificate; the handshake must still be signed with its key.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
