//! [`RawConnection`]: an accepted upgrade in pieces, for servers with an event loop of their own.

use std::{
    fmt,
    future::Future,
    io::{self, Write},
    sync::{Arc, atomic::Ordering},
};

use bytes::{Buf, Bytes, BytesMut};
use http::Response;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use rustls::ServerConnection;
use taiwa_proto::{Config, Connection, Role, deflate, handshake::Agreed};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::oneshot,
};
use tokio_rustls::server::TlsStream;

use super::{Answered, Rejection, Reply, Road, Upgrade, returned::Arrived};
use crate::{
    error::Error,
    io::{BoxIo, Io, downcast},
    rewind::Rewind,
    server::{Terms, connection::whole},
    websocket::now,
};

/// An accepted WebSocket in pieces: its protocol, its transport and what was read already. For servers that poll
/// sockets themselves; everybody else takes [`Upgrade::accept`].
///
/// From here on nobody but its owner reads, writes, keeps time or closes it: who shuts a server down has to close these,
/// too.
pub struct RawConnection {
    /// The protocol, open, with the settings of the server and what was agreed on.
    pub connection: Connection,
    /// What carries it.
    pub transport: RawTransport,
    /// The head of the response 101, to be written before all else; empty if it is written.
    pub response: Vec<u8>,
    /// Bytes of the peer that were read behind its request: the first for
    /// [`Connection::receive`](taiwa_proto::Connection::receive). Decrypted, if it is over TLS.
    pub leftover: BytesMut,
    /// The subprotocol that was agreed on.
    pub subprotocol: Option<String>,
    /// Counts the connection where a number of them is allowed. Drop it when the connection has ended.
    pub seat: RawSeat,
}

/// What carries a [`RawConnection`].
pub enum RawTransport {
    /// A socket without encryption.
    Plain(RawSocket),
    /// A socket with TLS. The session may hold bytes in either direction: read it before the socket.
    Tls(RawSocket, Box<ServerConnection>),
    /// No socket that is ours alone: of an HTTP server that is not ours, say, or in memory.
    Other(Box<dyn RawIo>),
}

/// A socket that does not block and is registered nowhere.
#[derive(Debug)]
pub enum RawSocket {
    /// Of TCP.
    Tcp(std::net::TcpStream),
    /// A unix socket.
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixStream),
}

/// Bytes in both directions over something that is no socket.
pub trait RawIo: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> RawIo for T {}

/// The bytes of an accepted WebSocket, for servers that bring them to another process: that one makes the
/// [`Connection`] of them.
pub struct RawStream {
    /// What carries them, without encryption. The response 101 is written.
    pub io: Box<dyn RawIo>,
    /// Bytes of the peer that were read behind its request, before those of `io`.
    pub leftover: BytesMut,
    /// The settings of the server.
    pub config: Arc<Config>,
    /// What was agreed on.
    pub deflate: Option<deflate::Params>,
    /// Counts the connection where a number of them is allowed. Drop it when the connection has ended.
    pub seat: RawSeat,
}

/// A place among the connections of a server, or of a [`Sockets`](crate::Sockets); given back when dropped.
pub struct RawSeat(Option<Arc<Terms>>);

impl RawSeat {
    /// Makes one that counts nowhere, for a connection that another process has accepted.
    pub fn elsewhere() -> Self {
        Self(None)
    }

    /// Returns the settings of the server of which it is a place.
    pub(crate) fn config(&self) -> Arc<Config> {
        self.0.as_ref().map_or_else(Arc::default, |terms| Arc::clone(&terms.config))
    }

    pub(in crate::server) fn take(terms: &Arc<Terms>) -> Self {
        terms.apart.fetch_add(1, Ordering::Relaxed);
        Self(Some(Arc::clone(terms)))
    }
}

impl Drop for RawSeat {
    fn drop(&mut self) {
        if let Some(terms) = &self.0 {
            terms.apart.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Upgrade {
    /// Accepts: answers with status 101 and gives the connection in pieces. The closure may return then: what
    /// becomes of the connection is not the server's affair any more, but for its number.
    ///
    /// Not cancel-safe: dropping its future closes the connection.
    ///
    /// # Errors
    /// As [`accept`](Self::accept), and [`Error::Io`] if the runtime does not let go of the socket.
    #[doc(hidden)]
    pub async fn accept_raw(self) -> Result<RawConnection, Error> {
        self.accepted().await?.settle()
    }

    /// Accepts as [`accept_raw`](Self::accept_raw) does, and gives the bytes of the connection, whatever carries them.
    ///
    /// Not cancel-safe: dropping its future closes the connection.
    ///
    /// # Errors
    /// As [`accept`](Self::accept).
    #[doc(hidden)]
    pub async fn accept_stream(self) -> Result<RawStream, Error> {
        self.accepted().await.map(Accepted::into_stream)
    }

    async fn accepted(self) -> Result<Accepted, Error> {
        let (response, agreed) = self.response();
        // Without a home to come to, who attends the closure waits for nothing but its return.
        let Answered { config, terms, road, .. } = self.answered();
        let Road::Awaited { reply, home: _ } = road else {
            return Err(Error::ResponseExpected);
        };
        let (transfer, transferred) = oneshot::channel();
        reply.send(Reply::Accept(response, transfer)).map_err(|_| Error::Lost)?;
        let (io, leftover) = transferred.await.map_err(|_| Error::Lost)?;
        let seat = RawSeat::take(&terms);
        Ok(Accepted { io, leftover, agreed, config, seat })
    }

    /// Accepts as [`respond`](Self::respond) does: makes the response to return, and the future of the connection in
    /// pieces. Await it in another task.
    ///
    /// # Errors
    /// As [`respond`](Self::respond); of the future, as [`Handover`](crate::Handover) and
    /// [`accept_raw`](Self::accept_raw).
    #[doc(hidden)]
    pub fn respond_raw<B: Default>(
        self,
    ) -> Result<(Response<B>, impl Future<Output = Result<RawConnection, Error>> + Send), Rejection>
    {
        let (response, accepted) = self.responded()?;
        Ok((response, async move { accepted.await?.settle() }))
    }

    /// Accepts as [`respond_raw`](Self::respond_raw) does; the future gives the bytes of the connection, whatever
    /// carries them.
    ///
    /// # Errors
    /// As [`respond`](Self::respond); of the future, as [`Handover`](crate::Handover).
    #[doc(hidden)]
    pub fn respond_stream<B: Default>(
        self,
    ) -> Result<(Response<B>, impl Future<Output = Result<RawStream, Error>> + Send), Rejection>
    {
        let (response, accepted) = self.responded()?;
        Ok((response, async move { accepted.await.map(Accepted::into_stream) }))
    }

    fn responded<B: Default>(
        self,
    ) -> Result<(Response<B>, impl Future<Output = Result<Accepted, Error>> + Send), Rejection>
    {
        let (response, accepted) = self.take_place()?;
        let opening = async move {
            let Arrived { io, leftover, agreed, config, terms, kept, .. } =
                accepted.arrive().await?;
            let seat = RawSeat::take(&terms);
            drop(kept);
            Ok(Accepted { io, leftover, agreed, config, seat })
        };
        Ok((response.map(|()| B::default()), opening))
    }
}

/// A WebSocket whose response is written.
struct Accepted {
    io: BoxIo,
    leftover: BytesMut,
    agreed: Agreed,
    config: Arc<Config>,
    seat: RawSeat,
}

impl Accepted {
    fn settle(self) -> Result<RawConnection, Error> {
        let Self { io, leftover, agreed, config, seat } = self;
        let connection = Connection::new(Role::Server, config, agreed.deflate, now());
        RawConnection::new(connection, io, leftover, agreed.subprotocol, seat)
    }

    fn into_stream(self) -> RawStream {
        let Self { io, leftover, agreed, config, seat } = self;
        RawStream { io: Box::new(io), leftover, config, deflate: agreed.deflate, seat }
    }
}

impl RawConnection {
    fn new(
        connection: Connection,
        io: BoxIo,
        mut leftover: BytesMut,
        subprotocol: Option<String>,
        seat: RawSeat,
    ) -> Result<Self, Error> {
        let transport = unwrap(io, &mut leftover).map_err(Error::Io)?;
        Ok(Self { connection, transport, response: Vec::new(), leftover, subprotocol, seat })
    }

    /// Answers a connection whose response is not written by another one, as far as the socket takes it at once, and closes it.
    #[doc(hidden)]
    pub fn refuse(self, response: Response<Bytes>) {
        if !self.response.is_empty() {
            // Who has gone meanwhile needs no answer.
            let _ = self.transport.write_last(&whole(response));
        }
    }
}

impl RawTransport {
    fn write_last(self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(mut socket) => socket.write_all(bytes),
            Self::Tls(mut socket, mut session) => {
                session.writer().write_all(bytes)?;
                session.send_close_notify();
                while session.wants_write() {
                    session.write_tls(&mut socket)?;
                }
                Ok(())
            }
            Self::Other(_) => Ok(()),
        }
    }
}

impl Write for RawSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(tcp) => tcp.write(bytes),
            #[cfg(unix)]
            Self::Unix(unix) => unix.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Takes a transport out of its wrappings; what they hold of the peer's bytes comes behind `leftover`.
pub(super) fn unwrap(mut io: BoxIo, leftover: &mut BytesMut) -> io::Result<RawTransport> {
    loop {
        io = match downcast::<Rewind>(io) {
            Ok(rewind) => {
                leftover.extend_from_slice(&rewind.first);
                rewind.io
            }
            Err(io) => match downcast::<TokioIo<Upgraded>>(io) {
                // Of our own HTTP server, behind other requests on the same connection.
                Ok(wrapped) => match wrapped.into_inner().downcast::<TokioIo<Rewind>>() {
                    Ok(parts) => {
                        leftover.extend_from_slice(&parts.read_buf);
                        Box::new(parts.io.into_inner())
                    }
                    Err(upgraded) => {
                        return Ok(RawTransport::Other(Box::new(TokioIo::new(upgraded))));
                    }
                },
                Err(io) => return socket(io),
            },
        }
    }
}

fn socket(io: BoxIo) -> io::Result<RawTransport> {
    let io = match downcast::<TlsStream<BoxIo>>(io) {
        Ok(tls) => {
            if !is_socket(&**tls.get_ref().0) {
                return Ok(RawTransport::Other(tls));
            }
            let (io, session) = tls.into_inner();
            return match socket(bare(io))? {
                RawTransport::Plain(socket) => Ok(RawTransport::Tls(socket, Box::new(session))),
                _ => unreachable!("it is a socket"),
            };
        }
        Err(io) => io,
    };
    let io = match downcast::<TcpStream>(io) {
        Ok(tcp) => return Ok(RawTransport::Plain(RawSocket::Tcp(tcp.into_std()?))),
        Err(io) => io,
    };
    #[cfg(unix)]
    let io = match downcast::<tokio::net::UnixStream>(io) {
        Ok(unix) => return Ok(RawTransport::Plain(RawSocket::Unix(unix.into_std()?))),
        Err(io) => io,
    };
    Ok(RawTransport::Other(Box::new(io)))
}

/// Tells whether it is a socket, perhaps behind bytes put back that were all read.
fn is_socket(io: &dyn Io) -> bool {
    let any = io.as_any();
    if let Some(rewind) = any.downcast_ref::<Rewind>() {
        return !rewind.first.has_remaining() && is_socket(&*rewind.io);
    }
    #[cfg(unix)]
    if any.is::<tokio::net::UnixStream>() {
        return true;
    }
    any.is::<TcpStream>()
}

fn bare(io: BoxIo) -> BoxIo {
    match downcast::<Rewind>(io) {
        Ok(rewind) => bare(rewind.io),
        Err(io) => io,
    }
}

impl fmt::Debug for RawConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawConnection")
            .field("connection", &self.connection)
            .field("transport", &self.transport)
            .field("subprotocol", &self.subprotocol)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RawStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawStream").field("deflate", &self.deflate).finish_non_exhaustive()
    }
}

impl fmt::Debug for RawTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(socket) => f.debug_tuple("Plain").field(socket).finish(),
            Self::Tls(socket, _) => f.debug_tuple("Tls").field(socket).finish_non_exhaustive(),
            Self::Other(_) => f.debug_tuple("Other").finish_non_exhaustive(),
        }
    }
}

impl fmt::Debug for RawSeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawSeat").finish_non_exhaustive()
    }
}
