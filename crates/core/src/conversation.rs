//! One client's state machine, and everything that goes in and out of it.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;

use crate::{
    Arguments, Change, Channel, Command, Connected, Disconnect, Payload, Position, Publication,
    Refusal, Reply, Target,
};

/// One client in one dialect: a state machine that does no I/O and reads no clock.
///
/// It outlives its lines: a client may poll over many requests, or move from polling to a WebSocket in mid-life. It
/// ends with [`Action::End`], or when its session ends. No method returns an error: a client that speaks nonsense is
/// answered, then sent away, through `out`, so that every ending takes the same road.
pub trait Conversation: Send {
    /// Takes what came from the client.
    fn receive(&mut self, input: Input, now: Instant, out: &mut Actions);
    /// Takes what the hub says to this client alone.
    fn deliver(&mut self, event: Event, now: Instant, out: &mut Actions);
    /// Takes the passing of time; called at or after [`Conversation::deadline`].
    fn timeout(&mut self, now: Instant, out: &mut Actions);
    /// Tells when it next wants to be called, if at all. Asked after each of the other calls.
    fn deadline(&self) -> Option<Instant>;
}

/// One transport of a conversation, numbered by the server in the order in which they came; the one that opened the
/// conversation is number 0. A request that is answered as a stream is a line of the same number.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Line(pub u32);

/// One HTTP request that waits for its answer.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Exchange(pub u32);

impl Exchange {
    /// Returns the line that it becomes when it is answered with [`Response::Stream`] or [`Response::Poll`].
    pub fn line(self) -> Line {
        Line(self.0)
    }
}

/// An independently authenticated scope inside a session, numbered by the conversation; most dialects have number 0 alone.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Link(pub u16);

/// Ties a [`Reply`] to its question; the conversation chooses it.
pub type Token = u64;

/// A whole message, in either direction.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Message {
    /// UTF-8 text, known to be well formed.
    Text(Bytes),
    /// Raw bytes.
    Binary(Bytes),
}

impl Message {
    /// Returns its bytes.
    pub fn as_bytes(&self) -> &Bytes {
        let (Self::Text(bytes) | Self::Binary(bytes)) = self;
        bytes
    }
}

/// What came from the client.
#[derive(Debug)]
#[non_exhaustive]
pub enum Input {
    /// A line joined. The first one does so before anything else.
    Joined(Line),
    /// A whole message.
    Message(Line, Message),
    /// An HTTP request that wants an answer: [`Action::Respond`], sooner or later.
    Request(Exchange, Request),
    /// A poll was answered with what was sent on it; [`Input::Left`] follows. Without it that means that its client gave the
    /// poll up.
    Answered(Line),
    /// A line ended; nothing can be sent on it any more. A conversation that has no line left and waits for none ends
    /// itself.
    Left(Line),
}

/// An HTTP request whose body has arrived.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: Box<str>,
    /// The path, percent-encoded as it came.
    pub path: Box<str>,
    /// What stands behind the question mark, as it came.
    pub query: Box<str>,
    /// Names in lower case with their values, in the order in which they came.
    pub headers: Box<[(Box<str>, Bytes)]>,
    /// The body; what is longer than the limit of the server's settings was refused with 413 before.
    pub body: Bytes,
}

impl Request {
    /// Returns the first value of a header, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(it, _)| **it == *name)?;
        std::str::from_utf8(value).ok()
    }
}

/// The answer to an HTTP request. The server adds what CORS, caches and proxies need.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Response {
    /// All of it.
    Whole {
        /// The status, from 200 to 599.
        status: u16,
        /// More headers; `content-type` is one of them.
        headers: Vec<(&'static str, String)>,
        /// The body.
        body: Bytes,
    },
    /// A body that goes on: the exchange becomes a line on which each message is a piece of the body as it stands.
    Stream {
        /// More headers; `content-type` is one of them.
        headers: Vec<(&'static str, String)>,
    },
    /// A body that ends with the first messages: the exchange becomes a line, which ends at the end of the turn in which
    /// something was sent on it. Messages that waited for a line come first.
    Poll {
        /// More headers, but for `content-type`.
        headers: Vec<(&'static str, String)>,
        /// Stands in front of what is written: what only this client is told, such as its address.
        head: Bytes,
        /// Writes what was sent, in order and never nothing, as one body.
        write: fn(&[Message]) -> Polled,
    },
}

/// What a poll is answered with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Polled {
    /// The header of this name.
    pub content_type: &'static str,
    /// The body.
    pub body: Bytes,
}

/// What a conversation wants done, in order.
pub type Actions = Vec<Action>;

/// One thing a conversation wants done.
#[derive(Debug)]
#[non_exhaustive]
pub enum Action {
    /// Open a line that [waits for it](crate::Dialect::opens_later), with what was said on it meanwhile. One that is open stays so.
    Open(Line),
    /// Say this on a line. On a line that has ended it is lost.
    Send(Line, Message),
    /// Say this where publications that are encoded for all go ([`Action::Flow`]), behind those that were said before. While
    /// there is no line for them, it waits among them.
    Say(Message),
    /// From now on publications that are encoded for all go to this line. At first it is line 0 of a WebSocket, and none of
    /// a request. With `None` they wait,
    /// as long as the limits allow it, for the line that is named next.
    Flow(Option<Line>),
    /// Answer a request.
    Respond(Exchange, Response),
    /// Ask the hub; the answer comes back as [`Event::Reply`] with the same token.
    Ask(Token, Command),
    /// Answer a call of the app ([`Event::Call`]).
    Answer(CallId, Result<Payload, Refusal>),
    /// End one line behind all that was sent on it. For a WebSocket this is the close code and reason of this dialect.
    Close(Line, u16, Arc<str>),
    /// End the conversation, its session and the lines that are left, behind all that was sent on them: a WebSocket
    /// with this close code and reason, a stream with the end of its body.
    End(u16, Arc<str>),
}

/// A call from the app to a client.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct CallId(pub u64);

/// What the hub says to one client.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The answer to a question.
    Reply(Token, Result<Reply, Refusal>),
    /// A publication, to a subscription of [`Delivery::Personal`](crate::Delivery::Personal). The number is its place in
    /// the session's log, from 1 on; 0 if the session keeps none ([`Command::Keep`]).
    Said(Link, Target, Arc<Publication>, u64),
    /// Somebody came into a channel, to such a subscription.
    Joined(Link, Arc<Change>),
    /// Somebody went.
    Left(Link, Arc<Change>),
    /// The server subscribed this client to a channel.
    Subscribed(Link, Channel, Box<crate::Subscribed>),
    /// The server ended a subscription of this client, however it delivered.
    Unsubscribed(Link, Target, crate::Unsubscribed),
    /// Publications of this subscription, however it delivers, were dropped, because the client reads too slowly or the history had a gap: so
    /// many, if it is known. The next one that arrives has this position at the least.
    Missed(Link, Target, Option<u64>, Option<Position>),
    /// The app wants something of the client, and an answer by [`Action::Answer`].
    Call(CallId, Link, Arc<str>, Arguments),
    /// The app says something to this client, under a name if it gave one; no answer is wanted.
    Told(Link, Option<Arc<str>>, Arguments),
    /// What the link may do was refreshed by the server.
    Refreshed(Link, Box<Connected>),
    /// The rights of the link end now unless they are refreshed.
    Expiring(Link),
    /// The hub has ended this link with its subscriptions; the conversation says so in its own words. Others of the session go on: one
    /// whose only link ends gets [`Event::Disconnect`].
    Ended(Link, Disconnect),
    /// The hub wants this client to leave; the conversation says so in its own words and ends.
    Disconnect(Disconnect),
}
