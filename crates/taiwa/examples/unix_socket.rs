//! Server and client on a unix socket: `cargo run --example unix_socket [PATH]`.

#[cfg(unix)]
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), taiwa::Error> {
    use taiwa::{CloseCode, Error, Server, Upgrade};

    let path = std::env::args().nth(1).unwrap_or("taiwa-example.sock".into());
    let server = Server::bind_unix(&path).await?;
    let serving = server.serve(|upgrade: Upgrade| async move {
        println!("the server is asked for {}", upgrade.uri());
        let mut socket = upgrade.accept().await?;
        while let Some(message) = socket.recv().await? {
            socket.send(message).await?;
        }
        Ok::<(), Error>(())
    });
    let serving = tokio::spawn(serving.into_future());

    // The socket's path, a colon, and the path in the request; a colon in the first is %3A.
    let mut socket = taiwa::connect(&format!("ws+unix:{path}:/echo?x=1")).await?;
    socket.send("対話").await?;
    if let Some(answer) = socket.recv().await? {
        println!("{}", answer.as_text().unwrap_or("(binary)"));
    }
    let closed = socket.close(CloseCode::NORMAL, "").await?;
    println!("closed with {}", closed.code);
    serving.abort();
    Ok(())
}

#[cfg(not(unix))]
fn main() {
    println!("unix sockets are for Unix alone");
}
