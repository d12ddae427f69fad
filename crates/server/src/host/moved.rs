//! Conversations that go to the shard of an earlier session, and what still comes for them where they were.
//!
//! A WebSocket goes along. What comes over HTTP is addressed by the shard where the conversation began, which passes it on
//! for as long as the conversation lives.

use taiwa_core::{Command, Line, RefusalKind, Token};

use super::{
    Host, Parting,
    exchange::{NO_CONVERSATION, refuse},
    note::{ForWhom, Guest, Moved, Note},
    stage::{Pending, Stage},
    talk::{Carrier, Talk, TalkKey},
};
use crate::shard::{Key as LineKey, Lines};

/// A conversation that goes to another shard at the end of the turn, and asks this there.
pub(super) struct Migrant {
    pub(super) key: TalkKey,
    /// The one of its lines that is a WebSocket, which is held, if there is one.
    pub(super) socket: Option<(Line, LineKey)>,
    pub(super) shard: u16,
    pub(super) questions: Vec<(Token, Command)>,
}

/// A conversation over HTTP on its way.
pub(crate) struct Moving {
    talk: Talk,
    questions: Vec<(Token, Command)>,
    from: Old,
}

/// By which name a conversation was known where it began: the shard, and its key there.
pub(super) type Old = (u16, TalkKey);

impl Stage {
    /// Sends conversations to the shards of their earlier sessions.
    pub(super) fn send_migrants(&mut self, lines: &mut Lines) {
        for mut migrant in std::mem::take(&mut self.migrants) {
            let Some(talk) = self.talks.get(migrant.key) else { continue };
            if migrant.socket.is_none()
                && let Some((line, socket)) = talk.socket()
            {
                // It joined in this turn, whose reading is over.
                self.hold(socket, lines);
                migrant.socket = Some((line, socket));
            }
            let Some(talk) = self.talks.get(migrant.key) else { continue };
            let is_known = usize::from(migrant.shard) < self.posts.len();
            let can_go = talk.lines.iter().all(|(line, it)| match it {
                Carrier::Socket(_) => migrant.socket.is_some_and(|(it, _)| it == line),
                Carrier::Poll(_) => true,
                // Its reading end tells the shard that it began on how much it has read.
                Carrier::Stream(_) => false,
                // Its socket is on its way here.
                Carrier::Threshold(_) => false,
            });
            match migrant.socket {
                Some(socket) if is_known && can_go => {
                    self.send_with_socket(migrant, socket, lines);
                }
                None if is_known && can_go => self.send_without_socket(migrant),
                socket => {
                    if let Some((_, socket)) = socket {
                        // Another line came to it meanwhile.
                        self.free(socket, lines);
                    }
                    self.queue.push_back(Pending::Anew(migrant.key, migrant.questions));
                }
            }
        }
    }

    fn send_with_socket(
        &mut self,
        migrant: Migrant,
        (line, socket): (Line, LineKey),
        lines: &mut Lines,
    ) {
        let Migrant { key, shard, questions, .. } = migrant;
        let Some(raw) = lines.give_away(socket) else {
            // It closes already, and its end is told here; unless the kernel did not let go of it.
            if lines.stats(socket).is_none()
                && let Some((_, line)) = self.forget_socket(socket)
            {
                self.queue.push_back(Pending::Left(key, line));
            }
            return;
        };
        self.forget_place(socket);
        let Some(mut talk) = self.remove(key) else { return };
        // It rings on the clock of this shard.
        talk.alarm = Default::default();
        // Only who came over HTTP has an address by which somebody may look for it here.
        let from = talk.aside.is_some().then_some((self.index as u16, key));
        if from.is_some() {
            self.moved.insert(key, shard);
        }
        let guest = Guest::Moved(Box::new(Moved { talk, questions, line, from }));
        // A transport that was carried here can be carried there.
        let _ = self.posts[usize::from(shard)].join(raw, Box::new(guest));
    }

    fn send_without_socket(&mut self, migrant: Migrant) {
        let Migrant { key, shard, questions, .. } = migrant;
        let Some(mut talk) = self.remove(key) else { return };
        talk.alarm = Default::default();
        self.moved.insert(key, shard);
        let from = (self.index as u16, key);
        let moving = Moving { talk, questions, from };
        self.posts[usize::from(shard)].send(Note::Moved(Box::new(moving)));
    }

    /// Tells the shard where a conversation began that it is over.
    pub(super) fn forget_old(&mut self, old: Old) {
        self.arrived.remove(&old);
        let (shard, key) = old;
        self.posts[usize::from(shard)].send(Note::MovedEnded(key));
    }
}

impl Host {
    /// Takes in a conversation over HTTP that began on another shard.
    pub(super) fn take_moving(&mut self, moving: Moving, lines: &mut Lines) {
        let Moving { mut talk, questions, from } = moving;
        talk.aside().came_from = Some(from);
        let Ok(key) = self.stage.talks.insert(talk) else {
            // Whose requests wait is told so, since nobody answers them any more.
            return self.stage.forget_old(from);
        };
        self.stage.arrived.insert(from, key);
        if let Some(leaving) = &mut self.leaving {
            leaving.one_more(lines.now());
        }
        if self.take_seat(key, lines).is_some() {
            for (token, command) in questions {
                self.ask(key, token, command, lines);
            }
            self.stage.look_at(key);
        }
        self.settle(lines);
        if let Parting::From(_) = self.parting {
            self.say_goodbye(key, None, lines);
        }
    }

    /// Passes on what is for a conversation that has gone to another shard, and gives back what is for this one.
    pub(super) fn pass_on(&mut self, note: Note) -> Option<Note> {
        if self.stage.moved.is_empty() {
            return Some(note);
        }
        let key = match &note {
            Note::Visit(it) => match it.for_whom {
                ForWhom::Known(key, _) => key,
                ForWhom::New(_) => return Some(note),
            },
            Note::IsThere(key, ..) | Note::Goodbye(key, _) | Note::LineGone(key, _) => *key,
            _ => return Some(note),
        };
        let Some(shard) = self.stage.moved.get(&key) else { return Some(note) };
        let from = self.stage.index as u16;
        self.stage.posts[usize::from(*shard)].send(Note::PassedOn(from, Box::new(note)));
        None
    }

    /// Takes what another shard passed on for a conversation that began there.
    pub(super) fn take_passed_on(&mut self, from: u16, mut note: Note, lines: &mut Lines) {
        let arrived = |key: TalkKey| self.stage.arrived.get(&(from, key)).copied();
        let is_there = match &mut note {
            Note::Visit(it) => match &mut it.for_whom {
                ForWhom::Known(key, _) => arrived(*key).map(|it| *key = it).is_some(),
                ForWhom::New(_) => true,
            },
            Note::IsThere(key, ..) | Note::Goodbye(key, _) | Note::LineGone(key, _) => {
                arrived(*key).map(|it| *key = it).is_some()
            }
            _ => true,
        };
        match note {
            note if is_there => self.hear_note(note, lines),
            Note::Visit(it) => {
                refuse(it.answer, RefusalKind::NotFound, NO_CONVERSATION, it.request);
            }
            Note::IsThere(_, _, answer) => {
                // Who asked may wait no longer.
                let _ = answer.send(false);
            }
            _ => {}
        }
    }

    /// Sends a WebSocket to its conversation, if that has gone to another shard. Returns whether it has.
    pub(super) fn follow(
        &mut self,
        socket: LineKey,
        (key, dialect): (TalkKey, &'static str),
        lines: &mut Lines,
    ) -> bool {
        let Some(shard) = self.stage.moved.get(&key) else { return false };
        let post = self.stage.posts[usize::from(*shard)].clone();
        // Nothing of it was read yet. What closes already needs no conversation.
        lines.pause(socket);
        if let Some(raw) = lines.give_away(socket) {
            let from = (self.stage.index as u16, key);
            // A transport that was carried here can be carried there.
            let _ = post.join(raw, Box::new(Guest::PassedOn(from, dialect)));
        }
        true
    }
}
