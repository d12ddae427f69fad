//! What is Redis's alone: its failures, logins, sockets, and what each call costs.

use std::time::{Duration, Instant};

use taiwa_core::{Cluster, Keep, NodeRegistry, Page, Position, State, Statement};
use taiwa_redis::{Address, Error, Settings, Tls, connect};

use crate::{
    fixture::Fixture,
    node::{KEEP, Line, Node, SILENCE, answer, ask, asked, channel, entry, statement},
    redis::{Server, free_port},
};

const PASSING: Keep = Keep { size: 0, ttl: Duration::ZERO, epoch_ttl: Duration::ZERO };

impl Node {
    pub(crate) async fn with(settings: Settings) -> Self {
        let cluster = Cluster::of(&connect(settings).await.unwrap());
        let diary = std::sync::Arc::<crate::node::Diary>::default();
        cluster.registry.begin(diary.clone());
        Self { id: cluster.registry.node(), cluster, diary }
    }

    async fn is_back(&self, entries_lost: bool) {
        let back = Line::State(State::Back { entries_lost });
        self.diary.until("it is back", |it| it.contains(&back)).await;
    }
}

#[tokio::test]
async fn who_empties_the_server_is_noticed() {
    let Some(server) = Server::begin(&[]).await else { return };
    let a = Node::join(&server).await;
    let chat = channel("chat");
    a.come(&chat, &entry(1, 0, Some("ada"), "")).await;
    // Its first beat has left its mark.
    a.read(&chat, KEEP, Default::default()).await;
    assert_eq!(server.tell(&["FLUSHALL"]).trim(), "OK");
    a.is_back(true).await;
    assert_eq!(a.counts(&chat).await, (0, 0));
    assert!(a.come(&chat, &entry(1, 0, Some("ada"), "")).await);
}

#[tokio::test]
async fn scripts_that_the_server_forgot_are_loaded_again() {
    let Some(server) = Server::begin(&[]).await else { return };
    let a = Node::join(&server).await;
    let chat = channel("chat");
    a.subscribe(&chat, KEEP, 0).await;
    let first = a.say(&chat, "1").await;
    server.tell(&["SCRIPT", "FLUSH"]);
    let says =
        (0..20).map(|_| asked(|then| a.cluster.broker.publish(statement(&chat, KEEP, "x"), then)));
    let mut accepted = vec![];
    for it in says.collect::<Vec<_>>() {
        accepted.extend(answer(it).await.ok().map(|it| it.position.unwrap().offset));
    }
    let last = a.say(&chat, "2").await;
    assert_eq!(last.epoch, first.epoch);
    accepted.push(last.offset);
    assert_eq!(accepted, (2..=last.offset).collect::<Vec<_>>(), "what was accepted is dense");
    assert!(a.diary.lines().iter().all(|it| !matches!(it, Line::State(_))), "it was never lost");
    assert!(counter(&a, "reloads") > 0);
}

#[tokio::test]
async fn a_server_that_fell_back_to_an_older_state_begins_new_epochs() {
    // Snapshots alone.
    let Some(server) = Server::begin(&["--appendonly", "no"]).await else { return };
    let (a, b) = Node::pair(&server).await;
    let (back, held) = (channel("back"), channel("held"));
    for it in [&back, &held] {
        b.subscribe(it, KEEP, 0).await;
    }
    let there = a.say(&held, "1").await;
    let mut before = a.say(&back, "1").await;
    server.tell(&["SAVE"]);
    for said in ["2", "3"] {
        before = a.say(&back, said).await;
    }
    b.diary.until("all", |_| b.diary.heard(&back).len() == 3).await;
    server.end().unwrap();
    server.start().await;
    for node in [&a, &b] {
        node.is_back(false).await;
    }
    let new = a.say(&back, "other").await;
    assert_ne!(new.epoch, before.epoch, "nothing gets the position of what was forgotten");
    assert_eq!(new.offset, 1);
    let next = Position { offset: 2, ..there };
    assert_eq!(a.say(&held, "2").await, next, "what it still has goes on");
    b.diary.until("both", |_| b.diary.heard(&back).len() == 4).await;
}

fn counter(node: &Node, name: &str) -> u64 {
    let look = node.cluster.registry.look();
    look.counters.iter().find(|it| it.0 == name).unwrap().1
}

#[tokio::test]
async fn a_connection_that_is_killed_comes_back_subscribed() {
    let Some(server) = Server::begin(&[]).await else { return };
    let (a, b) = Node::pair(&server).await;
    let chat = channel("chat");
    // More than one command subscribes to.
    let many: Vec<_> = (0..1200).map(|it| channel(&format!("c{it}"))).collect();
    for it in many.iter().chain([&chat]) {
        drop(asked(|then| b.cluster.broker.subscribe(it, KEEP, 0, then)));
    }
    ask(|then| b.cluster.broker.hear_patterns(true, then)).await.unwrap();
    server.tell(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    for node in [&a, &b] {
        node.is_back(false).await;
    }
    a.say(&many[0], "first").await;
    a.say(&many[1199], "last").await;
    a.publish(Statement { to_patterns: true, ..statement(&chat, KEEP, "x") }).await.unwrap();
    let heard = |it: &[Line]| it.iter().filter(|it| matches!(it, Line::Heard(_))).count() == 4;
    b.diary.until("all", heard).await;
    assert_eq!(counter(&b, "lost"), 1);
}

#[tokio::test]
async fn a_pause_shorter_than_the_silence_is_only_waited_for() {
    let Some(server) = Server::begin(&[]).await else { return };
    let a = Node::join(&server).await;
    let chat = channel("chat");
    a.say(&chat, "1").await;
    server.tell(&["CLIENT", "PAUSE", "1500", "ALL"]);
    assert_eq!(a.say(&chat, "2").await.offset, 2);
    server.tell(&["CLIENT", "PAUSE", "60000", "ALL"]);
    let begun = Instant::now();
    assert!(a.publish(statement(&chat, KEEP, "3")).await.is_err());
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn more_than_may_wait_is_refused_at_once() {
    let Some(server) = Server::begin(&[]).await else { return };
    for settings in [
        Settings { requests_max: 10, ..server.settings() },
        Settings { request_bytes_max: 20_000, ..server.settings() },
    ] {
        let a = Node::with(settings).await;
        server.freeze().await;
        let body = bytes::Bytes::from(vec![0; 1000]);
        let say = || Statement { body: body.clone(), ..statement(&channel("chat"), KEEP, "") };
        let begun = Instant::now();
        let answers: Vec<_> =
            (0..100).map(|_| asked(|then| a.cluster.broker.publish(say(), then))).collect();
        let mut busy = 0;
        for mut it in answers {
            busy += usize::from(
                matches!(it.try_recv(), Ok(Err(why)) if &*why.text == "the broker is busy"),
            );
        }
        assert!((80..=90).contains(&busy), "{busy}");
        assert!(begun.elapsed() < Duration::from_secs(1));
        server.thaw().await;
        let done = async {
            while a.cluster.registry.look().waiting > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(crate::node::SOON, done).await.expect("room again");
        assert!(a.publish(say()).await.is_ok());
    }
}

#[tokio::test]
async fn users_log_in_with_the_rights_that_the_readme_names() {
    let rights = "ada on >s3cret/ ~t:* &t:* resetchannels &t:* -@all +hello +ping +info +select +evalsha \
        +script|load +publish +subscribe +unsubscribe +set +get +getdel +unlink +del +pexpire +exists +xadd \
        +xtrim +xrange +xrevrange +hget +hset +hdel +hincrby +hexists +hlen +hkeys +hgetall +hscan +zadd \
        +zrem +zrange +zremrangebyscore +time";
    let rules: Vec<&str> = ["--user"].into_iter().chain(rights.split_whitespace()).collect();
    let Some(server) = Server::begin(&rules).await else { return };
    let url = format!("redis://ada:s3cret%2F@127.0.0.1:{}/1?prefix=t:", server.port);
    let good =
        Settings { beat_every: Duration::from_millis(500), ..Settings::parse(&url).unwrap() };
    let (a, b) = (Node::with(good.clone()).await, Node::with(good.clone()).await);
    b.knows(&[a.id, b.id]).await;
    let chat = channel("chat");
    b.subscribe(&chat, KEEP, 5).await;
    ask(|then| b.cluster.broker.hear_patterns(true, then)).await.unwrap();
    a.publish(Statement { to_patterns: true, ..statement(&chat, KEEP, "1") }).await.unwrap();
    let id = Some(("x".into(), Duration::from_secs(9)));
    a.publish(Statement { id, ..statement(&chat, PASSING, "2") }).await.unwrap();
    b.diary
        .until("three", |it| it.iter().filter(|it| matches!(it, Line::Heard(_))).count() == 3)
        .await;
    a.read(&chat, KEEP, Default::default()).await;
    a.come(&chat, &entry(1, 0, None, "")).await;
    assert_eq!((b.counts(&chat).await, b.who(&chat, 0).await), ((1, 1), vec![]));
    a.go(&chat, &entry(1, 0, None, "")).await;
    let session = taiwa_core::SessionId(1);
    let hour = Duration::from_secs(3600);
    ask(|then| a.cluster.sessions.save(session, "x".into(), hour, then)).await.unwrap();
    ask(|then| a.cluster.sessions.take(session, then)).await.unwrap();
    ask(|then| a.cluster.broker.forget(&chat, KEEP, then)).await.unwrap();
    a.knows(&[a.id, b.id]).await;
    a.send(b.id, "x".into()).await.unwrap();
    ask(|then| b.cluster.registry.leave(then)).await.unwrap();
    assert_eq!(counter(&a, "refused"), 0);

    let wrong = Settings { password: Some("wr0ng".into()), ..good };
    let Err(why) = connect(wrong).await else { panic!("it let anybody in") };
    let told = format!("{why} {why:?}");
    assert!(matches!(why, Error::Refused(_)) && !told.contains("wr0ng"), "{told}");
    assert!(!format!("{:?}", a.cluster).contains("s3cret"));
}

#[tokio::test]
async fn other_prefixes_and_databases_are_other_clusters() {
    let Some(server) = Server::begin(&[]).await else { return };
    let url =
        |rest: &str| Settings::parse(&format!("redis://127.0.0.1:{}/{rest}", server.port)).unwrap();
    let chat = channel("chat");
    let mut nodes = vec![];
    for rest in ["0", "2", "0?prefix=other:"] {
        let node = Node::with(url(rest)).await;
        node.subscribe(&chat, KEEP, 0).await;
        nodes.push(node);
    }
    for (number, node) in nodes.iter().enumerate() {
        assert_eq!(node.say(&chat, &number.to_string()).await.offset, 1);
    }
    tokio::time::sleep(SILENCE).await;
    for node in &nodes {
        assert_eq!(node.diary.lines().len(), 1, "{:?}", node.diary.lines());
        assert_eq!(node.cluster.registry.nodes(), [node.id]);
    }
    let secrets = nodes.iter().map(|it| it.cluster.registry.secret());
    assert_eq!(secrets.collect::<std::collections::BTreeSet<_>>().len(), 3);
}

#[tokio::test]
async fn a_socket_of_this_machine_will_do() {
    let Some(server) = Server::begin(&["--unixsocket", "{folder}/socket"]).await else { return };
    let url = format!("redis+unix://{}/socket?db=1", server.folder.display());
    let a = Node::with(Settings::parse(&url).unwrap()).await;
    assert_eq!(a.say(&channel("chat"), "x").await.offset, 1);
}

#[tokio::test]
async fn tls_is_spoken_with_whom_the_roots_vouch_for() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let folder = std::env::temp_dir().join(format!("taiwa-redis-tls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let port = free_port();
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    let more = ["--tls-port", &port.to_string(), "--tls-cert-file", cert, "--tls-key-file", key];
    let more = [&more[..], &["--tls-ca-cert-file", cert, "--tls-auth-clients", "no"]].concat();
    let Some(_server) = Server::begin(&more).await else { return };
    let url = format!("rediss://localhost:{port}");
    let settings = Settings::parse(&url).unwrap();
    let Err(why) = connect(settings.clone()).await else { panic!("nobody vouches for it") };
    assert!(matches!(why, Error::Io(_)), "{why:?}");
    let ours = Tls { roots: Some(vec![made.cert.der().clone()]) };
    let settings = Settings { tls: Some(ours), ..settings };
    let (a, b) = (Node::with(settings.clone()).await, Node::with(settings.clone()).await);
    let chat = channel("chat");
    b.subscribe(&chat, KEEP, 0).await;
    let body = bytes::Bytes::from(vec![7; 300_000]);
    for _ in 0..20 {
        let said = Statement { body: body.clone(), ..statement(&chat, KEEP, "") };
        a.publish(said).await.unwrap();
    }
    b.diary.until("all", |_| b.diary.heard(&chat).len() == 20).await;
    assert!(b.diary.heard(&chat).iter().all(|it| it.body == body));
    let elsewhere = Settings { address: Address::Tcp("127.0.0.1".into(), port), ..settings };
    assert!(connect(elsewhere).await.is_err(), "the certificate has another name");
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn presence_is_renewed_while_its_node_lives_and_then_runs_out() {
    let Some(server) = Server::begin(&[]).await else { return };
    let settings = Settings {
        beat_every: Duration::from_millis(200),
        gone_after: Duration::from_millis(600),
        presence_ttl: Duration::from_secs(3),
        ..server.settings()
    };
    let (a, b) = (Node::with(settings.clone()).await, Node::with(settings).await);
    let chat = channel("chat");
    a.come(&chat, &entry(1, 0, Some("ada"), "")).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(b.counts(&chat).await, (1, 1), "it is renewed");
    assert!(server.tell(&["KEYS", "*members*"]).contains("chat"));
    let dead = a.id;
    drop((a.cluster, a.diary));
    b.diary.until("it is gone", |it| it.contains(&Line::Gone(dead))).await;
    assert_eq!(b.counts(&chat).await, (0, 0), "nobody sees it any more");
    tokio::time::sleep(Duration::from_secs(4)).await;
    let left = server.tell(&["KEYS", "*"]);
    assert!(!left.contains("chat") && !left.contains(&dead.to_string()), "{left}");
}

#[tokio::test]
async fn who_leaves_leaves_nothing() {
    let Some(server) = Server::begin(&[]).await else { return };
    let a = Node::join(&server).await;
    let many: Vec<_> = (0..250).map(|it| channel(&format!("c{it}"))).collect();
    for it in &many {
        a.come(it, &entry(1, 0, Some("ada"), "")).await;
    }
    assert!(server.tell(&["KEYS", "*members*"]).lines().count() >= 250);
    ask(|then| a.cluster.registry.leave(then)).await.unwrap();
    assert_eq!(server.tell(&["KEYS", "*"]).trim(), "taiwa:secret");
}

#[tokio::test]
async fn nonsense_in_our_channels_is_passed_over() {
    let Some(server) = Server::begin(&[]).await else { return };
    let a = Node::join(&server).await;
    let chat = channel("chat");
    a.subscribe(&chat, KEEP, 0).await;
    ask(|then| a.cluster.broker.hear_patterns(true, then)).await.unwrap();
    let letters = format!("taiwa:1:node:{}", a.id);
    for name in ["taiwa:1:{chat}", "taiwa:1:patterns", "taiwa:1:nodes", &letters] {
        for nonsense in ["", "x", "p", "pzz:", "9:a", "c", "cxyz", "q0000000000000001", "4:chatx"] {
            let heard = server.tell(&["PUBLISH", name, nonsense]);
            assert_eq!(heard.trim(), "1", "{name}");
        }
    }
    a.say(&chat, "x").await;
    a.diary.until("it", |it| it.len() == 1).await;
    assert_eq!(a.diary.heard(&chat)[0].body, "x");
}

#[tokio::test]
async fn a_server_that_can_not_be_used_is_refused_with_a_reason() {
    let Some(server) = Server::begin(&["--cluster-enabled", "yes"]).await else { return };
    let settings = Settings { database: 0, ..server.settings() };
    let Err(why) = connect(settings).await else { panic!("nobody has a slot") };
    assert!(matches!(why, Error::Unusable(it) if it.contains("slots")), "{why:?}");
    let Some(alone) = Server::begin(&[]).await else { return };
    let settings = Settings { others: vec![server.settings().address], ..alone.settings() };
    let Err(why) = connect(settings).await else { panic!("they are not one cluster") };
    assert!(matches!(why, Error::Unusable(it) if it.contains("several hosts")), "{why:?}");
    let nobody = Settings { address: Address::Tcp("127.0.0.1".into(), 1), ..server.settings() };
    assert!(matches!(connect(nobody).await, Err(Error::Io(_))));
    server.freeze().await;
    let begun = Instant::now();
    assert!(matches!(connect(server.settings()).await, Err(Error::Deadline)));
    assert!(begun.elapsed() < Duration::from_secs(5));
}

/// The costs that the README names, as the server counts them.
#[tokio::test]
async fn each_call_costs_what_the_readme_says() {
    let Some(server) = Server::begin(&[]).await else { return };
    let node = connect(Settings {
        beat_every: Duration::from_secs(60),
        gone_after: Duration::from_secs(180),
        presence_ttl: Duration::from_secs(600),
        ..server.settings()
    })
    .await
    .unwrap();
    node.begin(std::sync::Arc::<crate::node::Diary>::default());
    let a = Cluster::of(&node);
    let chat = channel("chat");
    let costs = || -> Vec<(String, u64)> {
        let stats = server.tell(&["INFO", "commandstats"]);
        let lines =
            stats.lines().filter_map(|it| it.strip_prefix("cmdstat_")?.split_once(":calls="));
        let count = |(name, rest): (&str, &str)| {
            Some((name.to_owned(), rest.split(',').next()?.parse().ok()?))
        };
        let ours = |it: &(String, u64)| {
            !matches!(
                &*it.0,
                "info" | "select" | "ping" | "config|resetstat" | "command|docs" | "command"
            )
        };
        lines.filter_map(count).filter(ours).collect()
    };
    let measured = async |what: &str, wanted: &[(&str, u64)]| {
        let mut costs = costs();
        costs.sort();
        let found: Vec<(&str, u64)> = costs.iter().map(|it| (&*it.0, it.1)).collect();
        assert_eq!(found, wanted, "{what}");
        server.tell(&["CONFIG", "RESETSTAT"]);
    };
    ask(|then| a.broker.read(&chat, PASSING, Default::default(), then)).await.unwrap();
    server.tell(&["CONFIG", "RESETSTAT"]);
    ask(|then| a.broker.publish(statement(&chat, PASSING, "x"), then)).await.unwrap();
    measured("without a history", &[("publish", 1)]).await;
    ask(|then| a.broker.subscribe(&chat, KEEP, 0, then)).await.unwrap();
    measured(
        "subscribing",
        &[("del", 1), ("evalsha", 1), ("hget", 1), ("hset", 1), ("pexpire", 1), ("subscribe", 1)],
    )
    .await;
    ask(|then| a.broker.subscribe(&chat, KEEP, 0, then)).await.unwrap();
    measured("subscribing again", &[("evalsha", 1), ("hget", 2)]).await;
    ask(|then| a.broker.publish(statement(&chat, KEEP, "x"), then)).await.unwrap();
    let publish = [
        ("evalsha", 1),
        ("hget", 1),
        ("hincrby", 1),
        ("pexpire", 2),
        ("publish", 1),
        ("time", 1),
        ("xadd", 1),
    ];
    measured("with a history", &publish).await;
    ask(|then| a.presence.come(&chat, entry(1, 0, Some("ada"), ""), then)).await.unwrap();
    measured("coming", &[("evalsha", 1), ("hget", 1), ("hincrby", 1), ("hset", 1), ("pexpire", 2)])
        .await;
    ask(|then| a.presence.go(&chat, entry(1, 0, Some("ada"), ""), then)).await.unwrap();
    measured("going", &[("evalsha", 1), ("hdel", 2), ("hget", 1), ("hincrby", 1)]).await;
}

#[tokio::test]
async fn what_a_server_does_not_hold_ends_the_epoch() {
    let Some(server) = Server::begin(&[]).await else { return };
    let a = Node::join(&server).await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../brokers/redis/src/scripts/hold.lua");
    let hold = |epoch: &str, offset: &str, said: &str| {
        let keys = ["taiwa:{chat}:top", "taiwa:{chat}:log", ","];
        let arguments = [epoch, offset, said, "00000000000000ff"];
        server.tell(&[&["--eval", script], &keys[..], &arguments[..]].concat()).trim().to_owned()
    };
    let chat = channel("chat");
    assert_eq!(hold("0000000000000001", "1", "0"), "0", "it has none at all");
    a.say(&chat, "1").await;
    let epoch = format!("{:016x}", a.say(&chat, "2").await.epoch);
    let entry = server.tell(&["XRANGE", "taiwa:{chat}:log", "1", "1"]);
    let said = entry.split_once("1-").unwrap().1.split_once('\n').unwrap().0;
    for (epoch, offset, said) in [
        (&*epoch, "1", said),
        (&*epoch, "2", "0"),
        (&*epoch, "0", "0"),
        ("0000000000000001", "9", "1"),
    ] {
        assert_eq!(hold(epoch, offset, said), "0", "{offset} {said}");
        assert_eq!(a.read(&chat, KEEP, Default::default()).await.position.offset, 2);
    }
    assert_eq!(hold(&epoch, "1", "12345"), "1", "something else lies there");
    let log = a.read(&chat, KEEP, Page { limit: 9, ..Default::default() }).await;
    assert_eq!((log.position, log.entries.len()), (Position { epoch: 255, offset: 0 }, 0));
    assert_eq!(hold("00000000000000ff", "1", "0"), "1", "it is behind");
}
