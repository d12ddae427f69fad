//! The server's TLS: what certificate it shows, and whose it asks for.

use std::sync::Arc;

use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs::{self, Ticketer},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use tokio_rustls::TlsAcceptor;

use super::{ALPN, Certificates, certificates, tls_error};
use crate::error::Error;

/// Whether clients must show a certificate of their own (RFC 8446 §4.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientCertificates {
    /// Without one the TLS handshake fails.
    Required,
    /// One is asked for. Without any the client comes in all the same; with one that can't be verified the
    /// TLS handshake fails.
    Optional,
}

/// Makes what verifies the certificates of clients.
pub(crate) fn client_verifier(
    roots_pem: &[u8],
    policy: ClientCertificates,
) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(roots_pem)? {
        roots.add(certificate).map_err(tls_error)?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match policy {
        ClientCertificates::Required => builder,
        ClientCertificates::Optional => builder.allow_unauthenticated(),
    };
    builder.build().map_err(tls_error)
}

/// Makes an acceptor that shows `certificates`.
pub(crate) fn acceptor(
    certificates: &Certificates,
    clients: Option<Arc<dyn ClientCertVerifier>>,
) -> TlsAcceptor {
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has the ciphers of TLS 1.2 and 1.3");
    let builder = match clients {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(certificates.resolver());
    config.alpn_protocols = vec![ALPN.to_vec()];
    // Without randomness for it, sessions resume from rustls's small memory instead.
    if let Ok(ticketer) = Ticketer::new() {
        config.ticketer = ticketer;
    }
    TlsAcceptor::from(Arc::new(config))
}
