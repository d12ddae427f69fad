//! Tokens that are no good any more before their time.

use std::{
    collections::HashMap,
    error::Error,
    fmt,
    sync::{
        PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use tokio::sync::broadcast;

use super::{grant::Stamp, settings::AuthLimits};

/// What has been revoked. It lives in memory: it ends with the process, and another node does not know of it.
///
/// A session that is being opened while its token is revoked may miss the event. Whoever registers a session asks
/// [`Revocations::hits`] once more afterwards.
#[derive(Debug)]
pub struct Revocations {
    tables: RwLock<Tables>,
    tokens_max: AtomicUsize,
    users_max: AtomicUsize,
    bytes_max: usize,
    events: broadcast::Sender<Revocation>,
}

#[derive(Debug, Default)]
struct Tables {
    tokens: Table<()>,
    users: Table<u64>,
}

/// What is revoked, and until when that must be remembered, in seconds since 1970.
#[derive(Debug)]
struct Table<T> {
    entries: HashMap<Box<str>, (T, Option<u64>)>,
    /// No entry can be forgotten sooner.
    next: u64,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { entries: HashMap::new(), next: u64::MAX }
    }
}

/// Something that was revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// The token with this `jti`.
    Token {
        /// Its `jti`.
        id: String,
    },
    /// The older tokens of a user.
    User {
        /// Their `sub`.
        user: String,
        /// Those whose `iat` is less, in seconds since 1970, and those without `iat`.
        issued_before: u64,
    },
}

impl Revocation {
    /// Returns whether it is about a token.
    pub fn hits(&self, stamp: &Stamp) -> bool {
        match self {
            Self::Token { id } => stamp.id.as_deref() == Some(id),
            Self::User { user, issued_before } => {
                stamp.user == *user && is_older(stamp, *issued_before)
            }
        }
    }
}

/// A token that does not say when it was issued can't show that it is newer.
fn is_older(stamp: &Stamp, issued_before: u64) -> bool {
    stamp.issued_at.is_none_or(|issued_at| issued_at < issued_before)
}

/// Why something is not revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevocationError {
    /// [`AuthLimits::revoked_tokens_max`] or [`AuthLimits::revoked_users_max`] is reached.
    Full,
    /// The `jti` or user is longer than [`AuthLimits::revoked_bytes_max`].
    TooLong,
}

impl fmt::Display for RevocationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "not revoked: no more can be remembered",
            Self::TooLong => "not revoked: it is too long to be remembered",
        })
    }
}

impl Error for RevocationError {}

impl Revocations {
    pub(super) fn new(limits: &AuthLimits) -> Self {
        Self {
            tables: RwLock::default(),
            tokens_max: limits.revoked_tokens_max.into(),
            users_max: limits.revoked_users_max.into(),
            bytes_max: limits.revoked_bytes_max,
            events: broadcast::Sender::new(limits.revocation_events_max.clamp(1, 1 << 20)),
        }
    }

    /// Sets how many may be remembered from now on. What is remembered stays, also if it is more.
    pub(super) fn set_limits(&self, limits: &AuthLimits) {
        self.tokens_max.store(limits.revoked_tokens_max, Relaxed);
        self.users_max.store(limits.revoked_users_max, Relaxed);
    }

    /// Revokes the token with a `jti`. `until` is its `exp` with the leeway, in seconds since 1970, when it is no good
    /// anyway and is forgotten here; `None` if that is not known: it is then remembered to the end of the process.
    /// `now` is the time, in the same seconds.
    ///
    /// # Errors
    /// See [`RevocationError`]. Nothing is revoked then.
    pub fn revoke_token(
        &self,
        id: &str,
        until: Option<u64>,
        now: u64,
    ) -> Result<(), RevocationError> {
        self.fits(id)?;
        self.write().tokens.put(id, (), until, now, self.tokens_max.load(Relaxed))?;
        self.tell(Revocation::Token { id: id.to_owned() });
        Ok(())
    }

    /// Revokes all tokens of a user whose `iat` is less than `issued_before`, and those without `iat`. An `iat` has
    /// whole seconds: with the time of now, a token of this very second remains good. `until` is when the last of them
    /// expires, as in [`Revocations::revoke_token`]. An earlier `issued_before` than one before changes nothing.
    ///
    /// # Errors
    /// See [`RevocationError`]. Nothing is revoked then.
    pub fn revoke_user(
        &self,
        user: &str,
        issued_before: u64,
        until: Option<u64>,
        now: u64,
    ) -> Result<(), RevocationError> {
        self.fits(user)?;
        {
            let mut tables = self.write();
            let before = tables.users.live(user, now).map_or(0, |(before, _)| *before);
            let later = before.max(issued_before);
            tables.users.put(user, later, until, now, self.users_max.load(Relaxed))?;
        }
        self.tell(Revocation::User { user: user.to_owned(), issued_before });
        Ok(())
    }

    /// Returns whether a token has been revoked. `now` is in seconds since 1970.
    pub fn hits(&self, stamp: &Stamp, now: u64) -> bool {
        let tables = self.read();
        let token = stamp.id.as_deref().is_some_and(|id| tables.tokens.live(id, now).is_some());
        let user = tables.users.live(&stamp.user, now);
        token || user.is_some_and(|(before, _)| is_older(stamp, *before))
    }

    /// Hands out what is revoked from now on, for whoever holds sessions to end those that it hits. A receiver that is
    /// too far behind gets `RecvError::Lagged` and must then ask [`Revocations::hits`] for each of its sessions.
    pub fn events(&self) -> broadcast::Receiver<Revocation> {
        self.events.subscribe()
    }

    /// Returns how many tokens and how many users are in the tables, those included that have expired unnoticed.
    pub fn len(&self) -> (usize, usize) {
        let tables = self.read();
        (tables.tokens.entries.len(), tables.users.entries.len())
    }

    fn fits(&self, name: &str) -> Result<(), RevocationError> {
        match name.len() > self.bytes_max {
            true => Err(RevocationError::TooLong),
            false => Ok(()),
        }
    }

    fn tell(&self, revocation: Revocation) {
        // Without receivers there are no sessions.
        let _ = self.events.send(revocation);
    }

    fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Tables> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Table<T> {
    fn live(&self, name: &str, now: u64) -> Option<&(T, Option<u64>)> {
        self.entries.get(name).filter(|(_, until)| until.is_none_or(|until| now < until))
    }

    fn put(
        &mut self,
        name: &str,
        what: T,
        until: Option<u64>,
        now: u64,
        entries_max: usize,
    ) -> Result<(), RevocationError> {
        // What was to be remembered for longer is.
        let until = match self.live(name, now) {
            Some((_, before)) => before.zip(until).map(|(before, until)| before.max(until)),
            None => until,
        };
        if self.entries.len() >= entries_max && !self.entries.contains_key(name) {
            self.forget(now);
            if self.entries.len() >= entries_max {
                return Err(RevocationError::Full);
            }
        }
        self.next = self.next.min(until.unwrap_or(u64::MAX));
        self.entries.insert(name.into(), (what, until));
        Ok(())
    }

    /// Looks at all entries only if there is one to forget.
    fn forget(&mut self, now: u64) {
        if now < self.next {
            return;
        }
        self.entries.retain(|_, (_, until)| until.is_none_or(|until| now < until));
        let next = self.entries.values().filter_map(|(_, until)| *until).min();
        self.next = next.unwrap_or(u64::MAX);
    }
}

#[cfg(test)]
mod tests;
