//! How a visit over HTTP/1.1 in the clear goes: what is done with its connections, and for how long.

use std::{
    thread,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::{GIB, IDLE_MESSAGE_BYTES, OPENING_MAX, SETTLE, unexpected};
use crate::{
    clients::{Clients, Happened},
    measure::{Measure, histogram, note},
    server::Running,
};

/// Messages outstanding at once over all idle connections.
const IDLE_OUTSTANDING_MAX: usize = 64;
/// What goes through before a large message is measured: as much as makes every buffer as large as it gets, where
/// the message itself is not held.
const LARGE_WARM_UP: u64 = 16 << 20;

/// Opens connections until there are `count`.
pub(crate) fn open(clients: &mut Clients, count: usize) -> Result<(), String> {
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

/// Keeps so many messages outstanding on each connection for a time, then waits for the last ones. The answers of one read
/// are followed by as many messages in one write.
pub(crate) fn echo(
    clients: &mut Clients,
    at_once: usize,
    window: Duration,
) -> Result<Histogram<u64>, String> {
    let mut latency = histogram();
    let end = Instant::now() + window;
    for id in 0..clients.len() {
        for _ in 0..at_once {
            clients.queue(id);
        }
        clients.flush(id)?;
    }
    let mut outstanding = clients.len() * at_once;
    while outstanding > 0 {
        let more = Instant::now() < end;
        clients.turn(|clients, id, happened| {
            let Happened::Echoed(took) = happened else { return unexpected(happened) };
            note(&mut latency, took);
            match more {
                true => clients.queue(id),
                false => outstanding -= 1,
            }
            Ok(())
        })?;
    }
    Ok(latency)
}

/// Opens connections, closes each as soon as it is open, for a time; then waits for the last ones. The latency is
/// that of the opening.
pub(super) fn handshakes(
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
pub(super) fn idle(clients: &mut Clients, count: usize, server: &Running) -> Result<Value, String> {
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
            clients.send(sent)?;
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
pub(super) fn large(
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
