//! Coming, staying and going: sessions and their links.

use std::{sync::Arc, time::Duration};

use taiwa_core::{
    Admission, Answer, Client, Connect, Connected, Disconnect, Event, Link, Question, Refusal,
    RefusalKind, Reply, Resume, ResumeKey, Resumed, SessionId, Token, User,
};

use super::{
    Now, Shard,
    session::{Kept, LinkState, Session},
    timers::Due,
    waiting::{Then, Waiting},
};
use crate::outlet::{Arrival, Outlet, Seat};

type Answered = Result<Option<Reply>, Refusal>;

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
        let mut id = SessionId(0);
        let session = |seat: Seat| Session {
            id: {
                id = SessionId::new(out.random(), seat.index(), self.index);
                id
            },
            dialect: arrival.dialect,
            address: arrival.address,
            links: vec![],
            subscriptions: vec![],
            commands: None,
            publications: None,
            asked: 0,
            leaving: false,
            heard: 0,
            calls: vec![],
            delivery: None,
            kept: None,
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
        let seat = self.sessions.next_from(id.place())?;
        self.sessions.get(seat).filter(|it| it.id == id).map(|_| seat)
    }

    /// Ends a session whose conversation has ended.
    pub fn depart(&mut self, seat: Seat, why: Option<Disconnect>, now: Now, out: &mut dyn Outlet) {
        while let Some(link) = self.sessions.get(seat).and_then(|it| it.links.last()) {
            let link = link.link;
            self.end_link(seat, link, why.clone(), now, out);
        }
        let Some(session) = self.sessions.remove(seat) else { return };
        if let Some(kept) = session.kept {
            self.kept_count -= usize::from(kept.until.is_some());
        }
        let gone = Refusal::new(RefusalKind::Unavailable, "the client has gone");
        for call in session.calls {
            self.answer_order(call.answer_to, Err(gone.clone()), out);
        }
        self.read_own(now, out);
    }

    /// Takes note that a session has lost its last line. It is kept if it asked for that, otherwise it ends. Returns
    /// whether it is kept; its conversation is no more in both cases.
    pub fn detach(&mut self, seat: Seat, now: Now, out: &mut dyn Outlet) -> bool {
        let Some(session) = self.sessions.get_mut(seat) else { return false };
        let kept = session.kept.as_mut().filter(|_| !session.leaving);
        let Some(kept) = kept else {
            self.depart(seat, None, now, out);
            return false;
        };
        let until = now.at + kept.ttl;
        kept.until = Some(until);
        self.kept.push_back(seat);
        self.kept_count += 1;
        self.schedule(until, Due::Kept(seat));
        while self.kept_count > self.settings.limits.kept_max {
            let Some(oldest) = self.kept.pop_front() else { break };
            let waits = self.sessions.get(oldest).and_then(|it| it.kept.as_ref()?.until);
            if waits.is_some() {
                self.counters.limit_hits += 1;
                self.depart(oldest, None, now, out);
            }
        }
        true
    }

    /// Keeps a session for when its line is lost.
    pub(super) fn keep(&mut self, seat: Seat, ttl: Duration, out: &mut dyn Outlet) -> Answered {
        let ttl = ttl.min(self.settings.limits.keep_max);
        let Some(session) = self.sessions.get_mut(seat) else { return Ok(None) };
        let kept = session.kept.get_or_insert_with(|| {
            let (secret, log) = (out.random(), Default::default());
            Box::new(Kept { secret, ttl, until: None, top: 0, log, bytes: 0 })
        });
        kept.ttl = ttl;
        Ok(Some(Reply::Kept(ResumeKey { session: session.id, secret: kept.secret })))
    }

    pub(super) fn connect(
        &mut self,
        seat: Seat,
        token: Token,
        link: Link,
        connect: Box<Connect>,
        now: Now,
        out: &mut dyn Outlet,
    ) -> Answered {
        let Some(session) = self.sessions.get_mut(seat) else { return Ok(None) };
        if session.links.iter().any(|it| it.link == link) {
            return Err(Refusal::new(RefusalKind::BadRequest, "the link is connected already"));
        }
        if session.links.len() >= self.settings.limits.links_max {
            return Err(Refusal::new(RefusalKind::Limit, "too many links"));
        }
        if let Some(resume) = &connect.resume
            && session.links.is_empty()
            && resume.key.session.shard() != self.index
            && resume.key.session.shard() < self.shards
        {
            let shard = resume.key.session.shard();
            self.sessions.remove(seat);
            out.migrate(seat, shard, token, taiwa_core::Command::Connect(link, connect));
            return Ok(None);
        }
        let client = Arc::new(Client {
            session: session.id,
            user: None,
            info: None,
            meta: None,
            address: session.address,
            dialect: session.dialect,
        });
        session.links.push(LinkState {
            link,
            client: client.clone(),
            admitted: false,
            expires: None,
            client_refreshes: false,
        });
        let question = Question::Connect { who: client, connect: connect.clone() };
        self.question(
            Some(seat),
            Waiting::Admission { seat, link, token, connect },
            question,
            now,
            out,
        )?;
        Ok(None)
    }

    /// Lets a link in, or not, as the app said.
    pub(super) fn admitted(
        &mut self,
        (seat, link, token): (Seat, Link, Token),
        connect: Connect,
        answer: Result<Answer, Refusal>,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        let admission = match answer {
            Ok(Answer::Admission(admission)) => admission,
            other => {
                self.counters.refused_connections += 1;
                if let Some(session) = self.sessions.get_mut(seat) {
                    session.links.retain(|it| it.link != link);
                }
                let refusal = other.err().unwrap_or_else(nonsense);
                return self.refuse(seat, token, refusal, out);
            }
        };
        let Some(session) = self.sessions.get_mut(seat) else { return };
        let Some(state) = session.links.iter_mut().find(|it| it.link == link) else { return };
        let client = Arc::new(Client {
            user: admission.user.clone(),
            info: admission.info.clone(),
            meta: admission.meta.clone(),
            ..Client::clone(&state.client)
        });
        session.delivery = session.delivery.or(connect.delivery);
        state.client = client;
        state.admitted = true;
        if !self.list_user(seat, link) {
            self.counters.refused_connections += 1;
            return self.send_away(seat, Disconnect::Limit("sessions of a user"), out);
        }
        self.set_expiry(seat, link, &admission, now);
        let (seat, resumed) = match &connect.resume {
            Some(resume) => self.resume(seat, resume, out),
            None => (seat, None),
        };
        let Some(session) = self.sessions.get(seat) else { return };
        let connected = Connected {
            session: session.id,
            user: admission.user.clone(),
            expires: admission.expires.filter(|_| admission.client_refreshes),
            data: admission.data.clone(),
            subscribed: vec![],
            resumed,
        };
        self.welcome(seat, link, token, connected, *admission, &connect, now, out);
    }

    /// Subscribes a new link to what the app wants, then tells it that it is in.
    #[expect(clippy::too_many_arguments, reason = "one road, walked once")]
    fn welcome(
        &mut self,
        seat: Seat,
        link: Link,
        token: Token,
        connected: Connected,
        admission: Admission,
        connect: &Connect,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        let whole = connected.resumed == Some(Resumed::Whole);
        if admission.channels.is_empty() || whole {
            let reply = Reply::Connected(Box::new(connected));
            out.event(seat, Event::Reply(token, Ok(reply)));
            if whole {
                self.replay(seat, connect.resume.as_ref().map_or(0, |it| it.read), out);
            }
            return;
        }
        let waiting = Waiting::Connecting {
            seat,
            token,
            connected: Box::new(connected),
            left: admission.channels.len(),
        };
        let Ok(ticket) = self.waiting.insert(waiting) else { return };
        for (channel, authorization) in admission.channels {
            let wish = self.wish(&channel, connect);
            let then = Then::Connect(ticket);
            self.begin(seat, link, Box::new(wish), authorization, then, now, out);
        }
    }

    /// Makes a seat the one of an earlier session, if that is still there.
    fn resume(
        &mut self,
        fresh: Seat,
        resume: &Resume,
        out: &mut dyn Outlet,
    ) -> (Seat, Option<Resumed>) {
        let found = self.seat_of(resume.key.session).filter(|it| *it != fresh);
        let found = found
            .and_then(|it| Some((it, self.sessions.get(it)?)))
            .filter(|(_, it)| it.kept.as_ref().is_some_and(|it| it.secret == resume.key.secret));
        let mine = self.sessions.get(fresh).and_then(|it| it.links.last());
        let taken = found.filter(|(_, it)| {
            let theirs = it.links.iter().find(|it| Some(it.link) == mine.map(|it| it.link));
            // Whoever it was must still be the same.
            !it.leaving && theirs.map(|it| &it.client.user) == mine.map(|it| &it.client.user)
        });
        let Some(taken) = taken.map(|(seat, _)| seat) else {
            self.counters.resumed_anew += 1;
            return (fresh, Some(Resumed::Anew));
        };
        let Some(session) = self.sessions.get_mut(taken) else { return (fresh, None) };
        let Some(kept) = session.kept.as_mut() else { return (fresh, None) };
        let whole = kept.read(resume.read);
        if kept.until.take().is_some() {
            self.kept_count -= 1;
        }
        if !whole {
            self.counters.resumed_anew += 1;
            session.leaving = true;
            out.event(taken, Event::Disconnect(Disconnect::Replaced));
            return (fresh, Some(Resumed::Anew));
        }
        self.counters.resumed += 1;
        if let Some(user) = mine_user(&self.sessions, fresh) {
            self.forget_user(fresh, &user);
        }
        self.sessions.remove(fresh);
        out.reseat(fresh, taken);
        (taken, Some(Resumed::Whole))
    }

    /// Tells a session that was taken up again what was said meanwhile.
    fn replay(&mut self, seat: Seat, read: u64, out: &mut dyn Outlet) {
        let Some(kept) = self.sessions.get(seat).and_then(|it| it.kept.as_ref()) else { return };
        let numbers = (kept.top - kept.log.len() as u64 + 1)..;
        for (number, (link, target, publication)) in numbers.zip(&kept.log) {
            if number > read {
                out.event(seat, Event::Said(*link, target.clone(), publication.clone(), number));
            }
        }
    }

    /// Lists a link under its user; returns false if the user has too many sessions.
    fn list_user(&mut self, seat: Seat, link: Link) -> bool {
        let Some(user) = self.link(seat, link).and_then(|it| it.client.user.clone()) else {
            return true;
        };
        let seats = self.users.entry(user).or_default();
        if !seats.contains(&seat) {
            if seats.len() >= self.settings.limits.user_sessions_max {
                return false;
            }
            seats.push(seat);
        }
        true
    }

    pub(super) fn link(&self, seat: Seat, link: Link) -> Option<&LinkState> {
        self.sessions.get(seat)?.links.iter().find(|it| it.link == link)
    }

    fn forget_user(&mut self, seat: Seat, user: &taiwa_core::User) {
        if let Some(seats) = self.users.get_mut(user) {
            seats.retain(|it| *it != seat);
            if seats.is_empty() {
                self.users.remove(user);
            }
        }
    }

    fn set_expiry(&mut self, seat: Seat, link: Link, admission: &Admission, now: Now) {
        let Some(session) = self.sessions.get_mut(seat) else { return };
        let Some(state) = session.links.iter_mut().find(|it| it.link == link) else { return };
        state.expires = admission.expires.map(|it| now.at + it);
        state.client_refreshes = admission.client_refreshes;
        if let Some(at) = state.expires {
            self.schedule(at, Due::Link(seat, link));
        }
    }

    /// Shows the app a fresh token.
    pub(super) fn refresh(
        &mut self,
        seat: Seat,
        token: Token,
        link: Link,
        fresh: Arc<str>,
        now: Now,
        out: &mut dyn Outlet,
    ) -> Answered {
        let who = self.admitted_client(seat, link)?;
        let question = Question::Refresh { who, token: Some(fresh) };
        let waiting = Waiting::Refresh { seat, link, token: Some(token) };
        self.question(Some(seat), waiting, question, now, out)?;
        Ok(None)
    }

    /// Returns a link's client, if it was let in.
    pub(super) fn admitted_client(&self, seat: Seat, link: Link) -> Result<Arc<Client>, Refusal> {
        let state = self.link(seat, link).filter(|it| it.admitted);
        let refusal = || Refusal::new(RefusalKind::Unauthorized, "connect first");
        state.map(|it| it.client.clone()).ok_or_else(refusal)
    }

    /// Lets a link stay, or not, as the app said.
    pub(super) fn refreshed(
        &mut self,
        (seat, link): (Seat, Link),
        token: Option<Token>,
        answer: Result<Answer, Refusal>,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        let Ok(client) = self.admitted_client(seat, link) else { return };
        match answer {
            Ok(Answer::Admission(admission)) if admission.user == client.user => {
                self.set_expiry(seat, link, &admission, now);
                let connected = Box::new(Connected {
                    session: client.session,
                    user: client.user.clone(),
                    expires: admission.expires.filter(|_| admission.client_refreshes),
                    data: admission.data,
                    subscribed: vec![],
                    resumed: None,
                });
                if let Some(token) = token {
                    out.event(seat, Event::Reply(token, Ok(Reply::Connected(connected))));
                }
            }
            Err(refusal) if refusal.is_temporary() && token.is_none() => {
                // The app could not be asked: a client does not pay for that at once.
                let again = now.at + self.settings.expiry_grace.max(Duration::from_secs(1));
                self.schedule(again, Due::LinkGrace(seat, link));
            }
            other => {
                let refusal = other.err().unwrap_or_else(nonsense);
                match token {
                    Some(token) => self.refuse(seat, token, refusal, out),
                    None => self.send_away(seat, Disconnect::Expired, out),
                }
            }
        }
    }

    /// Ends one link at its client's wish.
    pub(super) fn leave(&mut self, seat: Seat, link: Link, now: Now, out: &mut dyn Outlet) {
        self.end_link(seat, link, None, now, out);
    }

    fn end_link(
        &mut self,
        seat: Seat,
        link: Link,
        why: Option<Disconnect>,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        self.end_subscriptions(seat, link, now, out);
        let Some(session) = self.sessions.get_mut(seat) else { return };
        let Some(at) = session.links.iter().position(|it| it.link == link) else { return };
        let state = session.links.swap_remove(at);
        let others = session.links.iter().any(|it| it.client.user == state.client.user);
        if let Some(user) = state.client.user.as_ref().filter(|_| !others) {
            self.forget_user(seat, user);
        }
        if state.admitted && self.settings.tell_disconnected {
            let question = Question::Disconnected { who: state.client, why };
            self.notify(question, now, out);
        }
    }
}

fn mine_user(sessions: &crate::slab::Slab<Session>, seat: Seat) -> Option<taiwa_core::User> {
    sessions.get(seat)?.links.last()?.client.user.clone()
}

/// The app's answer was of another kind than the question.
pub(super) fn nonsense() -> Refusal {
    Refusal::new(RefusalKind::Unavailable, "the app gave no answer that fits")
}
