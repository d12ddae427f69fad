//! Sends a line through a proxy and prints what comes back:
//! `cargo run --example proxy wss://echo.example/ socks5h://user:password@proxy.example:1080`.
//!
//! Without the second argument the environment is asked, as by every client that is told nothing else:
//! `https_proxy=http://proxy.example:3128 cargo run --example proxy wss://echo.example/`.

use taiwa::{Client, CloseCode, Error, Proxy, ProxyFault};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or("ws://127.0.0.1:8000/".into());
    let proxy = match arguments.next() {
        Some(proxy) => Some(Proxy::parse(&proxy)?),
        None => Proxy::from_environment(),
    };
    // Passwords are not in it.
    println!("{proxy:?}");

    let client = Client::builder().proxy(proxy).build()?;
    let mut socket = match client.connect(&url).await {
        Ok(socket) => socket,
        Err(Error::Proxy(error)) => {
            if let ProxyFault::Refused(response) = error.fault() {
                println!("{}: {}", error.proxy(), response.status());
                println!("{}", String::from_utf8_lossy(response.body()));
            }
            return Err(Error::Proxy(error));
        }
        Err(error) => return Err(error),
    };
    socket.send("対話").await?;
    if let Some(answer) = socket.recv().await? {
        println!("{}", answer.as_text().unwrap_or("(binary)"));
    }
    let closed = socket.close(CloseCode::NORMAL, "").await?;
    println!("closed with {}", closed.code);
    Ok(())
}
