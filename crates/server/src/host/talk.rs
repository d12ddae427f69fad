//! One conversation with all that belongs to it.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::{Bytes, BytesMut};
use taiwa_core::{Conversation, Exchange, Line, Message};
use taiwa_hub::{Seat, slab::Key, wheel::Alarm};
use tokio::sync::{mpsc, oneshot};

use super::{exchange::Answered, visit::Visit};
use crate::shard::Key as LineKey;

/// Names a conversation of one shard.
pub(crate) type TalkKey = Key;

pub(super) struct Talk {
    pub(super) conversation: Box<dyn Conversation>,
    pub(super) dialect: &'static str,
    pub(super) seat: Option<Seat>,
    pub(super) lines: Lines,
    /// Where what is encoded for all goes.
    pub(super) flow: Option<Line>,
    /// Events and messages of the hub that are on their way through the queue.
    pub(super) pending: u32,
    pub(super) alarm: Alarm,
    pub(super) visit: Visit,
    /// What has no line to go to, and requests without an answer: of few conversations.
    pub(super) aside: Option<Box<Aside>>,
}

/// Most conversations have one line all their life, number 0.
pub(super) enum Lines {
    None,
    One(Line, Carrier),
    More(Vec<(Line, Carrier)>),
}

/// What only conversations with HTTP need.
#[derive(Default)]
pub(super) struct Aside {
    /// Messages without a line.
    pub(super) waiting: VecDeque<Message>,
    pub(super) waiting_bytes: usize,
    pub(super) exchanges: Vec<(Exchange, oneshot::Sender<Answered>)>,
    pub(super) lines_so_far: u32,
}

/// What carries a line.
pub(super) enum Carrier {
    /// A WebSocket of the shard's own.
    Socket(LineKey),
    /// A body that goes on.
    Stream(Stream),
    /// A body that ends with its first messages.
    Poll(Poll),
}

/// The writing end of a body.
pub(super) struct Stream {
    pub(super) pieces: mpsc::UnboundedSender<Bytes>,
    /// Bytes that the reading end has not taken.
    pub(super) queued: Arc<AtomicUsize>,
}

/// An answer that waits for its first messages.
pub(super) struct Poll {
    pub(super) answer: oneshot::Sender<Answered>,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) separator: &'static [u8],
    pub(super) body: Option<BytesMut>,
}

impl Stream {
    /// Queues a piece; false if nobody reads any more.
    pub(super) fn push(&self, piece: Bytes) -> bool {
        self.queued.fetch_add(piece.len(), Ordering::Relaxed);
        self.pieces.send(piece).is_ok()
    }
}

impl Poll {
    pub(super) fn push(&mut self, message: &[u8]) {
        match &mut self.body {
            Some(body) => {
                body.extend_from_slice(self.separator);
                body.extend_from_slice(message);
            }
            None => self.body = Some(message.into()),
        }
    }
}

impl Lines {
    pub(super) fn get_mut(&mut self, line: Line) -> Option<&mut Carrier> {
        match self {
            Self::None => None,
            Self::One(it, carrier) => (*it == line).then_some(carrier),
            Self::More(all) => all.iter_mut().find(|(it, _)| *it == line).map(|(_, it)| it),
        }
    }

    pub(super) fn get(&self, line: Line) -> Option<&Carrier> {
        self.iter().find(|(it, _)| *it == line).map(|(_, it)| it)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Line, &Carrier)> {
        let (one, more) = match self {
            Self::None => (None, &[][..]),
            Self::One(line, carrier) => (Some((*line, carrier)), &[][..]),
            Self::More(all) => (None, &all[..]),
        };
        one.into_iter().chain(more.iter().map(|(line, carrier)| (*line, carrier)))
    }

    pub(super) fn insert(&mut self, line: Line, carrier: Carrier) {
        *self = match std::mem::replace(self, Self::None) {
            Self::None => Self::One(line, carrier),
            Self::One(first, one) => Self::More(vec![(first, one), (line, carrier)]),
            Self::More(mut all) => {
                all.push((line, carrier));
                Self::More(all)
            }
        };
    }

    pub(super) fn remove(&mut self, line: Line) -> Option<Carrier> {
        match self {
            Self::One(it, _) if *it == line => match std::mem::replace(self, Self::None) {
                Self::One(_, carrier) => Some(carrier),
                _ => None,
            },
            Self::More(all) => {
                let at = all.iter().position(|(it, _)| *it == line)?;
                let (_, carrier) = all.swap_remove(at);
                if let [_] = &all[..]
                    && let Some((line, last)) = all.pop()
                {
                    *self = Self::One(line, last);
                }
                Some(carrier)
            }
            _ => None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }
}

impl Talk {
    pub(super) fn aside(&mut self) -> &mut Aside {
        self.aside.get_or_insert_default()
    }

    /// Tells whether nothing can bring it to life any more but its own clock, and it has none.
    pub(super) fn is_forsaken(&self) -> bool {
        let waits = self.aside.as_ref().is_some_and(|it| !it.exchanges.is_empty());
        self.lines.is_empty() && !waits && self.conversation.deadline().is_none()
    }
}
