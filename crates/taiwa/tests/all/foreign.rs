//! Other libraries at the other end, in both directions: tokio-tungstenite here.

mod fastwebsockets;
mod tokio_websockets;
mod wtransport;

use futures_util::{SinkExt, StreamExt};
use taiwa::CloseCode;
use tokio::net::TcpListener;
use tokio_tungstenite::{
    accept_async, connect_async,
    tungstenite::{Message as Foreign, protocol::frame::coding::CloseCode as ForeignCode},
};

use super::{echo_server, soon};

#[tokio::test]
async fn a_foreign_client_talks_to_our_server() {
    let addr = echo_server().await;
    let (mut foreign, _) = soon(connect_async(format!("ws://{addr}/"))).await.unwrap();
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

#[tokio::test]
async fn our_client_talks_to_a_foreign_server() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let (mut foreign, mut code) = (accept_async(tcp).await.unwrap(), None);
        while let Some(message) = foreign.next().await {
            match message.unwrap() {
                Foreign::Close(frame) => code = frame.map(|it| it.code),
                message if message.is_ping() || message.is_pong() => {}
                message => foreign.send(message).await.unwrap(),
            }
        }
        code
    });
    let mut socket = soon(taiwa::connect(&format!("ws://{addr}/"))).await.unwrap();
    for len in [0, 125, 126, 70_000] {
        let messages: [taiwa::Message; 2] = [vec![9; len].into(), "語".repeat(len).into()];
        for message in messages {
            soon(socket.send(message.clone())).await.unwrap();
            assert_eq!(soon(socket.recv()).await.unwrap(), Some(message));
        }
    }
    soon(socket.ping()).await.unwrap();
    let closing = tokio::spawn(async move { socket.close(CloseCode::NORMAL, "done").await });
    assert_eq!(soon(server).await.unwrap(), Some(ForeignCode::Normal));
    assert!(soon(closing).await.unwrap().unwrap().clean);
}
