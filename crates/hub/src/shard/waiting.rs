//! What waits for an answer: of the app, of a channel's owner, of other shards.

use std::sync::Arc;

use taiwa_core::{
    Authorization, Channel, Connected, Link, Pattern, Position, Refusal, Subscribe, Token,
};

use crate::{
    order::Done,
    outlet::{OrderId, Seat, Ticket},
};

#[derive(Debug)]
pub(super) enum Waiting {
    /// For the app to let a link in.
    Admission { seat: Seat, link: Link, token: Token, connect: Box<taiwa_core::Connect> },
    /// For the app to let a link stay; the client asked with this token, or nobody did.
    Refresh { seat: Seat, link: Link, token: Option<Token> },
    /// For the app to let a client subscribe.
    Authorization { seat: Seat, link: Link, subscribe: Box<Subscribe>, then: Then },
    /// For the app to let a subscription go on.
    SubscriptionRefresh { seat: Seat, link: Link, channel: Channel, token: Option<Token> },
    /// For the app to let a client publish.
    Permission { seat: Seat, link: Link, token: Token },
    /// For the app's answer to a call.
    Answer { seat: Seat, token: Token },
    /// For the app to hear something.
    Nothing,
    /// For a channel's owner to let a subscription begin.
    Attach(Box<Attaching>),
    /// For a channel's owner to tell what a paused subscriber missed.
    CatchUp { seat: Seat, link: Link, channel: Channel },
    /// For all shards to know of a pattern.
    Pattern {
        seat: Seat,
        pattern: Pattern,
        link: Link,
        left: u16,
        then: Then,
        subscribe: Box<Subscribe>,
    },
    /// For a channel's owner to say something.
    Publish { seat: Seat, token: Token },
    /// For a channel's owner to tell something.
    Ask { seat: Seat, token: Token },
    /// For the subscriptions that come with a connection.
    Connecting { seat: Seat, token: Token, connected: Box<Connected>, left: usize },
    /// For a channel's owner, on behalf of an order.
    Order(OrderId),
    /// For all shards to do their part of an order.
    Gather { order: OrderId, left: u16, done: Option<Done>, refusal: Option<Refusal>, limit: usize },
    /// At the owner: for all shards to count their deliveries.
    Receipt { to: (u16, Ticket), position: Option<Position>, left: u16, count: u64 },
    /// For a session on this shard to be subscribed by an order.
    TaskSubscribe { to: (u16, Ticket), left: usize, done: usize },
}

/// A subscription that is about to begin.
#[derive(Debug)]
pub(super) struct Attaching {
    pub(super) seat: Seat,
    pub(super) link: Link,
    pub(super) subscribe: Box<Subscribe>,
    pub(super) authorization: Authorization,
    pub(super) member: Arc<taiwa_core::Member>,
    pub(super) then: Then,
}

/// Whom to tell of a subscription that began, or did not.
#[derive(Clone, Copy, Debug)]
pub(super) enum Then {
    /// The client asked.
    Reply(Token),
    /// It comes with a connection.
    Connect(Ticket),
    /// An order asked.
    Order(Ticket),
}
