//! Sessions that can move.

use std::time::Duration;

use bytes::Bytes;
use taiwa_core::SessionId;

use crate::{
    fixture::Fixture,
    node::{Node, answer, ask, asked},
};

const HOUR: Duration = Duration::from_secs(3600);

async fn save(node: &Node, session: u128, body: impl Into<Bytes>, ttl: Duration) {
    let (session, body) = (SessionId(session), body.into());
    ask(|then| node.cluster.sessions.save(session, body, ttl, then)).await.unwrap();
}

async fn take(node: &Node, session: u128) -> Option<Bytes> {
    ask(|then| node.cluster.sessions.take(SessionId(session), then)).await.unwrap()
}

pub(crate) async fn a_session_is_taken_once(fixture: &dyn Fixture) {
    let (a, b) = Node::pair(fixture).await;
    assert_eq!(take(&a, 1).await, None);
    save(&a, 1, &b"\0one\r\n"[..], HOUR).await;
    save(&a, u128::MAX, "max", HOUR).await;
    assert_eq!(take(&b, 1).await.as_deref(), Some(&b"\0one\r\n"[..]));
    assert_eq!((take(&a, 1).await, take(&b, 1).await), (None, None));
    assert_eq!(take(&b, u128::MAX).await.as_deref(), Some(&b"max"[..]));
    for session in 100..150 {
        save(&a, session, "x", HOUR).await;
        let both = [&a, &b, &a, &b]
            .map(|node| asked(|then| node.cluster.sessions.take(SessionId(session), then)));
        let mut winners = 0;
        for it in both {
            winners += usize::from(answer(it).await.unwrap().is_some());
        }
        assert_eq!(winners, 1, "of those who try at once one gets it");
    }
    let large = vec![7; 256 * 1024];
    save(&a, 2, large.clone(), HOUR).await;
    assert!(take(&b, 2).await.unwrap() == large);
}

pub(crate) async fn a_session_is_kept_for_its_time(fixture: &dyn Fixture) {
    let (a, b) = Node::pair(fixture).await;
    save(&a, 1, "short", Duration::from_secs(2)).await;
    save(&a, 2, "short", Duration::from_secs(2)).await;
    save(&a, 3, "long", Duration::from_secs(2)).await;
    save(&a, 3, "longer", HOUR).await;
    assert_eq!(take(&b, 1).await.as_deref(), Some(&b"short"[..]));
    fixture.pass(Duration::from_millis(2500)).await;
    assert_eq!(take(&b, 2).await, None);
    assert_eq!(take(&b, 3).await.as_deref(), Some(&b"longer"[..]));
}

pub(crate) async fn a_session_is_replaced_and_dropped(fixture: &dyn Fixture) {
    let (a, b) = Node::pair(fixture).await;
    save(&a, 1, "old", HOUR).await;
    save(&b, 1, "new", HOUR).await;
    assert_eq!(take(&a, 1).await.as_deref(), Some(&b"new"[..]));
    save(&a, 1, "again", HOUR).await;
    save(&a, 2, "other", HOUR).await;
    a.cluster.sessions.drop_session(SessionId(1));
    assert_eq!(take(&a, 1).await, None);
    assert_eq!(take(&b, 2).await.as_deref(), Some(&b"other"[..]));
}
