//! Who is in a channel, who comes and goes, and when a channel is occupied.

use taiwa_core::{Authorization, Command, Link, Question, RefusalKind, Reply, Subscribe};

use super::{
    house::{House, Who, authorized, channel, friendly, hearing, open},
    rights::counts,
};
use crate::settings::Rule;

fn present(house: &mut House, who: Who) -> Vec<String> {
    match house.get(who, Command::Presence(Link(0), channel("a"))) {
        Ok(Reply::Presence(all)) => {
            let name = |it: &taiwa_core::Member| {
                let info = it.channel_info.as_ref().map(|it| String::from_utf8_lossy(it));
                let user = it.client.user.as_ref().map_or("nobody", |it| it.as_str());
                format!("{user}{}", info.unwrap_or_default())
            };
            let mut names: Vec<_> = all.iter().map(|it| name(it)).collect();
            names.sort();
            names
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_first_and_the_last_of_a_user_are_told_across_shards() {
    let mut house = House::new(4, open(|_| {}), 1);
    let watcher = house.join(3, "watcher");
    house.hear(watcher, "a");
    house.heard(watcher);
    let [one, two] = [house.join(0, "ada"), house.join(1, "ada")];
    house.subscribe(one, Subscribe { join_leave: true, ..hearing("a") });
    house.hear(two, "a");
    let nobody = house.join(2, "");
    house.hear(nobody, "a");
    assert_eq!(counts(&mut house, watcher), (4, 3));
    assert_eq!(present(&mut house, watcher), ["ada", "ada", "nobody", "watcher"]);
    house.unsubscribe(one, "a");
    house.depart(two);
    house.depart(nobody);
    house.run();
    assert_eq!(counts(&mut house, watcher), (1, 1));
    house.empty();
    let _ = one;
}

#[test]
fn who_wants_it_hears_who_comes_and_goes() {
    let wish = |join_leave| Subscribe { join_leave, ..hearing("a") };
    for (offered, forced, expected) in
        [(true, false, true), (true, true, true), (false, true, false)]
    {
        let settings = open(|it| (it.join_leave, it.force_join_leave) = (offered, forced));
        let mut house = House::new(3, settings, 2);
        let (ada, bob) = (house.join(0, "ada"), house.join(1, "bob"));
        house.subscribe(ada, wish(true));
        house.subscribe(bob, wish(false));
        house.heard(ada);
        house.heard(bob);
        let [one, two] = [house.join(2, "cyd"), house.join(0, "cyd")];
        house.hear(one, "a");
        house.hear(two, "a");
        house.unsubscribe(one, "a");
        house.depart(two);
        house.run();
        let told = ["joined a cyd of user", "joined a cyd", "left a cyd", "left a cyd of user"];
        assert_eq!(house.heard(ada), if expected { &told[..] } else { &[] });
        assert_eq!(house.heard(bob), if forced && offered { &told[..] } else { &[] });
        house.empty();
    }
}

#[test]
fn who_unsubscribes_and_subscribes_again_at_once_is_present() {
    for seed in 0..200 {
        let mut house = House::new(3, open(|_| {}), seed);
        let who = house.join(1, "ada");
        let subscribe = || Command::Subscribe(Link(0), Box::new(hearing("a")));
        let gone = || Command::Unsubscribe(Link(0), super::house::target("a"));
        let first = house.ask(who, subscribe());
        house.ask(who, gone());
        house.ask(who, subscribe());
        house.step();
        house.ask(who, gone());
        let last = house.ask(who, subscribe());
        house.run();
        assert!(house.answer(who, last).unwrap().is_ok(), "seed {seed}");
        assert!(house.answer(who, first).is_some(), "seed {seed}: every question is answered");
        assert_eq!(counts(&mut house, who), (1, 1), "seed {seed}");
        assert_eq!(present(&mut house, who), ["ada"], "seed {seed}");
        house.unsubscribe(who, "a");
        assert_eq!(counts(&mut house, who), (0, 0), "seed {seed}");
        house.empty();
    }
}

#[test]
fn a_link_that_comes_back_as_another_user_counts_as_that() {
    let mut house = House::new(2, open(|_| {}), 4);
    let who = house.join(0, "ada");
    for user in ["bob", "cyd"] {
        house.ask(who, Command::Subscribe(Link(0), Box::new(hearing("a"))));
        house.ask(who, Command::Leave(Link(0)));
        let connect = taiwa_core::Connect { token: Some(user.into()), ..Default::default() };
        house.ask(who, Command::Connect(Link(0), Box::new(connect)));
    }
    house.ask(who, Command::Subscribe(Link(0), Box::new(hearing("a"))));
    house.run();
    assert_eq!(present(&mut house, who), ["cyd"]);
    assert_eq!(counts(&mut house, who), (1, 1));
    house.empty();
}

#[test]
fn what_the_app_says_about_a_member_is_seen_by_others() {
    let mut house =
        House::with_app(2, open(|it| it.subscribe = Rule::App), 5, |question| match question {
            Question::Subscribe { .. } => {
                authorized(Authorization { info: Some("!".into()), ..Authorization::default() })
            }
            _ => friendly(question),
        });
    let ada = house.join(0, "ada");
    house.hear(ada, "a");
    assert_eq!(present(&mut house, ada), ["ada!"]);
    house.heard(ada);
    house.say(ada, "a", "x");
    let heard = house.take(ada);
    let [super::house::Heard::Event(taiwa_core::Event::Said(_, _, said, _))] = &heard[..] else {
        panic!("{heard:?}");
    };
    assert_eq!(said.publisher.as_ref().unwrap().channel_info.as_deref(), Some(&b"!"[..]));
    house.empty();
}

#[test]
fn a_channel_without_presence_says_so() {
    let mut house = House::new(1, open(|it| it.presence = false), 6);
    let ada = house.join(0, "ada");
    for command in
        [Command::Presence(Link(0), channel("a")), Command::Counts(Link(0), channel("a"))]
    {
        assert_eq!(house.get(ada, command).unwrap_err().kind, RefusalKind::NotAvailable);
    }
    house.empty();
}

#[test]
fn the_app_is_told_when_a_channel_is_occupied_and_vacated() {
    let mut settings = open(|_| {});
    (settings.tell_occupied, settings.tell_disconnected) = (true, true);
    let mut house = House::new(3, settings, 7);
    let (ada, bob) = (house.join(0, "ada"), house.join(1, "bob"));
    let told = |house: &mut House| {
        let say = |it| match it {
            Question::Occupied(channel) => Some(format!("occupied {channel}")),
            Question::Vacated(channel) => Some(format!("vacated {channel}")),
            Question::Disconnected { who, .. } => Some(format!("gone {:?}", who.user.as_ref()?.0)),
            _ => None,
        };
        house.asked().into_iter().filter_map(say).collect::<Vec<_>>()
    };
    house.hear(ada, "a");
    house.hear(bob, "a");
    assert_eq!(told(&mut house), ["occupied a"]);
    house.unsubscribe(ada, "a");
    house.depart(bob);
    house.run();
    let mut all = told(&mut house);
    all.sort();
    assert_eq!(all, ["gone \"bob\"", "vacated a"]);
    house.hear(ada, "a");
    assert_eq!(told(&mut house), ["occupied a"]);
    house.empty();
}

#[test]
fn who_comes_and_goes_is_told_only_to_shards_where_somebody_listens() {
    let mut house = House::new(4, open(|_| {}), 8);
    let owner = usize::from(house.shards[0].owner(&channel("a")));
    let [near, far] = [1, 2].map(|it| house.join((owner + it) % 4, ""));
    let mut letters = |wish: Subscribe, who| {
        house.ask(who, Command::Subscribe(Link(0), Box::new(wish)));
        let mut count = 0;
        while house.step() {
            count += 1;
        }
        house.unsubscribe(who, "a");
        count
    };
    // To the owner and back; with a listener, itself, one more.
    assert_eq!(letters(hearing("a"), near), 2);
    assert_eq!(letters(Subscribe { join_leave: true, ..hearing("a") }, far), 3);
    assert_eq!(letters(hearing("a"), near), 2);
    house.empty();
}
