//! Programs that `axum::extract::ws` and its facade run alike; `lib` is the one or the other.

use axum::{Router, response::Response, routing::any};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, stream::FusedStream};
use tokio::sync::mpsc;

use super::lib::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};

/// An application, and what its sockets heard.
pub(crate) struct App {
    pub(crate) router: Router,
    pub(crate) notes: mpsc::UnboundedReceiver<Vec<String>>,
}

type Tell = mpsc::UnboundedSender<Vec<String>>;

pub(crate) fn app() -> App {
    let (tell, notes) = mpsc::unbounded_channel();
    let run = |upgrade: WebSocketUpgrade, script: Script, tell: Tell| async move {
        upgrade.on_upgrade(move |socket| async move {
            let heard = script(socket).await;
            tell.send(heard).expect("the test listens");
        })
    };
    let mut router = Router::new().route("/protocols", any(protocols));
    for (path, script) in scripts() {
        let tell = tell.clone();
        router = router.route(
            path,
            any(move |upgrade: WebSocketUpgrade| {
                let narrow = upgrade.max_message_size(if path == "/narrow" { 8 } else { 1000 });
                run(narrow, script, tell)
            }),
        );
    }
    App { router, notes }
}

type Script = fn(WebSocket) -> std::pin::Pin<Box<dyn Future<Output = Vec<String>> + Send>>;

fn scripts() -> [(&'static str, Script); 7] {
    [
        ("/echo", |socket| Box::pin(echo(socket))),
        ("/hear", |socket| Box::pin(hear(socket))),
        ("/narrow", |socket| Box::pin(hear(socket))),
        ("/close", |socket| Box::pin(close(socket))),
        ("/close-empty", |socket| Box::pin(close_empty(socket))),
        ("/kinds", |socket| Box::pin(kinds(socket))),
        ("/split", |socket| Box::pin(split(socket))),
    ]
}

async fn protocols(upgrade: WebSocketUpgrade) -> Response {
    let mut upgrade = upgrade.protocols(["a", "b"]);
    let requested: Vec<_> = upgrade.requested_protocols().cloned().collect();
    if requested.iter().any(|it| it == "c") {
        assert_eq!(requested, ["a", "b", "c"]);
        assert_eq!(upgrade.selected_protocol().unwrap(), "a");
        upgrade.set_selected_protocol("c".parse().unwrap());
    }
    let selected = upgrade.selected_protocol().cloned();
    upgrade.on_upgrade(async move |socket| assert_eq!(socket.protocol(), selected.as_ref()))
}

/// Writes down what comes.
fn note<E>(heard: &mut Vec<String>, item: Option<&Result<Message, E>>) {
    heard.push(match item {
        None => "end".to_owned(),
        Some(Err(_)) => "error".to_owned(),
        Some(Ok(Message::Text(text))) => format!("text {text}"),
        Some(Ok(Message::Binary(bytes))) => format!("binary {bytes:?}"),
        Some(Ok(Message::Ping(payload))) => format!("ping {payload:?}"),
        Some(Ok(Message::Pong(payload))) => format!("pong {payload:?}"),
        Some(Ok(Message::Close(None))) => "close".to_owned(),
        Some(Ok(Message::Close(Some(CloseFrame { code, reason })))) => {
            format!("close {code} {reason}")
        }
    });
}

async fn hear(mut socket: WebSocket) -> Vec<String> {
    let mut heard = Vec::new();
    loop {
        let item = socket.recv().await;
        note(&mut heard, item.as_ref());
        if item.is_none() {
            heard.push(format!("terminated {}", socket.is_terminated()));
            note(&mut heard, socket.recv().await.as_ref());
            return heard;
        }
    }
}

async fn echo(mut socket: WebSocket) -> Vec<String> {
    let mut heard = Vec::new();
    loop {
        let item = socket.recv().await;
        note(&mut heard, item.as_ref());
        match item {
            Some(Ok(message @ (Message::Text(_) | Message::Binary(_) | Message::Close(_)))) => {
                heard.push(format!("sent {}", socket.send(message).await.is_ok()));
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return heard,
        }
    }
}

async fn close(mut socket: WebSocket) -> Vec<String> {
    let reason = Utf8Bytes::from_static("done");
    let frame = CloseFrame { code: close_code::AWAY, reason };
    let mut heard = vec![
        format!("sent {}", socket.send(Message::Close(Some(frame))).await.is_ok()),
        format!("sent {}", socket.send("too late".into()).await.is_ok()),
    ];
    heard.extend(hear(socket).await);
    heard
}

async fn close_empty(mut socket: WebSocket) -> Vec<String> {
    let mut heard = vec![
        format!("closed {}", SinkExt::close(&mut socket).await.is_ok()),
        format!("sent {}", socket.send("too late".into()).await.is_ok()),
    ];
    heard.extend(hear(socket).await);
    heard
}

async fn kinds(mut socket: WebSocket) -> Vec<String> {
    for message in [
        Message::text("text"),
        Message::binary(vec![0; 200]),
        Message::Ping(Bytes::from_static(b"ping")),
        Message::Pong(Bytes::from_static(b"pong")),
    ] {
        socket.feed(message).await.expect("there is room");
    }
    socket.flush().await.expect("the client reads");
    hear(socket).await
}

async fn split(socket: WebSocket) -> Vec<String> {
    let (mut sink, mut stream) = socket.split();
    let writer = tokio::spawn(async move {
        for text in ["one", "two"] {
            sink.send(Message::from(text)).await.expect("the client reads");
        }
    });
    // One after the other: the bytes are compared.
    writer.await.expect("no panic");
    let mut heard = Vec::new();
    loop {
        let item = stream.next().await;
        note(&mut heard, item.as_ref());
        if item.is_none() {
            return heard;
        }
    }
}
