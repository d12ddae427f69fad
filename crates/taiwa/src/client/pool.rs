//! [`Pool`]: what a client knows of origins, and the connections to them that its WebSockets share.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::{runtime, sync, time::Instant};

use super::{
    dial::Place,
    h2,
    h3::{self, Alternative, Alternatives, Choice, Offer},
    redirect::{Hop, Standing},
    sharing::Sharing,
    version::VersionReason,
};

/// Who shares a connection. The proxy is the client's, and the same for one origin.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Origin {
    is_tls: bool,
    host: String,
    port: u16,
    socket: Option<PathBuf>,
    /// Strangers are met with other settings of TLS.
    standing: Standing,
    /// A connection is driven by a task, which ends with its runtime.
    runtime: runtime::Id,
}

impl Origin {
    fn of(hop: &Hop) -> Self {
        let place = Place::of(&hop.uri);
        Self {
            is_tls: place.is_tls,
            host: place.host.to_ascii_lowercase(),
            port: place.port,
            socket: hop.socket.clone(),
            standing: hop.standing,
            runtime: runtime::Handle::current().id(),
        }
    }
}

pub(super) struct Pool {
    sharing: Sharing,
    told: Vec<Told>,
    origins: Mutex<HashMap<Origin, Arc<Known>>>,
}

/// What the caller knows of an origin's alternatives.
#[derive(Clone)]
pub(super) struct Told {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) offers: Vec<Offer>,
    pub(super) since: Instant,
}

/// What is known of one origin.
pub(super) struct Known {
    /// Held by who opens a connection, so that others wait for it instead of opening theirs.
    pub(super) turn: sync::Mutex<()>,
    facts: Mutex<Facts>,
}

struct Facts {
    http2: Vec<h2::Connection>,
    http3: Vec<h3::Connection>,
    alternatives: Alternatives,
    /// HTTP/3 is being tried; until when others wait for that.
    attempt: Option<Instant>,
    /// Until when WebSockets are opened over HTTP/1.1, and why.
    http1: Option<(Instant, VersionReason)>,
    used: Instant,
}

impl Pool {
    pub(super) fn new(sharing: Sharing, told: Vec<Told>) -> Self {
        Self { sharing, told, origins: Mutex::default() }
    }

    pub(super) fn sharing(&self) -> &Sharing {
        &self.sharing
    }

    /// Returns what is known of the origin of a hop.
    pub(super) fn known(&self, hop: &Hop) -> Arc<Known> {
        let origin = Origin::of(hop);
        let mut origins = self.origins();
        if let Some(known) = origins.get(&origin) {
            known.facts().used = Instant::now();
            return Arc::clone(known);
        }
        while origins.len() >= self.sharing.origins_max.max(1) {
            let oldest = origins.iter().min_by_key(|(_, it)| it.facts().used);
            let Some(oldest) = oldest.map(|(origin, _)| origin.clone()) else { break };
            // Its connections stay as long as they carry something.
            origins.remove(&oldest);
        }
        let facts = Facts {
            http2: Vec::new(),
            http3: Vec::new(),
            alternatives: self.told(&origin),
            attempt: None,
            http1: None,
            used: Instant::now(),
        };
        let known = Arc::new(Known { turn: sync::Mutex::default(), facts: Mutex::new(facts) });
        origins.insert(origin, Arc::clone(&known));
        known
    }

    /// Returns the alternatives of an origin of which the caller told.
    fn told(&self, origin: &Origin) -> Alternatives {
        let mut alternatives = Alternatives::default();
        let is_it = |it: &&Told| it.host == origin.host && it.port == origin.port;
        if let Some(told) = self.told.iter().rfind(is_it).filter(|_| origin.is_tls) {
            alternatives.learn(told.offers.clone(), self.sharing.alternatives_max, told.since);
        }
        alternatives
    }

    /// Forgets what held in a network that the machine has left.
    pub(super) fn leave_network(&self) {
        self.origins().values().for_each(|it| it.facts().alternatives.leave_network());
    }

    /// Tells how long a connection that is opened now may be without a stream.
    pub(super) fn idle_max(&self) -> Duration {
        let count: usize = self.origins().values().map(|it| it.connections()).sum();
        if count < self.sharing.connections_max { self.sharing.idle_max } else { Duration::ZERO }
    }

    fn origins(&self) -> MutexGuard<'_, HashMap<Origin, Arc<Known>>> {
        self.origins.lock().unwrap_or_else(|it| it.into_inner())
    }
}

impl Known {
    /// Takes a place on a connection of HTTP/2 that is open.
    pub(super) fn lease_http2(&self) -> Option<h2::Lease> {
        let mut facts = self.facts();
        facts.http2.retain(|it| !it.is_retired());
        facts.http2.iter().find_map(h2::Connection::lease)
    }

    /// Takes a place on a connection of HTTP/3 that is open.
    pub(super) fn lease_http3(&self) -> Option<h3::Lease> {
        let mut facts = self.facts();
        facts.http3.retain(|it| !it.is_retired());
        facts.http3.iter().find_map(h3::Connection::lease)
    }

    pub(super) fn add_http2(&self, connection: h2::Connection) {
        self.facts().http2.push(connection);
    }

    pub(super) fn add_http3(&self, connection: h3::Connection) {
        self.facts().http3.push(connection);
    }

    /// Has no more WebSockets carried to a place.
    pub(super) fn retire_http3(&self, at: &Alternative) {
        let facts = self.facts();
        let there = facts.http3.iter().filter(|it| it.alternative() == Some(at));
        there.for_each(h3::Connection::retire);
    }

    /// Keeps what a response said of HTTP/3.
    pub(super) fn learn(&self, offers: Vec<Offer>, max: usize) {
        self.facts().alternatives.learn(offers, max, Instant::now());
    }

    /// Returns whether HTTP/3 is worth a try; `None` while somebody tries it, for the time in which that is waited for.
    pub(super) fn http3(&self) -> Option<Choice> {
        let (mut facts, now) = (self.facts(), Instant::now());
        match facts.attempt {
            Some(until) if now < until => None,
            // It goes on behind the scenes.
            Some(_) => Some(Choice::Nothing),
            None => Some(facts.alternatives.choose(now)),
        }
    }

    /// Takes note that HTTP/3 is tried; others wait for so long.
    pub(super) fn attempt(self: &Arc<Self>, head_start: Duration) -> Attempting {
        self.facts().attempt = Instant::now().checked_add(head_start);
        Attempting(Arc::clone(self))
    }

    pub(super) fn miss(&self, at: &Alternative, within: Duration) {
        self.facts().alternatives.miss(at, within, Instant::now());
    }

    /// Returns why WebSockets are opened over HTTP/1.1, if that is remembered.
    pub(super) fn wants_http1(&self) -> Option<VersionReason> {
        self.facts().http1.filter(|(until, _)| Instant::now() < *until).map(|(_, reason)| reason)
    }

    pub(super) fn remember_http1(&self, within: Duration, reason: VersionReason) {
        self.facts().http1 = Instant::now().checked_add(within).map(|until| (until, reason));
    }

    fn connections(&self) -> usize {
        let facts = self.facts();
        let http2 = facts.http2.iter().filter(|it| !it.is_retired()).count();
        http2 + facts.http3.iter().filter(|it| !it.is_retired()).count()
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(|it| it.into_inner())
    }
}

/// Somebody tries HTTP/3, until it is dropped.
pub(super) struct Attempting(Arc<Known>);

impl Drop for Attempting {
    fn drop(&mut self) {
        self.0.facts().attempt = None;
    }
}
