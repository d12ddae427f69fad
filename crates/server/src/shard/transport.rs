//! [`Transport`]: a socket of a line, with TLS or without, that never blocks.

use std::{
    io::{self, ErrorKind, IoSlice, Read, Write},
    mem::MaybeUninit,
    net::Shutdown,
};

use bytes::BytesMut;
use mio::{Interest, Registry, Token, event::Source};
use rustix::net::{RecvFlags, recv};
use rustls::ServerConnection;
use taiwa::{RawSocket, RawTransport};
use taiwa_proto::{Connection, outbox::Outbox, reader::read_onto};

/// Slices of one vectored write.
const SLICES: usize = 64;
/// Bytes that are encrypted ahead of the kernel: four records of TLS (RFC 8446 §5.1) for one write.
const ENCRYPTED_BYTES_MAX: usize = 64 << 10;

pub(super) enum Transport {
    Plain(Socket),
    /// Boxed: lines without it stay small.
    Tls(Box<Tls>),
}

pub(super) enum Socket {
    Tcp(mio::net::TcpStream),
    #[cfg(unix)]
    Unix(mio::net::UnixStream),
}

pub(super) struct Tls {
    socket: Socket,
    session: Box<ServerConnection>,
    /// The alert close_notify (RFC 8446 §6.1) is written or waits to be.
    said_goodbye: bool,
}

/// What came of an attempt to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    All,
    /// The kernel takes no more now.
    Blocked,
}

impl Transport {
    /// Takes a socket, with TLS or without.
    ///
    /// # Errors
    ///
    /// What is no socket can't be polled.
    pub(super) fn new(raw: RawTransport) -> io::Result<Self> {
        match raw {
            RawTransport::Plain(socket) => Ok(Self::Plain(Socket::new(socket))),
            RawTransport::Tls(socket, mut session) => {
                session.set_buffer_limit(Some(ENCRYPTED_BYTES_MAX));
                let socket = Socket::new(socket);
                Ok(Self::Tls(Box::new(Tls { socket, session, said_goodbye: false })))
            }
            RawTransport::Other(_) => Err(ErrorKind::Unsupported.into()),
        }
    }

    /// Writes the head of a response on a connection on which nothing was written: the kernel takes one whole. Over TLS it goes
    /// out with what is written next.
    ///
    /// # Errors
    ///
    /// If it takes less, or the client has gone.
    pub(super) fn write_response(&mut self, head: &[u8]) -> io::Result<()> {
        match self {
            _ if head.is_empty() => Ok(()),
            Self::Plain(socket) => socket.write_all(head),
            Self::Tls(tls) => tls.session.writer().write_all(head),
        }
    }

    /// Takes it off this shard's epoll, to be brought to another.
    pub(super) fn into_raw(mut self, registry: &Registry) -> io::Result<RawTransport> {
        self.socket().source().deregister(registry)?;
        Ok(match self {
            Self::Plain(socket) => RawTransport::Plain(socket.into_raw()),
            Self::Tls(tls) => RawTransport::Tls(tls.socket.into_raw(), tls.session),
        })
    }

    fn socket(&mut self) -> &mut Socket {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(tls) => &mut tls.socket,
        }
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        self.socket().source().register(registry, token, Interest::READABLE)
    }

    /// Asks to hear of room to write, too.
    pub(super) fn register_writes(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        self.socket().source().reregister(registry, token, both)
    }

    /// Reads into `buffer`; `Ok(0)` at the end of the input. Behind TLS a short read does not mean that all was read.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`] when there is nothing to read.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
        }
    }

    /// Reads at most `len_max` bytes behind what there is of a message, into the room that it has, as [`read`](Self::read) does.
    ///
    /// # Errors
    /// As those of [`read`](Self::read).
    pub(super) fn read_onto(
        &mut self,
        message: &mut BytesMut,
        len_max: usize,
    ) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => read_onto(message, len_max, |room| socket.receive(room)),
            Self::Tls(tls) => {
                let start = message.len();
                message.resize(start + len_max, 0);
                let read = tls.read(&mut message[start..]);
                message.truncate(start + read.as_ref().map_or(0, |n| *n));
                read
            }
        }
    }

    pub(super) fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    /// Writes the connection's outbox, and what TLS has beside it; tells `wrote` how many bytes of the outbox it took.
    pub(super) fn write(
        &mut self,
        conn: &mut Connection,
        mut wrote: impl FnMut(&mut Connection, usize),
    ) -> io::Result<Written> {
        loop {
            if let Self::Tls(tls) = self
                && tls.flush()? == Written::Blocked
            {
                return Ok(Written::Blocked);
            }
            if conn.outbox().is_empty() {
                return Ok(Written::All);
            }
            let written = match self {
                Self::Plain(socket) => write_outbox(socket, conn.outbox()),
                Self::Tls(tls) => write_outbox(&mut tls.session.writer(), conn.outbox()),
            };
            match written {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => wrote(conn, n),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Written::Blocked),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Shuts down the write side, behind all that was written.
    pub(super) fn shut_down(&mut self) -> io::Result<Written> {
        if let Self::Tls(tls) = self {
            if !tls.said_goodbye {
                tls.said_goodbye = true;
                tls.session.send_close_notify();
            }
            if tls.flush()? == Written::Blocked {
                return Ok(Written::Blocked);
            }
        }
        self.socket().shut_down()?;
        Ok(Written::All)
    }
}

fn write_outbox(to: &mut impl Write, outbox: &Outbox) -> io::Result<usize> {
    // One piece goes by the plain call, which costs the kernel less, and us the list.
    let first = outbox.first();
    if first.len() == outbox.len() {
        return to.write(first);
    }
    let mut slices = [IoSlice::new(&[]); SLICES];
    let count = outbox.slices(&mut slices);
    to.write_vectored(&slices[..count])
}

impl Tls {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(buffer) {
                // The peer's socket ended without close_notify: for us an end is an end, since WebSocket has its own.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => return read,
            }
            self.session.read_tls(&mut self.socket)?;
            if let Err(error) = self.session.process_new_packets() {
                // The alert that says so is worth one attempt.
                let _ = self.session.write_tls(&mut self.socket);
                return Err(io::Error::new(ErrorKind::InvalidData, error));
            }
        }
    }

    fn flush(&mut self) -> io::Result<Written> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.socket) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Written::Blocked),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Written::All)
    }
}

impl Socket {
    fn into_raw(self) -> RawSocket {
        match self {
            Self::Tcp(socket) => RawSocket::Tcp(socket.into()),
            #[cfg(unix)]
            Self::Unix(socket) => RawSocket::Unix(socket.into()),
        }
    }

    fn new(socket: RawSocket) -> Self {
        match socket {
            RawSocket::Tcp(tcp) => Self::Tcp(mio::net::TcpStream::from_std(tcp)),
            #[cfg(unix)]
            RawSocket::Unix(unix) => Self::Unix(mio::net::UnixStream::from_std(unix)),
        }
    }

    /// Receives into memory that nobody has written before; returns what it filled of it.
    fn receive<'b>(&self, room: &'b mut [MaybeUninit<u8>]) -> io::Result<&'b mut [u8]> {
        let flags = RecvFlags::empty();
        let ((filled, _), _) = match self {
            Self::Tcp(tcp) => recv(tcp, room, flags)?,
            #[cfg(unix)]
            Self::Unix(unix) => recv(unix, room, flags)?,
        };
        Ok(filled)
    }

    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp(tcp) => tcp,
            #[cfg(unix)]
            Self::Unix(unix) => unix,
        }
    }

    fn shut_down(&self) -> io::Result<()> {
        match self {
            Self::Tcp(tcp) => tcp.shutdown(Shutdown::Write),
            #[cfg(unix)]
            Self::Unix(unix) => unix.shutdown(Shutdown::Write),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(tcp) => tcp.read(buffer),
            #[cfg(unix)]
            Self::Unix(unix) => unix.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(tcp) => tcp.write(bytes),
            #[cfg(unix)]
            Self::Unix(unix) => unix.write(bytes),
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(tcp) => tcp.write_vectored(slices),
            #[cfg(unix)]
            Self::Unix(unix) => unix.write_vectored(slices),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
