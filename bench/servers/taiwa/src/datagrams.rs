//! The datagrams of a session of WebTransport: sent back, or counted and compared.

use std::error::Error;

use bench_pattern::pattern;
use taiwa::webtransport::SessionRequest;

type Ended = Result<(), Box<dyn Error + Send + Sync>>;

pub(crate) async fn echo(request: SessionRequest) -> Ended {
    let session = request.accept().await?;
    while let Some(datagram) = session.recv_datagram().await {
        session.send_datagram(&datagram)?;
    }
    Ok(())
}

/// Each begins with a number, where in the pattern it goes on from there; `?` asks how many there were.
pub(crate) async fn take(request: SessionRequest) -> Ended {
    let session = request.accept().await?;
    let mut count: u64 = 0;
    while let Some(datagram) = session.recv_datagram().await {
        match datagram.split_first_chunk() {
            Some((number, rest)) => {
                assert!(pattern().is_at(u64::from_be_bytes(*number), rest), "wrong content");
                count += 1;
            }
            None => session.send_datagram(count.to_string().as_bytes())?,
        }
    }
    Ok(())
}
