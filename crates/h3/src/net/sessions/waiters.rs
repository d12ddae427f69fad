//! Who waits for something of a session.

use std::task::{Context, Waker};

/// Past so many all are woken to say again whether they still wait: who gave up waiting does not say so.
const WAITERS_MAX: usize = 128;

/// Those who wait for one thing.
#[derive(Debug, Default)]
pub(super) struct Waiters(Vec<Waker>);

impl Waiters {
    /// Adds who polls, if it is not waiting already.
    pub(super) fn add(&mut self, cx: &Context<'_>) {
        if self.0.iter().any(|it| it.will_wake(cx.waker())) {
            return;
        }
        if self.0.len() >= WAITERS_MAX {
            self.wake();
        }
        self.0.push(cx.waker().clone());
    }

    /// Wakes all.
    pub(super) fn wake(&mut self) {
        self.0.drain(..).for_each(Waker::wake);
    }
}
