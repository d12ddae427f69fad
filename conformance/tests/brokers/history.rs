//! What was said before.

use std::time::Duration;

use taiwa_core::{Keep, Page, Position};

use crate::{
    fixture::Fixture,
    node::{KEEP, Node, ask, channel, statement, texts},
};

pub(crate) async fn pages_are_read_in_both_directions(fixture: &dyn Fixture) {
    let (a, b) = Node::pair(fixture).await;
    let chat = channel("chat");
    let mut epoch = 0;
    for said in 1..=12 {
        epoch = a.say(&chat, &said.to_string()).await.epoch;
    }
    let forward = |since, limit| Page { since, limit, reverse: false };
    let backward = |since, limit| Page { since, limit, reverse: true };
    let at = |offset| Some(Position { epoch, offset });
    let other = Some(Position { epoch: epoch ^ 1, offset: 11 });
    for (page, wanted) in [
        (forward(None, 0), vec![]),
        (forward(None, 3), vec![1, 2, 3]),
        (forward(at(0), 2), vec![1, 2]),
        (forward(at(3), 3), vec![4, 5, 6]),
        (forward(at(10), 100), vec![11, 12]),
        (forward(at(12), 9), vec![]),
        (forward(at(99), 9), vec![]),
        (forward(other, 9), vec![12]),
        (backward(None, 0), vec![]),
        (backward(None, 3), vec![12, 11, 10]),
        (backward(at(10), 3), vec![9, 8, 7]),
        (backward(at(2), 9), vec![1]),
        (backward(at(1), 9), vec![]),
        (backward(at(0), 9), vec![]),
        (backward(at(99), 1), vec![12]),
    ] {
        let log = b.read(&chat, KEEP, page).await;
        assert_eq!(log.position, Position { epoch, offset: 12 }, "{page:?}");
        let wanted: Vec<_> = wanted.into_iter().map(|it: u64| (it, it.to_string())).collect();
        assert_eq!(texts(&log.entries), wanted, "{page:?}");
    }
}

const ALL: Page = Page { since: None, limit: 100, reverse: false };

pub(crate) async fn no_more_than_the_size_is_kept(fixture: &dyn Fixture) {
    let (a, b) = Node::pair(fixture).await;
    let chat = channel("chat");
    let keep = Keep { size: 3, ..KEEP };
    for said in 1..=250 {
        a.publish(statement(&chat, keep, &said.to_string())).await.unwrap();
    }
    let log = b.read(&chat, keep, ALL).await;
    let kept: Vec<u64> = log.entries.iter().map(|it| it.0).collect();
    assert_eq!((log.position.offset, kept), (250, vec![248, 249, 250]));
    assert_eq!(b.subscribe(&chat, keep, 100).await.entries.len(), 3);
    let one = Keep { size: 1, ..KEEP };
    assert_eq!(texts(&b.read(&chat, one, ALL).await.entries), [(250, "250".into())]);
}

pub(crate) async fn nothing_is_kept_beyond_its_age(fixture: &dyn Fixture) {
    let (a, b) = Node::pair(fixture).await;
    let chat = channel("chat");
    let keep = Keep { ttl: Duration::from_secs(3), ..KEEP };
    for said in ["1", "2", "3", "4", "5"] {
        a.publish(statement(&chat, keep, said)).await.unwrap();
    }
    fixture.pass(Duration::from_secs(2)).await;
    a.publish(statement(&chat, keep, "6")).await.unwrap();
    assert_eq!(b.read(&chat, keep, ALL).await.entries.len(), 6);
    fixture.pass(Duration::from_millis(1300)).await;
    let young = [(6, "6".to_owned())];
    let first = Page { limit: 1, ..ALL };
    assert_eq!(
        texts(&b.read(&chat, keep, first).await.entries),
        young,
        "the old ones do not count"
    );
    assert_eq!(texts(&b.read(&chat, keep, ALL).await.entries), young);
    assert_eq!(texts(&b.subscribe(&chat, keep, 9).await.entries), young);
    assert_eq!(texts(&b.read(&chat, keep, Page { reverse: true, ..ALL }).await.entries), young);
    fixture.pass(Duration::from_millis(2300)).await;
    let log = b.read(&chat, keep, ALL).await;
    assert_eq!((log.position.offset, log.entries.len()), (6, 0), "the position stays");
    let seventh = a.publish(statement(&chat, keep, "7")).await.unwrap().position.unwrap();
    assert_eq!(seventh, Position { offset: 7, ..log.position });
}

pub(crate) async fn an_epoch_ends_when_its_time_is_over(fixture: &dyn Fixture) {
    let (a, b) = Node::pair(fixture).await;
    let chat = channel("chat");
    let ttl = Duration::from_secs(1);
    let keep = Keep { size: 9, ttl, epoch_ttl: Duration::from_secs(3) };
    let say = async |node: &Node| {
        node.publish(statement(&chat, keep, "x")).await.unwrap().position.unwrap()
    };
    let first = say(&a).await;
    fixture.pass(Duration::from_millis(1500)).await;
    let second = say(&b).await;
    assert_eq!(second, Position { offset: 2, ..first }, "it outlives what was said");
    fixture.pass(Duration::from_secs(4)).await;
    let third = say(&a).await;
    assert_eq!(third.offset, 1);
    assert_ne!(third.epoch, first.epoch, "who was there before can see that something is missing");
    let log = b.read(&chat, keep, ALL).await;
    assert_eq!((log.position, log.entries.len()), (third, 1));
}

pub(crate) async fn what_is_forgotten_leaves_its_position(fixture: &dyn Fixture) {
    let (a, b) = Node::pair(fixture).await;
    let (chat, other) = (channel("chat"), channel("other"));
    for said in ["1", "2"] {
        a.say(&chat, said).await;
    }
    let position = a.say(&chat, "3").await;
    a.say(&other, "1").await;
    ask(|then| b.cluster.broker.forget(&chat, KEEP, then)).await.unwrap();
    let log = a.read(&chat, KEEP, ALL).await;
    assert_eq!((log.position, log.entries), (position, vec![]));
    assert_eq!(a.say(&chat, "4").await, Position { offset: 4, ..position });
    assert_eq!(texts(&b.read(&chat, KEEP, ALL).await.entries), [(4, "4".into())]);
    assert_eq!(b.read(&other, KEEP, ALL).await.entries.len(), 1, "others stay");
    ask(|then| b.cluster.broker.forget(&channel("never"), KEEP, then)).await.unwrap();
}

pub(crate) async fn what_was_said_outlives_the_nodes(fixture: &dyn Fixture) {
    let (a, b) = Node::pair(fixture).await;
    let chat = channel("chat");
    a.say(&chat, "1").await;
    let position = b.say(&chat, "2").await;
    for node in [a, b] {
        fixture.kill(node.cluster).await;
    }
    let c = Node::join(fixture).await;
    let log = c.subscribe(&chat, KEEP, 9).await;
    assert_eq!(log.position, position);
    assert_eq!(texts(&log.entries), [(1, "1".into()), (2, "2".into())]);
    assert_eq!(c.say(&chat, "3").await, Position { offset: 3, ..position });
}
