//! tokio-websockets at the other end, in both directions.

use ::tokio_websockets::{
    ClientBuilder, CloseCode as ForeignCode, Message as Foreign, ServerBuilder,
};
use futures_util::{SinkExt, StreamExt};
use taiwa::{CloseCode, Message};
use tokio::net::TcpListener;

use super::super::{echo_server, soon};

#[tokio::test]
async fn its_client_talks_to_our_server() {
    let addr = echo_server().await;
    let uri = format!("ws://{addr}/").parse().expect("a URI");
    let (mut foreign, _) = soon(ClientBuilder::from_uri(uri).connect()).await.expect("it upgrades");
    for len in [0, 125, 126, 70_000] {
        for message in [Foreign::binary(vec![9; len]), Foreign::text("語".repeat(len))] {
            soon(foreign.send(message.clone())).await.expect("open");
            let echo = soon(foreign.next()).await.expect("open").expect("a message");
            assert!(echo.as_payload()[..] == message.as_payload()[..], "{len}");
            assert_eq!(echo.is_text(), message.is_text());
        }
    }
    soon(foreign.send(Foreign::ping("?"))).await.expect("open");
    let pong = soon(foreign.next()).await.expect("open").expect("a message");
    assert!(pong.is_pong() && pong.as_payload()[..] == *b"?");
    let close = Foreign::close(Some(ForeignCode::NORMAL_CLOSURE), "done");
    soon(foreign.send(close)).await.expect("open");
    let close = soon(foreign.next()).await.expect("the answer").expect("a message");
    assert_eq!(close.as_close(), Some((ForeignCode::NORMAL_CLOSURE, "done")));
}

#[tokio::test]
async fn our_client_talks_to_its_server() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    let server = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.expect("a client");
        let (_, mut foreign) = ServerBuilder::new().accept(tcp).await.expect("it upgrades");
        let mut close = None;
        while let Some(message) = foreign.next().await {
            let message = message.expect("a good message");
            if let Some((code, reason)) = message.as_close() {
                close = Some((u16::from(code), reason.to_owned()));
            } else if message.is_text() || message.is_binary() {
                foreign.send(message).await.expect("open");
            }
        }
        close
    });
    let mut socket = soon(taiwa::connect(&format!("ws://{addr}/"))).await.expect("it upgrades");
    for len in [0, 125, 126, 70_000] {
        let messages: [Message; 2] = [vec![9; len].into(), "語".repeat(len).into()];
        for message in messages {
            soon(socket.send(message.clone())).await.expect("open");
            assert_eq!(soon(socket.recv()).await.expect("open"), Some(message));
        }
    }
    soon(socket.ping()).await.expect("it answers");
    let closed = soon(socket.close(CloseCode::NORMAL, "done")).await.expect("it answers");
    assert!(closed.clean && closed.code == CloseCode::NORMAL);
    assert_eq!(soon(server).await.expect("it ends"), Some((1000, "done".to_owned())));
}
