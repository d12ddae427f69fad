//! What one says, all hear: one message in on one connection, out on all of them.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::{
    clients::{Clients, Happened},
    measure::{histogram, note},
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
        clients.send_to_all(speaker, message(message_bytes, noise))?;
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

/// Something like the JSON that chats and tickers send: it can be compressed, and no two are alike.
fn message(bytes: usize, noise: &mut Noise) -> Vec<u8> {
    const NAMES: [&str; 4] = ["bid", "ask", "last", "volume"];
    let mut out = format!("{{\"id\":{},\"prices\":[", noise.next());
    while out.len() < bytes {
        let it = noise.next();
        let (price, name) = (it % 1_000_000, NAMES[(it >> 32) as usize % NAMES.len()]);
        out += &format!("{{\"{name}\":{}.{:02}}},", price / 100, price % 100);
    }
    out.truncate(bytes);
    out.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_the_length_that_is_asked_for_and_differ() {
        let mut noise = Noise::new(3);
        let (one, other) = (message(512, &mut noise), message(512, &mut noise));
        assert_eq!((one.len(), other.len()), (512, 512));
        assert_ne!(one, other);
    }
}
