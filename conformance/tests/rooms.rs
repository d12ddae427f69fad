//! Clients of all rooms in one channel: what each says, what each hears, and how each comes back.

use std::{sync::Arc, time::Duration};

use taiwa_conformance::house::{BANNED, End, House, Who};
use taiwa_core::{Channel, Dialect, Message, Mixed, Page, Payload, Publish, RefusalKind};
use taiwa_hub::{Done, Namespace, Order, Settings};

fn rooms() -> Vec<Box<dyn Dialect>> {
    let json = vec!["json".into()];
    vec![
        Box::new(taiwa_plain::Plain::new(taiwa_plain::Settings { json, ..Default::default() })),
        Box::new(taiwa_sse::Sse::default()),
        Box::new(taiwa_centrifuge::Centrifuge::new(Default::default())),
        Box::new(taiwa_phoenix::Phoenix::new(Default::default())),
        Box::new(taiwa_socketio::SocketIo::default()),
    ]
}

fn house() -> House {
    House::new(Settings::open(), rooms())
}

fn text(it: &str) -> Message {
    Message::Text(it.to_owned().into())
}

fn binary(it: &[u8]) -> Message {
    Message::Binary(it.to_owned().into())
}

fn publish(house: &mut House, channel: &str, payload: Payload) {
    let channel = Channel::parse(channel).unwrap();
    house.order(Order::Publish(Box::new(Publish::new(channel, payload))));
}

/// One client of each kind, in the channel `chat`, with what it heard on its way in forgotten.
struct Guests {
    plain: Who,
    echo: Who,
    events: Who,
    objects: Who,
    lines: Who,
    several: Who,
    json: Who,
    protobuf: Who,
    phoenix: Who,
    phoenix_old: Who,
}

impl Guests {
    fn invite(house: &mut House) -> Self {
        let guests = Self {
            plain: house.websocket("/chat", "").unwrap(),
            echo: house.websocket("/chat?echo=true&token=user-ada", "").unwrap(),
            events: house.get("/sse/chat", &[("accept", "text/event-stream")]).unwrap(),
            objects: house.get("/sse/chat?format=json", &[]).unwrap(),
            lines: house.get("/sse/chat", &[("accept", "application/x-ndjson")]).unwrap(),
            several: house.get("/sse/chat?channel=other", &[]).unwrap(),
            json: house.websocket("/connection/websocket", "").unwrap(),
            protobuf: house.websocket("/connection/websocket", "centrifuge-protobuf").unwrap(),
            phoenix: house.websocket("/socket/websocket?vsn=2.0.0", "").unwrap(),
            phoenix_old: house.websocket("/socket/websocket", "").unwrap(),
        };
        let commands = "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"chat\"}}";
        house.say(guests.json, text(commands));
        // Connect and subscribe, each behind its length: id 1, connect {}; id 2, subscribe { channel: "chat" }.
        let commands = b"\x04\x08\x01\x22\x00\x0a\x08\x02\x2a\x06\x0a\x04chat";
        house.say(guests.protobuf, binary(commands));
        house.say(guests.phoenix, text(r#"["1","1","chat","phx_join",{}]"#));
        let join = r#"{"topic":"chat","event":"phx_join","payload":{},"ref":"1"}"#;
        house.say(guests.phoenix_old, text(join));
        for who in guests.all() {
            house.heard(who);
            assert_eq!(house.end(who), None);
        }
        guests
    }

    fn all(&self) -> [Who; 10] {
        let Self { plain, echo, events, objects, lines, several, json, protobuf, .. } = *self;
        let Self { phoenix, phoenix_old, .. } = *self;
        [plain, echo, events, objects, lines, several, json, protobuf, phoenix, phoenix_old]
    }
}

/// Finds bytes in the only message that a client heard.
#[track_caller]
fn has(house: &mut House, who: Who, part: &[u8]) {
    let heard = house.heard(who);
    let [message] = &heard[..] else { panic!("one message was to come: {heard:?}") };
    let found = message.as_bytes().windows(part.len()).any(|it| it == part);
    assert!(found, "{message:?} has no {:?}", String::from_utf8_lossy(part));
}

#[track_caller]
fn hears(house: &mut House, who: Who, message: Message) {
    assert_eq!(house.heard(who), [message]);
}

#[test]
fn each_kind_of_payload_arrives_in_each_dialect_as_the_tables_say() {
    let mut house = house();
    let it = Guests::invite(&mut house);
    let mixed = Mixed {
        pieces: Box::new(["{\"img\":".into(), "}".into()]),
        attachments: Box::new([vec![0, 0xff, 0x10].into()]),
    };
    for (payload, plain, data, object, json, protobuf, phoenix, phoenix_old) in [
        (
            Payload::Json("{\"a\":\n1}".into()),
            text("{\"a\":\n1}"),
            "data: {\"a\":\ndata: 1}\n\n",
            "\"data\":{\"a\": 1}}",
            "\"data\":{\"a\": 1}",
            &b"{\"a\":\n1}"[..],
            &b"\"chat\",\"message\",{\"a\":\n1}]"[..],
            "{\"a\":\n1}",
        ),
        (
            Payload::Text("two\n\"lines\"".into()),
            text("two\n\"lines\""),
            "data: two\ndata: \"lines\"\n\n",
            "\"data\":\"two\\n\\\"lines\\\"\"}",
            "\"data\":\"two\\n\\\"lines\\\"\"",
            b"two\n\"lines\"",
            br#""message","two\n\"lines\""]"#,
            r#":"two\n\"lines\"""#,
        ),
        (
            Payload::Binary(vec![0, 0xff, 0x10].into()),
            binary(&[0, 0xff, 0x10]),
            "event: base64\ndata: AP8Q\n\n",
            "\"data_base64\":\"AP8Q\"}",
            "\"data\":{\"base64\":\"AP8Q\"}",
            b"\x22\x03\x00\xff\x10",
            b"\x02\x04\x07chatmessage\x00\xff\x10",
            "{\"base64\":\"AP8Q\"}",
        ),
        (
            Payload::Mixed(Arc::new(mixed)),
            text("{\"img\":\"AP8Q\"}"),
            "data: {\"img\":\"AP8Q\"}\n\n",
            "\"data\":{\"img\":\"AP8Q\"}}",
            "\"data\":{\"img\":{\"base64\":\"AP8Q\"}}",
            b"{\"img\":",
            b"\"message\",{\"img\":{\"base64\":\"AP8Q\"}}]",
            "{\"img\":{\"base64\":\"AP8Q\"}}",
        ),
    ] {
        publish(&mut house, "chat", payload);
        hears(&mut house, it.plain, plain.clone());
        hears(&mut house, it.echo, plain);
        has(&mut house, it.events, data.as_bytes());
        has(&mut house, it.several, data.as_bytes());
        has(&mut house, it.objects, object.as_bytes());
        has(&mut house, it.lines, object.as_bytes());
        has(&mut house, it.json, json.as_bytes());
        has(&mut house, it.protobuf, protobuf);
        has(&mut house, it.phoenix, phoenix);
        has(&mut house, it.phoenix_old, phoenix_old.as_bytes());
    }
}

#[test]
fn what_one_says_all_others_hear_and_it_alone_if_it_wants() {
    let mut house = house();
    let it = Guests::invite(&mut house);
    house.say(it.plain, text("hello"));
    assert_eq!(house.heard(it.plain), []);
    hears(&mut house, it.echo, text("hello"));
    has(&mut house, it.events, b"data: hello\n\n");
    has(&mut house, it.json, b"\"data\":\"hello\"");
    house.say(it.echo, binary(&[1, 2]));
    hears(&mut house, it.plain, binary(&[1, 2]));
    hears(&mut house, it.echo, binary(&[1, 2]));
    let said = "{\"id\":3,\"publish\":{\"channel\":\"chat\",\"data\":{\"from\": \"json\"}}}";
    house.say(it.json, text(said));
    hears(&mut house, it.plain, text("{\"from\": \"json\"}"));
    let heard = house.text(it.lines);
    assert!(heard.ends_with("\"data\":{\"from\": \"json\"}}\n"), "{heard}");
    for who in it.all() {
        house.heard(who);
    }
    house.say(it.phoenix, text(r#"["1","2","chat","said",{"from": "phoenix"}]"#));
    hears(&mut house, it.plain, text("{\"from\": \"phoenix\"}"));
    house.say(it.phoenix, binary(b"\x00\x01\x01\x04\x0413chatsaid\x00\xff"));
    hears(&mut house, it.plain, binary(&[0, 0xff]));
}

#[test]
fn who_leaves_is_forgotten() {
    let mut house = house();
    let it = Guests::invite(&mut house);
    assert_eq!(house.counts(), (10, 11), "one of them hears two channels");
    for who in it.all() {
        house.leave(who);
    }
    assert_eq!(house.counts(), (0, 0));
    let lone = house.websocket("/echo", "").unwrap();
    house.say(lone, text("x"));
    hears(&mut house, lone, text("x"));
    assert_eq!(house.counts(), (1, 0));
}

/// Returns the last identifier that a client of events was given.
#[track_caller]
fn last_id(heard: &str) -> String {
    heard.lines().filter_map(|it| it.strip_prefix("id: ")).next_back().unwrap().to_owned()
}

#[test]
fn who_listens_goes_on_where_it_was_in_one_channel_and_in_several() {
    for target in ["/sse/a", "/sse/a?channel=b", "/sse?channel=b&channel=c&channel=a"] {
        let mut house = house();
        let first = house.get(target, &[]).unwrap();
        publish(&mut house, "a", Payload::Text("1".into()));
        let id = last_id(&house.text(first));
        house.leave(first);
        publish(&mut house, "a", Payload::Text("2".into()));
        publish(&mut house, "b", Payload::Text("3".into()));
        let again = house.get(target, &[("last-event-id", &id)]).unwrap();
        publish(&mut house, "a", Payload::Text("4".into()));
        let heard = house.text(again);
        let mut data: Vec<&str> =
            heard.lines().filter_map(|it| it.strip_prefix("data: ")).collect();
        data.sort_unstable();
        let all: &[&str] = if target == "/sse/a" { &["2", "4"] } else { &["2", "3", "4"] };
        assert_eq!(data, all, "{target}: {heard}");
        assert!(!heard.contains("taiwa:gap"), "{heard}");
    }
}

#[test]
fn who_comes_back_too_late_is_told_of_the_gap() {
    let mut namespace = Namespace::open();
    namespace.history_size = 2;
    let settings = Settings { without_namespace: Arc::new(namespace), ..Settings::open() };
    let mut house = House::new(settings, rooms());
    let first = house.get("/sse/a", &[]).unwrap();
    let id = last_id(&house.text(first));
    for number in 0..5 {
        publish(&mut house, "a", Payload::Text(number.to_string().into()));
    }
    house.leave(first);
    let again = house.get("/sse/a", &[("last-event-id", &id)]).unwrap();
    let heard = house.text(again);
    assert!(heard.contains("event: taiwa:gap\ndata: {\"channel\":\"a\"}\n\n"), "{heard}");
    let (epoch, offset) = id.split_once('-').unwrap();
    assert_eq!((offset, last_id(&heard)), ("0", format!("{epoch}-5")));
    let stranger = house.get("/sse/a?channel=b", &[("last-event-id", "of-another")]).unwrap();
    let heard = house.text(stranger);
    assert_eq!(heard.matches("event: taiwa:gap\n").count(), 2, "{heard}");
}

#[test]
fn polls_lose_nothing_between_them() {
    let mut house = house();
    let poll = |house: &mut House, id: &str| {
        house.get(&format!("/sse/a?poll=true&lastEventId={id}"), &[]).unwrap()
    };
    let first = poll(&mut house, "");
    assert!(house.end(first).is_some(), "it is answered at once");
    let heard = house.text(first);
    let id = heard.strip_prefix("{\"id\":\"").and_then(|it| it.strip_suffix("\"}\n")).unwrap();
    let (epoch, _) = id.split_once('-').unwrap();
    for number in ["1", "2"] {
        publish(&mut house, "a", Payload::Text(number.into()));
    }
    let second = poll(&mut house, id);
    let said = |number: &str| {
        format!("{{\"channel\":\"a\",\"id\":\"{epoch}-{number}\",\"data\":\"{number}\"}}\n")
    };
    assert_eq!(house.text(second), said("1") + &said("2"));
    let third = poll(&mut house, &format!("{epoch}-2"));
    assert_eq!((house.text(third), house.end(third)), (String::new(), None));
    publish(&mut house, "a", Payload::Text("3".into()));
    assert_eq!(house.text(third), said("3"));
    assert!(house.end(third).is_some());
    let fourth = poll(&mut house, &format!("{epoch}-3"));
    house.wait(Duration::from_secs(26));
    assert_eq!(house.text(fourth), "{}\n");
    assert_eq!(house.counts(), (0, 0));
}

#[test]
fn each_room_says_no_in_its_own_words() {
    let mut house = house();
    let plain = house.websocket("/chat?token=stolen", "").unwrap();
    let reason = "not one of our tokens".to_owned();
    assert_eq!(house.end(plain), Some(&End { code: 4401, reason: reason.clone() }));
    let sse = house.get("/sse/chat?token=stolen", &[]).unwrap();
    assert_eq!((house.status(sse), house.text(sse)), (Some(401), reason + "\n"));
    let centrifuge = house.websocket("/connection/websocket", "").unwrap();
    house.say(centrifuge, text("{\"id\":1,\"connect\":{\"token\":\"stolen\"}}"));
    let code = house.end(centrifuge).map(|it| it.code);
    assert!(code.is_some_and(|it| (3500..4000).contains(&it)), "{code:?}");
    for (target, kind) in [("/.taiwa/x", RefusalKind::NotFound), ("/%ff", RefusalKind::BadRequest)]
    {
        let refused = house.websocket(target, "").err().map(|it| it.kind);
        assert_eq!(refused, Some(kind), "{target}");
    }
    assert_eq!(house.counts(), (0, 0));
}

#[test]
fn whom_the_app_sends_away_goes_whatever_it_asked_for() {
    let mut house = house();
    let reason = "banned for good".to_owned();
    let plain = house.websocket(&format!("/chat?token={BANNED}"), "").unwrap();
    assert_eq!(house.end(plain), Some(&End { code: 4007, reason: reason.clone() }));
    let token = format!("{{\"id\":1,\"connect\":{{\"token\":\"{BANNED}\"}}}}");
    let call =
        format!("{{\"id\":1,\"connect\":{{}}}}\n{{\"id\":2,\"rpc\":{{\"method\":\"{BANNED}\"}}}}");
    for commands in [token, call] {
        let centrifuge = house.websocket("/connection/websocket", "").unwrap();
        house.say(centrifuge, text(&commands));
        // Its clients stay away from 4500 on.
        let end = house.end(centrifuge).unwrap();
        assert_eq!((end.code >= 4500, &end.reason), (true, &reason));
    }
    assert_eq!(house.counts(), (0, 0));
}

#[test]
fn what_is_no_json_is_refused_where_json_alone_is_spoken() {
    let mut json = Namespace::open();
    json.payloads = taiwa_hub::settings::Payloads::Json;
    let mut settings = Settings::open();
    settings.namespaces.insert("json".into(), Arc::new(json));
    let mut house = House::new(settings, rooms());
    let listens = house.get("/sse/json:a?format=lines", &[]).unwrap();
    let speaks = house.websocket("/json:a", "").unwrap();
    house.text(listens);
    house.say(speaks, text("[1, 2]"));
    assert!(house.text(listens).ends_with("\"data\":[1, 2]}\n"));
    house.say(speaks, text("hello"));
    assert_eq!(house.end(speaks).map(|it| it.code), Some(4400));
    assert_eq!(house.text(listens), "");
}

/// Lets a client of Socket.IO come, which hears the channel `chat`.
fn socketio(house: &mut House) -> Who {
    let who = house.websocket("/socket.io/?EIO=4&transport=websocket&channel=chat", "").unwrap();
    house.say(who, text("40"));
    let heard = house.text(who);
    assert!(heard.contains("40{\"sid\":"), "{heard}");
    who
}

#[test]
fn clients_of_socketio_hear_bytes_beside_the_event_and_others_hear_them_in_their_way() {
    let mut house = house();
    let it = Guests::invite(&mut house);
    let (one, other) = (socketio(&mut house), socketio(&mut house));
    let file = Mixed {
        pieces: Box::new(["{\"img\":".into(), "}".into()]),
        attachments: Box::new([vec![0, 0xff, 0x10].into()]),
    };
    let placeholder = "{\"_placeholder\":true,\"num\":0}";
    for (payload, json) in [
        (Payload::Json("{\"a\":\n1}".into()), "42[\"message\",{\"a\":\n1}]".to_owned()),
        (Payload::Text("a \"b\"".into()), "42[\"message\",\"a \\\"b\\\"\"]".to_owned()),
        (Payload::Binary(vec![0, 0xff, 0x10].into()), format!("451-[\"message\",{placeholder}]")),
        (Payload::Mixed(Arc::new(file)), format!("451-[\"message\",{{\"img\":{placeholder}}}]")),
    ] {
        let mut due = vec![text(&json)];
        if json.starts_with("451-") {
            due.push(binary(&[0, 0xff, 0x10]));
        }
        publish(&mut house, "chat", payload);
        assert_eq!(house.heard(one), due);
        assert_eq!(house.heard(other), due);
    }
    for who in it.all() {
        house.heard(who);
    }
    house.say(one, text("420[\"taiwa:publish\",\"chat\",\"said\",1,\"two\"]"));
    hears(&mut house, other, text("42[\"said\",1,\"two\"]"));
    hears(&mut house, it.plain, text("[1,\"two\"]"));
    has(&mut house, it.phoenix, b"\"chat\",\"said\",[1,\"two\"]]");
    has(&mut house, it.events, b"event: said\ndata: [1,\"two\"]\n\n");
    house.say(one, text(&format!("451-1[\"taiwa:publish\",\"chat\",\"said\",{placeholder}]")));
    house.say(one, binary(&[7, 8]));
    hears(&mut house, it.plain, binary(&[7, 8]));
    assert_eq!(
        house.heard(other),
        [text(&format!("451-[\"said\",{placeholder}]")), binary(&[7, 8])]
    );
}

#[test]
fn all_who_ask_are_told_the_same_of_presence_and_history() {
    let mut house = house();
    let it = Guests::invite(&mut house);
    let one = socketio(&mut house);
    house.say(it.plain, text("first"));
    house.say(it.phoenix, text("[\"1\",\"2\",\"chat\",\"said\",[\"second\"]]"));
    house.say(one, text("420[\"taiwa:publish\",\"chat\",\"said\",\"third\"]"));
    for who in it.all() {
        house.heard(who);
    }
    house.heard(one);

    let channel = Channel::parse("chat").unwrap();
    let Done::Presence(members) = house.order(Order::Presence(channel.clone())) else { panic!() };
    assert_eq!(members.len(), 11);
    house.say(one, text("421[\"taiwa:presence\",\"chat\"]"));
    house.say(it.json, text("{\"id\":8,\"presence\":{\"channel\":\"chat\"}}"));
    house.say(
        it.phoenix_old,
        text("{\"topic\":\"chat\",\"event\":\"phx_join\",\"payload\":{},\"ref\":\"9\"}"),
    );
    for who in [one, it.json, it.phoenix_old] {
        let told = house.text(who);
        for member in members.iter() {
            let session = member.client.session.to_string();
            assert!(told.contains(&session), "{session} is not in {told}");
        }
    }

    let page = Page { limit: 10, ..Page::default() };
    let Done::History(history) = house.order(Order::History(channel, page)) else { panic!() };
    assert_eq!(history.publications.len(), 3);
    house.say(one, text("422[\"taiwa:history\",\"chat\"]"));
    house.say(it.json, text("{\"id\":9,\"history\":{\"channel\":\"chat\",\"limit\":10}}"));
    for who in [one, it.json] {
        let told = house.text(who);
        let places: Vec<_> =
            ["first", "second", "third"].iter().map(|it| told.find(it).unwrap()).collect();
        assert!(places.is_sorted(), "{told}");
        assert!(told.contains(&format!("\"offset\":{}", history.position.offset)), "{told}");
    }
}
