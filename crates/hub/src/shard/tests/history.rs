//! Reading the history, and recovering from it.

use std::time::Duration;

use taiwa_core::{Command, Link, Page, Payload, Position, Publish, RefusalKind, Reply, Subscribe};

use super::house::{House, Who, behind, channel, hearing, open, recovered, text};
use crate::{Limits, Order, settings::Recovery};

fn read(house: &mut House, who: Who, page: Page) -> Result<String, RefusalKind> {
    match house.get(who, Command::History(Link(0), channel("a"), page)) {
        Ok(Reply::History(it)) => {
            let all: Vec<_> = it.publications.iter().map(|it| text(&it.payload)).collect();
            Ok(format!("{} of {}", all.join(","), it.position.offset))
        }
        Ok(other) => panic!("{other:?}"),
        Err(refusal) => Err(refusal.kind),
    }
}

fn position(house: &mut House, who: Who) -> Position {
    let page = Page { limit: 0, ..Page::default() };
    match house.get(who, Command::History(Link(0), channel("a"), page)) {
        Ok(Reply::History(it)) => it.position,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_history_is_read_in_pages_both_ways() {
    let mut settings = open(|it| (it.history_size, it.join_leave) = (5, false));
    settings.limits = Limits::default().with(|it| it.page_max = 4);
    let mut house = House::new(2, settings, 1);
    let ada = house.join(0, "");
    for n in 1..=7 {
        house.say(ada, "a", &n.to_string());
    }
    let epoch = position(&mut house, ada).epoch;
    let at = |offset| Some(Position { epoch, offset });
    for (since, limit, reverse, expected) in [
        (None, 0, false, " of 7"),
        (None, 2, false, "3,4 of 7"),
        (at(4), 2, false, "5,6 of 7"),
        (at(6), 2, false, "7 of 7"),
        (at(7), 2, false, " of 7"),
        (None, 9, false, "3,4,5,6 of 7"),
        (None, 2, true, "7,6 of 7"),
        (at(6), 2, true, "5,4 of 7"),
        (at(4), 2, true, "3 of 7"),
        (at(1), 2, true, " of 7"),
        (at(99), 2, true, "7,6 of 7"),
    ] {
        let page = Page { since, limit, reverse };
        assert_eq!(read(&mut house, ada, page), Ok(expected.into()), "{page:?}");
    }
    let elsewhere =
        Page { since: Some(Position { epoch: epoch + 1, offset: 1 }), ..Page::default() };
    assert_eq!(read(&mut house, ada, elsewhere), Err(RefusalKind::Unrecoverable));
    house.empty();
}

#[test]
fn a_channel_without_history_says_so() {
    let mut house = House::new(1, open(|it| it.history_size = 0), 2);
    let ada = house.join(0, "");
    assert_eq!(house.say(ada, "a", "x").position, None);
    assert_eq!(read(&mut house, ada, Page::default()), Err(RefusalKind::NotAvailable));
    let told = house.subscribe(ada, hearing("a"));
    assert_eq!((told.position, told.recoverable, told.positioned), (None, false, false));
    house.empty();
}

#[test]
fn recovery_says_honestly_what_became_of_a_position() {
    // How many were said, how many the history keeps, what the client has, what it is told.
    for (said, size, offset, expected) in [
        (3, 10, 0, "whole 1,2,3"),
        (3, 10, 2, "whole 3"),
        (3, 10, 3, "whole"),
        (3, 10, 4, "gap 1,2,3"),
        (5, 2, 3, "whole 4,5"),
        (5, 2, 2, "gap 4,5"),
        (5, 2, 5, "whole"),
    ] {
        let settings = open(|it| (it.history_size, it.join_leave) = (size, false));
        let mut house = House::new(3, settings, 3);
        let (ada, bob) = (house.join(0, ""), house.join(1, ""));
        let first = house.subscribe(ada, hearing("a"));
        for n in 1..=said {
            house.say(bob, "a", &n.to_string());
        }
        let since = behind(&first, offset);
        let told = house.subscribe(bob, Subscribe { since, ..hearing("a") });
        assert_eq!(recovered(&told), expected, "{said} {size} {offset}");
        assert_eq!(told.position, behind(&first, said));
        let (whole, gaps) = (house.counter("recovered"), house.counter("gaps"));
        assert_eq!((whole, gaps), if expected.starts_with("whole") { (1, 0) } else { (0, 1) });
        house.empty();
    }
}

#[test]
fn another_epoch_is_a_gap_and_nothing_asked_is_nothing_told() {
    let mut house = House::new(2, open(|it| it.join_leave = false), 4);
    let (ada, bob) = (house.join(0, ""), house.join(1, ""));
    house.say(ada, "a", "1");
    let since = Some(Position { epoch: 1, offset: 1 });
    let told = house.subscribe(bob, Subscribe { since, ..hearing("a") });
    assert_eq!(recovered(&told), "gap 1");
    assert_ne!(told.position.unwrap().epoch, 0);
    assert_eq!(recovered(&house.subscribe(ada, hearing("a"))), "not asked");
    house.empty();
}

#[test]
fn what_was_forgotten_or_is_too_old_is_a_gap() {
    let mut house = House::new(2, open(|it| it.join_leave = false), 5);
    let (ada, bob) = (house.join(0, ""), house.join(1, ""));
    let since = house.subscribe(bob, hearing("a")).position;
    house.say(ada, "a", "1");
    house.unsubscribe(bob, "a");
    house.order(0, Order::Forget(channel("a"))).unwrap();
    let again = |house: &mut House| {
        let told = house.subscribe(bob, Subscribe { since, ..hearing("a") });
        house.unsubscribe(bob, "a");
        recovered(&told)
    };
    assert_eq!(again(&mut house), "gap");
    house.say(ada, "a", "2");
    house.seconds(301);
    assert_eq!(again(&mut house), "gap");
    house.empty();
}

#[test]
fn an_epoch_outlives_its_last_subscriber_for_a_while() {
    let settings = open(|it| {
        (it.epoch_ttl, it.join_leave) = (Duration::from_secs(1000), false);
    });
    let mut house = House::new(2, settings, 6);
    let ada = house.join(0, "");
    let since = house.subscribe(ada, hearing("a")).position;
    // Nothing is said for long, and somebody is there.
    house.seconds(5000);
    house.unsubscribe(ada, "a");
    house.seconds(900);
    let told = house.subscribe(ada, Subscribe { since, ..hearing("a") });
    assert_eq!((recovered(&told), told.position), ("whole".into(), since));
    house.unsubscribe(ada, "a");
    house.seconds(1100);
    let told = house.subscribe(ada, Subscribe { since, ..hearing("a") });
    assert_eq!(recovered(&told), "gap");
    house.empty();
}

#[test]
fn a_channel_that_keeps_its_last_value_begins_with_it() {
    let settings = open(|it| (it.recovery, it.join_leave) = (Recovery::Last, false));
    let mut house = House::new(2, settings, 7);
    let (ada, bob) = (house.join(0, ""), house.join(1, ""));
    let last = || Subscribe { last: true, ..hearing("a") };
    assert_eq!(recovered(&house.subscribe(bob, last())), "whole");
    house.unsubscribe(bob, "a");
    house.say(ada, "a", "1");
    house.say(ada, "a", "2");
    let told = house.subscribe(bob, last());
    assert_eq!(recovered(&told), "whole 2");
    house.unsubscribe(bob, "a");
    // Who has it already is not told again, unless there is a newer one.
    let since = told.position;
    let told = house.subscribe(bob, Subscribe { since, ..last() });
    assert_eq!(recovered(&told), "whole");
    house.unsubscribe(bob, "a");
    house.say(ada, "a", "3");
    let told = house.subscribe(bob, Subscribe { since, ..last() });
    assert_eq!(recovered(&told), "whole 3");
    assert_eq!(recovered(&house.subscribe(ada, hearing("a"))), "not asked");
    house.empty();
}

#[test]
fn a_channel_without_recovery_is_honest_about_it() {
    let settings = open(|it| it.recovery = Recovery::Off);
    let mut house = House::new(1, settings, 8);
    let ada = house.join(0, "");
    let since = Some(Position { epoch: 1, offset: 0 });
    let told = house.subscribe(ada, Subscribe { since, ..hearing("a") });
    assert_eq!((recovered(&told), told.recoverable), ("gap".into(), false));
    house.empty();
}

#[test]
fn asking_who_is_there_makes_no_channel() {
    let mut house = House::new(1, open(|_| {}), 9);
    let ada = house.join(0, "");
    for n in 0..10 {
        let name = channel(&format!("no-{n}"));
        house.get(ada, Command::Counts(Link(0), name.clone())).unwrap();
        house.get(ada, Command::Presence(Link(0), name)).unwrap();
    }
    assert_eq!(house.shards[0].info().channels, 0);
    house.empty();
}

#[test]
fn what_is_volatile_is_no_last_value_and_is_not_recovered() {
    for recovery in [Recovery::Last, Recovery::Stream] {
        let settings = open(|it| (it.recovery, it.join_leave) = (recovery, false));
        let mut house = House::new(2, settings, 8);
        let (ada, bob) = (house.join(0, ""), house.join(1, ""));
        let flash = |house: &mut House, text: &'static str| {
            let volatile = Publish {
                volatile: true,
                ..Publish::new(channel("a"), Payload::Text(text.into()))
            };
            house.publish(ada, volatile).unwrap();
        };
        let since = house.subscribe(bob, hearing("a")).position;
        flash(&mut house, "nothing");
        house.say(ada, "a", "1");
        flash(&mut house, "nothing");
        assert_eq!(house.heard(bob), ["said a nothing", "said a@1 1", "said a nothing"]);
        house.unsubscribe(bob, "a");
        let told = house.subscribe(bob, Subscribe { since, last: true, ..hearing("a") });
        assert_eq!(recovered(&told), "whole 1", "{recovery:?}");
        assert_eq!(told.position.map(|it| it.offset), Some(1));
        assert_eq!(
            read(&mut house, ada, Page { limit: 9, ..Page::default() }),
            Ok("1 of 1".into())
        );
        house.empty();
    }
}
