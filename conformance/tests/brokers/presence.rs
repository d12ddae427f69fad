//! Who is in a channel.

use taiwa_core::{Entry, NodeId};

use crate::{
    fixture::Fixture,
    node::{Line, Node, ask, channel, entry},
};

pub(crate) async fn the_first_and_the_last_of_a_user_are_told(fixture: &dyn Fixture) {
    let (a, b) = Node::pair(fixture).await;
    let (chat, other) = (channel("chat"), channel("other"));
    let (one, two, three) = (
        entry(1, 0, Some("ada"), ""),
        entry(2, 0, Some("ada"), ""),
        entry(2, 1, Some("ada"), "another link"),
    );
    let bob = entry(4, 0, Some("bob"), "");
    assert!(a.come(&chat, &one).await, "the first");
    assert!(!b.come(&chat, &two).await, "the second, on another node");
    assert!(!b.come(&chat, &three).await, "another link");
    assert!(b.come(&chat, &bob).await, "another user");
    assert!(b.come(&other, &two).await, "another channel");
    assert!(!a.go(&chat, &one).await, "two are left on the other node");
    assert!(!a.go(&chat, &one).await, "it is gone already");
    assert!(!b.go(&chat, &two).await);
    assert!(b.go(&chat, &three).await, "the last");
    assert!(a.come(&chat, &one).await, "the first again");
    assert!(a.go(&chat, &one).await);
    for number in 10..13 {
        let nobody = entry(number, 0, None, "");
        assert!(a.come(&chat, &nobody).await, "each of the anonymous is the first");
    }
    assert!(a.go(&chat, &entry(11, 0, None, "")).await, "and the last");
}

fn sorted(mut members: Vec<(NodeId, Entry)>) -> Vec<(NodeId, Entry)> {
    members.sort_by_key(|(_, it)| (it.session, it.link));
    members
}

pub(crate) async fn members_are_listed_and_counted(fixture: &dyn Fixture) {
    let (a, b) = Node::pair(fixture).await;
    let chat = channel("{chat} 対話");
    assert_eq!((a.who(&chat, 9).await, a.counts(&chat).await), (vec![], (0, 0)));
    let members = [
        (&a, entry(1, 0, Some("ada"), "\0\r\n*?")),
        (&b, entry(2, 0, Some("ada"), "")),
        (&b, entry(3, 65535, Some("3:ada \n"), "x")),
        (&a, entry(4, 0, None, "y")),
        (&b, entry(u128::MAX, 0, None, "z")),
    ];
    for (node, it) in &members {
        node.come(&chat, it).await;
    }
    let wanted: Vec<_> = members.iter().map(|(node, it)| (node.id, it.clone())).collect();
    for node in [&a, &b] {
        assert_eq!(sorted(node.who(&chat, 100).await), wanted);
        assert_eq!(node.counts(&chat).await, (5, 3), "the anonymous are one user");
        let some = node.who(&chat, 3).await;
        assert_eq!(some.len(), 3);
        assert!(some.iter().all(|it| wanted.contains(it)));
        assert_eq!(node.who(&chat, 0).await, []);
    }
    for (node, it) in &members[..4] {
        node.go(&chat, it).await;
    }
    assert_eq!((a.who(&chat, 9).await, a.counts(&chat).await), (wanted[4..].to_vec(), (1, 1)));
}

pub(crate) async fn an_entry_is_replaced(fixture: &dyn Fixture) {
    let (a, b) = Node::pair(fixture).await;
    let chat = channel("chat");
    a.come(&chat, &entry(1, 0, Some("ada"), "old")).await;
    let new = entry(1, 0, Some("ada"), "new");
    assert!(!a.come(&chat, &new).await, "the user was there before");
    assert_eq!(b.who(&chat, 9).await, [(a.id, new.clone())]);
    assert_eq!(b.counts(&chat).await, (1, 1));
    assert!(a.go(&chat, &new).await, "one removal is enough");
    assert_eq!(b.counts(&chat).await, (0, 0));
}

pub(crate) async fn the_entries_of_a_dead_node_go(fixture: &dyn Fixture) {
    let (a, b) = Node::pair(fixture).await;
    let chat = channel("chat");
    let (here, there) = (entry(1, 0, Some("ada"), ""), entry(2, 0, Some("bob"), ""));
    a.come(&chat, &here).await;
    b.come(&chat, &there).await;
    let dead = b.id;
    fixture.kill(b.cluster).await;
    a.diary.until("it is gone", |it| it.contains(&Line::Gone(dead))).await;
    a.knows(&[a.id]).await;
    assert_eq!(a.who(&chat, 9).await, [(a.id, here)]);
    assert_eq!(a.counts(&chat).await, (1, 1));
    assert!(a.come(&chat, &there).await, "the dead do not count");
    assert!(a.go(&chat, &there).await);
}

pub(crate) async fn who_leaves_takes_its_entries_along(fixture: &dyn Fixture) {
    let (a, b) = Node::pair(fixture).await;
    let (chat, other) = (channel("chat"), channel("other"));
    for it in [&chat, &other] {
        b.come(it, &entry(1, 0, Some("ada"), "")).await;
    }
    a.come(&chat, &entry(2, 0, Some("ada"), "")).await;
    ask(|then| b.cluster.registry.leave(then)).await.unwrap();
    a.diary.until("it is gone", |it| it.contains(&Line::Gone(b.id))).await;
    assert_eq!((a.counts(&chat).await, a.counts(&other).await), ((1, 1), (0, 0)));
    assert_eq!(a.who(&other, 9).await, []);
    assert!(a.go(&chat, &entry(2, 0, Some("ada"), "")).await, "the last");
}
