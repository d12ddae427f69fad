//! Sends what one connection says to all, from the task of the one who said it: each connection's sink in one list,
//! each message a clone that shares its payload.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt, stream::SplitSink};
use tokio::{net::TcpStream, sync::Mutex};
use tokio_websockets::{Error, Message, WebSocketStream};

pub(crate) type Members = Arc<Mutex<Vec<SplitSink<WebSocketStream<TcpStream>, Message>>>>;

pub(crate) async fn join(
    socket: WebSocketStream<TcpStream>,
    members: Members,
) -> Result<(), Error> {
    let (sink, mut stream) = socket.split();
    members.lock().await.push(sink);
    while let Some(message) = stream.next().await {
        let message = message?;
        if message.is_text() || message.is_binary() {
            for member in members.lock().await.iter_mut() {
                member.send(message.clone()).await?;
            }
        }
    }
    Ok(())
}
