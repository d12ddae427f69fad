//! Certificates from an ACME server (RFC 8555), such as Let's Encrypt: ordered, kept, and renewed in their last third.

mod answers;
mod order;
mod web;

use std::time::{Duration, SystemTime};

use taiwa::{Addr, Certificates};
use taiwa_server::outgoing::{Outgoing, Trust};
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use super::{SLEEP_MAX, folder::Folder, made::Made, usable};
use crate::{
    beside,
    config::settings::{self, Settings},
    ending::Leaving,
    exit::{Exit, Failure},
    serve,
};
use answers::Answers;

/// How long one order may take.
const ORDER_WITHIN: Duration = Duration::from_secs(10 * 60);
/// How long to wait after the first failure. Servers count failures: Let's Encrypt allows five an hour.
const AGAIN_MIN: Duration = Duration::from_secs(2 * 60);
/// How long to wait at most; certificates are renewed weeks before their end.
const AGAIN_MAX: Duration = Duration::from_secs(12 * 60 * 60);
const CERTIFICATE: &str = "acme-cert.pem";
const KEY: &str = "acme-key.pem";
/// How long the certificate lives that is shown until the first one has come.
const PLACEHOLDER_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// What the issuer `acme` has to know.
pub(super) struct Acme {
    settings: settings::Acme,
    directory: String,
    names: Vec<String>,
    folder: Folder,
    outgoing: Outgoing,
    answers: Answers,
    certificates: Certificates,
    /// `None` until there is one.
    made: Option<Made>,
}

impl Acme {
    /// Reads what is kept. Until a certificate has come, one is shown that nobody trusts.
    pub(super) fn open(settings: &Settings) -> Result<Self, Failure> {
        let tls = &settings.tls;
        let bad = |key: &str, error: &dyn std::fmt::Display| {
            Failure::new(Exit::Usage, format_args!("{key}: {error}"))
        };
        let path = tls.folder.as_deref().unwrap_or(".".as_ref());
        let folder = Folder::open(path).map_err(|it| bad("tls.folder", &it))?;
        let names: Vec<_> = tls.names.iter().map(|it| it.to_ascii_lowercase()).collect();
        let directory = tls.acme.directory.to_string();
        let made = kept(&folder, &names, &directory).map_err(|it| bad("tls.folder", &it))?;
        let shown = match &made {
            Some(made) => made.clone(),
            None => Made::new(&names, PLACEHOLDER_LIFE, SystemTime::now())
                .map_err(|it| bad("tls.names", &it))?,
        };
        let certificates = Certificates::new(shown.pem.as_bytes(), shown.key_pem.as_bytes())
            .map_err(|it| bad("tls.folder", &it))?;
        let trust = tls.acme.trust().map_err(|it| bad("tls.acme.ca_file", &it))?;
        let outgoing = Outgoing::new(&trust, &settings.outgoing());
        let (settings, answers) = (tls.acme.clone(), Answers::default());
        Ok(Self { settings, directory, names, folder, outgoing, answers, certificates, made })
    }

    pub(super) fn certificates(&self) -> Certificates {
        self.certificates.clone()
    }

    /// Answers challenges over HTTP, if the settings say where, and sees to it that there is a certificate.
    pub(super) async fn begin(
        self,
        settings: &Settings,
        addrs: &[Addr],
        leaving: &Leaving,
    ) -> Result<(), Failure> {
        if let Some(server) = serve::open(&self.settings.http_listen, settings).await? {
            let bound = server.addrs().map_err(|it| Failure::new(Exit::Inside, it))?;
            let port = addrs.iter().find_map(Addr::tcp).map_or(443, |it| it.port());
            let serving = self.answers.serve(server, self.names.clone().into(), port);
            beside::begin("HTTP beside TLS", &bound, serving.with_successor(leaving.begun()));
        }
        tokio::spawn(self.keep());
        Ok(())
    }

    async fn keep(mut self) {
        let mut pauses = Pauses::new();
        loop {
            let left = self.made.as_ref().map(Made::due);
            let left = left.map(|it| it.duration_since(SystemTime::now()).unwrap_or_default());
            if let Some(left) = left.filter(|it| !it.is_zero()) {
                sleep(left.min(SLEEP_MAX)).await;
                continue;
            }
            info!(
                names = self.names.join(","),
                directory = self.directory,
                "a certificate is ordered"
            );
            let ordered = timeout(ORDER_WITHIN, self.order()).await;
            match ordered.unwrap_or_else(|_| Err("it took too long".into())) {
                Ok((chain, key)) => match self.show(&chain, &key) {
                    Ok(()) => {
                        pauses = Pauses::new();
                        continue;
                    }
                    Err(error) => error!("the certificate that came is no good: {error}"),
                },
                Err(error) => error!("tls.acme: no certificate came: {error}"),
            }
            if self.made.as_ref().is_none_or(|it| it.until <= SystemTime::now()) {
                warn!("tls.acme: a certificate is shown that nobody trusts");
            }
            let pause = pauses.next();
            info!("the next try is in {}", humantime::format_duration(pause));
            sleep(pause).await;
        }
    }

    fn show(&mut self, chain: &str, key: &str) -> Result<(), order::Failed> {
        self.certificates.replace(chain.as_bytes(), key.as_bytes())?;
        let made = Made::read(chain, key).ok_or("it can't be read")?;
        let until = humantime::format_rfc3339_seconds(made.until);
        info!(%until, "new connections see the new certificate");
        self.made = Some(made);
        let saved =
            self.folder.write(KEY, key).and_then(|()| self.folder.write(CERTIFICATE, chain));
        if let Err(error) = saved {
            error!("tls.folder: the certificate is not kept: {error}");
        }
        Ok(())
    }
}

/// How long to wait after orders that failed, one behind the other: each time twice as long.
struct Pauses(Duration);

impl Pauses {
    fn new() -> Self {
        Self(AGAIN_MIN)
    }

    fn next(&mut self) -> Duration {
        let twice = (self.0 * 2).min(AGAIN_MAX);
        std::mem::replace(&mut self.0, twice)
    }
}

/// Returns the certificate that is kept, if it is of this directory, for these names and still good.
fn kept(folder: &Folder, names: &[String], directory: &str) -> std::io::Result<Option<Made>> {
    if order::directory(folder)?.as_deref() != Some(directory) {
        return Ok(None);
    }
    let (Some(pem), Some(key)) = (folder.read(CERTIFICATE)?, folder.read(KEY)?) else {
        return Ok(None);
    };
    let made = usable(&pem, &key);
    Ok(made.filter(|it| it.is_for(names) && SystemTime::now() < it.until))
}

impl settings::Acme {
    /// Returns whom the requests to the ACME server trust.
    ///
    /// # Errors
    /// The file can't be read, or has no certificates.
    pub(crate) fn trust(&self) -> Result<Trust, String> {
        let Some(path) = &self.ca_file else { return Ok(Trust::Platform) };
        let pem = std::fs::read(path);
        let pem = pem.map_err(|error| format!("can't read {}: {error}", path.display()))?;
        Trust::from_pem(&pem).map_err(|it| it.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_half_a_day_and_servers_that_count_failures_are_not_annoyed() {
        let mut pauses = Pauses::new();
        let told: Vec<_> = (0..12).map(|_| pauses.next().as_secs() / 60).collect();
        assert_eq!(told, [2, 4, 8, 16, 32, 64, 128, 256, 512, 720, 720, 720]);
        // The first order is at once; Let's Encrypt allows five failures in an hour.
        let hour = 60;
        let times: Vec<_> = told
            .iter()
            .scan(0, |at, pause| {
                let now = *at;
                *at += pause;
                Some(now)
            })
            .collect();
        for (number, begin) in times.iter().enumerate() {
            let within = times[number..].iter().take_while(|it| *it - begin < hour).count();
            assert!(within <= 5, "{within} orders from minute {begin} on");
        }
    }
}
