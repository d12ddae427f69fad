//! Sockets that a service manager opened for us, by the protocol of systemd (sd_listen_fds(3)).

use std::{env, io, net::UdpSocket};

use listenfd::ListenFd;

use super::{Listener, Server};

/// More are a mistake of whoever starts us.
const DESCRIPTORS_MAX: usize = 1024;

/// What systemd calls a socket that has no name.
const NAMELESS: &str = "unknown";

impl Server {
    /// Serves on all sockets that the service manager has opened for this process, TCP and unix: systemd's
    /// socket activation (systemd.socket(5)), or whoever else passes listening sockets as descriptors 3, 4, ...
    /// with `LISTEN_PID` and `LISTEN_FDS` in the environment. Sockets of UDP are for [HTTP/3](Self::http3), as
    /// [`shared_udp`](Self::shared_udp) has it.
    ///
    /// They can be taken once: it removes both variables. Call it before anything else in the program looks
    /// at the environment from another thread. Unix sockets are left to the service manager at the end.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there are none for this process; [`io::ErrorKind::InvalidInput`] if a
    /// variable is malformed, a descriptor is neither a listening stream socket nor one of UDP, or all are of UDP;
    /// without a tokio runtime.
    pub fn from_activation() -> io::Result<Self> {
        let Activated { listeners, udp } = Activated::take()?;
        let mut listeners = listeners.into_iter().map(|(_, it)| it);
        let first = listeners.next().ok_or(io::ErrorKind::NotFound)?;
        let server = listeners.try_fold(Self::on(first), Self::listen_on)?;
        Ok(udp.into_iter().fold(server, |server, (_, socket)| server.shared_udp(socket)))
    }
}

/// The sockets that the service manager has opened for this process, each with its name (`FileDescriptorName=` in
/// systemd.socket(5), `LISTEN_FDNAMES`), which is `unknown` if it has none: for servers that tell their sockets
/// apart.
#[derive(Debug)]
#[non_exhaustive]
pub struct Activated {
    /// Those that accept connections, TCP and unix: one at least. They are [shared](Listener::shared).
    pub listeners: Vec<(String, Listener)>,
    /// Those of UDP, for [`Server::shared_udp`].
    pub udp: Vec<(String, UdpSocket)>,
}

impl Activated {
    /// Takes them; as [`Server::from_activation`] they can be taken once.
    ///
    /// # Errors
    /// As [`Server::from_activation`].
    pub fn take() -> io::Result<Self> {
        let count = count()?;
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':').filter(|it| !it.is_empty());
        let mut descriptors = ListenFd::from_env();
        let mut taken = Self { listeners: Vec::new(), udp: Vec::new() };
        for at in 0..count {
            let name = names.next().unwrap_or(NAMELESS).to_owned();
            match take(&mut descriptors, at)? {
                Taken::Stream(listener) => taken.listeners.push((name, listener.shared())),
                Taken::Udp(socket) => taken.udp.push((name, socket)),
            }
        }
        if taken.listeners.is_empty() {
            let why = "UDP sockets alone were handed over: HTTP/3 is served beside TCP";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        Ok(taken)
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

enum Taken {
    Stream(Listener),
    Udp(UdpSocket),
}

fn take(descriptors: &mut ListenFd, at: usize) -> io::Result<Taken> {
    // An error says that it is no such socket, and leaves it where it is.
    if let Ok(Some(listener)) = descriptors.take_tcp_listener(at) {
        return listener.try_into().map(Taken::Stream);
    }
    if let Ok(Some(listener)) = descriptors.take_unix_listener(at) {
        return listener.try_into().map(Taken::Stream);
    }
    if let Ok(Some(socket)) = descriptors.take_udp_socket(at) {
        return Ok(Taken::Udp(socket));
    }
    let why = format!("descriptor {} is neither a stream socket nor one of UDP", 3 + at);
    Err(io::Error::new(io::ErrorKind::InvalidInput, why))
}
