//! The benchmark's server of `tokio-tungstenite`: all settings at their defaults but those that a task asks for, and
//! the size of the read buffer that `--read-buffer` gives. The other argument is the task; without one it echoes.

mod fan_out;
mod large;

use std::{env, io, pin::Pin};

use fan_out::Members;
use futures_util::{SinkExt, StreamExt, TryStreamExt, future::ready};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{
    WebSocketStream, accept_async_with_config,
    tungstenite::{Error, protocol::WebSocketConfig},
};

type Running = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let mut config = WebSocketConfig::default();
    let mut task: fn(WebSocketStream<TcpStream>, Members) -> Running = |it, _| Box::pin(echo(it));
    for argument in env::args().skip(1) {
        match argument.as_str() {
            "echo-large" => {}
            "echo-forward" => task = |it, _| Box::pin(forward(it)),
            "fan-out" => task = |it, members| Box::pin(fan_out::join(it, members)),
            "take" => {
                // No way is shown to receive a message in parts.
                config = config.max_message_size(None).max_frame_size(None);
                task = |it, _| Box::pin(large::take(it));
            }
            "give" => task = |it, _| Box::pin(large::give(it)),
            other => {
                let bytes = other.strip_prefix("--read-buffer=").and_then(|it| it.parse().ok());
                let bytes =
                    bytes.ok_or(io::Error::other(format!("{other} is neither task nor size")))?;
                config = config.read_buffer_size(bytes);
            }
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening {}", listener.local_addr()?.port());
    let members = Members::default();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let members = members.clone();
        tokio::spawn(async move {
            let ended = match accept_async_with_config(stream, Some(config)).await {
                Ok(socket) => task(socket, members).await,
                Err(why) => Err(why),
            };
            match ended {
                Ok(()) | Err(Error::ConnectionClosed) => {}
                Err(why) => eprintln!("{why}"),
            }
        });
    }
}

async fn echo(mut socket: WebSocketStream<TcpStream>) -> Result<(), Error> {
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}

/// Writes when there is nothing to read: what came together goes out together.
async fn forward(socket: WebSocketStream<TcpStream>) -> Result<(), Error> {
    let (sink, stream) = socket.split();
    stream.try_filter(|it| ready(it.is_text() || it.is_binary())).forward(sink).await
}
