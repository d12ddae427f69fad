//! Messages there and back, over all kinds of transports.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use taiwa::{Client, CloseCode, Config, Deflate, Kind, Limits, Message, Server, WebSocket};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::{connect_async, tungstenite::Message as Foreign};

use super::{Site, Told, client, connect, defaults, raw, site, soon};

/// Says much and little, pings, streams and closes; all of it comes back.
pub(super) async fn talk(mut socket: WebSocket) {
    for len in [0, 1, 125, 126, 4_000, 65_535, 65_536, 300_000, 1 << 20] {
        let messages: [Message; 2] = [vec![7; len].into(), "語".repeat(len / 3).into()];
        for message in messages {
            // Both at once: what one kernel does not take the other may have to read first.
            let (sender, mut receiver) = socket.split();
            let (sent, received) =
                soon(async { tokio::join!(sender.send(message.clone()), receiver.recv()) }).await;
            sent.unwrap();
            assert_eq!(received.unwrap(), Some(message));
            socket = receiver.reunite(sender).expect("halves of one");
        }
    }
    soon(socket.ping()).await.unwrap();
    let mut parts = socket.send_stream(Kind::Text);
    for part in ["対", "", "話"] {
        soon(parts.write_all(part.as_bytes())).await.unwrap();
        soon(parts.flush()).await.unwrap();
    }
    soon(parts.shutdown()).await.unwrap();
    drop(parts);
    assert_eq!(soon(socket.recv()).await.unwrap(), Some("対話".into()));
    let closed = soon(socket.close(CloseCode::new(4321), "bye")).await.unwrap();
    assert!(closed.clean && closed.code == CloseCode::new(4321), "{closed:?}");
}

async fn url_is_talked_to(site: &mut Site, client: &Client, url: &str) {
    talk(soon(client.connect(url)).await.unwrap()).await;
    let (key, opening) = site.joined().await;
    assert_eq!(&*opening.path, "/echo");
    let (left, how) = site.left().await;
    assert_eq!((left, how.closed().code), (key, CloseCode::new(4321)));
    assert_eq!((how.stats.received.messages, how.stats.sent.messages), (19, 19));
}

#[tokio::test]
async fn echo_works_over_tcp() {
    let (mut site, addr) = site(defaults()).await;
    url_is_talked_to(&mut site, &client(), &format!("ws://{addr}/echo")).await;
}

#[tokio::test]
async fn echo_works_over_tls() {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let mut site = Site::new(1);
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let server = server.tls(certificate.as_bytes(), key.as_bytes()).unwrap();
    let addr = server.local_addr().unwrap();
    site.behind(server);
    let client = Client::builder().root_certificate_pem(certificate.as_bytes()).build().unwrap();
    for _ in 0..2 {
        url_is_talked_to(&mut site, &client, &format!("wss://{addr}/echo")).await;
    }
}

#[tokio::test]
async fn echo_works_with_compression() {
    let deflate = || Deflate { message_bytes_min: 10, ..Deflate::default() };
    let (mut site, addr) = site(Config { deflate: Some(deflate()), ..defaults() }).await;
    let client = Client::builder().compression(deflate()).build().unwrap();
    let socket = soon(client.connect(&format!("ws://{addr}/echo"))).await.unwrap();
    assert!(socket.deflate().is_some());
    drop(socket);
    let (key, _) = site.joined().await;
    assert_eq!(site.left().await.0, key);
    url_is_talked_to(&mut site, &client, &format!("ws://{addr}/echo")).await;
}

#[cfg(unix)]
#[tokio::test]
async fn echo_works_over_a_unix_socket() {
    let path = std::env::temp_dir().join(format!("taiwa-shard-{}.sock", std::process::id()));
    let mut site = Site::new(1);
    site.behind(Server::bind_unix(&path).await.unwrap());
    let url = format!("ws+unix:{}:/echo", path.display());
    url_is_talked_to(&mut site, &client(), &url).await;
}

#[tokio::test]
async fn a_foreign_client_is_understood() {
    let (_site, addr) = site(defaults()).await;
    let (mut foreign, _) = soon(connect_async(format!("ws://{addr}/echo"))).await.unwrap();
    for len in [0, 125, 126, 70_000] {
        for message in [Foreign::binary(vec![9; len]), Foreign::text("語".repeat(len))] {
            soon(foreign.send(message.clone())).await.unwrap();
            assert_eq!(soon(foreign.next()).await.unwrap().unwrap(), message);
        }
    }
    soon(foreign.send(Foreign::Ping("?".into()))).await.unwrap();
    assert_eq!(soon(foreign.next()).await.unwrap().unwrap(), Foreign::Pong("?".into()));
    soon(foreign.close(None)).await.unwrap();
    while let Some(message) = soon(foreign.next()).await {
        assert!(message.unwrap().is_close());
    }
}

/// Sends frames in one piece with the request, and behind it.
async fn pipelined(addr: SocketAddr, frames: usize) {
    let frame = raw::frame(0x82, b"0123456789");
    let mut tcp = raw::open(addr, "/echo", &frame.repeat(3)).await;
    let (mut read, mut write) = tcp.split();
    let wire = frame.repeat(frames - 3);
    let mut answer = vec![0; 12 * frames];
    let reading = async { tokio::io::AsyncReadExt::read_exact(&mut read, &mut answer).await };
    let (read, written) = soon(async { tokio::join!(reading, write.write_all(&wire)) }).await;
    read.unwrap();
    written.unwrap();
    assert_eq!(answer, [&[0x82, 10][..], b"0123456789"].concat().repeat(frames));
}

#[tokio::test]
async fn messages_behind_the_handshake_and_behind_each_other_are_all_answered_in_order() {
    let (_site, addr) = site(defaults()).await;
    // More than a line may say in a turn.
    pipelined(addr, 50_000).await;
}

#[tokio::test]
async fn a_frame_may_come_byte_by_byte() {
    let (_site, addr) = site(defaults()).await;
    let mut tcp = raw::open(addr, "/echo", b"").await;
    tcp.set_nodelay(true).unwrap();
    for byte in [raw::frame(0x01, b"ab"), raw::frame(0x89, b"?"), raw::frame(0x80, b"c")].concat() {
        soon(tcp.write_all(&[byte])).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(raw::read(&mut tcp, 8).await, b"\x8a\x01?\x81\x03abc");
}

#[tokio::test]
async fn what_one_says_to_all_reaches_all_in_order() {
    let (_site, addr) = site(defaults()).await;
    let mut sockets = Vec::new();
    for _ in 0..50 {
        sockets.push(connect(addr, "/all").await);
    }
    for socket in &mut sockets {
        // Whoever has its own message has joined for sure.
        soon(socket.send("hello")).await.unwrap();
        while soon(socket.recv()).await.unwrap() != Some("hello".into()) {}
    }
    for i in 0..100 {
        soon(sockets[0].send(format!("number {i}"))).await.unwrap();
    }
    for socket in &mut sockets {
        for i in 0..100 {
            let number = format!("number {i}");
            loop {
                let message = soon(socket.recv()).await.unwrap().unwrap();
                if message.as_text() == Some(&number) {
                    break;
                }
                assert_eq!(message.as_text(), Some("hello"));
            }
        }
    }
}

#[tokio::test]
async fn a_message_over_the_limit_closes_with_1009_and_is_told_as_a_fault() {
    let limits = Limits { message_bytes_max: 1000, ..Limits::default() };
    let (mut site, addr) = site(Config { limits, ..defaults() }).await;
    let mut socket = connect(addr, "/tell").await;
    site.joined().await;
    soon(socket.send("first")).await.unwrap();
    soon(socket.send(vec![0; 1001])).await.unwrap();
    assert_eq!(soon(socket.recv()).await.unwrap(), None);
    assert_eq!(socket.closed().unwrap().code, CloseCode::MESSAGE_TOO_BIG);
    assert!(matches!(site.next().await, Told::Received(_, text) if text == "first"));
    let (_, left) = site.left().await;
    assert_eq!(left.end, taiwa_proto::End::Fault(taiwa::Fault::MessageTooBig));
}
