//! The WebSockets of a shard's conversations: whose they are, and when they are not read.

use std::{collections::VecDeque, time::Instant};

use taiwa_core::Line;

use super::{stage::Stage, talk::TalkKey};
use crate::shard::{Key as LineKey, Lines};

/// A line of the shard.
pub(super) struct Place {
    socket: LineKey,
    talk: TalkKey,
    line: Line,
    /// For how many reasons it is not read.
    holds: u32,
    /// One of them: its client has to read first.
    waits_for_reader: bool,
}

impl Stage {
    /// Writes down which conversation a line of the shard belongs to.
    pub(super) fn remember_socket(&mut self, key: LineKey, talk: TalkKey, line: Line) {
        let place = key.index() as usize;
        if self.by_line.len() <= place {
            self.by_line.resize_with(place + 1, || None);
        }
        self.by_line[place] =
            Some(Place { socket: key, talk, line, holds: 0, waits_for_reader: false });
    }

    pub(super) fn talk_of(&self, key: LineKey) -> Option<(TalkKey, Line)> {
        let it = self.by_line.get(key.index() as usize)?.as_ref()?;
        (it.socket == key).then_some((it.talk, it.line))
    }

    fn place(&mut self, key: LineKey) -> Option<&mut Place> {
        self.by_line.get_mut(key.index() as usize)?.as_mut().filter(|it| it.socket == key)
    }

    /// Reads a line no more until it is [freed](Stage::free) as often as it was held.
    pub(super) fn hold(&mut self, key: LineKey, lines: &mut Lines) {
        if let Some(place) = self.place(key) {
            place.holds += 1;
            lines.pause(key);
        }
    }

    pub(super) fn free(&mut self, key: LineKey, lines: &mut Lines) {
        if let Some(place) = self.place(key) {
            place.holds = place.holds.saturating_sub(1);
            if place.holds == 0 {
                lines.resume(key);
            }
        }
    }

    /// Reads no more from a client until then.
    pub(super) fn hold_until(&mut self, until: Instant, key: LineKey, lines: &mut Lines) {
        self.hold(key, lines);
        let later = self.held.iter().rev().take_while(|(it, _)| *it > until).count();
        self.held.insert(self.held.len() - later, (until, key));
    }

    /// Reads lines again that were held up long enough.
    pub(super) fn release(&mut self, lines: &mut Lines) {
        while let Some((until, socket)) = self.held.front().copied()
            && until <= lines.now()
        {
            self.held.pop_front();
            self.free(socket, lines);
        }
        if self.held.is_empty() && self.held.capacity() > 1024 {
            self.held = VecDeque::new();
        }
    }

    /// Reads no more from a client that asks for more than it reads: what it is answered stays below its limit.
    pub(super) fn wait_for_reader(&mut self, key: LineKey, lines: &mut Lines) {
        if !lines.is_half_full(key) {
            return;
        }
        if let Some(place) = self.place(key)
            && !std::mem::replace(&mut place.waits_for_reader, true)
        {
            self.hold(key, lines);
            lines.await_room(key);
        }
    }

    /// Reads a client again that has read.
    pub(super) fn has_read(&mut self, key: LineKey, lines: &mut Lines) {
        if let Some(place) = self.place(key)
            && std::mem::take(&mut place.waits_for_reader)
        {
            self.free(key, lines);
        }
    }

    /// Takes a line that has ended away from its conversation.
    pub(super) fn forget_socket(&mut self, key: LineKey) -> Option<(TalkKey, Line)> {
        let (talk, line) = self.forget_place(key)?;
        let it = self.talks.get_mut(talk)?;
        it.lines.remove(line);
        Some((talk, line))
    }

    /// Forgets whose a line is.
    pub(super) fn forget_place(&mut self, key: LineKey) -> Option<(TalkKey, Line)> {
        let found = self.talk_of(key)?;
        self.by_line[key.index() as usize] = None;
        if self.by_line.len() > 1024 && self.by_line.last().is_some_and(Option::is_none) {
            while self.by_line.last().is_some_and(Option::is_none) {
                self.by_line.pop();
            }
            self.by_line.shrink_to(self.by_line.len() * 2);
        }
        Some(found)
    }
}
