//! A connection in halves.

use std::{rc::Rc, time::Duration};

use futures_util::{FutureExt, future::join3};
use taiwa::{CloseCode, Error, Limits, Message, Prepared, Side};

use crate::{Here, sleep};

pub(crate) async fn halves_work_at_the_same_time(here: Here) {
    const COUNT: u32 = 500;
    let limits = Limits { outbox_bytes_max: 64 << 10, ..Limits::default() };
    let (sender, mut receiver) = here.open_by(here.client().limits(limits), "/echo").await.split();
    assert_eq!(receiver.subprotocol(), None);
    assert!(receiver.extensions().starts_with("permessage-deflate"), "{}", receiver.extensions());
    let send = |sender: taiwa::Sender, name: &'static str| async move {
        for index in 0..COUNT {
            sender.send(format!("{name}{index} {}", "x".repeat(1000))).await.unwrap();
        }
    };
    let receive = async {
        let mut next = [0; 2];
        while next != [COUNT; 2] {
            let message = receiver.recv().await.unwrap().expect("all come");
            let text = message.as_text().expect("a text").to_owned();
            let of = usize::from(text.starts_with('b'));
            let index = text[1..].split(' ').next().unwrap();
            assert_eq!(index, next[of].to_string());
            next[of] += 1;
        }
    };
    join3(send(sender.clone(), "a"), send(sender.clone(), "b"), receive).await;
    let closed = sender.close(CloseCode::new(4002), "both").await.unwrap();
    assert_eq!((closed.code.get(), closed.by), (4002, Side::Us));
    assert!(sender.is_closed() && !sender.is_open());
    assert_eq!(receiver.recv().await.unwrap(), None);
    assert_eq!(receiver.closed(), Some(&closed));
}

pub(crate) async fn the_receiver_hears_what_went_wrong(here: Here) {
    let client = here.client().build().unwrap();
    let socket = client.connect(&format!("{}/broken", here.raw)).await.unwrap();
    let (sender, mut receiver) = socket.split();
    let closed = sender.closed().await;
    assert_eq!((closed.code, closed.clean), (CloseCode::ABNORMAL, false));
    assert!(matches!(sender.send("late").await, Err(Error::Closed(_))));
    assert_eq!(receiver.recv().await.unwrap(), Some("last".into()));
    assert_eq!(receiver.closed(), None);
    assert!(matches!(receiver.recv().await, Err(Error::Lost)));
    assert_eq!(receiver.closed(), Some(&closed));
}

pub(crate) async fn senders_go_on_without_a_receiver(here: Here) {
    let (sender, receiver) = here.open("/echo").await.split();
    drop(receiver);
    // More than any queue on the way back holds.
    for _ in 0..40 {
        sender.send(vec![7; 1 << 20]).await.unwrap();
    }
    let closed = sender.close(CloseCode::NORMAL, "").await.unwrap();
    assert_eq!((closed.code, closed.clean), (CloseCode::NORMAL, true));
}

pub(crate) async fn halves_are_put_together_again(here: Here) {
    let (sender, receiver) = here.open("/echo").await.split();
    let (other, _receiver) = here.open("/echo").await.split();
    sender.send("before").await.unwrap();
    sleep(Duration::from_millis(50)).await;
    let (receiver, other) = receiver.reunite(other).expect_err("of two connections");
    drop(other);
    let clone = sender.clone();
    let (receiver, sender) = receiver.reunite(sender).expect_err("one sender too many");
    drop(clone);
    let mut socket = receiver.reunite(sender).expect("both halves");
    assert_eq!(socket.recv().await.unwrap(), Some("before".into()));
    socket.close(CloseCode::NORMAL, "").await.unwrap();
}

pub(crate) async fn permits_are_room_for_one_message_each(here: Here) {
    let (sender, mut receiver) = here.open("/echo").await.split();
    let mut permits = Vec::new();
    for _ in 0..16 {
        permits.push(sender.reserve().await.unwrap());
    }
    assert!(sender.reserve().now_or_never().is_none(), "a seventeenth permit");
    permits.pop().expect("sixteen").send("by permit").unwrap();
    drop(sender.reserve().await.unwrap());
    permits.pop().expect("fifteen").send_prepared(&Prepared::new("prepared")).unwrap();
    assert_eq!(receiver.recv().await.unwrap(), Some("by permit".into()));
    assert_eq!(receiver.recv().await.unwrap(), Some("prepared".into()));
}

pub(crate) async fn a_cancelled_wait_wakes_nobody_elses_less(here: Here) {
    let (sender, mut receiver) = here.open("/echo").await.split();
    let sender = Rc::new(sender);
    let received = async {
        let first = receiver.recv().await.unwrap();
        assert_eq!(first, Some(Message::from("woken")));
    };
    let disturb = async {
        // Whoever waited last is the one that goes away.
        sleep(Duration::from_millis(20)).await;
        assert!(sender.closed().now_or_never().is_none());
        sender.send("woken").await.unwrap();
    };
    join3(received, disturb, async {}).await;
}
