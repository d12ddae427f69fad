//! What one says, all hear: one message in on one connection, out on all of them.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::{
    clients::{Clients, Happened},
    measure::{histogram, note},
    messages::json,
    noise::Noise,
    rows::unexpected,
};

/// Has the server deliver one message after the other to all connections for a time, and waits for each to be there
/// everywhere before the next is sent, by another connection. The latency is that of each delivery.
pub(crate) fn run(
    clients: &mut Clients,
    message_bytes: usize,
    window: Duration,
    noise: &mut Noise,
) -> Result<Histogram<u64>, String> {
    let mut latency = histogram();
    let end = Instant::now() + window;
    let mut speaker = 0;
    while Instant::now() < end {
        clients.send_to_all(speaker, json(message_bytes, noise))?;
        let mut outstanding = clients.len();
        while outstanding > 0 {
            clients.turn(|_, _, happened| {
                let Happened::Delivered(took) = happened else { return unexpected(happened) };
                note(&mut latency, took);
                outstanding -= 1;
                Ok(())
            })?;
        }
        speaker = (speaker + 1) % clients.len();
    }
    Ok(latency)
}
