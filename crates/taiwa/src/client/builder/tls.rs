//! The builder's settings of TLS.

use std::path::Path;

use super::ClientBuilder;
use crate::{error::Error, tls::TlsVersion};

impl ClientBuilder {
    /// Trusts the certificates in `pem` as roots, and those of the platform no longer. May be called
    /// several times.
    pub fn root_certificate_pem(mut self, pem: &[u8]) -> Self {
        let added = self.tls.add_roots(pem);
        self.check(added)
    }

    /// Trusts the certificates in `pem` as roots beside those that count already: those of the platform,
    /// or those of [`root_certificate_pem`](Self::root_certificate_pem). May be called several times. To those
    /// of Android none can be added: there, connecting fails with [`Error::Tls`].
    pub fn more_root_certificates_pem(mut self, pem: &[u8]) -> Self {
        let added = self.tls.add_more_roots(pem);
        self.check(added)
    }

    /// Accepts any certificate of the server: whoever sits in between can read and write everything.
    pub fn danger_accept_any_certificate(mut self) -> Self {
        self.tls.trust_anyone();
        self
    }

    /// Shows this certificate to a server that asks for one: its chain, its own first, and its private
    /// key, both in PEM. Default: none. After a redirect to another origin it is not shown.
    ///
    /// ```no_run
    /// # fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = taiwa::Client::builder()
    ///     .client_certificate_pem(&std::fs::read("me.pem")?, &std::fs::read("me.key")?)
    ///     .build()?;
    /// # Ok(()) }
    /// ```
    pub fn client_certificate_pem(mut self, chain_pem: &[u8], key_pem: &[u8]) -> Self {
        let set = self.tls.set_identity(chain_pem, key_pem);
        self.check(set)
    }

    /// Asks for this name, and expects a certificate for it, instead of the host in the URL: for a server
    /// that is reached by another address. An IP address is expected in the certificate, but not asked
    /// for (RFC 6066 §3). `Host` remains that of the URL, and after a redirect to another origin the name
    /// is that of its URL.
    pub fn tls_server_name(mut self, name: &str) -> Self {
        let set = self.tls.set_server_name(name);
        self.check(set)
    }

    /// Sets the lowest version of TLS to speak. Default: [`TlsVersion::Tls12`].
    pub fn tls_version_min(mut self, version: TlsVersion) -> Self {
        self.tls.set_version_min(version);
        self
    }

    /// Appends the secrets of each TLS connection to the file that the environment variable
    /// `SSLKEYLOGFILE` names, if it is set: whoever has the file and captured the traffic can read it,
    /// as Wireshark does. Without this call the variable has no meaning.
    pub fn key_log(self) -> Self {
        match std::env::var_os("SSLKEYLOGFILE") {
            Some(path) if !path.is_empty() => self.key_log_file(path),
            _ => self,
        }
    }

    /// Appends the secrets of each TLS connection to a file, as [`key_log`](Self::key_log). A file that
    /// does not exist is made for its owner's eyes only.
    pub fn key_log_file(mut self, path: impl AsRef<Path>) -> Self {
        let opened = self.tls.log_keys_to(path.as_ref());
        self.check(opened)
    }

    fn check(mut self, done: Result<(), Error>) -> Self {
        if let Err(error) = done {
            self.blame(error);
        }
        self
    }
}
