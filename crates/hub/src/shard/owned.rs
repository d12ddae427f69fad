//! A channel where it is owned: its positions and history, who subscribes on which shard, who is in it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use taiwa_core::{
    Change, History as Part, Link, Member, Page, Payload, Position, Publication, Recovered,
    Refusal, RefusalKind, Reply, SessionId,
};

use super::{crowd::Crowd, nodes::Replica};
use crate::{
    fossil,
    history::{History, Recovery, Retention},
    idempotency::{Answers, Memory},
    letter::{Attach, Detach},
    rate::{Bucket, Rate},
    seeded::Seeded,
    settings::{self, Limits, Namespace},
};

#[derive(Debug)]
pub(super) struct Owned {
    pub(super) namespace: Arc<Namespace>,
    history: History<Arc<Publication>>,
    /// The newest publication, for the delta to the next one.
    newest: Option<Arc<Publication>>,
    /// Subscriptions by shard.
    counts: Box<[Count]>,
    subscribers: usize,
    crowd: Option<Box<Crowd>>,
    /// What was said under which identifier.
    ids: Option<Box<Answers<Arc<str>, Option<Position>>>>,
    bucket: Option<Bucket>,
    /// When a timer asks whether it can go.
    pub(super) watched: Option<Instant>,
    /// On one of several nodes: where it stands among them.
    pub(super) replica: Option<Box<Replica>>,
}

/// Subscriptions of one shard.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    all: u32,
    /// Those that want to hear who comes and goes.
    curious: u32,
}

impl Owned {
    pub(super) fn new(namespace: Arc<Namespace>, epoch: u64, shards: u16, now: Instant) -> Self {
        Self {
            namespace,
            history: History::new(epoch, now),
            newest: None,
            counts: vec![Count::default(); usize::from(shards)].into(),
            subscribers: 0,
            crowd: None,
            ids: None,
            bucket: None,
            watched: None,
            replica: None,
        }
    }

    /// Lets something else hold for the channel.
    pub(super) fn set_namespace(&mut self, namespace: Arc<Namespace>, answers_max: usize) {
        if !namespace.delta {
            // A delta to something older than what clients got last would be a wrong one.
            self.newest = None;
        }
        if !namespace.presence && !namespace.join_leave {
            self.crowd = None;
        }
        if namespace.history_size == 0 {
            self.forget();
        }
        match (&mut self.ids, namespace.idempotency) {
            (ids, age_max) if age_max.is_zero() => *ids = None,
            (Some(ids), age_max) => ids.set_memory(Memory { answers_max, age_max }),
            (None, _) => {}
        }
        self.namespace = namespace;
    }

    fn retention(&self, limits: &Limits) -> Retention {
        Retention {
            items_max: match self.replica {
                // Nobody is told more at once, and the broker has the rest.
                Some(_) => self.namespace.history_size.min(limits.page_max),
                None => self.namespace.history_size,
            },
            bytes_max: limits.history_bytes_max,
            age_max: self.namespace.history_ttl,
            position_age_max: self.namespace.epoch_ttl,
        }
    }

    pub(super) fn position(&self) -> Position {
        self.history.position()
    }

    pub(super) fn subscribers(&self) -> usize {
        self.subscribers
    }

    /// Goes through the shards that have a subscriber.
    pub(super) fn shards(&self) -> impl Iterator<Item = u16> {
        (0..).zip(&self.counts).filter(|(_, count)| count.all > 0).map(|(shard, _)| shard)
    }

    /// Goes through the shards on which somebody wants to hear who comes and goes.
    pub(super) fn curious_shards(&self) -> impl Iterator<Item = u16> {
        let all = self.namespace.force_join_leave;
        let wants = move |it: &Count| it.curious > 0 || (all && it.all > 0);
        let offered = self.namespace.join_leave;
        let shards = (0..).zip(&self.counts).filter(move |(_, it)| offered && wants(it));
        shards.map(|(shard, _)| shard)
    }

    /// Adds a subscription. Returns the change of presence, if it is one.
    pub(super) fn attach(
        &mut self,
        attach: &Attach,
        hasher: &Seeded,
    ) -> Result<Option<Change>, Refusal> {
        if self.subscribers >= self.namespace.subscribers_max {
            return Err(Refusal::new(RefusalKind::Limit, "the channel has too many subscribers"));
        }
        self.subscribers += 1;
        if let Some(replica) = &mut self.replica {
            replica.idle = None;
        }
        let count = &mut self.counts[usize::from(attach.from)];
        count.all += 1;
        count.curious += u32::from(attach.curious);
        if !self.namespace.presence && !self.namespace.join_leave {
            return Ok(None);
        }
        let crowd = self.crowd.get_or_insert_with(|| Box::new(Crowd::new(hasher)));
        let Attach { channel, member, .. } = attach;
        let of_user = crowd.come(attach.link, member);
        Ok(of_user.map(|of_user| Change {
            channel: channel.clone(),
            member: member.clone(),
            of_user,
        }))
    }

    /// Removes a subscription. Returns the change of presence, if it is one.
    pub(super) fn detach(&mut self, detach: &Detach, now: Instant) -> Option<Change> {
        // Who leaves may come back and ask what it missed.
        self.history.touch(now);
        self.subscribers -= 1;
        if let Some(replica) = self.replica.as_mut().filter(|_| self.subscribers == 0) {
            replica.idle = Some(now);
        }
        let count = &mut self.counts[usize::from(detach.from)];
        count.all -= 1;
        count.curious -= u32::from(detach.curious);
        let crowd = self.crowd.as_mut()?;
        let gone = crowd.go(detach.link, detach.session);
        if crowd.sessions() == 0 {
            self.crowd = None;
        }
        let (member, of_user) = gone?;
        Some(Change { channel: detach.channel.clone(), member, of_user })
    }

    fn rate(&self) -> Option<Rate> {
        Rate::per_second(self.namespace.publications_per_second)
    }

    /// Asks the channel's rate for one publication.
    pub(super) fn may_say(&mut self, now: Instant) -> Result<(), Refusal> {
        let Some(rate) = self.rate() else { return Ok(()) };
        let bucket = self.bucket.get_or_insert_with(|| Bucket::full(&rate, now));
        bucket.take(1, &rate, now).map_err(|wait| {
            Refusal::new(RefusalKind::Rate(wait), "too many publications in the channel")
        })
    }

    /// Tells where something lies that was said under an identifier, if it was.
    pub(super) fn said_before(&mut self, id: &Arc<str>, now: Instant) -> Option<Option<Position>> {
        self.ids.as_mut()?.find(id, now).copied()
    }

    /// Remembers what was said under an identifier.
    pub(super) fn remember(
        &mut self,
        id: Arc<str>,
        position: Option<Position>,
        hasher: &Seeded,
        answers_max: usize,
        now: Instant,
    ) {
        let age_max = self.namespace.idempotency;
        if age_max.is_zero() {
            return;
        }
        let memory = Memory { answers_max, age_max };
        let ids = self.ids.get_or_insert_with(|| Box::new(Answers::new(memory, hasher.clone())));
        ids.remember(id, position, now);
    }

    /// Gives a publication its position and delta, and keeps it.
    pub(super) fn say(
        &mut self,
        mut publication: Publication,
        transient: bool,
        limits: &Limits,
        now: Instant,
    ) -> Arc<Publication> {
        if transient || self.namespace.history_size == 0 {
            return Arc::new(publication);
        }
        publication.position = Some(self.history.next());
        self.push(publication, limits, now)
    }

    /// Keeps a publication that lies behind the newest, and gives it its delta.
    pub(super) fn push(
        &mut self,
        mut publication: Publication,
        limits: &Limits,
        now: Instant,
    ) -> Arc<Publication> {
        if self.namespace.delta {
            publication.delta = self.newest.as_ref().and_then(|it| delta(it, &publication));
        }
        let publication = Arc::new(publication);
        let (weight, keep) = (publication.weight(), self.retention(limits));
        self.history.push(publication.clone(), weight, &keep, now);
        if self.namespace.delta {
            self.newest = Some(publication.clone());
        }
        publication
    }

    /// Finds what somebody missed.
    pub(super) fn recover(
        &mut self,
        since: Option<Position>,
        last: bool,
        limits: &Limits,
        now: Instant,
    ) -> Recovered {
        let keep = self.retention(limits);
        match self.namespace.recovery {
            settings::Recovery::Stream => {
                let Some(since) = since else { return Recovered::NotAsked };
                match self.history.recover(since, limits.page_max, &keep, now) {
                    Recovery::Whole(missed) => {
                        Recovered::Whole(missed.map(|(_, it)| it.clone()).collect())
                    }
                    Recovery::Gap(kept) => Recovered::Gap(kept.map(|(_, it)| it.clone()).collect()),
                }
            }
            settings::Recovery::Last if last || since.is_some() => {
                let newest = self.history.last(&keep, now).map(|(_, it)| it.clone());
                // Who has the newest already needs nothing.
                let news = newest.filter(|it| it.position != since || since.is_none());
                Recovered::Whole(news.into_iter().collect())
            }
            settings::Recovery::Last => Recovered::NotAsked,
            settings::Recovery::Off if since.is_some() => Recovered::Gap(vec![]),
            settings::Recovery::Off => Recovered::NotAsked,
        }
    }

    /// Reads a part of the history.
    pub(super) fn read(
        &mut self,
        page: Page,
        limits: &Limits,
        now: Instant,
    ) -> Result<Reply, Refusal> {
        if self.namespace.history_size == 0 {
            return Err(no_history());
        }
        let position = self.history.position();
        if page.since.is_some_and(|it| it.epoch != position.epoch) {
            return Err(another_epoch());
        }
        let (keep, limit) = (self.retention(limits), page.limit.min(limits.page_max));
        let publications = if page.reverse {
            let before = page.since.map_or(u64::MAX, |it| it.offset);
            let part = self.history.before(before, limit, &keep, now);
            part.rev().map(|(_, it)| it.clone()).collect()
        } else {
            let after = page.since.map_or(0, |it| it.offset);
            self.history.after(after, limit, &keep, now).map(|(_, it)| it.clone()).collect()
        };
        Ok(Reply::History(Box::new(Part { position, publications })))
    }

    /// Goes on at a position, without anything that lies before.
    pub(super) fn restart(&mut self, position: Position, now: Instant) {
        self.history = History::resume(position, now);
        self.newest = None;
    }

    /// Goes through who is in it.
    pub(super) fn members(&self) -> impl Iterator<Item = (Link, Arc<Member>)> {
        self.crowd.iter().flat_map(|it| it.members())
    }

    /// Tells whether a link is in it.
    pub(super) fn has_member(&self, link: Link, session: SessionId) -> bool {
        self.crowd.as_ref().is_some_and(|it| it.is_in(link, session))
    }

    pub(super) fn forget(&mut self) {
        self.history.clear();
        self.newest = None;
    }

    pub(super) fn presence(&self, limits: &Limits) -> Result<Reply, Refusal> {
        self.has_presence()?;
        let members = self.members().map(|(_, member)| member);
        Ok(Reply::Presence(members.take(limits.presence_max).collect()))
    }

    pub(super) fn counts(&self) -> Result<Reply, Refusal> {
        self.has_presence()?;
        let (sessions, users) =
            self.crowd.as_ref().map_or((0, 0), |it| (it.sessions(), it.users()));
        Ok(Reply::Counts { sessions, users })
    }

    fn has_presence(&self) -> Result<(), Refusal> {
        if self.namespace.presence {
            return Ok(());
        }
        Err(no_presence())
    }

    /// Tells whether nothing is lost if it goes now; otherwise when to ask again, `None` for when somebody leaves it.
    pub(super) fn may_go(&mut self, limits: &Limits, now: Instant) -> Result<(), Option<Instant>> {
        if self.subscribers > 0 {
            return Err(None);
        }
        if let Some(ids) = &mut self.ids {
            ids.expire(now);
            if let Some(again) = ids.deadline() {
                return Err(Some(again));
            }
        }
        if let (Some(rate), Some(bucket)) = (self.rate(), &mut self.bucket)
            && !bucket.is_full(&rate, now)
        {
            // Whoever made it anew would have a full one.
            return Err(Some(now + Duration::from_secs(1)));
        }
        if let Some(replica) = &self.replica {
            let over = replica.idle.map_or(now, |it| it + LINGER);
            return match (replica.is_needed(), over <= now) {
                (true, _) => Err(None),
                (false, true) => Ok(()),
                (false, false) => Err(Some(over)),
            };
        }
        if self.namespace.history_size == 0 {
            return Ok(());
        }
        let keep = self.retention(limits);
        if self.history.is_idle(&keep, now) {
            return Ok(());
        }
        let again = self.history.deadline(&keep).unwrap_or(now + Duration::from_secs(3600));
        Err(Some(again.max(now + Duration::from_millis(10))))
    }
}

/// How long a replica outlives its last subscriber, who may come back at once.
const LINGER: Duration = Duration::from_secs(10);

pub(super) fn no_history() -> Refusal {
    Refusal::new(RefusalKind::NotAvailable, "the channel keeps no history")
}

pub(super) fn no_presence() -> Refusal {
    Refusal::new(RefusalKind::NotAvailable, "the channel knows no presence")
}

pub(super) fn another_epoch() -> Refusal {
    Refusal::new(RefusalKind::Unrecoverable, "another epoch has begun")
}

/// Makes the delta between two publications of one kind, if it is shorter than the later one. Of texts it is a text.
fn delta(before: &Publication, after: &Publication) -> Option<Bytes> {
    let text = |it| std::str::from_utf8(it).ok();
    let delta = match (&before.payload, &after.payload) {
        (Payload::Json(old), Payload::Json(new)) | (Payload::Text(old), Payload::Text(new)) => {
            fossil::create_text(text(old)?, text(new)?)?.into_bytes()
        }
        (Payload::Binary(old), Payload::Binary(new)) => fossil::create(old, new)?,
        _ => return None,
    };
    (delta.len() < after.payload.len()).then(|| delta.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publication(payload: Payload) -> Publication {
        Publication {
            channel: taiwa_core::Channel::parse("a").unwrap(),
            event: None,
            payload,
            position: None,
            delta: None,
            key: None,
            tags: taiwa_core::Tags::default(),
            publisher: None,
            at: 0,
            volatile: false,
            is_list: false,
        }
    }

    #[track_caller]
    fn check(before: Payload, after: Payload, is_there: bool) {
        let [before, after] = [before, after].map(publication);
        let made = delta(&before, &after);
        assert_eq!(made.is_some(), is_there, "{after:?}");
        let (Some(made), Payload::Json(old), Payload::Json(new)) =
            (made, &before.payload, &after.payload)
        else {
            return;
        };
        assert!(made.len() < new.len() && std::str::from_utf8(&made).is_ok());
        assert_eq!(fossil::apply(old, &made, 1 << 20).as_deref(), Ok(&new[..]));
    }

    #[test]
    fn deltas_are_made_between_payloads_of_one_kind_where_they_are_shorter() {
        let long = |end: &str| Bytes::from(format!("\"{}{end}\"", "対話".repeat(50)));
        check(Payload::Json(long("é")), Payload::Json(long("è")), true);
        check(Payload::Text(long("1")), Payload::Text(long("2")), true);
        check(Payload::Binary(long("1")), Payload::Binary(long("2")), true);
        check(Payload::Text(long("1")), Payload::Json(long("2")), false);
        check(Payload::Binary(long("1")), Payload::Json(long("2")), false);
        check(Payload::Json("1".into()), Payload::Json("2".into()), false);
        check(Payload::Json(long("1")), Payload::Json("2".into()), false);
    }
}
