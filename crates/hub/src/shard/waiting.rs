//! What waits for an answer: of the app, of a channel's owner, of other shards.

use std::sync::Arc;

use taiwa_core::{Authorization, Channel, Connected, Link, Pattern, Subscribe, Token};

use super::nodes::{Asked, Coming, Gather, Restoring, Saying, Told};
use crate::{
    order::Answers,
    outlet::{OrderId, Seat, Ticket},
};

/// Each entry goes when its answer comes, which is certain: shards answer every letter, and the app and the broker
/// have deadlines.
#[derive(Debug)]
pub(super) enum Waiting {
    /// For the app to let a link in.
    Admission { asker: Asker, link: Link, connect: Box<taiwa_core::Connect> },
    /// For the app to let a link stay; the client asked, or nobody did.
    Refresh { seat: Seat, link: Link, asker: Option<Asker> },
    /// For the app to let a client subscribe.
    Authorization { asker: Asker, link: Link, subscribe: Box<Subscribe> },
    /// For the app to let a subscription go on.
    SubscriptionRefresh { seat: Seat, link: Link, channel: Channel, asker: Option<Asker> },
    /// For the app to let a client publish.
    Permission { asker: Asker, link: Link },
    /// For the app's answer to a call.
    Answer(Asker),
    /// For the app to hear something.
    Nothing,
    /// For a channel's owner to let a subscription begin.
    Attach(Box<Attaching>),
    /// For a channel's owner to tell what a paused subscriber missed.
    CatchUp { seat: Seat, link: Link, channel: Channel },
    /// For all shards to know of a pattern.
    Pattern {
        seat: Seat,
        link: Link,
        pattern: Pattern,
        left: u16,
        then: Then,
        wish: Box<Subscribe>,
    },
    /// For a channel's owner to say something.
    Publish(Asker),
    /// For a channel's owner to tell something.
    Ask(Asker),
    /// For the subscriptions that come with a connection.
    Connecting { asker: Asker, link: Link, connected: Box<Connected>, left: usize },
    /// For a channel's owner, on behalf of an order.
    Order(OrderId),
    /// For all shards and nodes to do their part of an order.
    Gather(Box<Gather>),
    /// At the owner: for all shards to count their deliveries.
    Receipt { to: Told, left: u16, count: u64 },
    /// At the owner: for the broker to take a publication, then for the nodes that deliver it.
    Saying(Box<Saying>),
    /// At the owner: for the broker to tell the log with which a replica begins.
    Feed(Channel),
    /// At the owner: for the broker to tell what a replica has not heard.
    Sync(Channel),
    /// At the owner: for the broker or the store to tell something about a channel; of which epoch.
    Reading((u16, Ticket), (Channel, Option<u64>)),
    /// At the owner: for the store to take a member in, or out.
    Coming(Box<Coming>),
    /// At the owner: for the broker to say that a member came or went.
    Announcing(Box<Coming>),
    /// At the owner: for the store to tell who is there, for those who want to hear who comes and goes.
    Roster(Asked),
    /// At the owner: the same, for somebody who wants to know.
    Who((u16, Ticket), Asked),
    /// At the owner: for the store to tell whether this node is the first that hears a channel, or was the last.
    Occupying(Channel, bool),
    /// For the broker to tell what is for patterns; then a shard is told that they come.
    HearingPatterns(u16, Ticket),
    /// For a session of another node.
    Taking(Box<Restoring>),
    /// For sessions of this shard to have their turn in an order: of some, their subscriptions are on their way.
    Deed {
        to: (u16, Ticket),
        left: usize,
        done: usize,
        /// Of a call.
        answers: Option<Box<Answers>>,
    },
}

/// Who asked: a conversation, which may have left its seat to another one before the answer comes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Asker {
    pub(super) seat: Seat,
    pub(super) life: u32,
    pub(super) token: Token,
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

impl Attaching {
    /// Tells whether it is to hear who comes and goes.
    pub(super) fn is_curious(&self) -> bool {
        self.authorization.join_leave.unwrap_or(self.subscribe.join_leave)
    }
}

/// Whom to tell of a subscription that began, or did not.
#[derive(Clone, Copy, Debug)]
pub(super) enum Then {
    /// The client asked.
    Reply(Asker),
    /// It comes with a connection.
    Connect(Ticket),
    /// An order asked.
    Order(Ticket),
    /// It was there on another node.
    Restore(Ticket),
}
