//! Clients and a hub that say anything at any time: seeded, so that every run is the same.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use taiwa_centrifuge::Centrifuge;
use taiwa_core::{
    Action, Channel, Client, Connected, Conversation, Dialect, Disconnect, Event, Input, Knock,
    Line, Link, Member, Message, Payload, Position, Publication, Recovered, Refusal, RefusalKind,
    Reply, Request, SessionId, Subscribed, Tags, Target, Transport, Unsubscribed,
};

const COMMANDS: &str = include_str!("vectors/commands.txt");

struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    /// A frame of a published package, in one of forty damaged.
    fn frame(&mut self, binary: bool) -> Message {
        // The first two connect, which one does once.
        let lines: Vec<_> = COMMANDS.lines().skip(usize::from(self.below(40) != 0) * 2).collect();
        let line = self.pick(&lines);
        let columns: Vec<_> = line.split('\t').collect();
        let mut bytes = if binary {
            let pairs = columns[2].as_bytes().chunks(2).map(|it| std::str::from_utf8(it).unwrap());
            pairs.map(|it| u8::from_str_radix(it, 16).unwrap()).collect()
        } else {
            columns[1].as_bytes().to_vec()
        };
        if self.below(40) == 0 {
            let at = self.below(bytes.len());
            bytes[at] = self.next() as u8;
        }
        match String::from_utf8(bytes) {
            Ok(text) if !binary => Message::Text(text.into()),
            Ok(text) => Message::Binary(text.into()),
            Err(bytes) => Message::Binary(bytes.into_bytes().into()),
        }
    }

    fn payload(&mut self) -> Payload {
        self.pick(&[
            Payload::null(),
            Payload::Text("a\n\"b".into()),
            Payload::Binary(Bytes::from_static(b"\0\xff")),
            Payload::Json("{\"a\":\n[1]}".into()),
        ])
    }

    fn refusal(&mut self) -> Refusal {
        use RefusalKind::*;
        let kind = self.pick(&[
            BadRequest,
            Unauthorized,
            Forbidden,
            Expired,
            NotFound,
            AlreadySubscribed,
            Limit,
            Unrecoverable,
            Deadline,
            App,
        ]);
        Refusal::new(kind, self.pick(&["", "because"]))
    }

    fn subscribed(&mut self, publication: &Arc<Publication>) -> Subscribed {
        Subscribed {
            position: self.pick(&[None, Some(Position { epoch: 1, offset: 0 })]),
            recoverable: self.below(2) == 0,
            positioned: self.below(2) == 0,
            recovered: match self.below(3) {
                0 => Recovered::NotAsked,
                1 => Recovered::Whole(vec![publication.clone(); 2]),
                _ => Recovered::Gap(vec![publication.clone()]),
            },
            delta: self.below(2) == 0,
            expires: self.pick(&[None, Some(Duration::ZERO), Some(Duration::MAX)]),
            data: self.pick(&[None, Some(Payload::null())]),
        }
    }

    fn connected(&mut self, publication: &Arc<Publication>) -> Box<Connected> {
        let channel = publication.channel.clone();
        Box::new(Connected {
            session: SessionId(u128::from(self.next())),
            user: None,
            expires: self.pick(&[None, Some(Duration::from_secs(60))]),
            data: None,
            subscribed: vec![(channel, self.subscribed(publication)); self.below(2)],
            resumed: None,
        })
    }

    fn reply(&mut self, publication: &Arc<Publication>) -> Result<Reply, Refusal> {
        Ok(match self.below(8) {
            0..3 => Reply::Connected(self.connected(publication)),
            3 | 4 => Reply::Subscribed(Box::new(self.subscribed(publication))),
            5 => Reply::Done,
            6 => Reply::Answer(self.payload()),
            _ => return Err(self.refusal()),
        })
    }

    fn event(&mut self, publication: &Arc<Publication>) -> Event {
        let channel = publication.channel.clone();
        let target = Target::Channel(channel.clone());
        match self.below(40) {
            0..8 => Event::Told(Link(0), self.payload()),
            8..14 => Event::Said(Link(0), target, publication.clone(), 0),
            14..20 => Event::Subscribed(Link(0), channel, Box::new(self.subscribed(publication))),
            20..26 => {
                let why = [Unsubscribed::App, Unsubscribed::Expired, Unsubscribed::Limit("x")];
                Event::Unsubscribed(Link(0), target, self.pick(&why))
            }
            26 => Event::Missed(Link(0), target, None, Some(Position::default())),
            27 => Event::Disconnect(self.pick(&[Disconnect::Slow, Disconnect::Limit("x")])),
            28..34 => Event::Refreshed(Link(0), self.connected(publication)),
            _ => Event::Expiring(Link(0)),
        }
    }
}

fn publication() -> Arc<Publication> {
    let client = Client {
        session: SessionId(1),
        user: None,
        info: None,
        meta: None,
        address: None,
        dialect: "plain",
    };
    Arc::new(Publication {
        channel: Channel::parse("news").unwrap(),
        event: None,
        payload: Payload::Json("[1,\n2]".into()),
        position: Some(Position { epoch: 1, offset: 0 }),
        delta: None,
        key: None,
        tags: Tags::default(),
        publisher: Some(Arc::new(Member { client: Arc::new(client), channel_info: None })),
        at: 0,
    })
}

/// Whether what is said is what a client can read: one line of JSON, or one message behind its length.
fn is_whole(message: &Message) -> bool {
    match message {
        Message::Text(text) => {
            serde_json::from_slice::<serde_json::Value>(text).is_ok_and(|it| it.is_object())
                && !text.contains(&b'\n')
        }
        Message::Binary(bytes) => {
            let head = bytes.iter().position(|it| it & 0x80 == 0).unwrap() + 1;
            let len =
                bytes[..head].iter().rev().fold(0, |len, it| len << 7 | usize::from(it & 0x7f));
            head + len == bytes.len()
        }
    }
}

/// Lets one client talk and tells whether it was let in, and whether it ended.
fn talk(seeded: &mut Seeded, binary: bool) -> (bool, bool) {
    let publication = publication();
    let request = Request::get(match binary {
        true => "/connection/websocket?format=protobuf",
        false => "/connection/websocket",
    });
    let knock = Knock {
        transport: Transport::WebSocket,
        request: &request,
        subprotocol: None,
        address: "",
        random: u128::from(seeded.next()),
    };
    let mut now = Instant::now();
    let mut conversation: Box<dyn Conversation> = Centrifuge::default().open(&knock, now).unwrap();
    let (mut asked, mut out) = (vec![], vec![]);
    let (mut was_let_in, mut has_ended) = (false, false);
    for step in 0..60 {
        let chance = if step == 0 { 9 } else { seeded.below(10) };
        match (chance, asked.pop()) {
            (0..5, Some(token)) => {
                let reply = match seeded.reply(&publication) {
                    Ok(_) if !was_let_in => Ok(Reply::Connected(seeded.connected(&publication))),
                    reply => reply,
                };
                was_let_in |= matches!(reply, Ok(Reply::Connected(_)));
                conversation.deliver(Event::Reply(token, reply), now, &mut out);
            }
            (5, _) => conversation.deliver(seeded.event(&publication), now, &mut out),
            (6, _) => {
                now += Duration::from_millis(seeded.next() % 9000);
                conversation.timeout(now, &mut out);
            }
            (_, token) => {
                asked.extend(token);
                let frame = match step {
                    0 if binary => Message::Binary(Bytes::from_static(b"\x04\x08\x01\x22\x00")),
                    0 => Message::Text("{\"id\":1,\"connect\":{}}".into()),
                    _ => seeded.frame(binary),
                };
                conversation.receive(Input::Message(Line(0), frame), now, &mut out);
            }
        }
        assert!(!has_ended || out.is_empty(), "said after the end: {out:?}");
        for action in out.drain(..) {
            assert!(!has_ended, "said behind the end: {action:?}");
            match action {
                Action::Ask(token, _) => asked.push(token),
                Action::Send(Line(0), message) => assert!(is_whole(&message), "{message:?}"),
                Action::Answer(..) => {}
                Action::End(code, reason) => {
                    assert!((3000..5000).contains(&code) && reason.len() <= 123);
                    has_ended = true;
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(!has_ended || conversation.deadline().is_none());
    }
    (was_let_in, has_ended)
}

#[test]
fn whatever_is_said_to_it_a_client_ends_once_and_is_silent_then() {
    let mut seeded = Seeded(0x7a69_7761);
    let talks: Vec<_> = (0..1000).map(|i| talk(&mut seeded, i % 2 == 0)).collect();
    let let_in = talks.iter().filter(|it| it.0).count();
    let ended = talks.iter().filter(|it| it.1).count();
    assert!(let_in > 250 && ended > 250 && ended < 1000, "{let_in} let in, {ended} ended");
}
