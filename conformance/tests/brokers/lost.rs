//! A broker that can't be reached.

use std::time::{Duration, Instant};

use bytes::Bytes;
use taiwa_core::{NodeId, Position, Refusal, RefusalKind, SessionId, State, Statement};

use crate::{
    fixture::{Fixture, Kept},
    node::{KEEP, Line, Node, answer, ask, asked, channel, entry, statement, texts},
};

/// So soon a broker that is known to be away says no.
const PROMPTLY: Duration = Duration::from_millis(500);
/// So soon a broker that gives no sign of life is given up.
const AT_LAST: Duration = Duration::from_secs(12);

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Refusal>) {
    assert_eq!(result.unwrap_err().kind, RefusalKind::Unavailable);
}

async fn everything_is_refused(node: &Node, to: NodeId) {
    let begun = Instant::now();
    let (chat, cluster) = (channel("chat"), &node.cluster);
    let said = statement(&chat, KEEP, "lost");
    refused(node.publish(said).await);
    refused(ask(|then| cluster.broker.subscribe(&channel("new"), KEEP, 0, then)).await);
    refused(ask(|then| cluster.broker.read(&chat, KEEP, Default::default(), then)).await);
    refused(ask(|then| cluster.broker.forget(&chat, KEEP, then)).await);
    refused(ask(|then| cluster.broker.hear_patterns(true, then)).await);
    let somebody = entry(9, 0, Some("eve"), "");
    refused(ask(|then| cluster.presence.come(&chat, somebody.clone(), then)).await);
    refused(ask(|then| cluster.presence.who(&chat, 9, then)).await);
    refused(ask(|then| cluster.presence.counts(&chat, then)).await);
    let session = SessionId(9);
    let hour = Duration::from_secs(3600);
    refused(ask(|then| cluster.sessions.save(session, Bytes::new(), hour, then)).await);
    refused(ask(|then| cluster.sessions.take(session, then)).await);
    assert!(node.send(to, Bytes::new()).await.is_err());
    assert!(begun.elapsed() < PROMPTLY, "it took {:?}", begun.elapsed());
    assert!(!cluster.registry.look().up);
}

async fn hears(node: &Node, state: State) {
    node.diary.until("its state", |it| it.contains(&Line::State(state))).await;
}

pub(crate) async fn a_broker_that_is_away_refuses_and_comes_back(fixture: &dyn Fixture) {
    let (a, b) = Node::pair(fixture).await;
    let (chat, left) = (channel("chat"), channel("left"));
    for it in [&chat, &left] {
        b.subscribe(it, KEEP, 0).await;
    }
    let position = a.say(&chat, "1").await;
    b.come(&chat, &entry(1, 0, Some("ada"), "")).await;
    let (session, hour) = (SessionId(1), Duration::from_secs(3600));
    ask(|then| a.cluster.sessions.save(session, "kept".into(), hour, then)).await.unwrap();
    fixture.stop(Kept::Everything).await;
    for node in [&a, &b] {
        hears(node, State::Lost).await;
    }
    everything_is_refused(&a, b.id).await;
    b.cluster.broker.unsubscribe(&left);
    fixture.start().await;
    for node in [&a, &b] {
        hears(node, State::Back { entries_lost: false }).await;
        assert!(node.cluster.registry.look().up);
    }
    assert_eq!(a.say(&chat, "2").await, Position { offset: 2, ..position });
    a.say(&left, "x").await;
    b.diary.until("the second", |_| b.diary.heard(&chat).len() == 2).await;
    assert_eq!(b.diary.heard(&left), []);
    assert_eq!(a.counts(&chat).await, (1, 1));
    let log = a.subscribe(&chat, KEEP, 9).await;
    assert_eq!(texts(&log.entries), [(1, "1".into()), (2, "2".into())]);
    let taken = ask(|then| b.cluster.sessions.take(session, then)).await.unwrap();
    assert_eq!(taken.as_deref(), Some(&b"kept"[..]));
    a.send(b.id, "x".into()).await.unwrap();
    a.knows(&[a.id, b.id]).await;
    let gone = |it: &Node| it.diary.lines().iter().any(|it| matches!(it, Line::Gone(_)));
    assert!(!gone(&a) && !gone(&b), "who was cut off for a moment is not gone");
}

pub(crate) async fn a_broker_that_lost_everything_says_so(fixture: &dyn Fixture) {
    let (a, b) = Node::pair(fixture).await;
    let chat = channel("chat");
    b.subscribe(&chat, KEEP, 0).await;
    let position = a.say(&chat, "1").await;
    let here = entry(1, 0, Some("ada"), "");
    a.come(&chat, &here).await;
    let secret = a.cluster.registry.secret();
    fixture.stop(Kept::Nothing).await;
    hears(&a, State::Lost).await;
    fixture.start().await;
    for node in [&a, &b] {
        hears(node, State::Back { entries_lost: true }).await;
    }
    let new = a.say(&chat, "2").await;
    assert_eq!(new.offset, 1);
    assert_ne!(new.epoch, position.epoch, "an epoch of its own: nobody takes it for the old log");
    b.diary.until("it", |_| b.diary.heard(&chat).iter().any(|it| it.position == Some(new))).await;
    assert_eq!(b.counts(&chat).await, (0, 0));
    assert!(a.come(&chat, &here).await, "told again");
    assert_eq!(b.who(&chat, 9).await, [(a.id, here)]);
    for node in [&a, &b] {
        node.knows(&[a.id, b.id]).await;
    }
    a.send(b.id, "x".into()).await.unwrap();
    let c = Node::join(fixture).await;
    assert_eq!(c.cluster.registry.secret(), secret, "the nodes still have it");
    c.knows(&[a.id, b.id, c.id]).await;
}

pub(crate) async fn a_broker_that_stands_still_refuses_in_time(fixture: &dyn Fixture) {
    const FLOOD: usize = 100_000;
    let (a, b) = Node::pair(fixture).await;
    let chat = channel("chat");
    b.subscribe(&chat, KEEP, 0).await;
    let position = a.say(&chat, "1").await;
    fixture.freeze().await;
    let begun = Instant::now();
    let body = Bytes::from(vec![b'x'; 2048]);
    let say = || Statement { body: body.clone(), ..statement(&chat, KEEP, "") };
    let answers: Vec<_> =
        (0..FLOOD).map(|_| asked(|then| a.cluster.broker.publish(say(), then))).collect();
    assert!(begun.elapsed() < Duration::from_secs(5), "no call waits");
    for it in answers {
        refused(answer(it).await);
    }
    assert!(begun.elapsed() < AT_LAST, "it took {:?}", begun.elapsed());
    for node in [&a, &b] {
        // Also one that wants nothing notices.
        hears(node, State::Lost).await;
    }
    everything_is_refused(&a, b.id).await;
    assert_eq!(a.cluster.registry.look().waiting, 0);
    fixture.thaw().await;
    for node in [&a, &b] {
        hears(node, State::Back { entries_lost: false }).await;
    }
    // What was refused may have been said all the same: nobody knows.
    let now = a.say(&chat, "2").await;
    assert_eq!(now.epoch, position.epoch);
    assert!(now.offset > position.offset);
    b.diary.until("it", |_| b.diary.heard(&chat).iter().any(|it| it.position == Some(now))).await;
}
