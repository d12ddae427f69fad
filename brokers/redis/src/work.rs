//! The task that owns the connection: writes what callers want in their order, and gives each its answer.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use bytes::Buf;
use taiwa_core::{Channel, Ears, State};
use tokio::{io::AsyncReadExt, sync::mpsc, time::MissedTickBehavior};
use tokio_rustls::TlsConnector;

use crate::{
    ask::{Ask, Gauge, unavailable},
    broker,
    dial::Wire,
    error::Error,
    flow::{Flow, What, write},
    hearing::Names,
    node::{Shared, millis},
    peers::{Change, Peers},
    scripts::{self, Script},
    wire::{self, Known, Value},
};

/// How much waits in one piece for the kernel to take it; more waits as requests, whose deadlines are watched.
const OUT_BYTES_MAX: usize = 256 * 1024;
/// How many requests are taken from the queue at once.
const TAKEN_MAX: usize = 256;
const READ_BYTES: usize = 16 * 1024;
/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(100);
/// After what silence an idle connection is asked for a sign of life.
const PING_AFTER: Duration = Duration::from_secs(1);
/// How many ticks it takes to renew everything.
const RENEWING_TICKS: usize = 100;

/// What lives as long as the node, whatever becomes of connections.
pub(crate) struct Work {
    pub(crate) shared: Arc<Shared>,
    pub(crate) asks: mpsc::UnboundedReceiver<Ask>,
    pub(crate) tls: Option<TlsConnector>,
    pub(crate) ears: Option<Arc<dyn Ears>>,
    /// By the names that they have in Redis.
    pub(crate) subscribed: HashMap<Box<[u8]>, Place>,
    pub(crate) patterns: bool,
    /// Which process of the server was there last.
    pub(crate) process: Vec<u8>,
    pub(crate) names: Names,
    pub(crate) peers: Peers,
    /// A beat has left a mark, which is there as long as what is kept of this node.
    pub(crate) marked: bool,
    /// What was kept of this node is gone, and nobody was told yet.
    pub(crate) entries_lost: bool,
    renewing: Vec<Channel>,
    renewed: Instant,
}

/// Why a connection is not at work any more.
pub(crate) enum End {
    /// Nobody can ask any more.
    Dropped,
    Lost(Error),
}

/// A channel that this node hears.
pub(crate) struct Place {
    pub(crate) channel: Channel,
    /// The newest that was heard or told of it.
    pub(crate) known: Option<Known>,
}

impl From<io::Error> for End {
    fn from(why: io::Error) -> Self {
        Self::Lost(why.into())
    }
}

impl From<Error> for End {
    fn from(why: Error) -> Self {
        Self::Lost(why)
    }
}

impl Work {
    pub(crate) fn new(
        shared: Arc<Shared>,
        asks: mpsc::UnboundedReceiver<Ask>,
        tls: Option<TlsConnector>,
    ) -> Self {
        Self {
            asks,
            tls,
            ears: None,
            subscribed: HashMap::new(),
            patterns: false,
            process: vec![],
            names: Names::new(&shared.keys, shared.node),
            peers: Peers::default(),
            marked: false,
            entries_lost: false,
            renewing: vec![],
            renewed: Instant::now(),
            shared,
        }
    }

    /// Works until nobody can ask any more.
    pub(crate) async fn run(mut self, mut wire: Wire) {
        loop {
            match self.serve(wire).await {
                End::Dropped => return,
                End::Lost(why) => {
                    Gauge::count(&self.shared.gauge.lost);
                    tracing::warn!(address = %self.shared.settings.address, %why, "redis is lost");
                }
            }
            if let Some(ears) = &self.ears {
                ears.state(State::Lost);
            }
            let Some(back) = self.come_back().await else { return };
            wire = back;
            tracing::info!(address = %self.shared.settings.address, "redis is back");
        }
    }

    /// Works on one connection until it ends.
    async fn serve(&mut self, wire: Wire) -> End {
        self.process.clone_from(&wire.process);
        let mut flow = Flow::new(wire, &self.shared.settings);
        let end = match self.turn(&mut flow).await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        self.shared.gauge.up.store(false, Relaxed);
        for flight in flow.flights {
            self.lose(flight.what);
        }
        for ask in flow.queue {
            self.refuse(ask);
        }
        end
    }

    async fn turn(&mut self, flow: &mut Flow) -> Result<std::convert::Infallible, End> {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut taken = Vec::with_capacity(TAKEN_MAX);
        let mut flushed = true;
        self.take_answers(flow)?;
        loop {
            while flow.out.len() < OUT_BYTES_MAX
                && let Some(ask) = flow.queue.pop_front()
            {
                self.write(flow, ask);
            }
            let Flow { wire, out, queue, .. } = flow;
            wire.came.reserve(READ_BYTES);
            tokio::select! {
                read = wire.reader.read_buf(&mut wire.came) => {
                    if read? == 0 {
                        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                    }
                    flow.heard_at = Instant::now();
                    self.take_answers(flow)?;
                }
                written = write(&mut wire.writer, out), if !out.is_empty() || !flushed => {
                    let written = written?;
                    flushed = written == 0;
                    out.advance(written);
                }
                count = self.asks.recv_many(&mut taken, TAKEN_MAX) => {
                    if count == 0 {
                        return Err(End::Dropped);
                    }
                    queue.extend(taken.drain(..));
                }
                _ = ticks.tick() => self.tick(flow, Instant::now())?,
            }
        }
    }

    /// Writes what a caller wants.
    fn write(&mut self, flow: &mut Flow, ask: Ask) {
        let node = self.shared.node;
        match ask {
            Ask::Request(command, pending) => flow.send(&command, What::Answer(pending)),
            Ask::Subscribe(channel, command, pending) => {
                let name: Box<[u8]> = self.shared.keys.heard(&channel).into_bytes().into();
                let new = !self.subscribed.contains_key(&name);
                if new {
                    self.subscribed.insert(name.clone(), Place { channel, known: None });
                }
                if new {
                    flow.say(&[b"SUBSCRIBE", &name]);
                }
                flow.send(&command, What::Told { name, new, pending });
            }
            Ask::Unsubscribe(channel) => {
                let name = self.shared.keys.heard(&channel);
                if self.subscribed.remove(name.as_bytes()).is_some() {
                    flow.say(&[b"UNSUBSCRIBE", name.as_bytes()]);
                }
            }
            Ask::Patterns(wanted, pending) => {
                let before = std::mem::replace(&mut self.patterns, wanted);
                if before != wanted {
                    flow.say(&[hearing_verb(wanted), &self.names.patterns]);
                }
                flow.send(&wire::command(&[b"PING"]), What::Patterns { before, pending });
            }
            Ask::Begin(ears) => {
                self.ears = Some(ears);
                flow.say(&[b"SUBSCRIBE", &self.names.changes, &self.names.letters]);
                let come = format!("c{node}");
                let publish = wire::command(&[b"PUBLISH", &self.names.changes, come.as_bytes()]);
                flow.send(&self.beat(), What::Beat);
                flow.send(&publish, What::Nothing);
            }
            Ask::Leave(pending) => {
                self.ears = None;
                self.subscribed.clear();
                flow.say(&[b"UNSUBSCRIBE"]);
                let (keys, node) = (&self.shared.keys, node.to_string());
                let nodes = keys.nodes();
                let remove = wire::command(&[b"ZREM", nodes.as_bytes(), node.as_bytes()]);
                flow.send(&remove, What::Nothing);
                let mark = keys.mark(self.shared.node);
                flow.send(&wire::command(&[b"UNLINK", mark.as_bytes()]), What::Nothing);
                let gone = format!("g{node}");
                let publish = wire::command(&[b"PUBLISH", &self.names.changes, gone.as_bytes()]);
                flow.send(&publish, What::Answer(pending));
            }
        }
    }

    /// Writes the command that says this node is alive.
    pub(crate) fn beat(&self) -> Vec<u8> {
        let Shared { settings, keys, node, scripts, .. } = &*self.shared;
        // Entries are renewed three times as often as they run out: a mark that lives half as long is gone before they are.
        let arguments =
            [node.to_string(), millis(settings.presence_ttl / 2), millis(settings.gone_after * 6)];
        let arguments = arguments.each_ref().map(|it| it.as_bytes());
        scripts.command(Script::Beat, &[keys.nodes(), keys.mark(*node)], &arguments)
    }

    /// Takes what came apart.
    fn take_answers(&mut self, flow: &mut Flow) -> Result<(), End> {
        while let Some(value) = flow.wire.next()? {
            match value {
                Value::Push(push) => self.hear(&push),
                answer => self.answer(flow, answer)?,
            }
        }
        Ok(())
    }

    fn answer(&mut self, flow: &mut Flow, answer: Value) -> Result<(), End> {
        let Some(flight) = flow.flights.pop_front() else {
            return Err(Error::Unusable("the server answered what nobody asked").into());
        };
        flow.late = flow.late.saturating_sub(1);
        if let Value::Fault(why) = &answer {
            tracing::debug!(why = %String::from_utf8_lossy(why), "redis refused a command");
            let ending =
                [&b"READONLY"[..], b"NOPERM", b"NOAUTH"].iter().any(|it| why.starts_with(it));
            let why = String::from_utf8_lossy(why).into_owned();
            let unloaded = why.starts_with("NOSCRIPT");
            self.fail(flow, flight.what);
            if unloaded {
                // What was written after it fails alike until they are there, so that nothing overtakes.
                Gauge::count(&self.shared.gauge.reloads);
                for source in scripts::SOURCES {
                    flow.send(&scripts::load(source), What::Nothing);
                }
            }
            return if ending { Err(Error::Refused(why).into()) } else { Ok(()) };
        }
        match flight.what {
            What::Nothing => {}
            What::Answer(pending) | What::Patterns { pending, .. } => pending.tell(Ok(answer)),
            What::Told { name, pending, .. } => {
                let place = self.subscribed.get_mut(&name).filter(|it| it.known.is_none());
                if let (Some(place), Ok(position)) = (place, broker::told(&answer)) {
                    place.known = Some(Known { position, said: 0 });
                }
                pending.tell(Ok(answer));
            }
            What::Beat => return self.beaten(&answer),
        }
        Ok(())
    }

    /// Takes in what a beat brought.
    fn beaten(&mut self, answer: &Value) -> Result<(), End> {
        let marked = std::mem::replace(&mut self.marked, true);
        let kept = self.listed(answer)?;
        if marked && !kept {
            self.entries_lost = true;
            return Err(Error::Unusable("what it kept is lost").into());
        }
        Ok(())
    }

    /// Takes in who is alive. Returns whether what was kept of this node is still there.
    pub(crate) fn listed(&mut self, answer: &Value) -> Result<bool, Error> {
        let strange = Error::Unusable("a beat was answered with something strange");
        let Some([kept, time, beats]) = answer.list() else { return Err(strange) };
        let (Some(time), Some(beats)) = (time.number(), beats.list()) else { return Err(strange) };
        let pairs = beats.chunks_exact(2).filter_map(|it| {
            let node = std::str::from_utf8(it[0].text()?).ok()?.parse().ok()?;
            // A score is written as a floating point number, but has no fraction.
            let beat: f64 = std::str::from_utf8(it[1].text()?).ok()?.parse().ok()?;
            (node != self.shared.node).then_some((node, beat as u64))
        });
        let pairs: Vec<_> = pairs.collect();
        let gone_after = self.shared.settings.gone_after;
        let changes = self.peers.list(&pairs, time.unsigned_abs(), Instant::now(), gone_after);
        self.changed(changes);
        Ok(kept.number() == Some(1))
    }

    /// Tells who came and who is gone.
    pub(crate) fn changed(&self, changes: impl IntoIterator<Item = Change>) {
        self.shared.set_alive(self.peers.alive());
        let Some(ears) = &self.ears else { return };
        for change in changes {
            match change {
                Change::Come(node) => ears.node_come(node),
                Change::Gone(node) => ears.node_gone(node),
            }
        }
    }

    /// Looks at all times.
    fn tick(&mut self, flow: &mut Flow, now: Instant) -> Result<(), End> {
        let shared = self.shared.clone();
        let settings = &shared.settings;
        let silent = now.duration_since(flow.heard_at) >= settings.silence_max;
        let waits = flow.flights.front().map(|it| now.duration_since(it.sent));
        if silent && waits.is_some_and(|it| it >= settings.silence_max) {
            return Err(Error::Deadline.into());
        }
        while let Some(flight) = flow.flights.get_mut(flow.late).filter(|it| it.until <= now) {
            // What a beat brings is wanted whenever it comes.
            let what = match flight.what {
                What::Beat => What::Nothing,
                _ => std::mem::replace(&mut flight.what, What::Nothing),
            };
            flow.late += 1;
            self.too_late(flow, what);
        }
        if flow.queue.iter().any(|it| it.until().is_some_and(|it| it <= now)) {
            for ask in std::mem::take(&mut flow.queue) {
                match ask {
                    Ask::Request(_, it) | Ask::Subscribe(_, _, it) | Ask::Patterns(_, it)
                        if it.until <= now =>
                    {
                        it.late();
                    }
                    other => flow.queue.push_back(other),
                }
            }
        }
        if self.ears.is_some() && now >= flow.beat_at {
            flow.beat_at = now + settings.beat_every;
            flow.send(&self.beat(), What::Beat);
        } else if flow.flights.is_empty() && now.duration_since(flow.heard_at) >= PING_AFTER {
            flow.send(&wire::command(&[b"PING"]), What::Nothing);
        }
        self.renew(flow, now);
        Ok(())
    }

    /// Renews some of what is kept of this node's presence, so that all is renewed three times before it runs out.
    fn renew(&mut self, flow: &mut Flow, now: Instant) {
        let shared = self.shared.clone();
        let Shared { settings, keys, node, .. } = &*shared;
        if self.renewing.is_empty() && now.duration_since(self.renewed) >= settings.presence_ttl / 3
        {
            self.renewed = now;
            self.renewing.extend(self.shared.present().iter().cloned());
        }
        let count = self.renewing.len().min(self.shared.present().len() / RENEWING_TICKS + 100);
        let ttl = millis(settings.presence_ttl);
        for channel in self.renewing.drain(self.renewing.len() - count..) {
            let users = keys.users(&channel, *node);
            let users = wire::command(&[b"PEXPIRE", users.as_bytes(), ttl.as_bytes()]);
            flow.send(&users, What::Nothing);
            let members = keys.members(&channel, *node);
            let members = wire::command(&[b"PEXPIRE", members.as_bytes(), ttl.as_bytes()]);
            flow.send(&members, What::Nothing);
        }
    }

    fn too_late(&mut self, flow: &mut Flow, what: What) {
        if let What::Told { name, new: true, .. } = &what {
            self.forget_name(flow, name);
        }
        match what {
            What::Answer(pending) | What::Told { pending, .. } => pending.late(),
            What::Patterns { before, pending } => {
                self.patterns_again(flow, before);
                pending.late();
            }
            What::Nothing | What::Beat => {}
        }
    }

    /// Says no to what the server said no to.
    fn fail(&mut self, flow: &mut Flow, what: What) {
        if let What::Told { name, new: true, .. } = &what {
            self.forget_name(flow, name);
        }
        match what {
            What::Answer(pending) | What::Told { pending, .. } => {
                pending.tell(Err(unavailable("the broker can't do it now")));
            }
            What::Patterns { before, pending } => {
                self.patterns_again(flow, before);
                pending.tell(Err(unavailable("the broker can't do it now")));
            }
            What::Nothing | What::Beat => {}
        }
    }

    fn forget_name(&mut self, flow: &mut Flow, name: &[u8]) {
        if self.subscribed.remove(name).is_some() {
            flow.say(&[b"UNSUBSCRIBE", name]);
        }
    }

    fn patterns_again(&mut self, flow: &mut Flow, before: bool) {
        if std::mem::replace(&mut self.patterns, before) != before {
            flow.say(&[hearing_verb(before), &self.names.patterns]);
        }
    }

    /// Says no to what was written to a connection that is lost.
    fn lose(&mut self, what: What) {
        match what {
            What::Nothing | What::Beat => {}
            What::Answer(pending) => pending.lose(),
            What::Told { name, new, pending } => {
                if new {
                    self.subscribed.remove(&name);
                }
                pending.lose();
            }
            What::Patterns { before, pending } => {
                self.patterns = before;
                pending.lose();
            }
        }
    }

    /// Says no to what can't be written, but for what needs no connection.
    pub(crate) fn refuse(&mut self, ask: Ask) {
        match ask {
            Ask::Request(_, pending)
            | Ask::Subscribe(_, _, pending)
            | Ask::Patterns(_, pending) => {
                pending.lose();
            }
            Ask::Unsubscribe(channel) => {
                self.subscribed.remove(self.shared.keys.heard(&channel).as_bytes());
            }
            Ask::Begin(ears) => self.ears = Some(ears),
            Ask::Leave(pending) => {
                self.ears = None;
                self.subscribed.clear();
                pending.lose();
            }
        }
    }
}

fn hearing_verb(wanted: bool) -> &'static [u8] {
    if wanted { b"SUBSCRIBE" } else { b"UNSUBSCRIBE" }
}
