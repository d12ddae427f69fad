//! How what is said in a channel reaches its subscribers.

use std::{fmt, ptr};

use crate::{Change, Message, Publication};

/// How publications reach a subscriber.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Delivery {
    /// Encoded once for all subscribers that share the encoding; the conversation never sees them.
    Shared(&'static Encoding),
    /// Handed to the conversation as [`Event::Said`](crate::Event::Said), because it adds something of its own, such as
    /// a packet number.
    Personal,
}

/// A way to write what is said in a channel that is the same for every subscriber.
pub struct Encoding {
    /// Stands in logs and measurements.
    pub name: &'static str,
    /// Writes it; `None` if this dialect says nothing about such a thing.
    pub encode: fn(&Said<'_>) -> Option<Message>,
}

/// What is said in a channel.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Said<'a> {
    /// A publication, to be written whole.
    Publication(&'a Publication),
    /// A publication to a subscriber who has the one before it and takes deltas: [`Publication::delta`] is there.
    Delta(&'a Publication),
    /// Somebody came.
    Joined(&'a Change),
    /// Somebody went.
    Left(&'a Change),
}

impl fmt::Debug for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Encoding {
    fn eq(&self, other: &Self) -> bool {
        ptr::eq(self, other)
    }
}
