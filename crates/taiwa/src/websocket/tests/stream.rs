//! Tests of a connection as `Stream` and `Sink`, with a clock that stands still.

use futures_util::{FutureExt, SinkExt, StreamExt, future::join_all, stream::FusedStream};
use taiwa_proto::Side;

use super::*;

#[test]
fn a_stream_forwarded_into_its_own_sink_echoes_until_the_end() {
    run(async {
        let (mut client, server) = pair(1024, &Config::default());
        let (sink, stream) = StreamExt::split(server);
        let echo = tokio::spawn(stream.forward(sink));
        for text in ["a", "b"] {
            SinkExt::send(&mut client, text.into()).await.unwrap();
            assert_eq!(client.next().await.unwrap().unwrap(), text.into());
        }
        SinkExt::close(&mut client).await.unwrap();
        assert!(client.next().await.is_none() && client.is_terminated());
        let closed = client.closed().unwrap();
        assert_eq!((closed.code, closed.by, closed.clean), (CloseCode::NORMAL, Side::Us, true));
        echo.await.unwrap().unwrap();
    });
}

#[test]
fn what_comes_together_is_answered_together_and_a_ping_at_once() {
    run(async {
        let (mut server, mut bytes) = server_and_bytes(1024, &Config::default());
        let came = [frame(TEXT, b"1"), frame(TEXT, b"2"), frame(PING, b"?"), frame(TEXT, b"3")];
        bytes.write_all(&came.concat()).await.unwrap();
        let mut wire = [0; 64];
        for number in ["1", "2"] {
            assert_eq!(server.next().await.unwrap().unwrap(), number.into());
            assert!(bytes.read(&mut wire).now_or_never().is_none(), "written before {number}");
            server.feed(number.into()).await.unwrap();
        }
        assert_eq!(server.next().await.unwrap().unwrap(), "3".into());
        let len = bytes.read(&mut wire).now_or_never().unwrap().unwrap();
        assert_eq!(wire[..len], [TEXT, 1, b'1', TEXT, 1, b'2', PONG, 1, b'?']);
        // Nothing is left to read: what was fed goes out without a flush.
        server.feed("3".into()).await.unwrap();
        assert!(server.next().now_or_never().is_none());
        let len = bytes.read(&mut wire).now_or_never().unwrap().unwrap();
        assert_eq!(wire[..len], [TEXT, 1, b'3']);
    });
}

#[test]
fn what_is_fed_goes_out_when_much_waits() {
    run(async {
        let (mut server, mut bytes) = server_and_bytes(1 << 20, &Config::default());
        let mut wire = vec![0; 1 << 20];
        let large = Message::from(vec![7; 50_000]);
        for _ in 0..2 {
            server.feed(large.clone()).await.unwrap();
            assert!(bytes.read(&mut wire).now_or_never().is_none());
        }
        server.feed("last".into()).await.unwrap();
        let mut len = 0;
        while let Some(read) = bytes.read(&mut wire).now_or_never() {
            len += read.unwrap();
        }
        assert_eq!(len, 2 * (4 + 50_000));
        SinkExt::flush(&mut server).await.unwrap();
        assert_eq!(bytes.read(&mut wire).await.unwrap(), 6);
    });
}

#[test]
fn what_the_peer_says_after_the_sink_was_closed_comes_out_of_the_stream() {
    run(async {
        let (mut server, mut bytes) = server_and_bytes(1024, &Config::default());
        server.feed("first".into()).await.unwrap();
        SinkExt::close(&mut server).await.unwrap();
        SinkExt::close(&mut server).await.unwrap();
        let refused = SinkExt::send(&mut server, "late".into()).await;
        assert!(matches!(refused, Err(Error::Misuse(Misuse::Closing))), "{refused:?}");
        assert!(server.next().now_or_never().is_none() && !server.is_terminated());
        let last = [frame(TEXT, b"last"), frame(CLOSE, &1000u16.to_be_bytes())];
        bytes.write_all(&last.concat()).await.unwrap();
        assert_eq!(server.next().await.unwrap().unwrap(), "last".into());
        assert!(server.next().await.is_none());
        let wire = [&[TEXT, 5][..], b"first", &close_frame(1000)].concat();
        assert_eq!(rest(&mut bytes).await, wire);
        assert!(matches!(SinkExt::flush(&mut server).await, Err(Error::Closed(_))));
        SinkExt::close(&mut server).await.unwrap();
    });
}

#[test]
fn a_fault_is_the_last_item() {
    run(async {
        let (mut server, mut bytes) = server_and_bytes(1024, &Config::default());
        bytes.write_all(&[frame(TEXT, b"fine"), frame(0xc1, b"")].concat()).await.unwrap();
        bytes.shutdown().await.unwrap();
        assert_eq!(server.next().await.unwrap().unwrap(), "fine".into());
        let fault = server.next().await.unwrap();
        assert!(matches!(fault, Err(Error::Fault(Fault::ReservedBit))), "{fault:?}");
        assert!(server.next().await.is_none() && server.is_terminated());
    });
}

#[test]
fn halves_in_tasks_of_their_own_wake_each_other() {
    run(async {
        let limits = Limits { outbox_bytes_max: 200, ..Limits::default() };
        // Pings make whoever reads write, too.
        let ping_after = Duration::from_millis(1);
        let keepalive = Some(Keepalive { ping_after, ..Keepalive::default() });
        let config = Config { limits, keepalive, ..Config::default() };
        let (client, server) = pair(64, &config);
        let mut tasks = Vec::new();
        let mut halves = Vec::new();
        for socket in [client, server] {
            let (mut sink, mut stream) = StreamExt::split(socket);
            halves.push(tokio::spawn(async move {
                for number in 0..300u32 {
                    let message = Message::from(vec![number as u8; 150]);
                    SinkExt::send(&mut sink, message).await.unwrap();
                }
                sink
            }));
            tasks.push(tokio::spawn(async move {
                for number in 0..300u32 {
                    let message = stream.next().await.unwrap().unwrap();
                    assert_eq!(message.as_bytes(), [number as u8; 150]);
                }
                stream
            }));
        }
        let done = async { (join_all(tasks).await, join_all(halves).await) };
        let done = timeout(Duration::from_secs(10), done).await.expect("nobody waits for ever");
        assert!(done.0.iter().all(Result::is_ok) && done.1.iter().all(Result::is_ok));
    });
}
