//! The benchmark's server of `sockudo-ws`, over HTTP/1.1 and HTTP/2, as its documentation shows them: all settings at their
//! defaults. The arguments are those of `bench-order`; without a task it echoes.

use std::{io, pin::Pin, sync::Arc};

use bench_order::{Order, Over};
use futures_util::{SinkExt, StreamExt, TryStreamExt, future::ready};
use sockudo_ws::{
    Config, Http1, Http2, Message, SplitWriter, WebSocketServer, WebSocketStream, error::Result,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::Mutex,
};

/// Each connection's writer: what one says is sent to all from the task of the one who said it.
type Members<S> = Arc<Mutex<Vec<SplitWriter<S>>>>;

/// A connection of TCP, with TLS or without.
trait Transport: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Transport for T {}

type Carrier = Pin<Box<dyn Transport>>;

#[derive(Clone, Copy)]
enum Task {
    Echo,
    /// Write when there is nothing to read: what came together goes out together.
    Forward,
    FanOut,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let order = Order::from_arguments()?;
    let task = match order.task.as_deref() {
        None | Some("echo-large") => Task::Echo,
        Some("echo-forward") => Task::Forward,
        Some("fan-out") => Task::FanOut,
        Some(other) => return Err(io::Error::other(format!("there is no task {other}"))),
    };
    let acceptor = order.acceptor()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening {}", listener.local_addr()?.port());
    let (alone, shared) = (Members::default(), Members::default());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (alone, shared, acceptor) = (alone.clone(), shared.clone(), acceptor.clone());
        tokio::spawn(async move {
            let ended = match (order.over, acceptor) {
                (Over::Http2 | Over::Http2Clear, None) => http2(stream, task, shared).await,
                (Over::Http2 | Over::Http2Clear, Some(acceptor)) => {
                    http2(acceptor.accept(stream).await?, task, shared).await
                }
                (_, None) => http1(Box::pin(stream), task, alone).await,
                (_, Some(acceptor)) => {
                    http1(Box::pin(acceptor.accept(stream).await?), task, alone).await
                }
            };
            if let Err(why) = ended {
                eprintln!("{why}");
            }
            Ok::<_, io::Error>(())
        });
    }
}

async fn http1(stream: Carrier, task: Task, members: Members<Carrier>) -> Result<()> {
    let server = WebSocketServer::<Http1>::new(Config::default());
    let (socket, _) = server.accept_raw(stream).await?;
    run(socket, task, members).await
}

async fn http2<S>(stream: S, task: Task, members: Members<sockudo_ws::Stream<Http2>>) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let server = WebSocketServer::<Http2>::new(Config::default());
    let each = move |socket, _| {
        let members = members.clone();
        async move {
            // That a client is gone is told as an error, too.
            let _ = run(socket, task, members).await;
        }
    };
    server.serve(stream, each).await
}

async fn run<S>(mut socket: WebSocketStream<S>, task: Task, members: Members<S>) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    if matches!(task, Task::Echo) {
        while let Some(message) = socket.next().await {
            let message = message?;
            if matches!(message, Message::Text(_) | Message::Binary(_)) {
                socket.send(message).await?;
            }
        }
        return Ok(());
    }
    if matches!(task, Task::Forward) {
        let is_data = |it: &Message| ready(matches!(it, Message::Text(_) | Message::Binary(_)));
        let (sink, stream) = StreamExt::split(socket);
        return stream.try_filter(is_data).forward(sink).await;
    }
    let (mut reader, writer) = socket.split();
    members.lock().await.push(writer);
    while let Some(message) = reader.next().await {
        let message = message?;
        if matches!(message, Message::Text(_) | Message::Binary(_)) {
            for member in members.lock().await.iter_mut() {
                member.send(message.clone()).await?;
            }
        }
    }
    Ok(())
}
