//! One shard of the hub: its sessions with their subscriptions, and the channels that it owns.

mod session;
mod crowd;
mod owned;
mod arrive;
mod links;
mod resume;
mod subscribe;
mod unsubscribe;
mod expiry;
mod patterns;
mod publish;
mod audience;
mod slow;
mod hold;
mod users;
mod owner;
mod calls;
mod orders;
mod timers;
mod waiting;
mod adopt;
mod nodes;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    hash::BuildHasher,
    sync::Arc,
    time::{Duration, Instant},
};

use taiwa_core::{
    CallId, Channel, Command, Disconnect, Event, Link, Pattern, Payload, Refusal, RefusalKind,
    Reply, Token, User,
};

use crate::{
    letter::{Letter, Text, What},
    order::{Counters, Info},
    outlet::{Outlet, Seat},
    rate::{Bucket, Rate},
    seeded::{Seeded, SeededMap},
    settings::{Limits, Settings},
    slab::{Key, Slab},
    tags::Filters,
    wildcard::Wildcards,
};

use nodes::Nodes;
use owned::Owned;
use session::{Audience, Session};
use timers::Timers;
use waiting::{Asker, Waiting};

/// The time of a call.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For waiting.
    pub at: Instant,
    /// For telling, in milliseconds of Unix time.
    pub unix_ms: u64,
}

impl Now {
    /// Returns the time after so long; `None` for times beyond all clocks.
    fn after(self, wait: Duration) -> Option<Instant> {
        self.at.checked_add(wait)
    }
}

/// One shard of the hub. It lives on one thread; what it wants done goes into an [`Outlet`], what other shards want of
/// it comes as [`Letter`]s.
///
/// A channel's owner, found by the hash of its name, alone gives positions and keeps history and presence. Every
/// subscription is told to the owner by a letter and begins when the owner's answer is read: publications that the owner
/// said before lie before the answer in the same queue, those that it said later behind it. So there is no gap and no
/// double, without a lock.
#[derive(Debug)]
pub struct Shard {
    index: u16,
    shards: u16,
    settings: Arc<Settings>,
    hasher: Seeded,
    sessions: Slab<Session>,
    users: SeededMap<User, Vec<Seat>>,
    /// How many sessions users have on all shards, of those that are counted here.
    user_counts: SeededMap<User, usize>,
    /// Sessions that are kept without a line, the one that waits longest first.
    away: BTreeMap<u64, Seat>,
    went_away: u64,
    subscriptions: usize,
    audiences: Slab<Audience>,
    channels: SeededMap<Channel, Key>,
    patterns: SeededMap<Pattern, Key>,
    /// What of `patterns` matches.
    matching: Wildcards<Key>,
    owned: SeededMap<Channel, Owned>,
    /// Patterns that have subscribers anywhere, with those shards.
    far: Wildcards<u64>,
    filters: Filters,
    waiting: Slab<Waiting>,
    timers: Timers,
    calls: u64,
    fan_outs: u64,
    /// Subscribers for whom publishers were held up: since when, and when last.
    crowded: SeededMap<Seat, (Instant, Instant)>,
    /// Letters to itself, read before the call returns.
    own: VecDeque<Text>,
    rates: Rates,
    counters: Counters,
    /// The other nodes, if this is one of several.
    nodes: Option<Box<Nodes>>,
}

#[derive(Debug)]
struct Rates {
    commands: Option<Rate>,
    publications: Option<Rate>,
}

impl Rates {
    fn of(limits: &Limits) -> Self {
        let rate = |per_second: u32| {
            Rate::new(per_second, Duration::from_secs(1), per_second.saturating_mul(2))
        };
        Self {
            commands: rate(limits.commands_per_second),
            publications: rate(limits.publications_per_second),
        }
    }
}

/// The largest number of shards: a set of them is one word.
pub const SHARDS_MAX: u16 = 64;

impl Shard {
    /// Makes the shard of this index among so many, at most [`SHARDS_MAX`]. The key must be the same for all of them,
    /// and secret: it tells which shard owns a channel, and strangers choose names.
    #[expect(clippy::missing_panics_doc, reason = "the caller's arithmetic")]
    pub fn new(index: u16, shards: u16, settings: Arc<Settings>, key: [u8; 16]) -> Self {
        assert!(index < shards && shards <= SHARDS_MAX, "{index} of {shards} shards");
        let hasher = Seeded::new(key);
        let limits = &settings.limits;
        Self {
            index,
            shards,
            hasher: hasher.clone(),
            sessions: Slab::new(limits.sessions_max),
            users: SeededMap::with_hasher(hasher.clone()),
            user_counts: SeededMap::with_hasher(hasher.clone()),
            away: BTreeMap::new(),
            went_away: 0,
            subscriptions: 0,
            audiences: Slab::new(u32::MAX),
            channels: SeededMap::with_hasher(hasher.clone()),
            patterns: SeededMap::with_hasher(hasher.clone()),
            matching: Wildcards::new(),
            owned: SeededMap::with_hasher(hasher.clone()),
            crowded: SeededMap::with_hasher(hasher.clone()),
            far: Wildcards::new(),
            filters: Filters::new(hasher),
            waiting: Slab::new(u32::MAX),
            timers: Timers::default(),
            calls: 0,
            fan_outs: 0,
            own: VecDeque::new(),
            rates: Rates::of(limits),
            counters: Counters::default(),
            nodes: None,
            settings,
        }
    }

    /// Returns which shard owns a channel.
    pub fn owner(&self, channel: &Channel) -> u16 {
        (self.hasher.hash_one(channel) % u64::from(self.shards)) as u16
    }

    /// Does what a conversation asks. Answers come as [`Event::Reply`], at once or later.
    pub fn command(
        &mut self,
        seat: Seat,
        token: Token,
        command: Command,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        let Some(session) = self.sessions.get_mut(seat) else { return };
        if session.leaving {
            return;
        }
        if let Some(rate) = &self.rates.commands {
            let bucket = session.commands.get_or_insert_with(|| Bucket::full(rate, now.at));
            if bucket.take(1, rate, now.at).is_err() {
                self.counters.rate_disconnected += 1;
                return self.send_away(seat, Disconnect::Rate, now, out);
            }
        }
        let asker = Asker { seat, life: session.life, token };
        let answer = match command {
            Command::Connect(link, connect) => self.connect(asker, link, connect, now, out),
            Command::Refresh(link, fresh) => self.refresh(asker, link, fresh, now, out),
            Command::Subscribe(link, wish) => self.subscribe(asker, link, wish, now, out),
            Command::RefreshSubscription(link, channel, fresh) => {
                self.refresh_subscription(asker, link, &channel, fresh, now, out)
            }
            Command::Unsubscribe(link, target) => {
                self.unsubscribe(seat, link, &target, out);
                Ok(Some(Reply::Done))
            }
            Command::Publish(link, publish) => self.publish(asker, link, *publish, now, out),
            Command::Presence(link, channel) => {
                self.ask_about(asker, link, channel, What::Presence, out)
            }
            Command::Counts(link, channel) => {
                self.ask_about(asker, link, channel, What::Counts, out)
            }
            Command::History(link, channel, page) => {
                self.ask_about(asker, link, channel, What::History(page), out)
            }
            Command::Call(link, method, payload) => {
                self.call(asker, link, method, payload, now, out)
            }
            Command::Tell(link, payload) => self.tell(seat, link, payload, now, out),
            Command::Leave(link) => {
                self.end_link(seat, link, None, now, out);
                self.save_if_kept(seat, now, out);
                Ok(Some(Reply::Done))
            }
            Command::Keep(ttl) => self.keep(seat, ttl, now, out),
            Command::Read(number) => {
                if let Some(kept) = self.sessions.get_mut(seat).and_then(|it| it.kept.as_mut()) {
                    kept.read(number);
                }
                Ok(None)
            }
            _ => Err(Refusal::new(RefusalKind::NotAvailable, "no such command")),
        };
        if let Some(answer) = answer.transpose() {
            self.reply(asker, answer, out);
        }
        self.read_own(now, out);
    }

    /// Answers a command, unless whoever asked has gone.
    fn reply(&mut self, asker: Asker, answer: Result<Reply, Refusal>, out: &mut dyn Outlet) {
        if let Err(refusal) = &answer {
            self.count_refusal(refusal);
        }
        let session = self.sessions.get(asker.seat);
        if session.is_some_and(|it| it.life == asker.life && !it.leaving) {
            out.event(asker.seat, Event::Reply(asker.token, answer));
        }
    }

    fn count_refusal(&mut self, refusal: &Refusal) {
        match refusal.kind {
            RefusalKind::Limit => self.counters.limit_hits += 1,
            RefusalKind::Rate(_) => self.counters.rate_refused += 1,
            _ => {}
        }
    }

    /// Takes a letter of another shard.
    pub fn letter(&mut self, letter: Letter, now: Now, out: &mut dyn Outlet) {
        self.read(letter.0, now, out);
        self.read_own(now, out);
    }

    fn post(&mut self, shard: u16, text: Text, out: &mut dyn Outlet) {
        if shard == self.index {
            self.own.push_back(text);
        } else {
            out.post(shard, Letter(text));
        }
    }

    /// Posts to all shards, this one included.
    fn post_all(&mut self, text: impl Fn() -> Text, out: &mut dyn Outlet) {
        for shard in 0..self.shards {
            self.post(shard, text(), out);
        }
    }

    fn read_own(&mut self, now: Now, out: &mut dyn Outlet) {
        while let Some(text) = self.own.pop_front() {
            self.read(text, now, out);
        }
        if self.own.capacity() > 1024 {
            self.own.shrink_to(64);
        }
    }

    fn read(&mut self, text: Text, now: Now, out: &mut dyn Outlet) {
        match text {
            Text::Attach(attach) => self.attach(attach, now, out),
            Text::Attached(ticket, answer) => self.attached(ticket, *answer, now, out),
            Text::Broken(channel, at) => self.broken(&channel, at, out),
            Text::Missed(missed) => self.tell_missed(missed, now, out),
            Text::Detach(detach) => self.detach_from(*detach, now, out),
            Text::Publish(to_say) => self.say(*to_say, now, out),
            Text::Published(ticket, answer) => self.published(ticket, *answer, out),
            Text::Said(said) => self.hear(&said, now, out),
            Text::UserIn(session, user) => self.user_in(session, user, out),
            Text::UserOut(user) => self.user_out(user),
            Text::UserFull(session) => self.user_full(session, now, out),
            Text::Hold(session) => self.hold(session, now, out),
            Text::Delivered(ticket, count) => self.delivered(ticket, count, out),
            Text::Changed(change, joined) => self.hear_change(&change, joined, now, out),
            Text::Ask(ask) => self.tell_about(*ask, now, out),
            Text::Told(ticket, answer) => self.told(ticket, *answer, out),
            Text::PatternUp(shard, ticket, pattern) => self.pattern_up(shard, ticket, pattern, out),
            Text::PatternReady(ticket) => self.pattern_ready(ticket, now, out),
            Text::PatternDown(shard, pattern) => self.pattern_down(shard, &pattern, out),
            Text::Task(from, ticket, task) => self.task(from, ticket, *task, now, out),
            Text::TaskDone(ticket, part) => self.task_done(ticket, *part, out),
        }
    }

    /// Takes a client's answer to a call of the app.
    pub fn answer_call(
        &mut self,
        seat: Seat,
        id: CallId,
        answer: Result<Payload, Refusal>,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        self.call_answered(seat, id, answer, out);
        self.read_own(now, out);
    }

    /// Tells how the shard is.
    pub fn info(&self) -> Info {
        Info {
            sessions: self.sessions.len(),
            kept: self.away.len(),
            users: self.users.len(),
            subscriptions: self.subscriptions,
            channels: self.owned.len(),
            counters: self.counters,
        }
    }

    /// Sends a session away. Its conversation says so and ends; then [`Shard::depart`] frees what it has.
    fn send_away(&mut self, seat: Seat, why: Disconnect, now: Now, out: &mut dyn Outlet) {
        let Some(session) = self.sessions.get_mut(seat) else { return };
        if session.leaving {
            return;
        }
        match why {
            Disconnect::Slow => self.counters.slow_disconnected += 1,
            Disconnect::Limit(_) => self.counters.limit_hits += 1,
            _ => {}
        }
        if session.is_away() {
            // There is no conversation that could end it.
            return self.end_session(seat, Some(why), now, out);
        }
        session.leaving = true;
        out.event(seat, Event::Disconnect(why));
    }

    /// Ends one link; with the only one its session ends.
    fn send_link_away(
        &mut self,
        seat: Seat,
        link: Link,
        why: Disconnect,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        let Some(session) = self.sessions.get(seat) else { return };
        if session.links.len() == 1 {
            return self.send_away(seat, why, now, out);
        }
        let is_away = session.is_away();
        self.end_link(seat, link, Some(why.clone()), now, out);
        if !is_away {
            out.event(seat, Event::Ended(link, why));
        }
    }
}

#[cfg(test)]
impl Shard {
    /// Says what is left in its collections: nothing if all have left and time has passed.
    fn left_over(&self) -> String {
        let all = [
            ("sessions", self.sessions.len()),
            ("users", self.users.len()),
            ("counted users", self.user_counts.len()),
            ("away", self.away.len()),
            ("subscriptions", self.subscriptions),
            ("audiences", self.audiences.len()),
            ("channels", self.channels.len()),
            ("patterns", self.patterns.len()),
            ("matching", self.matching.len()),
            ("owned", self.owned.len()),
            ("far", self.far.len()),
            ("filters", self.filters.len()),
            ("waiting", self.waiting.len()),
            ("timers", self.timers.len()),
            ("own", self.own.len()),
            ("crowded", self.crowded.len()),
        ];
        let left = all.iter().filter(|(_, count)| *count > 0);
        left.map(|(name, count)| format!("{count} {name} ")).collect()
    }
}
