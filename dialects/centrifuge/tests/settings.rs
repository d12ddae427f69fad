//! Limits and times on either side, and what a scene can't write.

use std::time::{Duration, Instant};

use bytes::Bytes;

use taiwa_centrifuge::{Centrifuge, Settings};
use taiwa_core::{
    Action, Conversation, Dialect, Exchange, Input, Knock, Line, Message, Request, Response,
    Transport, scenes,
};

#[track_caller]
fn plays(change: impl FnOnce(&mut Settings), scene: &str) {
    let mut settings = Settings::default();
    change(&mut settings);
    if let Err(fault) = scenes::play(&Centrifuge::new(settings), scene, Instant::now()) {
        panic!("{fault}");
    }
}

#[test]
fn commands_wait_within_a_limit_while_a_client_is_let_in() {
    plays(
        |it| it.waiting_bytes_max = 40,
        r#"
>: WS /connection/websocket
> {"id":1,"connect":{}}
? 101 connect via=centrifuge-json
> {"id":2,"ping":{}}
> {"id":3,"ping":{}, "about":"40 bytes"}
<: end 3013 "too many requests"
"#,
    );
    plays(
        |it| it.waiting_bytes_max = 40,
        r#"
>: WS /connection/websocket
> {"id":1,"connect":{}}
? 101 connect via=centrifuge-json
> {"id":2,"ping":{}}
> {"id":3,"ping":{}}
! 101 connected session=0123456789abcdef0123456789abcdef
< {"id":1,"connect":{"client":"0123456789abcdef0123456789abcdef","version":"taiwa 0.1.0","ping":25,"pong":true}}
< {"id":2,"ping":{}}
< {"id":3,"ping":{}}
"#,
    );
}

#[test]
fn clients_that_need_not_be_pinged_are_not() {
    plays(
        |it| it.ping_every = Duration::ZERO,
        r#"
>: WS /connection/websocket
> {"id":1,"connect":{}}
? 101 connect via=centrifuge-json
! 101 connected session=0123456789abcdef0123456789abcdef
< {"id":1,"connect":{"client":"0123456789abcdef0123456789abcdef","version":"taiwa 0.1.0"}}
@ +1h
"#,
    );
}

#[test]
fn times_are_settings() {
    plays(
        |it| {
            it.connect_within = Duration::from_secs(1);
            it.ping_every = Duration::from_secs(2);
            it.pong_within = Duration::from_secs(1);
        },
        r#"
= Silent from the beginning
>: WS /connection/websocket
@ +1s
<: end 3502 "stale"

= Silent later
>: WS /connection/websocket
> {"id":1,"connect":{}}
? 101 connect via=centrifuge-json
! 101 connected session=0123456789abcdef0123456789abcdef
< {"id":1,"connect":{"client":"0123456789abcdef0123456789abcdef","version":"taiwa 0.1.0","ping":2,"pong":true}}
@ +2s
< {}
@ +1s
<: end 3012 "no pong"
"#,
    );
}

#[test]
fn frames_are_as_large_as_settings_allow() {
    let change = |it: &mut Settings| {
        it.commands_max = 2;
        it.positions_max = 1;
        it.filter_nodes_max = 1;
    };
    plays(
        change,
        r#"
= Within
>: WS /connection/websocket
> {"id":1,"connect":{"subs":{"a":{"recover":true}}}}
>| {"id":2,"subscribe":{"channel":"a","tf":{"key":"k","cmp":"ex"}}}
? 101 connect knows=a@0:0 via=centrifuge-json

= Commands
>: WS /connection/websocket
> {"id":1,"connect":{}}
>| {"id":2,"ping":{}}
>| {"id":3,"ping":{}}
<: end 3501 "bad request"

= Positions
>: WS /connection/websocket
> {"id":1,"connect":{"subs":{"a":{"recover":true},"b":{"recover":true}}}}
<: end 3501 "bad request"

= Nodes
>: WS /connection/websocket
> {"id":1,"connect":{}}
>| {"id":2,"subscribe":{"channel":"a","tf":{"op":"not","nodes":[{"key":"k","cmp":"ex"}]}}}
<: end 3501 "bad request"
"#,
    );
}

fn post(path: &str, body: &'static [u8]) -> Request {
    let mut request = Request::get(path);
    request.method = "POST".into();
    let kind = Bytes::from_static(b"application/octet-stream");
    request.headers = Box::new([("content-type".into(), kind)]);
    request.body = Bytes::from_static(body);
    request
}

fn open(request: &Request, now: Instant) -> Box<dyn Conversation> {
    let transport = Transport::Http;
    let knock = Knock { transport, request, subprotocol: None, address: "a", random: 0 };
    Centrifuge::default().open(&knock, now).unwrap()
}

#[test]
fn streams_of_protocol_buffers_are_opened_and_written_to_in_them() {
    let now = Instant::now();
    let request = post("/connection/http_stream", b"\x04\x08\x01\x22\x00");
    let mut conversation = open(&request, now);
    let mut out = vec![];
    conversation.receive(Input::Request(Exchange(0), request), now, &mut out);
    let [
        Action::Respond(Exchange(0), Response::Stream { headers }),
        Action::Flow(Some(Line(0))),
        Action::Ask(101, _),
    ] = &out[..]
    else {
        panic!("{out:?}");
    };
    assert_eq!(headers, &[("content-type", "application/octet-stream".to_owned())]);

    // A ping beside the stream, which breaks the rule that one has to be let in before.
    let request = post("/emulation", b"\x12\x01a\x1a\x05\x04\x08\x02\x5a\x00");
    let taiwa_core::Addressee::Known(name) = Centrifuge::default().addressee(&request) else {
        panic!("{request:?} is for a conversation");
    };
    assert_eq!(&*name, "a");
    out.clear();
    conversation.receive(Input::Request(Exchange(1), request), now, &mut out);
    let [Action::Respond(Exchange(1), Response::Whole { status: 204, .. })] = &out[..] else {
        panic!("{out:?}");
    };
    out.clear();
    let again = Message::Binary(Bytes::from_static(b"\x04\x08\x02\x22\x00"));
    conversation.receive(Input::Message(Line(0), again), now, &mut out);
    let [Action::Send(Line(0), Message::Binary(bytes)), Action::End(3501, _)] = &out[..] else {
        panic!("{out:?}");
    };
    assert_eq!(&bytes[..], b"\x14\x22\x12\x5a\x10\x08\xad\x1b\x12\x0bbad request");
}

#[test]
fn after_the_end_nothing_is_said() {
    let now = Instant::now();
    let mut out = vec![];
    let mut conversation = open(&post("/connection/http_stream", b"x"), now);
    conversation.receive(Input::Left(Line(0)), now, &mut out);
    assert!(matches!(out[..], [Action::Send(..), Action::End(3000, _)]), "{out:?}");
    out.clear();
    conversation.receive(Input::Left(Line(0)), now, &mut out);
    conversation.receive(
        Input::Message(Line(0), Message::Binary(Bytes::from_static(b"\0"))),
        now,
        &mut out,
    );
    conversation.deliver(
        taiwa_core::Event::Disconnect(taiwa_core::Disconnect::Slow),
        now,
        &mut out,
    );
    conversation.timeout(now + Duration::from_secs(3600), &mut out);
    assert!(out.is_empty(), "{out:?}");
    assert_eq!(conversation.deadline(), None);
}
