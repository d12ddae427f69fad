//! The other side of a test: an HTTP server on loopback that answers as the test says.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    /// Its first line and its fields, in lower case.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// What a test does with a request.
pub(crate) enum Reply {
    /// Sends these bytes, and waits for the next request.
    Send(Vec<u8>),
    /// Sends these bytes and nothing more.
    SendAndHang(Vec<u8>),
    /// Sends these bytes and closes.
    SendAndClose(Vec<u8>),
}

/// Writes an answer with a body; `fields` end with CRLF.
pub(crate) fn answer(status: u16, fields: &str, body: &[u8]) -> Reply {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} -\r\ncontent-length: {length}\r\n{fields}\r\n");
    Reply::Send([head.as_bytes(), body].concat())
}

/// The server. It ends when it is dropped.
pub(crate) struct Peer {
    /// `http://127.0.0.1:…`, without a path.
    pub(crate) url: String,
    connections: Arc<AtomicUsize>,
    heard: Arc<Mutex<Vec<Heard>>>,
    accepting: JoinHandle<()>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

type Answers = Arc<dyn Fn(usize, &Heard) -> Reply + Send + Sync>;

impl Peer {
    /// Starts it. The closure gets the number of the request, from 0, and the request.
    pub(crate) async fn start(
        answers: impl Fn(usize, &Heard) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::listen(None, Arc::new(answers)).await
    }

    /// Starts it with TLS and a certificate for 127.0.0.1, whose PEM it returns.
    pub(crate) async fn start_tls(
        answers: impl Fn(usize, &Heard) -> Reply + Send + Sync + 'static,
    ) -> (Self, String) {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes());
        let config = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.unwrap())
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        (Self::listen(Some(acceptor), Arc::new(answers)).await, made.cert.pem())
    }

    async fn listen(tls: Option<TlsAcceptor>, answers: Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (counted, log) = (Arc::clone(&connections), Arc::clone(&heard));
        let accepting = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let (tls, log, answers) = (tls.clone(), Arc::clone(&log), Arc::clone(&answers));
                tokio::spawn(async move {
                    match tls {
                        None => serve(tcp, &log, &answers).await,
                        Some(tls) => serve(tls.accept(tcp).await?, &log, &answers).await,
                    }
                });
            }
        });
        Self { url, connections, heard, accepting }
    }

    /// Returns how many connections there were.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Returns the requests that came.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }
}

async fn serve<T>(mut io: T, log: &Mutex<Vec<Heard>>, answers: &Answers) -> io::Result<()>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut buffer = Vec::new();
    loop {
        let heard = read(&mut io, &mut buffer).await?;
        let number = {
            let mut log = log.lock().unwrap();
            log.push(heard.clone());
            log.len() - 1
        };
        match answers(number, &heard) {
            Reply::Send(bytes) => io.write_all(&bytes).await?,
            Reply::SendAndClose(bytes) => {
                io.write_all(&bytes).await?;
                return io.shutdown().await;
            }
            Reply::SendAndHang(bytes) => {
                io.write_all(&bytes).await?;
                // Until the client goes.
                while io.read_buf(&mut buffer).await? > 0 {}
                return Ok(());
            }
        }
    }
}

async fn read<T>(io: &mut T, buffer: &mut Vec<u8>) -> io::Result<Heard>
where
    T: AsyncRead + Unpin,
{
    loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
            let length = head.split("content-length: ").nth(1).map_or(0, |rest| {
                rest.split("\r\n").next().unwrap().trim().parse::<usize>().unwrap()
            });
            if buffer.len() >= end + 4 + length {
                let body = buffer[end + 4..end + 4 + length].to_vec();
                buffer.drain(..end + 4 + length);
                return Ok(Heard { head, body });
            }
        }
        if io.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
