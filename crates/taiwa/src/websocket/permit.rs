//! [`Permit`]: room for a message that is not built yet.

use std::fmt;

use taiwa_proto::{Message, Prepared};

use super::{Inner, line::Line, sending::Outgoing, timer::now};
use crate::error::Error;

/// Room for one message. Dropping it gives the room back.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), taiwa::Error> {
/// # let server = taiwa::Server::bind("127.0.0.1:0").await?;
/// # let url = format!("ws://{}/", server.local_addr()?);
/// # tokio::spawn(server.serve(|it: taiwa::Upgrade| async move {
/// #     let mut socket = it.accept().await?;
/// #     while let Some(it) = socket.recv().await? { socket.send(it).await? }
/// #     Ok::<_, taiwa::Error>(())
/// # }).into_future());
/// let mut socket = taiwa::connect(&url).await?;
/// // Wait first, then look: what is sent is as fresh as can be.
/// let permit = socket.reserve().await?;
/// permit.send(format!("{:?}", std::time::SystemTime::now()))?;
/// assert!(socket.recv().await?.is_some());
/// # Ok(()) }
/// ```
#[must_use = "it is for sending a message"]
pub struct Permit<'a> {
    line: Line<'a>,
}

impl<'a> Permit<'a> {
    pub(super) fn new(line: Line<'a>) -> Self {
        Self { line }
    }

    /// Queues a message and writes what the kernel takes at once; does not wait. What is left goes out
    /// with the next call of any method.
    ///
    /// # Errors
    /// [`Error::Misuse`] with [`Misuse::Closing`](crate::Misuse::Closing) if the connection began to close
    /// meanwhile, or with [`Misuse::Unfinished`](crate::Misuse::Unfinished) if a message was begun by a
    /// [`MessageWriter`](crate::MessageWriter) of another sender; [`Error::Closed`] after the end.
    pub fn send(mut self, message: impl Into<Message>) -> Result<(), Error> {
        let message = message.into();
        self.queue(Outgoing::Message(&message))
    }

    /// Queues a prepared message, as [`send`](Self::send).
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_prepared(mut self, prepared: &Prepared) -> Result<(), Error> {
        self.queue(Outgoing::Prepared(prepared))
    }

    fn queue(&mut self, message: Outgoing<'_>) -> Result<(), Error> {
        self.line.act(|inner: &mut Inner| inner.queue_anyway(message, now()))
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if let Line::Shared(turn) = &mut self.line {
            turn.act_on_state(|state, _| {
                state.permits -= 1;
                state.inner().news.for_senders = true;
            });
        }
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permit")
    }
}
