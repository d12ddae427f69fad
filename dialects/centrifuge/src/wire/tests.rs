//! The codec against the published packages: `tests/vectors/make.mjs` says how the vectors were made.

use super::*;

use serde_json::Value;
use taiwa_core::{About, Channel, Client, Tags, User};

const COMMANDS: &str = include_str!("../../tests/vectors/commands.txt");
const REPLIES: &str = include_str!("../../tests/vectors/replies.txt");
const EMULATION: &str = include_str!("../../tests/vectors/emulation.txt");

static EMPTY: Payload = Payload::Json(Bytes::from_static(b"{}"));
static X: Payload = Payload::Json(Bytes::from_static(b"\"x\""));
static THREE: Payload = Payload::Json(Bytes::from_static(b"3"));

const LIMITS: Limits = Limits { commands_max: 64, subs_max: 64, filter_nodes_max: 64 };

fn vectors(file: &'static str) -> impl Iterator<Item = (&'static str, Bytes, Bytes)> {
    file.lines().map(|line| {
        let parts: Vec<_> = line.split('\t').collect();
        let [name, json, digits] = parts[..] else { panic!("three columns: {line}") };
        let pairs = digits.as_bytes().chunks(2).map(|it| std::str::from_utf8(it).unwrap());
        let bytes: Vec<u8> = pairs.map(|it| u8::from_str_radix(it, 16).unwrap()).collect();
        (name, json.into(), bytes.into())
    })
}

fn json(text: &'static str) -> Payload {
    Payload::Json(Bytes::from_static(text.as_bytes()))
}

fn id(id: u32) -> NonZeroU32 {
    NonZeroU32::new(id).unwrap()
}

fn position(offset: u64, epoch: &str) -> StreamPosition {
    StreamPosition { offset, epoch: epoch.into() }
}

fn leaf(key: &str, cmp: &str) -> FilterNode {
    FilterNode { key: key.into(), cmp: cmp.into(), ..Default::default() }
}

fn node(op: &str, nodes: Vec<FilterNode>) -> FilterNode {
    FilterNode { op: op.into(), nodes, ..Default::default() }
}

fn connect_all() -> Request {
    Request::Connect(ConnectRequest {
        token: "tök".into(),
        data: Some(json("{\"a\":[1, 2.50]}")),
        subs: vec![("server:ch".into(), position(300, "1f"))],
        name: "js".into(),
        version: "7".into(),
    })
}

fn subscribe_all() -> Request {
    let equal = FilterNode { val: "1".into(), ..leaf("a", "eq") };
    let among = FilterNode { vals: vec!["x".into(), "対".into()], ..leaf("b", "in") };
    Request::Subscribe(Box::new(SubscribeRequest {
        channel: "news:対話".into(),
        token: "t".into(),
        data: Some(json("\"x\"")),
        recover: Some(position(9_007_199_254_740_991, "abc")),
        positioned: true,
        recoverable: true,
        join_leave: true,
        delta: "fossil".into(),
        tf: Some(node("and", vec![equal, node("not", vec![among])])),
        flag: 3,
    }))
}

/// What a vector says.
fn command(name: &str) -> Command {
    let channel = || "news".to_owned();
    let request = |number, request| Command::Request(id(number), request);
    match name {
        "connect" => request(1, Request::Connect(ConnectRequest::default())),
        "connect_all" => request(2, connect_all()),
        "subscribe" => {
            let plain = SubscribeRequest { channel: channel(), flag: 1, ..Default::default() };
            request(3, Request::Subscribe(Box::new(plain)))
        }
        "subscribe_all" => request(u32::MAX, subscribe_all()),
        "subscribe_map" => request(5, Request::NotOffered),
        "unsubscribe" => request(6, Request::Unsubscribe { channel: channel() }),
        "publish" => {
            let data = Some(json("{\"text\": \"\\u5bfe\\u8a71\", \"n\": 1e3}"));
            request(7, Request::Publish { channel: channel(), data })
        }
        "publish_map" => request(8, Request::NotOffered),
        "presence" => request(9, Request::Presence { channel: channel() }),
        "presence_stats" => request(10, Request::PresenceStats { channel: channel() }),
        "history" => {
            let plain = HistoryRequest { channel: channel(), ..Default::default() };
            request(11, Request::History(plain))
        }
        "history_all" => {
            let since = Some(position(5, "ff"));
            let all = HistoryRequest { channel: channel(), limit: -1, since, reverse: true };
            request(12, Request::History(all))
        }
        "ping" => request(13, Request::Ping),
        "send" => Command::Send(json("[]")),
        "rpc" => request(14, Request::Rpc { method: "sum".into(), data: json("[1,2]") }),
        "refresh" => request(15, Request::Refresh { token: "t".into() }),
        "sub_refresh" => request(16, Request::SubRefresh { channel: channel(), token: "t".into() }),
        "track" => request(17, Request::NotOffered),
        "pong" => Command::Pong,
        _ => panic!("{name} has no meaning here"),
    }
}

#[test]
fn commands_of_the_published_packages_mean_the_same_in_both_encodings() {
    let (mut lines, mut messages, mut meant) = (vec![], vec![], vec![]);
    for (name, text, bytes) in vectors(COMMANDS) {
        let expected = vec![command(name)];
        assert_eq!(Format::Json.commands(&text, &LIMITS).unwrap(), expected, "{name}");
        let read = Format::Protobuf.commands(&bytes, &LIMITS).unwrap();
        assert_eq!(read, expected, "{name}");
        lines.push(text);
        messages.extend_from_slice(&bytes);
        meant.extend(expected);
    }
    assert_eq!(meant.len(), 19);
    let lines = Bytes::from(lines.join(&b'\n'));
    assert_eq!(Format::Json.commands(&lines, &LIMITS).unwrap(), meant);
    assert_eq!(Format::Protobuf.commands(&messages.into(), &LIMITS).unwrap(), meant);
}

#[test]
fn requests_beside_a_stream_carry_a_frame() {
    let expected = EmulationRequest {
        session: "sé".into(),
        data: Bytes::from_static(b"{\"id\":1,\"ping\":{}}"),
    };
    for (_, text, bytes) in vectors(EMULATION) {
        assert_eq!(Format::Json.emulation(&text).as_ref(), Ok(&expected));
        assert_eq!(Format::Protobuf.emulation(&bytes).as_ref(), Ok(&expected));
    }
}

struct Sample {
    member: Arc<Member>,
    publications: Vec<Arc<Publication>>,
    one: Payload,
}

impl Sample {
    fn new() -> Self {
        let client = Client {
            session: SessionId(42),
            user: Some(User::from("ada")),
            about: About::new(Some(Bytes::from_static(b"{\"n\":1}")), None),
            address: None,
            dialect: "centrifuge",
        };
        let member = Arc::new(Member {
            client: Arc::new(client),
            channel_info: Some(Bytes::from_static(b"[]")),
        });
        let tags = [("b", "対"), ("a", "1")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let publication = Publication {
            channel: Channel::parse("news").unwrap(),
            event: None,
            payload: json("{\"n\":1}"),
            position: Some(Position { epoch: 255, offset: 300 }),
            delta: None,
            key: None,
            tags: Tags::new(tags),
            publisher: Some(member.clone()),
            at: 1_700_000_000_000,
            volatile: false,
            is_list: false,
        };
        Self { member, publications: vec![Arc::new(publication)], one: json("1") }
    }

    fn result(&self, name: &str) -> Outcome<'_> {
        let position = Position { epoch: 255, offset: 300 };
        match name {
            "connect" => Outcome::Connect(ConnectResult {
                client: SessionId(42),
                version: "1.0",
                ttl: Some(60),
                data: Some(&EMPTY),
                subs: vec![(
                    "server:ch",
                    SubscribeResult {
                        recoverable: true,
                        positioned: true,
                        position: Some(Position { epoch: 31, offset: 7 }),
                        ..Default::default()
                    },
                )],
                ping: 25,
                session: "s",
            }),
            "subscribe" => Outcome::Subscribe(SubscribeResult::default()),
            "subscribe_all" => Outcome::Subscribe(SubscribeResult {
                ttl: Some(1),
                recoverable: true,
                positioned: true,
                position: Some(Position { epoch: 255, offset: 299 }),
                publications: &self.publications,
                recovered: true,
                was_recovering: true,
                data: Some(&X),
                shape: Shape::Plain,
            }),
            "unsubscribe" => Outcome::Unsubscribe,
            "publish" => Outcome::Publish,
            "presence" => Outcome::Presence(std::slice::from_ref(&self.member)),
            "presence_stats" => Outcome::PresenceStats { clients: 300, users: 2 },
            "history" => Outcome::History { publications: &self.publications, position },
            "pong" => Outcome::Ping,
            "rpc" => Outcome::Rpc(&THREE),
            "refresh" => Outcome::Refresh { client: SessionId(42), version: "1.0", ttl: Some(60) },
            "sub_refresh" => Outcome::SubRefresh { ttl: Some(60) },
            _ => panic!("{name} has no meaning here"),
        }
    }

    fn push(&self, name: &str) -> Option<Push<'_>> {
        Some(match name {
            "pub" => Push::Publication(&self.publications[0], Shape::Plain),
            "pub_delta" => Push::Delta(&self.publications[0], b"7\n5@0,2:2}2yRf0W;"),
            "join" => Push::Join(&self.member),
            "leave" => Push::Leave(&self.member),
            "unsubscribed" => Push::Unsubscribe { code: 2500, reason: "insufficient state" },
            "message" => Push::Message(&EMPTY),
            "subscribed" => Push::Subscribe(SubscribeResult {
                recoverable: true,
                positioned: true,
                position: Some(Position { epoch: 255, offset: 1 }),
                data: Some(&self.one),
                ..Default::default()
            }),
            "disconnect" => Push::Disconnect { code: 3001, reason: "shutdown", reconnect: true },
            "refreshed" => Push::Refresh { ttl: Some(60) },
            _ => return None,
        })
    }

    /// What a vector says.
    fn reply(&self, name: &str, number: u64) -> Reply<'_> {
        let channel =
            if matches!(name, "message" | "disconnect" | "refreshed") { "" } else { "news" };
        let internal = Error { code: 100, message: "internal server error", temporary: true };
        match (name, self.push(name)) {
            (_, Some(push)) => Reply::Push { channel, push },
            ("ping", _) => Reply::Ping,
            ("error", _) => Reply::Error { id: id(number as u32), error: internal },
            _ => Reply::Done { id: id(number as u32), outcome: self.result(name) },
        }
    }
}

fn written(format: Format, reply: &Reply<'_>) -> Vec<u8> {
    let mut out = vec![];
    format.write(reply, &mut out);
    out
}

#[test]
fn replies_are_those_of_the_published_packages() {
    let sample = Sample::new();
    let mut count = 0;
    for (name, text, bytes) in vectors(REPLIES) {
        let expected: Value = serde_json::from_slice(&text).unwrap();
        let reply = sample.reply(name, expected["id"].as_u64().unwrap_or(1));
        let read: Value = serde_json::from_slice(&written(Format::Json, &reply)).unwrap();
        assert_eq!(read, expected, "{name}");
        assert_eq!(written(Format::Protobuf, &reply), bytes, "{name}");
        count += 1;
    }
    assert_eq!(count, 23);
}

#[track_caller]
fn data(payload: &Payload, as_json: &str, as_bytes: &[u8]) {
    let reply = Reply::Push { channel: "", push: Push::Message(payload) };
    let expected = format!("{{\"push\":{{\"message\":{{\"data\":{as_json}}}}}}}");
    assert_eq!(String::from_utf8(written(Format::Json, &reply)).unwrap(), expected);
    assert!(written(Format::Protobuf, &reply).ends_with(as_bytes), "{payload:?}");
}

#[test]
fn payloads_of_every_kind_reach_both_encodings() {
    data(&json("{\"a\": 1.0}"), "{\"a\": 1.0}", b"{\"a\": 1.0}");
    data(&json("[1,\r\n2]"), "[1,  2]", b"[1,\r\n2]");
    data(&Payload::Text("a\"b\n対".into()), "\"a\\\"b\\n対\"", "a\"b\n対".as_bytes());
    data(&Payload::Binary(Bytes::from_static(b"\0\xff")), "{\"base64\":\"AP8=\"}", b"\0\xff");
    let mixed = taiwa_core::Mixed {
        pieces: Box::new([Bytes::from_static(b"[1,"), Bytes::from_static(b"]")]),
        attachments: Box::new([Bytes::from_static(b"x")]),
    };
    let text = "[1,{\"base64\":\"eA==\"}]";
    data(&Payload::Mixed(Arc::new(mixed)), text, text.as_bytes());
}

#[test]
fn bytes_that_read_as_json_are_json() {
    for (bytes, is_json) in [
        (&b"{\"a\":1}"[..], true),
        (b" 1 ", true),
        (b"", false),
        (b"{", false),
        (b"\"\xff\"", false),
        (b"hello", false),
        (b"1 2", false),
        (&b"[".repeat(1 << 20), false),
    ] {
        let payload = payload::kind(Bytes::copy_from_slice(bytes));
        assert_eq!(matches!(payload, Payload::Json(_)), is_json, "{bytes:?}");
        assert_eq!(payload::bytes(&payload), bytes);
    }
}

#[track_caller]
fn refused(format: Format, frame: &[u8], limits: &Limits, fault: Fault) {
    let frame = Bytes::copy_from_slice(frame);
    assert_eq!(format.commands(&frame, limits), Err(fault), "{frame:?}");
}

#[test]
fn what_is_no_command_is_a_fault() {
    let limits = &LIMITS;
    for (frame, fault) in [
        ("", Fault::Malformed),
        (" \n \n", Fault::Malformed),
        ("{", Fault::Malformed),
        ("[]", Fault::Malformed),
        ("{\"id\":-1}", Fault::Malformed),
        ("{\"id\":4294967296}", Fault::Malformed),
        ("{\"id\":1}", Fault::NoRequest),
        ("{\"id\":1,\"fly\":{}}", Fault::NoRequest),
        ("{\"ping\":{}}", Fault::NoId),
        ("{}\n{\"ping\":{}}", Fault::NoId),
        ("{\"id\":1,\"publish\":{\"data\":{]}}", Fault::Malformed),
    ] {
        refused(Format::Json, frame.as_bytes(), limits, fault);
    }
    for (frame, fault) in [
        (&b""[..], Fault::Malformed),
        (b"\x05\x08\x01", Fault::Malformed),
        (b"\x02\x08\x01", Fault::NoRequest),
        (b"\x02\x5a\x00", Fault::NoId),
        (b"\x02\x58\x00", Fault::Malformed),
        (b"\x01\x07", Fault::Malformed),
        (b"\x02\x00\x00", Fault::Malformed),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", Fault::Malformed),
        (b"\x07\x08\x01\x32\x03\x0a\x01\xff", Fault::Malformed),
    ] {
        refused(Format::Protobuf, frame, limits, fault);
    }
}

#[test]
fn unknown_fields_and_empty_lines_are_ignored() {
    let ping = vec![Command::Request(id(1), Request::Ping)];
    for frame in ["\n{\"id\":1,\"new\":[{}],\"ping\":{\"x\":1}}\r\n", "{\"ping\":{},\"id\":1}"] {
        let read = Format::Json.commands(&frame.into(), &LIMITS);
        assert_eq!(read.as_ref(), Ok(&ping), "{frame}");
    }
    let frame = b"\x18\xa1\x06\0\0\0\0\0\0\0\0\x08\x01\xa5\x06\0\0\0\0\x5a\x00\xa2\x06\x01x";
    let read = Format::Protobuf.commands(&Bytes::from_static(frame), &LIMITS);
    assert_eq!(read, Ok(ping));
}

#[test]
fn limits_hold_on_either_side() {
    let limits = Limits { commands_max: 2, subs_max: 1, filter_nodes_max: 2 };
    let filter = |below: &str| {
        let leaf = "{\"key\":\"k\",\"cmp\":\"ex\"}";
        let tf = format!("{{\"op\":\"and\",\"nodes\":[{leaf}{below}]}}");
        format!("{{\"id\":1,\"subscribe\":{{\"channel\":\"a\",\"tf\":{tf}}}}}")
    };
    let sub = "{\"recover\":true}";
    let rows = [
        ("{}\n{}".to_owned(), "{}\n{}\n{}".to_owned(), "commands"),
        (
            format!("{{\"id\":1,\"connect\":{{\"subs\":{{\"a\":{sub}}}}}}}"),
            format!("{{\"id\":1,\"connect\":{{\"subs\":{{\"a\":{sub},\"b\":{sub}}}}}}}"),
            "subs",
        ),
        (filter(""), filter(",{\"op\":\"or\"}"), "filter nodes"),
    ];
    for (within, beyond, what) in rows {
        assert!(Format::Json.commands(&within.into(), &limits).is_ok(), "{what}");
        refused(Format::Json, beyond.as_bytes(), &limits, Fault::Limit(what));
    }
    let sub = b"\x1a\x07\x0a\x01a\x12\x02\x18\x01";
    let connect = |subs: usize| {
        let body = sub.repeat(subs);
        [&[body.len() as u8 + 4, 8, 1, 0x22, body.len() as u8], &body[..]].concat()
    };
    assert!(Format::Protobuf.commands(&connect(1).into(), &limits).is_ok());
    refused(Format::Protobuf, &connect(2), &limits, Fault::Limit("subs"));
    assert!(Format::Protobuf.commands(&Bytes::from_static(b"\0\0"), &limits).is_ok());
    refused(Format::Protobuf, b"\0\0\0", &limits, Fault::Limit("commands"));
    let nested = b"\x0c\x08\x01\x2a\x08\x6a\x06\x32\x04\x32\x02\x32\x00";
    refused(Format::Protobuf, nested, &limits, Fault::Limit("filter nodes"));
    let nested = b"\x0a\x08\x01\x2a\x06\x6a\x04\x32\x02\x0a\x00";
    assert!(Format::Protobuf.commands(&Bytes::from_static(nested), &limits).is_ok());
}

#[test]
fn small_payloads_do_not_hold_large_frames() {
    let frame = Bytes::from(format!(
        "{{\"id\":1,\"rpc\":{{\"data\":1}}}}\n{{\"id\":2,\"rpc\":{{\"data\":\"{}\"}}}}",
        "x".repeat(1000)
    ));
    let inside = |it: &Bytes| frame.as_ptr_range().contains(&it.as_ptr());
    let read = Format::Json.commands(&frame, &LIMITS).unwrap();
    let kept: Vec<bool> = read
        .iter()
        .map(|it| match it {
            Command::Request(_, Request::Rpc { data: Payload::Json(bytes), .. }) => inside(bytes),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(kept, [false, true]);
}

#[test]
fn only_our_own_epochs_are_positions() {
    let found = |epoch: &str| position(7, epoch).position().map(|it| it.epoch);
    assert_eq!(found(&epoch_text(u64::MAX)), Some(u64::MAX));
    assert_eq!(found("1f"), Some(31));
    for epoch in ["", "_", "+1f", "1F", "01f", "10000000000000000", "対"] {
        assert_eq!(found(epoch), None, "{epoch}");
    }
}

/// A little generator, so that every run sees the same nonsense.
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
}

#[test]
fn nonsense_never_panics_and_mostly_is_a_fault() {
    let mut seeded = Seeded(0x7a69_7761);
    let (mut read, mut refused) = (0, 0);
    for (_, text, bytes) in vectors(COMMANDS) {
        for (format, frame) in [(Format::Json, text), (Format::Protobuf, bytes)] {
            for _ in 0..500 {
                let mut frame = frame.to_vec();
                for _ in 0..=seeded.below(3) {
                    let at = seeded.below(frame.len() + 1);
                    match seeded.below(4) {
                        0 => frame.truncate(at),
                        1 => frame.insert(at, seeded.next() as u8),
                        2 if at < frame.len() => frame[at] ^= 1 << seeded.below(8),
                        _ => frame.extend_from_within(..at),
                    }
                }
                match format.commands(&frame.into(), &LIMITS) {
                    Ok(_) => read += 1,
                    Err(_) => refused += 1,
                }
            }
        }
    }
    assert!(refused > read && read > 100, "{read} read, {refused} refused");
}
