//! Connections that are opened again.

use std::{
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use taiwa::{
    Backoff, Client, CloseCode, Deadline, Deadlines, Disconnected, Error, FinalUrl, Message,
    ReconnectEvent, ReconnectingWebSocket, SendError, Upgrade, WebSocket,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, sleep},
};

use super::{bind, echo_over, echo_server, run, soon};

/// Pauses too short to be noticed.
fn quick() -> Backoff {
    let ms = Duration::from_millis;
    Backoff { initial: ms(1), max: ms(20), ..Backoff::default() }
}

fn client() -> Client {
    Client::builder().build().unwrap()
}

/// Without a clock of its own, so that only pauses move the paused time.
fn timeless() -> Client {
    let none = Deadlines { handshake: None, close: None, write: None, message: None };
    Client::builder().deadlines(none).keepalive(None).build().unwrap()
}

/// Nobody listens there.
async fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("ws://{}/", listener.local_addr().unwrap())
}

async fn connected(socket: &mut ReconnectingWebSocket) -> http::Response<()> {
    match soon(socket.recv()).await {
        Some(ReconnectEvent::Connected(response)) => response,
        other => panic!("{other:?}"),
    }
}

async fn disconnected(socket: &mut ReconnectingWebSocket) -> Disconnected {
    match soon(socket.recv()).await {
        Some(ReconnectEvent::Disconnected(it)) => it,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn pauses_are_random_below_a_bound_that_doubles() {
    let url = nowhere().await;
    let mut sums = [0.0; 8];
    for _ in 0..200 {
        let begun = Arc::new(Mutex::new(Vec::new()));
        let note = Arc::clone(&begun);
        let backoff = Backoff {
            initial: Duration::from_secs(1),
            max: Duration::from_secs(16),
            attempts_max: Some(9),
            ..Backoff::default()
        };
        let mut feed = timeless().reconnecting(&url).backoff(backoff).before_each(move |attempt| {
            note.lock().unwrap().push(Instant::now());
            assert_eq!(attempt.number() as usize, note.lock().unwrap().len());
            std::future::ready(Ok::<_, Error>(attempt))
        });
        assert!(matches!(feed.next().await, Err(Error::Io(_))));
        let begun = begun.lock().unwrap();
        assert_eq!(begun.len(), 9);
        for (index, pair) in begun.windows(2).enumerate() {
            let pause = (pair[1] - pair[0]).as_secs_f64();
            let bound = f64::from(1 << index.min(4));
            // A timer fires up to a millisecond late.
            assert!(pause <= bound + 0.002, "pause {index} took {pause} s");
            sums[index] += pause / bound;
        }
    }
    // The mean of 200 even draws is within 0.12 of the middle, but once in 10^8 runs.
    for (index, sum) in sums.into_iter().enumerate() {
        assert!((sum / 200.0 - 0.5).abs() < 0.12, "pause {index}: {}", sum / 200.0);
    }
}

#[tokio::test(start_paused = true)]
async fn after_some_time_it_gives_up_and_another_call_begins_afresh() {
    let give_up_after = Some(Duration::from_secs(100));
    let mut feed = timeless()
        .reconnecting(nowhere().await)
        .backoff(Backoff { give_up_after, ..Backoff::default() });
    for _ in 0..2 {
        let begun = Instant::now();
        assert!(matches!(feed.next().await, Err(Error::Io(_))));
        assert!(begun.elapsed() <= Duration::from_secs(100), "{:?}", begun.elapsed());
        assert!(begun.elapsed() >= Duration::from_secs(20), "{:?}", begun.elapsed());
        assert_eq!(feed.attempts(), 0);
    }
}

/// Refuses with 503 and a `Retry-After` as often as said, then echoes.
async fn busy(times: u32, retry_after: &'static str) -> (SocketAddr, Arc<AtomicU32>) {
    let (server, addr) = bind().await;
    let count = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&count);
    run(server.serve(move |upgrade: Upgrade| {
        let number = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            if number < times {
                let response =
                    http::Response::builder().status(503).header("retry-after", retry_after);
                return upgrade.reject_with(response.body(Bytes::new()).unwrap()).await;
            }
            echo_over(upgrade.accept().await?).await
        }
    }));
    (addr, count)
}

#[tokio::test]
async fn a_retry_after_is_waited_for_as_long_as_allowed() {
    for (retry_after, max, least) in [("1", 60, 1000), ("3600", 0, 0), ("nonsense", 60, 0)] {
        let (addr, count) = busy(1, retry_after).await;
        let retry_after_max = Duration::from_secs(max);
        let mut feed = client()
            .reconnecting(format!("ws://{addr}/"))
            .backoff(Backoff { retry_after_max, ..quick() });
        let begun = Instant::now();
        let mut socket = soon(feed.next()).await.unwrap();
        let took = begun.elapsed().as_millis();
        assert!(took >= least, "{retry_after}: {took} ms");
        socket.send("x").await.unwrap();
        assert_eq!(soon(socket.recv()).await.unwrap(), Some("x".into()));
        assert_eq!((count.load(Ordering::SeqCst), feed.attempts()), (2, 2));
    }
}

#[tokio::test]
async fn each_attempt_has_a_token_of_its_own() {
    let (server, addr) = bind().await;
    run(server.serve(|upgrade: Upgrade| async move {
        let mut seen = upgrade.headers().get_all("authorization").iter();
        match (seen.next().map(|it| it.as_bytes()), seen.next()) {
            (Some(b"Bearer 3"), None) => echo_over(upgrade.accept().await?).await,
            _ => upgrade.reject(401, "").await,
        }
    }));
    let old = Client::builder().header("authorization", "Bearer old").build().unwrap();
    let url = format!("ws://{addr}/");
    let mut feed = old
        .reconnecting(&url)
        .backoff(quick())
        .retry_if(|error| {
            matches!(error, Error::Refused(it) if it.status() == 401) || error.is_retryable()
        })
        .before_each(|attempt| async move {
            tokio::task::yield_now().await;
            let (number, url) =
                (attempt.number(), format!("{}?{}", attempt.url(), attempt.number()));
            let token = format!("Bearer {number}");
            Ok::<_, Error>(attempt.with_url(url).header("authorization", &token))
        })
        .into_socket();
    for _ in 0..2 {
        let it = disconnected(&mut feed).await;
        assert!(matches!(it.why, Error::Refused(_)) && it.retry_in.is_some(), "{it:?}");
    }
    let response = connected(&mut feed).await;
    let FinalUrl(last) = response.extensions().get().unwrap();
    assert_eq!(last.to_string(), format!("{url}?3"));
    // Without the closure's consent, a refusal of credentials is the end.
    let error = soon(old.reconnecting(&url).next()).await.unwrap_err();
    assert!(matches!(error, Error::Refused(_)), "{error:?}");
}

#[tokio::test]
async fn a_token_that_can_not_be_had_is_a_failed_attempt() {
    let addr = echo_server().await;
    let url = format!("ws://{addr}/");
    let mut feed = client().reconnecting(&url).backoff(quick()).before_each(|attempt| async move {
        match attempt.number() {
            1 | 2 => Err(io::Error::other("the token server is away")),
            _ => Ok(attempt),
        }
    });
    let _socket = soon(feed.next()).await.unwrap();
    assert_eq!(feed.attempts(), 3);

    let mut feed = client().reconnecting(&url).before_each(|_| async {
        Err::<taiwa::Attempt, _>(Error::Closed(taiwa::Closed {
            code: CloseCode::new(4000),
            reason: "".into(),
            by: taiwa::Side::Us,
            clean: true,
        }))
    });
    assert!(matches!(soon(feed.next()).await, Err(Error::Closed(_))));
    let mut feed = client()
        .reconnecting(&url)
        .before_each(|it| async { Ok::<_, Error>(it.header("a", "b\r\nc: d")) });
    assert!(matches!(soon(feed.next()).await, Err(Error::Header(_))));
    let mut feed = client().reconnecting("nonsense");
    assert!(matches!(soon(feed.next()).await, Err(Error::Request(_))));

    let handshake = Some(Duration::from_millis(50));
    let hasty = Client::builder().deadlines(Deadlines { handshake, ..Deadlines::default() });
    let mut feed = hasty
        .build()
        .unwrap()
        .reconnecting(&url)
        .backoff(Backoff { attempts_max: Some(2), ..quick() })
        .before_each(|_| std::future::pending::<Result<_, Error>>());
    assert!(matches!(soon(feed.next()).await, Err(Error::Late(Deadline::Handshake))));
}

/// Closes each connection with the code in its path.
async fn closing() -> SocketAddr {
    let (server, addr) = bind().await;
    run(server.serve(|upgrade: Upgrade| async move {
        let code = upgrade.uri().path()[1..].parse().unwrap();
        let mut socket = upgrade.accept().await?;
        socket.send("hello").await?;
        socket.close(CloseCode::new(code), if code == 1005 { "" } else { "so" }).await?;
        Ok::<(), Error>(())
    }));
    addr
}

#[tokio::test]
async fn a_close_code_decides_what_is_tried_again() {
    let addr = closing().await;
    for (code, again) in [
        (1000, false),
        (1001, true),
        (1002, false),
        (1003, false),
        (1005, false),
        (1007, false),
        (1008, false),
        (1009, false),
        (1010, false),
        (1011, true),
        (1012, true),
        (1013, true),
        (1014, true),
        (3000, false),
        (3999, false),
        (4000, false),
        (4999, false),
    ] {
        let feed = client().reconnecting(format!("ws://{addr}/{code}")).backoff(quick());
        let mut socket = feed.into_socket();
        connected(&mut socket).await;
        let hello = soon(socket.recv()).await;
        assert!(matches!(hello, Some(ReconnectEvent::Message(it)) if it == "hello".into()));
        let it = disconnected(&mut socket).await;
        assert!(matches!(&it.why, Error::Closed(it) if it.code.get() == code), "{it:?}");
        assert_eq!(it.retry_in.is_some(), again, "{code}");
        match again {
            true => _ = connected(&mut socket).await,
            false => assert!(soon(socket.recv()).await.is_none()),
        }

        let mut feed = client().reconnecting(format!("ws://{addr}/{code}")).backoff(quick());
        let mut socket = soon(feed.next()).await.unwrap();
        assert!(feed.goes_on_after(&socket));
        while soon(socket.recv()).await.unwrap().is_some() {}
        assert_eq!(feed.goes_on_after(&socket), again, "{code}");
    }
    let feed = client().reconnecting(format!("ws://{addr}/4001")).backoff(quick());
    let mut socket = feed.retry_if(|_| true).into_socket();
    for _ in 0..3 {
        connected(&mut socket).await;
        soon(socket.recv()).await.unwrap();
        assert!(disconnected(&mut socket).await.retry_in.is_some());
    }
}

#[tokio::test]
async fn a_lost_connection_is_replaced_and_each_event_is_told_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            // One connection after the other, each ended without a Close frame after a message.
            let (tcp, _) = listener.accept().await.unwrap();
            let mut foreign = tokio_tungstenite::accept_async(tcp).await.unwrap();
            let hi = tokio_tungstenite::tungstenite::Message::text("hi");
            futures_util::SinkExt::send(&mut foreign, hi).await.unwrap();
        }
    });
    let mut socket = client().reconnecting(url).backoff(quick()).into_socket();
    for _ in 0..5 {
        connected(&mut socket).await;
        assert!(socket.current().is_some());
        let hi = soon(socket.recv()).await;
        assert!(matches!(hi, Some(ReconnectEvent::Message(it)) if it == "hi".into()));
        let it = disconnected(&mut socket).await;
        assert_eq!(it.why.close_code(), Some(CloseCode::ABNORMAL), "{it:?}");
        assert!(it.unsent.is_none() && it.retry_in.is_some() && socket.current().is_none());
        assert_eq!(soon(socket.send("early")).await, Err(SendError::NotConnected("early".into())));
    }
    assert!(soon(socket.close(CloseCode::NORMAL, "")).await.unwrap().is_none());
    assert!(soon(socket.recv()).await.is_none());
    assert_eq!(soon(socket.send("late")).await, Err(SendError::NotConnected("late".into())));
}

#[tokio::test]
async fn connections_that_do_not_last_count_as_failed_attempts() {
    let addr = closing().await;
    let short = Backoff { attempts_max: Some(3), ..quick() };
    let url = format!("ws://{addr}/1001");
    let mut socket = client().reconnecting(&url).backoff(short.clone()).into_socket();
    for attempt in 1..=3 {
        connected(&mut socket).await;
        soon(socket.recv()).await.unwrap();
        assert_eq!(disconnected(&mut socket).await.retry_in.is_none(), attempt == 3);
    }
    assert!(soon(socket.recv()).await.is_none());
    let mut feed = client().reconnecting(&url).backoff(short);
    for attempt in 1..=3 {
        drop(soon(feed.next()).await.unwrap());
        assert_eq!(feed.attempts(), attempt);
    }
    assert!(matches!(soon(feed.next()).await, Err(Error::Lost)));

    let lasting_after = Duration::from_millis(20);
    let backoff = Backoff { attempts_max: Some(1), lasting_after, ..quick() };
    let mut feed = client().reconnecting(&url).backoff(backoff);
    for _ in 0..3 {
        let _socket = soon(feed.next()).await.unwrap();
        assert_eq!(feed.attempts(), 1);
        sleep(lasting_after).await;
    }
}

/// Polls a future that is made anew each time, at most once each.
async fn piecemeal<T, F: Future<Output = T>>(mut make: impl FnMut() -> F) -> T {
    soon(async {
        loop {
            let once = {
                let mut future = pin!(make());
                poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
            };
            match once {
                Poll::Ready(it) => return it,
                Poll::Pending => sleep(Duration::from_millis(1)).await,
            }
        }
    })
    .await
}

#[tokio::test]
async fn dropping_next_at_every_poll_neither_restarts_an_attempt_nor_a_pause() {
    let (addr, count) = busy(2, "0").await;
    let feed = client().reconnecting(format!("ws://{addr}/")).backoff(quick());
    let feed = tokio::sync::Mutex::new(feed);
    let mut socket: WebSocket =
        piecemeal(|| async { feed.lock().await.next().await }).await.unwrap();
    assert_eq!((count.load(Ordering::SeqCst), feed.lock().await.attempts()), (3, 3));
    socket.send("x").await.unwrap();
    assert_eq!(soon(socket.recv()).await.unwrap(), Some("x".into()));
}

#[tokio::test]
async fn closing_ends_an_attempt_that_is_under_way() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let mut socket = client().reconnecting(url).into_socket();
    let (mut tcp, _) = {
        let mut receiving = pin!(socket.recv());
        soon(async {
            tokio::select! {
                event = &mut receiving => panic!("{event:?}"),
                accepted = listener.accept() => accepted.unwrap(),
            }
        })
        .await
    };
    assert!(soon(socket.close(CloseCode::NORMAL, "")).await.unwrap().is_none());
    // Nobody holds the other end any more, though `socket` is still there.
    let mut read = Vec::new();
    let _ = soon(tokio::io::AsyncReadExt::read_to_end(&mut tcp, &mut read)).await;
    assert!(soon(socket.recv()).await.is_none());
}

#[tokio::test]
async fn dropping_recv_at_every_poll_loses_no_event() {
    let addr = closing().await;
    let feed = client().reconnecting(format!("ws://{addr}/1012")).backoff(quick());
    let socket = tokio::sync::Mutex::new(feed.into_socket());
    for round in 0..5 {
        for step in ["connected", "hello", "closed"] {
            let event = piecemeal(|| async { socket.lock().await.recv().await }).await;
            let is_right = match (step, &event) {
                ("connected", Some(ReconnectEvent::Connected(_))) => true,
                ("hello", Some(ReconnectEvent::Message(it))) => it.as_text() == Some("hello"),
                ("closed", Some(ReconnectEvent::Disconnected(it))) => {
                    it.why.close_code() == Some(CloseCode::SERVICE_RESTART)
                }
                _ => false,
            };
            assert!(is_right, "{step} in round {round}: {event:?}");
        }
    }
}

/// A peer that opens a WebSocket and then reads nothing; ends when told.
async fn deaf() -> (String, tokio::sync::oneshot::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let (end, ended) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let foreign: tokio_tungstenite::WebSocketStream<TcpStream> =
            tokio_tungstenite::accept_async(tcp).await.unwrap();
        let _ = ended.await;
        drop(foreign);
    });
    (url, end)
}

#[tokio::test]
async fn no_message_is_lost_in_silence() {
    let big: Message = vec![7; 32 << 20].into();
    // Dropped after it was queued: the loss gives it back.
    let (url, end) = deaf().await;
    let mut socket = client().reconnecting(url).backoff(quick()).into_socket();
    connected(&mut socket).await;
    soon(socket.send("small")).await.unwrap();
    let unfinished =
        tokio::time::timeout(Duration::from_millis(50), socket.send(big.clone())).await;
    assert!(unfinished.is_err());
    // The next one is not queued behind it.
    let unfinished = tokio::time::timeout(Duration::from_millis(50), socket.send("next")).await;
    assert!(unfinished.is_err());
    end.send(()).unwrap();
    let it = disconnected(&mut socket).await;
    assert!(it.unsent == Some(big.clone()), "{:?}", it.why);
    assert!(socket.take_unsent().is_none());

    // Lost while `send` waits: it gives the message back itself, and the event does not.
    let (url, end) = deaf().await;
    let mut socket = client().reconnecting(url).backoff(quick()).into_socket();
    connected(&mut socket).await;
    let ending = async {
        sleep(Duration::from_millis(50)).await;
        end.send(()).unwrap();
    };
    let (sent, ()) = soon(async { tokio::join!(socket.send(big.clone()), ending) }).await;
    assert!(matches!(sent, Err(SendError::Lost(it)) if it == big));
    let it = disconnected(&mut socket).await;
    assert!(it.unsent.is_none() && it.retry_in.is_some());

    // Dropped and written all the same: nothing is told.
    let addr = echo_server().await;
    let mut socket = client().reconnecting(format!("ws://{addr}/")).into_socket();
    connected(&mut socket).await;
    let middling: Message = vec![7; 900 << 10].into();
    {
        let mut sending = pin!(socket.send(middling.clone()));
        let _ = poll_fn(|cx| Poll::Ready(sending.as_mut().poll(cx))).await;
    }
    let echoed = soon(socket.recv()).await;
    assert!(matches!(echoed, Some(ReconnectEvent::Message(it)) if it == middling));
    let closed = soon(socket.close(CloseCode::NORMAL, "")).await.unwrap().unwrap();
    assert!(closed.clean && socket.take_unsent().is_none());
    assert!(soon(socket.recv()).await.is_none());
}
