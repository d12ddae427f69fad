//! What servers answer.

use std::time::Instant;

use redis::{Cmd, RedisResult, Value};

use crate::{
    ask::{Gauge, unavailable},
    broker,
    dial::text_of,
    error::Error,
    flow::{Flight, Item, What},
    net::is_elsewhere,
    peers::Change,
    reply::Reply,
    said::Known,
    scripts,
    work::Work,
};

impl Work {
    /// Takes an answer.
    pub(crate) fn take(
        &mut self,
        line: u64,
        command: Cmd,
        flight: Flight,
        answer: RedisResult<Value>,
    ) {
        let Some(id) = self.net.servers.iter().find(|it| it.has_line(line)).map(|it| it.id())
        else {
            return self.lose(flight.what);
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(why) => {
                self.lose(flight.what);
                return self.lose_server(line, &why.into());
            }
        };
        let elsewhere = match &answer {
            Value::ServerError(why) => self.shared.keys.clustered() && is_elsewhere(why),
            _ => false,
        };
        if elsewhere {
            self.look_again();
        }
        if id != line {
            // Which answer is whose is not known there; subscriptions tell for themselves whether they are heard.
            return match &answer {
                Value::ServerError(why) if is_final(why) => {
                    self.lose_server(line, &Error::Refused(text_of(why)));
                }
                _ => {}
            };
        }
        let Flight { slot, until, what, .. } = flight;
        if elsewhere {
            let now = Instant::now();
            // Perhaps nobody waits any more.
            let item = match what {
                What::Nothing | What::Mark if until <= now => None,
                what => Some(Item { slot, command, what, until }),
            };
            self.net.came_back(id, slot, item, now);
            return;
        }
        if self.net.was_done(slot) {
            for item in self.net.release(slot, Instant::now()) {
                self.lose(item.what);
            }
        }
        self.answer(line, what, answer);
    }

    fn answer(&mut self, line: u64, what: What, answer: Value) {
        if let Value::ServerError(why) = &answer {
            let text = text_of(why);
            tracing::debug!(why = text, "redis refused a command");
            self.fail(what);
            if why.code() == "NOSCRIPT" {
                self.reload(line);
            }
            if is_final(why) {
                self.lose_server(line, &Error::Refused(text));
            }
            return;
        }
        match what {
            What::Nothing => {}
            What::Answer(pending) | What::Patterns { pending, .. } => pending.tell(Ok(answer)),
            What::Told { name, pending, .. } => {
                let place = self.net.names.get_mut(&name).filter(|it| it.known.is_none());
                if let (Some(place), Ok(position)) = (place, broker::told(&answer)) {
                    place.known = Some(Known { position, said: 0 });
                }
                pending.tell(Ok(answer));
            }
            What::Beat => self.beaten(line, &answer),
            What::Mark => self.marked_at(line, &answer),
        }
    }

    /// Loads the scripts again. What was sent after the one that failed fails alike until they are there, so that nothing
    /// overtakes.
    fn reload(&mut self, line: u64) {
        Gauge::count(&self.shared.gauge.reloads);
        let slot = self.shared.keys.slot(b"");
        let request_max = self.shared.settings.request_max;
        if let Some(server) = self.net.servers.iter_mut().find(|it| it.id() == line) {
            for source in scripts::SOURCES {
                let load = Item::new(slot, scripts::load(source), What::Nothing, request_max);
                server.asks.waiting.push_back(load);
            }
        }
    }

    /// Takes in what a beat brought.
    fn beaten(&mut self, line: u64, answer: &Value) {
        let marked = std::mem::replace(&mut self.marked, true);
        match self.listed(answer) {
            Ok(kept) if marked && !kept => self.forgotten(line),
            Ok(_) => {}
            Err(why) => self.lose_server(line, &why),
        }
    }

    /// Takes in whether this node's mark was still there.
    fn marked_at(&mut self, line: u64, answer: &Value) {
        let Some(server) = self.net.servers.iter_mut().find(|it| it.id() == line) else { return };
        let marked = std::mem::replace(&mut server.marked, true);
        if marked && matches!(answer, Value::Nil) {
            self.forgotten(line);
        }
    }

    fn forgotten(&mut self, line: u64) {
        self.entries_lost = true;
        self.lose_server(line, &Error::Unusable("what it kept is lost"));
    }

    /// Takes in who is alive. Returns whether what was kept of this node is still there.
    fn listed(&mut self, answer: &Value) -> Result<bool, Error> {
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
        let (now, settings) = (Instant::now(), &self.shared.settings);
        if now.duration_since(std::mem::replace(&mut self.beaten_at, now)) > settings.beat_every * 2
        {
            // Where this node could not beat the others could not, either.
            self.peers.pardon(now);
        }
        let changes = self.peers.list(&pairs, time.unsigned_abs(), now, settings.gone_after);
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

    /// Says no to what the server said no to.
    fn fail(&mut self, what: What) {
        self.undo(&what);
        match what {
            What::Answer(pending) | What::Told { pending, .. } | What::Patterns { pending, .. } => {
                pending.tell(Err(unavailable("the broker can't do it now")));
            }
            What::Nothing | What::Beat | What::Mark => {}
        }
    }
}

/// Tells whether a server is no use to us any more.
fn is_final(why: &redis::ServerError) -> bool {
    ["READONLY", "NOPERM", "NOAUTH"].contains(&why.code())
}
