//! [`Sender`]: the sending half of a split connection.

use std::{
    fmt,
    future::poll_fn,
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use taiwa_proto::{CloseCode, Closed, Kind, Message, Misuse, Prepared, Stats};
use tokio::task::coop;

use super::{
    Inner,
    line::Line,
    parts::MessageWriter,
    permit::Permit,
    sending::Outgoing,
    shared::{Shared, State},
    slow::{HeldBack, SlowCounters, SlowPolicy, Tally, count},
    timer::now,
};
use crate::{
    error::{Error, TrySendError},
    scratch::take_back,
};

/// Permits of one connection that may be out at once. A permit is room for a message of any size.
const PERMITS_MAX: usize = 16;
/// Things that are read and dropped in one turn when there is no receiver.
const READS_MAX: usize = 32;

/// The sending half of a connection, from [`WebSocket::split`](crate::WebSocket::split). Cloning it is
/// cheap; a clone has the same [`SlowPolicy`], with a queue and counters of its own.
///
/// Messages of all senders go out in the order in which they were queued. Writing happens in the task of
/// the sender; what the kernel does not take at once is written by whoever waits in a method of any
/// half. Nothing runs in the background: a connection needs somebody who waits in
/// [`Receiver::recv`](crate::Receiver::recv), or in [`closed`](Self::closed), to answer Pings and to
/// keep its deadlines. Without a receiver the messages of the peer are dropped.
///
/// All methods that wait are cancel-safe.
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
/// let (sender, mut receiver) = taiwa::connect(&url).await?.split();
/// let other = sender.clone();
/// tokio::spawn(async move { other.send("from a task").await });
/// assert_eq!(receiver.recv().await?, Some("from a task".into()));
/// assert!(sender.close(taiwa::CloseCode::NORMAL, "").await?.clean);
/// # Ok(()) }
/// ```
pub struct Sender {
    shared: Arc<Shared>,
    id: u64,
    policy: SlowPolicy,
    tally: Arc<Tally>,
}

impl Sender {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let (id, tally) = (shared.next_id(), Arc::default());
        Self { shared, id, policy: SlowPolicy::Wait, tally }
    }

    /// Makes a sender with another policy for slow peers, a queue and counters of its own.
    pub fn with_policy(&self, policy: SlowPolicy) -> Self {
        Self { policy, ..self.clone() }
    }

    /// Returns the policy for slow peers.
    pub fn policy(&self) -> SlowPolicy {
        self.policy
    }

    /// Returns what became of the messages of this sender.
    pub fn counters(&self) -> SlowCounters {
        self.tally.read()
    }

    /// Sends a message. With [`SlowPolicy::Wait`] it waits until the kernel took it, as
    /// [`WebSocket::send`](crate::WebSocket::send). With any other policy it never waits; a message that
    /// the policy drops is no error, see [`counters`](Self::counters).
    ///
    /// Cancel-safe: the message is queued whole or not at all.
    ///
    /// # Errors
    /// [`Error::Closed`] after the end, [`Error::Misuse`] with [`Misuse::Closing`] while the closing
    /// handshake is under way (and from the call on that [`SlowPolicy::Close`] meets), [`Error::Late`]
    /// and [`Error::Io`] when the transport fails.
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), Error> {
        let message = message.into();
        let sent = self.send_outgoing(Outgoing::Message(&message)).await;
        take_back(message);
        sent
    }

    /// Sends a message that is framed and compressed once for many connections, as [`send`](Self::send).
    ///
    /// Cancel-safe: the message is queued whole or not at all.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn send_prepared(&self, prepared: &Prepared) -> Result<(), Error> {
        self.send_outgoing(Outgoing::Prepared(prepared)).await
    }

    async fn send_outgoing(&self, message: Outgoing<'_>) -> Result<(), Error> {
        match self.policy {
            SlowPolicy::Wait => self.send_waiting(message).await,
            _ => {
                // A task that sends to thousands lets others have a turn in between.
                coop::consume_budget().await;
                self.send_by_policy(message)
            }
        }
    }

    async fn send_waiting(&self, message: Outgoing<'_>) -> Result<(), Error> {
        let mut turn = self.shared.turn();
        let (mut is_queued, mut has_waited) = (false, false);
        poll_fn(|cx| {
            turn.poll_state(cx, |state, cx| {
                let was_queued = is_queued;
                let sent = state.inner().poll_send(message, &mut is_queued, cx);
                if is_queued && !was_queued {
                    count(&self.tally.sent);
                }
                if !is_queued && sent.is_pending() && !std::mem::replace(&mut has_waited, true) {
                    count(&self.tally.waited);
                }
                read_for_nobody(state, cx);
                state.tell(sent)
            })
        })
        .await
    }

    /// Sends without waiting, by a policy that is not [`SlowPolicy::Wait`].
    fn send_by_policy(&self, message: Outgoing<'_>) -> Result<(), Error> {
        self.shared.turn().act_on_state(|state, now| {
            let inner = state.inner();
            inner.check_may_send()?;
            let held_back = inner.held_back.as_deref();
            // Behind what waits already, and not into the middle of a message.
            let mut waits =
                inner.conn.is_sending_parts() || held_back.is_some_and(|it| it.has(self.id));
            let mut has_room = true;
            let len_max = self.policy.queue_len_max();
            match len_max {
                Some(_) => {
                    waits |= !inner.conn.outbox().is_empty()
                        || held_back.is_some_and(|it| !it.is_empty());
                }
                None => {
                    let bytes = held_back.map_or(0, HeldBack::bytes);
                    has_room = inner.conn.has_room_beside(bytes);
                }
            }
            if has_room && waits {
                let len_max = len_max.unwrap_or(usize::MAX);
                let held_back = inner.held_back.get_or_insert_with(Box::<HeldBack>::default);
                held_back.push(self.id, &self.tally, message.into(), len_max);
                return Ok(());
            }
            if has_room {
                inner.queue_anyway(message, now)?;
                count(&self.tally.sent);
                return Ok(());
            }
            count(&self.tally.dropped);
            if let SlowPolicy::Close(code) = self.policy {
                let code = if code.is_sendable() { code } else { CloseCode::POLICY_VIOLATION };
                inner.close(code, "")?;
                return Err(Error::Misuse(Misuse::Closing));
            }
            Ok(())
        })
    }

    /// Queues a message if there is room, whatever the policy, and writes what the kernel takes at once.
    ///
    /// # Errors
    /// [`TrySendError::Full`] and [`TrySendError::Closing`] give the message back.
    pub fn try_send(&self, message: impl Into<Message>) -> Result<(), TrySendError> {
        let message = message.into();
        self.try_send_outgoing(Outgoing::Message(&message)).map_err(|full| full(message))
    }

    /// Queues a prepared message if there is room, as [`try_send`](Self::try_send).
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    pub fn try_send_prepared(&self, prepared: &Prepared) -> Result<(), TrySendError> {
        self.try_send_outgoing(Outgoing::Prepared(prepared))
            .map_err(|full| full(prepared.message().clone()))
    }

    fn try_send_outgoing(&self, message: Outgoing<'_>) -> Result<(), fn(Message) -> TrySendError> {
        match self.shared.turn().act(|inner| inner.queue(message, now())) {
            Ok(true) => {
                count(&self.tally.sent);
                Ok(())
            }
            Ok(false) => Err(TrySendError::Full),
            Err(_) => Err(TrySendError::Closing),
        }
    }

    /// Waits for room for a message, before it is built, whatever the policy. At most 16 permits of a
    /// connection are out at once.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn reserve(&self) -> Result<Permit<'_>, Error> {
        let mut turn = self.shared.turn();
        poll_fn(|cx| {
            turn.poll_state(cx, |state, cx| {
                let room = state.inner().poll_reserve(cx);
                read_for_nobody(state, cx);
                if let Poll::Ready(Ok(())) = room {
                    if state.permits == PERMITS_MAX {
                        return Poll::Pending;
                    }
                    state.permits += 1;
                }
                state.tell(room)
            })
        })
        .await?;
        Ok(Permit::new(Line::Shared(turn)))
    }

    /// Begins a message that is written as a stream of bytes; see [`MessageWriter`]. The messages of
    /// other senders wait until it is finished.
    pub fn send_stream(&self, kind: Kind) -> MessageWriter<'_> {
        MessageWriter::new(Line::Shared(self.shared.turn()), kind)
    }

    /// Sends a Ping and waits for its Pong; returns the time between. Several may be under way.
    /// The Pong for a later Ping counts, too: a peer may answer only the newest (RFC 6455 §5.5.3).
    ///
    /// Messages that come first are kept for the receiver. Cancel-safe.
    ///
    /// # Errors
    /// As [`WebSocket::ping`](crate::WebSocket::ping).
    pub async fn ping(&self) -> Result<Duration, Error> {
        self.ask(Inner::ask_anew).await
    }

    /// Sends a Ping with a payload and waits for the Pong with the same one; returns the time between.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`WebSocket::ping_with`](crate::WebSocket::ping_with).
    pub async fn ping_with(&self, payload: &[u8]) -> Result<Duration, Error> {
        self.ask(|inner| inner.ask(payload)).await
    }

    async fn ask(
        &self,
        ask: impl FnOnce(&mut Inner) -> Result<u64, Error>,
    ) -> Result<Duration, Error> {
        let sent = now();
        let mut turn = self.shared.reading_turn();
        let asked = Asked { shared: &self.shared, id: turn.act(ask)? };
        let answered = poll_fn(|cx| {
            turn.poll_state(cx, |state, cx| {
                let answered = state.inner().poll_pong(cx, asked.id);
                state.tell(answered)
            })
        });
        Ok(answered.await?.saturating_duration_since(sent))
    }

    /// Queues a Pong that answers no Ping (RFC 6455 §5.5.3).
    ///
    /// # Errors
    /// [`Error::Misuse`] for a payload of more than 125 bytes, [`Error::Closed`] after the end,
    /// [`Error::OutboxFull`] when 64 KiB more than
    /// [`Limits::outbox_bytes_max`](crate::Limits::outbox_bytes_max) wait.
    pub fn pong(&self, payload: &[u8]) -> Result<(), Error> {
        self.shared.turn().act(|inner| inner.pong(payload))
    }

    /// Begins the closing handshake without waiting, as
    /// [`WebSocket::start_close`](crate::WebSocket::start_close). What the senders' queues hold goes out
    /// before the Close frame.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a code that may not be sent or a reason of more than 123 bytes.
    pub fn start_close(&self, code: CloseCode, reason: &str) -> Result<(), Error> {
        Ok(self.shared.turn().act(|inner| inner.close(code, reason))?)
    }

    /// Closes the connection and waits for its end, as [`WebSocket::close`](crate::WebSocket::close).
    /// Messages that still arrive are kept for the receiver, if there is one.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a code that may not be sent or a reason of more than 123 bytes, with the
    /// connection unharmed. If the closing handshake fails the receiver hears why; here that is only a
    /// [`Closed`] that is not clean.
    pub async fn close(&self, code: CloseCode, reason: &str) -> Result<Closed, Error> {
        self.start_close(code, reason)?;
        Ok(self.closed().await)
    }

    /// Waits for the end of the connection and drives it meanwhile. Messages that arrive are kept
    /// for the receiver, up to [`Limits::message_bytes_max`](crate::Limits::message_bytes_max) bytes or
    /// 4,096 messages; then nothing is read until it takes them.
    ///
    /// Cancel-safe.
    pub async fn closed(&self) -> Closed {
        let mut turn = self.shared.reading_turn();
        poll_fn(|cx| turn.poll_state(cx, |state, cx| state.poll_closed(cx))).await
    }

    /// Tells whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.shared.lock().closed().is_some()
    }

    /// Returns counters and the state of the queue.
    pub fn stats(&self) -> Stats {
        self.shared.lock().inner().stats()
    }

    /// Returns the subprotocol that was agreed on (RFC 6455 §1.9).
    pub fn subprotocol(&self) -> Option<&str> {
        self.shared.agreed.subprotocol.as_deref()
    }

    /// Returns the peer's address; `None` for a transport that was handed in, a unix
    /// socket, and behind a proxy.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.shared.peer_addr
    }

    /// Tells whether messages can still be sent.
    pub fn is_open(&self) -> bool {
        self.shared.lock().inner().check_may_send().is_ok()
    }

    /// Returns how many bytes wait to be written, frame headers included.
    pub fn buffered_amount(&self) -> usize {
        self.stats().outbox_bytes
    }

    /// Polls by hand: who does so has this sender for himself.
    fn poll<T>(
        &self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Inner, &mut Context<'_>) -> Poll<Result<T, Error>>,
    ) -> Poll<Result<T, Error>> {
        let mut turn = self.shared.senders_turn(self.id);
        let polled = turn.poll_state(cx, |state, cx| {
            let polled = poll(state.inner(), cx);
            read_for_nobody(state, cx);
            state.tell(polled)
        });
        turn.stay();
        polled
    }

    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll(cx, Inner::poll_room)
    }

    pub(crate) fn poll_written(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll(cx, Inner::poll_written)
    }

    /// Queues a message, room or not.
    pub(crate) fn queue(&self, message: &Message) -> Result<(), Error> {
        let message = Outgoing::Message(message);
        self.shared.turn().act(|inner| inner.queue_anyway(message, now()))
    }

    /// Polls for the end, as [`closed`](Self::closed).
    pub(crate) fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<Closed> {
        let mut turn = self.shared.senders_turn(self.id).that_reads();
        let closed = turn.poll_state(cx, |state, cx| state.poll_closed(cx));
        turn.stay();
        closed
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(super) fn into_shared(self) -> Arc<Shared> {
        self.shared
    }
}

impl Clone for Sender {
    fn clone(&self) -> Self {
        let new = Self::new(Arc::clone(&self.shared));
        Self { policy: self.policy, ..new }
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// A Ping that is forgotten when nobody waits for its answer any more.
struct Asked<'a> {
    shared: &'a Shared,
    id: u64,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.shared.lock().inner().forget(self.id);
    }
}

impl State {
    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Closed> {
        let ended = if self.inner().nobody_receives {
            self.inner().poll_end(cx)
        } else {
            self.inner().poll_end_keeping(cx)
        };
        if let Err(error) = ready!(ended) {
            self.inner().untold.get_or_insert(error);
        }
        Poll::Ready(self.closed().expect("the end was reached").clone())
    }

    /// What a sender is told: the error that ended the connection is the receiver's to hear, if there
    /// is one; the sender gets to know how it ended.
    fn tell<T>(&mut self, polled: Poll<Result<T, Error>>) -> Poll<Result<T, Error>> {
        match polled {
            Poll::Ready(Err(error)) if !self.inner().nobody_receives && ends(&error) => {
                let closed = self.closed().cloned();
                Poll::Ready(Err(match closed {
                    Some(closed) => {
                        self.inner().untold.get_or_insert(error);
                        Error::Closed(closed)
                    }
                    None => error,
                }))
            }
            polled => polled,
        }
    }
}

/// Tells whether an error is how a connection ended.
fn ends(error: &Error) -> bool {
    matches!(error, Error::Fault(_) | Error::Late(_) | Error::Lost | Error::Io(_))
}

/// Reads what has come, and drops it, if there is no receiver: for Pings, Pongs and Close frames.
fn read_for_nobody(state: &mut State, cx: &mut Context<'_>) {
    if !state.inner().nobody_receives {
        return;
    }
    for _ in 0..READS_MAX {
        match state.inner().poll_recv(cx) {
            Poll::Ready(Ok(Some(_))) => {}
            Poll::Ready(Err(error)) => {
                state.inner().untold.get_or_insert(error);
                return;
            }
            Poll::Ready(Ok(None)) | Poll::Pending => return,
        }
    }
}
