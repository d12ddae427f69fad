//! The brokers between the nodes of a cluster: each started anew for each visit, with an empty store of its own.

use std::{
    env, fs,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::PathBuf,
    process::{self, Child, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::{
    machine::{Cores, Place},
    server,
};

const START_MAX: Duration = Duration::from_secs(10);

/// Which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `redis-server`, which writes nothing to a disk.
    Redis,
    /// `nats-server` with JetStream, whose files are gone with it.
    Nats,
}

/// A broker that runs until this is dropped.
#[derive(Debug)]
pub(crate) struct Broker {
    child: Child,
    url: String,
    folder: PathBuf,
}

impl Kind {
    pub(crate) fn program(self) -> &'static str {
        match self {
            Self::Redis => "redis-server",
            Self::Nats => "nats-server",
        }
    }

    fn scheme(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Nats => "nats",
        }
    }

    fn args(self, port: &str, folder: &str) -> Vec<String> {
        let args: &[&str] = match self {
            Self::Redis => &[
                "--bind",
                "127.0.0.1",
                "--port",
                port,
                "--dir",
                folder,
                "--save",
                "",
                "--appendonly",
                "no",
            ],
            Self::Nats => &["-a", "127.0.0.1", "-p", port, "-js", "-sd", folder],
        };
        args.iter().map(ToString::to_string).collect()
    }

    /// Starts it on the servers' core and waits until it listens.
    pub(crate) fn start(self, cores: Cores) -> Result<Broker, String> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let failed = |it: std::io::Error| format!("{}: {it}", self.program());
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let folder = env::temp_dir().join(format!("taiwa-bench-{}-{number}", process::id()));
        fs::create_dir_all(&folder).map_err(failed)?;
        let port = free_port().map_err(failed)?;
        let mut command = server::end_with_us(self.program().as_ref());
        command.args(self.args(&port.to_string(), &folder.to_string_lossy()));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = cores.start(Place::Server, || command.spawn())?.map_err(failed)?;
        let url = format!("{}://127.0.0.1:{port}", self.scheme());
        let mut broker = Broker { child, url, folder };
        let end = Instant::now() + START_MAX;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if broker.child.try_wait().map_err(failed)?.is_some() || Instant::now() > end {
                return Err(format!("{} does not listen on port {port}", self.program()));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(broker)
    }
}

/// Neither of them can say which port it was given, so one is looked for that is free at the moment.
fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

impl Broker {
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The CPU time of all its threads.
    pub(crate) fn cpu(&self) -> Result<Duration, String> {
        server::cpu(self.child.id())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_told_where_to_listen_and_that_nothing_stays() {
        let redis = Kind::Redis.args("7", "/x").join(" ");
        assert_eq!(redis, "--bind 127.0.0.1 --port 7 --dir /x --save  --appendonly no");
        assert_eq!(Kind::Nats.args("7", "/x").join(" "), "-a 127.0.0.1 -p 7 -js -sd /x");
        assert_ne!(free_port().unwrap(), 0);
    }
}
