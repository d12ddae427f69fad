//! What is cut out of a buffer, what is copied, and what is refused.

use std::sync::Arc;

use super::*;
use crate::{
    End, Fault,
    deflate::Params,
    limits::{Config, Limits, Role},
    reader::Intake,
};

fn server(deflate: Option<Params>) -> Connection {
    let limits = Limits { message_bytes_max: 100, ..Limits::default() };
    let config = Arc::new(Config { limits, ..Config::default() });
    Connection::new(Role::Server, config, deflate, Instant::now())
}

/// A frame of a client, its payload masked.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let key = [1, 2, 3, 4];
    let masked = payload.iter().zip(key.iter().cycle()).map(|(it, key)| it ^ key);
    [first, 0x80 | payload.len() as u8].into_iter().chain(key).chain(masked).collect()
}

/// What comes out of `bytes`, by kind and payload, and whether each lies in their buffer.
fn read(conn: &mut Connection, bytes: &mut BytesMut) -> Vec<(&'static str, Vec<u8>, bool)> {
    let mut pool = Pool::new(|_| ());
    let place = bytes.as_ptr_range();
    let place = place.start.addr()..place.end.addr();
    let mut seen = vec![];
    while let Some(event) = conn.receive_from(bytes, 20, Instant::now(), &mut pool) {
        let (name, payload) = match event {
            Event::Message(it) => match it.kind() {
                Kind::Text => ("text", it.into_bytes()),
                Kind::Binary => ("binary", it.into_bytes()),
            },
            Event::Part(it) => ("part", it.into_bytes()),
            Event::Ping(it) => ("ping", it),
            Event::Pong(it) => ("pong", it),
        };
        seen.push((name, payload.to_vec(), place.contains(&payload.as_ptr().addr())));
    }
    seen
}

#[test]
fn a_long_message_is_cut_and_all_else_copied() {
    let text = "対話".repeat(4);
    let mut bytes = BytesMut::new();
    for (first, payload) in [
        (0x82, &[7; 20][..]),
        (0x82, &[8; 19]),
        (0x89, &[9; 30]),
        (0x81, text.as_bytes()),
        (0x02, &[1; 30]),
        (0x8a, &[2; 30]),
        (0x80, &[3; 30]),
        (0x81, b""),
        (0x82, &[4; 100]),
    ] {
        bytes.extend_from_slice(&frame(first, payload));
    }
    bytes.extend_from_slice(&[0x82, 0xe4, 1]);
    let mut conn = server(None);
    let seen = read(&mut conn, &mut bytes);
    assert!(bytes.is_empty());
    let in_two = [[1; 30], [3; 30]].concat();
    let expected = [
        ("binary", &[7; 20][..], true),
        ("binary", &[8; 19], false),
        ("ping", &[9; 30], false),
        ("text", text.as_bytes(), true),
        ("pong", &[2; 30], false),
        ("binary", &in_two, false),
        ("text", b"", false),
        ("binary", &[4; 100], true),
    ];
    assert_eq!(seen.len(), expected.len());
    for (seen, (name, payload, is_cut)) in seen.iter().zip(expected) {
        assert_eq!((seen.0, &seen.1[..], seen.2), (name, payload, is_cut));
    }
    // The header whose first bytes came last goes on in a buffer of its own, and so does its payload.
    let rest = [&[2, 3, 4], &frame(0x82, &[5; 100])[6..]].concat();
    let seen = read(&mut conn, &mut BytesMut::from(&rest[..]));
    assert_eq!(seen, [("binary", vec![5; 100], true)]);
}

#[test]
fn faults_are_found_before_anything_is_cut() {
    for (bytes, fault) in [
        (frame(0x81, &[0xff; 40]), Fault::TextNotUtf8),
        (frame(0x82, &[1; 101]), Fault::MessageTooBig),
        (frame(0xc2, &[1; 40]), Fault::ReservedBit),
    ] {
        let mut conn = server(None);
        let mut bytes =
            BytesMut::from(&[frame(0x82, &[6; 50]), bytes, frame(0x82, &[1; 40])].concat()[..]);
        assert_eq!(read(&mut conn, &mut bytes), [("binary", vec![6; 50], true)]);
        assert!(bytes.is_empty(), "what follows a fault is thrown away");
        let mut pool = Pool::new(|_| ());
        let (now, waiting) = (Instant::now(), conn.outbox().len());
        conn.wrote(waiting, now, &mut pool);
        conn.shut_down();
        conn.end_of_input();
        assert_eq!(conn.step(), crate::Step::End(End::Fault(fault)));
    }
}

#[test]
fn what_is_compressed_or_comes_in_parts_is_copied() {
    let params = Params {
        server_no_context_takeover: true,
        client_no_context_takeover: true,
        server_max_window_bits: 15,
        client_max_window_bits: 15,
    };
    let mut conn = server(Some(params));
    // RFC 7692 §7.2.3.2: one block without compression.
    let stored = [&[0, 40, 0, 0xd7, 0xff][..], &[b'x'; 40], &[0]].concat();
    let mut bytes = BytesMut::from(&frame(0xc2, &stored)[..]);
    assert_eq!(read(&mut conn, &mut bytes), [("binary", vec![b'x'; 40], false)]);
    conn.take_in(Intake::Parts);
    bytes.extend_from_slice(&frame(0x82, &[5; 40]));
    assert_eq!(read(&mut conn, &mut bytes), [("part", vec![5; 40], false)]);
}
