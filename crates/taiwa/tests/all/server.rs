//! What a closure learns of a request, and the server's limits.

use taiwa::{Client, Error, Server, Upgrade};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{bind, connect, echo, frame, handshake, rest, run, soon};

#[tokio::test]
async fn a_closure_sees_the_request_and_chooses_the_subprotocol() {
    let (server, addr) = bind().await;
    run(server.serve(move |mut upgrade: Upgrade| async move {
        assert_eq!(*upgrade.local_addr(), addr);
        let seen = format!(
            "{} {} {} {:?} {:?} {}",
            upgrade.method(),
            upgrade.uri(),
            upgrade.host() == addr.to_string(),
            upgrade.headers()["x-a"],
            upgrade.subprotocols().collect::<Vec<_>>(),
            upgrade.is_tls(),
        );
        upgrade.response_headers().insert("set-cookie", "a=b".parse().unwrap());
        upgrade.response_headers().insert("upgrade", "nonsense".parse().unwrap());
        let mut socket = upgrade.subprotocol(["v1", "v2"]).accept().await?;
        assert_eq!(socket.subprotocol(), Some("v2"));
        socket.send(seen).await
    }));
    let client = Client::builder().header("x-a", "1").subprotocols(["v3", "v2", "v1"]);
    let client = client.build().unwrap();
    let (mut socket, response) = soon(client.open(&format!("ws://{addr}/p?q=1"))).await.unwrap();
    assert_eq!(response.headers()["set-cookie"], "a=b");
    assert_eq!(socket.subprotocol(), Some("v2"));
    let seen = soon(socket.recv()).await.unwrap().unwrap();
    assert_eq!(seen.as_text(), Some(r#"GET /p?q=1 true "1" ["v3", "v2", "v1"] false"#));
}

#[tokio::test]
async fn frames_that_come_with_the_request_are_not_lost() {
    let (server, addr) = bind().await;
    run(server.serve(echo));
    let mut tcp = TcpStream::connect(addr).await.unwrap();
    let bytes = [handshake("").into_bytes(), frame(0x81, b"early")].concat();
    tcp.write_all(&bytes).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"early") {
        assert_ne!(soon(tcp.read_buf(&mut head)).await.unwrap(), 0, "{}", head.escape_ascii());
    }
    assert!(head.ends_with(b"\x81\x05early"), "{}", head.escape_ascii());
    tcp.write_all(&frame(0x88, b"")).await.unwrap();
    assert_eq!(rest(&mut tcp).await, [0x88, 0]);
}

#[tokio::test]
async fn connections_over_the_limit_get_503_until_there_is_room() {
    let (server, addr) = bind().await;
    run(server.connections_max(1).serve(echo));
    let mut first = connect(addr).await;
    let second = soon(taiwa::connect(&format!("ws://{addr}/"))).await;
    let Err(Error::Refused(response)) = second else { panic!("{second:?}") };
    assert_eq!(response.status(), 503);
    soon(first.close(taiwa::CloseCode::NORMAL, "")).await.unwrap();
    // The server notices the end a moment later than the client.
    soon(async {
        while taiwa::connect(&format!("ws://{addr}/")).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn one_server_listens_on_several_addresses() {
    let server = Server::bind("127.0.0.1:0").await.unwrap().listen("127.0.0.1:0").await.unwrap();
    let addrs = server.local_addrs().unwrap();
    assert_eq!(addrs.len(), 2);
    run(server.serve(echo));
    for addr in addrs {
        let mut socket = connect(addr).await;
        socket.send("x").await.unwrap();
        assert_eq!(soon(socket.recv()).await.unwrap(), Some("x".into()));
    }
}
