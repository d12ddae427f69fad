//! Messages too large to hold: they are held all the same.

use bench_pattern::pattern;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_websockets::{Error, Message, WebSocketStream};

/// Receives messages, checks every byte and answers how many there were.
pub(crate) async fn take(mut socket: WebSocketStream<TcpStream>) -> Result<(), Error> {
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_text() || message.is_binary() {
            let bytes = message.into_payload();
            assert!(pattern().is_at(0, &bytes), "wrong content");
            let answer = bytes.len().to_string();
            drop(bytes);
            socket.send(Message::binary(answer.into_bytes())).await?;
        }
    }
    Ok(())
}

/// Answers a number with a message of that many bytes.
pub(crate) async fn give(mut socket: WebSocketStream<TcpStream>) -> Result<(), Error> {
    while let Some(request) = socket.next().await {
        let request = request?;
        if !(request.is_text() || request.is_binary()) {
            continue;
        }
        let len: usize =
            String::from_utf8_lossy(request.as_payload()).parse().expect("it is a number");
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            let part = pattern().at(bytes.len() as u64, (len - bytes.len()) as u64);
            bytes.extend_from_slice(part);
        }
        socket.send(Message::binary(bytes)).await?;
    }
    Ok(())
}
