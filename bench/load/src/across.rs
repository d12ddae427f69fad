//! One client of a node publishes, all others are at another node and hear it: what a broker between them costs.

use std::{
    collections::VecDeque,
    thread,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::{
    crowd::{Crowd, Happened},
    measure::{Measure, histogram, note},
    publish::Due,
    rows::{Effort, OPENING_MAX, SETTLE, WARM_UP},
    server::Running,
    tongue::{Tongue, Wish},
};

/// The channel in which everything is said.
const CHANNEL: &str = "all";
const MESSAGE_BYTES: usize = 100;
/// Publications that are not everywhere yet, where as many are said as can be.
const UNDER_WAY: usize = 64;
/// The same where they are said at a fixed rate: more means that the servers can't follow.
const UNDER_WAY_MAX: usize = 4096;
/// How long nothing more may come behind the last one.
const SILENCE: Duration = Duration::from_millis(100);

/// Has a client of one node publish what `subscribers` of the other hear: first as much as both can carry, then so many
/// times a second.
pub(crate) fn visit(
    crowd: &mut Crowd,
    subscribers: usize,
    per_second: u32,
    effort: Effort,
    server: &Running,
) -> Result<Value, String> {
    let hears = Wish { channels: vec![CHANNEL.into()], ..Wish::default() };
    // A plain client publishes where it is, and does not hear itself; the others publish without being there.
    let speaks = match crowd.tongue() {
        Tongue::Plain => hears.clone(),
        _ => Wish::default(),
    };
    crowd.let_in([speaks], 1)?;
    crowd.go_to(server.far_port()?);
    crowd.let_in(std::iter::repeat_n(hears, subscribers), OPENING_MAX)?;
    // Who is let in may be subscribed a little later, at the broker too.
    thread::sleep(SETTLE);
    let mut talk = Talk::new(crowd);
    talk.run(Pace::Full, WARM_UP.min(effort.window))?;

    let (measure, broker) = (Measure::start(server)?, server.broker_cpu()?);
    let full = talk.run(Pace::Full, effort.window)?;
    let broker = (server.broker_cpu()? - broker).as_secs_f64();
    let (mut figures, elapsed, cpu) = measure.stop()?;
    let us = |it: &Histogram<u64>, quantile: f64| it.value_at_quantile(quantile) as f64 / 1e3;
    let deliveries = full.len() as f64;
    figures["cpu_us_per_delivery"] = json!(cpu * 1e6 / deliveries);
    figures["nodes_cpu_us_per_delivery"] = json!((cpu - broker) * 1e6 / deliveries);
    figures["broker_cpu_us_per_delivery"] = json!(broker * 1e6 / deliveries);
    let publications = deliveries / subscribers as f64;
    figures["nodes_cpu_us_per_publication"] = json!((cpu - broker) * 1e6 / publications);
    figures["broker_cpu_us_per_publication"] = json!(broker * 1e6 / publications);
    figures["publications_per_second"] = json!(publications / elapsed);
    figures["deliveries_per_second"] = json!(deliveries / elapsed);
    figures["full_latency_us_p50"] = json!(us(&full, 0.5));
    figures["full_latency_us_p99"] = json!(us(&full, 0.99));

    let steady = Pace::PerSecond(per_second);
    talk.run(steady, WARM_UP.min(effort.window))?;
    let (measure, broker) = (Measure::start(server)?, server.broker_cpu()?);
    let calm = talk.run(steady, effort.window)?;
    let broker = (server.broker_cpu()? - broker).as_secs_f64();
    let (beside, _, cpu) = measure.stop()?;
    figures["steady_publications_per_second"] = json!(per_second);
    figures["steady_others_cpu_share"] = beside["others_cpu_share"].clone();
    figures["steady_cpu_us_per_delivery"] = json!(cpu * 1e6 / calm.len() as f64);
    figures["steady_broker_cpu_us_per_delivery"] = json!(broker * 1e6 / calm.len() as f64);
    figures["latency_us_p50"] = json!(us(&calm, 0.5));
    figures["latency_us_p99"] = json!(us(&calm, 0.99));
    talk.is_over()?;
    Ok(figures)
}

/// How fast is published.
#[derive(Debug, Clone, Copy)]
enum Pace {
    /// As soon as one is everywhere, another one.
    Full,
    /// So many a second, however long those before take.
    PerSecond(u32),
}

/// All that is said in one visit. What is said is numbered, and everyone has to hear the numbers one after the other.
struct Talk<'c, 'a> {
    crowd: &'c mut Crowd<'a>,
    /// What is not everywhere yet, in the order in which it was said.
    under_way: VecDeque<Said>,
    /// How many were said and are everywhere: the number of the first one that is under way.
    done: u64,
    /// Of each client: the number that it has to hear next.
    next: Vec<u64>,
    start: Instant,
}

struct Said {
    due: Due,
    /// How many have not heard it yet.
    left: usize,
    since: Instant,
}

impl<'c, 'a> Talk<'c, 'a> {
    fn new(crowd: &'c mut Crowd<'a>) -> Self {
        let next = vec![0; crowd.len()];
        Self { crowd, under_way: VecDeque::new(), done: 0, next, start: Instant::now() }
    }

    /// Publishes for a time, then waits until all of it is everywhere. The latency is that of each delivery, from the moment at
    /// which it was to be published.
    fn run(&mut self, pace: Pace, window: Duration) -> Result<Histogram<u64>, String> {
        let mut latency = histogram();
        let start = Instant::now();
        let mut said = 0_u32;
        self.crowd.begin_to_wait();
        loop {
            let now = Instant::now();
            let is_over = now >= start + window;
            if is_over && self.under_way.is_empty() {
                return Ok(latency);
            }
            let moments: Vec<Instant> = match pace {
                _ if is_over => vec![],
                Pace::Full => vec![now; UNDER_WAY.saturating_sub(self.under_way.len())],
                Pace::PerSecond(rate) => (said..)
                    .map(|it| start + Duration::from_secs(1) * it / rate)
                    .take_while(|it| *it <= now)
                    .collect(),
            };
            said += moments.len() as u32;
            if self.under_way.len() + moments.len() > UNDER_WAY_MAX {
                return Err(format!("it can't follow: {UNDER_WAY_MAX} are under way"));
            }
            self.say(&moments)?;
            self.hear(&mut latency)?;
        }
    }

    /// Publishes one for each moment, all in one write.
    fn say(&mut self, moments: &[Instant]) -> Result<(), String> {
        if moments.is_empty() {
            return Ok(());
        }
        let tongue = self.crowd.tongue();
        let mut words = vec![];
        for since in moments {
            let number = self.done + self.under_way.len() as u64;
            let data = message(number, *since - self.start);
            words.push(tongue.publish(CHANNEL, &data));
            let (due, left) = (Due::new(data), self.next.len() - 1);
            self.under_way.push_back(Said { due, left, since: *since });
        }
        self.crowd.say(0, words.iter().map(String::as_str))
    }

    fn hear(&mut self, latency: &mut Histogram<u64>) -> Result<(), String> {
        let Self { crowd, under_way, done, next, .. } = self;
        crowd.turn(Duration::ZERO, |id, happened| {
            let Happened::Said(line) = happened else {
                return Err(format!("{happened:?} was not due"));
            };
            if id == 0 {
                return Err(format!("who publishes hears {line}"));
            }
            let place = (next[id] - *done) as usize;
            let said = under_way.get_mut(place);
            let said = said.ok_or_else(|| format!("{line} is one too many"))?;
            said.due.check(line)?;
            note(latency, said.since.elapsed());
            said.left -= 1;
            next[id] += 1;
            while under_way.pop_front_if(|it| it.left == 0).is_some() {
                *done += 1;
            }
            Ok(())
        })
    }

    /// Sees that nothing comes twice.
    fn is_over(&mut self) -> Result<(), String> {
        let end = Instant::now() + SILENCE;
        while Instant::now() < end {
            self.hear(&mut histogram())?;
        }
        Ok(())
    }
}

/// JSON with a number and the time at which it was said, always as long.
fn message(number: u64, at: Duration) -> String {
    let mut out = format!("{{\"n\":{number},\"ns\":{},\"fill\":\"", at.as_nanos());
    let rest = MESSAGE_BYTES.saturating_sub(out.len() + 2);
    out.extend(std::iter::repeat_n('.', rest));
    out + "\"}"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_as_long_whatever_their_number_is() {
        for (number, at) in [(0, 0), (12_345_678, u64::MAX >> 12)] {
            let text = message(number, Duration::from_nanos(at));
            assert_eq!(text.len(), MESSAGE_BYTES);
            let value: Value = serde_json::from_str(&text).unwrap();
            assert_eq!((value["n"].as_u64(), value["ns"].as_u64()), (Some(number), Some(at)));
        }
    }
}
