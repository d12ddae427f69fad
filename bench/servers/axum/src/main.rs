//! The benchmark's server of axum's WebSockets, over HTTP/1.1 and HTTP/2, as its documentation shows them: all settings at
//! their defaults. The arguments are those of `bench-order`; without a task it echoes.

mod tls;

use std::{io, sync::Arc};

use axum::{
    Error, Router,
    extract::{
        WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    response::Response,
    routing::any,
    serve::ListenerExt,
};
use bench_order::Order;
use futures_util::{SinkExt, StreamExt, TryStreamExt, future::ready, stream::SplitSink};
use tls::Secure;
use tokio::{net::TcpListener, sync::Mutex};

/// Each connection's sink: what one says is sent to all from the task of the one who said it.
type Members = Arc<Mutex<Vec<SplitSink<WebSocket, Message>>>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let order = Order::from_arguments()?;
    let router = match order.task.as_deref() {
        None | Some("echo-large") => Router::new().route("/", any(echoing)),
        Some("echo-forward") => Router::new().route("/", any(forwarding)),
        Some("fan-out") => {
            let members = Members::default();
            Router::new().route("/", any(|upgrade| joining(upgrade, members)))
        }
        Some(other) => return Err(io::Error::other(format!("there is no task {other}"))),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening {}", listener.local_addr()?.port());
    match order.acceptor()? {
        Some(acceptor) => axum::serve(Secure::new(listener, acceptor)?, router).await,
        None => {
            let listener = listener.tap_io(|it| {
                let _ = it.set_nodelay(true);
            });
            axum::serve(listener, router).await
        }
    }
}

async fn echoing(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(|socket| async {
        // That a client is gone is told as an error, too.
        let _ = echo(socket).await;
    })
}

async fn echo(mut socket: WebSocket) -> Result<(), Error> {
    while let Some(message) = socket.recv().await {
        let message = message?;
        if matches!(message, Message::Text(_) | Message::Binary(_)) {
            socket.send(message).await?;
        }
    }
    Ok(())
}

/// Writes when there is nothing to read: what came together goes out together.
async fn forwarding(upgrade: WebSocketUpgrade) -> Response {
    let is_data = |it: &Message| ready(matches!(it, Message::Text(_) | Message::Binary(_)));
    upgrade.on_upgrade(move |socket| async move {
        let (sink, stream) = socket.split();
        let _ = stream.try_filter(is_data).forward(sink).await;
    })
}

async fn joining(upgrade: WebSocketUpgrade, members: Members) -> Response {
    upgrade.on_upgrade(|socket| async {
        let _ = join(socket, members).await;
    })
}

async fn join(socket: WebSocket, members: Members) -> Result<(), Error> {
    let (sink, mut stream) = socket.split();
    members.lock().await.push(sink);
    while let Some(message) = stream.next().await {
        let message = message?;
        if matches!(message, Message::Text(_) | Message::Binary(_)) {
            for member in members.lock().await.iter_mut() {
                member.send(message.clone()).await?;
            }
        }
    }
    Ok(())
}
