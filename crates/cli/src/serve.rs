//! `taiwa serve`.

use std::{
    fmt::Display,
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process,
    sync::Arc,
    time::Duration,
};

use taiwa::{Addr, Certificates, Server};
use taiwa_server::{Running, Site, apps::Deciders};
use tracing::{error, info, warn};

use crate::{
    args::Serve,
    beside,
    config::{settings::Settings, verbs},
    exit::{Exit, Failure},
    listen::{Listen, Mode},
    log, rooms,
    signals::{Hangups, Signal, Signals},
    traces::{self, Traces},
};

/// How long clients may take to say goodbye.
const SHUT_DOWN_WITHIN: Duration = Duration::from_secs(5);

pub(crate) async fn run(args: Serve) -> Result<Exit, Failure> {
    let loaded = verbs::load(args.flags)?;
    let traces = traces::begin(&loaded)?;
    let settings = loaded.settings;
    let _log = log::to_stderr(&settings.log, traces.as_ref().map(Traces::layer));
    if let Some(file) = &loaded.file {
        info!(file = %file.display(), "settings read");
    }
    for stranger in &loaded.strangers {
        warn!("{stranger}");
    }
    let signals = Signals::new().map_err(|it| Failure::new(Exit::Inside, it))?;
    let mut server = server(&settings).await?;
    let addrs = server.addrs().map_err(|it| Failure::new(Exit::Inside, it))?;
    let deciders = deciders(&settings, &addrs)?;
    let tls = settings.tls.cert.is_some();
    let certificates = certificates(&settings)?;
    if let Some(certificates) = certificates.clone() {
        let every = settings.tls.reload.0;
        reload(certificates.clone(), every).map_err(|it| Failure::new(Exit::Inside, it))?;
        server = server.tls_reloading(certificates);
    }

    let mut hub = settings.hub();
    let told = deciders.told();
    (hub.tell_disconnected, hub.tell_occupied) = (told.disconnected, told.occupied);
    let api = beside::api(&settings, &hub.limits, &deciders)?;
    let mut site = Site::new(hub, Arc::new(deciders.clone()))
        .dialects(rooms::rooms(&settings))
        .shards(settings.shards())
        .limits(settings.host())
        .address_conversations_max(settings.limits.address.clients_max.0)
        .request_bytes_max(settings.limits.connection.request_max.0)
        .origins(settings.allowed_origins())
        .scheme(if tls { "wss" } else { "ws" });
    if let Some(api) = api.clone().filter(|_| settings.api.listen.is_empty()) {
        site = site.api(api);
    }
    let running = site.start().map_err(|it| Failure::new(Exit::Inside, it))?;
    beside::send_revoked_away(&running, &deciders);
    beside::serve_api(&settings, api, &running, certificates).await?;
    beside::serve_admin(&settings, &running, &deciders).await?;
    let end = end(signals, running.clone());
    let serving = running.serve(server, |_| async { None }).with_shutdown(end);
    for addr in &addrs {
        info!(%addr, "listening");
    }
    announce(&addrs, if tls { "https" } else { "http" });
    // Among the connections that it begins: from the main thread each of them would cost two wake-ups of a thread.
    let served = tokio::spawn(serving.into_future()).await;
    served.map_err(io::Error::from).flatten().map_err(|it| Failure::new(Exit::Inside, it))?;
    running.shut_down(SHUT_DOWN_WITHIN).await.map_err(|it| Failure::new(Exit::Inside, it))?;
    match deciders.drained(SHUT_DOWN_WITHIN).await {
        0 => {}
        left => warn!(left, "webhooks were not told all"),
    }
    if let Some(traces) = traces {
        traces.end().await;
    }
    Ok(Exit::Good)
}

/// Waits until the server has to end, and begins with it.
async fn end(mut signals: Signals, running: Running) {
    tokio::select! {
        signal = signals.next() => info!("{signal:?}: closing all connections"),
        // A channel without its owner would fall silent, and nobody would know.
        _ = running.ended() => {}
    }
    // While the listeners' connections end: bodies that go on end with their conversations.
    tokio::spawn(async move { running.shut_down(SHUT_DOWN_WITHIN).await });
    tokio::spawn(async move {
        while signals.next().await != Signal::Interrupt {}
        process::exit(Exit::Interrupted as i32);
    });
}

/// Returns who decides. A server to which nobody could connect does not start.
fn deciders(settings: &Settings, addrs: &[Addr]) -> Result<Deciders, Failure> {
    let usage = |it: String| Failure::new(Exit::Usage, it);
    let anonymous = settings.lets_anonymous_in(addrs);
    let deciders =
        settings.deciders(anonymous).map_err(|(key, text)| usage(format!("{key}: {text}")))?;
    let asked = settings.webhooks.url.connect.is_some();
    if !anonymous && !asked && !deciders.rules().verifies_connections() {
        let why = "nobody could connect: clients without a token are let in by servers on this machine alone; \
                   --anonymous true lets them in here, auth.jwt lets those with a token in";
        return Err(usage(why.into()));
    }
    Ok(deciders)
}

async fn server(settings: &Settings) -> Result<Server, Failure> {
    let server = open(&settings.listen, settings.unix_mode).await?;
    let mut server = server.expect("there is an address, and each has a listener");
    if !settings.proxy_protocol.is_empty() {
        server = server.proxy_protocol(settings.proxy_protocol.iter().map(|it| it.0));
    }
    Ok(server
        .config(settings.connection())
        .origins(settings.allowed_origins())
        .connections_max(settings.limits.server.connections_max))
}

/// Listens at these places; `None` without any.
pub(crate) async fn open(
    places: &[Listen],
    unix_mode: Option<Mode>,
) -> Result<Option<Server>, Failure> {
    let mut server: Option<Server> = None;
    for place in places {
        let cannot_listen = |error: std::io::Error| {
            Failure::new(Exit::Unreachable, format_args!("can't listen on {place}: {error}"))
        };
        for listener in place.open(unix_mode).await.map_err(cannot_listen)? {
            let listening = match server {
                None => Server::from_listener(listener),
                Some(server) => server.listen_on(listener),
            };
            server = Some(listening.map_err(cannot_listen)?);
        }
    }
    Ok(server)
}

fn certificates(settings: &Settings) -> Result<Option<Certificates>, Failure> {
    let (Some(certificates), Some(key)) = (&settings.tls.cert, &settings.tls.key) else {
        return Ok(None);
    };
    let made = Certificates::from_files(certificates, key);
    made.map(Some).map_err(|it| Failure::new(Exit::Usage, it))
}

/// Shows another certificate when SIGHUP comes, and when the files have changed if they are watched. Without TLS that
/// signal ends the program, as ever.
fn reload(certificates: Certificates, every: Option<Duration>) -> std::io::Result<()> {
    let mut hangups = Hangups::new()?;
    tokio::spawn(async move {
        let mut told = String::new();
        loop {
            let signalled = match every {
                None => {
                    hangups.next().await;
                    true
                }
                Some(every) => tokio::time::timeout(every, hangups.next()).await.is_ok(),
            };
            let why = if signalled { "SIGHUP" } else { "tls.reload" };
            match certificates.reload() {
                Ok(true) => info!("{why}: new connections see the new certificate"),
                Ok(false) if signalled => info!("{why}: the certificate has not changed"),
                Ok(false) => {}
                Err(error) => {
                    let text = error.to_string();
                    // What is looked at again and again is told once.
                    if signalled || text != told {
                        error!("{why}: the old certificate stays: {text}");
                    }
                    told = text;
                    continue;
                }
            }
            told.clear();
        }
    });
    Ok(())
}

/// Says where the page is: the one line on stdout. Whoever closed stdout does not want to know.
fn announce(addrs: &[Addr], scheme: &str) {
    let mut stdout = std::io::stdout();
    let mut tell = |it: &dyn Display| {
        let _ = writeln!(stdout, "{it}");
        let _ = stdout.flush();
    };
    match (addrs.iter().find_map(Addr::tcp), addrs.first()) {
        (Some(addr), _) => tell(&format_args!("{scheme}://{}/", reachable(addr))),
        (None, Some(unix)) => tell(unix),
        (None, None) => {}
    }
}

/// By which address a program on this machine reaches it.
fn reachable(addr: SocketAddr) -> SocketAddr {
    let host = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(host, addr.port())
}
