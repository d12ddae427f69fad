//! The blocking face: the same connection over `Read + Write`.

pub(super) mod handshake;
mod maybe_tls;

use std::{
    io::{Read, Write},
    net::{TcpStream, ToSocketAddrs},
};

use http::Uri;

use super::{
    client::{IntoClientRequest, host_and_port, uri_mode},
    config::{Role, WebSocketConfig},
    engine::Engine,
    error::{Error, Result, UrlError},
    frame::CloseFrame,
    handshake::{
        client::{ClientHandshake, Request, Response},
        server::{Callback, NoCallback, ServerHandshake},
    },
    maybe_tls::Connector,
    message::Message,
};
pub use handshake::HandshakeError;
pub use maybe_tls::{MaybeTlsStream, NoDelay};

/// An open connection over a blocking transport, or over one that says `WouldBlock`: such a call is simply
/// made again.
#[derive(Debug)]
pub struct WebSocket<Stream> {
    io: Stream,
    engine: Engine,
}

impl<Stream> WebSocket<Stream> {
    /// Takes a transport on which the opening handshake is done.
    ///
    /// # Panics
    /// If the limits in `config` contradict each other.
    pub fn from_raw_socket(stream: Stream, role: Role, config: Option<WebSocketConfig>) -> Self {
        Self { io: stream, engine: Engine::new(role, config, &[]) }
    }

    /// Takes a transport on which the opening handshake is done, and what was read behind it.
    ///
    /// # Panics
    /// If the limits in `config` contradict each other.
    pub fn from_partially_read(
        stream: Stream,
        part: Vec<u8>,
        role: Role,
        config: Option<WebSocketConfig>,
    ) -> Self {
        Self { io: stream, engine: Engine::new(role, config, &part) }
    }

    /// Takes the transport, as it is.
    pub fn into_inner(self) -> Stream {
        self.io
    }

    /// Borrows the transport.
    pub fn get_ref(&self) -> &Stream {
        &self.io
    }

    /// Borrows the transport to change it.
    pub fn get_mut(&mut self) -> &mut Stream {
        &mut self.io
    }

    /// Changes the limits.
    ///
    /// # Panics
    /// If they then contradict each other.
    pub fn set_config(&mut self, set_func: impl FnOnce(&mut WebSocketConfig)) {
        self.engine.set_config(set_func);
    }

    /// Returns the limits.
    pub fn get_config(&self) -> &WebSocketConfig {
        self.engine.config()
    }

    /// Tells whether the peer's Close frame was not here yet.
    pub fn can_read(&self) -> bool {
        self.engine.can_read()
    }

    /// Tells whether neither end has sent a Close frame.
    pub fn can_write(&self) -> bool {
        self.engine.can_write()
    }
}

impl<Stream: Read + Write> WebSocket<Stream> {
    /// Reads the next message or control frame. Pings and Close frames are answered by the next call of
    /// any kind.
    ///
    /// # Errors
    /// [`Error::ConnectionClosed`] at the normal end, [`Error::AlreadyClosed`] after it.
    pub fn read(&mut self) -> Result<Message> {
        self.engine.read(&mut self.io)
    }

    /// Writes a message and flushes it.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn send(&mut self, message: Message) -> Result<()> {
        self.write(message)?;
        self.flush()
    }

    /// Queues a message; [`flush`](Self::flush) writes it.
    ///
    /// # Errors
    /// [`Error::WriteBufferFull`] gives the message back; `WouldBlock` does not: it is queued.
    pub fn write(&mut self, message: Message) -> Result<()> {
        self.engine.write(&mut self.io, message)
    }

    /// Writes everything.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::ConnectionClosed`].
    pub fn flush(&mut self) -> Result<()> {
        self.engine.flush(&mut self.io)
    }

    /// Sends a Close frame; [`read`](Self::read) then until it says [`Error::ConnectionClosed`].
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub fn close(&mut self, code: Option<CloseFrame>) -> Result<()> {
        self.engine.close(&mut self.io, code)
    }
}

/// Connects to a URL and blocks until the handshake is done. Follows up to 3 redirects.
///
/// # Errors
/// As [`connect_async`](crate::compat::tungstenite::connect_async).
pub fn connect<Req: IntoClientRequest>(
    request: Req,
) -> Result<(WebSocket<MaybeTlsStream<TcpStream>>, Response)> {
    connect_with_config(request, None, 3)
}

/// Connects like [`connect`], with limits and with at most `max_redirects` redirects.
///
/// # Errors
/// As [`connect`].
pub fn connect_with_config<Req: IntoClientRequest>(
    request: Req,
    config: Option<WebSocketConfig>,
    max_redirects: u8,
) -> Result<(WebSocket<MaybeTlsStream<TcpStream>>, Response)> {
    let mut request = request.into_client_request()?;
    for _ in 0..max_redirects {
        match connect_once(request.clone(), config) {
            Err(Error::Http(response)) if response.status().is_redirection() => {
                let Some(location) = response.headers().get("Location") else {
                    return Err(Error::Http(response));
                };
                *request.uri_mut() = location.to_str()?.parse::<Uri>()?;
            }
            connected => return connected,
        }
    }
    connect_once(request, config)
}

fn connect_once(
    request: Request,
    config: Option<WebSocketConfig>,
) -> Result<(WebSocket<MaybeTlsStream<TcpStream>>, Response)> {
    uri_mode(request.uri())?;
    let (host, port) = host_and_port(&request)?;
    let stream = (host.as_str(), port)
        .to_socket_addrs()?
        .find_map(|addr| TcpStream::connect(addr).ok())
        .ok_or_else(|| UrlError::UnableToConnect(request.uri().to_string()))?;
    stream.set_nodelay(true)?;
    client_tls_with_config(request, stream, config, None).map_err(blocking)
}

/// What a blocking transport can't be: interrupted.
fn blocking<Role: handshake::HandshakeRole>(error: HandshakeError<Role>) -> Error {
    match error {
        HandshakeError::Failure(error) => error,
        HandshakeError::Interrupted(_) => Error::would_block(),
    }
}

/// Does the opening handshake over a connected transport.
///
/// # Errors
/// [`HandshakeError::Interrupted`] if the transport says `WouldBlock`.
#[expect(clippy::result_large_err, reason = "the signature is not ours")]
pub fn client<Stream: Read + Write, Req: IntoClientRequest>(
    request: Req,
    stream: Stream,
) -> Result<(WebSocket<Stream>, Response), HandshakeError<ClientHandshake<Stream>>> {
    client_with_config(request, stream, None)
}

/// Does the same as [`client`], with limits.
///
/// # Errors
/// As [`client`].
#[expect(clippy::result_large_err, reason = "the signature is not ours")]
pub fn client_with_config<Stream: Read + Write, Req: IntoClientRequest>(
    request: Req,
    stream: Stream,
    config: Option<WebSocketConfig>,
) -> Result<(WebSocket<Stream>, Response), HandshakeError<ClientHandshake<Stream>>> {
    ClientHandshake::start(stream, request.into_client_request()?, config)?.handshake()
}

type ClientTlsResult<S> = Result<
    (WebSocket<MaybeTlsStream<S>>, Response),
    HandshakeError<ClientHandshake<MaybeTlsStream<S>>>,
>;

/// Does the same as [`client`], after TLS if the URL asks for it.
///
/// # Errors
/// As [`client`].
#[expect(clippy::result_large_err, reason = "the signature is not ours")]
pub fn client_tls<R: IntoClientRequest, S: Read + Write>(
    request: R,
    stream: S,
) -> ClientTlsResult<S> {
    client_tls_with_config(request, stream, None, None)
}

/// Does the same as [`client_tls`], with limits and with TLS by `connector`.
///
/// # Errors
/// As [`client`].
#[expect(clippy::result_large_err, reason = "the signature is not ours")]
pub fn client_tls_with_config<R: IntoClientRequest, S: Read + Write>(
    request: R,
    stream: S,
    config: Option<WebSocketConfig>,
    connector: Option<Connector>,
) -> ClientTlsResult<S> {
    let request = request.into_client_request()?;
    let mode = uri_mode(request.uri())?;
    let (host, _) = host_and_port(&request)?;
    let stream = MaybeTlsStream::start(stream, mode, &host, connector)?;
    client_with_config(request, stream, config)
}

/// Accepts a WebSocket on a transport.
///
/// # Errors
/// As [`accept_hdr`].
#[expect(clippy::result_large_err, reason = "the signature is not ours")]
pub fn accept<S: Read + Write>(
    stream: S,
) -> Result<WebSocket<S>, HandshakeError<ServerHandshake<S, NoCallback>>> {
    accept_with_config(stream, None)
}

/// Does the same as [`accept`], with limits.
///
/// # Errors
/// As [`accept_hdr`].
#[expect(clippy::result_large_err, reason = "the signature is not ours")]
pub fn accept_with_config<S: Read + Write>(
    stream: S,
    config: Option<WebSocketConfig>,
) -> Result<WebSocket<S>, HandshakeError<ServerHandshake<S, NoCallback>>> {
    accept_hdr_with_config(stream, NoCallback, config)
}

/// Accepts a WebSocket on a transport; `callback` sees the request and decides.
///
/// # Errors
/// [`HandshakeError::Interrupted`] if the transport says `WouldBlock`.
#[expect(clippy::result_large_err, reason = "the signature is not ours")]
pub fn accept_hdr<S: Read + Write, C: Callback>(
    stream: S,
    callback: C,
) -> Result<WebSocket<S>, HandshakeError<ServerHandshake<S, C>>> {
    accept_hdr_with_config(stream, callback, None)
}

/// Does the same as [`accept_hdr`], with limits.
///
/// # Errors
/// As [`accept_hdr`].
#[expect(clippy::result_large_err, reason = "the signature is not ours")]
pub fn accept_hdr_with_config<S: Read + Write, C: Callback>(
    stream: S,
    callback: C,
    config: Option<WebSocketConfig>,
) -> Result<WebSocket<S>, HandshakeError<ServerHandshake<S, C>>> {
    ServerHandshake::start(stream, callback, config).handshake()
}
