//! Nodes of a cluster that meet in NATS: publications, histories, presence, sessions, and who is alive.
//!
//! [`connect`] makes a [`Nats`], which is all four traits of [`taiwa_core::Cluster`]. It needs a server with JetStream, from version
//! 2.9 on. What is kept under which names, what each call costs and what happens at each failure stands in the README of this
//! crate.

mod settings;
mod wire;
mod subject;
mod line;
mod streams;
mod lanes;
mod broker;
mod history;
mod claims;
mod presence;
mod roster;
mod sessions;
mod registry;
mod watch;

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use taiwa_core::{Channel, Ears, NodeId, Refusal, Then, User};
use tokio::{runtime::Handle, sync::mpsc, task::AbortHandle};

pub use settings::{Credentials, Error, Settings};

use history::Known;
use lanes::{Job, Key, Lanes, Place, Work};
use line::{Fail, Line};
use presence::Local;
use registry::Living;
use streams::Streams;

/// A node of a cluster that meets in NATS. Made by [`connect`]; its calls come from any thread, and none of them waits.
pub struct Nats {
    inner: Arc<Inner>,
}

impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nats").field("node", &self.inner.node).finish_non_exhaustive()
    }
}

/// Connects to NATS and joins the cluster. Runs on the runtime of its caller from then on, and comes back by itself whenever the
/// connection is lost.
///
/// Not cancel-safe: a future that is dropped may leave a connection that ends by itself.
///
/// # Errors
///
/// If settings make no sense, no server can be reached or lets us in, or it has no JetStream.
pub async fn connect(settings: Settings) -> Result<Arc<Nats>, Error> {
    settings.check()?;
    let (events, heard) = mpsc::unbounded_channel();
    let options = settings.options().await?.event_callback(move |event| {
        // It fails only when nobody wants to know any more.
        let _ = events.send(event);
        std::future::ready(())
    });
    // Its words have addresses in them, but no credentials.
    let client = options
        .connect(settings.servers.clone())
        .await
        .map_err(|it| Error::Connect(it.to_string()))?;
    let line = Line::new(client, settings.deadline)
        .await
        .map_err(|_| Error::Connect("lost at once".into()))?;
    let streams =
        Streams::new(line.clone(), settings.prefix.clone(), settings.files, settings.streams_max);
    let secret = registry::agree(&streams).await.map_err(|fail| match fail {
        Fail::Server(why) => Error::JetStream(why),
        Fail::Nobody => Error::JetStream("the server has none, or this user may not use it".into()),
        _ => Error::JetStream("it did not answer in time".into()),
    })?;
    let inner = Arc::new(Inner {
        node: NodeId(random()),
        runtime: Handle::current(),
        lanes: Lanes::new(settings.queue_max, settings.queue_bytes_max),
        ears: OnceLock::new(),
        known: Mutex::default(),
        hearing: tokio::sync::Mutex::default(),
        patterns: Mutex::default(),
        local: Mutex::default(),
        owed: Mutex::default(),
        living: Mutex::new(Living::default()),
        counts: Counts::default(),
        tasks: Mutex::default(),
        settings,
        line,
        streams,
        secret,
    });
    inner.watch(heard);
    Ok(Arc::new(Nats { inner }))
}

impl Drop for Nats {
    fn drop(&mut self) {
        *lock(&self.inner.patterns) = None;
        for task in lock(&self.inner.tasks).drain(..) {
            task.abort();
        }
        // Channels that are heard hold the connection.
        let inner = self.inner.clone();
        self.inner.runtime.spawn(async move { inner.hearing.lock().await.clear() });
    }
}

/// What all parts share.
pub(crate) struct Inner {
    node: NodeId,
    settings: Settings,
    runtime: Handle,
    line: Arc<Line>,
    streams: Streams,
    secret: [u8; 32],
    lanes: Lanes,
    ears: OnceLock<Arc<dyn Ears>>,
    /// The last message of channels.
    known: Mutex<HashMap<Channel, Known>>,
    /// Channels that are heard.
    hearing: tokio::sync::Mutex<HashMap<Channel, broker::Hearing>>,
    /// The task that hears all channels, if one does.
    patterns: Mutex<Option<broker::Task>>,
    local: Mutex<Local>,
    /// Users whose nodes could not be written.
    owed: Mutex<HashSet<(Channel, User)>>,
    living: Mutex<Living>,
    counts: Counts,
    tasks: Mutex<Vec<AbortHandle>>,
}

/// What happened since the beginning.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) said: AtomicU64,
    pub(crate) messages: AtomicU64,
    pub(crate) heard: AtomicU64,
    pub(crate) conflicts: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) missed: AtomicU64,
}

impl Inner {
    fn known(&self) -> MutexGuard<'_, HashMap<Channel, Known>> {
        lock(&self.known)
    }

    pub(crate) fn count(&self, which: impl Fn(&Counts) -> &AtomicU64) {
        which(&self.counts).fetch_add(1, Ordering::Relaxed);
    }

    /// Lets a call with so many bytes in, if there is a connection and a place in the queue.
    fn admit(&self, bytes: usize) -> Result<Place, Fail> {
        if !self.line.is_up() {
            return Err(Fail::Lost);
        }
        self.lanes.place(bytes).ok_or(Fail::Busy)
    }

    /// Answers a call.
    fn answer<T>(&self, then: Then<T>, result: Result<T, Fail>) {
        then(result.map_err(|fail| self.refuse(&fail)));
    }

    /// Counts and words a failure.
    fn refuse(&self, fail: &Fail) -> Refusal {
        self.count(|it| &it.refused);
        fail.refusal()
    }

    /// Does something when it is the key's turn, unless it had to wait for too long by then.
    fn order<T, F>(
        self: &Arc<Self>,
        key: Key,
        bytes: usize,
        then: Then<T>,
        work: impl FnOnce(Arc<Self>) -> F + Send + 'static,
    ) where
        T: Send + 'static,
        F: Future<Output = Result<T, Fail>> + Send,
    {
        match self.admit(bytes) {
            Err(fail) => self.answer(then, Err(fail)),
            Ok(place) => self.enter(key, Job::Do(self.in_place(place, then, work))),
        }
    }

    /// Makes a call out of what is to be done and where its answer goes. It gives its place back before it is answered.
    fn in_place<T, F>(
        self: &Arc<Self>,
        place: Place,
        then: Then<T>,
        work: impl FnOnce(Arc<Self>) -> F + Send + 'static,
    ) -> Work
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Fail>> + Send,
    {
        let inner = self.clone();
        Box::pin(async move {
            let (made, deadline) = (place.since, inner.settings.deadline);
            let result = match made.elapsed() > deadline {
                true => Err(Fail::Deadline),
                false => line::since(made, deadline, work(inner.clone())).await,
            };
            drop(place);
            inner.answer(then, result);
        })
    }
}

/// A lock whose holder panicked is as good as any: what it guards is whole at every step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Draws a number.
///
/// # Panics
///
/// If the system has no randomness to give: nothing could be named then.
pub(crate) fn random() -> u64 {
    getrandom::u64().expect("the system has randomness")
}

/// Tells the time, in milliseconds.
pub(crate) fn since_1970() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_millis() as u64)
}

/// Its examples are compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
