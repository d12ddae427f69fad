//! Echoes with the library `taiwa`, all settings at their defaults.

use std::io;

use taiwa::{Error, Server, Upgrade};

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let server = Server::bind("127.0.0.1:0").await?;
    println!("listening {}", server.local_addr()?.port());
    server.serve(echo).await
}

async fn echo(upgrade: Upgrade) -> Result<(), Error> {
    let mut socket = upgrade.accept().await?;
    while let Some(message) = socket.recv().await? {
        socket.send(message).await?;
    }
    Ok(())
}
