//! Sessions that go on on another node: how they are taken up there.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use taiwa_core::{
    About, Admission, Authorization, Channel, Client, Connect, Delivery, Disconnect, Link, NodeId,
    Position, Publication, Recovered, Refusal, RefusalKind, Reply, Resume, Resumed, SessionId,
    Subscribe, Subscribed, Target, User,
};

use super::{
    super::{
        Now, Shard,
        audience::{Writer, deliver},
        session::{Kept, LinkState, Why},
        timers::Due,
        waiting::{Asker, Then, Waiting},
    },
    saved::saved_under,
    tag,
};
use crate::{
    far::{Found, Wish},
    outlet::{Outlet, Seat, Ticket},
    wire::{self, Body, FarText, Logged, Saved, SavedLink, SavedSubscription, left},
};

/// A session of another node that is being taken up here.
#[derive(Debug)]
pub(in super::super) struct Restoring {
    asker: Asker,
    link: Link,
    connect: Box<Connect>,
    admission: Box<Admission>,
    /// The node that has it, until that says so or not.
    asked: Option<NodeId>,
    /// Once its subscriptions are on their way: what was kept, how many are, and what they missed.
    left: usize,
    is_whole: bool,
    read: u64,
    missed: Vec<(Link, Arc<Publication>)>,
}

/// How long another node may take to give a session up.
const RELEASE_WITHIN: Duration = Duration::from_secs(2);

impl Shard {
    /// Begins to take up a session of another node. Returns whether there is one to be asked for.
    pub(in super::super) fn ask_for_session(
        &mut self,
        (asker, link): (Asker, Link),
        connect: Box<Connect>,
        admission: Box<Admission>,
        now: Now,
        out: &mut dyn Outlet,
    ) -> Result<(), (Box<Connect>, Box<Admission>)> {
        let (Some(nodes), Some(resume)) = (&self.nodes, &connect.resume) else {
            return Err((connect, admission));
        };
        let (session, secret) = (resume.key.session, resume.key.secret);
        let has_others = self.sessions.get(asker.seat).is_none_or(|it| it.links.len() != 1);
        if self.is_ours(session) || has_others {
            return Err((connect, admission));
        }
        let owner = nodes.others.iter().find(|it| it.tag() == tag(session)).copied();
        let user = admission.user.as_ref().map(|it| it.as_str().into());
        let read = resume.read;
        let restoring = Restoring {
            asker,
            link,
            connect,
            admission,
            asked: owner,
            left: 0,
            is_whole: true,
            read,
            missed: vec![],
        };
        let ticket = match self.waiting.insert(Waiting::Taking(Box::new(restoring))) {
            Ok(ticket) => ticket,
            Err(Waiting::Taking(it)) => return Err((it.connect, it.admission)),
            Err(_) => return Ok(()),
        };
        let from = self.index;
        let letter = owner.and_then(|owner| {
            let ticket = ticket.bits();
            let text = FarText::Release { from, ticket, session, secret, user };
            Some((owner, text.write(session.shard()).ok()?))
        });
        match letter {
            Some((owner, letter)) => {
                out.far(None, Wish::Send(owner, letter));
                if let Some(late) = now.after(RELEASE_WITHIN) {
                    self.schedule(late, Due::Release(ticket));
                }
            }
            None => out.far(Some(ticket), Wish::Take(saved_under(session, secret))),
        }
        Ok(())
    }

    /// Gives a session up to another node.
    pub(super) fn release_to(
        &mut self,
        node: NodeId,
        (shard, ticket): (u16, u64),
        (session, secret): (SessionId, u128),
        user: Option<Box<str>>,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        let seat = self.seat_of(session).filter(|seat| {
            let session = self.sessions.get(*seat);
            session.is_some_and(|it| {
                let knows = it.kept.as_ref().is_some_and(|it| it.secret == secret);
                let is_same = it.links.iter().any(|it| {
                    it.admitted && it.client.user.as_ref().map(|it| it.as_str()) == user.as_deref()
                });
                knows && is_same && !it.leaving
            })
        });
        let mut saved = None;
        if let Some(seat) = seat {
            let is_away = self.sessions.get(seat).is_some_and(|it| it.is_away());
            if is_away || self.unplug(seat, out) {
                saved = self.saved_whole(seat, now);
            }
            let kept = self.sessions.get_mut(seat).and_then(|it| it.kept.as_mut());
            let ttl = kept.map(|it| {
                it.is_saved = false;
                it.ttl
            });
            self.send_away(seat, Disconnect::Replaced, now, out);
            if let (Some(saved), Some(ttl)) = (&saved, ttl) {
                // The letter may be lost, or the answer to the client: who comes once more finds it.
                out.far(None, Wish::Save(saved_under(session, secret), saved.clone(), ttl));
            }
        }
        if let Ok(letter) = FarText::Released(ticket, saved).write(shard) {
            out.far(None, Wish::Send(node, letter));
        }
    }

    /// Takes what another node gave up; if it gave nothing, the store may have something.
    pub(super) fn released(
        &mut self,
        ticket: Ticket,
        saved: Option<bytes::Bytes>,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        if saved.is_some() {
            return self.take_found(ticket, Ok(Found::Session(saved)), now, out);
        }
        if let Some(Waiting::Taking(it)) = self.waiting.get_mut(ticket) {
            it.asked = None;
        }
        self.ask_store_for(ticket, out);
    }

    /// Asks the store for a session whose node says nothing.
    pub(in super::super) fn ask_store_for(&mut self, ticket: Ticket, out: &mut dyn Outlet) {
        let Some(Waiting::Taking(it)) = self.waiting.get(ticket) else { return };
        if let Some(resume) = &it.connect.resume {
            let key = saved_under(resume.key.session, resume.key.secret);
            out.far(Some(ticket), Wish::Take(key));
        }
    }

    /// Goes on with what was kept of a session, or begins anew.
    pub(super) fn taken(
        &mut self,
        restoring: Restoring,
        found: Result<Found, Refusal>,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        let Restoring { asker, link, connect, admission, asked, .. } = restoring;
        if self.link(asker.seat, link).is_none_or(|it| it.admitted) {
            // It left meanwhile.
            return;
        }
        let saved = match found {
            Ok(Found::Session(Some(body))) => Saved::read(&body),
            Err(why) => return self.not_now(asker, link, why, out),
            Ok(_) => None,
        };
        let user = admission.user.as_ref().map(User::as_str);
        let resume = connect.resume.clone();
        let saved = saved.zip(resume).filter(|(saved, resume)| {
            saved.secret == resume.key.secret
                && saved.links.iter().any(|it| it.link == link.0 && it.user.as_deref() == user)
                && saved.links.len() <= self.settings.limits.links_max
                && (has_log(saved, resume) || self.has_positions(saved, resume))
        });
        let Some((saved, resume)) = saved else {
            if asked.is_some_and(|it| self.is_there(it)) {
                // Who has it did not hear us, or was not heard.
                return self.not_now(asker, link, silent(), out);
            }
            self.counters.resumed_anew += 1;
            return self.let_in(asker, link, &connect, *admission, Some(Resumed::Anew), now, out);
        };
        if !self.list_user(asker.seat, admission.user.as_ref(), out) {
            self.counters.refused_connections += 1;
            let full = Disconnect::Limit("sessions of a user");
            return self.send_away(asker.seat, full, now, out);
        }
        self.take_in(asker.seat, link, &admission, now);
        for it in saved.links.iter().filter(|it| it.link != link.0) {
            self.let_in_again(asker.seat, it, now, out);
        }
        let left = saved.subscriptions.len() + 1;
        let read = resume.read;
        let delivery = connect.delivery;
        let restoring = Restoring {
            asker,
            link,
            connect,
            admission,
            asked: None,
            left,
            is_whole: true,
            read,
            missed: vec![],
        };
        let Ok(ticket) = self.waiting.insert(Waiting::Taking(Box::new(restoring))) else { return };
        self.fill_log(asker.seat, &saved, &resume, out);
        if let Some(session) = self.sessions.get_mut(asker.seat) {
            session.delivery = delivery.unwrap_or(Delivery::Personal);
        }
        for it in &saved.subscriptions {
            let position = match has_log(&saved, &resume) {
                true => None,
                false => resume.positions.iter().find(|at| at.epoch == it.epoch).copied(),
            };
            self.subscribe_again(asker.seat, it, position, ticket, now, out);
        }
        self.one_restored(ticket, None, now, out);
    }

    /// Turns away who wants to go on with a session of which nobody can say now whether it is there: another time it may be.
    fn not_now(&mut self, asker: Asker, link: Link, why: Refusal, out: &mut dyn Outlet) {
        self.counters.refused_connections += 1;
        self.drop_link(asker.seat, link);
        self.reply(asker, Err(why), out);
    }

    fn is_there(&self, node: NodeId) -> bool {
        self.nodes.as_ref().is_some_and(|it| it.others.contains(&node))
    }

    /// Gives a session another link that it had. Its client need not connect it again.
    fn let_in_again(&mut self, seat: Seat, saved: &SavedLink, now: Now, out: &mut dyn Outlet) {
        let admission = saved.admission(now.unix_ms);
        if !self.list_user(seat, admission.user.as_ref(), out) {
            // It has to connect anew, and is told so then.
            return;
        }
        let Some(session) = self.sessions.get_mut(seat) else { return };
        let about = About::in_scope(None, saved.scope.as_deref().map(Into::into));
        let client = Client { user: None, about, ..Client::clone(&session.client) };
        let (link, client) = (Link(saved.link), Arc::new(client));
        session.links.push(LinkState { link, client, admitted: false, expiry: None });
        self.take_in(seat, link, &admission, now);
    }

    /// Gives a session the log that it had.
    fn fill_log(&mut self, seat: Seat, saved: &Saved, resume: &Resume, out: &mut dyn Outlet) {
        let Some(nodes) = &self.nodes else { return };
        let names = nodes.names.clone();
        let Some(session) = self.sessions.get_mut(seat) else { return };
        let mut kept = Kept::new(out.random());
        kept.ttl = saved.ttl;
        let has_log = has_log(saved, resume);
        kept.top = if has_log { saved.top } else { resume.read };
        if has_log {
            let read = |(link, channel, position, body): &Logged| {
                let channel = Channel::parse(channel)?;
                let position = position.map(|(epoch, offset)| Position { epoch, offset });
                let body = bytes::Bytes::copy_from_slice(body);
                match wire::read_body(&channel, position, &body, &names)? {
                    Body::Said(it) => {
                        Some((Link(*link), Target::Channel(channel), Arc::new(it.publication)))
                    }
                    _ => None,
                }
            };
            kept.log = saved.log.iter().filter_map(read).collect::<VecDeque<_>>();
            kept.bytes = kept.log.iter().map(|(_, _, it)| it.weight()).sum();
        }
        session.kept = Some(Box::new(kept));
    }

    fn subscribe_again(
        &mut self,
        seat: Seat,
        saved: &SavedSubscription,
        position: Option<Position>,
        ticket: Ticket,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        let Some(channel) = saved.channel() else {
            return self.one_restored(ticket, Some(Err(())), now, out);
        };
        let delivery = self.sessions.get(seat).map_or(Delivery::Personal, |it| it.delivery);
        let mut wish = Subscribe::new(Target::Channel(channel), delivery);
        wish.since = position.or(Some(saved.position()));
        wish.join_leave = saved.join_leave;
        wish.positioned = saved.positioned;
        (wish.echo, wish.once) = (saved.echo, saved.once);
        let authorization = Authorization {
            info: saved.info.clone().map(Into::into),
            expires: saved.ends.map(|it| left(it.0, now.unix_ms)),
            client_refreshes: saved.ends.is_some_and(|it| it.1),
            ..Authorization::default()
        };
        let then = Then::Restore(ticket);
        self.begin(seat, Link(saved.link), Box::new(wish), authorization, then, now, out);
    }

    /// Takes note that one of the subscriptions of a session stands again, or will not; with the last one its client is
    /// told.
    pub(in super::super) fn one_restored(
        &mut self,
        ticket: Ticket,
        stands: Option<Result<(Link, Subscribed), ()>>,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        let Some(Waiting::Taking(restoring)) = self.waiting.get_mut(ticket) else { return };
        match stands {
            None => {}
            Some(Ok((link, told))) => match told.recovered {
                Recovered::Whole(missed) => {
                    restoring.missed.extend(missed.into_iter().map(|it| (link, it)));
                }
                // Where nothing is kept nothing can be missed.
                _ if told.position.is_none() => {}
                _ => restoring.is_whole = false,
            },
            Some(Err(())) => restoring.is_whole = false,
        }
        restoring.left -= 1;
        if restoring.left > 0 {
            return;
        }
        let Some(Waiting::Taking(restoring)) = self.waiting.remove(ticket) else { return };
        self.restored(*restoring, now, out);
    }

    fn restored(&mut self, restoring: Restoring, now: Now, out: &mut dyn Outlet) {
        let Restoring { asker, link, connect, admission, is_whole, read, mut missed, .. } =
            restoring;
        let seat = asker.seat;
        if self.sessions.get(seat).is_none_or(|it| it.leaving || it.life != asker.life) {
            return;
        }
        if !is_whole {
            self.counters.resumed_anew += 1;
            self.end_subscriptions(seat, link, out);
            self.end_links_besides(seat, link, now, out);
            if let Some(session) = self.sessions.get_mut(seat) {
                session.kept = None;
            }
            let anew = Some(Resumed::Anew);
            let Some(connected) = self.connected((seat, link), &admission, anew) else { return };
            return self.welcome(asker, link, connected, *admission, &connect, now, out);
        }
        self.counters.resumed += 1;
        let whole = Some(Resumed::Whole);
        let Some(connected) = self.connected((seat, link), &admission, whole) else { return };
        self.reply(asker, Ok(Reply::Connected(Box::new(connected))), out);
        self.replay(seat, read, out);
        // In each channel in its order; between them in the order of time, as far as clocks agree.
        missed.sort_by_key(|(_, it)| it.at);
        for (link, publication) in missed {
            self.tell_again(seat, link, &publication, out);
        }
        let session = self.sessions.get(seat);
        let mine = session.map(|it| &it.subscriptions[..]).unwrap_or_default();
        let mine = mine.iter().filter(|it| it.coming.is_none());
        for (key, place) in mine.map(|it| (it.audience, it.place)).collect::<Vec<_>>() {
            self.release(key, place, Why::Connecting, out);
        }
        self.save_session(seat, now, out);
    }

    /// Ends the links that came back with another one.
    fn end_links_besides(&mut self, seat: Seat, link: Link, now: Now, out: &mut dyn Outlet) {
        let others = self.sessions.get(seat).map(|it| it.links_besides(link)).unwrap_or_default();
        for (other, _) in others {
            self.end_link(seat, other, None, now, out);
        }
    }

    /// Tells whether it is known where the client stands in each channel that has positions.
    fn has_positions(&self, saved: &Saved, resume: &Resume) -> bool {
        let is_told = |it: &SavedSubscription| {
            let namespace = it.channel().and_then(|it| self.settings.namespace(&it).cloned());
            namespace.is_none_or(|it| it.history_size == 0)
                || resume.positions.iter().any(|at| at.epoch == it.epoch)
                // What was said since it was saved has not reached the client.
                || resume.read >= saved.top
        };
        !resume.positions.is_empty() && saved.subscriptions.iter().all(is_told)
    }

    /// Gives a subscriber something that it missed while its session was nowhere.
    fn tell_again(
        &mut self,
        seat: Seat,
        link: Link,
        publication: &Arc<Publication>,
        out: &mut dyn Outlet,
    ) {
        let log_bytes_max = self.settings.limits.log_bytes_max;
        let target = Target::Channel(publication.channel.clone());
        let Some(mine) = self.subscription(seat, link, &target) else { return };
        let (key, place) = (mine.audience, mine.place);
        let (Some(session), Some(audience)) =
            (self.sessions.get_mut(seat), self.audiences.get_mut(key))
        else {
            return;
        };
        let to = audience.to.clone();
        let Some(subscriber) = audience.subscribers.get_mut(place) else { return };
        let at = subscriber.at;
        let writer = &mut Writer::default();
        deliver(subscriber, session, &to, publication, writer, log_bytes_max, out);
        out.fan_out_ended();
        self.counters.delivered += 1;
        subscriber.at = subscriber.at.max(at);
    }
}

fn silent() -> Refusal {
    Refusal::new(RefusalKind::Unavailable, "the other node is silent")
}

/// Tells whether the log that was saved has all that the client has not.
fn has_log(saved: &Saved, resume: &Resume) -> bool {
    let logged = saved.log.len() as u64;
    resume.read <= saved.top && saved.top - resume.read <= logged
}
