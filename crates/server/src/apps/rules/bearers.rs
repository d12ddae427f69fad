//! Which session came with which token, so that a revocation finds it.

use std::{
    collections::HashMap,
    future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::SystemTime,
};

use taiwa_core::SessionId;
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::{Inner, seconds};
use crate::auth::{Revocation, Stamp, Verifier};

/// The sessions that came with a token. Its lock is taken when a session comes or goes, never for what it says.
#[derive(Debug)]
pub(super) struct Bearers {
    table: Mutex<Table>,
    sessions_max: AtomicUsize,
}

#[derive(Debug)]
struct Table {
    sessions: HashMap<SessionId, Bearer>,
    left_out: u64,
    /// No bearer's time is over sooner.
    next: u64,
}

#[derive(Debug)]
struct Bearer {
    stamp: Stamp,
    /// Behind it the token is no good anyway, in seconds since 1970.
    until: Option<u64>,
}

impl Bearers {
    pub(super) fn new(sessions_max: usize) -> Self {
        let table = Table { sessions: HashMap::new(), left_out: 0, next: u64::MAX };
        Self { table: Mutex::new(table), sessions_max: sessions_max.into() }
    }

    /// Sets how many are remembered from now on.
    pub(super) fn set_sessions_max(&self, sessions_max: usize) {
        self.sessions_max.store(sessions_max, Relaxed);
    }

    pub(super) fn remember(&self, session: SessionId, stamp: &Stamp, until: Option<u64>, now: u64) {
        let mut table = self.lock();
        let sessions_max = self.sessions_max.load(Relaxed);
        if table.sessions.len() >= sessions_max && !table.sessions.contains_key(&session) {
            table.sweep(now);
            if table.sessions.len() >= sessions_max {
                table.left_out += 1;
                return;
            }
        }
        table.next = table.next.min(until.unwrap_or(u64::MAX));
        table.sessions.insert(session, Bearer { stamp: stamp.clone(), until });
    }

    pub(super) fn forget(&self, session: SessionId) {
        self.lock().sessions.remove(&session);
    }

    pub(super) fn counts(&self) -> (usize, u64) {
        let table = self.lock();
        (table.sessions.len(), table.left_out)
    }

    /// Takes out all sessions that are hit.
    fn take(&self, mut hits: impl FnMut(&Stamp) -> bool) -> Vec<SessionId> {
        let mut table = self.lock();
        let hit = table.sessions.iter().filter(|(_, it)| hits(&it.stamp)).map(|(id, _)| *id);
        let hit: Vec<SessionId> = hit.collect();
        for session in &hit {
            table.sessions.remove(session);
        }
        hit
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Forgets bearers whose time is over; looks at all of them only if there is one.
    fn sweep(&mut self, now: u64) {
        if now < self.next {
            return;
        }
        self.sessions.retain(|_, it| it.until.is_none_or(|until| now < until));
        let untils = self.sessions.values().filter_map(|it| it.until);
        self.next = untils.min().unwrap_or(u64::MAX);
    }
}

/// Tells which sessions must go, because the token that they came with was revoked.
///
/// Whoever asks sends them away as [`Disconnect::Revoked`](taiwa_core::Disconnect::Revoked). Subscriptions that rest on
/// a token of their own end with the session, or when that token expires.
#[derive(Debug)]
pub struct RevokedSessions {
    rules: Arc<Inner>,
    verifier: Verifier,
    events: Receiver<Revocation>,
}

impl RevokedSessions {
    pub(super) fn new(rules: Arc<Inner>, verifier: Verifier) -> Self {
        let events = verifier.revocations().events();
        Self { rules, verifier, events }
    }

    /// Waits for a revocation that hits a session, and returns all sessions that it hits.
    ///
    /// # Cancel safety
    /// Cancel-safe: dropping the future loses no revocation.
    pub async fn next(&mut self) -> Vec<SessionId> {
        loop {
            let bearers = &self.rules.bearers;
            let hit = match self.events.recv().await {
                Ok(revocation) => bearers.take(|it| revocation.hits(it)),
                // Some were missed: each session is asked for by itself.
                Err(RecvError::Lagged(_)) => {
                    let now = seconds(SystemTime::now());
                    bearers.take(|it| self.verifier.revocations().hits(it, now))
                }
                // The verifier, which sends them, is ours.
                Err(RecvError::Closed) => future::pending().await,
            };
            if !hit.is_empty() {
                return hit;
            }
        }
    }
}
