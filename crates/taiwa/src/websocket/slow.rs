//! What becomes of messages for a peer that reads slowly.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use taiwa_proto::{CloseCode, Connection, Message, Misuse, Pool, Prepared};

use super::sending::Outgoing;

/// What a [`Sender`](crate::Sender) does with a message when the peer reads too slowly. Each sender has its
/// own; the queues of the policies that have one hold messages of that sender only.
///
/// While a [`MessageWriter`](crate::MessageWriter) is at work, no other message can go out, however fast
/// the peer reads: with every policy messages wait in a queue then, with the policies that have none up to
/// [`Limits::outbox_bytes_max`](crate::Limits::outbox_bytes_max) bytes with what waits to be written.
///
/// What the kernel has taken is out of reach of every policy: on loopback that can be megabytes.
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
/// use taiwa::SlowPolicy;
///
/// let (sender, mut receiver) = taiwa::connect(&url).await?.split();
/// let prices = sender.with_policy(SlowPolicy::KeepLatest);
/// for price in 1..=1000 {
///     prices.send(price.to_string()).await?; // never waits
/// }
/// // However many were dropped on the way, the last one comes.
/// while receiver.recv().await?.expect("it is open").as_text() != Some("1000") {}
/// let counters = prices.counters();
/// assert_eq!(counters.sent + counters.dropped, 1000);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SlowPolicy {
    /// [`send`](crate::Sender::send) waits for room. The default.
    #[default]
    Wait,
    /// A message is dropped if [`Limits::outbox_bytes_max`](crate::Limits::outbox_bytes_max) bytes wait.
    DropNewest,
    /// While bytes wait, up to `messages` messages (0 counts as 1) wait in a queue; one more drops the
    /// oldest of them. For a chat of which the last lines matter.
    DropOldest {
        /// Messages in the queue.
        messages: usize,
    },
    /// While bytes wait, one message waits; the next one takes its place. For a ticker, a position, a
    /// progress bar: each message makes the one before it worthless.
    KeepLatest,
    /// The connection is closed with this code if
    /// [`Limits::outbox_bytes_max`](crate::Limits::outbox_bytes_max) bytes wait. A code that may not be
    /// sent counts as 1008.
    Close(CloseCode),
}

impl SlowPolicy {
    /// Messages that may wait in a queue of the sender's own; `None` if the policy has none.
    pub(crate) fn queue_len_max(self) -> Option<usize> {
        match self {
            Self::Wait | Self::DropNewest | Self::Close(_) => None,
            Self::DropOldest { messages } => Some(messages.max(1)),
            Self::KeepLatest => Some(1),
        }
    }
}

/// What became of the messages of one [`Sender`](crate::Sender) so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlowCounters {
    /// Messages handed to the connection.
    pub sent: u64,
    /// Messages dropped by the policy: new ones, old ones, replaced ones, and those in the queue when the
    /// connection ended.
    pub dropped: u64,
    /// Messages that had to wait: in a queue, or in [`send`](crate::Sender::send) for room.
    pub waited: u64,
}

/// The counters, shared by a sender and its queue.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) sent: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) waited: AtomicU64,
}

impl Tally {
    pub(crate) fn read(&self) -> SlowCounters {
        let get = |it: &AtomicU64| it.load(Ordering::Relaxed);
        SlowCounters {
            sent: get(&self.sent),
            dropped: get(&self.dropped),
            waited: get(&self.waited),
        }
    }
}

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A message that waits.
#[derive(Debug)]
pub(crate) enum Waiting {
    Message(Message),
    Prepared(Prepared),
}

impl From<Outgoing<'_>> for Waiting {
    fn from(message: Outgoing<'_>) -> Self {
        match message {
            Outgoing::Message(it) => Self::Message(it.clone()),
            Outgoing::Prepared(it) => Self::Prepared(it.clone()),
        }
    }
}

impl Waiting {
    fn len(&self) -> usize {
        match self {
            Self::Message(it) => it.as_bytes().len(),
            Self::Prepared(it) => it.message().as_bytes().len(),
        }
    }

    pub(super) fn queue(
        &self,
        conn: &mut Connection,
        now: Instant,
        pool: &mut Pool,
    ) -> Result<(), Misuse> {
        match self {
            Self::Message(it) => conn.send(it, now, pool),
            Self::Prepared(it) => conn.send_prepared(it, now, pool),
        }
    }
}

/// The queues of all senders of a connection.
#[derive(Debug, Default)]
pub(crate) struct HeldBack {
    /// In the order in which they have their next turn. None is empty.
    queues: VecDeque<Queue>,
    /// Of all messages in them.
    bytes: usize,
}

#[derive(Debug)]
struct Queue {
    sender: u64,
    tally: Arc<Tally>,
    messages: VecDeque<Waiting>,
}

impl HeldBack {
    /// Adds a message to a sender's queue; past `len_max` the oldest is dropped.
    pub(crate) fn push(
        &mut self,
        sender: u64,
        tally: &Arc<Tally>,
        message: Waiting,
        len_max: usize,
    ) {
        let queue = match self.queues.iter().position(|it| it.sender == sender) {
            Some(at) => &mut self.queues[at],
            None => {
                let (tally, messages) = (Arc::clone(tally), VecDeque::new());
                self.queues.push_back_mut(Queue { sender, tally, messages })
            }
        };
        count(&tally.waited);
        self.bytes += message.len();
        queue.messages.push_back(message);
        while queue.messages.len() > len_max
            && let Some(oldest) = queue.messages.pop_front()
        {
            self.bytes -= oldest.len();
            count(&tally.dropped);
        }
    }

    /// Takes the next message: senders take turns.
    pub(crate) fn next(&mut self) -> Option<Waiting> {
        let mut queue = self.queues.pop_front()?;
        let message = queue.messages.pop_front();
        if let Some(message) = &message {
            self.bytes -= message.len();
            count(&queue.tally.sent);
        }
        if queue.messages.is_empty() {
            if self.queues.is_empty() {
                self.queues = VecDeque::new();
            }
        } else {
            self.queues.push_back(queue);
        }
        message
    }

    /// Tells whether no message waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// Tells whether messages of a sender wait.
    pub(crate) fn has(&self, sender: u64) -> bool {
        self.queues.iter().any(|it| it.sender == sender)
    }

    /// Bytes of the messages that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Drops all messages: the connection has ended.
    pub(crate) fn give_up(self) {
        for queue in &self.queues {
            let messages = queue.messages.len() as u64;
            queue.tally.dropped.fetch_add(messages, Ordering::Relaxed);
        }
    }
}
