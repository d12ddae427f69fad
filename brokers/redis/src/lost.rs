//! Losing servers, and having them again.

use std::{
    collections::HashMap,
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use redis::{Cmd, cluster_routing::Slot};
use taiwa_core::{Channel, Position, State};

use crate::{
    ask::Gauge,
    dial::jittered,
    error::Error,
    flow::{Flow, What},
    mend::{Found, Newcomer, Past, Plan, slots},
    net::Server,
    said::{self, Known},
    scripts::{self, Script},
    settings::Address,
    work::Work,
};

/// How often it is asked, at most, who has which slots.
const LOOK_EVERY: Duration = Duration::from_millis(100);

impl Work {
    /// Gives a server up: says no to what was asked of it, and looks for it, or for who takes its place.
    pub(crate) fn lose_server(&mut self, line: u64, why: &Error) {
        let Some(server) = self.net.remove(line) else { return };
        Gauge::count(&self.shared.gauge.lost);
        tracing::warn!(address = %server.address, %why, "redis is lost");
        let down = self.net.servers.is_empty();
        if down {
            self.shared.gauge.up.store(false, Relaxed);
            self.down_since = Some(Instant::now());
        }
        self.remember(&server);
        self.lost.push(server.address.clone());
        for flight in server.asks.flights {
            self.lose(flight.what);
        }
        for item in server.asks.waiting {
            self.lose(item.what);
        }
        if down {
            for item in self.net.take_held().collect::<Vec<_>>() {
                self.lose(item.what);
            }
            if let Some(ears) = &self.ears {
                ears.state(State::Lost);
            }
        }
        self.release();
        let pause = jittered(self.shared.settings.again_after, self.shared.random());
        self.mend_wait = self.shared.settings.again_after;
        self.mend_at = Some(Instant::now() + pause);
    }

    fn remember(&mut self, server: &Server) {
        let mark = if self.shared.keys.clustered() {
            server.mark.clone().filter(|_| server.marked)
        } else {
            Some(self.shared.keys.mark(self.shared.node)).filter(|_| self.marked)
        };
        let past = Past { process: server.process.clone(), mark };
        self.past.insert(server.address.clone(), past);
    }

    /// Says no to what was asked of a server that is lost.
    pub(crate) fn lose(&mut self, what: What) {
        self.undo(&what);
        match what {
            What::Nothing | What::Beat | What::Mark => {}
            What::Answer(pending) | What::Told { pending, .. } | What::Patterns { pending, .. } => {
                pending.lose();
            }
        }
    }

    /// Asks soon who has which slots.
    pub(crate) fn look_again(&mut self) {
        let at = (self.mended + LOOK_EVERY).max(Instant::now());
        self.mend_at = Some(self.mend_at.map_or(at, |it| it.min(at)));
    }

    /// Begins to look for servers.
    pub(crate) fn mend(&mut self) {
        self.mend_at = None;
        let settings = &self.shared.settings;
        let have: Vec<Address> = self.net.servers.iter().map(|it| it.address.clone()).collect();
        let mut seeds: Vec<Address> = self.past.keys().cloned().collect();
        let told = [&settings.address].into_iter().chain(&settings.others);
        seeds.extend(told.filter(|it| !self.past.contains_key(it)).cloned());
        let plan = Plan {
            dialer: self.dialer.clone(),
            keys: self.shared.keys.clone(),
            secret: Some(self.shared.secret),
            living: self.net.servers.iter().map(|it| it.asks.wire.redis.clone()).collect(),
            have,
            seeds,
            names: self.net.unheard(),
            holds: self.holds(),
            past: self.past.clone(),
            whole: self.is_patient() || !self.shared.keys.clustered(),
        };
        self.mending = Some(Box::pin(plan.find()));
    }

    /// Tells whether none was reached for a short time: then all or nothing is wanted.
    fn is_patient(&self) -> bool {
        self.down_since.is_some_and(|it| it.elapsed() < self.shared.settings.gone_after)
    }

    /// Writes the commands that begin new epochs where a server does not hold what was heard.
    fn holds(&self) -> Vec<(Slot, Cmd)> {
        // Only of what is not heard now: the rest has its server.
        let names = self.net.names.values().filter(|it| it.at.is_none());
        let holds = names.filter_map(|it| {
            let channel = it.channel.as_ref()?;
            Some((it.slot, self.hold(channel, it.known?)))
        });
        holds.collect()
    }

    fn hold(&self, channel: &Channel, known: Known) -> Cmd {
        let Position { epoch, offset } = known.position;
        let new = said::epoch(self.shared.random());
        let arguments = [said::epoch(epoch), offset.to_string(), known.said.to_string(), new];
        let arguments = arguments.each_ref().map(|it| it.as_bytes());
        let keys = [self.shared.keys.top(channel), self.shared.keys.log(channel)];
        scripts::run(Script::Hold, &keys, &arguments)
    }

    /// Takes what looking for servers brought.
    pub(crate) fn found(&mut self, found: Result<Found, Error>) {
        self.mended = Instant::now();
        let patient = self.is_patient();
        let whole = match found {
            Ok(found) => {
                // Some that were there may be lost since.
                let living = self.net.servers.iter().map(|it| &it.address);
                let there: Vec<_> = living.chain(found.new.iter().map(|it| &it.address)).collect();
                let whole = found.whole && found.ranges.iter().all(|it| there.contains(&&it.2));
                if whole || !patient {
                    self.adopt(Found { whole, ..found });
                }
                whole
            }
            Err(why) => {
                let address = &self.shared.settings.address;
                tracing::debug!(%address, %why, "redis is still away");
                false
            }
        };
        if whole {
            self.mend_wait = self.shared.settings.again_after;
        } else {
            self.mend_wait = (self.mend_wait * 2).min(self.shared.settings.again_max);
            let pause = jittered(self.mend_wait, self.shared.random());
            let at = self.mended + pause;
            self.mend_at = Some(self.mend_at.map_or(at, |it| it.min(at)));
        }
    }

    /// Takes new servers in, and who has which slots; tells that everything is there again.
    pub(crate) fn adopt(&mut self, found: Found) {
        let Found { ranges, new, whole } = found;
        let was_lost = !self.lost.is_empty();
        let came = !new.is_empty();
        let mut past = vec![];
        for it in new {
            // Who takes the place of one that was lost may be a little behind it.
            let kept = it.kept.unwrap_or(!was_lost || self.past.contains_key(&it.address));
            self.entries_lost |= !kept;
            past.extend(self.take_in(it));
        }
        let mut owners = HashMap::new();
        for (first, last, address) in &ranges {
            if let Some(server) = self.net.servers.iter().find(|it| it.address == *address) {
                owners.extend(slots(*first, *last).map(|it| (it, server.id())));
            }
        }
        self.net.own(owners);
        if self.shared.keys.clustered() {
            self.mark_again();
        }
        for (line, name) in past {
            self.net.end(line, &name);
        }
        if whole {
            self.lost.clear();
            self.past.retain(|it, _| ranges.iter().any(|(_, _, address)| address == it));
        }
        if came && was_lost {
            self.is_back();
        }
        self.net.hear_again(Instant::now());
        self.release();
    }

    /// Takes a new server in. Returns what was subscribed to there and is not wanted any more.
    fn take_in(&mut self, it: Newcomer) -> Vec<(u64, Box<[u8]>)> {
        let Newcomer { address, about, asks, ears, heard, .. } = it;
        tracing::info!(%address, "redis is there");
        let line = asks.line;
        let process = about.process;
        self.net.servers.push(Server {
            address,
            asks: Flow::new(asks),
            ears: ears.map(Flow::new),
            process,
            mark: None,
            marked: false,
        });
        let mut past = vec![];
        for key in heard {
            if self.net.names.get(&key).is_some_and(|it| it.at.is_none()) {
                let (lapsed, _) = self.net.is_heard(&key, line);
                self.missed |= lapsed && self.is_up();
            } else {
                past.push((line, key));
            }
        }
        past
    }

    /// Chooses the key by which each server tells whether it keeps what is kept of this node.
    fn mark_again(&mut self) {
        let (keys, node) = (&self.shared.keys, self.shared.node);
        let marks: Vec<_> = self.net.servers.iter().map(|it| it.mark.clone()).collect();
        for (place, mark) in marks.into_iter().enumerate() {
            let id = self.net.servers[place].id();
            let has = |it: Slot| self.net.owns(id, it);
            if mark.is_none_or(|it| !has(keys.slot(it.as_bytes()))) {
                let mark = keys.mark_within(node, has);
                let server = &mut self.net.servers[place];
                (server.mark, server.marked) = (mark, false);
            }
        }
    }

    /// Tells that what was lost is there again.
    fn is_back(&mut self) {
        self.peers.pardon(Instant::now());
        if self.down_since.take().is_some() {
            self.shared.gauge.up.store(true, Relaxed);
        }
        let entries_lost = std::mem::take(&mut self.entries_lost);
        if entries_lost {
            self.shared.present().clear();
            self.marked = false;
        }
        self.missed = false;
        if let Some(ears) = &self.ears {
            ears.state(State::Back { entries_lost });
        }
        if self.ears.is_some() {
            self.say_alive();
        }
    }

    /// Takes out servers that have nothing any more, once they have answered.
    pub(crate) fn drop_idle(&mut self) {
        if !self.shared.keys.clustered() {
            return;
        }
        let idle = self.net.servers.iter().filter(|it| {
            it.asks.flights.is_empty() && it.asks.waiting.is_empty() && !self.net.has_any(it.id())
        });
        for id in idle.map(Server::id).collect::<Vec<_>>() {
            if let Some(server) = self.net.remove(id) {
                tracing::info!(address = %server.address, "redis has moved all from there");
                self.remember(&server);
            }
        }
    }
}
