//! Calls in both directions, each with a deadline.

use std::time::Duration;

use taiwa_core::{Command, Event, Link, Payload, RefusalKind, Reply};

use super::house::{Heard, House, Who, friendly, open, text};
use crate::{Done, Limits, Order, Settings, Which, settings::Rule};

fn payload(text: &str) -> Payload {
    Payload::Text(text.to_owned().into())
}

fn call(text: &str) -> Command {
    Command::Call(Link(0), "m".into(), payload(text))
}

#[test]
fn the_app_answers_a_call_at_once_or_later_or_too_late() {
    let mut house = House::with_app(2, Settings::open(), 1, |question| match question {
        taiwa_core::Question::Call { payload, .. } if text(payload) != "now" => None,
        _ => friendly(question),
    });
    let ada = house.join(1, "ada");
    let answer = |it: Result<Reply, taiwa_core::Refusal>| match it {
        Ok(Reply::Answer(payload)) => Ok(text(&payload)),
        Ok(other) => panic!("{other:?}"),
        Err(refusal) => Err(refusal.kind),
    };
    assert_eq!(answer(house.get(ada, call("now"))), Ok("now".into()));
    let later = house.ask(ada, call("later"));
    house.seconds(4);
    house.answer_later(1, |it| friendly(it).unwrap());
    assert_eq!(answer(house.answer(ada, later).unwrap()), Ok("later".into()));
    let late = house.ask(ada, call("late"));
    house.seconds(6);
    assert_eq!(answer(house.answer(ada, late).unwrap()), Err(RefusalKind::Deadline));
    house.answer_later(1, |it| friendly(it).unwrap());
    assert!(!house.saw_anything(ada), "an answer behind the deadline is too late");
    assert_eq!(house.counter("app_deadlines"), 1);
    house.empty();
}

#[test]
fn too_many_questions_at_once_are_refused() {
    let mut settings = Settings::open();
    settings.limits = Limits::default().with(|it| it.asked_max = 2);
    let mut house = House::with_app(1, settings, 2, |question| match question {
        taiwa_core::Question::Call { .. } => None,
        _ => friendly(question),
    });
    let ada = house.join(0, "ada");
    let first = house.ask(ada, call("1"));
    house.ask(ada, call("2"));
    assert_eq!(house.get(ada, call("3")).unwrap_err().kind, RefusalKind::Limit);
    house.answer_later(0, |it| friendly(it).unwrap());
    assert!(house.answer(ada, first).unwrap().is_ok());
    let fourth = house.ask(ada, call("4"));
    assert!(house.answer(ada, fourth).is_none());
    house.empty();
}

#[test]
fn calls_and_tells_have_rules() {
    for (rule, nobody, user) in [
        (Rule::Nobody, Some(RefusalKind::NotAvailable), Some(RefusalKind::NotAvailable)),
        (Rule::Users, Some(RefusalKind::Forbidden), None),
        (Rule::All, None, None),
    ] {
        let settings = Settings { call: rule.clone(), tell: rule.clone(), ..open(|_| {}) };
        let mut house = House::new(1, settings, 3);
        let (stranger, ada) = (house.join(0, ""), house.join(0, "ada"));
        for (who, expected) in [(stranger, nobody), (ada, user)] {
            for command in [call("x"), Command::Tell(Link(0), payload("x"))] {
                let kind = house.get(who, command).err().map(|it| it.kind);
                assert_eq!(kind, expected, "{rule:?}");
            }
        }
        house.empty();
    }
}

fn order(house: &House, who: Who, deadline: Duration) -> Order {
    let (session, method) = (house.id(who), "ask".into());
    Order::Call { session, which: Which::Usual, method, args: payload("?").into(), deadline }
}

fn called(house: &mut House, who: Who) -> taiwa_core::CallId {
    match house.take(who).pop() {
        Some(Heard::Event(Event::Call(id, ..))) => id,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_client_answers_a_call_of_the_app_in_time_or_not() {
    let mut house = House::new(3, Settings::open(), 4);
    let ada = house.join(2, "ada");
    let deadline = Duration::from_secs(10);
    let id = house.begin_order(0, order(&house, ada, deadline));
    house.run();
    let call = called(&mut house, ada);
    house.answer_call(ada, call, "yes");
    match house.done(0, id) {
        Some(Ok(Done::Answer(payload))) => assert_eq!(text(&payload), "yes"),
        other => panic!("{other:?}"),
    }
    let id = house.begin_order(1, order(&house, ada, deadline));
    house.seconds(11);
    let refusal = house.done(1, id).unwrap().unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::Deadline);
    let call = called(&mut house, ada);
    house.answer_call(ada, call, "late");
    // A deadline beyond all clocks is none.
    let id = house.begin_order(1, order(&house, ada, Duration::MAX));
    house.run();
    house.depart(ada);
    house.run();
    let refusal = house.done(1, id).unwrap().unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::Unavailable);
    house.empty();
}

#[test]
fn who_is_not_there_or_not_let_in_cannot_be_called() {
    let mut house = House::new(2, Settings::open(), 5);
    let (ada, silent) = (house.join(1, "ada"), house.enter(1));
    let gone = order(&house, ada, Duration::from_secs(1));
    let to_silent = order(&house, silent, Duration::from_secs(1));
    house.depart(ada);
    for order in [gone, to_silent] {
        assert_eq!(house.order(0, order).unwrap_err().kind, RefusalKind::NotFound);
    }
    house.empty();
}

#[test]
fn so_many_calls_to_one_client_may_wait() {
    let mut settings = Settings::open();
    settings.limits = Limits::default().with(|it| it.calls_max = 1);
    let mut house = House::new(1, settings, 6);
    let ada = house.join(0, "ada");
    let first = order(&house, ada, Duration::from_secs(5));
    house.begin_order(0, first.clone());
    assert_eq!(house.order(0, first).unwrap_err().kind, RefusalKind::Limit);
    house.empty();
}
