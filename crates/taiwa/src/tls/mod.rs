//! TLS for both roles: what the types of rustls need to know, kept out of our signatures.

mod client;
mod key_log;
mod anyone;
mod server;
mod certificates;

use std::io;

use rustls::pki_types::{CertificateDer, pem::PemObject};

use crate::error::Error;
pub use certificates::Certificates;
pub use client::TlsVersion;
pub(crate) use client::{ClientTls, Connector};
pub use server::ClientCertificates;
pub(crate) use server::{acceptor, client_verifier};

/// RFC 7301: the one protocol that we speak.
const ALPN: &[u8] = b"http/1.1";

/// Tells a failed TLS handshake from a failed transport.
pub(crate) fn handshake_error(error: io::Error) -> Error {
    match error.get_ref() {
        Some(inner) if inner.is::<rustls::Error>() => Error::Tls(error),
        _ => Error::Io(error),
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let list = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    match list.map_err(tls_error)? {
        list if list.is_empty() => Err(tls_error("no certificate in the PEM text")),
        list => Ok(list),
    }
}

fn tls_error(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Tls(io::Error::new(io::ErrorKind::InvalidData, error))
}
