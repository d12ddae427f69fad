//! A storm: all sessions lose their connection at once and come back, while their channels go on.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::{
    crowd::{Crowd, Happened},
    measure::{Measure, histogram, note},
    server::Running,
    tongue::{Place, Tongue, Wish},
};

const CHANNELS: usize = 100;
/// Between two publications: 200 a second.
const PAUSE: Duration = Duration::from_millis(5);
/// How long the channels go on before the storm.
const CALM: Duration = Duration::from_millis(500);
/// How long the last publications may be on their way.
const REST_MAX: Duration = Duration::from_secs(5);

/// One session.
#[derive(Debug, Clone, Default)]
struct Session {
    /// The number of what it heard last: it has to be followed by the next one.
    heard: u64,
    place: Place,
}

/// All of them, and the one who publishes, who is number 0 of the crowd.
struct Storm<'c, 'a> {
    crowd: &'c mut Crowd<'a>,
    tongue: Tongue,
    sessions: Vec<Session>,
    /// How much was said in each channel.
    said: Vec<u64>,
    channel: usize,
    next: Instant,
}

/// Lets `count` sessions in, cuts them all, lets them come back. The latency is that from the cut until each is in again.
pub(crate) fn visit(
    crowd: &mut Crowd,
    count: usize,
    at_once: usize,
    server: &Running,
) -> Result<Value, String> {
    crowd.let_in([Wish::default()], 1)?;
    let tongue = crowd.tongue();
    let mut storm = Storm {
        crowd,
        tongue,
        sessions: vec![Session::default(); count],
        said: vec![0; CHANNELS],
        channel: 0,
        next: Instant::now(),
    };
    storm.come(at_once, None)?;
    // Each has heard something: Socket.IO's clients can come back only then.
    for _ in 0..CHANNELS {
        storm.publish()?;
    }
    storm.catch_up()?;
    let calm_until = Instant::now() + CALM;
    while Instant::now() < calm_until {
        storm.turn(&mut |_, _| {})?;
    }
    let measure = Measure::start(server)?;
    let cut_at = Instant::now();
    for id in 1..=count {
        storm.crowd.cut(id);
    }
    let cut_after = cut_at.elapsed();
    let mut latency = histogram();
    storm.come(at_once, Some((cut_at, &mut latency)))?;
    let all_after = cut_at.elapsed();
    let (mut figures, _, cpu) = measure.stop()?;
    storm.catch_up()?;
    let us = |quantile: f64| latency.value_at_quantile(quantile) as f64 / 1e3;
    figures["cpu_us_per_session"] = json!(cpu * 1e6 / count as f64);
    figures["sessions_per_second"] = json!(count as f64 / all_after.as_secs_f64());
    figures["latency_us_p50"] = json!(us(0.5));
    figures["latency_us_p99"] = json!(us(0.99));
    figures["last_is_back_ms"] = json!(all_after.as_secs_f64() * 1e3);
    figures["all_are_cut_ms"] = json!(cut_after.as_secs_f64() * 1e3);
    figures["publications"] = json!(storm.said.iter().sum::<u64>());
    Ok(figures)
}

impl Storm<'_, '_> {
    /// Lets all sessions in; again, if `back` says since when.
    fn come(
        &mut self,
        at_once: usize,
        mut back: Option<(Instant, &mut Histogram<u64>)>,
    ) -> Result<(), String> {
        let count = self.sessions.len();
        let (mut begun, mut are_in) = (0, 0);
        while are_in < count {
            while begun < count.min(are_in + at_once) {
                let wish = Wish {
                    channels: vec![channel(begun % CHANNELS)],
                    recoverable: true,
                    echo: false,
                    since: back.is_some().then(|| self.sessions[begun].place.clone()),
                };
                match back {
                    Some(_) => self.crowd.come_back(begun + 1, wish)?,
                    None => _ = self.crowd.begin(wish)?,
                }
                begun += 1;
            }
            self.turn(&mut |_, came_in| {
                are_in += usize::from(came_in);
                if let (true, Some((since, latency))) = (came_in, &mut back) {
                    note(latency, since.elapsed());
                }
            })?;
        }
        Ok(())
    }

    /// Takes what has come, and publishes if it is time to.
    fn turn(&mut self, then: &mut dyn FnMut(usize, bool)) -> Result<(), String> {
        if self.next <= Instant::now() {
            self.publish()?;
        }
        let Self { crowd, sessions, tongue, .. } = self;
        crowd.turn(PAUSE, |id, happened| {
            let (line, came_in) = match happened {
                Happened::In(_, line) => (line, true),
                Happened::Said(line) => (line, false),
            };
            if let Some(session) = id.checked_sub(1).and_then(|it| sessions.get_mut(it)) {
                for number in tongue.read(line, &mut session.place)? {
                    session.hear(number)?;
                }
                then(id, came_in);
            }
            Ok(())
        })
    }

    fn publish(&mut self) -> Result<(), String> {
        let at = self.channel;
        self.said[at] += 1;
        let data = format!("{{\"n\":{}}}", self.said[at]);
        let message = self.tongue.publish(&channel(at), &data);
        self.crowd.say(0, [message.as_str()])?;
        self.channel = (at + 1) % CHANNELS;
        self.next = Instant::now() + PAUSE;
        Ok(())
    }

    /// Waits until everyone has heard everything.
    fn catch_up(&mut self) -> Result<(), String> {
        let end = Instant::now() + REST_MAX;
        let behind = |it: &Self| {
            let each = it.sessions.iter().enumerate();
            each.filter(|(at, session)| session.heard != it.said[at % CHANNELS]).count()
        };
        while behind(self) > 0 {
            if end < Instant::now() {
                return Err(format!("{} sessions have lost something", behind(self)));
            }
            self.next = end;
            self.turn(&mut |_, _| {})?;
        }
        self.next = Instant::now();
        Ok(())
    }
}

impl Session {
    fn hear(&mut self, number: u64) -> Result<(), String> {
        // What was said before the first one came is nobody's.
        if self.heard != 0 && number != self.heard + 1 {
            return Err(format!("number {number} came behind {}", self.heard));
        }
        self.heard = number;
        Ok(())
    }
}

fn channel(at: usize) -> String {
    format!("c{at}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_and_a_double_are_noticed() {
        let mut session = Session::default();
        assert_eq!((session.hear(3), session.hear(4)), (Ok(()), Ok(())));
        assert!(session.hear(4).is_err() && session.hear(6).is_err());
        assert_eq!(session.hear(5), Ok(()));
    }
}
