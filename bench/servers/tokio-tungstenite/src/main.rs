//! Echoes with `tokio-tungstenite`: all settings at their defaults, or with the size of the read buffer that the
//! first argument gives.

use std::{env, io};

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{
    accept_async_with_config,
    tungstenite::{Error, protocol::WebSocketConfig},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let config = env::args().nth(1).map(|bytes| {
        let bytes = bytes.parse().expect("the argument is a number of bytes");
        WebSocketConfig::default().read_buffer_size(bytes)
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening {}", listener.local_addr()?.port());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            match echo(stream, config).await {
                Ok(()) | Err(Error::ConnectionClosed) => {}
                Err(why) => eprintln!("{why}"),
            }
        });
    }
}

async fn echo(stream: TcpStream, config: Option<WebSocketConfig>) -> Result<(), Error> {
    let mut socket = accept_async_with_config(stream, config).await?;
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}
