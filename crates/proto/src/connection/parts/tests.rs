//! Messages in parts, prepared messages, and the counters, between two connections.

use std::{sync::Arc, time::Instant};

use crate::{
    Config, Connection, End, Event, Fault, Filled, Fin, Input, Intake, Kind, Limits, Message,
    Misuse, Pool, Prepared, Role, Step,
    deflate::{Deflate, Params},
};

/// Two ends and what goes from the first to the second.
struct Pair {
    from: Connection,
    to: Connection,
    pool: Pool,
    now: Instant,
}

/// What the second end saw.
#[derive(Debug, PartialEq)]
enum Seen {
    Whole(Message),
    Part(Vec<u8>, bool),
    Control,
}

fn compression(keep: bool) -> (Config, Option<Params>) {
    let deflate = Deflate {
        keep_our_context: keep,
        keep_peer_context: keep,
        message_bytes_min: 1,
        ..Deflate::default()
    };
    let params = Params {
        server_no_context_takeover: !keep,
        client_no_context_takeover: !keep,
        server_max_window_bits: 12,
        client_max_window_bits: 12,
    };
    let limits = Limits { message_bytes_max: 100_000, fragments_max: 16, ..Limits::default() };
    (Config { deflate: Some(deflate), limits, ..Config::default() }, Some(params))
}

fn plain() -> (Config, Option<Params>) {
    (Config { deflate: None, ..compression(false).0 }, None)
}

impl Pair {
    fn new(sender: Role, (config, params): (Config, Option<Params>)) -> Self {
        let (config, now) = (Arc::new(config), Instant::now());
        let receiver = if sender == Role::Client { Role::Server } else { Role::Client };
        Self {
            from: Connection::new(sender, Arc::clone(&config), params, now),
            to: Connection::new(receiver, config, params, now),
            pool: Pool::new(|bytes| bytes.fill(0x5a)),
            now,
        }
    }

    fn part(&mut self, kind: Kind, bytes: &[u8], fin: Fin) -> Result<(), Misuse> {
        self.from.send_part(kind, bytes, fin, self.now, &mut self.pool)
    }

    fn wire(&mut self) -> Vec<u8> {
        let mut wire = Vec::new();
        while !self.from.outbox().is_empty() {
            let n = self.from.outbox().first().len();
            wire.extend_from_slice(self.from.outbox().first());
            self.from.wrote(n, self.now, &mut self.pool);
        }
        wire
    }

    fn receive(&mut self, bytes: &mut [u8]) -> Vec<Seen> {
        let mut input = Input::new(bytes);
        let mut seen = Vec::new();
        while let Some(event) = self.to.receive(&mut input, self.now, &mut self.pool) {
            seen.push(match event {
                Event::Message(payload) => Seen::Whole(payload.into_message()),
                Event::Part(part) => Seen::Part(part.as_slice().to_vec(), part.is_last),
                Event::Ping(_) | Event::Pong(_) => Seen::Control,
            });
        }
        seen
    }
}

fn text(len: usize) -> String {
    "対話 dialogue ".chars().cycle().take(len).collect()
}

#[track_caller]
fn check_parts(sender: Role, agreed: (Config, Option<Params>), len: usize, step: usize) {
    let mut pair = Pair::new(sender, agreed);
    pair.to.take_in(Intake::Parts);
    let text = text(len);
    // Fragments end anywhere, inside of code points too.
    for (round, piece) in [3, 1000, 70_000].into_iter().enumerate() {
        let mut pieces = text.as_bytes().chunks(piece).peekable();
        while let Some(piece) = pieces.next() {
            let fin = if pieces.peek().is_some() { Fin::More } else { Fin::Last };
            pair.part(Kind::Text, piece, fin).expect("open, and text");
            pair.from.ping(b"between", pair.now, &mut pair.pool).expect("open");
        }
        let (mut got, mut ended) = (Vec::new(), false);
        for bytes in pair.wire().chunks_mut(step) {
            for seen in pair.receive(bytes) {
                match seen {
                    Seen::Part(part, is_last) => {
                        assert!(!ended && part.len() <= 64 << 10);
                        got.extend_from_slice(&part);
                        ended = is_last;
                    }
                    Seen::Control => {}
                    Seen::Whole(message) => panic!("whole: {message:?}"),
                }
            }
        }
        assert!(ended && got == text.as_bytes(), "{sender:?} {len} {step} {round}");
    }
    assert_eq!(pair.to.stats().received.messages, 3);
    assert_eq!(pair.to.stats().received.message_bytes, 3 * text.len() as u64);
    assert_eq!(pair.to.stats().received, pair.from.stats().sent);
}

#[test]
fn what_goes_out_in_parts_comes_in_in_parts() {
    for sender in [Role::Client, Role::Server] {
        for agreed in [plain(), compression(false), compression(true)] {
            for len in [1, 100, 20_000] {
                for step in [1, 7, 5000, usize::MAX] {
                    check_parts(sender, agreed.clone(), len, step);
                }
            }
        }
    }
}

#[test]
fn neither_limit_of_messages_counts_for_parts() {
    for agreed in [plain(), compression(false)] {
        let mut pair = Pair::new(Role::Client, agreed);
        pair.to.take_in(Intake::Parts);
        let mut got = 0;
        for _ in 0..50 {
            pair.part(Kind::Binary, &[7; 10_000], Fin::More).expect("open");
            let mut wire = pair.wire();
            for seen in pair.receive(&mut wire) {
                let Seen::Part(part, false) = seen else { panic!("{seen:?}") };
                got += part.len();
            }
        }
        assert_eq!(got, 500_000);
    }
}

#[test]
fn a_bomb_comes_out_in_small_parts_and_as_fast_as_it_is_taken() {
    let mut pair = Pair::new(Role::Client, compression(false));
    pair.to.take_in(Intake::Parts);
    pair.part(Kind::Binary, &vec![0; 8 << 20], Fin::Last).expect("open");
    let mut wire = pair.wire();
    assert!(wire.len() < 80_000);
    let (mut input, mut got) = (Input::new(&mut wire), 0);
    while let Some(event) = pair.to.receive(&mut input, pair.now, &mut pair.pool) {
        let Event::Part(part) = event else { panic!("{event:?}") };
        assert!(part.as_slice().len() <= 16 << 10);
        got += part.as_slice().len();
    }
    assert_eq!(got, 8 << 20);
}

#[test]
fn a_message_that_is_collected_goes_on_in_parts() {
    for agreed in [plain(), compression(true)] {
        let mut pair = Pair::new(Role::Client, agreed);
        pair.part(Kind::Text, b"col", Fin::More).expect("open");
        let mut wire = pair.wire();
        assert_eq!(pair.receive(&mut wire), []);
        pair.to.take_in(Intake::Parts);
        assert_eq!(pair.receive(&mut []), [Seen::Part(b"col".to_vec(), false)]);
        pair.part(Kind::Text, b"lected", Fin::Last).expect("open");
        let mut wire = pair.wire();
        let seen = pair.receive(&mut wire);
        let parts = seen.iter().map(|it| match it {
            Seen::Part(part, _) => &part[..],
            other => panic!("{other:?}"),
        });
        assert_eq!(parts.collect::<Vec<_>>().concat(), b"lected");
    }
}

#[test]
fn the_rest_of_a_message_is_thrown_away_and_the_next_one_is_whole() {
    for agreed in [plain(), compression(false), compression(true)] {
        let mut pair = Pair::new(Role::Server, agreed);
        pair.to.take_in(Intake::Parts);
        pair.part(Kind::Text, b"first part", Fin::More).expect("open");
        let mut wire = pair.wire();
        assert_eq!(pair.receive(&mut wire), [Seen::Part(b"first part".to_vec(), false)]);
        pair.to.take_in(Intake::Whole);
        // More than a whole message may have: it is not held.
        for _ in 0..20 {
            pair.part(Kind::Text, &[b'x'; 10_000], Fin::More).expect("open");
        }
        pair.part(Kind::Text, b"end", Fin::Last).expect("open");
        let next = Message::from("the next one, first part and all");
        pair.from.send(&next, pair.now, &mut pair.pool).expect("open");
        let mut wire = pair.wire();
        assert_eq!(pair.receive(&mut wire), [Seen::Whole(next)]);
    }
}

#[test]
fn text_that_is_thrown_away_is_still_checked() {
    let mut pair = Pair::new(Role::Server, plain());
    pair.to.take_in(Intake::Parts);
    assert_eq!(pair.receive(&mut [0x01, 1, b'a']), [Seen::Part(b"a".to_vec(), false)]);
    pair.to.take_in(Intake::Whole);
    assert_eq!(pair.receive(&mut [0x80, 2, 0xff, 0xff]), []);
    pair.to.end_of_input();
    let out = pair.to.outbox().len();
    pair.to.wrote(out, pair.now, &mut pair.pool);
    pair.to.shut_down();
    assert_eq!(pair.to.step(), Step::End(End::Fault(Fault::TextNotUtf8)));
}

#[test]
fn a_message_begun_in_parts_and_received_whole_has_the_limits() {
    let mut pair = Pair::new(Role::Server, plain());
    pair.to.take_in(Intake::Parts);
    // A header alone: 2^30 bytes.
    let mut header = [0x82, 127, 0, 0, 0, 0, 0x40, 0, 0, 0];
    assert_eq!(pair.receive(&mut header), []);
    pair.to.take_in(Intake::Whole);
    assert_eq!(pair.receive(&mut [1, 2, 3]), []);
    assert!(!pair.to.is_open());
}

#[test]
fn bytes_can_be_read_straight_to_where_they_are_wanted() {
    let mut pair = Pair::new(Role::Client, plain());
    pair.to.take_in(Intake::Parts);
    assert_eq!(pair.to.part_room(), None);
    let text = text(3000);
    pair.part(Kind::Text, text.as_bytes(), Fin::Last).expect("open");
    let mut wire = pair.wire();
    let (head, rest) = wire.split_at_mut(10);
    let mut got = match &pair.receive(head)[..] {
        [Seen::Part(part, false)] => part.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(pair.to.part_room(), Some(rest.len() as u64));
    let (middle, end) = rest.split_at_mut(1001);
    assert_eq!(pair.to.fill_part(middle, pair.now, &mut pair.pool), Filled::More);
    got.extend_from_slice(middle);
    assert_eq!(pair.to.fill_part(end, pair.now, &mut pair.pool), Filled::Last);
    got.extend_from_slice(end);
    assert_eq!(got, text.as_bytes());
    assert_eq!((pair.to.part_room(), pair.to.stats().received.messages), (None, 1));
}

#[test]
fn a_message_may_not_come_between_parts_and_text_must_be_text() {
    let mut pair = Pair::new(Role::Client, plain());
    pair.part(Kind::Text, &"対".as_bytes()[..1], Fin::More).expect("open");
    let whole = pair.from.send(&"whole".into(), pair.now, &mut pair.pool);
    assert_eq!(whole, Err(Misuse::Unfinished));
    let prepared = Prepared::new("prepared");
    let sent = pair.from.send_prepared(&prepared, pair.now, &mut pair.pool);
    assert_eq!(sent, Err(Misuse::Unfinished));
    assert_eq!(pair.part(Kind::Text, b"x", Fin::More), Err(Misuse::TextNotUtf8));
    assert_eq!(pair.part(Kind::Text, b"", Fin::Last), Err(Misuse::TextNotUtf8));
    pair.part(Kind::Text, &"対".as_bytes()[1..], Fin::Last).expect("it is whole now");
    let mut wire = pair.wire();
    assert_eq!(pair.receive(&mut wire), [Seen::Whole("対".into())]);
}

#[test]
fn a_prepared_message_stands_between_others_whoever_keeps_a_window() {
    for sender in [Role::Client, Role::Server] {
        for agreed in [plain(), compression(false), compression(true)] {
            let mut pair = Pair::new(sender, agreed);
            let word = text(300);
            let prepared = Prepared::new(word.as_str());
            for round in 0..4 {
                let before = Message::from(format!("{word}{round}"));
                pair.from.send(&before, pair.now, &mut pair.pool).expect("open");
                for _ in 0..=round {
                    pair.from.send_prepared(&prepared, pair.now, &mut pair.pool).expect("open");
                }
                let mut expected = vec![Seen::Whole(before)];
                expected.extend((0..=round).map(|_| Seen::Whole(word.as_str().into())));
                let mut wire = pair.wire();
                assert_eq!(pair.receive(&mut wire), expected);
            }
            assert_eq!(pair.to.stats().received, pair.from.stats().sent);
        }
    }
}

#[test]
fn the_round_trip_is_that_of_the_last_answered_ping() {
    let mut pair = Pair::new(Role::Client, plain());
    let later = |millis| pair.now + std::time::Duration::from_millis(millis);
    let (ten, thirty) = (later(10), later(30));
    pair.from.ping(b"x", ten, &mut pair.pool).expect("open");
    let mut wrong = [0x8a, 1, b'y'];
    let mut right = [0x8a, 1, b'x'];
    for (pong, expected) in [(&mut wrong, None), (&mut right, Some(20))] {
        let mut input = Input::new(pong);
        let event = pair.from.receive(&mut input, thirty, &mut pair.pool);
        assert!(matches!(event, Some(Event::Pong(_))));
        let millis = pair.from.stats().round_trip.map(|it| it.as_millis());
        assert_eq!(millis, expected);
    }
}

#[test]
fn a_message_of_which_nothing_was_seen_in_parts_comes_out_whole() {
    for agreed in [plain(), compression(false), compression(true)] {
        let mut pair = Pair::new(Role::Client, agreed);
        pair.to.take_in(Intake::Parts);
        // A fragment without a byte, and one cut where nothing can be inflated yet.
        pair.part(Kind::Text, b"", Fin::More).expect("open");
        let mut wire = pair.wire();
        assert_eq!(pair.receive(&mut wire), []);
        pair.part(Kind::Text, b"whole", Fin::More).expect("open");
        let mut wire = pair.wire();
        let (head, rest) = wire.split_at_mut(7);
        let seen = pair.receive(head);
        pair.to.take_in(Intake::Whole);
        pair.receive(rest);
        pair.part(Kind::Text, b" again", Fin::Last).expect("open");
        let mut wire = pair.wire();
        match &seen[..] {
            [] => assert_eq!(pair.receive(&mut wire), [Seen::Whole("whole again".into())]),
            [Seen::Part(part, false)] => {
                assert!(!part.is_empty() && pair.receive(&mut wire).is_empty())
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_is_thrown_away_may_take_its_time_while_it_comes() {
    let mut pair = Pair::new(Role::Server, plain());
    pair.to.take_in(Intake::Parts);
    pair.part(Kind::Binary, b"first", Fin::More).expect("open");
    let mut wire = pair.wire();
    assert_eq!(pair.receive(&mut wire), [Seen::Part(b"first".to_vec(), false)]);
    pair.to.take_in(Intake::Whole);
    // Ten pieces, 50 s apart: each is within the 60 s that one may take.
    for _ in 0..10 {
        pair.now += std::time::Duration::from_secs(50);
        pair.part(Kind::Binary, b"more", Fin::More).expect("open");
        let mut wire = pair.wire();
        assert_eq!(pair.receive(&mut wire), []);
        pair.to.timeout(pair.now, &mut pair.pool);
        assert!(pair.to.is_open());
    }
    pair.now += std::time::Duration::from_secs(61);
    pair.to.timeout(pair.now, &mut pair.pool);
    assert!(!pair.to.is_open(), "silence is not");
}
