//! WebSockets that open when their conversations say so.

use std::time::{Duration, Instant};

use taiwa::Error;
use taiwa_core::{Channel, Payload};
use taiwa_server::hub::{Done, Order};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Stage, Terms, closed, said, soon};

/// How long the puppets of these tests keep their doors shut.
const SHUT: Duration = Duration::from_millis(300);

fn late(name: &str, first: &str, then: &str) -> String {
    let orders = |text: &str| text.replace(' ', "%20").replace(';', "%3B");
    format!("/late?name={name}&first={}&then={}", orders(first), orders(then))
}

async fn publish(stage: &Stage, text: &str) {
    let channel = Channel::parse("news").unwrap();
    let publish = taiwa_core::Publish::new(channel, Payload::Text(text.to_owned().into()));
    let done = soon(stage.running.control().order(Order::Publish(Box::new(publish)))).await;
    assert!(matches!(done, Ok(Done::Published(_))), "{done:?}");
}

#[tokio::test]
async fn it_opens_when_its_conversation_says_so_and_brings_what_was_said_before() {
    let mut stage = Stage::with(Terms { shards: 2, ..Terms::default() }).await;
    let target = late("p", "connect; hear news; send 0 first; alarm 300", "open 0; send 0 second");
    let began = Instant::now();
    let opens = async {
        let socket = stage.connect(&target).await;
        assert!(began.elapsed() >= SHUT, "{:?}", began.elapsed());
        socket
    };
    let publishes = async {
        // It hears before it is open.
        tokio::time::sleep(SHUT / 2).await;
        publish(&stage, "news").await;
    };
    let (mut socket, ()) = tokio::join!(opens, publishes);
    for due in ["first", "all: news", "second"] {
        assert_eq!(said(&mut socket).await, due);
    }
    socket.send("send 0 answer").await.unwrap();
    assert_eq!(said(&mut socket).await, "answer");
    publish(&stage, "more").await;
    assert_eq!(said(&mut socket).await, "all: more");
    stage.hears("p: joined 0").await;
    stage.has_not_heard("p: joined");
    drop(socket);
    stage.hears("p: left 0").await;
}

#[tokio::test]
async fn a_conversation_that_ends_before_has_its_line_opened_and_closed_with_its_code() {
    let stage = Stage::new().await;
    for (first, then) in [
        ("send 0 sorry; end 4403 no", ""),
        ("alarm 300", "send 0 sorry; end 4403 no"),
        ("open 0; send 0 sorry; end 4403 no", ""),
        ("send 0 sorry; close 0 4403", "end 4000"),
    ] {
        let mut socket = stage.connect(&late("p", first, then)).await;
        assert_eq!(said(&mut socket).await, "sorry", "{first}; {then}");
        let (code, _) = closed(&mut socket).await;
        assert_eq!(code, 4403, "{first}; {then}");
    }
    drop(stage);
}

/// A request by hand.
fn head(stage: &Stage, target: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        stage.addr
    )
}

#[tokio::test]
async fn who_is_opened_by_a_task_may_find_nobody_behind_the_door() {
    let stage = Stage::new().await;
    // Behind another request on its connection it is not the shard that answers.
    let first = format!("GET /nowhere HTTP/1.1\r\nHost: {}\r\n\r\n", stage.addr);
    let second = head(&stage, &late("p", "open 0; send 0 sorry; end 4403 no", ""));
    let mut tcp = TcpStream::connect(stage.addr).await.unwrap();
    tcp.write_all((first + &second).as_bytes()).await.unwrap();
    let mut said = vec![];
    let closed = [0x88, 2, 0x03, 0xf5];
    while !said.ends_with(&closed) {
        let n = soon(tcp.read_buf(&mut said)).await.unwrap();
        assert!(n > 0, "{:?}", String::from_utf8_lossy(&said));
    }
    let said = String::from_utf8_lossy(&said);
    assert!(said.starts_with("HTTP/1.1 404 ") && said.contains("HTTP/1.1 101 "), "{said}");
    assert!(!said.contains("sorry"), "{said}");
}

#[tokio::test]
async fn a_client_that_goes_before_it_is_open_has_left() {
    let mut stage = Stage::new().await;
    let head = head(&stage, &late("p", "connect; alarm 300", "open 0"));
    let mut socket = TcpStream::connect(stage.addr).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    stage.hears("p: connect: connected").await;
    drop(socket);
    stage.hears("p: left 0").await;
}

#[tokio::test]
async fn who_waits_to_be_opened_by_a_server_that_goes_away_is_refused() {
    let mut stage = Stage::new().await;
    let target = late("p", "connect; alarm 600000", "");
    let url = format!("ws://{}{target}", stage.addr);
    let running = stage.running.clone();
    let leaves = async {
        stage.hears("p: connect: connected").await;
        soon(running.shut_down(Duration::from_secs(5))).await.expect("no shard failed");
    };
    let comes = async {
        let refused = soon(taiwa::connect(&url)).await;
        let Err(Error::Refused(response)) = refused else { panic!("{refused:?}") };
        assert_eq!(
            (response.status().as_u16(), &response.body()[..]),
            (503, &b"the server goes away\n"[..])
        );
    };
    tokio::join!(leaves, comes);
}
