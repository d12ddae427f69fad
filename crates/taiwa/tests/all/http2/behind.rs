//! WebSockets over HTTP/2 behind servers that are not ours: hyper, tower and axum. Clients are the crate `h2`, our own and Node.

use std::{
    convert::Infallible,
    net::SocketAddr,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use axum::{
    Extension, Router,
    response::{IntoResponse, Response},
    routing::any,
    serve::{Listener, ListenerExt},
};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use h2::{client::Builder, ext::Protocol};
use http::{Request, Version};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use taiwa::{
    CloseCode, Deadlines, Deflate, Error, HttpVersion, Limits, Message, Sockets, Upgrade,
    UpgradeLayer, WebSocket,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::sleep,
};

use super::{
    super::{
        soon,
        tools::{Folder, Tool, lacks},
    },
    Client, body, connect, get,
};

/// What becomes of a socket, whatever is in front of it.
type Talk = fn(Told, WebSocket) -> BoxFuture<'static, Result<(), Error>>;

/// Where it says what it saw.
type Told = mpsc::UnboundedSender<String>;

/// By what a program serves.
#[derive(Clone, Copy, Debug)]
enum Front {
    Hyper,
    Tower,
    Axum,
}

const FRONTS: [Front; 3] = [Front::Hyper, Front::Tower, Front::Axum];

impl Front {
    /// Serves until the test ends.
    async fn serve(self, sockets: &Sockets, tell: &Told, talk: Talk) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("it is bound");
        let (sockets, tell) = (sockets.clone(), tell.clone());
        match self {
            Self::Hyper => drop(tokio::spawn(by_hyper(listener, sockets, tell, talk))),
            Self::Tower => {
                let layer = UpgradeLayer::new(&sockets, move |upgrade| {
                    let (tell, upgrade) = (tell.clone(), prepared(&tell, upgrade));
                    async move { talk(tell, upgrade.accept().await?).await }
                });
                let app = Router::new().route("/page", any(|| async { "a page" })).layer(layer);
                tokio::spawn(axum::serve(without_delay(listener), app).into_future());
            }
            Self::Axum => {
                let answer = async move |upgrade: Option<Upgrade>| -> Response {
                    match upgrade {
                        Some(upgrade) => {
                            prepared(&tell, upgrade).on_upgrade(move |it| talk(tell, it))
                        }
                        None => "a page".into_response(),
                    }
                };
                let app = Router::new().fallback(any(answer)).layer(Extension(sockets));
                tokio::spawn(axum::serve(without_delay(listener), app).into_future());
            }
        }
        addr
    }
}

/// Frames are small and whole.
fn without_delay(listener: TcpListener) -> impl Listener<Io = TcpStream, Addr = SocketAddr> {
    listener.tap_io(|tcp| tcp.set_nodelay(true).expect("it is open"))
}

async fn by_hyper(listener: TcpListener, sockets: Sockets, tell: Told, talk: Talk) {
    loop {
        let (tcp, _) = listener.accept().await.expect("it accepts");
        tcp.set_nodelay(true).expect("it is open");
        let (sockets, tell) = (sockets.clone(), tell.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            let tell = tell.clone();
            let response: http::Response<Full<Bytes>> = match sockets.upgrade(&mut request) {
                _ if !Upgrade::is_requested_by(&request) => http::Response::new("a page".into()),
                Ok(upgrade) => prepared(&tell, upgrade).on_upgrade(move |it| talk(tell, it)),
                Err(rejection) => rejection.response_over(request.version()).map(Full::from),
            };
            async move { Ok::<_, Infallible>(response) }
        });
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.enable_connect_protocol();
        tokio::spawn(builder.serve_connection(TokioIo::new(tcp), service));
    }
}

/// Says what the closure sees of the request.
fn prepared(tell: &Told, upgrade: Upgrade) -> Upgrade {
    let headers = upgrade.headers();
    let _ = tell.send(format!(
        "{:?} {} {} {:?} {:?}",
        upgrade.version(),
        upgrade.uri(),
        upgrade.host(),
        headers.get("host"),
        headers.get("cookie"),
    ));
    upgrade.subprotocol(["chat"])
}

fn echo(_: Told, mut socket: WebSocket) -> BoxFuture<'static, Result<(), Error>> {
    Box::pin(async move {
        while let Some(message) = socket.recv().await? {
            socket.send(message).await?;
        }
        Ok(())
    })
}

fn nobody() -> Told {
    mpsc::unbounded_channel().0
}

#[tokio::test]
async fn sockets_share_a_connection_with_requests_and_closures_see_what_they_see_over_http_1() {
    for front in FRONTS {
        let (tell, mut told) = mpsc::unbounded_channel();
        let deflate = Deflate { message_bytes_min: 1, ..Deflate::default() };
        let sockets = Sockets::builder().compression(deflate).build();
        let addr = front.serve(&sockets, &tell, echo).await;
        let client = Client::connect(addr).await;
        let mut request = connect("/chat?room=1");
        for (name, value) in [
            ("sec-websocket-protocol", "other, chat"),
            ("sec-websocket-extensions", "permessage-deflate"),
            ("cookie", "a=b"),
            ("cookie", "c=d"),
        ] {
            request.headers_mut().append(name, value.parse().unwrap());
        }
        let mut first = client.ask(request).await.unwrap();
        assert_eq!(
            soon(told.recv()).await.unwrap(),
            r#"HTTP/2.0 /chat?room=1 127.0.0.1 Some("127.0.0.1") Some("a=b; c=d")"#,
            "{front:?}"
        );
        let names = ["date", "sec-websocket-extensions", "sec-websocket-protocol"];
        let mut there: Vec<_> = first.head.headers.keys().map(|it| it.as_str()).collect();
        there.sort_unstable();
        assert_eq!(there, names, "{front:?}");
        assert_eq!(first.head.headers["sec-websocket-protocol"], "chat");
        first.send(0x81, "not compressed, but answered so ".repeat(3).as_bytes()).await;
        assert_eq!(first.frame().await.0, 0xc1, "a compressed text");

        let mut second = client.open("/").await;
        second.echoes("beside it").await;
        let page = client.request(get("/page"), None).await;
        assert_eq!((page.status().as_u16(), &body(page).await.unwrap()[..]), (200, "a page"));
        second.echoes("still there").await;
        assert_eq!(sockets.open(), 2);
    }
}

#[tokio::test]
async fn end_of_stream_follows_the_close_frame_and_the_connection_goes_on() {
    for front in FRONTS {
        let addr = front.serve(&Sockets::default(), &nobody(), echo).await;
        let client = Client::connect(addr).await;
        let mut socket = client.open("/").await;
        socket.send(0x88, &[3, 0xe8]).await;
        assert_eq!(socket.frame().await, (0x88, Bytes::from_static(&[3, 0xe8])), "{front:?}");
        assert_eq!(socket.data().await.unwrap(), None, "{front:?}");
        client.open("/").await.echoes("the connection goes on").await;
    }
}

#[tokio::test]
async fn our_client_is_served_over_http_2() {
    let client = taiwa::Client::builder()
        .http_version(HttpVersion::Http2)
        .compression(Deflate::default())
        .subprotocols(["chat"])
        .build()
        .unwrap();
    for front in FRONTS {
        let sockets = Sockets::builder().compression(Deflate::default()).build();
        let addr = front.serve(&sockets, &nobody(), echo).await;
        let opened = soon(client.open(&format!("ws://{addr}/"))).await;
        let (mut socket, response) = opened.unwrap();
        assert_eq!((response.version(), socket.subprotocol()), (Version::HTTP_2, Some("chat")));
        assert!(socket.deflate().is_some());
        for len in [0, 125, 70_000, 900_000] {
            for message in [Message::from(vec![9; len]), "語".repeat(len / 3).into()] {
                soon(socket.send(message.clone())).await.unwrap();
                assert_eq!(soon(socket.recv()).await.unwrap(), Some(message), "{front:?}");
            }
        }
        let (left, received) = tokio::join!(soon(sockets.shut_down()), soon(socket.recv()));
        assert_eq!((left, received.unwrap()), (0, None));
        assert_eq!(socket.closed().unwrap().code, CloseCode::GOING_AWAY, "{front:?}");
        let refused = soon(client.open(&format!("ws://{addr}/"))).await;
        assert!(matches!(&refused, Err(Error::Refused(it)) if it.status() == 503), "{refused:?}");
    }
}

#[tokio::test]
async fn what_is_no_websocket_is_refused_on_its_stream_alone() {
    for front in FRONTS {
        let sockets = Sockets::builder().sockets_max(1).build();
        let addr = front.serve(&sockets, &nobody(), echo).await;
        let client = Client::connect(addr).await;
        let mut there = client.open("/").await;
        let with = |name: &'static str, value: &'static str| {
            let mut request = connect("/");
            request.headers_mut().insert(name, value.parse().unwrap());
            request
        };
        let mut tunnel = connect("/");
        tunnel.extensions_mut().insert(Protocol::from_static("connect-udp"));
        for (request, status, why) in [
            (tunnel, 501, "The only :protocol spoken here is websocket"),
            (with("sec-websocket-version", "8"), 400, "Sec-WebSocket-Version must be 13"),
            (with("origin", "https://evil.example"), 403, "Origin not allowed"),
            (connect("/"), 503, "no room"),
        ] {
            let response = client.ask(request).await.err().expect("it is refused");
            let headers = response.headers();
            // Axum's responses are made before anybody knows the version.
            let is_status = response.status() == status
                || matches!(front, Front::Axum) && response.status() == 426;
            assert!(is_status, "{front:?} {response:?}");
            assert!(!headers.contains_key("connection") && !headers.contains_key("upgrade"));
            let text = body(response).await.unwrap();
            assert!(text.contains(why), "{front:?} {text}");
        }
        there.echoes("still there").await;
    }
}

fn tell_end(tell: Told, mut socket: WebSocket) -> BoxFuture<'static, Result<(), Error>> {
    Box::pin(async move {
        let ended = loop {
            match socket.recv().await {
                Ok(Some(_)) => {}
                Ok(None) => break "closed".to_owned(),
                Err(error) => break format!("failed: {error}"),
            }
        };
        let _ = tell.send(ended);
        Ok(())
    })
}

#[tokio::test]
async fn a_reset_an_early_end_and_a_lost_connection_are_abnormal_closures() {
    for front in FRONTS {
        let (tell, mut told) = mpsc::unbounded_channel();
        let sockets = Sockets::default();
        let addr = front.serve(&sockets, &tell, tell_end).await;
        let client = Client::connect(addr).await;
        let reasons = [h2::Reason::CANCEL, h2::Reason::INTERNAL_ERROR, h2::Reason::PROTOCOL_ERROR];
        for reason in reasons {
            let mut socket = client.open("/").await;
            assert!(soon(told.recv()).await.unwrap().starts_with("HTTP/2.0"));
            socket.send(0x81, b"x").await;
            socket.send.send_reset(reason);
            let ended = soon(told.recv()).await.unwrap();
            assert!(ended.starts_with("failed"), "{front:?} {reason:?} {ended}");
        }
        let mut short = client.open("/").await;
        assert!(soon(told.recv()).await.unwrap().starts_with("HTTP/2.0"));
        short.send.send_data(Bytes::new(), true).unwrap();
        assert!(soon(told.recv()).await.unwrap().starts_with("failed"));
        let _lost = client.open("/").await;
        assert!(soon(told.recv()).await.unwrap().starts_with("HTTP/2.0"));
        client.ending.abort();
        assert!(soon(told.recv()).await.unwrap().starts_with("failed"));
        soon(async {
            while sockets.open() > 0 {
                sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

const MESSAGE: usize = 10_000;
const MESSAGES: usize = 800;

/// How many messages a closure has got rid of.
static SENT: AtomicUsize = AtomicUsize::new(0);

fn pour(_: Told, mut socket: WebSocket) -> BoxFuture<'static, Result<(), Error>> {
    Box::pin(async move {
        for _ in 0..MESSAGES {
            socket.send(vec![0; MESSAGE]).await?;
            SENT.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    })
}

#[tokio::test]
async fn a_peer_that_does_not_read_holds_up_the_closure_and_not_its_siblings() {
    const OUTBOX: usize = 64 << 10;
    const WINDOW: usize = 65_535;
    for front in FRONTS {
        SENT.store(0, Ordering::Relaxed);
        let limits = Limits { outbox_bytes_max: OUTBOX, ..Limits::default() };
        let deadlines = Deadlines { write: None, ..Deadlines::default() };
        let sockets = Sockets::builder().limits(limits).deadlines(deadlines).build();
        let addr = front.serve(&sockets, &nobody(), pour).await;
        let client =
            Client::built(addr, Builder::new().initial_connection_window_size(1 << 30)).await;
        let mut slow = client.open("/").await;
        // Until it waits: what it has sent does not grow any more.
        let mut before = usize::MAX;
        soon(async {
            while before != SENT.load(Ordering::Relaxed) {
                before = SENT.load(Ordering::Relaxed);
                sleep(Duration::from_millis(300)).await;
            }
        })
        .await;
        // The window of the stream, hyper's copies of our writes, the outbox, and the message that is being sent.
        let kept = WINDOW + 5 * (16 << 10) + OUTBOX + 2 * MESSAGE;
        let sent = SENT.load(Ordering::Relaxed) * MESSAGE;
        assert!(sent <= kept, "{front:?}: {sent} bytes wait");

        let mut read = 0;
        while read < MESSAGES * MESSAGE {
            read += slow.data().await.expect("no reset").expect("no end").len();
        }
        soon(async {
            while SENT.load(Ordering::Relaxed) < MESSAGES {
                sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

/// What Node does: opens a WebSocket on a stream of HTTP/2, has a text echoed, and closes it.
const NODE: &str = include_str!("behind.mjs");

#[tokio::test]
async fn node_is_served_over_http_2() {
    if lacks("node") {
        return;
    }
    let folder = Folder::new();
    let script = folder.write("behind.mjs", NODE);
    for front in FRONTS {
        let addr = front.serve(&Sockets::default(), &nobody(), echo).await;
        let node = Tool::start(Command::new("node").args([&script, &format!("http://{addr}")]));
        node.says("ended with 0\n", 1).await;
        assert_eq!(node.said(), "echo: hello\nclosed: 1000\nended with 0\n", "{front:?}");
    }
}
