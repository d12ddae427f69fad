//! The fan-out inside one process: who is in a channel, and handing a message to all of them.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use taiwa::Message;
use tokio::{sync::Notify, time::timeout_at};

/// What one message costs its queue beside its payload, so that a million empty ones cost something.
const MESSAGE_OVERHEAD: usize = 64;

/// Bounds of everything in a [`Fanout`] that can grow. Each has one consequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FanoutLimits {
    /// Bytes that wait for one member, 64 more for each message. Default 1 MiB. Past it the queue
    /// is thrown away and the member is closed with 1013 `slow reader`; one message larger than
    /// the limit is accepted when nothing else waits.
    pub queue_bytes_max: usize,
    /// How long a member whose queue is half full may hold up those who have more to say, until it is
    /// down to a quarter. Default 1 s: who reads 256 KiB/s loses nothing. Past it: as above.
    pub slow_after: Duration,
    /// Channels at the same time. Default 10,000. Past it: status 503.
    pub channels_max: usize,
    /// Bytes of a channel's name. Default 256. Past it: status 414.
    pub channel_name_bytes_max: usize,
}

impl Default for FanoutLimits {
    fn default() -> Self {
        Self {
            queue_bytes_max: 1 << 20,
            slow_after: Duration::from_secs(1),
            channels_max: 10_000,
            channel_name_bytes_max: 256,
        }
    }
}

/// Why a channel can't be joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The name is over [`FanoutLimits::channel_name_bytes_max`].
    NameTooLong,
    /// There are [`FanoutLimits::channels_max`] channels and this is none of them.
    TooManyChannels,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NameTooLong => "the channel's name is too long",
            Self::TooManyChannels => "there are too many channels",
        })
    }
}

impl std::error::Error for Refusal {}

/// All channels and their members. Cloning it gives another handle to the same ones.
///
/// A channel is born with its first member and dies with its last.
#[derive(Clone, Default)]
pub struct Fanout(Arc<Channels>);

#[derive(Default)]
struct Channels {
    limits: FanoutLimits,
    by_name: Mutex<HashMap<Arc<str>, Arc<Channel>>>,
}

struct Channel {
    name: Arc<str>,
    /// Lock order: `Channels::by_name`, `members`, `Queue::waiting`; each is held for memory
    /// operations alone.
    members: Mutex<Vec<Arc<Queue>>>,
}

impl Fanout {
    /// Makes a fan-out without channels.
    pub fn new(limits: FanoutLimits) -> Self {
        Self(Arc::new(Channels { limits, by_name: Mutex::default() }))
    }

    /// Joins `channel`. Messages published from now on arrive in the inbox, in the order in which
    /// every other member gets them. Dropping the member leaves.
    ///
    /// # Errors
    /// The name is too long, or there are too many channels.
    pub fn join(&self, channel: &str) -> Result<(Member, Inbox), Refusal> {
        let limits = &self.0.limits;
        if channel.len() > limits.channel_name_bytes_max {
            return Err(Refusal::NameTooLong);
        }
        let mut by_name = lock(&self.0.by_name);
        let channel = match by_name.get(channel) {
            Some(known) => known.clone(),
            None if by_name.len() >= limits.channels_max => return Err(Refusal::TooManyChannels),
            None => {
                let name: Arc<str> = channel.into();
                let channel = Arc::new(Channel { name: name.clone(), members: Mutex::default() });
                by_name.insert(name, channel.clone());
                channel
            }
        };
        let queue = Arc::new(Queue::default());
        lock(&channel.members).push(queue.clone());
        let inbox = Inbox(queue.clone());
        Ok((Member { channels: self.0.clone(), channel, queue }, inbox))
    }

    /// Returns the channels and how many members each has, by name.
    pub fn channels(&self) -> Vec<(Arc<str>, usize)> {
        let by_name = lock(&self.0.by_name);
        let mut channels: Vec<_> =
            by_name.values().map(|it| (it.name.clone(), lock(&it.members).len())).collect();
        channels.sort_unstable();
        channels
    }
}

/// Who of a channel receives what a member publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Every other member.
    Others,
    /// Every member, the one that publishes too.
    All,
}

/// A place in a channel.
pub struct Member {
    channels: Arc<Channels>,
    channel: Arc<Channel>,
    queue: Arc<Queue>,
}

impl Member {
    /// Waits until nobody who would receive a message is behind with reading. Whoever still is,
    /// [`FanoutLimits::slow_after`] from `since`, is given up as too slow.
    ///
    /// Cancel-safe. Go on reading your own [`Inbox`] meanwhile: others may wait for you.
    pub async fn room(&self, audience: Audience, since: Instant) {
        let until = since + self.channels.limits.slow_after;
        loop {
            let behind = |it: &&Arc<Queue>| self.is_meant(it, audience) && it.is_behind();
            let Some(queue) = lock(&self.channel.members).iter().find(behind).cloned() else {
                return;
            };
            if timeout_at(until.into(), queue.caught_up()).await.is_err() {
                queue.give_up();
            }
        }
    }

    /// Hands a message to the members of the channel.
    pub fn publish(&self, message: &Message, audience: Audience) {
        // Held until all have it: every member sees one order.
        let members = lock(&self.channel.members);
        for queue in members.iter().filter(|it| self.is_meant(it, audience)) {
            queue.push(message.clone(), self.channels.limits.queue_bytes_max);
        }
    }

    fn is_meant(&self, queue: &Arc<Queue>, audience: Audience) -> bool {
        audience == Audience::All || !Arc::ptr_eq(queue, &self.queue)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut by_name = lock(&self.channels.by_name);
        let mut members = lock(&self.channel.members);
        members.retain(|it| !Arc::ptr_eq(it, &self.queue));
        self.queue.release();
        if members.is_empty() {
            by_name.remove(&self.channel.name);
        }
    }
}

/// What waits for one member.
pub struct Inbox(Arc<Queue>);

/// A member did not take its messages in time; they are thrown away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooSlow;

impl Inbox {
    /// Waits for the next message. Cancel-safe: a message is lost only by being returned.
    ///
    /// # Errors
    /// More than [`FanoutLimits::queue_bytes_max`] waited. Nothing comes any more.
    pub async fn next(&mut self) -> Result<Message, TooSlow> {
        loop {
            match &mut *lock(&self.0.waiting) {
                Waiting::Overflowed => return Err(TooSlow),
                Waiting::Open { messages, bytes, behind } => {
                    if let Some(message) = messages.pop_front() {
                        *bytes -= cost(&message);
                        if behind.is_some_and(|half| *bytes <= half / 2) {
                            *behind = None;
                            self.0.caught_up.notify_waiters();
                        }
                        return Ok(message);
                    }
                }
            }
            self.0.news.notified().await;
        }
    }

    /// Waits until more than [`FanoutLimits::queue_bytes_max`] waited.
    pub async fn overflowed(&self) {
        while !matches!(*lock(&self.0.waiting), Waiting::Overflowed) {
            self.0.news.notified().await;
        }
    }
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    /// One task waits, the owner of the `Inbox`: `notify_one` is kept if it does not yet.
    news: Notify,
    /// Those who have more to say wait.
    caught_up: Notify,
}

enum Waiting {
    Open {
        messages: VecDeque<Message>,
        bytes: usize,
        /// Half the limit, from when it is passed until a quarter is left.
        behind: Option<usize>,
    },
    Overflowed,
}

impl Default for Waiting {
    fn default() -> Self {
        Self::Open { messages: VecDeque::new(), bytes: 0, behind: None }
    }
}

impl Queue {
    fn push(&self, message: Message, bytes_max: usize) {
        let mut waiting = lock(&self.waiting);
        let Waiting::Open { messages, bytes, behind } = &mut *waiting else { return };
        let after = *bytes + cost(&message);
        if after > bytes_max && !messages.is_empty() {
            drop(waiting);
            return self.give_up();
        }
        *bytes = after;
        messages.push_back(message);
        if after > bytes_max / 2 {
            *behind = Some(bytes_max / 2);
        }
        drop(waiting);
        self.news.notify_one();
    }

    fn is_behind(&self) -> bool {
        matches!(*lock(&self.waiting), Waiting::Open { behind: Some(_), .. })
    }

    async fn caught_up(&self) {
        loop {
            // Made before looking, so that nothing in between is missed.
            let caught_up = self.caught_up.notified();
            if !self.is_behind() {
                return;
            }
            caught_up.await;
        }
    }

    /// Lets those go who wait: the member has left.
    fn release(&self) {
        if let Waiting::Open { behind, .. } = &mut *lock(&self.waiting) {
            *behind = None;
        }
        self.caught_up.notify_waiters();
    }

    /// Throws away what waits, for ever.
    fn give_up(&self) {
        *lock(&self.waiting) = Waiting::Overflowed;
        self.news.notify_one();
        self.caught_up.notify_waiters();
    }
}

fn cost(message: &Message) -> usize {
    message.as_bytes().len() + MESSAGE_OVERHEAD
}

/// No code that can panic runs under these locks; were one poisoned, its content would be whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
