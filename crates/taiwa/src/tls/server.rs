//! The server's TLS: its certificate.

use std::sync::Arc;

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, pem::PemObject},
};
use tokio_rustls::TlsAcceptor;

use super::{ALPN, certificates, tls_error};
use crate::error::Error;

/// Makes an acceptor from a chain of certificates and a private key.
pub(crate) fn acceptor(certificates_pem: &[u8], key_pem: &[u8]) -> Result<TlsAcceptor, Error> {
    let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(tls_error)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(tls_error)?
        .with_no_client_auth()
        .with_single_cert(certificates(certificates_pem)?, key)
        .map_err(tls_error)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
