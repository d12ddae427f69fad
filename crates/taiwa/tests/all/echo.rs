//! Messages there and back.

use bytes::Bytes;
use taiwa::{Client, CloseCode, Deflate, Error, Limits, Message, Side, Upgrade};

use super::{bind, connect, echo, echo_server, run, soon};

#[tokio::test]
async fn messages_of_both_kinds_and_all_sizes_come_back_as_they_went() {
    let mut socket = connect(echo_server().await).await;
    for len in [0, 1, 125, 126, 65_535, 65_536, 300_000, 1 << 20] {
        let bytes: Bytes = (0..len).map(|it| (it * 7) as u8).collect();
        for message in [Message::Binary(bytes), Message::from("語".repeat(len / 3))] {
            let back = soon(async {
                socket.send(message.clone()).await?;
                socket.recv().await
            });
            assert_eq!(back.await.unwrap(), Some(message));
        }
    }
    let closed = soon(socket.close(CloseCode::new(4321), "bye")).await.unwrap();
    assert_eq!((closed.code.get(), closed.by, closed.clean), (4321, Side::Us, true));
    assert_eq!(socket.recv().await.unwrap(), None);
}

#[tokio::test]
async fn many_messages_sent_before_any_is_received_come_back_in_order() {
    let mut socket = connect(echo_server().await).await;
    for number in 0..1000 {
        soon(socket.send(number.to_string())).await.unwrap();
    }
    for number in 0..1000 {
        let message = soon(socket.recv()).await.unwrap();
        assert_eq!(message, Some(number.to_string().into()));
    }
}

#[tokio::test]
async fn compressed_messages_come_back_as_they_went() {
    for keep in [false, true] {
        let deflate =
            Deflate { keep_our_context: keep, keep_peer_context: keep, ..Deflate::default() };
        let (server, addr) = bind().await;
        run(server.compression(deflate.clone()).serve(echo));
        let client = Client::builder().compression(deflate).build().unwrap();
        let mut socket = soon(client.connect(&format!("ws://{addr}/"))).await.unwrap();
        let agreed = *socket.deflate().expect("agreed on");
        assert_eq!(agreed.server_no_context_takeover, !keep);
        for round in 0..50 {
            let message = Message::from(format!("{round}: {}", "round and round ".repeat(round)));
            soon(socket.send(message.clone())).await.unwrap();
            assert_eq!(soon(socket.recv()).await.unwrap(), Some(message));
        }
    }
}

#[tokio::test]
async fn a_message_over_the_limit_closes_with_1009() {
    let (server, addr) = bind().await;
    run(server.limits(Limits { message_bytes_max: 1000, ..Limits::default() }).serve(echo));
    let mut socket = connect(addr).await;
    soon(socket.send(vec![0; 1000])).await.unwrap();
    assert_eq!(soon(socket.recv()).await.unwrap(), Some(vec![0; 1000].into()));
    soon(socket.send(vec![0; 1001])).await.unwrap();
    assert_eq!(soon(socket.recv()).await.unwrap(), None);
    let closed = socket.closed().unwrap();
    assert_eq!((closed.code, closed.by), (CloseCode::MESSAGE_TOO_BIG, Side::Peer));
    let error = socket.send("late").await.unwrap_err();
    assert_eq!(error.close_code(), Some(CloseCode::MESSAGE_TOO_BIG));
    assert!(matches!(error, Error::Closed(_)) && !error.is_retryable());
}

#[tokio::test]
async fn the_round_trip_of_a_ping_is_measured_in_both_directions() {
    let (server, addr) = bind().await;
    run(server.serve(|upgrade: Upgrade| async move {
        let mut socket = upgrade.accept().await?;
        let round_trip = socket.ping().await?;
        socket.send(format!("{}", round_trip.as_nanos())).await?;
        while socket.recv().await?.is_some() {}
        Ok::<(), Error>(())
    }));
    let mut socket = connect(addr).await;
    let told = soon(socket.recv()).await.unwrap().unwrap();
    assert!(told.as_text().unwrap().parse::<u64>().unwrap() > 0);
    assert!(soon(socket.ping()).await.unwrap().as_nanos() > 0);
    assert_eq!(socket.peer_addr(), Some(addr));
}
