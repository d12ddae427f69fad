//! The wakers of two tasks that share one connection: one reads, one writes.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    task::{Wake, Waker},
};

/// Wakes a reading task and a writing one.
///
/// A transport remembers one waker for each direction, that of its last poll. But whoever reads also writes
/// (it answers Pings), so the waker of a task that waits to write would be forgotten. As the transport's
/// waker in both directions, this one wakes either task.
#[derive(Default)]
pub(crate) struct TwoTasks {
    reader: Mutex<Option<Waker>>,
    writer: Mutex<Option<Waker>>,
}

impl TwoTasks {
    /// Remembers the task that polls to read.
    pub(crate) fn reads(&self, waker: &Waker) {
        set(&self.reader, waker);
    }

    /// Remembers the task that polls to write.
    pub(crate) fn writes(&self, waker: &Waker) {
        set(&self.writer, waker);
    }

    /// Tells whether a task other than this one waits to read.
    pub(crate) fn is_read_by_another(&self, waker: &Waker) -> bool {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        reader.as_ref().is_some_and(|it| !it.will_wake(waker))
    }
}

fn set(slot: &Mutex<Option<Waker>>, waker: &Waker) {
    let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
    match &mut *slot {
        Some(known) => known.clone_from(waker),
        empty => *empty = Some(waker.clone()),
    }
}

impl Wake for TwoTasks {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        for slot in [&self.reader, &self.writer] {
            let waker = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
            // Outside of the lock: whoever is woken may poll at once.
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

impl fmt::Debug for TwoTasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TwoTasks").finish_non_exhaustive()
    }
}
