//! `taiwa serve`.

use std::{
    fmt::Display,
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use taiwa::{Addr, Server, Serving, Tuner, Tuning};
use taiwa_server::{Running, Site, apps::Deciders, hub};
use tracing::{info, warn};

use crate::{
    admin,
    args::Serve,
    beside, broker,
    config::{apply::Decided, settings::Settings, verbs},
    descriptors,
    ending::{self, Leaving, SHUT_DOWN_WITHIN},
    exit::{Exit, Failure},
    listen::Listen,
    log,
    present::{Parts, Present},
    rooms,
    signals::{Hangups, Signals},
    supervisor::{self, Supervisor},
    tls::Keeping,
    traces::{self, Traces},
};

pub(crate) async fn run(args: Serve) -> Result<Exit, Failure> {
    let flags = args.flags;
    let loaded = verbs::load(flags.clone())?;
    let traces = traces::begin(&loaded)?;
    let settings = loaded.settings;
    let (_log, loudness) = log::to_stderr(&settings.log, traces.as_ref().map(Traces::layer));
    if let Some(file) = &loaded.file {
        info!(file = %file.display(), "settings read");
    }
    for stranger in &loaded.strangers {
        warn!("{stranger}");
    }
    let inside = |it| Failure::new(Exit::Inside, it);
    let signals = Signals::new().map_err(inside)?;
    let hangups = Hangups::new().map_err(inside)?;
    descriptors::raise(settings.limits.server.connections_max);
    let server = server(&settings).await?;
    let addrs = server.addrs().map_err(inside)?;
    let decided = decided(&settings, &addrs, None)?;
    let deciders = decided.deciders.clone();
    let scheme = if settings.tls.is_on() { "https" } else { "http" };
    let keeping = Keeping::open(&settings, &addrs)?;
    let certificates = keeping.certificates();
    let tuner = Tuner::default();
    let server = keeping.on(server, &settings.tls)?.tuned_by(&tuner);

    let hub = hub(&settings, &deciders);
    let api = beside::api(&settings, &hub.limits, &deciders)?;
    let inner_api = beside::inner_api(&hub.limits, &deciders);
    let mut site = site(&settings, hub, &deciders);
    if settings.api.listen.is_empty() {
        site = site.api(api.clone());
    }
    let (site, registry) = broker::joined(site, &settings).await?;
    let running = site.start().map_err(|it| Failure::new(Exit::Inside, it))?;
    let supervisor = Supervisor::of_environment();
    let (leave, leaving) = Leaving::new();
    let desk = beside::serve_api(&settings, api, &running, certificates.clone(), &leaving).await?;
    let present = Present::new(flags, settings, decided, addrs.clone());
    let inner_desk = inner_api.open(running.control().clone().into_orders());
    #[cfg(unix)]
    let admin = admin::serve::open(&present, &running, inner_desk.clone()).await?;
    let parts = Parts {
        running: running.clone(),
        tuner,
        desk,
        inner_desk,
        certificates,
        loudness,
        supervisor: supervisor.clone(),
    };
    present.watch(parts, hangups);
    beside::serve_admin(&present, &running, registry, &leaving).await?;
    supervisor::look_for_untaken_sockets();
    let end = ending::end(signals, running.clone(), present.clone(), leave, supervisor.clone());
    let serving = running.serve(server, |_| async { None });
    let serving = serving.with_successor(leaving.begun()).with_shutdown(end);
    keeping.begin(&present.now().settings, &addrs, &leaving).await?;
    announce(&addrs, scheme);
    supervisor.ready(&addrs);
    supervisor.reassure(&running);
    to_end(serving, &running, &present).await?;
    #[cfg(unix)]
    admin.close().await;
    if let Some(traces) = traces {
        traces.end().await;
    }
    Ok(Exit::Good)
}

/// Serves until that has an end, and sees to it that nothing is left undone.
async fn to_end(serving: Serving, running: &Running, present: &Present) -> Result<(), Failure> {
    // Among the connections that it begins: from the main thread each of them would cost two wake-ups of a thread.
    let served = tokio::spawn(serving.into_future()).await;
    let served = served.map_err(io::Error::from).flatten();
    served.map_err(|it| Failure::new(Exit::Inside, it))?;
    running.shut_down(SHUT_DOWN_WITHIN).await.map_err(|it| Failure::new(Exit::Inside, it))?;
    match present.deciders().drained(SHUT_DOWN_WITHIN).await {
        0 => {}
        left => warn!(left, "webhooks were not told all"),
    }
    Ok(())
}

/// Returns who decides, in the place of those before. A server to which nobody could connect does not start.
pub(crate) fn decided(
    settings: &Settings,
    addrs: &[Addr],
    before: Option<&Decided>,
) -> Result<Decided, Failure> {
    let usage = |it: String| Failure::new(Exit::Usage, it);
    let anonymous = settings.lets_anonymous_in(addrs);
    if !anonymous && settings.webhooks.url.connect.is_none() && !settings.auth.jwt.has_keys() {
        let why = "nobody could connect: clients without a token are let in by servers on this machine alone; \
                   --anonymous true lets them in here, auth.jwt lets those with a token in";
        return Err(usage(why.into()));
    }
    let decided = match before {
        None => settings.decided(anonymous),
        Some(before) => settings.decided_after(before, anonymous),
    };
    decided.map_err(|(key, text)| usage(format!("{key}: {text}")))
}

/// Returns what the hub allows.
pub(crate) fn hub(settings: &Settings, deciders: &Deciders) -> hub::Settings {
    let mut hub = settings.hub();
    let told = deciders.told();
    (hub.tell_disconnected, hub.tell_occupied) = (told.disconnected, told.occupied);
    hub
}

/// Returns what is served.
pub(crate) fn site(settings: &Settings, hub: hub::Settings, deciders: &Deciders) -> Site {
    Site::new(hub, Arc::new(deciders.clone()))
        .dialects(rooms::rooms(settings))
        .shards(settings.shards())
        .limits(settings.host())
        .address_conversations_max(settings.limits.address.clients_max.0)
        .request_bytes_max(settings.limits.connection.request_max.0)
        .origins(settings.allowed_origins())
        .scheme(if settings.tls.is_on() { "wss" } else { "ws" })
}

/// Returns what holds for connections.
pub(crate) fn tuning(settings: &Settings) -> Tuning {
    Tuning {
        config: settings.connection(),
        origins: settings.allowed_origins(),
        connections_max: settings.limits.server.connections_max,
    }
}

async fn server(settings: &Settings) -> Result<Server, Failure> {
    let server = open(&settings.listen, settings).await?;
    let mut server = server.expect("there is an address, and each has a listener");
    if !settings.proxy_protocol.is_empty() {
        server = server.proxy_protocol(settings.proxy_protocol.iter().map(|it| it.0));
    }
    let server = server.http1(settings.http1).http2(settings.http2()).http3(settings.http3());
    let server = server.bind_udp().map_err(|it| Failure::new(Exit::Unreachable, it))?;
    let tuning = tuning(settings);
    Ok(server.config(tuning.config).origins(tuning.origins).connections_max(tuning.connections_max))
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
        let opened = place.open(settings.unix_mode, settings.reuse_port).await;
        let opened = opened.map_err(cannot_listen)?;
        for listener in opened.listeners {
            let listening = match server {
                None => Server::from_listener(listener),
                Some(server) => server.listen_on(listener),
            };
            server = Some(listening.map_err(cannot_listen)?);
        }
        server = server.map(|server| opened.udp.into_iter().fold(server, Server::shared_udp));
    }
    Ok(server)
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
pub(crate) fn reachable(addr: SocketAddr) -> SocketAddr {
    let host = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(host, addr.port())
}
