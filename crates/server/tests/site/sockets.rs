//! WebSockets: what they ask, what they hear, in which order, how they end.

use std::time::Duration;

use taiwa_core::{Channel, Disconnect, Payload};
use taiwa_server::hub::{Done, Order, Which, Whom};

use super::{Stage, Terms, closed, said, soon};

#[tokio::test]
async fn what_one_says_all_hear_in_the_words_of_their_dialect() {
    let mut stage = Stage::with(Terms { shards: 3, ..Terms::default() }).await;
    let mut all = vec![];
    for name in ["a", "b", "c", "d"] {
        let mut socket = stage.connect(&format!("/ws?name={name}")).await;
        socket.send("connect; hear news").await.unwrap();
        stage.hears(&format!("{name}: hear: subscribed")).await;
        all.push(socket);
    }
    all[0].send("say news first; say news second").await.unwrap();
    for socket in &mut all {
        assert_eq!(said(socket).await, "all: first");
        assert_eq!(said(socket).await, "all: second");
    }
    all[1].send("send 0 last words; end 4002 enough; send 0 too late").await.unwrap();
    assert_eq!(said(&mut all[1]).await, "last words");
    assert_eq!(closed(&mut all[1]).await, (4002, "enough".into()));
    drop(all);
    stage.hears("a: left 0").await;
}

#[tokio::test]
async fn every_question_has_its_answer() {
    let mut stage = Stage::new().await;
    let mut socket = stage.connect("/ws?name=p").await;
    for (orders, answers) in [
        ("hear early", &["hear: refused Unauthorized"][..]),
        ("connect", &["connect: connected"]),
        ("connect", &["connect: refused BadRequest"]),
        ("listen own", &["listen: subscribed"]),
        ("say own word", &["said word", "say: published"]),
        ("presence own", &["presence: presence 1"]),
        ("counts own", &["counts: counts 1 1"]),
        ("history own", &["history: history 1"]),
        ("call method word", &["call: answer word"]),
        ("tell word", &["tell: done"]),
        ("leave own", &["leave: done"]),
        ("keep", &["keep: kept"]),
        ("go", &["go: done"]),
    ] {
        socket.send(orders).await.unwrap();
        for answer in answers {
            stage.hears(&format!("p: {answer}")).await;
        }
    }
}

#[tokio::test]
async fn whoever_runs_the_server_calls_tells_and_sends_away() {
    let mut stage = Stage::with(Terms { shards: 2, ..Terms::default() }).await;
    let mut socket = stage.connect("/ws?name=p").await;
    socket.send("connect").await.unwrap();
    stage.hears("p: connect: connected").await;
    let control = stage.running.control().clone();
    let order = |order| {
        let control = control.clone();
        async move { soon(control.order(order)).await.expect("it is done") }
    };
    let sessions = Order::Sessions { whom: Whom::All, limit: 10 };
    let Done::Sessions(sessions) = order(sessions).await else { panic!("another answer") };
    let session = sessions[0].session;
    let call = Order::Call {
        session,
        which: Which::Usual,
        method: "back".into(),
        args: Payload::Text("word".into()).into(),
        deadline: Duration::from_secs(5),
    };
    let Done::Answer(Payload::Text(answer)) = order(call).await else { panic!("another answer") };
    assert_eq!(answer, "word");
    stage.hears("p: called back").await;
    let args = Payload::Text("a secret".into()).into();
    let whom = Whom::Session(session);
    order(Order::Tell { whom, which: Which::Usual, event: None, args }).await;
    stage.hears("p: told a secret").await;
    let why = Disconnect::App { code: 4123, reason: "go".into(), may_return: false };
    order(Order::Disconnect { whom: Whom::All, which: None, why }).await;
    stage.hears("p: sent away App").await;
    assert!(said(&mut socket).await.starts_with("bye App"));
    assert_eq!(closed(&mut socket).await, (4001, "bye".into()));
    stage.is_empty().await;
}

/// An event waits for its conversation, what is encoded for all does not: neither overtakes the other.
#[tokio::test]
async fn what_is_for_one_and_what_is_for_all_comes_in_the_order_in_which_it_was_said() {
    let mut stage = Stage::new().await;
    let mut hearer = stage.connect("/ws?name=h").await;
    hearer.send("connect; hear all; listen own").await.unwrap();
    stage.hears("h: listen: subscribed").await;
    let mut sayer = stage.connect("/ws?name=s").await;
    sayer.send("connect").await.unwrap();
    stage.hears("s: connect: connected").await;
    for round in 0..50 {
        let orders =
            format!("say all {round}a; say own {round}b; say own {round}c; say all {round}d");
        sayer.send(orders).await.unwrap();
    }
    for round in 0..50 {
        for (how, which) in [("all", "a"), ("own", "b"), ("own", "c"), ("all", "d")] {
            assert_eq!(said(&mut hearer).await, format!("{how}: {round}{which}"));
        }
    }
}

#[tokio::test]
async fn a_conversation_wakes_when_it_wants_to() {
    let mut stage = Stage::new().await;
    let mut socket = stage.connect("/ws?name=p").await;
    let start = std::time::Instant::now();
    socket.send("alarm 200").await.unwrap();
    stage.hears("p: rang").await;
    assert!(start.elapsed() >= Duration::from_millis(200), "{:?}", start.elapsed());
    // One that was put off does not ring, nor one that was called off.
    socket.send("alarm 100").await.unwrap();
    socket.send("alarm 500").await.unwrap();
    let start = std::time::Instant::now();
    stage.hears("p: rang").await;
    assert!(start.elapsed() >= Duration::from_millis(400), "{:?}", start.elapsed());
    socket.send("alarm 100").await.unwrap();
    socket.send("sleep; send 0 asleep").await.unwrap();
    assert_eq!(said(&mut socket).await, "asleep");
    tokio::time::sleep(Duration::from_millis(300)).await;
    stage.has_not_heard("p: rang");
}

#[tokio::test]
async fn who_does_not_read_what_it_asked_for_is_not_read() {
    let mut config = Terms::default().config;
    config.limits.outbox_bytes_max = 64 << 10;
    let mut stage = Stage::with(Terms { config, ..Terms::default() }).await;
    let socket = stage.connect("/ws?name=p").await;
    let (sender, mut receiver) = socket.split();
    let flood = tokio::spawn(async move {
        for _ in 0..2000 {
            sender.send(vec![7; 16 << 10]).await.unwrap();
        }
        sender.send("end 4000 all").await.unwrap();
    });
    // Until all buffers between are full.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let queued = stage.running.control().look(0).await[0].queued_bytes;
    assert!(queued <= (64 << 10) + (16 << 10), "{queued} bytes wait");
    assert!(!flood.is_finished(), "32 MB wait somewhere");
    let mut count = 0;
    while let Some(message) = soon(receiver.recv()).await.unwrap() {
        assert_eq!(message.into_bytes().len(), 16 << 10);
        count += 1;
    }
    assert_eq!(count, 2000);
    soon(flood).await.unwrap();
    stage.is_empty().await;
    stage.has_not_heard("p: sent away");
}

#[tokio::test]
async fn publications_reach_channels_of_any_shard() {
    let mut stage = Stage::with(Terms { shards: 4, ..Terms::default() }).await;
    let mut hearer = stage.connect("/ws?name=h").await;
    let orders: String = (0..16).map(|it| format!("hear channel{it};")).collect();
    hearer.send(format!("connect; {orders}")).await.unwrap();
    for _ in 0..16 {
        stage.hears("h: hear: subscribed").await;
    }
    for it in 0..16 {
        let channel = Channel::parse(&format!("channel{it}")).unwrap();
        let payload = Payload::Text(it.to_string().into());
        let publish = taiwa_core::Publish::new(channel, payload);
        let done = soon(stage.running.control().order(Order::Publish(Box::new(publish)))).await;
        assert!(matches!(done, Ok(Done::Published(_))), "{done:?}");
        assert_eq!(said(&mut hearer).await, format!("all: {it}"));
    }
}

#[tokio::test]
async fn a_text_of_a_dialect_that_is_none_is_not_sent() {
    let stage = Stage::new().await;
    let mut socket = stage.connect("/ws?name=p").await;
    for orders in ["garble 0", "garble 0; send 0 x"] {
        socket.send(orders).await.unwrap();
    }
    assert_eq!(said(&mut socket).await, "x");
}
