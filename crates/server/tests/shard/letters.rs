//! Letters from thread to thread.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, mpsc},
};

use taiwa_server::shard::{NotSent, Settings, Shards};
use tokio::sync::mpsc::unbounded_channel;

use super::{Room, Site, soon};

#[tokio::test]
async fn letters_of_one_thread_stay_in_order_and_none_is_lost() {
    const THREADS: usize = 4;
    const LETTERS: usize = 20_000;
    let site = Site::new(1);
    let seen = Arc::new(Mutex::new([0; THREADS]));
    let threads = (0..THREADS).map(|thread| {
        let (post, seen) = (site.shards.posts()[0].clone(), Arc::clone(&seen));
        std::thread::spawn(move || {
            for number in 0..LETTERS {
                let seen = Arc::clone(&seen);
                post.send(Box::new(move |_, _| {
                    let next = &mut seen.lock().unwrap()[thread];
                    assert_eq!(*next, number);
                    *next += 1;
                }));
                if number % 1000 == 0 {
                    // The shard falls asleep, and has to be woken.
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
            }
        })
    });
    for thread in threads.collect::<Vec<_>>() {
        soon(tokio::task::spawn_blocking(|| thread.join())).await.unwrap().unwrap();
    }
    // Letters are one queue: this one is behind all others.
    site.ask(|_, _| ()).await;
    assert_eq!(*seen.lock().unwrap(), [LETTERS; THREADS]);
    assert_eq!(site.shards.posts()[0].waiting(), 0);
}

#[tokio::test]
async fn letters_between_shards_go_round() {
    let site = Site::new(3);
    let posts = Arc::clone(site.shards.posts());
    let (done, told) = tokio::sync::oneshot::channel();
    fn pass(
        posts: Arc<[taiwa_server::shard::Post<Room>]>,
        left: usize,
        done: tokio::sync::oneshot::Sender<Vec<usize>>,
        mut way: Vec<usize>,
    ) {
        let post = posts[left % 3].clone();
        post.send(Box::new(move |_, lines| {
            way.push(lines.shard());
            if left == 0 { done.send(way).unwrap() } else { pass(posts, left - 1, done, way) }
        }));
    }
    pass(posts, 300, done, Vec::new());
    let way = soon(told).await.unwrap();
    assert!(way.len() == 301 && way.iter().rev().enumerate().all(|(i, it)| *it == i % 3));
}

#[tokio::test]
async fn from_outside_no_more_letters_come_than_may_wait() {
    let (tell, _told) = unbounded_channel();
    let settings = Settings { shards: NonZeroUsize::MIN, letters_max: 10 };
    let above = move |_, _| Room::new(tell.clone());
    let shards: Shards<Room> = Shards::start(&settings, above).unwrap();
    let post = shards.assign();
    let (began, begun) = mpsc::channel();
    let (go_on, wait) = mpsc::channel::<()>();
    post.send(Box::new(move |_, _| {
        began.send(()).unwrap();
        wait.recv().unwrap();
    }));
    begun.recv().unwrap();
    for _ in 0..10 {
        assert!(post.try_send(Box::new(|_, _| ())).is_ok());
    }
    assert!(matches!(post.try_send(Box::new(|_, _| ())), Err(NotSent::Full(_))));
    // Shards among themselves are not held up.
    let (last, last_told) = mpsc::channel();
    post.send(Box::new(move |_, _| last.send(()).unwrap()));
    go_on.send(()).unwrap();
    last_told.recv_timeout(std::time::Duration::from_secs(20)).unwrap();
    assert!(post.try_send(Box::new(|_, _| ())).is_ok());
    let post = post.clone();
    drop(shards);
    assert!(matches!(post.try_send(Box::new(|_, _| ())), Err(NotSent::Ended(_))));
}
