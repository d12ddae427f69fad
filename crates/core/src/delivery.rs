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
    /// Writes it; [`Messages::None`] if this dialect says nothing about such a thing.
    pub encode: fn(&Said<'_>) -> Messages,
}

/// What one thing said becomes on the wire.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Messages {
    /// Nothing.
    #[default]
    None,
    /// One message.
    One(Message),
    /// Several that belong together, such as a text and its binary attachments: they are sent one behind the other, or
    /// none of them.
    Several(Box<[Message]>),
}

impl Messages {
    /// Returns them in order.
    pub fn as_slice(&self) -> &[Message] {
        match self {
            Self::None => &[],
            Self::One(one) => std::slice::from_ref(one),
            Self::Several(all) => all,
        }
    }

    /// Returns how many bytes they have together.
    pub fn len(&self) -> usize {
        self.as_slice().iter().map(|it| it.as_bytes().len()).sum()
    }

    /// Tells whether there are none.
    pub fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }
}

impl From<Message> for Messages {
    fn from(one: Message) -> Self {
        Self::One(one)
    }
}

impl From<Option<Message>> for Messages {
    fn from(one: Option<Message>) -> Self {
        one.map_or(Self::None, Self::One)
    }
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
