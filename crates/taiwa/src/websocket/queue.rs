//! Queueing without writing: what a `Sink` does in `start_send`.

use taiwa_proto::{CloseCode, Message};

use super::{WebSocket, now, sending::Outgoing};
use crate::error::Error;

impl WebSocket {
    /// Queues a message, room or not.
    pub(crate) fn queue(&mut self, message: &Message) -> Result<(), Error> {
        self.inner_mut().queue_anyway(Outgoing::Message(message), now())
    }

    /// Queues a Ping whose Pong nobody waits for.
    pub(crate) fn queue_ping(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.inner_mut().ping_with(payload)
    }

    /// Queues a Pong that answers no Ping.
    pub(crate) fn queue_pong(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.inner_mut().pong(payload)
    }

    /// Queues a Close frame. No harm if one is queued or sent already.
    pub(crate) fn queue_close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        Ok(self.inner_mut().close(code, reason)?)
    }
}
