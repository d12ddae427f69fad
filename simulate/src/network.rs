//! One direction of a TCP connection: bytes arrive in order, in pieces, late, or never.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::Dice;

/// How bad the network is.
#[derive(Clone, Debug)]
pub struct Network {
    /// The most bytes that one read gives.
    pub read_len_max: usize,
    /// The most bytes that one write takes.
    pub write_len_max: usize,
    /// How long a piece is under way, at the most.
    pub delay_max: Duration,
    /// Bytes that fit between a write and a read.
    pub bytes_max: usize,
}

/// What a read gives.
#[derive(Debug, PartialEq, Eq)]
pub enum Read {
    /// Some bytes.
    Bytes(Vec<u8>),
    /// Nothing yet.
    Nothing,
    /// The writer shut its side down, and all before that is read.
    End,
    /// The connection was reset; what was not read by then is gone.
    Reset,
}

/// One direction.
#[derive(Debug)]
pub struct Pipe {
    network: Network,
    pieces: VecDeque<(Instant, VecDeque<u8>)>,
    len: usize,
    last_arrival: Instant,
    end: Option<Instant>,
    reset: Option<Instant>,
    /// Whatever is written from now on is lost, and nobody is told.
    silent: bool,
}

impl Pipe {
    /// Makes an empty one.
    pub fn new(network: Network, now: Instant) -> Self {
        Self {
            network,
            pieces: VecDeque::new(),
            len: 0,
            last_arrival: now,
            end: None,
            reset: None,
            silent: false,
        }
    }

    /// Returns how many bytes are under way or wait to be read.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Tells whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes some of `bytes`, and says how many; 0 when it is full.
    pub fn write(&mut self, bytes: &[u8], now: Instant, dice: &mut Dice) -> usize {
        let room = self.network.bytes_max - self.len;
        let n = bytes.len().min(room).min(dice.up_to(self.network.write_len_max));
        if n != 0 && !self.silent {
            let arrival = self.arrival(now, dice);
            self.pieces.push_back((arrival, bytes[..n].iter().copied().collect()));
            self.len += n;
        }
        n
    }

    /// Gives some of the bytes that have arrived.
    pub fn read(&mut self, now: Instant, dice: &mut Dice) -> Read {
        if self.reset.is_some_and(|it| it <= now) {
            return Read::Reset;
        }
        let mut bytes = vec![];
        let n = dice.up_to(self.network.read_len_max);
        while let Some((arrival, piece)) = self.pieces.front_mut()
            && *arrival <= now
            && bytes.len() < n
        {
            let taken = piece.len().min(n - bytes.len());
            bytes.extend(piece.drain(..taken));
            if piece.is_empty() {
                self.pieces.pop_front();
            }
        }
        self.len -= bytes.len();
        match bytes.is_empty() {
            false => Read::Bytes(bytes),
            true if self.is_empty() && self.end.is_some_and(|it| it <= now) => Read::End,
            true => Read::Nothing,
        }
    }

    /// Shuts the direction down behind all that was written.
    pub fn shut_down(&mut self, now: Instant, dice: &mut Dice) {
        if self.end.is_none() && !self.silent {
            self.end = Some(self.arrival(now, dice));
        }
    }

    /// Tells the reader soon that the connection is no more. It may overtake the bytes.
    pub fn reset(&mut self, now: Instant, dice: &mut Dice) {
        if !self.silent {
            self.reset.get_or_insert(now + dice.time(self.network.delay_max));
        }
    }

    /// Loses all that is under way, and all that is still to come.
    pub fn fall_silent(&mut self) {
        self.pieces.clear();
        (self.len, self.end, self.silent) = (0, None, true);
    }

    /// Returns when, after `now`, the reader will next see something.
    pub fn next(&self, now: Instant) -> Option<Instant> {
        let piece = self.pieces.front().map(|it| it.0);
        [piece, self.end, self.reset].into_iter().flatten().filter(|it| now < *it).min()
    }

    fn arrival(&mut self, now: Instant, dice: &mut Dice) -> Instant {
        let arrival = now + dice.time(self.network.delay_max);
        self.last_arrival = self.last_arrival.max(arrival);
        self.last_arrival
    }
}
