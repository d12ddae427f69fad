//! Tests of the reader: whatever the pieces, the same messages and the same faults.

use super::*;
use crate::message::Message;

/// One frame as a client sends it, with a key that is not zero.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let opcode = match first & 15 {
        0 => Opcode::Continuation,
        1 => Opcode::Text,
        2 => Opcode::Binary,
        8 => Opcode::Close,
        9 => Opcode::Ping,
        _ => Opcode::Pong,
    };
    let (fin, rsv1) = (first & 0x80 != 0, first & 0x40 != 0);
    let mask = Some([0x12, 0x34, 0x56, 0x78]);
    let header = Header { fin, rsv1, opcode, mask, payload_len: payload.len() as u64 };
    let mut out = vec![0; header.encoded_len()];
    header.write(&mut out);
    let start = out.len();
    out.extend_from_slice(payload);
    mask::apply(&mut out[start..], [0x12, 0x34, 0x56, 0x78]);
    out
}

#[derive(Debug, PartialEq)]
enum Seen {
    Message(Message),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(u16, String),
    Fault(Fault),
}

fn read_all(wire: &[u8], piece_len: usize, limits: &Limits) -> Vec<Seen> {
    let mut pool = Pool::new(|it| it.fill(9));
    let mut reader = Reader::new(Role::Server, None);
    let mut seen = vec![];
    for piece in wire.chunks(piece_len) {
        let mut bytes = piece.to_vec();
        let mut input = Input::new(&mut bytes);
        loop {
            match reader.read(&mut input, limits, &mut pool) {
                Ok(None) => break,
                Ok(Some(Found::Message(it))) => seen.push(Seen::Message(it.into_message())),
                Ok(Some(Found::Part(_))) => panic!("parts were not asked for"),
                Ok(Some(Found::Ping(it))) => seen.push(Seen::Ping(it.to_vec())),
                Ok(Some(Found::Pong(it))) => seen.push(Seen::Pong(it.to_vec())),
                Ok(Some(Found::Close(code, reason))) => {
                    seen.push(Seen::Close(code.get(), reason.to_string()));
                }
                Err(fault) => {
                    seen.push(Seen::Fault(fault));
                    return seen;
                }
            }
        }
        assert!(input.is_empty(), "all input is consumed");
    }
    seen
}

/// The messages in `wire`, which comes in pieces and has no fault.
pub(crate) fn messages(wire: &[u8], piece_len: usize) -> Vec<Message> {
    let seen = read_all(wire, piece_len, &Limits::default());
    seen.into_iter()
        .map(|it| match it {
            Seen::Message(message) => message,
            other => panic!("{other:?}"),
        })
        .collect()
}

#[track_caller]
fn check(wire: &[u8], expected: &[Seen]) {
    let limits = Limits::default();
    for piece_len in [1, 2, 3, 4, 5, 6, 7, 13, 14, 64, 1000, wire.len().max(1)] {
        assert_eq!(read_all(wire, piece_len, &limits), expected, "pieces of {piece_len}");
    }
}

fn text(it: &str) -> Seen {
    Seen::Message(it.into())
}

#[test]
fn messages_fragments_and_control_frames_come_out_whatever_the_pieces() {
    let big: Vec<u8> = (0..70_000_u32).map(|it| it as u8).collect();
    let wire = [
        frame(0x81, "対話".as_bytes()),
        frame(0x81, b""),
        frame(0x01, &"対".as_bytes()[..1]),
        frame(0x89, b"are you there"),
        frame(0x00, &"対".as_bytes()[1..2]),
        frame(0x00, b""),
        frame(0x8a, &[1; 125]),
        frame(0x80, &"対!".as_bytes()[2..]),
        frame(0x82, &big),
        frame(0x82, &[7; 126]),
        frame(0x88, b"\x03\xe8bye"),
    ]
    .concat();
    check(
        &wire,
        &[
            text("対話"),
            text(""),
            Seen::Ping(b"are you there".to_vec()),
            Seen::Pong(vec![1; 125]),
            text("対!"),
            Seen::Message(big.into()),
            Seen::Message(vec![7; 126].into()),
            Seen::Close(1000, "bye".into()),
        ],
    );
}

#[test]
fn a_fault_comes_after_the_messages_before_it() {
    let good = frame(0x81, b"good");
    for (bad, fault) in [
        (frame(0xc1, b"x"), Fault::ReservedBit),
        (frame(0xc9, b"x"), Fault::ReservedBit),
        (frame(0x80, b"x"), Fault::UnexpectedContinuation),
        ([frame(0x01, b"x"), frame(0x81, b"y")].concat(), Fault::ExpectedContinuation),
        (vec![0x81, 0x01, b'x'], Fault::Unmasked),
        (frame(0x88, b"\x03"), Fault::CloseTooShort),
        (frame(0x88, &[3, 237]), Fault::CloseCode(CloseCode::NO_STATUS)),
        (frame(0x88, &[3, 232, 0xff]), Fault::CloseReasonNotUtf8),
        (frame(0x81, &[b'x', 0xff]), Fault::TextNotUtf8),
        (frame(0x81, &[0xe5, 0xaf]), Fault::TextNotUtf8),
        ([frame(0x01, &[0xe5]), frame(0x80, &[0xaf])].concat(), Fault::TextNotUtf8),
        ([frame(0x01, &[0xe5]), frame(0x80, &[0x41])].concat(), Fault::TextNotUtf8),
    ] {
        check(&[good.clone(), bad].concat(), &[text("good"), Seen::Fault(fault)]);
    }
}

#[test]
fn a_client_refuses_a_masked_frame() {
    let mut reader = Reader::new(Role::Client, None);
    let mut bytes = frame(0x81, b"x");
    let found =
        reader.read(&mut Input::new(&mut bytes), &Limits::default(), &mut Pool::new(|_| ()));
    assert_eq!(found.err(), Some(Fault::Masked));
}

#[test]
fn bad_text_fails_with_the_byte_that_is_bad_also_in_an_unfinished_frame() {
    // A frame of 1,000 bytes of which the fourth can't be text.
    let wire = &frame(0x81, &[&[b'a', b'b', 0xf4, 0x90][..], &[b'x'; 996]].concat())[..12];
    assert_eq!(
        read_all(wire, 1, &Limits::default()),
        [Seen::Fault(Fault::TextNotUtf8)],
        "8 bytes of header, 4 of payload"
    );
    assert_eq!(read_all(&wire[..11], 1, &Limits::default()), [], "one byte earlier all is well");
}

#[test]
fn a_message_over_a_limit_is_refused_by_its_header() {
    let limits = Limits { message_bytes_max: 10, fragments_max: 3, ..Limits::default() };
    let too_big = [Seen::Fault(Fault::MessageTooBig)];
    let fits = [Seen::Message(vec![1; 10].into())];
    assert_eq!(read_all(&frame(0x82, &[1; 10]), 100, &limits), fits);
    assert_eq!(read_all(&frame(0x82, &[1; 11])[..6], 100, &limits), too_big);
    assert_eq!(read_all(&frame(0x82, &[1; 11]), 100, &limits), too_big);
    let wire = [frame(0x02, &[1; 6]), frame(0x80, &[1; 5])[..6].to_vec()].concat();
    assert_eq!(read_all(&wire, 100, &limits), too_big);

    let three = [frame(0x02, b""), frame(0x00, b""), frame(0x80, b"")].concat();
    assert_eq!(read_all(&three, 100, &limits), [Seen::Message(vec![].into())]);
    let four = [frame(0x02, b""), frame(0x00, b""), frame(0x00, b""), frame(0x80, b"")].concat();
    assert_eq!(read_all(&four, 100, &limits), [Seen::Fault(Fault::TooManyFragments)]);
}

#[test]
fn lengths_near_2_to_the_63_neither_wrap_nor_allocate() {
    let mut reader = Reader::new(Role::Server, None);
    let limits =
        Limits { message_bytes_max: usize::MAX, fragments_max: u32::MAX, ..Limits::default() };
    let mut pool = Pool::new(|_| ());
    let huge = [0x02, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255, 1, 2, 3, 4, b'x' ^ 1];
    let mut bytes = huge.to_vec();
    let read = reader.read(&mut Input::new(&mut bytes), &limits, &mut pool);
    if usize::BITS < 64 {
        assert_eq!(read.err(), Some(Fault::MessageTooBig), "no memory could ever hold it");
        return;
    }
    assert!(read.unwrap().is_none());
    let (buffer, room) = reader.spare().unwrap();
    assert_eq!(buffer[..], *b"x");
    assert!(room <= 64 << 10 && buffer.capacity() <= 64 << 10);
}

#[test]
fn a_frame_that_comes_in_pieces_takes_the_memory_it_needs_and_at_most_twice_what_arrived() {
    let payload = vec![7; 1_000_000];
    let wire = frame(0x82, &payload);
    for piece_len in [5_000, 65_536, 262_144, 999_999] {
        let (mut reader, mut pool) = (Reader::new(Role::Server, None), Pool::new(|_| ()));
        let mut arrived = 0;
        for piece in wire.chunks(piece_len) {
            let mut bytes = piece.to_vec();
            let mut input = Input::new(&mut bytes);
            let found = reader.read(&mut input, &Limits::default(), &mut pool).unwrap();
            arrived += piece.len();
            let Some(partial) = &reader.partial else {
                let Some(Found::Message(message)) = found else { panic!("{found:?}") };
                assert_eq!(message.as_slice(), payload);
                continue;
            };
            let capacity = partial.payload.capacity();
            assert!(capacity <= (2 * arrived).max(16 << 10), "{capacity} of {arrived}");
            assert!(capacity <= payload.len() + 64, "{capacity} by {piece_len}");
        }
    }
}

#[test]
fn what_is_read_straight_into_a_message_is_unmasked_and_checked_too() {
    let long = "長い話 ".repeat(10_000);
    let wire = frame(0x81, long.as_bytes());
    let limits = Limits::default();
    let mut pool = Pool::new(|_| ());
    let mut reader = Reader::new(Role::Server, None);
    let (head, mut rest) = wire.split_at(100);
    let mut bytes = head.to_vec();
    assert!(reader.read(&mut Input::new(&mut bytes), &limits, &mut pool).unwrap().is_none());
    let mut messages = vec![];
    while !rest.is_empty() {
        let found = if let Some((buffer, room)) = reader.spare() {
            assert!(buffer.capacity() <= 2 * buffer.len() + (32 << 10));
            let n = room.min(rest.len()).min(9_999);
            buffer.extend_from_slice(&rest[..n]);
            rest = &rest[n..];
            reader.filled(n).unwrap()
        } else {
            let n = rest.len().min(1000);
            let mut bytes = rest[..n].to_vec();
            rest = &rest[n..];
            let mut input = Input::new(&mut bytes);
            match reader.read(&mut input, &limits, &mut pool).unwrap() {
                Some(Found::Message(it)) => Some(Found::Message(Payload {
                    kind: it.kind(),
                    repr: Repr::Owned(BytesMut::from(it.as_slice())),
                })),
                _ => None,
            }
        };
        if let Some(Found::Message(it)) = found {
            messages.push(it.into_message());
        }
    }
    assert_eq!(messages, [Message::from(long)]);
}

#[test]
fn a_frame_in_the_buffer_of_the_read_becomes_its_own_reply() {
    let limits = Limits::default();
    let mut pool = Pool::new(|_| ());
    for len in [0, 1, 125, 126, 65_535, 65_536] {
        let payload = vec![b'e'; len];
        let mut bytes = [frame(0x81, &payload), frame(0x82, &payload)].concat();
        let mut input = Input::new(&mut bytes);
        let mut reader = Reader::new(Role::Server, None);
        let mut replies = vec![];
        while let Some(Found::Message(it)) = reader.read(&mut input, &limits, &mut pool).unwrap() {
            let kind = it.kind();
            replies.push(it.into_in_place().unwrap().into_reply(kind).unwrap());
        }
        let mut client = Reader::new(Role::Client, None);
        let mut wire = replies.concat();
        let mut input = Input::new(&mut wire);
        for kind in [Kind::Text, Kind::Binary] {
            let found = client.read(&mut input, &limits, &mut pool).unwrap();
            let Some(Found::Message(it)) = found else { panic!("{found:?}") };
            assert_eq!((it.kind(), it.as_slice()), (kind, &payload[..]));
        }
        assert!(input.is_empty());
    }
}
