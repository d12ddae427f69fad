//! A verifier that believes certificates by their hash, by the rules that browsers have for `serverCertificateHashes`.
//!
//! The two times and the kind of key are read from the certificate here: a parser of X.509 would bring some fifteen crates to everybody who
//! uses the library, for three facts of a certificate whose hash is known already.

use std::time::Duration;

use rustls::{
    CertificateError, SupportedCipherSuite,
    crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256,
    pki_types::{CertificateDer, UnixTime},
};

use crate::tls::Judge;

/// The longest time from a certificate's first to its last second (W3C WebTransport, "custom certificate requirements").
const VALIDITY_MAX: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// Believes certificates with one of these hashes, if they are short-lived and their key is of P-256.
#[derive(Debug)]
pub(super) struct PinnedCertificates {
    pub(super) hashes: Vec<[u8; 32]>,
}

/// Returns the SHA-256 of something.
fn sha256(bytes: &[u8]) -> Vec<u8> {
    let SupportedCipherSuite::Tls13(suite) = TLS13_AES_128_GCM_SHA256 else {
        unreachable!("its name says so");
    };
    suite.common.hash_provider.hash(bytes).as_ref().to_vec()
}

impl Judge for PinnedCertificates {
    fn judge(&self, certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), rustls::Error> {
        let hash = sha256(certificate);
        if !self.hashes.iter().any(|it| it[..] == hash[..]) {
            return Err(CertificateError::UnknownIssuer.into());
        }
        let facts = Facts::read(certificate).ok_or(CertificateError::BadEncoding)?;
        let now = now.as_secs();
        if now < facts.not_before {
            return Err(CertificateError::NotValidYet.into());
        }
        if now > facts.not_after {
            return Err(CertificateError::Expired.into());
        }
        // "The total length of the validity period MUST NOT exceed two weeks."
        let lifetime = facts.not_after.saturating_sub(facts.not_before);
        if lifetime > VALIDITY_MAX.as_secs() || !facts.is_p256 {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(())
    }
}

/// What the rules ask of a certificate (RFC 5280 §4.1).
struct Facts {
    /// Seconds since 1970.
    not_before: u64,
    not_after: u64,
    is_p256: bool,
}

const INTEGER: u8 = 0x02;
const OID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
/// id-ecPublicKey (RFC 5480 §2.1.1) and secp256r1 (§2.1.1.1).
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

impl Facts {
    fn read(certificate: &[u8]) -> Option<Self> {
        let mut certificate = Der(certificate);
        let mut certificate = Der(certificate.take(SEQUENCE)?);
        let mut fields = Der(certificate.take(SEQUENCE)?);
        if fields.0.first() == Some(&VERSION) {
            fields.take(VERSION)?;
        }
        fields.take(INTEGER)?;
        let _signature = fields.take(SEQUENCE)?;
        let _issuer = fields.take(SEQUENCE)?;
        let mut validity = Der(fields.take(SEQUENCE)?);
        let (not_before, not_after) = (validity.time()?, validity.time()?);
        let _subject = fields.take(SEQUENCE)?;
        let mut key = Der(fields.take(SEQUENCE)?);
        let mut algorithm = Der(key.take(SEQUENCE)?);
        let is_p256 = algorithm.take(OID)? == EC_PUBLIC_KEY && algorithm.take(OID) == Some(P256);
        Some(Self { not_before, not_after, is_p256 })
    }
}

/// Values in DER (X.690), one after the other.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// Takes the next value, if it has this tag.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (&found, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        if found != tag {
            return None;
        }
        let len = match first {
            0..=0x7f => usize::from(first),
            // So many bytes of length follow; four are more than any certificate needs.
            0x81..=0x84 => {
                let (bytes, behind) = rest.split_at_checked(usize::from(first & 0x7f))?;
                rest = behind;
                bytes.iter().fold(0, |len, byte| len << 8 | usize::from(*byte))
            }
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        Some(value)
    }

    /// Takes a time as RFC 5280 §4.1.2.5 has it, in seconds since 1970; those before are 0.
    fn time(&mut self) -> Option<u64> {
        let (century, digits) = match self.take(UTC_TIME) {
            // "Where YY is greater than or equal to 50, the year SHALL be interpreted as 19YY".
            Some(digits) if *digits.first()? >= b'5' => (1900, digits),
            Some(digits) => (2000, digits),
            None => {
                let digits = self.take(GENERALIZED_TIME)?;
                let (century, digits) = digits.split_at_checked(2)?;
                (number(century)? * 100, digits)
            }
        };
        let (digits, zone) = digits.split_at_checked(12)?;
        if zone != b"Z" {
            return None;
        }
        let mut parts = digits.chunks(2).map(number);
        let mut next = || parts.next().flatten();
        let (year, month, day) = (century + next()?, next()?, next()?);
        let (hour, minute, second) = (next()?, next()?, next()?);
        let seconds = days(year, month, day)? * 86_400 + hour * 3600 + minute * 60 + second;
        Some(u64::try_from(seconds).unwrap_or(0))
    }
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().all(u8::is_ascii_digit).then(|| str::from_utf8(digits).ok()?.parse().ok())?
}

/// Returns the days from 1970-01-01 to a date of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years that begin in March have their leap day at their end.
    let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    Some(year * 365 + leap_days + (153 * month + 2) / 5 + day - 719_469)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(
        days: i64,
        algorithm: &'static rcgen::SignatureAlgorithm,
    ) -> CertificateDer<'static> {
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("right");
        params.not_before = rcgen::date_time_ymd(2026, 2, 27);
        params.not_after = params.not_before + Duration::from_secs(days as u64 * 86_400);
        let key = rcgen::KeyPair::generate_for(algorithm).expect("made");
        params.self_signed(&key).expect("made").der().clone()
    }

    /// Judges a certificate so many seconds after the midnight with which it begins.
    fn judge(
        certificate: &CertificateDer<'_>,
        pinned: bool,
        after: i64,
    ) -> Result<(), rustls::Error> {
        let hash: [u8; 32] = sha256(certificate).try_into().expect("SHA-256");
        let judge =
            PinnedCertificates { hashes: vec![[0; 32], if pinned { hash } else { [1; 32] }] };
        let midnight = 1_772_150_400;
        let now = UnixTime::since_unix_epoch(Duration::from_secs((midnight + after) as u64));
        judge.judge(certificate, now)
    }

    #[test]
    fn short_lived_ones_with_a_key_of_p256_are_believed_by_their_hash() {
        let good = certificate(14, &rcgen::PKCS_ECDSA_P256_SHA256);
        assert_eq!(judge(&good, true, 0), Ok(()));
        assert_eq!(judge(&good, true, 14 * 86_400), Ok(()));
        assert_eq!(judge(&good, true, -1), Err(CertificateError::NotValidYet.into()));
        assert_eq!(judge(&good, true, 14 * 86_400 + 1), Err(CertificateError::Expired.into()));
        assert_eq!(judge(&good, false, 0), Err(CertificateError::UnknownIssuer.into()));
    }

    #[test]
    fn long_lived_ones_and_other_keys_are_not() {
        let refused = Err(CertificateError::ApplicationVerificationFailure.into());
        assert_eq!(judge(&certificate(15, &rcgen::PKCS_ECDSA_P256_SHA256), true, 0), refused);
        assert_eq!(judge(&certificate(10, &rcgen::PKCS_ED25519), true, 0), refused);
        assert_eq!(judge(&certificate(10, &rcgen::PKCS_ECDSA_P384_SHA384), true, 0), refused);
    }

    #[test]
    fn what_is_no_certificate_is_no_certificate() {
        let good = certificate(10, &rcgen::PKCS_ECDSA_P256_SHA256);
        assert!(Facts::read(&good).is_some());
        for cut in 0..good.len().min(300) {
            // Only the signature and extensions behind may be missing.
            let _ = Facts::read(&good[..cut]);
        }
        assert!(Facts::read(&[]).is_none() && Facts::read(&[0x30, 0x84, 0xff]).is_none());
        assert!(Facts::read(&[0x30, 0x80, 0, 0]).is_none());
    }

    #[test]
    fn days_are_counted_over_leap_years() {
        assert_eq!(
            [(1970, 1, 1), (2000, 2, 29), (2000, 3, 1)].map(|(y, m, d)| days(y, m, d)),
            [Some(0), Some(11_016), Some(11_017)]
        );
        assert_eq!(days(2026, 13, 1), None);
    }
}
