//! The benchmark's server of the library `taiwa`: all settings at their defaults but those that a task asks for. The
//! arguments are those of `bench-order`.

mod datagrams;
mod fan_out;
mod large;

use std::{io, net::UdpSocket, sync::Arc};

use bench_order::{Order, Over};
use fan_out::Members;
use futures_util::{SinkExt, StreamExt};
use taiwa::{Deflate, Error, Http3, Limits, Server, Upgrade};

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let order = Order::from_arguments()?;
    let server = listen(&order).await?;
    println!("listening {}", server.local_addr()?.port());
    let members = Members::default();
    let fan_out = move |upgrade| fan_out::join(upgrade, Arc::clone(&members));
    match order.task.as_deref() {
        None => server.serve(echo).await,
        Some("echo-forward") => server.serve(forward).await,
        Some("echo-deflate") => server.compression(Deflate::default()).serve(echo).await,
        Some("echo-large") => {
            let limits = Limits { message_bytes_max: 16 << 20, ..Limits::default() };
            server.limits(limits).serve(echo).await
        }
        Some("fan-out") => server.serve(fan_out).await,
        Some("fan-out-deflate") => server.compression(Deflate::default()).serve(fan_out).await,
        Some("take") => server.serve(large::take).await,
        Some("give") => server.serve(large::give).await,
        Some("datagrams") => server.webtransport(datagrams::echo).serve(echo).await,
        Some("datagrams-take") => server.webtransport(datagrams::take).serve(echo).await,
        Some(other) => Err(io::Error::other(format!("there is no task {other}"))),
    }
}

async fn listen(order: &Order) -> io::Result<Server> {
    // A connection counts beside the WebSockets that share it: 10,000 of them and some connections are more than by default.
    let mut server = Server::bind("127.0.0.1:0").await?.connections_max(19_000);
    if order.over.is_secure() {
        let (certificate, key) = order.certificate()?;
        server = server.tls(&certificate, &key).map_err(io::Error::other)?;
    }
    if matches!(order.over, Over::Http3 | Over::WebTransport) {
        // Bound before the port is told.
        let socket = UdpSocket::bind(("127.0.0.1", server.local_addr()?.port()))?;
        server = server.http3(Http3::default()).udp(socket);
    }
    Ok(server)
}

async fn echo(upgrade: Upgrade) -> Result<(), Error> {
    let mut socket = upgrade.accept().await?;
    while let Some(message) = socket.recv().await? {
        socket.send(message).await?;
    }
    Ok(())
}

/// Feeds the sink, which writes when there is nothing to read: what came together goes out together.
async fn forward(upgrade: Upgrade) -> Result<(), Error> {
    let mut socket = upgrade.accept().await?;
    while let Some(message) = socket.next().await {
        socket.feed(message?).await?;
    }
    Ok(())
}
