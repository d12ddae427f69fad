//! One client as the hub sees it.

use std::{
    collections::VecDeque,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use taiwa_core::{
    CallId, Channel, Client, Delivery, Filter, Link, Member, Pattern, Publication, SessionId,
    Target,
};

use crate::{
    dense::Dense,
    outlet::{Seat, Ticket},
    rate::Bucket,
    settings::Namespace,
    slab::Key,
};

#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) dialect: &'static str,
    pub(super) address: Option<IpAddr>,
    pub(super) links: Vec<LinkState>,
    pub(super) subscriptions: Vec<Subscription>,
    pub(super) commands: Option<Bucket>,
    pub(super) publications: Option<Bucket>,
    /// Questions that wait for an answer.
    pub(super) asked: u16,
    /// Nothing is said to it any more: it was sent away and its conversation is about to end.
    pub(super) leaving: bool,
    /// The number of the fan-out that reached it last, for subscriptions that hear everything once.
    pub(super) heard: u64,
    pub(super) calls: Vec<Call>,
    /// How subscriptions deliver that the server begins.
    pub(super) delivery: Option<Delivery>,
    pub(super) kept: Option<Box<Kept>>,
}

/// A scope of a session.
#[derive(Debug)]
pub(super) struct LinkState {
    pub(super) link: Link,
    pub(super) client: Arc<Client>,
    /// Before this the app was asked and has not answered.
    pub(super) admitted: bool,
    pub(super) expires: Option<Instant>,
    pub(super) client_refreshes: bool,
}

/// What a session hears.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) link: Link,
    /// Where its subscribers are listed on this shard.
    pub(super) audience: Key,
    pub(super) place: Place,
    pub(super) expires: Option<Instant>,
    pub(super) client_refreshes: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Place {
    /// The owner was asked.
    Coming(Ticket),
    /// In the list of the audience.
    At(u32),
}

/// A call of the app that waits for the client's answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) id: CallId,
    /// The shard that has the order, and its ticket.
    pub(super) answer_to: (u16, Ticket),
}

/// What is kept of a session so that it can go on later.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) secret: u128,
    pub(super) ttl: Duration,
    /// Without a line until then.
    pub(super) until: Option<Instant>,
    /// The number of the last entry there ever was.
    pub(super) top: u64,
    /// The newest publications; the last has the number `top`.
    pub(super) log: VecDeque<(Link, Target, Arc<Publication>)>,
    pub(super) bytes: usize,
}

impl Kept {
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
    /// Of the owner's history, as it was told last.
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
    pub(super) link: Link,
    pub(super) delivery: Delivery,
    pub(super) delta: Option<Delivery>,
    /// The offset of the publication that it got last; deltas build on it.
    pub(super) at: u64,
    pub(super) filter: Option<Arc<Filter>>,
    pub(super) echo: bool,
    pub(super) once: bool,
    pub(super) join_leave: bool,
    pub(super) positioned: bool,
    /// It has the publication at `at` in the form on which a delta can build.
    pub(super) has_whole: bool,
    pub(super) member: Option<Arc<Member>>,
    pub(super) behind: Option<Box<Behind>>,
}

/// A subscriber that reads too slowly.
#[derive(Debug, Default)]
pub(super) struct Behind {
    /// What is kept for it.
    pub(super) waiting: VecDeque<Arc<Publication>>,
    /// The weight of it.
    pub(super) bytes: usize,
    /// What was not.
    pub(super) missed: u64,
    /// Nothing is kept: the history is asked later.
    pub(super) paused: bool,
    /// The history was asked.
    pub(super) asked: bool,
}
