//! What is NATS's alone: its failures, logins, streams, and what each call costs.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use taiwa_core::{Cluster, Ears, Heard, Keep, NodeId, Page, RefusalKind, State, Statement};
use taiwa_nats::{Credentials, Error, Settings, connect};

use crate::{
    fixture::{Fixture, Kept},
    nats::{JETSTREAM, Server},
    node::{Diary, KEEP, Line, Node, SOON, answer, ask, asked, channel, entry, statement},
};

const PASSING: Keep = Keep { size: 0, ttl: Duration::ZERO, epoch_ttl: Duration::ZERO };

async fn server() -> Option<Server> {
    Server::begin(|_| JETSTREAM.into()).await
}

pub(crate) async fn node(settings: Settings) -> Node {
    let cluster = Cluster::of(&connect(settings).await.unwrap());
    let diary = Arc::<Diary>::default();
    cluster.registry.begin(diary.clone());
    Node { id: cluster.registry.node(), cluster, diary }
}

fn counter(node: &Node, name: &str) -> u64 {
    let look = node.cluster.registry.look();
    look.counters.iter().find(|it| it.0 == name).unwrap().1
}

/// A client that speaks the protocol by hand.
struct Raw(BufReader<TcpStream>);

impl Raw {
    fn to(server: &Server) -> Self {
        let socket = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut raw = Self(BufReader::new(socket));
        raw.send(b"CONNECT {\"verbose\":false,\"headers\":true}\r\nSUB answer 1\r\n");
        raw
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    /// Publishes, and returns what is answered.
    fn ask(&mut self, subject: &str, body: &[u8]) -> String {
        self.send(format!("PUB {subject} answer {}\r\n", body.len()).as_bytes());
        self.send(&[body, b"\r\n"].concat());
        loop {
            let mut line = String::new();
            assert_ne!(self.0.read_line(&mut line).unwrap(), 0, "it hung up");
            let words: Vec<&str> = line.split_whitespace().collect();
            if let ["MSG", .., length] = words[..] {
                let mut body = vec![0; length.parse::<usize>().unwrap() + 2];
                self.0.read_exact(&mut body).unwrap();
                return String::from_utf8(body).unwrap();
            }
        }
    }

    /// Returns what the subjects of a stream begin with.
    fn root(&mut self, stream: &str) -> String {
        let info = self.ask(&format!("$JS.API.STREAM.INFO.{stream}"), b"");
        let subjects = info.split_once("\"subjects\":[\"").expect(&info).1;
        // Its last token is `>`, which JSON may write in another way.
        let (root, _) = subjects.split_once('"').unwrap().0.rsplit_once('.').unwrap();
        format!("{root}.")
    }
}

#[tokio::test]
async fn a_claim_whose_node_died_is_taken_over() {
    let Some(server) = server().await else { return };
    let a = node(Settings { deadline: Duration::from_millis(500), ..server.settings() }).await;
    let minute = Duration::from_secs(60);
    let with = |id: &str, keep, said| {
        let id = Some((id.into(), minute));
        Statement { id, ..statement(&channel("chat"), keep, said) }
    };
    let first = a.publish(with("said", KEEP, "1")).await.unwrap();
    let mut raw = Raw::to(&server);
    let root = raw.root("taiwa-i-60000");
    // Node 7 claimed two identifiers in 1970. It said one of the statements.
    let claim = [&[1, 0, 0, 0, 0, 0, 0, 0, 7, 1][..], &[0; 9]].concat();
    for id in ["said", "unsaid", "passing"] {
        raw.ask(&format!("{root}chat.{id}"), &claim);
    }
    let again = a.publish(with("said", KEEP, "again")).await.unwrap();
    assert_eq!((again.position, again.repeated), (first.position, true), "it lies in the history");
    let second = a.publish(with("unsaid", KEEP, "2")).await.unwrap();
    assert_eq!((second.position.unwrap().offset, second.repeated), (2, false));
    assert!(!a.publish(with("passing", PASSING, "x")).await.unwrap().repeated);
    for (id, keep, wanted) in
        [("said", KEEP, first), ("unsaid", KEEP, second), ("passing", PASSING, Default::default())]
    {
        let again = a.publish(with(id, keep, "again")).await.unwrap();
        assert_eq!((again.position, again.repeated), (wanted.position, true), "{id}");
    }
    // One that was made a moment ago is waited for.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let mut fresh = vec![1, 0, 0, 0, 0, 0, 0, 0, 7];
    let mut left = now.as_millis() as u64;
    while left >= 0x80 {
        fresh.push(left as u8 | 0x80);
        left >>= 7;
    }
    fresh.push(left as u8);
    fresh.extend([0; 9]);
    raw.ask(&format!("{root}chat.fresh"), &fresh);
    assert!(a.publish(with("fresh", KEEP, "3")).await.is_err(), "somebody may be saying it");
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(!a.publish(with("fresh", KEEP, "3")).await.unwrap().repeated, "nobody was");
}

#[tokio::test]
async fn a_stream_that_was_deleted_is_made_anew() {
    let Some(server) = server().await else { return };
    let (a, b) = Node::pair(&server).await;
    let chat = channel("chat");
    b.subscribe(&chat, KEEP, 0).await;
    let first = a.say(&chat, "1").await;
    let deleted = Raw::to(&server).ask("$JS.API.STREAM.DELETE.taiwa-h-6000000", b"");
    assert!(deleted.contains("\"success\":true"), "{deleted}");
    let second = a.say(&chat, "2").await;
    assert_eq!(second.offset, 1);
    assert_ne!(second.epoch, first.epoch);
    // Its number would be that which the other node builds upon, were it not another stream.
    assert_eq!(b.say(&chat, "3").await.offset, 2);
    b.diary.until("three", |_| b.diary.heard(&chat).len() == 3).await;
    assert_eq!(b.subscribe(&chat, KEEP, 9).await.entries.len(), 2);
}

#[tokio::test]
async fn histories_of_one_age_have_sizes_of_their_own() {
    let Some(server) = server().await else { return };
    let (a, b) = Node::pair(&server).await;
    let (small, large) = (channel("small"), channel("large"));
    let (three, many) = (Keep { size: 3, ..KEEP }, Keep { size: 500, ..KEEP });
    // The first makes the stream, the second lets it keep more.
    for (node, channel, keep) in [(&a, &small, three), (&b, &large, many), (&a, &small, three)] {
        for said in 1..=300 {
            node.publish(statement(channel, keep, &said.to_string())).await.unwrap();
        }
    }
    let all = Page { limit: 1000, ..Page::default() };
    assert_eq!(a.read(&large, many, all).await.entries.len(), 300);
    let log = b.read(&small, three, all).await;
    assert_eq!((log.position.offset, log.entries.len()), (600, 3));
    let answer = Raw::to(&server)
        .ask("$JS.API.STREAM.INFO.taiwa-h-6000000", b"{\"subjects_filter\":\"taiwa.>\"}");
    let count = answer.split_once(".small\":").expect(&answer).1;
    let count: u64 = count.split_once([',', '}']).unwrap().0.parse().unwrap();
    assert!(count < 3 + 2 * 64, "{count} messages of the small one lie there");
}

#[tokio::test]
async fn users_are_known_after_a_restart_of_the_server() {
    let Some(server) = server().await else { return };
    let (a, b) = Node::pair(&server).await;
    let chat = channel("chat");
    let (here, there) = (entry(1, 0, Some("ada"), ""), entry(2, 0, Some("ada"), ""));
    assert!(a.come(&chat, &here).await);
    a.come(&chat, &entry(3, 0, Some("bob"), "")).await;
    server.stop(Kept::Everything).await;
    a.diary.until("lost", |it| it.contains(&Line::State(State::Lost))).await;
    // Who goes meanwhile is refused, and gone all the same.
    assert!(
        ask(|then| a.cluster.presence.go(&chat, entry(3, 0, Some("bob"), ""), then)).await.is_err()
    );
    server.start().await;
    let back = Line::State(State::Back { entries_lost: false });
    for node in [&a, &b] {
        node.diary.until("back", |it| it.contains(&back)).await;
    }
    // Nodes write where their users are behind that.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!b.come(&chat, &there).await, "the first is on the other node");
    assert!(b.come(&chat, &entry(4, 0, Some("bob"), "")).await, "he was gone");
    assert!(!a.go(&chat, &here).await);
    assert!(b.go(&chat, &there).await);
}

/// Hears slowly.
#[derive(Default)]
struct Slow {
    states: Mutex<Vec<State>>,
    heard: Mutex<usize>,
}

impl Ears for Slow {
    fn heard(&self, _: Heard) {
        std::thread::sleep(Duration::from_millis(1));
        *self.heard.lock().unwrap() += 1;
    }

    fn letter(&self, _: NodeId, _: Bytes) {}

    fn node_come(&self, _: NodeId) {}

    fn node_gone(&self, _: NodeId) {}

    fn state(&self, state: State) {
        self.states.lock().unwrap().push(state);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_hears_too_slowly_is_told_that_it_missed_something() {
    const COUNT: usize = 500;
    let Some(server) = server().await else { return };
    let (chat, slow) = (channel("chat"), Arc::<Slow>::default());
    let a = node(server.settings()).await;
    let b = Cluster::of(&connect(Settings { hear_max: 20, ..server.settings() }).await.unwrap());
    b.registry.begin(slow.clone());
    ask(|then| b.broker.subscribe(&chat, PASSING, 0, then)).await.unwrap();
    for said in 0..COUNT {
        drop(asked(|then| {
            let said = statement(&channel(&format!("x{said}")), PASSING, "x");
            a.cluster.broker.publish(Statement { channel: chat.clone(), ..said }, then);
        }));
        if said % 50 == 0 {
            // So they do not go out together.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        a.publish(statement(&chat, PASSING, "x")).await.unwrap();
    }
    let missed = async {
        while !slow.states.lock().unwrap().contains(&State::Missed) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, missed).await.expect("it is told");
    assert!(*slow.heard.lock().unwrap() < 2 * COUNT);
    assert!(b.registry.look().up);
}

#[tokio::test]
async fn more_than_may_wait_is_refused_at_once() {
    let Some(server) = server().await else { return };
    for settings in [
        Settings { queue_max: 10, ..server.settings() },
        Settings { queue_bytes_max: 10_500, ..server.settings() },
    ] {
        let a = node(settings).await;
        server.freeze().await;
        let body = Bytes::from(vec![0; 1000]);
        let say = || Statement { body: body.clone(), ..statement(&channel("chat"), KEEP, "") };
        let answers: Vec<_> =
            (0..100).map(|_| asked(|then| a.cluster.broker.publish(say(), then))).collect();
        let mut busy = 0;
        for mut it in answers {
            busy += usize::from(
                matches!(it.try_recv(), Ok(Err(why)) if &*why.text == "the broker is busy"),
            );
        }
        assert_eq!(busy, 90);
        server.thaw().await;
        let done = async {
            while a.cluster.registry.look().waiting > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(SOON, done).await.expect("room again");
        assert!(a.publish(say()).await.is_ok());
    }
}

/// All that a node does, in short.
pub(crate) async fn everything_works(settings: Settings) {
    let (a, b) = (node(settings.clone()).await, node(settings).await);
    a.knows(&[a.id, b.id]).await;
    b.knows(&[a.id, b.id]).await;
    let chat = channel("chat");
    b.subscribe(&chat, KEEP, 5).await;
    ask(|then| b.cluster.broker.hear_patterns(true, then)).await.unwrap();
    a.publish(Statement { to_patterns: true, ..statement(&chat, KEEP, "1") }).await.unwrap();
    let id = Some(("x".into(), Duration::from_secs(9)));
    a.publish(Statement { id, ..statement(&chat, PASSING, "2") }).await.unwrap();
    let heard = |it: &[Line]| it.iter().filter(|it| matches!(it, Line::Heard(_))).count() == 3;
    b.diary.until("three", heard).await;
    a.read(&chat, KEEP, Page::default()).await;
    let ada = entry(1, 0, Some("ada"), "");
    a.come(&chat, &ada).await;
    assert_eq!((b.counts(&chat).await, b.who(&chat, 9).await.len()), ((1, 1), 1));
    a.go(&chat, &ada).await;
    let (session, hour) = (taiwa_core::SessionId(1), Duration::from_secs(3600));
    ask(|then| a.cluster.sessions.save(session, "x".into(), hour, then)).await.unwrap();
    let day = Duration::from_secs(86_401);
    let why = ask(|then| a.cluster.sessions.save(session, "x".into(), day, then)).await;
    assert_eq!(why.unwrap_err().kind, RefusalKind::Limit);
    assert!(ask(|then| b.cluster.sessions.take(session, then)).await.unwrap().is_some());
    ask(|then| a.cluster.broker.forget(&chat, KEEP, then)).await.unwrap();
    a.send(b.id, "x".into()).await.unwrap();
    ask(|then| b.cluster.registry.leave(then)).await.unwrap();
    assert_eq!(counter(&a, "refused"), 1, "the session for too long");
}

#[tokio::test]
async fn users_log_in_with_the_rights_that_the_readme_names() {
    let rights = "authorization { users = [ { user: ada, password: \"s3cret/\", permissions: {
        publish: [\"taiwa.>\", \"$JS.API.>\", \"_INBOX.>\"], subscribe: [\"taiwa.>\", \"_INBOX.>\"] } } ] }\n";
    let Some(server) = Server::begin(|_| format!("{JETSTREAM}{rights}")).await else { return };
    let url =
        |who: &str| Settings::parse(&format!("nats://{who}127.0.0.1:{}", server.port)).unwrap();
    let good = url("ada:s3cret%2F@");
    assert!(!format!("{good:?}").contains("s3cret"));
    everything_works(good).await;
    for wrong in ["ada:wr0ng@", "wr0ng@", ""] {
        let Err(why) = connect(url(wrong)).await else { panic!("it let anybody in") };
        let told = format!("{why} {why:?}");
        assert!(matches!(why, Error::Connect(_)) && !told.contains("wr0ng"), "{told}");
    }
}

#[tokio::test]
async fn tokens_and_keys_open_as_passwords_do() {
    let token = format!("{JETSTREAM}authorization {{ token: \"t0k/n\" }}\n");
    let Some(server) = Server::begin(|_| token).await else { return };
    everything_works(
        Settings::parse(&format!("nats://t0k%2Fn@127.0.0.1:{}", server.port)).unwrap(),
    )
    .await;
    // A pair of keys that was made for this test.
    let (seed, public) = (
        "SUAGPJZEVSA2N7Z75MGUUYEQ4D4CBBEKXXRVHTSEMETHT45QP254WINYOY",
        "UCUTZLGQEFHMCU3TOSC4Q76GSZC2M7QXDATZRU4LUWMGTA76CJVLYJQP",
    );
    let keys = format!("{JETSTREAM}authorization {{ users = [ {{ nkey: {public} }} ] }}\n");
    let Some(server) = Server::begin(|_| keys).await else { return };
    let mut settings = server.settings();
    settings.credentials = Credentials::Nkey(seed.into());
    everything_works(settings).await;
    assert!(connect(server.settings()).await.is_err(), "nobody");
}

#[tokio::test]
async fn the_connection_is_encrypted_if_it_is_asked_for() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let mut ca = None;
    let server = Server::begin(|folder| {
        let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        std::fs::write(&cert, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let lines = format!("{JETSTREAM}tls {{ cert_file: {cert:?}, key_file: {key:?} }}\n");
        ca = Some(cert);
        lines
    });
    let Some(server) = server.await else { return };
    let mut settings = Settings::parse(&format!("tls://localhost:{}", server.port)).unwrap();
    assert!(connect(settings.clone()).await.is_err(), "nobody vouches for its certificate");
    settings.ca_file = ca;
    everything_works(settings).await;
}

/// A node that hears what it is asked and does not answer, as one does that was cut off a moment ago.
#[tokio::test]
async fn members_of_all_others_are_told_while_a_node_is_silent() {
    let Some(server) = server().await else { return };
    let a = node(Settings { deadline: Duration::from_secs(2), ..server.settings() }).await;
    let (chat, ada) = (channel("chat"), entry(1, 0, Some("ada"), ""));
    a.come(&chat, &ada).await;
    let mut raw = Raw::to(&server);
    let silent = NodeId(0x0700_0000_0000_0001);
    raw.send(format!("SUB taiwa.n.{silent} 2\r\nPUB taiwa.beat 9\r\n").as_bytes());
    raw.send(&[&[1][..], &silent.0.to_be_bytes(), b"\r\n"].concat());
    let mut both = [a.id, silent];
    both.sort();
    a.knows(&both).await;
    let begun = std::time::Instant::now();
    let present = ask(|then| a.cluster.presence.present(&chat, 9, then)).await.unwrap();
    assert_eq!((present.members, present.silent), (vec![(a.id, ada)], vec![silent]));
    assert_eq!(a.counts(&chat).await, (1, 1));
    assert!(ask(|then| a.cluster.presence.who(&chat, 9, then)).await.is_err(), "not all");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    // It is the server itself that is silent: nothing is known then.
    server.freeze().await;
    assert!(ask(|then| a.cluster.presence.present(&chat, 9, then)).await.is_err());
    server.thaw().await;
}

/// A call that waits behind another one in its channel has no more time than one that does not.
#[tokio::test]
async fn a_call_takes_no_longer_than_its_deadline_also_behind_others() {
    let Some(server) = server().await else { return };
    let deadline = Duration::from_secs(1);
    let a = node(Settings { deadline, ..server.settings() }).await;
    let chat = channel("chat");
    a.say(&chat, "1").await;
    server.freeze().await;
    let forget = || asked(|then| a.cluster.broker.forget(&chat, KEEP, then));
    let took = async |it| {
        let begun = std::time::Instant::now();
        assert!(answer::<()>(it).await.is_err());
        begun.elapsed()
    };
    let first = forget();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let (first, second, third) = tokio::join!(took(first), took(forget()), took(forget()));
    for it in [first, second, third] {
        assert!(it < deadline + Duration::from_millis(500), "{first:?} {second:?} {third:?}");
    }
    let said = asked(|then| a.cluster.broker.publish(statement(&chat, KEEP, "2"), then));
    assert!(
        took(asked(|then| a.cluster.broker.forget(&chat, KEEP, then))).await < deadline * 3 / 2
    );
    assert!(answer(said).await.is_err());
    server.thaw().await;
}

#[tokio::test]
async fn a_server_without_jetstream_is_named_as_such() {
    let Some(server) = Server::begin(|_| String::new()).await else { return };
    let why = connect(server.settings()).await.unwrap_err();
    assert!(matches!(why, Error::JetStream(_)), "{why}");
}

#[tokio::test]
async fn other_prefixes_are_other_clusters() {
    let Some(server) = server().await else { return };
    let other = Settings { prefix: "other".into(), ..server.settings() };
    let (a, b) = (node(server.settings()).await, node(other).await);
    let chat = channel("chat");
    b.subscribe(&chat, KEEP, 0).await;
    a.say(&chat, "1").await;
    assert_eq!(b.say(&chat, "2").await.offset, 1);
    b.diary.until("its own", |it| it.iter().any(|it| matches!(it, Line::Heard(_)))).await;
    assert_eq!(b.diary.heard(&chat).len(), 1);
    assert_ne!(a.cluster.registry.secret(), b.cluster.registry.secret());
    assert_eq!((a.cluster.registry.nodes(), b.cluster.registry.nodes()), (vec![a.id], vec![b.id]));
}

#[tokio::test]
async fn calls_cost_what_the_readme_says() {
    let Some(server) = server().await else { return };
    let (a, b) = (node(server.settings()).await, node(server.settings()).await);
    a.knows(&[a.id, b.id]).await;
    b.knows(&[a.id, b.id]).await;
    let chat = channel("chat");
    for said in 1..=40 {
        a.say(&chat, &said.to_string()).await;
    }
    let with = |id: &str| {
        let id = Some((id.into(), Duration::from_secs(60)));
        Statement { id, ..statement(&chat, KEEP, "x") }
    };
    a.publish(with("streams are made on first use")).await.unwrap();
    let ada = entry(1, 0, Some("ada"), "");
    b.come(&chat, &ada).await;
    b.read(&chat, KEEP, Page::default()).await;
    // Beats may come between; there are few.
    let cost =
        async |node: &Node, act: &dyn Fn(&Node) -> Vec<crate::fixture::Later<'static, ()>>| {
            let before = counter(node, "requests");
            for it in act(node) {
                it.await;
            }
            counter(node, "requests") - before
        };
    let wait =
        |it: tokio::sync::oneshot::Receiver<Result<taiwa_core::Accepted, taiwa_core::Refusal>>| {
            let done: crate::fixture::Later<'static, ()> =
                Box::pin(async move { _ = answer(it).await.unwrap() });
            done
        };
    let say = |node: &Node| {
        wait(asked(|then| node.cluster.broker.publish(statement(&chat, KEEP, "x"), then)))
    };
    for (what, wanted, cost) in [
        ("a statement", 1, cost(&a, &|it| vec![say(it)]).await),
        ("64 at once", 1, cost(&a, &|it| (0..64).map(|_| say(it)).collect()).await),
        (
            "an identifier",
            3,
            cost(&a, &|it| vec![wait(asked(|then| it.cluster.broker.publish(with("y"), then)))])
                .await,
        ),
    ] {
        assert!((wanted..wanted + 3).contains(&cost), "{what} took {cost} requests");
    }
    let before = counter(&b, "requests");
    assert_eq!(
        b.read(&chat, KEEP, Page { limit: 5, reverse: true, since: None }).await.entries.len(),
        5
    );
    let took = counter(&b, "requests") - before;
    assert!((1..=8).contains(&took), "a read took {took} requests");
}
