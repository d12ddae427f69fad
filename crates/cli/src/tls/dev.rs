//! The issuer `dev`: certificates that this program makes for itself.

use std::time::{Duration, SystemTime};

use taiwa::{Addr, Certificates};
use tokio::time::sleep;
use tracing::{error, info, warn};

use super::{
    SLEEP_MAX,
    folder::Folder,
    made::{self, Made},
    names, usable,
};
use crate::{
    config::settings::Settings,
    exit::{Exit, Failure},
    serve,
};

/// How long to wait after a failure.
const AGAIN_AFTER: Duration = Duration::from_secs(60);
const DEV_CERTIFICATE: &str = "dev-cert.pem";
const DEV_KEY: &str = "dev-key.pem";

/// What the issuer `dev` has to know.
pub(super) struct Dev {
    names: Vec<String>,
    life: Duration,
    folder: Option<Folder>,
    certificates: Certificates,
    made: Made,
}

impl Dev {
    /// Takes what is kept, or makes a certificate.
    pub(super) fn open(
        settings: &Settings,
        addrs: &[Addr],
    ) -> Result<(Self, Certificates), Failure> {
        let tls = &settings.tls;
        let io = |error| Failure::new(Exit::Usage, format_args!("tls.folder: {error}"));
        let names = names::of(&settings.listen, addrs, &tls.names);
        let life = tls.dev_life.0.unwrap_or(made::LIFE);
        let folder = tls.folder.as_deref().map(Folder::open).transpose().map_err(io)?;
        let now = SystemTime::now();
        let mut kept = None;
        if let Some(folder) = &folder {
            let pair = (folder.read(DEV_CERTIFICATE), folder.read(DEV_KEY));
            kept = match (pair.0.map_err(io)?, pair.1.map_err(io)?) {
                (Some(pem), Some(key)) => usable(&pem, &key),
                _ => None,
            };
        }
        let kept = kept.filter(|it| it.is_for(&names) && it.life() <= life && now < it.due());
        let is_new = kept.is_none();
        let made = kept.map_or_else(|| Made::new(&names, life, now), Ok);
        let made = made.map_err(|it| Failure::new(Exit::Usage, format_args!("tls.names: {it}")))?;
        let certificates = Certificates::new(made.pem.as_bytes(), made.key_pem.as_bytes());
        let certificates = certificates.map_err(|it| Failure::new(Exit::Inside, it))?;
        let dev = Self { names, life, folder, certificates: certificates.clone(), made };
        if is_new {
            dev.save().map_err(io)?;
        }
        Ok((dev, certificates))
    }

    /// Says how programs come to trust it, and renews it.
    pub(super) fn begin(self, addrs: &[Addr]) {
        let addr = addrs.iter().find_map(Addr::tcp).map(serve::reachable);
        let place = addr.map_or("localhost".into(), |it| it.to_string());
        if addrs.iter().filter_map(Addr::tcp).any(|it| !it.ip().is_loopback()) {
            warn!(
                "tls.issuer: certificates of \"dev\" are for development, and others reach this server"
            );
        }
        self.tell(&place);
        tokio::spawn(self.keep(place));
    }

    fn save(&self) -> std::io::Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        folder.write(DEV_KEY, &self.made.key_pem)?;
        folder.write(DEV_CERTIFICATE, &self.made.pem)
    }

    /// Says how programs come to trust it.
    fn tell(&self, place: &str) {
        let until = humantime::format_rfc3339_seconds(self.made.until);
        info!(%until, hash = self.made.hash, "a certificate for development, which this program made");
        info!("for a page: {}", self.made.snippet(&format!("https://{place}/")));
        match &self.folder {
            Some(folder) => {
                let file = folder.path(DEV_CERTIFICATE);
                let file = file.display();
                info!("for others: curl --cacert {file} https://{place}/");
                info!("for others: taiwa connect --cacert {file} wss://{place}/");
            }
            None => {
                info!("for others: curl --insecure https://{place}/");
                info!("for others: taiwa connect --insecure wss://{place}/");
            }
        }
    }

    /// Makes another one in time, again and again; connections that are open go on.
    async fn keep(mut self, place: String) {
        loop {
            let left = self.made.due().duration_since(SystemTime::now()).unwrap_or_default();
            if !left.is_zero() {
                sleep(left.min(SLEEP_MAX)).await;
                continue;
            }
            if let Err(error) = self.renew() {
                error!("tls.issuer: the old certificate stays: {error}");
                sleep(AGAIN_AFTER).await;
                continue;
            }
            if let Err(error) = self.save() {
                error!("tls.folder: the new certificate is not kept: {error}");
            }
            self.tell(&place);
        }
    }

    fn renew(&mut self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let made = Made::new(&self.names, self.life, SystemTime::now())?;
        self.certificates.replace(made.pem.as_bytes(), made.key_pem.as_bytes())?;
        self.made = made;
        Ok(())
    }
}
