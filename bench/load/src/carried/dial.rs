//! How WebSockets are opened: by an upgrade of HTTP/1.1 (RFC 6455), or by extended CONNECT over HTTP/2 (RFC 8441) and HTTP/3
//! (RFC 9220), where several share a connection.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bench_order::Over;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt, stream};
use h2::client::SendRequest;
use http::{Method, Request, StatusCode};
use quinn::{ClientConfig, Endpoint, crypto::rustls::QuicClientConfig};
use rustls::pki_types::ServerName;
use taiwa_h3::{Protocol, net};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, split},
    net::TcpSocket,
    time::{sleep, timeout},
};
use tokio_rustls::TlsConnector;

use super::{
    Carrier,
    half::{ReceiveHalf, SendHalf, Transport},
    socket::Socket,
    told,
};
use crate::{
    certificate::NAME,
    handshake::{Compression, Handshake},
    rows::OPENING_MAX,
};

/// Bytes of a stream that the server may send before they are read: whatever it sends in a row, no stream waits for us.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 1 << 26;
/// How long a server may take to say that it takes WebSockets.
const SETTINGS_WITHIN: Duration = Duration::from_secs(5);
/// As those of the clients on raw epoll.
const SOURCES: u32 = 100;

/// What WebSockets share.
pub(super) enum Line {
    /// Nothing: each has its own connection.
    Own,
    Http2(SendRequest<Bytes>),
    /// The endpoint lives as long as its connection.
    Http3(net::Connection, #[expect(dead_code, reason = "it is held")] Endpoint),
}

impl<'a> Carrier<'a> {
    /// Opens lines, and WebSockets that share them evenly.
    pub(super) async fn open(
        &'a self,
        lines: &[Line],
        first: usize,
        count: usize,
    ) -> Result<Vec<Socket<'a>>, String> {
        let opening = (first..count).map(|it| self.open_socket(&lines[it % lines.len()]));
        stream::iter(opening).buffer_unordered(OPENING_MAX).try_collect().await
    }

    pub(super) async fn open_lines(&self, count: usize) -> Result<Vec<Line>, String> {
        let mut lines = vec![];
        while lines.len() < count {
            lines.push(match self.over {
                Over::Http1Clear | Over::Http1 => Line::Own,
                Over::Http2Clear | Over::Http2 => Line::Http2(self.http2().await?),
                Over::Http3 | Over::WebTransport => {
                    let (connection, endpoint) = self.http3().await?;
                    Line::Http3(connection, endpoint)
                }
            });
            self.hear();
        }
        Ok(lines)
    }

    pub(super) async fn open_socket(&'a self, line: &Line) -> Result<Socket<'a>, String> {
        let socket = match line {
            Line::Own => self.upgrade().await?,
            Line::Http2(connection) => self.stream_of_http2(connection.clone()).await?,
            Line::Http3(connection, _) => self.stream_of_http3(connection).await?,
        };
        self.hear();
        Ok(socket)
    }

    fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.server.port()).into()
    }

    /// Connects by TCP, and agrees on `protocol` if it is encrypted.
    async fn connect(&self, protocol: &str) -> Result<Box<dyn Transport>, String> {
        let socket = TcpSocket::new_v4().map_err(told)?;
        socket.set_nodelay(true).map_err(told)?;
        socket.set_reuseaddr(true).map_err(told)?;
        let number = self.connected.replace(self.connected.get().wrapping_add(1));
        let source = Ipv4Addr::from_bits(0x7f01_0001 + number % SOURCES);
        socket.bind((source, 0).into()).map_err(told)?;
        let stream = socket.connect(self.address()).await;
        let stream = stream.map_err(|it| format!("connect: {it}"))?;
        if !self.over.is_secure() {
            return Ok(Box::new(stream));
        }
        let connector = TlsConnector::from(Arc::new(self.certificate.client_config(protocol)?));
        let name = ServerName::try_from(NAME).map_err(told)?;
        let stream = connector.connect(name, stream).await.map_err(|it| format!("TLS: {it}"))?;
        // A server of one version needs not know ALPN.
        match stream.get_ref().1.alpn_protocol() {
            None => {}
            Some(agreed) if agreed == protocol.as_bytes() => {}
            Some(other) => return Err(format!("ALPN: {}", other.escape_ascii())),
        }
        Ok(Box::new(stream))
    }

    async fn upgrade(&'a self) -> Result<Socket<'a>, String> {
        let (mut receive, mut send) = split(self.connect("http/1.1").await?);
        let mut request = vec![];
        let mut handshake = Handshake::start(
            &mut request,
            self.path,
            self.server.port(),
            Compression::None,
            &mut self.noise.borrow_mut(),
        );
        send.write_all(&request).await.map_err(told)?;
        send.flush().await.map_err(told)?;
        let mut bytes = BytesMut::new();
        loop {
            if receive.read_buf(&mut bytes).await.map_err(told)? == 0 {
                return Err("the server ended the connection before the handshake".into());
            }
            let part = bytes.split().freeze();
            if let Some(taken) = handshake.take(&part)? {
                let receive = ReceiveHalf::Alone(receive, bytes);
                return Ok(Socket::new(self, SendHalf::Alone(send), receive, part.slice(taken..)));
            }
        }
    }

    async fn http2(&self) -> Result<SendRequest<Bytes>, String> {
        let (connection, driver) = h2::client::Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .handshake(self.connect("h2").await?)
            .await
            .map_err(told)?;
        tokio::spawn(driver);
        // RFC 8441 §3: a client waits for the setting; the crate does not.
        let announced = async {
            while !connection.is_extended_connect_protocol_enabled() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        match timeout(SETTINGS_WITHIN, announced).await {
            Ok(()) => Ok(connection),
            Err(_) => Err("the server does not announce that it takes WebSockets".into()),
        }
    }

    fn request(&self) -> Request<()> {
        let scheme = if self.over.is_secure() { "https" } else { "http" };
        let uri = format!("{scheme}://{NAME}:{}{}", self.server.port(), self.path);
        Request::builder()
            .method(Method::CONNECT)
            .uri(uri)
            .header("sec-websocket-version", "13")
            .body(())
            .expect("a URI and a header that are right")
    }

    async fn stream_of_http2(
        &'a self,
        connection: SendRequest<Bytes>,
    ) -> Result<Socket<'a>, String> {
        let mut connection = connection.ready().await.map_err(told)?;
        let mut request = self.request();
        request.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
        let (response, send) = connection.send_request(request, false).map_err(told)?;
        let response = response.await.map_err(told)?;
        accepted(response.status())?;
        let receive = ReceiveHalf::Http2(response.into_body());
        Ok(Socket::new(self, SendHalf::Http2(send), receive, Bytes::new()))
    }

    async fn stream_of_http3(&'a self, connection: &net::Connection) -> Result<Socket<'a>, String> {
        let mut request = self.request();
        request.extensions_mut().insert(Protocol::WEBSOCKET);
        let mut stream = connection.open(request).await.map_err(told)?;
        accepted(stream.recv_response().await.map_err(told)?.status())?;
        let (send, receive) = stream.split();
        Ok(Socket::new(
            self,
            SendHalf::Http3(Box::new(send)),
            ReceiveHalf::Http3(Box::new(receive)),
            Bytes::new(),
        ))
    }

    /// Connects by QUIC, from a socket of its own as another client would.
    pub(super) async fn http3(&self) -> Result<(net::Connection, Endpoint), String> {
        let mut limits = net::Limits::default();
        limits.stream_window = STREAM_WINDOW;
        limits.connection_window = CONNECTION_WINDOW;
        limits.datagram_bytes_max = STREAM_WINDOW as usize;
        let tls = QuicClientConfig::try_from(self.certificate.client_config("h3")?);
        let mut config = ClientConfig::new(Arc::new(tls.map_err(told)?));
        config.transport_config(Arc::new(limits.transport()));
        let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).map_err(told)?;
        let connecting = endpoint.connect_with(config, self.address(), NAME).map_err(told)?;
        let quic = connecting.await.map_err(|it| format!("QUIC: {it}"))?;
        let (connection, driver) = net::Connection::client(quic, limits.settings(), limits);
        tokio::spawn(driver);
        Ok((connection, endpoint))
    }
}

fn accepted(status: StatusCode) -> Result<(), String> {
    match status {
        StatusCode::OK => Ok(()),
        other => Err(format!("the handshake is answered by status {other}")),
    }
}
