//! Control frames by hand: a Ping with a payload, a Pong, a Close that does not wait.

use std::{future::poll_fn, time::Duration};

use taiwa_proto::CloseCode;

use super::{WebSocket, now};
use crate::error::Error;

impl WebSocket {
    /// Sends a Ping with a payload and waits for the Pong with the same one; returns the time between.
    /// [`ping`](Self::ping) chooses a payload that no Ping before it had.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`ping`](Self::ping), and [`Error::Misuse`] for a payload of more than 125 bytes.
    pub async fn ping_with(&mut self, payload: &[u8]) -> Result<Duration, Error> {
        let inner = self.inner_mut();
        // One at a time: nobody waits for an earlier one any more.
        inner.asked = Vec::new();
        let sent = now();
        let id = inner.ask(payload)?;
        let answered = poll_fn(|cx| inner.poll_pong(cx, id)).await?;
        inner.forget(id);
        Ok(answered.saturating_duration_since(sent))
    }

    /// Queues a Pong that answers no Ping (RFC 6455 §5.5.3), and writes what the kernel takes at once;
    /// what is left goes out with the next call of any method. Pings are answered without it.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a payload of more than 125 bytes, [`Error::Closed`] after the end,
    /// [`Error::OutboxFull`] when 64 KiB more than
    /// [`Limits::outbox_bytes_max`](crate::Limits::outbox_bytes_max) wait.
    pub fn pong(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.inner_mut().pong(payload)?;
        self.write_some();
        Ok(())
    }

    /// Begins the closing handshake without waiting for its end: queues a Close frame and writes what the
    /// kernel takes at once. What the peer sends before its own Close frame still comes out of
    /// [`recv`](Self::recv), then `None`. [`close`](Self::close) waits, and drops what comes.
    ///
    /// It does nothing once the closing handshake has begun.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a code that may not be sent or a reason of more than 123 bytes.
    pub fn start_close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.inner_mut().close(code, reason)?;
        self.write_some();
        Ok(())
    }
}
