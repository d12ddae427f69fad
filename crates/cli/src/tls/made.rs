//! A certificate that was made, by this program or for it: for whom it is, and how long.

use std::{
    net::IpAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    KeyPair, PKCS_ECDSA_P256_SHA256,
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use x509_parser::{extensions::GeneralName, parse_x509_certificate};

/// The usual life of a certificate.
pub(crate) const LIFE: Duration = Duration::from_secs(10 * 24 * 60 * 60);
/// W3C WebTransport, custom certificate requirements: "the total length of the validity period MUST NOT exceed two weeks".
pub(crate) const LIFE_MAX: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// Of less than that a third would be no time at all.
pub(crate) const LIFE_MIN: Duration = Duration::from_secs(3);
/// Clocks that are late by up to so much see a certificate that has begun already.
const LATE_CLOCK_MAX: Duration = Duration::from_secs(60 * 60);

/// A certificate and its key.
#[derive(Clone)]
pub(crate) struct Made {
    pub(crate) pem: String,
    pub(crate) key_pem: String,
    /// SHA-256 of the whole certificate, in base64.
    pub(crate) hash: String,
    from: SystemTime,
    pub(crate) until: SystemTime,
    names: Vec<String>,
}

impl Made {
    /// Makes a certificate for names and addresses.
    ///
    /// # Errors
    /// A name is none, or there is no randomness.
    pub(crate) fn new(
        names: &[String],
        life: Duration,
        now: SystemTime,
    ) -> Result<Self, rcgen::Error> {
        // The same requirements: ECDSA on P-256 is the one kind of key that every browser takes.
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "taiwa, for development");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let from = now - LATE_CLOCK_MAX.min(life / 10);
        (params.not_before, params.not_after) = (from.into(), (from + life).into());
        let certificate = params.self_signed(&key)?;
        Ok(Self::read(&certificate.pem(), &key.serialize_pem()).expect("it was made just now"))
    }

    /// Reads what was made before; `None` if it is something else.
    pub(crate) fn read(pem: &str, key_pem: &str) -> Option<Self> {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
        let (_, read) = parse_x509_certificate(&der).ok()?;
        let names = &read.subject_alternative_name().ok()??.value.general_names;
        let names = names.iter().map(name_of).collect::<Option<Vec<_>>>()?;
        let at = |seconds: i64| Some(UNIX_EPOCH + Duration::from_secs(seconds.try_into().ok()?));
        let validity = read.validity();
        Some(Self {
            pem: pem.into(),
            key_pem: key_pem.into(),
            hash: STANDARD.encode(digest(&SHA256, &der)),
            from: at(validity.not_before.timestamp())?,
            until: at(validity.not_after.timestamp())?,
            names,
        })
    }

    /// Returns when another one is to take its place: a third of its life before its end.
    pub(crate) fn due(&self) -> SystemTime {
        self.until - self.life() / 3
    }

    /// Returns whether it is for all of these names.
    pub(crate) fn is_for(&self, names: &[String]) -> bool {
        names.iter().all(|it| self.names.contains(it))
    }

    /// Returns how long it lives from its beginning to its end.
    pub(crate) fn life(&self) -> Duration {
        self.until.duration_since(self.from).unwrap_or_default()
    }

    /// Returns what a page says to open a WebTransport session with this certificate.
    pub(crate) fn snippet(&self, url: &str) -> String {
        format!(
            "new WebTransport(\"{url}\", {{ serverCertificateHashes: [{{ algorithm: \"sha-256\", \
             value: Uint8Array.from(atob(\"{}\"), (it) => it.charCodeAt(0)) }}] }})",
            self.hash
        )
    }
}

fn name_of(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let v6 = <[u8; 16]>::try_from(*bytes).map(IpAddr::from);
            v4.or(v6).ok().map(|it| it.to_string())
        }
        _ => None,
    }
}

/// Makes the certificate and the key that answer a challenge by TLS (RFC 8737 §3).
pub(crate) fn answer(name: &str, digest: &[u8]) -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::new([name.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    // "a critical acmeIdentifier extension": the digest of the key authorization.
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(of: &[&str]) -> Vec<String> {
        of.iter().map(|it| (*it).to_owned()).collect()
    }

    #[test]
    fn it_is_due_in_the_last_third_of_a_life_that_is_not_longer_than_said() {
        // Whole seconds, as certificates have them.
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        for life in [LIFE_MIN, Duration::from_secs(60 * 60), LIFE, LIFE_MAX] {
            let made = Made::new(&names(&["a.example"]), life, now).unwrap();
            assert!(
                made.life() <= life && made.life() + Duration::from_secs(1) >= life,
                "{life:?}"
            );
            assert!(made.from <= now && now < made.due() && made.due() < made.until, "{life:?}");
            assert_eq!(made.until.duration_since(made.due()).unwrap(), made.life() / 3);
        }
    }

    #[test]
    fn it_is_for_the_names_and_addresses_in_it_and_is_read_as_it_was_made() {
        let made = Made::new(&names(&["a.example", "127.0.0.1", "::1"]), LIFE, SystemTime::now());
        let made = made.unwrap();
        let read = Made::read(&made.pem, &made.key_pem).unwrap();
        assert_eq!((&read.hash, &read.names), (&made.hash, &made.names));
        assert!(read.is_for(&names(&["::1", "127.0.0.1"])));
        assert!(!read.is_for(&names(&["127.0.0.1", "b.example"])));
        assert!(Made::read("nonsense", &made.key_pem).is_none());
        assert!(Made::read(&made.key_pem, &made.key_pem).is_none());
    }
}
