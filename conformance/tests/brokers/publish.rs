//! Saying something.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use taiwa_core::{Accepted, Heard, Keep, Page, Position, Statement};

use crate::{
    fixture::Fixture,
    node::{KEEP, Line, Node, SILENCE, answer, asked, channel, statement},
};

/// No history.
const PASSING: Keep = Keep { size: 0, ttl: Duration::ZERO, epoch_ttl: Duration::ZERO };

pub(crate) async fn positions_are_dense_from_one_in_one_epoch(fixture: &dyn Fixture) {
    let (a, b) = Node::pair(fixture).await;
    let (chat, other) = (channel("chat"), channel("other"));
    let epoch = a.say(&chat, "1").await.epoch;
    assert_ne!(epoch, 0);
    for (node, offset) in [(&b, 2), (&a, 3), (&a, 4), (&b, 5)] {
        assert_eq!(node.say(&chat, "x").await, Position { epoch, offset });
    }
    let there = b.say(&other, "1").await;
    assert_eq!(there.offset, 1);
    assert_ne!(there.epoch, epoch, "each channel has an epoch of its own");
}

pub(crate) async fn what_one_thread_says_is_heard_in_its_order(fixture: &dyn Fixture) {
    const COUNT: u64 = 500;
    let (a, b) = Node::pair(fixture).await;
    let chat = channel("chat");
    a.subscribe(&chat, KEEP, 0).await;
    b.subscribe(&chat, KEEP, 0).await;
    let say = |it: u64| statement(&chat, KEEP, &it.to_string());
    let answers: Vec<_> =
        (1..=COUNT).map(|it| asked(|then| a.cluster.broker.publish(say(it), then))).collect();
    for (said, it) in (1..).zip(answers) {
        assert_eq!(answer(it).await.unwrap().position.unwrap().offset, said);
    }
    for node in [&a, &b] {
        node.diary.until("all", |it| it.len() as u64 >= COUNT).await;
        let heard = node.diary.heard(&chat);
        let offsets: Vec<u64> = heard.iter().map(|it| it.position.unwrap().offset).collect();
        assert_eq!(offsets, (1..=COUNT).collect::<Vec<_>>());
        assert!(heard.iter().all(|it| it.body == it.position.unwrap().offset.to_string()));
    }
}

pub(crate) async fn four_publishers_on_two_nodes_are_heard_alike_by_all(fixture: &dyn Fixture) {
    const EACH: usize = 150;
    let (a, b) = Node::pair(fixture).await;
    let c = Node::join(fixture).await;
    let chat = channel("chat");
    for node in [&a, &b, &c] {
        node.subscribe(&chat, KEEP, 0).await;
    }
    let (answers, given) = std::sync::mpsc::channel();
    std::thread::scope(|threads| {
        for (name, node) in [("p", &a), ("q", &a), ("r", &b), ("s", &b)] {
            let (chat, answers) = (&chat, answers.clone());
            threads.spawn(move || {
                for number in 0..EACH {
                    let said = statement(chat, KEEP, &format!("{name}{number}"));
                    let asked = asked(|then| node.cluster.broker.publish(said, then));
                    answers.send(asked).expect("somebody collects them");
                }
            });
        }
    });
    drop(answers);
    for asked in given {
        answer(asked).await.expect("all are accepted");
    }
    let mut logs = vec![];
    for node in [&a, &b, &c] {
        node.diary.until("all", |it| heard_in(it) >= 4 * EACH).await;
        let heard = node.diary.heard(&chat);
        let offsets: Vec<u64> = heard.iter().map(|it| it.position.unwrap().offset).collect();
        assert_eq!(offsets, (1..=4 * EACH as u64).collect::<Vec<_>>());
        logs.push(heard);
    }
    assert!(logs[0] == logs[1] && logs[1] == logs[2], "all hear the same");
    for name in ["p", "q", "r", "s"] {
        let of = logs[0].iter().filter(|it| it.body.starts_with(name.as_bytes()));
        let wanted = (0..EACH).map(|it| format!("{name}{it}"));
        assert!(of.map(|it| it.body.clone()).eq(wanted), "{name} is heard in its order");
    }
}

fn heard_in(lines: &[Line]) -> usize {
    lines.iter().filter(|it| matches!(it, Line::Heard(_))).count()
}

pub(crate) async fn without_a_history_there_is_no_position(fixture: &dyn Fixture) {
    let (a, b) = Node::pair(fixture).await;
    let chat = channel("chat");
    assert_eq!(b.subscribe(&chat, PASSING, 5).await.entries, []);
    for said in ["1", "2", "3"] {
        let accepted = a.publish(statement(&chat, PASSING, said)).await.unwrap();
        assert_eq!((accepted.position, accepted.repeated), (None, false));
    }
    b.diary.until("all", |it| heard_in(it) == 3).await;
    let heard = |body: &'static str| Heard {
        channel: chat.clone(),
        position: None,
        body: body.into(),
        by_pattern: false,
    };
    assert_eq!(b.diary.heard(&chat), ["1", "2", "3"].map(heard));
    let log = b.read(&chat, PASSING, Page { limit: 9, ..Default::default() }).await;
    assert_eq!(log.entries, []);
}

pub(crate) async fn what_is_said_again_is_said_once(fixture: &dyn Fixture) {
    let (a, b) = Node::pair(fixture).await;
    for (name, keep) in [("kept", KEEP), ("passing", PASSING)] {
        let chat = channel(name);
        a.subscribe(&chat, keep, 0).await;
        let window = Duration::from_secs(2);
        let with = |id: &str, said| {
            let id = Some((id.into(), window));
            Statement { id, ..statement(&chat, keep, said) }
        };
        let first = a.publish(with("x", "1")).await.unwrap();
        assert!(!first.repeated);
        for node in [&a, &b] {
            let again = node.publish(with("x", "again")).await.unwrap();
            assert_eq!((again.position, again.repeated), (first.position, true));
        }
        assert!(!b.publish(with("y", "2")).await.unwrap().repeated, "another identifier");
        let elsewhere = channel(&format!("{name} elsewhere"));
        let said = a.publish(Statement { channel: elsewhere, ..with("x", "0") }).await.unwrap();
        assert!(!said.repeated, "a channel has its own identifiers");
        fixture.pass(window + Duration::from_millis(300)).await;
        let late = b.publish(with("x", "3")).await.unwrap();
        assert!(!late.repeated, "{name}: the window is over");
        a.diary.until("three", |it| heard_in(it) >= 3).await;
        let bodies = a.diary.heard(&chat).into_iter().map(|it| it.body);
        assert_eq!(bodies.collect::<Vec<_>>(), ["1", "2", "3"]);
        a.diary.clear();
    }
}

pub(crate) async fn patterns_bring_what_is_for_them(fixture: &dyn Fixture) {
    let (a, b) = Node::pair(fixture).await;
    let wants = async |node: &Node, wanted| {
        crate::node::ask(|then| node.cluster.broker.hear_patterns(wanted, then)).await.unwrap();
    };
    wants(&b, true).await;
    let (chat, passing, private) = (channel("chat"), channel("a:*.b"), channel("private"));
    b.subscribe(&chat, KEEP, 0).await;
    let for_all =
        |channel, keep, said| Statement { to_patterns: true, ..statement(channel, keep, said) };
    let position = a.publish(for_all(&chat, KEEP, "1")).await.unwrap().position;
    a.publish(for_all(&passing, PASSING, "2")).await.unwrap();
    a.say(&private, "no").await;
    a.publish(for_all(&chat, KEEP, "3")).await.unwrap();
    b.diary.until("five", |it| heard_in(it) >= 5).await;
    let lines = b.diary.lines();
    let mut brought: Vec<&Heard> = lines
        .iter()
        .filter_map(|it| match it {
            Line::Heard(heard) if heard.by_pattern => Some(heard),
            _ => None,
        })
        .collect();
    // Order is promised in one channel: two may lie on two nodes of a cluster.
    brought.sort_by_key(|it| it.channel != chat);
    let first = Heard { channel: chat.clone(), position, body: "1".into(), by_pattern: true };
    assert_eq!(*brought[0], first);
    assert_eq!((brought.len(), &brought[1].body[..]), (3, &b"3"[..]));
    assert_eq!((&brought[2].channel, brought[2].position), (&passing, None));
    let own = b.diary.heard(&chat).into_iter().map(|it| it.body);
    assert_eq!(own.collect::<Vec<_>>(), ["1", "3"], "its own subscription brings it, too");
    wants(&b, false).await;
    b.diary.clear();
    a.publish(for_all(&passing, PASSING, "4")).await.unwrap();
    a.publish(for_all(&chat, KEEP, "5")).await.unwrap();
    b.diary.until("one", |it| heard_in(it) >= 1).await;
    tokio::time::sleep(SILENCE).await;
    assert_eq!((heard_in(&b.diary.lines()), b.diary.heard(&chat).len()), (1, 1));
}

pub(crate) async fn who_unsubscribed_hears_nothing(fixture: &dyn Fixture) {
    let (a, b) = Node::pair(fixture).await;
    let (chat, other) = (channel("chat"), channel("other"));
    for it in [&chat, &other] {
        b.subscribe(it, KEEP, 0).await;
    }
    a.say(&chat, "1").await;
    b.diary.until("one", |it| heard_in(it) == 1).await;
    b.cluster.broker.unsubscribe(&chat);
    b.cluster.broker.unsubscribe(&channel("never"));
    // An answer to a later call shows that the call before it was done.
    b.read(&chat, KEEP, Page::default()).await;
    a.say(&chat, "2").await;
    a.say(&other, "3").await;
    b.diary.until("the other", |it| heard_in(it) == 2).await;
    tokio::time::sleep(SILENCE).await;
    assert_eq!((b.diary.heard(&chat).len(), b.diary.heard(&other).len()), (1, 1));
    // And it can be heard again.
    let log = b.subscribe(&chat, KEEP, 9).await;
    assert_eq!((log.position.offset, log.entries.len()), (2, 2));
    a.say(&chat, "4").await;
    b.diary.until("it again", |it| heard_in(it) == 3).await;
}

pub(crate) async fn whom_it_was_handed_to_is_counted(fixture: &dyn Fixture) {
    let (a, b) = Node::pair(fixture).await;
    for (keep, name) in [(KEEP, "with"), (PASSING, "without")] {
        let chat = channel(name);
        for (count, node) in [(0, &a), (1, &b)] {
            let Accepted { nodes, .. } = a.publish(statement(&chat, keep, "x")).await.unwrap();
            assert!(nodes.is_none_or(|it| it == count), "{nodes:?} is not {count}");
            node.subscribe(&chat, keep, 0).await;
        }
        let Accepted { nodes, .. } = b.publish(statement(&chat, keep, "x")).await.unwrap();
        assert!(nodes.is_none_or(|it| it == 2), "{nodes:?}");
    }
}

pub(crate) async fn large_bodies_arrive(fixture: &dyn Fixture) {
    let (a, b) = Node::pair(fixture).await;
    let chat = channel("chat");
    b.subscribe(&chat, KEEP, 0).await;
    // The longest payload, and what the hub adds to it; bytes that no text has.
    let body: Bytes = (0..1024 * 1024 + 4096_u32).map(|it| (it % 251) as u8).collect();
    let empty = Bytes::new();
    for body in [&body, &empty, &body] {
        let said = Statement { body: body.clone(), ..statement(&chat, KEEP, "") };
        a.publish(said).await.unwrap();
    }
    b.diary.until("three", |it| heard_in(it) == 3).await;
    let bodies: Vec<Bytes> = b.diary.heard(&chat).into_iter().map(|it| it.body).collect();
    assert!(bodies == [body.clone(), empty.clone(), body.clone()]);
    let log = b.read(&chat, KEEP, Page { limit: 9, ..Default::default() }).await;
    assert!(log.entries == [(1, body.clone()), (2, empty), (3, body)]);
}

pub(crate) async fn odd_names_are_names_of_their_own(fixture: &dyn Fixture) {
    let (a, b) = Node::pair(fixture).await;
    let longest = "x".repeat(taiwa_core::CHANNEL_BYTES_MAX);
    let almost = format!("{}y", &longest[1..]);
    let names = [
        "a", "A", "a.b", "a:b", "a/b", "a b", " a", "a ", ".", "..", "a.", ".a", "*", ">", "a.*",
        "a.>", "?", "[a]", "{a}b", "{b}b", "}", "{", "{}", "%7D", "a}", "$SYS", "_INBOX.x", "\\",
        "\"", "'", "#", "+", "対話", "対", "🦀", "é", "e\u{301}", "\u{feff}", &longest, &almost,
    ];
    let channels = names.map(channel);
    assert_eq!(channels.iter().collect::<BTreeSet<_>>().len(), names.len());
    for it in &channels {
        assert_eq!(b.subscribe(it, KEEP, 0).await.position.offset, 0, "{it}");
    }
    for it in &channels {
        assert_eq!(a.say(it, it.as_str()).await.offset, 1, "{it}");
    }
    b.diary.until("all", |it| heard_in(it) >= names.len()).await;
    tokio::time::sleep(SILENCE).await;
    assert_eq!(heard_in(&b.diary.lines()), names.len());
    for it in &channels {
        let heard = b.diary.heard(it);
        assert!(heard.len() == 1 && heard[0].body == it.as_str(), "{it}: {heard:?}");
        let log = b.read(it, KEEP, Page { limit: 9, ..Default::default() }).await;
        assert!(log.entries == [(1, it.as_str().to_owned().into())], "{it}: {log:?}");
    }
}
