//! What a client's certificate says, for the app.

use std::{net::IpAddr, sync::Arc};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use taiwa_core::Certificate;
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer, X509Certificate},
};

/// Reads one that was found good. What can't be read is left empty.
pub(crate) fn read(der: &[u8]) -> Arc<Certificate> {
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(digest(&SHA256, der).as_ref());
    let (subject, names) = match X509Certificate::from_der(der) {
        Ok((_, it)) => (it.subject().to_string().into(), names(&it)),
        Err(_) => Default::default(),
    };
    Arc::new(Certificate { der: Bytes::copy_from_slice(der), sha256, subject, names })
}

fn names(certificate: &X509Certificate<'_>) -> Vec<Box<str>> {
    let Ok(Some(found)) = certificate.subject_alternative_name() else { return vec![] };
    let name = |it: &GeneralName<'_>| match it {
        GeneralName::DNSName(it) | GeneralName::RFC822Name(it) | GeneralName::URI(it) => {
            Some((*it).into())
        }
        GeneralName::IPAddress(it) => {
            let v4 = <[u8; 4]>::try_from(*it).map(IpAddr::from);
            let ip = v4.or_else(|_| <[u8; 16]>::try_from(*it).map(IpAddr::from));
            ip.ok().map(|it| it.to_string().into())
        }
        _ => None,
    };
    found.value.general_names.iter().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    #[test]
    fn subject_and_names_are_read() {
        let mut params = CertificateParams::new(["a.example".into(), "192.0.2.7".into()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "device-7");
        params.subject_alt_names.push(SanType::URI("spiffe://a/b".try_into().unwrap()));
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let read = read(made.der());
        assert_eq!(&*read.subject, "CN=device-7");
        let names: Vec<&str> = read.names.iter().map(|it| &**it).collect();
        assert_eq!(names, ["a.example", "192.0.2.7", "spiffe://a/b"]);
        assert_eq!(read.sha256[..], *digest(&SHA256, made.der()).as_ref());
    }

    #[test]
    fn nonsense_has_a_fingerprint_alone() {
        let read = read(b"nonsense");
        assert!(read.subject.is_empty() && read.names.is_empty());
        assert_eq!(read.der, &b"nonsense"[..]);
    }
}
