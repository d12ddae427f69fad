//! A certificate, and two servers that answer everything: of `taiwa-h3` alone, and of `taiwa`.

use std::{fmt, net::SocketAddr, sync::Arc};

use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use quinn::{Endpoint, crypto::rustls::QuicServerConfig};
use rcgen::{CertifiedKey, KeyPair};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::PrivatePkcs8KeyDer,
    version::TLS13,
};
use taiwa::{Http3, RequestBody, Upgrade, webtransport::SessionRequest};
use taiwa_h3::{
    Protocol,
    net::{Connection, Error, Limits, RequestStream},
};
use taiwa_proto::Config;
use tokio::io::AsyncWriteExt;

/// Bytes of the content at `/long`.
pub const LONG: usize = 4 << 20;

/// A certificate for localhost and its key.
pub struct Certificate(CertifiedKey<KeyPair>);

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificate(localhost)")
    }
}

impl Default for Certificate {
    fn default() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
        Self(made.expect("a certificate"))
    }
}

impl Certificate {
    /// Returns what a client trusts this one with.
    pub fn client(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.cert.der().clone()).expect("a certificate");
        ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has it")
            .with_root_certificates(roots)
            .with_no_client_auth()
    }

    /// Returns certificate and key in PEM.
    pub fn pem(&self) -> (String, String) {
        (self.0.cert.pem(), self.0.signing_key.serialize_pem())
    }

    fn server(&self) -> ServerConfig {
        let key = PrivatePkcs8KeyDer::from(self.0.signing_key.serialize_der());
        ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has it")
            .with_no_client_auth()
            .with_single_cert(vec![self.0.cert.der().clone()], key.into())
            .expect("they fit")
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// A server that answers 200: to WebSockets with what they say, to other requests when they are over.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    certificate: Certificate,
}

impl Server {
    /// Begins one of `taiwa-h3` alone, whose WebSockets are mere bytes, on a free port.
    pub fn of_h3(limits: Limits) -> Self {
        let certificate = Certificate::default();
        let mut tls = certificate.server();
        tls.alpn_protocols = vec![b"h3".to_vec()];
        let tls = QuicServerConfig::try_from(tls).expect("it has the ciphers");
        let mut config = quinn::ServerConfig::with_crypto(Arc::new(tls));
        config.transport_config(Arc::new(limits.transport()));
        let endpoint = Endpoint::server(config, ([127, 0, 0, 1], 0).into()).expect("a free port");
        let addr = endpoint.local_addr().expect("bound");
        tokio::spawn(accept(endpoint, limits));
        Self { addr, certificate }
    }

    /// Begins one of `taiwa` with limits of its own, on a free port. A request whose content breaks a rule is answered with 400;
    /// one for `/long` with [`LONG`] bytes.
    pub async fn of_taiwa(http3: Http3, config: Config) -> Self {
        let certificate = Certificate::default();
        let (chain, key) = certificate.pem();
        let server = taiwa::Server::bind("127.0.0.1:0").await.expect("a free port");
        let addr = server.local_addr().expect("bound");
        let server = server.config(config).tls(chain.as_bytes(), key.as_bytes()).expect("they fit");
        // Sessions are accepted, and nothing of them is read.
        let server = server.http3(http3).webtransport(async |request: SessionRequest| {
            let session = request.accept().await?;
            session.closed().await;
            Ok::<(), taiwa::Error>(())
        });
        let server = server.http(async |request: Request<RequestBody>| {
            let is_long = request.uri().path() == "/long";
            let status = match request.into_body().collect(1 << 20).await {
                Ok(_) => StatusCode::OK,
                Err(_) => StatusCode::BAD_REQUEST,
            };
            let content = if is_long { vec![7; LONG] } else { vec![] };
            let mut response = Response::new(Full::from(content));
            *response.status_mut() = status;
            response
        });
        let serving = server.serve(async |upgrade: Upgrade| {
            let mut socket = upgrade.accept().await?;
            while let Some(message) = socket.recv().await? {
                socket.send(message).await?;
            }
            Ok::<(), taiwa::Error>(())
        });
        tokio::spawn(serving.into_future());
        Self { addr, certificate }
    }

    /// Returns where.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns what it shows to clients.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }
}

async fn accept(endpoint: Endpoint, limits: Limits) {
    while let Some(incoming) = endpoint.accept().await {
        let limits = limits.clone();
        tokio::spawn(async move {
            let Ok(quic) = incoming.await else { return };
            let (connection, driver) = Connection::server(quic, limits.settings(), limits);
            tokio::spawn(driver);
            while let Some((request, stream)) = connection.accept().await {
                tokio::spawn(answer(request, stream));
            }
        });
    }
}

/// What goes wrong with a stream is for its client to see.
async fn answer(request: Request<()>, mut stream: RequestStream) -> Result<(), Error> {
    if request.method() == Method::CONNECT && request.extensions().get::<Protocol>().is_some() {
        stream.send_response(&Response::new(())).await?;
        let (mut read, mut write) = tokio::io::split(stream.into_io());
        if tokio::io::copy(&mut read, &mut write).await.is_ok() {
            let _ = write.shutdown().await;
        }
        return Ok(());
    }
    while stream.recv_data().await?.is_some() {}
    stream.send_response(&Response::new(())).await?;
    stream.finish().await
}
