//! A ticker for any number of readers: each price is framed once, and compressed once, for all of them.
//! `cargo run --example broadcast [ADDRESS]`.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use taiwa::{Deflate, Error, Prepared, Sender, Server, SlowPolicy, Upgrade};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:8000".into());
    let server = Server::bind(address).await?.compression(Deflate::default());
    println!("ws://{}/", server.local_addr()?);

    let readers: Arc<Mutex<Vec<Sender>>> = Arc::default();
    tokio::spawn(tick(Arc::clone(&readers)));
    server
        .serve(move |upgrade: Upgrade| {
            let readers = Arc::clone(&readers);
            async move {
                let (sender, mut receiver) = upgrade.accept().await?.split();
                // A reader that can't keep up gets the latest price, and none of those it missed.
                let sender = sender.with_policy(SlowPolicy::KeepLatest);
                readers.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
                // Waiting here answers Pings, and notices the end.
                while receiver.recv().await?.is_some() {}
                Ok::<(), Error>(())
            }
        })
        .await
}

async fn tick(readers: Arc<Mutex<Vec<Sender>>>) {
    let mut price = 100_000_u32;
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        price = price / 2 + 50_000 + price % 97;
        let text = format!(r#"{{"symbol":"TAIWA","price":{price},"currency":"JPY"}}"#);
        let prepared = Prepared::new(text);
        let mut all: Vec<Sender> = {
            let mut readers = readers.lock().unwrap_or_else(PoisonError::into_inner);
            readers.retain(|it| !it.is_closed());
            readers.clone()
        };
        for reader in &mut all {
            // Never waits, by its policy.
            let _ = reader.send_prepared(&prepared).await;
        }
    }
}
