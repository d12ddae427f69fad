//! HTTP/3: the crate `taiwa-h3` as a client of our server.

mod addresses;
mod requests;
mod sockets;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use taiwa::{Http3, Server};
use taiwa_h3::{
    Protocol,
    net::{Connection, Error, Limits, RequestStream, Tunnel},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    bind, frame, soon,
    tls::{Certificate, certificate},
};

/// A server with TLS and HTTP/3; what its clients trust stands beside it.
async fn server(http3: Http3) -> (Server, SocketAddr, String) {
    let (server, addr) = bind().await;
    let Certificate { certificate, key } = certificate();
    let server = server.tls(certificate.as_bytes(), key.as_bytes()).unwrap().http3(http3);
    (server, addr, certificate)
}

/// A client's connection.
struct Client {
    connection: Connection,
    _endpoint: quinn::Endpoint,
}

impl Client {
    async fn connect(addr: SocketAddr, root: &str) -> Self {
        Self::try_connect(addr, root).await.expect("it connects")
    }

    async fn try_connect(addr: SocketAddr, root: &str) -> Result<Self, quinn::ConnectionError> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(root.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"h3".to_vec()];
        let tls = quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
        let mut config = quinn::ClientConfig::new(Arc::new(tls));
        let limits = Limits::default();
        config.transport_config(Arc::new(limits.transport()));
        let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        let quic = soon(endpoint.connect_with(config, addr, "localhost").unwrap()).await?;
        let (connection, driver) = Connection::client(quic, limits.settings(), limits);
        tokio::spawn(driver);
        Ok(Self { connection, _endpoint: endpoint })
    }

    /// Asks for a WebSocket; `Err` is another answer than 200.
    async fn ask(&self, request: Request<()>) -> Result<Socket, (Response<()>, RequestStream)> {
        let mut stream = soon(self.connection.open(request)).await.expect("it is open");
        let head = soon(stream.recv_response()).await.expect("it is answered");
        if head.status() != 200 {
            return Err((head, stream));
        }
        Ok(Socket { head, io: stream.into_io() })
    }

    async fn open(&self, path: &str) -> Socket {
        self.ask(connect(path)).await.unwrap_or_else(|it| panic!("{it:?}"))
    }

    /// Makes a request, and returns its answer with its content.
    async fn fetch(&self, request: Request<()>, body: &[u8]) -> Result<Response<String>, Error> {
        let mut stream = soon(self.connection.open(request)).await?;
        soon(stream.send_data(Bytes::copy_from_slice(body))).await?;
        soon(stream.finish()).await?;
        let response = soon(stream.recv_response()).await?;
        let mut content = Vec::new();
        while let Some(bytes) = soon(stream.recv_data()).await? {
            content.extend_from_slice(&bytes);
        }
        Ok(response.map(|()| String::from_utf8(content).expect("text")))
    }
}

/// An extended CONNECT (RFC 9220).
fn connect(path: &str) -> Request<()> {
    let request = Request::connect(format!("https://localhost{path}"))
        .extension(Protocol::WEBSOCKET)
        .header("sec-websocket-version", "13");
    request.body(()).expect("it is well-formed")
}

fn get(path: &str) -> Request<()> {
    Request::get(format!("https://localhost{path}")).body(()).expect("it is well-formed")
}

/// A WebSocket of a client on a stream.
struct Socket {
    head: Response<()>,
    io: Tunnel,
}

impl Socket {
    async fn send(&mut self, first: u8, payload: &[u8]) {
        soon(self.io.write_all(&frame(first, payload))).await.expect("the stream is open");
        soon(self.io.flush()).await.expect("the stream is open");
    }

    /// Reads the next frame of the server, of at most 125 bytes.
    async fn frame(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        soon(self.io.read_exact(&mut head)).await.expect("a frame");
        assert!(head[1] < 126, "a long frame");
        let mut payload = vec![0; head[1].into()];
        soon(self.io.read_exact(&mut payload)).await.expect("a payload");
        (head[0], payload)
    }

    /// Sends a text and waits for its echo.
    async fn echoes(&mut self, text: &str) {
        self.send(0x81, text.as_bytes()).await;
        assert_eq!(self.frame().await, (0x81, text.as_bytes().to_vec()));
    }
}
