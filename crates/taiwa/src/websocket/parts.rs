//! Large messages as streams of bytes: [`MessageReader`] and [`MessageWriter`].

use std::{
    fmt,
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use taiwa_proto::{CloseCode, Fin, Kind};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Inner, found::Part, line::Line, receiving::NextPart};
use crate::error::Error;

/// Bytes of one fragment of a message that is written.
const FRAGMENT_LEN: usize = 32 << 10;

/// Reads one message as it arrives: inflated, its text checked, with Pings answered in between.
///
/// Nothing is held, so [`Limits::message_bytes_max`](crate::Limits::message_bytes_max) and
/// [`Limits::fragments_max`](crate::Limits::fragments_max) do not count: read no more than you can
/// use. Between two parts the peer has [`Deadlines::message`](crate::Deadlines::message). As an
/// [`AsyncRead`] it fails with [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) if the connection closes
/// inside the message, and otherwise with an [`Error`] inside an [`io::Error`].
///
/// A text is checked as it arrives; a chunk may end inside a code point.
///
/// Dropping it passes over the rest of the message. All its methods are cancel-safe.
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
/// socket.send(vec![7; 300_000]).await?;
/// let mut message = socket.recv_stream().await?.expect("it is open");
/// let mut bytes = 0;
/// while let Some(chunk) = message.chunk().await? {
///     bytes += chunk.len(); // at most 64 KiB at a time
/// }
/// assert_eq!(bytes, 300_000);
/// # Ok(()) }
/// ```
pub struct MessageReader<'a> {
    line: Line<'a>,
    kind: Kind,
    /// Arrived, and not read yet.
    part: Bytes,
    is_last: bool,
}

impl<'a> MessageReader<'a> {
    /// Waits for the first part of the next message. `None`: the connection is closed.
    pub(super) async fn begin(mut line: Line<'a>) -> Result<Option<Self>, Error> {
        let next = poll_fn(|cx| line.poll(cx, |inner, cx| inner.poll_part(cx, None)));
        Ok(match next.await? {
            None => None,
            Some(NextPart::Part(Part { kind, bytes, is_last })) => {
                Some(Self { line, kind, part: bytes, is_last })
            }
            Some(NextPart::Filled { .. }) => unreachable!("no buffer was lent"),
        })
    }

    /// Returns the kind of the message.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Waits for the next bytes of the message, as many as came at once, at most 64 KiB. `None` behind
    /// the last.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`WebSocket::recv`](crate::WebSocket::recv), and [`Error::Closed`] or [`Error::Lost`] if the
    /// connection ends inside the message.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        while self.part.is_empty() && !self.is_last {
            let next = ready!(self.line.poll(cx, |inner, cx| {
                let next = ready!(inner.poll_part(cx, None));
                Poll::Ready(next.and_then(|it| it.ok_or_else(|| inner.over())))
            }))?;
            self.take(next);
        }
        let part = std::mem::take(&mut self.part);
        Poll::Ready(Ok((!part.is_empty()).then_some(part)))
    }

    fn take(&mut self, next: NextPart) {
        match next {
            NextPart::Part(part) => {
                self.part = part.bytes;
                self.is_last = part.is_last;
            }
            NextPart::Filled { is_last } => self.is_last = is_last,
        }
    }
}

impl AsyncRead for MessageReader<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let start = buffer.filled().len();
        while buffer.remaining() != 0 && buffer.filled().len() == start {
            if !this.part.is_empty() {
                let len = this.part.len().min(buffer.remaining());
                buffer.put_slice(&this.part[..len]);
                this.part.advance(len);
            } else if this.is_last {
                break;
            } else {
                let next = ready!(this.line.poll(cx, |inner, cx| {
                    let next = ready!(inner.poll_part(cx, Some(&mut *buffer)));
                    Poll::Ready(next.and_then(|it| it.ok_or_else(|| inner.over())))
                }));
                this.take(next.map_err(cut_short)?);
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// What a reader of bytes gets.
fn cut_short(error: Error) -> io::Error {
    match error {
        Error::Closed(_) | Error::Lost => io::Error::new(io::ErrorKind::UnexpectedEof, error),
        Error::Io(error) => error,
        error => io::Error::other(error),
    }
}

impl Drop for MessageReader<'_> {
    fn drop(&mut self) {
        self.line.act(Inner::pass_over);
    }
}

impl fmt::Debug for MessageReader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageReader").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Writes one message as it comes into being: in fragments of 32 KiB, each compressed if that was agreed
/// on. At most 64 KiB and one fragment wait for the peer.
///
/// No other message can be sent meanwhile, by the senders of a split connection neither: they wait.
/// Control frames go in between.
///
/// End it with [`finish`](Self::finish) (as an [`AsyncWrite`]: `shutdown`). Dropping it before that leaves a
/// message that can never be whole: the connection is closed with 1011, unless nothing of it was
/// sent yet. Text is checked; bytes that are none give [`Misuse::TextNotUtf8`](crate::Misuse::TextNotUtf8).
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
/// use taiwa::Kind;
///
/// let mut socket = taiwa::connect(&url).await?;
/// let mut message = socket.send_stream(Kind::Text);
/// for line in 0..1000 {
///     message.write(format!("line {line}\n").as_bytes()).await?;
/// }
/// message.finish().await?;
/// let whole = socket.recv().await?.expect("it is open");
/// assert!(whole.as_text().unwrap().ends_with("line 999\n"));
/// # Ok(()) }
/// ```
pub struct MessageWriter<'a> {
    line: Line<'a>,
    kind: Kind,
    buffer: Vec<u8>,
    state: Written,
}

#[derive(Clone, Copy, PartialEq)]
enum Written {
    Nothing,
    Begun,
    Finished,
}

impl<'a> MessageWriter<'a> {
    pub(super) fn new(line: Line<'a>, kind: Kind) -> Self {
        Self { line, kind, buffer: Vec::new(), state: Written::Nothing }
    }

    /// Appends bytes to the message and waits for room where needed.
    ///
    /// Not cancel-safe: how much was taken is unknown. What was taken is sent in order; to
    /// know how much, use it as an [`AsyncWrite`].
    ///
    /// # Errors
    /// As [`WebSocket::send`](crate::WebSocket::send).
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            let n = poll_fn(|cx| self.poll_take(cx, bytes)).await?;
            bytes = &bytes[n..];
        }
        Ok(())
    }

    /// Ends the message and waits until the kernel took it.
    ///
    /// Cancel-safe in that a message whose end is queued stays whole; before that, as dropping it.
    ///
    /// # Errors
    /// As [`WebSocket::send`](crate::WebSocket::send).
    pub async fn finish(mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_finish(cx)).await
    }

    fn poll_take(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Error>> {
        if self.state == Written::Finished {
            let why = "the message is finished";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::BrokenPipe, why).into()));
        }
        if FRAGMENT_LEN <= self.buffer.len() {
            ready!(self.poll_part(cx))?;
        }
        // A whole fragment needs no copy in between.
        if self.buffer.is_empty() && FRAGMENT_LEN <= bytes.len() {
            ready!(self.poll_queue(cx, &bytes[..FRAGMENT_LEN], Fin::More))?;
            return Poll::Ready(Ok(FRAGMENT_LEN));
        }
        let len = bytes.len().min(FRAGMENT_LEN - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..len]);
        Poll::Ready(Ok(len))
    }

    /// Queues what is in the buffer as a fragment, when there is room.
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let buffer = std::mem::take(&mut self.buffer);
        let queued = self.poll_queue(cx, &buffer, Fin::More);
        self.buffer = buffer;
        ready!(queued)?;
        self.buffer.clear();
        Poll::Ready(Ok(()))
    }

    fn poll_queue(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        fin: Fin,
    ) -> Poll<Result<(), Error>> {
        let (kind, is_begun) = (self.kind, self.state == Written::Begun);
        ready!(self.line.poll(cx, |inner, cx| {
            if !is_begun {
                // Another sender's message may be unfinished.
                ready!(inner.poll_room(cx))?;
            }
            ready!(inner.poll_part_room(cx))?;
            Poll::Ready(inner.queue_part(kind, bytes, fin))
        }))?;
        self.state = if fin == Fin::Last { Written::Finished } else { Written::Begun };
        Poll::Ready(Ok(()))
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.state != Written::Finished {
            let buffer = std::mem::take(&mut self.buffer);
            let queued = self.poll_queue(cx, &buffer, Fin::Last);
            if !matches!(queued, Poll::Ready(Ok(()))) {
                self.buffer = buffer;
            }
            ready!(queued)?;
        }
        self.line.poll(cx, |inner, cx| inner.poll_written(cx))
    }
}

impl AsyncWrite for MessageWriter<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_take(cx, bytes).map_err(into_io)
    }

    /// Sends what was written as a fragment of its own, and waits until the kernel took it.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.buffer.is_empty() && this.state != Written::Finished {
            ready!(this.poll_part(cx)).map_err(into_io)?;
        }
        this.line.poll(cx, |inner, cx| inner.poll_written(cx)).map_err(into_io)
    }

    /// Ends the message, as [`finish`](MessageWriter::finish).
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_finish(cx).map_err(into_io)
    }
}

fn into_io(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        Error::Closed(_) | Error::Lost => io::Error::new(io::ErrorKind::BrokenPipe, error),
        Error::Misuse(_) => io::Error::new(io::ErrorKind::InvalidInput, error),
        error => io::Error::other(error),
    }
}

impl Drop for MessageWriter<'_> {
    fn drop(&mut self) {
        if self.state == Written::Begun {
            self.line.act(|inner| {
                let _ = inner.close(CloseCode::INTERNAL_ERROR, "message abandoned");
            });
        }
    }
}

impl fmt::Debug for MessageWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageWriter").field("kind", &self.kind).finish_non_exhaustive()
    }
}
