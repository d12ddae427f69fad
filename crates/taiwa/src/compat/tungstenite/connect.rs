//! Opening and accepting connections.

use std::future::poll_fn;

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use super::{
    client::{IntoClientRequest, host_and_port, uri_mode},
    config::WebSocketConfig,
    engine::Engine,
    error::{Error, Result},
    handshake::{
        client::{self, Request, Response},
        server::{self, Callback, NoCallback},
    },
    maybe_tls::{Connector, MaybeTlsStream},
    stream::{Now, WebSocketStream, poll},
};

/// Connects to a URL, or sends a whole request: TCP, TLS for `wss`, opening handshake.
///
/// There is no deadline; wrap it in a timeout. Cancel-safe: dropping it drops the connection.
///
/// ```no_run
/// # async fn run() -> Result<(), taiwa::compat::tungstenite::tungstenite::Error> {
/// use taiwa::compat::tungstenite::connect_async;
/// let (stream, response) = connect_async("wss://example.org/feed").await?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`Error::Url`], [`Error::Io`], [`Error::Tls`]; [`Error::Http`] for another status than 101,
/// [`Error::Protocol`] for a wrong 101.
pub async fn connect_async<R>(
    request: R,
) -> Result<(WebSocketStream<MaybeTlsStream<TcpStream>>, Response), Error>
where
    R: IntoClientRequest + Unpin,
{
    connect_async_with_config(request, None, false).await
}

/// Connects like [`connect_async`], with limits; `disable_nagle` sets `TCP_NODELAY`.
///
/// Dropping its future cancels the attempt and drops the transport.
///
/// # Errors
/// As [`connect_async`].
pub async fn connect_async_with_config<R>(
    request: R,
    config: Option<WebSocketConfig>,
    disable_nagle: bool,
) -> Result<(WebSocketStream<MaybeTlsStream<TcpStream>>, Response)>
where
    R: IntoClientRequest + Unpin,
{
    connect(request.into_client_request()?, config, disable_nagle, None).await
}

/// Connects like [`connect_async_with_config`], with TLS by `connector`.
///
/// Dropping its future cancels the attempt and drops the transport.
///
/// # Errors
/// As [`connect_async`].
pub async fn connect_async_tls_with_config<R>(
    request: R,
    config: Option<WebSocketConfig>,
    disable_nagle: bool,
    connector: Option<Connector>,
) -> Result<(WebSocketStream<MaybeTlsStream<TcpStream>>, Response)>
where
    R: IntoClientRequest + Unpin,
{
    connect(request.into_client_request()?, config, disable_nagle, connector).await
}

async fn connect(
    request: Request,
    config: Option<WebSocketConfig>,
    disable_nagle: bool,
    connector: Option<Connector>,
) -> Result<(WebSocketStream<MaybeTlsStream<TcpStream>>, Response)> {
    let (host, port) = host_and_port(&request)?;
    let stream = TcpStream::connect((host, port)).await?;
    if disable_nagle {
        stream.set_nodelay(true)?;
    }
    client_async_tls_with_config(request, stream, config, connector).await
}

/// Does the opening handshake over a connected transport, after TLS if the URL asks for it.
///
/// Dropping its future cancels the attempt and drops the transport.
///
/// # Errors
/// As [`connect_async`].
pub async fn client_async_tls<R, S>(
    request: R,
    stream: S,
) -> Result<(WebSocketStream<MaybeTlsStream<S>>, Response)>
where
    R: IntoClientRequest + Unpin,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    client_async_tls_with_config(request, stream, None, None).await
}

/// Does the same as [`client_async_tls`], with limits and with TLS by `connector`.
///
/// Dropping its future cancels the attempt and drops the transport.
///
/// # Errors
/// As [`connect_async`].
pub async fn client_async_tls_with_config<R, S>(
    request: R,
    stream: S,
    config: Option<WebSocketConfig>,
    connector: Option<Connector>,
) -> Result<(WebSocketStream<MaybeTlsStream<S>>, Response)>
where
    R: IntoClientRequest + Unpin,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let request = request.into_client_request()?;
    let mode = uri_mode(request.uri())?;
    let (host, _) = host_and_port(&request)?;
    let stream = MaybeTlsStream::start(stream, mode, &host, connector).await?;
    client_async_with_config(request, stream, config).await
}

/// Does the opening handshake over a connected transport. The URL gives `Host` and the path.
///
/// Dropping its future cancels the attempt and drops the transport.
///
/// # Errors
/// As [`connect_async`].
pub async fn client_async<R, S>(request: R, stream: S) -> Result<(WebSocketStream<S>, Response)>
where
    R: IntoClientRequest + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
{
    client_async_with_config(request, stream, None).await
}

/// Does the same as [`client_async`], with limits.
///
/// Dropping its future cancels the attempt and drops the transport.
///
/// # Errors
/// As [`connect_async`].
pub async fn client_async_with_config<R, S>(
    request: R,
    mut stream: S,
    config: Option<WebSocketConfig>,
) -> Result<(WebSocketStream<S>, Response)>
where
    R: IntoClientRequest + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut exchange = client::Exchange::new(request.into_client_request()?, config)?;
    let opened = poll_fn(|cx| poll(exchange.advance(&mut Now { io: &mut stream, cx })));
    let (engine, response) = opened.await?;
    Ok((WebSocketStream::new(stream, engine), response))
}

/// Accepts a WebSocket on a transport: reads the request and answers it.
///
/// There is no deadline; wrap it in a timeout. Cancel-safe: dropping it drops the connection.
///
/// # Errors
/// [`Error::Io`]; [`Error::Protocol`] for what is no opening handshake, to which nothing is answered.
pub async fn accept_async<S>(stream: S) -> Result<WebSocketStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    accept_hdr_async(stream, NoCallback).await
}

/// Does the same as [`accept_async`], with limits.
///
/// Dropping its future cancels the attempt and drops the transport.
///
/// # Errors
/// As [`accept_async`].
pub async fn accept_async_with_config<S>(
    stream: S,
    config: Option<WebSocketConfig>,
) -> Result<WebSocketStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    accept_hdr_async_with_config(stream, NoCallback, config).await
}

/// Does the same as [`accept_async`]; `callback` sees the request and decides.
///
/// Dropping its future cancels the attempt and drops the transport.
///
/// # Errors
/// As [`accept_async`]; [`Error::Http`] with what the callback refused with.
pub async fn accept_hdr_async<S, C>(stream: S, callback: C) -> Result<WebSocketStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
    C: Callback + Unpin,
{
    accept_hdr_async_with_config(stream, callback, None).await
}

/// Does the same as [`accept_hdr_async`], with limits.
///
/// Dropping its future cancels the attempt and drops the transport.
///
/// # Errors
/// As [`accept_hdr_async`].
pub async fn accept_hdr_async_with_config<S, C>(
    mut stream: S,
    callback: C,
    config: Option<WebSocketConfig>,
) -> Result<WebSocketStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
    C: Callback + Unpin,
{
    let mut exchange = server::Exchange::new(callback, config);
    let opened = poll_fn(|cx| poll(exchange.advance(&mut Now { io: &mut stream, cx })));
    let engine: Engine = opened.await?;
    Ok(WebSocketStream::new(stream, engine))
}
