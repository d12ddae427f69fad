//! Tests of the fan-out.

use std::{future::Future, pin::pin, task::Poll};

use super::*;

fn small(queue_bytes_max: usize) -> Fanout {
    Fanout::new(FanoutLimits {
        queue_bytes_max,
        slow_after: Duration::from_millis(50),
        channels_max: 2,
        channel_name_bytes_max: 8,
    })
}

/// What waits now, each as text; `Err` when the member was too slow.
fn drain(inbox: &mut Inbox) -> Result<Vec<String>, TooSlow> {
    let mut texts = Vec::new();
    let waker = std::task::Waker::noop();
    loop {
        let polled = pin!(inbox.next()).poll(&mut std::task::Context::from_waker(waker));
        match polled {
            Poll::Ready(Ok(message)) => texts.push(message.as_text().unwrap().to_owned()),
            Poll::Ready(Err(TooSlow)) => return Err(TooSlow),
            Poll::Pending => return Ok(texts),
        }
    }
}

#[test]
fn others_receive_what_one_publishes() {
    let fanout = Fanout::default();
    let (a, mut at_a) = fanout.join("/x").unwrap();
    let (b, mut at_b) = fanout.join("/x").unwrap();
    let (_c, mut at_c) = fanout.join("/y").unwrap();
    a.publish(&"1".into(), Audience::Others);
    b.publish(&"2".into(), Audience::Others);
    a.publish(&"3".into(), Audience::All);
    assert_eq!(drain(&mut at_a).unwrap(), ["2", "3"]);
    assert_eq!(drain(&mut at_b).unwrap(), ["1", "3"]);
    assert_eq!(drain(&mut at_c).unwrap(), [""; 0]);
}

#[test]
fn channels_die_with_their_last_member() {
    let fanout = Fanout::default();
    let (a, _at_a) = fanout.join("/x").unwrap();
    let (b, _at_b) = fanout.join("/x").unwrap();
    assert_eq!(fanout.channels(), [("/x".into(), 2)]);
    drop(a);
    assert_eq!(fanout.channels(), [("/x".into(), 1)]);
    drop(b);
    assert_eq!(fanout.channels(), []);
}

#[test]
fn a_member_that_left_receives_nothing() {
    let fanout = Fanout::default();
    let (a, mut at_a) = fanout.join("/x").unwrap();
    let (b, _at_b) = fanout.join("/x").unwrap();
    drop(a);
    b.publish(&"late".into(), Audience::All);
    assert_eq!(drain(&mut at_a).unwrap(), [""; 0]);
}

#[test]
fn a_slow_member_is_told_and_its_queue_thrown_away_while_others_go_on() {
    let fanout = small(200);
    let (a, _at_a) = fanout.join("/x").unwrap();
    let (_b, mut slow) = fanout.join("/x").unwrap();
    let (_c, mut quick) = fanout.join("/x").unwrap();
    for n in 0..10 {
        a.publish(&"0123456789".into(), Audience::Others);
        assert_eq!(drain(&mut quick).unwrap().len(), 1, "message {n}");
    }
    assert_eq!(drain(&mut slow), Err(TooSlow));
    assert!(matches!(*lock(&slow.0.waiting), Waiting::Overflowed));
}

#[test]
fn one_message_over_the_limit_fits_an_empty_queue() {
    let fanout = small(100);
    let (a, _at_a) = fanout.join("/x").unwrap();
    let (_b, mut at_b) = fanout.join("/x").unwrap();
    a.publish(&"x".repeat(1000).into(), Audience::Others);
    assert_eq!(drain(&mut at_b).unwrap(), ["x".repeat(1000)]);
    a.publish(&"x".repeat(1000).into(), Audience::Others);
    a.publish(&"".into(), Audience::Others);
    assert_eq!(drain(&mut at_b), Err(TooSlow));
}

#[test]
fn empty_messages_fill_a_queue_too() {
    let fanout = small(10 * MESSAGE_OVERHEAD);
    let (a, _at_a) = fanout.join("/x").unwrap();
    let (_b, mut at_b) = fanout.join("/x").unwrap();
    (0..10).for_each(|_| a.publish(&"".into(), Audience::Others));
    assert_eq!(drain(&mut at_b).unwrap().len(), 10);
    (0..11).for_each(|_| a.publish(&"".into(), Audience::Others));
    assert_eq!(drain(&mut at_b), Err(TooSlow));
}

#[test]
fn too_many_channels_and_too_long_names_are_refused() {
    let fanout = small(100);
    assert_eq!(fanout.join("/12345678").err(), Some(Refusal::NameTooLong));
    let _x = fanout.join("/x").unwrap();
    let y = fanout.join("/y").unwrap();
    assert_eq!(fanout.join("/z").err(), Some(Refusal::TooManyChannels));
    assert!(fanout.join("/x").is_ok());
    drop(y);
    assert!(fanout.join("/z").is_ok());
}

#[tokio::test]
async fn a_waiting_member_wakes_up() {
    let fanout = small(100);
    let (a, _at_a) = fanout.join("/x").unwrap();
    let (_b, mut at_b) = fanout.join("/x").unwrap();
    let waiting = tokio::spawn(async move { at_b.next().await.map(Message::into_bytes) });
    tokio::task::yield_now().await;
    a.publish(&"hello".into(), Audience::Others);
    assert_eq!(waiting.await.unwrap().unwrap(), "hello");
}

#[tokio::test]
async fn who_has_more_to_say_waits_for_a_reader_that_reads() {
    let fanout = small(10 * (MESSAGE_OVERHEAD + 2));
    let (a, _at_a) = fanout.join("/x").unwrap();
    let (_b, mut at_b) = fanout.join("/x").unwrap();
    let reading = tokio::spawn(async move {
        for n in 10..99 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert_eq!(at_b.next().await.unwrap().into_bytes(), n.to_string());
        }
    });
    for n in 10..99 {
        a.room(Audience::Others, Instant::now()).await;
        a.publish(&n.to_string().into(), Audience::Others);
    }
    reading.await.unwrap();
}

#[tokio::test]
async fn who_does_not_read_is_waited_for_once() {
    let fanout = small(10 * MESSAGE_OVERHEAD);
    let (a, _at_a) = fanout.join("/x").unwrap();
    let (_b, mut at_b) = fanout.join("/x").unwrap();
    let began = Instant::now();
    for _ in 0..100 {
        a.room(Audience::Others, Instant::now()).await;
        a.publish(&"".into(), Audience::Others);
    }
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(50) && took < Duration::from_secs(2), "{took:?}");
    assert_eq!(drain(&mut at_b), Err(TooSlow));
}

#[tokio::test]
async fn nobody_waits_for_a_member_that_leaves() {
    let fanout = Fanout::new(FanoutLimits {
        queue_bytes_max: 100,
        slow_after: Duration::from_secs(1000),
        ..FanoutLimits::default()
    });
    let (a, _at_a) = fanout.join("/x").unwrap();
    let (b, _at_b) = fanout.join("/x").unwrap();
    a.publish(&"".into(), Audience::Others);
    let waiting = tokio::spawn(async move { a.room(Audience::Others, Instant::now()).await });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    drop(b);
    tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap().unwrap();
}
