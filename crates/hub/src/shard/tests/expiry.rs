//! Rights that end: refreshed by the client, by the app, or not.

use std::{cell::Cell, rc::Rc, time::Duration};

use taiwa_core::{
    Admission, Answer, Authorization, Command, Link, Question, RefusalKind, Reply, Subscribe,
};

use super::house::{House, Said, channel, friendly, hearing, open, refused};
use crate::{Order, Whom, settings::Rule};

/// What the app says when it is asked whether somebody may stay.
#[derive(Clone, Copy, Debug)]
enum Mood {
    Yes,
    No,
    Down,
}

const TEN: Duration = Duration::from_secs(10);

/// Rights last ten seconds; `client_refreshes` says who refreshes them.
fn app(client_refreshes: bool, mood: Rc<Cell<Mood>>) -> impl Fn(&Question) -> Said {
    let asked = Cell::new(0);
    move |question| {
        let kind = match mood.get() {
            Mood::Yes => None,
            Mood::No => Some(RefusalKind::Unauthorized),
            Mood::Down => Some(RefusalKind::Unavailable),
        };
        match question {
            Question::Connect { connect, .. } => {
                let user = connect.token.as_deref().map(Into::into);
                let expires = (user != Some("forever".into())).then_some(TEN);
                let admission = Admission { user, expires, client_refreshes, ..Default::default() };
                Some(Ok(Answer::Admission(Box::new(admission))))
            }
            Question::Refresh { who, token } => {
                let user = token.as_deref().map(Into::into).or(who.user.clone());
                let expires = Some(TEN);
                let admission = Admission { user, expires, client_refreshes, ..Default::default() };
                Some(kind.map_or(Ok(Answer::Admission(Box::new(admission))), |it| Err(refused(it))))
            }
            Question::Subscribe { .. } => {
                asked.set(asked.get() + 1);
                let kind = kind.filter(|_| asked.get() > 1);
                let expires = Some(TEN);
                let it = Authorization { expires, client_refreshes, ..Default::default() };
                Some(kind.map_or(Ok(Answer::Authorization(Box::new(it))), |it| Err(refused(it))))
            }
            _ => friendly(question),
        }
    }
}

fn house(client_refreshes: bool) -> (House, Rc<Cell<Mood>>) {
    let mood = Rc::new(Cell::new(Mood::Yes));
    let settings = open(|it| (it.subscribe, it.join_leave) = (Rule::App, false));
    (House::with_app(2, settings, 1, app(client_refreshes, mood.clone())), mood)
}

#[test]
fn a_client_refreshes_its_connection_or_goes_after_the_grace() {
    let (mut house, mood) = house(true);
    let ada = house.join(1, "ada");
    house.seconds(5);
    let refresh = |token: &str| Command::Refresh(Link(0), token.into());
    match house.get(ada, refresh("ada")) {
        Ok(Reply::Connected(it)) => assert_eq!(it.expires, Some(TEN)),
        other => panic!("{other:?}"),
    }
    house.seconds(9);
    assert_eq!(house.heard(ada), [""; 0], "the first end was moved");
    house.seconds(2);
    assert_eq!(house.heard(ada), ["expiring"]);
    assert_eq!(house.get(ada, refresh("bob")).unwrap_err().kind, RefusalKind::Forbidden);
    mood.set(Mood::No);
    assert_eq!(house.get(ada, refresh("ada")).unwrap_err().kind, RefusalKind::Unauthorized);
    mood.set(Mood::Yes);
    house.get(ada, refresh("ada")).unwrap();
    house.seconds(10 + 24);
    assert_eq!(house.heard(ada), ["expiring"]);
    house.seconds(2);
    assert_eq!(house.heard(ada), ["disconnect Expired"]);
    house.empty();
}

#[test]
fn the_app_refreshes_a_connection_or_ends_it_and_may_be_down_for_the_grace() {
    for (mood_then, until, gone) in [
        (Mood::Yes, 1000, false),
        (Mood::No, 11, true),
        (Mood::Down, 34, false),
        (Mood::Down, 36, true),
    ] {
        let (mut house, mood) = house(false);
        let ada = house.join(1, "ada");
        mood.set(mood_then);
        house.seconds(until);
        let expected: &[&str] = if gone { &["disconnect Expired"] } else { &[] };
        assert_eq!(house.heard(ada), expected, "{mood_then:?} {until}");
        house.empty();
    }
}

#[test]
fn an_app_that_comes_back_within_the_grace_costs_nobody_anything() {
    let (mut house, mood) = house(false);
    let ada = house.join(1, "forever");
    house.hear(ada, "a");
    let bob = house.join(0, "bob");
    mood.set(Mood::Down);
    house.seconds(20);
    mood.set(Mood::Yes);
    house.seconds(500);
    assert_eq!((house.heard(ada), house.heard(bob)), (vec![], vec![]));
    house.empty();
}

#[test]
fn a_subscription_ends_unless_it_is_refreshed_by_whoever_should() {
    for (client_refreshes, refresh, mood_then, until, gone) in [
        (true, true, Mood::Yes, 40, false),
        (true, false, Mood::Yes, 34, false),
        (true, false, Mood::Yes, 36, true),
        (false, false, Mood::Yes, 1000, false),
        (false, false, Mood::No, 11, true),
        (false, false, Mood::Down, 34, false),
        (false, false, Mood::Down, 36, true),
    ] {
        let (mut house, mood) = house(client_refreshes);
        let ada = house.join(1, "forever");
        let told = house.subscribe(ada, hearing("a"));
        assert_eq!(told.expires, client_refreshes.then_some(TEN));
        mood.set(mood_then);
        if refresh {
            house.seconds(9);
            let command = Command::RefreshSubscription(Link(0), channel("a"), "t".into());
            match house.get(ada, command) {
                Ok(Reply::Expires(it)) => assert_eq!(it, Some(TEN)),
                other => panic!("{other:?}"),
            }
        }
        house.seconds(until - if refresh { 9 } else { 0 });
        let expected: &[&str] = if gone { &["unsubscribed a Expired"] } else { &[] };
        assert_eq!(house.heard(ada), expected, "{client_refreshes} {mood_then:?} {until}");
        house.empty();
    }
}

#[test]
fn refreshing_what_is_not_there_is_answered() {
    let (mut house, _) = house(true);
    let ada = house.join(0, "ada");
    let command = Command::RefreshSubscription(Link(0), channel("a"), "t".into());
    assert_eq!(house.get(ada, command).unwrap_err().kind, RefusalKind::NotFound);
    house.empty();
}

#[test]
fn times_beyond_all_clocks_and_no_grace_at_all_do_no_harm() {
    let mut settings = open(|it| it.subscribe = Rule::App);
    (settings.expiry_grace, settings.app_deadline) = (Duration::ZERO, Duration::MAX);
    let app = |client_refreshes| {
        move |question: &Question| {
            let expires = |who: &str| Some(if who == "soon" { TEN } else { Duration::MAX });
            match question {
                Question::Connect { connect, .. } => {
                    let expires = expires(connect.token.as_deref().unwrap_or_default());
                    let it = Admission { expires, client_refreshes, ..Default::default() };
                    Some(Ok(Answer::Admission(Box::new(it))))
                }
                Question::Subscribe { token, .. } => {
                    let expires = expires(token.as_deref().unwrap_or_default());
                    let it = Authorization { expires, client_refreshes, ..Default::default() };
                    Some(Ok(Answer::Authorization(Box::new(it))))
                }
                Question::Refresh { .. } => Some(Err(refused(RefusalKind::Unavailable))),
                _ => None,
            }
        }
    };
    for client_refreshes in [true, false] {
        let mut house = House::with_app(1, settings.clone(), 2, app(client_refreshes));
        let (ada, soon) = (house.join(0, "ada"), house.join(0, "soon"));
        house.hear(ada, "a");
        house.subscribe(ada, Subscribe { token: Some("soon".into()), ..hearing("b") });
        house.ask(ada, Command::Call(Link(0), "m".into(), taiwa_core::Payload::null()));
        house.seconds(11);
        assert_eq!(house.heard(soon).last().unwrap(), "disconnect Expired");
        let heard = house.heard(ada);
        let ends = ["unsubscribed b Expired".to_owned()];
        assert_eq!(heard, if client_refreshes { &ends[..] } else { &[] });
        house.depart(ada);
        house.depart(soon);
    }
}

#[test]
fn an_order_prolongs_rights_and_tells_the_client() {
    let (mut house, _) = house(true);
    let ada = house.join(1, "ada");
    let whom = Whom::User("ada".into());
    let expires = Some(Duration::from_secs(100));
    house.order(0, Order::Refresh { whom: whom.clone(), expires }).unwrap();
    assert_eq!(house.heard(ada), ["refreshed Some(100s)"]);
    house.seconds(99);
    assert_eq!(house.heard(ada), [""; 0]);
    house.order(0, Order::Refresh { whom, expires: None }).unwrap();
    house.seconds(1000);
    assert_eq!(house.heard(ada), ["refreshed None"]);
    house.empty();
}

#[test]
fn timers_of_what_is_gone_do_not_pile_up() {
    let (mut house, _) = house(true);
    let ada = house.join(1, "ada");
    for _ in 0..5000 {
        house.hear(ada, "a");
        house.unsubscribe(ada, "a");
        house.get(ada, Command::Refresh(Link(0), "ada".into())).unwrap();
        house.pass(Duration::from_micros(10));
    }
    assert!(house.shards[1].timers.len() < 3000, "{}", house.shards[1].timers.len());
    house.empty();
}
