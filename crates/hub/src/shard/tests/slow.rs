//! Subscribers who read too slowly: each policy, what they are told, and what it costs.

use taiwa_core::{Delivery, Filter, Publish, Subscribe, Tags};

use super::house::{House, PLAIN, Who, hearing, open, saying, target};
use crate::{Namespace, settings::Slow};

/// So much waits that no more is to be sent.
const FULL: usize = 2 << 20;

fn slow(policy: Slow) -> impl FnOnce(&mut Namespace) {
    move |it| (it.slow, it.join_leave) = (policy, false)
}

fn say_all(house: &mut House, who: Who, all: &[&str]) {
    for text in all {
        house.say(who, "a", text);
    }
}

#[test]
fn who_is_too_slow_is_sent_away_and_recovers_later() {
    let mut house = House::new(2, open(slow(Slow::Disconnect)), 1);
    let (ada, bob) = (house.join(0, ""), house.join(1, ""));
    let since = house.subscribe(bob, hearing("a")).position;
    house.queue(bob, FULL);
    say_all(&mut house, ada, &["1", "2"]);
    assert_eq!(house.heard(bob), ["disconnect Slow"]);
    house.depart(bob);
    let bob = house.join(0, "");
    let told = house.subscribe(bob, Subscribe { since, ..hearing("a") });
    assert_eq!(super::house::recovered(&told), "whole 1,2");
    assert_eq!(house.counter("slow_disconnected"), 1);
    house.empty();
}

#[test]
fn the_oldest_are_dropped_and_it_is_told_how_many() {
    let mut house = House::new(2, open(slow(Slow::DropOldest(2))), 2);
    let (ada, bob) = (house.join(0, ""), house.join(1, ""));
    house.subscribe(bob, Subscribe::new(target("a"), Delivery::Shared(&PLAIN)));
    say_all(&mut house, ada, &["1"]);
    house.queue(bob, FULL);
    say_all(&mut house, ada, &["2", "3", "4", "5"]);
    assert_eq!(house.heard(bob), ["sent a@1 1"]);
    house.read_all(bob);
    assert_eq!(house.heard(bob), ["missed a@4 Some(2)", "sent a@4 4", "sent a@5 5"]);
    say_all(&mut house, ada, &["6"]);
    assert_eq!(house.heard(bob), ["sent a@6 6"]);
    assert_eq!(house.counter("slow_dropped"), 2);
    house.empty();
}

#[test]
fn of_each_key_the_latest_is_kept() {
    let mut house = House::new(2, open(slow(Slow::KeepLatest(2))), 3);
    let (ada, bob) = (house.join(0, ""), house.join(1, ""));
    house.hear(bob, "a");
    house.queue(bob, FULL);
    for (key, text) in [("x", "x1"), ("y", "y1"), ("x", "x2"), ("z", "z1"), ("x", "x3")] {
        house.publish(ada, Publish { key: Some(key.into()), ..saying("a", text) }).unwrap();
    }
    house.read_all(bob);
    // y was the oldest of three keys.
    assert_eq!(house.heard(bob), ["missed a@4 Some(1)", "said a@4 z1", "said a@5 x3"]);
    assert_eq!((house.counter("slow_replaced"), house.counter("slow_dropped")), (2, 1));
    house.empty();
}

#[test]
fn equal_keys_of_different_channels_are_different() {
    let mut house = House::new(2, open(slow(Slow::KeepLatest(9))), 4);
    let (ada, bob) = (house.join(0, ""), house.join(1, ""));
    let pattern = taiwa_core::Pattern::parse("", taiwa_core::Syntax::Prefix).unwrap();
    let wish = Subscribe::new(taiwa_core::Target::Pattern(pattern), Delivery::Personal);
    house.subscribe(bob, wish);
    house.queue(bob, FULL);
    for name in ["a", "b", "a"] {
        house.publish(ada, Publish { key: Some("k".into()), ..saying(name, name) }).unwrap();
    }
    house.read_all(bob);
    assert_eq!(house.heard(bob), ["said b@1 b via ", "said a@2 a via "]);
    house.empty();
}

#[test]
fn who_was_paused_catches_up_from_the_history_or_is_told_of_the_gap() {
    for (size, positioned, expected) in [
        (10, false, &["said a@2 2", "said a@3 3", "said a@4 4"][..]),
        (2, false, &["missed a@4 Some(3)"]),
        (2, true, &["missed a@4 None"]),
    ] {
        let settings = open(|it| {
            slow(Slow::Pause)(it);
            it.history_size = size;
        });
        let mut house = House::new(3, settings, 5);
        let (ada, bob) = (house.join(0, ""), house.join(1, ""));
        house.subscribe(bob, Subscribe { positioned, ..hearing("a") });
        say_all(&mut house, ada, &["1"]);
        house.queue(bob, FULL);
        say_all(&mut house, ada, &["2", "3", "4"]);
        assert_eq!(house.heard(bob), ["said a@1 1"]);
        house.read_all(bob);
        house.run();
        assert_eq!(house.heard(bob), expected);
        say_all(&mut house, ada, &["5"]);
        assert_eq!(house.heard(bob), ["said a@5 5"]);
        assert_eq!(house.counter("slow_paused"), 1);
        house.empty();
    }
}

#[test]
fn what_is_said_while_the_history_is_asked_comes_once() {
    for seed in 0..100 {
        let mut house = House::new(3, open(slow(Slow::Pause)), seed);
        let (ada, bob) = (house.join(0, ""), house.join(1, ""));
        house.hear(bob, "a");
        house.queue(bob, FULL);
        say_all(&mut house, ada, &["1", "2"]);
        house.read_all(bob);
        for text in ["3", "4"] {
            let publish =
                taiwa_core::Command::Publish(taiwa_core::Link(0), Box::new(saying("a", text)));
            house.ask(ada, publish);
            house.step();
        }
        house.run();
        let expected = ["said a@1 1", "said a@2 2", "said a@3 3", "said a@4 4"];
        assert_eq!(house.heard(bob), expected, "seed {seed}");
        house.empty();
    }
}

#[test]
fn a_paused_pattern_has_no_history_and_is_told_so() {
    let mut house = House::new(2, open(slow(Slow::Pause)), 6);
    let (ada, bob) = (house.join(0, ""), house.join(1, ""));
    let pattern = taiwa_core::Pattern::parse("a", taiwa_core::Syntax::Prefix).unwrap();
    let wish = Subscribe::new(taiwa_core::Target::Pattern(pattern), Delivery::Personal);
    house.subscribe(bob, wish);
    house.queue(bob, FULL);
    say_all(&mut house, ada, &["1", "2"]);
    house.read_all(bob);
    say_all(&mut house, ada, &["3"]);
    assert_eq!(house.heard(bob), ["missed a Some(2)", "said a@3 3 via a"]);
    house.empty();
}

#[test]
fn catching_up_respects_the_filter_and_the_room_that_there_is() {
    let settings = open(|it| {
        slow(Slow::Pause)(it);
        it.queue_bytes_max = 2000;
    });
    let mut house = House::new(2, settings, 7);
    let (ada, bob) = (house.join(0, ""), house.join(1, ""));
    let filter = Some(Filter::Exists("x".into()));
    house.subscribe(bob, Subscribe { filter, ..hearing("a") });
    house.queue(bob, FULL);
    for n in 0..9 {
        let tags = Tags::new([((if n % 3 == 0 { "y" } else { "x" }).to_owned(), String::new())]);
        house.publish(ada, Publish { tags, ..saying("a", &"z".repeat(900)) }).unwrap();
    }
    let mut turns = vec![];
    for _ in 0..10 {
        house.read_all(bob);
        house.run();
        turns.push(house.heard(bob).len());
    }
    assert_eq!(turns.iter().sum::<usize>(), 6);
    assert!(turns.iter().all(|it| *it <= 2), "{turns:?}");
    house.empty();
}

#[test]
fn what_is_kept_for_a_slow_reader_is_bounded_by_its_bytes() {
    let settings = open(|it| {
        slow(Slow::DropOldest(1000))(it);
        it.queue_bytes_max = 10_000;
    });
    let mut house = House::new(1, settings, 8);
    let (ada, bob) = (house.join(0, ""), house.join(0, ""));
    house.hear(bob, "a");
    house.queue(bob, FULL);
    for _ in 0..100 {
        house.say(ada, "a", &"z".repeat(900));
    }
    let (_, audience) = house.shards[0].audiences.iter().next().unwrap();
    let behind = audience.subscribers.get(0).unwrap().behind.as_ref().unwrap();
    assert!(behind.bytes <= 10_000 && behind.waiting.len() < 12, "{behind:?}");
    assert_eq!(behind.missed + behind.waiting.len() as u64, 100);
    house.empty();
}

#[test]
fn who_reads_nothing_is_not_told_who_comes_and_goes() {
    for (policy, expected) in [(Slow::DropOldest(9), 0), (Slow::Disconnect, 1)] {
        let mut house = House::new(1, open(|it| it.slow = policy), 9);
        let (ada, bob) = (house.join(0, ""), house.join(0, ""));
        house.subscribe(bob, Subscribe { join_leave: true, ..hearing("a") });
        house.queue(bob, FULL);
        house.heard(bob);
        house.hear(ada, "a");
        assert_eq!(house.heard(bob).len(), expected, "{policy:?}");
        house.empty();
    }
}

#[test]
fn a_publisher_is_held_up_for_who_is_behind_and_not_for_ever() {
    let settings = open(|it| {
        slow(Slow::Pause)(it);
        it.hold = std::time::Duration::from_secs(2);
    });
    let mut house = House::new(3, settings, 10);
    let (ada, bob) = (house.join(0, ""), house.join(1, ""));
    house.hear(bob, "a");
    say_all(&mut house, ada, &["1"]);
    assert_eq!(house.held(ada), None);
    // More than half of what may wait does.
    house.queue(bob, 600 << 10);
    for _ in 0..2 {
        say_all(&mut house, ada, &["2"]);
        assert_eq!(house.held(ada), Some(std::time::Duration::from_millis(10)));
        house.pass(std::time::Duration::from_millis(900));
    }
    for _ in 0..3 {
        say_all(&mut house, ada, &["3"]);
        house.pass(std::time::Duration::from_millis(900));
    }
    house.held(ada);
    say_all(&mut house, ada, &["4"]);
    assert_eq!(house.held(ada), None, "who stays behind holds nobody up");
    // Whoever was not crowded for a while is held for anew.
    house.seconds(2);
    say_all(&mut house, ada, &["5"]);
    assert!(house.held(ada).is_some());
    house.empty();
}
