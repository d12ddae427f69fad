//! How connections end, and how some do not begin.

use std::{future::Future, io::ErrorKind, pin::pin, task::Context, time::Duration};

use taiwa::{
    BrowserInterface, Client, CloseCode, Deadline, Deadlines, Error, HandshakeMisuse, Misuse, Side,
    TrySendError, WebSocket,
};

use crate::{Here, millis, sleep};

pub(crate) async fn peers_code_and_reason_are_told(here: Here) {
    for code in [1000, 1001, 1011, 3000, 4999] {
        let mut socket = here.open(&format!("/close?code={code}")).await;
        assert_eq!(socket.recv().await.unwrap(), None);
        let closed = socket.closed().expect("recv returned None");
        assert_eq!((closed.code.get(), &closed.reason[..]), (code, "またね"));
        assert_eq!((closed.by, closed.clean), (Side::Peer, true));
        let again = closed.clone();
        assert_eq!(socket.close(CloseCode::NORMAL, "").await.unwrap(), again);
    }
}

/// Asks the server with which code a connection ended.
async fn ended(here: &Here, name: &str) -> String {
    let mut asking = here.open(&format!("/ended?name={name}")).await;
    let answer = asking.recv().await.unwrap().expect("an answer");
    answer.as_text().expect("a text").to_owned()
}

pub(crate) async fn our_code_and_reason_reach_the_peer(here: Here) {
    let mut socket = here.open("/echo").await;
    // The answer repeats the code (RFC 6455 §5.5.1), and taiwa's the reason.
    let closed = socket.close(CloseCode::new(4001), "さようなら").await.unwrap();
    assert_eq!((closed.code.get(), &closed.reason[..]), (4001, "さようなら"));
    assert_eq!((closed.by, closed.clean), (Side::Us, true));
    let name = here.name("code");
    let mut socket = here.open(&format!("/ends?name={name}")).await;
    socket.send("first").await.unwrap();
    socket.start_close(CloseCode::new(3003), "").unwrap();
    socket.start_close(CloseCode::new(3004), "only the first counts").unwrap();
    assert_eq!(socket.recv().await.unwrap(), None);
    assert_eq!(socket.closed().map(|it| it.code.get()), Some(3003));
    assert_eq!(ended(&here, &name).await, "3003");
}

pub(crate) async fn close_without_a_code_is_1005(here: Here) {
    let mut socket = here.open("/echo").await;
    let closed = socket.close(CloseCode::NO_STATUS, "").await.unwrap();
    assert_eq!((closed.code, closed.clean), (CloseCode::NO_STATUS, true));
}

pub(crate) async fn codes_of_the_browsers_own_are_misuse(here: Here) {
    let mut socket = here.open("/echo").await;
    for code in [0, 999, 1001, 1006, 1009, 1011, 2999, 5000] {
        let code = CloseCode::new(code);
        let error = socket.close(code, "").await.unwrap_err();
        assert!(matches!(error, Error::Misuse(Misuse::CloseCode(it)) if it == code), "{error:?}");
    }
    let error = socket.start_close(CloseCode::NORMAL, &"x".repeat(124)).unwrap_err();
    assert!(matches!(error, Error::Misuse(Misuse::ReasonTooLong)), "{error:?}");
    socket.send("unharmed").await.unwrap();
    assert_eq!(socket.recv().await.unwrap(), Some("unharmed".into()));
    let longest = "x".repeat(123);
    assert_eq!(socket.close(CloseCode::NORMAL, &longest).await.unwrap().reason, longest[..]);
}

pub(crate) async fn messages_before_the_close_come_first(here: Here) {
    let mut socket = here.open("/burst?count=3&bytes=10").await;
    // They wait in the inbox, or in the browser.
    sleep(Duration::from_millis(100)).await;
    for index in 0..3_u8 {
        let message = socket.recv().await.unwrap().expect("a message");
        assert_eq!(message.as_bytes()[3], index);
    }
    assert_eq!(socket.closed(), None);
    if here.is_streams() {
        // When a connection is lost, so is what its stream had not handed over (ReadableStreamError).
        return;
    }
    let socket = connect_raw(&here, "/vanish").await;
    sleep(Duration::from_millis(200)).await;
    check_lost(socket).await;
}

async fn connect_raw(here: &Here, path: &str) -> WebSocket {
    let client = here.client().build().unwrap();
    client.connect(&format!("{}{path}", here.raw)).await.unwrap()
}

async fn check_lost(mut socket: WebSocket) {
    assert_eq!(socket.recv().await.unwrap(), Some("last".into()));
    let error = socket.recv().await.unwrap_err();
    assert!(matches!(error, Error::Lost), "{error:?}");
    assert_eq!(error.close_code(), Some(CloseCode::ABNORMAL));
    assert_eq!(socket.recv().await.unwrap(), None);
    let closed = socket.closed().expect("the end was told");
    assert_eq!((closed.code, closed.clean), (CloseCode::ABNORMAL, false));
}

pub(crate) async fn a_lost_connection_is_an_error(here: Here) {
    check_lost(connect_raw(&here, "/vanish").await).await;
}

pub(crate) async fn a_broken_rule_ends_the_connection(here: Here) {
    check_lost(connect_raw(&here, "/broken").await).await;
}

pub(crate) async fn a_refused_handshake_is_an_error(here: Here) {
    let client = here.client().build().unwrap();
    // A refusal by status, and a port that nobody listens on.
    for url in [format!("{}/refuse", here.server), "ws://127.0.0.1:1/".into()] {
        let error = client.connect(&url).await.unwrap_err();
        assert!(matches!(error, Error::Io(_)) && error.is_retryable(), "{error:?}");
    }
}

pub(crate) async fn bad_requests_are_told_before_the_network(here: Here) {
    for names in [&["two words"][..], &["a", "a"], &[""]] {
        let error = here.client().subprotocols(names.iter().copied()).build().unwrap_err();
        assert!(matches!(error, Error::Request(HandshakeMisuse::Subprotocol(_))), "{error:?}");
    }
    let client = here.client().build().unwrap();
    for url in ["http://localhost/", "ws://", "ws://localhost/#top", "nonsense", "/relative"] {
        let error = client.connect(url).await.unwrap_err();
        assert!(matches!(error, Error::Request(_)), "{url}: {error:?}");
    }
}

pub(crate) async fn an_interface_is_there_or_it_is_told(here: Here) {
    let has_streams = js_sys::Reflect::has(&js_sys::global(), &"WebSocketStream".into()).unwrap();
    let built = Client::builder().interface(BrowserInterface::WebSocketStream).build();
    match built {
        Ok(_) => assert!(has_streams),
        Err(Error::Io(error)) => {
            assert_eq!((error.kind(), has_streams), (ErrorKind::Unsupported, false));
        }
        Err(error) => panic!("{error:?}"),
    }
    // Any browser has one of them.
    here.open_by(Client::builder(), "/echo").await.close(CloseCode::NORMAL, "").await.unwrap();
}

fn in_a_moment() -> Option<Duration> {
    Some(Duration::from_millis(200))
}

pub(crate) async fn a_silent_server_is_late(here: Here) {
    let deadlines = Deadlines { handshake: in_a_moment(), ..Deadlines::default() };
    let client = here.client().deadlines(deadlines).build().unwrap();
    let error = client.connect(&format!("{}/mute", here.raw)).await.unwrap_err();
    assert!(matches!(error, Error::Late(Deadline::Handshake)), "{error:?}");
}

pub(crate) async fn a_peer_that_does_not_close_is_late(here: Here) {
    let deadlines = Deadlines { close: in_a_moment(), ..Deadlines::default() };
    let client = here.client().deadlines(deadlines).build().unwrap();
    let mut socket = client.connect(&format!("{}/deaf", here.raw)).await.unwrap();
    let before = millis();
    let error = socket.close(CloseCode::NORMAL, "").await.unwrap_err();
    assert!(matches!(error, Error::Late(Deadline::Close)), "{error:?}");
    assert!((200.0..1500.0).contains(&(millis() - before)), "{}", millis() - before);
    assert_eq!(socket.closed().map(|it| it.code), Some(CloseCode::ABNORMAL));
}

pub(crate) async fn a_dropped_socket_is_closed(here: Here) {
    let name = here.name("dropped");
    let mut socket = here.open(&format!("/ends?name={name}")).await;
    socket.send(vec![0; 300_000]).await.unwrap();
    drop(socket);
    assert_eq!(ended(&here, &name).await, "1005");
}

pub(crate) async fn a_dropped_attempt_is_given_up(here: Here) {
    let client = here.client().build().unwrap();
    let url = format!("{}/mute", here.raw);
    {
        let mut attempt = pin!(client.connect(&url));
        assert!(
            attempt.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop())).is_pending()
        );
        sleep(Duration::from_millis(20)).await;
    }
    // What is left of it must not disturb the next.
    here.open("/echo").await.close(CloseCode::NORMAL, "").await.unwrap();
}

pub(crate) async fn sending_after_the_end_is_an_error(here: Here) {
    let mut socket = here.open("/close?code=4000").await;
    assert_eq!(socket.recv().await.unwrap(), None);
    let error = socket.send("too late").await.unwrap_err();
    assert!(matches!(&error, Error::Closed(it) if it.code.get() == 4000), "{error:?}");
    assert_eq!(socket.try_send("too late"), Err(TrySendError::Closing("too late".into())));
    let mut socket = here.open("/echo").await;
    socket.start_close(CloseCode::NORMAL, "").unwrap();
    let error = socket.send("too late").await.unwrap_err();
    assert!(matches!(error, Error::Misuse(Misuse::Closing)), "{error:?}");
}
