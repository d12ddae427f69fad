//! The times of a connection: when the peer was heard, when it was asked, what it owes us.

use std::time::{Duration, Instant};

use crate::{
    fault::Deadline,
    limits::{Config, Keepalive},
};

/// What the clock asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Ask the peer whether it is there.
    Ping,
    /// The peer let this deadline pass.
    Late(Deadline),
}

/// Times at which something began. They are only ever compared with a `now` that is handed in.
#[derive(Clone, Debug)]
pub struct Clocks {
    heard: Instant,
    /// Bytes wait and none was taken since then.
    write: Option<Instant>,
    /// What mostly is not: a connection that waits has nothing of it.
    reading: Option<Box<Reading>>,
}

/// What is the matter with the peer's bytes.
#[derive(Clone, Debug, Default, PartialEq)]
struct Reading {
    /// A keepalive ping of ours that no byte has followed yet.
    asked: Option<Instant>,
    /// A message of the peer is unfinished since then.
    message: Option<Instant>,
    /// Nobody reads since then, so the peer can't be blamed for silence.
    paused: Option<Instant>,
}

impl Clocks {
    /// Starts at `now`.
    pub fn new(now: Instant) -> Self {
        Self { heard: now, write: None, reading: None }
    }

    /// Notes that bytes came.
    pub fn heard(&mut self, now: Instant) {
        self.resume(now);
        self.heard = now;
        self.forget(|it| it.asked = None);
    }

    /// Notes whether a message is unfinished.
    pub fn amid(&mut self, is_amid: bool, finished_one: bool, now: Instant) {
        if !is_amid {
            return self.forget(|it| it.message = None);
        }
        let message = &mut self.reading().message;
        if finished_one || message.is_none() {
            *message = Some(now);
        }
    }

    /// Notes that a keepalive ping was sent.
    pub fn asked(&mut self, now: Instant) {
        self.reading().asked = Some(now);
    }

    /// Notes that bytes wait from now on, if none did before.
    pub fn waits(&mut self, now: Instant) {
        self.write.get_or_insert(now);
    }

    /// Notes that the transport took bytes, and whether more wait.
    pub fn wrote(&mut self, more: bool, now: Instant) {
        self.write = more.then_some(now);
    }

    /// Notes that nobody reads for now.
    pub fn pause(&mut self, now: Instant) {
        self.reading().paused.get_or_insert(now);
    }

    /// Notes that reading goes on: the pause does not count against the peer.
    pub fn resume(&mut self, now: Instant) {
        let Some(reading) = &mut self.reading else { return };
        let Some(paused) = reading.paused.take() else { return };
        self.skip(now.saturating_duration_since(paused));
        self.forget(|_| ());
    }

    /// Notes that nobody read between two times: that does not count against the peer.
    pub fn was_away(&mut self, since: Instant, now: Instant) {
        if self.heard == since && self.reading.is_none() {
            // Mostly: who got a message comes back for the next one.
            self.heard = now.max(since);
        } else {
            self.skip(now.saturating_duration_since(since));
        }
    }

    fn skip(&mut self, pause: Duration) {
        self.heard += pause;
        if let Some(reading) = &mut self.reading {
            for since in [&mut reading.asked, &mut reading.message].into_iter().flatten() {
                *since += pause;
            }
        }
    }

    fn reading(&mut self) -> &mut Reading {
        self.reading.get_or_insert_default()
    }

    /// Forgets something, and all if nothing is left.
    fn forget(&mut self, forget: impl FnOnce(&mut Reading)) {
        if let Some(reading) = &mut self.reading {
            forget(reading);
            if **reading == Reading::default() {
                self.reading = None;
            }
        }
    }

    /// Returns what is due at `now`.
    pub fn due(&self, now: Instant, config: &Config) -> Option<Due> {
        let reached = |it: Option<Instant>| it.is_some_and(|it| it <= now);
        if reached(self.write_deadline(config)) {
            return Some(Due::Late(Deadline::Write));
        }
        if self.is_paused() {
            return None;
        }
        if reached(self.message_deadline(config)) {
            return Some(Due::Late(Deadline::Message));
        }
        match (self.keepalive_deadline(config.keepalive.as_ref()?), self.since_asked()) {
            (at, _) if now < at => None,
            (_, Some(_)) => Some(Due::Late(Deadline::Pong)),
            (_, None) => Some(Due::Ping),
        }
    }

    /// Returns the first time at which something is due.
    pub fn next(&self, config: &Config) -> Option<Instant> {
        if self.write.is_none() && self.reading.is_none() {
            // What it mostly is, and asked for each message.
            return config.keepalive.as_ref().map(|it| self.heard + it.ping_after);
        }
        let reading = match self.is_paused() {
            true => [None, None],
            false => [
                self.message_deadline(config),
                config.keepalive.as_ref().map(|it| self.keepalive_deadline(it)),
            ],
        };
        reading.into_iter().chain([self.write_deadline(config)]).flatten().min()
    }

    /// Returns the time at which a stalled write is given up.
    pub fn write_deadline(&self, config: &Config) -> Option<Instant> {
        after(self.write, config.deadlines.write)
    }

    #[cfg(test)]
    pub(crate) fn is_amiss(&self) -> bool {
        self.reading.is_some()
    }

    fn is_paused(&self) -> bool {
        self.reading.as_ref().is_some_and(|it| it.paused.is_some())
    }

    fn since_asked(&self) -> Option<Instant> {
        self.reading.as_ref()?.asked
    }

    fn message_deadline(&self, config: &Config) -> Option<Instant> {
        after(self.reading.as_ref()?.message, config.deadlines.message)
    }

    fn keepalive_deadline(&self, keepalive: &Keepalive) -> Instant {
        match self.since_asked() {
            Some(asked) => asked + keepalive.pong_within,
            None => self.heard + keepalive.ping_after,
        }
    }
}

fn after(since: Option<Instant>, within: Option<Duration>) -> Option<Instant> {
    since?.checked_add(within?)
}
