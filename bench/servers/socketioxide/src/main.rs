//! The benchmark's server of `socketioxide`, behind axum as its documentation shows it: all settings at their defaults. It does
//! what `servers/socket.io` does, whatever the task.

use std::io;

use axum::{Router, serve::ListenerExt};
use serde::Deserialize;
use serde_json::Value;
use socketioxide::{
    SocketIo,
    extract::{Data, SocketRef, TryData},
};
use tokio::net::TcpListener;

/// What a client brings along.
#[derive(Deserialize)]
struct Auth {
    #[serde(default)]
    channels: Vec<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let (layer, io) = SocketIo::new_layer();
    io.ns("/", async |socket: SocketRef, TryData(auth): TryData<Auth>| {
        socket.join(auth.map(|it| it.channels).unwrap_or_default());
        socket.on("say", async |from: SocketRef, Data((channel, said)): Data<(String, Value)>| {
            if let Err(why) = from.to(channel).emit("say", &said).await {
                eprintln!("{why}");
            }
        });
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening {}", listener.local_addr()?.port());
    let listener = listener.tap_io(|it| {
        let _ = it.set_nodelay(true);
    });
    axum::serve(listener, Router::new().layer(layer)).await
}
