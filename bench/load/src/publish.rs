//! One client publishes, all others hear it: a server's own channels.

use std::{
    thread,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use serde_json::Value;

use crate::{
    crowd::{Crowd, Happened},
    measure::{Measure, histogram, note},
    noise::Noise,
    rows::{Effort, OPENING_MAX, SETTLE, WARM_UP},
    server::Running,
    tongue::{Tongue, Wish},
};

/// The channel in which everything is said.
const CHANNEL: &str = "all";

/// Has one client publish for a time what `subscribers` hear.
pub(crate) fn visit(
    crowd: &mut Crowd,
    subscribers: usize,
    message_bytes: usize,
    burst: usize,
    effort: Effort,
    server: &Running,
) -> Result<Value, String> {
    let mut noise = Noise::new(1);
    gather(crowd, subscribers, OPENING_MAX)?;
    // Who is let in may be subscribed a little later.
    thread::sleep(SETTLE);
    let mut for_a_time = |window| run(crowd, message_bytes, burst, window, &mut noise);
    for_a_time(WARM_UP.min(effort.window))?;
    let measure = Measure::start(server)?;
    let latency = for_a_time(effort.window)?;
    measure.stop_with_latency("delivery", "deliveries", &latency)
}

/// Lets the one who publishes in, as number 0, then those who hear it.
pub(crate) fn gather(crowd: &mut Crowd, subscribers: usize, at_once: usize) -> Result<(), String> {
    // A plain client publishes where it is, and does not hear itself; the others publish without being there.
    let speaks = match crowd.tongue() {
        Tongue::Plain => hears(),
        _ => Wish::default(),
    };
    crowd.let_in([speaks], 1)?;
    let_hear(crowd, subscribers, at_once)
}

/// Lets more in who hear it.
pub(crate) fn let_hear(
    crowd: &mut Crowd,
    subscribers: usize,
    at_once: usize,
) -> Result<(), String> {
    crowd.let_in(std::iter::repeat_n(hears(), subscribers), at_once)
}

fn hears() -> Wish {
    Wish { channels: vec![CHANNEL.into()], ..Wish::default() }
}

/// Publishes so many messages in one write, waits until all of them are everywhere, and does so again for a time. The
/// latency is that of each delivery.
fn run(
    crowd: &mut Crowd,
    message_bytes: usize,
    burst: usize,
    window: Duration,
    noise: &mut Noise,
) -> Result<Histogram<u64>, String> {
    let mut latency = histogram();
    let end = Instant::now() + window;
    let mut heard = vec![0_usize; crowd.len()];
    let tongue = crowd.tongue();
    crowd.begin_to_wait();
    while Instant::now() < end {
        let mut said: Vec<Due> =
            (0..burst).map(|_| Due::new(message(message_bytes, noise))).collect();
        let words: Vec<String> = said.iter().map(|it| it.word(tongue)).collect();
        heard.fill(0);
        let since = Instant::now();
        crowd.say(0, words.iter().map(String::as_str))?;
        let mut due = burst * (crowd.len() - 1);
        while due > 0 {
            crowd.turn(Duration::ZERO, |id, happened| {
                let Happened::Said(line) = happened else {
                    return Err(format!("{happened:?} was not due"));
                };
                let it = said.get_mut(heard[id]).filter(|_| id > 0).ok_or("a message too many")?;
                it.check(line)?;
                heard[id] += 1;
                due -= 1;
                note(&mut latency, since.elapsed());
                Ok(())
            })?;
        }
    }
    Ok(latency)
}

/// What is due everywhere.
pub(crate) struct Due {
    data: String,
    /// How the server told it to the first one: all others have to hear the same.
    told: Option<String>,
}

impl Due {
    pub(crate) fn new(data: String) -> Self {
        Self { data, told: None }
    }

    /// What a client says to have it told.
    pub(crate) fn word(&self, tongue: Tongue) -> String {
        tongue.publish(CHANNEL, &self.data)
    }

    pub(crate) fn check(&mut self, line: &str) -> Result<(), String> {
        match &self.told {
            Some(told) if told == line => Ok(()),
            None if line.contains(&self.data) => {
                self.told = Some(line.into());
                Ok(())
            }
            _ => Err(format!("{line} is not what was said")),
        }
    }
}

/// JSON of this many bytes, as chats and tickers send it, that comes out the same when it is parsed and written again; no two
/// are alike.
pub(crate) fn message(bytes: usize, noise: &mut Noise) -> String {
    const NAMES: [&str; 4] = ["bid", "ask", "last", "volume"];
    // No number is larger than JavaScript's can be without loss.
    let mut out = format!("{{\"id\":{},\"prices\":[0", noise.next() >> 12);
    while out.len() + 48 < bytes {
        let it = noise.next();
        out += &format!(",{{\"{}\":{}}}", NAMES[(it >> 32) as usize % NAMES.len()], it % 1_000_000);
    }
    out += "],\"end\":\"";
    let rest = bytes.saturating_sub(out.len() + 2);
    out.extend(std::iter::repeat_n('.', rest));
    out + "\"}"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_json_of_the_length_that_is_asked_for() {
        let mut noise = Noise::new(3);
        let (one, other) = (message(512, &mut noise), message(512, &mut noise));
        assert_eq!((one.len(), other.len()), (512, 512));
        assert_ne!(one, other);
        let value: serde_json::Value = serde_json::from_str(&one).unwrap();
        assert_eq!(value.to_string(), one);
        assert!(value["id"].as_u64().unwrap() < 1 << 53);
    }

    #[test]
    fn everyone_hears_the_same() {
        let mut due = Due::new("{\"a\":1}".into());
        assert!(due.check("{\"a\":2}").is_err());
        assert_eq!(due.check("{\"push\":{\"a\":1}}"), Ok(()));
        assert_eq!(due.check("{\"push\":{\"a\":1}}"), Ok(()));
        assert!(due.check("{\"a\":1}").is_err());
    }
}
