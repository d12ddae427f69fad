//! The certificate that servers show over TLS: made anew for each run, trusted by nobody else.

use std::{
    env, fs,
    fs::DirBuilder,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process,
    sync::Arc,
};

use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    crypto::{CryptoProvider, aws_lc_rs as crypto},
    pki_types::CertificateDer,
    version::TLS13,
};

/// The name that it is for.
pub(crate) const NAME: &str = "localhost";

/// A certificate and its key in two files, which are removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Certificate {
    folder: PathBuf,
    certificate: CertificateDer<'static>,
}

impl Certificate {
    pub(crate) fn make() -> Result<Self, String> {
        let folder = env::temp_dir().join(format!("taiwa-bench-{}", process::id()));
        let key = KeyPair::generate().map_err(|it| it.to_string())?;
        let params = CertificateParams::new([NAME.to_owned(), "127.0.0.1".to_owned()]);
        let made = params.and_then(|it| it.self_signed(&key)).map_err(|it| it.to_string())?;
        DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .map_err(|it| format!("{}: {it}", folder.display()))?;
        let it = Self { folder, certificate: made.der().clone() };
        fs::write(it.file(), made.pem()).map_err(|it| it.to_string())?;
        fs::write(it.key_file(), key.serialize_pem()).map_err(|it| it.to_string())?;
        Ok(it)
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }

    pub(crate) fn key_file(&self) -> PathBuf {
        self.folder.join("key.pem")
    }

    /// Makes the client's end of TLS 1.3, which agrees on `protocol` by ALPN. There is one choice of cryptography, so that no
    /// server gets a cheaper one, and no session is resumed.
    pub(crate) fn client_config(&self, protocol: &str) -> Result<ClientConfig, String> {
        let told = |it: rustls::Error| it.to_string();
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).map_err(told)?;
        let provider = CryptoProvider {
            cipher_suites: vec![crypto::cipher_suite::TLS13_AES_128_GCM_SHA256],
            kx_groups: vec![crypto::kx_group::X25519],
            ..crypto::default_provider()
        };
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(told)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.into()];
        config.resumption = Resumption::disabled();
        Ok(config)
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(Path::new(&self.folder));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_files_go_with_it() {
        let it = Certificate::make().unwrap();
        let (certificate, key) = (it.file(), it.key_file());
        assert!(fs::read_to_string(&certificate).unwrap().contains("BEGIN CERTIFICATE"));
        assert!(fs::read_to_string(&key).unwrap().contains("PRIVATE KEY"));
        assert_eq!(it.client_config("h2").unwrap().alpn_protocols, [b"h2".to_vec()]);
        drop(it);
        assert!(!certificate.exists() && !key.exists());
    }
}
