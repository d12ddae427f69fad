//! Sessions that can move: what is kept of them where all nodes find it.

use std::sync::Arc;

use taiwa_core::{Link, Publication, SessionId, Target};

use super::super::{
    Now, Shard,
    session::{Expiry, Kept, LinkState, To},
    timers::Due,
};
use crate::{
    far::Wish,
    outlet::{Outlet, Seat},
    wire::{self, Logged, Saved, SavedLink, SavedSubscription},
};

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
        let links: Vec<_> = session.links.iter().filter_map(|it| saved_link(it, now)).collect();
        let kept = session.kept.as_mut()?;
        kept.is_saved = true;
        let is_away = kept.away.is_some();
        let session = self.sessions.get(seat)?;
        let mut subscriptions = vec![];
        for mine in session.subscriptions.iter().filter(|it| it.coming.is_none()) {
            let audience = self.audiences.get(mine.audience)?;
            // A pattern has no position to go on from.
            let To::Channel(channel, _) = &audience.to else { return None };
            let subscriber = audience.subscribers.get(mine.place)?;
            let special = subscriber.special.as_ref();
            if special.is_some_and(|it| it.filter.is_some()) {
                return None;
            }
            let member = special.and_then(|it| it.member.as_ref());
            let ends = mine.expiry.as_deref().map(|it| ends(it, now));
            subscriptions.push(SavedSubscription {
                link: mine.link.0,
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
        let saved =
            Saved { secret: kept.secret, ttl: kept.ttl, links, top: kept.top, subscriptions, log };
        Some((saved_under(id, kept.secret), saved))
    }

    /// Writes a session down with its log.
    pub(super) fn saved_whole(&mut self, seat: Seat, now: Now) -> Option<bytes::Bytes> {
        let (_, mut saved) = self.saved(seat, now)?;
        let kept = self.sessions.get(seat)?.kept.as_ref()?;
        saved.log = kept.log.iter().filter_map(written).collect();
        saved.write()
    }
}

/// Under which name a store keeps a session: only who knows its secret can say it.
pub(super) fn saved_under(session: SessionId, secret: u128) -> SessionId {
    SessionId(session.0 ^ secret)
}

/// Writes down a link that was let in.
fn saved_link(state: &LinkState, now: Now) -> Option<SavedLink> {
    let client = Some(&state.client).filter(|_| state.admitted)?;
    Some(SavedLink {
        link: state.link.0,
        user: client.user.as_ref().map(|it| it.as_str().into()),
        scope: client.scope().map(Into::into),
        info: client.info().map(|it| it.to_vec()),
        meta: client.meta().map(|it| it.to_vec()),
        ends: state.expiry.as_deref().map(|it| ends(it, now)),
    })
}

/// Returns when rights end, in milliseconds of Unix time, and whether the client refreshes them.
fn ends(expiry: &Expiry, now: Now) -> (u64, bool) {
    let left = expiry.at.saturating_duration_since(now.at).as_millis() as u64;
    (now.unix_ms + left, expiry.client_refreshes)
}

fn written((link, target, publication): &(Link, Target, Arc<Publication>)) -> Option<Logged> {
    let Target::Channel(channel) = target else { return None };
    let position = publication.position.map(|it| (it.epoch, it.offset));
    Some((
        link.0,
        channel.as_str().into(),
        position,
        wire::write_publication(publication)?.to_vec(),
    ))
}
