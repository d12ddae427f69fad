//! Tests of the halves of a split connection, with a clock that stands still.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// Polls once with a waker that counts.
struct Woken(AtomicUsize);

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn faulty() -> Vec<u8> {
    frame(0xc1, b"")
}

#[test]
fn a_fault_that_a_sender_meets_first_is_the_receivers_to_hear() {
    run(async {
        let (server, mut bytes) = server_and_bytes(1024, &Config::default());
        let (sender, mut receiver) = server.split();
        bytes.write_all(&[frame(TEXT, b"before"), faulty()].concat()).await.unwrap();
        // The peer ends its side, too, so that nobody waits for that.
        bytes.shutdown().await.unwrap();
        let closed = sender.closed().await;
        assert_eq!((closed.code.get(), closed.clean), (1002, false));
        assert!(matches!(sender.send("x").await, Err(Error::Closed(it)) if it == closed));
        assert!(matches!(sender.ping().await, Err(Error::Closed(it)) if it == closed));
        assert_eq!(receiver.recv().await.unwrap(), Some("before".into()));
        assert!(matches!(receiver.recv().await, Err(Error::Fault(Fault::ReservedBit))));
        assert_eq!(receiver.closed(), Some(&closed));
        assert_eq!(receiver.recv().await.unwrap(), None, "an error is told once");
    });
}

#[test]
fn a_receiver_of_streams_hears_of_the_end_as_one_of_messages() {
    run(async {
        for sender_first in [false, true] {
            let (server, mut bytes) = server_and_bytes(1024, &Config::default());
            let (sender, mut receiver) = server.split();
            bytes.write_all(&faulty()).await.unwrap();
            bytes.shutdown().await.unwrap();
            if sender_first {
                sender.closed().await;
            }
            let end = receiver.recv_stream().await.map(|it| it.is_some());
            assert!(matches!(end, Err(Error::Fault(Fault::ReservedBit))), "{end:?}");
            assert_eq!(receiver.closed().map(|it| it.code.get()), Some(1002));
            assert!(receiver.recv_stream().await.unwrap().is_none(), "an error is told once");
        }
    });
}

#[test]
fn the_end_inside_a_message_is_told_to_the_receiver() {
    run(async {
        let (server, mut bytes) = server_and_bytes(1024, &Config::default());
        let (_sender, mut receiver) = server.split();
        bytes.write_all(&frame(0x01, b"begun")).await.unwrap();
        bytes.shutdown().await.unwrap();
        let mut message = receiver.recv_stream().await.unwrap().unwrap();
        assert_eq!(message.chunk().await.unwrap().unwrap(), "begun");
        assert!(matches!(message.chunk().await, Err(Error::Lost)));
        drop(message);
        assert_eq!(receiver.closed().map(|it| it.code), Some(CloseCode::ABNORMAL));
    });
}

#[test]
fn a_silent_peer_is_given_up_while_a_sender_waits_for_a_writer() {
    run(async {
        let config = Config { keepalive: Some(Keepalive::default()), ..Config::default() };
        let (server, _bytes) = server_and_bytes(100_000, &config);
        let (sender, mut receiver) = server.split();
        let mut message = sender.send_stream(Kind::Text);
        message.write(b"begun").await.unwrap();
        poll_fn(|cx| std::pin::Pin::new(&mut message).poll_flush(cx)).await.unwrap();
        let begun = Instant::now();
        let behind = sender.clone();
        let (received, sent) = tokio::join!(receiver.recv(), behind.send("behind it"));
        assert!(matches!(received, Err(Error::Late(Deadline::Pong))), "{received:?}");
        assert!(matches!(sent, Err(Error::Closed(_) | Error::Misuse(Misuse::Closing))), "{sent:?}");
        assert_eq!(begun.elapsed().as_secs(), 20 + 20 + 5);
    });
}

/// Messages of a peer past what is kept for a receiver.
async fn flood(bytes: &mut DuplexStream, messages: usize) {
    for _ in 0..messages {
        bytes.write_all(&frame(TEXT, &[b'x'; 100])).await.unwrap();
    }
}

fn narrow() -> Config {
    let limits = Limits { message_bytes_max: 1000, ..Limits::default() };
    Config { limits, ..Config::default() }
}

#[test]
fn closing_ends_in_time_although_the_receiver_takes_nothing() {
    run(async {
        let (server, mut bytes) = server_and_bytes(100_000, &narrow());
        let (sender, mut receiver) = server.split();
        flood(&mut bytes, 100).await;
        let begun = Instant::now();
        let closed = sender.close(CloseCode::NORMAL, "").await;
        assert_eq!((closed.unwrap().clean, begun.elapsed().as_secs()), (false, 5));
        for _ in 0..11 {
            assert_eq!(receiver.recv().await.unwrap().unwrap().as_bytes().len(), 100);
        }
        assert!(matches!(receiver.recv().await, Err(Error::Late(Deadline::Close))));
    });
}

#[test]
fn closing_ends_in_time_although_the_reader_of_a_message_stays_away() {
    run(async {
        let (server, mut bytes) = server_and_bytes(100_000, &Config::default());
        let (sender, mut receiver) = server.split();
        bytes.write_all(&frame(0x01, b"begun")).await.unwrap();
        let mut message = receiver.recv_stream().await.unwrap().unwrap();
        let begun = Instant::now();
        let closed = sender.close(CloseCode::NORMAL, "").await;
        assert_eq!((closed.unwrap().clean, begun.elapsed().as_secs()), (false, 5));
        assert_eq!(message.chunk().await.unwrap().unwrap(), "begun");
        assert!(matches!(message.chunk().await, Err(Error::Late(Deadline::Close))));
        drop(message);
        assert_eq!(receiver.recv().await.unwrap(), None, "an error is told once");
    });
}

#[test]
fn who_waits_for_the_end_goes_on_when_the_receiver_makes_room() {
    run(async {
        let (server, mut bytes) = server_and_bytes(100_000, &narrow());
        let (sender, mut receiver) = server.split();
        flood(&mut bytes, 20).await;
        bytes.write_all(&frame(CLOSE, &1000u16.to_be_bytes())).await.unwrap();
        bytes.shutdown().await.unwrap();
        let end = tokio::spawn(async move { sender.closed().await });
        sleep(Duration::from_secs(1)).await;
        // Room for the other nine; then nobody receives any more.
        for _ in 0..11 {
            receiver.recv().await.unwrap().unwrap();
        }
        assert_eq!(end.await.unwrap().code, CloseCode::NORMAL);
        for _ in 0..9 {
            receiver.recv().await.unwrap().unwrap();
        }
        assert_eq!(receiver.recv().await.unwrap(), None);
    });
}

#[test]
fn without_a_receiver_what_the_peer_sends_is_dropped_by_every_method() {
    run(async {
        let (server, mut bytes) = server_and_bytes(100_000, &narrow());
        let (sender, receiver) = server.split();
        drop(receiver);
        flood(&mut bytes, 50).await;
        let peer = async {
            let mut ping = [0; 10];
            bytes.read_exact(&mut ping).await.unwrap();
            flood(&mut bytes, 50).await;
            bytes.write_all(&frame(PONG, &ping[2..])).await.unwrap();
            flood(&mut bytes, 50).await;
            bytes.write_all(&frame(PING, b"?")).await.unwrap();
            let mut pong = [0; 3];
            bytes.read_exact(&mut pong).await.unwrap();
            assert_eq!(pong, [PONG, 1, b'?']);
            bytes.write_all(&frame(CLOSE, &4000u16.to_be_bytes())).await.unwrap();
            assert_eq!(rest(&mut bytes).await, close_frame(4000));
        };
        let all = async {
            sender.ping().await.unwrap();
            assert_eq!(sender.closed().await.code.get(), 4000);
        };
        tokio::join!(all, peer);
    });
}

#[test]
fn all_pings_are_answered_though_the_peer_keeps_pongs_for_a_few() {
    run(async {
        let (client, mut server) = pair(100_000, &Config::default());
        let (sender, _receiver) = client.split();
        let mut pings = tokio::task::JoinSet::new();
        let count = 10 * Limits::default().pongs_max;
        for _ in 0..count {
            let sender = sender.clone();
            pings.spawn(async move { sender.ping().await });
        }
        let received = async { timeout(Duration::from_secs(1), server.recv()).await };
        let (pinged, received) = tokio::join!(pings.join_all(), received);
        assert!(pinged.iter().all(Result::is_ok) && received.is_err(), "{pinged:?}");
        let pongs = server.stats().sent.frames;
        assert!(pongs < count.into(), "all of {count} have a Pong of their own");
    });
}

#[test]
fn a_pong_answers_the_pings_before_its_own_and_none_behind_it() {
    run(async {
        let (server, mut bytes) = server_and_bytes(1024, &Config::default());
        let (sender, _receiver) = server.split();
        let peer = async {
            let mut pings = [[0; 10]; 4];
            for ping in &mut pings {
                bytes.read_exact(ping).await.unwrap();
            }
            for answered in [2, 3] {
                sleep(Duration::from_secs(1)).await;
                bytes.write_all(&frame(PONG, &pings[answered][2..])).await.unwrap();
            }
        };
        let ping = || async { sender.ping().await.unwrap().as_secs() };
        let (a, b, c, d, ()) = tokio::join!(ping(), ping(), ping(), ping(), peer);
        assert_eq!([a, b, c, d], [1, 1, 1, 2]);
    });
}

#[test]
fn a_pong_for_a_ping_that_nobody_waits_for_answers_those_before_it() {
    run(async {
        // By a sender that gave up.
        let (server, mut bytes) = server_and_bytes(1024, &Config::default());
        let (sender, _receiver) = server.split();
        let given_up = async {
            assert!(timeout(Duration::from_secs(1), sender.ping_with(b"given up")).await.is_err());
            bytes.read_exact(&mut [0; 20]).await.unwrap();
            bytes.write_all(&frame(PONG, b"given up")).await.unwrap();
        };
        let (pinged, ()) = tokio::join!(sender.ping(), given_up);
        assert_eq!(pinged.unwrap().as_secs(), 1);

        // By keepalive.
        let config = Config { keepalive: Some(Keepalive::default()), ..Config::default() };
        let (mut server, mut bytes) = server_and_bytes(1024, &config);
        let peer = async {
            let mut pings = [0; 12];
            bytes.read_exact(&mut pings).await.unwrap();
            assert_eq!(pings[10..], [PING, 0]);
            bytes.write_all(&frame(PONG, b"")).await.unwrap();
        };
        let (pinged, ()) = tokio::join!(server.ping(), peer);
        assert_eq!(pinged.unwrap().as_secs(), 20);
    });
}

#[test]
fn sixteen_permits_are_out_at_most_and_one_that_is_dropped_makes_room() {
    run(async {
        let (client, mut server) = pair(100_000, &Config::default());
        let (sender, _receiver) = client.split();
        let mut permits = Vec::new();
        for _ in 0..16 {
            permits.push(sender.reserve().await.unwrap());
        }
        let woken = Arc::new(Woken(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&woken));
        let mut cx = Context::from_waker(&waker);
        let mut waiting = pin!(sender.reserve());
        assert!(waiting.as_mut().poll(&mut cx).is_pending());
        assert!(timeout(Duration::from_secs(1), sender.reserve()).await.is_err());
        let before = woken.0.load(Ordering::SeqCst);
        permits.pop();
        assert!(woken.0.load(Ordering::SeqCst) > before, "the one who waits is woken");
        let Poll::Ready(Ok(permit)) = waiting.as_mut().poll(&mut cx) else { panic!("no room") };
        permit.send("by permit").unwrap();
        // A future that was dropped while it waited took nothing.
        permits.push(sender.reserve().await.unwrap());
        permits.drain(..).for_each(|it| it.send("one of many").unwrap());
        assert_eq!(server.recv().await.unwrap(), Some("by permit".into()));
        for _ in 0..16 {
            assert_eq!(server.recv().await.unwrap(), Some("one of many".into()));
        }
    });
}

#[test]
fn a_permit_is_of_no_use_once_the_connection_closes() {
    run(async {
        let (client, mut server) = pair(100_000, &Config::default());
        let (sender, mut receiver) = client.split();
        let (early, late) = (sender.reserve().await.unwrap(), sender.reserve().await.unwrap());
        sender.start_close(CloseCode::NORMAL, "").unwrap();
        assert!(matches!(early.send("x"), Err(Error::Misuse(Misuse::Closing))));
        assert!(matches!(sender.reserve().await, Err(Error::Misuse(Misuse::Closing))));
        let (end, peer) = tokio::join!(receiver.recv(), server.recv());
        assert_eq!((end.unwrap(), peer.unwrap()), (None, None));
        assert!(matches!(late.send("x"), Err(Error::Closed(_))));
        assert!(matches!(sender.reserve().await, Err(Error::Closed(_))));
    });
}

#[test]
fn who_waits_for_a_permit_hears_that_the_connection_closes() {
    run(async {
        let (client, mut server) = pair(100_000, &Config::default());
        let (sender, mut receiver) = client.split();
        let mut permits = Vec::new();
        for _ in 0..16 {
            permits.push(sender.reserve().await.unwrap());
        }
        let waiting = sender.reserve();
        let ends = async { tokio::join!(receiver.recv(), server.close(CloseCode::NORMAL, "")) };
        let (waited, (received, closed)) = tokio::join!(waiting, ends);
        assert!(matches!(waited, Err(Error::Closed(_) | Error::Misuse(Misuse::Closing))));
        assert_eq!((received.unwrap(), closed.unwrap().clean), (None, true));
    });
}

#[test]
fn halves_of_one_connection_come_together_again_and_others_do_not() {
    run(async {
        let (client, mut server) = pair(1000, &Config::default());
        let (other_sender, other_receiver) = pair(1000, &Config::default()).0.split();
        let (sender, receiver) = client.split();
        let further = receiver.sender();
        let (receiver, sender) = receiver.reunite(sender).unwrap_err();
        drop(further);
        let (receiver, other_sender) = receiver.reunite(other_sender).unwrap_err();
        let (other_receiver, sender) = other_receiver.reunite(sender).unwrap_err();
        sender.send("split").await.unwrap();
        assert_eq!(server.recv().await.unwrap(), Some("split".into()));
        let mut client = receiver.reunite(sender).unwrap();
        client.send("whole").await.unwrap();
        assert_eq!(server.recv().await.unwrap(), Some("whole".into()));
        let (pinged, received) = tokio::join!(client.ping(), async {
            timeout(Duration::from_secs(1), server.recv()).await
        });
        assert!(pinged.is_ok() && received.is_err());
        let (closed, end) = tokio::join!(client.close(CloseCode::NORMAL, ""), server.recv());
        assert!(closed.unwrap().clean && end.unwrap().is_none());
        drop((other_receiver, other_sender));
    });
}

#[test]
fn an_error_that_a_sender_met_is_told_by_the_reunited_connection() {
    run(async {
        let (server, mut bytes) = server_and_bytes(1024, &Config::default());
        let (sender, receiver) = server.split();
        bytes.write_all(&faulty()).await.unwrap();
        bytes.shutdown().await.unwrap();
        sender.closed().await;
        let mut server = receiver.reunite(sender).unwrap();
        assert!(matches!(server.recv().await, Err(Error::Fault(Fault::ReservedBit))));
        assert!(server.recv().await.unwrap().is_none());
    });
}

#[test]
fn dropping_all_halves_of_a_client_says_goodbye() {
    run(async {
        let (client, mut server) = pair(1000, &Config::default());
        let (sender, receiver) = client.split();
        let further = sender.clone();
        drop(sender);
        drop(receiver);
        further.send("last").await.unwrap();
        drop(further);
        assert_eq!(server.recv().await.unwrap(), Some("last".into()));
        assert_eq!(server.recv().await.unwrap(), None);
        assert_eq!(server.closed().unwrap().code, CloseCode::GOING_AWAY);
    });
}

#[test]
fn pings_of_several_senders_are_answered_each_for_itself() {
    run(async {
        let (server, mut bytes) = server_and_bytes(1024, &Config::default());
        let (sender, mut receiver) = server.split();
        let senders = [sender.clone(), sender.clone(), sender];
        let peer = async {
            let mut pings = [[0; 10]; 3];
            for ping in &mut pings {
                bytes.read_exact(ping).await.unwrap();
            }
            // Answered with time between.
            for ping in pings {
                sleep(Duration::from_secs(1)).await;
                bytes.write_all(&frame(PONG, &ping[2..])).await.unwrap();
            }
            bytes.write_all(&frame(TEXT, b"done")).await.unwrap();
        };
        let [a, b, c] = &senders;
        let pings = async { tokio::join!(a.ping(), b.ping(), c.ping()) };
        let ((a, b, c), received, ()) = tokio::join!(pings, receiver.recv(), peer);
        assert_eq!([a, b, c].map(|it| it.unwrap().as_secs()), [1, 2, 3]);
        assert_eq!(received.unwrap(), Some("done".into()));
    });
}

#[test]
fn a_ping_is_not_answered_by_the_pong_of_an_earlier_one() {
    run(async {
        let (mut server, mut bytes) = server_and_bytes(1024, &Config::default());
        // Given up before its answer comes.
        assert!(timeout(Duration::from_secs(1), server.ping()).await.is_err());
        let mut first = [0; 10];
        bytes.read_exact(&mut first).await.unwrap();
        let (sender, mut receiver) = server.split();
        let peer = async {
            let mut second = [0; 10];
            bytes.read_exact(&mut second).await.unwrap();
            bytes.write_all(&frame(PONG, &first[2..])).await.unwrap();
            sleep(Duration::from_secs(1)).await;
            bytes.write_all(&frame(PONG, &second[2..])).await.unwrap();
            bytes
        };
        let (answered, mut bytes) = tokio::join!(sender.ping(), peer);
        assert_eq!(answered.unwrap().as_secs(), 1);
        assert!(timeout(Duration::from_secs(1), sender.ping()).await.is_err());
        let mut third = [0; 10];
        bytes.read_exact(&mut third).await.unwrap();
        bytes.write_all(&[frame(PONG, &third[2..]), frame(TEXT, b"x")].concat()).await.unwrap();
        assert_eq!(receiver.recv().await.unwrap(), Some("x".into()));
        assert!(receiver.stats().round_trip.is_some());
    });
}
