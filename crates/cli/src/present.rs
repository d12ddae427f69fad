//! [`Present`]: by what `taiwa serve` runs at the moment, and how it is exchanged: by SIGHUP and `taiwa admin reload`.

use std::{
    io,
    sync::{
        Arc, OnceLock, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use serde::Serialize;
use taiwa::{Addr, Certificates, Tuner};
use taiwa_server::{Running, api::Desk, apps::Deciders};
use tokio::{
    sync::{Mutex, watch},
    task::spawn_blocking,
    time::timeout,
};
use tracing::{error, info, warn};

use crate::{
    beside,
    config::{
        apply::Decided,
        flags::Flags,
        load::Loaded,
        settings::{Settings, Tls},
        verbs,
    },
    descriptors,
    exit::{Exit, Failure},
    log::Loudness,
    serve,
    signals::Hangups,
    supervisor::Supervisor,
};

/// By what the server runs at the moment. Cheap to clone; its clones are one.
#[derive(Clone)]
pub(crate) struct Present(Arc<Inner>);

struct Inner {
    /// With which the server was started.
    flags: Flags,
    started: Settings,
    started_at: SystemTime,
    addrs: Vec<Addr>,
    now: RwLock<Arc<Now>>,
    /// What is told when something is exchanged.
    parts: OnceLock<Parts>,
    /// How often files of certificates are looked at.
    look_every: watch::Sender<Option<Duration>>,
    /// One reload after the other.
    turn: Mutex<()>,
    counts: Counts,
}

/// What holds.
pub(crate) struct Now {
    pub(crate) settings: Settings,
    pub(crate) decided: Decided,
}

/// What runs by the settings.
pub(crate) struct Parts {
    pub(crate) running: Running,
    pub(crate) tuner: Tuner,
    pub(crate) desk: Desk,
    /// Of `taiwa admin`.
    pub(crate) inner_desk: Desk,
    pub(crate) certificates: Option<Certificates>,
    pub(crate) loudness: Loudness,
    pub(crate) supervisor: Supervisor,
}

#[derive(Default)]
struct Counts {
    applied: AtomicU64,
    refused: AtomicU64,
    /// Keys that wait for a restart.
    waiting: AtomicU64,
}

/// What became of a reload.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// Keys that were changed and count.
    pub(crate) changed: Vec<String>,
    /// Keys that differ from what the server started with, and need a restart.
    pub(crate) restart: Vec<String>,
    /// Whether there is another certificate, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) certificate_changed: Option<bool>,
}

impl Present {
    /// Begins with what was loaded.
    pub(crate) fn new(
        flags: Flags,
        settings: Settings,
        decided: Decided,
        addrs: Vec<Addr>,
    ) -> Self {
        let (look_every, _) = watch::channel(settings.tls.reload.0);
        let (started, started_at) = (settings.clone(), SystemTime::now());
        let now = RwLock::new(Arc::new(Now { settings, decided }));
        let (parts, turn, counts) = Default::default();
        Self(Arc::new(Inner {
            flags,
            started,
            started_at,
            addrs,
            now,
            parts,
            look_every,
            turn,
            counts,
        }))
    }

    /// Returns what holds.
    pub(crate) fn now(&self) -> Arc<Now> {
        self.0.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns who decides.
    pub(crate) fn deciders(&self) -> Deciders {
        self.now().decided.deciders.clone()
    }

    /// Returns the places where clients connect.
    pub(crate) fn addrs(&self) -> &[Addr] {
        &self.0.addrs
    }

    /// Returns when the server began.
    pub(crate) fn started_at(&self) -> SystemTime {
        self.0.started_at
    }

    /// Begins to listen for SIGHUP, and to look at the files of certificates as often as the settings say.
    pub(crate) fn watch(&self, parts: Parts, mut hangups: Hangups) {
        beside::send_revoked_away(&parts.running, &self.deciders());
        let certificates = parts.certificates.clone();
        // It is called once.
        let _ = self.0.parts.set(parts);
        let present = self.clone();
        tokio::spawn(async move {
            loop {
                hangups.next().await;
                // What became of it is in the log.
                let _ = present.reload("SIGHUP").await;
            }
        });
        if let Some(certificates) = certificates {
            tokio::spawn(look_again(certificates, self.0.look_every.subscribe()));
        }
    }

    /// Reads file, environment and flags again, and goes on by them.
    ///
    /// # Errors
    /// All that is wrong, a line each; then everything is as it was.
    pub(crate) async fn reload(&self, why: &str) -> Result<Report, Vec<String>> {
        let _turn = self.0.turn.lock().await;
        if let Some(parts) = self.0.parts.get() {
            parts.supervisor.reloading();
        }
        let outcome = self.try_reload().await;
        if let Some(parts) = self.0.parts.get() {
            parts.supervisor.ready(&self.0.addrs);
        }
        let counts = &self.0.counts;
        match &outcome {
            Ok(report) => {
                counts.applied.fetch_add(1, Relaxed);
                counts.waiting.store(report.restart.len() as u64, Relaxed);
                match report.certificate_changed {
                    Some(true) => info!("{why}: new connections see the new certificate"),
                    Some(false) => info!("{why}: the certificate has not changed"),
                    None => {}
                }
                match report.changed.is_empty() {
                    true => info!("{why}: no setting has changed"),
                    false => info!("{why}: changed: {}", report.changed.join(", ")),
                }
                if !report.restart.is_empty() {
                    warn!("{why}: these need a restart: {}", report.restart.join(", "));
                }
            }
            Err(problems) => {
                counts.refused.fetch_add(1, Relaxed);
                error!("{why}: the old settings stay: {}", problems.join("; "));
            }
        }
        outcome
    }

    async fn try_reload(&self) -> Result<Report, Vec<String>> {
        let Some(parts) = self.0.parts.get() else { return Err(vec!["too early".into()]) };
        let (present, certificates) = (self.clone(), parts.certificates.clone());
        // Files may lie far away.
        let read = spawn_blocking(move || present.read(certificates)).await;
        let read = read.map_err(io::Error::from).map_err(|it| Failure::new(Exit::Inside, it));
        let (now, report) = read
            .flatten()
            .map_err(|failure| failure.message.lines().map(str::to_owned).collect::<Vec<_>>())?;
        let Now { settings, decided } = &now;
        let hub = serve::hub(settings, &decided.deciders);
        let api = beside::api(settings, &hub.limits, &decided.deciders);
        let api = api.map_err(|failure| vec![failure.message])?;
        let limits = hub.limits.clone();
        descriptors::raise(settings.limits.server.connections_max);
        parts.running.adopt(serve::site(settings, hub, &decided.deciders)).await;
        parts.tuner.tune(serve::tuning(settings));
        parts.desk.replace(api);
        parts.inner_desk.replace(beside::inner_api(&limits, &decided.deciders));
        parts.loudness.set(settings.log.level);
        self.0.look_every.send_replace(settings.tls.reload.0);
        if !self.now().decided.knows_tokens() {
            beside::send_revoked_away(&parts.running, &decided.deciders);
        }
        *self.0.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(now);
        Ok(report)
    }

    /// Reads all there is to read. What can't be refused any more when it returns is done after it.
    fn read(&self, certificates: Option<Certificates>) -> Result<(Now, Report), Failure> {
        let Loaded { mut settings, strangers, .. } = verbs::load(self.0.flags.clone())?;
        for stranger in strangers {
            warn!("{stranger}");
        }
        let restart = settings.needing_restart(&self.0.started);
        let switched = settings.tls.is_switched(&self.0.started.tls);
        settings.keep_started(&self.0.started);
        let before = self.now();
        if switched {
            // Those that are shown now, which may be others than at the start.
            settings.tls = Tls { reload: settings.tls.reload, ..before.settings.tls.clone() };
        }
        let decided = serve::decided(&settings, &self.0.addrs, Some(&before.decided))?;
        let pairs = settings.tls.pairs();
        let certificate_changed = match certificates.filter(|_| !pairs.is_empty()) {
            Some(held) => {
                let refused = |error| Failure::new(Exit::Usage, format_args!("tls.cert: {error}"));
                Some(held.reload_from_several(pairs).map_err(refused)?)
            }
            None => None,
        };
        let changed = settings.differences(&before.settings);
        Ok((Now { settings, decided }, Report { changed, restart, certificate_changed }))
    }

    /// Returns how many reloads there were, by what became of them.
    pub(crate) fn reloads(&self) -> Vec<(&'static str, u64)> {
        let Counts { applied, refused, .. } = &self.0.counts;
        vec![("applied", applied.load(Relaxed)), ("refused", refused.load(Relaxed))]
    }

    /// Returns how many keys wait for a restart.
    pub(crate) fn waiting_for_restart(&self) -> u64 {
        self.0.counts.waiting.load(Relaxed)
    }
}

/// Shows another certificate when its files have changed.
async fn look_again(certificates: Certificates, mut every: watch::Receiver<Option<Duration>>) {
    let mut told = String::new();
    loop {
        let pause = *every.borrow_and_update();
        match pause {
            None if every.changed().await.is_err() => return,
            None => continue,
            Some(pause) => match timeout(pause, every.changed()).await {
                Ok(Err(_)) => return,
                Ok(Ok(())) => continue,
                Err(_) => {}
            },
        }
        match certificates.reload() {
            Ok(true) => info!("tls.reload: new connections see the new certificate"),
            Ok(false) => {}
            Err(error) => {
                let text = error.to_string();
                // What is looked at again and again is told once.
                if text != told {
                    error!("tls.reload: the old certificate stays: {text}");
                }
                told = text;
                continue;
            }
        }
        told.clear();
    }
}
