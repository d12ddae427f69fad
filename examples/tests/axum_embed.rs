//! Runs `axum_embed` and talks to it.
#![cfg(unix)]

use std::{future::Future, panic::Location, process::Stdio, time::Duration};

use taiwa::{Error, WebSocket};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
    time::timeout,
};

/// No test waits longer.
#[track_caller]
fn soon<T>(it: impl Future<Output = T>) -> impl Future<Output = T> {
    let caller = Location::caller();
    async move {
        let waited = timeout(Duration::from_secs(20), it).await;
        waited.unwrap_or_else(|_| panic!("{caller} waits in vain"))
    }
}

/// Starts the program on a free port and returns its address.
async fn start() -> (Child, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_axum_embed"));
    command.arg("127.0.0.1:0").stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("it was built");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let line = soon(lines.next_line()).await.expect("a text").expect("a line");
    let addr = line.strip_prefix("http://").and_then(|it| it.strip_suffix('/'));
    (child, addr.expect("a URL").to_owned())
}

async fn get(addr: &str, target: &str) -> BufReader<TcpStream> {
    let mut stream = soon(TcpStream::connect(addr)).await.expect("it listens");
    let request = format!("GET {target} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    soon(stream.write_all(request.as_bytes())).await.expect("it reads");
    BufReader::new(stream)
}

async fn rest(mut stream: BufReader<TcpStream>) -> String {
    let mut text = String::new();
    soon(stream.read_to_string(&mut text)).await.expect("a text");
    text
}

/// Reads lines until one begins so.
async fn line(stream: &mut BufReader<TcpStream>, beginning: &str) -> String {
    soon(async {
        loop {
            let mut line = String::new();
            assert_ne!(stream.read_line(&mut line).await.expect("a text"), 0, "no {beginning:?}");
            if line.starts_with(beginning) {
                return line;
            }
        }
    })
    .await
}

/// Waits for the end, and returns the close code.
async fn closed(socket: &mut WebSocket) -> u16 {
    while soon(socket.recv()).await.expect("no fault").is_some() {}
    socket.closed().expect("it has ended").code.into()
}

#[tokio::test]
async fn a_program_of_ones_own_has_its_pages_and_all_dialects() -> Result<(), Error> {
    let (mut child, addr) = start().await;
    let page = rest(get(&addr, "/").await).await;
    assert!(page.ends_with("a page of this program\n"), "{page}");
    assert!(rest(get(&addr, "/elsewhere").await).await.starts_with("HTTP/1.1 404 "));
    // Who says no name is not let in; who is not ann does not speak.
    let refused = rest(get(&addr, "/sse/news").await).await;
    assert!(refused.starts_with("HTTP/1.1 401 "), "{refused}");
    let mut stranger = soon(taiwa::connect(&format!("ws://{addr}/news"))).await?;
    assert_eq!(closed(&mut stranger).await, 4401);
    let mut bob = soon(taiwa::connect(&format!("ws://{addr}/news?token=bob"))).await?;
    bob.send("me, too").await?;
    assert_eq!(closed(&mut bob).await, 4403);

    let mut events = get(&addr, "/sse/news?token=carol").await;
    assert_eq!(line(&mut events, "HTTP/1.1").await, "HTTP/1.1 200 OK\r\n");
    let mut listener = soon(taiwa::connect(&format!("ws://{addr}/connection/websocket"))).await?;
    let connect = r#"{"id":1,"connect":{"token":"dora"}}"#;
    let subscribe = r#"{"id":2,"subscribe":{"channel":"news"}}"#;
    listener.send(format!("{connect}\n{subscribe}")).await?;
    let mut answers = String::new();
    while !answers.contains(r#""id":2,"subscribe""#) {
        let answer = soon(listener.recv()).await?.expect("an answer");
        answers += answer.as_text().expect("a text");
    }
    let mut ann = soon(taiwa::connect(&format!("ws://{addr}/news?token=ann"))).await?;
    // A new channel's stream begins when its head was sent.
    ann.send("hello").await?;
    assert_eq!(line(&mut events, "data: hello").await, "data: hello\n");
    let push = soon(listener.recv()).await?.expect("a push");
    assert!(push.as_text().expect("a text").contains("hello"), "{push:?}");

    let id = child.id().expect("it runs").to_string();
    let killed = Command::new("kill").args(["-INT", &id]).status().await;
    assert!(killed.expect("there is kill").success());
    assert_eq!(closed(&mut ann).await, 1001);
    let last = rest(events).await;
    assert!(last.contains("event: taiwa:disconnect"), "{last}");
    drop(listener);
    let status = soon(child.wait()).await.expect("it ends");
    assert!(status.success(), "{status}");
    Ok(())
}
