//! The other two faces: [`WebSocketStream`] and [`events`].

use futures_util::{SinkExt, StreamExt, future::join, stream::FusedStream};
use taiwa::{
    CloseCode, Error, Limits, Message, Misuse, Opened, WebSocketStream,
    events::{self, BinaryType, Event, ReadyState},
};

use crate::Here;

fn stream(here: &Here, path: &str) -> WebSocketStream {
    let client = here.client().subprotocols(["v1.check"]).build().unwrap();
    WebSocketStream::with_client(&client, &format!("{}{path}", here.server))
}

pub(crate) async fn streams_have_two_ends(here: Here) {
    let mut stream = stream(&here, "/echo");
    let opened = stream.opened().await.unwrap();
    assert_eq!(opened.protocol, "v1.check");
    assert!(opened.extensions.starts_with("permessage-deflate"), "{}", opened.extensions);
    let Opened { mut readable, mut writable, .. } = opened;
    for message in [Message::from("対話"), vec![7; 100_000].into()] {
        writable.write(message.clone()).await.unwrap();
        assert_eq!(readable.read().await.unwrap(), Some(message));
    }
    assert!(matches!(stream.opened().await, Err(Error::Misuse(Misuse::Taken))));
    stream.close(CloseCode::new(4001), "またね").unwrap();
    assert_eq!(readable.read().await.unwrap(), None);
    let closed = stream.closed().await.unwrap();
    assert_eq!((closed.code.get(), &closed.reason[..]), (4001, "またね"));
}

pub(crate) async fn a_stream_and_a_sink_echo(here: Here) {
    let mut stream = stream(&here, "/echo");
    let Opened { readable, mut writable, .. } = stream.opened().await.unwrap();
    let messages: Vec<Message> = (0..300).map(|it: u32| it.to_string().into()).collect();
    let mut source = futures_util::stream::iter(messages.clone().into_iter().map(Ok::<_, Error>));
    let sent = writable.send_all(&mut source);
    let heard = readable.take(messages.len()).map(Result::unwrap).collect::<Vec<Message>>();
    let (sent, heard) = join(sent, heard).await;
    sent.unwrap();
    assert_eq!(heard, messages);
}

pub(crate) async fn a_socket_is_stream_and_sink(here: Here) {
    let (mut sink, mut stream) = StreamExt::split(here.open("/echo").await);
    let send = async {
        for index in 0..300_u32 {
            sink.send(vec![index as u8; 5000].into()).await.unwrap();
        }
        sink
    };
    let receive = async {
        for index in 0..300_u32 {
            let message = stream.next().await.unwrap().unwrap();
            assert_eq!(message.as_bytes(), [index as u8; 5000]);
        }
        stream
    };
    let (sink, stream) = join(send, receive).await;
    let mut socket = sink.reunite(stream).unwrap();
    assert!(!socket.is_terminated());
    SinkExt::close(&mut socket).await.unwrap();
    SinkExt::close(&mut socket).await.unwrap();
    assert!(socket.next().await.is_none() && socket.is_terminated());
    assert_eq!(socket.closed().map(|it| it.code), Some(CloseCode::NORMAL));
    assert!(matches!(SinkExt::send(&mut socket, "late".into()).await, Err(Error::Closed(_))));
}

pub(crate) async fn closing_the_sink_closes(here: Here) {
    let mut stream = stream(&here, "/echo");
    let Opened { mut readable, mut writable, .. } = stream.opened().await.unwrap();
    SinkExt::close(&mut writable).await.unwrap();
    assert!(readable.next().await.is_none());
    let closed = stream.closed().await.unwrap();
    assert_eq!((closed.code, closed.clean), (CloseCode::NO_STATUS, true));
}

pub(crate) async fn a_stream_that_is_given_up_does_not_open(here: Here) {
    let mut stream = stream(&here, "/echo");
    stream.close(CloseCode::NORMAL, "").unwrap();
    assert!(stream.opened().await.is_err());
    let client = here.client().build().unwrap();
    let mut stream = WebSocketStream::with_client(&client, &format!("{}/refuse", here.server));
    assert!(matches!(stream.opened().await, Err(Error::Io(_))));
}

pub(crate) async fn events_come_in_their_order(here: Here) {
    let client = here.client().subprotocols(["v1.check"]).build().unwrap();
    let url = format!("{}/echo", here.server);
    let (handle, mut events) = events::open_with(&client, &url);
    assert_eq!((handle.ready_state(), handle.url()), (ReadyState::Connecting, url));
    assert_eq!(handle.send("too early"), Err(Misuse::Connecting));
    assert!(matches!(events.next().await, Some(Event::Open)));
    assert_eq!((handle.ready_state(), &handle.protocol()[..]), (ReadyState::Open, "v1.check"));
    assert!(handle.extensions().starts_with("permessage-deflate"), "{}", handle.extensions());
    for message in [Message::from("対話"), vec![0, 255].into()] {
        handle.send(message.clone()).unwrap();
        match events.next().await {
            Some(Event::Message(it)) => assert_eq!(it, message),
            other => panic!("{other:?}"),
        }
    }
    handle.close(CloseCode::new(3000), "enough").unwrap();
    match events.next().await {
        Some(Event::Close(it)) => {
            assert_eq!((it.code.get(), &it.reason[..], it.clean), (3000, "enough", true));
        }
        other => panic!("{other:?}"),
    }
    assert!(events.next().await.is_none());
    assert_eq!(handle.ready_state(), ReadyState::Closed);
}

pub(crate) async fn events_of_a_failed_attempt_are_error_and_close(here: Here) {
    let client = here.client().build().unwrap();
    let (handle, mut events) = events::open_with(&client, &format!("{}/refuse", here.server));
    assert!(matches!(events.next().await, Some(Event::Error(Error::Io(_)))));
    match events.next().await {
        Some(Event::Close(it)) => assert_eq!((it.code, it.clean), (CloseCode::ABNORMAL, false)),
        other => panic!("{other:?}"),
    }
    assert!(events.next().await.is_none());
    assert_eq!(handle.send("into the void"), Ok(()));
    let (_, mut events) = events::open_with(&client, &format!("{}/vanish", here.raw));
    assert!(matches!(events.next().await, Some(Event::Open)));
    assert!(matches!(events.next().await, Some(Event::Message(_))));
    assert!(matches!(events.next().await, Some(Event::Error(Error::Lost))));
    assert!(matches!(events.next().await, Some(Event::Close(it)) if it.code.get() == 1006));
}

pub(crate) async fn a_handle_tells_the_state(here: Here) {
    let (handle, mut events) = here.open("/close?code=1000").await.events();
    assert_eq!(handle.binary_type(), BinaryType::Blob);
    handle.set_binary_type(BinaryType::ArrayBuffer);
    assert_eq!(handle.binary_type(), BinaryType::ArrayBuffer);
    assert_eq!(handle.buffered_amount(), 0);
    assert!(matches!(events.next().await, Some(Event::Open)));
    assert!(matches!(events.next().await, Some(Event::Close(it)) if it.code.get() == 1000));
    let client = here.client().build().unwrap();
    let (handle, mut events) = events::open_with(&client, &format!("{}/mute", here.raw));
    handle.close(CloseCode::NORMAL, "").unwrap();
    assert_eq!(handle.ready_state(), ReadyState::Closing);
    assert!(matches!(events.next().await, Some(Event::Error(_))));
    assert!(matches!(events.next().await, Some(Event::Close(_))));
}

pub(crate) async fn a_full_outbox_ends_an_event_socket(here: Here) {
    let limits = Limits { outbox_bytes_max: 1000, ..Limits::default() };
    let socket = here.open_by(here.client().limits(limits), "/slow?millis=100").await;
    let (handle, mut events) = socket.events();
    assert!(matches!(events.next().await, Some(Event::Open)));
    handle.send(vec![7; 2000]).unwrap();
    assert_eq!(handle.buffered_amount(), 2000);
    handle.send("one too many").unwrap();
    assert!(matches!(events.next().await, Some(Event::Error(Error::OutboxFull))));
    assert!(matches!(events.next().await, Some(Event::Close(_))));
}
