//! TLS for both roles: what the types of rustls need to know, kept out of our signatures.

pub(crate) mod alpn;
mod client;
mod key_log;
mod judge;
mod server;
mod certificates;
mod files;
#[cfg(test)]
mod tests;

use std::io;

use rustls::pki_types::{CertificateDer, pem::PemObject};

use crate::error::Error;
pub use certificates::Certificates;
pub use client::TlsVersion;
pub(crate) use client::{ClientTls, Connector};
pub(crate) use judge::{Judge, Judged};
pub(crate) use key_log::KeyLogFile;
pub use server::ClientCertificates;
pub(crate) use server::{ServerTls, client_verifier};

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

pub(crate) fn tls_error(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Tls(io::Error::new(io::ErrorKind::InvalidData, error))
}
