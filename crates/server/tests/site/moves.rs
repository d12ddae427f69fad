//! Sessions that are taken up again, by a conversation that began on another shard.

use super::{Stage, Terms, closed, said};

#[tokio::test]
async fn a_client_that_comes_back_to_another_shard_goes_on_while_it_talks() {
    let mut stage = Stage::with(Terms { shards: 3, ..Terms::default() }).await;
    // Clients go to the shards in turn: of these, some come back to their own shard, most to another.
    for round in 0..9 {
        let mut first = stage.connect(&format!("/ws?name=a{round}")).await;
        first.send("connect; keep; listen news").await.unwrap();
        let key = stage.hears(&format!("a{round}: keep: kept")).await;
        stage.hears(&format!("a{round}: listen: subscribed")).await;
        drop(first);
        stage.hears(&format!("a{round}: left 0")).await;
        if round % 2 == 0 {
            drop(stage.connect("/ws?name=between").await);
        }
        let mut second = stage.connect(&format!("/ws?name=b{round}")).await;
        // It goes on talking while it is taken there: nothing is lost, nothing overtakes.
        second.send(format!("connect {key}; send 0 moves")).await.unwrap();
        for number in 0..500 {
            second.send(format!("send 0 {number}")).await.unwrap();
        }
        assert_eq!(said(&mut second).await, "moves");
        for number in 0..500 {
            assert_eq!(said(&mut second).await, number.to_string());
        }
        stage.hears(&format!("b{round}: connect: connected Whole")).await;
        second.send(format!("say news {round}")).await.unwrap();
        assert_eq!(said(&mut second).await, format!("own: {round}"));
        stage.hears(&format!("b{round}: say: published")).await;
        second.send("end 4000 done").await.unwrap();
        assert_eq!(closed(&mut second).await, (4000, "done".into()));
    }
    stage.is_empty().await;
}

#[tokio::test]
async fn a_client_that_moves_takes_along_what_was_said_to_it_and_its_numbers() {
    let mut stage = Stage::with(Terms { shards: 2, ..Terms::default() }).await;
    let mut first = stage.connect("/ws?name=a").await;
    first.send("connect; keep; hear news").await.unwrap();
    let key = stage.hears("a: keep: kept").await;
    stage.hears("a: hear: subscribed").await;
    drop(first);
    stage.hears("a: left 0").await;
    let mut second = stage.connect("/ws?name=b").await;
    second.send("send 0 1; send 0 2").await.unwrap();
    second.send(format!("flow none; alarm 300; connect {key}")).await.unwrap();
    stage.hears("b: connect: connected Whole").await;
    // Its alarm rings on the other shard, too; and no line was named for what all hear.
    stage.hears("b: rang").await;
    second.send("say news word; send 0 before").await.unwrap();
    stage.hears("b: say: published").await;
    second.send("flow 0").await.unwrap();
    for expected in ["1", "2", "before", "all: word"] {
        assert_eq!(said(&mut second).await, expected);
    }
    let shards = stage.running.control().look(10).await;
    let rows: Vec<_> = shards.iter().flat_map(|it| &it.rows).collect();
    assert_eq!((rows.len(), rows[0].received), (1, 4));
    drop(second);
    stage.hears("b: left 0").await;
}

#[tokio::test]
async fn a_client_over_http_that_comes_back_to_another_shard_goes_on() {
    let mut stage = Stage::with(Terms { shards: 3, ..Terms::default() }).await;
    for round in 0..9 {
        let mut first = stage.connect(&format!("/ws?name=a{round}")).await;
        first.send("connect; keep").await.unwrap();
        let key = stage.hears(&format!("a{round}: keep: kept")).await;
        drop(first);
        stage.hears(&format!("a{round}: left 0")).await;
        if round % 2 == 0 {
            drop(stage.connect("/ws?name=between").await);
        }
        // Some have a WebSocket already, and a request that waits.
        let orders = if round % 2 == 0 { format!("connect {key}") } else { "flow none".into() };
        let address = stage.open(&format!("b{round}"), &orders).await;
        if round % 2 == 1 {
            let mut socket = stage.connect(&format!("/join?to={address}")).await;
            stage.hears(&format!("b{round}: joined 1")).await;
            let target = format!("/http?to={address}");
            let (waited, ()) = tokio::join!(stage.post(&target, "later"), async {
                let key = key.clone();
                socket.send("send 1 early").await.unwrap();
                assert_eq!(said(&mut socket).await, "early");
                while stage
                    .running
                    .control()
                    .look(1)
                    .await
                    .iter()
                    .all(|it| it.rows.iter().all(|it| it.received < 3))
                {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
                socket.send(format!("connect {key}; send 1 goes")).await.unwrap();
                assert_eq!(said(&mut socket).await, "goes");
                socket.send("answer 2 200 there").await.unwrap();
            });
            assert_eq!(waited, (200, "there".into()));
            stage.hears(&format!("b{round}: connect: connected Whole")).await;
            socket.send("send 1 on; end 1000 done").await.unwrap();
            assert_eq!(said(&mut socket).await, "on");
            assert_eq!(closed(&mut socket).await, (1000, "done".into()));
            assert_eq!(stage.post(&target, "reply 200").await.0, 404, "it is over");
            continue;
        }
        stage.hears(&format!("b{round}: connect: connected Whole")).await;
        // Its requests go on to reach it where it began.
        let target = format!("/http?to={address}");
        let orders = format!("hear news; say news {round}; reply poll; flow this");
        assert_eq!(stage.post(&target, &orders).await, (200, format!("all: {round}")));
        // So does a WebSocket.
        let mut socket = stage.connect(&format!("/join?to={address}")).await;
        stage.hears(&format!("b{round}: joined 2")).await;
        stage.post(&target, "send 2 over; reply 204").await;
        assert_eq!(said(&mut socket).await, "over");
        stage.post(&target, "reply 204; end 1000 done").await;
        assert_eq!(closed(&mut socket).await, (1000, "done".into()));
        assert_eq!(stage.post(&target, "reply 200").await.0, 404, "it is over");
    }
    stage.is_empty().await;
}
