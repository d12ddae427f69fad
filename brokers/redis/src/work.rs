//! The task that owns the connections: asks what callers want in their order, and gives each its answer.

use std::{
    collections::HashMap,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use redis::{Cmd, cluster_routing::Slot};
use taiwa_core::{Channel, Ears, State};
use tokio::{sync::mpsc, time::MissedTickBehavior};

use crate::{
    ask::Ask,
    dial::{Dialer, Pushed},
    error::Error,
    flow::{Item, What},
    hearing::Names,
    mend::{Found, Past},
    net::{Name, Net},
    node::{Shared, millis},
    peers::Peers,
    reply::command,
    scripts::{self, Script},
    settings::Address,
};

/// How many requests, answers, or messages are taken at once.
const TAKEN_MAX: usize = 256;
/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(100);
/// After what silence an idle connection is asked for a sign of life.
const PING_AFTER: Duration = Duration::from_secs(1);
/// How many ticks it takes to renew everything.
const RENEWING_TICKS: usize = 100;
/// How often subscribers are told, at most, that something may have been missed.
const MISSED_EVERY: Duration = Duration::from_millis(500);

/// What lives as long as the node, whatever becomes of connections.
pub(crate) struct Work {
    pub(crate) shared: Arc<Shared>,
    pub(crate) dialer: Dialer,
    pub(crate) asks: mpsc::UnboundedReceiver<Ask>,
    pub(crate) pushes: mpsc::UnboundedReceiver<Pushed>,
    pub(crate) ears: Option<Arc<dyn Ears>>,
    pub(crate) net: Net,
    pub(crate) patterns: bool,
    pub(crate) fixed: Names,
    pub(crate) peers: Peers,
    /// A beat has left a mark, which is there as long as what is kept of this node.
    pub(crate) marked: bool,
    /// What was kept of this node is gone, and nobody was told yet.
    pub(crate) entries_lost: bool,
    /// Something may have been missed, and nobody was told yet.
    pub(crate) missed: bool,
    told_missed: Instant,
    beat_at: Instant,
    /// When a beat was answered last.
    pub(crate) beaten_at: Instant,
    renewing: Vec<Channel>,
    renewed: Instant,
    pub(crate) mending: Option<Mending>,
    pub(crate) mend_at: Option<Instant>,
    pub(crate) mend_wait: Duration,
    /// When the last attempt to mend was over.
    pub(crate) mended: Instant,
    pub(crate) down_since: Option<Instant>,
    /// Servers that were there.
    pub(crate) past: HashMap<Address, Past>,
    /// Those of them that were lost and are not replaced.
    pub(crate) lost: Vec<Address>,
}

pub(crate) type Mending = Pin<Box<dyn Future<Output = Result<Found, Error>> + Send>>;

impl Work {
    pub(crate) fn new(
        shared: Arc<Shared>,
        dialer: Dialer,
        asks: mpsc::UnboundedReceiver<Ask>,
        pushes: mpsc::UnboundedReceiver<Pushed>,
    ) -> Self {
        let now = Instant::now();
        Self {
            asks,
            pushes,
            dialer,
            ears: None,
            net: Net::new(shared.settings.request_max),
            patterns: false,
            fixed: Names::new(&shared.keys, shared.node),
            peers: Peers::default(),
            marked: false,
            entries_lost: false,
            missed: false,
            told_missed: now,
            beat_at: now + shared.settings.beat_every,
            beaten_at: now,
            renewing: vec![],
            renewed: now,
            mending: None,
            mend_at: None,
            mend_wait: shared.settings.again_after,
            mended: now,
            down_since: None,
            past: HashMap::new(),
            lost: vec![],
            shared,
        }
    }

    /// Works until nobody can ask any more.
    pub(crate) async fn run(mut self, found: Found) {
        self.adopt(found);
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut taken, mut pushed) =
            (Vec::with_capacity(TAKEN_MAX), Vec::with_capacity(TAKEN_MAX));
        loop {
            self.net.pump();
            let Self { net, asks, pushes, mending, mend_at, .. } = &mut self;
            let again_at = mend_at.filter(|_| mending.is_none());
            tokio::select! {
                (line, command, flight, answer) = poll_fn(|cx| net.poll(cx)) => {
                    self.take(line, command, flight, answer);
                }
                // It never ends: the dialer can send, too.
                _ = pushes.recv_many(&mut pushed, TAKEN_MAX) => {
                    pushed.drain(..).for_each(|it| self.push(it));
                }
                count = asks.recv_many(&mut taken, TAKEN_MAX) => {
                    if count == 0 {
                        return;
                    }
                    taken.drain(..).for_each(|it| self.write(it));
                }
                found = async { mending.as_mut().expect("it is there").await }, if mending.is_some() => {
                    self.mending = None;
                    self.found(found);
                }
                () = sleep_until(again_at), if again_at.is_some() => self.mend(),
                _ = ticks.tick() => self.tick(Instant::now()),
            }
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.shared.gauge.up.load(Relaxed)
    }

    /// Asks for something, or says no to it.
    pub(crate) fn send(&mut self, slot: Slot, command: Cmd, what: What) {
        let item = Item::new(slot, command, what, self.shared.settings.request_max);
        if let Some(item) = self.net.send(item) {
            self.lose(item.what);
        }
    }

    fn hear(&mut self, key: Box<[u8]>, channel: Option<Channel>, before: Slot) {
        let name = Name::new(self.shared.keys.slot(&key), channel);
        self.net.hear(key, name, before, Instant::now());
    }

    /// Takes what a caller wants.
    fn write(&mut self, ask: Ask) {
        if !self.is_up() {
            return self.refuse(ask);
        }
        match ask {
            Ask::Request(slot, command, pending) => {
                self.send(slot, command, What::Answer(pending));
            }
            Ask::Subscribe(channel, command, pending) => {
                let name: Box<[u8]> = self.shared.keys.heard(&channel).into_bytes().into();
                let slot = self.shared.keys.slot(&name);
                let new = !self.net.names.contains_key(&name);
                if new {
                    self.hear(name.clone(), Some(channel), slot);
                }
                self.send(slot, command, What::Told { name, new, pending });
            }
            Ask::Unsubscribe(channel) => {
                self.net.forget(self.shared.keys.heard(&channel).as_bytes());
                self.release();
            }
            Ask::Patterns(wanted, pending) => {
                let before = self.hear_patterns(wanted);
                let slot = self.shared.keys.slot(&self.fixed.patterns);
                self.send(slot, command(&[b"PING"]), What::Patterns { before, pending });
            }
            Ask::Begin(ears) => {
                self.ears = Some(ears);
                let alive = self.shared.keys.slot(self.shared.keys.nodes().as_bytes());
                for key in [self.fixed.changes.clone(), self.fixed.letters.clone()] {
                    self.hear(key.into(), None, alive);
                }
                self.say_alive();
            }
            Ask::Leave(pending) => self.leave(pending),
        }
    }

    /// Says that this node is alive, and then that it has come: who comes at the same time is in the answer to the first,
    /// or hears the second.
    pub(crate) fn say_alive(&mut self) {
        self.send_beat();
        let come = format!("c{}", self.shared.node);
        self.say_change(&come, What::Nothing);
    }

    fn send_beat(&mut self) {
        self.beat_at = Instant::now() + self.shared.settings.beat_every;
        let slot = self.shared.keys.slot(self.shared.keys.nodes().as_bytes());
        let beat = self.beat();
        self.send(slot, beat, What::Beat);
        let ttl = millis(self.shared.settings.presence_ttl / 2);
        for server in &mut self.net.servers {
            if let Some(mark) = &server.mark {
                let key = mark.as_bytes();
                let set = command(&[b"SET", key, b"1", b"PX", ttl.as_bytes(), b"GET"]);
                let slot = self.shared.keys.slot(key);
                let request_max = self.shared.settings.request_max;
                server.asks.waiting.push_back(Item::new(slot, set, What::Mark, request_max));
            }
        }
    }

    fn say_change(&mut self, change: &str, what: What) {
        let verb = self.shared.keys.publish();
        let publish = command(&[verb, &self.fixed.changes, change.as_bytes()]);
        self.send(self.shared.keys.slot(&self.fixed.changes), publish, what);
    }

    fn leave(&mut self, pending: crate::ask::Pending) {
        self.ears = None;
        let names: Vec<_> = self.net.names.keys().cloned().collect();
        for name in names {
            self.net.forget(&name);
        }
        self.release();
        let shared = self.shared.clone();
        let (keys, node) = (&shared.keys, shared.node);
        let nodes = keys.nodes();
        let slot = keys.slot(nodes.as_bytes());
        let name = node.to_string();
        self.send(slot, command(&[b"ZREM", nodes.as_bytes(), name.as_bytes()]), What::Nothing);
        let marks = self.net.servers.iter_mut().filter_map(|it| it.mark.take());
        for mark in marks.chain([keys.mark(node)]).collect::<Vec<_>>() {
            let slot = keys.slot(mark.as_bytes());
            self.send(slot, command(&[b"UNLINK", mark.as_bytes()]), What::Nothing);
        }
        self.say_change(&format!("g{node}"), What::Answer(pending));
    }

    /// Hears what is for patterns, or no longer; returns whether it did before.
    fn hear_patterns(&mut self, wanted: bool) -> bool {
        let before = std::mem::replace(&mut self.patterns, wanted);
        let key: Box<[u8]> = self.fixed.patterns.clone().into();
        if wanted && !before {
            let slot = self.shared.keys.slot(&key);
            // A script publishes in the slot of its channel alone, or to all servers.
            self.net.hear(key, Name::everywhere(slot), slot, Instant::now());
        } else if before && !wanted {
            self.net.forget(&key);
            self.release();
        }
        before
    }

    /// Writes the command that says this node is alive.
    fn beat(&self) -> Cmd {
        let Shared { settings, keys, node, .. } = &*self.shared;
        // Entries are renewed three times as often as they run out: a mark that lives half as long is gone before they are.
        let arguments =
            [node.to_string(), millis(settings.presence_ttl / 2), millis(settings.gone_after * 6)];
        let arguments = arguments.each_ref().map(|it| it.as_bytes());
        scripts::run(Script::Beat, &[keys.nodes(), keys.mark(*node)], &arguments)
    }

    /// Lets go of what waited for servers.
    pub(crate) fn release(&mut self) {
        for item in self.net.release_all(Instant::now()) {
            self.lose(item.what);
        }
    }

    /// Looks at all times.
    fn tick(&mut self, now: Instant) {
        let shared = self.shared.clone();
        let settings = &shared.settings;
        while let Some(line) = self.net.silent(settings.silence_max, now) {
            self.lose_server(line, &Error::Deadline);
        }
        for what in self.net.late(now) {
            self.too_late(what);
        }
        if !self.is_up() {
            return;
        }
        self.net.hear_again(now);
        self.release();
        if self.ears.is_some() && now >= self.beat_at {
            self.send_beat();
        }
        self.net.ping(shared.keys.slot(b""), PING_AFTER, now);
        if self.missed && now.duration_since(self.told_missed) >= MISSED_EVERY {
            (self.missed, self.told_missed) = (false, now);
            if let Some(ears) = &self.ears {
                ears.state(State::Missed);
            }
        }
        self.drop_idle();
        self.renew(now);
    }

    /// Renews some of what is kept of this node's presence, so that all is renewed three times before it runs out.
    fn renew(&mut self, now: Instant) {
        let shared = self.shared.clone();
        let Shared { settings, keys, node, .. } = &*shared;
        if self.renewing.is_empty() && now.duration_since(self.renewed) >= settings.presence_ttl / 3
        {
            self.renewed = now;
            self.renewing.extend(self.shared.present().iter().cloned());
        }
        let count = self.renewing.len().min(self.shared.present().len() / RENEWING_TICKS + 100);
        let ttl = millis(settings.presence_ttl);
        for channel in self.renewing.split_off(self.renewing.len() - count) {
            for key in [keys.users(&channel, *node), keys.members(&channel, *node)] {
                let expire = command(&[b"PEXPIRE", key.as_bytes(), ttl.as_bytes()]);
                self.send(keys.slot(key.as_bytes()), expire, What::Nothing);
            }
        }
    }

    fn too_late(&mut self, what: What) {
        self.undo(&what);
        match what {
            What::Answer(pending) | What::Told { pending, .. } | What::Patterns { pending, .. } => {
                pending.late();
            }
            What::Nothing | What::Beat | What::Mark => {}
        }
    }

    /// Undoes what was begun for something that failed.
    pub(crate) fn undo(&mut self, what: &What) {
        match what {
            What::Told { name, new: true, .. } => {
                self.net.forget(name);
            }
            What::Patterns { before, .. } => {
                self.hear_patterns(*before);
            }
            _ => {}
        }
    }

    /// Says no to what can't be asked for, but for what needs no connection.
    fn refuse(&mut self, ask: Ask) {
        match ask {
            Ask::Request(_, _, pending)
            | Ask::Subscribe(_, _, pending)
            | Ask::Patterns(_, pending) => {
                pending.lose();
            }
            Ask::Unsubscribe(channel) => {
                self.net.forget(self.shared.keys.heard(&channel).as_bytes());
            }
            Ask::Begin(ears) => {
                self.ears = Some(ears);
                for key in [self.fixed.changes.clone(), self.fixed.letters.clone()] {
                    let slot = self.shared.keys.slot(&key);
                    self.net.hear(key.into(), Name::new(slot, None), slot, Instant::now());
                }
            }
            Ask::Leave(pending) => {
                self.ears = None;
                self.net.names.clear();
                pending.lose();
            }
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    if let Some(at) = at {
        tokio::time::sleep_until(at.into()).await;
    }
}
