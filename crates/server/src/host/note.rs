//! What other threads tell a shard.

use std::sync::Arc;

use taiwa::Addr;
use taiwa_core::{Answer, Command, Conversation, Dialect, Line, Refusal, Request, Token};
use taiwa_hub::{Done, Letter, Order, Ticket};
use tokio::sync::oneshot;

use crate::addresses::Place;

use super::{
    exchange::{Answered, BodyGone},
    talk::TalkKey,
    visit::Snapshot,
};

/// Something that another thread tells a shard.
pub(crate) enum Note {
    /// From another shard's part of the hub.
    Hub(Letter),
    /// The app has answered.
    Answered(Ticket, Box<Result<Answer, Refusal>>),
    /// From the server's API.
    Order(Box<Ordered>),
    /// An HTTP request for a conversation.
    Visit(Box<Visitor>),
    /// Nobody reads a body any more, or waits for an answer.
    LineGone(TalkKey, Line),
    /// A body was read that had been full.
    LineRoom(TalkKey),
    /// Somebody wants to see how the shard is.
    Look(Box<Looking>),
}

/// An order and who waits for what becomes of it.
pub(crate) struct Ordered {
    pub(crate) order: Order,
    pub(crate) answer: oneshot::Sender<Result<Done, Refusal>>,
}

/// A client that came in by WebSocket.
pub(crate) struct Guest {
    pub(crate) whose: Whose,
    pub(crate) dialect: &'static str,
    pub(crate) peer: Addr,
    /// Counts it among those of its address.
    pub(crate) place: Option<Box<Place>>,
    pub(crate) path: Box<str>,
    /// It was on another shard, and has heard of its line there: what it asked is asked again here.
    pub(crate) asks: Option<(Token, Command)>,
}

/// Whose line a WebSocket is.
pub(crate) enum Whose {
    /// Of a conversation that begins with it.
    New(Box<dyn Conversation>),
    /// Of one that is on this shard, or was.
    Known(TalkKey),
}

/// An HTTP request and who waits for its answer.
pub(crate) struct Visitor {
    pub(crate) for_whom: ForWhom,
    pub(crate) request: Request,
    pub(crate) peer: Addr,
    /// Counts it among those of its address.
    pub(crate) place: Option<Box<Place>>,
    pub(crate) answer: oneshot::Sender<Answered>,
    /// Gets, once the conversation knows of the request, what tells it if nobody waits any more.
    pub(crate) begun: oneshot::Sender<BodyGone>,
}

/// Which conversation a request is for.
pub(crate) enum ForWhom {
    /// A new one.
    New(Arc<dyn Dialect>),
    /// One that is on this shard, or was.
    Known(TalkKey),
}

/// Somebody who wants to see how the shard is.
pub(crate) struct Looking {
    pub(crate) rows_max: usize,
    pub(crate) answer: oneshot::Sender<Snapshot>,
}
