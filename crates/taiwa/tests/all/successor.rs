//! One server takes the place of another: on the same port, while connections go on.

use std::net::SocketAddr;

use taiwa::{Listener, Server, Upgrade};
use tokio::{net::TcpSocket, sync::oneshot};

use super::{connect, run, soon};

fn listen(addr: SocketAddr) -> Listener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseport(true).unwrap();
    socket.bind(addr).unwrap();
    socket.listen(64).unwrap().try_into().unwrap()
}

/// Greets each client with `word`, then echoes.
async fn greet(upgrade: Upgrade, word: &'static str) -> Result<(), taiwa::Error> {
    let mut socket = upgrade.accept().await?;
    socket.send(word).await?;
    while let Some(message) = socket.recv().await? {
        socket.send(message).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_successor_gets_all_newcomers_and_the_first_keeps_its_connections() {
    let first = listen("127.0.0.1:0".parse().unwrap());
    assert!(!first.is_shared());
    let addr = first.local_addr().unwrap().tcp().unwrap();
    let own = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let own_addr = own.local_addr().unwrap();
    let server = Server::from_listener(first.shared()).unwrap().listen_on(own).unwrap();
    let (leave, left) = oneshot::channel::<()>();
    let serving = server.serve(|upgrade: Upgrade| greet(upgrade, "first"));
    run(serving.with_successor(async { left.await.unwrap() }));
    let mut before = connect(addr).await;
    assert_eq!(soon(before.recv()).await.unwrap(), Some("first".into()));

    let second = Server::from_listener(listen(addr)).unwrap();
    run(second.serve(|upgrade: Upgrade| greet(upgrade, "second")));
    leave.send(()).unwrap();
    // Until it has left, each gets some.
    soon(async {
        let mut in_a_row = 0;
        while in_a_row < 50 {
            let greeting = connect(addr).await.recv().await.unwrap();
            in_a_row = if greeting == Some("second".into()) { in_a_row + 1 } else { 0 };
        }
    })
    .await;
    soon(before.send("still here")).await.unwrap();
    assert_eq!(soon(before.recv()).await.unwrap(), Some("still here".into()));
    // Nobody else listens there.
    assert_eq!(soon(connect(own_addr).await.recv()).await.unwrap(), Some("first".into()));
}
