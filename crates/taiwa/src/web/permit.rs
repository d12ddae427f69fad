//! [`Permit`]: room for a message that is not built yet.

use std::fmt;

use taiwa_proto::{Message, Prepared};

use super::line::Line;
use crate::error::Error;

/// Room for one message. Dropping it gives the room back.
#[must_use = "it is for sending a message"]
pub struct Permit<'a> {
    line: &'a Line,
}

impl<'a> Permit<'a> {
    pub(super) fn new(line: &'a Line) -> Self {
        Self { line }
    }

    /// Hands a message to the browser; does not wait.
    ///
    /// # Errors
    /// [`Error::Misuse`] with [`Misuse::Closing`](crate::Misuse::Closing) if the connection began to close
    /// meanwhile; [`Error::Closed`] after the end.
    pub fn send(self, message: impl Into<Message>) -> Result<(), Error> {
        self.line.queue_anyway(&message.into())
    }

    /// Hands over a prepared message, as [`send`](Self::send).
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_prepared(self, prepared: &Prepared) -> Result<(), Error> {
        self.line.queue_anyway(prepared.message())
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.line.give_back();
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permit")
    }
}
