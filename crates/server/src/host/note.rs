//! What other threads tell a shard.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::Version;
use taiwa::Addr;
use taiwa_core::{
    Answer, Certificate, Command, Conversation, Dialect, Heard, Line, NodeId, Refusal, Request,
    State, Token,
};
use taiwa_hub::{Done, Letter, Order, Ticket, far::Found};
use tokio::sync::oneshot;
use tracing::Span;

use crate::addresses::Place;

use super::{
    Shared,
    exchange::{Answered, BodyGone},
    moved::{Moving, Old},
    talk::{Talk, TalkKey},
    threshold::{Away, Opener},
    visit::Snapshot,
};

/// Something that another thread tells a shard.
pub(crate) enum Note {
    /// From another shard's part of the hub.
    Hub(Letter),
    /// The app has answered.
    Answered(Ticket, Box<Result<Answer, Refusal>>),
    /// What came of something that all nodes have in common.
    Found(Ticket, Box<Result<Found, Refusal>>),
    /// Something was said in a channel that this shard owns.
    Heard(Box<Heard>),
    /// A letter of another node.
    Far(NodeId, Bytes),
    /// A node has come.
    NodeCome(NodeId),
    /// A node is gone.
    NodeGone(NodeId),
    /// The broker was lost, or is back.
    Cluster(State),
    /// From the server's API.
    Order(Box<Ordered>),
    /// An HTTP request for a conversation.
    Visit(Box<Visitor>),
    /// A client at the door, whose opening handshake is answered when its conversation says so.
    Expect(Box<Guest>, Opener),
    /// Somebody wants to know whether a conversation of this dialect is there.
    IsThere(TalkKey, &'static str, oneshot::Sender<bool>),
    /// A client of this conversation hears that a server goes away, and after which time it may come back.
    Goodbye(TalkKey, Option<Duration>),
    /// Nobody reads a body any more, or waits for an answer.
    LineGone(TalkKey, Line),
    /// A conversation over HTTP comes from another shard.
    Moved(Box<Moving>),
    /// Such a conversation, which had this key here, is over.
    MovedEnded(TalkKey),
    /// From the shard where such a conversation began, by the key that it had there.
    PassedOn(u16, Box<Note>),
    /// A body was read for which somebody waits.
    LineRoom,
    /// Let all conversations go, spread over the time until then, and tell when none is left.
    Leave(Instant, oneshot::Sender<()>),
    /// Somebody wants to know that the shard takes its turns.
    Turn(oneshot::Sender<()>),
    /// What all hosts share is something else now.
    Adopt(Box<Adopting>),
    /// Somebody wants to see how the shard is.
    Look(Box<Looking>),
    /// A test does something within a turn.
    #[cfg(test)]
    Do(Deed),
}

/// What a test does.
#[cfg(test)]
type Deed = Box<dyn FnOnce(&mut super::Host, &mut crate::shard::Lines) + Send>;

/// An order and who waits for what becomes of it.
pub(crate) struct Ordered {
    pub(crate) order: Order,
    pub(crate) answer: oneshot::Sender<Result<Done, Refusal>>,
}

/// What all hosts share from now on, and who waits for that.
pub(crate) struct Adopting {
    pub(crate) shared: Arc<Shared>,
    pub(crate) done: oneshot::Sender<()>,
}

/// A client that came in by WebSocket.
pub(crate) enum Guest {
    /// With it a conversation begins.
    New {
        conversation: Box<dyn Conversation>,
        dialect: &'static str,
        version: Version,
        peer: Addr,
        /// Counts it among those of its address.
        place: Option<Box<Place>>,
        certificate: Option<Arc<Certificate>>,
        path: Box<str>,
        /// Its opening handshake, which ends when it has its place here.
        span: Span,
    },
    /// Its conversation waited for it to be opened.
    Awaited(BodyGone),
    /// Its conversation has ended before it was opened: it is closed at once.
    Away(Box<Away>),
    /// It is one more line of a conversation, of this dialect, that is on this shard, or was.
    Known(TalkKey, &'static str),
    /// The same, of a conversation that has come here from another shard, where it was known so.
    PassedOn(Old, &'static str),
    /// It was on another shard.
    Moved(Box<Moved>),
}

/// A conversation from another shard, which asks here what it asked there.
pub(crate) struct Moved {
    pub(super) talk: Talk,
    pub(super) questions: Vec<(Token, Command)>,
    /// Which of its lines the WebSocket is that comes along.
    pub(super) line: Line,
    /// By which name it was known there, if it came over HTTP.
    pub(super) from: Option<Old>,
}

/// An HTTP request and who waits for its answer.
pub(crate) struct Visitor {
    pub(crate) for_whom: ForWhom,
    pub(crate) request: Request,
    pub(crate) who: Who,
    /// Counts it among those of its address.
    pub(crate) place: Option<Box<Place>>,
    pub(crate) answer: oneshot::Sender<Answered>,
    /// Gets, once the conversation knows of the request, what tells it if nobody waits any more.
    pub(crate) begun: oneshot::Sender<BodyGone>,
    /// The opening handshake that the request is, if it is one.
    pub(crate) because: Span,
}

/// Who sent an HTTP request.
pub(crate) struct Who {
    pub(crate) version: Version,
    pub(crate) peer: Addr,
    pub(crate) certificate: Option<Arc<Certificate>>,
}

/// Which conversation a request is for.
pub(crate) enum ForWhom {
    /// A new one.
    New(Arc<dyn Dialect>),
    /// One of this dialect that is on this shard, or was.
    Known(TalkKey, &'static str),
}

/// Somebody who wants to see how the shard is.
pub(crate) struct Looking {
    pub(crate) rows_max: usize,
    pub(crate) answer: oneshot::Sender<Snapshot>,
}
