//! [`Crowd`]: who is in a channel, where the channel is owned.

use std::{
    borrow::Borrow,
    hash::{Hash, Hasher},
    sync::Arc,
};

use taiwa_core::{Client, Link, Member, SessionId, User};

use crate::seeded::{Seeded, SeededMap, SeededSet};

/// Who is in a channel.
#[derive(Debug)]
pub(super) struct Crowd {
    /// Those of whom the channel knows no more than who they are: each costs its place here alone.
    clients: SeededSet<Present<Client>>,
    /// Those who are somebody special in it.
    members: Option<Box<SeededSet<Present<Member>>>>,
    users: SeededMap<User, u32>,
    anonymous: usize,
}

/// One link in a channel. What it has knows the session: the table keeps no second copy of it, only as much of it as finds
/// it again, so that a table that grows reads nothing but itself.
#[derive(Debug)]
struct Present<T> {
    it: Arc<T>,
    mark: u32,
    link: Link,
    /// How often it is there: twice for a moment, if an end and a new beginning overlap.
    times: u16,
}

/// What names an entry of a table.
trait Who {
    fn session(&self) -> SessionId;
    fn mark(&self) -> u32;
    fn link(&self) -> Link;
}

/// What has a session.
trait Known {
    fn session(&self) -> SessionId;
}

impl Crowd {
    pub(super) fn new(hasher: &Seeded) -> Self {
        Self {
            clients: SeededSet::with_hasher(hasher.clone()),
            members: None,
            users: SeededMap::with_hasher(hasher.clone()),
            anonymous: 0,
        }
    }

    /// Goes through the members with their links.
    pub(super) fn members(&self) -> impl Iterator<Item = (Link, Arc<Member>)> {
        let special = self.members.iter().flat_map(|it| it.iter());
        let special = special.map(|it| (it.link, it.it.clone()));
        self.clients.iter().map(|it| (it.link, nobody_special(it.it.clone()))).chain(special)
    }

    /// Tells whether a link is in.
    pub(super) fn is_in(&self, link: Link, session: SessionId) -> bool {
        let who = &(session, link) as &dyn Who;
        self.clients.contains(who) || self.members.as_ref().is_some_and(|it| it.contains(who))
    }

    /// Returns how many links are in.
    pub(super) fn sessions(&self) -> usize {
        self.clients.len() + self.members.as_ref().map_or(0, |it| it.len())
    }

    /// Returns how many users are in; all the anonymous together are one.
    pub(super) fn users(&self) -> usize {
        self.users.len() + usize::from(self.anonymous > 0)
    }

    /// Counts a member in. Returns whether it is the first of its user, or `None` if it is there already.
    pub(super) fn come(&mut self, link: Link, member: &Arc<Member>) -> Option<bool> {
        let before = self.take(link, member.client.session);
        self.put(link, member, before.as_ref().map_or(1, |(_, times)| times.saturating_add(1)));
        let is_first = self.count_in(member.client.user.as_ref());
        match before {
            None => Some(is_first),
            Some((before, _)) => {
                // A link that was left and connected again may be of another user now.
                self.count_out(before.client.user.as_ref());
                None
            }
        }
    }

    /// Counts a member out. Returns it and whether it was the last of its user, or `None` if it is still there.
    pub(super) fn go(&mut self, link: Link, session: SessionId) -> Option<(Arc<Member>, bool)> {
        let (member, times) = self.take(link, session)?;
        if times > 1 {
            self.put(link, &member, times - 1);
            return None;
        }
        let is_last = self.count_out(member.client.user.as_ref());
        Some((member, is_last))
    }

    fn put(&mut self, link: Link, member: &Arc<Member>, times: u16) {
        let mark = mark(member.client.session);
        if member.channel_info.is_none() {
            self.clients.insert(Present { it: member.client.clone(), mark, link, times });
            return;
        }
        let hasher = self.clients.hasher();
        let new = || Box::new(SeededSet::with_hasher(hasher.clone()));
        let members = self.members.get_or_insert_with(new);
        members.insert(Present { it: member.clone(), mark, link, times });
    }

    /// Takes an entry out, with how often it is there.
    fn take(&mut self, link: Link, session: SessionId) -> Option<(Arc<Member>, u16)> {
        let who = (session, link);
        if let Some(it) = self.clients.take(&who as &dyn Who) {
            return Some((nobody_special(it.it), it.times));
        }
        let members = self.members.as_mut()?;
        let it = members.take(&who as &dyn Who)?;
        if members.is_empty() {
            self.members = None;
        }
        Some((it.it, it.times))
    }

    /// Returns whether it is the first session of its user. Of the anonymous each is.
    fn count_in(&mut self, user: Option<&User>) -> bool {
        let Some(user) = user else {
            self.anonymous += 1;
            return true;
        };
        let count = self.users.entry(user.clone()).or_default();
        *count += 1;
        *count == 1
    }

    /// Returns whether it was the last session of its user. Of the anonymous each is.
    fn count_out(&mut self, user: Option<&User>) -> bool {
        let Some(user) = user else {
            self.anonymous -= 1;
            return true;
        };
        let Some(count) = self.users.get_mut(user) else { return true };
        *count -= 1;
        let is_last = *count == 0;
        if is_last {
            self.users.remove(user);
        }
        is_last
    }
}

/// Some bits of a session's identifier, which are random: the first 16 may be the same for all of a node.
fn mark(session: SessionId) -> u32 {
    (session.0 >> 80) as u32
}

fn nobody_special(client: Arc<Client>) -> Arc<Member> {
    Arc::new(Member { client, channel_info: None })
}

impl Known for Client {
    fn session(&self) -> SessionId {
        self.session
    }
}

impl Known for Member {
    fn session(&self) -> SessionId {
        self.client.session
    }
}

impl<T: Known> Who for Present<T> {
    fn session(&self) -> SessionId {
        self.it.session()
    }

    fn mark(&self) -> u32 {
        self.mark
    }

    fn link(&self) -> Link {
        self.link
    }
}

impl Who for (SessionId, Link) {
    fn session(&self) -> SessionId {
        self.0
    }

    fn mark(&self) -> u32 {
        mark(self.0)
    }

    fn link(&self) -> Link {
        self.1
    }
}

impl Hash for dyn Who + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.mark(), self.link()).hash(state);
    }
}

impl PartialEq for dyn Who + '_ {
    fn eq(&self, other: &Self) -> bool {
        (self.mark(), self.link()) == (other.mark(), other.link())
            && self.session() == other.session()
    }
}

impl Eq for dyn Who + '_ {}

impl<'a, T: Known + 'a> Borrow<dyn Who + 'a> for Present<T> {
    fn borrow(&self) -> &(dyn Who + 'a) {
        self
    }
}

impl<T: Known> Hash for Present<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self as &dyn Who).hash(state);
    }
}

impl<T: Known> PartialEq for Present<T> {
    fn eq(&self, other: &Self) -> bool {
        self as &dyn Who == other as &dyn Who
    }
}

impl<T: Known> Eq for Present<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(session: u128, user: Option<&str>) -> Arc<Member> {
        let (session, user) = (SessionId(session), user.map(User::from));
        let (about, address, dialect) = (None, None, "test");
        nobody_special(Arc::new(Client { session, user, about, address, dialect }))
    }

    #[test]
    fn who_is_in_a_channel_takes_16_bytes_of_its_table() {
        assert_eq!(size_of::<Present<Client>>(), 16);
    }

    #[test]
    fn sessions_that_begin_alike_are_told_apart() {
        let mut crowd = Crowd::new(&Seeded::new([1; 16]));
        let (one, other) = (7 << 96 | 1, 7 << 96 | 2);
        assert_eq!(crowd.come(Link(0), &member(one, Some("ada"))), Some(true));
        assert_eq!(crowd.come(Link(0), &member(other, Some("ada"))), Some(false));
        assert_eq!(crowd.come(Link(1), &member(one, None)), Some(true));
        assert_eq!((crowd.sessions(), crowd.users()), (3, 2));
        let (gone, is_last) = crowd.go(Link(0), SessionId(one)).unwrap();
        assert_eq!((gone.client.session.0, is_last), (one, false));
        assert!(crowd.go(Link(0), SessionId(one)).is_none());
        assert!(crowd.go(Link(0), SessionId(other)).unwrap().1);
        assert_eq!((crowd.sessions(), crowd.users()), (1, 1));
    }

    #[test]
    fn an_end_and_a_beginning_that_overlap_leave_it_in() {
        let mut crowd = Crowd::new(&Seeded::new([1; 16]));
        assert_eq!(crowd.come(Link(0), &member(1, Some("ada"))), Some(true));
        assert_eq!(crowd.come(Link(0), &member(1, Some("bob"))), None);
        assert!(crowd.go(Link(0), SessionId(1)).is_none());
        assert_eq!((crowd.sessions(), crowd.users()), (1, 1));
        let (gone, is_last) = crowd.go(Link(0), SessionId(1)).unwrap();
        assert_eq!((gone.client.user.as_ref().unwrap().as_str(), is_last), ("bob", true));
        assert_eq!((crowd.sessions(), crowd.users()), (0, 0));
    }

    #[test]
    fn who_is_special_comes_and_goes_as_all_do() {
        let mut crowd = Crowd::new(&Seeded::new([1; 16]));
        let plain = member(1, Some("ada"));
        let channel_info = Some("1".into());
        let special = Arc::new(Member { channel_info, ..Member::clone(&plain) });
        assert_eq!(crowd.come(Link(0), &plain), Some(true));
        assert_eq!(crowd.come(Link(0), &special), None, "it is the same link");
        assert_eq!(crowd.members().collect::<Vec<_>>(), [(Link(0), special.clone())]);
        assert!(crowd.go(Link(0), SessionId(1)).is_none());
        assert_eq!(crowd.sessions(), 1);
        assert_eq!(crowd.go(Link(0), SessionId(1)), Some((special, true)));
        assert!(crowd.sessions() == 0 && crowd.members.is_none());
    }
}
