//! Messages too large to hold: read and written as streams of bytes.

use bench_pattern::{PART_MAX, pattern};
use taiwa::{Error, Kind, Upgrade};
use tokio::io::AsyncReadExt;

/// Reads messages, checks every byte and answers how many there were.
pub(crate) async fn take(upgrade: Upgrade) -> Result<(), Error> {
    let mut socket = upgrade.accept().await?;
    let mut buffer = vec![0; PART_MAX];
    loop {
        let Some(mut message) = socket.recv_stream().await? else { return Ok(()) };
        let mut bytes = 0;
        loop {
            let n = message.read(&mut buffer).await?;
            if n == 0 {
                break;
            }
            assert!(pattern().is_at(bytes, &buffer[..n]), "wrong content behind byte {bytes}");
            bytes += n as u64;
        }
        drop(message);
        socket.send(bytes.to_string().into_bytes()).await?;
    }
}

/// Answers a number with a message of that many bytes.
pub(crate) async fn give(upgrade: Upgrade) -> Result<(), Error> {
    let mut socket = upgrade.accept().await?;
    while let Some(request) = socket.recv().await? {
        let bytes = String::from_utf8_lossy(request.as_bytes()).parse().expect("it is a number");
        let mut message = socket.send_stream(Kind::Binary);
        let mut written = 0;
        while written < bytes {
            let part = pattern().at(written, bytes - written);
            message.write(part).await?;
            written += part.len() as u64;
        }
        message.finish().await?;
    }
    Ok(())
}
