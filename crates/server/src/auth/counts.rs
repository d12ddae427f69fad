//! How often tokens were taken and refused.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::refusal::Refusal;

/// What a [`Verifier`](super::Verifier) has said so far. A token that waits for its key counts once, when that is decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuthCounts {
    /// Tokens that were good.
    pub granted: u64,
    /// [`Refusal::Expired`].
    pub expired: u64,
    /// [`Refusal::Invalid`].
    pub invalid: u64,
    /// [`Refusal::Revoked`].
    pub revoked: u64,
    /// [`Refusal::Foreign`].
    pub foreign: u64,
    /// [`Refusal::Unavailable`].
    pub unavailable: u64,
}

impl AuthCounts {
    /// Returns each with its name.
    pub fn fields(&self) -> [(&'static str, u64); 6] {
        [
            ("granted", self.granted),
            ("expired", self.expired),
            ("invalid", self.invalid),
            ("revoked", self.revoked),
            ("foreign", self.foreign),
            ("unavailable", self.unavailable),
        ]
    }
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    granted: AtomicU64,
    expired: AtomicU64,
    invalid: AtomicU64,
    revoked: AtomicU64,
    foreign: AtomicU64,
    unavailable: AtomicU64,
}

impl Counters {
    /// Counts what was decided.
    pub(super) fn count<T>(&self, decided: Result<&T, Refusal>) {
        let counter = match decided {
            Ok(_) => &self.granted,
            Err(Refusal::Expired) => &self.expired,
            Err(Refusal::Invalid(_)) => &self.invalid,
            Err(Refusal::Revoked) => &self.revoked,
            Err(Refusal::Foreign) => &self.foreign,
            Err(Refusal::Unavailable) => &self.unavailable,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(super) fn read(&self) -> AuthCounts {
        AuthCounts {
            granted: self.granted.load(Relaxed),
            expired: self.expired.load(Relaxed),
            invalid: self.invalid.load(Relaxed),
            revoked: self.revoked.load(Relaxed),
            foreign: self.foreign.load(Relaxed),
            unavailable: self.unavailable.load(Relaxed),
        }
    }
}
