//! Polling by hand, for programs that receive and send at the same time in one task.

use std::task::{Context, Poll};

use taiwa_proto::Message;

use super::WebSocket;
use crate::error::Error;

impl WebSocket {
    /// Polls for the next message; [`recv`](Self::recv) as a poll function.
    ///
    /// Poll it with [`poll_room`](Self::poll_room) in one task to send and receive at the same time,
    /// [`poll_room`](Self::poll_room) first: two peers that both send a lot must both receive meanwhile.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), taiwa::Error> {
    /// # let server = taiwa::Server::bind("127.0.0.1:0").await?;
    /// # let url = format!("ws://{}/", server.local_addr()?);
    /// # tokio::spawn(server.serve(|it: taiwa::Upgrade| async move {
    /// #     let mut socket = it.accept().await?;
    /// #     for _ in 0..3 { socket.recv().await?; socket.send("heard").await?; }
    /// #     Ok::<_, taiwa::Error>(())
    /// # }).into_future());
    /// use std::{future::poll_fn, task::Poll};
    /// use taiwa::{Message, TrySendError};
    ///
    /// let mut socket = taiwa::connect(&url).await?;
    /// let mut unsent: Vec<Message> = vec!["c".into(), "b".into(), "a".into()];
    /// loop {
    ///     while let Some(message) = unsent.pop() {
    ///         match socket.try_send(message) {
    ///             Ok(()) => {}
    ///             Err(TrySendError::Full(message)) => {
    ///                 unsent.push(message);
    ///                 break;
    ///             }
    ///             Err(TrySendError::Closing(_)) => unsent.clear(),
    ///         }
    ///     }
    ///     let received = poll_fn(|cx| {
    ///         if !unsent.is_empty() && socket.poll_room(cx).is_ready() {
    ///             return Poll::Ready(None);
    ///         }
    ///         socket.poll_recv(cx).map(Some)
    ///     });
    ///     match received.await.transpose()? {
    ///         None => {}
    ///         Some(Some(message)) => println!("{message:?}"),
    ///         Some(None) => return Ok(()),
    ///     }
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Message>, Error>> {
        self.inner_mut().poll_recv(cx)
    }

    /// Polls for the next message, Ping or Pong; the Ping is answered already. `None` at the end.
    #[cfg(feature = "compat-axum")]
    pub(crate) fn poll_item(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<super::Item>, Error>> {
        self.inner_mut().poll_item(cx)
    }

    /// Polls until [`try_send`](Self::try_send) would take a message, and writes what is queued.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner_mut().poll_room(cx)
    }

    /// Polls until the kernel took everything that is queued.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner_mut().poll_written(cx)
    }
}
