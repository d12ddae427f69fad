//! The same scenes for every room: a client connects, joins, publishes to all, leaves, is refused, resumes, is slow, silent,
//! speaks nonsense, is sent away. Each room gives its words; what is expected is one table.

mod words;

mod plain;
mod sse;
mod centrifuge;
mod phoenix;
mod socketio;

use std::{sync::Arc, time::Duration};

use taiwa_conformance::house::House;
use taiwa_core::{Channel, Dialect, Disconnect, Payload, Publish};
use taiwa_hub::{Namespace, Order, Settings, Whom, settings::Payloads};

use words::{Guest, Room, Wish};

const ROOMS: &[Room] = &[
    plain::ROOM,
    sse::EVENTS,
    sse::POLLS,
    centrifuge::JSON,
    centrifuge::PROTOBUF,
    phoenix::V2,
    phoenix::V1,
    phoenix::POLLS,
    socketio::WEBSOCKET,
    socketio::POLLING,
    socketio::OLD,
    socketio::MSGPACK,
];

const CHANNEL: &str = "json:scene";
const WISH: Wish = Wish { channel: CHANNEL, token: None, past: None };

fn dialects() -> Vec<Box<dyn Dialect>> {
    let json = vec!["json".into()];
    let mut socketio = taiwa_socketio::Settings::default();
    socketio.recovery = Some(Duration::from_secs(120));
    vec![
        Box::new(taiwa_plain::Plain::new(taiwa_plain::Settings { json, ..Default::default() })),
        Box::new(taiwa_sse::Sse::default()),
        Box::new(taiwa_centrifuge::Centrifuge::new(Default::default())),
        Box::new(taiwa_phoenix::Phoenix::new(Default::default())),
        Box::new(taiwa_socketio::SocketIo::new(socketio)),
    ]
}

fn house() -> House {
    let namespace = Namespace { payloads: Payloads::Json, ..Namespace::open() };
    let mut settings = Settings::open();
    settings.namespaces.insert("json".into(), Arc::new(namespace));
    House::new(settings, dialects())
}

/// Has the API say something in the channel.
fn publish(house: &mut House, json: &str) {
    let channel = Channel::parse(CHANNEL).unwrap();
    house.order(Order::Publish(Box::new(Publish::new(
        channel,
        Payload::Json(json.to_owned().into()),
    ))));
}

/// Plays a scene for each room, in a house of its own, with a client that has come.
fn each(scene: impl Fn(&Room, &mut House, &mut dyn Guest)) {
    for room in ROOMS {
        let mut house = house();
        let mut guest = (room.come)(&mut house, WISH);
        assert_eq!(guest.hears(&mut house), [""; 0], "{}: before anything was said", room.name);
        scene(room, &mut house, &mut *guest);
    }
}

/// Complains unless a client was sent away with these words, or is still there if there are none.
#[track_caller]
fn ends(room: &Room, house: &mut House, guest: &mut dyn Guest, words: Option<&str>) {
    let told = guest.last_words(house);
    match words {
        Some(words) => {
            let is_so = told.as_ref().is_some_and(|it| it.contains(words));
            // Where one connection has several scopes, it may stay for a while without any.
            house.wait(Duration::from_secs(60));
            assert!(is_so, "{}: it was told {told:?} where {words:?} was due", room.name);
            assert_eq!(house.counts(), (0, 0), "{}: it is gone", room.name);
        }
        None => {
            assert_eq!(told, None, "{}", room.name);
            publish(house, "\"still there\"");
            assert_eq!(guest.hears(house), ["\"still there\""], "{}", room.name);
        }
    }
}

#[test]
fn who_connects_and_joins_is_one_session_with_its_channel() {
    each(|room, house, guest| {
        assert_eq!(house.counts().0, 1, "{}", room.name);
        publish(house, "{\"n\":1}");
        publish(house, "[2]");
        assert_eq!(guest.hears(house), ["{\"n\":1}", "[2]"], "{}", room.name);
        assert_eq!(guest.last_words(house), None, "{}", room.name);
    });
}

#[test]
fn what_one_publishes_all_others_hear_in_order() {
    for room in ROOMS.iter().filter(|it| it.publishes) {
        let mut house = house();
        let mut all: Vec<_> = ROOMS.iter().map(|it| (it, (it.come)(&mut house, WISH))).collect();
        let mut one = (room.come)(&mut house, WISH);
        for (_, guest) in &mut all {
            guest.hears(&mut house);
        }
        let said = ["{\"from\":\"対話\"}", "null", "\"text\""];
        for json in said {
            one.says(&mut house, json);
        }
        for (other, guest) in &mut all {
            assert_eq!(guest.hears(&mut house), said, "{} from {}", other.name, room.name);
        }
    }
}

#[test]
fn who_leaves_hears_no_more_and_is_forgotten() {
    each(|room, house, guest| {
        if room.unsubscribes {
            guest.unsubscribes(house);
            publish(house, "1");
            assert_eq!(guest.hears(house), [""; 0], "{}", room.name);
            assert_eq!(house.counts().0, 1, "{}", room.name);
        }
        guest.vanishes(house);
        // Who may come back is kept for a while.
        house.wait(Duration::from_secs(600));
        assert_eq!(house.counts(), (0, 0), "{}", room.name);
    });
}

#[test]
fn who_is_nobody_we_know_is_refused_in_the_words_of_the_room() {
    for room in ROOMS {
        let mut house = house();
        let mut guest = (room.come)(&mut house, Wish { token: Some("stolen"), ..WISH });
        publish(&mut house, "1");
        assert_eq!(guest.hears(&mut house), [""; 0], "{}", room.name);
        ends(room, &mut house, &mut *guest, room.refused);
        let mut friend = (room.come)(&mut house, Wish { token: Some("user-ada"), ..WISH });
        ends(room, &mut house, &mut *friend, None);
    }
}

#[test]
fn who_comes_back_hears_what_was_missed_in_order_and_once() {
    each(|room, house, guest| {
        publish(house, "1");
        assert_eq!(guest.hears(house), ["1"], "{}", room.name);
        let past = guest.past();
        assert_eq!(past.is_some(), room.resumes, "{}", room.name);
        guest.vanishes(house);
        publish(house, "2");
        publish(house, "3");
        let mut again = (room.come)(house, Wish { past: past.as_deref(), ..WISH });
        publish(house, "4");
        let due: &[&str] = if room.resumes { &["2", "3", "4"] } else { &["4"] };
        assert_eq!(again.hears(house), due, "{}", room.name);
    });
}

#[test]
fn who_reads_too_slowly_is_sent_away() {
    each(|room, house, guest| {
        guest.stalls(house);
        publish(house, "1");
        publish(house, "2");
        if room.slow.is_some() {
            ends(room, house, guest, room.slow);
        }
    });
}

#[test]
fn who_falls_silent_is_missed_where_the_room_asks_for_a_sign() {
    each(|room, house, guest| {
        for _ in 0..600 {
            house.wait(Duration::from_secs(1));
            if room.silent.is_none() {
                assert_eq!(guest.hears(house), [""; 0], "{}", room.name);
            }
        }
        ends(room, house, guest, room.silent);
    });
}

#[test]
fn who_answers_stays_however_little_is_said() {
    each(|room, house, guest| {
        for _ in 0..600 {
            house.wait(Duration::from_secs(1));
            assert_eq!(guest.hears(house), [""; 0], "{}", room.name);
        }
        ends(room, house, guest, None);
    });
}

#[test]
fn who_speaks_nonsense_harms_himself_alone() {
    each(|room, house, guest| {
        let mut other = (room.come)(house, WISH);
        guest.babbles(house);
        let told = guest.last_words(house);
        let is_due = match room.babbling {
            Some(words) => told.as_ref().is_some_and(|it| it.contains(words)),
            None => told.is_none(),
        };
        assert!(is_due, "{}: it was told {told:?}", room.name);
        publish(house, "1");
        assert_eq!(other.hears(house), ["1"], "{}", room.name);
        if room.babbling.is_none() {
            assert_eq!(guest.hears(house), ["1"], "{}", room.name);
        }
        // What is kept of a session is so for two minutes.
        for _ in 0..150 {
            house.wait(Duration::from_secs(1));
            other.hears(house);
            if room.babbling.is_none() {
                guest.hears(house);
            }
        }
        assert_eq!(house.counts().0, if room.babbling.is_some() { 1 } else { 2 }, "{}", room.name);
    });
}

#[test]
fn whom_the_api_sends_away_is_told_so_and_gone() {
    each(|room, house, guest| {
        let why = Disconnect::App { code: 4123, reason: "enough".into(), may_return: false };
        house.order(Order::Disconnect { whom: Whom::All, which: None, why });
        ends(room, house, guest, room.closed);
    });
}
