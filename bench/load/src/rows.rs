//! What is measured: one row of the table each, and how one visit to one server goes.

use std::{
    sync::atomic::AtomicBool,
    thread,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::{
    across,
    clients::{Clients, Happened, Rest},
    crowd::Crowd,
    fan_out,
    handshake::Compression,
    large::Line,
    measure::{Measure, histogram, note},
    noise::Noise,
    publish, resume,
    server::{Running, Server, Task},
    sessions,
};

/// Connections whose opening handshake may be under way at once: fewer than fit in a listener's backlog.
pub(crate) const OPENING_MAX: usize = 64;
/// The same where all come back at once.
const STORMING_MAX: usize = 256;
/// Messages outstanding at once over all idle connections.
const IDLE_OUTSTANDING_MAX: usize = 64;
pub(crate) const WARM_UP: Duration = Duration::from_millis(300);
/// What a server may still do after the last message: return memory, for instance.
pub(crate) const SETTLE: Duration = Duration::from_millis(500);
const IDLE_MESSAGE_BYTES: usize = 16;
const GIB: u64 = 1 << 30;
/// What goes through before a large message is measured: as much as makes every buffer as large as it gets, where
/// the message itself is not held.
const LARGE_WARM_UP: u64 = 16 << 20;

/// One row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) told: &'static str,
    kind: Kind,
    connections: usize,
    /// It is measured in this many rounds at most: what takes long needs not be repeated as often.
    pub(crate) rounds_max: usize,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Echo { message_bytes: usize },
    Handshakes,
    Idle,
    FanOut { message_bytes: usize, compression: Compression },
    Take,
    Give,
    Publish { burst: usize },
    Resume,
    Sessions { channels: usize },
    Newcomers,
    Across { kept: bool, per_second: u32 },
}

const ALWAYS: usize = usize::MAX;
/// Rounds of a row that takes long, or whose figures lie close together.
const SOME: usize = 3;

pub(crate) const ROWS: [Row; 21] = [
    Row {
        name: "echo-16",
        told: "echo of 16 B, 64 connections",
        kind: Kind::Echo { message_bytes: 16 },
        connections: 64,
        rounds_max: ALWAYS,
    },
    Row {
        name: "echo-16k",
        told: "echo of 16 KiB, 64 connections",
        kind: Kind::Echo { message_bytes: 16 << 10 },
        connections: 64,
        rounds_max: ALWAYS,
    },
    Row {
        name: "echo-1m",
        told: "echo of 1 MiB, 4 connections",
        kind: Kind::Echo { message_bytes: 1 << 20 },
        connections: 4,
        rounds_max: ALWAYS,
    },
    Row {
        name: "handshakes",
        told: "open and close, 64 at once",
        kind: Kind::Handshakes,
        connections: 64,
        rounds_max: ALWAYS,
    },
    Row {
        name: "idle",
        told: "10,000 idle connections",
        kind: Kind::Idle,
        connections: 10_000,
        rounds_max: SOME,
    },
    Row {
        name: "fan-out",
        told: "512 B to 1,000 connections",
        kind: Kind::FanOut { message_bytes: 512, compression: Compression::None },
        connections: 1000,
        rounds_max: ALWAYS,
    },
    Row {
        name: "fan-out-deflate",
        told: "512 B to 1,000 connections, compressed",
        kind: Kind::FanOut { message_bytes: 512, compression: Compression::Deflate },
        connections: 1000,
        rounds_max: SOME,
    },
    Row {
        name: "take-1g",
        told: "one message of 1 GiB, received; rate in MiB",
        kind: Kind::Take,
        connections: 1,
        rounds_max: SOME,
    },
    Row {
        name: "give-1g",
        told: "one message of 1 GiB, sent; rate in MiB",
        kind: Kind::Give,
        connections: 1,
        rounds_max: SOME,
    },
    Row {
        name: "publish-1k",
        told: "published to 1,000 subscribers",
        kind: Kind::Publish { burst: 1 },
        connections: 1000,
        rounds_max: SOME,
    },
    Row {
        name: "publish-1k-x16",
        told: "published to 1,000 subscribers, 16 at once",
        kind: Kind::Publish { burst: 16 },
        connections: 1000,
        rounds_max: SOME,
    },
    Row {
        name: "publish-10k",
        told: "published to 10,000 subscribers",
        kind: Kind::Publish { burst: 1 },
        connections: 10_000,
        rounds_max: SOME,
    },
    Row {
        name: "publish-10k-x16",
        told: "published to 10,000 subscribers, 16 at once",
        kind: Kind::Publish { burst: 16 },
        connections: 10_000,
        rounds_max: SOME,
    },
    Row {
        name: "resume",
        told: "10,000 sessions cut at once come back and miss nothing",
        kind: Kind::Resume,
        connections: 10_000,
        rounds_max: SOME,
    },
    Row {
        name: "sessions-1",
        told: "10,000 sessions in one channel",
        kind: Kind::Sessions { channels: 1 },
        connections: 10_000,
        rounds_max: SOME,
    },
    Row {
        name: "sessions",
        told: "10,000 sessions in two channels each",
        kind: Kind::Sessions { channels: 2 },
        connections: 10_000,
        rounds_max: SOME,
    },
    Row {
        name: "newcomers",
        told: "a newcomer's wait while 15,000 sessions end at once",
        kind: Kind::Newcomers,
        connections: 15_000,
        rounds_max: SOME,
    },
    Row {
        name: "across-1",
        told: "one node to another, 1 subscriber, nothing is kept; rate in publications",
        kind: Kind::Across { kept: false, per_second: 1000 },
        connections: 1,
        rounds_max: SOME,
    },
    Row {
        name: "across-100",
        told: "one node to another, 100 subscribers, nothing is kept; rate in publications",
        kind: Kind::Across { kept: false, per_second: 200 },
        connections: 100,
        rounds_max: SOME,
    },
    Row {
        name: "across-kept-1",
        told: "one node to another, 1 subscriber, kept for who comes back; rate in publications",
        kind: Kind::Across { kept: true, per_second: 1000 },
        connections: 1,
        rounds_max: SOME,
    },
    Row {
        name: "across-kept-100",
        told: "one node to another, 100 subscribers, kept for who comes back; rate in publications",
        kind: Kind::Across { kept: true, per_second: 200 },
        connections: 100,
        rounds_max: SOME,
    },
];

/// How much a visit does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// How long a rate is measured.
    pub(crate) window: Duration,
    /// Divides the number of connections where there are many, and the bytes of what is large.
    pub(crate) divisor: usize,
}

impl Row {
    /// The same, measured in every round.
    pub(crate) fn in_every_round(self) -> Self {
        Self { rounds_max: ALWAYS, ..self }
    }

    /// The name of the figure by which servers are compared; less is better.
    pub(crate) fn figure(&self) -> &'static str {
        match self.kind {
            Kind::Echo { .. } => "cpu_us_per_message",
            Kind::Handshakes => "cpu_us_per_connection",
            Kind::Idle => "bytes_per_connection",
            Kind::FanOut { .. } => "cpu_us_per_delivery",
            Kind::Take | Kind::Give => "cpu_ms_per_gib",
            Kind::Publish { .. } | Kind::Across { .. } => "cpu_us_per_delivery",
            Kind::Resume => "cpu_us_per_session",
            Kind::Sessions { .. } => "bytes_per_session",
            Kind::Newcomers => "worst_wait_ms",
        }
    }

    /// The unit of that figure in the table.
    pub(crate) fn unit(&self) -> &'static str {
        match self.kind {
            Kind::Echo { .. } => "CPU µs per message",
            Kind::Handshakes => "CPU µs per connection",
            Kind::Idle => "bytes per connection",
            Kind::FanOut { .. } | Kind::Publish { .. } | Kind::Across { .. } => {
                "CPU µs per delivered message"
            }
            Kind::Resume => "CPU µs per session",
            Kind::Sessions { .. } => "bytes per session",
            Kind::Newcomers => "ms at worst",
            Kind::Take | Kind::Give => "CPU ms per GiB",
        }
    }

    /// What servers are started for.
    pub(crate) fn task(&self) -> Task {
        match self.kind {
            Kind::Echo { .. } | Kind::Handshakes | Kind::Idle => Task::Echo,
            Kind::FanOut { compression: Compression::None, .. } => Task::FanOut,
            Kind::FanOut { compression: Compression::Deflate, .. } => Task::FanOutDeflate,
            Kind::Take => Task::Take,
            Kind::Give => Task::Give,
            Kind::Publish { .. } | Kind::Sessions { .. } | Kind::Newcomers => Task::Publish,
            Kind::Resume => Task::Resume,
            Kind::Across { kept: false, .. } => Task::Across,
            Kind::Across { kept: true, .. } => Task::AcrossKept,
        }
    }

    /// Measures one server once. The object holds [`figure`](Self::figure) and what explains it.
    pub(crate) fn visit(
        &self,
        server: &Running,
        who: &Server,
        effort: Effort,
        interrupted: &AtomicBool,
    ) -> Result<Value, String> {
        let path = who.path;
        let clients = |message_bytes, compression| {
            Clients::new(path, server.port(), message_bytes, compression, interrupted)
        };
        let crowd = || Crowd::new(who.tongue, server.port(), interrupted);
        let many = self.connections / effort.divisor;
        let plain = |message_bytes| clients(message_bytes, Compression::None);
        match self.kind {
            Kind::Echo { message_bytes } => {
                let mut clients = plain(message_bytes)?;
                open(&mut clients, self.connections)?;
                echo(&mut clients, message_bytes, WARM_UP.min(effort.window))?;
                let measure = Measure::start(server)?;
                let latency = echo(&mut clients, message_bytes, effort.window)?;
                measure.stop_with_latency("message", "messages", &latency)
            }
            Kind::Handshakes => {
                let mut clients = plain(IDLE_MESSAGE_BYTES)?;
                handshakes(&mut clients, self.connections, WARM_UP.min(effort.window))?;
                let measure = Measure::start(server)?;
                let latency = handshakes(&mut clients, self.connections, effort.window)?;
                measure.stop_with_latency("connection", "connections", &latency)
            }
            Kind::Idle => {
                let mut clients = plain(IDLE_MESSAGE_BYTES)?;
                idle(&mut clients, self.connections / effort.divisor, server)
            }
            Kind::FanOut { message_bytes, compression } => {
                let (mut clients, mut noise) = (clients(0, compression)?, Noise::new(1));
                open(&mut clients, self.connections / effort.divisor)?;
                clients.rest(Rest::Look);
                let mut run =
                    |window| fan_out::run(&mut clients, message_bytes, window, &mut noise);
                run(WARM_UP.min(effort.window))?;
                let measure = Measure::start(server)?;
                let latency = run(effort.window)?;
                measure.stop_with_latency("delivery", "deliveries", &latency)
            }
            Kind::Take | Kind::Give => {
                // What the server takes we give.
                let transfer = if self.task() == Task::Take { Line::give } else { Line::take };
                let mut line = Line::open(path, server.port(), interrupted)?;
                large(server, GIB / effort.divisor as u64, |bytes| transfer(&mut line, bytes))
            }
            Kind::Publish { burst } => publish::visit(&mut crowd()?, many, burst, effort, server),
            Kind::Resume => resume::visit(&mut crowd()?, many, STORMING_MAX, server),
            Kind::Sessions { channels } => sessions::memory(&mut crowd()?, many, channels, server),
            Kind::Newcomers => sessions::newcomers(who.tongue, many, server, interrupted),
            Kind::Across { per_second, .. } => {
                across::visit(&mut crowd()?, many.max(1), per_second, effort, server)
            }
        }
    }
}

/// Opens connections until there are `count`.
fn open(clients: &mut Clients, count: usize) -> Result<(), String> {
    let mut open = clients.len();
    while open < count {
        while clients.len() < count.min(open + OPENING_MAX) {
            clients.open()?;
        }
        clients.turn(|_, _, happened| {
            open += usize::from(matches!(happened, Happened::Opened(_)));
            Ok(())
        })?;
    }
    Ok(())
}

/// Keeps one message outstanding on each connection for a time, then waits for the last ones.
fn echo(clients: &mut Clients, bytes: usize, window: Duration) -> Result<Histogram<u64>, String> {
    let mut latency = histogram();
    let end = Instant::now() + window;
    for id in 0..clients.len() {
        clients.send(id, bytes)?;
    }
    let mut outstanding = clients.len();
    while outstanding > 0 {
        let more = Instant::now() < end;
        clients.turn(|clients, id, happened| {
            let Happened::Echoed(took) = happened else { return unexpected(happened) };
            note(&mut latency, took);
            match more {
                true => clients.send(id, bytes)?,
                false => outstanding -= 1,
            }
            Ok(())
        })?;
    }
    Ok(latency)
}

/// Opens connections, closes each as soon as it is open, for a time; then waits for the last ones. The latency is
/// that of the opening.
fn handshakes(
    clients: &mut Clients,
    at_once: usize,
    window: Duration,
) -> Result<Histogram<u64>, String> {
    let mut latency = histogram();
    let end = Instant::now() + window;
    for id in 0..at_once {
        match id < clients.len() {
            true => clients.reopen(id)?,
            false => _ = clients.open()?,
        }
    }
    let mut outstanding = at_once;
    while outstanding > 0 {
        let more = Instant::now() < end;
        clients.turn(|clients, id, happened| {
            match happened {
                Happened::Opened(took) => {
                    note(&mut latency, took);
                    clients.close(id)?;
                }
                Happened::Closed(_) if more => clients.reopen(id)?,
                Happened::Closed(_) => outstanding -= 1,
                Happened::Echoed(_) | Happened::Delivered(_) => return unexpected(happened),
            }
            Ok(())
        })?;
    }
    Ok(latency)
}

/// Holds connections that do nothing, and reads the server's memory before and after one message on each.
fn idle(clients: &mut Clients, count: usize, server: &Running) -> Result<Value, String> {
    // The first connection makes the server allocate what it needs only once.
    open(clients, 1)?;
    echo_once(clients, 0)?;
    thread::sleep(SETTLE);
    let (before, cpu) = (server.resident_bytes()?, server.cpu()?);
    open(clients, count)?;
    thread::sleep(SETTLE);
    let (opened, cpu_opened) = (server.resident_bytes()?, server.cpu()?);
    echo_once(clients, 1)?;
    thread::sleep(SETTLE);
    let after = server.resident_bytes()?;
    let each = |bytes: u64| (bytes as f64 - before as f64) / (count - 1) as f64;
    Ok(json!({
        "bytes_per_connection": each(after),
        "bytes_per_connection_before_a_message": each(opened),
        "cpu_us_per_opening": (cpu_opened - cpu).as_secs_f64() * 1e6 / (count - 1) as f64,
        "resident_bytes_of_one_connection": before,
        "connections": count,
    }))
}

/// Sends one message on each connection from the given one on, a few at a time.
fn echo_once(clients: &mut Clients, first: usize) -> Result<(), String> {
    let (mut sent, mut echoed) = (first, first);
    while echoed < clients.len() {
        while sent < clients.len().min(echoed + IDLE_OUTSTANDING_MAX) {
            clients.send(sent, IDLE_MESSAGE_BYTES)?;
            sent += 1;
        }
        clients.turn(|_, _, happened| {
            let Happened::Echoed(_) = happened else { return unexpected(happened) };
            echoed += 1;
            Ok(())
        })?;
    }
    Ok(())
}

/// Measures one large message, and how much memory it takes beyond that of a small one.
fn large(
    server: &Running,
    bytes: u64,
    mut transfer: impl FnMut(u64) -> Result<(), String>,
) -> Result<Value, String> {
    transfer(IDLE_MESSAGE_BYTES as u64)?;
    thread::sleep(SETTLE);
    let before = server.resident_bytes()?;
    server.forget_peak()?;
    transfer(LARGE_WARM_UP.min(bytes))?;
    let measure = Measure::start(server)?;
    transfer(bytes)?;
    let (mut figures, elapsed, cpu) = measure.stop()?;
    figures["cpu_ms_per_gib"] = json!(cpu * 1e3 * GIB as f64 / bytes as f64);
    figures["mib_per_second"] = json!(bytes as f64 / f64::from(1 << 20) / elapsed);
    figures["resident_bytes_before"] = json!(before);
    figures["peak_growth_bytes"] = json!(server.peak_bytes()?.saturating_sub(before));
    Ok(figures)
}

pub(crate) fn unexpected(happened: Happened) -> Result<(), String> {
    Err(format!("{happened:?} was not due"))
}
