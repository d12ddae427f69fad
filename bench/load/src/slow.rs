//! One who reads nothing: how much a server keeps for it while much is published.

use std::{thread, time::Duration};

use serde_json::{Value, json};

use crate::{
    crowd::{Crowd, Happened},
    measure::Measure,
    noise::Noise,
    publish::{self, Due},
    rows::{OPENING_MAX, SETTLE},
    server::{Running, Server},
};

const MESSAGE_BYTES: usize = 1024;
/// Messages in one write.
const BURST: usize = 16;
/// What is said before: as much as makes histories and heaps as large as they get.
const BEFORE_BYTES: usize = 8 << 20;
/// Much more than the kernel keeps for a socket.
const BYTES: usize = 64 << 20;
/// The one who reads all: it says when to go on.
const READER: usize = 1;

/// Publishes 64 MiB to one who reads and one who does not.
pub(crate) fn visit(
    crowd: &mut Crowd,
    who: &Server,
    divisor: usize,
    server: &Running,
) -> Result<Value, String> {
    let mut noise = Noise::new(1);
    publish::gather(crowd, READER, OPENING_MAX)?;
    thread::sleep(SETTLE);
    tell(crowd, BEFORE_BYTES / divisor, &mut noise)?;
    thread::sleep(SETTLE);
    let before = server.resident_bytes()?;
    publish::let_hear(crowd, 1, OPENING_MAX)?;
    // Who is let in may be subscribed a little later.
    thread::sleep(SETTLE);
    crowd.read_no_more(READER + 1)?;
    server.forget_peak()?;
    let measure = Measure::start(server)?;
    let said = tell(crowd, BYTES / divisor, &mut noise)?;
    let (mut figures, elapsed, cpu) = measure.stop()?;
    thread::sleep(SETTLE);
    let growth = server.peak_bytes()?.saturating_sub(before);
    figures["growth_bytes"] = json!(growth);
    figures["growth_bytes_behind"] = json!(server.resident_bytes()?.saturating_sub(before));
    figures["unread_bytes_max"] = json!(who.unread_max);
    figures["published_bytes"] = json!(said * MESSAGE_BYTES);
    figures["cpu_us_per_publication"] = json!(cpu * 1e6 / said as f64);
    figures["publications_per_second"] = json!(said as f64 / elapsed);
    Ok(figures)
}

/// Publishes so many bytes, a few messages after the other, each when the one who reads has all before. Returns how many
/// messages that were.
fn tell(crowd: &mut Crowd, bytes: usize, noise: &mut Noise) -> Result<usize, String> {
    let rounds = bytes / MESSAGE_BYTES / BURST;
    let tongue = crowd.tongue();
    crowd.begin_to_wait();
    for _ in 0..rounds {
        let mut said: Vec<Due> =
            (0..BURST).map(|_| Due::new(publish::message(MESSAGE_BYTES, noise))).collect();
        let words: Vec<String> = said.iter().map(|it| it.word(tongue)).collect();
        crowd.say(0, words.iter().map(String::as_str))?;
        let mut heard = 0;
        while heard < BURST {
            crowd.turn(Duration::from_millis(50), |id, happened| match happened {
                Happened::Said(line) if id == READER => {
                    said.get_mut(heard).ok_or("a message too many")?.check(line)?;
                    heard += 1;
                    Ok(())
                }
                other => Err(format!("{other:?} was not due")),
            })?;
        }
    }
    Ok(rounds * BURST)
}
