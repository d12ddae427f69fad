//! Who is woken when there is more to know of a connection. Everybody at once: they are few, and look again.

use std::{
    cell::{Cell, RefCell},
    task::{Context, Waker},
};

/// Somebody who waits. A task that lost interest stays noted until the same one waits again, so each place in
/// the code that may wait has one of its own, or a [`Turn`] that forgets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiter(u64);

impl Waiter {
    pub(super) const READER: Self = Self(0);
    pub(super) const WRITER: Self = Self(1);
}

/// All who wait, each with the task that asked last.
pub(super) struct Waiting {
    wakers: RefCell<Vec<(Waiter, Waker)>>,
    next: Cell<u64>,
}

impl Default for Waiting {
    fn default() -> Self {
        Self { wakers: RefCell::default(), next: Cell::new(2) }
    }
}

impl Waiting {
    /// Makes a waiter that nobody else is.
    pub(super) fn waiter(&self) -> Waiter {
        let id = self.next.get();
        self.next.set(id + 1);
        Waiter(id)
    }

    /// Makes a waiter that is forgotten when it is dropped.
    pub(super) fn turn(&self) -> Turn<'_> {
        Turn { waiting: self, waiter: self.waiter() }
    }

    pub(super) fn note(&self, waiter: Waiter, cx: &Context<'_>) {
        let mut wakers = self.wakers.borrow_mut();
        match wakers.iter_mut().find(|it| it.0 == waiter) {
            Some((_, waker)) => waker.clone_from(cx.waker()),
            None => wakers.push((waiter, cx.waker().clone())),
        }
    }

    pub(super) fn forget(&self, waiter: Waiter) {
        self.wakers.borrow_mut().retain(|it| it.0 != waiter);
    }

    pub(super) fn wake(&self) {
        let wakers = self.wakers.take();
        wakers.into_iter().for_each(|(_, waker)| waker.wake());
    }
}

/// A waiter for as long as one call waits.
pub(super) struct Turn<'a> {
    waiting: &'a Waiting,
    pub(super) waiter: Waiter,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.waiting.forget(self.waiter);
    }
}
