//! The benchmark's server of `wtransport`, as its documentation shows one: all settings at their defaults. The arguments are
//! those of `bench-order`; the tasks are `datagrams`, which sends each back, and `datagrams-take`, which counts and compares them.

use std::{error::Error, io, net::SocketAddr};

use bench_order::Order;
use bench_pattern::pattern;
use wtransport::{Connection, Endpoint, Identity, ServerConfig, endpoint::IncomingSession};

type Ended = Result<(), Box<dyn Error + Send + Sync>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Ended {
    let order = Order::from_arguments()?;
    let takes = match order.task.as_deref() {
        Some("datagrams") => false,
        Some("datagrams-take") => true,
        other => return Err(io::Error::other(format!("there is no task {other:?}")).into()),
    };
    let (certificate, key) = order.files()?;
    let config = ServerConfig::builder()
        .with_bind_address(SocketAddr::from(([127, 0, 0, 1], 0)))
        .with_identity(Identity::load_pemfiles(certificate, key).await?)
        .build();
    let endpoint = Endpoint::server(config)?;
    println!("listening {}", endpoint.local_addr()?.port());
    loop {
        let incoming = endpoint.accept().await;
        tokio::spawn(async move {
            if let Err(why) = serve(incoming, takes).await {
                eprintln!("{why}");
            }
        });
    }
}

async fn serve(incoming: IncomingSession, takes: bool) -> Ended {
    let connection = incoming.await?.accept().await?;
    if takes { take(&connection).await } else { echo(&connection).await }
}

async fn echo(connection: &Connection) -> Ended {
    loop {
        let datagram = connection.receive_datagram().await?;
        connection.send_datagram(&*datagram)?;
    }
}

/// Each begins with a number, where in the pattern it goes on from there; `?` asks how many there were.
async fn take(connection: &Connection) -> Ended {
    let mut count: u64 = 0;
    loop {
        let datagram = connection.receive_datagram().await?;
        match datagram.split_first_chunk() {
            Some((number, rest)) => {
                assert!(pattern().is_at(u64::from_be_bytes(*number), rest), "wrong content");
                count += 1;
            }
            None => connection.send_datagram(count.to_string())?,
        }
    }
}
