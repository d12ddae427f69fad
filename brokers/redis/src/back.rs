//! Coming back after the connection was lost.

use std::{
    future::Future,
    pin::pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use taiwa_core::{Channel, Position, State};
use tokio_rustls::TlsConnector;

use crate::{
    dial::{self, Wire},
    error::Error,
    node::Shared,
    scripts::Script,
    wire::{self, Known, Value},
    work::Work,
};

/// How many names one command subscribes to.
const NAMES_MAX: usize = 500;

/// What is to be there again on a new connection.
struct Lost {
    shared: Arc<Shared>,
    tls: Option<TlsConnector>,
    names: Vec<Box<[u8]>>,
    /// Which process of the server was there, and what begins new epochs if another has an older state.
    process: Vec<u8>,
    holds: Vec<Vec<u8>>,
    /// The command that says this node is alive, if it has begun.
    beat: Option<Vec<u8>>,
    come: Vec<u8>,
}

impl Work {
    /// Connects until it succeeds, and has everything there again; refuses what is asked meanwhile. Returns `None` once
    /// nobody can ask any more.
    pub(crate) async fn come_back(&mut self) -> Option<Wire> {
        let (first, longest) = (self.shared.settings.again_after, self.shared.settings.again_max);
        let mut wait = first;
        loop {
            let pause = dial::jittered(wait, self.shared.random());
            self.refusing(tokio::time::sleep(pause)).await?;
            wait = (wait * 2).min(longest);
            let lost = self.lost();
            let names = lost.names.clone();
            match self.refusing(lost.find()).await? {
                Ok((wire, beat)) => match self.is_back(names, wire, beat).await {
                    Ok(wire) => return Some(wire),
                    Err(why) => self.failed(&why),
                },
                Err(why) => self.failed(&why),
            }
        }
    }

    fn failed(&self, why: &Error) {
        tracing::debug!(address = %self.shared.settings.address, %why, "redis is still away");
    }

    /// Waits for something; what is asked meanwhile is refused. Returns `None` once nobody can ask any more.
    async fn refusing<T>(&mut self, wait: impl Future<Output = T>) -> Option<T> {
        let mut wait = pin!(wait);
        loop {
            tokio::select! {
                done = &mut wait => return Some(done),
                ask = self.asks.recv() => self.refuse(ask?),
            }
        }
    }

    fn lost(&self) -> Lost {
        let begun = self.ears.is_some();
        let mut names: Vec<Box<[u8]>> = self.subscribed.keys().cloned().collect();
        if begun {
            names.extend([&self.names.changes, &self.names.letters].map(|it| it[..].into()));
        }
        if self.patterns {
            names.push(self.names.patterns[..].into());
        }
        let come = format!("c{}", self.shared.node);
        let holds =
            self.subscribed.values().filter_map(|it| Some(self.hold(&it.channel, it.known?)));
        Lost {
            process: self.process.clone(),
            holds: holds.collect(),
            shared: self.shared.clone(),
            tls: self.tls.clone(),
            names,
            beat: begun.then(|| self.beat()),
            come: wire::command(&[b"PUBLISH", &self.names.changes, come.as_bytes()]),
        }
    }

    /// Writes the command that begins a new epoch if the server does not hold what was heard.
    fn hold(&self, channel: &Channel, known: Known) -> Vec<u8> {
        let Position { epoch, offset } = known.position;
        let new = wire::epoch(self.shared.random());
        let arguments = [wire::epoch(epoch), offset.to_string(), known.said.to_string(), new];
        let arguments = arguments.each_ref().map(|it| it.as_bytes());
        let keys = [self.shared.keys.top(channel), self.shared.keys.log(channel)];
        self.shared.scripts.command(Script::Hold, &keys, &arguments)
    }

    /// Tells that everything is there again.
    async fn is_back(
        &mut self,
        names: Vec<Box<[u8]>>,
        mut wire: Wire,
        beat: Option<Value>,
    ) -> Result<Wire, Error> {
        // What was unsubscribed from meanwhile.
        let ours = [&self.names.changes, &self.names.letters, &self.names.patterns];
        let past =
            |it: &[u8]| !self.subscribed.contains_key(it) && !ours.iter().any(|our| **our == *it);
        let past: Vec<&[u8]> = names.iter().map(|it| &**it).filter(|it| past(it)).collect();
        if !past.is_empty() {
            let command = [&[&b"UNSUBSCRIBE"[..]], &past[..]].concat();
            let ping = [wire::command(&command), wire::command(&[b"PING"])].concat();
            soon(self.shared.settings.silence_max, wire.exchange(&[ping], &mut |_| {})).await?;
        }
        self.peers.pardon(Instant::now());
        let marked = std::mem::replace(&mut self.marked, beat.is_some());
        let kept = match &beat {
            Some(answer) => answer.list().and_then(|it| it.first()?.number()) == Some(1),
            None => true,
        };
        let entries_lost = std::mem::take(&mut self.entries_lost) || marked && !kept;
        if entries_lost {
            self.shared.present().clear();
        }
        self.shared.gauge.up.store(true, Relaxed);
        if let Some(ears) = &self.ears {
            ears.state(State::Back { entries_lost });
        }
        if let Some(answer) = beat {
            self.listed(&answer)?;
        }
        Ok(wire)
    }
}

impl Lost {
    /// Connects, subscribes to all names again, and says that this node is alive. Returns the answer to that.
    async fn find(self) -> Result<(Wire, Option<Value>), Error> {
        let settings = &self.shared.settings;
        let mut wire = dial::dial(settings, self.tls.as_ref()).await?;
        let mut all = vec![];
        for some in self.names.chunks(NAMES_MAX) {
            let command: Vec<&[u8]> =
                [&b"SUBSCRIBE"[..]].into_iter().chain(some.iter().map(|it| &**it)).collect();
            all.push([wire::command(&command), wire::command(&[b"PING"])].concat());
        }
        // A server that crashed may have an older state than its subscribers: positions would be given twice.
        if wire.process != self.process {
            all.extend(self.holds);
        }
        // If all was lost: new nodes must find the secret that the old ones have.
        let secret = self.shared.keys.secret();
        all.push(wire::command(&[b"SET", secret.as_bytes(), &self.shared.secret, b"NX"]));
        let begun = self.beat.is_some();
        if begun {
            all.push(self.come);
        }
        all.extend(self.beat);
        let mut answers = vec![];
        for some in all.chunks(8) {
            // What is heard before everything is there again is not told: all are asked for afterwards.
            let mut unheard = |_| {};
            let some = wire.exchange(some, &mut unheard);
            answers.extend(soon(settings.silence_max, some).await?);
        }
        if let Some(Value::Fault(why)) = answers.iter().find(|it| matches!(it, Value::Fault(_))) {
            return Err(Error::Refused(String::from_utf8_lossy(why).into_owned()));
        }
        Ok((wire, answers.pop().filter(|_| begun)))
    }
}

async fn soon<T>(
    limit: Duration,
    wait: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::time::timeout(limit, wait).await.unwrap_or(Err(Error::Deadline))
}
