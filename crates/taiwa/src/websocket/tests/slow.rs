//! Tests of the policies for peers that read slowly.

use super::*;

/// `outbox_bytes_max` of these tests; a message has 100 bytes, its frame 106.
const OUTBOX: usize = 1000;

fn config() -> Config {
    let limits = Limits { outbox_bytes_max: OUTBOX, ..Limits::default() };
    Config { limits, ..Config::default() }
}

fn message(number: u64) -> Message {
    Lane::message(number, 92)
}

fn number(message: &Message) -> u64 {
    assert_eq!(message.as_bytes().len(), 100);
    u64::from_be_bytes(message.as_bytes()[..8].try_into().expect("8 bytes"))
}

/// Sends `count` messages by `policy` to a peer that does not read; then the peer reads, and 10 more
/// are sent. Returns the counters before it reads and the numbers it got.
async fn stalled(policy: SlowPolicy, count: u64) -> (SlowCounters, Vec<u64>) {
    let (client, mut server) = pair(16, &config());
    let (sender, mut receiver) = client.split();
    let sender = sender.with_policy(policy);
    assert_eq!((sender.policy(), sender.counters()), (policy, SlowCounters::default()));
    for i in 0..count {
        sender.send(message(i)).await.unwrap();
        assert!(sender.stats().outbox_bytes < OUTBOX + 106, "what waits is bounded");
    }
    let counters = sender.counters();
    let peer = async {
        let mut got = Vec::new();
        while let Some(message) = server.recv().await.unwrap() {
            got.push(number(&message));
        }
        got
    };
    let ours = async {
        // The receiver's wait writes what waits.
        assert!(timeout(Duration::from_secs(1), receiver.recv()).await.is_err());
        assert_eq!(sender.stats().outbox_bytes, 0);
        for i in count..count + 10 {
            sender.send(message(i)).await.unwrap();
            assert!(timeout(Duration::from_secs(1), receiver.recv()).await.is_err());
        }
        let all = sender.counters();
        assert_eq!(all.sent + all.dropped, count + 10, "each is sent or dropped");
        assert!(sender.close(CloseCode::NORMAL, "").await.unwrap().clean);
        assert_eq!(receiver.recv().await.unwrap(), None);
    };
    let (got, ()) = tokio::join!(peer, ours);
    (counters, got)
}

#[test]
fn who_sends_to_many_leaves_no_message_behind() {
    run(async {
        // More than tokio lets a task do before it has others go on.
        let pairs: Vec<_> = (0..1000).map(|_| pair(1000, &config())).collect();
        let sent = |socket: &Sender| socket.stats().sent.wire_bytes;
        let (senders, _peers): (Vec<_>, Vec<_>) =
            pairs.into_iter().map(|(ours, peer)| (ours.split(), peer)).unzip();
        let prepared = Prepared::new(message(1));
        for (sender, _receiver) in &senders {
            sender.try_send(message(0)).unwrap();
            assert_eq!(sent(sender), 106, "nobody else has to be woken for it");
            let sender = sender.with_policy(SlowPolicy::DropNewest);
            sender.send_prepared(&prepared).await.unwrap();
            assert_eq!(sent(&sender), 212);
        }
        for (mut socket, _peer) in (0..1000).map(|_| pair(1000, &config())) {
            socket.try_send(message(0)).unwrap();
            assert_eq!(socket.stats().sent.wire_bytes, 106);
        }
    });
}

#[test]
fn drop_newest_drops_what_does_not_fit() {
    run(async {
        let (counters, got) = stalled(SlowPolicy::DropNewest, 1000).await;
        // 16 bytes are in the transport.
        assert_eq!(counters, SlowCounters { sent: 10, dropped: 990, waited: 0 });
        assert_eq!(got, [Vec::from_iter(0..10), Vec::from_iter(1000..1010)].concat());
    });
}

#[test]
fn drop_oldest_keeps_the_newest_in_its_queue() {
    run(async {
        for (messages, kept) in [(5, 5), (0, 1)] {
            let policy = SlowPolicy::DropOldest { messages: messages as usize };
            let (counters, got) = stalled(policy, 1000).await;
            assert_eq!(counters, SlowCounters { sent: 1, dropped: 999 - kept, waited: 999 });
            assert_eq!(got, [vec![0], Vec::from_iter(1000 - kept..1010)].concat());
        }
    });
}

#[test]
fn keep_latest_keeps_one() {
    run(async {
        let (counters, got) = stalled(SlowPolicy::KeepLatest, 1000).await;
        assert_eq!(counters, SlowCounters { sent: 1, dropped: 998, waited: 999 });
        assert_eq!(got, [vec![0], Vec::from_iter(999..1010)].concat());
    });
}

#[test]
fn waiting_waits_and_counts_it() {
    run(async {
        let (client, mut server) = pair(16, &config());
        let (sender, _receiver) = client.split();
        assert_eq!(sender.policy(), SlowPolicy::Wait);
        for i in 0..10 {
            sender.try_send(message(i)).unwrap();
        }
        assert_eq!(sender.try_send(message(10)), Err(TrySendError::Full(message(10))));
        assert!(timeout(Duration::from_secs(1), sender.send(message(11))).await.is_err());
        assert_eq!(sender.counters(), SlowCounters { sent: 10, dropped: 0, waited: 1 });
        let (sent, got) = tokio::join!(sender.send(message(12)), async {
            let mut got = Vec::new();
            for _ in 0..11 {
                got.push(number(&server.recv().await.unwrap().unwrap()));
            }
            got
        });
        sent.unwrap();
        assert_eq!(got, [Vec::from_iter(0..10), vec![12]].concat());
        assert_eq!(sender.counters(), SlowCounters { sent: 11, dropped: 0, waited: 2 });
    });
}

#[test]
fn close_closes_with_its_code_behind_what_was_sent() {
    run(async {
        for (code, sent) in [(CloseCode::new(4008), 4008), (CloseCode::ABNORMAL, 1008)] {
            let (client, mut server) = pair(16, &config());
            let (sender, mut receiver) = client.split();
            let sender = sender.with_policy(SlowPolicy::Close(code));
            for i in 0..10 {
                sender.send(message(i)).await.unwrap();
            }
            for i in 10..12 {
                let refused = sender.send(message(i)).await;
                assert!(matches!(refused, Err(Error::Misuse(Misuse::Closing))), "{refused:?}");
            }
            let counters = SlowCounters { sent: 10, dropped: 1, waited: 0 };
            assert_eq!(sender.counters(), counters);
            let peer = async {
                for i in 0..10 {
                    assert_eq!(number(&server.recv().await.unwrap().unwrap()), i);
                }
                assert_eq!(server.recv().await.unwrap(), None);
                server.closed().unwrap().code.get()
            };
            let (end, code) = tokio::join!(receiver.recv(), peer);
            assert_eq!((end.unwrap(), code), (None, sent));
            assert!(matches!(sender.send(message(0)).await, Err(Error::Closed(_))));
        }
    });
}

#[test]
fn a_peer_that_never_reads_again_is_late_and_what_waits_is_dropped() {
    run(async {
        let (client, _server) = pair(16, &config());
        let (sender, mut receiver) = client.split();
        let sender = sender.with_policy(SlowPolicy::DropOldest { messages: 3 });
        for i in 0..10 {
            sender.send(message(i)).await.unwrap();
        }
        assert!(matches!(receiver.recv().await, Err(Error::Late(Deadline::Write))));
        assert_eq!(sender.counters(), SlowCounters { sent: 1, dropped: 9, waited: 9 });
        assert!(matches!(sender.send(message(0)).await, Err(Error::Closed(_))));
    });
}

#[test]
fn the_queues_go_out_before_the_close_frame_and_take_turns() {
    run(async {
        let (client, mut server) = pair(16, &config());
        let (sender, mut receiver) = client.split();
        let first = sender.with_policy(SlowPolicy::DropOldest { messages: 3 });
        let second = first.clone();
        let third = sender.with_policy(SlowPolicy::KeepLatest);
        for i in 0..5 {
            first.send(message(i)).await.unwrap();
            second.send(message(100 + i)).await.unwrap();
            third.send(message(200 + i)).await.unwrap();
        }
        // A queue outlives its sender.
        drop(second);
        sender.start_close(CloseCode::NORMAL, "").unwrap();
        let (end, got) = tokio::join!(receiver.recv(), async {
            let mut got = Vec::new();
            while let Some(message) = server.recv().await.unwrap() {
                got.push(number(&message));
            }
            got
        });
        assert_eq!(end.unwrap(), None);
        assert_eq!(got[0], 0);
        assert_eq!(got[1..], [102, 204, 2, 103, 3, 104, 4]);
        assert_eq!(first.counters(), SlowCounters { sent: 4, dropped: 1, waited: 4 });
        assert_eq!(third.counters(), SlowCounters { sent: 1, dropped: 4, waited: 5 });
    });
}

#[test]
fn a_message_under_way_is_not_the_peers_slowness() {
    run(async {
        let all = [
            (SlowPolicy::DropNewest, 9),
            (SlowPolicy::Close(CloseCode::new(4008)), 9),
            (SlowPolicy::DropOldest { messages: 3 }, 3),
            (SlowPolicy::KeepLatest, 1),
        ];
        for (policy, kept) in all {
            let (client, mut server) = pair(100_000, &config());
            let (sender, mut receiver) = client.split();
            let by_policy = sender.with_policy(policy);
            let mut large = sender.send_stream(Kind::Binary);
            large.write(b"be").await.unwrap();
            poll_fn(|cx| std::pin::Pin::new(&mut large).poll_flush(cx)).await.unwrap();
            for i in 0..9 {
                by_policy.send(message(i)).await.unwrap();
            }
            large.write(b"gun").await.unwrap();
            large.finish().await.unwrap();
            // Behind what waited.
            by_policy.send(message(9)).await.unwrap();
            assert_eq!(server.recv().await.unwrap(), Some(b"begun".to_vec().into()), "{policy:?}");
            for expected in (9 - kept..9).chain([9]) {
                let received = server.recv().await.unwrap().unwrap();
                assert_eq!(number(&received), expected, "{policy:?}");
            }
            let counters = SlowCounters { sent: kept + 1, dropped: 9 - kept, waited: 9 };
            assert_eq!(by_policy.counters(), counters, "{policy:?}");
            let (end, closed) = tokio::join!(server.recv(), sender.close(CloseCode::NORMAL, ""));
            assert!(end.unwrap().is_none() && closed.unwrap().clean);
            assert_eq!(receiver.recv().await.unwrap(), None);
        }
    });
}

#[test]
fn what_waits_for_a_message_under_way_is_bounded_by_the_outbox() {
    run(async {
        let (client, _server) = pair(100_000, &config());
        let (sender, _receiver) = client.split();
        let dropping = sender.with_policy(SlowPolicy::DropNewest);
        let closing = sender.with_policy(SlowPolicy::Close(CloseCode::new(4008)));
        let mut large = sender.send_stream(Kind::Binary);
        large.write(b"begun").await.unwrap();
        poll_fn(|cx| std::pin::Pin::new(&mut large).poll_flush(cx)).await.unwrap();
        for i in 0..100 {
            dropping.send(message(i)).await.unwrap();
        }
        assert_eq!(dropping.counters(), SlowCounters { sent: 0, dropped: 90, waited: 10 });
        let refused = closing.send(message(0)).await;
        assert!(matches!(refused, Err(Error::Misuse(Misuse::Closing))));
    });
}

#[test]
fn a_loop_of_pongs_to_a_peer_that_does_not_read_ends() {
    run(async {
        let (mut socket, _peer) = pair(16, &config());
        let mut queued = 0;
        let full = loop {
            match socket.pong(&[7; 100]) {
                Ok(()) => queued += 1,
                Err(error) => break error,
            }
            assert!(queued < 1000, "pongs without end");
        };
        assert!(matches!(full, Error::OutboxFull), "{full:?}");
        assert!(socket.stats().outbox_bytes < OUTBOX + (64 << 10) + 106);
        let ping = socket.ping().await;
        assert!(matches!(ping, Err(Error::OutboxFull)), "{ping:?}");
        assert!(socket.closed().is_none(), "no harm is done");
    });
}

#[test]
fn a_prepared_message_is_given_back_when_there_is_no_room() {
    run(async {
        let (mut client, _peer) = pair(16, &config());
        let prepared = Prepared::new(message(1));
        while client.try_send_prepared(&prepared).is_ok() {
            assert!(client.stats().outbox_bytes < OUTBOX + 106);
        }
        let full = client.try_send_prepared(&prepared);
        assert_eq!(full, Err(crate::TrySendError::Full(message(1))));
        let (sender, _receiver) = client.split();
        let full = sender.try_send_prepared(&prepared);
        assert_eq!(full, Err(crate::TrySendError::Full(message(1))));
        sender.start_close(CloseCode::NORMAL, "").unwrap();
        let closing = sender.try_send_prepared(&prepared);
        assert_eq!(closing, Err(crate::TrySendError::Closing(message(1))));
    });
}
