//! Measures what calls cost: `cargo run --release -p taiwa-nats --example cost -- nats://127.0.0.1:4222 PID`, with the number of the
//! server's process.

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use taiwa_core::{Broker, Channel, Ears, Heard, Keep, NodeId, NodeRegistry, State, Statement};
use taiwa_nats::{Nats, Settings, connect};
use tokio::sync::oneshot;

const COUNT: usize = 20_000;
const AT_ONCE: usize = 2_000;
const SUBSCRIPTIONS: usize = 5_000;
const MINUTES: Duration = Duration::from_secs(600);
const KEPT: Keep = Keep { size: 100, ttl: MINUTES, epoch_ttl: MINUTES };
const PASSING: Keep = Keep { size: 0, ttl: Duration::ZERO, epoch_ttl: Duration::ZERO };

struct Deaf;

impl Ears for Deaf {
    fn heard(&self, _: Heard) {}
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

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let (Some(url), Some(server)) = (args.next(), args.next()) else {
        eprintln!("say where NATS is, and the number of its process");
        std::process::exit(2)
    };
    let settings = Settings::parse(&url).expect("an address");
    let nats = connect(settings).await.expect("a server with JetStream");
    nats.begin(Arc::new(Deaf));
    say(&nats, "kept, in one channel", KEPT, 1, &server).await;
    say(&nats, "kept, in 1,000 new channels", KEPT, 1000, &server).await;
    say(&nats, "kept, in them again", KEPT, 1000, &server).await;
    say(&nats, "not kept, in 1,000 channels", PASSING, 1000, &server).await;
    hear(&nats, &server).await;
}
