//! A way to a connection: one's own, or one that is shared with others.

use std::task::{Context, Poll};

use super::{Inner, shared::Turn};

/// How a permit, a reader or a writer of parts reaches its connection.
pub(super) enum Line<'a> {
    Own(&'a mut Inner),
    Shared(Turn<'a>),
}

impl Line<'_> {
    /// Polls the connection.
    pub(super) fn poll<R>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Inner, &mut Context<'_>) -> Poll<R>,
    ) -> Poll<R> {
        match self {
            Self::Own(inner) => poll(inner, cx),
            Self::Shared(turn) => turn.poll(cx, poll),
        }
    }

    /// Does something that does not wait, and writes what the kernel takes at once.
    pub(super) fn act<R>(&mut self, act: impl FnOnce(&mut Inner) -> R) -> R {
        match self {
            Self::Own(inner) => {
                let result = act(inner);
                inner.write_some();
                result
            }
            Self::Shared(turn) => turn.act(act),
        }
    }
}
