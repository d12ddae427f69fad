//! What is Redis Cluster's alone: where things are kept and heard, servers that die, slots that move.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use taiwa_core::{Accepted, Broker, Channel, Heard, Page, Refusal, State, Statement};
use taiwa_redis::{Settings, Tls, connect};

use crate::{
    fixture::{Fixture, Kept},
    node::{KEEP, Line, Node, SILENCE, answer, ask, asked, channel, entry, statement, texts},
    redis_cluster::{PRIMARIES, Servers, name},
};

/// Longer than a cluster takes to replace a primary that died.
const REPLACED: Duration = Duration::from_secs(20);

/// Returns a channel whose slot a server has.
fn channel_at(servers: &Servers, place: usize) -> Channel {
    let names = (0..).map(|it| format!("c{it}"));
    let mut at = names.filter(|it| servers.place_of(&format!("{{{it}}}")) == place);
    channel(&at.next().unwrap())
}

/// Says one number after the other without waiting for answers.
struct Speaker {
    stop: Arc<AtomicBool>,
    said: tokio::task::JoinHandle<Vec<Result<Accepted, Refusal>>>,
}

impl Speaker {
    /// Says so many at once, by and by.
    fn begin(broker: Arc<dyn Broker>, channel: &Channel, burst: usize, pause: Duration) -> Self {
        let (channel, stop) = (channel.clone(), Arc::<AtomicBool>::default());
        let stopped = stop.clone();
        let said = tokio::spawn(async move {
            let mut answers = vec![];
            while !stopped.load(SeqCst) {
                for _ in 0..burst {
                    let number = answers.len().to_string();
                    let said = statement(&channel, KEEP, &number);
                    answers.push(asked(|then| broker.publish(said, then)));
                }
                tokio::time::sleep(pause).await;
            }
            let mut results = vec![];
            for it in answers {
                results.push(answer(it).await);
            }
            results
        });
        Self { stop, said }
    }

    async fn end(self) -> Vec<Result<Accepted, Refusal>> {
        self.stop.store(true, SeqCst);
        self.said.await.unwrap()
    }
}

/// Checks that what was heard came in the order of its positions, and nothing else at the same position.
#[track_caller]
fn is_in_order(heard: &[Heard]) {
    for pair in heard.windows(2) {
        let (before, after) = (pair[0].position.unwrap(), pair[1].position.unwrap());
        if before.epoch == after.epoch {
            assert!(after.offset >= before.offset, "{before:?} {after:?}");
            assert_eq!(after.offset == before.offset, pair[0].body == pair[1].body);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_is_kept_and_heard_in_one_place() {
    let Some(servers) = Servers::begin(PRIMARIES, "60000").await else { return };
    let (a, b) = Node::pair(&servers).await;
    let channels: Vec<_> = (0..30).map(|it| channel(&format!("{{{it}}}%"))).collect();
    for it in &channels {
        b.subscribe(it, KEEP, 5).await;
        a.say(it, "1").await;
        a.come(it, &entry(1, 0, Some("ada"), "")).await;
    }
    b.diary
        .until("all", |it| it.iter().filter(|it| matches!(it, Line::Heard(_))).count() == 30)
        .await;
    let mut used = [0; PRIMARIES];
    let lines = |server: usize, command: &[&str]| -> Vec<String> {
        servers.all[server].tell(command).lines().map(Into::into).collect()
    };
    for number in 0..30 {
        let tag = format!("taiwa:{{%7B{number}%7D%25}}");
        let place = servers.place_of(&tag);
        used[place] += 1;
        for server in 0..PRIMARIES {
            let heard = lines(server, &["PUBSUB", "SHARDCHANNELS", "*"]);
            let keys = lines(server, &["KEYS", "*"]);
            let is_here = server == place;
            assert_eq!(heard.contains(&tag), is_here, "{tag} at {server}: {heard:?}");
            for what in [":top", ":log", &format!(":members:{}", a.id), &format!(":users:{}", a.id)]
            {
                assert_eq!(keys.contains(&format!("{tag}{what}")), is_here, "{what} {keys:?}");
            }
        }
    }
    assert!(used.iter().all(|it| *it > 0), "spread over all: {used:?}");
    let plain = (0..PRIMARIES).map(|it| lines(it, &["PUBSUB", "CHANNELS", "*"]).concat());
    assert_eq!(plain.collect::<String>(), "", "nothing is said to all servers");
    ask(|then| a.cluster.registry.leave(then)).await.unwrap();
    ask(|then| b.cluster.registry.leave(then)).await.unwrap();
    let left = (0..PRIMARIES).flat_map(|it| lines(it, &["KEYS", "*"]));
    let left: Vec<_> = left.filter(|it| !it.contains(":log") && !it.contains(":top")).collect();
    assert!(left.iter().all(|it| it == "taiwa:secret" || it.is_empty()), "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_servers_of_a_cluster_are_spoken_to_by_tls() {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).unwrap();
    let folder = std::env::temp_dir().join(format!("taiwa-cluster-tls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let files = (certificate.to_str().unwrap(), key.to_str().unwrap());
    let Some(servers) = Servers::begin_with(PRIMARIES, "60000", Some(files)).await else { return };
    let unknown = servers.settings();
    assert!(connect(unknown.clone()).await.is_err(), "nobody vouches for them");
    let ours = Tls { roots: Some(vec![made.cert.der().clone()]) };
    let settings = Settings { tls: Some(ours), ..unknown };
    let (a, b) = (Node::with(settings.clone()).await, Node::with(settings).await);
    for place in 0..PRIMARIES {
        let there = channel_at(&servers, place);
        b.subscribe(&there, KEEP, 5).await;
        assert_eq!(a.say(&there, "1").await.offset, 1);
        b.diary.until("it is heard", |_| b.diary.heard(&there).len() == 1).await;
        // Without encryption there is the one that asks this, and none of ours.
        let clients = servers.all[place].tell(&["CLIENT", "LIST", "TYPE", "normal"]);
        let port = format!("laddr=127.0.0.1:{} ", servers.all[place].port);
        assert_eq!(clients.lines().filter(|it| it.contains(&port)).count(), 1, "{clients}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_takes_the_place_of_a_dead_primary() {
    let Some(servers) = Servers::begin(2 * PRIMARIES, "1000").await else { return };
    let begun = Instant::now();
    let (a, b) = Node::pair(&servers).await;
    // That which also has who is alive.
    let primary = servers.place_of("{.}");
    let (chat, far) =
        (channel_at(&servers, primary), channel_at(&servers, (primary + 1) % PRIMARIES));
    for it in [&chat, &far] {
        b.subscribe(it, KEEP, 0).await;
    }
    a.come(&chat, &entry(1, 0, Some("ada"), "")).await;
    let speaker = Speaker::begin(a.cluster.broker.clone(), &chat, 1, Duration::from_millis(10));
    tokio::time::sleep(SILENCE).await;
    servers.all[primary].end().unwrap();
    for node in [&a, &b] {
        let back = Line::State(State::Back { entries_lost: true });
        node.diary.until("somebody took its place", |it| it.contains(&back)).await;
    }
    tokio::time::sleep(SILENCE).await;
    let answers = speaker.end().await;
    let refused = answers.iter().filter(|it| it.is_err()).count();
    assert!(refused > 0, "nobody noticed");
    assert!(answers.last().unwrap().is_ok(), "it goes on: {:?}", answers.last());
    let last = a.say(&chat, "last").await;
    b.diary
        .until("the last", |_| b.diary.heard(&chat).last().unwrap().position == Some(last))
        .await;
    is_in_order(&b.diary.heard(&chat));
    // Who was told that it is back reads from where it stands: everything that was accepted is there.
    let page = Page { limit: 10_000, ..Default::default() };
    let log = texts(&b.read(&chat, KEEP, page).await.entries);
    let kept: Vec<_> = answers
        .iter()
        .enumerate()
        .filter_map(|(number, it)| Some((it.as_ref().ok()?.position?, number)))
        .filter(|(position, _)| position.epoch == last.epoch)
        .map(|(position, number)| (position.offset, number.to_string()))
        .collect();
    assert!(kept.len() > 10 && kept.iter().all(|it| log.contains(it)), "{kept:?} {log:?}");
    a.say(&far, "x").await;
    b.diary.until("the others go on", |_| b.diary.heard(&far).len() == 1).await;
    a.come(&chat, &entry(1, 0, Some("ada"), "")).await;
    assert_eq!(b.counts(&chat).await, (1, 1));
    a.send(b.id, "x".into()).await.unwrap();
    let lost = |it: &Node| it.diary.lines().contains(&Line::State(State::Lost));
    assert!(!lost(&a) && !lost(&b), "the others were there all the time");
    let gone = |it: &Node| it.diary.lines().iter().any(|it| matches!(it, Line::Gone(_)));
    assert!(!gone(&a) && !gone(&b));
    assert!(begun.elapsed() < REPLACED, "it took {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_moves_while_something_is_said_in_it() {
    let Some(servers) = Servers::begin(PRIMARIES, "60000").await else { return };
    let (a, b) = Node::pair(&servers).await;
    let chat = channel_at(&servers, 0);
    b.subscribe(&chat, KEEP, 0).await;
    a.say(&chat, "first").await;
    let slot = servers.slot_of(&format!("{{{}}}", chat.as_str())).to_string();
    let speaker = Speaker::begin(a.cluster.broker.clone(), &chat, 20, Duration::from_millis(10));
    tokio::time::sleep(SILENCE).await;
    let (source, target) = (&servers.all[0], &servers.all[1]);
    let done = |it: String| assert_eq!(it.trim(), "OK");
    done(target.tell(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &name(0)]));
    done(source.tell(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &name(1)]));
    let keys = source.tell(&["CLUSTER", "GETKEYSINSLOT", &slot, "100"]);
    assert!(keys.lines().count() >= 2, "{keys}");
    for key in keys.lines() {
        let port = target.port.to_string();
        done(source.tell(&["MIGRATE", "127.0.0.1", &port, key, "0", "5000"]));
        tokio::time::sleep(SILENCE).await;
    }
    for server in [target, source, &servers.all[2]] {
        done(server.tell(&["CLUSTER", "SETSLOT", &slot, "NODE", &name(1)]));
    }
    tokio::time::sleep(SILENCE).await;
    // New ones are asked of the new server.
    let somebody = entry(1, 0, Some("ada"), "");
    assert!(a.come(&chat, &somebody).await);
    let answers = speaker.end().await;
    let offsets: Vec<_> =
        answers.iter().map(|it| it.as_ref().unwrap().position.unwrap().offset).collect();
    let wanted: Vec<_> = (2..offsets.len() as u64 + 2).collect();
    assert_eq!(offsets, wanted, "nothing is refused, lost, or overtaken");
    assert!(offsets.len() > 100);
    let last = a.say(&chat, "last").await;
    let heard = |it: &Node| it.diary.heard(&chat);
    b.diary.until("the last", |_| heard(&b).last().unwrap().position == Some(last)).await;
    is_in_order(&heard(&b));
    let all: std::collections::BTreeSet<_> =
        heard(&b).iter().map(|it| it.position.unwrap().offset).collect();
    if all.len() as u64 != last.offset {
        let missed = Line::State(State::Missed);
        b.diary.until("that something was missed", |it| it.contains(&missed)).await;
    }
    let page = Page { limit: 10_000, ..Default::default() };
    let log = b.read(&chat, KEEP, page).await;
    assert_eq!(log.entries.len() as u64, last.offset.min(KEEP.size as u64));
    let lost = |it: &Node| it.diary.lines().contains(&Line::State(State::Lost));
    assert!(!lost(&a) && !lost(&b));
    assert_eq!(b.counts(&chat).await, (1, 1));
    drop(servers.join().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_all_the_time_is_answered_again_when_the_cluster_is_back() {
    let Some(servers) = Servers::begin(PRIMARIES, "60000").await else { return };
    // Shorter than the time in which a cluster that starts refuses everything.
    let settings = Settings { request_max: Duration::from_millis(400), ..servers.settings() };
    let a = Node::with(settings).await;
    let channels: Vec<_> = (0..PRIMARIES).map(|it| channel_at(&servers, it)).collect();
    let mut speakers = vec![];
    for it in &channels {
        a.subscribe(it, KEEP, 0).await;
        a.come(it, &entry(1, 0, Some("ada"), "")).await;
        let broker = a.cluster.broker.clone();
        speakers.push(Speaker::begin(broker, it, 1, Duration::from_millis(20)));
    }
    for kept in [Kept::Everything, Kept::Nothing] {
        a.diary.clear();
        servers.stop(kept).await;
        servers.start().await;
        let entries_lost = kept == Kept::Nothing;
        let back = Line::State(State::Back { entries_lost });
        a.diary.until("it is back", |it| it.contains(&back)).await;
        for it in &channels {
            let begun = a.diary.heard(it).len();
            a.diary.until("all are heard again", |_| a.diary.heard(it).len() > begun + 20).await;
        }
    }
    for speaker in speakers {
        assert!(speaker.end().await.iter().rev().take(20).all(Result::is_ok));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_server_of_a_cluster_leads_to_all_with_the_rights_that_the_readme_names() {
    let Some(servers) = Servers::begin(PRIMARIES, "60000").await else { return };
    let rights = "on >s3cret ~t:* &t:* resetchannels &t:* -@all +hello +ping +info +select +evalsha +script|load \
        +publish +subscribe +unsubscribe +set +get +getdel +unlink +del +pexpire +exists +xadd +xtrim +xrange \
        +xrevrange +hget +hset +hdel +hincrby +hexists +hlen +hkeys +hgetall +hscan +zadd +zrem +zrange \
        +zremrangebyscore +time +cluster|slots +spublish +ssubscribe +sunsubscribe";
    for server in &servers.all {
        let rules = ["ACL", "SETUSER", "ada"].into_iter().chain(rights.split_whitespace());
        assert_eq!(server.tell(&rules.collect::<Vec<_>>()).trim(), "OK");
    }
    let [first, second] = [0, 1].map(|it: usize| servers.all[it].port);
    // Nobody is at the first address.
    let url =
        format!("redis://ada:s3cret@127.0.0.1:1,127.0.0.1:{second},127.0.0.1:{first}?prefix=t:");
    let settings = Settings::parse(&url).unwrap();
    let (a, b) = (Node::with(settings.clone()).await, Node::with(settings).await);
    b.knows(&[a.id, b.id]).await;
    a.knows(&[a.id, b.id]).await;
    ask(|then| b.cluster.broker.hear_patterns(true, then)).await.unwrap();
    for number in 0..PRIMARIES {
        let it = channel_at(&servers, number);
        b.subscribe(&it, KEEP, 5).await;
        a.publish(Statement { to_patterns: true, ..statement(&it, KEEP, "x") }).await.unwrap();
        b.diary.until("it, twice", |lines| lines.len() >= 2 * (number + 1)).await;
        assert!(a.come(&it, &entry(1, 0, Some("ada"), "")).await);
        assert_eq!(b.counts(&it).await, (1, 1));
        b.cluster.broker.unsubscribe(&it);
    }
    a.send(b.id, "x".into()).await.unwrap();
    ask(|then| b.cluster.registry.leave(then)).await.unwrap();
    let look = a.cluster.registry.look();
    assert!(look.counters.contains(&("refused", 0)) && look.counters.contains(&("lost", 0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_start_at_once_know_each_other_at_once() {
    let Some(servers) = Servers::begin(PRIMARIES, "60000").await else { return };
    for _ in 0..5 {
        let all: Vec<_> = (0..4).map(|_| Node::join(&servers)).collect();
        let nodes = futures(all).await;
        let ids: Vec<_> = nodes.iter().map(|it| it.id).collect();
        let begun = Instant::now();
        for it in &nodes {
            it.knows(&ids).await;
        }
        // Not by the next beat, which comes after half a second.
        assert!(begun.elapsed() < Duration::from_millis(400), "{:?}", begun.elapsed());
        for it in nodes {
            ask(|then| it.cluster.registry.leave(then)).await.unwrap();
        }
    }
}

/// Waits for several at the same time.
async fn futures<T>(all: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut all: Vec<_> = all.into_iter().map(|it| (Box::pin(it), None)).collect();
    std::future::poll_fn(|cx| {
        for (future, done) in all.iter_mut().filter(|it| it.1.is_none()) {
            if let std::task::Poll::Ready(it) = future.as_mut().poll(cx) {
                *done = Some(it);
            }
        }
        match all.iter().all(|it| it.1.is_some()) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    all.into_iter().filter_map(|it| it.1).collect()
}
