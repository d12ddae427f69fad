//! Receiving and sending at the same time, and control frames by hand.

use std::{collections::VecDeque, future::poll_fn, task::Poll};

use taiwa::{CloseCode, Error, Message, Misuse, TrySendError, Upgrade};

use super::{bind, connect, echo_server, run, soon};

const MESSAGES: usize = 400;

#[tokio::test]
async fn an_echo_of_more_than_all_buffers_hold_does_not_stand_still() {
    let mut socket = connect(echo_server().await).await;
    // 24 MiB each way: more than both outboxes and the kernel hold.
    let message = Message::from(vec![7; 60 << 10]);
    let mut unsent: VecDeque<Message> = std::iter::repeat_n(message, MESSAGES).collect();
    let mut received = 0;
    while received < MESSAGES {
        while let Some(message) = unsent.pop_front() {
            match socket.try_send(message) {
                Ok(()) => {}
                Err(TrySendError::Full(message)) => {
                    unsent.push_front(message);
                    break;
                }
                Err(TrySendError::Closing(_)) => panic!("it is open"),
            }
        }
        let next = poll_fn(|cx| {
            if !unsent.is_empty() && socket.poll_room(cx).is_ready() {
                return Poll::Ready(None);
            }
            socket.poll_recv(cx).map(Some)
        });
        if let Some(message) = soon(next).await {
            assert_eq!(message.unwrap().unwrap().as_bytes().len(), 60 << 10);
            received += 1;
        }
    }
    soon(poll_fn(|cx| socket.poll_written(cx))).await.unwrap();
    assert_eq!(soon(socket.close(CloseCode::NORMAL, "")).await.unwrap().code, CloseCode::NORMAL);
}

#[tokio::test]
async fn what_comes_between_both_close_frames_is_received_after_start_close() {
    let (server, addr) = bind().await;
    run(server.serve(|upgrade: Upgrade| async move {
        let mut socket = upgrade.accept().await?;
        for n in 0..100 {
            socket.send(format!("{n}")).await?;
        }
        while socket.recv().await?.is_some() {}
        Ok::<(), Error>(())
    }));
    let mut socket = connect(addr).await;
    socket.start_close(CloseCode::NORMAL, "enough").unwrap();
    // Once is enough, and twice no harm.
    socket.start_close(CloseCode::GOING_AWAY, "").unwrap();
    assert!(matches!(socket.try_send("late"), Err(TrySendError::Closing(_))));
    let mut received = 0;
    while let Some(message) = soon(socket.recv()).await.unwrap() {
        assert_eq!(message.as_text(), Some(format!("{received}").as_str()));
        received += 1;
    }
    assert_eq!(received, 100);
    assert_eq!(socket.closed().unwrap().code, CloseCode::NORMAL);
}

#[tokio::test]
async fn a_ping_carries_what_it_is_given_and_a_pong_needs_no_ping() {
    let mut socket = connect(echo_server().await).await;
    socket.pong(b"nobody asked").unwrap();
    soon(socket.ping_with(b"")).await.unwrap();
    soon(socket.ping_with(&[7; 125])).await.unwrap();
    for misuse in [socket.ping_with(&[7; 126]).await.err(), socket.pong(&[7; 126]).err()] {
        assert!(matches!(misuse, Some(Error::Misuse(Misuse::ControlTooLong))), "{misuse:?}");
    }
    let misuse = socket.start_close(CloseCode::ABNORMAL, "");
    assert!(matches!(misuse, Err(Error::Misuse(Misuse::CloseCode(_)))), "{misuse:?}");
    // Unharmed.
    soon(socket.send("still here")).await.unwrap();
    assert_eq!(soon(socket.recv()).await.unwrap().unwrap().as_text(), Some("still here"));
}
