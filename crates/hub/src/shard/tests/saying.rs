//! Publishing: order, echo, exceptions, receipts, identifiers, tags, deltas, kinds of payload.

use taiwa_core::{Command, Delivery, Filter, Link, Payload, Publish, RefusalKind, Subscribe, Tags};

use super::house::{House, OTHER, PLAIN, channel, hearing, open, saying, target};
use crate::{Order, Settings, settings::Payloads};

fn tagged(text: &str, key: &str, value: &str) -> Publish {
    let tags = Tags::new([(key.to_owned(), value.to_owned())]);
    Publish { tags, ..saying("a", text) }
}

#[test]
fn everyone_hears_everything_in_one_order_on_all_shards() {
    let mut house = House::new(4, open(|it| it.join_leave = false), 1);
    let all: Vec<_> = (0..8).map(|it| house.join(it % 4, "")).collect();
    for who in &all {
        house.hear(*who, "a");
    }
    for (at, who) in all.iter().enumerate() {
        house.ask(*who, Command::Publish(Link(0), Box::new(saying("a", &at.to_string()))));
    }
    house.run();
    let heard: Vec<_> = all.iter().map(|it| house.heard(*it)).collect();
    for one in &heard {
        let said: Vec<_> = one.iter().filter(|it| it.starts_with("said")).collect();
        let first: Vec<_> = heard[0].iter().filter(|it| it.starts_with("said")).collect();
        assert_eq!(said.len(), 8);
        assert_eq!(said, first);
        assert_eq!(one.iter().filter(|it| *it == "reply published").count(), 1);
    }
    assert_eq!((house.counter("published"), house.counter("delivered")), (8, 64));
    house.empty();
}

#[test]
fn echo_and_exceptions_leave_out_whom_they_name() {
    let mut house = House::new(2, open(|it| it.join_leave = false), 2);
    let (ada, bob, cyd) = (house.join(0, "ada"), house.join(1, "bob"), house.join(0, "cyd"));
    house.subscribe(ada, Subscribe { echo: false, ..hearing("a") });
    house.hear(bob, "a");
    house.hear(cyd, "a");
    let published = house.publish(ada, Publish { receipt: true, ..saying("a", "one") }).unwrap();
    assert_eq!(published.delivered, Some(2));
    let except = vec![house.id(cyd), house.id(bob)];
    house.publish(bob, Publish { except, ..saying("a", "two") }).unwrap();
    assert_eq!(house.heard(ada), ["said a@2 two"]);
    assert_eq!(house.heard(bob), ["said a@1 one"]);
    assert_eq!(house.heard(cyd), ["said a@1 one"]);
    house.empty();
}

#[test]
fn who_subscribes_to_an_excepted_channel_hears_nothing_on_that_link() {
    let mut house = House::new(3, open(|it| (it.join_leave, it.patterns) = (false, true)), 2);
    let (ada, bob, cyd) = (house.join(0, "ada"), house.join(1, "bob"), house.join(2, "cyd"));
    for who in [ada, bob, cyd] {
        house.hear(who, "a");
    }
    house.hear(bob, "vip");
    house.hear(cyd, "staff");
    // A second link of cyd hears it all the same: it does not subscribe to what is excepted.
    house.get(cyd, Command::Connect(Link(1), Box::default())).unwrap();
    house.get(cyd, Command::Subscribe(Link(1), Box::new(hearing("a")))).unwrap();
    let except = |names: &[&str]| names.iter().map(|it| channel(it)).collect::<Vec<_>>();
    let but = |names: &[&str], text: &str| Publish {
        except_channels: except(names),
        receipt: true,
        ..saying("a", text)
    };
    assert_eq!(house.publish(ada, but(&["vip", "nobody"], "1")).unwrap().delivered, Some(3));
    assert_eq!(house.publish(ada, but(&["vip", "staff"], "2")).unwrap().delivered, Some(2));
    house.unsubscribe(bob, "vip");
    assert_eq!(house.publish(ada, but(&["vip"], "3")).unwrap().delivered, Some(4));
    assert_eq!(house.heard(ada), ["said a@1 1", "said a@2 2", "said a@3 3"]);
    assert_eq!(house.heard(bob), ["said a@3 3"]);
    let of_cyd = ["said a@1 1", "said a@1 1", "said a@2 2", "said a@3 3", "said a@3 3"];
    assert_eq!(house.heard(cyd), of_cyd);
    // To patterns, too.
    let pattern = taiwa_core::Pattern::parse("", taiwa_core::Syntax::Prefix).unwrap();
    let pattern = taiwa_core::Target::Pattern(pattern);
    house.subscribe(bob, Subscribe { target: pattern, ..hearing("a") });
    house.unsubscribe(bob, "a");
    house.hear(bob, "vip");
    house.publish(ada, but(&["vip"], "4")).unwrap();
    assert_eq!(house.heard(bob), [""; 0]);
    let many: Vec<_> = (0..65).map(|it| format!("c{it}")).collect();
    let many: Vec<_> = many.iter().map(|it| &**it).collect();
    let refused = house.publish(ada, but(&many, "5")).unwrap_err();
    assert_eq!(refused.kind, RefusalKind::Limit);
    house.publish(ada, but(&many[..64], "5")).unwrap();
    house.empty();
}

#[test]
fn what_is_volatile_reaches_only_who_can_take_it_at_once() {
    let mut house = House::new(2, open(|it| it.join_leave = false), 3);
    let (ada, bob, cyd) = (house.join(0, "ada"), house.join(1, "bob"), house.join(0, "cyd"));
    let key = house.keep(cyd, 60);
    for who in [ada, bob, cyd] {
        house.hear(who, "a");
    }
    let volatile = |text| Publish { volatile: true, receipt: true, ..saying("a", text) };
    let told = house.publish(ada, volatile("1")).unwrap();
    assert_eq!((told.delivered, told.position), (Some(3), None), "it is in no history");
    house.queue(bob, 1);
    assert!(house.lose_line(cyd));
    assert_eq!(house.publish(ada, volatile("2")).unwrap().delivered, Some(1));
    house.say(ada, "a", "3");
    house.read_all(bob);
    house.publish(ada, volatile("4")).unwrap();
    assert_eq!(house.heard(ada), ["said a 1", "said a 2", "said a@1 3", "said a 4"]);
    assert_eq!(house.heard(bob), ["said a 1", "said a@1 3", "said a 4"]);
    // It takes no number of a session's log.
    assert_eq!(house.heard(cyd), ["said a 1"]);
    let (cyd, connected) = house.come_back(0, "cyd", key, 0);
    assert_eq!(connected.resumed, Some(taiwa_core::Resumed::Whole));
    assert_eq!(house.heard(cyd), ["said a@1 3 #1"]);
    house.empty();
}

#[test]
fn what_is_volatile_waits_for_nobody_who_lags_behind() {
    use crate::settings::Slow;
    for slow in [Slow::Disconnect, Slow::DropOldest(9), Slow::KeepLatest(9), Slow::Pause] {
        let settings = open(|it| {
            (it.slow, it.queue_bytes_max, it.join_leave, it.hold) =
                (slow, 1000, false, std::time::Duration::ZERO);
        });
        let mut house = House::new(2, settings, 4);
        let (ada, bob) = (house.join(0, "ada"), house.join(1, "bob"));
        house.hear(bob, "a");
        house.queue(bob, 2000);
        house.publish(ada, Publish { volatile: true, ..saying("a", "1") }).unwrap();
        assert_eq!(house.heard(bob), [""; 0], "{slow:?}: it is not sent away for it, either");
        if slow != Slow::Disconnect {
            house.say(ada, "a", "2");
            house.publish(ada, Publish { volatile: true, ..saying("a", "3") }).unwrap();
            house.read_all(bob);
            house.run();
            assert_eq!(house.heard(bob), ["said a@1 2"], "{slow:?}");
        }
        house.empty();
    }
}

#[test]
fn a_list_of_arguments_is_a_json_array() {
    let mut house = House::new(2, open(|_| {}), 5);
    let ada = house.join(0, "ada");
    let mixed = |first: &'static str| {
        let pieces = [first.into(), "]".into()];
        let (pieces, attachments) = (pieces.into(), Box::from(["x".into()]));
        Payload::Mixed(std::sync::Arc::new(taiwa_core::Mixed { pieces, attachments }))
    };
    for (payload, is_list) in [
        (Payload::Json("[1,2]".into()), true),
        (Payload::Json(" \n[]".into()), true),
        (mixed("[1,"), true),
        (Payload::Json(r#"{"a":[]}"#.into()), false),
        (Payload::Json("1".into()), false),
        (Payload::Text("[1]".into()), false),
        (Payload::Binary("[1]".into()), false),
        (mixed(r#"{"a":["#), false),
    ] {
        let publish = Publish { is_list: true, ..Publish::new(channel("a"), payload.clone()) };
        let answer = house.publish(ada, publish).map_err(|it| it.kind);
        let expected = if is_list { None } else { Some(RefusalKind::BadRequest) };
        assert_eq!(answer.err(), expected, "{payload:?}");
    }
    house.empty();
}

#[test]
fn a_receipt_counts_the_subscribers_of_all_shards() {
    let mut house = House::new(4, open(|it| it.patterns = true), 3);
    let all: Vec<_> = (0..7).map(|it| house.join(it % 4, "")).collect();
    let receipt = || Publish { receipt: true, ..saying("a", "x") };
    assert_eq!(house.publish(all[0], receipt()).unwrap().delivered, Some(0));
    for who in &all[1..] {
        house.hear(*who, "a");
    }
    assert_eq!(house.publish(all[0], receipt()).unwrap().delivered, Some(6));
    assert_eq!(house.publish(all[0], saying("a", "x")).unwrap().delivered, None);
    house.depart(all[3]);
    assert_eq!(house.publish(all[0], receipt()).unwrap().delivered, Some(5));
    house.empty();
}

#[test]
fn what_has_the_same_identifier_is_said_once_within_its_window() {
    let mut house = House::new(2, open(|it| it.join_leave = false), 4);
    let (ada, bob) = (house.join(0, ""), house.join(1, ""));
    house.hear(bob, "a");
    let named = |id: &str| Publish { id: Some(id.into()), ..saying("a", id) };
    let first = house.publish(ada, named("1")).unwrap();
    let again = house.publish(ada, named("1")).unwrap();
    assert_eq!((first.repeated, again.repeated, again.position), (false, true, first.position));
    house.publish(ada, named("2")).unwrap();
    assert_eq!(house.heard(bob), ["said a@1 1", "said a@2 2"]);
    assert_eq!(house.counter("repeated"), 1);
    house.seconds(301);
    assert!(!house.publish(ada, named("1")).unwrap().repeated);
    house.empty();
}

#[test]
fn tags_choose_what_arrives_live_and_out_of_the_history() {
    let mut house = House::new(2, open(|it| it.join_leave = false), 5);
    let (ada, bob) = (house.join(0, ""), house.join(1, ""));
    let red = || Some(Filter::Equals("color".into(), "red".into()));
    let told = house.subscribe(bob, Subscribe { filter: red(), ..hearing("a") });
    for (text, color) in [("1", "red"), ("2", "blue"), ("3", "red")] {
        house.publish(ada, tagged(text, "color", color)).unwrap();
    }
    assert_eq!(house.heard(bob), ["said a@1 1", "said a@3 3"]);
    house.unsubscribe(bob, "a");
    let wish = Subscribe { filter: red(), since: told.position, ..hearing("a") };
    assert_eq!(super::house::recovered(&house.subscribe(bob, wish)), "whole 1,3");
    let broken = Some(Filter::And(Box::new([])));
    let refused = house.try_subscribe(ada, Subscribe { filter: broken, ..hearing("a") });
    assert_eq!(refused.unwrap_err().kind, RefusalKind::BadRequest);
    house.empty();
}

fn by_delta(name: &str) -> Subscribe {
    let delivery = Delivery::Shared(&PLAIN);
    Subscribe { delta: Some(delivery), ..Subscribe::new(target(name), delivery) }
}

#[test]
fn a_delta_comes_only_to_who_has_the_one_before() {
    let mut house = House::new(2, open(|it| (it.delta, it.join_leave) = (true, false)), 6);
    let (ada, bob, cyd) = (house.join(0, ""), house.join(1, ""), house.join(0, ""));
    let long = |end: &str| format!("{}{end}", "long ".repeat(20));
    let sent = |at, end: &str, how: &str| format!("sent a@{at} {}{how}", long(end));
    assert!(house.subscribe(bob, by_delta("a")).delta);
    house.say(ada, "a", &long("1"));
    house.say(ada, "a", &long("2"));
    assert_eq!(house.heard(bob), [sent(1, "1", ""), sent(2, "2", " by delta")]);
    // Whoever comes later has nothing to build on.
    house.subscribe(cyd, by_delta("a"));
    house.say(ada, "a", &long("3"));
    assert_eq!(house.heard(cyd), [sent(3, "3", "")]);
    // What has no place in the history is the last that a client got, and nothing builds on it.
    house.publish(ada, Publish { transient: true, ..saying("a", "by the way") }).unwrap();
    house.say(ada, "a", &long("4"));
    house.say(ada, "a", &long("5"));
    let tail = ["sent a by the way".into(), sent(4, "4", ""), sent(5, "5", " by delta")];
    assert_eq!(house.heard(cyd), tail);
    // Whoever recovered the newest one builds on that.
    let since = house.subscribe(ada, by_delta("a")).position;
    house.say(bob, "a", &long("6"));
    house.unsubscribe(ada, "a");
    house.heard(ada);
    house.subscribe(ada, Subscribe { since, ..by_delta("a") });
    house.say(bob, "a", &long("7"));
    assert_eq!(house.heard(ada), [sent(7, "7", " by delta")]);
    house.empty();
}

#[test]
fn nothing_builds_on_what_a_filter_left_out() {
    let mut house = House::new(1, open(|it| (it.delta, it.join_leave) = (true, false)), 7);
    let (ada, bob) = (house.join(0, ""), house.join(0, ""));
    let filter = Some(Filter::Exists("x".into()));
    house.subscribe(bob, Subscribe { filter, ..by_delta("a") });
    let long = "long ".repeat(20);
    for (end, key) in [("1", "x"), ("2", "y"), ("3", "x"), ("4", "x")] {
        house.publish(ada, tagged(&format!("{long}{end}"), key, "")).unwrap();
    }
    let expected = ["@1 1", "@3 3", "@4 4 by delta"].map(|it| {
        let (at, end) = it.split_once(' ').unwrap();
        format!("sent a{at} {long}{end}")
    });
    assert_eq!(house.heard(bob), expected);
    house.empty();
}

#[test]
fn each_encoding_is_written_once_for_all() {
    let mut house = House::new(1, open(|it| it.join_leave = false), 8);
    let all: Vec<_> = (0..5).map(|_| house.join(0, "")).collect();
    for (at, who) in all.iter().enumerate() {
        let encoding = if at % 2 == 0 { &PLAIN } else { &OTHER };
        house.subscribe(*who, Subscribe::new(target("a"), Delivery::Shared(encoding)));
    }
    house.say(all[0], "a", "x");
    for who in all {
        assert_eq!(house.heard(who), ["sent a@1 x"]);
    }
    house.empty();
}

#[test]
fn payloads_are_of_the_kind_that_the_namespace_takes() {
    let json = || Payload::Json("1".into());
    let (text, binary) = (|| Payload::Text("1".into()), || Payload::Binary("1".into()));
    for (kinds, payload, fits) in [
        (Payloads::Any, json(), true),
        (Payloads::Any, binary(), true),
        (Payloads::Json, json(), true),
        (Payloads::Json, text(), false),
        (Payloads::Json, binary(), false),
        (Payloads::Binary, binary(), true),
        (Payloads::Binary, json(), false),
    ] {
        let mut house = House::new(1, open(|it| it.payloads = kinds), 9);
        let ada = house.join(0, "");
        let publish = Publish::new(channel("a"), payload);
        let kind = house.publish(ada, publish.clone()).err().map(|it| it.kind);
        assert_eq!(kind, (!fits).then_some(RefusalKind::BadRequest), "{kinds:?} {publish:?}");
        let ordered = house.order(0, Order::Publish(Box::new(publish)));
        assert_eq!(ordered.is_ok(), fits);
        house.empty();
    }
}

#[test]
fn the_publisher_is_named_where_the_namespace_wants_it() {
    for named in [true, false] {
        let mut settings = Settings::open();
        let namespace = crate::Namespace { publisher: named, ..crate::Namespace::open() };
        settings.without_namespace = namespace.into();
        let mut house = House::new(2, settings, 10);
        let (ada, bob) = (house.join(0, "ada"), house.join(1, "bob"));
        house.hear(bob, "a");
        house.take(bob);
        house.say(ada, "a", "x");
        let heard = house.take(bob);
        let [super::house::Heard::Event(taiwa_core::Event::Said(_, _, said, 0))] = &heard[..]
        else {
            panic!("{heard:?}");
        };
        let user = said.publisher.as_ref().and_then(|it| it.client.user.clone());
        assert_eq!(user.is_some(), named);
        house.empty();
    }
}
