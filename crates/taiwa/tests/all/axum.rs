//! `Upgrade` as an extractor of axum, and `axum::serve` that waits for its sockets.

use std::{io, net::SocketAddr, time::Duration};

use axum::{
    Extension, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::any,
};
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, StatusCode};
use taiwa::{
    Client, CloseCode, Deadlines, Deflate, Error, Limits, Message, Origin, Origins, Rejection,
    Sockets, Upgrade, WebSocket,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Message as Foreign, client::IntoClientRequest},
};

use super::{handshake, request, soon};

/// Serves until the test ends, or `stop` says so and the sockets are closed.
async fn serve(app: Router, sockets: Sockets) -> (SocketAddr, Served) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    let (stop, stopped) = oneshot::channel::<()>();
    let app = app.layer(Extension(sockets.clone()));
    let served = axum::serve(listener, app).with_graceful_shutdown(async move {
        let _ = stopped.await;
        assert_eq!(sockets.shut_down().await, 0);
    });
    (addr, Served { stop, task: tokio::spawn(served.into_future()) })
}

/// A server at work.
struct Served {
    stop: oneshot::Sender<()>,
    task: JoinHandle<io::Result<()>>,
}

async fn echo(upgrade: Upgrade) -> Response {
    upgrade.on_upgrade(talk)
}

async fn talk(mut socket: WebSocket) -> Result<(), Error> {
    while let Some(message) = socket.recv().await? {
        socket.send(message).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_foreign_client_talks_to_an_extracted_socket() {
    let app = Router::new().route("/echo", any(echo));
    let (addr, _served) = serve(app, Sockets::default()).await;
    let (mut foreign, _) = soon(connect_async(format!("ws://{addr}/echo"))).await.unwrap();
    for len in [0, 125, 126, 70_000] {
        for message in [Foreign::binary(vec![9; len]), Foreign::text("語".repeat(len))] {
            soon(foreign.send(message.clone())).await.unwrap();
            assert_eq!(soon(foreign.next()).await.unwrap().unwrap(), message);
        }
    }
    soon(foreign.close(None)).await.unwrap();
    while let Some(message) = soon(foreign.next()).await {
        assert!(message.unwrap().is_close());
    }
}

#[tokio::test]
async fn one_layer_sets_up_all_routes_and_a_route_changes_what_it_wants() {
    async fn wide(upgrade: Upgrade) -> Response {
        let limits = Limits { message_bytes_max: 1000, ..Limits::default() };
        upgrade.limits(limits).compression(Deflate::default()).subprotocol(["a"]).on_upgrade(talk)
    }
    let limits = Limits { message_bytes_max: 10, ..Limits::default() };
    let sockets = Sockets::builder().limits(limits).build();
    let app = Router::new().route("/narrow", any(echo)).route("/wide", any(wide));
    let (addr, _served) = serve(app, sockets).await;
    let client = Client::builder().compression(Deflate::default()).subprotocols(["a"]).build();
    let client = client.unwrap();
    for (path, is_wide) in [("narrow", false), ("wide", true)] {
        let (mut socket, _) = soon(client.open(&format!("ws://{addr}/{path}"))).await.unwrap();
        assert_eq!(
            (socket.subprotocol() == Some("a"), socket.deflate().is_some()),
            (is_wide, is_wide)
        );
        socket.send("x".repeat(100)).await.unwrap();
        assert_eq!(soon(socket.recv()).await.unwrap().is_some(), is_wide);
        if !is_wide {
            assert_eq!(socket.closed().unwrap().code, CloseCode::MESSAGE_TOO_BIG);
        }
    }
}

#[tokio::test]
async fn extractors_stand_side_by_side() {
    async fn answer(
        State(greeting): State<&'static str>,
        upgrade: Option<Upgrade>,
        headers: HeaderMap,
    ) -> Response {
        let Some(upgrade) = upgrade else { return format!("{greeting} by HTTP").into_response() };
        if !headers.contains_key("authorization") {
            return (StatusCode::UNAUTHORIZED, "token please").into_response();
        }
        upgrade.on_upgrade(move |mut socket| async move { socket.send(greeting).await })
    }
    let app = Router::new().route("/", any(answer)).with_state("hello");
    let (addr, _served) = serve(app, Sockets::default()).await;

    let plain = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let (mut tcp, head) = request(addr, plain).await;
    let whole = [head.into_bytes(), super::rest(&mut tcp).await].concat();
    assert!(whole.starts_with(b"HTTP/1.1 200 ") && whole.ends_with(b"hello by HTTP"));

    let refused = soon(taiwa::connect(&format!("ws://{addr}/"))).await;
    let Err(Error::Refused(response)) = refused else { panic!("{refused:?}") };
    assert_eq!((response.status().as_u16(), &response.body()[..]), (401, &b"token please"[..]));

    let client = Client::builder().header("authorization", "x").build().unwrap();
    let (mut socket, _) = soon(client.open(&format!("ws://{addr}/"))).await.unwrap();
    assert_eq!(soon(socket.recv()).await.unwrap(), Some(Message::from("hello")));
}

#[tokio::test]
async fn a_page_of_another_host_is_refused_before_the_route_runs() {
    async fn run_for_nobody(_: Upgrade) -> Response {
        panic!("the page is in")
    }
    async fn stricter(upgrade: Upgrade) -> Result<Response, Rejection> {
        Ok(upgrade.origins(&Origins::List(Vec::new()))?.on_upgrade(talk))
    }
    let app = Router::new().route("/chat", any(run_for_nobody)).route("/strict", any(stricter));
    let app_origin = Origin::parse("https://app.example").unwrap();
    let sockets = Sockets::builder().origins(Origins::default().allow(app_origin)).build();
    let (addr, _served) = serve(app, sockets).await;
    for (path, origin, status) in [
        ("/chat", "https://evil.example", "403"),
        ("/strict", "https://app.example", "403"),
        ("/strict", "https://evil.example", "403"),
    ] {
        let lines = handshake(&format!("Origin: {origin}\r\n")).replace("/chat", path);
        let (_, head) = request(addr, &lines).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{path} {origin} {head}");
    }
    // Without a page: no browser.
    let (_, head) = request(addr, &handshake("").replace("/chat", "/strict")).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
}

#[tokio::test]
async fn a_request_that_is_no_upgrade_gets_426() {
    let app = Router::new().route("/", any(echo));
    let (addr, _served) = serve(app, Sockets::default()).await;
    let (_, head) = request(addr, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 426 "), "{head}");
    assert!(head.to_ascii_lowercase().contains("sec-websocket-version: 13"), "{head}");
}

#[tokio::test]
async fn graceful_shutdown_closes_the_sockets_and_waits_for_them() {
    async fn slow(upgrade: Upgrade) -> Response {
        upgrade.on_upgrade(|socket| async move {
            tokio::time::sleep(Duration::from_secs(1000)).await;
            drop(socket);
        })
    }
    let close = Some(Duration::from_millis(300));
    let sockets = Sockets::builder().deadlines(Deadlines { close, ..Deadlines::default() }).build();
    let app = Router::new().route("/echo", any(echo)).route("/slow", any(slow));
    let (addr, served) = serve(app, sockets.clone()).await;
    let mut ours = soon(taiwa::connect(&format!("ws://{addr}/echo"))).await.unwrap();
    let mut slow = soon(taiwa::connect(&format!("ws://{addr}/slow"))).await.unwrap();
    let foreign = format!("ws://{addr}/echo").into_client_request().unwrap();
    let (mut foreign, _) = soon(connect_async(foreign)).await.unwrap();
    soon(async {
        while sockets.open() < 3 {
            tokio::task::yield_now().await;
        }
    })
    .await;

    served.stop.send(()).unwrap();
    let slow = tokio::spawn(async move {
        assert_eq!(slow.recv().await.unwrap(), None);
        slow.closed().unwrap().code
    });
    assert_eq!(soon(ours.recv()).await.unwrap(), None);
    assert_eq!(ours.closed().unwrap().code, CloseCode::GOING_AWAY);
    let last = soon(foreign.next()).await.unwrap().unwrap();
    assert!(matches!(&last, Foreign::Close(Some(it)) if it.code == 1001.into()), "{last:?}");
    assert!(soon(foreign.next()).await.is_none());
    // While the slow one is waited for, the server still answers.
    let refused = soon(taiwa::connect(&format!("ws://{addr}/echo"))).await;
    assert!(matches!(&refused, Err(Error::Refused(it)) if it.status() == 503), "{refused:?}");
    assert_eq!(soon(slow).await.unwrap(), CloseCode::GOING_AWAY);
    soon(served.task).await.unwrap().unwrap();
    assert_eq!(sockets.open(), 0);
    assert!(TcpStream::connect(addr).await.is_err(), "nobody listens any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_socket_misses_the_end_on_several_threads() {
    for _ in 0..10 {
        let sockets = Sockets::default();
        let app = Router::new().route("/", any(echo));
        let (addr, served) = serve(app, sockets).await;
        let clients: Vec<_> = (0..20)
            .map(|_| {
                tokio::spawn(async move {
                    let mut socket = match taiwa::connect(&format!("ws://{addr}/")).await {
                        Ok(socket) => socket,
                        Err(Error::Refused(response)) => return response.status().as_u16(),
                        // Not accepted any more.
                        Err(Error::Io(_) | Error::Lost | Error::Http(_)) => return 0,
                        Err(error) => panic!("{error:?}"),
                    };
                    assert_eq!(socket.recv().await.unwrap(), None);
                    socket.closed().unwrap().code.get()
                })
            })
            .collect();
        tokio::task::yield_now().await;
        served.stop.send(()).unwrap();
        soon(served.task).await.unwrap().unwrap();
        for client in clients {
            let end = soon(client).await.unwrap();
            assert!([0, 503, 1001].contains(&end), "{end}");
        }
    }
}
