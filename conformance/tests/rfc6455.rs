//! RFC 6455, rule by rule: what must be done and said. What must be refused is in `violations.rs`.

use std::time::Duration;

use taiwa::{Error, Server};
use taiwa_conformance::{
    Ends, Sender,
    frames::frames,
    raw::RawClient,
    violations::{FRAGMENTS_MAX, MESSAGE_BYTES_MAX, config},
};
use taiwa_proto::{
    CloseCode, Closed, Config, Deadline, End, Kind, Message, Role, Side, Step,
    handshake::{HandshakeFault, Wish, accept_key, parse_uri},
};

const SECOND: Duration = Duration::from_secs(1);

fn client() -> Ends {
    Ends::new(Role::Client, Config::default(), None)
}

fn server() -> Ends {
    Ends::new(Role::Server, Config::default(), None)
}

fn both() -> [Ends; 2] {
    [client(), server()]
}

fn role(ends: &Ends) -> Role {
    match ends.peer.0 {
        Role::Client => Role::Server,
        Role::Server => Role::Client,
    }
}

// §4: the opening handshake, against the real server.

const REQUEST: [(&str, &str); 6] = [
    ("", "GET / HTTP/1.1"),
    ("Host", "127.0.0.1"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Version", "13"),
];

/// The example request with one line changed, added, or (an empty value) left out.
fn request(name: &str, value: &str) -> String {
    let mut lines = vec![];
    let mut is_new = true;
    for (known, old) in REQUEST {
        let value = if known == name { value } else { old };
        is_new &= known != name;
        match (known, value) {
            (_, "") => {}
            ("", start) => lines.push(format!("{start}\r\n")),
            _ => lines.push(format!("{known}: {value}\r\n")),
        }
    }
    if is_new {
        lines.push(format!("{name}: {value}\r\n"));
    }
    lines.concat() + "\r\n"
}

/// The status of the answer to each request, and its head.
async fn answers(requests: Vec<String>) -> Vec<(u16, String)> {
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let addr = server.local_addr().unwrap();
    let serving = tokio::spawn(
        server
            .serve(|upgrade| async move {
                let mut socket = upgrade.subprotocol(["b", "a"]).accept().await?;
                while let Some(message) = socket.recv().await? {
                    socket.send(message).await?;
                }
                Ok::<(), Error>(())
            })
            .into_future(),
    );
    let mut found = vec![];
    for request in requests {
        let mut raw = RawClient::knock(addr);
        raw.write(request.as_bytes());
        let head = raw.read_head();
        found.push((head[9..12].parse().expect("a status"), head.to_lowercase()));
    }
    serving.abort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_answers_the_example_with_its_accept() {
    // §4.2.2: "The value of this header field is constructed by concatenating /key/ [...] with the string"
    assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    let found = answers(vec![request("User-Agent", "x")]).await;
    assert_eq!(found[0].0, 101);
    assert!(found[0].1.contains("\r\nsec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"));
    assert!(found[0].1.contains("\r\nupgrade: websocket\r\n"));
    assert!(found[0].1.contains("\r\nconnection: upgrade\r\n"));
    assert!(!found[0].1.contains("sec-websocket-protocol"), "none was asked for");
    assert!(!found[0].1.contains("sec-websocket-extensions"), "none was asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_breaks_a_rule_of_section_4_2_1_gets_an_http_error() {
    // §4.2.1: "the server MUST stop processing the client's handshake and return an HTTP response with an
    // appropriate error code"
    let rows = [
        (400, "Host", ""),
        (426, "Upgrade", ""),
        (426, "Upgrade", "h2c"),
        (400, "Connection", ""),
        (400, "Connection", "keep-alive"),
        (400, "Sec-WebSocket-Key", ""),
        (400, "Sec-WebSocket-Key", "c2hvcnQ="),
        (400, "Sec-WebSocket-Key", "not base64 at all !!!!!!"),
        (426, "Sec-WebSocket-Version", ""),
        (426, "Sec-WebSocket-Version", "8"),
        (426, "Sec-WebSocket-Version", "1300"),
        (400, "sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        (400, "sec-websocket-version", "13"),
        (400, "Content-Length", "5"),
        (400, "Transfer-Encoding", "chunked"),
        (400, "Sec-WebSocket-Protocol", "a, a"),
        (400, "Sec-WebSocket-Protocol", "a b"),
        (400, "Sec-WebSocket-Extensions", "\"x"),
        (403, "Origin", "http://elsewhere.example"),
        (101, "Origin", "http://127.0.0.1"),
        (101, "Connection", "keep-alive, uPgRaDe"),
        (101, "Sec-WebSocket-Extensions", "constructor; a=1, permessage-deflate; x"),
    ];
    let requests = rows.iter().map(|it| request(it.1, it.2)).collect();
    for ((expected, name, value), (status, head)) in rows.iter().zip(answers(requests).await) {
        assert_eq!(status, *expected, "{name}: {value}");
        if status == 426 {
            // §4.4: "it MUST respond with a |Sec-WebSocket-Version| header field"
            assert!(head.contains("\r\nsec-websocket-version: 13\r\n"), "{head}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_preference_decides_among_the_subprotocols_of_both() {
    // §4.1: "ordered by preference"; §4.2.2: "The value chosen MUST be derived from the client's handshake"
    let found = answers(vec![
        request("Sec-WebSocket-Protocol", "x, a, b"),
        request("Sec-WebSocket-Protocol", "x"),
    ])
    .await;
    assert!(found[0].1.contains("\r\nsec-websocket-protocol: a\r\n"));
    assert!(found[1].0 == 101 && !found[1].1.contains("sec-websocket-protocol"));
}

#[test]
fn a_client_opens_only_what_it_asked_for() {
    // §4.1: "the client MUST _Fail the WebSocket Connection_", six times.
    let uri = parse_uri("ws://localhost/").unwrap();
    let subprotocols = ["a".to_owned()];
    let nonce = *b"the sample nonce";
    let wish = Wish { subprotocols: &subprotocols, ..Wish::new(&uri, nonce) };
    let (_, pending) = wish.request().unwrap();
    let right = [
        ("upgrade", "WebSocket"),
        ("connection", "upgrade"),
        ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    ];
    let verify = |status: u16, changed: &str, value: &str| {
        let mut response = http::Response::builder().status(status);
        for (name, right) in right.iter().filter(|it| it.0 != changed) {
            response = response.header(*name, *right);
        }
        if !value.is_empty() {
            response = response.header(changed, value);
        }
        pending.verify(&response.body(()).unwrap()).map(|it| it.subprotocol)
    };
    assert_eq!(verify(101, "x", "y"), Ok(None));
    assert_eq!(verify(101, "sec-websocket-protocol", "a"), Ok(Some("a".into())));
    let rows = [
        ("upgrade", "", HandshakeFault::Upgrade),
        ("upgrade", "h2c", HandshakeFault::Upgrade),
        ("connection", "", HandshakeFault::Connection),
        ("connection", "close", HandshakeFault::Connection),
        ("sec-websocket-accept", "", HandshakeFault::Accept),
        ("sec-websocket-accept", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=", HandshakeFault::Accept),
        ("sec-websocket-protocol", "b", HandshakeFault::SubprotocolNotOffered),
        ("sec-websocket-extensions", "permessage-deflate", HandshakeFault::ExtensionNotOffered),
    ];
    for (name, value, fault) in rows {
        assert_eq!(verify(101, name, value), Err(fault), "{name}: {value}");
    }
    assert!(matches!(verify(302, "x", "y"), Err(HandshakeFault::Refused(_))));
}

// §5: frames.

#[test]
fn a_client_masks_each_frame_with_a_fresh_key_and_a_server_none() {
    // §5.3: "The masking key needs to be unpredictable", "the client MUST pick a fresh masking key"
    let mut client = client();
    let mut keys = std::collections::HashSet::new();
    for _ in 0..60 {
        client.conn.send(&"x".into(), client.now, &mut client.pool).unwrap();
        let frame = client.written();
        assert_eq!((frame.len(), frame[1]), (7, 0x81));
        keys.insert(frame[2..6].to_vec());
    }
    assert_eq!(keys.len(), 60);
    let mut server = server();
    server.conn.send(&"Hello".into(), server.now, &mut server.pool).unwrap();
    assert_eq!(server.written(), b"\x81\x05Hello", "§5.7's first example");
}

#[test]
fn lengths_are_written_in_their_shortest_form() {
    // §5.2: "the minimal number of bytes MUST be used to encode the length"
    let rows: [(usize, &[u8]); 6] = [
        (0, &[0]),
        (125, &[125]),
        (126, &[126, 0, 126]),
        (65535, &[126, 255, 255]),
        (65536, &[127, 0, 0, 0, 0, 0, 1, 0, 0]),
        (70000, &[127, 0, 0, 0, 0, 0, 1, 17, 112]),
    ];
    for (len, field) in rows {
        let mut server = server();
        server.conn.send(&vec![7_u8; len].into(), server.now, &mut server.pool).unwrap();
        let frame = server.written();
        assert_eq!(frame[1..=field.len()], *field);
        assert_eq!(frame.len(), 1 + field.len() + len);
        let mut client = client();
        client.receive(&frame);
        assert_eq!(client.messages, [Message::from(vec![7_u8; len])]);
    }
}

#[test]
fn the_examples_of_section_5_7_are_read() {
    let mut server = server();
    server.receive(&[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    let mut client = client();
    client.receive(b"\x01\x03Hel\x80\x02lo\x89\x05Hello");
    assert_eq!(server.messages, ["Hello".into()]);
    assert_eq!(client.messages, ["Hello".into()]);
    assert_eq!(client.controls, [('?', b"Hello".to_vec())]);
}

#[test]
fn fragments_are_one_message_of_the_first_ones_kind() {
    // §5.4: "all fragments of a message are of the same type, as set by the first fragment's opcode"
    for mut ends in both() {
        let peer = ends.peer;
        let wire =
            [peer.frame(2, b"a"), peer.frame(0, b""), peer.frame(0, b"b"), peer.frame(0x80, b"")];
        ends.receive(&wire.concat());
        assert_eq!(ends.messages, [Message::from(b"ab".to_vec())]);
        assert_eq!(ends.messages[0].kind(), Kind::Binary);
        ends.receive(&[peer.frame(1, b""), peer.frame(0x80, b"")].concat());
        assert_eq!(ends.messages[1], "".into());
    }
}

#[test]
fn control_frames_are_handled_in_the_middle_of_a_message() {
    // §5.4: "MAY be injected in the middle of a fragmented message"
    for mut ends in both() {
        let peer = ends.peer;
        let wire = [
            peer.frame(1, "対".as_bytes()),
            peer.frame(0x89, b"now"),
            peer.frame(0x8a, b"unasked"),
            peer.frame(0, &"話".as_bytes()[..1]),
            peer.frame(0x89, b""),
        ];
        ends.receive(&wire.concat());
        assert!(ends.messages.is_empty());
        let (role, written) = (role(&ends), ends.written());
        assert_eq!(frames(role, &written), [(0x8a, b"now".to_vec()), (0x8a, vec![])]);
        ends.receive(&peer.frame(0x80, &"話".as_bytes()[1..]));
        assert_eq!(ends.messages, ["対話".into()]);
        assert_eq!(ends.controls[1], ('!', b"unasked".to_vec()));
    }
}

#[test]
fn a_ping_is_answered_with_its_payload_and_a_pong_with_nothing() {
    // §5.5.2: "an endpoint MUST send a Pong frame in response"; §5.5.3: "A response to an unsolicited
    // Pong frame is not expected."
    for mut ends in both() {
        let peer = ends.peer;
        let payload: Vec<u8> = (0..125).collect();
        ends.receive(&[peer.frame(0x8a, b"unasked"), peer.frame(0x89, &payload)].concat());
        let (role, written) = (role(&ends), ends.written());
        assert_eq!(frames(role, &written), [(0x8a, payload)]);
    }
}

// §5.5.1 and §7: closing.

#[test]
fn a_close_is_answered_once_and_ends_both_directions() {
    // §5.5.1: "If an endpoint receives a Close frame and did not previously send a Close frame, the
    // endpoint MUST send a Close frame in response."
    for mut ends in both() {
        let peer = ends.peer;
        let wire =
            [peer.close(1001, "再見".as_bytes()), peer.frame(0x81, b"late"), peer.frame(0x89, b"")];
        ends.receive(&wire.concat());
        let (role, written) = (role(&ends), ends.written());
        // "the endpoint typically echos the status code it received"; we repeat the reason, too.
        let answer = [&[3, 233], "再見".as_bytes()].concat();
        assert_eq!(frames(role, &written), [(0x88, answer)]);
        assert!(ends.messages.is_empty() && ends.controls.is_empty());
        assert!(ends.conn.send(&"late".into(), ends.now, &mut ends.pool).is_err());
        let (code, reason) = (CloseCode::GOING_AWAY, "再見".into());
        let closed = Closed { code, reason, by: Side::Peer, clean: true };
        assert_eq!(ends.end(), End::Closed(closed));
    }
}

#[test]
fn a_close_without_a_code_is_1005_here_and_nothing_on_the_wire() {
    // §7.1.5: "_The WebSocket Connection Close Code_ is considered to be 1005."
    for mut ends in both() {
        ends.receive(&ends.peer.frame(0x88, b""));
        let (role, written) = (role(&ends), ends.written());
        assert_eq!(frames(role, &written), [(0x88, vec![])]);
        assert!(matches!(ends.end(), End::Closed(it) if it.code == CloseCode::NO_STATUS));
    }
}

#[test]
fn an_end_without_a_close_frame_is_a_loss() {
    // §7.1.5: "_The WebSocket Connection Close Code_ is considered to be 1006", which no frame says.
    for mut ends in both() {
        ends.receive(&ends.peer.frame(1, b"unfinished"));
        ends.conn.end_of_input();
        assert_eq!((ends.end(), ends.written()), (End::Lost, vec![]));
    }
}

#[test]
fn messages_still_arrive_between_our_close_and_the_peers() {
    // §5.5.1 forbids to send after a Close, not to receive.
    for mut ends in both() {
        ends.conn.close(CloseCode::NORMAL, "", ends.now, &mut ends.pool).unwrap();
        let (role, written) = (role(&ends), ends.written());
        assert_eq!(frames(role, &written), [(0x88, vec![3, 232])]);
        let peer = ends.peer;
        let wire = [peer.frame(0x81, b"under way"), peer.frame(0x89, b""), peer.close(1000, b"")];
        ends.receive(&wire.concat());
        assert_eq!(ends.messages, ["under way".into()]);
        assert_eq!(ends.written(), b"", "nothing follows a Close, no Pong either");
        assert!(matches!(ends.end(), End::Closed(it) if it.by == Side::Us && it.clean));
    }
}

#[test]
fn the_server_ends_the_transport_first_and_the_client_waits_for_it() {
    // §7.1.1: "the underlying TCP connection, in most normal cases, SHOULD be closed first by the server"
    let steps = both().map(|mut ends| {
        ends.receive(&ends.peer.close(1000, b""));
        ends.written();
        assert_eq!(ends.conn.step(), Step::ShutDown);
        ends.conn.shut_down();
        ends.conn.step()
    });
    assert_eq!(steps[0], Step::Discard);
    assert!(matches!(steps[1], Step::End(End::Closed(_))));
}

#[test]
fn a_peer_that_never_answers_a_close_is_left_after_five_seconds() {
    for mut ends in both() {
        ends.conn.close(CloseCode::NORMAL, "", ends.now, &mut ends.pool).unwrap();
        ends.written();
        ends.after(SECOND * 4);
        assert_eq!(ends.conn.step(), Step::Transfer);
        ends.after(SECOND);
        assert_eq!(ends.conn.step(), Step::End(End::Late(Deadline::Close)));
    }
}

#[test]
fn the_codes_of_the_registry_are_sent_and_received_and_no_others() {
    // §7.4.1, §7.4.2, and IANA's registry, which adds 1012 to 1014.
    let valid = |it: u16| matches!(it, 1000..=1003 | 1007..=1014 | 3000..=4999);
    for code in (0..5100).chain([u16::MAX]) {
        let mut ends = server();
        let closed = ends.conn.close(code.into(), "x", ends.now, &mut ends.pool);
        assert_eq!(closed.is_ok(), valid(code), "{code}");
        let mut ends = server();
        ends.receive(&Sender(Role::Client).close(code, b"x"));
        assert_eq!(matches!(ends.end(), End::Closed(_)), valid(code), "{code}");
    }
}

#[test]
fn control_frames_neither_extend_nor_shorten_the_time_of_a_message() {
    for mut ends in both() {
        let (peer, ping) = (ends.peer, ends.peer.frame(0x89, b""));
        // A Ping that drips for 50 seconds, then a message: it has its whole minute.
        ends.receive(&ping[..1]);
        ends.after(SECOND * 50);
        ends.receive(&[&ping[1..], &peer.frame(1, b"begun")].concat());
        for _ in 0..5 {
            ends.written();
            ends.after(SECOND * 11);
            assert!(ends.conn.is_open());
            ends.receive(&ping);
            ends.written();
        }
        ends.after(SECOND * 5);
        let (role, written) = (role(&ends), ends.written());
        assert_eq!(frames(role, &written), [(0x88, vec![3, 240])]);
        assert_eq!(ends.end(), End::Late(Deadline::Message));
    }
}

// §6 and §8: messages.

#[test]
fn what_is_sent_is_received_as_it_was_by_any_pieces() {
    let messages: [Message; 5] = [
        "".into(),
        "対話 🦀".into(),
        vec![0_u8; 126].into(),
        (0..70_000).map(|it| it as u8).collect::<Vec<_>>().into(),
        "κόσμε ".repeat(700).into(),
    ];
    for piece_len in [1, 7, 4096, usize::MAX] {
        for (mut from, mut to) in [(client(), server()), (server(), client())] {
            for message in &messages {
                from.conn.send(message, from.now, &mut from.pool).unwrap();
                to.receive_by(&from.written(), piece_len);
            }
            assert_eq!(to.messages, messages);
        }
    }
}

#[test]
fn text_may_be_cut_anywhere_between_fragments() {
    // §8.1, §5.6: "a particular text frame might include a partial UTF-8 sequence; however, the whole
    // message MUST contain valid UTF-8."
    let text = "aé対🦀\u{10ffff}\u{0}z";
    for cut in 0..=text.len() {
        for mut ends in both() {
            let (front, back) = text.as_bytes().split_at(cut);
            let peer = ends.peer;
            ends.receive(
                &[peer.frame(1, front), peer.frame(0x89, b""), peer.frame(0x80, back)].concat(),
            );
            assert_eq!(ends.messages, [text.into()]);
        }
    }
}

#[test]
fn a_message_at_the_limit_passes() {
    for role in [Role::Client, Role::Server] {
        let mut ends = Ends::new(role, config(), None);
        let peer = ends.peer;
        let full = vec![b'x'; MESSAGE_BYTES_MAX];
        ends.receive(&peer.frame(0x82, &full));
        let rest = FRAGMENTS_MAX as usize - 2;
        let (front, back) = full.split_at(rest);
        let mut wire = peer.frame(2, b"");
        front.chunks(1).for_each(|it| wire.extend(peer.frame(0, it)));
        wire.extend(peer.frame(0x80, back));
        ends.receive(&wire);
        assert_eq!(ends.messages, [Message::from(full.clone()), full.into()]);
    }
}
