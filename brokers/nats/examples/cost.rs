//! Measures what calls cost: `cargo run --release -p taiwa-nats --example cost -- nats://127.0.0.1:4222 PID`, with the number of the
//! server's process.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use taiwa_core::{
    Broker, Channel, Ears, Entry, Heard, Keep, Link, NodeId, NodeRegistry, PresenceStore,
    SessionId, State, Statement, Then, User,
};
use taiwa_nats::{Nats, Settings, connect};
use tokio::sync::oneshot;

const COUNT: usize = 20_000;
const AT_ONCE: usize = 2_000;
const SUBSCRIPTIONS: usize = 5_000;
const MINUTES: Duration = Duration::from_secs(600);
const KEPT: Keep = Keep { size: 100, ttl: MINUTES, epoch_ttl: MINUTES };
const PASSING: Keep = Keep { size: 0, ttl: Duration::ZERO, epoch_ttl: Duration::ZERO };

/// As `cargo run -p taiwa-redis --example cost` has it, for docs/scale.md.
const CHANNELS: usize = 100;
const BYTES: usize = 512;
const UNDER_WAY: usize = 256;
const OTHERS: usize = 10_000;
const SCALE: Keep = Keep { size: 50, ttl: MINUTES, epoch_ttl: MINUTES };

#[derive(Default)]
struct Ear(AtomicUsize);

impl Ears for Ear {
    fn heard(&self, _: Heard) {
        self.0.fetch_add(1, SeqCst);
    }

    fn letter(&self, _: NodeId, _: bytes::Bytes) {}
    fn node_come(&self, _: NodeId) {}
    fn node_gone(&self, _: NodeId) {}
    fn state(&self, _: State) {}
}

/// Microseconds that a process has computed, to the hundredth of a second.
fn computed(process: &str) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("such a process");
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    fields[11..13].iter().map(|it| it.parse::<f64>().unwrap_or(0.0) * 10_000.0).sum()
}

/// Bytes that a process has in memory.
fn resident(process: &str) -> usize {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("such a process");
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|it| it.parse().ok()).unwrap_or(0) * 1024
}

async fn say(nats: &Nats, what: &str, keep: Keep, channels: usize, server: &str) {
    let name = |it: usize| Channel::parse(&format!("{channels}:{it}"));
    let channels: Vec<Channel> = (0..channels).filter_map(name).collect();
    let (begun, there, here) = (Instant::now(), computed(server), computed("self"));
    let mut answers = Vec::new();
    for it in 0..COUNT {
        let (sender, receiver) = oneshot::channel();
        let statement = Statement {
            channel: channels[it % channels.len()].clone(),
            body: vec![b'x'; 200].into(),
            keep,
            id: None,
            to_patterns: false,
        };
        nats.publish(statement, Box::new(move |it| drop(sender.send(it))));
        answers.push(receiver);
        if answers.len() == AT_ONCE || it + 1 == COUNT {
            for answer in answers.drain(..) {
                answer.await.expect("it is answered").expect("it is accepted");
            }
        }
    }
    let each = |it: f64| it / COUNT as f64;
    println!(
        "{what}: {:.0} a second; of the server's time {:.1} µs each, of ours {:.1} µs",
        COUNT as f64 / begun.elapsed().as_secs_f64(),
        each(computed(server) - there),
        each(computed("self") - here),
    );
}

async fn hear(nats: &Nats, server: &str) {
    let (here, there) = (resident("self"), resident(server));
    let mut answers = Vec::new();
    for channel in (0..SUBSCRIPTIONS).filter_map(|it| Channel::parse(&format!("s{it}"))) {
        let (sender, receiver) = oneshot::channel();
        nats.subscribe(&channel, PASSING, 0, Box::new(move |it| drop(sender.send(it))));
        answers.push(receiver);
    }
    for answer in answers {
        answer.await.expect("it is answered").expect("it is heard");
    }
    let each = |it: usize| it / SUBSCRIPTIONS;
    println!(
        "a channel that is heard: {} bytes of ours, {} of the server's",
        each(resident("self").saturating_sub(here)),
        each(resident(server).saturating_sub(there)),
    );
}

fn place(number: usize) -> Channel {
    Channel::parse(&format!("cost:{number}")).expect("a name")
}

/// Does something so many times, a bounded number at once, and tells what each took of the server's time, in microseconds.
async fn repeat<T: Send + 'static>(
    times: usize,
    server: &str,
    mut ask: impl FnMut(usize, Then<T>),
) -> f64 {
    let before = computed(server);
    let mut answers = std::collections::VecDeque::new();
    for number in 0..times {
        let (sender, receiver) = oneshot::channel();
        ask(number, Box::new(move |it| drop(sender.send(it.map(drop)))));
        answers.push_back(receiver);
        while answers.len() >= UNDER_WAY || (number + 1 == times && !answers.is_empty()) {
            let answer = answers.pop_front().expect("one is awaited");
            answer.await.expect("it is answered").expect("it is accepted");
        }
    }
    (computed(server) - before) / times as f64
}

async fn publish(nats: &Nats, server: &str) -> f64 {
    let body = bytes::Bytes::from(vec![b'x'; BYTES]);
    repeat(COUNT, server, |number, then| {
        let (channel, body) = (place(number % CHANNELS), body.clone());
        nats.publish(Statement { channel, body, keep: SCALE, id: None, to_patterns: false }, then);
    })
    .await
}

/// What the server computes for each of the things that docs/scale.md asks of a broker.
async fn beside_redis(nats: &Nats, url: &str, server: &str) {
    publish(nats, server).await;
    let (mut nodes, mut alone) = (vec![], 0.0);
    for listeners in [0, 1, 2, 4] {
        while nodes.len() < listeners {
            let node = connect(Settings::parse(url).expect("an address")).await.expect("a server");
            let ear = Arc::<Ear>::default();
            node.begin(ear.clone());
            repeat(CHANNELS, server, |it, then| node.subscribe(&place(it), SCALE, 0, then)).await;
            nodes.push((node, ear));
        }
        let heard: Vec<_> = nodes.iter().map(|(_, it)| it.0.load(SeqCst)).collect();
        let before = computed(server);
        publish(nats, server).await;
        for ((_, ear), before) in nodes.iter().zip(heard) {
            let end = Instant::now() + Duration::from_secs(60);
            while ear.0.load(SeqCst) < before + COUNT {
                assert!(Instant::now() < end, "not all is heard");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        let each = (computed(server) - before) / COUNT as f64;
        alone = if listeners == 0 { each } else { alone };
        let more = if listeners == 0 { 0.0 } else { (each - alone) / listeners as f64 };
        println!("a statement for {listeners} nodes: {each:.1} µs, {more:.1} µs for each of them");
    }
    let begun = repeat(OTHERS, server, |it, then| {
        nats.subscribe(&place(1_000_000 + it), SCALE, 50, then);
    });
    println!("a channel begun: {:.1} µs", begun.await);
    let come = repeat(OTHERS, server, |it, then| {
        let user = Some(User::from(&*format!("user-{it}")));
        let (session, body) = (SessionId(it as u128), bytes::Bytes::new());
        let entry = Entry { session, link: Link(0), user, body };
        nats.come(&place(it % CHANNELS), entry, then);
    });
    println!("the first entry of a user in presence: {:.1} µs", come.await);
}

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let (Some(url), Some(server)) = (args.next(), args.next()) else {
        eprintln!("say where NATS is, and the number of its process");
        std::process::exit(2)
    };
    let settings = Settings::parse(&url).expect("an address");
    let nats = connect(settings).await.expect("a server with JetStream");
    nats.begin(Arc::<Ear>::default());
    say(&nats, "kept, in one channel", KEPT, 1, &server).await;
    say(&nats, "kept, in 1,000 new channels", KEPT, 1000, &server).await;
    say(&nats, "kept, in them again", KEPT, 1000, &server).await;
    say(&nats, "not kept, in 1,000 channels", PASSING, 1000, &server).await;
    hear(&nats, &server).await;
    beside_redis(&nats, &url, &server).await;
}
