//! Halves of split connections over real sockets, in many tasks on several threads.

use std::{collections::HashMap, future::pending};

use taiwa::{Client, CloseCode, Deflate, Error, Kind, Message, Prepared, Upgrade, WebSocket};
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet};

use super::{bind, connect, run, soon};

/// A server's and a client's end of one connection. The server's closure runs on until its socket is gone.
async fn both_ends() -> (WebSocket, WebSocket) {
    let (server, addr) = bind().await;
    let (tell, mut told) = mpsc::unbounded_channel();
    run(server.serve(move |upgrade: Upgrade| {
        let tell = tell.clone();
        async move {
            tell.send(upgrade.accept().await?).map_err(drop).expect("the test goes on");
            pending::<Result<(), Error>>().await
        }
    }));
    let client = connect(addr).await;
    (soon(told.recv()).await.expect("a socket"), client)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_senders_in_many_tasks_lose_nothing_and_keep_each_ones_order() {
    const SENDERS: u32 = 40;
    const EACH: u32 = 250;
    let (server, client) = both_ends().await;
    let tasks = |socket: WebSocket| {
        let (sender, mut receiver) = socket.split();
        let mut senders = JoinSet::new();
        for number in 0..SENDERS {
            let sender = sender.clone();
            senders.spawn(async move {
                for i in 0..EACH {
                    let len = if i % 50 == 0 { 100_000 } else { 10 };
                    let mut bytes = [number.to_be_bytes(), i.to_be_bytes()].concat();
                    bytes.resize(8 + len, i as u8);
                    match i % 10 {
                        0 => sender.send_prepared(&Prepared::new(bytes)).await.unwrap(),
                        1 => sender.reserve().await.unwrap().send(bytes).unwrap(),
                        2 => {
                            let mut message = sender.send_stream(Kind::Binary);
                            message.write(&bytes).await.unwrap();
                            message.finish().await.unwrap();
                        }
                        3 => {
                            sender.send(bytes).await.unwrap();
                            // Busy: the receiver is behind by more than is kept for it. OutboxFull: the
                            // peer's is, and the last message that had room was a long one.
                            let pinged = sender.ping().await;
                            let all_is_well =
                                matches!(pinged, Ok(_) | Err(Error::Busy | Error::OutboxFull));
                            assert!(all_is_well, "{pinged:?}");
                        }
                        _ => sender.send(bytes).await.unwrap(),
                    }
                }
            });
        }
        tokio::spawn(async move {
            let mut next: HashMap<u32, u32> = HashMap::new();
            for _ in 0..SENDERS * EACH {
                let message = receiver.recv().await.unwrap().expect("more is to come");
                let bytes = message.as_bytes();
                let at = |i: usize| u32::from_be_bytes(bytes[i..i + 4].try_into().unwrap());
                let expected = next.entry(at(0)).or_default();
                assert_eq!(at(4), *expected, "of sender {}", at(0));
                assert!(bytes[8..].iter().all(|it| *it == *expected as u8), "damaged");
                *expected += 1;
            }
            while let Some(sent) = senders.join_next().await {
                sent.unwrap();
            }
            (sender, receiver)
        })
    };
    let (ours, theirs) = (tasks(server), tasks(client));
    let (sender, mut receiver) = soon(ours).await.unwrap();
    let (_other, mut peer) = soon(theirs).await.unwrap();
    let all = u64::from(SENDERS * EACH);
    assert_eq!((receiver.stats().received.messages, peer.stats().received.messages), (all, all));
    let closing = tokio::spawn(async move { sender.close(CloseCode::new(4000), "done").await });
    assert_eq!(soon(peer.recv()).await.unwrap(), None);
    assert_eq!(soon(receiver.recv()).await.unwrap(), None);
    let closed = soon(closing).await.unwrap().unwrap();
    assert_eq!((closed.code.get(), closed.clean), (4000, true));
    assert_eq!(peer.closed().unwrap().code.get(), 4000);
}

#[tokio::test]
async fn a_sender_closes_whether_the_receiver_waits_or_not() {
    for waits in [true, false] {
        let (server, mut client) = both_ends().await;
        let (sender, mut receiver) = server.split();
        client.send("kept").await.unwrap();
        let waiting = waits.then(|| {
            tokio::spawn(async move {
                assert_eq!(receiver.recv().await.unwrap(), Some("kept".into()));
                receiver.recv().await.unwrap()
            })
        });
        let peer = tokio::spawn(async move { (client.recv().await.unwrap(), client) });
        let closed = soon(sender.close(CloseCode::NORMAL, "bye")).await.unwrap();
        assert!(closed.clean && sender.is_closed());
        let (received, client) = soon(peer).await.unwrap();
        assert_eq!((received, &*client.closed().unwrap().reason), (None, "bye"));
        if let Some(waiting) = waiting {
            assert_eq!(soon(waiting).await.unwrap(), None);
        }
        assert!(matches!(sender.send("late").await, Err(Error::Closed(_))));
    }
}

#[tokio::test]
async fn what_a_server_drops_is_closed_with_1000_and_what_a_client_drops_with_1001() {
    let (server, mut client) = both_ends().await;
    let (sender, receiver) = server.split();
    let further = sender.clone();
    drop(receiver);
    sender.send("without a receiver").await.unwrap();
    drop(sender);
    further.send("by the last").await.unwrap();
    for expected in ["without a receiver", "by the last"] {
        assert_eq!(soon(client.recv()).await.unwrap(), Some(expected.into()));
    }
    drop(further);
    assert_eq!(soon(client.recv()).await.unwrap(), None);
    assert_eq!(client.closed().unwrap().code, CloseCode::NORMAL);

    let (mut server, client) = both_ends().await;
    let (sender, mut receiver) = client.split();
    drop(sender);
    server.send("to the receiver").await.unwrap();
    assert_eq!(soon(receiver.recv()).await.unwrap(), Some("to the receiver".into()));
    drop(receiver);
    assert_eq!(soon(server.recv()).await.unwrap(), None);
    assert_eq!(server.closed().unwrap().code, CloseCode::GOING_AWAY);
}

/// Clients of which each agrees on another way of compressing, or none.
fn clients() -> Vec<Client> {
    let with = |deflate: Option<Deflate>| {
        let builder = Client::builder();
        let builder = match deflate {
            Some(deflate) => builder.compression(deflate),
            None => builder,
        };
        builder.build().unwrap()
    };
    let keep = Deflate { keep_our_context: true, keep_peer_context: true, ..Deflate::default() };
    let narrow = Deflate { window_bits: 9, ..Deflate::default() };
    [None, Some(Deflate::default()), Some(keep), Some(narrow)].map(with).into()
}

#[tokio::test]
async fn a_prepared_message_reaches_receivers_of_every_kind_between_other_messages() {
    let word = "dialogue 対話 ".repeat(500);
    let (server, addr) = bind().await;
    let prepared = Prepared::new(word.as_str());
    let from_server = prepared.clone();
    let deflate = Deflate { keep_our_context: true, keep_peer_context: true, ..Deflate::default() };
    run(server.compression(deflate).serve(move |upgrade: Upgrade| {
        let prepared = from_server.clone();
        async move {
            let (sender, mut receiver) = upgrade.accept().await?.split();
            for i in 0..3 {
                sender.send_prepared(&prepared).await?;
                sender.send(format!("{i} {}", prepared.message().as_text().unwrap())).await?;
                sender.reserve().await?.send_prepared(&prepared)?;
            }
            // What the client prepared comes back.
            while let Some(message) = receiver.recv().await? {
                sender.send(message).await?;
            }
            Ok::<(), Error>(())
        }
    }));
    let mut compressed = 0;
    for client in clients().iter().chain(&clients()) {
        let mut socket = soon(client.connect(&format!("ws://{addr}/"))).await.unwrap();
        for i in 0..3 {
            for expected in [word.clone(), format!("{i} {word}"), word.clone()] {
                let received = soon(socket.recv()).await.unwrap();
                assert!(received == Some(Message::from(expected)), "{i} {:?}", socket.deflate());
            }
        }
        for _ in 0..3 {
            socket.send_prepared(&prepared).await.unwrap();
            socket.send(format!("not prepared {word}")).await.unwrap();
            for expected in [word.clone(), format!("not prepared {word}")] {
                assert_eq!(soon(socket.recv()).await.unwrap(), Some(expected.into()));
            }
        }
        let stats = socket.stats();
        assert_eq!((stats.received.messages, stats.sent.messages), (15, 6));
        assert_eq!((stats.received.frames, stats.sent.frames, stats.outbox_bytes), (15, 6, 0));
        let ratios = [stats.received.ratio().unwrap(), stats.sent.ratio().unwrap()];
        match socket.deflate() {
            Some(_) => assert!(ratios.iter().all(|it| *it < 0.2), "{ratios:?}"),
            None => assert!(ratios.iter().all(|it| (1.0..1.1).contains(it)), "{ratios:?}"),
        }
        compressed += u32::from(socket.deflate().is_some());
        assert!(soon(socket.close(CloseCode::NORMAL, "")).await.unwrap().clean);
    }
    assert_eq!(compressed, 6);
}

#[tokio::test]
async fn a_thousand_pings_measure_the_round_trip() {
    let (mut server, client) = both_ends().await;
    let (sender, mut receiver) = client.split();
    tokio::spawn(async move { server.recv().await });
    let receiving = tokio::spawn(async move { (receiver.recv().await, receiver) });
    assert_eq!(sender.stats().round_trip, None);
    let mut tasks = Vec::new();
    for _ in 0..10 {
        let sender = sender.clone();
        tasks.push(tokio::spawn(async move {
            for _ in 0..100 {
                sender.ping().await.unwrap();
            }
        }));
    }
    for task in tasks {
        soon(task).await.unwrap();
    }
    let stats = sender.stats();
    assert_eq!((stats.sent.frames, stats.received.frames), (1000, 1000));
    assert_eq!((stats.sent.messages, stats.sent.message_bytes), (0, 0));
    // A client's Ping with 8 bytes has 14 on the wire, a server's Pong 10.
    assert_eq!((stats.sent.wire_bytes, stats.received.wire_bytes), (14_000, 10_000));
    assert!(stats.round_trip.is_some() && stats.sent.ratio().is_none());
    assert!(soon(sender.close(CloseCode::NORMAL, "")).await.unwrap().clean);
    let (received, receiver) = soon(receiving).await.unwrap();
    assert!(received.unwrap().is_none() && receiver.closed().unwrap().clean);
}

#[tokio::test]
async fn halves_work_over_any_transport() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let server = taiwa::Server::from_listener(listener).unwrap();
    run(server.serve(super::echo));
    let tcp = tokio::net::TcpStream::connect(addr).await.unwrap();
    let client = Client::builder().build().unwrap();
    let (socket, _) = soon(client.connect_over(tcp, "ws://any.example/")).await.unwrap();
    let (sender, mut receiver) = socket.split();
    sender.send("there and back").await.unwrap();
    assert_eq!(soon(receiver.recv()).await.unwrap(), Some("there and back".into()));
    assert_eq!(sender.subprotocol(), None);
    let socket = receiver.reunite(sender).unwrap();
    drop(socket);
}
