//! Other settings for shards at work.

use std::sync::Arc;

use taiwa_core::{Command, Link, Page, Publish, RefusalKind, Reply};

use super::{
    house::{House, Who, channel, hearing, open, saying},
    rights::counts,
};
use crate::{
    Settings,
    settings::{Limits, Namespace, Rule},
};

fn adopt(house: &mut House, settings: Settings) {
    let settings = Arc::new(settings);
    house.shards.iter_mut().for_each(|it| it.set_settings(settings.clone()));
}

fn refusal(house: &mut House, who: Who, publish: Publish) -> Option<RefusalKind> {
    house.publish(who, publish).err().map(|it| it.kind)
}

#[test]
fn rights_rates_and_limits_count_from_the_next_command_on_and_who_hears_stays() {
    let mut house = House::new(3, open(|_| {}), 1);
    let (ada, bob) = (house.join(0, "ada"), house.join(1, ""));
    house.hear(ada, "a");
    house.publish(bob, saying("a", "1")).unwrap();

    adopt(&mut house, open(|it| (it.publish, it.subscribe) = (Rule::Users, Rule::Nobody)));
    assert_eq!(refusal(&mut house, bob, saying("a", "no")), Some(RefusalKind::Forbidden));
    house.publish(ada, saying("a", "2")).unwrap();
    assert!(house.try_subscribe(bob, hearing("a")).is_err());

    let mut settings = open(|it| it.publications_per_second = 1);
    settings.limits = Limits::default().with(|it| it.payload_bytes_max = 2);
    adopt(&mut house, settings);
    assert_eq!(refusal(&mut house, bob, saying("a", "long")), Some(RefusalKind::Limit));
    house.publish(bob, saying("a", "3")).unwrap();
    let wait = refusal(&mut house, bob, saying("a", "4"));
    assert!(matches!(wait, Some(RefusalKind::Rate(_))), "{wait:?}");

    adopt(&mut house, open(|_| {}));
    house.publish(bob, saying("a", "5")).unwrap();
    let heard: Vec<_> = house.heard(ada).into_iter().filter(|it| it.contains("a@")).collect();
    assert_eq!(heard.len(), 4, "{heard:?}");
    house.empty();
}

#[test]
fn a_session_too_many_for_new_limits_stays_and_no_other_comes() {
    let mut house = House::new(1, open(|_| {}), 2);
    let (ada, bob) = (house.join(0, "ada"), house.join(0, "bob"));
    let mut settings = open(|_| {});
    settings.limits = Limits::default().with(|it| it.sessions_max = 1);
    adopt(&mut house, settings);
    let arrival = || crate::Arrival { dialect: "test", address: None };
    assert!(!house.may_enter(arrival()));
    house.hear(bob, "a");
    house.depart(ada);
    assert!(!house.may_enter(arrival()));
    house.depart(bob);
    assert!(house.may_enter(arrival()));
}

#[test]
fn a_history_that_ends_is_forgotten_and_one_that_begins_is_kept() {
    let mut house = House::new(2, open(|it| it.delta = true), 3);
    let ada = house.join(0, "ada");
    house.hear(ada, "a");
    house.publish(ada, saying("a", "old")).unwrap();
    let read = |house: &mut House| {
        let page = Page { since: None, limit: 10, reverse: false };
        house.get(ada, Command::History(Link(0), channel("a"), page))
    };
    adopt(&mut house, open(|it| it.history_size = 0));
    assert_eq!(read(&mut house).unwrap_err().kind, RefusalKind::NotAvailable);
    house.publish(ada, saying("a", "lost")).unwrap();
    adopt(&mut house, open(|it| it.delta = true));
    house.publish(ada, saying("a", "new")).unwrap();
    let Ok(Reply::History(history)) = read(&mut house) else { panic!() };
    assert_eq!(history.publications.len(), 1);
    assert!(history.publications[0].delta.is_none(), "a delta to what was forgotten");
    house.empty();
}

#[test]
fn presence_knows_those_who_came_with_it() {
    let mut house = House::new(2, open(|_| {}), 4);
    let (ada, bob) = (house.join(0, "ada"), house.join(1, "bob"));
    house.hear(ada, "a");
    adopt(&mut house, open(|it| (it.presence, it.join_leave) = (false, false)));
    house.hear(bob, "a");
    assert!(house.get(ada, Command::Counts(Link(0), channel("a"))).is_err());
    adopt(&mut house, open(|_| {}));
    assert_eq!(counts(&mut house, ada), (0, 0));
    house.unsubscribe(ada, "a");
    house.hear(ada, "a");
    assert_eq!(counts(&mut house, bob), (1, 1));
    house.empty();
}

#[test]
fn who_is_in_a_channel_whose_namespace_is_gone_stays_and_hears_no_more() {
    let mut settings = open(|_| {});
    settings.namespaces.insert("n".into(), Arc::new(Namespace::open()));
    settings.unknown_namespaces = None;
    let mut house = House::new(2, settings.clone(), 5);
    let ada = house.join(0, "ada");
    house.hear(ada, "n:a");
    let namespace = settings.namespaces.remove("n").unwrap();
    adopt(&mut house, settings.clone());
    assert_eq!(refusal(&mut house, ada, saying("n:a", "x")), Some(RefusalKind::NotFound));
    settings.namespaces.insert("n".into(), namespace);
    adopt(&mut house, settings);
    house.publish(ada, saying("n:a", "again")).unwrap();
    assert!(house.heard(ada).iter().any(|it| it.contains("again")));
    house.empty();
}
