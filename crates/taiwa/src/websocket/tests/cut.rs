//! Long messages keep a part of the buffer that they were read into.

use super::*;
use crate::scratch::{CUT_LEN_MIN, READ_LEN};

/// The message with a number: its bytes tell which it is, and where in it they are.
fn message(number: usize) -> Message {
    let lens = [
        CUT_LEN_MIN,
        CUT_LEN_MIN - 1,
        20_000,
        0,
        40_000,
        CUT_LEN_MIN,
        READ_LEN + 5_000,
        CUT_LEN_MIN + 1,
        CUT_LEN_MIN,
        3,
        200_000,
    ];
    let byte = |at: usize| (at.wrapping_mul(31) ^ at >> 8 ^ number.wrapping_mul(7)) as u8;
    let bytes = (0..lens[number % lens.len()]).map(byte);
    match number % 3 {
        0 => bytes.map(|it| char::from(it & 0x7f)).collect::<String>().into(),
        _ => bytes.collect::<Vec<_>>().into(),
    }
}

/// How many of the messages lie behind the one before, but for the header of a frame.
fn count_neighbours(messages: &[Message]) -> usize {
    let behind = |it: &[Message]| {
        let [before, it] = [&it[0], &it[1]].map(|it| it.as_bytes().as_ptr_range());
        (4..=14).contains(&it.start.addr().wrapping_sub(before.end.addr()))
    };
    messages.windows(2).filter(|it| behind(it)).count()
}

/// Receives `count` messages by turns from two peers, and keeps them all.
async fn receive_by_turns(room: usize, senders: Role, count: usize) -> [Vec<Message>; 2] {
    let mut kept = [Vec::new(), Vec::new()];
    let mut receivers = Vec::new();
    for _ in 0..2 {
        let (client, server) = pair(room, &timeless());
        let (mut sender, receiver) = match senders {
            Role::Client => (client, server),
            Role::Server => (server, client),
        };
        receivers.push(receiver);
        tokio::spawn(async move {
            for number in 0..count {
                sender.send(message(number)).await.expect("it is read");
            }
            std::future::pending::<()>().await;
        });
    }
    for _ in 0..count {
        for (kept, receiver) in kept.iter_mut().zip(&mut receivers) {
            kept.push(receiver.recv().await.expect("nothing is wrong").expect("more is to come"));
        }
    }
    kept
}

#[test]
fn what_is_kept_stays_as_it_came_whoever_reads_next() {
    run(async {
        for (room, senders) in [
            (1_000, Role::Client),
            (100_000, Role::Client),
            (1_000_000, Role::Client),
            (1_000_000, Role::Server),
        ] {
            let expected: Vec<_> = (0..60).map(message).collect();
            for kept in receive_by_turns(room, senders, 60).await {
                assert!(kept == expected, "with {room} bytes on the way");
            }
        }
    });
}

#[test]
fn long_messages_of_one_read_lie_in_one_buffer() {
    run(async {
        let (mut sender, mut receiver) = pair(1_000_000, &timeless());
        let message = Message::from(vec![7; CUT_LEN_MIN]);
        for _ in 0..20 {
            sender.send(message.clone()).await.unwrap();
        }
        let mut kept = Vec::new();
        for _ in 0..20 {
            kept.push(receiver.recv().await.unwrap().unwrap());
        }
        assert_eq!(kept, vec![message; 20]);
        // Of four that a read brings the last one is not whole. Those of the first read are copied.
        assert!(8 <= count_neighbours(&kept), "{}", count_neighbours(&kept));
    });
}

#[test]
fn short_messages_hold_no_more_than_they_are() {
    run(async {
        let (mut sender, mut receiver) = pair(1_000_000, &timeless());
        let long = Message::from(vec![7; CUT_LEN_MIN]);
        let short = Message::from(vec![8; CUT_LEN_MIN - 1]);
        for _ in 0..5 {
            sender.send(long.clone()).await.unwrap();
            sender.send(short.clone()).await.unwrap();
        }
        for _ in 0..5 {
            assert_eq!(receiver.recv().await.unwrap(), Some(long.clone()));
            let it = receiver.recv().await.unwrap().unwrap();
            assert_eq!(it, short);
            let room = it.into_bytes().try_into_mut().expect("nobody shares it").capacity();
            assert!(room <= 2 * CUT_LEN_MIN, "{room}");
        }
    });
}

#[test]
fn parts_and_whole_messages_come_by_turns() {
    run(async {
        let (mut sender, mut receiver) = pair(100_000, &timeless());
        tokio::spawn(async move {
            for number in 0..40 {
                sender.send(message(number)).await.expect("it is read");
            }
            std::future::pending::<()>().await;
        });
        for number in 0..40 {
            let expected = message(number);
            if number % 4 == 3 {
                let mut reader = receiver.recv_stream().await.unwrap().unwrap();
                let mut bytes = Vec::new();
                reader.read_to_end(&mut bytes).await.unwrap();
                assert!(bytes == expected.as_bytes(), "{number}");
            } else {
                assert!(receiver.recv().await.unwrap() == Some(expected), "{number}");
            }
        }
    });
}
