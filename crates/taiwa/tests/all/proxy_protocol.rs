//! A server behind proxies that say for whom they connect: written by hand, and by HAProxy.

use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use taiwa::{Addr, Client, Deadlines, Limits, Network, Server, Serving, Upgrade, WebSocket};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Notify, mpsc},
    time::sleep,
};

use super::{
    bind, echo, frame, handshake, read_head, rest, run, soon, tls::certificate, tools::lacks,
};

const LINE: &str = "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n";

fn loopback() -> [Network; 1] {
    ["127.0.0.0/8"].map(|it| Network::parse(it).unwrap())
}

fn binary(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
    let len = (payload.len() as u16).to_be_bytes();
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[command, family], &len, payload].concat()
}

/// What the server's `on_error` heard.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    fn of(&self, serving: Serving) -> Serving {
        let list = Arc::clone(&self.0);
        serving.on_error(move |who, error| {
            let who = who.map_or("?".to_owned(), ToString::to_string);
            list.lock().unwrap().push(format!("{who} {error}"));
        })
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// Tells both addresses, then echoes.
async fn tell(upgrade: Upgrade) -> Result<(), taiwa::Error> {
    let addrs = format!("{} {}", upgrade.peer_addr(), upgrade.local_addr());
    let mut socket = upgrade.accept().await?;
    socket.send(addrs).await?;
    while let Some(message) = socket.recv().await? {
        socket.send(message).await?;
    }
    Ok(())
}

/// Serves [`tell`] behind proxies on this machine.
async fn behind_proxies() -> (SocketAddr, Heard) {
    let (server, addr) = bind().await;
    let heard = Heard::default();
    run(heard.of(server.proxy_protocol(loopback()).serve(tell)));
    (addr, heard)
}

/// A proxy that begins each connection to `server` with `header`.
async fn proxy(server: SocketAddr, header: impl Into<Vec<u8>>) -> SocketAddr {
    let header = header.into();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let header = header.clone();
            tokio::spawn(async move {
                let mut far = TcpStream::connect(server).await?;
                far.write_all(&header).await?;
                tokio::io::copy_bidirectional(&mut near, &mut far).await
            });
        }
    });
    addr
}

/// Connects and returns what [`tell`] told.
async fn told(client: &Client, url: &str) -> String {
    let mut socket = soon(client.connect(url)).await.unwrap();
    let told = soon(socket.recv()).await.unwrap().unwrap();
    echoes(&mut socket).await;
    told.as_text().unwrap().to_owned()
}

async fn echoes(socket: &mut WebSocket) {
    soon(socket.send("x")).await.unwrap();
    assert_eq!(soon(socket.recv()).await.unwrap(), Some("x".into()));
}

#[tokio::test]
async fn what_the_header_says_becomes_the_peers_and_our_address() {
    let (addr, heard) = behind_proxies().await;
    let inet = [192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 0x04, 0x01, 0xbb];
    let expected = "192.0.2.1:56324 198.51.100.1:443";
    let mut unix = [0; 216];
    unix[..2].copy_from_slice(b"/a");
    for (header, expected) in [
        (LINE.into(), expected.to_owned()),
        (binary(0x21, 0x11, &inet), expected.to_owned()),
        (binary(0x21, 0x31, &unix), "unix:/a unix:".to_owned()),
        (b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n".to_vec(), "[2001:db8::1]:1 [::1]:2".to_owned()),
    ] {
        let proxy = proxy(addr, header).await;
        let client = Client::builder().build().unwrap();
        assert_eq!(told(&client, &format!("ws://{proxy}/")).await, expected);
    }
    for header in [&b"PROXY UNKNOWN\r\n"[..], &binary(0x20, 0, &[]), &binary(0x21, 0, b"x")] {
        let proxy = proxy(addr, header).await;
        let client = Client::builder().build().unwrap();
        let told = told(&client, &format!("ws://{proxy}/")).await;
        let (peer, local) = told.split_once(' ').unwrap();
        assert!(peer.starts_with("127.0.0.1:") && local == addr.to_string(), "{told}");
    }
    assert_eq!(heard.all(), [""; 0]);
}

#[tokio::test]
async fn a_header_may_come_byte_by_byte_or_with_all_that_follows_it() {
    let (addr, _) = behind_proxies().await;
    let all = [LINE.as_bytes(), handshake("").as_bytes(), &frame(0x81, b"early")].concat();
    for size in [1, 47, all.len()] {
        let mut tcp = TcpStream::connect(addr).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        for piece in all.chunks(size) {
            tcp.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        let mut read = Vec::new();
        while !read.ends_with(b"\x81\x05early") {
            assert_ne!(soon(tcp.read_buf(&mut read)).await.unwrap(), 0);
        }
        assert!(read.starts_with(b"HTTP/1.1 101 "), "{}", read.escape_ascii());
    }
}

/// Reads to the end of a connection, which may be a reset.
async fn end(tcp: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = soon(tcp.read_to_end(&mut bytes)).await;
    bytes
}

#[tokio::test]
async fn a_connection_without_a_header_is_closed_without_a_word() {
    let (addr, heard) = behind_proxies().await;
    for (bytes, why) in [
        (handshake("").into_bytes(), "no header"),
        (b"\x16\x03\x01\0".to_vec(), "no header"),
        (b"PROXY TCP4 1.2.3.4\r\n".to_vec(), "the line of version 1 is malformed"),
        (binary(0x21, 0x11, b"short"), "too short for its addresses"),
        (binary(0x21, 0x11, &[0; 20_000]), "the header is too long"),
    ] {
        let mut tcp = TcpStream::connect(addr).await.unwrap();
        let from = tcp.local_addr().unwrap();
        let _ = tcp.write_all(&bytes).await;
        assert_eq!(end(&mut tcp).await, b"");
        assert_eq!(heard.all().last(), Some(&format!("{from} PROXY protocol: {why}")));
    }
}

#[tokio::test]
async fn a_connection_from_elsewhere_is_closed_whatever_it_sends() {
    let (server, addr) = bind().await;
    let heard = Heard::default();
    let elsewhere = [Network::parse("10.0.0.0/8").unwrap(), Network::UNIX];
    run(heard.of(server.proxy_protocol(elsewhere).serve(tell)));
    let with_header = format!("{LINE}{}", handshake(""));
    for bytes in [handshake(""), with_header, "PROXY UNKNOWN\r\n".into()] {
        let mut tcp = TcpStream::connect(addr).await.unwrap();
        let _ = tcp.write_all(bytes.as_bytes()).await;
        assert_eq!(end(&mut tcp).await, b"");
    }
    let heard = heard.all();
    assert_eq!(heard.len(), 3);
    assert!(heard.iter().all(|it| it.ends_with("the peer is none of the proxies")), "{heard:?}");
}

#[tokio::test]
async fn who_stands_outside_the_networks_learns_nothing_of_a_full_server() {
    for (network, expected) in [("10.0.0.0/8", &b""[..]), ("127.0.0.0/8", b"HTTP/1.1 503 ")] {
        let (server, addr) = bind().await;
        let server = server.connections_max(0);
        run(server.proxy_protocol(Network::parse(network)).serve(tell));
        let mut tcp = TcpStream::connect(addr).await.unwrap();
        let answer = end(&mut tcp).await;
        assert_eq!(&answer[..expected.len().min(answer.len())], expected);
        assert_eq!(answer.is_empty(), expected.is_empty());
    }
}

#[tokio::test]
async fn a_header_has_the_handshakes_deadline_and_size() {
    let (server, addr) = bind().await;
    let handshake = Some(Duration::from_millis(200));
    let server = server.deadlines(Deadlines { handshake, ..Deadlines::default() });
    let limits = Limits { handshake_bytes_max: 600, ..Limits::default() };
    let heard = Heard::default();
    run(heard.of(server.limits(limits).proxy_protocol(loopback()).serve(tell)));
    for bytes in [&b""[..], b"PROXY TCP4 192.0.2.1", &binary(0x21, 0x11, &[0; 500])[..100]] {
        let mut tcp = TcpStream::connect(addr).await.unwrap();
        tcp.write_all(bytes).await.unwrap();
        assert_eq!(end(&mut tcp).await, b"");
    }
    assert_eq!(heard.all(), [""; 0], "who is late is closed, and that is all");
    // The head of a header is enough to see that it is too long.
    let mut tcp = TcpStream::connect(addr).await.unwrap();
    tcp.write_all(&binary(0x21, 0x11, &[0; 600])[..16]).await.unwrap();
    assert_eq!(end(&mut tcp).await, b"");
    assert!(heard.all()[0].ends_with("the header is too long"));
    // Behind the header the peer is known to speak HTTP.
    let mut tcp = TcpStream::connect(addr).await.unwrap();
    tcp.write_all(LINE.as_bytes()).await.unwrap();
    assert!(soon(read_head(&mut tcp)).await.starts_with("HTTP/1.1 408 "));
    rest(&mut tcp).await;
}

#[tokio::test]
async fn tls_comes_behind_the_header() {
    let made = certificate();
    let (server, addr) = bind().await;
    let server = server.tls(made.certificate.as_bytes(), made.key.as_bytes()).unwrap();
    run(server.proxy_protocol(loopback()).serve(|upgrade: Upgrade| {
        assert!(upgrade.is_tls());
        tell(upgrade)
    }));
    let client =
        Client::builder().root_certificate_pem(made.certificate.as_bytes()).build().unwrap();
    let proxy = proxy(addr, LINE).await;
    let url = format!("wss://localhost:{}/", proxy.port());
    assert_eq!(told(&client, &url).await, "192.0.2.1:56324 198.51.100.1:443");
}

#[cfg(unix)]
#[tokio::test]
async fn a_proxy_on_a_unix_socket_has_to_be_named() {
    let path = std::env::temp_dir().join(format!("taiwa-proxy-{}.sock", std::process::id()));
    for (networks, expected) in [(vec![Network::UNIX], &b"HTTP/1.1 101"[..]), (vec![], b"")] {
        let server = Server::bind_unix(&path).await.unwrap().proxy_protocol(networks);
        let serving = run(server.serve(|upgrade: Upgrade| {
            assert_eq!(upgrade.peer_addr().to_string(), "192.0.2.1:56324");
            assert_eq!(upgrade.peer_credentials(), None, "the proxy's are not the client's");
            tell(upgrade)
        }));
        let mut stream = tokio::net::UnixStream::connect(&path).await.unwrap();
        let _ = stream.write_all(format!("{LINE}{}", handshake("")).as_bytes()).await;
        let mut answer = vec![0; expected.len().max(1)];
        let got = match soon(stream.read_exact(&mut answer)).await {
            Ok(_) => &answer[..],
            Err(_) => b"",
        };
        assert_eq!(got, expected);
        serving.abort();
        let _ = soon(serving).await;
    }
}

#[tokio::test]
async fn a_page_is_measured_by_the_address_that_its_browser_reached() {
    let (server, addr) = bind().await;
    run(server.proxy_protocol(loopback()).serve(echo));
    // A name with a dot on a proxy that listens on loopback: a page may have bound it to this machine.
    for (destination, status) in [("198.51.100.1", 101), ("127.0.0.1", 403)] {
        let mut tcp = TcpStream::connect(addr).await.unwrap();
        let request = handshake("Origin: http://a.example\r\n");
        let bytes = format!("PROXY TCP4 192.0.2.1 {destination} 1 80\r\n{request}");
        tcp.write_all(bytes.as_bytes()).await.unwrap();
        let head = soon(read_head(&mut tcp)).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{destination}: {head}");
    }
}

#[tokio::test]
async fn the_end_of_the_server_is_not_held_by_who_has_sent_no_header() {
    let (server, addr) = bind().await;
    let deadlines = Deadlines { handshake: None, ..Deadlines::default() };
    let server = server.deadlines(deadlines).proxy_protocol(loopback());
    let stop = Arc::new(Notify::new());
    let stopped = Arc::clone(&stop);
    let serving = run(server.serve(tell).with_shutdown(async move { stopped.notified().await }));
    let mut waiting = Vec::new();
    for bytes in [&b""[..], b"PROXY ", &binary(0x21, 0x11, b"")] {
        let mut tcp = TcpStream::connect(addr).await.unwrap();
        tcp.write_all(bytes).await.unwrap();
        waiting.push(tcp);
    }
    sleep(Duration::from_millis(50)).await;
    stop.notify_one();
    soon(serving).await.unwrap().unwrap();
    for tcp in &mut waiting {
        assert_eq!(end(tcp).await, b"");
    }
}

/// HAProxy with one frontend, which hands everything to `server`; ended when dropped.
#[cfg(unix)]
struct Haproxy {
    child: Child,
    addr: SocketAddr,
    config: std::path::PathBuf,
}

#[cfg(unix)]
impl Haproxy {
    /// `None`: there is none on this machine.
    fn start(name: &str, server: SocketAddr, options: &str) -> Option<Self> {
        if lacks("haproxy") {
            return None;
        }
        // Debian has it where not every user's PATH leads.
        let program = Some("/usr/sbin/haproxy").filter(|it| std::path::Path::new(it).exists());
        let program = program.unwrap_or("haproxy");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        // Whoever connects before HAProxy is ready waits in the listener that it inherits.
        let text = format!(
            "global\n  maxconn 50\ndefaults\n  mode tcp\n  timeout connect 5s\n  \
             timeout client 20s\n  timeout server 20s\nlisten it\n  bind fd@0\n  \
             server it {server} {options}\n"
        );
        let config =
            std::env::temp_dir().join(format!("taiwa-haproxy-{}-{name}.cfg", std::process::id()));
        std::fs::write(&config, text).unwrap();
        let child = Command::new(program)
            .args(["-db", "-f"])
            .arg(&config)
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(listener)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Some(Self { child, addr, config })
    }
}

#[cfg(unix)]
impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.config);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn haproxy_says_who_its_client_is_in_every_version_of_the_protocol() {
    for (name, options) in [
        ("v1", "send-proxy"),
        ("v2", "send-proxy-v2"),
        ("crc", "send-proxy-v2 proxy-v2-options crc32c,unique-id,authority"),
        // Health checks come with LOCAL, and say nothing behind it.
        ("check", "send-proxy-v2 check inter 20ms"),
    ] {
        let (addr, heard) = behind_proxies().await;
        let Some(haproxy) = Haproxy::start(name, addr, options) else { return };
        let tcp = soon(TcpStream::connect(haproxy.addr)).await.unwrap();
        let us = tcp.local_addr().unwrap();
        let client = Client::builder().build().unwrap();
        let url = format!("ws://{}/", haproxy.addr);
        let (mut socket, _) = soon(client.connect_over(tcp, &url)).await.unwrap();
        let told = soon(socket.recv()).await.unwrap().unwrap();
        assert_eq!(told.as_text(), Some(&*format!("{us} {}", haproxy.addr)), "{options}");
        echoes(&mut socket).await;
        if name == "check" {
            sleep(Duration::from_millis(100)).await;
        }
        assert!(soon(socket.close(taiwa::CloseCode::NORMAL, "")).await.unwrap().clean);
        assert_eq!(heard.all(), [""; 0], "{options}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn haproxy_passes_tls_through_behind_its_header() {
    let made = certificate();
    let (server, addr) = bind().await;
    let server = server.tls(made.certificate.as_bytes(), made.key.as_bytes()).unwrap();
    let (tell_peer, mut peer) = mpsc::unbounded_channel::<Addr>();
    run(server.proxy_protocol(loopback()).serve(move |upgrade: Upgrade| {
        tell_peer.send(upgrade.peer_addr().clone()).unwrap();
        tell(upgrade)
    }));
    let options = "send-proxy-v2-ssl proxy-v2-options crc32c";
    let Some(haproxy) = Haproxy::start("tls", addr, options) else { return };
    let client =
        Client::builder().root_certificate_pem(made.certificate.as_bytes()).build().unwrap();
    let url = format!("wss://localhost:{}/", haproxy.addr.port());
    let told = told(&client, &url).await;
    assert_eq!(told.split_once(' ').unwrap().1, haproxy.addr.to_string());
    assert_ne!(soon(peer.recv()).await.unwrap(), addr);
}
