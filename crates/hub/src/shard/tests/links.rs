//! Several links in one session: which one is meant, and what becomes of the others when one of them resumes.

use std::time::Duration;

use taiwa_core::{
    Admission, Answer, Authorization, CallId, Channel, Command, Connect, Connected, Disconnect,
    Event, Link, Payload, Question, RefusalKind, Reply, Resume, ResumeKey, Resumed, Target,
};

use super::house::{Heard, House, Who, channel, friendly, hearing, open, words};
use crate::{Answers, Done, Limits, Order, Which, Whom};

fn quiet() -> crate::Settings {
    open(|it| it.join_leave = false)
}

fn connect(house: &mut House, who: Who, link: u16, scope: &str, user: &str) -> Box<Connected> {
    let scope = (!scope.is_empty()).then(|| scope.into());
    let connect = Connect { token: Some(user.into()), scope, ..Connect::default() };
    match house.get(who, Command::Connect(Link(link), Box::new(connect))) {
        Ok(Reply::Connected(it)) => it,
        other => panic!("{other:?}"),
    }
}

fn hear(house: &mut House, who: Who, link: u16, name: &str) {
    house.get(who, Command::Subscribe(Link(link), Box::new(hearing(name)))).unwrap();
}

/// Takes what was heard, with the link in front.
fn heard(house: &mut House, who: Who) -> Vec<String> {
    let link = |it: &Heard| match it {
        Heard::Event(Event::Said(link, ..) | Event::Subscribed(link, ..))
        | Heard::Event(Event::Unsubscribed(link, ..) | Event::Told(link, ..))
        | Heard::Event(Event::Call(_, link, ..) | Event::Expiring(link) | Event::Ended(link, _)) => {
            Some(link.0)
        }
        _ => None,
    };
    let all = house.take(who);
    all.iter()
        .map(|it| link(it).map_or("-".into(), |it| it.to_string()) + " " + &words(it))
        .collect()
}

fn come_back(
    house: &mut House,
    shard: usize,
    (link, user): (u16, &str),
    key: ResumeKey,
    read: u64,
) -> (Who, Box<Connected>) {
    let who = house.enter(shard);
    let resume = Some(Resume { key, read, positions: vec![] });
    let scope = (link == 4).then(|| "/game".into());
    let connect = Connect { token: Some(user.into()), scope, resume, ..Connect::default() };
    match house.get(who, Command::Connect(Link(link), Box::new(connect))) {
        Ok(Reply::Connected(connected)) => (who, connected),
        other => panic!("{other:?}"),
    }
}

/// Everybody may hear for so long as a client refreshes; a link of the scope `/chat` comes with channels.
fn app(question: &Question) -> super::house::Said {
    let Question::Connect { who, connect } = question else { return friendly(question) };
    assert_eq!(who.scope(), connect.scope.as_deref(), "the app sees it");
    let channels: &[&str] = match who.scope() {
        Some("/chat") => &["/chat", "/chat:r", "/game:r", "r"],
        _ => &[],
    };
    let expires = (who.scope() == Some("/game")).then_some(Duration::from_secs(100));
    Some(Ok(Answer::Admission(Box::new(Admission {
        user: connect.token.as_deref().map(Into::into),
        channels: channels.iter().map(|it| (channel(it), Authorization::default())).collect(),
        expires,
        client_refreshes: true,
        ..Admission::default()
    }))))
}

fn names(connected: &Connected) -> Vec<&str> {
    let mut names: Vec<_> = connected.subscribed.iter().map(|(it, _)| it.as_str()).collect();
    names.sort_unstable();
    names
}

#[test]
fn the_server_subscribes_the_link_whose_scope_stands_in_front_of_the_channel() {
    let mut house = House::with_app(3, quiet(), 1, app);
    let who = house.enter(0);
    connect(&mut house, who, 1, "/game", "ada");
    connect(&mut house, who, 0, "", "ada");
    // What comes with a link and belongs to another one is told to that.
    let chat = connect(&mut house, who, 2, "/chat", "ada");
    assert_eq!(names(&chat), ["/chat", "/chat:r"]);
    let mut told = heard(&mut house, who);
    told.sort();
    assert_eq!(told, ["0 subscribed r not asked", "1 subscribed /game:r not asked"]);
    let id = house.id(who);
    for (name, link) in
        [("/chat:x", 2), ("/game", 1), ("/chatter", 0), ("/chatter:x", 0), ("x", 0), ("a:/chat", 0)]
    {
        let (whom, channel) = (Whom::Session(id), channel(name));
        let order = Order::Subscribe { whom, channel, authorization: Box::default(), since: None };
        house.order(1, order).unwrap();
        assert_eq!(heard(&mut house, who), [format!("{link} subscribed {name} not asked")]);
    }
    house.empty();
}

#[test]
fn without_a_link_that_fits_the_first_is_meant() {
    let mut house = House::with_app(2, quiet(), 2, app);
    let who = house.enter(0);
    let chat = connect(&mut house, who, 3, "/chat", "ada");
    assert_eq!(names(&chat), ["/chat", "/chat:r", "/game:r", "r"]);
    house.empty();
}

#[test]
fn the_name_of_a_link_is_bounded() {
    let mut house = House::new(2, quiet(), 3);
    let who = house.join(0, "ada");
    let scope = Some("x".repeat(257).into());
    let connect = Connect { scope, ..Connect::default() };
    let refused = house.get(who, Command::Connect(Link(1), Box::new(connect))).unwrap_err();
    assert_eq!(refused.kind, RefusalKind::Limit);
    house.empty();
}

#[test]
fn with_one_link_that_resumes_the_others_go_on() {
    // It comes back to its shard, or to another one, by the first link or by the second.
    for (shard, link, user) in [(1, 0, "ada"), (2, 0, "ada"), (1, 4, "bob"), (0, 4, "bob")] {
        let mut house = House::with_app(3, quiet(), 4, app);
        let (speaker, who) = (house.join(0, ""), house.enter(1));
        connect(&mut house, who, 0, "", "ada");
        let key = house.keep(who, 60);
        connect(&mut house, who, 4, "/game", "bob");
        hear(&mut house, who, 0, "r");
        hear(&mut house, who, 4, "/game:r");
        house.say(speaker, "r", "1");
        house.say(speaker, "/game:r", "2");
        assert_eq!(heard(&mut house, who), ["0 said r@1 1 #1", "4 said /game:r@1 2 #2"]);
        house.seconds(30);
        assert!(house.lose_line(who));
        house.say(speaker, "/game:r", "3");
        house.say(speaker, "r", "4");
        let (who, connected) = come_back(&mut house, shard, (link, user), key, 1);
        assert_eq!(connected.resumed, Some(Resumed::Whole));
        let other = if link == 0 { (Link(4), Some("/game".into())) } else { (Link(0), None) };
        assert_eq!(connected.links, [other]);
        let missed = ["4 said /game:r@1 2 #2", "4 said /game:r@2 3 #3", "0 said r@2 4 #4"];
        assert_eq!(heard(&mut house, who), missed);
        // Both are there with their scopes, may speak, and hear what is new.
        let publish = |link| Command::Publish(Link(link), Box::new(super::house::saying("r", "5")));
        house.get(who, publish(0)).unwrap();
        house.get(who, publish(4)).unwrap();
        assert_eq!(heard(&mut house, who), ["0 said r@3 5 #5", "0 said r@4 5 #6"]);
        let order = Order::Sessions { whom: Whom::All, limit: 10 };
        let Ok(Done::Sessions(all)) = house.order(2, order) else { panic!() };
        let mut mine: Vec<_> = all
            .iter()
            .filter(|it| it.session == key.session)
            .map(|it| (it.user.as_ref().unwrap().as_str(), it.scope()))
            .collect();
        mine.sort_unstable();
        assert_eq!(mine, [("ada", None), ("bob", Some("/game"))]);
        // The rights of the second end when they would have ended, unless it was it that showed its token again.
        house.seconds(if link == 0 { 70 } else { 100 });
        assert_eq!(heard(&mut house, who), ["4 expiring"]);
        house.empty();
    }
}

#[test]
fn a_link_that_was_left_is_not_there_after_a_resume() {
    let mut house = House::new(2, quiet(), 5);
    let who = house.enter(0);
    connect(&mut house, who, 0, "", "ada");
    connect(&mut house, who, 1, "/chat", "ada");
    let key = house.keep(who, 60);
    house.get(who, Command::Leave(Link(1))).unwrap();
    assert!(house.lose_line(who));
    let (who, connected) = come_back(&mut house, 1, (0, "ada"), key, 0);
    assert_eq!((connected.resumed, connected.links.len()), (Some(Resumed::Whole), 0));
    // It may connect again.
    assert_eq!(connect(&mut house, who, 1, "/chat", "ada").session, key.session);
    let target = Target::Channel(Channel::parse("none").unwrap());
    house.get(who, Command::Unsubscribe(Link(1), target)).unwrap();
    house.empty();
}

/// A house with three clients that have two links each, of which those of the scope `/chat` hear `/chat:r`, but for the third's.
fn crowd(seed: u64) -> (House, [Who; 3]) {
    let mut house = House::new(3, quiet(), seed);
    let all = [0, 1, 2].map(|shard| {
        let who = house.enter(shard);
        connect(&mut house, who, 1, "/chat", ["ada", "bob", "cyd"][shard]);
        connect(&mut house, who, 0, "", ["ada", "bob", "cyd"][shard]);
        who
    });
    for who in &all[..2] {
        hear(&mut house, *who, 1, "/chat:r");
    }
    (house, all)
}

fn affected(house: &mut House, order: Order) -> usize {
    match house.order(0, order) {
        Ok(Done::Affected(count)) => count,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_told_goes_by_the_link_that_is_meant() {
    let (mut house, all) = crowd(6);
    let tell = |whom, which| {
        let (event, args) = (Some("greet".into()), Payload::Text("hi".into()).into());
        Order::Tell { whom, which, event, args }
    };
    let room = || Whom::Channel(channel("/chat:r"));
    let one = Whom::Session(house.id(all[2]));
    let scope = |it: &str| Which::Scope(it.into());
    for (whom, which, count, expected) in [
        (room(), Which::Usual, 2, [Some(1), Some(1), None]),
        (room(), Which::Number(Link(0)), 2, [Some(0), Some(0), None]),
        (Whom::Channel(channel("nobody")), Which::Usual, 0, [None; 3]),
        (one.clone(), Which::Usual, 1, [None, None, Some(0)]),
        (one.clone(), scope("/chat"), 1, [None, None, Some(1)]),
        (one, scope("/other"), 0, [None; 3]),
        (Whom::User("bob".into()), Which::Number(Link(1)), 1, [None, Some(1), None]),
        (Whom::All, scope("/chat"), 3, [Some(1); 3]),
        (Whom::All, Which::Number(Link(9)), 0, [None; 3]),
    ] {
        let text = format!("{whom:?} {which:?}");
        assert_eq!(affected(&mut house, tell(whom, which)), count, "{text}");
        for (who, link) in all.iter().zip(expected) {
            let expected: Vec<_> =
                link.map(|it: u16| format!("{it} told hi")).into_iter().collect();
            assert_eq!(heard(&mut house, *who), expected, "{text}");
        }
    }
    house.empty();
}

#[test]
fn orders_reach_all_who_subscribe_to_a_channel() {
    let (mut house, all) = crowd(7);
    let room = || Whom::Channel(channel("/chat:r"));
    let Ok(Done::Sessions(list)) = house.order(1, Order::Sessions { whom: room(), limit: 9 })
    else {
        panic!()
    };
    let mut users: Vec<_> =
        list.iter().map(|it| (it.user.as_ref().unwrap().as_str(), it.scope())).collect();
    users.sort_unstable();
    assert_eq!(users, [("ada", Some("/chat")), ("bob", Some("/chat"))]);
    let list = house.order(1, Order::Sessions { whom: room(), limit: 1 });
    assert!(matches!(list, Ok(Done::Sessions(it)) if it.len() == 1));
    let join = Order::Subscribe {
        whom: room(),
        channel: channel("/chat:next"),
        authorization: Box::default(),
        since: None,
    };
    assert_eq!(affected(&mut house, join), 2);
    let next = || Whom::Channel(channel("/chat:next"));
    let leave = Order::Unsubscribe { whom: next(), channel: channel("/chat:r") };
    assert_eq!(affected(&mut house, leave), 2);
    let told = ["1 subscribed /chat:next not asked", "1 unsubscribed /chat:r App"];
    assert_eq!(heard(&mut house, all[0]), told);
    assert_eq!(
        affected(
            &mut house,
            Order::Disconnect { whom: room(), which: None, why: Disconnect::Done }
        ),
        0
    );
    let away = Order::Disconnect { whom: next(), which: None, why: Disconnect::Done };
    assert_eq!(affected(&mut house, away), 2);
    assert_eq!(heard(&mut house, all[2]), [""; 0], "who was not in it stays");
    house.empty();
}

#[test]
fn one_link_ends_and_the_others_of_its_session_stay() {
    let (mut house, all) = crowd(8);
    let room = || Whom::Channel(channel("/chat:r"));
    let end = |whom, which| Order::Disconnect { whom, which: Some(which), why: Disconnect::Done };
    assert_eq!(affected(&mut house, end(room(), Which::Scope("/other".into()))), 0);
    assert_eq!(affected(&mut house, end(room(), Which::Usual)), 2);
    for who in [all[0], all[1]] {
        assert_eq!(heard(&mut house, who), ["1 ended Done"]);
        assert!(house.get(who, Command::Counts(Link(0), channel("/chat:r"))).is_ok(), "it stays");
        let gone = house.get(who, Command::Counts(Link(1), channel("/chat:r")));
        assert_eq!(gone.unwrap_err().kind, RefusalKind::Unauthorized);
    }
    assert_eq!(heard(&mut house, all[2]), [""; 0], "who was not in it stays");
    assert_eq!(affected(&mut house, end(room(), Which::Usual)), 0, "nobody is there any more");
    // A session whose only link that is ends.
    let one = Whom::Session(house.id(all[0]));
    assert_eq!(affected(&mut house, end(one, Which::Usual)), 1);
    assert_eq!(heard(&mut house, all[0]), ["- disconnect Done"]);
    connect(&mut house, all[1], 1, "/chat", "bob");
    house.empty();
}

fn call_all(whom: Whom) -> Order {
    let (method, args) = ("ask".into(), Payload::Text("?".into()).into());
    let (except, except_channels) = (vec![], vec![]);
    let (which, deadline) = (Which::Usual, Duration::from_secs(5));
    Order::CallAll { whom, which, method, args, except, except_channels, deadline }
}

fn called(house: &mut House, who: Who) -> CallId {
    let found = house.take(who).into_iter().find_map(|it| match it {
        Heard::Event(Event::Call(id, Link(1), ..)) => Some(id),
        _ => None,
    });
    found.expect("it was called")
}

fn answers(done: Option<Result<Done, taiwa_core::Refusal>>) -> Answers {
    match done {
        Some(Ok(Done::Answers(it))) => *it,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_call_of_many_brings_each_answer_with_its_session() {
    let (mut house, all) = crowd(8);
    hear(&mut house, all[2], 1, "/chat:r");
    let id = house.begin_order(1, call_all(Whom::Channel(channel("/chat:r"))));
    house.run();
    let [ada, bob, _] = all.map(|it| called(&mut house, it));
    house.answer_call(all[0], ada, "yes");
    assert!(house.done(1, id).is_none(), "two have not answered");
    let ada = house.id(all[0]);
    house.answer_call(all[1], bob, "no");
    let bob = house.id(all[1]);
    house.seconds(6);
    let mut told = answers(house.done(1, id));
    assert_eq!((told.late, told.left_out, told.nodes_lost), (1, 0, 0));
    told.answers.sort_by_key(|it| it.answer.as_ref().map(super::house::text).unwrap());
    let told: Vec<_> = told.answers.iter().map(|it| (it.session, it.link)).collect();
    assert_eq!(told, [(bob, Link(1)), (ada, Link(1))]);
    // Nobody to call.
    let none = house.order(2, call_all(Whom::Channel(channel("none"))));
    assert_eq!(answers(Some(none)), Answers::default());
    house.empty();
}

#[test]
fn who_goes_or_can_not_be_called_is_among_the_answers() {
    let (mut house, all) = crowd(9);
    house.keep(all[1], 60);
    assert!(house.lose_line(all[1]));
    let id = house.begin_order(0, call_all(Whom::Channel(channel("/chat:r"))));
    house.run();
    called(&mut house, all[0]);
    house.depart(all[0]);
    house.run();
    let told = answers(house.done(0, id));
    let kinds: Vec<_> =
        told.answers.iter().map(|it| it.answer.as_ref().unwrap_err().kind).collect();
    assert_eq!(kinds, [RefusalKind::Unavailable; 2]);
    house.empty();
}

#[test]
fn answers_past_the_limits_are_counted_alone() {
    for (count_max, bytes_max, told, left_out) in [(2, 999, 2, 1), (9, 7, 2, 1), (0, 0, 0, 3)] {
        let mut settings = quiet();
        settings.limits = Limits::default()
            .with(|it| (it.answers_max, it.answers_bytes_max) = (count_max, bytes_max));
        let mut house = House::new(2, settings, 10);
        let all = [0, 1, 0].map(|shard| {
            let who = house.enter(shard);
            connect(&mut house, who, 1, "", "ada");
            who
        });
        let id = house.begin_order(0, call_all(Whom::User("ada".into())));
        house.run();
        for who in all {
            let call = called(&mut house, who);
            house.answer_call(who, call, "yes");
        }
        let answers = answers(house.done(0, id));
        assert_eq!((answers.answers.len(), answers.left_out), (told, left_out));
        house.empty();
    }
}

#[test]
fn one_link_of_a_session_is_called_by_its_scope_or_number() {
    let (mut house, all) = crowd(11);
    let session = house.id(all[0]);
    let call = |which| {
        let (method, args) = ("ask".into(), Payload::null().into());
        Order::Call { session, which, method, args, deadline: Duration::from_secs(5) }
    };
    for (which, link) in [
        (Which::Usual, 0),
        (Which::Scope("/chat".into()), 1),
        (Which::Number(Link(1)), 1),
        (Which::Number(Link(0)), 0),
    ] {
        house.begin_order(2, call(which));
        house.run();
        assert_eq!(heard(&mut house, all[0]), [format!("{link} call ask null")]);
    }
    for which in [Which::Scope("/none".into()), Which::Number(Link(2))] {
        assert_eq!(house.order(2, call(which)).unwrap_err().kind, RefusalKind::NotFound);
    }
    house.empty();
}
