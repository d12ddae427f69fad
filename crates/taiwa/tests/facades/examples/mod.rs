//! The examples of tokio-tungstenite and tungstenite, built against the facade and run.

mod borrowed;
mod tokio_tungstenite;
mod tungstenite;

use std::{
    future::{Future, IntoFuture},
    net::TcpListener,
    time::Duration,
};

use taiwa::{Error, Server, Upgrade, WebSocket};
use tokio::{
    net::TcpStream,
    sync::mpsc,
    time::{sleep, timeout},
};

/// No step of a test takes longer.
async fn soon<T>(it: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), it).await.expect("in time")
}

/// An address that nobody listens on.
fn free_addr() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").to_string()
}

/// Connects as soon as somebody listens.
async fn tcp(addr: &str) -> TcpStream {
    soon(async {
        loop {
            match TcpStream::connect(addr).await {
                Ok(stream) => return stream,
                Err(_) => sleep(Duration::from_millis(10)).await,
            }
        }
    })
    .await
}

/// A client of ours, as soon as somebody listens.
async fn client(addr: &str) -> WebSocket {
    let client = taiwa::Client::builder().build().expect("the defaults are valid");
    let opened = soon(client.connect_over(tcp(addr).await, &format!("ws://{addr}/"))).await;
    opened.expect("it answers").0
}

async fn receives(socket: &mut WebSocket) -> String {
    let message = soon(socket.recv()).await.expect("no error").expect("it is open");
    message.as_text().expect("text").to_owned()
}

/// Plays the part of Autobahn's fuzzing server for two cases, and tells what the client does.
async fn two_cases(port: u16) -> mpsc::UnboundedReceiver<String> {
    let (tell, told) = mpsc::unbounded_channel();
    let server = Server::bind(("127.0.0.1", port)).await.expect("a free port");
    let serving = server.serve(move |upgrade: Upgrade| {
        let tell = tell.clone();
        async move {
            let asked = upgrade.uri().to_string();
            let mut socket = upgrade.accept().await?;
            if asked == "/getCaseCount" {
                socket.send("2").await?;
            } else if asked.starts_with("/runCase") {
                socket.send(format!("echo {asked}")).await?;
                let echo = socket.recv().await?.map(|it| it.as_text().map(str::to_owned));
                let _ = tell.send(format!("{echo:?}"));
                socket.close(taiwa::CloseCode::NORMAL, "").await?;
                return Ok(());
            } else {
                let _ = tell.send(asked);
            }
            while socket.recv().await?.is_some() {}
            Ok::<(), Error>(())
        }
    });
    tokio::spawn(serving.into_future());
    told
}
