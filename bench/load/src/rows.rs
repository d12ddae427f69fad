//! What is measured: one row of the table each, and how one visit to one server goes.

use std::{
    sync::atomic::AtomicBool,
    thread,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::{
    clients::{Clients, Happened},
    machine::BusyTime,
    server::Running,
};

/// Connections whose opening handshake may be under way at once: fewer than fit in a listener's backlog.
const OPENING_MAX: usize = 64;
/// Messages outstanding at once over all idle connections.
const IDLE_OUTSTANDING_MAX: usize = 64;
const WARM_UP: Duration = Duration::from_millis(300);
/// What a server may still do after the last message: return memory, for instance.
const SETTLE: Duration = Duration::from_millis(500);
const IDLE_MESSAGE_BYTES: usize = 16;

/// One row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) told: &'static str,
    kind: Kind,
    connections: usize,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Echo { message_bytes: usize },
    Handshakes,
    Idle,
}

pub(crate) const ROWS: [Row; 5] = [
    Row {
        name: "echo-16",
        told: "echo of 16 B, 64 connections",
        kind: Kind::Echo { message_bytes: 16 },
        connections: 64,
    },
    Row {
        name: "echo-16k",
        told: "echo of 16 KiB, 64 connections",
        kind: Kind::Echo { message_bytes: 16 << 10 },
        connections: 64,
    },
    Row {
        name: "echo-1m",
        told: "echo of 1 MiB, 4 connections",
        kind: Kind::Echo { message_bytes: 1 << 20 },
        connections: 4,
    },
    Row {
        name: "handshakes",
        told: "open and close, 64 at once",
        kind: Kind::Handshakes,
        connections: 64,
    },
    Row { name: "idle", told: "10,000 idle connections", kind: Kind::Idle, connections: 10_000 },
];

/// How much a visit does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// How long a rate is measured.
    pub(crate) window: Duration,
    /// Divides the number of idle connections.
    pub(crate) idle_divisor: usize,
}

impl Row {
    /// The name of the figure by which servers are compared; less is better.
    pub(crate) fn figure(&self) -> &'static str {
        match self.kind {
            Kind::Echo { .. } => "cpu_us_per_message",
            Kind::Handshakes => "cpu_us_per_connection",
            Kind::Idle => "bytes_per_connection",
        }
    }

    /// The unit of that figure in the table.
    pub(crate) fn unit(&self) -> &'static str {
        match self.kind {
            Kind::Echo { .. } => "CPU µs per message",
            Kind::Handshakes => "CPU µs per connection",
            Kind::Idle => "bytes per connection",
        }
    }

    /// Measures one server once. The object holds [`figure`](Self::figure) and what explains it.
    pub(crate) fn visit(
        &self,
        server: &Running,
        path: &str,
        effort: Effort,
        interrupted: &AtomicBool,
    ) -> Result<Value, String> {
        let message_bytes = match self.kind {
            Kind::Echo { message_bytes } => message_bytes,
            Kind::Handshakes | Kind::Idle => IDLE_MESSAGE_BYTES,
        };
        let mut clients = Clients::new(path, server.port(), message_bytes, interrupted)?;
        match self.kind {
            Kind::Echo { .. } => {
                open(&mut clients, self.connections)?;
                echo(&mut clients, message_bytes, WARM_UP.min(effort.window))?;
                let measure = Measure::start(server)?;
                let latency = echo(&mut clients, message_bytes, effort.window)?;
                measure.stop("message", &latency)
            }
            Kind::Handshakes => {
                handshakes(&mut clients, self.connections, WARM_UP.min(effort.window))?;
                let measure = Measure::start(server)?;
                let latency = handshakes(&mut clients, self.connections, effort.window)?;
                measure.stop("connection", &latency)
            }
            Kind::Idle => idle(&mut clients, self.connections / effort.idle_divisor, server),
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
                Happened::Echoed(_) => return unexpected(happened),
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

/// A window of measurement that began when nothing was outstanding.
struct Measure<'a> {
    server: &'a Running,
    start: Instant,
    cpu: Duration,
    busy: BusyTime,
}

impl<'a> Measure<'a> {
    fn start(server: &'a Running) -> Result<Self, String> {
        Ok(Self { server, start: Instant::now(), cpu: server.cpu()?, busy: BusyTime::now(server)? })
    }

    fn stop(self, what: &str, latency: &Histogram<u64>) -> Result<Value, String> {
        let elapsed = self.start.elapsed().as_secs_f64();
        let cpu = (self.server.cpu()? - self.cpu).as_secs_f64();
        let busy = BusyTime::now(self.server)?;
        let count = latency.len() as f64;
        let us = |quantile: f64| latency.value_at_quantile(quantile) as f64 / 1e3;
        let mut figures = json!({});
        figures[format!("cpu_us_per_{what}")] = json!(cpu * 1e6 / count);
        figures[format!("{what}s_per_second")] = json!(count / elapsed);
        figures["server_cpu_share"] = json!(cpu / elapsed);
        figures["latency_us_p50"] = json!(us(0.5));
        figures["latency_us_p99"] = json!(us(0.99));
        figures["others_cpu_share"] = json!(busy.others_since(&self.busy) / elapsed);
        Ok(figures)
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new(3).expect("3 digits are allowed")
}

fn note(latency: &mut Histogram<u64>, took: Duration) {
    latency.record(took.as_nanos() as u64).expect("the histogram grows");
}

fn unexpected(happened: Happened) -> Result<(), String> {
    Err(format!("{happened:?} was not due"))
}
