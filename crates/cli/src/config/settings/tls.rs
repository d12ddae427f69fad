//! TLS: who makes the certificates, and where they lie.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    args::Time,
    config::values::{Secret, Url},
    listen::Listen,
    tls::made,
};

/// TLS.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Tls {
    /// Where certificates come from. With anything but `files` the server speaks TLS (https and wss).
    pub(crate) issuer: Issuer,
    /// Chain of certificates in PEM: speak TLS (https and wss).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "/etc/taiwa/chain.pem")]
    pub(crate) cert: Option<PathBuf>,
    /// Private key in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "/etc/taiwa/key.pem")]
    pub(crate) key: Option<PathBuf>,
    /// How often it is looked whether the files have changed, besides at SIGHUP; new connections see what is new.
    pub(crate) reload: Time,
    /// Names that certificates are made for: with `acme` all of them; with `dev` beside localhost and the places where the
    /// server listens, and addresses too.
    pub(crate) names: Vec<String>,
    /// Folder in which certificates that were made are kept with their keys, for the eyes of this user alone. `acme` needs
    /// one; without it `dev` keeps them in memory, and the next start makes another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "/var/lib/taiwa/tls")]
    pub(crate) folder: Option<PathBuf>,
    /// File with certificates in PEM: clients are asked for one of their own that these vouch for; with one that these do not,
    /// the TLS handshake fails. Whether one was revoked is not looked at. What a client has shown is told to who decides whether it
    /// may connect.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "/etc/taiwa/clients-ca.pem")]
    pub(crate) client_ca: Option<PathBuf>,
    /// Whether clients must show a certificate where `client_ca` asks for one.
    pub(crate) client_certificates: ClientCertificates,
    /// File to which the secrets of all TLS connections are appended, for Wireshark: whoever has it can read all that is
    /// said. For debugging alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "/tmp/keys.log")]
    pub(crate) key_log: Option<PathBuf>,
    /// How long a certificate of `dev` lives, at most 14 days, which is as long as browsers trust one by its hash. When two
    /// thirds have passed, another one takes its place.
    pub(crate) dev_life: Time,
    /// Further certificates from files. Who asks for a name (SNI) is shown the first one that is good for it, those that
    /// ask for another name, or none, `tls.cert`, or without that the first of all.
    pub(crate) certificate: Vec<Pair>,
    /// The ACME server that signs certificates with `issuer = "acme"`.
    pub(crate) acme: Acme,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            issuer: Issuer::Files,
            cert: None,
            key: None,
            reload: Time(None),
            names: Vec::new(),
            folder: None,
            client_ca: None,
            client_certificates: ClientCertificates::Required,
            key_log: None,
            dev_life: Time(Some(made::LIFE)),
            certificate: Vec::new(),
            acme: Acme::default(),
        }
    }
}

impl Tls {
    /// Returns whether the server speaks TLS.
    pub(crate) fn is_on(&self) -> bool {
        self.issuer != Issuer::Files || !self.pairs().is_empty()
    }

    /// Returns the files of certificates and keys, that of most clients first.
    pub(crate) fn pairs(&self) -> Vec<(&Path, &Path)> {
        let first = self.cert.as_deref().zip(self.key.as_deref());
        let more = self.certificate.iter().map(|it| (&*it.cert, &*it.key));
        first.into_iter().chain(more).collect()
    }
}

/// Where certificates come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Issuer {
    /// The files `tls.cert` and `tls.key`, and those in `tls.certificate`; without them there is no TLS.
    #[default]
    Files,
    /// This program itself, for development: nobody trusts them who was not told to. Pages can, by the hash that is told
    /// at the start.
    Dev,
    /// An ACME server, as that of Let's Encrypt, for the names in `tls.names`.
    Acme,
}

/// Whether clients must show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ClientCertificates {
    /// Without one the TLS handshake fails.
    #[default]
    Required,
    /// Without one a client comes in all the same.
    Optional,
}

/// A certificate of further names.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pair {
    /// Chain of certificates in PEM.
    #[schemars(example = "/etc/taiwa/other.pem")]
    pub(crate) cert: PathBuf,
    /// Private key in PEM.
    #[schemars(example = "/etc/taiwa/other.key")]
    pub(crate) key: PathBuf,
}

/// ACME.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Acme {
    /// Where the server says what it has (its directory).
    pub(crate) directory: Url,
    /// Who is told when something is wrong with a certificate, as mailto:ops@chat.example.
    pub(crate) contact: Vec<String>,
    /// Whether you agree to the terms of service of those who run the server; without that there are no certificates.
    pub(crate) terms_agreed: bool,
    /// How the server sees that the names are yours.
    pub(crate) challenge: Challenge,
    /// Where to listen for plain HTTP, which must be what clients reach as port 80: challenges of `http-01` are answered,
    /// all other requests for one of the names are sent to https.
    pub(crate) http_listen: Vec<Listen>,
    /// File with certificates in PEM that vouch for the server, instead of those that the system trusts.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "/etc/taiwa/acme-ca.pem")]
    pub(crate) ca_file: Option<PathBuf>,
    /// The name of the key by which an account is bound to one that you have with those who run the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "kid-1")]
    pub(crate) eab_key_id: Option<String>,
    /// That key, in base64url.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "a-long-random-text")]
    pub(crate) eab_key: Option<Secret>,
}

impl Default for Acme {
    fn default() -> Self {
        let directory = "https://acme-v02.api.letsencrypt.org/directory";
        Self {
            directory: directory.parse().expect("it is a URL"),
            contact: Vec::new(),
            terms_agreed: false,
            challenge: Challenge::TlsAlpn01,
            http_listen: Vec::new(),
            ca_file: None,
            eab_key_id: None,
            eab_key: None,
        }
    }
}

/// How an ACME server sees that a name is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub(crate) enum Challenge {
    /// Over TLS at port 443, which must lead to where this server listens (RFC 8737).
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    /// Over plain HTTP at port 80, which must lead to `tls.acme.http_listen` (RFC 8555 §8.3).
    #[serde(rename = "http-01")]
    Http01,
}
