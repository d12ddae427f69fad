//! One client as the hub sees it.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use taiwa_core::{
    CallId, Channel, Client, Delivery, Encoding, Link, Member, Pattern, Publication, SessionId,
    Target,
};

use crate::{
    dense::Dense,
    few::Few,
    outlet::{Seat, Ticket},
    rate::Bucket,
    settings::Namespace,
    slab::Key,
    tags::FilterId,
};

#[derive(Debug)]
pub(super) struct Session {
    /// The one of its first link; before there is one, without a user.
    pub(super) client: Arc<Client>,
    pub(super) links: Few<LinkState>,
    pub(super) subscriptions: Few<Subscription>,
    pub(super) commands: Option<Bucket>,
    /// The number of the fan-out that reached it last, for subscriptions that hear everything once.
    pub(super) heard: u64,
    /// How subscriptions deliver that the server begins.
    pub(super) delivery: Delivery,
    pub(super) kept: Option<Box<Kept>>,
    pub(super) rare: Option<Box<Rare>>,
    /// How many conversations had it before the present one. Answers to their questions are for nobody.
    pub(super) life: u32,
    /// Questions that wait for an answer.
    pub(super) asked: u16,
    /// Nothing is said to it any more: it was sent away and its conversation is about to end.
    pub(super) leaving: bool,
}

impl Session {
    pub(super) fn id(&self) -> SessionId {
        self.client.session
    }

    /// Tells whether it is kept without a line: it has no conversation that could hear anything.
    pub(super) fn is_away(&self) -> bool {
        self.kept.as_ref().is_some_and(|it| it.away.is_some())
    }

    pub(super) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }
}

/// What few sessions need.
#[derive(Debug, Default)]
pub(super) struct Rare {
    pub(super) publications: Option<Bucket>,
    /// Calls of the app that wait for the client's answer.
    pub(super) calls: Vec<Call>,
}

/// A scope of a session.
#[derive(Debug)]
pub(super) struct LinkState {
    pub(super) client: Arc<Client>,
    pub(super) expiry: Option<Box<Expiry>>,
    pub(super) link: Link,
    /// Before this the app was asked and has not answered.
    pub(super) admitted: bool,
}

/// When rights end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expiry {
    pub(super) at: Instant,
    /// When the one timer looks at it that counts.
    pub(super) look: Instant,
    /// Whether the client must show a fresh token; otherwise the app is asked.
    pub(super) client_refreshes: bool,
}

impl Expiry {
    pub(super) fn new(at: Instant, client_refreshes: bool) -> Box<Self> {
        Box::new(Self { at, look: at, client_refreshes })
    }
}

/// What a session hears.
#[derive(Debug)]
pub(super) struct Subscription {
    /// Where its subscribers are listed on this shard.
    pub(super) audience: Key,
    /// The owner was asked; the place does not count yet.
    pub(super) coming: Option<Ticket>,
    pub(super) expiry: Option<Box<Expiry>>,
    /// In the list of the audience.
    pub(super) place: u32,
    pub(super) link: Link,
}

/// A call of the app that waits for the client's answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) id: CallId,
    pub(super) link: Link,
    pub(super) answer_to: AnswerTo,
}

/// Where the answer to a call goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum AnswerTo {
    /// To the shard that has the order, and its ticket.
    Order(u16, Ticket),
    /// To the call of several clients, on this shard.
    Deed(Ticket),
}

/// What is kept of a session so that it can go on later.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) secret: u128,
    pub(super) ttl: Duration,
    pub(super) away: Option<Away>,
    /// Another node may find what it needs to go on with it.
    pub(super) is_saved: bool,
    /// The number of the last entry there ever was.
    pub(super) top: u64,
    /// The newest publications; the last has the number `top`.
    pub(super) log: VecDeque<(Link, Target, Arc<Publication>)>,
    pub(super) bytes: usize,
}

/// Without a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Away {
    pub(super) until: Instant,
    /// Its place among all that are.
    pub(super) number: u64,
}

impl Kept {
    pub(super) fn new(secret: u128) -> Self {
        let (ttl, log) = (Duration::ZERO, VecDeque::new());
        Self { secret, ttl, away: None, is_saved: false, top: 0, log, bytes: 0 }
    }

    /// Writes into the log and returns the entry's number.
    pub(super) fn write(
        &mut self,
        link: Link,
        target: Target,
        publication: &Arc<Publication>,
        bytes_max: usize,
    ) -> u64 {
        self.top += 1;
        self.bytes += publication.weight();
        self.log.push_back((link, target, publication.clone()));
        while self.bytes > bytes_max {
            let Some((_, _, oldest)) = self.log.pop_front() else { break };
            self.bytes -= oldest.weight();
        }
        self.top
    }

    /// Takes note that something will never be in the log: whoever has nothing behind this place resumes anew.
    pub(super) fn lose(&mut self) {
        self.top += 1;
        self.log = VecDeque::new();
        self.bytes = 0;
    }

    /// Forgets what was read; returns whether everything behind it is still there.
    pub(super) fn read(&mut self, read: u64) -> bool {
        let Some(missing) = self.top.checked_sub(read) else { return false };
        let whole = missing <= self.log.len() as u64;
        while self.log.len() as u64 > missing {
            let Some((_, _, oldest)) = self.log.pop_front() else { break };
            self.bytes -= oldest.weight();
        }
        whole
    }
}

/// Who hears one channel, or one pattern, on this shard.
#[derive(Debug)]
pub(super) struct Audience {
    pub(super) to: To,
    pub(super) subscribers: Dense<Subscriber>,
    /// Subscriptions on their way.
    pub(super) coming: u32,
    /// How many want to hear who comes and goes.
    pub(super) curious: u32,
    /// Of the owner's history, as it was told last. It is the same as long as anyone subscribes.
    pub(super) epoch: u64,
}

#[derive(Clone, Debug)]
pub(super) enum To {
    Channel(Channel, Arc<Namespace>),
    Pattern(Pattern),
}

impl To {
    pub(super) fn target(&self) -> Target {
        match self {
            Self::Channel(channel, _) => Target::Channel(channel.clone()),
            Self::Pattern(pattern) => Target::Pattern(pattern.clone()),
        }
    }
}

/// One subscription in a list.
#[derive(Debug)]
pub(super) struct Subscriber {
    pub(super) seat: Seat,
    pub(super) delivery: Delivery,
    /// Up to this offset it was served.
    pub(super) at: u64,
    pub(super) special: Option<Box<Special>>,
    pub(super) behind: Option<Box<Behind>>,
    /// Its place among the subscriptions of its session.
    pub(super) mine: u32,
    pub(super) link: Link,
    pub(super) echo: bool,
    pub(super) once: bool,
    pub(super) join_leave: bool,
    pub(super) positioned: bool,
    /// The publication at `at` is the last that its client got, so that a delta can build on it.
    pub(super) has_whole: bool,
}

/// What few subscriptions have.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Special {
    pub(super) filter: Option<FilterId>,
    /// How deltas are written.
    pub(super) delta: Option<&'static Encoding>,
    /// Who it is in the channel, if that says more than who it is.
    pub(super) member: Option<Arc<Member>>,
}

/// A subscriber to whom nothing can be sent for the moment.
#[derive(Debug)]
pub(super) struct Behind {
    pub(super) why: Why,
    /// What is kept for it.
    pub(super) waiting: VecDeque<Arc<Publication>>,
    /// The weight of it.
    pub(super) bytes: usize,
    /// What was not.
    pub(super) missed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Why {
    /// Its client was not told yet that it is let in.
    Connecting,
    /// Its client reads too slowly; some is kept.
    Slow,
    /// Its client reads too slowly; nothing is kept, the history will be asked.
    Paused,
    /// The history was asked.
    Asking,
}

impl Behind {
    pub(super) fn new(why: Why) -> Box<Self> {
        Box::new(Self { why, waiting: VecDeque::new(), bytes: 0, missed: 0 })
    }
}
