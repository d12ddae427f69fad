//! The servers that this node talks to: which of them has which slot, and what is heard where.
//!
//! A single server has one slot with everything. Of a cluster of servers each has some of 16,384. A slot that moves, or in
//! which a subscription begins, is *held*: what is asked of it waits, in order, until it is clear whom to ask.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use redis::{Cmd, RedisResult, ServerErrorKind, Value, cluster_routing::Slot};
use taiwa_core::Channel;

use crate::{
    flow::{Flight, Flow, Item, What, take_late},
    said::Known,
    settings::Address,
};

/// How long to wait before a slot that moves is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(25);
/// How long to wait before a name that is not heard yet is subscribed to again.
const HEAR_AGAIN: Duration = Duration::from_millis(300);

/// All servers.
#[derive(Default)]
pub(crate) struct Net {
    pub(crate) servers: Vec<Server>,
    /// The line of the server that has a slot.
    owners: HashMap<Slot, u64>,
    pub(crate) names: HashMap<Box<[u8]>, Name>,
    /// Names that nobody confirmed yet.
    unheard: HashSet<Box<[u8]>>,
    held: HashMap<Slot, Held>,
    request_max: Duration,
}

/// One server, and our connections to it.
pub(crate) struct Server {
    pub(crate) address: Address,
    /// For requests, and on a single server for everything.
    pub(crate) asks: Flow,
    /// For subscriptions to a part of a cluster. The library takes a subscription that ends by itself, as when its slot
    /// moves away, for the answer to a request; so there are none beside them.
    pub(crate) ears: Option<Flow>,
    pub(crate) process: Vec<u8>,
    /// In a slot of its own: is there as long as the node's members are.
    pub(crate) mark: Option<String>,
    pub(crate) marked: bool,
}

/// Something that is heard.
pub(crate) struct Name {
    pub(crate) slot: Slot,
    /// The channel that it is, if it is one.
    pub(crate) channel: Option<Channel>,
    /// The newest that was heard or told of it.
    pub(crate) known: Option<Known>,
    /// Heard by all servers of a cluster.
    pub(crate) everywhere: bool,
    /// The server on which it is heard, by the line of its requests.
    pub(crate) at: Option<u64>,
    /// It was heard before, and something may have been missed since.
    pub(crate) lapsed: bool,
    asked: Option<Instant>,
    /// The slot that is held until it is heard.
    holds: Option<Slot>,
}

/// What waits until it is clear whom to ask.
#[derive(Default)]
struct Held {
    /// Subscriptions that must be there before.
    awaited: usize,
    /// It was said that another server has it, or will have it: when to ask again.
    again_at: Option<Instant>,
    /// The first is on its way, to see what is said now.
    probing: bool,
    /// What was sent and came back, before what was not sent yet.
    returned: VecDeque<Item>,
    fresh: VecDeque<Item>,
}

impl Name {
    pub(crate) fn new(slot: Slot, channel: Option<Channel>) -> Self {
        Self {
            slot,
            channel,
            known: None,
            everywhere: false,
            at: None,
            lapsed: false,
            asked: None,
            holds: None,
        }
    }
}

impl Name {
    /// Something that all servers of a cluster say.
    pub(crate) fn everywhere(slot: Slot) -> Self {
        Self { everywhere: true, ..Self::new(slot, None) }
    }
}

impl Server {
    /// The number by which it is known.
    pub(crate) fn id(&self) -> u64 {
        self.asks.wire.line
    }

    pub(crate) fn has_line(&self, line: u64) -> bool {
        self.id() == line || self.ears.as_ref().is_some_and(|it| it.wire.line == line)
    }

    fn flows(&mut self) -> impl Iterator<Item = &mut Flow> {
        [&mut self.asks].into_iter().chain(&mut self.ears)
    }

    fn hear(&mut self, name: &[u8], of: &Name, wanted: bool, request_max: Duration) {
        let sharded = self.ears.is_some() && !of.everywhere;
        let verb: &[u8] = match (wanted, sharded) {
            (true, true) => b"SSUBSCRIBE",
            (true, false) => b"SUBSCRIBE",
            (false, true) => b"SUNSUBSCRIBE",
            (false, false) => b"UNSUBSCRIBE",
        };
        let flow = self.ears.as_mut().unwrap_or(&mut self.asks);
        flow.say(of.slot, &[verb, name], request_max);
    }
}

/// Tells whether an error means that something has to be asked again, perhaps elsewhere; it was not done then.
pub(crate) fn is_elsewhere(why: &redis::ServerError) -> bool {
    use ServerErrorKind::{Ask, BusyLoading, ClusterDown, MasterDown, Moved, ReadOnly, TryAgain};
    let kinds = [Ask, BusyLoading, ClusterDown, MasterDown, Moved, ReadOnly, TryAgain];
    why.kind().is_some_and(|it| kinds.contains(&it))
}

impl Net {
    pub(crate) fn new(request_max: Duration) -> Self {
        Self { request_max, ..Self::default() }
    }

    pub(crate) fn owner(&mut self, slot: Slot) -> Option<&mut Server> {
        let id = *self.owners.get(&slot)?;
        self.servers.iter_mut().find(|it| it.id() == id)
    }

    /// Replaces who has which slot.
    pub(crate) fn own(&mut self, owners: HashMap<Slot, u64>) {
        self.owners = owners;
        for (key, name) in &mut self.names {
            // What all servers say is heard on any.
            let right = if name.everywhere {
                name.at.filter(|at| self.servers.iter().any(|it| it.id() == *at))
            } else {
                self.owners.get(&name.slot).copied()
            };
            if name.at.is_none() || name.at != right {
                name.lapsed |= name.at.take().is_some();
                name.asked = None;
                self.unheard.insert(key.clone());
            }
        }
    }

    /// Ends a subscription that nobody wants.
    pub(crate) fn end(&mut self, line: u64, key: &[u8]) {
        let slot = Slot::for_key(key);
        let (request_max, name) = (self.request_max, Name::new(slot, None));
        if let Some(server) = self.servers.iter_mut().find(|it| it.has_line(line)) {
            server.hear(key, &name, false, request_max);
        }
    }

    /// Tells whether a server has any slot.
    pub(crate) fn has_any(&self, id: u64) -> bool {
        self.owners.values().any(|it| *it == id)
    }

    pub(crate) fn owns(&self, id: u64, slot: Slot) -> bool {
        self.owners.get(&slot) == Some(&id)
    }

    /// Asks for something; returns it if nobody can be asked.
    pub(crate) fn send(&mut self, item: Item) -> Option<Item> {
        if let Some(held) = self.held.get_mut(&item.slot) {
            held.fresh.push_back(item);
            return None;
        }
        match self.owner(item.slot) {
            Some(server) => {
                server.asks.waiting.push_back(item);
                None
            }
            None => Some(item),
        }
    }

    /// Hears something from now on. What is asked behind it of the slot `before` is done once it is heard.
    pub(crate) fn hear(&mut self, key: Box<[u8]>, mut name: Name, before: Slot, now: Instant) {
        let request_max = self.request_max;
        if let Some(server) = self.owner(name.slot) {
            server.hear(&key, &name, true, request_max);
            if server.ears.is_none() {
                name.at = Some(server.id());
            }
            name.asked = Some(now);
        }
        if name.at.is_none() {
            self.unheard.insert(key.clone());
            if name.asked.is_some() && self.owners.contains_key(&before) {
                name.holds = Some(before);
                self.held.entry(before).or_default().awaited += 1;
            }
        }
        self.names.insert(key, name);
    }

    /// Hears it no longer.
    pub(crate) fn forget(&mut self, key: &[u8]) -> bool {
        let Some(name) = self.names.remove(key) else { return false };
        self.unheard.remove(key);
        self.release_for(name.holds);
        let request_max = self.request_max;
        // Also where it was only asked for.
        let at = name.at.or_else(|| self.owners.get(&name.slot).copied());
        if let Some(server) = self.servers.iter_mut().find(|it| Some(it.id()) == at) {
            server.hear(key, &name, false, request_max);
        }
        true
    }

    fn release_for(&mut self, slot: Option<Slot>) {
        if let Some(held) = slot.and_then(|it| self.held.get_mut(&it)) {
            held.awaited = held.awaited.saturating_sub(1);
        }
    }

    /// Takes note that a subscription is there. Returns whether something may have been missed before, and the slot that
    /// waited for it.
    pub(crate) fn is_heard(&mut self, key: &[u8], line: u64) -> (bool, Option<Slot>) {
        let server = self.servers.iter().find(|it| it.has_line(line));
        // Perhaps nobody wants it any more.
        let Some((server, name)) = server.zip(self.names.get_mut(key)) else {
            return (false, None);
        };
        name.at = Some(server.id());
        self.unheard.remove(key);
        let (lapsed, holds) = (std::mem::take(&mut name.lapsed), name.holds.take());
        self.release_for(holds);
        (lapsed, holds)
    }

    /// Takes note that a subscription ended. Returns whether it was wanted.
    pub(crate) fn is_unheard(&mut self, key: &[u8], line: u64) -> bool {
        let Some(server) = self.servers.iter().find(|it| it.has_line(line)) else { return false };
        let id = server.id();
        let Some((key, name)) = self.names.get_key_value(key) else { return false };
        if name.at != Some(id) {
            return false;
        }
        self.unheard.insert(key.clone());
        let key = key.clone();
        let name = self.names.get_mut(&key).expect("it was there");
        (name.at, name.lapsed, name.asked) = (None, true, None);
        true
    }

    /// Subscribes again to what is not heard.
    pub(crate) fn hear_again(&mut self, now: Instant) {
        let request_max = self.request_max;
        for key in &self.unheard {
            let Some(name) = self.names.get_mut(key) else { continue };
            if name.asked.is_some_and(|it| now.duration_since(it) < HEAR_AGAIN) {
                continue;
            }
            let Some(id) = self.owners.get(&name.slot) else { continue };
            if let Some(server) = self.servers.iter_mut().find(|it| it.id() == *id) {
                server.hear(key, name, true, request_max);
                name.asked = Some(now);
                if server.ears.is_none() {
                    name.at = Some(*id);
                }
            }
        }
        self.unheard.retain(|it| self.names.get(it).is_some_and(|it| it.at.is_none()));
    }

    /// Takes note that another server must be asked for what is in a slot, and takes back what was asked of this one.
    pub(crate) fn came_back(&mut self, id: u64, slot: Slot, item: Option<Item>, now: Instant) {
        let held = self.held.entry(slot).or_default();
        let first = held.again_at.replace(now + ASK_AGAIN).is_none();
        match item {
            Some(item) if held.probing => held.returned.push_front(item),
            item => held.returned.extend(item),
        }
        held.probing = false;
        if first && let Some(server) = self.servers.iter_mut().find(|it| it.id() == id) {
            // What was not sent yet waits with it, before what came later.
            let (theirs, others) = std::mem::take(&mut server.asks.waiting)
                .into_iter()
                .partition::<VecDeque<_>, _>(|it| it.slot == slot);
            server.asks.waiting = others;
            let later = std::mem::replace(&mut held.fresh, theirs);
            held.fresh.extend(later);
        }
    }

    /// Takes note that something was done in a slot. Returns whether others waited to see that.
    pub(crate) fn was_done(&mut self, slot: Slot) -> bool {
        if self.held.is_empty() {
            return false;
        }
        let Some(held) = self.held.get_mut(&slot).filter(|it| it.probing) else { return false };
        (held.probing, held.again_at) = (false, None);
        true
    }

    /// Lets go of what waited long enough; returns what nobody can be asked for.
    pub(crate) fn release_all(&mut self, now: Instant) -> Vec<Item> {
        let slots: Vec<Slot> = self.held.keys().copied().collect();
        slots.into_iter().flat_map(|it| self.release(it, now)).collect()
    }

    /// Lets go of what waited in a slot, if it waited long enough; returns what nobody can be asked for.
    pub(crate) fn release(&mut self, slot: Slot, now: Instant) -> Vec<Item> {
        let Some(held) = self.held.get(&slot) else { return vec![] };
        if !self.owners.contains_key(&slot) {
            let held = self.held.remove(&slot).expect("it was there");
            let waited = self.names.values_mut().filter(|it| it.holds == Some(slot));
            waited.for_each(|it| it.holds = None);
            return held.returned.into_iter().chain(held.fresh).collect();
        }
        // The first that was sent again may have come too late to be answered.
        let is_there = |it: &Flow| {
            it.flights.iter().any(|it| it.slot == slot)
                || it.waiting.iter().any(|it| it.slot == slot)
        };
        if held.awaited == 0 && !(held.probing && self.servers.iter().any(|it| is_there(&it.asks)))
        {
            self.release_slot(slot, now);
        }
        vec![]
    }

    fn release_slot(&mut self, slot: Slot, now: Instant) {
        let mut held = self.held.remove(&slot).expect("it was there");
        let flies = |it: &Server| it.asks.flights.iter().any(|it| it.slot == slot);
        match held.again_at {
            Some(at) if now < at || self.servers.iter().any(flies) => {
                self.held.insert(slot, held);
            }
            Some(_) => {
                held.probing = false;
                let probe = held.returned.pop_front().or_else(|| held.fresh.pop_front());
                if let Some((server, probe)) = self.owner(slot).zip(probe) {
                    server.asks.waiting.push_back(probe);
                    held.probing = true;
                    self.held.insert(slot, held);
                }
            }
            None => {
                let server = self.owner(slot).expect("it has an owner");
                server.asks.waiting.extend(held.returned.into_iter().chain(held.fresh));
            }
        }
    }

    /// Hands to the library what it may have.
    pub(crate) fn pump(&mut self) {
        self.servers.iter_mut().flat_map(Server::flows).for_each(Flow::pump);
    }

    /// Takes the next answer, with the line that it came by.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<(u64, Cmd, Flight, RedisResult<Value>)> {
        for flow in self.servers.iter_mut().flat_map(Server::flows) {
            let line = flow.wire.line;
            if let Poll::Ready((command, flight, answer)) = flow.poll(cx) {
                return Poll::Ready((line, command, flight, answer));
            }
        }
        Poll::Pending
    }

    /// Looks for a server that is silent for too long.
    pub(crate) fn silent(&mut self, silence_max: Duration, now: Instant) -> Option<u64> {
        let silent = |it: &mut Server| it.flows().any(|it| it.is_silent(silence_max, now));
        self.servers.iter_mut().find_map(|it| silent(it).then(|| it.id()))
    }

    /// Asks idle servers for a sign of life.
    pub(crate) fn ping(&mut self, slot: Slot, after: Duration, now: Instant) {
        for flow in self.servers.iter_mut().flat_map(Server::flows) {
            flow.ping(slot, after, now);
        }
    }

    /// Takes out what nobody waits for any more.
    pub(crate) fn late(&mut self, now: Instant) -> Vec<What> {
        let mut late = vec![];
        for server in &mut self.servers {
            server.asks.late(now, &mut late);
        }
        for held in self.held.values_mut() {
            take_late(&mut held.returned, now, &mut late);
            take_late(&mut held.fresh, now, &mut late);
        }
        late
    }

    /// Takes a server out; returns it, for what was asked of it is lost.
    pub(crate) fn remove(&mut self, line: u64) -> Option<Server> {
        let place = self.servers.iter().position(|it| it.has_line(line))?;
        let server = self.servers.swap_remove(place);
        let id = server.id();
        self.owners.retain(|_, it| *it != id);
        for (key, name) in self.names.iter_mut().filter(|(_, it)| it.at == Some(id)) {
            (name.at, name.lapsed, name.asked) = (None, true, None);
            self.unheard.insert(key.clone());
        }
        for held in self.held.values_mut() {
            // If it was the first that was sent again, it is lost with the server.
            held.probing = false;
        }
        Some(server)
    }

    /// Takes out all that is held.
    pub(crate) fn take_held(&mut self) -> impl Iterator<Item = Item> + use<> {
        self.names.values_mut().for_each(|it| it.holds = None);
        std::mem::take(&mut self.held)
            .into_values()
            .flat_map(|it| it.returned.into_iter().chain(it.fresh))
    }

    /// Lists what is not heard, with its slot.
    pub(crate) fn unheard(&self) -> Vec<(Box<[u8]>, Slot, bool)> {
        let names = self.unheard.iter().filter_map(|key| self.names.get_key_value(key));
        names.map(|(key, it)| (key.clone(), it.slot, it.everywhere)).collect()
    }
}
