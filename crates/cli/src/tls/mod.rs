//! What the server shows of itself over TLS, and who keeps it fresh.

mod acme;
mod dev;
mod folder;
pub(crate) mod made;
pub(crate) mod names;

use std::{fmt::Display, fs, time::Duration};

use taiwa::{Addr, Certificates, ClientCertificates, Server};
use tracing::warn;

use crate::{
    config::settings::{ApiCertificates, ClientCertificates as Asked, Issuer, Settings, Tls},
    ending::Leaving,
    exit::{Exit, Failure},
};
use acme::Acme;
use dev::Dev;
use made::Made;

/// How long to sleep at most: clocks are set, and machines are put to sleep.
const SLEEP_MAX: Duration = Duration::from_secs(60 * 60);

/// The certificates of a server, and who makes the next ones.
#[derive(Default)]
pub(crate) struct Keeping {
    certificates: Option<Certificates>,
    keeper: Option<Keeper>,
}

enum Keeper {
    Dev(Box<Dev>),
    Acme(Box<Acme>),
}

impl Keeping {
    /// Reads or makes certificates, as the settings say; there are none without TLS.
    pub(crate) fn open(settings: &Settings, addrs: &[Addr]) -> Result<Self, Failure> {
        let (certificates, keeper) = match settings.tls.issuer {
            Issuer::Files => {
                let pairs = settings.tls.pairs();
                if pairs.is_empty() {
                    return Ok(Self::default());
                }
                let made = Certificates::from_several_files(pairs);
                (made.map_err(|it| Failure::new(Exit::Usage, it))?, None)
            }
            Issuer::Dev => {
                let (dev, certificates) = Dev::open(settings, addrs)?;
                (certificates, Some(Keeper::Dev(Box::new(dev))))
            }
            Issuer::Acme => {
                let acme = Acme::open(settings)?;
                (acme.certificates(), Some(Keeper::Acme(Box::new(acme))))
            }
        };
        Ok(Self { certificates: Some(certificates), keeper })
    }

    pub(crate) fn certificates(&self) -> Option<Certificates> {
        self.certificates.clone()
    }

    /// Has the server of the clients speak TLS if there are certificates.
    pub(crate) fn on(&self, server: Server, tls: &Tls) -> Result<Server, Failure> {
        let Some(certificates) = self.certificates() else { return Ok(server) };
        let mut server = ask(server.tls_reloading(certificates), tls, tls.client_certificates)?;
        if let Some(path) = &tls.key_log {
            let bad = |error| Failure::new(Exit::Usage, format_args!("tls.key_log: {error}"));
            server = server.key_log_file(path).map_err(bad)?;
            warn!(file = %path.display(), "tls.key_log: whoever has this file can read all that is said");
        }
        Ok(server)
    }

    /// Says how they are trusted, and sees to it that they never end.
    pub(crate) async fn begin(
        self,
        settings: &Settings,
        addrs: &[Addr],
        leaving: &Leaving,
    ) -> Result<(), Failure> {
        match self.keeper {
            Some(Keeper::Acme(acme)) => acme.begin(settings, addrs, leaving).await?,
            Some(Keeper::Dev(dev)) => dev.begin(addrs),
            None => {}
        }
        Ok(())
    }
}

/// Has the API's own server speak TLS by these certificates, and ask programs for theirs as the settings say.
pub(crate) fn on_api(
    server: Server,
    certificates: Certificates,
    settings: &Settings,
) -> Result<Server, Failure> {
    let (server, tls) = (server.tls_reloading(certificates), &settings.tls);
    match settings.api.client_certificates {
        ApiCertificates::AsClients => ask(server, tls, tls.client_certificates),
        ApiCertificates::Required => ask(server, tls, Asked::Required),
        ApiCertificates::Optional => ask(server, tls, Asked::Optional),
        ApiCertificates::Off => Ok(server),
    }
}

/// Has a server ask clients for certificates, if there is who vouches for them.
fn ask(server: Server, tls: &Tls, asked: Asked) -> Result<Server, Failure> {
    let Some(path) = &tls.client_ca else { return Ok(server) };
    let bad = |error: &dyn Display| {
        Failure::new(Exit::Usage, format_args!("tls.client_ca: {}: {error}", path.display()))
    };
    let pem = fs::read(path).map_err(|it| bad(&it))?;
    let policy = match asked {
        Asked::Required => ClientCertificates::Required,
        Asked::Optional => ClientCertificates::Optional,
    };
    server.client_certificates(&pem, policy).map_err(|it| bad(&it))
}

/// Reads a pair whose halves fit each other.
fn usable(pem: &str, key: &str) -> Option<Made> {
    Certificates::new(pem.as_bytes(), key.as_bytes()).ok()?;
    Made::read(pem, key)
}
