//! Coming, staying and going: sessions and their links.

use std::sync::Arc;

use taiwa_core::{
    About, Admission, Answer, Client, Connect, Connected, Delivery, Disconnect, Link, Question,
    Refusal, RefusalKind, Reply, Resumed, SessionId, User,
};

use super::{
    Now, Shard, nodes,
    session::{LinkState, Session, Subscriber, Subscription},
    waiting::{Asker, Then, Waiting},
};
use crate::{
    few::Few,
    letter::Text,
    outlet::{Arrival, Outlet, Seat},
    rate::Bucket,
    slab::Key,
};

pub(super) type Answered = Result<Option<Reply>, Refusal>;

impl Shard {
    /// Gives a session a seat. It may do nothing until a link of it is let in.
    ///
    /// # Errors
    ///
    /// Says why the client must go: the shard is full.
    pub fn enter(
        &mut self,
        arrival: Arrival,
        out: &mut dyn Outlet,
    ) -> Result<(Seat, SessionId), Disconnect> {
        let (mut id, shard) = (SessionId(0), self.index);
        let tag = self.nodes.as_ref().map(|it| it.node.tag());
        let self_bits = |random: u128| nodes::session_bits(random, tag);
        let session = |seat: Seat| {
            id = SessionId::new(self_bits(out.random()), seat.index(), shard);
            let Arrival { dialect, address } = arrival;
            let client = Client { session: id, user: None, about: None, address, dialect };
            Session {
                client: Arc::new(client),
                links: Few::default(),
                subscriptions: Few::default(),
                commands: None,
                heard: 0,
                delivery: Delivery::Personal,
                kept: None,
                rare: None,
                life: 0,
                asked: 0,
                leaving: false,
            }
        };
        let seat = self.sessions.insert_with(session).ok_or_else(|| {
            self.counters.limit_hits += 1;
            Disconnect::Limit("sessions of this shard")
        })?;
        Ok((seat, id))
    }

    /// Returns whose session sits somewhere, if it was let in and is not anonymous.
    pub fn user(&self, seat: Seat) -> Option<&User> {
        self.sessions.get(seat)?.links.iter().find_map(|it| it.client.user.as_ref())
    }

    /// Returns where a session sits, if it is on this shard.
    pub(super) fn seat_of(&self, id: SessionId) -> Option<Seat> {
        let seat = self.sessions.key_at(id.place())?;
        self.sessions.get(seat).filter(|it| it.id() == id).map(|_| seat)
    }

    /// Ends a session whose conversation has ended. Takes time for its own subscriptions alone.
    pub fn depart(&mut self, seat: Seat, why: Option<Disconnect>, now: Now, out: &mut dyn Outlet) {
        self.end_session(seat, why, now, out);
        self.read_own(now, out);
    }

    pub(super) fn end_session(
        &mut self,
        seat: Seat,
        why: Option<Disconnect>,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        while let Some(link) = self.sessions.get(seat).and_then(|it| it.links.last()) {
            let link = link.link;
            self.end_link(seat, link, why.clone(), now, out);
        }
        self.end_calls(seat, out);
        let Some(session) = self.sessions.remove(seat) else { return };
        self.crowded.remove(&seat);
        if let Some(kept) = session.kept {
            if let Some(away) = kept.away {
                self.away.remove(&away.number);
            }
            self.forget_saved(&kept, session.client.session, out);
        }
    }

    pub(super) fn connect(
        &mut self,
        asker: Asker,
        link: Link,
        connect: Box<Connect>,
        now: Now,
        out: &mut dyn Outlet,
    ) -> Answered {
        let resumes_here = connect.resume.as_ref().is_some_and(|it| self.is_ours(it.key.session));
        let Some(session) = self.sessions.get_mut(asker.seat) else { return Ok(None) };
        if session.links.iter().any(|it| it.link == link) {
            return Err(Refusal::new(RefusalKind::BadRequest, "the link is connected already"));
        }
        let name_max = self.settings.limits.name_bytes_max;
        if connect.scope.as_ref().is_some_and(|it| it.len() > name_max) {
            return Err(Refusal::new(RefusalKind::Limit, "the name of the link is too long"));
        }
        if session.links.len() >= self.settings.limits.links_max {
            return Err(Refusal::new(RefusalKind::Limit, "too many links"));
        }
        if let Some(resume) = &connect.resume
            && session.links.is_empty()
            && resumes_here
            && resume.key.session.shard() != self.index
            && resume.key.session.shard() < self.shards
        {
            let shard = resume.key.session.shard();
            self.end_session(asker.seat, None, now, out);
            let command = taiwa_core::Command::Connect(link, connect);
            out.migrate(asker.seat, shard, asker.token, command);
            return Ok(None);
        }
        let client = match session.client.user {
            None => session.client.clone(),
            Some(_) => {
                Arc::new(Client { user: None, about: None, ..Client::clone(&session.client) })
            }
        };
        let is_first = session.links.is_empty();
        let client = match About::in_scope(None, connect.scope.clone()) {
            None => client,
            about => Arc::new(Client { about, ..Client::clone(&client) }),
        };
        if is_first {
            session.client = client.clone();
        }
        let state = LinkState { link, client: client.clone(), admitted: false, expiry: None };
        session.links.push(state);
        let question = Question::Connect { who: client, connect: connect.clone() };
        let waiting = Waiting::Admission { asker, link, connect };
        let asked = self.question(Some(asker.seat), waiting, question, now, out);
        if asked.is_err() {
            self.drop_link(asker.seat, link);
        }
        asked.map(|()| None)
    }

    pub(super) fn drop_link(&mut self, seat: Seat, link: Link) -> Option<LinkState> {
        let session = self.sessions.get_mut(seat)?;
        let at = session.links.iter().position(|it| it.link == link)?;
        session.links.swap_remove(at)
    }

    /// Lets a link in, or not, as the app said.
    pub(super) fn admitted(
        &mut self,
        asker: Asker,
        link: Link,
        connect: Connect,
        answer: Result<Answer, Refusal>,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        let waits = self.link(asker.seat, link).is_some_and(|it| !it.admitted);
        let admission = match answer {
            Ok(Answer::Admission(admission)) if waits => admission,
            Ok(Answer::Admission(_)) => {
                let left = Refusal::new(RefusalKind::BadRequest, "the link was left meanwhile");
                return self.reply(asker, Err(left), out);
            }
            other => {
                self.counters.refused_connections += 1;
                if waits {
                    self.drop_link(asker.seat, link);
                }
                let refusal = other.err().unwrap_or_else(nonsense);
                return self.reply(asker, Err(refusal), out);
            }
        };
        let (connect, admission) =
            match self.ask_for_session((asker, link), Box::new(connect), admission, now, out) {
                // What was kept of it is on its way.
                Ok(()) => return,
                Err((connect, admission)) => (*connect, admission),
            };
        let resumed = connect.resume.as_ref().map(|resume| {
            self.resume(asker.seat, link, resume, &admission, now, out).ok_or(Resumed::Anew)
        });
        if let (Some(Ok(taken)), Some(resume)) = (resumed, &connect.resume) {
            let life = self.sessions.get(taken).map_or(0, |it| it.life);
            let asker = Asker { seat: taken, life, token: asker.token };
            let whole = Some(Resumed::Whole);
            let Some(connected) = self.connected((taken, link), &admission, whole) else { return };
            self.reply(asker, Ok(Reply::Connected(Box::new(connected))), out);
            return self.replay(taken, resume.read, out);
        }
        let resumed = resumed.and_then(Result::err);
        self.let_in(asker, link, &connect, *admission, resumed, now, out);
    }

    /// Lets a link in, as somebody new.
    #[expect(clippy::too_many_arguments, reason = "one road, walked once")]
    pub(super) fn let_in(
        &mut self,
        asker: Asker,
        link: Link,
        connect: &Connect,
        admission: Admission,
        resumed: Option<Resumed>,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        if !self.list_user(asker.seat, admission.user.as_ref(), out) {
            self.counters.refused_connections += 1;
            let full = Disconnect::Limit("sessions of a user");
            return self.send_away(asker.seat, full, now, out);
        }
        let Some(session) = self.sessions.get_mut(asker.seat) else { return };
        if let Some(delivery) = connect.delivery
            && session.links.iter().all(|it| !it.admitted)
        {
            session.delivery = delivery;
        }
        self.take_in(asker.seat, link, &admission, now);
        let connected = self.connected((asker.seat, link), &admission, resumed);
        let Some(connected) = connected else { return };
        self.welcome(asker, link, connected, admission, connect, now, out);
        self.save_if_kept(asker.seat, now, out);
    }

    /// Gives a link the identity and the time that the app gave it.
    pub(super) fn take_in(&mut self, seat: Seat, link: Link, admission: &Admission, now: Now) {
        let Some(session) = self.sessions.get_mut(seat) else { return };
        let Some(state) = session.links.iter_mut().find(|it| it.link == link) else { return };
        let was_only_one = Arc::ptr_eq(&state.client, &session.client);
        state.client = Arc::new(Client {
            user: admission.user.clone(),
            about: About::in_scope(
                About::new(admission.info.clone(), admission.meta.clone()),
                state.client.about.as_ref().and_then(|it| it.scope.clone()),
            ),
            ..Client::clone(&state.client)
        });
        state.admitted = true;
        if was_only_one {
            session.client = state.client.clone();
        }
        self.set_expiry(seat, link, admission, now);
    }

    pub(super) fn connected(
        &self,
        (seat, link): (Seat, Link),
        admission: &Admission,
        resumed: Option<Resumed>,
    ) -> Option<Connected> {
        let session = self.sessions.get(seat)?;
        let is_whole = resumed == Some(Resumed::Whole);
        Some(Connected {
            session: session.id(),
            user: admission.user.clone(),
            expires: admission.expires.filter(|_| admission.client_refreshes),
            data: admission.data.clone(),
            subscribed: vec![],
            resumed,
            links: if is_whole { session.links_besides(link) } else { vec![] },
        })
    }

    /// Subscribes a new link to what the app wants, then tells it that it is in.
    #[expect(clippy::too_many_arguments, reason = "one road, walked once")]
    pub(super) fn welcome(
        &mut self,
        asker: Asker,
        link: Link,
        connected: Connected,
        admission: Admission,
        connect: &Connect,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        let (left, connected) = (admission.channels.len(), Box::new(connected));
        if left == 0 {
            return self.reply(asker, Ok(Reply::Connected(connected)), out);
        }
        let waiting = Waiting::Connecting { asker, link, connected, left };
        let Ok(ticket) = self.waiting.insert(waiting) else { return };
        for (channel, authorization) in admission.channels {
            let wish = self.wish(&channel, connect);
            let then = Then::Connect(ticket);
            let session = self.sessions.get(asker.seat);
            let meant = session.and_then(|it| it.link_for(&channel, Some(link))).unwrap_or(link);
            self.begin(asker.seat, meant, Box::new(wish), authorization, then, now, out);
        }
    }

    /// Lists a session under its user; returns false if the user has too many sessions.
    pub(super) fn list_user(
        &mut self,
        seat: Seat,
        user: Option<&User>,
        out: &mut dyn Outlet,
    ) -> bool {
        let Some(user) = user else { return true };
        let id = self.sessions.get(seat).map(|it| it.id());
        let seats = self.users.entry(user.clone()).or_default();
        if !seats.contains(&seat) {
            if seats.len() >= self.settings.limits.user_sessions_max {
                if seats.is_empty() {
                    self.users.remove(user);
                }
                return false;
            }
            seats.push(seat);
            if let Some(id) = id {
                // One shard counts those of all shards, and may say that this is one too many.
                self.post(self.counter_of(user), Text::UserIn(id, user.clone()), out);
            }
        }
        true
    }

    pub(super) fn link(&self, seat: Seat, link: Link) -> Option<&LinkState> {
        self.sessions.get(seat)?.links.iter().find(|it| it.link == link)
    }

    pub(super) fn link_mut(&mut self, seat: Seat, link: Link) -> Option<&mut LinkState> {
        self.sessions.get_mut(seat)?.links.iter_mut().find(|it| it.link == link)
    }

    /// Finds a subscription of a session by where it is listed.
    pub(super) fn subscription_in(
        &self,
        seat: Seat,
        link: Link,
        key: Key,
    ) -> Option<&Subscription> {
        let mine = &self.sessions.get(seat)?.subscriptions;
        mine.iter().find(|it| it.audience == key && it.link == link)
    }

    fn forget_user(&mut self, seat: Seat, user: &User, out: &mut dyn Outlet) {
        let Some(seats) = self.users.get_mut(user) else { return };
        let Some(at) = seats.iter().position(|it| *it == seat) else { return };
        seats.swap_remove(at);
        if seats.is_empty() {
            self.users.remove(user);
        }
        self.post(self.counter_of(user), Text::UserOut(user.clone()), out);
    }

    /// Ends one link with its subscriptions.
    pub(super) fn end_link(
        &mut self,
        seat: Seat,
        link: Link,
        why: Option<Disconnect>,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        self.end_subscriptions(seat, link, out);
        let Some(state) = self.drop_link(seat, link) else { return };
        let links = self.sessions.get(seat).map(|it| &it.links[..]).unwrap_or_default();
        let others = links.iter().any(|it| it.client.user == state.client.user);
        if let Some(user) = state.client.user.as_ref().filter(|_| !others) {
            self.forget_user(seat, user, out);
        }
        if state.admitted && self.settings.tell_disconnected {
            let question = Question::Disconnected { who: state.client, why };
            self.notify(question, now, out);
        }
    }
}

/// The app's answer was of another kind than the question.
pub(super) fn nonsense() -> Refusal {
    Refusal::new(RefusalKind::Unavailable, "the app gave no answer that fits")
}

const _: () = {
    // What an idle subscribed session costs, besides what stands behind its pointers.
    assert!(size_of::<Session>() <= 128);
    assert!(size_of::<Subscription>() <= 32);
    assert!(size_of::<Subscriber>() <= 56);
    assert!(size_of::<Bucket>() <= 24);
};
