//! Many sessions: what each costs while it does nothing, and what it costs others when all end at once.

use std::{
    env,
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Command, Stdio},
    sync::atomic::AtomicBool,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    crowd::{Crowd, Happened},
    machine,
    measure::{histogram, note},
    noise::Noise,
    publish,
    rows::{OPENING_MAX, SETTLE},
    server::Running,
    tongue::{Tongue, Wish},
};

/// Each session is in one of these, and in one where all are.
const CHANNELS: usize = 100;
const ALL: &str = "all";
/// Sessions whose memory is not counted.
const FIRST: usize = 2 * OPENING_MAX;
/// Between the beginnings of two newcomers.
const NEWCOMER_EVERY: Duration = Duration::from_millis(4);
const BEFORE: Duration = Duration::from_millis(500);
const AFTER: Duration = Duration::from_millis(1500);
const STILL_MAX: Duration = Duration::from_secs(10);
/// The first word on the command line of a process that only holds sessions.
pub(crate) const HOLD: &str = "hold";

fn wish(at: usize) -> Wish {
    Wish { channels: vec![format!("r{}", at % CHANNELS), ALL.into()], ..Wish::default() }
}

/// The same, in so many of its channels: one is that where all are.
fn wish_of(at: usize, channels: usize) -> Wish {
    let mut wish = wish(at);
    wish.channels.drain(..wish.channels.len() - channels);
    wish
}

/// Holds subscribed sessions that do nothing, and reads the server's memory before they came and after each has heard one
/// message.
pub(crate) fn memory(
    crowd: &mut Crowd,
    count: usize,
    channels: usize,
    server: &Running,
) -> Result<Value, String> {
    // The first ones make the server allocate what it needs only once: for so many handshakes at a time, too.
    let speaks = match crowd.tongue() {
        Tongue::Plain => Wish { channels: vec![ALL.into()], ..Wish::default() },
        _ => Wish::default(),
    };
    let wish = |at| wish_of(at, channels);
    crowd.let_in([speaks], 1)?;
    crowd.let_in((0..FIRST).map(wish), OPENING_MAX)?;
    thread::sleep(SETTLE);
    tell_all(crowd)?;
    thread::sleep(SETTLE);
    let (before, cpu) = (server.resident_bytes()?, server.cpu()?);
    crowd.let_in((FIRST..count).map(wish), OPENING_MAX)?;
    thread::sleep(SETTLE);
    let (opened, cpu_opened) = (server.resident_bytes()?, server.cpu()?);
    tell_all(crowd)?;
    thread::sleep(SETTLE);
    let after = server.resident_bytes()?;
    let more = (count - FIRST) as f64;
    let each = |bytes: u64| (bytes as f64 - before as f64) / more;
    Ok(json!({
        "bytes_per_session": each(after),
        "bytes_per_session_before_a_message": each(opened),
        "cpu_us_per_opening": (cpu_opened - cpu).as_secs_f64() * 1e6 / more,
        "resident_bytes_before": before,
        "sessions": count,
    }))
}

/// Publishes one message to all, and waits until everyone has heard it.
fn tell_all(crowd: &mut Crowd) -> Result<(), String> {
    let data = publish::message(512, &mut Noise::new(1));
    let message = crowd.tongue().publish(ALL, &data);
    crowd.begin_to_wait();
    crowd.say(0, [message.as_str()])?;
    let mut due = crowd.len() - 1;
    while due > 0 {
        crowd.turn(Duration::from_millis(50), |_, happened| match happened {
            Happened::Said(line) if line.contains(&data) => {
                due -= 1;
                Ok(())
            }
            other => Err(format!("{other:?} was not due")),
        })?;
    }
    Ok(())
}

/// Lets new clients in one after the other while a process with `count` sessions is killed; the worst wait behind that is
/// the figure.
pub(crate) fn newcomers(
    tongue: Tongue,
    count: usize,
    server: &Running,
    interrupted: &AtomicBool,
) -> Result<Value, String> {
    let mut crowd = Crowd::new(tongue, server.port(), interrupted)?;
    let mut holder = Holder::start(tongue, server.port(), count)?;
    thread::sleep(SETTLE);
    let before = let_newcomers_in(&mut crowd, BEFORE)?;
    holder.end()?;
    let cpu = server.cpu()?;
    let after = let_newcomers_in(&mut crowd, AFTER)?;
    let cpu = server.cpu()? - cpu;
    let us = |quantile: f64| after.value_at_quantile(quantile) as f64 / 1e3;
    Ok(json!({
        "worst_wait_ms": after.max() as f64 / 1e6,
        "worst_wait_ms_before": before.max() as f64 / 1e6,
        "latency_us_p50": us(0.5),
        "latency_us_p99": us(0.99),
        "newcomers": after.len(),
        "server_cpu_ms": cpu.as_secs_f64() * 1e3,
        "sessions": count,
    }))
}

/// Begins a connection every few milliseconds, however long the ones before take, each with a channel of its own.
fn let_newcomers_in(
    crowd: &mut Crowd,
    window: Duration,
) -> Result<hdrhistogram::Histogram<u64>, String> {
    let mut waits = histogram();
    let (start, mut next) = (Instant::now(), Instant::now());
    let (mut begun, mut are_in) = (0_u64, 0_u64);
    crowd.begin_to_wait();
    while start.elapsed() < window || are_in < begun {
        if start.elapsed() > window + STILL_MAX {
            return Err(format!("{} newcomers are not in yet", begun - are_in));
        }
        if next <= Instant::now() && start.elapsed() < window {
            let channels = vec![format!("new{}", crowd.len())];
            crowd.begin(Wish { channels, echo: true, ..Wish::default() })?;
            begun += 1;
            next += NEWCOMER_EVERY;
        }
        let wait = next.saturating_duration_since(Instant::now()).min(NEWCOMER_EVERY);
        // Never asleep for nothing, nor shorter than the kernel can.
        crowd.turn(wait.max(Duration::from_micros(50)), |_, happened| {
            if let Happened::In(took, _) = happened {
                are_in += 1;
                note(&mut waits, took);
            }
            Ok(())
        })?;
    }
    Ok(waits)
}

/// A process of ours that only holds sessions: the kernel ends all its connections when it is killed.
struct Holder(Child);

impl Holder {
    fn start(tongue: Tongue, port: u16, count: usize) -> Result<Self, String> {
        let ourselves = env::current_exe().map_err(|it| it.to_string())?;
        let mut command = Command::new(ourselves);
        let tongue = match tongue {
            Tongue::Plain => "plain",
            Tongue::Centrifuge => "centrifuge",
            Tongue::SocketIo => "socket.io",
            Tongue::SocketIoPage => "socket.io page",
        };
        command.args([HOLD, tongue, &port.to_string(), &count.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let child = command.spawn().map_err(|it| it.to_string())?;
        let mut holder = Self(child);
        let mut line = String::new();
        let output = holder.0.stdout.take().expect("it is piped");
        BufReader::new(output.take(1000)).read_line(&mut line).map_err(|it| it.to_string())?;
        match line.trim() {
            "held" => Ok(holder),
            other => Err(format!("the sessions are not held: {other}")),
        }
    }

    /// Kills it. The kernel ends its connections from now on.
    fn end(&mut self) -> Result<(), String> {
        self.0.kill().map_err(|it| it.to_string())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the process of a [`Holder`] does: lets sessions in, says `held`, and waits for its end.
pub(crate) fn hold(words: &[String]) -> Result<(), String> {
    let [tongue, port, count] = words else { return Err("hold TONGUE PORT COUNT".into()) };
    let tongue = match tongue.as_str() {
        "plain" => Tongue::Plain,
        "centrifuge" => Tongue::Centrifuge,
        "socket.io" => Tongue::SocketIo,
        "socket.io page" => Tongue::SocketIoPage,
        other => return Err(format!("{other} is no tongue")),
    };
    let port = port.parse().map_err(|_| format!("{port} is no port"))?;
    let count = count.parse().map_err(|_| format!("{count} is no number"))?;
    machine::end_with_parent()?;
    machine::raise_open_files()?;
    let never = AtomicBool::new(false);
    let mut crowd = Crowd::new(tongue, port, &never)?;
    crowd.let_in((0..count).map(wish), OPENING_MAX)?;
    println!("held");
    std::io::stdout().flush().map_err(|it| it.to_string())?;
    loop {
        // Whoever is asked whether it is still there answers.
        crowd.begin_to_wait();
        crowd.turn(Duration::from_millis(500), |_, _| Ok(()))?;
    }
}
