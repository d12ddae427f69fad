//! Debian's proxies between client and server: tinyproxy (HTTP CONNECT), microsocks (SOCKS 5).

use std::{
    net::{SocketAddr, TcpListener},
    process::Command,
    time::Duration,
};

use taiwa::{Error, Proxy, ProxyFault};
use tokio::{net::TcpStream, time::sleep};

use super::{
    bind,
    dial::{echoes, nobody, secure_witness, told, trusting, witness},
    run, soon,
    tools::{Folder, Tool, lacks},
};

/// Starts a program on a port that was free a moment ago; `None`: it is not installed.
async fn start(
    program: &str,
    arguments: impl Fn(u16) -> Vec<String>,
) -> Option<(Tool, SocketAddr)> {
    if lacks(program) {
        return None;
    }
    // Somebody may take the port before the program does.
    for _ in 0..5 {
        let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut tool = Tool::start(Command::new(program).args(arguments(addr.port())));
        for _ in 0..500 {
            if tool.has_ended() {
                break;
            }
            if TcpStream::connect(addr).await.is_ok() {
                return Some((tool, addr));
            }
            sleep(Duration::from_millis(10)).await;
        }
        eprintln!("{program}: {}", tool.said());
    }
    panic!("{program} does not start");
}

async fn tinyproxy(folder: &Folder, more: &str) -> Option<(Tool, SocketAddr)> {
    let arguments = |port| {
        let text = format!("Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 20\n{more}\n");
        vec!["-d".into(), "-c".into(), folder.write("tinyproxy.conf", &text)]
    };
    start("tinyproxy", arguments).await
}

async fn microsocks(more: &[&str]) -> Option<(Tool, SocketAddr)> {
    let arguments = |port: u16| {
        let fixed = ["-i", "127.0.0.1", "-p"].map(String::from);
        let more = more.iter().map(|it| it.to_string());
        fixed.into_iter().chain([port.to_string()]).chain(more).collect()
    };
    start("microsocks", arguments).await
}

/// Talks with both witnesses through a proxy.
async fn both_ways_lead_through(proxy: &str) {
    let (server, plain) = bind().await;
    run(server.serve(witness));
    let (secure, authority) = secure_witness().await;
    let proxy = Proxy::parse(proxy).unwrap();
    let client = trusting(&authority).proxy(proxy).build().unwrap();
    for (url, is_tls) in [
        (format!("ws://{plain}/"), false),
        (format!("ws://localhost:{}/", plain.port()), false),
        (format!("wss://localhost:{}/", secure.port()), true),
    ] {
        let mut socket = soon(client.connect(&url)).await.unwrap();
        assert!(told(&mut socket).await.contains(&format!(" tls={is_tls} ")));
        assert_eq!(socket.peer_addr(), None);
        echoes(&mut socket).await;
        assert!(soon(socket.close(taiwa::CloseCode::NORMAL, "")).await.unwrap().clean);
    }
}

async fn refused(proxy: &str, url: &str) -> Error {
    let client = taiwa::Client::builder().proxy(Proxy::parse(proxy).unwrap()).build().unwrap();
    soon(client.connect(url)).await.unwrap_err()
}

fn fault(error: &Error) -> &ProxyFault {
    let Error::Proxy(error) = error else { panic!("{error:?}") };
    error.fault()
}

#[tokio::test]
async fn tinyproxy_lets_everybody_through_or_who_knows_the_password() {
    let folder = Folder::new();
    let Some((_tool, addr)) = tinyproxy(&folder, "").await else { return };
    both_ways_lead_through(&format!("http://{addr}")).await;

    let Some((_tool, addr)) = tinyproxy(&folder, "BasicAuth user pass").await else { return };
    both_ways_lead_through(&format!("http://user:pass@{addr}")).await;
    for proxy in [format!("http://{addr}"), format!("http://user:secret@{addr}")] {
        let error = refused(&proxy, "wss://localhost/").await;
        let ProxyFault::Refused(response) = fault(&error) else { panic!("{error:?}") };
        // Version 1.11 answers wrong credentials with 401, none with 407.
        assert!([401, 407].contains(&response.status().as_u16()), "{error}");
        let headers = response.headers();
        let asks = ["proxy-authenticate", "www-authenticate"];
        assert!(asks.iter().any(|it| headers.contains_key(*it)), "{headers:?}");
        let body = String::from_utf8_lossy(response.body());
        assert!(body.contains("tinyproxy") && body.trim_end().ends_with("</html>"), "{body}");
        assert!(!error.is_retryable() && !format!("{error:?}").contains("secret"), "{error:?}");
    }
}

#[tokio::test]
async fn tinyproxy_tells_where_it_does_not_go_and_where_nobody_is() {
    let folder = Folder::new();
    let Some((_tool, addr)) = tinyproxy(&folder, "").await else { return };
    let error = refused(&format!("http://{addr}"), &format!("ws://{}/", nobody().await)).await;
    let ProxyFault::Refused(response) = fault(&error) else { panic!("{error:?}") };
    assert_eq!(response.status().as_u16(), 500, "{error}");
    assert!(error.is_retryable());

    let Some((_tool, addr)) = tinyproxy(&folder, "ConnectPort 1").await else { return };
    let error = refused(&format!("http://{addr}"), &format!("ws://{}/", nobody().await)).await;
    let ProxyFault::Refused(response) = fault(&error) else { panic!("{error:?}") };
    assert_eq!(response.status().as_u16(), 403, "{error}");
}

#[tokio::test]
async fn microsocks_lets_everybody_through_or_who_knows_the_password() {
    let Some((_tool, addr)) = microsocks(&[]).await else { return };
    both_ways_lead_through(&format!("socks5://{addr}")).await;
    both_ways_lead_through(&format!("socks5h://{addr}")).await;
    // It asks for none of the credentials that are there.
    both_ways_lead_through(&format!("socks5h://user:pass@{addr}")).await;
    let error = refused(&format!("socks5h://{addr}"), &format!("ws://{}/", nobody().await)).await;
    assert!(matches!(fault(&error), ProxyFault::SocksRefused(5)), "{error}");

    let Some((_tool, addr)) = microsocks(&["-u", "user", "-P", "pass"]).await else { return };
    both_ways_lead_through(&format!("socks5://user:pass@{addr}")).await;
    both_ways_lead_through(&format!("socks5h://user:pass@{addr}")).await;
    for proxy in [format!("socks5://{addr}"), format!("socks5h://user:secret@{addr}")] {
        let error = refused(&proxy, "ws://127.0.0.1/").await;
        assert!(matches!(fault(&error), ProxyFault::Credentials), "{error}");
        assert!(!error.is_retryable() && !format!("{error:?}").contains("secret"), "{error:?}");
    }
}
