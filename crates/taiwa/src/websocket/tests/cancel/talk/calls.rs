//! The calls of each face.

use std::pin::pin;

use taiwa_proto::{CloseCode, Closed, Message, Prepared};

use super::{
    End, Party, Tries, content, number_of,
    streamed::{read_streamed, write_streamed},
};
use crate::{Error, Sender, WebSocket, events::Event, websocket::tests::Dice};

/// What is tried next. Streams take long, so they are not tried between two polls of something else.
#[derive(Clone, Copy, PartialEq)]
enum Call {
    Receive,
    Send,
    SendPrepared,
    Reserve,
    Ping,
    PingWith,
    Closed,
    AtOnce,
    ReadStreamed,
    WriteStreamed,
}

impl Call {
    fn roll(dice: &mut Dice, is_inner: bool) -> Self {
        match dice.roll(if is_inner { 16 } else { 24 }) {
            0..8 => Self::Receive,
            8..11 => Self::Send,
            11 => Self::SendPrepared,
            12 => Self::Reserve,
            13 => Self::Ping,
            14 => Self::PingWith,
            15 => Self::Closed,
            16..18 => Self::AtOnce,
            18..21 => Self::ReadStreamed,
            _ => Self::WriteStreamed,
        }
    }
}

type Between<'a, 'b> = Option<&'a mut (dyn FnMut(&mut Dice) + 'b)>;

impl Party {
    /// Makes one call, at every poll.
    pub(super) fn step(&mut self, dice: &mut Dice, between: Between<'_, '_>) {
        let call = Call::roll(dice, between.is_none());
        match call {
            Call::Receive => self.receive(dice, between),
            Call::AtOnce => self.at_once(dice, between),
            Call::ReadStreamed => self.read_streamed(dice, between),
            Call::WriteStreamed => self.write_streamed(dice, between),
            Call::Ping | Call::PingWith | Call::Closed => self.wait(call, dice, between),
            Call::Send | Call::SendPrepared | Call::Reserve => self.send(call, dice, between),
        }
    }

    pub(super) fn receive(&mut self, dice: &mut Dice, between: Between<'_, '_>) {
        let mut tries = Tries { count: &mut self.count, dice, between };
        let end = &mut self.end;
        let message = tries.climb(|tries, polls| match end {
            End::Whole(socket) => tries.poll(polls, socket.recv()).map(open_still),
            End::Halves { receiver, .. } => tries.poll(polls, receiver.recv()).map(open_still),
            End::Streams { readable, .. } => tries.poll(polls, readable.read()).map(open_still),
            End::Events { events, .. } => tries.poll(polls, events.next()).map(message_of),
        });
        if let Some(message) = message {
            self.note_received(number_of(&message));
        }
    }

    fn send(&mut self, call: Call, dice: &mut Dice, between: Between<'_, '_>) {
        let message = content(self.number);
        let mut tries = Tries { count: &mut self.count, dice, between };
        let is_sent = match &mut self.end {
            End::Whole(socket) => {
                let before = socket.stats().sent.messages;
                // Dropped it may be queued, whole, and then it is not to be sent again.
                tries.climb(|tries, polls| {
                    let sent = send_once(tries, polls, socket, call, &message);
                    let is_queued = socket.stats().sent.messages > before;
                    assert!(is_queued || !sent, "send returned, and nothing was queued");
                    is_queued.then_some(())
                });
                Some(socket.stats().sent.messages > before)
            }
            End::Halves { senders, .. } => {
                let sender = &senders[tries.dice.roll(2) as usize];
                let before = sender.stats().sent.messages;
                tries.climb(|tries, polls| {
                    let sent = send_once_split(tries, polls, sender, call, &message);
                    let is_queued = sender.stats().sent.messages > before;
                    assert!(is_queued || !sent, "send returned, and nothing was queued");
                    is_queued.then_some(())
                });
                Some(sender.stats().sent.messages > before)
            }
            End::Streams { writable, .. } => {
                let polls = 1 + tries.dice.roll(10) as u32;
                let written = tries.poll(polls, writable.write(message));
                written.map(|it| it.map(|()| true).expect("open"))
            }
            End::Events { handle, .. } => {
                let has_room = handle.buffered_amount() < 300;
                if has_room {
                    handle.send(message).expect("open");
                }
                Some(has_room)
            }
        };
        self.note_sent(is_sent);
    }

    /// Waits for what is no message.
    fn wait(&mut self, call: Call, dice: &mut Dice, between: Between<'_, '_>) {
        let mut tries = Tries { count: &mut self.count, dice, between };
        let end = &mut self.end;
        let pinged = tries.climb(|tries, polls| match (call, &mut *end) {
            (Call::Closed, End::Halves { senders, .. }) => {
                assert_eq!(tries.poll(polls, senders[0].closed()), None, "it is open");
                None
            }
            (_, End::Streams { stream, .. }) => {
                assert!(tries.poll(polls, stream.closed()).is_none(), "it is open");
                None
            }
            (Call::Ping, End::Whole(socket)) => tries.poll(polls, socket.ping()),
            (_, End::Whole(socket)) => tries.poll(polls, socket.ping_with(b"payload")),
            (Call::Ping, End::Halves { senders, .. }) => tries.poll(polls, senders[0].ping()),
            (_, End::Halves { senders, .. }) => tries.poll(polls, senders[1].ping_with(b"same")),
            (_, End::Events { .. }) => None,
        });
        if let Some(pinged) = pinged {
            // OutboxFull: of pings whose answers nobody waited for.
            let all_is_well = matches!(pinged, Ok(_) | Err(Error::Busy | Error::OutboxFull));
            assert!(all_is_well, "{pinged:?}");
        }
    }

    /// A sender sends, another one pings and the receiver receives, all at the same time.
    fn at_once(&mut self, dice: &mut Dice, between: Between<'_, '_>) {
        let End::Halves { senders: [one, other], receiver } = &mut self.end else { return };
        let mut tries = Tries { count: &mut self.count, dice, between };
        let message = content(self.number);
        let before = one.stats().sent.messages;
        let mut received = Vec::new();
        tries.climb(|tries, polls| {
            let mut send = pin!(one.send(message.clone()));
            let mut ping = pin!(other.ping());
            let mut recv = pin!(receiver.recv());
            let mut is_done = [false; 3];
            for _ in 0..polls {
                let turn = tries.dice.roll(3) as usize;
                if !is_done[turn] {
                    is_done[turn] = match turn {
                        0 => tries.poll(1, send.as_mut()).map(|it| it.expect("open")).is_some(),
                        1 => tries.poll(1, ping.as_mut()).is_some(),
                        _ => {
                            let got = tries.poll(1, recv.as_mut()).map(open_still);
                            received.extend(got.iter().map(number_of));
                            got.is_some()
                        }
                    };
                }
            }
            (one.stats().sent.messages > before).then_some(())
        });
        let is_sent = one.stats().sent.messages > before;
        received.into_iter().for_each(|it| self.note_received(it));
        self.note_sent(Some(is_sent));
    }

    fn read_streamed(&mut self, dice: &mut Dice, between: Between<'_, '_>) {
        let mut tries = Tries { count: &mut self.count, dice, between };
        let end = &mut self.end;
        let reader = tries.climb(|tries, polls| match &mut *end {
            // Twice, because a reader borrows its socket for as long as it may be returned.
            End::Whole(socket) => {
                let mut reader = tries.poll(polls, socket.recv_stream())?.expect("open")?;
                Some(read_streamed(&mut reader, tries))
            }
            End::Halves { receiver, .. } => {
                let mut reader = tries.poll(polls, receiver.recv_stream())?.expect("open")?;
                Some(read_streamed(&mut reader, tries))
            }
            _ => None,
        });
        if let Some(number) = reader {
            self.note_received(number);
        }
    }

    fn write_streamed(&mut self, dice: &mut Dice, between: Between<'_, '_>) {
        let mut tries = Tries { count: &mut self.count, dice, between };
        let message = content(self.number);
        match &mut self.end {
            End::Whole(socket) => {
                let before = socket.stats().sent.messages;
                write_streamed(socket.send_stream(message.kind()), &message, &mut tries);
                assert_eq!(socket.stats().sent.messages, before + 1);
            }
            End::Halves { senders, .. } => {
                let before = senders[0].stats().sent.messages;
                write_streamed(senders[0].send_stream(message.kind()), &message, &mut tries);
                assert_eq!(senders[0].stats().sent.messages, before + 1);
            }
            _ => return,
        }
        self.note_sent(Some(true));
    }

    /// Closes, as far as so many polls go.
    pub(super) fn close(&mut self, code: CloseCode, polls: u32, dice: &mut Dice) -> Option<Closed> {
        let mut tries = Tries { count: &mut self.count, dice, between: None };
        match &mut self.end {
            End::Whole(socket) => tries.poll(polls, socket.close(code, "enough")),
            End::Halves { senders, .. } => tries.poll(polls, senders[0].close(code, "enough")),
            End::Streams { writable, .. } => tries.poll(polls, writable.close(code, "enough")),
            End::Events { handle, .. } => {
                handle.close(code, "enough").expect("a good code");
                return self.hear_close(polls, dice);
            }
        }
        .map(|it| it.expect("the peer does its part"))
    }

    /// Receives the end.
    pub(super) fn hear_close(&mut self, polls: u32, dice: &mut Dice) -> Option<Closed> {
        let mut tries = Tries { count: &mut self.count, dice, between: None };
        match &mut self.end {
            End::Whole(socket) => {
                assert!(tries.poll(polls, socket.recv())?.expect("clean").is_none());
                socket.closed().cloned()
            }
            End::Halves { receiver, .. } => {
                assert!(tries.poll(polls, receiver.recv())?.expect("clean").is_none());
                receiver.closed().cloned()
            }
            End::Streams { stream, .. } => {
                Some(tries.poll(polls, stream.closed())?.expect("it was open"))
            }
            End::Events { events, .. } => match tries.poll(polls, events.next())? {
                Some(Event::Close(closed)) => Some(closed),
                other => panic!("{other:?}"),
            },
        }
    }
}

/// Returns whether the call returned.
fn send_once(
    tries: &mut Tries<'_, '_>,
    polls: u32,
    socket: &mut WebSocket,
    call: Call,
    message: &Message,
) -> bool {
    match call {
        Call::SendPrepared => {
            let prepared = Prepared::new(message.clone());
            tries.poll(polls, socket.send_prepared(&prepared)).map(|it| it.expect("open")).is_some()
        }
        Call::Reserve => match tries.poll(polls, socket.reserve()) {
            // Often the permit is dropped.
            Some(permit) if tries.dice.roll(2) == 0 => {
                permit.expect("open").send(message.clone()).expect("open");
                true
            }
            _ => false,
        },
        _ => tries.poll(polls, socket.send(message.clone())).map(|it| it.expect("open")).is_some(),
    }
}

/// Returns whether the call returned.
fn send_once_split(
    tries: &mut Tries<'_, '_>,
    polls: u32,
    sender: &Sender,
    call: Call,
    message: &Message,
) -> bool {
    match call {
        Call::SendPrepared => {
            let prepared = Prepared::new(message.clone());
            tries.poll(polls, sender.send_prepared(&prepared)).map(|it| it.expect("open")).is_some()
        }
        Call::Reserve => match tries.poll(polls, sender.reserve()) {
            Some(permit) if tries.dice.roll(2) == 0 => {
                permit.expect("open").send(message.clone()).expect("open");
                true
            }
            _ => false,
        },
        _ => tries.poll(polls, sender.send(message.clone())).map(|it| it.expect("open")).is_some(),
    }
}

fn open_still(received: Result<Option<Message>, Error>) -> Message {
    received.expect("no error").expect("it is open")
}

fn message_of(event: Option<Event>) -> Message {
    match event {
        Some(Event::Message(message)) => message,
        other => panic!("{other:?}"),
    }
}
