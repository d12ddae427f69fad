//! Tests of the library as its users see it, over real sockets on loopback.

#[cfg(unix)]
mod activation;
mod at_once;
#[cfg(feature = "axum")]
mod axum;
mod authority;
mod dial;
mod early;
mod cancel;
mod echo;
mod endings;
mod examples;
mod faces;
mod foreign;
mod http;
mod http2;
mod http2_client;
mod http3;
mod http3_client;
mod http3_race;
mod hyper;
mod nginx;
mod openssl;
mod reconnect;
mod redirects;
mod proxy;
mod proxy_programs;
mod policies;
mod proxy_protocol;
mod raw;
mod refusals;
mod reload;
mod server;
mod shutdown;
mod split;
#[cfg(target_os = "linux")]
mod streamed;
#[cfg(target_os = "linux")]
mod successor;
mod tls;
#[cfg(unix)]
mod unix;
#[cfg(unix)]
mod unix_server;
mod tools;
mod tower;
mod tuner;
mod webtransport;
mod webtransport_shared;

use std::{future::Future, net::SocketAddr, time::Duration};

use taiwa::{Error, Server, Upgrade, WebSocket};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
    time::timeout,
};

/// No test waits longer.
async fn soon<T>(it: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), it).await.expect("in time")
}

/// A server at a port of TCP whose twin of UDP is free, too: HTTP/3 is to have it, and clients of other tests may by chance.
async fn bind() -> (Server, SocketAddr) {
    loop {
        let server = Server::bind("127.0.0.1:0").await.expect("a free port");
        let addr = server.local_addr().expect("it is bound");
        if std::net::UdpSocket::bind(addr).is_ok() {
            return (server, addr);
        }
    }
}

async fn echo(upgrade: Upgrade) -> Result<(), Error> {
    echo_over(upgrade.accept().await?).await
}

async fn echo_over(mut socket: WebSocket) -> Result<(), Error> {
    while let Some(message) = socket.recv().await? {
        socket.send(message).await?;
    }
    Ok(())
}

/// Serves echo with the defaults until the test ends.
async fn echo_server() -> SocketAddr {
    let (server, addr) = bind().await;
    run(server.serve(echo));
    addr
}

fn run(serving: taiwa::Serving) -> JoinHandle<std::io::Result<()>> {
    tokio::spawn(serving.into_future())
}

async fn connect(addr: SocketAddr) -> WebSocket {
    soon(taiwa::connect(&format!("ws://{addr}/"))).await.expect("it connects")
}

/// Sends a request by hand and returns the response's head, with what followed it in the same read.
async fn request(addr: SocketAddr, request: &str) -> (TcpStream, String) {
    let mut tcp = TcpStream::connect(addr).await.expect("it connects");
    tcp.write_all(request.as_bytes()).await.expect("it is read");
    let head = soon(read_head(&mut tcp)).await;
    (tcp, head)
}

async fn read_head(tcp: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.windows(4).any(|it| it == b"\r\n\r\n") {
        if tcp.read_buf(&mut bytes).await.expect("it answers") == 0 {
            break;
        }
    }
    String::from_utf8(bytes).expect("a head")
}

/// Reads to the end of the connection.
async fn rest(tcp: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    soon(tcp.read_to_end(&mut bytes)).await.expect("it ends without a reset");
    bytes
}

const HANDSHAKE: &str = "GET /chat HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n";

/// The request that opens a WebSocket, with more header lines, each with its CR LF.
fn handshake(more: &str) -> String {
    format!("{HANDSHAKE}{more}\r\n")
}

/// A client's frame with a mask of zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    [&[first, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat()
}
