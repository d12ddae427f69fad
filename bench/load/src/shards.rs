//! What more shards bring: a server with one shard and all load on one core, and one with two shards and the same load on
//! two. Load and server share the cores, so the rate alone says little: the CPU time of both is told beside it.

use std::{
    fs,
    sync::{
        Barrier,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use rustix::{
    event::{EventfdFlags, eventfd},
    fd::OwnedFd,
    io,
};
use serde_json::{Value, json};

use crate::{
    clients::Clients,
    crowd::{Crowd, Happened},
    ears::Ears,
    handshake::Compression,
    machine::Cores,
    measure::{Measure, histogram},
    messages::{Content, Messages},
    noise::Noise,
    rows::{Effort, OPENING_MAX, SETTLE, WARM_UP, visits},
    server::Running,
    tongue::{Tongue, Wish},
};

const CHANNEL: &str = "all";
const ECHO_BYTES: usize = 16;
/// Publications that are not everywhere yet: no core waits for the other one to hear the last of its share.
const UNDER_WAY: u64 = 4;
/// Who has nothing to hear looks whether all is over.
const LOOK: Duration = Duration::from_millis(20);

/// The server, and how much load there is on which cores.
pub(crate) struct Scale<'a> {
    pub(crate) server: &'a Running,
    pub(crate) shards: usize,
    pub(crate) cores: Cores,
    pub(crate) effort: Effort,
    pub(crate) interrupted: &'a AtomicBool,
}

impl Scale<'_> {
    /// So many connections in all, each with one message outstanding.
    pub(crate) fn echo(&self, path: &str, connections: usize) -> Result<Value, String> {
        let begin = |_| {
            let mut noise = Noise::random();
            let messages =
                Messages::new(Content::Binary, Compression::None, ECHO_BYTES, &mut noise);
            let port = self.server.port();
            let mut clients =
                Clients::new(path, port, messages, Compression::None, self.interrupted)?;
            visits::open(&mut clients, connections / self.shards)?;
            Ok(clients)
        };
        let run = |clients: &mut Clients<'_>, phase: Phase| {
            let latency = visits::echo(clients, 1, phase.window(self.effort))?;
            Ok((latency.len(), Some(latency)))
        };
        self.measure(begin, run)
    }

    /// One publishes, so many in all hear it, as many on each core.
    pub(crate) fn publish(&self, subscribers: usize) -> Result<Value, String> {
        let hears = Wish { channels: vec![CHANNEL.into()], ..Wish::default() };
        let bell = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC);
        let bell = bell.map_err(|it| it.to_string())?;
        let begin = |number| {
            let mut crowd = Crowd::new(Tongue::Plain, self.server.port(), self.interrupted)?;
            // Who publishes is number 0 of the first part, and does not hear itself.
            let deaf = usize::from(number == 0);
            if number == 0 {
                crowd.let_in([hears.clone()], 1)?;
                crowd.wake_by(&bell)?;
            }
            let many = subscribers / self.shards;
            crowd.let_in(std::iter::repeat_n(hears.clone(), many), OPENING_MAX)?;
            // Who is let in may be subscribed a little later.
            thread::sleep(SETTLE);
            let ears = Ears::new(crowd.len(), deaf);
            Ok(Part { crowd, ears, number })
        };
        let heard: Vec<AtomicU64> = (0..self.shards).map(|_| AtomicU64::new(0)).collect();
        let talk = |phase: Phase| Talk {
            heard: &heard,
            bell: &bell,
            is_over: AtomicBool::new(false),
            window: phase.window(self.effort),
        };
        let (warm_up, window) = (talk(Phase::WarmUp), talk(Phase::Window));
        let run = |part: &mut Part<'_>, phase: Phase| {
            let talk = if phase == Phase::WarmUp { &warm_up } else { &window };
            let count = if part.number == 0 { part.talk(talk) } else { part.listen(talk) };
            Ok((count?, None))
        };
        self.measure(begin, run)
    }

    /// Begins all parts of the load, each on its core, has them warm up, and measures what they do in the window.
    fn measure<P>(
        &self,
        begin: impl Fn(usize) -> Result<P, String> + Sync,
        run: impl Fn(&mut P, Phase) -> Result<(u64, Option<Histogram<u64>>), String> + Sync,
    ) -> Result<Value, String> {
        let gate = &Barrier::new(self.shards + 1);
        // Whoever failed waits at the gates, too, or all would wait for it.
        let work = &|number| {
            let part = self.cores.take_part(number).and_then(|()| begin(number));
            gate.wait();
            let part = part.and_then(|mut it| run(&mut it, Phase::WarmUp).map(|_| it));
            gate.wait();
            gate.wait();
            let done = part.and_then(|mut part| {
                let before = own_cpu()?;
                let (count, latency) = run(&mut part, Phase::Window)?;
                Ok(Done { count, load: own_cpu()? - before, latency })
            });
            gate.wait();
            gate.wait();
            done
        };
        thread::scope(|scope| {
            let threads: Vec<_> =
                (0..self.shards).map(|number| scope.spawn(move || work(number))).collect();
            gate.wait();
            gate.wait();
            let measure = Measure::start(self.server);
            gate.wait();
            gate.wait();
            let measured = measure.and_then(Measure::stop);
            gate.wait();
            let done = threads.into_iter().map(|it| it.join().map_err(|_| "a part of it ended")?);
            let done: Vec<Done> = done.collect::<Result<_, String>>()?;
            figures(measured?, done)
        })
    }
}

/// What all parts do at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    WarmUp,
    Window,
}

impl Phase {
    fn window(self, effort: Effort) -> Duration {
        match self {
            Self::WarmUp => WARM_UP.min(effort.window),
            Self::Window => effort.window,
        }
    }
}

/// What one part did in the window.
struct Done {
    count: u64,
    /// The CPU time of its thread.
    load: Duration,
    latency: Option<Histogram<u64>>,
}

fn figures(
    (mut figures, elapsed, cpu): (Value, f64, f64),
    done: Vec<Done>,
) -> Result<Value, String> {
    let count = done.iter().map(|it| it.count).sum::<u64>() as f64;
    let load = done.iter().map(|it| it.load).sum::<Duration>().as_secs_f64();
    figures["load_cpu_share"] = json!(load / elapsed);
    figures["us_per_message"] = json!(elapsed * 1e6 / count);
    figures["server_cpu_us_per_message"] = json!(cpu * 1e6 / count);
    figures["load_cpu_us_per_message"] = json!(load * 1e6 / count);
    figures["messages_per_second"] = json!(count / elapsed);
    let mut all = histogram();
    for latency in done.into_iter().filter_map(|it| it.latency) {
        all.add(latency).map_err(|it| it.to_string())?;
    }
    if !all.is_empty() {
        figures["latency_us_p50"] = json!(all.value_at_quantile(0.5) as f64 / 1e3);
        figures["latency_us_p99"] = json!(all.value_at_quantile(0.99) as f64 / 1e3);
    }
    Ok(figures)
}

/// What the parts know of each other while one publishes.
struct Talk<'a> {
    /// Of each part: how many publications all of its subscribers have heard.
    heard: &'a [AtomicU64],
    /// Wakes the one who publishes.
    bell: &'a OwnedFd,
    is_over: AtomicBool,
    window: Duration,
}

/// The subscribers on one core.
struct Part<'a> {
    crowd: Crowd<'a>,
    ears: Ears,
    number: usize,
}

impl Part<'_> {
    /// Publishes for a time, and hears it, until all of it is everywhere. Returns how many deliveries came here.
    fn talk(&mut self, talk: &Talk<'_>) -> Result<u64, String> {
        let end = Instant::now() + talk.window;
        let mut said = self.ears.done();
        let mut count = 0;
        self.crowd.begin_to_wait();
        loop {
            let others = talk.heard[1..].iter().map(|it| it.load(Ordering::Acquire));
            let everywhere = others.fold(self.ears.done(), u64::min);
            if Instant::now() < end {
                let words: Vec<String> = (said..everywhere + UNDER_WAY).map(Ears::word).collect();
                said += words.len() as u64;
                if !words.is_empty() {
                    self.crowd.say(0, words.iter().map(String::as_str))?;
                }
            } else if everywhere == said {
                talk.is_over.store(true, Ordering::Release);
                return Ok(count);
            }
            count += self.hear()?;
        }
    }

    /// Hears until all is said. Returns how many deliveries came here.
    fn listen(&mut self, talk: &Talk<'_>) -> Result<u64, String> {
        let mut count = 0;
        self.crowd.begin_to_wait();
        while !talk.is_over.load(Ordering::Acquire) {
            count += self.hear()?;
            if talk.heard[self.number].swap(self.ears.done(), Ordering::AcqRel) < self.ears.done() {
                io::write(talk.bell, &1_u64.to_ne_bytes()).map_err(|it| it.to_string())?;
            }
        }
        Ok(count)
    }

    fn hear(&mut self) -> Result<u64, String> {
        let Self { crowd, ears, .. } = self;
        let mut count = 0;
        crowd.turn(LOOK, |id, happened| {
            let Happened::Said(line) = happened else {
                return Err(format!("{happened:?} was not due"));
            };
            count += 1;
            ears.hear(id, line)
        })?;
        Ok(count)
    }
}

/// The CPU time of this thread.
fn own_cpu() -> Result<Duration, String> {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").map_err(|it| it.to_string())?;
    let nanoseconds = stat.split(' ').next().and_then(|it| it.parse().ok());
    nanoseconds.map(Duration::from_nanos).ok_or("schedstat is not as it was".into())
}
