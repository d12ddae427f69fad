//! Limits and rates, each with its one consequence.

use taiwa_core::{Command, Connect, Link, Publish, RefusalKind, Tags};

use super::house::{House, hearing, open, saying};
use crate::{Limits, Settings};

fn with(change: impl FnOnce(&mut Limits)) -> Settings {
    let mut settings = open(|_| {});
    settings.limits = Limits::default().with(change);
    settings
}

fn kind<T>(it: Result<T, taiwa_core::Refusal>) -> Option<RefusalKind> {
    it.err().map(|it| it.kind)
}

const LIMIT: Option<RefusalKind> = Some(RefusalKind::Limit);

#[test]
fn one_session_too_many_finds_no_seat() {
    let mut house = House::new(1, with(|it| it.sessions_max = 2), 1);
    let first = house.join(0, "");
    house.join(0, "");
    let arrival = crate::Arrival { dialect: "test", address: None };
    assert!(!house.may_enter(arrival));
    assert_eq!(house.counter("limit_hits"), 1);
    house.depart(first);
    assert!(house.may_enter(arrival));
}

#[test]
fn one_subscription_link_or_channel_too_many_is_refused() {
    let limits = with(|it| (it.subscriptions_max, it.links_max) = (2, 2));
    let mut house = House::new(1, limits, 2);
    let ada = house.join(0, "ada");
    house.hear(ada, "a");
    house.hear(ada, "b");
    assert_eq!(kind(house.try_subscribe(ada, hearing("c"))), LIMIT);
    let again = kind(house.try_subscribe(ada, hearing("a")));
    assert_eq!(again, Some(RefusalKind::AlreadySubscribed));
    let link = |it| Command::Connect(Link(it), Box::<Connect>::default());
    house.get(ada, link(1)).unwrap();
    assert_eq!(kind(house.get(ada, link(2))), LIMIT);
    assert_eq!(house.counter("limit_hits"), 2);
    house.empty();
    let mut house = House::new(1, with(|it| it.channels_max = 2), 2);
    let ada = house.join(0, "ada");
    house.hear(ada, "a");
    house.hear(ada, "b");
    assert_eq!(kind(house.try_subscribe(ada, hearing("c"))), LIMIT);
    assert_eq!(kind(house.publish(ada, saying("c", "x"))), LIMIT);
    house.empty();
}

#[test]
fn one_subscriber_of_a_channel_too_many_is_refused() {
    let mut house = House::new(3, open(|it| it.subscribers_max = 2), 3);
    let all: Vec<_> = (0..3).map(|it| house.join(it, "")).collect();
    house.hear(all[0], "a");
    house.hear(all[1], "a");
    assert_eq!(kind(house.try_subscribe(all[2], hearing("a"))), LIMIT);
    house.unsubscribe(all[0], "a");
    house.hear(all[2], "a");
    house.empty();
}

#[test]
fn what_is_too_large_is_refused() {
    let limits = with(|it| {
        (it.payload_bytes_max, it.name_bytes_max, it.tags_max) = (10, 4, 1);
    });
    let mut house = House::new(1, limits, 4);
    let ada = house.join(0, "ada");
    let long = || Some("12345".into());
    let tags = |all: &[&str]| Tags::new(all.iter().map(|it| ((*it).to_owned(), String::new())));
    for publish in [
        saying("a", "12345678901"),
        Publish { event: long(), ..saying("a", "x") },
        Publish { id: long(), ..saying("a", "x") },
        Publish { key: long(), ..saying("a", "x") },
        Publish { tags: tags(&["1", "2"]), ..saying("a", "x") },
        Publish { tags: tags(&[&"z".repeat(257)]), ..saying("a", "x") },
    ] {
        let text = format!("{publish:?}");
        assert_eq!(kind(house.publish(ada, publish)), LIMIT, "{text}");
    }
    let call = |method: &str, text: &str| {
        let payload = taiwa_core::Payload::Text(text.to_owned().into());
        Command::Call(Link(0), method.into(), payload)
    };
    assert_eq!(kind(house.get(ada, call("12345", ""))), LIMIT);
    assert_eq!(kind(house.get(ada, call("m", "12345678901"))), LIMIT);
    assert_eq!(kind(house.get(ada, call("m", "1234567890"))), None);
    house.say(ada, "a", "1234567890");
    house.empty();
}

#[test]
fn who_commands_too_fast_is_sent_away_and_who_publishes_too_fast_is_refused() {
    let limits = with(|it| (it.commands_per_second, it.publications_per_second) = (50, 2));
    let mut house = House::new(1, limits, 5);
    let ada = house.join(0, "ada");
    for _ in 0..4 {
        house.say(ada, "a", "x");
    }
    let refusal = house.publish(ada, saying("a", "x")).unwrap_err();
    let RefusalKind::Rate(wait) = refusal.kind else { panic!("{refusal:?}") };
    house.pass(wait);
    house.say(ada, "a", "x");
    assert_eq!(house.counter("rate_refused"), 1);
    for _ in 0..100 {
        house.ask(ada, Command::Read(0));
    }
    assert_eq!(house.heard(ada), ["disconnect Rate"]);
    assert_eq!(house.counter("rate_disconnected"), 1);
    house.empty();
}

#[test]
fn a_channel_has_a_rate_of_its_own_also_without_a_subscriber() {
    for size in [0, 10] {
        let settings = open(|it| (it.publications_per_second, it.history_size) = (2, size));
        let mut house = House::new(2, settings, 6);
        let (ada, bob) = (house.join(0, "ada"), house.join(1, "bob"));
        house.say(ada, "a", "x");
        house.say(bob, "a", "x");
        let refused = kind(house.publish(ada, saying("a", "x")));
        assert!(matches!(refused, Some(RefusalKind::Rate(_))), "{size}: {refused:?}");
        house.say(ada, "b", "x");
        house.seconds(1);
        house.say(ada, "a", "x");
        house.empty();
    }
}
