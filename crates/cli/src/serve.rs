//! `taiwa serve`.

use std::{
    fmt::Display,
    io::{IsTerminal, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process,
};

use taiwa::{Addr, Certificates, Config, Deadlines, Deflate, Limits, Origins, Server};
use taiwa_server::{FanoutLimits, Site};
use tracing::{error, info, level_filters::LevelFilter};

use crate::{
    args::{Allow, Compress, Level, Serve},
    exit::{Exit, Failure},
    signals::{Hangups, Signal, Signals},
};

pub(crate) async fn run(args: Serve) -> Result<Exit, Failure> {
    log_to_stderr(args.log);
    let mut signals = Signals::new().map_err(|it| Failure::new(Exit::Inside, it))?;
    let mut server = server(&args).await?;
    let addrs = server.addrs().map_err(|it| Failure::new(Exit::Inside, it))?;
    let tls = args.tls_cert.is_some();
    if let Some(certificates) = certificates(&args)? {
        reload_on_hangup(certificates.clone()).map_err(|it| Failure::new(Exit::Inside, it))?;
        server = server.tls_reloading(certificates);
    }

    let site = Site::new(args.fanout(), if tls { "wss" } else { "ws" });
    let serving = site.serve(server).with_shutdown(async move {
        let signal = signals.next().await;
        info!("{signal:?}: closing all connections");
        tokio::spawn(async move {
            while signals.next().await != Signal::Interrupt {}
            process::exit(Exit::Interrupted as i32);
        });
    });
    for addr in &addrs {
        info!(%addr, "listening");
    }
    announce(&addrs, if tls { "https" } else { "http" });
    serving.await.map_err(|it| Failure::new(Exit::Inside, it))?;
    Ok(Exit::Good)
}

async fn server(args: &Serve) -> Result<Server, Failure> {
    let mut server: Option<Server> = None;
    for place in &args.listen {
        let cannot_listen = |error: std::io::Error| {
            Failure::new(Exit::Unreachable, format_args!("can't listen on {place}: {error}"))
        };
        for listener in place.open(args.unix_mode).await.map_err(cannot_listen)? {
            let listening = match server {
                None => Server::from_listener(listener),
                Some(server) => server.listen_on(listener),
            };
            server = Some(listening.map_err(cannot_listen)?);
        }
    }
    let mut server = server.expect("there is a default, and each place has a listener");
    if !args.proxy_protocol.is_empty() {
        server = server.proxy_protocol(args.proxy_protocol.iter().map(|it| it.0));
    }
    Ok(server
        .config(args.config())
        .origins(args.origins())
        .connections_max(args.limits.connections_max))
}

fn certificates(args: &Serve) -> Result<Option<Certificates>, Failure> {
    let (Some(certificates), Some(key)) = (&args.tls_cert, &args.tls_key) else { return Ok(None) };
    let made = Certificates::from_files(certificates, key);
    made.map(Some).map_err(|it| Failure::new(Exit::Usage, it))
}

/// Shows another certificate when SIGHUP comes. Without TLS that signal ends the program, as ever.
fn reload_on_hangup(certificates: Certificates) -> std::io::Result<()> {
    let mut hangups = Hangups::new()?;
    tokio::spawn(async move {
        loop {
            hangups.next().await;
            match certificates.reload() {
                Ok(true) => info!("SIGHUP: new connections see the new certificate"),
                Ok(false) => info!("SIGHUP: the certificate has not changed"),
                Err(error) => error!("SIGHUP: the old certificate stays: {error}"),
            }
        }
    });
    Ok(())
}

impl Serve {
    pub(crate) fn config(&self) -> Config {
        Config {
            limits: Limits {
                message_bytes_max: self.limits.message_max.0,
                fragments_max: self.limits.fragments_max,
                outbox_bytes_max: self.limits.outbox_max.0,
                pongs_max: self.limits.pongs_max,
                handshake_bytes_max: self.limits.handshake_max.0,
                headers_max: self.limits.headers_max,
                ..Limits::default()
            },
            deadlines: Deadlines {
                handshake: self.times.handshake_timeout.0,
                close: self.times.close_timeout.0,
                write: self.times.write_timeout.0,
                message: self.times.message_timeout.0,
            },
            keepalive: crate::connect::keepalive(self.times.ping_after, self.times.pong_within),
            deflate: self.deflate(),
        }
    }

    fn deflate(&self) -> Option<Deflate> {
        let dedicated = match self.compression.compress {
            Compress::Off => return None,
            Compress::Shared => false,
            Compress::Dedicated => true,
        };
        Some(Deflate {
            level: self.compression.compress_level,
            window_bits: self.compression.compress_window,
            message_bytes_min: self.compression.compress_min.0,
            keep_our_context: dedicated,
            keep_peer_context: dedicated,
            ..Deflate::default()
        })
    }

    pub(crate) fn fanout(&self) -> FanoutLimits {
        FanoutLimits {
            queue_bytes_max: self.limits.queue_max.0,
            slow_after: self.times.slow_after.0.unwrap_or(crate::connect::NEVER),
            channels_max: self.limits.channels_max,
            channel_name_bytes_max: self.limits.channel_name_max.0,
        }
    }

    fn origins(&self) -> Origins {
        self.origin.iter().cloned().fold(Origins::default(), |origins, it| match it {
            Allow::Any => Origins::Any,
            Allow::Of(origin) => origins.allow(origin),
        })
    }
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

fn log_to_stderr(level: Level) {
    let level = match level {
        Level::Off => LevelFilter::OFF,
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(colour)
        .with_target(false)
        .init();
}
