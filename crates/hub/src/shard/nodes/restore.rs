//! Sessions that go on on another node: what is kept of them where all nodes find it, and how they are taken up.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use taiwa_core::{
    Admission, Authorization, Channel, Connect, Delivery, Link, NodeId, Position, Publication,
    Recovered, Refusal, Reply, Resumed, SessionId, Subscribe, Subscribed, Target,
};

use super::{
    super::{
        Now, Shard,
        audience::{Writer, deliver},
        session::{Kept, To, Why},
        timers::Due,
        waiting::{Asker, Then, Waiting},
    },
    tag,
};
use crate::{
    far::{Found, Wish},
    outlet::{Outlet, Seat, Ticket},
    wire::{self, Body, FarText, Logged, Saved, SavedSubscription},
};

/// A session of another node that is being taken up here.
#[derive(Debug)]
pub(in super::super) struct Restoring {
    asker: Asker,
    link: Link,
    connect: Box<Connect>,
    admission: Box<Admission>,
    /// Once its subscriptions are on their way: what was kept, how many are, and what they missed.
    left: usize,
    is_whole: bool,
    read: u64,
    missed: Vec<Vec<Arc<Publication>>>,
}

/// How long another node may take to give a session up.
const RELEASE_WITHIN: Duration = Duration::from_secs(2);

/// A store keeps a session for so many times as long as its node does, so that it is found when its node died between
/// two times of saving.
const LONGER: u32 = 3;

impl Shard {
    /// Sees to it that another node finds what this session needs to go on there.
    pub(in super::super) fn save_session(&mut self, seat: Seat, now: Now, out: &mut dyn Outlet) {
        let Some((key, saved)) = self.saved(seat, now) else { return };
        let ttl = saved.ttl * LONGER;
        if let Some(body) = saved.write() {
            out.far(None, Wish::Save(key, body, ttl));
        }
        if let Some(again) = now.after(saved.ttl) {
            self.schedule(again, Due::Save(seat));
        }
    }

    /// Does so if it is kept, after its subscriptions have changed.
    pub(in super::super) fn save_if_kept(&mut self, seat: Seat, now: Now, out: &mut dyn Outlet) {
        let kept = self.sessions.get(seat).and_then(|it| it.kept.as_ref());
        if kept.is_some_and(|it| it.is_saved) {
            self.save_session(seat, now, out);
        }
    }

    /// Takes away what another node would find.
    pub(in super::super) fn forget_saved(
        &mut self,
        kept: &Kept,
        id: SessionId,
        out: &mut dyn Outlet,
    ) {
        if self.nodes.is_some() && kept.is_saved {
            out.far(None, Wish::Drop(saved_under(id, kept.secret)));
        }
    }

    /// Writes down what a session needs to go on; `None` if it can't be moved.
    fn saved(&mut self, seat: Seat, now: Now) -> Option<(SessionId, Saved)> {
        self.nodes.as_ref()?;
        let session = self.sessions.get_mut(seat)?;
        let id = session.id();
        let first = session.links.iter().find(|it| it.admitted)?;
        let (link, user) = (first.link, first.client.user.clone());
        let kept = session.kept.as_mut()?;
        kept.is_saved = true;
        let is_away = kept.away.is_some();
        let session = self.sessions.get(seat)?;
        let mut subscriptions = vec![];
        for mine in session.subscriptions.iter().filter(|it| it.link == link && it.coming.is_none())
        {
            let audience = self.audiences.get(mine.audience)?;
            // A pattern has no position to go on from.
            let To::Channel(channel, _) = &audience.to else { return None };
            let subscriber = audience.subscribers.get(mine.place)?;
            let special = subscriber.special.as_ref();
            if special.is_some_and(|it| it.filter.is_some()) {
                return None;
            }
            let member = special.and_then(|it| it.member.as_ref());
            let ends = mine.expiry.as_ref().map(|it| {
                let left = it.at.saturating_duration_since(now.at).as_millis() as u64;
                (now.unix_ms + left, it.client_refreshes)
            });
            subscriptions.push(SavedSubscription {
                channel: channel.as_str().into(),
                epoch: audience.epoch,
                offset: subscriber.at,
                join_leave: subscriber.join_leave,
                positioned: subscriber.positioned,
                echo: subscriber.echo,
                once: subscriber.once,
                info: member.and_then(|it| it.channel_info.as_ref()).map(|it| it.to_vec()),
                ends,
            });
        }
        let kept = session.kept.as_ref()?;
        // Before its line is lost nobody knows what its client has not read.
        let log = if is_away { kept.log.iter().filter_map(written).collect() } else { vec![] };
        let saved = Saved {
            secret: kept.secret,
            user: user.map(|it| it.as_str().into()),
            ttl: kept.ttl,
            link: link.0,
            top: kept.top,
            subscriptions,
            log,
        };
        Some((saved_under(id, kept.secret), saved))
    }

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
        if self.is_ours(session) {
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
            let replaced = taiwa_core::Disconnect::Replaced;
            self.send_away(seat, replaced, now, out);
        }
        if let Ok(letter) = FarText::Released(ticket, saved).write(shard) {
            out.far(None, Wish::Send(node, letter));
        }
    }

    /// Writes a session down with its log.
    fn saved_whole(&mut self, seat: Seat, now: Now) -> Option<bytes::Bytes> {
        let (_, mut saved) = self.saved(seat, now)?;
        let kept = self.sessions.get(seat)?.kept.as_ref()?;
        saved.log = kept.log.iter().filter_map(written).collect();
        saved.write()
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
        let saved = match found {
            Ok(Found::Session(Some(body))) => Saved::read(&body),
            _ => None,
        };
        let Restoring { asker, link, connect, admission, .. } = restoring;
        if self.link(asker.seat, link).is_none_or(|it| it.admitted) {
            // It left meanwhile.
            return;
        }
        let user = admission.user.as_ref().map(|it| it.as_str());
        let resume = connect.resume.clone();
        let saved = saved.zip(resume).filter(|(saved, resume)| {
            saved.secret == resume.key.secret
                && saved.user.as_deref() == user
                && saved.link == link.0
                && is_exact(saved, resume)
        });
        let Some((saved, resume)) = saved else {
            self.counters.resumed_anew += 1;
            return self.let_in(asker, link, &connect, *admission, Some(Resumed::Anew), now, out);
        };
        if !self.list_user(asker.seat, admission.user.as_ref(), out) {
            self.counters.refused_connections += 1;
            let full = taiwa_core::Disconnect::Limit("sessions of a user");
            return self.send_away(asker.seat, full, now, out);
        }
        self.take_in(asker.seat, link, &admission, now);
        let left = saved.subscriptions.len() + 1;
        let read = resume.read;
        let delivery = connect.delivery;
        let restoring = Restoring {
            asker,
            link,
            connect,
            admission,
            left,
            is_whole: true,
            read,
            missed: vec![],
        };
        let Ok(ticket) = self.waiting.insert(Waiting::Taking(Box::new(restoring))) else { return };
        self.fill_log(asker.seat, link, &saved, &resume, out);
        if let Some(session) = self.sessions.get_mut(asker.seat) {
            session.delivery = delivery.unwrap_or(Delivery::Personal);
        }
        for it in &saved.subscriptions {
            self.subscribe_again((asker.seat, link), it, &resume, ticket, now, out);
        }
        self.one_restored(ticket, None, now, out);
    }

    /// Gives a session the log that it had.
    fn fill_log(
        &mut self,
        seat: Seat,
        link: Link,
        saved: &Saved,
        resume: &taiwa_core::Resume,
        out: &mut dyn Outlet,
    ) {
        let Some(nodes) = &self.nodes else { return };
        let names = nodes.names.clone();
        let Some(session) = self.sessions.get_mut(seat) else { return };
        let mut kept = Kept::new(out.random());
        kept.ttl = saved.ttl;
        kept.top = if resume.positions.is_empty() { saved.top } else { resume.read };
        if resume.positions.is_empty() {
            let read = |(channel, position, body): &Logged| {
                let channel = Channel::parse(channel)?;
                let position = position.map(|(epoch, offset)| Position { epoch, offset });
                let body = bytes::Bytes::copy_from_slice(body);
                match wire::read_body(&channel, position, &body, &names)? {
                    Body::Said(it) => {
                        Some((link, Target::Channel(channel), Arc::new(it.publication)))
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
        (seat, link): (Seat, Link),
        saved: &SavedSubscription,
        resume: &taiwa_core::Resume,
        ticket: Ticket,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        let Some(channel) = saved.channel() else {
            return self.one_restored(ticket, Some(Err(())), now, out);
        };
        let delivery = self.sessions.get(seat).map_or(Delivery::Personal, |it| it.delivery);
        let client = resume.positions.iter().find(|(it, _)| *it == channel).map(|(_, at)| *at);
        let mut wish = Subscribe::new(Target::Channel(channel), delivery);
        wish.since = Some(client.unwrap_or(saved.position()));
        wish.join_leave = saved.join_leave;
        wish.positioned = saved.positioned;
        (wish.echo, wish.once) = (saved.echo, saved.once);
        let left = saved.ends.map(|(ends, client_refreshes)| {
            (Duration::from_millis(ends.saturating_sub(now.unix_ms)), client_refreshes)
        });
        let authorization = Authorization {
            info: saved.info.clone().map(Into::into),
            expires: left.map(|it| it.0),
            client_refreshes: left.is_some_and(|it| it.1),
            ..Authorization::default()
        };
        let then = Then::Restore(ticket);
        self.begin(seat, link, Box::new(wish), authorization, then, now, out);
    }

    /// Takes note that one of the subscriptions of a session stands again, or will not; with the last one its client is
    /// told.
    pub(in super::super) fn one_restored(
        &mut self,
        ticket: Ticket,
        stands: Option<Result<Subscribed, ()>>,
        now: Now,
        out: &mut dyn Outlet,
    ) {
        let Some(Waiting::Taking(restoring)) = self.waiting.get_mut(ticket) else { return };
        match stands {
            None => {}
            Some(Ok(told)) => match told.recovered {
                Recovered::Whole(missed) => restoring.missed.push(missed),
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
        let Restoring { asker, link, connect, admission, is_whole, read, missed, .. } = restoring;
        let seat = asker.seat;
        if self.sessions.get(seat).is_none_or(|it| it.leaving || it.life != asker.life) {
            return;
        }
        if !is_whole {
            self.counters.resumed_anew += 1;
            self.end_subscriptions(seat, link, out);
            if let Some(session) = self.sessions.get_mut(seat) {
                session.kept = None;
            }
            let Some(connected) = self.connected(seat, &admission, Some(Resumed::Anew)) else {
                return;
            };
            return self.welcome(asker, link, connected, *admission, &connect, now, out);
        }
        self.counters.resumed += 1;
        let Some(connected) = self.connected(seat, &admission, Some(Resumed::Whole)) else {
            return;
        };
        self.reply(asker, Ok(Reply::Connected(Box::new(connected))), out);
        self.replay(seat, read, out);
        // In each channel in its order; between them in the order of time, as far as clocks agree.
        let mut all: Vec<_> = missed.into_iter().flatten().collect();
        all.sort_by_key(|it| it.at);
        for publication in all {
            self.tell_again(seat, link, &publication, out);
        }
        let session = self.sessions.get(seat);
        let mine = session.map(|it| &it.subscriptions[..]).unwrap_or_default();
        let mine = mine.iter().filter(|it| it.link == link && it.coming.is_none());
        for (key, place) in mine.map(|it| (it.audience, it.place)).collect::<Vec<_>>() {
            self.release(key, place, Why::Connecting, out);
        }
        self.save_session(seat, now, out);
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

/// Under which name a store keeps a session: only who knows its secret can say it.
fn saved_under(session: SessionId, secret: u128) -> SessionId {
    SessionId(session.0 ^ secret)
}

/// Tells whether it is known exactly what the client has.
fn is_exact(saved: &Saved, resume: &taiwa_core::Resume) -> bool {
    if resume.positions.is_empty() {
        let logged = saved.log.len() as u64;
        return resume.read <= saved.top && saved.top - resume.read <= logged;
    }
    saved
        .subscriptions
        .iter()
        .all(|it| resume.positions.iter().any(|(channel, _)| channel.as_str() == &*it.channel))
}

fn written((_, target, publication): &(Link, Target, Arc<Publication>)) -> Option<Logged> {
    let Target::Channel(channel) = target else { return None };
    let position = publication.position.map(|it| (it.epoch, it.offset));
    Some((channel.as_str().into(), position, wire::write_publication(publication)?.to_vec()))
}
