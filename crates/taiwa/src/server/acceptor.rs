//! [`Acceptor`]: a socket of TCP that listens, and leaves what it accepts unregistered: some of it never needs this runtime.

use std::{
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    task::{Context, Poll, ready},
};

#[cfg(target_os = "linux")]
use nix::{libc, setsockopt_impl, sockopt_impl, sys::socket::setsockopt};
#[cfg(unix)]
use tokio::io::{Interest, unix::AsyncFd};

#[cfg(target_os = "linux")]
sockopt_impl!(
    /// How long a connection waits for its client's first bytes before it can be accepted, in seconds.
    DeferAccept,
    SetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_DEFER_ACCEPT,
    usize
);

pub(super) struct Acceptor {
    #[cfg(unix)]
    listener: AsyncFd<mio::net::TcpListener>,
    #[cfg(not(unix))]
    listener: tokio::net::TcpListener,
    local: SocketAddr,
}

/// A connection that was accepted. Its socket does not block and does not wait to fill segments.
pub(super) struct Accepted {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
}

impl Acceptor {
    /// Takes a listener that does not block.
    ///
    /// # Errors
    /// Outside of a runtime, or if the runtime or the system refuses the socket.
    pub(super) fn new(listener: TcpListener) -> io::Result<Self> {
        let local = listener.local_addr()?;
        // Those that it accepts have it from the listener, which spares each of them the call.
        #[cfg(target_os = "linux")]
        socket2::SockRef::from(&listener).set_tcp_nodelay(true)?;
        #[cfg(unix)]
        #[expect(
            deprecated,
            reason = "a listener keeps its descriptor; what replaces it asks the caller to promise that"
        )]
        let listener =
            AsyncFd::with_interest(mio::net::TcpListener::from_std(listener), Interest::READABLE)?;
        #[cfg(not(unix))]
        let listener = tokio::net::TcpListener::from_std(listener)?;
        Ok(Self { listener, local })
    }

    /// Has connections come with the first bytes of their clients, on Linux: none is accepted before, unless its client says
    /// nothing for a second (`TCP_DEFER_ACCEPT`, tcp(7)).
    pub(super) fn await_first_bytes(&self) {
        // Without it, it takes longer: that is all.
        #[cfg(target_os = "linux")]
        let _ = setsockopt(&self.listener, DeferAccept, &1);
    }

    pub(super) fn local_addr(&self) -> SocketAddr {
        self.local
    }

    pub(super) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        #[cfg(unix)]
        loop {
            let mut ready = ready!(self.listener.poll_read_ready(cx))?;
            // It may have said that one waits, and none does any more.
            if let Ok(accepted) = ready.try_io(|it| it.get_ref().accept()) {
                return Poll::Ready(accepted.and_then(|(it, peer)| self.take(it.into(), peer)));
            }
        }
        #[cfg(not(unix))]
        {
            let (stream, peer) = ready!(self.listener.poll_accept(cx))?;
            Poll::Ready(stream.into_std().and_then(|it| self.take(it, peer)))
        }
    }

    /// Accepts one that waits.
    ///
    /// # Errors
    /// If none does, or as `accept` otherwise.
    pub(super) fn accept_now(&self) -> io::Result<Accepted> {
        #[cfg(unix)]
        return self.listener.get_ref().accept().and_then(|(it, peer)| self.take(it.into(), peer));
        #[cfg(not(unix))]
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn take(&self, stream: TcpStream, peer: SocketAddr) -> io::Result<Accepted> {
        #[cfg(not(target_os = "linux"))]
        stream.set_nodelay(true)?;
        let is_any = self.local.ip().is_unspecified();
        let local = if is_any { stream.local_addr()? } else { self.local };
        Ok(Accepted { stream, peer, local })
    }

    /// Tells whether its connections are lost with it, even if another socket listens on its port.
    pub(super) fn has_queue_of_its_own(&self) -> bool {
        #[cfg(target_os = "linux")]
        return socket2::SockRef::from(&self.listener).reuse_port().unwrap_or(false);
        #[cfg(not(target_os = "linux"))]
        false
    }
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acceptor").field("local", &self.local).finish_non_exhaustive()
    }
}
