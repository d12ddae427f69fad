//! Subscriptions that the server begins: with a connection, or by an order.

use taiwa_core::{
    Admission, Answer, Authorization, Command, Connect, Connected, Link, Position, Question, Reply,
};

use super::house::{House, Who, channel, friendly, open, recovered, saying};
use crate::{Done, Limits, Order, Whom, settings::Recovery};

/// Whoever comes is subscribed to these channels.
fn serving(channels: &'static [&'static str]) -> impl Fn(&Question) -> super::house::Said {
    move |question| match question {
        Question::Connect { connect, .. } if connect.token.is_some() => {
            let channels = channels.iter().map(|it| (channel(it), Authorization::default()));
            let channels = channels.collect();
            Some(Ok(Answer::Admission(Box::new(Admission { channels, ..Admission::default() }))))
        }
        _ => friendly(question),
    }
}

fn connect(house: &mut House, who: Who, connect: Connect) -> Box<Connected> {
    let token = Some("t".into());
    let connect = Box::new(Connect { token, ..connect });
    match house.get(who, Command::Connect(Link(0), connect)) {
        Ok(Reply::Connected(it)) => it,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_connection_comes_with_its_channels_and_what_was_missed_in_them() {
    let settings = open(|it| it.join_leave = false);
    let mut house = House::with_app(3, settings, 1, serving(&["a", "b"]));
    let ada = house.join(0, "");
    for name in ["a", "b"] {
        house.say(ada, name, "1");
        house.say(ada, name, "2");
    }
    let who = house.enter(1);
    let first = connect(&mut house, who, Connect::default());
    let mut names: Vec<_> = first.subscribed.iter().map(|(it, _)| it.as_str()).collect();
    names.sort();
    assert_eq!(names, ["a", "b"]);
    house.say(ada, "a", "3");
    assert_eq!(house.heard(who), ["said a@3 3"]);
    let positions = first.subscribed.iter().map(|(name, told)| {
        let at = told.position.unwrap();
        (name.clone(), Position { offset: at.offset - 1, ..at })
    });
    let positions: Vec<_> = positions.collect();
    house.depart(who);
    let who = house.enter(2);
    let again = connect(&mut house, who, Connect { positions, ..Connect::default() });
    let all = again.subscribed.iter().map(|(name, told)| format!("{name} {}", recovered(told)));
    let mut all: Vec<_> = all.collect();
    all.sort();
    assert_eq!(all, ["a whole 2,3", "b whole 2"]);
    house.empty();
}

#[test]
fn nothing_is_said_to_a_client_before_it_is_told_that_it_is_in() {
    let mut early = 0;
    for seed in 0..200 {
        let settings = open(|it| it.join_leave = false);
        let mut house = House::with_app(4, settings, seed, serving(&["a", "b", "c", "d"]));
        let ada = house.join(0, "");
        let who = house.enter(1);
        let mine = Connect { token: Some("t".into()), ..Connect::default() };
        house.ask(who, Command::Connect(Link(0), Box::new(mine)));
        for n in 0..20 {
            let name = ["a", "b", "c", "d"][n % 4];
            house.ask(ada, Command::Publish(Link(0), Box::new(saying(name, &n.to_string()))));
            house.step();
            early += usize::from(!house.saw_anything(who));
        }
        house.run();
        let heard = house.heard(who);
        assert_eq!(heard[0], "reply connected", "seed {seed}: {heard:?}");
        for name in ["a", "b", "c", "d"] {
            let mine = heard.iter().filter_map(|it| it.strip_prefix(&format!("said {name}@")));
            let offsets: Vec<u64> =
                mine.map(|it| it.split(' ').next().unwrap().parse().unwrap()).collect();
            let from = 6 - offsets.len() as u64;
            assert_eq!(offsets, (from..6).collect::<Vec<_>>(), "seed {seed}: {heard:?}");
        }
        house.empty();
    }
    assert!(early > 100, "publishing and connecting did overlap: {early}");
}

#[test]
fn a_channel_that_the_limits_forbid_does_not_keep_a_client_out() {
    let mut settings = open(|_| {});
    settings.limits = Limits::default().with(|it| it.subscriptions_max = 1);
    let mut house = House::with_app(2, settings, 3, serving(&["a", "b"]));
    let who = house.enter(0);
    assert_eq!(connect(&mut house, who, Connect::default()).subscribed.len(), 1);
    assert_eq!(house.counter("refused_subscriptions"), 1);
    assert_eq!(house.counter("limit_hits"), 1);
    house.empty();
}

#[test]
fn who_leaves_while_its_channels_are_on_their_way_leaves_nothing() {
    for seed in 0..50 {
        let mut house = House::with_app(3, open(|_| {}), seed, serving(&["a", "b", "c"]));
        let who = house.enter(0);
        let mine = Connect { token: Some("t".into()), ..Connect::default() };
        house.ask(who, Command::Connect(Link(0), Box::new(mine)));
        for _ in 0..seed % 5 {
            house.step();
        }
        house.depart(who);
        house.empty();
    }
}

#[test]
fn an_order_subscribes_and_unsubscribes_whom_it_names() {
    let settings = open(|it| it.join_leave = false);
    let mut house = House::new(3, settings, 4);
    let all: Vec<_> = (0..6).map(|it| house.join(it % 3, ["ada", "bob"][it % 2])).collect();
    house.say(all[0], "a", "1");
    let affected = |done: Result<Done, _>| match done {
        Ok(Done::Affected(count)) => count,
        other => panic!("{other:?}"),
    };
    let subscribe = |whom, since| Order::Subscribe {
        whom,
        channel: channel("a"),
        authorization: Box::default(),
        since,
    };
    let one = Whom::Session(house.id(all[0]));
    assert_eq!(affected(house.order(1, subscribe(one.clone(), None))), 1);
    assert_eq!(house.heard(all[0]), ["subscribed a not asked"]);
    let ada = Whom::User("ada".into());
    assert_eq!(affected(house.order(0, subscribe(ada.clone(), None))), 2, "one has it already");
    assert_eq!(affected(house.order(2, subscribe(Whom::All, None))), 3);
    house.say(all[1], "a", "2");
    for who in &all {
        assert!(house.heard(*who).contains(&"said a@2 2".into()));
    }
    let unsubscribe = |whom| Order::Unsubscribe { whom, channel: channel("a") };
    assert_eq!(affected(house.order(1, unsubscribe(ada))), 3);
    assert_eq!(affected(house.order(1, unsubscribe(one))), 0);
    assert_eq!(affected(house.order(1, unsubscribe(Whom::All))), 3);
    for who in &all {
        assert_eq!(house.heard(*who), ["unsubscribed a App"]);
    }
    let nobody = Whom::User("zoe".into());
    assert_eq!(affected(house.order(1, subscribe(nobody, None))), 0);
    house.empty();
}

#[test]
fn whom_an_order_subscribes_to_a_value_gets_it_first() {
    let settings = open(|it| (it.recovery, it.join_leave) = (Recovery::Last, false));
    let mut house = House::new(2, settings, 5);
    let (ada, bob) = (house.join(0, "ada"), house.join(1, "bob"));
    house.say(ada, "a", "1");
    house.say(ada, "a", "2");
    for name in ["a", "b"] {
        let (whom, channel) = (Whom::User("bob".into()), channel(name));
        let order = Order::Subscribe { whom, channel, authorization: Box::default(), since: None };
        house.order(0, order).unwrap();
    }
    house.say(ada, "a", "3");
    assert_eq!(house.heard(bob), ["subscribed a whole 2", "subscribed b whole", "said a@3 3"]);
    house.empty();
}
