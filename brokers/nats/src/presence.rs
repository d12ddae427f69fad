//! Presence: each node keeps its own members, and asks the others for theirs. On which nodes a user is stands in a stream, so
//! that all agree who was the first and who the last.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};
use taiwa_core::{
    Channel, Entry, Link, NodeId, PresenceStore, Present, Refusal, SessionId, Then, User,
};

use crate::{
    Inner, Nats,
    lanes::Key,
    line::Fail,
    lock,
    streams::{Kind, Stream, Which},
    subject::escape,
    wire::{decode_nodes, encode_nodes},
};

/// The longest name of a user as a token of a subject, in bytes.
const USER_BYTES_MAX: usize = 512;
/// Users whose nodes are written again at once.
const AGAIN_AT_ONCE: usize = 32;

/// The members of this node.
pub(crate) type Local = HashMap<Channel, Here>;

/// Those of one channel.
#[derive(Default)]
pub(crate) struct Here {
    pub(crate) members: BTreeMap<(SessionId, Link), Entry>,
    /// Named users, and how many members each has.
    pub(crate) users: BTreeMap<User, usize>,
}

/// What an entry that comes or goes changes.
#[derive(Debug, Default, Eq, PartialEq)]
struct Change {
    /// Whether an entry is new, or was there.
    any: bool,
    /// A user who has become present on this node.
    came: Option<User>,
    /// A user who has become absent.
    went: Option<User>,
}

impl Here {
    /// Enters a member.
    fn come(&mut self, entry: &Entry) -> Change {
        let mut came = None;
        if let Some(user) = &entry.user {
            let count = self.users.entry(user.clone()).or_default();
            *count += 1;
            came = (*count == 1).then(|| user.clone());
        }
        let old = self.members.insert((entry.session, entry.link), entry.clone());
        let any = old.is_none();
        Change { any, came, went: old.and_then(|it| self.one_less(it.user?)) }
    }

    /// Removes a member.
    fn go(&mut self, entry: &Entry) -> Change {
        let old = self.members.remove(&(entry.session, entry.link));
        let any = old.is_some();
        Change { any, came: None, went: old.and_then(|it| self.one_less(it.user?)) }
    }

    fn one_less(&mut self, user: User) -> Option<User> {
        let count = self.users.get_mut(&user)?;
        *count -= 1;
        (*count == 0).then(|| {
            self.users.remove(&user);
            user
        })
    }
}

impl PresenceStore for Nats {
    fn come(&self, channel: &Channel, entry: Entry, then: Then<bool>) {
        let inner = &self.inner;
        if let Err(fail) = inner.admit(0) {
            return inner.answer(then, Err(fail));
        }
        let change = lock(&inner.local).entry(channel.clone()).or_default().come(&entry);
        if let Some(user) = change.went {
            inner.write_nodes(channel, user, Box::new(drop));
        }
        let Some(user) = change.came else { return then(Ok(entry.user.is_none())) };
        let (weak, name) = (Arc::downgrade(inner), channel.clone());
        inner.write_nodes(
            channel,
            user,
            Box::new(move |first| {
                if first.is_err()
                    && let Some(inner) = weak.upgrade()
                {
                    // Whoever is refused is not there. Its node is struck out with the next writing.
                    inner.take_out(&name, &entry);
                }
                then(first);
            }),
        );
    }

    fn go(&self, channel: &Channel, entry: Entry, then: Then<bool>) {
        let change = self.inner.take_out(channel, &entry);
        match change.went {
            Some(user) => self.inner.write_nodes(channel, user, then),
            None => then(Ok(change.any && entry.user.is_none())),
        }
    }

    fn who(&self, channel: &Channel, limit: usize, then: Then<Vec<(NodeId, Entry)>>) {
        self.inner.apart(channel, then, async move |inner, channel| {
            let Present { members, silent } = inner.all_members(&channel, limit).await?;
            if silent.is_empty() { Ok(members) } else { Err(Fail::Deadline) }
        });
    }

    fn present(&self, channel: &Channel, limit: usize, then: Then<Present>) {
        self.inner.apart(channel, then, async move |inner, channel| {
            inner.all_members(&channel, limit).await
        });
    }

    fn counts(&self, channel: &Channel, then: Then<(usize, usize)>) {
        self.inner
            .apart(channel, then, async move |inner, channel| inner.all_counts(&channel).await);
    }
}

impl Inner {
    fn take_out(&self, channel: &Channel, entry: &Entry) -> Change {
        let mut local = lock(&self.local);
        let Some(here) = local.get_mut(channel) else { return Change::default() };
        let change = here.go(entry);
        if here.members.is_empty() {
            local.remove(channel);
        }
        change
    }

    /// Does something that needs no order.
    fn apart<T: Send + 'static, F>(
        self: &Arc<Self>,
        channel: &Channel,
        then: Then<T>,
        work: impl FnOnce(Arc<Self>, Channel) -> F + Send + 'static,
    ) where
        F: Future<Output = Result<T, Fail>> + Send,
    {
        match self.admit(0) {
            Err(fail) => self.answer(then, Err(fail)),
            Ok(place) => {
                let channel = channel.clone();
                self.runtime.spawn(self.in_place(place, then, |inner| work(inner, channel)));
            }
        }
    }

    /// Writes whether a user is in a channel on this node, as it is when its turn comes. Tells whether it is on no other.
    fn write_nodes(self: &Arc<Self>, channel: &Channel, user: User, then: Then<bool>) {
        let key = Key::User(channel.clone(), user.clone());
        let (channel, weak) = (channel.clone(), Arc::downgrade(self));
        let debt = (channel.clone(), user.clone());
        let then: Then<bool> = Box::new(move |done| {
            if done.as_ref().is_err_and(Refusal::is_temporary)
                && let Some(inner) = weak.upgrade()
            {
                lock(&inner.owed).insert(debt);
            }
            then(done);
        });
        self.order(key, 0, then, async move |inner: Arc<Self>| {
            inner.agree_on_nodes(&channel, &user).await
        });
    }

    async fn agree_on_nodes(&self, channel: &Channel, user: &User) -> Result<bool, Fail> {
        let until = Instant::now() + self.line.left();
        while Instant::now() < until {
            let stream = self.streams.open(Kind::Users).await?;
            let mut subject = stream.root.clone();
            escape(channel.as_str(), &mut subject);
            subject.push('.');
            let length = subject.len();
            escape(user.as_str(), &mut subject);
            if !(1..=USER_BYTES_MAX).contains(&(subject.len() - length)) {
                return Err(Fail::Bad("the name of the user is empty, or too long for the broker"));
            }
            match self.try_nodes(&stream, &subject, channel, user).await {
                Err(Fail::Conflict) => self.count(|it| &it.conflicts),
                // The stream is gone: another one is made.
                Err(Fail::Nobody) => {}
                done => return done,
            }
        }
        Err(Fail::Contended)
    }

    /// Reads and writes once. The first guess is that nobody has written.
    async fn try_nodes(
        &self,
        stream: &Stream,
        subject: &str,
        channel: &Channel,
        user: &User,
    ) -> Result<bool, Fail> {
        let present =
            || lock(&self.local).get(channel).is_some_and(|it| it.users.contains_key(user));
        if present() {
            match self.streams.put(stream, subject, Some(0), encode_nodes(&[self.node])).await {
                Err(Fail::Conflict) => {}
                done => return done.map(|_| true),
            }
        }
        let kept = self.streams.get(stream, Which::Last(subject)).await?;
        let seq = kept.as_ref().map_or(0, |it| it.seq);
        let mut nodes = kept.map_or_else(Vec::new, |it| decode_nodes(&it.body));
        nodes.retain(|it| *it != self.node && !self.is_gone(*it));
        let alone = nodes.is_empty();
        if present() {
            nodes.push(self.node);
        }
        match (nodes.is_empty(), seq) {
            (true, 0) => Ok(true),
            (true, seq) if self.streams.delete(stream, seq).await? => Ok(true),
            (true, _) => Err(Fail::Conflict),
            (false, seq) => {
                self.streams.put(stream, subject, Some(seq), encode_nodes(&nodes)).await?;
                Ok(alone)
            }
        }
    }

    /// Writes all users of this node again: those of a stream that was lost, or would become too old.
    pub(crate) async fn write_all_nodes(self: &Arc<Self>) {
        let mut all: Vec<(Channel, User)> = lock(&self.owed).drain().collect();
        for (channel, here) in lock(&self.local).iter() {
            all.extend(here.users.keys().map(|user| (channel.clone(), user.clone())));
        }
        self.write_nodes_of(all).await;
    }

    /// Writes those whose writing failed.
    pub(crate) async fn write_owed_nodes(self: &Arc<Self>) {
        let all = lock(&self.owed).drain().collect();
        self.write_nodes_of(all).await;
    }

    async fn write_nodes_of(self: &Arc<Self>, all: Vec<(Channel, User)>) {
        stream::iter(all)
            .for_each_concurrent(AGAIN_AT_ONCE, async |(channel, user)| {
                let (done, wait) = tokio::sync::oneshot::channel();
                self.write_nodes(&channel, user, Box::new(move |_| _ = done.send(())));
                // It is answered by its deadline; a second one costs nothing.
                let _ =
                    tokio::time::timeout(self.settings.deadline * 2 + Duration::from_secs(1), wait)
                        .await;
            })
            .await;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn entry(session: u128, user: Option<&str>) -> Entry {
        Entry {
            session: SessionId(session),
            link: Link(0),
            user: user.map(User::from),
            body: Bytes::new(),
        }
    }

    #[test]
    fn users_come_with_their_first_entry_and_go_with_their_last() {
        let mut here = Here::default();
        let a = Some(User::from("a"));
        assert_eq!(
            here.come(&entry(1, Some("a"))),
            Change { any: true, came: a.clone(), went: None }
        );
        assert_eq!(here.come(&entry(2, Some("a"))), Change { any: true, ..Change::default() });
        assert_eq!(here.come(&entry(1, Some("a"))), Change::default());
        assert_eq!(here.go(&entry(1, Some("a"))), Change { any: true, ..Change::default() });
        assert_eq!(here.go(&entry(1, Some("a"))), Change::default());
        let b = Some(User::from("b"));
        assert_eq!(
            here.come(&entry(2, Some("b"))),
            Change { any: false, came: b.clone(), went: a }
        );
        assert_eq!(here.come(&entry(2, None)), Change { any: false, came: None, went: b });
        assert_eq!(here.go(&entry(2, None)), Change { any: true, ..Change::default() });
        assert!(here.members.is_empty() && here.users.is_empty());
    }
}
