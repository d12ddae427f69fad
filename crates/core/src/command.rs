//! What a client may want of the hub, and what it is answered.

use std::{sync::Arc, time::Duration};

use crate::{
    Certificate, Channel, Delivery, Link, Member, Pattern, Payload, Position, Publication,
    ResumeKey, Secret, SessionId, Tags, User,
};

/// What a client wants of the hub.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Command {
    /// Say who this link is: the first command of every link. Answered with [`Reply::Connected`].
    Connect(Link, Box<Connect>),
    /// Show a fresh token. Answered with [`Reply::Connected`].
    Refresh(Link, Secret),
    /// Hear what is said in a channel. Answered with [`Reply::Subscribed`].
    Subscribe(Link, Box<Subscribe>),
    /// Show a fresh token for a subscription. Answered with [`Reply::Expires`].
    RefreshSubscription(Link, Channel, Secret),
    /// Hear it no longer. Answered with [`Reply::Done`].
    Unsubscribe(Link, Target),
    /// Say something to everyone in a channel. Answered with [`Reply::Published`].
    Publish(Link, Box<Publish>),
    /// Ask who is in a channel. Answered with [`Reply::Presence`].
    Presence(Link, Channel),
    /// Ask how many are in a channel. Answered with [`Reply::Counts`].
    Counts(Link, Channel),
    /// Ask what was said in a channel. Answered with [`Reply::History`].
    History(Link, Channel, Page),
    /// Ask the app for something. Answered with [`Reply::Answer`].
    Call(Link, Arc<str>, Payload),
    /// Say something to the app alone. Answered with [`Reply::Done`].
    Tell(Link, Payload),
    /// End one link, with its subscriptions. Answered with [`Reply::Done`].
    Leave(Link),
    /// Keep the session, its subscriptions and what is said to it for a while after its last line has left, to be taken
    /// up by [`Connect::resume`]. Answered with [`Reply::Kept`].
    Keep(Duration),
    /// What the client has read: publications up to this number of the session's log may be forgotten. Not answered.
    Read(u64),
}

/// Who a link says it is.
#[derive(Clone, Debug, Default)]
pub struct Connect {
    /// A token that the app can check.
    pub token: Option<Secret>,
    /// What the client says to the app besides; its meaning is the app's business.
    pub data: Option<Payload>,
    /// What the link is called, in dialects whose links have names; see [`Client::scope`](crate::Client::scope).
    pub scope: Option<Arc<str>>,
    /// Name and version that the client gives itself.
    pub client: Option<(Arc<str>, Arc<str>)>,
    /// What the client knows of channels that the server subscribes it to.
    pub positions: Vec<(Channel, Position)>,
    /// How such subscriptions deliver; [`Delivery::Personal`] if nothing is said.
    pub delivery: Option<Delivery>,
    /// How such subscriptions deliver deltas; see [`Subscribe::delta`].
    pub delta: Option<Delivery>,
    /// The session that the client had before, to be taken up again.
    pub resume: Option<Resume>,
    /// What the client has shown over TLS. The server knows that, not the dialect.
    pub certificate: Option<Arc<Certificate>>,
}

/// Takes an earlier session up again.
#[derive(Clone, Debug)]
pub struct Resume {
    /// Which one.
    pub key: ResumeKey,
    /// The number of the last publication of its log that the client has.
    pub read: u64,
    /// Where the client stands, if its dialect can tell: with them another node can go on with a session whose node has died.
    /// They need no names: a channel whose epoch is among them goes on behind that offset. One that is not is taken for one of
    /// which the client has nothing yet; so a dialect that can't tell all tells none.
    pub positions: Vec<Position>,
}

/// What is subscribed to.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Target {
    /// One channel.
    Channel(Channel),
    /// All channels of a pattern. It has no position, no history and no presence.
    Pattern(Pattern),
}

/// How somebody wants to hear a channel.
#[derive(Clone, Debug)]
pub struct Subscribe {
    /// What.
    pub target: Target,
    /// How publications are to arrive.
    pub delivery: Delivery,
    /// How a publication is to arrive at a subscriber who has the one before it. Without it all arrive whole.
    pub delta: Option<Delivery>,
    /// A token that the app gave for this channel.
    pub token: Option<Secret>,
    /// What the client says to the app about it.
    pub data: Option<Payload>,
    /// Begin behind this position, if the history still has it.
    pub since: Option<Position>,
    /// Begin with the last publication that the channel has, if any; for channels that keep their last value.
    pub last: bool,
    /// The position is to be watched: should the client ever miss something, it is told.
    pub positioned: bool,
    /// The client wants to hear who comes and goes.
    pub join_leave: bool,
    /// Only publications with such tags.
    pub filter: Option<Filter>,
    /// Whether what this session says in the channel comes back to it.
    pub echo: bool,
    /// Whether a publication that other subscriptions of this session brought already is left out.
    pub once: bool,
}

impl Subscribe {
    /// Subscribes without wishes: from now on, everything, also one's own.
    pub fn new(target: Target, delivery: Delivery) -> Self {
        Self {
            target,
            delivery,
            delta: None,
            token: None,
            data: None,
            since: None,
            last: false,
            positioned: false,
            join_leave: false,
            filter: None,
            echo: true,
            once: false,
        }
    }
}

/// Which publications a subscriber wants, by their tags.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Filter {
    /// All of them must hold.
    And(Box<[Filter]>),
    /// One of them must hold.
    Or(Box<[Filter]>),
    /// It must not hold.
    Not(Box<Filter>),
    /// The tag is there.
    Exists(Box<str>),
    /// The tag is there and is this.
    Equals(Box<str>, Box<str>),
    /// The tag is there and is one of these.
    In(Box<str>, Box<[Box<str>]>),
    /// The tag is there and begins so.
    StartsWith(Box<str>, Box<str>),
    /// The tag is there and ends so.
    EndsWith(Box<str>, Box<str>),
    /// The tag is there and has this in it.
    Contains(Box<str>, Box<str>),
    /// The tag is a decimal number below this one.
    Below(Box<str>, Box<str>),
    /// The tag is a decimal number, this one or below.
    AtMost(Box<str>, Box<str>),
    /// The tag is a decimal number above this one.
    Above(Box<str>, Box<str>),
    /// The tag is a decimal number, this one or above.
    AtLeast(Box<str>, Box<str>),
}

/// Something to be said to everyone in a channel.
#[derive(Clone, Debug)]
pub struct Publish {
    /// Where.
    pub channel: Channel,
    /// A name for it.
    pub event: Option<Arc<str>>,
    /// What.
    pub payload: Payload,
    /// Said again with the same identifier within the namespace's window it is not said twice, and answered alike.
    pub id: Option<Arc<str>>,
    /// See [`Publication::key`].
    pub key: Option<Arc<str>>,
    /// See [`Publication::tags`].
    pub tags: Tags,
    /// Sessions that are not to hear it, besides those which do not want their own echo.
    pub except: Vec<SessionId>,
    /// Who subscribes to one of these is not to hear it either.
    pub except_channels: Vec<Channel>,
    /// Whether the answer is to tell how many subscribers it was delivered to.
    pub receipt: bool,
    /// Whether it goes past the history, to those alone who listen now.
    pub transient: bool,
    /// See [`Publication::volatile`]. It is transient, too.
    pub volatile: bool,
    /// See [`Publication::is_list`].
    pub is_list: bool,
}

impl Publish {
    /// Says something without wishes.
    pub fn new(channel: Channel, payload: Payload) -> Self {
        Self {
            channel,
            event: None,
            payload,
            id: None,
            key: None,
            tags: Tags::default(),
            except: vec![],
            except_channels: vec![],
            receipt: false,
            transient: false,
            volatile: false,
            is_list: false,
        }
    }
}

/// Which part of a history.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Page {
    /// Behind this position (before it, if `reverse`); without one from the beginning (the end).
    pub since: Option<Position>,
    /// At most so many; 0 asks for the position alone.
    pub limit: usize,
    /// The newest first.
    pub reverse: bool,
}

/// The hub's answer to a command.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Reply {
    /// It is done; there is nothing to tell.
    Done,
    /// The link is let in.
    Connected(Box<Connected>),
    /// The subscription stands: what is said from now on arrives.
    Subscribed(Box<Subscribed>),
    /// The session is kept; this takes it up again.
    Kept(ResumeKey),
    /// The rights go on for so long, or for ever.
    Expires(Option<Duration>),
    /// It was said.
    Published(Published),
    /// Who is in the channel.
    Presence(Arc<[Arc<Member>]>),
    /// How many sessions and how many users are in the channel.
    Counts {
        /// Sessions.
        sessions: usize,
        /// Users; the anonymous count as one.
        users: usize,
    },
    /// What was said in the channel.
    History(Box<History>),
    /// The app's answer.
    Answer(Payload),
}

/// What a link is told when it is let in.
#[derive(Clone, Debug)]
pub struct Connected {
    /// Its session.
    pub session: SessionId,
    /// Whose it is; `None` for the anonymous.
    pub user: Option<User>,
    /// After which time the rights end unless the client shows a fresh token; `None` if it need not.
    pub expires: Option<Duration>,
    /// What the app says to the client.
    pub data: Option<Payload>,
    /// What the server subscribed it to.
    pub subscribed: Vec<(Channel, Subscribed)>,
    /// What became of [`Connect::resume`].
    pub resumed: Option<Resumed>,
    /// If it goes on whole: the other links that the session has, with their scopes. They need not connect again.
    pub links: Vec<(Link, Option<Arc<str>>)>,
}

/// What became of the attempt to take an earlier session up again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Resumed {
    /// It goes on; everything behind what the client had follows now.
    Whole,
    /// It is gone, or no longer has everything; this is a new one, without its subscriptions.
    Anew,
}

/// What a subscriber is told.
#[derive(Clone, Debug)]
pub struct Subscribed {
    /// Where the channel stands; what follows lies behind it. `None` if the channel has no positions.
    pub position: Option<Position>,
    /// Whether the history reaches back far enough for a later recovery.
    pub recoverable: bool,
    /// Whether a gap will be told.
    pub positioned: bool,
    /// What became of [`Subscribe::since`] or [`Subscribe::last`].
    pub recovered: Recovered,
    /// Whether deltas will be used.
    pub delta: bool,
    /// After which time the rights end unless the client shows a fresh token; `None` if it need not.
    pub expires: Option<Duration>,
    /// What the app says about it.
    pub data: Option<Payload>,
}

/// What became of the attempt to go on where a subscriber was before.
#[derive(Clone, Debug, Default)]
pub enum Recovered {
    /// Nobody asked.
    #[default]
    NotAsked,
    /// These are all that were missed, the oldest first; there is no gap. For a channel that keeps its last value, and
    /// [`Subscribe::last`], it is that value.
    Whole(Vec<Arc<Publication>>),
    /// The history does not reach back that far, or the epoch is another one: something is lost. What it still has
    /// behind the position comes along.
    Gap(Vec<Arc<Publication>>),
}

/// What a publisher is told.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Published {
    /// Where it lies in the history, if the channel has positions.
    pub position: Option<Position>,
    /// To how many subscribers it was delivered, if that was asked.
    pub delivered: Option<u64>,
    /// Whether it had been said before under the same identifier, and so was not said again.
    pub repeated: bool,
}

/// A part of a channel's history.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Where the channel stands.
    pub position: Position,
    /// The publications.
    pub publications: Vec<Arc<Publication>>,
}

/// Why the server ended a subscription.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Unsubscribed {
    /// The app, or whoever runs the server, said so.
    App,
    /// Its rights have ended.
    Expired,
    /// The client read too slowly; it may subscribe again and recover.
    Slow,
    /// What was missed can't be told any more; it may subscribe again.
    InsufficientState,
    /// A limit is reached; the text names it.
    Limit(&'static str),
}
