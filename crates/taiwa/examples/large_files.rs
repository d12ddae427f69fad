//! Files of any size, never held in memory: `cargo run --example large_files -- serve FOLDER [ADDRESS]`
//! stores what comes as `upload` and sends it back to who asks for it; `-- put URL FILE` and
//! `-- get URL FILE` are its clients.

use std::{path::PathBuf, sync::Arc};

use taiwa::{CloseCode, Error, Kind, Server, Upgrade, WebSocket};
use tokio::{
    fs::File,
    io::{AsyncWriteExt, copy},
};

type AnyError = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), AnyError> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match &args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", folder, address @ ..] => serve(folder, address.first().copied()).await,
        ["put", url, file] => put(url, file).await,
        ["get", url, file] => get(url, file).await,
        _ => Err("serve FOLDER [ADDRESS] | put URL FILE | get URL FILE".into()),
    }
}

async fn serve(folder: &str, address: Option<&str>) -> Result<(), AnyError> {
    let server = Server::bind(address.unwrap_or("127.0.0.1:8000")).await?;
    println!("ws://{}/", server.local_addr()?);
    let file = Arc::new(PathBuf::from(folder).join("upload"));
    let answer = move |upgrade: Upgrade| {
        let file = Arc::clone(&file);
        async move {
            let is_upload = upgrade.uri().path() == "/put";
            let socket = upgrade.accept().await?;
            if is_upload { receive(socket, &file).await } else { send(socket, &file).await }
        }
    };
    Ok(server.serve(answer).await?)
}

/// Stores one message in a file as it arrives.
async fn receive(mut socket: WebSocket, path: &PathBuf) -> Result<(), AnyError> {
    if let Some(mut message) = socket.recv_stream().await? {
        let mut file = File::create(path).await?;
        copy(&mut message, &mut file).await?;
        file.flush().await?;
    }
    socket.close(CloseCode::NORMAL, "stored").await?;
    Ok(())
}

/// Sends a file as one message.
async fn send(mut socket: WebSocket, path: &PathBuf) -> Result<(), AnyError> {
    let mut file = File::open(path).await?;
    let mut message = socket.send_stream(Kind::Binary);
    copy(&mut file, &mut message).await?;
    message.finish().await?;
    socket.close(CloseCode::NORMAL, "").await?;
    Ok(())
}

async fn put(url: &str, path: &str) -> Result<(), AnyError> {
    let mut socket = taiwa::connect(&format!("{url}put")).await?;
    let mut file = File::open(path).await?;
    let mut message = socket.send_stream(Kind::Binary);
    copy(&mut file, &mut message).await?;
    message.finish().await?;
    while socket.recv().await?.is_some() {}
    println!("{}", socket.closed().ok_or(Error::Lost)?.reason);
    Ok(())
}

async fn get(url: &str, path: &str) -> Result<(), AnyError> {
    let socket = taiwa::connect(&format!("{url}get")).await?;
    receive(socket, &PathBuf::from(path)).await
}
