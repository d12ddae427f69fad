//! Hearing a channel from now on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use taiwa_core::{Accepted, Page, Position, Refusal};

use crate::{
    fixture::Fixture,
    node::{KEEP, Node, SILENCE, channel, statement, texts},
};

/// Publications that wait for their answers at once.
const UNANSWERED_MAX: usize = 256;

pub(crate) async fn the_log_comes_with_the_position(fixture: &dyn Fixture) {
    let (a, b) = Node::pair(fixture).await;
    let chat = channel("chat");
    for said in ["1", "2", "3", "4"] {
        a.say(&chat, said).await;
    }
    let log = b.subscribe(&chat, KEEP, 2).await;
    assert_eq!(texts(&log.entries), [(3, "3".into()), (4, "4".into())], "the newest, in order");
    assert_eq!(log.position.offset, 4);
    let log = a.subscribe(&chat, KEEP, 0).await;
    assert_eq!((log.position.offset, log.entries.len()), (4, 0));
    let all = b.subscribe(&chat, KEEP, 100).await;
    assert_eq!(all.entries.len(), 4);
}

pub(crate) async fn everything_behind_the_position_is_heard(fixture: &dyn Fixture) {
    let (a, b) = Node::pair(fixture).await;
    let chat = channel("chat");
    let ready = AtomicBool::new(false);
    // What answers runs where a panic would end all scenes.
    let (waiting, refused) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let speak = async {
        for number in 0.. {
            let said = statement(&chat, KEEP, &number.to_string());
            waiting.fetch_add(1, Ordering::Relaxed);
            let (answers, refusals) = (waiting.clone(), refused.clone());
            let answered = move |it: Result<Accepted, Refusal>| {
                answers.fetch_sub(1, Ordering::Relaxed);
                refusals.fetch_add(usize::from(it.is_err()), Ordering::Relaxed);
            };
            a.cluster.broker.publish(said, Box::new(answered));
            if number % 8 == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            while waiting.load(Ordering::Relaxed) > UNANSWERED_MAX {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            if ready.load(Ordering::Relaxed) {
                break;
            }
        }
    };
    let listen = async {
        for round in 0..20 {
            b.diary.clear();
            let limit = round % 4 * 3;
            let log = b.subscribe(&chat, KEEP, limit).await;
            let Position { epoch, offset } = log.position;
            let wanted = offset.saturating_sub(limit as u64) + 1..=offset;
            let told: Vec<u64> = log.entries.iter().map(|it| it.0).collect();
            assert_eq!(told, wanted.collect::<Vec<_>>(), "the log ends with the position");
            let far = |it: &Node| {
                it.diary
                    .heard(&chat)
                    .last()
                    .is_some_and(|it| it.position.unwrap().offset >= offset + 10)
            };
            while !far(&b) {
                b.diary.until("more", |it| !it.is_empty()).await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let heard = b.diary.heard(&chat);
            assert!(heard.iter().all(|it| it.position.unwrap().epoch == epoch));
            let offsets = heard.iter().map(|it| it.position.unwrap().offset);
            let behind: Vec<u64> = offsets.filter(|it| *it > offset).collect();
            let dense: Vec<u64> = (offset + 1..).take(behind.len()).collect();
            assert_eq!(behind, dense, "round {round}: no hole behind {offset}");
            b.cluster.broker.unsubscribe(&chat);
        }
        ready.store(true, Ordering::Relaxed);
    };
    let both = async { tokio::join!(speak, listen) };
    tokio::time::timeout(crate::node::SOON, both).await.expect("in time");
    assert_eq!(refused.load(Ordering::Relaxed), 0, "all was taken that was said");
}

pub(crate) async fn asked_again_it_only_tells(fixture: &dyn Fixture) {
    let (a, b) = Node::pair(fixture).await;
    let chat = channel("chat");
    b.subscribe(&chat, KEEP, 0).await;
    b.subscribe(&chat, KEEP, 0).await;
    a.say(&chat, "1").await;
    b.diary.until("one", |it| !it.is_empty()).await;
    assert_eq!(b.subscribe(&chat, KEEP, 9).await.entries.len(), 1);
    tokio::time::sleep(SILENCE).await;
    assert_eq!(b.diary.heard(&chat).len(), 1, "it is heard once");
    b.cluster.broker.unsubscribe(&chat);
    b.read(&chat, KEEP, Page::default()).await;
    a.say(&chat, "2").await;
    tokio::time::sleep(SILENCE).await;
    assert_eq!(b.diary.heard(&chat).len(), 1, "one unsubscribe is enough");
}

pub(crate) async fn an_epoch_begins_with_the_first_who_asks(fixture: &dyn Fixture) {
    let (a, b) = Node::pair(fixture).await;
    let (chat, other) = (channel("chat"), channel("other"));
    let born = b.subscribe(&chat, KEEP, 9).await;
    assert_eq!((born.position.offset, born.entries.len()), (0, 0));
    assert_ne!(born.position.epoch, 0);
    let first = a.say(&chat, "1").await;
    assert_eq!(first, Position { offset: 1, ..born.position });
    let read = a.read(&other, KEEP, Page::default()).await.position;
    assert_eq!(b.read(&other, KEEP, Page { limit: 1, ..Default::default() }).await.position, read);
    assert_eq!(b.say(&other, "1").await, Position { offset: 1, ..read });
}
