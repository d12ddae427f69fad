//! Messages too large to hold. Received they are held all the same; they are sent frame by frame.

use bench_pattern::pattern;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Bytes, Error, Message,
        protocol::frame::{
            Frame,
            coding::{Data, OpCode},
        },
    },
};

/// Receives messages, checks every byte and answers how many there were.
pub(crate) async fn take(mut socket: WebSocketStream<TcpStream>) -> Result<(), Error> {
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_text() || message.is_binary() {
            let bytes = message.into_data();
            assert!(pattern().is_at(0, &bytes), "wrong content");
            socket.send(Message::binary(bytes.len().to_string())).await?;
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
        let bytes: u64 = request.to_text()?.parse().expect("it is a number");
        let mut written = 0;
        while written < bytes {
            let kind = if written == 0 { Data::Binary } else { Data::Continue };
            let part = pattern().at(written, bytes - written);
            written += part.len() as u64;
            let part = Bytes::from_static(part);
            let frame = Frame::message(part, OpCode::Data(kind), written == bytes);
            socket.feed(Message::Frame(frame)).await?;
        }
        socket.flush().await?;
    }
    Ok(())
}
