//! Everything of a shard's conversations but the hub: where they are, what is on its way to them.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use taiwa::{Closed, Kind, Prepared, Utf8Bytes};
use taiwa_core::{Command, Event, Line, Message, Refusal, Token};
use taiwa_hub::{Done, OrderId, Seat, slab::Slab, wheel::Wheel};
use tokio::sync::oneshot;

use super::{
    Host, Shared,
    moved::{Migrant, Old},
    sockets::Place,
    talk::{self, Carrier, Talk, TalkKey},
    visit::Tally,
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
    pub(super) by_line: Vec<Option<Place>>,
    /// Lines that are not read until then, in the order of their times.
    pub(super) held: VecDeque<(Instant, LineKey)>,
    /// The conversation of each seat of the hub, by the seat's place.
    by_seat: Vec<Option<(Seat, TalkKey)>>,
    /// What the hub has said, in order.
    pub(super) queue: VecDeque<Pending>,
    /// What was encoded in this fan-out.
    pub(super) encoded: Vec<Written>,
    /// The text that is being received.
    pub(super) checked: Option<Checked>,
    pub(super) wheel: Wheel<TalkKey>,
    /// Who goes to another shard at the end of the turn.
    pub(super) migrants: Vec<Migrant>,
    /// Those that came over HTTP and have gone: to which shard.
    pub(super) moved: HashMap<TalkKey, u16>,
    /// Those that came so from other shards.
    pub(super) arrived: HashMap<Old, TalkKey>,
    /// Polls that have something to say at the end of the turn.
    pub(super) polls: Vec<(TalkKey, Line)>,
    /// Who is waited for to read, and down to how many bytes.
    waiting_to_drain: HashMap<TalkKey, usize>,
    /// One of them may have read.
    somebody_drained: bool,
    orders: HashMap<OrderId, oneshot::Sender<Result<Done, Refusal>>>,
    orders_so_far: OrderId,
    pub(super) tally: Tally,
}

/// Something on its way to a conversation.
pub(super) enum Pending {
    Event(TalkKey, Event),
    /// Encoded for all, and behind events.
    Shared(TalkKey, Message),
    /// A line has ended that its conversation was not told of yet.
    Left(TalkKey, Line),
    /// The conversation may have nothing left to live for.
    Over(TalkKey),
    /// It can't go to the shard of its earlier session, and asks this here, as a new one.
    Anew(TalkKey, Vec<(Token, Command)>),
}

/// A message that was encoded for all.
pub(super) struct Written {
    pub(super) message: Message,
    /// Framed for WebSockets, once the first of them gets it.
    prepared: Option<Prepared>,
    /// The next one belongs to it.
    is_continued: bool,
}

impl Written {
    pub(super) fn new(message: Message, is_continued: bool) -> Self {
        Self { message, prepared: None, is_continued }
    }

    fn prepared(&mut self) -> Option<&Prepared> {
        if self.prepared.is_none() {
            self.prepared = Some(Prepared::new(as_ours(&self.message)?));
        }
        self.prepared.as_ref()
    }
}

/// Where text lies that was checked when it came: whoever sends these bytes back while it is received need not look again.
#[derive(PartialEq)]
pub(super) struct Checked {
    address: usize,
    len: usize,
}

impl Checked {
    pub(super) fn of(text: &Bytes) -> Self {
        Self { address: text.as_ptr().addr(), len: text.len() }
    }
}

/// Turns a message of a dialect into one of the protocol. A text that is none is a bug of the dialect's, and not sent.
pub(crate) fn as_ours(message: &Message) -> Option<taiwa::Message> {
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
            held: VecDeque::new(),
            by_seat: vec![],
            queue: VecDeque::new(),
            encoded: vec![],
            checked: None,
            wheel: Wheel::new(GRANULARITY, Instant::now()),
            migrants: vec![],
            moved: HashMap::new(),
            arrived: HashMap::new(),
            polls: vec![],
            waiting_to_drain: HashMap::new(),
            somebody_drained: false,
            orders: HashMap::new(),
            orders_so_far: 0,
            tally: Tally::default(),
        }
    }

    /// Takes a body that nobody reads any more, or a request whose answer nobody waits for, away from its conversation.
    /// Tells whether there was one.
    pub(super) fn forget_body(&mut self, key: TalkKey, line: Line) -> bool {
        self.somebody_drained = true;
        let Some(talk) = self.talks.get_mut(key) else { return false };
        if let Some(aside) = &mut talk.aside {
            let before = aside.exchanges.len();
            aside.exchanges.retain(|(it, _)| it.line() != line);
            if aside.exchanges.len() < before {
                return true;
            }
        }
        if let Some(Carrier::Socket(_)) | None = talk.lines.get(line) {
            return false;
        }
        // What was said to a WebSocket that never opened is said to nobody.
        if let Some(Carrier::Poll(poll)) = talk.lines.remove(line) {
            self.put_back(key, poll.said);
        }
        true
    }

    /// Tells whether there is such a conversation of this dialect.
    pub(super) fn is_there(&self, key: TalkKey, dialect: &str) -> bool {
        self.talks.get(key).is_some_and(|it| it.dialect == dialect)
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
        if let (talk::Lines::One(_, Carrier::Socket(socket)), None) = (&talk.lines, &talk.aside) {
            // What it mostly is, and asked for each delivery.
            return lines.queued_bytes(*socket);
        }
        let carried = talk.lines.iter().map(|(_, it)| match it {
            Carrier::Socket(socket) => lines.queued_bytes(*socket),
            Carrier::Stream(stream) => stream.backlog.len(),
            Carrier::Poll(poll) => poll.bytes,
            Carrier::Threshold(threshold) => threshold.bytes,
        });
        carried.sum::<usize>() + talk.aside.as_ref().map_or(0, |it| it.waiting_bytes)
    }

    /// Tells whether what is sent to a client now goes out at the end of this turn.
    pub(super) fn takes_at_once(&self, key: TalkKey, lines: &Lines) -> bool {
        let Some(talk) = self.talks.get(key) else { return false };
        let is_kept = talk.aside.as_ref().is_some_and(|it| it.waiting_bytes > 0);
        match talk.stream() {
            _ if is_kept || talk.has_overflowed => false,
            Some((_, Carrier::Socket(socket))) => lines.takes_at_once(*socket),
            Some((_, Carrier::Stream(stream))) => stream.backlog.len() == 0,
            // It waits for nothing else, and all of this turn is in it.
            Some((_, Carrier::Poll(_))) => true,
            Some((_, Carrier::Threshold(_))) | None => false,
        }
    }

    /// Notes that somebody waits for a client to read. A socket tells so itself.
    pub(super) fn tell_drained(&mut self, key: TalkKey, below: usize, lines: &mut Lines) {
        let below = below / 2;
        for (_, carrier) in self.talks.get(key).iter().flat_map(|it| it.lines.iter()) {
            match carrier {
                Carrier::Socket(socket) => return lines.await_room(*socket),
                Carrier::Stream(stream) => stream.backlog.wait_for(below),
                Carrier::Poll(_) | Carrier::Threshold(_) => {}
            }
        }
        let down_to = self.waiting_to_drain.entry(key).or_insert(below);
        *down_to = below.max(*down_to);
        // It may have read before it was asked to tell.
        self.somebody_drained = true;
    }

    /// Notes that somebody has read.
    pub(super) fn note_room(&mut self) {
        self.somebody_drained = true;
    }

    /// Takes out who has read enough.
    pub(super) fn drained(&mut self, lines: &Lines) -> Vec<TalkKey> {
        if !std::mem::take(&mut self.somebody_drained) || self.waiting_to_drain.is_empty() {
            return vec![];
        }
        let mut waiting = std::mem::take(&mut self.waiting_to_drain);
        let done = waiting.extract_if(|talk, down_to| self.queued(*talk, lines) <= *down_to);
        let done = done.map(|(talk, _)| talk).collect();
        self.waiting_to_drain = waiting;
        done
    }

    /// Takes a conversation out, with its place among those that are waited for.
    pub(super) fn remove(&mut self, key: TalkKey) -> Option<Talk> {
        self.waiting_to_drain.remove(&key);
        let talk = self.talks.remove(key)?;
        if let Some(old) = talk.aside.as_ref().and_then(|it| it.came_from) {
            self.forget_old(old);
        }
        Some(talk)
    }

    /// Sends something encoded for all in this fan-out.
    pub(super) fn deliver(&mut self, key: TalkKey, first: usize, lines: &mut Lines) {
        let continued = |it: &Written| it.is_continued;
        let mut number = first;
        self.deliver_one(key, number, lines);
        while self.encoded.get(number).is_some_and(continued) {
            number += 1;
            self.deliver_one(key, number, lines);
        }
    }

    fn deliver_one(&mut self, key: TalkKey, number: usize, lines: &mut Lines) {
        let Some(talk) = self.talks.get_mut(key) else { return };
        let Some(written) = self.encoded.get_mut(number) else { return };
        if talk.has_overflowed {
            return;
        }
        if talk.pending > 0 {
            talk.pending += 1;
            self.queue.push_back(Pending::Shared(key, written.message.clone()));
            return;
        }
        let Some((_, Carrier::Socket(socket))) = talk.stream() else {
            let message = written.message.clone();
            return self.send_shared(key, message, lines);
        };
        let socket = *socket;
        let len = written.message.as_bytes().len();
        talk.visit.sent += 1;
        self.tally.sent(len);
        if let Some(prepared) = written.prepared()
            && lines.send_prepared(socket, prepared) == Err(Unsent::Full)
        {
            self.overflow(key);
        }
    }

    /// Sends something to the line in use, or keeps it for the next one.
    pub(super) fn send_shared(&mut self, key: TalkKey, message: Message, lines: &mut Lines) {
        let Some(talk) = self.talks.get_mut(key) else { return };
        if talk.has_overflowed {
            return;
        }
        match talk.stream() {
            Some((line, _)) => self.send(key, line, message, lines),
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

    /// Keeps what was said on a poll that its client gave up for the next line.
    pub(super) fn put_back(&mut self, key: TalkKey, said: Vec<Message>) {
        let limit = self.shared.limits.waiting_bytes_max;
        let Some(talk) = self.talks.get_mut(key) else { return };
        if said.is_empty() {
            return;
        }
        let aside = talk.aside();
        for message in said.into_iter().rev() {
            aside.waiting_bytes += message.as_bytes().len();
            aside.waiting.push_front(message);
        }
        if aside.waiting_bytes > limit {
            self.overflow(key);
        }
    }

    /// Sends what waits for a line to the one in use.
    pub(super) fn pour(&mut self, key: TalkKey, lines: &mut Lines) {
        let Some(talk) = self.talks.get_mut(key) else { return };
        let Some((line, _)) = talk.stream() else { return };
        let Some(aside) = talk.aside.as_mut().filter(|it| !it.waiting.is_empty()) else { return };
        aside.waiting_bytes = 0;
        self.somebody_drained = true;
        for message in std::mem::take(&mut aside.waiting) {
            self.send(key, line, message, lines);
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
            Some(Carrier::Socket(socket)) => {
                let sent = match &message {
                    Message::Binary(bytes) => lines.send_checked(*socket, Kind::Binary, bytes),
                    Message::Text(text) if self.checked == Some(Checked::of(text)) => {
                        lines.send_checked(*socket, Kind::Text, text)
                    }
                    Message::Text(_) => {
                        as_ours(&message).map_or(Ok(()), |it| lines.send(*socket, &it))
                    }
                };
                sent != Err(Unsent::Full)
            }
            Some(Carrier::Threshold(threshold)) => {
                threshold.push(message);
                threshold.bytes <= limit
            }
            Some(Carrier::Stream(stream)) => stream.push(message.as_bytes().clone()) <= limit,
            Some(Carrier::Poll(poll)) => {
                if poll.said.is_empty() {
                    self.polls.push((key, line));
                }
                poll.push(message);
                poll.bytes <= limit
            }
        };
        if !fits {
            self.overflow(key);
        }
    }

    /// Sends a client away for which too much waits.
    fn overflow(&mut self, key: TalkKey) {
        if let Some(talk) = self.talks.get_mut(key)
            && !std::mem::replace(&mut talk.has_overflowed, true)
        {
            self.tally.overflowed += 1;
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
            talk.aside().closed = Some(closed);
        }
    }

    /// Counts what is there of conversations besides themselves.
    #[cfg(test)]
    pub(super) fn left_over(&self) -> [usize; 8] {
        [
            self.by_line.iter().flatten().count(),
            self.by_seat.iter().flatten().count(),
            self.queue.len(),
            self.encoded.len(),
            self.migrants.len() + self.moved.len() + self.arrived.len(),
            self.held.len(),
            self.polls.len() + self.waiting_to_drain.len(),
            self.orders.len(),
        ]
    }

    pub(super) fn shrink(&mut self) {
        if self.queue.is_empty() && self.queue.capacity() > 4096 {
            self.queue.shrink_to(256);
        }
    }
}
