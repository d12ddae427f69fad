//! A producer that is no faster than its reader: `cargo run --example backpressure [ADDRESS]`. Whoever
//! connects gets numbers as fast as it reads them, each made only when there is room for it.

use taiwa::{Error, Limits, Server, Upgrade};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:8000".into());
    // What may wait for a slow reader: the smaller, the fresher.
    let limits = Limits { outbox_bytes_max: 16 << 10, ..Limits::default() };
    let server = Server::bind(address).await?.limits(limits);
    println!("ws://{}/", server.local_addr()?);
    server
        .serve(|upgrade: Upgrade| async move {
            let (sender, mut receiver) = upgrade.accept().await?.split();
            let produce = async {
                for number in 0_u64.. {
                    // Waits while the reader is behind. Only then is the next number made.
                    let permit = sender.reserve().await?;
                    permit.send(number.to_string())?;
                }
                Ok::<(), Error>(())
            };
            let listen = async {
                while let Some(message) = receiver.recv().await? {
                    println!("the reader says {message:?}; {:?}", sender.stats());
                }
                Ok::<(), Error>(())
            };
            tokio::select! {
                ended = produce => ended,
                ended = listen => ended,
            }
        })
        .await
}
