//! Tests of messages that are read and written as they arrive and come into being.

use std::{io, pin::Pin};

use super::*;

async fn flush(writer: &mut MessageWriter<'_>) {
    poll_fn(|cx| Pin::new(&mut *writer).poll_flush(cx)).await.unwrap();
}

fn text(len: usize) -> String {
    "対話 dialogue 🦀 ".chars().cycle().take(len).collect()
}

/// Compression for [`socket_with`], with or without context takeover.
fn compressed(keep: bool) -> (Config, Option<DeflateParams>) {
    let deflate = taiwa_proto::deflate::Deflate {
        keep_our_context: keep,
        keep_peer_context: keep,
        ..Default::default()
    };
    let params = DeflateParams {
        server_no_context_takeover: !keep,
        client_no_context_takeover: !keep,
        server_max_window_bits: 12,
        client_max_window_bits: 12,
    };
    (Config { deflate: Some(deflate), ..Config::default() }, Some(params))
}

fn pair_with(room: usize, (config, params): &(Config, Option<DeflateParams>)) -> [WebSocket; 2] {
    let (a, b) = duplex(room);
    let end = |role, io| socket_with(role, io, config, *params);
    [end(Role::Client, a), end(Role::Server, b)]
}

#[test]
fn both_ends_stream_at_the_same_time_with_pings_in_between() {
    run(async {
        for agreed in [(Config::default(), None), compressed(false), compressed(true)] {
            // More than a whole message may have.
            let said = text(2_000_000);
            let talk = async |socket: WebSocket| {
                let (sender, mut receiver) = socket.split();
                let writing = async {
                    let mut message = sender.send_stream(Kind::Text);
                    let n = tokio::io::copy(&mut said.as_bytes(), &mut message).await.unwrap();
                    assert_eq!(n, said.len() as u64);
                    message.finish().await.unwrap();
                };
                let reading = async {
                    let mut message = receiver.recv_stream().await.unwrap().unwrap();
                    assert_eq!(message.kind(), Kind::Text);
                    let mut got = Vec::new();
                    tokio::io::copy(&mut message, &mut got).await.unwrap();
                    assert!(got == said.as_bytes(), "damaged");
                };
                let pinger = sender.clone();
                let pinging = async {
                    // Only the reader of the message reads, and it hears the Pongs.
                    for _ in 0..10 {
                        pinger.ping().await.unwrap();
                    }
                };
                tokio::join!(writing, reading, pinging);
                let stats = receiver.stats();
                assert_eq!((stats.sent.messages, stats.received.messages), (1, 1));
                assert!(stats.sent.frames >= 60 && stats.round_trip.is_some());
                receiver.reunite(sender).map_err(|_| "a sender is left")
            };
            let [client, server] = pair_with(10_000, &agreed);
            let (client, server) = tokio::join!(talk(client), talk(server));
            drop((client, server));
        }
    });
}

#[test]
fn bad_text_in_the_middle_comes_out_as_an_error_behind_what_was_good() {
    run(async {
        let (mut server, mut bytes) = server_and_bytes(1024, &Config::default());
        let fragments = [frame(0x01, "対".as_bytes()), frame(0x00, b"\xe8"), frame(0x80, b"x")];
        bytes.write_all(&fragments.concat()).await.unwrap();
        bytes.shutdown().await.unwrap();
        let mut message = server.recv_stream().await.unwrap().unwrap();
        let mut got = Vec::new();
        let error = message.read_to_end(&mut got).await.unwrap_err();
        assert_eq!(got, b"\xe5\xaf\xbe\xe8", "a code point may go on behind a chunk");
        let error = error.into_inner().unwrap().downcast::<Error>().unwrap();
        assert!(matches!(*error, Error::Fault(Fault::TextNotUtf8)), "{error}");
        drop(message);
        assert_eq!(rest(&mut bytes).await, close_frame(1007));
    });
}

#[test]
fn a_connection_that_is_lost_in_the_middle_is_an_unexpected_end() {
    run(async {
        for closes in [false, true] {
            let (mut server, mut bytes) = server_and_bytes(1024, &Config::default());
            bytes.write_all(&frame(0x02, b"begun")).await.unwrap();
            if closes {
                bytes.write_all(&frame(CLOSE, &1001u16.to_be_bytes())).await.unwrap();
            }
            bytes.shutdown().await.unwrap();
            let mut message = server.recv_stream().await.unwrap().unwrap();
            let mut got = Vec::new();
            let error = message.read_to_end(&mut got).await.unwrap_err();
            assert_eq!((&got[..], error.kind()), (&b"begun"[..], io::ErrorKind::UnexpectedEof));
            drop(message);
            let code = if closes { CloseCode::GOING_AWAY } else { CloseCode::ABNORMAL };
            assert_eq!(server.closed().unwrap().code, code);
        }
    });
}

#[test]
fn a_reader_dropped_in_the_middle_passes_over_the_rest() {
    run(async {
        for agreed in [(Config::default(), None), compressed(false), compressed(true)] {
            for next_in_parts in [false, true] {
                let [mut client, mut server] = pair_with(1000, &agreed);
                let said = text(300_000);
                let writing = async {
                    let mut message = client.send_stream(Kind::Text);
                    message.write(said.as_bytes()).await.unwrap();
                    message.finish().await.unwrap();
                    client.send("the next one").await.unwrap();
                    client.send("and one more").await.unwrap();
                };
                let reading = async {
                    let mut message = server.recv_stream().await.unwrap().unwrap();
                    let first = message.chunk().await.unwrap().unwrap();
                    assert!(said.as_bytes().starts_with(&first) && first.len() < said.len() / 2);
                    drop(message);
                    if next_in_parts {
                        let mut next = server.recv_stream().await.unwrap().unwrap();
                        assert_eq!(next.chunk().await.unwrap().unwrap(), "the next one");
                        // Dropped behind its last chunk: nothing is passed over.
                    } else {
                        assert_eq!(server.recv().await.unwrap(), Some("the next one".into()));
                    }
                    assert_eq!(server.recv().await.unwrap(), Some("and one more".into()));
                };
                tokio::join!(writing, reading);
            }
        }
    });
}

#[test]
fn a_writer_dropped_in_the_middle_closes_with_1011() {
    run(async {
        let (client, mut server) = pair(100_000, &Config::default());
        let (sender, mut receiver) = client.split();
        let mut message = sender.send_stream(Kind::Binary);
        message.write(b"begun").await.unwrap();
        flush(&mut message).await;
        let other = sender.clone();
        let waiting = tokio::spawn(async move { other.send("behind it").await });
        sleep(Duration::from_secs(1)).await;
        drop(message);
        let (end, peer) = tokio::join!(receiver.recv(), server.recv());
        assert_eq!((end.unwrap(), peer.unwrap()), (None, None));
        assert_eq!(server.closed().unwrap().code, CloseCode::INTERNAL_ERROR);
        let refused = waiting.await.unwrap();
        assert!(matches!(refused, Err(Error::Misuse(Misuse::Closing) | Error::Closed(_))));
    });
}

#[test]
fn a_writer_dropped_before_anything_was_sent_does_no_harm() {
    run(async {
        let (mut client, mut server) = pair(100_000, &Config::default());
        let mut message = client.send_stream(Kind::Binary);
        message.write(b"never sent").await.unwrap();
        drop(message);
        client.send("something else").await.unwrap();
        assert_eq!(server.recv().await.unwrap(), Some("something else".into()));
    });
}

#[test]
fn other_senders_wait_until_a_streamed_message_is_whole() {
    run(async {
        let (client, mut server) = pair(100_000, &Config::default());
        let (sender, _receiver) = client.split();
        let mut message = sender.send_stream(Kind::Text);
        message.write(b"one ").await.unwrap();
        flush(&mut message).await;
        assert!(matches!(sender.try_send("x"), Err(TrySendError::Full(_))));
        let order = async {
            sleep(Duration::from_secs(5)).await;
            message.write(b"message").await.unwrap();
            message.finish().await.unwrap();
        };
        let second = async {
            let mut second = sender.send_stream(Kind::Text);
            second.write(&[b'2'; 100_000]).await.unwrap();
            second.finish().await.unwrap();
        };
        let third = async { sender.send("third").await.unwrap() };
        let received = async {
            let mut lens = Vec::new();
            for _ in 0..3 {
                lens.push(server.recv().await.unwrap().unwrap().as_bytes().len());
            }
            assert_eq!(lens[0], 11, "the one that was begun");
            lens.sort_unstable();
            assert_eq!(lens, [5, 11, 100_000]);
        };
        tokio::join!(order, second, third, received);
    });
}

#[test]
fn text_that_is_none_is_refused_and_the_writer_says_which() {
    run(async {
        let (mut client, mut server) = pair(100_000, &Config::default());
        let mut message = client.send_stream(Kind::Text);
        message.write(b"\xff").await.unwrap();
        let refused = poll_fn(|cx| Pin::new(&mut message).poll_flush(cx)).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        assert!(matches!(message.finish().await, Err(Error::Misuse(Misuse::TextNotUtf8))));
        client.send("unharmed").await.unwrap();
        assert_eq!(server.recv().await.unwrap(), Some("unharmed".into()));
    });
}

#[test]
fn nothing_can_be_written_behind_the_end() {
    run(async {
        let (mut client, mut server) = pair(100_000, &Config::default());
        let mut message = client.send_stream(Kind::Text);
        message.write(b"whole").await.unwrap();
        AsyncWriteExt::shutdown(&mut message).await.unwrap();
        AsyncWriteExt::shutdown(&mut message).await.unwrap();
        let refused = AsyncWriteExt::write(&mut message, b"more").await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::BrokenPipe);
        drop(message);
        client.send("next").await.unwrap();
        for expected in ["whole", "next"] {
            assert_eq!(server.recv().await.unwrap(), Some(expected.into()));
        }
    });
}

#[test]
fn who_waits_for_a_pong_is_not_held_up_by_a_reader_at_its_end() {
    run(async {
        let (server, mut bytes) = server_and_bytes(1024, &Config::default());
        let (sender, mut receiver) = server.split();
        bytes.write_all(&frame(TEXT, b"whole")).await.unwrap();
        let mut message = receiver.recv_stream().await.unwrap().unwrap();
        assert_eq!(message.chunk().await.unwrap().unwrap(), "whole");
        let peer = async {
            let mut ping = [0; 10];
            bytes.read_exact(&mut ping).await.unwrap();
            bytes.write_all(&frame(PONG, &ping[2..])).await.unwrap();
        };
        let (pinged, ()) = tokio::join!(sender.ping(), peer);
        assert!(pinged.is_ok());
        assert!(message.chunk().await.unwrap().is_none());
    });
}

#[test]
fn pieces_and_buffers_of_any_size_give_the_same_message() {
    run(async {
        let said = text(200_000);
        for agreed in [(Config::default(), None), compressed(false), compressed(true)] {
            for (piece, buffer) in [(1000, 300_000), (32 << 10, 64 << 10), (100_000, 1000)] {
                let [mut client, mut server] = pair_with(100_000, &agreed);
                let writing = async {
                    let mut message = client.send_stream(Kind::Text);
                    for piece in said.as_bytes().chunks(piece) {
                        message.write(piece).await.unwrap();
                    }
                    message.finish().await.unwrap();
                };
                let reading = async {
                    let mut message = server.recv_stream().await.unwrap().unwrap();
                    let (mut buffer, mut got) = (vec![0; buffer], vec![]);
                    loop {
                        let n = message.read(&mut buffer).await.unwrap();
                        if n == 0 {
                            return got;
                        }
                        got.extend_from_slice(&buffer[..n]);
                    }
                };
                let ((), got) = tokio::join!(writing, reading);
                assert!(got == said.as_bytes(), "pieces of {piece}, a buffer of {}", buffer);
                assert_eq!(server.stats().received.messages, 1);
            }
        }
    });
}

#[test]
fn a_text_that_may_not_end_can_not_be_ended_by_asking_again() {
    run(async {
        let (mut client, _server) = pair(1000, &Config::default());
        let mut message = client.send_stream(Kind::Text);
        message.write(&"対".as_bytes()[..2]).await.unwrap();
        for _ in 0..2 {
            let ended = message.shutdown().await;
            assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
    });
}
