//! Who may do what: each rule for each operation, namespaces, and what needs a connection first.

use taiwa_core::{Command, Link, Page, RefusalKind, Subscribe};

use super::house::{House, Who, authorized, channel, friendly, hearing, open, refused, saying};
use crate::{Settings, settings::Rule};

fn outcome<T>(it: Result<T, taiwa_core::Refusal>) -> Option<RefusalKind> {
    it.err().map(|it| it.kind)
}

#[test]
fn each_rule_lets_in_whom_it_names() {
    use RefusalKind::{Forbidden, NotFound};
    let no = Some(Forbidden);
    // Nobody, a user, and the user in the channel's name; who has a token for it; the app's yes and no.
    for (rule, nobody, user, named, token) in [
        (Rule::Nobody, no, no, no, None),
        (Rule::All, None, None, None, None),
        (Rule::Users, no, None, None, None),
        (Rule::Named, no, no, None, None),
        (Rule::Token, no, no, no, None),
        (Rule::Subscribers, no, no, no, None),
        (Rule::App, Some(NotFound), None, None, None),
    ] {
        let app = |question: &taiwa_core::Question| match question {
            taiwa_core::Question::Subscribe { who, token: None, .. } if who.user.is_none() => {
                Some(Err(refused(NotFound)))
            }
            _ => friendly(question),
        };
        let rules = open(|it| it.subscribe = rule.clone());
        let mut house = House::with_app(2, rules, 1, app);
        let (stranger, bob, ada) = (house.join(0, ""), house.join(1, "bob"), house.join(0, "ada"));
        let name = "talk#cyd,ada";
        for (who, expected) in [(stranger, nobody), (bob, user), (ada, named)] {
            let outcome = outcome(house.try_subscribe(who, hearing(name)));
            assert_eq!(outcome, expected, "{rule:?} {who:?}");
        }
        let dave = house.join(0, "dave");
        let wish = Subscribe { token: Some("t".into()), ..hearing(name) };
        assert_eq!(outcome(house.try_subscribe(dave, wish)), token, "{rule:?} with a token");
        house.empty();
    }
}

#[test]
fn speaking_reading_and_looking_have_rules_of_their_own() {
    let no = Some(RefusalKind::Forbidden);
    for (rule, stranger, user, subscriber) in [
        (Rule::Nobody, no, no, no),
        (Rule::All, None, None, None),
        (Rule::Users, no, None, None),
        (Rule::Named, no, no, no),
        (Rule::Subscribers, no, no, None),
        // Here one subscribes without a token.
        (Rule::Token, no, no, no),
    ] {
        let settings = open(|it| {
            (it.publish, it.history_rule, it.presence_rule) =
                (rule.clone(), rule.clone(), rule.clone());
        });
        let mut house = House::new(2, settings, 2);
        let (nobody, bob, ada) = (house.join(0, ""), house.join(1, "bob"), house.join(1, "ada"));
        house.hear(ada, "a");
        for (who, expected) in [(nobody, stranger), (bob, user), (ada, subscriber)] {
            assert_eq!(outcome(house.publish(who, saying("a", "x"))), expected, "{rule:?} publish");
            for command in [
                Command::History(Link(0), channel("a"), Page { limit: 1, ..Page::default() }),
                Command::Presence(Link(0), channel("a")),
                Command::Counts(Link(0), channel("a")),
            ] {
                let text = format!("{rule:?} {who:?} {command:?}");
                assert_eq!(outcome(house.get(who, command)), expected, "{text}");
            }
        }
        house.empty();
    }
}

#[test]
fn the_app_may_change_what_is_published_or_forbid_it() {
    let mut house =
        House::with_app(2, open(|it| it.publish = Rule::App), 3, |question| match question {
            taiwa_core::Question::Publish { publish, .. } => {
                let mut publish = publish.clone();
                if super::house::text(&publish.payload) == "bad" {
                    return Some(Err(refused(RefusalKind::App)));
                }
                publish.payload = taiwa_core::Payload::Text("better".into());
                Some(Ok(taiwa_core::Answer::Publish(publish)))
            }
            _ => friendly(question),
        });
    let ada = house.join(0, "ada");
    house.hear(ada, "a");
    assert_eq!(outcome(house.publish(ada, saying("a", "bad"))), Some(RefusalKind::App));
    house.say(ada, "a", "good");
    assert_eq!(house.heard(ada), ["said a@1 better"]);
    assert_eq!(house.counter("refused_publications"), 1);
    house.empty();
}

#[test]
fn an_answer_of_another_kind_lets_nobody_through() {
    let mut house =
        House::with_app(1, open(|it| it.subscribe = Rule::App), 4, |question| match question {
            taiwa_core::Question::Subscribe { .. } => Some(Ok(taiwa_core::Answer::Noted)),
            _ => friendly(question),
        });
    let ada = house.join(0, "ada");
    let outcome = outcome(house.try_subscribe(ada, hearing("a")));
    assert_eq!(outcome, Some(RefusalKind::Unavailable));
    house.empty();
}

#[test]
fn names_with_a_colon_need_a_namespace_that_is_known() {
    let mut settings = open(|_| {});
    let quiet = crate::Namespace { subscribe: Rule::All, ..Default::default() };
    settings.namespaces.insert("quiet".into(), quiet.into());
    settings.unknown_namespaces = None;
    let mut house = House::new(2, settings, 5);
    let ada = house.join(0, "ada");
    let not_found = Some(RefusalKind::NotFound);
    assert_eq!(outcome(house.try_subscribe(ada, hearing("other:a"))), not_found);
    assert_eq!(outcome(house.publish(ada, saying("other:a", "x"))), not_found);
    house.hear(ada, "quiet:a");
    let outcome_of_saying = outcome(house.publish(ada, saying("quiet:a", "x")));
    assert_eq!(outcome_of_saying, Some(RefusalKind::Forbidden));
    house.hear(ada, "a");
    house.say(ada, "a", "x");
    house.empty();
}

#[test]
fn nothing_may_be_done_before_the_link_is_let_in() {
    let mut house = House::new(2, Settings::open(), 6);
    let who = house.enter(0);
    let commands = [
        Command::Subscribe(Link(0), Box::new(hearing("a"))),
        Command::Publish(Link(0), Box::new(saying("a", "x"))),
        Command::Presence(Link(0), channel("a")),
        Command::Counts(Link(0), channel("a")),
        Command::History(Link(0), channel("a"), Page::default()),
        Command::Call(Link(0), "m".into(), taiwa_core::Payload::null()),
        Command::Tell(Link(0), taiwa_core::Payload::null()),
        Command::Refresh(Link(0), "t".into()),
        Command::RefreshSubscription(Link(0), channel("a"), "t".into()),
    ];
    for command in commands {
        let text = format!("{command:?}");
        assert_eq!(outcome(house.get(who, command)), Some(RefusalKind::Unauthorized), "{text}");
    }
    house.empty();
}

#[test]
fn a_link_that_the_app_refuses_may_try_again_and_links_are_apart() {
    let mut house = House::with_app(1, Settings::open(), 7, |question| match question {
        taiwa_core::Question::Connect { connect, .. } if connect.token.is_none() => {
            Some(Err(refused(RefusalKind::Unauthorized)))
        }
        _ => friendly(question),
    });
    let who = house.enter(0);
    let connect = |link, token: Option<&str>| {
        let token = token.map(Into::into);
        let connect = taiwa_core::Connect { token, ..Default::default() };
        Command::Connect(Link(link), Box::new(connect))
    };
    let refused = Some(RefusalKind::Unauthorized);
    assert_eq!(outcome(house.get(who, connect(0, None))), refused);
    assert_eq!(outcome(house.get(who, connect(0, Some("ada")))), None);
    let again = house.get(who, connect(0, Some("ada")));
    assert_eq!(outcome(again), Some(RefusalKind::BadRequest));
    assert_eq!(outcome(house.get(who, connect(1, Some("bob")))), None);
    // The same channel on both links, each with its own user.
    house.subscribe(who, Subscribe { join_leave: true, ..hearing("a") });
    let on_link_1 = Command::Subscribe(Link(1), Box::new(hearing("a")));
    assert_eq!(outcome(house.get(who, on_link_1)), None);
    assert_eq!(counts(&mut house, who), (2, 2));
    house.heard(who);
    assert_eq!(outcome(house.get(who, Command::Leave(Link(1)))), None);
    assert_eq!(house.heard(who), ["left a bob of user"]);
    assert_eq!(counts(&mut house, who), (1, 1));
    assert_eq!(house.counter("refused_connections"), 1);
    house.empty();
}

pub(super) fn counts(house: &mut House, who: Who) -> (usize, usize) {
    match house.get(who, Command::Counts(Link(0), channel("a"))) {
        Ok(taiwa_core::Reply::Counts { sessions, users }) => (sessions, users),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_link_that_was_left_while_the_app_was_asked_is_not_let_in() {
    let mut house = House::with_app(1, open(|it| it.subscribe = Rule::App), 8, |_| None);
    let who = house.enter(0);
    let connect = || Command::Connect(Link(0), Box::default());
    let first = house.ask(who, connect());
    house.ask(who, Command::Leave(Link(0)));
    house.answer_later(0, |it| friendly(it).unwrap());
    let refusal = house.answer(who, first).unwrap().unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::BadRequest);
    let second = house.ask(who, connect());
    house.answer_later(0, |it| friendly(it).unwrap());
    assert!(house.answer(who, second).unwrap().is_ok());
    // What it asks for may be answered when it has gone.
    house.ask(who, Command::Subscribe(Link(0), Box::new(hearing("a"))));
    house.ask(who, Command::Publish(Link(0), Box::new(saying("a", "x"))));
    house.depart(who);
    house.answer_later(0, |_| authorized(Default::default()).unwrap());
    house.empty();
}
