//! The service manager, systemd or one that speaks as it: told what becomes of us, and that we are alive.
//!
//! The protocol is that of sd_notify(3): lines `NAME=VALUE` in one datagram to the unix socket that `NOTIFY_SOCKET` names.

use std::{env, process, sync::Arc, time::Duration};

use taiwa::Addr;
use taiwa_server::Running;
use tokio::time::{sleep, timeout};
use tracing::warn;

/// Who started us, if it wants to be told. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Supervisor {
    #[cfg(unix)]
    socket: Option<Arc<std::os::unix::net::UnixDatagram>>,
}

impl Supervisor {
    /// Finds it in the environment.
    pub(crate) fn of_environment() -> Self {
        #[cfg(unix)]
        if let Ok(name) = env::var("NOTIFY_SOCKET") {
            match connect(&name) {
                Ok(socket) => return Self { socket: Some(Arc::new(socket)) },
                Err(error) => warn!("can't reach the service manager at {name}: {error}"),
            }
        }
        Self::default()
    }

    /// Says that clients can connect, and where.
    pub(crate) fn ready(&self, addrs: &[Addr]) {
        let places = addrs.iter().map(Addr::to_string).collect::<Vec<_>>().join(", ");
        self.tell(&format!("READY=1\nSTATUS=listening on {places}"));
    }

    /// Says that settings are read again; [`Supervisor::ready`] says that this is over.
    pub(crate) fn reloading(&self) {
        self.tell("RELOADING=1\nSTATUS=reads its settings again");
    }

    /// Says that the end has begun, and that it may take so long.
    pub(crate) fn stopping(&self, within: Duration) {
        self.tell(&format!(
            "STOPPING=1\nEXTEND_TIMEOUT_USEC={}\nSTATUS=clients leave",
            within.as_micros()
        ));
    }

    /// Tells it something. Who does not listen misses it: nothing here depends on it.
    pub(crate) fn tell(&self, lines: &str) {
        #[cfg(unix)]
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(lines.as_bytes())
        {
            warn!("can't tell the service manager: {error}");
        }
        #[cfg(not(unix))]
        let _ = lines;
    }

    /// Tells it twice in its interval that all shards take their turns, if it asks for that (`WatchdogSec=` in
    /// systemd.service(5)): it ends and restarts a process that falls silent.
    pub(crate) fn reassure(&self, running: &Running) {
        let interval = |usec: String| usec.parse().ok().map(Duration::from_micros);
        let is_ours = env::var("WATCHDOG_PID").map_or(true, |it| it == process::id().to_string());
        let Some(interval) = env::var("WATCHDOG_USEC").ok().filter(|_| is_ours).and_then(interval)
        else {
            return;
        };
        let (supervisor, running) = (self.clone(), running.clone());
        tokio::spawn(async move {
            let half = interval / 2;
            loop {
                match timeout(half, running.control().turns_taken()).await {
                    Ok(true) => supervisor.tell("WATCHDOG=1"),
                    Ok(false) => return,
                    Err(_) => {
                        warn!("a shard takes no turns");
                        continue;
                    }
                }
                sleep(half).await;
            }
        });
    }
}

/// Warns of sockets that were opened for us and that no setting takes.
pub(crate) fn look_for_untaken_sockets() {
    let is_ours = env::var("LISTEN_PID").is_ok_and(|it| it == process::id().to_string());
    if is_ours && env::var_os("LISTEN_FDS").is_some() {
        warn!(
            "the service manager has opened sockets, and no setting takes them: listen = [\"activation\"] does"
        );
    }
}

#[cfg(unix)]
fn connect(name: &str) -> std::io::Result<std::os::unix::net::UnixDatagram> {
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    let socket = UnixDatagram::unbound()?;
    // A manager that takes nothing must not stop us.
    socket.set_nonblocking(true)?;
    let addr = match name.strip_prefix('@') {
        #[cfg(target_os = "linux")]
        Some(name) => {
            use std::os::linux::net::SocketAddrExt;
            SocketAddr::from_abstract_name(name)?
        }
        #[cfg(not(target_os = "linux"))]
        Some(_) => return Err(std::io::ErrorKind::Unsupported.into()),
        None if name.starts_with('/') => SocketAddr::from_pathname(name)?,
        None => return Err(std::io::ErrorKind::Unsupported.into()),
    };
    socket.connect_addr(&addr)?;
    Ok(socket)
}
