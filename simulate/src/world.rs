//! Both ends, both directions and the clock.

use std::{
    fmt,
    time::{Duration, Instant},
};

use taiwa_proto::{End, Role};

use crate::{Dice, Disaster, Party, Pipe, Plan};

/// Turns that a run may take. Long ones take some hundred thousand.
const TURNS_MAX: usize = 20_000_000;

/// A run.
pub struct World {
    plan: Plan,
    dice: Dice,
    start: Instant,
    now: Instant,
    /// Client and server.
    ends: [Party; 2],
    /// What the client writes, and what the server writes.
    pipes: [Pipe; 2],
    /// How many messages of each are compared already.
    compared: [usize; 2],
}

impl World {
    /// Sets everything up. The clock stands at some time, which no part of a run depends on.
    pub fn new(plan: Plan) -> Self {
        let now = Instant::now();
        let dice = Dice::new(plan.seed ^ 0xd1ce);
        let ends = [Role::Client, Role::Server].map(|it| Party::new(it, &plan, now));
        let pipes = [0, 1].map(|_| Pipe::new(plan.network.clone(), now));
        Self { plan, dice, start: now, now, ends, pipes, compared: [0; 2] }
    }

    /// Runs until both ends are over, checks at each turn what must always hold, and returns client and
    /// server.
    ///
    /// # Panics
    /// If neither party has ended after so many turns that something hangs.
    pub fn run(mut self) -> [Party; 2] {
        for _ in 0..TURNS_MAX {
            if self.ends.iter().all(Party::is_over) {
                return self.ends;
            }
            self.strike();
            let more = self.turns();
            self.compare();
            self.now = match more {
                true => self.now + Duration::from_micros(self.dice.up_to(20) as u64),
                false => self.next(),
            };
        }
        panic!("no end after {TURNS_MAX} turns: {self:#?}");
    }

    /// Returns the time at which the run begins.
    pub fn start(&self) -> Instant {
        self.start
    }

    fn turns(&mut self) -> bool {
        let mut more = false;
        let first = self.dice.below(2);
        for who in [first, 1 - first] {
            let [ours, theirs] = &mut self.pipes;
            let (outgoing, incoming) = if who == 0 { (ours, theirs) } else { (theirs, ours) };
            more |= self.ends[who].turn(incoming, outgoing, self.now, &mut self.dice);
            // Bytes that reach an end that is gone reset the other.
            if self.ends[who].end.is_some() && !incoming.is_empty() {
                outgoing.reset(self.now, &mut self.dice);
            }
        }
        more
    }

    /// What was received is what was sent, as far as it came, and no end ends by a fault: both are ours.
    fn compare(&mut self) {
        for (to, from) in [(0, 1), (1, 0)] {
            let (received, sent) = (&self.ends[to].received, &self.ends[from].sent);
            let new = self.compared[to]..received.len();
            assert!(received.len() <= sent.len(), "more came than was sent");
            assert_eq!(received[new.clone()], sent[new.clone()], "out of step");
            self.compared[to] = new.end;
            if let Some((End::Fault(fault), _)) = &self.ends[to].end {
                panic!("our own frames are faulted: {fault}");
            }
        }
    }

    fn next(&self) -> Instant {
        let ends = self.ends.iter().filter_map(|it| it.next(self.now));
        let pipes = self.pipes.iter().filter_map(|it| it.next(self.now));
        let disaster = self.pending().map(|it| self.start + it.1);
        match ends.chain(pipes).chain(disaster).min() {
            Some(it) => it,
            None if self.ends.iter().all(Party::is_over) => self.now,
            None => panic!("nothing will ever happen: {self:#?}"),
        }
    }

    fn pending(&self) -> Option<(Disaster, Duration)> {
        let disaster = self.plan.disaster?;
        let at = match disaster {
            Disaster::Reset(at) | Disaster::Silence(at) => at,
            Disaster::Hang(_, at) | Disaster::HalfClose(_, at) => at,
        };
        Some((disaster, at))
    }

    fn strike(&mut self) {
        let Some((disaster, at)) = self.pending() else { return };
        if self.now < self.start + at {
            return;
        }
        self.plan.disaster = None;
        match disaster {
            Disaster::Reset(_) => {
                self.pipes.iter_mut().for_each(|it| it.reset(self.now, &mut self.dice));
            }
            Disaster::Silence(_) => self.pipes.iter_mut().for_each(Pipe::fall_silent),
            Disaster::Hang(who, _) => self.ends[who].hang(),
            Disaster::HalfClose(who, _) => {
                self.ends[who].hang();
                self.pipes[who].shut_down(self.now, &mut self.dice);
            }
        }
    }
}

impl fmt::Debug for World {
    /// Leaves the messages out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("now", &self.now)
            .field("ends", &self.ends)
            .field("pipes", &self.pipes)
            .field("network", &self.plan.network)
            .finish_non_exhaustive()
    }
}
