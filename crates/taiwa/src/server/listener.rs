//! [`Listener`]: a socket that accepts connections, ours or from outside.

use std::{
    io::{
        self,
        ErrorKind::{Interrupted, WouldBlock},
        Read,
    },
    net::SocketAddr,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};

#[cfg(unix)]
use super::unix::SocketFile;
use super::{
    acceptor::{Accepted, Acceptor},
    addr::{Addr, Credentials},
    connection::Ends,
};
use crate::{io::BoxIo, rewind::Rewind};

/// A socket that accepts connections: what [`Server::from_listener`](crate::Server::from_listener) takes.
///
/// Made from the listeners of `std` and tokio by `try_into`, or by [`Listener::unix`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// use taiwa::{Listener, Server};
///
/// let listener: Listener = std::net::TcpListener::bind("127.0.0.1:0")?.try_into()?;
/// println!("on {}", listener.local_addr()?);
/// let server = Server::from_listener(listener)?;
/// # drop(server); Ok(()) }
/// ```
///
/// # Errors
/// The conversions fail with [`io::ErrorKind::InvalidInput`] for a socket that does not listen, and with
/// [`io::ErrorKind::Other`] outside of a tokio runtime.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    /// Other processes listen here, too.
    is_shared: bool,
}

#[derive(Debug)]
enum Socket {
    Tcp(Acceptor),
    #[cfg(unix)]
    Unix {
        listener: UnixListener,
        /// Removed when dropped; `None` if others made it.
        _file: Option<SocketFile>,
        addr: Addr,
    },
}

impl Listener {
    pub(super) fn tcp(listener: TcpListener) -> io::Result<Self> {
        Ok(Self { socket: Socket::Tcp(Acceptor::new(listener.into_std()?)?), is_shared: false })
    }

    /// Listens on a unix socket at `path`, as [`Server::bind_unix`](crate::Server::bind_unix) does.
    ///
    /// Cancel-safe: dropped, it listens on nothing.
    ///
    /// # Errors
    /// As [`Server::bind_unix`](crate::Server::bind_unix).
    #[cfg(unix)]
    pub async fn unix(path: impl AsRef<std::path::Path>) -> io::Result<Self> {
        Self::bound(super::unix::bind(path.as_ref(), None).await?)
    }

    /// Listens on a unix socket at `path` whose file has this `mode`, as `0o660`: who may connect needs the
    /// right to write. The mode is set before the first connection is let in.
    ///
    /// Cancel-safe: dropped, it listens on nothing.
    ///
    /// # Errors
    /// As [`Server::bind_unix`](crate::Server::bind_unix), and when the mode can't be set.
    #[cfg(unix)]
    pub async fn unix_with_mode(path: impl AsRef<std::path::Path>, mode: u32) -> io::Result<Self> {
        Self::bound(super::unix::bind(path.as_ref(), Some(mode)).await?)
    }

    #[cfg(unix)]
    fn bound((listener, file): (UnixListener, SocketFile)) -> io::Result<Self> {
        let addr = listener.local_addr()?.into();
        Ok(Self { socket: Socket::Unix { listener, _file: Some(file), addr }, is_shared: false })
    }

    /// Says that another process listens here, too, or will when this one goes: by the same socket, as that of
    /// `Server::from_activation`, or by one of its own with `SO_REUSEPORT` (socket(7)). Such a listener
    /// can be left to it while connections go on, by [`Serving::with_successor`](crate::Serving::with_successor).
    #[must_use]
    pub fn shared(self) -> Self {
        Self { is_shared: true, ..self }
    }

    /// Tells whether another process listens here, too: whether it is [shared](Self::shared).
    pub fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// Returns the address.
    ///
    /// # Errors
    /// As [`TcpListener::local_addr`].
    pub fn local_addr(&self) -> io::Result<Addr> {
        match &self.socket {
            Socket::Tcp(listener) => Ok(listener.local_addr().into()),
            #[cfg(unix)]
            Socket::Unix { addr, .. } => Ok(addr.clone()),
        }
    }

    /// Ends the listening, and returns connections that were made to this very socket and wait to be accepted: none if
    /// another process has the socket as well, and so will accept them.
    pub(super) fn leave(self) -> Vec<Stream> {
        let mut waiting = Vec::new();
        while let Socket::Tcp(listener) = &self.socket
            && listener.has_queue_of_its_own()
            && let Some(stream) = self.accept_now()
        {
            waiting.push(stream);
        }
        waiting
    }

    /// Has connections come with the first bytes of their clients, where the system can do that. One that another process will
    /// have is left alone: connections that wait so would be lost with it.
    pub(super) fn await_first_bytes(&self) {
        if let Socket::Tcp(listener) = &self.socket
            && !self.is_shared
        {
            listener.await_first_bytes();
        }
    }

    /// Accepts a connection over TCP, if one waits: for all that came with the one that was waited for.
    pub(super) fn accept_now(&self) -> Option<Stream> {
        match &self.socket {
            Socket::Tcp(listener) => listener.accept_now().ok().map(Stream::tcp),
            #[cfg(unix)]
            Socket::Unix { .. } => None,
        }
    }

    pub(super) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        Poll::Ready(Ok(match &self.socket {
            Socket::Tcp(listener) => Stream::tcp(ready!(listener.poll_accept(cx))?),
            #[cfg(unix)]
            Socket::Unix { listener, addr, .. } => {
                let (stream, peer) = ready!(listener.poll_accept(cx))?;
                let local = addr.clone();
                let transport = Transport::Unix { stream, local };
                Stream { peer: peer.into(), transport, first: Bytes::new() }
            }
        }))
    }
}

/// A connection that was accepted.
pub(super) struct Stream {
    pub(super) peer: Addr,
    transport: Transport,
    /// What was read of it already.
    first: Bytes,
}

enum Transport {
    Tcp(std::net::TcpStream, SocketAddr),
    #[cfg(unix)]
    Unix {
        stream: UnixStream,
        local: Addr,
    },
}

impl Stream {
    fn tcp(Accepted { stream, peer, local }: Accepted) -> Self {
        let transport = Transport::Tcp(stream, local);
        Self { peer: peer.into(), transport, first: Bytes::new() }
    }

    /// Reads what came with a connection over TCP: how many bytes; none if nothing is there yet.
    ///
    /// # Errors
    /// If it has ended.
    pub(super) fn read_now(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Transport::Tcp(stream, _) = &mut self.transport else { return Ok(0) };
        match stream.read(buffer) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) if matches!(error.kind(), WouldBlock | Interrupted) => Ok(0),
            read => read,
        }
    }

    /// Puts back what was read of it.
    pub(super) fn put_back(self, read: &[u8]) -> Self {
        Self { first: Bytes::copy_from_slice(read), ..self }
    }

    /// Returns who talks to whom over TCP.
    pub(super) fn tcp_ends(&self) -> Option<Ends> {
        match &self.transport {
            Transport::Tcp(_, local) => Some(Ends::new(self.peer.clone(), (*local).into())),
            #[cfg(unix)]
            Transport::Unix { .. } => None,
        }
    }

    /// Takes a connection over TCP as it was accepted.
    pub(super) fn into_tcp(self) -> Option<std::net::TcpStream> {
        match self.transport {
            Transport::Tcp(stream, _) => Some(stream),
            #[cfg(unix)]
            Transport::Unix { .. } => None,
        }
    }

    /// Makes it ready for use.
    pub(super) fn open(self) -> io::Result<(BoxIo, Ends)> {
        let (io, ends) = Self::open_transport(self.transport, self.peer)?;
        let first = self.first;
        Ok((if first.is_empty() { io } else { Box::new(Rewind { first, io }) }, ends))
    }

    fn open_transport(transport: Transport, peer: Addr) -> io::Result<(BoxIo, Ends)> {
        match transport {
            Transport::Tcp(stream, local) => {
                let ends = Ends::new(peer, local.into());
                Ok((Box::new(TcpStream::from_std(stream)?), ends))
            }
            #[cfg(unix)]
            Transport::Unix { stream, local } => {
                let credentials = stream.peer_cred().ok().map(|it| Credentials {
                    uid: it.uid(),
                    gid: it.gid(),
                    pid: it.pid(),
                });
                Ok((Box::new(stream), Ends { credentials, ..Ends::new(peer, local) }))
            }
        }
    }

    /// Gives the bare transport, to say no on it.
    pub(super) fn into_io(self) -> io::Result<BoxIo> {
        Ok(match self.transport {
            Transport::Tcp(stream, _) => Box::new(TcpStream::from_std(stream)?),
            #[cfg(unix)]
            Transport::Unix { stream, .. } => Box::new(stream),
        })
    }
}

impl TryFrom<TcpListener> for Listener {
    type Error = io::Error;

    fn try_from(listener: TcpListener) -> io::Result<Self> {
        check_runtime()?;
        check_listens(&listener)?;
        Self::tcp(listener)
    }
}

impl TryFrom<std::net::TcpListener> for Listener {
    type Error = io::Error;

    fn try_from(listener: std::net::TcpListener) -> io::Result<Self> {
        check_runtime()?;
        check_listens(&listener)?;
        listener.set_nonblocking(true)?;
        Ok(Self { socket: Socket::Tcp(Acceptor::new(listener)?), is_shared: false })
    }
}

#[cfg(unix)]
impl TryFrom<UnixListener> for Listener {
    type Error = io::Error;

    fn try_from(listener: UnixListener) -> io::Result<Self> {
        check_listens(&listener)?;
        let addr = listener.local_addr()?.into();
        Ok(Self { socket: Socket::Unix { listener, _file: None, addr }, is_shared: false })
    }
}

#[cfg(unix)]
impl TryFrom<std::os::unix::net::UnixListener> for Listener {
    type Error = io::Error;

    fn try_from(listener: std::os::unix::net::UnixListener) -> io::Result<Self> {
        check_runtime()?;
        check_listens(&listener)?;
        listener.set_nonblocking(true)?;
        UnixListener::from_std(listener)?.try_into()
    }
}

/// Without it a socket that does not listen would fail at every `accept`, for ever.
fn check_listens<'a>(socket: impl Into<socket2::SockRef<'a>>) -> io::Result<()> {
    match socket.into().is_listener() {
        Ok(true) => Ok(()),
        Ok(false) => Err(io::Error::new(io::ErrorKind::InvalidInput, "the socket does not listen")),
        Err(error) => Err(error),
    }
}

/// tokio panics where it can't register a socket.
fn check_runtime() -> io::Result<()> {
    tokio::runtime::Handle::try_current().map(drop).map_err(io::Error::other)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use tokio::net::TcpSocket;

    use super::*;

    async fn left_with(reuse_port: bool) -> usize {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseport(reuse_port).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener: Listener = socket.listen(16).unwrap().try_into().unwrap();
        let addr = listener.local_addr().unwrap().tcp().unwrap();
        let _clients =
            [TcpStream::connect(addr).await.unwrap(), TcpStream::connect(addr).await.unwrap()];
        listener.shared().leave().len()
    }

    #[tokio::test]
    async fn who_waits_at_this_very_socket_is_not_lost_when_it_is_left() {
        assert_eq!(left_with(true).await, 2);
        // Another process may have the socket, and will accept them.
        assert_eq!(left_with(false).await, 0);
    }
}
