//! The receiving half of a connection for messages in parts.

#[cfg(test)]
mod tests;

use std::time::Instant;

use super::Connection;
use crate::{
    pool::Pool,
    reader::{Filled, Intake},
};

impl Connection {
    /// Sets how messages come out of [`Connection::receive`] from now on. What is unfinished is affected:
    /// with [`Intake::Parts`] what was collected of it is its first part (call `receive`, with an
    /// empty input if there is none); with [`Intake::Whole`] the rest of a message whose parts came
    /// out is thrown away, still checked.
    pub fn take_in(&mut self, intake: Intake) {
        self.reader.take_in(intake);
    }

    /// Tells whether parts wait to come out without more bytes: call [`Connection::receive`], with an empty
    /// input if there is none.
    pub fn is_holding(&self) -> bool {
        self.reader.is_holding()
    }

    /// Returns how many bytes of the transport belong to the next part of the message as they are, so
    /// that they can be read straight to where they are wanted. Give them to
    /// [`Connection::fill_part`]. `None`: read into a buffer for [`Connection::receive`].
    pub fn part_room(&self) -> Option<u64> {
        if self.is_ending() { None } else { self.reader.part_room() }
    }

    /// Unmasks and checks bytes of the peer in place, at most [`Connection::part_room`] of them. They are
    /// the next part of the message.
    pub fn fill_part(&mut self, bytes: &mut [u8], now: Instant, pool: &mut Pool) -> Filled {
        self.clocks.heard(now);
        self.received.wire_bytes += bytes.len() as u64;
        match self.reader.fill_part(bytes) {
            Ok(filled) => {
                self.clocks.amid(self.reader.is_amid(), true, now);
                self.count_received(bytes.len(), filled == Filled::Last);
                filled
            }
            Err(fault) => {
                self.end_by(fault, now, pool);
                Filled::Fault
            }
        }
    }
}
