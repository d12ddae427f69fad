//! fastwebsockets at the other end, in both directions, as its examples use it: over hyper.

use ::fastwebsockets::{
    FragmentCollector, Frame, OpCode, Payload, WebSocketError, handshake, upgrade,
};
use http_body_util::Empty;
use hyper::{
    Request,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use taiwa::{CloseCode, Message};
use tokio::net::{TcpListener, TcpStream};

use super::super::{echo_server, soon};

struct Spawn;

impl<F: Future<Output: Send> + Send + 'static> hyper::rt::Executor<F> for Spawn {
    fn execute(&self, future: F) {
        tokio::spawn(future);
    }
}

#[tokio::test]
async fn its_client_talks_to_our_server() {
    let addr = echo_server().await;
    let request = Request::get(format!("http://{addr}/"))
        .header("host", addr.to_string())
        .header("upgrade", "websocket")
        .header("connection", "upgrade")
        .header("sec-websocket-key", handshake::generate_key())
        .header("sec-websocket-version", "13")
        .body(Empty::<Bytes>::new())
        .expect("a request");
    let tcp = TcpStream::connect(addr).await.expect("it listens");
    let (foreign, _) = soon(handshake::client(&Spawn, request, tcp)).await.expect("it upgrades");
    let mut foreign = FragmentCollector::new(foreign);
    for len in [0, 125, 126, 70_000] {
        for (opcode, bytes) in
            [(OpCode::Binary, vec![9; len]), (OpCode::Text, "語".repeat(len).into())]
        {
            let frame = Frame::new(true, opcode, None, Payload::Owned(bytes.clone()));
            soon(foreign.write_frame(frame)).await.expect("open");
            let frame = soon(foreign.read_frame()).await.expect("open");
            assert!(frame.opcode == opcode && *frame.payload == *bytes, "{len}");
        }
    }
    soon(foreign.write_frame(Frame::close(1000, b"done"))).await.expect("open");
    let frame = soon(foreign.read_frame()).await.expect("the answer");
    assert!(frame.opcode == OpCode::Close && *frame.payload == *b"\x03\xe8done");
}

async fn echo(upgraded: upgrade::UpgradeFut) -> Result<Vec<u8>, WebSocketError> {
    let mut foreign = FragmentCollector::new(upgraded.await?);
    loop {
        let frame = foreign.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(frame.payload.to_vec()),
            OpCode::Text | OpCode::Binary => foreign.write_frame(frame).await?,
            _ => {}
        }
    }
}

#[tokio::test]
async fn our_client_talks_to_its_server() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    let (told, heard) = tokio::sync::oneshot::channel();
    let told = std::sync::Arc::new(std::sync::Mutex::new(Some(told)));
    tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.expect("a client");
        let service = service_fn(move |mut request: Request<Incoming>| {
            let told = told.lock().expect("one at a time").take().expect("one request");
            async move {
                let (response, upgraded) = upgrade::upgrade(&mut request)?;
                tokio::spawn(async move { told.send(echo(upgraded).await) });
                Ok::<_, WebSocketError>(response)
            }
        });
        http1::Builder::new().serve_connection(TokioIo::new(tcp), service).with_upgrades().await
    });
    let mut socket = soon(taiwa::connect(&format!("ws://{addr}/"))).await.expect("it upgrades");
    for len in [0, 125, 126, 70_000] {
        let messages: [Message; 2] = [vec![9; len].into(), "語".repeat(len).into()];
        for message in messages {
            soon(socket.send(message.clone())).await.expect("open");
            assert_eq!(soon(socket.recv()).await.expect("open"), Some(message));
        }
    }
    soon(socket.ping()).await.expect("it answers");
    let closed = soon(socket.close(CloseCode::NORMAL, "done")).await.expect("it answers");
    assert!(closed.clean && closed.code == CloseCode::NORMAL);
    let close = soon(heard).await.expect("it ends").expect("without an error");
    assert_eq!(close, b"\x03\xe8done");
}
