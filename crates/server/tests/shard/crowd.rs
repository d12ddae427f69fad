//! Many at once.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::{Told, connect, defaults, raw, site, soon};

const CROWD: usize = 500;

#[tokio::test]
async fn when_a_crowd_leaves_at_once_a_new_one_comes_in_at_once() {
    let (mut site, addr) = site(defaults()).await;
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        crowd.push(raw::open(addr, "/tell", b"").await);
        site.joined().await;
    }
    assert_eq!(site.ask(|_, lines| lines.len()).await, CROWD);
    // The shard finds them all gone when it looks up from this.
    let (gone, wait) = std::sync::mpsc::channel::<()>();
    site.shards.posts()[0].send(Box::new(move |_, _| wait.recv().unwrap()));
    drop(crowd);
    let began = Instant::now();
    gone.send(()).unwrap();
    let mut socket = connect(addr, "/echo").await;
    soon(socket.send("hello")).await.unwrap();
    assert_eq!(soon(socket.recv()).await.unwrap(), Some("hello".into()));
    let took = began.elapsed();
    assert!(took < Duration::from_millis(250), "{took:?}");
    let mut left = 0;
    while left < CROWD {
        match site.next().await {
            Told::Left(..) => left += 1,
            Told::Joined(..) => {}
            told => panic!("{told:?}"),
        }
    }
    assert_eq!(site.ask(|room, lines| (room.paths.len(), lines.len())).await, (1, 1));
}

#[tokio::test]
async fn a_crowd_that_talks_at_once_is_answered_to_the_last_one() {
    let (_site, addr) = site(defaults()).await;
    let mut crowd = JoinSet::new();
    for i in 0..300 {
        crowd.spawn(async move {
            let mut socket = connect(addr, "/echo").await;
            for j in 0..20 {
                let message = format!("{i} {j} {}", "y".repeat(i * j));
                soon(socket.send(message.clone())).await.unwrap();
                assert_eq!(soon(socket.recv()).await.unwrap(), Some(message.into()));
            }
            assert!(soon(socket.close(taiwa::CloseCode::NORMAL, "")).await.unwrap().clean);
        });
    }
    while let Some(done) = soon(crowd.join_next()).await {
        done.unwrap();
    }
}
