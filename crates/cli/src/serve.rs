//! `taiwa serve`.

use std::{
    fmt::Display,
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use taiwa::{Addr, Certificates, Server};
use taiwa_server::{Site, apps::Deciders};
use tracing::{error, info, warn};

use crate::{
    args::Serve,
    beside,
    config::{settings::Settings, verbs},
    descriptors,
    ending::{self, Drain, Leaving, SHUT_DOWN_WITHIN},
    exit::{Exit, Failure},
    listen::Listen,
    log, rooms,
    signals::{Hangups, Signals},
    supervisor::{self, Supervisor},
    traces::{self, Traces},
};

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
    descriptors::raise(settings.limits.server.connections_max);
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
    let supervisor = Supervisor::of_environment();
    let (leave, leaving) = Leaving::new();
    beside::serve_api(&settings, api, &running, certificates, &leaving).await?;
    beside::serve_admin(&settings, &running, &deciders, &leaving).await?;
    supervisor::look_for_untaken_sockets();
    let end =
        ending::end(signals, running.clone(), Drain::of(&settings), leave, supervisor.clone());
    let serving = running.serve(server, |_| async { None });
    let serving = serving.with_successor(leaving.begun()).with_shutdown(end);
    announce(&addrs, if tls { "https" } else { "http" });
    supervisor.ready(&addrs);
    supervisor.reassure(&running);
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
    let server = open(&settings.listen, settings).await?;
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
    settings: &Settings,
) -> Result<Option<Server>, Failure> {
    let mut server: Option<Server> = None;
    for place in places {
        let cannot_listen = |error: std::io::Error| {
            Failure::new(Exit::Unreachable, format_args!("can't listen on {place}: {error}"))
        };
        for listener in
            place.open(settings.unix_mode, settings.reuse_port).await.map_err(cannot_listen)?
        {
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
    for addr in addrs {
        info!(%addr, "listening");
    }
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
