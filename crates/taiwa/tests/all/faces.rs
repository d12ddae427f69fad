//! The two faces that browsers have: `WebSocketStream`, and events with a handle.

use futures_util::{SinkExt, StreamExt};
use taiwa::{
    Client, CloseCode, Config, Deflate, Error, Limits, Message, Misuse, Opened, Upgrade,
    WebSocketStream,
    events::{self, Event, ReadyState},
};

use super::{bind, echo, echo_server, run, soon};

#[tokio::test]
async fn a_stream_is_opened_read_written_and_closed() {
    let (server, addr) = bind().await;
    let config = Config { deflate: Some(Deflate::default()), ..Config::default() };
    run(server.config(config).serve(|upgrade: Upgrade| echo(upgrade.subprotocol(["chat"]))));
    let client = Client::builder().subprotocols(["chat"]).compression(Deflate::default());
    let client = client.build().expect("good settings");
    let mut stream = WebSocketStream::with_client(&client, &format!("ws://{addr}/"));
    let opened = soon(stream.opened()).await.expect("it opens");
    let Opened { mut readable, mut writable, protocol, extensions, .. } = opened;
    assert_eq!(protocol, "chat");
    assert!(extensions.starts_with("permessage-deflate; "), "{extensions}");
    let again = soon(stream.opened()).await;
    assert!(matches!(again, Err(Error::Misuse(Misuse::Taken))), "{again:?}");

    writable.write("by method").await.expect("open");
    assert_eq!(soon(readable.read()).await.expect("open"), Some("by method".into()));
    soon(writable.send(Message::from("by sink"))).await.expect("open");
    let item = soon(readable.next()).await.expect("open");
    assert_eq!(item.expect("a message"), "by sink".into());

    stream.close(CloseCode::from(4001), "enough").expect("a good code");
    let closed = soon(stream.closed()).await.expect("it was open");
    assert_eq!((closed.code.get(), &closed.reason[..], closed.clean), (4001, "enough", true));
    assert!(soon(readable.next()).await.is_none());
}

#[tokio::test]
async fn closing_the_sink_closes_the_connection_without_a_code() {
    let addr = echo_server().await;
    let mut stream = WebSocketStream::new(&format!("ws://{addr}/"));
    let Opened { readable, mut writable, .. } = soon(stream.opened()).await.expect("it opens");
    writable.feed("last words".into()).await.expect("open");
    drop(readable);
    soon(SinkExt::close(&mut writable)).await.expect("it closes");
    let closed = soon(stream.closed()).await.expect("it was open");
    assert_eq!((closed.code, closed.clean), (CloseCode::NO_STATUS, true));
}

#[tokio::test]
async fn a_reader_that_waits_makes_the_writer_wait() {
    let (server, addr) = bind().await;
    let limits = Limits { outbox_bytes_max: 64 << 10, ..Limits::default() };
    run(server.limits(limits.clone()).serve(echo));
    let client = Client::builder().limits(limits).build().expect("good settings");
    let mut stream = WebSocketStream::with_client(&client, &format!("ws://{addr}/"));
    let Opened { mut readable, mut writable, .. } = soon(stream.opened()).await.expect("it opens");
    let message = Message::from(vec![7; 64 << 10]);
    let mut written = 0;
    // Nobody reads: socket buffers and outboxes fill up, and then it waits.
    let short = std::time::Duration::from_millis(500);
    while tokio::time::timeout(short, writable.send(message.clone())).await.is_ok() {
        written += 1;
        assert!(written < 2000, "the writer never waits");
    }
    // The one that waited is queued already: all of them come back.
    for _ in 0..written {
        let read = soon(readable.read()).await.expect("open").expect("a message");
        assert_eq!(read.as_bytes().len(), 64 << 10);
    }
}

#[tokio::test]
async fn a_stream_that_cannot_be_opened_says_why_once() {
    let (server, addr) = bind().await;
    run(server.serve(|upgrade: Upgrade| upgrade.reject(403, "no")));
    let mut stream = WebSocketStream::new(&format!("ws://{addr}/"));
    let opened = soon(stream.opened()).await;
    assert!(matches!(opened, Err(Error::Refused(_))), "{opened:?}");
    assert!(soon(stream.opened()).await.is_err() && soon(stream.closed()).await.is_err());
}

#[tokio::test]
async fn events_come_in_the_order_of_the_standard() {
    let addr = echo_server().await;
    let (handle, mut events) = events::open(&format!("ws://{addr}/x"));
    assert_eq!(handle.ready_state(), ReadyState::Connecting);
    assert_eq!(handle.send("too early"), Err(Misuse::Connecting));
    assert!(matches!(soon(events.next()).await, Some(Event::Open)));
    assert_eq!(handle.ready_state(), ReadyState::Open);
    assert_eq!((handle.url(), handle.protocol()), (format!("ws://{addr}/x"), String::new()));
    handle.send("hello").expect("open");
    match soon(events.next()).await {
        Some(Event::Message(message)) => assert_eq!(message, "hello".into()),
        other => panic!("{other:?}"),
    }
    assert_eq!(handle.buffered_amount(), 0);
    handle.close(CloseCode::NORMAL, "done").expect("a good code");
    assert_eq!(handle.ready_state(), ReadyState::Closing);
    handle.send("into the void").expect("ignored, as browsers do");
    match soon(events.next()).await {
        Some(Event::Close(closed)) => assert_eq!((closed.code.get(), closed.clean), (1000, true)),
        other => panic!("{other:?}"),
    }
    assert_eq!(handle.ready_state(), ReadyState::Closed);
    assert!(soon(events.next()).await.is_none());
}

#[tokio::test]
async fn an_error_comes_before_the_close_with_1006() {
    let (server, addr) = bind().await;
    run(server.serve(|upgrade: Upgrade| upgrade.reject(403, "no")));
    let (handle, mut events) = events::open(&format!("ws://{addr}/"));
    let first = soon(events.next()).await;
    assert!(matches!(first, Some(Event::Error(Error::Refused(_)))), "{first:?}");
    let second = soon(events.next()).await;
    assert!(matches!(second, Some(Event::Close(ref it)) if it.code.get() == 1006), "{second:?}");
    assert_eq!(handle.ready_state(), ReadyState::Closed);
}

#[tokio::test]
async fn a_connection_can_be_given_up_while_it_opens() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    let (handle, mut events) = events::open(&format!("ws://{addr}/"));
    let giving_up = async {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        handle.close(CloseCode::NORMAL, "").expect("a good code");
        assert_eq!(handle.ready_state(), ReadyState::Closing);
    };
    let (first, ()) = soon(async { tokio::join!(events.next(), giving_up) }).await;
    assert!(matches!(first, Some(Event::Error(Error::Lost))), "{first:?}");
    assert!(matches!(soon(events.next()).await, Some(Event::Close(it)) if it.code.get() == 1006));
}

#[tokio::test]
async fn a_full_outbox_closes_the_connection_of_a_handle() {
    let (server, addr) = bind().await;
    run(server.serve(|upgrade: Upgrade| async move {
        let _socket = upgrade.accept().await?;
        // It does not read.
        tokio::time::sleep(std::time::Duration::from_secs(20)).await;
        Ok::<(), Error>(())
    }));
    let limits = Limits { outbox_bytes_max: 100_000, ..Limits::default() };
    let deadlines = taiwa::Deadlines {
        close: Some(std::time::Duration::from_millis(200)),
        ..taiwa::Deadlines::default()
    };
    let client = Client::builder().limits(limits).deadlines(deadlines).build().expect("good");
    let (handle, mut events) = events::open_with(&client, &format!("ws://{addr}/"));
    assert!(matches!(soon(events.next()).await, Some(Event::Open)));
    let mut sent = 0;
    while handle.ready_state() == ReadyState::Open {
        handle.send(vec![0; 50_000]).expect("open");
        sent += 1;
        assert!(sent < 2000 && handle.buffered_amount() < 200_000);
    }
    let first = soon(events.next()).await;
    assert!(matches!(first, Some(Event::Error(Error::OutboxFull))), "{first:?}");
    assert!(matches!(soon(events.next()).await, Some(Event::Close(it)) if !it.clean));
}
