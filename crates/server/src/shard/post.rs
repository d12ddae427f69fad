//! [`Post`]: how other threads reach a shard.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    time::Instant,
};

use mio::Waker;
use taiwa::RawConnection;

use super::Above;

/// The way to one shard, from any thread. Cloning it is cheap.
///
/// It is one queue, first in, first out: new lines, letters and the end come in the order in which they were sent.
pub struct Post<A: Above> {
    mailbox: Arc<Mailbox<A>>,
}

struct Mailbox<A: Above> {
    queue: mpsc::Sender<Inbound<A>>,
    waker: Waker,
    /// The shard was woken and has not looked into the queue since.
    is_woken: AtomicBool,
    waiting: AtomicUsize,
    letters_max: usize,
}

/// What comes to a shard.
pub(super) enum Inbound<A: Above> {
    Join(Box<(RawConnection, A::Opening)>),
    Letter(A::Letter),
    /// Say goodbye to all, and end when all shards have no line left or at this time.
    ShutDown(Instant),
    /// Look again whether all shards have no line left.
    Look,
    /// End at once.
    Stop,
}

/// A letter that [`Post::try_send`] did not send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotSent<L> {
    /// As many letters wait as [`Settings::letters_max`](super::Settings::letters_max) allows.
    Full(L),
    /// The shard has ended.
    Ended(L),
}

impl<A: Above> Post<A> {
    pub(super) fn new(waker: Waker, letters_max: usize) -> (Self, Inbox<A>) {
        let (queue, received) = mpsc::channel();
        let (is_woken, waiting) = Default::default();
        let mailbox = Arc::new(Mailbox { queue, waker, is_woken, waiting, letters_max });
        let inbox = Inbox { received, mailbox: Arc::clone(&mailbox) };
        (Self { mailbox }, inbox)
    }

    /// Sends a letter, however many wait: for shards among themselves, whose letters are bounded by what their lines may
    /// do. After the end of the shard it is lost.
    pub fn send(&self, letter: A::Letter) {
        let _ = self.put(Inbound::Letter(letter));
    }

    /// Sends a letter, unless too many wait: for what comes from outside.
    ///
    /// # Errors
    /// [`NotSent`], with the letter.
    pub fn try_send(&self, letter: A::Letter) -> Result<(), NotSent<A::Letter>> {
        if self.mailbox.letters_max <= self.waiting() {
            return Err(NotSent::Full(letter));
        }
        self.put(Inbound::Letter(letter)).map_err(|unsent| match unsent {
            Inbound::Letter(letter) => NotSent::Ended(letter),
            _ => unreachable!("it was a letter"),
        })
    }

    /// Returns how many letters wait, roughly.
    pub fn waiting(&self) -> usize {
        self.mailbox.waiting.load(Ordering::Relaxed)
    }

    /// Hands over a connection. It is dropped if the shard has ended.
    ///
    /// What is no socket is carried there by a task.
    ///
    /// # Errors
    /// If the system makes no pair of sockets for what is none, as systems other than unix don't; the connection is dropped.
    ///
    /// # Panics
    /// For what is no socket, outside of a tokio runtime.
    pub fn join(&self, raw: RawConnection, opening: A::Opening) -> std::io::Result<()> {
        let raw = carried(raw)?;
        let _ = self.put(Inbound::Join(Box::new((raw, opening))));
        Ok(())
    }

    pub(super) fn put(&self, inbound: Inbound<A>) -> Result<(), Inbound<A>> {
        let Mailbox { queue, waker, is_woken, waiting, .. } = &*self.mailbox;
        waiting.fetch_add(1, Ordering::Relaxed);
        if let Err(mpsc::SendError(unsent)) = queue.send(inbound) {
            waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(unsent);
        }
        // Whoever finds the shard woken sent before it looks: see `Inbox::open`.
        if !is_woken.swap(true, Ordering::AcqRel) {
            waker.wake().expect("an eventfd that is open takes a wake-up");
        }
        Ok(())
    }
}

/// Gives a connection a socket, if it has none.
///
/// # Errors
///
/// As [`Post::join`].
pub(crate) fn carried(raw: RawConnection) -> std::io::Result<RawConnection> {
    #[cfg(unix)]
    return super::foreign::carry(raw);
    #[cfg(not(unix))]
    match raw.transport {
        taiwa::RawTransport::Other(_) => Err(std::io::ErrorKind::Unsupported.into()),
        _ => Ok(raw),
    }
}

impl<A: Above> Clone for Post<A> {
    fn clone(&self) -> Self {
        Self { mailbox: Arc::clone(&self.mailbox) }
    }
}

impl<A: Above> fmt::Debug for Post<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Post").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}

/// The shard's end of its queue.
pub(super) struct Inbox<A: Above> {
    received: mpsc::Receiver<Inbound<A>>,
    mailbox: Arc<Mailbox<A>>,
}

impl<A: Above> Inbox<A> {
    /// Says that the queue will be looked into now: who sends from here on wakes the shard again.
    pub(super) fn open(&self) {
        self.mailbox.is_woken.swap(false, Ordering::AcqRel);
    }

    pub(super) fn next(&self) -> Option<Inbound<A>> {
        let inbound = self.received.try_recv().ok()?;
        self.mailbox.waiting.fetch_sub(1, Ordering::Relaxed);
        Some(inbound)
    }
}
