//! Subscriptions to patterns.

use taiwa_core::{
    Command, Delivery, Link, Pattern, Publish, RefusalKind, Subscribe, Syntax, Target,
};

use super::house::{House, PLAIN, hearing, open, saying};
use crate::{Settings, settings::Rule};

fn pattern(text: &str, syntax: Syntax) -> Subscribe {
    let pattern = Pattern::parse(text, syntax).unwrap();
    Subscribe::new(Target::Pattern(pattern), Delivery::Personal)
}

fn quiet() -> Settings {
    open(|it| it.join_leave = false)
}

#[test]
fn patterns_of_each_syntax_bring_what_matches_from_all_shards() {
    for (text, syntax, matching, other) in [
        ("a/+/c", Syntax::Levels, "a/b/c", "a/b/d"),
        ("a/#", Syntax::Levels, "a/b/c", "b/a"),
        ("ticks.*.eur", Syntax::Words, "ticks.gold.eur", "ticks.gold.usd"),
        ("news:**", Syntax::Words, "news:a:b", "old:a"),
        ("ab", Syntax::Prefix, "abc", "acb"),
        ("", Syntax::Prefix, "all", ""),
    ] {
        let mut house = House::new(4, quiet(), 1);
        let (ada, bob) = (house.join(0, ""), house.join(3, ""));
        house.subscribe(bob, pattern(text, syntax));
        house.say(ada, matching, "yes");
        if !other.is_empty() {
            house.say(ada, other, "no");
        }
        assert_eq!(house.heard(bob), [format!("said {matching}@1 yes via {text}")], "{text}");
        let pattern = Pattern::parse(text, syntax).unwrap();
        house.get(bob, Command::Unsubscribe(Link(0), Target::Pattern(pattern))).unwrap();
        house.say(ada, matching, "later");
        assert_eq!(house.heard(bob), [""; 0], "{text}");
        house.empty();
    }
}

#[test]
fn what_comes_by_two_subscriptions_comes_twice_unless_once_was_asked_for() {
    for (once, expected) in [(false, 2), (true, 1)] {
        let mut house = House::new(2, quiet(), 2);
        let (ada, bob) = (house.join(0, ""), house.join(1, ""));
        house.subscribe(bob, Subscribe { once, ..hearing("a") });
        house.subscribe(bob, Subscribe { once, ..pattern("a", Syntax::Prefix) });
        let receipt = Publish { receipt: true, ..saying("a", "x") };
        let delivered = house.publish(ada, receipt).unwrap().delivered;
        assert_eq!(delivered, Some(expected));
        assert_eq!(house.heard(bob).len() as u64, expected);
        house.empty();
    }
}

#[test]
fn patterns_bring_only_what_their_namespace_lets_out_and_have_a_rule() {
    let mut settings = open(|it| (it.patterns, it.join_leave) = (false, false));
    settings.patterns = Rule::Users;
    let mut house = House::new(2, settings, 3);
    let (nobody, ada) = (house.join(0, ""), house.join(1, "ada"));
    let refusal = house.try_subscribe(nobody, pattern("", Syntax::Prefix)).unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::Forbidden);
    let told = house.subscribe(ada, pattern("", Syntax::Prefix));
    assert_eq!((told.position, told.recoverable), (None, false));
    house.say(nobody, "a", "x");
    assert_eq!(house.heard(ada), [""; 0]);
    house.empty();
}

#[test]
fn patterns_bring_nothing_that_one_might_not_subscribe_to() {
    for (subscribe, patterns, expected) in [
        (Rule::All, Rule::All, 1),
        (Rule::Users, Rule::All, 0),
        (Rule::Users, Rule::Users, 1),
        (Rule::Named, Rule::All, 0),
        (Rule::Token, Rule::All, 0),
        (Rule::App, Rule::All, 0),
        (Rule::Nobody, Rule::All, 0),
    ] {
        let mut settings = open(|it| it.subscribe = subscribe.clone());
        settings.patterns = patterns.clone();
        let mut house = House::new(2, settings, 1);
        let (ada, bob) = (house.join(0, "ada"), house.join(1, "bob"));
        house.subscribe(ada, pattern("d:*", Syntax::Words));
        house.say(bob, "d:secret", "x");
        assert_eq!(house.heard(ada).len(), expected, "{subscribe:?} {patterns:?}");
        house.empty();
    }
}

#[test]
fn patterns_know_filters_echo_and_shared_encodings() {
    let mut house = House::new(2, quiet(), 4);
    let (ada, bob) = (house.join(0, ""), house.join(1, ""));
    let filter = Some(taiwa_core::Filter::Exists("x".into()));
    let delivery = Delivery::Shared(&PLAIN);
    house.subscribe(bob, Subscribe { filter, delivery, ..pattern("a", Syntax::Prefix) });
    house.subscribe(ada, Subscribe { echo: false, ..pattern("a", Syntax::Prefix) });
    let tags = taiwa_core::Tags::new([("x".to_owned(), String::new())]);
    house.publish(ada, Publish { tags, ..saying("a1", "yes") }).unwrap();
    house.say(ada, "a2", "no");
    assert_eq!(house.heard(bob), ["sent a1@1 yes"]);
    assert_eq!(house.heard(ada), [""; 0]);
    house.empty();
}

#[test]
fn patterns_that_come_and_go_in_any_order_leave_nothing() {
    for seed in 0..200 {
        let mut house = House::new(3, quiet(), seed);
        let all: Vec<_> = (0..4).map(|it| house.join(it % 3, "")).collect();
        for _ in 0..30 {
            let who = all[house.dice.below(4)];
            let wish = pattern(["a", "b"][house.dice.below(2)], Syntax::Prefix);
            let command = match house.dice.below(3) {
                0 => Command::Subscribe(Link(0), Box::new(wish)),
                1 => Command::Unsubscribe(Link(0), wish.target),
                _ => Command::Publish(Link(0), Box::new(saying("ab", "x"))),
            };
            house.ask(who, command);
            house.step();
        }
        house.empty();
    }
}
