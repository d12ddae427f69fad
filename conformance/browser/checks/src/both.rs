//! A program that knows nothing of where it runs: conformance/tests/both.rs has the same natively.

use taiwa::{Client, CloseCode, Error, Limits, Message};

/// Talks with an echo server and returns what was said.
pub(crate) async fn converse(url: &str) -> Result<Vec<String>, Error> {
    let limits = Limits { outbox_bytes_max: 64 << 10, ..Limits::default() };
    let client = Client::builder().subprotocols(["v1.check"]).limits(limits).build()?;
    let mut socket = client.connect(url).await?;
    let mut heard = vec![socket.subprotocol().unwrap_or_default().to_owned()];
    for said in ["dialogue", "対話"] {
        socket.send(said).await?;
        if let Some(Message::Text(text)) = socket.recv().await? {
            heard.push(text.to_string());
        }
    }
    let closed = socket.close(CloseCode::NORMAL, "bye").await?;
    heard.push(closed.code.to_string());
    Ok(heard)
}
