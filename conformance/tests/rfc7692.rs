//! RFC 7692, rule by rule: permessage-deflate negotiated and used. What must be refused is in
//! `violations.rs`.

use taiwa_conformance::{
    Ends, Sender,
    ends::KEEPS_WINDOWS,
    frames::{deflated, frames},
    violations::config,
};
use taiwa_proto::{
    Config, Limits, Message, Role,
    deflate::{
        Deflate, Params,
        negotiate::{accept, agreed, offer},
    },
    handshake::extensions::{Extension, parse_extensions},
};

const TEXT: &str = "対話 is a dialogue, and a dialogue is 対話. ";

fn list(line: &str) -> Vec<Extension> {
    parse_extensions([line.as_bytes()]).expect("a list")
}

/// Compresses everything, with windows kept or not.
fn compressing(keep: bool) -> Deflate {
    Deflate {
        message_bytes_min: 0,
        keep_our_context: keep,
        keep_peer_context: keep,
        ..Deflate::default()
    }
}

fn ends(role: Role, params: Params) -> Ends {
    let deflate = Some(compressing(true));
    Ends::new(role, Config { deflate, ..Config::default() }, Some(params))
}

fn no_takeover(server: bool, client: bool) -> Params {
    Params {
        server_no_context_takeover: server,
        client_no_context_takeover: client,
        ..KEEPS_WINDOWS
    }
}

fn send(from: &mut Ends, message: &Message) -> Vec<u8> {
    from.conn.send(message, from.now, &mut from.pool).expect("open");
    from.written()
}

// §5 and §7.1: negotiation.

#[test]
fn a_bad_or_unknown_offer_is_declined_and_the_next_one_is_used() {
    // §7.1: "A server MUST decline an extension negotiation offer for this extension if any of the following
    // conditions are met".
    let bad = [
        "permessage-deflate; unknown",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=010",
        "permessage-deflate; client_max_window_bits=\"99\"",
        "permessage-deflate; client_max_window_bits=x",
        "permessage-bzip2",
    ];
    for offer in bad {
        assert_eq!(accept(&compressing(true), &list(offer)), None, "{offer}");
        let two = format!("{offer}, permessage-deflate; server_max_window_bits=\"10\"");
        let (params, answer) = accept(&compressing(true), &list(&two)).expect("the second");
        assert_eq!(params.server_max_window_bits, 10, "{offer}");
        assert_eq!(answer, "permessage-deflate; server_max_window_bits=10");
    }
}

#[test]
fn what_the_client_did_not_allow_is_not_in_the_answer() {
    // §7.1.2.2: "If a received extension negotiation offer doesn't have the "client_max_window_bits"
    // extension parameter, the corresponding extension negotiation response to the offer MUST NOT include"
    let config = Deflate { peer_window_bits: 9, ..compressing(true) };
    let (_, answer) = accept(&config, &list("permessage-deflate")).unwrap();
    assert!(!answer.contains("client_max_window_bits"), "{answer}");
    let (params, answer) =
        accept(&config, &list("permessage-deflate; client_max_window_bits")).unwrap();
    assert!(answer.contains("client_max_window_bits=9"), "{answer}");
    assert_eq!(params.client_max_window_bits, 9);
}

#[test]
fn a_client_fails_on_any_answer_it_can_not_live_with() {
    // §7.1: "A client MUST _Fail the WebSocket Connection_ if the peer server accepted an extension
    // negotiation offer for this extension with an extension negotiation response meeting any of the
    // following conditions".
    let bad = [
        "permessage-deflate; unknown",
        "permessage-deflate; server_max_window_bits=99",
        "permessage-deflate; server_max_window_bits=-1",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; client_max_window_bits=7",
        "permessage-deflate; server_no_context_takeover=x",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "x-webkit-deflate-frame",
    ];
    for answer in bad {
        assert_eq!(agreed(&compressing(true), &list(answer)[0]), None, "{answer}");
    }
}

#[test]
fn our_client_and_our_server_understand_each_other_for_all_settings() {
    for keep in 0..16_u8 {
        for bits in 9..=15 {
            let bit = |at: u8| keep >> at & 1 != 0;
            let [client, server] = [0, 2].map(|at| Deflate {
                keep_our_context: bit(at),
                keep_peer_context: bit(at + 1),
                window_bits: bits,
                peer_window_bits: 24 - bits,
                ..Deflate::default()
            });
            let (theirs, answer) = accept(&server, &list(&offer(&client))).expect("agreed");
            let ours = agreed(&client, &list(&answer)[0]).expect("a right answer");
            assert!(ours.server_max_window_bits >= theirs.server_max_window_bits);
            assert!(ours.client_max_window_bits <= theirs.client_max_window_bits);
            assert_eq!(ours.server_no_context_takeover, theirs.server_no_context_takeover);
        }
    }
}

// §7.2: messages.

#[test]
fn the_examples_of_section_7_2_3_are_read() {
    let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let peer = Sender(Role::Server);
    let rows: [(&str, Vec<u8>); 6] = [
        ("one block", peer.frame(0xc1, &hello)),
        ("two fragments", [peer.frame(0x41, &hello[..3]), peer.frame(0x80, &hello[3..])].concat()),
        ("no compression", peer.frame(0xc1, b"\x00\x05\x00\xfa\xffHello\x00")),
        ("BFINAL", peer.frame(0xc1, &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00])),
        ("two blocks", peer.frame(0xc1, b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00")),
        ("not compressed", peer.frame(0x81, b"Hello")),
    ];
    for (name, wire) in rows {
        for piece_len in [1, usize::MAX] {
            let mut client = ends(Role::Client, KEEPS_WINDOWS);
            client.receive_by(&wire, piece_len);
            assert_eq!(client.messages, ["Hello".into()], "{name}");
        }
    }
}

#[test]
fn a_second_message_may_point_back_into_the_first() {
    // §7.2.3.2: "Sharing LZ77 Sliding Window".
    let mut client = ends(Role::Client, KEEPS_WINDOWS);
    let peer = client.peer;
    client.receive(&peer.frame(0xc1, &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]));
    // An uncompressed message and a control frame in between leave the window alone.
    client.receive(&[peer.frame(0x81, b"plain"), peer.frame(0x89, b"")].concat());
    client.receive(&peer.frame(0xc1, &[0xf2, 0x00, 0x11, 0x00, 0x00]));
    assert_eq!(client.messages, ["Hello".into(), "plain".into(), "Hello".into()]);
}

#[test]
fn without_takeover_each_message_stands_for_itself() {
    // §7.1.1: who agreed to that begins each message with an empty window.
    for (params, from, to) in [
        (no_takeover(true, false), Role::Server, Role::Client),
        (no_takeover(false, true), Role::Client, Role::Server),
    ] {
        let mut from = ends(from, params);
        let message = TEXT.repeat(10).into();
        let first = send(&mut from, &message);
        for _ in 0..3 {
            let again = send(&mut from, &message);
            assert_eq!(again.len(), first.len());
            // A fresh end understands it: nothing points back.
            let mut to = ends(to, params);
            to.receive(&again);
            assert_eq!(to.messages, std::slice::from_ref(&message));
        }
    }
}

#[test]
fn with_takeover_a_repeated_message_shrinks() {
    for role in [Role::Client, Role::Server] {
        let mut from = ends(role, KEEPS_WINDOWS);
        let message = TEXT.repeat(10).into();
        let first = send(&mut from, &message).len();
        let again = send(&mut from, &message).len();
        assert!(again + again / 2 < first, "{again} after {first}");
    }
}

#[test]
fn windows_stay_in_step_whatever_is_sent_in_every_combination() {
    // The decision what to compress falls before the compressor sees a byte.
    for combination in 0..4 {
        for bits in [9, 12, 15] {
            let params = Params {
                server_max_window_bits: bits,
                client_max_window_bits: bits,
                ..no_takeover(combination & 1 != 0, combination & 2 != 0)
            };
            for roles in [[Role::Client, Role::Server], [Role::Server, Role::Client]] {
                let [mut from, mut to] = roles.map(|it| ends(it, params));
                let noise: Vec<u8> = (0..3000_u32).map(|it| ((it * it) >> 5) as u8).collect();
                let messages: [Message; 7] = [
                    TEXT.into(),
                    noise.clone().into(),
                    "".into(),
                    TEXT.repeat(300).into(),
                    vec![0_u8; 40_000].into(),
                    noise.into(),
                    TEXT.into(),
                ];
                for message in &messages {
                    to.receive_by(&send(&mut from, message), 1000);
                }
                assert_eq!(to.messages, messages);
            }
        }
    }
}

#[test]
fn rsv1_stands_on_compressed_messages_alone() {
    // §6: "An endpoint MUST NOT set the "Per-Message Compressed" bit of control frames and non-first
    // fragments of a data message."
    let deflate = Some(Deflate { message_bytes_min: 100, ..compressing(true) });
    let mut server =
        Ends::new(Role::Server, Config { deflate, ..Config::default() }, Some(KEEPS_WINDOWS));
    let mut first = |message: Message| frames(Role::Server, &send(&mut server, &message))[0].0;
    assert_eq!(first("short".into()), 0x81);
    assert_eq!(first(TEXT.repeat(9).into()), 0xc1);
    assert_eq!(first(vec![0_u8; 100].into()), 0xc2);
    server.receive(&server.peer.frame(0x89, b"x"));
    assert_eq!(frames(Role::Server, &server.written()), [(0x8a, b"x".to_vec())]);
}

#[test]
fn an_empty_message_may_be_compressed() {
    // §7.2.3.6: "an empty uncompressed DEFLATE block can be built and used for this purpose as follows: 0x00"
    let mut server = ends(Role::Server, KEEPS_WINDOWS);
    server.receive(&server.peer.frame(0xc1, &[0]));
    assert_eq!(server.messages, ["".into()]);
}

#[test]
fn the_limit_is_that_of_the_inflated_message() {
    let limits = Limits { message_bytes_max: 1000, ..Limits::default() };
    let mut server = Ends::new(Role::Server, Config { limits, ..config() }, Some(KEEPS_WINDOWS));
    server.receive(&server.peer.frame(0xc2, &deflated(&[7; 1000])));
    assert_eq!(server.messages, [Message::from(vec![7_u8; 1000])]);
}
