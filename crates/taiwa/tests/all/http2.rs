//! HTTP/2: the crate `h2` as a client of our server.

#[cfg(feature = "axum")]
mod behind;
mod limits;
mod requests;
mod sockets;

use std::{future::poll_fn, net::SocketAddr, sync::Arc};

use bytes::{Buf, Bytes, BytesMut};
use h2::{
    RecvStream, SendStream,
    client::{Builder, ResponseFuture, SendRequest},
    ext::Protocol,
};
use http::{Request, Response};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinHandle,
};

use super::{frame, soon};

type Ending = JoinHandle<Result<(), h2::Error>>;

/// A client's connection. Its own windows have room for all that a test makes the server send, unless it is told otherwise.
struct Client {
    send: SendRequest<Bytes>,
    ending: Ending,
}

impl Client {
    async fn connect(addr: SocketAddr) -> Self {
        Self::built(addr, Builder::new().initial_connection_window_size(1 << 30)).await
    }

    async fn built(addr: SocketAddr, builder: &Builder) -> Self {
        Self::over(TcpStream::connect(addr).await.expect("it connects"), builder).await
    }

    async fn over(
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        builder: &Builder,
    ) -> Self {
        let (send, connection) = soon(builder.handshake(io)).await.expect("it shakes hands");
        Self { send, ending: tokio::spawn(connection) }
    }

    /// Over TLS, where HTTP/2 has to be agreed on.
    async fn over_tls(addr: SocketAddr, root: &str) -> Self {
        let tls = super::http2::tls(addr, root, &[b"h2", b"http/1.1"]).await;
        assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        Self::over(tls, &Builder::new()).await
    }

    async fn request(&self, request: Request<()>, body: Option<&[u8]>) -> Response<RecvStream> {
        self.try_request(request, body).await.expect("it is answered")
    }

    async fn try_request(
        &self,
        request: Request<()>,
        body: Option<&[u8]>,
    ) -> Result<Response<RecvStream>, h2::Error> {
        let mut ready = soon(self.send.clone().ready()).await?;
        let (response, mut send) = ready.send_request(request, body.is_none())?;
        if let Some(body) = body {
            send.send_data(Bytes::copy_from_slice(body), true)?;
        }
        soon(response).await
    }

    /// Sends a request whose stream stays open.
    async fn begin(&self, request: Request<()>) -> (ResponseFuture, SendStream<Bytes>) {
        // The server's settings say that it may.
        soon(async {
            while !self.send.is_extended_connect_protocol_enabled() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let mut ready = soon(self.send.clone().ready()).await.expect("it is open");
        ready.send_request(request, false).expect("it is well-formed")
    }

    /// Asks for a WebSocket; `Err` is another answer than 200.
    async fn ask(&self, request: Request<()>) -> Result<Socket, Response<RecvStream>> {
        let (response, send) = self.begin(request).await;
        let response = soon(response).await.expect("it is answered");
        if response.status() != 200 {
            return Err(response);
        }
        let (head, recv) = response.into_parts();
        Ok(Socket { head, send, recv, read: BytesMut::new() })
    }

    async fn open(&self, path: &str) -> Socket {
        self.ask(connect(path)).await.unwrap_or_else(|it| panic!("{it:?}"))
    }
}

/// An extended CONNECT (RFC 8441 §5).
fn connect(path: &str) -> Request<()> {
    let request = Request::connect(format!("http://127.0.0.1{path}"))
        .extension(Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13");
    request.body(()).expect("it is well-formed")
}

fn get(path: &str) -> Request<()> {
    Request::get(format!("http://127.0.0.1{path}")).body(()).expect("it is well-formed")
}

/// A TLS client that offers protocols by ALPN.
pub(super) async fn tls(
    addr: SocketAddr,
    root: &str,
    protocols: &[&[u8]],
) -> tokio_rustls::client::TlsStream<TcpStream> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(root.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|it| it.to_vec()).collect();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let tcp = TcpStream::connect(addr).await.unwrap();
    soon(connector.connect("localhost".try_into().unwrap(), tcp)).await.expect("it shakes hands")
}

/// A WebSocket of a client on a stream.
struct Socket {
    head: http::response::Parts,
    send: SendStream<Bytes>,
    recv: RecvStream,
    read: BytesMut,
}

impl Socket {
    /// Sends a frame, if the server gives credit for it.
    async fn send(&mut self, first: u8, payload: &[u8]) {
        self.send_bytes(frame(first, payload)).await;
    }

    async fn send_bytes(&mut self, bytes: Vec<u8>) {
        let mut bytes = Bytes::from(bytes);
        while bytes.has_remaining() {
            let n = soon(poll_fn(|cx| self.poll_credit(cx, bytes.len()))).await;
            self.send.send_data(bytes.split_to(n), false).expect("the stream is open");
        }
    }

    /// Is ready when the server lets us send up to so many bytes.
    fn poll_credit(
        &mut self,
        cx: &mut std::task::Context<'_>,
        wanted: usize,
    ) -> std::task::Poll<usize> {
        self.send.reserve_capacity(wanted);
        while self.send.capacity() == 0 {
            std::task::ready!(self.send.poll_capacity(cx)).expect("it is open").expect("no reset");
        }
        std::task::Poll::Ready(self.send.capacity().min(wanted))
    }

    /// Reads the next frame of the server, of at most 125 bytes.
    async fn frame(&mut self) -> (u8, Bytes) {
        loop {
            if let [first, len, rest @ ..] = &self.read[..]
                && rest.len() >= usize::from(*len)
            {
                let (first, len) = (*first, usize::from(*len));
                assert!(len < 126, "a long frame");
                self.read.advance(2);
                return (first, self.read.split_to(len).freeze());
            }
            let data = self.data().await.expect("no reset").expect("no end");
            self.read.extend_from_slice(&data);
        }
    }

    /// Reads the next bytes; `None` is END_STREAM.
    async fn data(&mut self) -> Result<Option<Bytes>, h2::Error> {
        while let Some(data) = soon(self.recv.data()).await.transpose()? {
            self.recv.flow_control().release_capacity(data.len()).expect("it was received");
            // The last frame may be empty.
            if !data.is_empty() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// Sends a text and waits for its echo.
    async fn echoes(&mut self, text: &str) {
        self.send(0x81, text.as_bytes()).await;
        assert_eq!(self.frame().await, (0x81, Bytes::copy_from_slice(text.as_bytes())));
    }
}

/// Reads a whole body.
async fn body(response: Response<RecvStream>) -> Result<String, h2::Error> {
    let mut recv = response.into_body();
    let mut text = Vec::new();
    while let Some(data) = soon(recv.data()).await {
        let data = data?;
        recv.flow_control().release_capacity(data.len()).expect("it was received");
        text.extend_from_slice(&data);
    }
    Ok(String::from_utf8(text).expect("text"))
}
