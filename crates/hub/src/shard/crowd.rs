//! [`Crowd`]: who is in a channel, where the channel is owned.

use std::{
    borrow::Borrow,
    hash::{Hash, Hasher},
    sync::Arc,
};

use taiwa_core::{Link, Member, SessionId, User};

use crate::seeded::{Seeded, SeededMap, SeededSet};

/// Who is in a channel.
#[derive(Debug)]
pub(super) struct Crowd {
    members: SeededSet<Present>,
    users: SeededMap<User, u32>,
    anonymous: usize,
}

/// One link in a channel. A member knows its session: the table keeps no second copy of it, only as much of it as finds it
/// again, so that a table that grows reads nothing but itself.
#[derive(Debug)]
struct Present {
    member: Arc<Member>,
    mark: u32,
    link: Link,
    /// How often it is there: twice for a moment, if an end and a new beginning overlap.
    times: u16,
}

/// What names an entry of the table.
trait Who {
    fn session(&self) -> SessionId;
    fn mark(&self) -> u32;
    fn link(&self) -> Link;
}

impl Crowd {
    pub(super) fn new(hasher: &Seeded) -> Self {
        let members = SeededSet::with_hasher(hasher.clone());
        Self { members, users: SeededMap::with_hasher(hasher.clone()), anonymous: 0 }
    }

    pub(super) fn members(&self) -> impl Iterator<Item = &Arc<Member>> {
        self.members.iter().map(|it| &it.member)
    }

    /// Goes through the members with their links.
    pub(super) fn links(&self) -> impl Iterator<Item = (Link, &Arc<Member>)> {
        self.members.iter().map(|it| (it.link, &it.member))
    }

    /// Returns how many links are in.
    pub(super) fn sessions(&self) -> usize {
        self.members.len()
    }

    /// Returns how many users are in; all the anonymous together are one.
    pub(super) fn users(&self) -> usize {
        self.users.len() + usize::from(self.anonymous > 0)
    }

    /// Counts a member in. Returns whether it is the first of its user, or `None` if it is there already.
    pub(super) fn come(&mut self, link: Link, member: &Arc<Member>) -> Option<bool> {
        let user = member.client.user.as_ref();
        let mark = mark(member.client.session);
        let present = Present { member: member.clone(), mark, link, times: 1 };
        let Some(before) = self.members.replace(present) else { return Some(self.count_in(user)) };
        let times = before.times.saturating_add(1);
        self.members.replace(Present { member: member.clone(), mark, link, times });
        // A link that was left and connected again may be of another user now.
        self.count_in(user);
        self.count_out(before.member.client.user.as_ref());
        None
    }

    /// Counts a member out. Returns it and whether it was the last of its user, or `None` if it is still there.
    pub(super) fn go(&mut self, link: Link, session: SessionId) -> Option<(Arc<Member>, bool)> {
        let who = (session, link);
        let mut present = self.members.take(&who as &dyn Who)?;
        present.times -= 1;
        if present.times > 0 {
            self.members.insert(present);
            return None;
        }
        let is_last = self.count_out(present.member.client.user.as_ref());
        Some((present.member, is_last))
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

impl Who for Present {
    fn session(&self) -> SessionId {
        self.member.client.session
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

impl<'a> Borrow<dyn Who + 'a> for Present {
    fn borrow(&self) -> &(dyn Who + 'a) {
        self
    }
}

impl Hash for Present {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self as &dyn Who).hash(state);
    }
}

impl PartialEq for Present {
    fn eq(&self, other: &Self) -> bool {
        self as &dyn Who == other as &dyn Who
    }
}

impl Eq for Present {}

#[cfg(test)]
mod tests {
    use taiwa_core::Client;

    use super::*;

    fn member(session: u128, user: Option<&str>) -> Arc<Member> {
        let (session, user) = (SessionId(session), user.map(User::from));
        let (info, meta, address, dialect) = (None, None, None, "test");
        let client = Arc::new(Client { session, user, info, meta, address, dialect });
        Arc::new(Member { client, channel_info: None })
    }

    #[test]
    fn who_is_in_a_channel_takes_16_bytes_of_its_table() {
        assert_eq!(size_of::<Present>(), 16);
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
}
