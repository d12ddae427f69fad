//! A chat behind axum, which closes its sockets when it stops: `cargo run --features axum --example axum_chat
//! [ADDRESS]`, then open the page that it names. Over HTTP/2, too, where axum's feature `http2` is on.

use axum::{
    Extension, Router,
    extract::State,
    response::{Html, Response},
    routing::{any, get},
};
use taiwa::{Error, Prepared, Sockets, Upgrade, WebSocket};
use tokio::{
    net::TcpListener,
    sync::broadcast::{self, error::RecvError},
};

const PAGE: &str = r#"<!doctype html><title>chat</title>
<form><input autofocus></form><pre></pre>
<script>
const socket = new WebSocket(location.origin.replace("http", "ws") + "/chat");
const show = text => document.querySelector("pre").append(text + "\n");
socket.onmessage = event => show(event.data);
socket.onclose = event => show(`closed with ${event.code}`);
document.querySelector("form").onsubmit = event => {
    event.preventDefault();
    const input = document.querySelector("input");
    socket.send(input.value);
    input.value = "";
};
</script>"#;

/// Who says something in the room says it to all. It is framed once, for however many sockets.
type Room = broadcast::Sender<Prepared>;

async fn chat(upgrade: Upgrade, State(room): State<Room>) -> Response {
    upgrade.on_upgrade(|socket| talk(socket, room))
}

async fn talk(mut socket: WebSocket, room: Room) -> Result<(), Error> {
    let mut said = room.subscribe();
    loop {
        tokio::select! {
            message = socket.recv() => match message? {
                Some(message) => drop(room.send(Prepared::new(message))),
                None => return Ok(()),
            },
            message = said.recv() => match message {
                Ok(message) => socket.send_prepared(&message).await?,
                // Who reads too slowly misses something.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Ok(()),
            },
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:8000".into());
    let listener = TcpListener::bind(address).await?;
    println!("http://{}/", listener.local_addr()?);
    let sockets = Sockets::builder().on_error(|_, error| eprintln!("{error}")).build();
    let app = Router::new()
        .route("/", get(async || Html(PAGE)))
        .route("/chat", any(chat))
        .layer(Extension(sockets.clone()))
        .with_state(Room::new(100));
    let stop = async move {
        tokio::signal::ctrl_c().await.expect("signals can be heard");
        // axum forgets a connection once it is upgraded: without this the sockets would end with 1006.
        sockets.shut_down().await;
    };
    axum::serve(listener, app).with_graceful_shutdown(stop).await
}
