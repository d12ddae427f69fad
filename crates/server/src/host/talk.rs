//! One conversation with all that belongs to it.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use taiwa::Closed;
use taiwa_core::{Conversation, Exchange, Line, Message, Polled};
use taiwa_hub::{Seat, slab::Key, wheel::Alarm};
use tokio::sync::{mpsc, oneshot};

use super::{exchange::Answered, moved::Old, threshold::Threshold, visit::Visit};
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
    /// Too much waited for its client, and it was told so: what is said to all passes it by.
    pub(super) has_overflowed: bool,
    /// It was told that the server drains.
    pub(super) is_told: bool,
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

/// What only conversations with HTTP need, and those that end.
pub(super) struct Aside {
    /// Messages without a line.
    pub(super) waiting: VecDeque<Message>,
    pub(super) waiting_bytes: usize,
    pub(super) exchanges: Vec<(Exchange, oneshot::Sender<Answered>)>,
    pub(super) lines_so_far: u32,
    /// By which name it was known on another shard, if it began there.
    pub(super) came_from: Option<Old>,
    /// How its WebSocket ended, if it had one.
    pub(super) closed: Option<Closed>,
}

/// What carries a line.
pub(super) enum Carrier {
    /// A WebSocket of the shard's own.
    Socket(LineKey),
    /// A WebSocket that is not open yet. Boxed, as the next but one.
    Threshold(Box<Threshold>),
    /// A body that goes on.
    Stream(Stream),
    /// A body that ends with its first messages. Boxed, so that conversations without it stay small.
    Poll(Box<Poll>),
}

/// The writing end of a body.
pub(super) struct Stream {
    pub(super) pieces: mpsc::UnboundedSender<Bytes>,
    pub(super) backlog: Arc<Backlog>,
}

/// The bytes of a body that its reading end has not taken.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    bytes: AtomicUsize,
    /// One more than the bytes down to which somebody waits for it to go; 0 if nobody does.
    awaited: AtomicUsize,
}

/// An answer that waits for its first messages.
pub(super) struct Poll {
    pub(super) answer: oneshot::Sender<Answered>,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) head: Bytes,
    pub(super) write: fn(&[Message]) -> Polled,
    /// What was said on it in this turn.
    pub(super) said: Vec<Message>,
    pub(super) bytes: usize,
}

impl Stream {
    /// Queues a piece, and returns how many bytes wait now. Whether anybody reads it is told by its reading end.
    pub(super) fn push(&self, piece: Bytes) -> usize {
        let bytes = self.backlog.bytes.fetch_add(piece.len(), Ordering::SeqCst) + piece.len();
        let _ = self.pieces.send(piece);
        bytes
    }
}

// A waiting reader and a waited-for one look at each other's number after they have written their own: that takes one
// order of all four accesses.
impl Backlog {
    pub(super) fn len(&self) -> usize {
        self.bytes.load(Ordering::SeqCst)
    }

    /// Notes that a piece was taken; tells whether somebody waits for that.
    pub(super) fn taken(&self, len: usize) -> bool {
        let left = self.bytes.fetch_sub(len, Ordering::SeqCst) - len;
        let awaited = self.awaited.load(Ordering::SeqCst);
        left < awaited && self.awaited.swap(0, Ordering::SeqCst) != 0
    }

    /// Waits for it to go down to so many bytes.
    pub(super) fn wait_for(&self, bytes: usize) {
        self.awaited.store(bytes.saturating_add(1), Ordering::SeqCst);
    }
}

impl Poll {
    pub(super) fn push(&mut self, message: Message) {
        self.bytes += message.as_bytes().len();
        self.said.push(message);
    }

    /// Answers. What was said comes back if nobody waits for it any more.
    pub(super) fn finish(self) -> Vec<Message> {
        let Self { answer, mut headers, head, write, said, .. } = self;
        let Polled { content_type, mut body } = write(&said);
        if !head.is_empty() {
            body = [&head[..], &body].concat().into();
        }
        headers.push(("content-type", content_type.to_owned()));
        match answer.send(Answered::Whole { status: 200, headers, body }) {
            Ok(()) => vec![],
            Err(_) => said,
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
    /// Begins one whose first line, if it is a WebSocket, is number 0.
    pub(super) fn new(
        conversation: Box<dyn Conversation>,
        dialect: &'static str,
        socket: Option<LineKey>,
        visit: Visit,
    ) -> Self {
        let first = Line::default();
        Self {
            conversation,
            dialect,
            seat: None,
            lines: socket.map_or(Lines::None, |it| Lines::One(first, Carrier::Socket(it))),
            // What is said to all waits for the answer to a request.
            flow: socket.map(|_| first),
            pending: 0,
            alarm: Alarm::default(),
            has_overflowed: false,
            is_told: false,
            visit,
            aside: None,
        }
    }

    pub(super) fn aside(&mut self) -> &mut Aside {
        // Who came by WebSocket has had line 0 with it.
        let lines_so_far = u32::from(!self.lines.is_empty());
        self.aside.get_or_insert_with(|| {
            Box::new(Aside {
                waiting: VecDeque::new(),
                waiting_bytes: 0,
                exchanges: vec![],
                lines_so_far,
                came_from: None,
                closed: None,
            })
        })
    }

    /// Returns the first of its lines that is a WebSocket.
    pub(super) fn socket(&self) -> Option<(Line, LineKey)> {
        self.lines.iter().find_map(|(line, it)| match it {
            Carrier::Socket(socket) => Some((line, *socket)),
            _ => None,
        })
    }

    pub(super) fn has_socket(&self) -> bool {
        self.socket().is_some()
    }

    /// Returns where what is encoded for all goes now, if that is there.
    pub(super) fn stream(&self) -> Option<(Line, &Carrier)> {
        let line = self.flow?;
        Some((line, self.lines.get(line)?))
    }

    /// Tells whether nothing can bring it to life any more but its own clock, and it has none.
    pub(super) fn is_forsaken(&self) -> bool {
        let waits = self.aside.as_ref().is_some_and(|it| !it.exchanges.is_empty());
        self.lines.is_empty() && !waits && self.conversation.deadline().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_conversation_is_small() {
        assert!(size_of::<Carrier>() <= 24, "{}", size_of::<Carrier>());
        assert!(size_of::<Talk>() <= 152, "{}", size_of::<Talk>());
    }
}
