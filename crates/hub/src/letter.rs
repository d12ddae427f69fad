//! What shards say to each other. A letter is the only thing that passes between them.

use std::sync::Arc;

use taiwa_core::{
    Arguments, Authorization, Change, Channel, Disconnect, Link, Member, Page, Pattern, Position,
    Publication, Publish, Published, Recovered, Refusal, Reply, SessionId, User,
};

use crate::{
    order::{Done, Which, Whom},
    outlet::Ticket,
};

/// A letter. Its content is the hub's own business.
#[derive(Debug)]
pub struct Letter(pub(crate) Text);

#[derive(Debug)]
pub(crate) enum Text {
    /// To the owner of a channel: one subscription more.
    Attach(Box<Attach>),
    /// Back: the subscription stands, or not.
    Attached(Ticket, Box<Result<Attached, Refusal>>),
    /// To the owner: what came behind a position? It is answered as an attachment is, and changes nothing.
    Missed(Box<Missed>),
    /// To the owner: one subscription less.
    Detach(Box<Detach>),
    /// To the owner: say this.
    Publish(Box<ToSay>),
    /// Back: it was said, or not.
    Published(Ticket, Box<Result<Published, Refusal>>),
    /// From the owner to every shard with a subscriber.
    Said(Said),
    /// To the shard that counts a user's sessions: this one has come.
    UserIn(SessionId, User),
    /// To it: one has gone.
    UserOut(User),
    /// Back: this one is one too many.
    UserFull(SessionId),
    /// To the shard of a publisher: somebody here can't take in more for the moment.
    Hold(SessionId),
    /// From the owner to every shard with a subscriber: something up to this position can't be had any more.
    Broken(Channel, Position),
    /// Back to the owner: it was delivered to so many here.
    Delivered(Ticket, u64),
    /// From the owner to every shard with a subscriber: somebody came (true) or went.
    Changed(Arc<Change>, bool),
    /// To the owner: tell something about the channel.
    Ask(Box<Ask>),
    /// Back.
    Told(Ticket, Box<Result<Reply, Refusal>>),
    /// To all shards: publications of channels owned there that match are wanted here.
    PatternUp(u16, Ticket, Pattern),
    /// Back: from now on they come.
    PatternReady(Ticket),
    /// To all shards: no longer.
    PatternDown(u16, Pattern),
    /// To all shards, or the one of a session.
    Task(u16, Ticket, Box<Task>),
    /// Back.
    TaskDone(Ticket, Box<Result<Done, Refusal>>),
}

#[derive(Debug)]
pub(crate) struct Attach {
    pub(crate) from: u16,
    pub(crate) ticket: Ticket,
    pub(crate) channel: Channel,
    pub(crate) link: Link,
    pub(crate) member: Arc<Member>,
    pub(crate) since: Option<Position>,
    pub(crate) last: bool,
    /// It wants to hear who comes and goes.
    pub(crate) curious: bool,
}

#[derive(Debug)]
pub(crate) struct Missed {
    pub(crate) from: u16,
    pub(crate) ticket: Ticket,
    pub(crate) channel: Channel,
    pub(crate) since: Position,
}

#[derive(Debug)]
pub(crate) struct Attached {
    /// The owner's position, also where subscribers are told of none.
    pub(crate) at: Position,
    pub(crate) recovered: Recovered,
}

#[derive(Debug)]
pub(crate) struct Detach {
    pub(crate) from: u16,
    pub(crate) channel: Channel,
    pub(crate) link: Link,
    pub(crate) session: SessionId,
    /// As it was when it attached.
    pub(crate) curious: bool,
}

#[derive(Debug)]
pub(crate) struct ToSay {
    pub(crate) from: u16,
    pub(crate) ticket: Option<Ticket>,
    pub(crate) publish: Publish,
    pub(crate) publisher: Option<Arc<Member>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) publication: Arc<Publication>,
    /// The session whose subscriptions without echo do not hear it; 0 if it is of none.
    pub(crate) origin: SessionId,
    pub(crate) except: Option<Arc<Except>>,
    pub(crate) receipt: Option<Ticket>,
    pub(crate) road: Road,
}

/// Who is not to hear a publication.
#[derive(Debug)]
pub(crate) struct Except {
    /// Sorted.
    pub(crate) sessions: Box<[SessionId]>,
    /// Whoever subscribes to one of them, each link for itself.
    pub(crate) channels: Box<[Channel]>,
}

impl Except {
    /// Puts them together, if there is anyone.
    pub(crate) fn new(mut sessions: Vec<SessionId>, channels: Vec<Channel>) -> Option<Arc<Self>> {
        if sessions.is_empty() && channels.is_empty() {
            return None;
        }
        sessions.sort_unstable();
        Some(Arc::new(Self { sessions: sessions.into(), channels: channels.into() }))
    }
}

/// Whom a publication is for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Road {
    /// All who hear it.
    Both,
    /// Who subscribes to its channel. On one of several nodes the others get it on their own road.
    Channel,
    /// Who subscribes to a pattern.
    Patterns,
}

#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) from: u16,
    pub(crate) ticket: Ticket,
    pub(crate) channel: Channel,
    pub(crate) what: What,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    Presence,
    Counts,
    History(Page),
    Forget,
}

/// A part of an order that concerns sessions or channels of one shard.
#[derive(Clone, Debug)]
pub(crate) enum Task {
    Channels { prefix: Box<str>, limit: usize },
    Sessions { whom: Whom, limit: usize },
    Session(SessionId),
    ToSessions(Whom, Deed),
    Call { session: SessionId, which: Which, calling: Box<Calling> },
    Info,
}

/// What is done to sessions.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    Subscribe {
        channel: Channel,
        authorization: Box<Authorization>,
        since: Option<Position>,
    },
    Unsubscribe(Channel),
    /// All links, or this one.
    Disconnect(Option<Which>, Disconnect),
    Refresh(Option<std::time::Duration>),
    Tell {
        which: Which,
        event: Option<Arc<str>>,
        args: Arguments,
    },
    /// Those who are excepted are left out.
    Call {
        which: Which,
        calling: Box<Calling>,
        except: Option<Arc<Except>>,
    },
}

/// What a client is called.
#[derive(Clone, Debug)]
pub(crate) struct Calling {
    pub(crate) method: Arc<str>,
    pub(crate) args: Arguments,
    pub(crate) deadline: std::time::Duration,
}

/// What the hub answers about a channel, as an order's result.
pub(crate) fn as_done(reply: Reply) -> Option<Done> {
    Some(match reply {
        Reply::Presence(members) => Done::Presence(members),
        Reply::Counts { sessions, users } => Done::Counts { sessions, users },
        Reply::History(history) => Done::History(history),
        Reply::Done => Done::Affected(0),
        _ => return None,
    })
}

const _: () = assert!(size_of::<Letter>() <= 64, "a queue of letters is an array of them");
