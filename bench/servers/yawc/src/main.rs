//! The benchmark's server of `yawc` behind hyper, over HTTP/1.1 and HTTP/2, as its documentation shows them: all settings at
//! their defaults. The arguments are those of `bench-order`; without a task it echoes.

use std::{io, sync::Arc};

use bench_order::{Order, Over};
use futures_util::{SinkExt, StreamExt, future::ready, stream::SplitSink};
use http_body_util::Empty;
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::Mutex,
};
use yawc::{Frame, HttpWebSocket, OpCode, Options, Result, UpgradeFut, WebSocket};

/// Each connection's sink: what one says is sent to all from the task of the one who said it.
type Members = Arc<Mutex<Vec<SplitSink<HttpWebSocket, Frame>>>>;

#[derive(Clone)]
enum Task {
    Echo,
    /// Write when there is nothing to read: what came together goes out together.
    Forward,
    /// With a limit that fits messages of 16 MiB.
    EchoLarge,
    FanOut(Members),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let order = Order::from_arguments()?;
    let task = match order.task.as_deref() {
        None => Task::Echo,
        Some("echo-large") => Task::EchoLarge,
        Some("echo-forward") => Task::Forward,
        Some("fan-out") => Task::FanOut(Members::default()),
        Some(other) => return Err(io::Error::other(format!("there is no task {other}"))),
    };
    let acceptor = order.acceptor()?;
    let is_http2 = matches!(order.over, Over::Http2 | Over::Http2Clear);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening {}", listener.local_addr()?.port());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (task, acceptor) = (task.clone(), acceptor.clone());
        tokio::spawn(async move {
            let served = match acceptor {
                None => serve(stream, is_http2, task).await,
                Some(acceptor) => serve(acceptor.accept(stream).await?, is_http2, task).await,
            };
            if let Err(why) = served {
                eprintln!("{why}");
            }
            Ok::<_, io::Error>(())
        });
    }
}

async fn serve<S>(stream: S, is_http2: bool, task: Task) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let answer = service_fn(move |request| answer(request, task.clone()));
    if is_http2 {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.enable_connect_protocol();
        return builder.serve_connection(TokioIo::new(stream), answer).await;
    }
    http1::Builder::new().serve_connection(TokioIo::new(stream), answer).with_upgrades().await
}

async fn answer(mut request: Request<Incoming>, task: Task) -> Result<Response<Empty<Bytes>>> {
    let options = match task {
        Task::EchoLarge => Options::default().with_limits(32 << 20, 64 << 20),
        _ => Options::default(),
    };
    let (response, upgraded) = WebSocket::upgrade_with_options(&mut request, options)?;
    tokio::spawn(async move {
        // That a client is gone is told as an error, too.
        let _ = run(upgraded, task).await;
    });
    Ok(response)
}

async fn run(upgraded: UpgradeFut, task: Task) -> Result<()> {
    let mut socket = upgraded.await?;
    let is_data = |it: &Frame| matches!(it.opcode(), OpCode::Text | OpCode::Binary);
    if matches!(task, Task::Forward) {
        let (sink, stream) = socket.split();
        return stream.filter(|it| ready(is_data(it))).map(Ok).forward(sink).await;
    }
    let Task::FanOut(members) = task else {
        while let Some(frame) = socket.next().await {
            if is_data(&frame) {
                socket.send(frame).await?;
            }
        }
        return Ok(());
    };
    let (sink, mut stream) = socket.split();
    members.lock().await.push(sink);
    while let Some(frame) = stream.next().await {
        if is_data(&frame) {
            for member in members.lock().await.iter_mut() {
                member.send(frame.clone()).await?;
            }
        }
    }
    Ok(())
}
