//! What was said in one channel.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use bytes::Bytes;
use taiwa_core::{Accepted, Keep, Log, Page, Position};

/// The log of a channel, and the identifiers of what was said.
#[derive(Debug, Default)]
pub(crate) struct Past {
    life: Option<Life>,
    ids: HashMap<Arc<str>, (Instant, Accepted)>,
}

#[derive(Debug)]
struct Life {
    position: Position,
    ends: Instant,
    entries: VecDeque<(u64, Instant, Bytes)>,
}

impl Past {
    /// Returns what became of an equal statement, if there was one within its time.
    pub(crate) fn repeated(&mut self, id: &str, now: Instant) -> Option<Accepted> {
        self.ids.retain(|_, (until, _)| *until > now);
        self.ids.get(id).map(|(_, accepted)| Accepted { repeated: true, nodes: None, ..*accepted })
    }

    /// Remembers what became of a statement.
    pub(crate) fn remember(&mut self, id: Arc<str>, until: Instant, accepted: Accepted) {
        self.ids.insert(id, (until, accepted));
    }

    /// Gives the next position, and keeps the body.
    pub(crate) fn say(
        &mut self,
        body: Bytes,
        keep: Keep,
        now: Instant,
        epoch: impl FnOnce() -> u64,
    ) -> Position {
        let life = self.life(keep, now, epoch);
        life.ends = now + keep.epoch_ttl.max(keep.ttl);
        life.position.offset += 1;
        life.entries.push_back((life.position.offset, now, body));
        let old = |it: &(u64, Instant, Bytes)| now.duration_since(it.1) >= keep.ttl;
        while life.entries.len() > keep.size || life.entries.front().is_some_and(old) {
            life.entries.pop_front();
        }
        life.position
    }

    /// Reads a page.
    pub(crate) fn read(
        &mut self,
        keep: Keep,
        page: Page,
        now: Instant,
        epoch: impl FnOnce() -> u64,
    ) -> Log {
        let life = self.life(keep, now, epoch);
        let since = page.since.map(|it| it.offset);
        let oldest = life.position.offset.saturating_sub(keep.size as u64);
        let kept = life
            .entries
            .iter()
            .filter(|(offset, at, _)| *offset > oldest && now.duration_since(*at) < keep.ttl);
        let entry = |(offset, _, body): &(u64, Instant, Bytes)| (*offset, body.clone());
        let entries = if page.reverse {
            let before = kept.rev().filter(|it| since.is_none_or(|since| it.0 < since));
            before.take(page.limit).map(entry).collect()
        } else {
            let behind = kept.filter(|it| since.is_none_or(|since| it.0 > since));
            behind.take(page.limit).map(entry).collect()
        };
        Log { position: life.position, entries }
    }

    /// Reads the newest, the oldest of them first.
    pub(crate) fn newest(
        &mut self,
        keep: Keep,
        limit: usize,
        now: Instant,
        epoch: impl FnOnce() -> u64,
    ) -> Log {
        let mut log = self.read(keep, Page { since: None, limit, reverse: true }, now, epoch);
        log.entries.reverse();
        log
    }

    /// Drops what was said.
    pub(crate) fn forget(&mut self) {
        if let Some(life) = &mut self.life {
            life.entries.clear();
        }
    }

    fn life(&mut self, keep: Keep, now: Instant, epoch: impl FnOnce() -> u64) -> &mut Life {
        self.life.take_if(|it| it.ends <= now);
        self.life.get_or_insert_with(|| Life {
            position: Position { epoch: epoch(), offset: 0 },
            ends: now + keep.epoch_ttl.max(keep.ttl),
            entries: VecDeque::new(),
        })
    }
}
