//! The fan-out inside one process: who is in a channel, and handing a message to all of them.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use taiwa::Message;
use tokio::sync::Notify;

/// What one message costs its queue beside its payload, so that a million empty ones cost something.
const MESSAGE_OVERHEAD: usize = 64;

/// Bounds of everything in a [`Fanout`] that can grow. Each has one consequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FanoutLimits {
    /// Bytes that wait for one member, 64 more for each message. Default 1 MiB. Past it the queue
    /// is thrown away and the member is closed with 1013 `slow reader`; one message larger than
    /// the limit is accepted when nothing else waits.
    pub queue_bytes_max: usize,
    /// Channels at the same time. Default 10,000. Past it: status 503.
    pub channels_max: usize,
    /// Bytes of a channel's name. Default 256. Past it: status 414.
    pub channel_name_bytes_max: usize,
}

impl Default for FanoutLimits {
    fn default() -> Self {
        Self { queue_bytes_max: 1 << 20, channels_max: 10_000, channel_name_bytes_max: 256 }
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

/// A place in a channel.
pub struct Member {
    channels: Arc<Channels>,
    channel: Arc<Channel>,
    queue: Arc<Queue>,
}

impl Member {
    /// Hands a message to every other member of the channel.
    pub fn publish_to_others(&self, message: &Message) {
        self.publish(message, Some(&self.queue));
    }

    /// Hands a message to every member of the channel, this one too.
    pub fn publish_to_all(&self, message: &Message) {
        self.publish(message, None);
    }

    fn publish(&self, message: &Message, except: Option<&Arc<Queue>>) {
        // Held until all have it: every member sees one order.
        let members = lock(&self.channel.members);
        for queue in members.iter() {
            if except.is_none_or(|it| !Arc::ptr_eq(it, queue)) {
                queue.push(message.clone(), self.channels.limits.queue_bytes_max);
            }
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut by_name = lock(&self.channels.by_name);
        let mut members = lock(&self.channel.members);
        members.retain(|it| !Arc::ptr_eq(it, &self.queue));
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
                Waiting::Open { messages, bytes } => {
                    if let Some(message) = messages.pop_front() {
                        *bytes -= cost(&message);
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
}

enum Waiting {
    Open { messages: VecDeque<Message>, bytes: usize },
    Overflowed,
}

impl Default for Waiting {
    fn default() -> Self {
        Self::Open { messages: VecDeque::new(), bytes: 0 }
    }
}

impl Queue {
    fn push(&self, message: Message, bytes_max: usize) {
        let mut waiting = lock(&self.waiting);
        let Waiting::Open { messages, bytes } = &mut *waiting else { return };
        let after = *bytes + cost(&message);
        if after > bytes_max && !messages.is_empty() {
            *waiting = Waiting::Overflowed;
        } else {
            *bytes = after;
            messages.push_back(message);
        }
        drop(waiting);
        self.news.notify_one();
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
mod tests {
    use std::{future::Future, pin::pin, task::Poll};

    use super::*;

    fn small(queue_bytes_max: usize) -> Fanout {
        Fanout::new(FanoutLimits { queue_bytes_max, channels_max: 2, channel_name_bytes_max: 8 })
    }

    /// What waits now, each as text; `Err` when the member was too slow.
    fn drain(inbox: &mut Inbox) -> Result<Vec<String>, TooSlow> {
        let mut texts = Vec::new();
        let waker = std::task::Waker::noop();
        loop {
            let polled = pin!(inbox.next()).poll(&mut std::task::Context::from_waker(waker));
            match polled {
                Poll::Ready(Ok(message)) => texts.push(message.as_text().unwrap().to_owned()),
                Poll::Ready(Err(TooSlow)) => return Err(TooSlow),
                Poll::Pending => return Ok(texts),
            }
        }
    }

    #[test]
    fn others_receive_what_one_publishes() {
        let fanout = Fanout::default();
        let (a, mut at_a) = fanout.join("/x").unwrap();
        let (b, mut at_b) = fanout.join("/x").unwrap();
        let (_c, mut at_c) = fanout.join("/y").unwrap();
        a.publish_to_others(&"1".into());
        b.publish_to_others(&"2".into());
        a.publish_to_all(&"3".into());
        assert_eq!(drain(&mut at_a).unwrap(), ["2", "3"]);
        assert_eq!(drain(&mut at_b).unwrap(), ["1", "3"]);
        assert_eq!(drain(&mut at_c).unwrap(), [""; 0]);
    }

    #[test]
    fn channels_die_with_their_last_member() {
        let fanout = Fanout::default();
        let (a, _at_a) = fanout.join("/x").unwrap();
        let (b, _at_b) = fanout.join("/x").unwrap();
        assert_eq!(fanout.channels(), [("/x".into(), 2)]);
        drop(a);
        assert_eq!(fanout.channels(), [("/x".into(), 1)]);
        drop(b);
        assert_eq!(fanout.channels(), []);
    }

    #[test]
    fn a_member_that_left_receives_nothing() {
        let fanout = Fanout::default();
        let (a, mut at_a) = fanout.join("/x").unwrap();
        let (b, _at_b) = fanout.join("/x").unwrap();
        drop(a);
        b.publish_to_all(&"late".into());
        assert_eq!(drain(&mut at_a).unwrap(), [""; 0]);
    }

    #[test]
    fn a_slow_member_is_told_and_its_queue_thrown_away_while_others_go_on() {
        let fanout = small(200);
        let (a, _at_a) = fanout.join("/x").unwrap();
        let (_b, mut slow) = fanout.join("/x").unwrap();
        let (_c, mut quick) = fanout.join("/x").unwrap();
        for n in 0..10 {
            a.publish_to_others(&"0123456789".into());
            assert_eq!(drain(&mut quick).unwrap().len(), 1, "message {n}");
        }
        assert_eq!(drain(&mut slow), Err(TooSlow));
        assert!(matches!(*lock(&slow.0.waiting), Waiting::Overflowed));
    }

    #[test]
    fn one_message_over_the_limit_fits_an_empty_queue() {
        let fanout = small(100);
        let (a, _at_a) = fanout.join("/x").unwrap();
        let (_b, mut at_b) = fanout.join("/x").unwrap();
        a.publish_to_others(&"x".repeat(1000).into());
        assert_eq!(drain(&mut at_b).unwrap(), ["x".repeat(1000)]);
        a.publish_to_others(&"x".repeat(1000).into());
        a.publish_to_others(&"".into());
        assert_eq!(drain(&mut at_b), Err(TooSlow));
    }

    #[test]
    fn empty_messages_fill_a_queue_too() {
        let fanout = small(10 * MESSAGE_OVERHEAD);
        let (a, _at_a) = fanout.join("/x").unwrap();
        let (_b, mut at_b) = fanout.join("/x").unwrap();
        (0..10).for_each(|_| a.publish_to_others(&"".into()));
        assert_eq!(drain(&mut at_b).unwrap().len(), 10);
        (0..11).for_each(|_| a.publish_to_others(&"".into()));
        assert_eq!(drain(&mut at_b), Err(TooSlow));
    }

    #[test]
    fn too_many_channels_and_too_long_names_are_refused() {
        let fanout = small(100);
        assert_eq!(fanout.join("/12345678").err(), Some(Refusal::NameTooLong));
        let _x = fanout.join("/x").unwrap();
        let y = fanout.join("/y").unwrap();
        assert_eq!(fanout.join("/z").err(), Some(Refusal::TooManyChannels));
        assert!(fanout.join("/x").is_ok());
        drop(y);
        assert!(fanout.join("/z").is_ok());
    }

    #[tokio::test]
    async fn a_waiting_member_wakes_up() {
        let fanout = small(100);
        let (a, _at_a) = fanout.join("/x").unwrap();
        let (_b, mut at_b) = fanout.join("/x").unwrap();
        let waiting = tokio::spawn(async move { at_b.next().await.map(Message::into_bytes) });
        tokio::task::yield_now().await;
        a.publish_to_others(&"hello".into());
        assert_eq!(waiting.await.unwrap().unwrap(), "hello");
    }
}
