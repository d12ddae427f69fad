//! The blocking examples of tungstenite 0.30: `use tungstenite::…` means the facade, the rest is theirs.

use std::sync::LazyLock;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    super::tools::Tool,
    borrowed::{Borrowed, Built},
    client, receives, soon, tcp, two_cases,
};

static BUILT: LazyLock<Built> = LazyLock::new(|| {
    let examples = Borrowed {
        package: "tungstenite",
        import: "taiwa::compat::tungstenite::tungstenite",
        dependencies: r#"
            env_logger = { version = "0.11", default-features = false }
            log = "0.4"
        "#,
    };
    examples.build()
});

/// One after the other: three of them listen on one port.
#[tokio::test]
async fn its_servers_answer_its_client_and_others() {
    let addr = format!("127.0.0.1:{}", BUILT.port(3012));
    {
        let server = Tool::start(&mut BUILT.command("server"));
        drop(tcp(&addr).await);
        let client = Tool::start(&mut BUILT.command("client"));
        let said = client.says("Received: Hello WebSocket", 1).await;
        assert!(said.contains("Response HTTP code: 101") && said.contains("* mycustomheader"));
        server.says("path is: /socket", 1).await;
    }
    {
        let _server = Tool::start(&mut BUILT.command("callback-error"));
        drop(tcp(&addr).await);
        let refused = soon(taiwa::connect(&format!("ws://{addr}/"))).await;
        let Err(taiwa::Error::Refused(response)) = refused else { panic!("{refused:?}") };
        assert_eq!(
            (response.status().as_u16(), &response.body()[..]),
            (403, &b"Access denied"[..])
        );
    }
    let server = Tool::start(&mut BUILT.command("srv_accept_unmasked_frames"));
    let mut peer = tcp(&addr).await;
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    peer.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 64];
    assert!(soon(peer.read(&mut answer)).await.unwrap() > 0);
    peer.write_all(b"\x81\x05plain").await.unwrap();
    server.says("received message plain", 1).await;
}

#[tokio::test]
async fn its_autobahn_server_echoes_and_its_client_runs_two_cases() {
    let _server = Tool::start(&mut BUILT.command("autobahn-server"));
    let mut socket = client(&format!("127.0.0.1:{}", BUILT.port(9002))).await;
    socket.send("hello").await.unwrap();
    assert_eq!(receives(&mut socket).await, "hello");

    let mut told = two_cases(BUILT.port(9001)).await;
    let _program = Tool::start(&mut BUILT.command("autobahn-client"));
    for _ in [1, 2] {
        assert!(soon(told.recv()).await.unwrap().contains("echo /runCase"));
    }
    assert!(soon(told.recv()).await.unwrap().starts_with("/updateReports"));
}
