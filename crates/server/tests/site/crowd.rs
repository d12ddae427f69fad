//! Crowds that come and go at once.

use std::time::{Duration, Instant};

use http::Method;

use super::{Stage, Terms, said, soon};

/// Sockets that are lost at the same moment.
const CROWD: usize = 2000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn newcomers_are_served_while_thousands_are_lost() {
    let mut stage = Stage::with(Terms { shards: 2, ..Terms::default() }).await;
    let mut crowd = vec![];
    for _ in 0..CROWD {
        let mut socket = stage.connect("/ws?name=c").await;
        socket.send("connect; hear news; hear more; listen own").await.unwrap();
        crowd.push(socket);
    }
    for _ in 0..CROWD {
        stage.hears("c: listen: subscribed").await;
    }
    drop(crowd);
    let mut longest = Duration::ZERO;
    for number in 0..20 {
        let begun = Instant::now();
        let mut socket = stage.connect("/ws?name=n").await;
        socket.send(format!("connect; hear news; say news {number}")).await.unwrap();
        assert_eq!(said(&mut socket).await, format!("all: {number}"));
        longest = longest.max(begun.elapsed());
        drop(socket);
    }
    // Built for debugging, beside other tests: the bench has the number that is promised.
    assert!(longest < Duration::from_secs(2), "{longest:?}");
    for _ in 0..CROWD {
        stage.hears("c: left 0").await;
    }
    stage.is_empty().await;
}

#[tokio::test]
async fn many_streams_hear_the_same_and_are_all_missed_in_the_end() {
    let mut stage = Stage::with(Terms { shards: 2, ..Terms::default() }).await;
    let mut streams = vec![];
    for number in 0..100 {
        let target = format!("/http?name=s{number}");
        let orders = "connect; hear news; reply stream; flow this";
        streams.push(stage.ask(stage.request(Method::POST, &target, orders)).await);
        stage.hears(&format!("s{number}: hear: subscribed")).await;
    }
    let mut sayer = stage.connect("/ws?name=w").await;
    sayer.send("connect; say news word").await.unwrap();
    for stream in &mut streams {
        use http_body_util::BodyExt;
        let frame = soon(stream.body_mut().frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "all: word");
    }
    drop((streams, sayer));
    for number in 0..100 {
        stage.hears(&format!("s{number}: left 0")).await;
    }
    stage.is_empty().await;
}
