//! The benchmark's server of `fastwebsockets` behind hyper, as its documentation shows, all settings at their
//! defaults. The first argument is the task; without one it echoes.

mod fan_out;
mod large;

use std::{env, io, pin::Pin};

use fan_out::Members;
use fastwebsockets::{
    FragmentCollector, OpCode, WebSocketError,
    upgrade::{UpgradeFut, upgrade},
};
use http_body_util::Empty;
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

type Running = Pin<Box<dyn Future<Output = Result<(), WebSocketError>> + Send>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let members = Members::default();
    let task: fn(UpgradeFut, Members) -> Running = match env::args().nth(1).as_deref() {
        None | Some("echo-forward" | "echo-large") => |it, _| Box::pin(echo(it)),
        Some("fan-out") => |it, members| Box::pin(fan_out::join(it, members)),
        Some("take") => |it, _| Box::pin(large::take(it)),
        Some("give") => |it, _| Box::pin(large::give(it)),
        Some(other) => return Err(io::Error::other(format!("there is no task {other}"))),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening {}", listener.local_addr()?.port());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let members = members.clone();
        tokio::spawn(async move {
            let answer = service_fn(|request| answer(request, |it| task(it, members.clone())));
            let connection = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer)
                .with_upgrades();
            if let Err(why) = connection.await {
                eprintln!("{why}");
            }
        });
    }
}

async fn answer(
    mut request: Request<Incoming>,
    task: impl FnOnce(UpgradeFut) -> Running,
) -> Result<Response<Empty<Bytes>>, WebSocketError> {
    let (response, upgraded) = upgrade(&mut request)?;
    let running = task(upgraded);
    tokio::spawn(async move {
        if let Err(why) = running.await {
            eprintln!("{why}");
        }
    });
    Ok(response)
}

async fn echo(upgraded: UpgradeFut) -> Result<(), WebSocketError> {
    let mut socket = FragmentCollector::new(upgraded.await?);
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            _ => {}
        }
    }
}
