//! `taiwa serve` over TLS: who makes the certificates, and how they are exchanged while it runs.

#[path = "../support/mod.rs"]
mod support;

mod acme;
mod clients;
mod dev;
mod http3;
mod names;
mod versions;
mod webtransport;

use std::{path::Path, process::Command, time::Duration};

use support::PATIENCE;
use taiwa::{Client, Error, Message, WebSocket};
use tokio::time::{Instant, sleep, timeout};

/// Opens a WebSocket at `/echo` by a certificate that is trusted.
async fn connect(addr: &str, root_pem: &str) -> Result<WebSocket, Error> {
    let client = Client::builder().root_certificate_pem(root_pem.as_bytes()).build().unwrap();
    timeout(PATIENCE, client.connect(&format!("wss://{addr}/echo"))).await.expect("in time")
}

async fn echoes(socket: &mut WebSocket, text: &str) {
    timeout(PATIENCE, socket.send(text)).await.unwrap().unwrap();
    let back = timeout(PATIENCE, socket.recv()).await.unwrap().unwrap();
    assert_eq!(back, Some(Message::from(text)));
}

/// Waits for something that a file is to have in it.
async fn awaits<T>(path: &Path, good: impl Fn(&str) -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if let Some(found) = good(&text) {
            return found;
        }
        assert!(Instant::now() < end, "{}: {text:?}", path.display());
        sleep(Duration::from_millis(20)).await;
    }
}

/// Runs a program of somebody else; `None`, and says so, where it is not installed.
fn tool(program: &str, args: &[&str]) -> Option<(bool, String)> {
    let made = Command::new(program).args(args).stdin(std::process::Stdio::null()).output();
    match made {
        Ok(done) => {
            let text = [done.stdout, done.stderr].concat();
            Some((done.status.success(), String::from_utf8_lossy(&text).into_owned()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("skipped: {program} is not installed (cargo xtask setup)");
            None
        }
        Err(error) => panic!("{program}: {error}"),
    }
}
