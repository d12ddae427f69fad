//! The server that the checks of conformance/browser talk to: `browser-peer FOLDER` prints its URL and serves the
//! page, the FOLDER that the glue was written to, and WebSockets of many tempers.

use std::{
    collections::HashMap,
    env, fmt, fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use taiwa::{CloseCode, Deflate, Error, Limits, Message, RequestBody, Server, Upgrade, WebSocket};
use taiwa_proto::handshake::accept_key;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

const PAGE: &str = include_str!("../../browser/page.html");
/// Nothing that a check waits for takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many messages were written to whom, by the name that the check gave.
type Progress = Arc<Mutex<HashMap<String, u64>>>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(env::args_os().nth(1).ok_or("usage: browser-peer FOLDER")?);
    let progress = Progress::default();
    let limits = Limits { message_bytes_max: 64 << 20, ..Limits::default() };
    let server =
        Server::bind("127.0.0.1:0").await?.limits(limits).compression(Deflate::default()).http(
            move |request| {
                let response = file(&folder, &request);
                async { response }
            },
        );
    let raw = TcpListener::bind("127.0.0.1:0").await?;
    // The page takes the second address out of its own.
    println!("http://{}/?raw={}", server.local_addr()?, raw.local_addr()?);
    tokio::spawn(keep_no_rule(raw));
    server.serve(move |upgrade| attend(upgrade, Arc::clone(&progress))).await?;
    Ok(())
}

fn file(folder: &Path, request: &Request<RequestBody>) -> Response<Full<bytes::Bytes>> {
    let (kind, content) = match request.uri().path() {
        "/" => ("text/html", Ok(PAGE.into())),
        "/checks.js" => ("text/javascript", fs::read(folder.join("checks.js"))),
        "/checks_bg.wasm" => ("application/wasm", fs::read(folder.join("checks_bg.wasm"))),
        _ => ("text/plain", Err(ErrorKind::NotFound.into())),
    };
    let (status, content) = match content {
        Ok(content) => (StatusCode::OK, content),
        Err(why) => (StatusCode::NOT_FOUND, why.to_string().into_bytes()),
    };
    let response = Response::builder().status(status).header(CONTENT_TYPE, kind);
    response.body(Full::from(content)).expect("the header is one")
}

/// What can go wrong here is told by the check, which does not get what it waits for.
async fn attend(upgrade: Upgrade, progress: Progress) -> Result<(), String> {
    let uri = upgrade.uri().clone();
    let told = |name: &str| {
        let pairs = uri.query().unwrap_or_default().split('&');
        pairs.filter_map(|it| it.split_once('=')).find(|it| it.0 == name).map(|it| it.1.to_owned())
    };
    let number = |name: &str| told(name).and_then(|it| it.parse::<u64>().ok()).unwrap_or_default();
    if uri.path() == "/refuse" {
        return upgrade.reject(403, "no").await.map_err(text);
    }
    let mut socket = upgrade.subprotocol(["v1.check"]).accept().await.map_err(text)?;
    match uri.path() {
        "/echo" => echo(&mut socket).await,
        "/close" => {
            let code = CloseCode::new(number("code") as u16);
            socket.close(code, "またね").await.map(|_| ())
        }
        "/burst" => burst(&mut socket, number("count"), number("bytes"), || ()).await,
        "/flood" => {
            let name = told("name").unwrap_or_default();
            let note = || *progress.lock().expect("no panic").entry(name.clone()).or_default() += 1;
            burst(&mut socket, number("count"), number("bytes"), note).await
        }
        "/progress" => {
            let name = told("name").unwrap_or_default();
            let sent = progress.lock().expect("no panic").get(&name).copied().unwrap_or_default();
            socket.send(sent.to_string()).await
        }
        "/ends" => ends(&mut socket, &progress, &told("name").unwrap_or_default()).await,
        "/ended" => {
            let name = told("name").unwrap_or_default();
            let code = wait_for(&progress, &name).await;
            socket.send(code.to_string()).await
        }
        "/slow" => slow(&mut socket, Duration::from_millis(number("millis"))).await,
        "/asleep" => {
            sleep(PATIENCE).await;
            Ok(())
        }
        other => Err(Error::Io(std::io::Error::other(format!("{other} is not here")))),
    }
    .map_err(text)
}

fn text(error: impl fmt::Display) -> String {
    error.to_string()
}

async fn echo(socket: &mut WebSocket) -> Result<(), Error> {
    while let Some(message) = socket.recv().await? {
        socket.send(message).await?;
    }
    Ok(())
}

/// Sends messages of random-looking bytes, so that compression leaves them as long as they are.
async fn burst(
    socket: &mut WebSocket,
    count: u64,
    bytes: u64,
    note: impl Fn(),
) -> Result<(), Error> {
    let mut state = 1_u64;
    for index in 0..count {
        let mut payload: Vec<u8> = (0..bytes)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state as u8
            })
            .collect();
        if let Some(front) = payload.first_chunk_mut() {
            *front = (index as u32).to_be_bytes();
        }
        socket.send(payload).await?;
        note();
    }
    while socket.recv().await?.is_some() {}
    Ok(())
}

/// Reads to the end and notes its code under the name.
async fn ends(socket: &mut WebSocket, progress: &Progress, name: &str) -> Result<(), Error> {
    let end = async {
        while socket.recv().await?.is_some() {}
        Ok(())
    }
    .await;
    let code = socket.closed().map_or(1006, |it| it.code.get());
    progress.lock().expect("no panic").insert(name.to_owned(), code.into());
    end
}

async fn wait_for(progress: &Progress, name: &str) -> u64 {
    for _ in 0..500 {
        if let Some(code) = progress.lock().expect("no panic").get(name) {
            return *code;
        }
        sleep(Duration::from_millis(10)).await;
    }
    0
}

/// Reads nothing for a while, then everything until a text; answers it with the bytes it has read.
async fn slow(socket: &mut WebSocket, pause: Duration) -> Result<(), Error> {
    sleep(pause).await;
    let mut bytes = 0;
    loop {
        match socket.recv().await? {
            Some(Message::Binary(payload)) => bytes += payload.len(),
            Some(Message::Text(_)) => socket.send(bytes.to_string()).await?,
            None => return Ok(()),
        }
    }
}

/// Serves peers that no library would be: what they do is the path.
async fn keep_no_rule(listener: TcpListener) {
    while let Ok((tcp, _)) = listener.accept().await {
        tokio::spawn(timeout(PATIENCE, misbehave(tcp)));
    }
}

async fn misbehave(mut tcp: TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if tcp.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    if !head.starts_with("GET /mute ") {
        let key = head.lines().find_map(|it| it.strip_prefix("Sec-WebSocket-Key: "));
        let accept = accept_key(key.unwrap_or_default());
        let response = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        tcp.write_all(response.as_bytes()).await?;
    }
    // A connection that fails in the moment in which it opens is one that did not open, for Firefox.
    sleep(Duration::from_millis(50)).await;
    if head.starts_with("GET /vanish ") {
        tcp.write_all(b"\x81\x04last").await?;
        return Ok(());
    }
    if head.starts_with("GET /broken ") {
        // A text that is not UTF-8.
        tcp.write_all(b"\x81\x04last\x81\x01\xff").await?;
    }
    // Mute, or deaf to the Close frame.
    sleep(PATIENCE).await;
    Ok(())
}
