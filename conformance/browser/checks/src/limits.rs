//! What may pile up, on our side and on the peer's.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Waker},
    time::Duration,
};

use taiwa::{CloseCode, Deadline, Deadlines, Error, Fault, Limits, Message, TrySendError};

use crate::{Here, millis, sleep};

pub(crate) async fn a_message_over_the_limit_is_a_fault(here: Here) {
    let limits = Limits { message_bytes_max: 1000, ..Limits::default() };
    // The text is short in UTF-16 and too long in UTF-8.
    for too_long in [Message::from(vec![7; 1001]), "対".repeat(334).into()] {
        let mut socket = here.open_by(here.client().limits(limits.clone()), "/echo").await;
        for message in [Message::from(vec![7; 1000]), too_long, "behind it".into()] {
            socket.send(message).await.unwrap();
        }
        assert_eq!(socket.recv().await.unwrap(), Some(vec![7; 1000].into()));
        let error = socket.recv().await.unwrap_err();
        assert!(matches!(error, Error::Fault(Fault::MessageTooBig)), "{error:?}");
        assert_eq!(socket.recv().await.unwrap(), None);
        assert_eq!(socket.closed().map(|it| it.code), Some(CloseCode::MESSAGE_TOO_BIG));
    }
}

pub(crate) async fn messages_that_nobody_receives_are_bounded(here: Here) {
    const COUNT: u64 = 400;
    const BYTES: u64 = 256 << 10;
    let name = here.name("flood");
    let limits = Limits { inbox_bytes_max: 2 << 20, ..Limits::default() };
    let path = format!("/flood?name={name}&count={COUNT}&bytes={BYTES}");
    let mut socket = here.open_by(here.client().limits(limits), &path).await;
    sleep(Duration::from_millis(700)).await;
    let mut asking = here.open(&format!("/progress?name={name}")).await;
    let answer = asking.recv().await.unwrap().expect("an answer");
    let sent: u64 = answer.as_text().expect("a text").parse().unwrap();
    // The peer could not go on sending into the void, 100 MiB in all.
    assert!((1..COUNT).contains(&sent), "{sent} messages were sent");
    let mut received = 0;
    let end = loop {
        match socket.recv().await {
            Ok(Some(message)) => {
                assert_eq!(message.as_bytes()[..4], u32::to_be_bytes(received)[..]);
                received += 1;
            }
            other => break other,
        }
        if u64::from(received) == COUNT {
            break Ok(None);
        }
    };
    if here.is_streams() {
        // It only had to wait.
        assert!(end.is_ok(), "{end:?}");
        assert_eq!(u64::from(received), COUNT);
    } else {
        assert!(matches!(end, Err(Error::InboxFull)), "{end:?}");
        assert_eq!(u64::from(received), (2 << 20) / (BYTES + 64));
        assert_eq!(socket.closed().map(|it| it.code), Some(CloseCode::POLICY_VIOLATION));
    }
}

pub(crate) async fn a_slow_reader_makes_senders_wait(here: Here) {
    const COUNT: usize = 200;
    const BYTES: usize = 256 << 10;
    const LIMIT: usize = 200 << 10;
    let limits = Limits { outbox_bytes_max: LIMIT, ..Limits::default() };
    let mut socket = here.open_by(here.client().limits(limits), "/slow?millis=1000").await;
    let before = millis();
    let mut most = 0;
    let mut refused = 0;
    for index in 0..COUNT {
        let mut message = Message::from(noise(BYTES, index as u32));
        if index % 8 < 4 {
            match socket.try_send(message) {
                Ok(()) => continue,
                Err(TrySendError::Full(it)) => message = it,
                Err(error) => panic!("{error}"),
            }
            refused += 1;
        }
        socket.send(message).await.unwrap();
        most = most.max(socket.buffered_amount());
    }
    assert!(most < LIMIT + BYTES, "{most} bytes were buffered");
    assert!(refused > 0, "try_send never had to refuse");
    assert!(millis() - before > 500.0, "50 MiB were taken by a peer that did not read");
    socket.send("how many?").await.unwrap();
    assert_eq!(socket.recv().await.unwrap(), Some((COUNT * BYTES).to_string().into()));
    assert_eq!(socket.buffered_amount(), 0);
}

/// Bytes that don't compress: a slow reader of little would be none.
fn noise(len: usize, seed: u32) -> Vec<u8> {
    let mut state = seed | 1 << 31;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_be_bytes()
    };
    (0..len / 4).flat_map(|_| next()).collect()
}

pub(crate) async fn a_reader_that_sleeps_is_late(here: Here) {
    let limits = Limits { outbox_bytes_max: 100 << 10, ..Limits::default() };
    let deadlines = Deadlines { write: Some(Duration::from_millis(300)), ..Deadlines::default() };
    let client = here.client().limits(limits).deadlines(deadlines);
    let mut socket = here.open_by(client, "/asleep").await;
    let message = Message::from(noise(1 << 20, 7));
    let mut sent = 0;
    let error = loop {
        match socket.send(message.clone()).await {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        assert!(sent < 100, "100 MiB were taken by a peer that does not read");
    };
    assert!(matches!(error, Error::Late(Deadline::Write)), "{error:?}");
    assert_eq!(socket.closed().map(|it| it.code), Some(CloseCode::ABNORMAL));
    assert_eq!(socket.recv().await.unwrap(), None);
}

pub(crate) async fn dropped_futures_lose_nothing(here: Here) {
    let mut socket = here.open("/echo").await;
    let waker = Waker::noop();
    for index in 0..300_u32 {
        let text = index.to_string();
        socket.send(&text[..]).await.unwrap();
        let mut polls = 0;
        let message = loop {
            // Each future is polled once and dropped, with nobody to wake.
            let mut receiving = pin!(socket.recv());
            if let std::task::Poll::Ready(it) =
                receiving.as_mut().poll(&mut Context::from_waker(waker))
            {
                break it.unwrap();
            }
            polls += 1;
            assert!(polls < 10_000, "no message");
            sleep(Duration::from_millis(0)).await;
        };
        assert_eq!(message, Some(text.into()));
    }
}
