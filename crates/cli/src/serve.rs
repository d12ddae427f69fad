//! `taiwa serve`.

use std::{
    fs,
    io::{IsTerminal, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    process,
};

use taiwa::{Config, Deadlines, Deflate, Limits, Origins, Server};
use taiwa_server::{FanoutLimits, Site};
use tracing::{info, level_filters::LevelFilter};

use crate::{
    args::{Allow, Compress, Level, Serve},
    exit::{Exit, Failure},
    signals::{Signal, Signals},
};

pub(crate) async fn run(args: Serve) -> Result<Exit, Failure> {
    log_to_stderr(args.log);
    let mut signals = Signals::new().map_err(|it| Failure::new(Exit::Inside, it))?;
    let server = server(&args).await?;
    let addr = server.local_addr().map_err(|it| Failure::new(Exit::Inside, it))?;
    let tls = args.tls_cert.is_some();
    let addrs = server.local_addrs().unwrap_or_default();

    let site = Site::new(args.fanout(), if tls { "wss" } else { "ws" });
    let serving = site.serve(server).with_shutdown(async move {
        let signal = signals.next().await;
        info!("{signal:?}: closing all connections");
        tokio::spawn(async move {
            while signals.next().await != Signal::Interrupt {}
            process::exit(Exit::Interrupted as i32);
        });
    });
    for addr in addrs {
        info!(%addr, "listening");
    }
    announce(addr, if tls { "https" } else { "http" });
    serving.await.map_err(|it| Failure::new(Exit::Inside, it))?;
    Ok(Exit::Good)
}

async fn server(args: &Serve) -> Result<Server, Failure> {
    let cannot_listen = |addr: &str, error: std::io::Error| {
        Failure::new(Exit::Unreachable, format_args!("can't listen on {addr}: {error}"))
    };
    let (first, more) = args.listen.split_first().expect("there is a default");
    let mut server = Server::bind(first).await.map_err(|it| cannot_listen(first, it))?;
    for addr in more {
        server = server.listen(addr).await.map_err(|it| cannot_listen(addr, it))?;
    }
    if let (Some(certificates), Some(key)) = (&args.tls_cert, &args.tls_key) {
        server = server
            .tls(&read(certificates)?, &read(key)?)
            .map_err(|it| Failure::new(Exit::Usage, it))?;
    }
    Ok(server
        .config(args.config())
        .origins(args.origins())
        .connections_max(args.limits.connections_max))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|it| Failure::new(Exit::Usage, format_args!("{}: {it}", path.display())))
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
fn announce(addr: SocketAddr, scheme: &str) {
    let host = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let mut stdout = std::io::stdout();
    let _ = writeln!(stdout, "{scheme}://{}/", SocketAddr::new(host, addr.port()));
    let _ = stdout.flush();
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
