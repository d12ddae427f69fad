//! Clients prove their address when many handshakes are under way: what goes over the wire then.

use std::sync::Arc;

use tokio::{net::UdpSocket, sync::mpsc, task::JoinSet};

use super::{
    super::{echo, run},
    *,
};

/// RFC 9000 §17.2.5: a long header whose type is 3.
const RETRY: u8 = 0b1111;

/// Stands between a client and the server, and tells how each datagram of the server begins.
struct Relay {
    addr: SocketAddr,
    told: mpsc::UnboundedReceiver<u8>,
    _tasks: JoinSet<()>,
}

/// What a relay does with what the server says.
#[derive(Clone, Copy, PartialEq)]
enum Answers {
    Arrive,
    AreLost,
}

impl Relay {
    async fn before(server: SocketAddr, answers: Answers) -> Self {
        let front = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let back = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        back.connect(server).await.unwrap();
        let addr = front.local_addr().unwrap();
        let (tell, told) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let (mut there, mut here, mut client) = ([0; 2048], [0; 2048], None);
            loop {
                tokio::select! {
                    Ok((len, from)) = front.recv_from(&mut there) => {
                        client = Some(from);
                        let _ = back.send(&there[..len]).await;
                    }
                    Ok(len) = back.recv(&mut here) => {
                        let _ = tell.send(here[0] >> 4);
                        if let (Some(client), Answers::Arrive) = (client, answers) {
                            let _ = front.send_to(&here[..len], client).await;
                        }
                    }
                }
            }
        });
        Self { addr, told, _tasks: tasks }
    }

    async fn first(&mut self) -> u8 {
        soon(self.told.recv()).await.expect("the server answers")
    }
}

/// Begins a handshake that never gets on; returns once the server has answered, with how it did.
async fn hang(server: SocketAddr, root: &str, hanging: &mut JoinSet<()>) -> u8 {
    let mut relay = Relay::before(server, Answers::AreLost).await;
    let (addr, root) = (relay.addr, root.to_owned());
    hanging.spawn(async move { drop(Client::try_connect(addr, &root).await) });
    let first = relay.first().await;
    hanging.spawn(async move {
        let _relay = relay;
        std::future::pending().await
    });
    first
}

#[tokio::test]
async fn past_the_limit_of_handshakes_newcomers_prove_their_address_by_a_retry() {
    let (server, addr, root) = server(Http3 { unproven_max: 2, ..Http3::default() }).await;
    run(server.serve(echo));
    let mut hanging = JoinSet::new();
    for number in 0..2 {
        let first = hang(addr, &root, &mut hanging).await;
        assert_ne!(first, RETRY, "handshake {number} is within the limit");
    }
    let mut relay = Relay::before(addr, Answers::Arrive).await;
    let client = Client::connect(relay.addr, &root).await;
    assert_eq!(relay.first().await, RETRY);
    // Once is enough, and the connection is like any other.
    client.open("/").await.echoes("proven").await;
    while let Ok(next) = relay.told.try_recv() {
        assert_ne!(next, RETRY, "a second Retry");
    }
    // One whose address is forged gets no further than that.
    assert_eq!(hang(addr, &root, &mut hanging).await, RETRY);
}

#[tokio::test]
async fn with_no_handshake_unproven_everybody_proves_and_is_served() {
    let (server, addr, root) = server(Http3 { unproven_max: 0, ..Http3::default() }).await;
    run(server.serve(echo));
    for text in ["one", "another"] {
        let mut relay = Relay::before(addr, Answers::Arrive).await;
        let client = Client::connect(relay.addr, &root).await;
        assert_eq!(relay.first().await, RETRY);
        client.open("/").await.echoes(text).await;
    }
}
