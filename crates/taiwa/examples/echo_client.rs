//! Sends a line, prints what comes back: `cargo run --example echo_client ws://127.0.0.1:8000/ hello`.

use taiwa::{CloseCode, Error};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or("ws://127.0.0.1:8000/".into());
    let mut socket = taiwa::connect(&url).await?;
    socket.send(arguments.next().unwrap_or("対話".into())).await?;
    if let Some(answer) = socket.recv().await? {
        println!("{}", answer.as_text().unwrap_or("(binary)"));
    }
    let closed = socket.close(CloseCode::NORMAL, "").await?;
    println!("closed with {}", closed.code);
    Ok(())
}
