//! Channels that may have missed something, which are read again, and what subscribers are told of what can't be had.

use taiwa_core::{Channel, Event, Position};

use super::{
    super::{Now, Shard, owned::Owned, timers::Due},
    replica::Feed,
};
use crate::outlet::Outlet;

/// How many doubtful channels are read at once.
const READING_MAX: usize = 64;

impl Shard {
    /// Reads all channels again: something may have been missed.
    pub(super) fn doubt_all(&mut self, out: &mut dyn Outlet) {
        let fed = |it: &Owned| {
            it.has_positions() && it.replica.as_ref().is_some_and(|it| it.feed == Feed::On)
        };
        let all: Vec<_> =
            self.owned.iter().filter(|(_, it)| fed(it)).map(|(name, _)| name.clone()).collect();
        for channel in all {
            self.doubt(channel);
        }
        self.read_doubtful(out);
    }

    pub(super) fn doubt(&mut self, channel: Channel) {
        let Some(replica) = self.replica(&channel) else { return };
        if !std::mem::replace(&mut replica.doubted, true)
            && let Some(nodes) = &mut self.nodes
        {
            nodes.doubtful.push_back(channel);
        }
    }

    /// Reads the next doubtful channels.
    pub(super) fn read_doubtful(&mut self, out: &mut dyn Outlet) {
        while let Some(nodes) = self.nodes.as_mut().filter(|it| it.reading < READING_MAX)
            && let Some(channel) = nodes.doubtful.pop_front()
        {
            let Some(replica) = self.replica(&channel) else { continue };
            replica.doubted = false;
            if replica.feed != Feed::On || std::mem::replace(&mut replica.counted, true) {
                continue;
            }
            if let Some(nodes) = &mut self.nodes {
                nodes.reading += 1;
            }
            self.sync(&channel, out);
        }
    }

    /// Looks a little later at what could not be told.
    pub(super) fn repair_soon(&mut self, now: Now) {
        let Some(nodes) = &mut self.nodes else { return };
        if !std::mem::replace(&mut nodes.repairing, true)
            && let Some(at) = now.after(std::time::Duration::from_secs(1))
        {
            self.schedule(at, Due::Repair);
        }
    }

    /// Tells the subscribers here that something can't be had any more.
    pub(in super::super) fn broken(
        &mut self,
        channel: &Channel,
        at: Position,
        out: &mut dyn Outlet,
    ) {
        let Some(key) = self.channels.get(channel).copied() else { return };
        let Some(audience) = self.audiences.get_mut(key) else { return };
        audience.epoch = at.epoch;
        let target = audience.to.target();
        for subscriber in audience.subscribers.as_mut_slice() {
            if let Some(behind) = &mut subscriber.behind {
                behind.missed += 1;
                continue;
            }
            (subscriber.at, subscriber.has_whole) = (at.offset, false);
            let Some(session) = self.sessions.get_mut(subscriber.seat) else { continue };
            if let Some(kept) = &mut session.kept {
                kept.lose();
            }
            if session.leaving || session.is_away() {
                continue;
            }
            self.counters.gaps += 1;
            let count = (!subscriber.positioned).then_some(0);
            let (seat, link) = (subscriber.seat, subscriber.link);
            out.event(seat, Event::Missed(link, target.clone(), count, Some(at)));
        }
    }
}
