//! Sessions that are kept and taken up again, whole or anew.

use taiwa_core::{Command, Link, Payload, RefusalKind, Resumed, Subscribe};

use super::house::{House, Who, hearing, open, saying, words};
use crate::{Limits, Order, Settings, Which, Whom, settings::Slow};

fn quiet() -> Settings {
    open(|it| it.join_leave = false)
}

/// A house with two who publish and hear, and the key of the second one.
fn house(settings: Settings, seed: u64) -> (House, Who, Who, taiwa_core::ResumeKey) {
    let mut house = House::new(3, settings, seed);
    let (ada, bob) = (house.join(0, "ada"), house.join(1, "bob"));
    let key = house.keep(bob, 60);
    house.hear(bob, "a");
    (house, ada, bob, key)
}

#[test]
fn a_session_goes_on_where_its_client_stopped_reading() {
    // It comes back to the shard it was on, or to another, which sends it there.
    for shard in [1, 2] {
        let (mut house, ada, bob, key) = house(quiet(), 1);
        for text in ["1", "2"] {
            house.say(ada, "a", text);
        }
        assert_eq!(house.heard(bob), ["said a@1 1 #1", "said a@2 2 #2"]);
        assert!(house.lose_line(bob));
        assert_eq!(house.kept(), 1);
        house.say(ada, "a", "3");
        let (bob, connected) = house.come_back(shard, "bob", key, 1);
        assert_eq!(connected.resumed, Some(Resumed::Whole));
        assert_eq!((connected.session, house.kept()), (key.session, 0));
        house.say(ada, "a", "4");
        let expected = ["said a@2 2 #2", "said a@3 3 #3", "said a@4 4 #4"];
        assert_eq!(house.heard(bob), expected);
        // What was read need not be kept.
        house.ask(bob, Command::Read(4));
        assert!(house.lose_line(bob));
        let (bob, connected) = house.come_back(0, "bob", key, 4);
        assert_eq!((connected.resumed, house.heard(bob).len()), (Some(Resumed::Whole), 0));
        assert_eq!((house.counter("resumed"), house.counter("resumed_anew")), (2, 0));
        house.empty();
    }
}

#[test]
fn whoever_is_not_the_same_or_came_too_late_begins_anew() {
    let wrong =
        |key: taiwa_core::ResumeKey| taiwa_core::ResumeKey { secret: key.secret ^ 1, ..key };
    type Meanwhile = fn(&mut House, Who);
    let cases: [(&str, Meanwhile, &str, bool, u64); 6] = [
        ("another user", |_, _| {}, "ada", false, 0),
        ("a wrong secret", |_, _| {}, "bob", true, 0),
        ("a number ahead", |_, _| {}, "bob", false, 9),
        ("too late", |house, _| house.seconds(61), "bob", false, 0),
        (
            "the log overflowed",
            |house, ada| {
                for _ in 0..300 {
                    house.say(ada, "a", &"z".repeat(1000));
                }
            },
            "bob",
            false,
            0,
        ),
        (
            "it was ended meanwhile",
            |house, _| {
                let whom = Whom::User("bob".into());
                house
                    .order(
                        2,
                        Order::Disconnect { whom, which: None, why: taiwa_core::Disconnect::Done },
                    )
                    .unwrap();
            },
            "bob",
            false,
            0,
        ),
    ];
    for (case, meanwhile, user, is_wrong, read) in cases {
        let (mut house, ada, bob, key) = house(quiet(), 2);
        assert!(house.lose_line(bob), "{case}");
        meanwhile(&mut house, ada);
        let key = if is_wrong { wrong(key) } else { key };
        let (bob, connected) = house.come_back(2, user, key, read);
        assert_eq!(connected.resumed, Some(Resumed::Anew), "{case}");
        assert_ne!(connected.session, key.session, "{case}");
        house.say(ada, "a", "later");
        assert_eq!(house.heard(bob), [""; 0], "{case}: it has no subscriptions");
        house.empty();
    }
}

#[test]
fn a_session_whose_log_has_a_hole_ends_with_the_attempt() {
    let (mut house, ada, bob, key) = house(quiet(), 3);
    assert!(house.lose_line(bob));
    for _ in 0..300 {
        house.say(ada, "a", &"z".repeat(1000));
    }
    house.come_back(1, "bob", key, 0);
    assert_eq!((house.kept(), house.counter("resumed_anew")), (0, 1));
    assert_eq!(house.shards[1].info().sessions, 1);
    house.empty();
}

#[test]
fn a_second_connection_takes_over_from_one_that_is_still_there() {
    let (mut house, ada, bob, key) = house(quiet(), 4);
    house.say(ada, "a", "1");
    let (again, connected) = house.come_back(0, "bob", key, 0);
    assert_eq!(connected.resumed, Some(Resumed::Whole));
    assert_eq!(house.heard(bob), ["said a@1 1 #1", "disconnect Replaced"]);
    house.say(ada, "a", "2");
    assert_eq!(house.heard(again), ["said a@1 1 #1", "said a@2 2 #2"]);
    house.empty();
}

#[test]
fn answers_to_an_earlier_conversation_are_for_nobody() {
    for seed in 0..50 {
        let (mut house, _, bob, key) = house(quiet(), seed);
        house.ask(bob, Command::Publish(Link(0), Box::new(saying("a", "mine"))));
        house.ask(bob, Command::History(Link(0), super::house::channel("a"), Default::default()));
        assert!(house.lose_line(bob));
        let (bob, connected) = house.come_back(1, "bob", key, 0);
        assert_eq!(connected.resumed, Some(Resumed::Whole), "seed {seed}");
        assert_eq!(house.heard(bob), ["said a@1 mine #1"], "seed {seed}");
        house.empty();
    }
}

#[test]
fn a_subscription_on_its_way_when_the_line_is_lost_ends_the_session() {
    for seed in 0..20 {
        let (mut house, _, bob, key) = house(quiet(), seed);
        // Owned by another shard than bob's.
        let name = (0..).map(|it| format!("b{it}"));
        let far = |it: &String| house.shards[1].owner(&super::house::channel(it)) != 1;
        let name = name.into_iter().find(far).unwrap();
        house.ask(bob, Command::Subscribe(Link(0), Box::new(hearing(&name))));
        assert!(!house.lose_line(bob), "its client would never learn of it");
        let (_, connected) = house.come_back(1, "bob", key, 0);
        assert_eq!(connected.resumed, Some(Resumed::Anew));
        house.empty();
    }
}

#[test]
fn what_waited_for_a_slow_reader_is_in_the_log() {
    for (policy, said, whole) in
        [(Slow::DropOldest(5), 3, true), (Slow::DropOldest(2), 3, false), (Slow::Pause, 3, false)]
    {
        let settings = open(|it| (it.slow, it.join_leave) = (policy, false));
        let (mut house, ada, bob, key) = house(settings, 5);
        house.queue(bob, 2 << 20);
        for n in 1..=said {
            house.say(ada, "a", &n.to_string());
        }
        assert_eq!(house.lose_line(bob), whole, "{policy:?}");
        let (bob, connected) = house.come_back(0, "bob", key, 0);
        assert_eq!(connected.resumed == Some(Resumed::Whole), whole, "{policy:?}");
        let heard = if whole { said } else { 0 };
        assert_eq!(house.heard(bob).len(), heard, "{policy:?}");
        house.empty();
    }
}

#[test]
fn who_missed_something_because_it_was_slow_cannot_pretend_to_be_whole() {
    let settings = open(|it| (it.slow, it.join_leave) = (Slow::DropOldest(1), false));
    for (read, whole) in [(0, false), (1, false), (3, true)] {
        let (mut house, ada, bob, key) = house(settings.clone(), 6);
        house.say(ada, "a", "1");
        house.queue(bob, 2 << 20);
        for text in ["2", "3"] {
            house.say(ada, "a", text);
        }
        house.read_all(bob);
        let heard: Vec<_> = house.take(bob).iter().map(words).collect();
        // The second place in the log is of what was dropped.
        assert_eq!(heard, ["said a@1 1 #1", "missed a@3 Some(1)", "said a@3 3 #3"]);
        assert!(house.lose_line(bob));
        let (_, connected) = house.come_back(0, "bob", key, read);
        assert_eq!(connected.resumed == Some(Resumed::Whole), whole, "read {read}");
        house.empty();
    }
}

#[test]
fn who_waits_longest_goes_when_too_many_are_kept() {
    let mut settings = quiet();
    settings.limits = Limits::default().with(|it| it.kept_max = 2);
    let mut house = House::new(1, settings, 7);
    let all: Vec<_> = (0..4).map(|it| house.join(0, &it.to_string())).collect();
    let keys: Vec<_> = all.iter().map(|it| house.keep(*it, 60)).collect();
    for who in &all[..2] {
        assert!(house.lose_line(*who));
    }
    // The first comes back and goes again: now the second waits longest.
    let (first, connected) = house.come_back(0, "0", keys[0], 0);
    assert_eq!(connected.resumed, Some(Resumed::Whole));
    assert!(house.lose_line(first));
    assert!(house.lose_line(all[2]));
    assert_eq!((house.kept(), house.counter("limit_hits")), (2, 1));
    let (_, connected) = house.come_back(0, "1", keys[1], 0);
    assert_eq!(connected.resumed, Some(Resumed::Anew));
    house.empty();
}

#[test]
fn coming_and_going_often_leaves_nothing_behind() {
    let (mut house, _, mut bob, key) = house(quiet(), 8);
    for _ in 0..5000 {
        assert!(house.lose_line(bob));
        bob = house.come_back(1, "bob", key, 0).0;
        house.pass(std::time::Duration::from_millis(1));
    }
    assert!(house.shards[1].timers.len() < 3000, "{}", house.shards[1].timers.len());
    assert_eq!(house.shards[1].away.len(), 0);
    house.empty();
}

#[test]
fn a_user_with_as_many_sessions_as_may_be_can_still_come_back() {
    let mut settings = quiet();
    settings.limits = Limits::default().with(|it| it.user_sessions_max = 1);
    let (mut house, _, bob, key) = house(settings, 9);
    assert!(house.lose_line(bob));
    let (_, connected) = house.come_back(1, "bob", key, 0);
    assert_eq!(connected.resumed, Some(Resumed::Whole));
    let third = house.enter(1);
    let connect = taiwa_core::Connect { token: Some("bob".into()), ..Default::default() };
    house.ask(third, Command::Connect(Link(0), Box::new(connect)));
    assert_eq!(house.heard(third), ["disconnect Limit(\"sessions of a user\")"]);
    house.empty();
}

#[test]
fn the_sessions_of_a_user_are_counted_on_all_shards_together() {
    let mut settings = quiet();
    settings.limits = Limits::default().with(|it| it.user_sessions_max = 2);
    for seed in 0..50 {
        let mut house = House::new(4, settings.clone(), seed);
        let all = [0, 1, 2, 3].map(|shard| house.join(shard, "ada"));
        let other = house.join(0, "bob");
        house.run();
        let sent_away = |house: &mut House, who| {
            house.heard(who).contains(&"disconnect Limit(\"sessions of a user\")".to_owned())
        };
        let count = all.into_iter().filter(|it| sent_away(&mut house, *it)).count();
        assert_eq!(count, 2, "of four, with room for two");
        assert!(!sent_away(&mut house, other));
        house.empty();
    }
}

#[test]
fn an_order_that_an_absent_client_could_not_learn_of_ends_its_session() {
    let (mut house, _, bob, key) = house(quiet(), 10);
    assert!(house.lose_line(bob));
    let (whom, channel) = (Whom::User("bob".into()), super::house::channel("a"));
    let args = Payload::null().into();
    let tell = Order::Tell { whom: whom.clone(), which: Which::Usual, event: None, args };
    house.order(0, tell).unwrap();
    assert_eq!(house.kept(), 1, "what is told is for who is there");
    house.order(0, Order::Unsubscribe { whom, channel }).unwrap();
    assert_eq!(house.kept(), 0);
    let (_, connected) = house.come_back(1, "bob", key, 0);
    assert_eq!(connected.resumed, Some(Resumed::Anew));
    house.empty();
}

#[test]
fn a_call_to_who_loses_its_line_is_answered_at_once() {
    let (mut house, _, bob, _) = house(quiet(), 11);
    let session = house.id(bob);
    let call = |deadline| Order::Call {
        session,
        which: Which::Usual,
        method: "m".into(),
        args: Payload::null().into(),
        deadline: std::time::Duration::from_secs(deadline),
    };
    let id = house.begin_order(0, call(1000));
    house.run();
    assert!(house.done(0, id).is_none());
    assert!(house.lose_line(bob));
    house.run();
    let refusal = house.done(0, id).unwrap().unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::Unavailable);
    assert_eq!(house.order(0, call(9)).unwrap_err().kind, RefusalKind::Unavailable);
    house.empty();
}

#[test]
fn shared_publications_are_replayed_in_their_encoding() {
    let (mut house, ada, bob, key) = house(quiet(), 12);
    let delivery = taiwa_core::Delivery::Shared(&super::house::PLAIN);
    house.subscribe(bob, Subscribe::new(super::house::target("b"), delivery));
    assert!(house.lose_line(bob));
    house.say(ada, "b", "1");
    house.say(ada, "a", "2");
    let (bob, _) = house.come_back(1, "bob", key, 0);
    assert_eq!(house.heard(bob), ["sent b@1 1", "said a@1 2 #2"]);
    house.empty();
}
