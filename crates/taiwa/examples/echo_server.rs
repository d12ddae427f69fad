//! Echoes every message: `cargo run --example echo_server [ADDRESS]`.

use taiwa::{Error, Server, Upgrade};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:8000".into());
    let server = Server::bind(address).await?;
    println!("ws://{}/", server.local_addr()?);
    let echo = |upgrade: Upgrade| async move {
        let mut socket = upgrade.accept().await?;
        while let Some(message) = socket.recv().await? {
            socket.send(message).await?;
        }
        Ok::<(), Error>(())
    };
    let stop = async { tokio::signal::ctrl_c().await.expect("signals can be heard") };
    server.serve(echo).with_shutdown(stop).await
}
