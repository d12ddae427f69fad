//! The server's TLS: what certificate it shows, and whose it asks for.

use std::sync::Arc;

use quinn::crypto::rustls::QuicServerConfig;
use rustls::{
    RootCertStore, ServerConfig, SupportedProtocolVersion,
    crypto::aws_lc_rs::{self, Ticketer},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};
use tokio_rustls::TlsAcceptor;

use super::{Certificates, KeyLogFile, alpn, certificates, tls_error};
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

/// What the TLS of a server is made of, whatever runs over it: TCP or QUIC.
#[derive(Clone)]
pub(crate) struct ServerTls {
    pub(crate) certificates: Certificates,
    pub(crate) clients: Option<Arc<dyn ClientCertVerifier>>,
    pub(crate) key_log: Option<Arc<KeyLogFile>>,
}

impl ServerTls {
    /// Makes what accepts TLS 1.2 and 1.3 over TCP, and agrees on the first of these protocols ([`alpn`](super::alpn))
    /// that the client has, too.
    pub(crate) fn acceptor(&self, protocols: &[&[u8]]) -> TlsAcceptor {
        let protocols = [protocols, &[alpn::ACME]].concat();
        TlsAcceptor::from(Arc::new(self.config(&[&TLS13, &TLS12], &protocols)))
    }

    /// Makes the TLS of HTTP/3: the same certificates, the same clients. Nothing is taken before the handshake is over
    /// (RFC 8446 §8: who repeats early data has its request done twice).
    pub(crate) fn quic(&self) -> quinn::ServerConfig {
        // RFC 9001 §4.2: "Clients MUST NOT offer TLS versions older than 1.3."
        let config = self.config(&[&TLS13], &[alpn::HTTP3]);
        let crypto = QuicServerConfig::try_from(config);
        let crypto = crypto.expect("the provider has the ciphers of QUIC's first packets");
        quinn::ServerConfig::with_crypto(Arc::new(crypto))
    }

    fn config(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        protocols: &[&[u8]],
    ) -> ServerConfig {
        let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .expect("the provider has the ciphers of TLS 1.2 and 1.3");
        let builder = match &self.clients {
            Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier)),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(self.certificates.resolver());
        config.alpn_protocols = protocols.iter().map(|it| it.to_vec()).collect();
        if let Some(key_log) = &self.key_log {
            config.key_log = Arc::clone(key_log) as _;
        }
        // Without randomness for it, sessions resume from rustls's small memory instead.
        if let Ok(ticketer) = Ticketer::new() {
            config.ticketer = ticketer;
        }
        // Who comes again takes one and gets one. A second one for each connection made a handshake 7 % dearer.
        config.send_tls13_tickets = 1;
        config
    }
}
