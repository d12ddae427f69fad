//! Keeps a connection, whatever happens: `cargo run --example reconnect ws://127.0.0.1:8000/`.
//!
//! Stop the server and start it again: what it must be told, it is told again.

use std::time::Duration;

use taiwa::{Backoff, Client, Error, ReconnectEvent};

/// What a program would ask its own service for.
async fn fresh_token(attempt: u32) -> Result<String, std::io::Error> {
    Ok(format!("Bearer {attempt}"))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let url = std::env::args().nth(1).unwrap_or("ws://127.0.0.1:8000/".into());
    let mut socket = Client::builder()
        .build()?
        .reconnecting(url)
        .backoff(Backoff { max: Duration::from_secs(2), ..Backoff::default() })
        .before_each(|attempt| async move {
            let token = fresh_token(attempt.number()).await?;
            Ok::<_, std::io::Error>(attempt.header("authorization", &token))
        })
        .into_socket();
    while let Some(event) = socket.recv().await {
        match event {
            ReconnectEvent::Connected(response) => {
                println!("connected: {}", response.status());
                // What was subscribed to on the old connection, the new one has never heard of.
                if let Err(error) = socket.send("subscribe").await {
                    println!("not subscribed: {error}");
                }
            }
            ReconnectEvent::Message(message) => {
                println!("received: {}", message.as_text().unwrap_or("(binary)"));
            }
            ReconnectEvent::Disconnected(it) => match it.retry_in {
                Some(pause) => println!("no connection ({}), again in {pause:.1?}", it.why),
                None => println!("the end ({})", it.why),
            },
        }
    }
    Ok(())
}
