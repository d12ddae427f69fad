//! The server's word to all its connections that it goes away.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use tokio::sync::{Notify, futures::OwnedNotified};

/// Says once that the server goes away.
#[derive(Default)]
pub(crate) struct GoingAway {
    said: AtomicBool,
    notify: Arc<Notify>,
}

impl GoingAway {
    /// Says it.
    pub(crate) fn say(&self) {
        self.said.store(true, Ordering::SeqCst);
        self.notify.notify_waiters();
    }

    /// Tells whether it was said.
    pub(crate) fn is_said(&self) -> bool {
        self.said.load(Ordering::SeqCst)
    }

    /// Waits until it is said.
    pub(crate) async fn wait(&self) {
        let mut said = pin!(self.notify.notified());
        let mut woken: Option<Waker> = None;
        poll_fn(|cx| {
            // As with `Ear`: polling takes a lock that all connections share.
            if !self.is_said() && !woken.as_ref().is_some_and(|it| it.will_wake(cx.waker())) {
                woken = Some(cx.waker().clone());
                let _ = said.as_mut().poll(cx);
            }
            if self.is_said() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// One connection's ear for it.
pub(crate) struct Ear {
    mouth: Arc<GoingAway>,
    /// With the waker that it will wake: polling it takes a lock that all connections share, so it is
    /// polled only when the task has changed.
    waiting: Option<(Pin<Box<OwnedNotified>>, Waker)>,
}

impl Ear {
    pub(crate) fn new(mouth: Arc<GoingAway>) -> Self {
        Self { mouth, waiting: None }
    }

    /// Tells whether the server goes away.
    pub(crate) fn has_heard(&self) -> bool {
        self.mouth.is_said()
    }

    /// Tells whether the server goes away; if not, the task is woken when it does.
    pub(crate) fn poll_heard(&mut self, cx: &mut Context<'_>) -> bool {
        if self.mouth.is_said() {
            return true;
        }
        match &mut self.waiting {
            Some((_, waker)) if waker.will_wake(cx.waker()) => return false,
            Some((notified, waker)) => {
                waker.clone_from(cx.waker());
                let _ = notified.as_mut().poll(cx);
            }
            None => {
                let mut notified = Box::pin(Arc::clone(&self.mouth.notify).notified_owned());
                let _ = notified.as_mut().poll(cx);
                self.waiting = Some((notified, cx.waker().clone()));
            }
        }
        // Said since the first look: who registered too late is not woken.
        self.mouth.is_said()
    }
}
