//! What nodes cost their Redis: the processor time of the server for each kind of request. docs/scale.md rests on it.
//!
//! ```text
//! redis-server --port 7777 --save '' & cargo run -p taiwa-redis --example cost -- redis://127.0.0.1:7777 $!
//! ```

use std::{
    env, fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use taiwa_core::{
    Broker, Channel, Ears, Entry, Heard, Keep, Link, NodeId, NodeRegistry, PresenceStore,
    SessionId, State, Statement, Then,
};
use taiwa_redis::{Redis, Settings};

const CHANNELS: u64 = 100;
const STATEMENTS: u64 = 20_000;
const OTHERS: u64 = 10_000;
const BYTES: usize = 512;
/// Requests under way at once.
const UNDER_WAY: u64 = 256;
const KEEP: Keep =
    Keep { size: 50, ttl: Duration::from_secs(300), epoch_ttl: Duration::from_secs(3600) };

#[derive(Default)]
struct Listener(AtomicU64);

impl Ears for Listener {
    fn heard(&self, _: Heard) {
        self.0.fetch_add(1, SeqCst);
    }

    fn letter(&self, _: NodeId, _: bytes::Bytes) {}
    fn node_come(&self, _: NodeId) {}
    fn node_gone(&self, _: NodeId) {}
    fn state(&self, _: State) {}
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// A process whose time is looked at.
struct Server(u32);

impl Server {
    /// Microseconds of processor time so far, of all its threads.
    fn micros(&self) -> Result<f64, Failed> {
        let mut sum = 0.0;
        for task in fs::read_dir(format!("/proc/{}/task", self.0))? {
            let text = fs::read_to_string(task?.path().join("schedstat"))?;
            sum += text.split(' ').next().unwrap_or_default().parse::<f64>()? / 1000.0;
        }
        Ok(sum)
    }
}

fn channel(number: u64) -> Result<Channel, Failed> {
    Channel::parse(&format!("cost:{number}")).ok_or_else(|| "no name of a channel".into())
}

/// Does something so many times, a bounded number at once, and waits for all answers.
async fn repeat<T>(
    times: u64,
    mut ask: impl FnMut(u64, Then<T>) -> Result<(), Failed>,
) -> Result<(), Failed> {
    let (done, refused) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
    for number in 0..=times {
        let wanted = if number == times { times } else { number.saturating_sub(UNDER_WAY) };
        wait("answers", || done.load(SeqCst) >= wanted).await?;
        if number < times {
            let (done, refused) = (done.clone(), refused.clone());
            let then = move |answer: Result<T, _>| {
                refused.fetch_add(u64::from(answer.is_err()), SeqCst);
                done.fetch_add(1, SeqCst);
            };
            ask(number, Box::new(then))?;
        }
    }
    match refused.load(SeqCst) {
        0 => Ok(()),
        refused => Err(format!("{refused} requests were refused").into()),
    }
}

async fn wait(what: &str, until: impl Fn() -> bool) -> Result<(), Failed> {
    let end = Instant::now() + Duration::from_secs(120);
    while !until() {
        if Instant::now() > end {
            return Err(format!("it takes too long for {what}").into());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

async fn node(url: &str) -> Result<(Arc<Redis>, Arc<Listener>), Failed> {
    let redis = taiwa_redis::connect(Settings::parse(url)?).await?;
    let listener = Arc::<Listener>::default();
    redis.begin(listener.clone());
    Ok((redis, listener))
}

async fn publish(speaker: &Redis) -> Result<(), Failed> {
    let body = bytes::Bytes::from(vec![b'x'; BYTES]);
    repeat(STATEMENTS, |number, then| {
        let (channel, body) = (channel(number % CHANNELS)?, body.clone());
        let statement = Statement { channel, body, keep: KEEP, id: None, to_patterns: false };
        speaker.publish(statement, then);
        Ok(())
    })
    .await
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failed> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [url, process] = args.as_slice() else { return Err("say URL and PID of a Redis".into()) };
    let server = Server(process.parse()?);
    let (speaker, _) = node(url).await?;
    publish(&speaker).await?;
    let mut nodes = vec![];
    let mut alone = 0.0;
    for listeners in [0, 1, 2, 4] {
        while nodes.len() < listeners {
            let (redis, listener) = node(url).await?;
            repeat(CHANNELS, |number, then| {
                redis.subscribe(&channel(number)?, KEEP, 0, then);
                Ok(())
            })
            .await?;
            nodes.push((redis, listener));
        }
        let before = server.micros()?;
        let heard: Vec<_> = nodes.iter().map(|(_, it)| it.0.load(SeqCst)).collect();
        publish(&speaker).await?;
        for ((_, listener), before) in nodes.iter().zip(heard) {
            wait("all to be heard", || listener.0.load(SeqCst) == before + STATEMENTS).await?;
        }
        let each = (server.micros()? - before) / STATEMENTS as f64;
        if listeners == 0 {
            alone = each;
        }
        let more = if listeners == 0 { 0.0 } else { (each - alone) / listeners as f64 };
        println!("a statement for {listeners} nodes: {each:.1} µs, {more:.1} µs for each of them");
    }
    let before = server.micros()?;
    repeat(OTHERS, |number, then| {
        speaker.subscribe(&channel(1_000_000 + number)?, KEEP, 50, then);
        Ok(())
    })
    .await?;
    println!("a channel begun: {:.1} µs", (server.micros()? - before) / OTHERS as f64);
    let before = server.micros()?;
    repeat(OTHERS, |number, then| {
        let session = SessionId(u128::from(number));
        let entry = Entry { session, link: Link(0), user: None, body: bytes::Bytes::new() };
        speaker.come(&channel(number % CHANNELS)?, entry, then);
        Ok(())
    })
    .await?;
    println!("an entry of presence: {:.1} µs", (server.micros()? - before) / OTHERS as f64);
    Ok(())
}
