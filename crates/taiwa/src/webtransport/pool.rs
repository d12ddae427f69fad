//! [`Pool`]: connections that sessions of one origin share.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use taiwa_h3::{error::Code, net::Connection, webtransport::Dialect};
use tokio::{
    runtime, sync,
    time::{Instant, sleep_until},
};

use crate::Sharing;

/// How long a new connection may be without its first session.
const BEGIN_WITHIN: Duration = Duration::from_secs(10);

/// Who shares a connection. A connection is driven by a task, which ends with its runtime.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Origin {
    host: String,
    port: u16,
    runtime: runtime::Id,
}

pub(super) struct Pool {
    sharing: Sharing,
    places: Mutex<HashMap<Origin, Arc<Place>>>,
    /// Closed with the client.
    alive: sync::watch::Sender<()>,
}

/// The connections to one origin.
#[derive(Default)]
pub(super) struct Place {
    /// Held by who opens a connection, so that others wait for it instead of opening theirs.
    pub(super) turn: sync::Mutex<()>,
    /// Its server has one session on a connection alone: nobody waits.
    is_alone: AtomicBool,
    connections: Mutex<Vec<Connection>>,
}

impl Pool {
    pub(super) fn new(sharing: Sharing) -> Self {
        Self { sharing, places: Mutex::default(), alive: sync::watch::Sender::default() }
    }

    /// Returns the connections to an origin.
    pub(super) fn place(&self, host: &str, port: u16) -> Arc<Place> {
        let (host, runtime) = (host.to_ascii_lowercase(), runtime::Handle::current().id());
        let mut places = self.places();
        // An origin without a connection is not worth remembering, unless somebody is about to open one.
        places.retain(|_, it| Arc::strong_count(it) > 1 || !it.is_empty());
        Arc::clone(places.entry(Origin { host, port, runtime }).or_default())
    }

    /// Tells how long a connection that is opened now may be without a session; those past the limit not at all.
    pub(super) fn idle_max(&self) -> Duration {
        let count: usize = self.places().values().map(|it| it.live().len()).sum();
        let is_full = count >= self.sharing.connections_max;
        if is_full { Duration::ZERO } else { self.sharing.idle_max }
    }

    /// Returns what ends with the client.
    pub(super) fn alive(&self) -> sync::watch::Receiver<()> {
        self.alive.subscribe()
    }

    fn places(&self) -> MutexGuard<'_, HashMap<Origin, Arc<Place>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Returns the connections that may take one more session.
    pub(super) fn connections(&self) -> Vec<Connection> {
        self.live().clone()
    }

    /// Tells whether it is worth waiting for who opens a connection.
    pub(super) fn takes_turns(&self) -> bool {
        !self.is_alone.load(Relaxed)
    }

    /// Takes a new connection in, if its server takes several sessions on it, and tells whether it does.
    pub(super) fn add(&self, connection: &Connection, dialect: Dialect, sessions_max: u64) -> bool {
        // Draft 02 has no way to say how many: so nobody said that there may be several.
        let is_shared = dialect != Dialect::Draft02 && sessions_max > 1;
        self.is_alone.store(!is_shared, Relaxed);
        if is_shared {
            self.live().push(connection.clone());
        }
        is_shared
    }

    fn has(&self, connection: &Connection) -> bool {
        let id = connection.quic().stable_id();
        self.live().iter().any(|it| it.quic().stable_id() == id)
    }

    /// Takes a connection out.
    pub(super) fn remove(&self, connection: &Connection) {
        let id = connection.quic().stable_id();
        self.live().retain(|it| it.quic().stable_id() != id);
    }

    fn is_empty(&self) -> bool {
        self.live().is_empty()
    }

    fn live(&self) -> MutexGuard<'_, Vec<Connection>> {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.retain(|it| it.quic().close_reason().is_none() && !it.peer_goes_away());
        connections
    }
}

/// Drives a connection, and ends it when it had no session for its time, or the client is gone and the last session has ended.
pub(super) async fn keep(
    connection: Connection,
    driver: impl Future<Output = taiwa_h3::net::Error>,
    place: Arc<Place>,
    idle_max: Duration,
    alive: sync::watch::Receiver<()>,
) {
    let mut driver = pin!(driver);
    tokio::select! {
        _ = &mut driver => {}
        () = idle(&connection, &place, idle_max, alive) => {
            place.remove(&connection);
            connection.close(Code::NO_ERROR, "");
            driver.await;
        }
    }
    place.remove(&connection);
}

/// Waits until a connection has had no session for its time; one that nobody shares has none.
async fn idle(
    connection: &Connection,
    place: &Place,
    idle_max: Duration,
    mut alive: sync::watch::Receiver<()>,
) {
    let mut until = Instant::now() + BEGIN_WITHIN.max(idle_max);
    loop {
        tokio::select! {
            biased;
            () = connection.busy() => {}
            () = sleep_until(until) => return,
            // Nobody can ask for a session any more, or gets one.
            _ = alive.changed() => return,
            () = connection.peer_going_away() => return,
        }
        connection.settled().await;
        let is_shared = place.has(connection);
        until = Instant::now() + if is_shared { idle_max } else { Duration::ZERO };
    }
}
