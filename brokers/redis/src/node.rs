//! One node, as callers see it.

use std::{
    collections::{HashMap, HashSet},
    fmt, io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use redis::{Cmd, Value};
use taiwa_core::{Channel, NodeId, Refusal, Then};
use tokio::sync::mpsc;

use crate::{
    ask::{Ask, Gauge, Pending, unavailable},
    dial::{self, Dialer},
    error::Error,
    keys::Keys,
    mend::{self, Found, Plan},
    reply::{Reply, bytes_of, command},
    said::Broken,
    scripts::{self, Script},
    settings::{Address, Settings},
    work::Work,
};

/// A node of a cluster that meets in Redis: all four of the traits by which nodes meet.
///
/// Dropped without [`leave`](taiwa_core::NodeRegistry::leave) it looks to the others as if it had died.
pub struct Redis {
    pub(crate) shared: Arc<Shared>,
    pub(crate) queue: mpsc::UnboundedSender<Ask>,
}

/// What callers and the task that owns the connections both know.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) node: NodeId,
    pub(crate) secret: [u8; 32],
    pub(crate) keys: Keys,
    pub(crate) gauge: Arc<Gauge>,
    /// Who is alive, this node included, sorted.
    alive: Mutex<Arc<[NodeId]>>,
    /// Channels in which this node keeps members, and perhaps some in which it did.
    pub(crate) present: Mutex<HashSet<Channel>>,
    seed: AtomicU64,
}

/// Connects to a server, or to the cluster of servers that it is one of, and makes a node of what is kept there. The
/// connections live on the runtime that this runs on.
///
/// Cancel-safe: dropped early, it leaves nothing but, perhaps, the secret of the cluster.
///
/// # Errors
///
/// If a setting can't be, or the server can't be reached, says no, or can't be used: see [`Error`]. It is not tried again; once this has
/// succeeded, a lost connection comes back by itself.
pub async fn connect(settings: Settings) -> Result<Arc<Redis>, Error> {
    if let Some(fault) = settings.fault() {
        return Err(Error::Unusable(fault));
    }
    let tls = settings.tls.as_ref().map(dial::tls).transpose()?;
    let (pushes, pushed) = mpsc::unbounded_channel();
    let dialer = Dialer { settings, tls, pushes };
    let settings = &dialer.settings;
    let (seed, about) = dialer.any().await?;
    if about.clustered && about.version < 7 {
        return Err(Error::Unusable("the cluster is too old: it takes Redis 7 or later"));
    }
    if !about.clustered && !settings.others.is_empty() {
        return Err(Error::Unusable(
            "several hosts are servers of one cluster, and this one is of none",
        ));
    }
    let keys = Keys::new(&settings.prefix, settings.database, about.clustered);
    let node = settings.node.unwrap_or(NodeId(random()?));
    let plan = Plan {
        dialer: dialer.clone(),
        keys: keys.clone(),
        secret: None,
        living: vec![],
        have: vec![],
        seeds: vec![seed],
        names: vec![],
        holds: vec![],
        past: HashMap::new(),
        whole: true,
    };
    let found = plan.find().await?;
    let secret = share_secret(&found, &keys, settings.connect_max).await?;
    let shared = Arc::new(Shared {
        node,
        secret,
        keys,
        gauge: Arc::default(),
        alive: Mutex::new([node].into()),
        present: Mutex::default(),
        seed: AtomicU64::new(random()?),
        settings: settings.clone(),
    });
    shared.gauge.up.store(true, Relaxed);
    let (queue, asks) = mpsc::unbounded_channel();
    tokio::spawn(Work::new(shared.clone(), dialer, asks, pushed).run(found));
    Ok(Arc::new(Redis { shared, queue }))
}

fn random() -> Result<u64, Error> {
    getrandom::u64().map_err(|it| Error::Io(io::Error::other(it.to_string())))
}

/// Reads the secret of the cluster, or makes it.
async fn share_secret(found: &Found, keys: &Keys, limit: Duration) -> Result<[u8; 32], Error> {
    let mut ours = [0; 32];
    getrandom::fill(&mut ours).map_err(|it| Error::Io(io::Error::other(it.to_string())))?;
    let key = keys.secret();
    let slot = keys.slot(key.as_bytes());
    let has = |it: &&(u16, u16, Address)| mend::slots(it.0, it.1).any(|it| it == slot);
    let owner = found.ranges.iter().find(has).map(|it| &it.2);
    let owner = found.new.iter().find(|it| Some(&it.address) == owner);
    let owner = owner.ok_or(Error::Unusable("nobody has the slot of the cluster's secret"))?;
    let set = command(&[b"SET", key.as_bytes(), &ours, b"NX"]);
    let get = command(&[b"GET", key.as_bytes()]);
    let answers = owner.asks.exchange(vec![set, get], limit).await?;
    if let Some(why) = answers.iter().find_map(dial::fault) {
        return Err(why);
    }
    let theirs = answers[1].text().and_then(|it| it.try_into().ok());
    theirs.ok_or(Error::Unusable("what is kept as the cluster's secret is none"))
}

impl Shared {
    /// Returns a number that is never 0, the next of splitmix64.
    pub(crate) fn random(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut bits = self.seed.fetch_add(STEP, Relaxed);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)).max(1)
    }

    pub(crate) fn alive(&self) -> Arc<[NodeId]> {
        lock(&self.alive).clone()
    }

    pub(crate) fn set_alive(&self, others: impl Iterator<Item = NodeId>) {
        let mut all: Vec<NodeId> =
            others.filter(|it| *it != self.node).chain([self.node]).collect();
        all.sort();
        *lock(&self.alive) = all.into();
    }

    pub(crate) fn present(&self) -> MutexGuard<'_, HashSet<Channel>> {
        lock(&self.present)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whole values are put in, never halves.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Redis {
    /// Queues a request whose answer is read by `read`, unless it must be refused at once.
    pub(crate) fn ask<T: Send + 'static>(
        &self,
        bytes: usize,
        then: Then<T>,
        read: impl FnOnce(Value) -> Result<T, Broken> + Send + 'static,
        ask: impl FnOnce(Pending) -> Ask,
    ) {
        let answer = move |result: Result<Value, Refusal>| {
            let strange = |_| unavailable("the broker answered something strange");
            then(result.and_then(|it| read(it).map_err(strange)));
        };
        let settings = &self.shared.settings;
        let until = Instant::now() + settings.request_max;
        let limits = (settings.requests_max, settings.request_bytes_max);
        let pending = self.shared.gauge.admit(bytes, until, limits, Box::new(answer));
        if let Some(pending) = pending {
            // What can't be sent comes back in the error, and says no when it is dropped.
            drop(self.queue.send(ask(pending)));
        }
    }

    /// Queues a command for whoever has the slot of a key, or of a channel of Redis.
    pub(crate) fn command<T: Send + 'static>(
        &self,
        key: &str,
        parts: &[&[u8]],
        then: Then<T>,
        read: impl FnOnce(Value) -> Result<T, Broken> + Send + 'static,
    ) {
        self.request(key, command(parts), then, read);
    }

    pub(crate) fn request<T: Send + 'static>(
        &self,
        key: &str,
        command: Cmd,
        then: Then<T>,
        read: impl FnOnce(Value) -> Result<T, Broken> + Send + 'static,
    ) {
        let slot = self.shared.keys.slot(key.as_bytes());
        self.ask(bytes_of(&command), then, read, |it| Ask::Request(slot, command, it));
    }

    /// Queues a script, all of whose keys are in one slot.
    pub(crate) fn script<T: Send + 'static>(
        &self,
        script: Script,
        keys: &[String],
        arguments: &[&[u8]],
        then: Then<T>,
        read: impl FnOnce(Value) -> Result<T, Broken> + Send + 'static,
    ) {
        self.request(&keys[0], scripts::run(script, keys, arguments), then, read);
    }
}

/// Writes a time in milliseconds as the server takes it: not zero, and not so long that its clock would overflow.
pub(crate) fn millis(it: Duration) -> String {
    it.as_millis().clamp(1, 1 << 45).to_string()
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { node, settings, .. } = &*self.shared;
        f.debug_struct("Redis").field("node", node).field("settings", settings).finish()
    }
}
