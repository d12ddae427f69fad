//! Two ends that talk, and what each of them knows to be sent.

mod calls;
mod streamed;

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use taiwa_proto::{CloseCode, Message};

use super::super::{Dice, WebSocket};
use crate::{
    Receiver, Sender, WebSocketStream,
    events::{Events, Handle},
    stream::{Readable, Writable},
};

/// Polls after which a call that waits for the other end is given up.
const POLLS_MAX: u32 = 24;

/// What a program may hold of a connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Face {
    Whole,
    Halves,
    Streams,
    Events,
}

pub(super) enum End {
    Whole(WebSocket),
    Halves { senders: [Sender; 2], receiver: Receiver },
    Streams { stream: WebSocketStream, readable: Readable, writable: Writable },
    Events { handle: Handle, events: Events },
}

impl Face {
    pub(super) fn of(self, socket: WebSocket) -> End {
        match self {
            Self::Whole => End::Whole(socket),
            Self::Halves => {
                let (sender, receiver) = socket.split();
                End::Halves { senders: [sender.clone(), sender], receiver }
            }
            Self::Streams => {
                let mut stream = WebSocketStream::from(socket);
                let opened = super::poll_and_drop(stream.opened()).expect("it is open");
                let opened = opened.expect("it is open");
                let (readable, writable) = (opened.readable, opened.writable);
                End::Streams { stream, readable, writable }
            }
            Self::Events => {
                let (handle, mut events) = socket.events();
                let first = super::poll_and_drop(events.next());
                assert!(matches!(first, Some(Some(crate::events::Event::Open))));
                End::Events { handle, events }
            }
        }
    }
}

/// One end, and what it knows.
struct Party {
    end: End,
    /// Of the next message.
    number: u64,
    /// The messages that were sent: for sure, or perhaps.
    sent: Vec<(u64, bool)>,
    received: Vec<u64>,
    count: Count,
}

#[derive(Default)]
struct Count {
    drops: u64,
    /// Polls of the call that took the most of them.
    polls_max: u32,
}

/// How often a call is polled, and what happens between two polls.
struct Tries<'a, 'b> {
    count: &'a mut Count,
    dice: &'a mut Dice,
    /// `None`: this happens between two polls itself.
    between: Option<&'a mut (dyn FnMut(&mut Dice) + 'b)>,
}

impl Tries<'_, '_> {
    /// Polls `polls` times at most and drops the future.
    fn poll<T>(&mut self, polls: u32, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        let mut cx = Context::from_waker(Waker::noop());
        for nth in 1..=polls {
            if let Poll::Ready(it) = future.as_mut().poll(&mut cx) {
                self.count.polls_max = self.count.polls_max.max(nth);
                return Some(it);
            }
            self.pass();
        }
        self.count.drops += u64::from(polls > 0);
        None
    }

    fn pass(&mut self) {
        if let Some(between) = &mut self.between
            && self.dice.roll(2) == 0
        {
            between(self.dice);
        }
    }

    /// Calls anew with one poll more each time, until it ends or `POLLS_MAX` is reached.
    fn climb<T>(&mut self, mut call: impl FnMut(&mut Self, u32) -> Option<T>) -> Option<T> {
        if self.between.is_none() {
            let polls = 1 + self.dice.roll(3) as u32;
            return call(self, polls);
        }
        (0..=POLLS_MAX).find_map(|polls| call(self, polls))
    }

    /// Goes on climbing to the end of the call.
    fn insist<T>(&mut self, mut call: impl FnMut(&mut Self, u32) -> Option<T>) -> T {
        for _ in 0..100_000 {
            if let Some(it) = self.climb(&mut call) {
                return it;
            }
        }
        panic!("it never ends");
    }
}

/// What a number becomes: text or binary, mostly short.
fn content(number: u64) -> Message {
    let mut dice = Dice(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    dice.roll(1);
    let len = match dice.roll(40) {
        0 => dice.roll(50_000),
        1..4 => dice.roll(3000),
        _ => dice.roll(40),
    } as usize;
    let head = format!("{number:020}");
    if dice.roll(2) == 0 {
        return Message::from(
            head + &"対話 dialogue ".chars().cycle().take(len).collect::<String>(),
        );
    }
    let mut bytes = head.into_bytes();
    bytes.extend((0..len).map(|it| (it as u64 * 7 + number) as u8));
    Message::from(bytes)
}

/// Digits of the number at the front of a message.
const HEAD_LEN: usize = 20;

/// Reads the number of a message and checks that it is whole.
fn number_of(message: &Message) -> u64 {
    let number = head_of(message.as_bytes());
    assert!(*message == content(number), "message {number} is damaged");
    number
}

fn head_of(bytes: &[u8]) -> u64 {
    let head = std::str::from_utf8(bytes.get(..HEAD_LEN).unwrap_or(bytes)).ok();
    let number = head.and_then(|it| it.parse().ok());
    number.unwrap_or_else(|| panic!("no number in {} bytes: {head:?}", bytes.len()))
}

impl Party {
    fn new(end: End) -> Self {
        Self { end, number: 0, sent: vec![], received: vec![], count: Count::default() }
    }

    /// Notes what became of the next message: `None` if that is unknown.
    fn note_sent(&mut self, is_sent: Option<bool>) {
        if is_sent != Some(false) {
            self.sent.push((self.number, is_sent.is_some()));
            self.number += 1;
        }
    }

    fn note_received(&mut self, number: u64) {
        let last = self.received.last();
        assert!(last.is_none_or(|it| *it < number), "{number} behind {last:?}");
        self.received.push(number);
    }
}

/// A conversation.
pub(super) struct Talk {
    parties: [Party; 2],
    dice: Dice,
}

impl Talk {
    pub(super) fn new(seed: u64, ends: [End; 2]) -> Self {
        Self { parties: ends.map(Party::new), dice: Dice(seed) }
    }

    pub(super) fn drops(&self) -> u64 {
        self.parties.iter().map(|it| it.count.drops).sum()
    }

    pub(super) fn messages(&self) -> usize {
        self.parties.iter().map(|it| it.received.len()).sum()
    }

    pub(super) fn polls_max(&self) -> u32 {
        self.parties.iter().map(|it| it.count.polls_max).max().unwrap_or_default()
    }

    /// One of both does something, and the other one in between.
    pub(super) fn step(&mut self) {
        let [a, b] = &mut self.parties;
        let (one, other) = if self.dice.roll(2) == 0 { (a, b) } else { (b, a) };
        let mut between = |dice: &mut Dice| other.step(dice, None);
        one.step(&mut self.dice, Some(&mut between));
    }

    /// Lets everything arrive, compares, and closes.
    pub(super) fn finish(&mut self) {
        let mut quiet = 0;
        while quiet < 2000 {
            let before = self.messages();
            for party in &mut self.parties {
                party.receive(&mut self.dice, None);
            }
            quiet = if self.messages() == before { quiet + 1 } else { 0 };
        }
        let [a, b] = &mut self.parties;
        check(&a.sent, &b.received);
        check(&b.sent, &a.received);
        let (one, other) = if self.dice.roll(2) == 0 { (a, b) } else { (b, a) };
        let code = CloseCode::new(4321);
        let (mut closed, mut heard) = (None, None);
        for round in 0_u32.. {
            if closed.is_some() && heard.is_some() {
                break;
            }
            assert!(round < 100_000, "the closing handshake never ends");
            closed = closed.or_else(|| one.close(code, round % POLLS_MAX, &mut self.dice));
            heard = heard.or_else(|| other.hear_close(round % POLLS_MAX, &mut self.dice));
        }
        for closed in [closed, heard].into_iter().flatten() {
            assert_eq!((closed.code, &*closed.reason, closed.clean), (code, "enough", true));
        }
    }
}

/// Each message that was sent for sure was received, and none that was not sent.
fn check(sent: &[(u64, bool)], received: &[u64]) {
    let mut received = received.iter().peekable();
    for (number, is_sure) in sent {
        if received.next_if_eq(&number).is_none() {
            assert!(!is_sure, "message {number} is lost");
        }
    }
    assert_eq!(received.next(), None, "received and not sent");
}
