//! Orders of the server's own API, on any shard.

use taiwa_core::{Arguments, Disconnect, Page, Payload, Publish, RefusalKind};

use super::house::{House, channel, open, saying, show};
use crate::{Done, Order, Which, Whom};

fn affected(done: Result<Done, taiwa_core::Refusal>) -> usize {
    match done {
        Ok(Done::Affected(count)) => count,
        other => panic!("{other:?}"),
    }
}

#[test]
fn any_shard_takes_any_order() {
    for shard in 0..3 {
        let settings = open(|it| it.join_leave = false);
        let mut house = House::new(3, settings, 1);
        let (ada, bob) = (house.join(0, "ada"), house.join(1, "bob"));
        house.hear(ada, "a");
        house.hear(bob, "a");
        let publish = Publish { receipt: true, ..saying("a", "x") };
        match house.order(shard, Order::Publish(Box::new(publish))) {
            Ok(Done::Published(it)) => assert_eq!(it.delivered, Some(2)),
            other => panic!("{other:?}"),
        }
        match house.order(shard, Order::Counts(channel("a"))) {
            Ok(Done::Counts { sessions, users }) => assert_eq!((sessions, users), (2, 2)),
            other => panic!("{other:?}"),
        }
        match house.order(shard, Order::Presence(channel("a"))) {
            Ok(Done::Presence(all)) => assert_eq!(all.len(), 2),
            other => panic!("{other:?}"),
        }
        let page = Page { limit: 9, ..Page::default() };
        match house.order(shard, Order::History(channel("a"), page)) {
            Ok(Done::History(it)) => assert_eq!(show(&it.publications[0]), "a@1 x"),
            other => panic!("{other:?}"),
        }
        assert_eq!(affected(house.order(shard, Order::Forget(channel("a")))), 0);
        match house.order(shard, Order::Info) {
            Ok(Done::Info(all)) => {
                assert_eq!(all.len(), 3);
                let sum = |of: fn(&crate::Info) -> usize| all.iter().map(of).sum::<usize>();
                assert_eq!((sum(|it| it.sessions), sum(|it| it.subscriptions)), (2, 2));
                assert_eq!((sum(|it| it.users), sum(|it| it.channels)), (2, 1));
            }
            other => panic!("{other:?}"),
        }
        house.empty();
    }
}

#[test]
fn channels_and_sessions_are_listed_within_the_limit() {
    let mut house = House::new(3, open(|_| {}), 2);
    let all: Vec<_> = (0..6).map(|it| house.join(it % 3, ["ada", "bob"][it % 2])).collect();
    for (at, who) in all.iter().enumerate() {
        house.hear(*who, &format!("room-{}", at % 4));
        house.hear(*who, "other");
    }
    for (prefix, limit, expected) in [
        ("room-", 9, &[("room-0", 2), ("room-1", 2), ("room-2", 1), ("room-3", 1)][..]),
        ("room-", 2, &[("room-0", 2), ("room-1", 2)]),
        ("", 1, &[("other", 6)]),
        ("none", 9, &[]),
    ] {
        match house.order(1, Order::Channels { prefix: prefix.into(), limit }) {
            Ok(Done::Channels(list)) => {
                let list: Vec<_> = list.iter().map(|(name, it)| (name.as_str(), *it)).collect();
                assert_eq!(list, expected, "{prefix} {limit}");
            }
            other => panic!("{other:?}"),
        }
    }
    house.enter(0);
    for (user, limit, expected) in [(None, 99, 6), (None, 4, 4), (Some("ada"), 99, 3)] {
        match house.order(
            2,
            Order::Sessions { whom: user.map_or(Whom::All, |it| Whom::User(it.into())), limit },
        ) {
            Ok(Done::Sessions(list)) => assert_eq!(list.len(), expected, "{user:?} {limit}"),
            other => panic!("{other:?}"),
        }
    }
    house.empty();
}

#[test]
fn whom_an_order_names_is_told_or_sent_away() {
    let mut house = House::new(3, open(|_| {}), 3);
    let all: Vec<_> = (0..4).map(|it| house.join(it % 3, ["ada", "bob"][it % 2])).collect();
    let payload = || Payload::Text("hi".into());
    let one = Whom::Session(house.id(all[1]));
    let args = || payload().into();
    let tell = |whom| Order::Tell { whom, which: Which::Usual, event: None, args: args() };
    assert_eq!(affected(house.order(0, tell(one.clone()))), 1);
    assert_eq!(affected(house.order(0, tell(Whom::User("ada".into())))), 2);
    assert_eq!(affected(house.order(0, tell(Whom::All))), 4);
    assert_eq!(house.heard(all[1]), ["told hi", "told hi"]);
    let away = |whom| Order::Disconnect { whom, which: None, why: Disconnect::Revoked };
    assert_eq!(affected(house.order(2, away(one.clone()))), 1);
    assert_eq!(house.heard(all[1]), ["disconnect Revoked"]);
    assert_eq!(affected(house.order(2, away(one))), 0, "it is going already");
    assert_eq!(affected(house.order(2, away(Whom::All))), 3);
    house.empty();
}

#[test]
fn an_order_for_all_is_done_in_pieces() {
    let mut house = House::new(1, open(|_| {}), 4);
    let all: Vec<_> = (0..2500).map(|_| house.join(0, "")).collect();
    let why = Disconnect::Shutdown(None);
    let id = house.begin_order(0, Order::Disconnect { whom: Whom::All, which: None, why });
    let gone = |house: &House| all.iter().filter(|it| house.saw_anything(**it)).count();
    assert_eq!(gone(&house), 1000);
    house.pass(std::time::Duration::from_millis(1));
    assert_eq!(gone(&house), 2000);
    assert!(house.done(0, id).is_none());
    house.pass(std::time::Duration::from_millis(1));
    assert_eq!(gone(&house), 2500);
    assert_eq!(affected(house.done(0, id).unwrap()), 2500);
    house.empty();
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut settings = open(|_| {});
    settings.unknown_namespaces = None;
    let mut house = House::new(2, settings, 5);
    let nowhere = taiwa_core::SessionId(u128::MAX);
    let call = Order::Call {
        session: nowhere,
        which: Which::Usual,
        method: "m".into(),
        args: Payload::null().into(),
        deadline: std::time::Duration::from_secs(1),
    };
    let whom = Whom::Session(nowhere);
    let args = Arguments { payload: Payload::Text("[1]".into()), is_list: true };
    let tell = |args| {
        let (whom, which) = (whom.clone(), Which::Usual);
        Order::Tell { whom, which, event: None, args }
    };
    let large = saying("a", &"z".repeat(2 << 20));
    for (order, kind) in [
        (Order::Publish(Box::new(saying("no:a", "x"))), RefusalKind::NotFound),
        (Order::Publish(Box::new(large)), RefusalKind::Limit),
        (Order::Presence(channel("no:a")), RefusalKind::NotFound),
        (call, RefusalKind::NotFound),
        (tell(Payload::null().into()), RefusalKind::NotFound),
        (tell(args), RefusalKind::BadRequest),
    ] {
        let text = format!("{order:?}").chars().take(80).collect::<String>();
        assert_eq!(house.order(0, order).unwrap_err().kind, kind, "{text}");
    }
    house.empty();
}
