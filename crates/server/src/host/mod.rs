//! What a shard does with its lines: conversations, in their dialects, in front of the hub.
//!
//! [`Host`] is the [`Above`] of the server. What a client says goes to its conversation; what that asks for goes to the
//! shard's part of the hub; what the hub says goes back to conversations and lines, in the order in which it was said.

mod note;
mod room;
mod talk;
mod stage;
mod sockets;
mod threshold;
mod moved;
mod act;
mod outlet;
mod exchange;
mod leaving;
mod visit;

#[cfg(test)]
mod tests;

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use taiwa::{Closed, Kind};
use taiwa_core::{Actions, App, Event, Input, Message};
use taiwa_hub::{Now, Settings as HubSettings, wheel::Due};
use taiwa_proto::Payload;
use tokio::runtime::Handle;

use crate::cluster::Membership;
use crate::shard::{Above, Key as LineKey, Left, Lines, Post};

pub(crate) use exchange::{Answered, Body, BodyGone, NO_CONVERSATION};
use leaving::Leaving;
pub(crate) use leaving::away;
pub(crate) use note::{Adopting, Guest, Note, Ordered, Visitor};
pub(crate) use note::{ForWhom, Looking, Who};
use outlet::Way;
use room::Room;
pub(crate) use stage::as_ours;
use stage::{Checked, Pending, Stage};
use talk::Talk;
pub(crate) use talk::TalkKey;
pub(crate) use threshold::{Crossing, Opener, Unanswered};
pub use visit::{Row, Snapshot, Tally};

/// What all hosts of a server share.
pub(crate) struct Shared {
    pub(crate) app: Arc<dyn App>,
    pub(crate) runtime: Handle,
    pub(crate) limits: HostLimits,
    pub(crate) settings: Arc<HubSettings>,
    /// Names shards to each other and signs addresses; all nodes have the same.
    pub(crate) secret: [u8; 32],
    /// The other nodes, if this is one of several.
    pub(crate) membership: Option<Arc<Membership>>,
    /// The names of the dialects.
    pub(crate) names: Arc<[&'static str]>,
}

/// Bounds of conversations and their lines. Each has one consequence.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct HostLimits {
    /// Bytes that may wait for a client which has no line for the moment, 1 MiB by default; of more its session ends.
    pub waiting_bytes_max: usize,
    /// Bytes that may wait for a client on a body of HTTP, 1 MiB by default; of more it is sent away.
    pub body_bytes_max: usize,
    /// Requests of one conversation that wait for an answer, 16 by default; one more is answered with 429.
    pub exchanges_max: usize,
    /// Timers and due things of one turn, 256 by default; what is left comes in the next one.
    pub due_max: usize,
}

impl Default for HostLimits {
    fn default() -> Self {
        Self {
            waiting_bytes_max: 1 << 20,
            body_bytes_max: 1 << 20,
            exchanges_max: 16,
            due_max: 256,
        }
    }
}

/// The conversations of one shard.
pub(crate) struct Host {
    hub: taiwa_hub::Shard,
    stage: Stage,
    shared: Arc<Shared>,
    /// Lent to each conversation in turn.
    actions: Actions,
    /// Of the message that a client said.
    room: Room,
    due: Vec<Due<TalkKey>>,
    parting: Parting,
    leaving: Option<Leaving>,
    /// How much of what came from other nodes the hub could not read, when that was last looked at.
    unread: u64,
}

/// Whether the server goes away.
enum Parting {
    Not,
    /// Conversations from this place on, if any, are still to be told.
    From(Option<u32>),
}

/// Conversations that are said goodbye to in a turn.
const FAREWELLS_PER_TURN: usize = 512;

impl Host {
    pub(crate) fn new(
        index: usize,
        posts: Arc<[Post<Host>]>,
        shared: Arc<Shared>,
        key: [u8; 16],
    ) -> Self {
        let (number, count) = (index as u16, posts.len() as u16);
        let mut hub = taiwa_hub::Shard::new(number, count, shared.settings.clone(), key);
        if let Some(membership) = &shared.membership {
            hub = hub.in_cluster(membership.node(), shared.names.clone());
        }
        let stage = Stage::new(index, posts, shared.clone());
        let parting = Parting::Not;
        Self {
            hub,
            stage,
            shared,
            actions: vec![],
            room: Room::default(),
            due: vec![],
            parting,
            leaving: None,
            unread: 0,
        }
    }

    fn now(lines: &Lines) -> Now {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { at: lines.now(), unix_ms: since.as_millis() as u64 }
    }

    /// Tells a conversation what came from its client, and does what it and others want then.
    fn receive(&mut self, talk: TalkKey, input: Input, lines: &mut Lines) {
        self.hear(talk, input, lines);
        self.settle(lines);
    }

    fn hear(&mut self, talk: TalkKey, input: Input, lines: &mut Lines) {
        let now = lines.now();
        self.with(talk, lines, |it, actions| it.conversation.receive(input, now, actions));
    }

    /// Lets a conversation act.
    fn with(&mut self, key: TalkKey, lines: &mut Lines, act: impl FnOnce(&mut Talk, &mut Actions)) {
        let mut actions = std::mem::take(&mut self.actions);
        if let Some(talk) = self.stage.talks.get_mut(key) {
            act(talk, &mut actions);
            for action in actions.drain(..) {
                self.act(key, action, lines);
            }
            self.stage.look_at(key);
        }
        actions.clear();
        self.actions = actions;
    }

    /// Hands out what the hub has said, until nothing is left to hand out.
    fn settle(&mut self, lines: &mut Lines) {
        while let Some(pending) = self.stage.queue.pop_front() {
            match pending {
                Pending::Event(key, event) => self.deliver(key, event, lines),
                Pending::Shared(key, message) => {
                    if let Some(talk) = self.stage.talks.get_mut(key) {
                        talk.pending -= 1;
                        self.stage.send_shared(key, message, lines);
                    }
                }
                Pending::Left(key, line) => self.line_left(key, line, lines),
                Pending::Over(key) => self.end_without_line(key, lines),
                Pending::Anew(key, questions) => self.begin_anew(key, questions, lines),
            }
        }
        self.stage.shrink();
    }

    fn deliver(&mut self, key: TalkKey, event: Event, lines: &mut Lines) {
        let now = lines.now();
        if let Some(talk) = self.stage.talks.get_mut(key) {
            talk.pending -= 1;
        }
        self.with(key, lines, |it, actions| it.conversation.deliver(event, now, actions));
    }

    /// Ends a conversation that has no line, waits for none and does not say so itself.
    fn end_without_line(&mut self, key: TalkKey, lines: &mut Lines) {
        if self.stage.talks.get(key).is_some_and(Talk::is_forsaken) {
            self.end(key, 1000, "", lines);
        }
    }

    /// Lets the hub do something.
    fn hub<T>(
        &mut self,
        lines: &mut Lines,
        act: impl FnOnce(&mut taiwa_hub::Shard, Now, &mut Way<'_>) -> T,
    ) -> T {
        let now = Self::now(lines);
        let mut way = Way { stage: &mut self.stage, lines };
        act(&mut self.hub, now, &mut way)
    }
}

impl Above for Host {
    type Opening = Box<Guest>;
    type Letter = Note;

    fn joined(&mut self, key: LineKey, guest: Box<Guest>, lines: &mut Lines) {
        self.seat_guest(key, *guest, lines);
    }

    fn received(&mut self, key: LineKey, message: Payload<'_>, lines: &mut Lines) {
        let Some((talk, line)) = self.stage.talk_of(key) else { return };
        self.stage.count_in(talk, message.as_slice().len());
        let kind = message.kind();
        let bytes = match message.into_in_place() {
            Ok(frame) => self.room.lend(frame.as_slice()),
            // It was put together in memory of its own.
            Err(message) => message.into_bytes(),
        };
        let message = match kind {
            Kind::Text => {
                self.stage.checked = Some(Checked::of(&bytes));
                Message::Text(bytes)
            }
            Kind::Binary => Message::Binary(bytes),
        };
        self.receive(talk, Input::Message(line, message), lines);
        self.stage.checked = None;
        self.stage.wait_for_reader(key, lines);
    }

    fn left(&mut self, key: LineKey, left: Left, lines: &mut Lines) {
        let Some((talk, line)) = self.stage.forget_socket(key) else { return };
        let closed: Closed = left.closed();
        self.stage.note_end(talk, closed);
        self.line_left(talk, line, lines);
        self.settle(lines);
    }

    fn letter(&mut self, note: Note, lines: &mut Lines) {
        if let Some(note) = self.pass_on(note) {
            self.hear_note(note, lines);
        }
    }
    fn room(&mut self, key: LineKey, lines: &mut Lines) {
        self.stage.has_read(key, lines);
        if let Some((talk, _)) = self.stage.talk_of(key) {
            self.drained(talk, lines);
            self.settle(lines);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        if !self.stage.polls.is_empty() || !self.stage.migrants.is_empty() {
            // Said as lines ended, behind the end of the turn: it goes out in the next one, which is due now.
            return Some(Instant::now());
        }
        let held = self.stage.held.front().map(|(until, _)| *until);
        let leaving = self.leaving.as_ref().and_then(Leaving::next_at);
        [self.hub.deadline(), self.stage.wheel.next(), held, leaving].into_iter().flatten().min()
    }

    fn timeout(&mut self, lines: &mut Lines) {
        let limit = self.shared.limits.due_max;
        self.stage.release(lines);
        self.lead_out(lines);
        self.hub(lines, |hub, now, way| hub.timeout(now, limit, way));
        self.settle(lines);
        let mut due = std::mem::take(&mut self.due);
        let now = lines.now();
        self.stage.wheel.advance(now, limit, &mut due);
        for Due { key, tick } in due.drain(..) {
            let Some(talk) = self.stage.talks.get_mut(key) else { continue };
            if !talk.alarm.rings(tick) {
                continue;
            }
            if talk.conversation.deadline().is_some_and(|it| it <= now) {
                self.with(key, lines, |it, actions| it.conversation.timeout(now, actions));
                self.settle(lines);
            } else {
                self.stage.look_at(key);
            }
        }
        self.due = due;
    }

    fn turn_ended(&mut self, lines: &mut Lines) {
        self.finish_polls(lines);
        self.stage.send_migrants(lines);
        for talk in self.stage.drained(lines) {
            self.drained(talk, lines);
        }
        self.settle(lines);
        self.tell_when_gone();
    }

    fn farewell(&mut self, key: LineKey, lines: &mut Lines) {
        let Some((talk, _)) = self.stage.talk_of(key) else {
            // It closes already.
            return;
        };
        self.say_goodbye(talk, None, lines);
    }

    fn parting(&mut self, lines: &mut Lines) -> bool {
        if let Parting::Not = self.parting {
            self.parting = Parting::From(Some(0));
        }
        for _ in 0..FAREWELLS_PER_TURN {
            let Parting::From(Some(place)) = self.parting else { return true };
            let key = self.stage.talks.next_from(place);
            self.parting = Parting::From(key.and_then(|it| it.index().checked_add(1)));
            if let Some(key) = key
                && self.stage.talks.get(key).is_some_and(|it| !it.has_socket())
            {
                self.say_goodbye(key, None, lines);
            }
        }
        false
    }
}

impl Host {
    /// Lets the hub do something, and hands out what it says.
    fn in_hub(
        &mut self,
        lines: &mut Lines,
        act: impl FnOnce(&mut taiwa_hub::Shard, Now, &mut Way<'_>),
    ) {
        self.hub(lines, act);
        self.settle(lines);
    }

    /// Does what another thread told.
    fn hear_note(&mut self, note: Note, lines: &mut Lines) {
        match note {
            Note::Hub(letter) => self.in_hub(lines, |hub, now, way| hub.letter(letter, now, way)),
            Note::Answered(ticket, answer) => {
                self.in_hub(lines, |hub, now, way| hub.answered(ticket, *answer, now, way))
            }
            Note::Found(ticket, found) => {
                self.in_hub(lines, |hub, now, way| hub.found(ticket, *found, now, way))
            }
            Note::Heard(heard) => {
                self.hub(lines, |hub, now, way| hub.heard(*heard, now, way));
                self.look_for_unread(lines);
                self.settle(lines);
            }
            Note::Far(from, letter) => {
                self.hub(lines, |hub, now, way| hub.far_letter(from, &letter, now, way));
                self.look_for_unread(lines);
                self.settle(lines);
            }
            Note::NodeCome(node) => {
                self.in_hub(lines, |hub, now, way| hub.node_come(node, now, way))
            }
            Note::NodeGone(node) => {
                self.in_hub(lines, |hub, now, way| hub.node_gone(node, now, way))
            }
            Note::Cluster(state) => {
                self.in_hub(lines, |hub, now, way| hub.cluster_state(state, now, way))
            }
            Note::Order(order) => {
                let Ordered { order, answer } = *order;
                let id = self.stage.wait_for(answer);
                self.hub(lines, |hub, now, way| hub.order(id, order, now, way));
                self.settle(lines);
            }
            Note::Visit(visitor) => self.visit(*visitor, lines),
            Note::Expect(guest, answer) => self.expect_guest(*guest, answer, lines),
            Note::IsThere(talk, dialect, answer) => {
                // Who asked may wait no longer.
                let _ = answer.send(self.stage.is_there(talk, dialect));
            }
            Note::Goodbye(talk, after) => self.say_goodbye(talk, after, lines),
            Note::LineGone(talk, line) => {
                if self.stage.forget_body(talk, line) {
                    self.line_left(talk, line, lines);
                    self.settle(lines);
                }
            }
            Note::Moved(moving) => self.take_moving(*moving, lines),
            Note::MovedEnded(old) => {
                self.stage.moved.remove(&old);
            }
            Note::PassedOn(from, note) => self.take_passed_on(from, *note, lines),
            Note::LineRoom => self.stage.note_room(),
            Note::Leave(until, gone) => self.leave(until, gone, lines),
            Note::Turn(taken) => {
                // Who asked may wait no longer.
                let _ = taken.send(());
            }
            Note::Adopt(adopting) => self.adopt(*adopting),
            Note::Look(ask) => {
                let snapshot = self.snapshot(ask.rows_max, lines);
                // Who asked may wait no longer.
                let _ = ask.answer.send(snapshot);
            }
            #[cfg(test)]
            Note::Do(it) => it(self, lines),
        }
    }

    fn adopt(&mut self, adopting: Adopting) {
        let Adopting { shared, done } = adopting;
        self.hub.set_settings(shared.settings.clone());
        self.stage.shared = shared.clone();
        self.shared = shared;
        // Who asked may wait no longer.
        let _ = done.send(());
    }

    /// Has the log told if the hub could not read something.
    fn look_for_unread(&mut self, lines: &Lines) {
        let unread = self.hub.info().counters.unread;
        if unread > self.unread
            && let Some(membership) = &self.shared.membership
        {
            membership.tell_unread(lines.now());
        }
        self.unread = unread;
    }

    /// Tells a conversation that the server goes away, and after which time its client may come back.
    fn say_goodbye(&mut self, talk: TalkKey, after: Option<Duration>, lines: &mut Lines) {
        let going = Event::Disconnect(taiwa_core::Disconnect::Shutdown(after));
        let now = lines.now();
        self.with(talk, lines, |it, actions| it.conversation.deliver(going, now, actions));
        self.settle(lines);
    }

    fn drained(&mut self, talk: TalkKey, lines: &mut Lines) {
        let Some(seat) = self.stage.talks.get(talk).and_then(|it| it.seat) else { return };
        self.hub(lines, |hub, now, way| hub.drained(seat, now, way));
    }
}
