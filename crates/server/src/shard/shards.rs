//! [`Shards`]: the threads, from start to end.

use std::{
    any::Any,
    fmt, io,
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use mio::{Poll, Waker};
use tokio::sync::watch;

use super::{
    Above, Post,
    post::{Inbound, Inbox},
    turn::{Company, Shard, WAKER},
};

/// How many shards there are and what they may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How many shards there are. Default: as many as this process may use processors.
    pub shards: NonZeroUsize,
    /// Letters that may wait for one shard. Default 65,536: at the rate at which a busy shard takes them, a tenth of a
    /// second. Past it [`Post::try_send`] gives the letter back.
    pub letters_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        let shards = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self { shards, letters_max: 1 << 16 }
    }
}

/// The shards of a server.
///
/// A panic in one of them, a bug, would leave channels without their owner: it is logged and ends all, and
/// [`ended`](Self::ended) and [`shut_down`](Self::shut_down) tell of it. A server should then end, to be started anew.
///
/// Dropped, it drops all connections and waits for the threads, which takes as long as the turn they are in.
pub struct Shards<A: Above> {
    posts: Arc<[Post<A>]>,
    threads: Vec<JoinHandle<()>>,
    next: AtomicUsize,
    ended: watch::Receiver<Ended>,
}

/// How far the threads are.
#[derive(Clone, Debug, Default)]
struct Ended {
    threads: usize,
    failure: Option<ShardFailure>,
}

/// Why a shard ended that was not told to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardFailure {
    /// Its number.
    pub shard: usize,
    /// What the panic, or the operating system, said.
    pub what: String,
}

impl fmt::Display for ShardFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shard {} failed: {}", self.shard, self.what)
    }
}

impl std::error::Error for ShardFailure {}

impl<A: Above> Shards<A> {
    /// Starts the threads. `above` is called once on each, with its number and the posts of all, its own too.
    ///
    /// # Errors
    /// If the system has no thread, no epoll or no eventfd left. None is running then.
    pub fn start(
        settings: &Settings,
        above: impl Fn(usize, Arc<[Post<A>]>) -> A + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let mut ends = Vec::new();
        let posts: Arc<[Post<A>]> = (0..settings.shards.get())
            .map(|_| {
                let poll = Poll::new()?;
                let waker = Waker::new(poll.registry(), WAKER)?;
                let (post, inbox) = Post::new(waker, settings.letters_max);
                ends.push((poll, inbox));
                Ok(post)
            })
            .collect::<io::Result<_>>()?;
        let company = Arc::new(Company {
            occupied: AtomicUsize::new(posts.len()),
            wake_all: Box::new({
                let posts = Arc::clone(&posts);
                move || posts.iter().for_each(|it| drop(it.put(Inbound::Look)))
            }),
        });
        let (telling, ended) = watch::channel(Ended::default());
        let (above, telling) = (Arc::new(above), Arc::new(telling));
        let mut shards = Self { posts, threads: Vec::new(), next: AtomicUsize::new(0), ended };
        for (index, (poll, inbox)) in ends.into_iter().enumerate() {
            let (above, posts) = (Arc::clone(&above), Arc::clone(&shards.posts));
            let (company, telling) = (Arc::clone(&company), Arc::clone(&telling));
            let thread =
                thread::Builder::new().name(format!("shard {index}")).spawn(move || {
                    let all = Arc::clone(&posts);
                    let failure = run(index, || above(index, posts), poll, inbox, &company);
                    if let Some(failure) = &failure {
                        tracing::error!("{failure}; all shards end");
                        all.iter().for_each(|it| drop(it.put(Inbound::Stop)));
                    }
                    telling.send_modify(|it| {
                        it.threads += 1;
                        it.failure = it.failure.take().or(failure);
                    });
                })?;
            shards.threads.push(thread);
        }
        Ok(shards)
    }

    /// Borrows the ways to all shards.
    pub fn posts(&self) -> &Arc<[Post<A>]> {
        &self.posts
    }

    /// Returns the shard whose turn it is to get a connection.
    pub fn assign(&self) -> &Post<A> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        &self.posts[turn % self.posts.len()]
    }

    /// Waits until all shards have ended.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// [`ShardFailure`] if one of them was not told to.
    pub async fn ended(&self) -> Result<(), ShardFailure> {
        let mut ended = self.ended.clone();
        let all = self.posts.len();
        // Without a sender all threads have told how they ended.
        let _ = ended.wait_for(|it| it.threads == all).await;
        let failure = ended.borrow().failure.clone();
        failure.map_or(Ok(()), Err)
    }

    /// Says goodbye to all lines ([`Above::farewell`]), and waits until all have ended, but not longer than `within`: what
    /// is left then is dropped. New lines are said goodbye to at once; letters are taken to the end.
    ///
    /// Cancel-safe: the shards end all the same, unless this is dropped, too.
    ///
    /// # Errors
    /// As [`ended`](Self::ended).
    pub async fn shut_down(&self, within: Duration) -> Result<(), ShardFailure> {
        let until = Instant::now() + within;
        self.posts.iter().for_each(|it| drop(it.put(Inbound::ShutDown(until))));
        self.ended().await
    }
}

impl<A: Above> Drop for Shards<A> {
    fn drop(&mut self) {
        self.posts.iter().for_each(|it| drop(it.put(Inbound::Stop)));
        for thread in self.threads.drain(..) {
            // A panic was caught, logged and told.
            let _ = thread.join();
        }
    }
}

impl<A: Above> fmt::Debug for Shards<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shards").field("posts", &self.posts).finish_non_exhaustive()
    }
}

fn run<A: Above>(
    index: usize,
    above: impl FnOnce() -> A,
    poll: Poll,
    inbox: Inbox<A>,
    company: &Arc<Company>,
) -> Option<ShardFailure> {
    // Nothing of it is looked at after a panic: all is dropped.
    let ran =
        catch_unwind(AssertUnwindSafe(|| Shard::new(index, above(), poll, inbox)?.run(company)));
    let what = match ran {
        Ok(Ok(())) => return None,
        Ok(Err(error)) => error.to_string(),
        Err(panic) => format!("panicked: {}", panic_text(&*panic)),
    };
    Some(ShardFailure { shard: index, what })
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("?").to_owned()
}
