//! The one road on which every connection ends: flush, shut down, discard, end.

use std::time::Instant;

use crate::{
    close::Closed,
    fault::{Deadline, Fault},
};

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// By the closing handshake.
    Closed(Closed),
    /// The peer broke a rule; it was sent a Close frame with the rule's code.
    Fault(Fault),
    /// The peer let a deadline pass.
    Late(Deadline),
    /// The transport ended without a Close frame (1006).
    Lost,
}

/// What the owner of the transport has to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write the outbox if it is not empty, and read.
    Transfer,
    /// All is written and nothing more will be: shut down the write side, then call
    /// [`Connection::shut_down`](super::Connection::shut_down).
    ShutDown,
    /// Read to the end of the input and throw it away, so that no reset of the transport overtakes
    /// our Close frame. `receive` throws away what it is given.
    Discard,
    /// Drop the transport.
    End(End),
}

#[derive(Debug)]
pub(super) struct Ending {
    end: End,
    stage: Stage,
    /// Whether to read to the end of the input before the end.
    discards: bool,
    until: Option<Instant>,
}

#[derive(Debug)]
enum Stage {
    Flush,
    Discard,
    Done,
}

impl Ending {
    pub(super) fn new(end: End, discards: bool, until: Option<Instant>) -> Self {
        Self { end, stage: Stage::Flush, discards, until }
    }

    pub(super) fn done(end: End) -> Self {
        Self { end, stage: Stage::Done, discards: false, until: None }
    }

    pub(super) fn step(&self, all_written: bool) -> Step {
        match self.stage {
            Stage::Flush if all_written => Step::ShutDown,
            Stage::Flush => Step::Transfer,
            Stage::Discard => Step::Discard,
            Stage::Done => Step::End(self.end.clone()),
        }
    }

    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    pub(super) fn shut_down(&mut self) {
        self.stage = if self.discards { Stage::Discard } else { Stage::Done };
    }

    pub(super) fn input_ended(&mut self) {
        self.discards = false;
        if let Stage::Discard = self.stage {
            self.stage = Stage::Done;
        }
    }

    pub(super) fn give_up(&mut self) {
        self.stage = Stage::Done;
    }
}
