//! Sockets that a service manager opened for us, by the protocol of systemd (sd_listen_fds(3)).

use std::{env, io};

use listenfd::ListenFd;

use super::{Listener, Server};

/// More are a mistake of whoever starts us.
const DESCRIPTORS_MAX: usize = 1024;

/// What systemd calls a socket that has no name.
const NAMELESS: &str = "unknown";

impl Server {
    /// Serves on all sockets that the service manager has opened for this process, TCP and unix: systemd's
    /// socket activation (systemd.socket(5)), or whoever else passes listening sockets as descriptors 3, 4, ...
    /// with `LISTEN_PID` and `LISTEN_FDS` in the environment.
    ///
    /// They can be taken once: it removes both variables. Call it before anything else in the program looks
    /// at the environment from another thread. Unix sockets are left to the service manager at the end.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there are none for this process; [`io::ErrorKind::InvalidInput`] if a
    /// variable is malformed or a descriptor is no listening stream socket; without a tokio runtime.
    pub fn from_activation() -> io::Result<Self> {
        let mut listeners = Listener::from_activation()?.into_iter().map(|(_, it)| it);
        let first = listeners.next().ok_or(io::ErrorKind::NotFound)?;
        listeners.try_fold(Self::on(first), Self::listen_on)
    }
}

impl Listener {
    /// Takes the sockets that the service manager has opened for this process, each with its name
    /// (`FileDescriptorName=` in systemd.socket(5), `LISTEN_FDNAMES`), which is `unknown` if it has none. They are
    /// [shared](Self::shared). As
    /// [`Server::from_activation`], for servers that tell their sockets apart.
    ///
    /// # Errors
    /// As [`Server::from_activation`].
    pub fn from_activation() -> io::Result<Vec<(String, Self)>> {
        let count = count()?;
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':').filter(|it| !it.is_empty());
        let mut descriptors = ListenFd::from_env();
        (0..count)
            .map(|at| {
                let name = names.next().unwrap_or(NAMELESS).to_owned();
                Ok((name, take(&mut descriptors, at)?.shared()))
            })
            .collect()
    }
}

/// Returns how many sockets there are for this process.
fn count() -> io::Result<usize> {
    let malformed = |name| io::Error::new(io::ErrorKind::InvalidInput, format!("malformed {name}"));
    let read = |name: &str| env::var(name).ok();
    let (Some(pid), Some(count)) = (read("LISTEN_PID"), read("LISTEN_FDS")) else {
        return Err(none());
    };
    // They may be meant for the process that started us.
    if pid.parse::<u32>().map_err(|_| malformed("LISTEN_PID"))? != std::process::id() {
        return Err(none());
    }
    match count.parse().map_err(|_| malformed("LISTEN_FDS"))? {
        0 => Err(none()),
        count if count > DESCRIPTORS_MAX => Err(malformed("LISTEN_FDS")),
        count => Ok(count),
    }
}

fn none() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "no sockets were handed over to this process")
}

fn take(descriptors: &mut ListenFd, at: usize) -> io::Result<Listener> {
    // An error says that it is no such socket, and leaves it where it is.
    if let Ok(Some(listener)) = descriptors.take_tcp_listener(at) {
        return listener.try_into();
    }
    if let Ok(Some(listener)) = descriptors.take_unix_listener(at) {
        return listener.try_into();
    }
    let why = format!("descriptor {} is no stream socket", 3 + at);
    Err(io::Error::new(io::ErrorKind::InvalidInput, why))
}
