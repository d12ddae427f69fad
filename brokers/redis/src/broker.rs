//! Publications and history.

use bytes::Bytes;
use redis::{Cmd, Value};
use taiwa_core::{Accepted, Broker, Channel, Keep, Log, Page, Position, Statement, Then};

use crate::{
    ask::Ask,
    node::{Redis, millis},
    reply::{Reply, bytes_of, command},
    said::{self, Broken},
    scripts::{self, Script},
};

impl Broker for Redis {
    fn publish(&self, statement: Statement, then: Then<Accepted>) {
        let Statement { channel, body, keep, id, to_patterns } = statement;
        let keys = &self.shared.keys;
        let heard = keys.heard(&channel);
        if keep.size == 0 && id.is_none() && !to_patterns {
            let message = [b"n", &body[..]].concat();
            let nodes = |it: Value| {
                let nodes = it.number().and_then(|it| it.try_into().ok());
                Ok(Accepted { nodes: Some(nodes.ok_or(Broken)?), ..Default::default() })
            };
            let publish: &[&[u8]] = &[keys.publish(), heard.as_bytes(), &message];
            return self.command(&heard, publish, then, nodes);
        }
        let window = id.as_ref().map_or("0".into(), |(_, window)| millis(*window));
        let id = keys.id(&channel, id.as_ref().map_or("", |(id, _)| id));
        let (patterns, before) = if to_patterns {
            (keys.patterns(), said::counted(channel.as_str()))
        } else {
            Default::default()
        };
        let [epoch, size, age, life] = self.kept(keep);
        let arguments: &[&[u8]] = &[
            epoch.as_bytes(),
            size.as_bytes(),
            age.as_bytes(),
            life.as_bytes(),
            window.as_bytes(),
            keys.publish(),
            heard.as_bytes(),
            patterns.as_bytes(),
            before.as_bytes(),
            &body,
        ];
        let keys = [keys.top(&channel), keys.log(&channel), id];
        self.script(Script::Publish, &keys, arguments, then, accepted);
    }

    fn subscribe(&self, channel: &Channel, keep: Keep, limit: usize, then: Then<Log>) {
        let newest = Page { since: None, limit, reverse: true };
        let command =
            if keep.size == 0 { command(&[b"PING"]) } else { self.tell(channel, keep, newest) };
        let read = move |it| {
            if keep.size == 0 {
                return Ok(Log::default());
            }
            let mut log = log(it)?;
            log.entries.reverse();
            Ok(log)
        };
        let channel = channel.clone();
        self.ask(bytes_of(&command), then, read, |pending| {
            Ask::Subscribe(channel, command, pending)
        });
    }

    fn unsubscribe(&self, channel: &Channel) {
        // Not refused, however much waits: there is at most one for each subscription.
        drop(self.queue.send(Ask::Unsubscribe(channel.clone())));
    }

    fn read(&self, channel: &Channel, keep: Keep, page: Page, then: Then<Log>) {
        if keep.size == 0 {
            let heard = self.shared.keys.heard(channel);
            return self.command(&heard, &[b"PING"], then, |_| Ok(Log::default()));
        }
        let command = self.tell(channel, keep, page);
        self.request(&self.shared.keys.top(channel), command, then, log);
    }

    fn forget(&self, channel: &Channel, _keep: Keep, then: Then<()>) {
        let log = self.shared.keys.log(channel);
        self.command(&log, &[b"UNLINK", log.as_bytes()], then, |_| Ok(()));
    }

    fn hear_patterns(&self, wanted: bool, then: Then<()>) {
        self.ask(0, then, |_| Ok(()), |pending| Ask::Patterns(wanted, pending));
    }
}

impl Redis {
    /// Writes the epoch of a log that begins now, the size of a log, its age and its epoch's time.
    fn kept(&self, keep: Keep) -> [String; 4] {
        let life = millis(keep.epoch_ttl.max(keep.ttl));
        let epoch = said::epoch(self.shared.random());
        [epoch, keep.size.to_string(), millis(keep.ttl), life]
    }

    /// Writes the command that tells a position and a page.
    fn tell(&self, channel: &Channel, keep: Keep, page: Page) -> Cmd {
        let keys = &self.shared.keys;
        let limit = page.limit.min(keep.size).to_string();
        let since = page.since.map_or_else(String::new, |it| it.offset.to_string());
        let [epoch, size, age, life] = self.kept(keep);
        let arguments: &[&[u8]] = &[
            epoch.as_bytes(),
            size.as_bytes(),
            age.as_bytes(),
            life.as_bytes(),
            limit.as_bytes(),
            if page.reverse { b"backward" } else { b"forward" },
            since.as_bytes(),
        ];
        scripts::run(Script::Tell, &[keys.top(channel), keys.log(channel)], arguments)
    }
}

/// Reads what the script for publishing says.
fn accepted(answer: Value) -> Result<Accepted, Broken> {
    let [repeated, place, rest @ ..] = answer.list().ok_or(Broken)? else {
        return Err(Broken);
    };
    Ok(Accepted {
        position: said::position(place.text().ok_or(Broken)?)?,
        repeated: repeated.number() == Some(1),
        nodes: rest.first().and_then(Reply::number).and_then(|it| it.try_into().ok()),
    })
}

/// Reads the position that a script told.
pub(crate) fn told(answer: &Value) -> Result<Position, Broken> {
    let Some([epoch, offset, _]) = answer.list() else { return Err(Broken) };
    let epoch = epoch.text().and_then(|it| std::str::from_utf8(it).ok());
    let epoch = epoch.and_then(|it| u64::from_str_radix(it, 16).ok()).ok_or(Broken)?;
    let offset = offset.number().and_then(|it| it.try_into().ok()).ok_or(Broken)?;
    Ok(Position { epoch, offset })
}

/// Reads a position and a page.
fn log(answer: Value) -> Result<Log, Broken> {
    let position = told(&answer)?;
    let Some([_, _, entries]) = answer.list() else { return Err(Broken) };
    let entries = entries.list().ok_or(Broken)?.iter();
    let entries = entries.map(|it| entry(it).ok_or(Broken)).collect::<Result<_, _>>()?;
    Ok(Log { position, entries })
}

/// Reads an entry of a stream: its identifier is the offset, `-` and the time.
fn entry(it: &Value) -> Option<(u64, Bytes)> {
    let [id, fields] = it.list()? else { return None };
    let (offset, _) = std::str::from_utf8(id.text()?).ok()?.split_once('-')?;
    Some((offset.parse().ok()?, fields.list()?.get(1)?.body()?))
}
