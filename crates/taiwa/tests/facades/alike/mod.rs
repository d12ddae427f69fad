//! `compat::tungstenite` beside tokio-tungstenite: the same scripts, the same answers.

#[path = "."]
mod theirs {
    pub(super) use tokio_tungstenite as lib;
    pub(super) mod handshakes;
    pub(super) mod receiving;
    pub(super) mod sending;
    pub(super) mod told;
    pub(super) mod values;
}
#[path = "."]
#[allow(clippy::duplicate_mod)]
mod ours {
    pub(super) use taiwa::compat::tungstenite as lib;
    pub(super) mod handshakes;
    pub(super) mod receiving;
    pub(super) mod sending;
    pub(super) mod told;
    pub(super) mod values;
}

use std::{future::Future, time::Duration};

use tokio::time::timeout;

/// Runs a script with a clock that jumps to the next timer when nobody has anything to do.
fn run<T>(script: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime");
    let late = Duration::from_secs(100_000);
    runtime.block_on(async { timeout(late, script).await.expect("it waits for nothing") })
}

#[track_caller]
fn same(name: &str, theirs: Vec<String>, ours: Vec<String>) {
    assert!(!theirs.is_empty(), "{name}: nothing to compare");
    for (at, (theirs, ours)) in theirs.iter().zip(&ours).enumerate() {
        assert_eq!(ours, theirs, "{name}, answer {at}: ours, theirs");
    }
    assert_eq!(theirs.len(), ours.len(), "{name}");
}

#[test]
fn what_a_peer_sends_is_told_alike() {
    for (name, role, wire) in receiving_cases() {
        for pieces in [usize::MAX, 1] {
            let theirs = run(theirs::receiving::receive(role, &wire, pieces));
            let ours = run(ours::receiving::receive(role, &wire, pieces));
            same(&format!("{name} to {role:?} in pieces of {pieces}"), theirs, ours);
        }
    }
}

#[test]
fn limits_are_the_same() {
    same("limits", run(theirs::receiving::limits()), run(ours::receiving::limits()));
}

#[test]
fn sending_and_closing_do_the_same() {
    same("sending", run(theirs::sending::all()), run(ours::sending::all()));
}

#[test]
fn opening_handshakes_end_alike() {
    same("servers", run(theirs::handshakes::servers()), run(ours::handshakes::servers()));
    same("clients", run(theirs::handshakes::clients()), run(ours::handshakes::clients()));
    same("requests", theirs::handshakes::requests(), ours::handshakes::requests());
}

#[test]
fn values_are_the_same() {
    same("values", theirs::values::all(), ours::values::all());
}

/// Which end is under test.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Client,
    Server,
}

/// A frame as `end` must get it; a client's mask key is zero, so the payload is as written.
fn frame(end: End, first: u8, payload: &[u8]) -> Vec<u8> {
    let mask_bit = if end == End::Server { 0x80 } else { 0 };
    let mut frame = match payload.len() {
        len @ 0..126 => vec![first, mask_bit | len as u8],
        len => [&[first, mask_bit | 126][..], &(len as u16).to_be_bytes()].concat(),
    };
    if end == End::Server {
        frame.extend([0; 4]);
    }
    frame.extend_from_slice(payload);
    frame
}

fn receiving_cases() -> Vec<(&'static str, End, Vec<u8>)> {
    type Frames<'a> = Vec<(u8, &'a [u8])>;
    const BIG: &[u8] = &[b'x'; 126];
    let close = |code: u16, reason: &str| [&code.to_be_bytes()[..], reason.as_bytes()].concat();
    let (normal, odd) = (close(1000, "bye"), close(4321, ""));
    // Each case is a list of frames: first byte and payload.
    let cases: Vec<(&str, Frames<'_>)> = vec![
        ("nothing", vec![]),
        ("text", vec![(0x81, "対話".as_bytes())]),
        ("empty text and binary", vec![(0x81, b""), (0x82, b"")]),
        ("long binary", vec![(0x82, BIG)]),
        ("fragments", vec![(0x01, b"ab"), (0x00, b""), (0x80, b"c")]),
        ("text cut in a character", vec![(0x01, &[0xe5]), (0x80, &[0xaf, 0xbe])]),
        (
            "controls between fragments",
            vec![(0x01, b"a"), (0x89, b"p"), (0x8a, b"q"), (0x80, b"b")],
        ),
        ("pings", vec![(0x89, b"1"), (0x89, b"2"), (0x81, b"x")]),
        ("closing", vec![(0x81, b"x"), (0x88, &normal)]),
        ("closing without a code", vec![(0x88, b"")]),
        ("closing with a code of one's own", vec![(0x88, &odd)]),
        ("a code that may not be sent", vec![(0x88, &[3, 237])]),
        ("a code that nobody knows", vec![(0x88, &[0, 7])]),
        ("half a code", vec![(0x88, b"x")]),
        ("a reason that is no text", vec![(0x88, &[3, 232, 0xff])]),
        ("something after the Close frame", vec![(0x88, &normal), (0x81, b"x")]),
        ("no text", vec![(0x81, b"fine"), (0x81, &[0xff])]),
        ("no text in fragments", vec![(0x01, b"a"), (0x00, &[0xc0]), (0x80, b"b")]),
        ("half a character", vec![(0x01, &[0xe5]), (0x80, b"")]),
        ("continuation of nothing", vec![(0x80, b"x")]),
        ("text in a text", vec![(0x01, b"a"), (0x81, b"b")]),
        ("binary in a text", vec![(0x01, b"a"), (0x02, b"b")]),
        ("reserved bits", vec![(0xc1, b"x")]),
        ("another reserved bit", vec![(0x91, b"x")]),
        ("reserved opcodes", vec![(0x83, b"x")]),
        ("reserved control opcodes", vec![(0x8f, b"x")]),
        ("a long Ping", vec![(0x89, BIG)]),
        ("a fragmented Ping", vec![(0x09, b"x")]),
    ];
    let mut all = Vec::new();
    for end in [End::Client, End::Server] {
        for (name, frames) in &cases {
            let frames = frames.iter().map(|(first, payload)| frame(end, *first, payload));
            all.push((*name, end, frames.collect::<Vec<_>>().concat()));
        }
        let other = if end == End::Client { End::Server } else { End::Client };
        all.push(("masked wrongly", end, frame(other, 0x81, b"x")));
        all.push(("half a header", end, vec![0x81]));
        all.push(("half a frame", end, frame(end, 0x82, BIG)[..60].to_vec()));
        let mut long = frame(end, 0x81, b"x");
        long.splice(1..2, [long[1] - 1 + 126, 0, 1]);
        all.push(("a length in more bytes than it needs", end, long));
        let huge = u64::MAX.to_be_bytes();
        let mask_bit = if end == End::Server { 0x80 } else { 0 };
        all.push(("a huge frame", end, [&[0x82, 127 | mask_bit][..], &huge, &[0; 4]].concat()));
    }
    all
}
