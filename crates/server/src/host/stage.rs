//! Everything of a shard's conversations but the hub: where they are, what is on its way to them.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use taiwa::{Closed, Prepared, Utf8Bytes};
use taiwa_core::{Command, Event, Line, Message, Refusal, Token};
use taiwa_hub::{Done, OrderId, Seat, slab::Slab, wheel::Wheel};
use tokio::sync::oneshot;

use super::{
    Host, Shared,
    note::{Guest, Whose},
    talk::{self, Carrier, Talk, TalkKey},
    visit::{Tally, Visit},
};
use crate::shard::{Key as LineKey, Lines, Post, Unsent};

/// Deadlines of conversations are seconds; they may be this late.
const GRANULARITY: Duration = Duration::from_millis(50);

pub(super) struct Stage {
    pub(super) index: usize,
    pub(super) posts: Arc<[Post<Host>]>,
    pub(super) shared: Arc<Shared>,
    pub(super) talks: Slab<Talk>,
    /// The conversation of each line of the shard, by the line's place.
    by_line: Vec<Option<(LineKey, TalkKey, Line)>>,
    /// The conversation of each seat of the hub, by the seat's place.
    by_seat: Vec<Option<(Seat, TalkKey)>>,
    /// What the hub has said, in order.
    pub(super) queue: VecDeque<Pending>,
    /// What was encoded in this fan-out.
    pub(super) encoded: Vec<Written>,
    pub(super) wheel: Wheel<TalkKey>,
    /// Who goes to another shard at the end of the turn.
    pub(super) migrants: Vec<Migrant>,
    /// Lines that are not read until then, in the order of their times.
    pub(super) held: VecDeque<(Instant, LineKey)>,
    /// Polls that have something to say at the end of the turn.
    pub(super) polls: Vec<(TalkKey, Line)>,
    /// Who is waited for to read, and below how many bytes.
    waiting_to_drain: Vec<(TalkKey, usize)>,
    orders: HashMap<OrderId, oneshot::Sender<Result<Done, Refusal>>>,
    orders_so_far: OrderId,
    pub(super) tally: Tally,
}

/// A conversation that goes to another shard, and asks this there.
pub(super) struct Migrant {
    pub(super) key: TalkKey,
    pub(super) shard: u16,
    pub(super) token: Token,
    pub(super) command: Command,
}

/// Something on its way to a conversation.
pub(super) enum Pending {
    Event(TalkKey, Event),
    /// Encoded for all, and behind events.
    Shared(TalkKey, Message),
    /// The conversation may have nothing left to live for.
    Over(TalkKey),
}

/// A message that was encoded for all.
pub(super) struct Written {
    pub(super) message: Message,
    /// Framed for WebSockets, once the first of them gets it.
    prepared: Option<Prepared>,
}

impl Written {
    pub(super) fn new(message: Message) -> Self {
        Self { message, prepared: None }
    }

    fn prepared(&mut self) -> Option<&Prepared> {
        if self.prepared.is_none() {
            self.prepared = Some(Prepared::new(as_ours(&self.message)?));
        }
        self.prepared.as_ref()
    }
}

/// Turns a message of a dialect into one of the protocol. A text that is none is a bug of the dialect's, and not sent.
pub(super) fn as_ours(message: &Message) -> Option<taiwa::Message> {
    Some(match message {
        Message::Text(text) => taiwa::Message::Text(Utf8Bytes::try_from(text.clone()).ok()?),
        Message::Binary(bytes) => taiwa::Message::Binary(bytes.clone()),
    })
}

impl Stage {
    pub(super) fn new(index: usize, posts: Arc<[Post<Host>]>, shared: Arc<Shared>) -> Self {
        Self {
            index,
            posts,
            shared,
            talks: Slab::new(u32::MAX),
            by_line: vec![],
            by_seat: vec![],
            queue: VecDeque::new(),
            encoded: vec![],
            wheel: Wheel::new(GRANULARITY, Instant::now()),
            migrants: vec![],
            held: VecDeque::new(),
            polls: vec![],
            waiting_to_drain: vec![],
            orders: HashMap::new(),
            orders_so_far: 0,
            tally: Tally::default(),
        }
    }

    /// Writes down which conversation a line of the shard belongs to.
    pub(super) fn remember_socket(&mut self, key: LineKey, talk: TalkKey, line: Line) {
        let place = key.index() as usize;
        if self.by_line.len() <= place {
            self.by_line.resize_with(place + 1, || None);
        }
        self.by_line[place] = Some((key, talk, line));
    }

    pub(super) fn talk_of(&self, key: LineKey) -> Option<(TalkKey, Line)> {
        let (it, talk, line) = self.by_line.get(key.index() as usize)?.as_ref()?;
        (*it == key).then_some((*talk, *line))
    }

    /// Takes a line that has ended away from its conversation.
    pub(super) fn forget_socket(&mut self, key: LineKey) -> Option<(TalkKey, Line)> {
        let found = self.talk_of(key)?;
        self.by_line[key.index() as usize] = None;
        if self.by_line.len() > 1024 && place_is_last(&self.by_line, key.index() as usize) {
            while self.by_line.last().is_some_and(Option::is_none) {
                self.by_line.pop();
            }
            self.by_line.shrink_to(self.by_line.len() * 2);
        }
        let (talk, line) = found;
        self.talks.get_mut(talk)?.lines.remove(line);
        Some(found)
    }

    /// Takes a body that nobody reads any more away from its conversation.
    pub(super) fn forget_body(&mut self, key: TalkKey, line: Line) -> bool {
        let Some(talk) = self.talks.get_mut(key) else { return false };
        if let Some(aside) = &mut talk.aside {
            aside.exchanges.retain(|(it, _)| it.line() != line);
        }
        match talk.lines.get(line) {
            Some(Carrier::Socket(_)) | None => false,
            Some(_) => talk.lines.remove(line).is_some(),
        }
    }

    pub(super) fn seat(&mut self, seat: Seat, talk: TalkKey) {
        let place = seat.index() as usize;
        if self.by_seat.len() <= place {
            self.by_seat.resize_with(place + 1, || None);
        }
        self.by_seat[place] = Some((seat, talk));
        if let Some(talk) = self.talks.get_mut(talk) {
            talk.seat = Some(seat);
        }
    }

    pub(super) fn unseat(&mut self, seat: Seat) {
        if let Some(it) = self.by_seat.get_mut(seat.index() as usize)
            && it.is_some_and(|(it, _)| it == seat)
        {
            *it = None;
        }
    }

    pub(super) fn talk_at(&self, seat: Seat) -> Option<TalkKey> {
        let (it, talk) = (*self.by_seat.get(seat.index() as usize)?)?;
        (it == seat).then_some(talk)
    }

    /// Sets the alarm of a conversation, and notes whether it may be over.
    pub(super) fn look_at(&mut self, key: TalkKey) {
        let Some(talk) = self.talks.get_mut(key) else { return };
        match talk.conversation.deadline() {
            Some(at) => talk.alarm.set(at, key, &mut self.wheel),
            None if talk.is_forsaken() => self.queue.push_back(Pending::Over(key)),
            None => {}
        }
    }

    /// Returns how many bytes wait for a client.
    pub(super) fn queued(&self, key: TalkKey, lines: &Lines) -> usize {
        let Some(talk) = self.talks.get(key) else { return 0 };
        let carried = talk.lines.iter().map(|(_, it)| match it {
            Carrier::Socket(socket) => lines.queued_bytes(*socket),
            Carrier::Stream(stream) => stream.queued.load(Ordering::Relaxed),
            Carrier::Poll(poll) => poll.body.as_ref().map_or(0, |it| it.len()),
        });
        carried.sum::<usize>() + talk.aside.as_ref().map_or(0, |it| it.waiting_bytes)
    }

    /// Notes that somebody waits for a client to read. A socket tells so itself.
    pub(super) fn tell_drained(&mut self, key: TalkKey, below: usize, lines: &mut Lines) {
        for (_, carrier) in self.talks.get(key).iter().flat_map(|it| it.lines.iter()) {
            if let Carrier::Socket(socket) = carrier {
                return lines.await_room(*socket);
            }
        }
        self.waiting_to_drain.push((key, below / 2));
    }

    /// Takes out who has read enough.
    pub(super) fn drained(&mut self, lines: &Lines) -> Vec<TalkKey> {
        if self.waiting_to_drain.is_empty() {
            return vec![];
        }
        let all = std::mem::take(&mut self.waiting_to_drain);
        let (still, done) = all.into_iter().partition::<Vec<_>, _>(|(talk, below)| {
            self.talks.contains(*talk) && self.queued(*talk, lines) > *below
        });
        self.waiting_to_drain = still;
        let mut done: Vec<_> = done.into_iter().map(|(talk, _)| talk).collect();
        done.sort_unstable();
        done.dedup();
        done
    }

    /// Sends something encoded for all in this fan-out.
    pub(super) fn deliver(&mut self, key: TalkKey, number: usize, lines: &mut Lines) {
        let Some(talk) = self.talks.get_mut(key) else { return };
        let Some(written) = self.encoded.get_mut(number) else { return };
        if talk.pending > 0 {
            talk.pending += 1;
            self.queue.push_back(Pending::Shared(key, written.message.clone()));
            return;
        }
        let socket = talk.flow.and_then(|it| talk.lines.get(it)).and_then(|it| match it {
            Carrier::Socket(socket) => Some(*socket),
            _ => None,
        });
        let Some(socket) = socket else {
            let message = written.message.clone();
            return self.send_shared(key, message, lines);
        };
        let len = written.message.as_bytes().len();
        talk.visit.sent += 1;
        self.tally.sent(len);
        if let Some(prepared) = written.prepared()
            && lines.send_prepared(socket, prepared) == Err(Unsent::Full)
        {
            self.overflow(key);
        }
    }

    /// Sends something to the line in use.
    pub(super) fn send_shared(&mut self, key: TalkKey, message: Message, lines: &mut Lines) {
        let Some(talk) = self.talks.get_mut(key) else { return };
        match talk.flow {
            Some(line) => self.send(key, line, message, lines),
            None => self.set_aside(key, message),
        }
    }

    fn set_aside(&mut self, key: TalkKey, message: Message) {
        let limit = self.shared.limits.waiting_bytes_max;
        let Some(talk) = self.talks.get_mut(key) else { return };
        let aside = talk.aside();
        aside.waiting_bytes += message.as_bytes().len();
        aside.waiting.push_back(message);
        if aside.waiting_bytes > limit {
            self.overflow(key);
        }
    }

    /// Sends something on a line.
    pub(super) fn send(&mut self, key: TalkKey, line: Line, message: Message, lines: &mut Lines) {
        let limit = self.shared.limits.body_bytes_max;
        let Some(talk) = self.talks.get_mut(key) else { return };
        talk.visit.sent += 1;
        self.tally.sent(message.as_bytes().len());
        let fits = match talk.lines.get_mut(line) {
            None => true,
            Some(Carrier::Socket(socket)) => match as_ours(&message) {
                Some(ours) => lines.send(*socket, &ours) != Err(Unsent::Full),
                None => true,
            },
            Some(Carrier::Stream(stream)) => {
                stream.push(message.as_bytes().clone());
                stream.queued.load(Ordering::Relaxed) <= limit
            }
            Some(Carrier::Poll(poll)) => {
                if poll.body.is_none() {
                    self.polls.push((key, line));
                }
                poll.push(message.as_bytes());
                poll.body.as_ref().is_none_or(|it| it.len() <= limit)
            }
        };
        if !fits {
            self.overflow(key);
        }
    }

    /// Sends a client away for which too much waits.
    fn overflow(&mut self, key: TalkKey) {
        if let Some(talk) = self.talks.get_mut(key) {
            talk.pending += 1;
            let slow = Event::Disconnect(taiwa_core::Disconnect::Slow);
            self.queue.push_back(Pending::Event(key, slow));
        }
    }

    /// Keeps who waits for what becomes of an order.
    pub(super) fn wait_for(&mut self, answer: oneshot::Sender<Result<Done, Refusal>>) -> OrderId {
        self.orders_so_far += 1;
        self.orders.insert(self.orders_so_far, answer);
        self.orders_so_far
    }

    pub(super) fn order_done(&mut self, id: OrderId, result: Result<Done, Refusal>) {
        if let Some(answer) = self.orders.remove(&id) {
            // Who ordered may wait no longer.
            let _ = answer.send(result);
        }
    }

    pub(super) fn count_in(&mut self, talk: TalkKey, bytes: usize) {
        if let Some(talk) = self.talks.get_mut(talk) {
            talk.visit.received += 1;
            self.tally.received(bytes);
        }
    }

    pub(super) fn note_end(&mut self, talk: TalkKey, closed: Closed) {
        if let Some(talk) = self.talks.get_mut(talk) {
            talk.visit.closed = Some(Box::new(closed));
        }
    }

    /// Sends conversations to the shards of their earlier sessions.
    pub(super) fn send_migrants(&mut self, lines: &mut Lines) {
        for Migrant { key, shard, token, command } in std::mem::take(&mut self.migrants) {
            let socket = self.talks.get(key).and_then(|it| match &it.lines {
                talk::Lines::One(_, Carrier::Socket(socket)) => Some(*socket),
                _ => None,
            });
            // It may have been released since, from another wait.
            socket.into_iter().for_each(|it| lines.pause(it));
            let Some(raw) = socket.and_then(|it| lines.give_away(it)) else {
                // It closes already: its end is told here.
                continue;
            };
            socket.and_then(|it| self.forget_socket(it));
            let Some(talk) = self.talks.remove(key) else { continue };
            let Talk { conversation, dialect, visit, .. } = talk;
            let Visit { peer, place, path, .. } = visit;
            let asks = Some((token, command));
            let whose = Whose::New(conversation);
            let guest = Guest { whose, dialect, peer, place, path, asks };
            if let Some(post) = self.posts.get(usize::from(shard)) {
                // A transport that was carried here can be carried there.
                let _ = post.join(raw, Box::new(guest));
            }
        }
    }

    /// Reads lines again that were held up long enough.
    pub(super) fn release(&mut self, lines: &mut Lines) {
        while let Some((until, socket)) = self.held.front().copied()
            && until <= lines.now()
        {
            self.held.pop_front();
            // One that was held up again meanwhile stands behind.
            if !self.held.iter().any(|(_, it)| *it == socket) {
                lines.resume(socket);
            }
        }
    }

    pub(super) fn shrink(&mut self) {
        if self.queue.is_empty() && self.queue.capacity() > 4096 {
            self.queue.shrink_to(256);
        }
    }
}

fn place_is_last<T>(all: &[T], place: usize) -> bool {
    place + 1 == all.len()
}
