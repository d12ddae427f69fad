//! Who is alive, and letters between nodes.

use bytes::Bytes;
use taiwa_core::{NodeId, RefusalKind};

use crate::{
    fixture::Fixture,
    node::{Line, Node, answer, ask, asked},
};

pub(crate) async fn nodes_come_and_go(fixture: &dyn Fixture) {
    let a = Node::join(fixture).await;
    assert_eq!(a.cluster.registry.nodes(), [a.id], "itself included");
    let b = Node::join(fixture).await;
    a.diary.until("the second", |it| it.contains(&Line::Come(b.id))).await;
    let c = Node::join(fixture).await;
    let all = [a.id, b.id, c.id];
    for node in [&a, &b, &c] {
        node.knows(&all).await;
        let look = node.cluster.registry.look();
        assert!(look.up && !look.kind.is_empty(), "{look:?}");
    }
    assert_ne!(a.id.tag(), b.id.tag(), "tags tell sessions of nodes apart");
    ask(|then| c.cluster.registry.leave(then)).await.unwrap();
    let dead = b.id;
    fixture.kill(b.cluster).await;
    a.diary
        .until("both are gone", |it| {
            [dead, c.id].iter().all(|gone| it.contains(&Line::Gone(*gone)))
        })
        .await;
    a.knows(&[a.id]).await;
    let changes =
        a.diary.lines().into_iter().filter(|it| matches!(it, Line::Come(_) | Line::Gone(_)));
    assert_eq!(changes.count(), 4, "each change is told once");
    for gone in [dead, c.id, NodeId(1)] {
        assert!(a.send(gone, "x".into()).await.is_err(), "no letter to who is gone");
    }
}

fn letters(node: &Node) -> Vec<(NodeId, Bytes)> {
    let lines = node.diary.lines().into_iter();
    let letters = lines.filter_map(|it| match it {
        Line::Letter(from, letter) => Some((from, letter)),
        _ => None,
    });
    letters.collect()
}

pub(crate) async fn letters_arrive_in_order(fixture: &dyn Fixture) {
    const COUNT: usize = 300;
    let (a, b) = Node::pair(fixture).await;
    let text = |it: usize| Bytes::from(it.to_string());
    let send = |from: &Node, to: NodeId, letter| {
        asked(|then| from.cluster.registry.send(to, letter, then))
    };
    let mut answers = vec![];
    for it in 0..COUNT {
        answers.push(send(&a, b.id, text(it)));
        answers.push(send(&b, a.id, text(it)));
        answers.push(send(&a, a.id, text(it)));
    }
    for it in answers {
        answer(it).await.unwrap();
    }
    let of = |node: &Node, from| -> Vec<Bytes> {
        let from_one = letters(node).into_iter().filter(|(it, _)| *it == from);
        from_one.map(|(_, letter)| letter).collect()
    };
    let wanted: Vec<Bytes> = (0..COUNT).map(text).collect();
    let count = |it: &[Line]| it.iter().filter(|it| matches!(it, Line::Letter(..))).count();
    a.diary.until("both", |it| count(it) == 2 * COUNT).await;
    b.diary.until("all", |it| count(it) == COUNT).await;
    assert!(of(&b, a.id) == wanted && of(&a, b.id) == wanted && of(&a, a.id) == wanted);
}

pub(crate) async fn letters_have_a_size(fixture: &dyn Fixture) {
    let (a, b) = Node::pair(fixture).await;
    let longest = Bytes::from(vec![0xff; 512 * 1024]);
    a.send(b.id, longest.clone()).await.unwrap();
    a.send(b.id, Bytes::new()).await.unwrap();
    let longer = Bytes::from(vec![0xff; 512 * 1024 + 1]);
    assert_eq!(a.send(b.id, longer).await.unwrap_err().kind, RefusalKind::Limit);
    let two = |it: &[Line]| it.iter().filter(|it| matches!(it, Line::Letter(..))).count() == 2;
    b.diary.until("two letters", two).await;
    assert!(letters(&b) == [(a.id, longest), (a.id, Bytes::new())]);
}

pub(crate) async fn the_secret_is_shared(fixture: &dyn Fixture) {
    let (a, b) = Node::pair(fixture).await;
    let secret = a.cluster.registry.secret();
    assert!(secret.iter().any(|it| *it != 0));
    assert_eq!(b.cluster.registry.secret(), secret);
    for node in [a, b] {
        fixture.kill(node.cluster).await;
    }
    let c = fixture.join().await;
    assert_eq!(c.registry.secret(), secret, "it outlives the nodes");
}
