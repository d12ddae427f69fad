//! The benchmark's server of the library `taiwa`: all settings at their defaults but those that a task asks for. The
//! first argument is the task; without one it echoes.

mod fan_out;
mod large;

use std::{env, io, sync::Arc};

use fan_out::Members;
use taiwa::{Deflate, Error, Server, Upgrade};

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let server = Server::bind("127.0.0.1:0").await?;
    println!("listening {}", server.local_addr()?.port());
    let members = Members::default();
    let fan_out = move |upgrade| fan_out::join(upgrade, Arc::clone(&members));
    match env::args().nth(1).as_deref() {
        None => server.serve(echo).await,
        Some("fan-out") => server.serve(fan_out).await,
        Some("fan-out-deflate") => server.compression(Deflate::default()).serve(fan_out).await,
        Some("take") => server.serve(large::take).await,
        Some("give") => server.serve(large::give).await,
        Some(other) => Err(io::Error::other(format!("there is no task {other}"))),
    }
}

async fn echo(upgrade: Upgrade) -> Result<(), Error> {
    let mut socket = upgrade.accept().await?;
    while let Some(message) = socket.recv().await? {
        socket.send(message).await?;
    }
    Ok(())
}
