//! The benchmark's server of `tokio-websockets`: all settings at their defaults but those that a task asks for. The
//! first argument is the task; without one it echoes.

mod fan_out;
mod large;

use std::{env, io, pin::Pin};

use fan_out::Members;
use futures_util::{SinkExt, StreamExt, TryStreamExt, future::ready};
use tokio::net::{TcpListener, TcpStream};
use tokio_websockets::{Error, Limits, ServerBuilder, WebSocketStream};

type Running = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let mut limits = Limits::default();
    let task: fn(WebSocketStream<TcpStream>, Members) -> Running =
        match env::args().nth(1).as_deref() {
            None | Some("echo-large") => |it, _| Box::pin(echo(it)),
            Some("echo-forward") => |it, _| Box::pin(forward(it)),
            Some("fan-out") => |it, members| Box::pin(fan_out::join(it, members)),
            Some("take") => {
                // There is no way to receive a message in parts.
                limits = Limits::unlimited();
                |it, _| Box::pin(large::take(it))
            }
            Some("give") => |it, _| Box::pin(large::give(it)),
            Some(other) => return Err(io::Error::other(format!("there is no task {other}"))),
        };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening {}", listener.local_addr()?.port());
    let members = Members::default();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let members = members.clone();
        tokio::spawn(async move {
            let ended = match ServerBuilder::new().limits(limits).accept(stream).await {
                Ok((_request, socket)) => task(socket, members).await,
                Err(why) => Err(why),
            };
            if let Err(why) = ended {
                eprintln!("{why}");
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
