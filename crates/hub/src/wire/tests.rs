//! What goes between nodes arrives as it was, or is not read.

use std::time::Duration;

use taiwa_core::{
    About, Arguments, Authorization, Client, Disconnect, Link, Mixed, Payload, Publish,
    RefusalKind, SessionId, Tags, User,
};

use super::*;
use crate::{
    dice::Dice,
    letter::{Calling, Deed, Except},
    order::{Answers, ClientAnswer, Counters, Info, Which, Whom},
};

const NAMES: &Names = &["plain", "sse"];

fn channel() -> Channel {
    Channel::parse("news:対話").unwrap()
}

fn member() -> Member {
    let client = Client {
        session: SessionId(7 << 100 | 3),
        user: Some(User::from("ada")),
        about: About::in_scope(
            About::new(Some("{\"a\":1}".into()), Some("\"secret\"".into())),
            Some("/chat".into()),
        ),
        address: Some([127, 0, 0, 1].into()),
        dialect: "sse",
    };
    Member { client: Arc::new(client), channel_info: Some("[]".into()) }
}

fn said(publish: &Publish, named: bool, receipt: Option<Receipt>) -> Spoken {
    let body = write_publish(publish, Some(&member()), named, receipt, 99).unwrap();
    let position = Some(Position { epoch: 5, offset: 6 });
    match read_body(&channel(), position, &body, NAMES) {
        Some(Body::Said(spoken)) => *spoken,
        other => panic!("{other:?}"),
    }
}

#[test]
fn payloads_of_all_kinds_arrive_as_they_were() {
    let pieces = ["[".into(), ",2,".into(), "]".into()];
    let mixed = Mixed { pieces: pieces.into(), attachments: ["\0".into(), "".into()].into() };
    for payload in [
        Payload::Json("{}".into()),
        Payload::Text("対話\0".into()),
        Payload::Binary(vec![0xff, 0, 1].into()),
        Payload::Mixed(Arc::new(mixed)),
        Payload::Binary(Bytes::new()),
    ] {
        let spoken = said(&Publish::new(channel(), payload.clone()), true, None);
        assert_eq!(spoken.publication.payload, payload);
    }
}

#[test]
fn what_belongs_to_a_publication_comes_along_and_what_the_app_remembers_does_not() {
    let mut publish = Publish::new(channel(), Payload::null());
    publish.event = Some("tick".into());
    publish.key = Some("eur".into());
    publish.tags = Tags::new([("a".to_owned(), "b".to_owned())]);
    publish.except = vec![SessionId(9), SessionId(2)];
    let receipt = Receipt { node: 1, shard: 2, ticket: 3 };
    let spoken = said(&publish, true, Some(receipt));
    let it = &spoken.publication;
    assert_eq!((&it.event, &it.key, &it.tags), (&publish.event, &publish.key, &publish.tags));
    assert_eq!((it.at, it.position), (99, Some(Position { epoch: 5, offset: 6 })));
    let mut theirs = member();
    let about = About::new(theirs.client.info().cloned(), None);
    let client = Client {
        about: About::in_scope(about, Some("/chat".into())),
        ..Client::clone(&theirs.client)
    };
    theirs.client = Arc::new(client);
    assert_eq!(it.publisher.as_deref(), Some(&theirs));
    assert_eq!(spoken.except, publish.except);
    assert_eq!((spoken.origin, spoken.receipt), (theirs.client.session, Some(receipt)));
    assert_eq!(said(&publish, false, None).publication.publisher, None, "nobody is named");
}

#[test]
fn a_dialect_that_is_not_spoken_here_is_elsewhere() {
    let (node, link, member) = (NodeId(7 << 60), Link(9), Arc::new(member()));
    let body = write_change(&Move { node, link, member, joined: true, of_user: false }).unwrap();
    let Some(Body::Changed(it)) = read_body(&channel(), None, &body, &["plain"]) else { panic!() };
    assert_eq!((it.node, it.link, it.joined, it.of_user), (node, link, true, false));
    assert_eq!(it.member.client.dialect, "elsewhere");
}

#[track_caller]
fn task(task: Task) {
    let expected = format!("{task:?}");
    let letter = FarText::Task(3, 4, Box::new(task)).write(5).unwrap();
    assert_eq!((shard_of(&letter, 64), shard_of(&letter, 4)), (Some(5), Some(1)));
    match FarText::read(&letter, NAMES) {
        Some(FarText::Task(3, 4, task)) => assert_eq!(format!("{task:?}"), expected),
        other => panic!("{other:?}"),
    }
}

#[test]
fn orders_arrive_as_they_were() {
    task(Task::Channels { prefix: "n".into(), limit: 7 });
    task(Task::Sessions { whom: Whom::User(User::from("bob")), limit: usize::MAX });
    task(Task::Sessions { whom: Whom::Channel(channel()), limit: 1 });
    task(Task::Info);
    task(Task::Session(SessionId(u128::MAX)));
    let authorization = Authorization {
        info: Some("1".into()),
        data: Some(Payload::Text("t".into())),
        expires: Some(Duration::from_millis(1500)),
        client_refreshes: true,
        join_leave: Some(false),
    };
    let (whom, since) = (Whom::Session(SessionId(7)), Some(Position { epoch: 1, offset: 2 }));
    let (channel, authorization) = (channel(), Box::new(authorization));
    task(Task::ToSessions(whom, Deed::Subscribe { channel, authorization, since }));
    let user = || Whom::User(User::from("bob"));
    task(Task::ToSessions(user(), Deed::Unsubscribe(self::channel())));
    task(Task::ToSessions(Whom::All, Deed::Refresh(None)));
    for (which, event) in [
        (Which::Usual, None),
        (Which::Scope("/chat".into()), Some("greet".into())),
        (Which::Number(Link(7)), None),
    ] {
        let mixed =
            Mixed { pieces: ["[1,", "]"].map(Into::into).into(), attachments: ["x".into()].into() };
        for payload in [Payload::Json("[1,2]".into()), Payload::Mixed(Arc::new(mixed))] {
            for is_list in [false, true] {
                let args = Arguments { payload: payload.clone(), is_list };
                let (which, event) = (which.clone(), event.clone());
                task(Task::ToSessions(Whom::All, Deed::Tell { which, event, args }));
            }
        }
    }
    let app = Disconnect::App { code: 4001, reason: "so".into(), may_return: true };
    for why in [
        Disconnect::Done,
        Disconnect::BadRequest,
        Disconnect::Unauthorized,
        Disconnect::Stale,
        Disconnect::Slow,
        Disconnect::Expired,
        Disconnect::Revoked,
        Disconnect::InsufficientState,
        Disconnect::Rate,
        Disconnect::Shutdown(Some(Duration::from_secs(3))),
        Disconnect::Replaced,
        app,
    ] {
        for which in [None, Some(Which::Scope("/chat".into()))] {
            task(Task::ToSessions(user(), Deed::Disconnect(which, why.clone())));
        }
    }
    let (session, deadline) = (SessionId(8), Duration::from_secs(1));
    let (method, args) = ("do".into(), Payload::Binary("x".into()).into());
    let calling = Box::new(Calling { method, args, deadline });
    task(Task::Call { session, which: Which::Usual, calling: calling.clone() });
    let which = Which::Scope("/chat".into());
    for (sessions, channels) in
        [(vec![], vec![]), (vec![SessionId(7)], vec![]), (vec![], vec![self::channel()])]
    {
        let except = Except::new(sessions, channels);
        let (which, calling) = (which.clone(), calling.clone());
        let deed = Deed::Call { which, calling, except };
        task(Task::ToSessions(Whom::Channel(self::channel()), deed));
    }
    let args = Arguments { payload: Payload::Json("[]".into()), is_list: true };
    let calling = Box::new(Calling { method: "do".into(), args, deadline });
    task(Task::Call { session, which: Which::Usual, calling });
}

#[track_caller]
fn part(result: Result<Done, Refusal>) {
    let expected = format!("{result:?}");
    let letter = FarText::TaskDone(9, result).write(0).unwrap();
    match FarText::read(&letter, NAMES) {
        Some(FarText::TaskDone(9, result)) => assert_eq!(format!("{result:?}"), expected),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_came_of_orders_arrives_as_it_was() {
    part(Ok(Done::Affected(3)));
    part(Ok(Done::Channels(vec![(channel(), 2)])));
    let mut client = Client::clone(&member().client);
    client.about = About::new(client.info().cloned(), None);
    let client = Arc::new(client);
    part(Ok(Done::Sessions(vec![client.clone()])));
    let patterns = vec!["n:*".into()];
    let info =
        crate::SessionInfo { client, is_connected: true, channels: vec![channel()], patterns };
    part(Ok(Done::Session(Box::new(info))));
    part(Ok(Done::Answer(Payload::Text("yes".into()))));
    let said = [Ok(Payload::Text("yes".into())), Err(Refusal::new(RefusalKind::App, "no"))];
    let one = |answer| ClientAnswer { session: SessionId(5), link: Link(6), answer };
    let answers = said.into_iter().map(one).collect();
    let answers = Answers { answers, late: 1, left_out: 2, nodes_lost: 3 };
    part(Ok(Done::Answers(Box::new(answers))));
    let counters = Counters { published: 1, gaps: 2, parts_lost: 3, ..Counters::default() };
    let info = Info { sessions: 1, kept: 2, users: 3, subscriptions: 4, channels: 5, counters };
    part(Ok(Done::Info(vec![info])));
    for kind in [
        RefusalKind::BadRequest,
        RefusalKind::Unauthorized,
        RefusalKind::Forbidden,
        RefusalKind::Expired,
        RefusalKind::NotFound,
        RefusalKind::AlreadySubscribed,
        RefusalKind::NotAvailable,
        RefusalKind::Limit,
        RefusalKind::Rate(Duration::from_millis(7)),
        RefusalKind::Unrecoverable,
        RefusalKind::Deadline,
        RefusalKind::Unavailable,
        RefusalKind::App,
    ] {
        part(Err(Refusal { code: Some(4), ..Refusal::new(kind, "so") }));
    }
}

#[test]
fn a_session_is_read_as_it_was_saved() {
    let link = SavedLink {
        link: 1,
        user: Some("ada".into()),
        scope: Some("/chat".into()),
        info: Some(vec![2]),
        meta: Some(vec![3]),
        ends: Some((4, false)),
    };
    let subscription = SavedSubscription {
        link: 1,
        channel: "a".into(),
        epoch: 1,
        offset: 2,
        join_leave: true,
        positioned: false,
        echo: true,
        once: false,
        info: Some(vec![1]),
        ends: Some((3, true)),
    };
    let saved = Saved {
        secret: u128::MAX,
        ttl: Duration::from_secs(60),
        links: vec![link],
        top: 5,
        subscriptions: vec![subscription],
        log: vec![(1, "a".into(), Some((1, 2)), vec![3])],
    };
    let read = Saved::read(&saved.write().unwrap()).unwrap();
    assert_eq!(format!("{read:?}"), format!("{saved:?}"));
}

#[test]
fn what_is_damaged_or_of_another_version_is_not_read() {
    let publish = Publish::new(channel(), Payload::Json("[1,2,3]".into()));
    let body = write_publish(&publish, Some(&member()), true, None, 99).unwrap();
    let letter = FarText::Delivered(1, 2).write(3).unwrap();
    assert!(shard_of(&[], 1).is_none() && shard_of(&[VERSION, 0], 1).is_none());
    for whole in [&body, &letter] {
        let mut other = whole.to_vec();
        other[0] += 1;
        let other = Bytes::from(other);
        assert!(read_body(&channel(), None, &other, NAMES).is_none());
        assert!(FarText::read(&other, NAMES).is_none() && shard_of(&other, 1).is_none());
    }
    for len in 0..body.len() {
        assert!(read_body(&channel(), None, &body.slice(..len), NAMES).is_none(), "{len}");
    }
    // Whatever the bytes are, reading ends without a panic, and what is read keeps its promises.
    let mut dice = Dice::new(1);
    for _ in 0..20_000 {
        let mut bytes = body.to_vec();
        for _ in 0..=dice.below(4) {
            let at = dice.below(bytes.len());
            bytes[at] = dice.below(256) as u8;
        }
        let bytes = Bytes::from(bytes);
        if let Some(Body::Said(it)) = read_body(&channel(), None, &bytes, NAMES)
            && let Payload::Json(text) | Payload::Text(text) = &it.publication.payload
        {
            assert!(std::str::from_utf8(text).is_ok());
        }
        let _ = (FarText::read(&bytes, NAMES), Saved::read(&bytes));
    }
}
