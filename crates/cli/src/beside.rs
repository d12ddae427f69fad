//! What `taiwa serve` does beside serving its clients: the HTTP API, also on addresses of its own, the admin listener, and
//! whoever came with a token that was revoked sent away.

use std::{sync::Arc, time::Duration};

use taiwa::{Addr, Certificates, Serving};
use taiwa_server::{
    Running,
    admin::Admin,
    api::{Api, Desk, Limits},
    apps::{Deciders, webhooks::Kind},
    core::{Disconnect, RefusalKind, SessionId},
    hub::{self, Order, Whom},
};
use tracing::{error, info};

use taiwa_core::NodeRegistry;

use crate::{
    broker,
    config::settings::Settings,
    ending::Leaving,
    exit::{Exit, Failure},
    present::Present,
    serve, tls,
};

/// Returns the API. Without keys there is none, until there are.
pub(crate) fn api(
    settings: &Settings,
    hub: &hub::Limits,
    deciders: &Deciders,
) -> Result<Api, Failure> {
    let usage = |key: &str, why: &dyn std::fmt::Display| {
        Failure::new(Exit::Usage, format_args!("{key}: {why}"))
    };
    let keys = settings.api_keys().map_err(|(key, text)| usage(&key, &text))?;
    let path = settings.api.path.trim_end_matches('/');
    let api = Api::new(keys, Limits::of(hub)).path(path).map_err(|it| usage("api.path", &it))?;
    Ok(match deciders.rules().verifier() {
        Some(verifier) => api.verifier(verifier.clone()),
        None => api,
    })
}

/// Returns the API of `taiwa admin`, which asks for no key.
pub(crate) fn inner_api(hub: &hub::Limits, deciders: &Deciders) -> Api {
    let api = Api::without_keys(Limits::of(hub));
    match deciders.rules().verifier() {
        Some(verifier) => api.verifier(verifier.clone()),
        None => api,
    }
}

/// Sends those away whose token is revoked, as long as the server runs.
pub(crate) fn send_revoked_away(running: &Running, deciders: &Deciders) {
    let Some(mut revoked) = deciders.rules().revoked_sessions() else { return };
    let running = running.clone();
    tokio::spawn(async move {
        let sending = async {
            loop {
                for session in revoked.next().await {
                    send_away(&running, session).await;
                }
            }
        };
        tokio::select! {
            () = sending => {}
            _ = running.ended() => {}
        }
    });
}

/// Sends a session away, whatever else the server has to do: that would be no reason to let it stay.
async fn send_away(running: &Running, session: SessionId) {
    loop {
        let order = Order::Disconnect {
            whom: Whom::Session(session),
            which: None,
            why: Disconnect::Revoked,
        };
        match running.control().order(order).await {
            Ok(_) => return info!(%session, "its token is revoked"),
            Err(refusal) if refusal.kind == RefusalKind::Unavailable => {
                tokio::time::sleep(BUSY_PAUSE).await;
            }
            Err(refusal) => return error!(%session, "not sent away: {}", refusal.text),
        }
    }
}

/// How long a busy server is left alone.
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// Serves the API on addresses of its own, if there are any; over TLS if clients are. Returns it.
pub(crate) async fn serve_api(
    settings: &Settings,
    api: Api,
    running: &Running,
    certificates: Option<Certificates>,
    leaving: &Leaving,
) -> Result<Desk, Failure> {
    if let Some(desk) = running.api() {
        return Ok(desk.clone());
    }
    let desk = api.open(running.control().clone().into_orders());
    let Some(mut server) = serve::open(&settings.api.listen, settings).await? else {
        return Ok(desk);
    };
    if let Some(certificates) = certificates {
        server = tls::on_api(server, certificates, settings)?;
    }
    let addrs = server.addrs().map_err(|it| Failure::new(Exit::Inside, it))?;
    begin("the API", &addrs, desk.clone().serve(server).with_successor(leaving.begun()));
    Ok(desk)
}

/// Serves metrics and health where the settings say so. To the end: who asks whether a server that closes is ready is
/// to hear that it is not; unless the next process listens in the same place, and says so for itself.
pub(crate) async fn serve_admin(
    present: &Present,
    running: &Running,
    registry: Option<Arc<dyn NodeRegistry>>,
    leaving: &Leaving,
) -> Result<(), Failure> {
    let now = present.now();
    let settings = &now.settings;
    let Some(server) = serve::open(&settings.admin.listen, settings).await? else {
        return Ok(());
    };
    let addrs = server.addrs().map_err(|it| Failure::new(Exit::Inside, it))?;
    let [waiting, done, tokens, reloads, keys] = [(); 5].map(|()| present.clone());
    let admin = Admin::of(running)
        .gauge(
            "webhook_events_waiting",
            "Events that wait to be told, or are being told",
            move || waiting.deciders().waiting() as u64,
        )
        .counters("webhook_requests", "What became of questions and events", "result", move || {
            webhook_results(&done.deciders())
        })
        .counters("auth", "What became of tokens", "result", move || {
            let counts = tokens.now().decided.token_counts();
            counts.fields().to_vec()
        })
        .counters("reloads", "What became of reloads of the settings", "result", move || {
            reloads.reloads()
        })
        .gauge(
            "settings_waiting_for_restart",
            "Settings that were changed and count no sooner than after a restart",
            move || keys.waiting_for_restart(),
        );
    let limits = present.clone();
    let admin = broker::measured(admin, registry);
    let admin = with_limits(admin, move |limit| limit(&limits.now().settings));
    begin("the admin listener", &addrs, admin.serve(server).with_successor(leaving.begun()));
    Ok(())
}

/// Tells the limits that dashboards and alerts compare with; `now` asks the settings that hold for one.
fn with_limits(
    admin: Admin,
    now: impl Fn(fn(&Settings) -> usize) -> usize + Clone + Send + Sync + 'static,
) -> Admin {
    let (connections, letters, events) = (now.clone(), now.clone(), now);
    admin
        .gauge("connections_max", "Connections that there may be", move || {
            connections(|it| it.limits.server.connections_max) as u64
        })
        .gauge("letters_max", "Letters that may wait for a shard", move || {
            letters(|it| it.limits.shard.letters_max) as u64
        })
        .gauge("webhook_events_max", "Events that may wait for the webhook of one URL", move || {
            events(|it| it.webhooks.queue_max) as u64
        })
}

fn webhook_results(deciders: &Deciders) -> Vec<(&'static str, u64)> {
    let counts = Kind::ALL.map(|it| deciders.webhooks().counts(it));
    let sum = |read: fn(&taiwa_server::apps::webhooks::KindCounts) -> u64| {
        counts.iter().map(read).sum::<u64>()
    };
    vec![
        ("answered", sum(|it| it.answered)),
        ("late", sum(|it| it.late)),
        ("failed", sum(|it| it.failed)),
        ("turned_away", sum(|it| it.turned_away)),
        ("told", sum(|it| it.told)),
        ("retried", sum(|it| it.retries)),
        ("dropped", sum(|it| it.dropped)),
        ("given_up", sum(|it| it.given_up)),
    ]
}

/// Serves until its end, which is no end of the program.
pub(crate) fn begin(what: &'static str, addrs: &[Addr], serving: Serving) {
    for addr in addrs {
        info!(%addr, "{what} listens");
    }
    tokio::spawn(async move {
        if let Err(error) = serving.await {
            error!("{what} has ended: {error}");
        }
    });
}
