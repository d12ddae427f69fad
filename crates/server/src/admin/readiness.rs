//! [`Readiness`]: whether new clients may be sent here.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Whether new clients may be sent here. Clones tell the same.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    goes_away: Arc<AtomicBool>,
}

impl Readiness {
    /// Tells whether the server takes clients.
    pub fn is_ready(&self) -> bool {
        !self.goes_away.load(Ordering::Relaxed)
    }

    /// Says that the server goes away: from now on it is not ready. There is no way back.
    pub fn go_away(&self) {
        self.goes_away.store(true, Ordering::Relaxed);
    }
}
