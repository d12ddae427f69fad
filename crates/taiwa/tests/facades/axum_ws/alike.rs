//! `compat::axum` beside `axum::extract::ws`: the same scripts over real sockets, the same answers.

#[path = "."]
mod theirs {
    pub(super) use axum::extract::ws as lib;
    pub(super) mod scripts;
}
#[path = "."]
#[allow(clippy::duplicate_mod)]
mod ours {
    pub(super) use taiwa::compat::axum as lib;
    pub(super) mod scripts;
}

use std::net::SocketAddr;

use axum::Router;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// No script waits longer.
const WITHIN: std::time::Duration = std::time::Duration::from_secs(20);

const HANDSHAKE: &str = "GET /NAME HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\n\
    Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n";

/// A client's frame with a mask of zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    [&[first, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat()
}

fn closing(code: u16, reason: &str) -> Vec<u8> {
    frame(0x88, &[&code.to_be_bytes(), reason.as_bytes()].concat())
}

/// What a client sends behind its handshake, for the route of that name.
fn wires() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let bye = closing(1000, "bye");
    let all = |frames: &[&[u8]]| frames.concat();
    vec![
        ("messages", "echo", all(&[&frame(0x81, "対話".as_bytes()), &frame(0x82, b"\xff"), &bye])),
        ("pings and pongs", "echo", all(&[&frame(0x89, b"1"), &frame(0x8a, b"2"), &bye])),
        (
            "fragments",
            "echo",
            all(&[&frame(1, b"a"), &frame(0x89, b"!"), &frame(0x80, b"b"), &bye]),
        ),
        ("a close without a code", "echo", frame(0x88, b"")),
        ("a code of its own", "echo", closing(4999, "")),
        ("no close at all", "hear", frame(0x81, b"a")),
        ("not masked", "hear", all(&[&frame(0x81, b"a"), b"\x81\x01b"])),
        ("no UTF-8", "hear", all(&[&frame(0x81, b"a"), &frame(0x81, b"\xff")])),
        ("a reserved opcode", "hear", frame(0x83, b"")),
        ("over the limit", "narrow", all(&[&frame(0x81, b"12345678"), &frame(0x81, b"123456789")])),
        (
            "over the limit in fragments",
            "narrow",
            all(&[&frame(1, b"12345"), &frame(0x80, b"6789")]),
        ),
        ("we close", "close", bye.clone()),
        ("we close without a code", "close-empty", frame(0x88, b"")),
        ("we send all kinds", "kinds", bye.clone()),
        (
            "two tasks share a split socket",
            "split",
            all(&[&frame(0x81, b"a"), &frame(0x89, b"b"), &bye]),
        ),
    ]
}

#[tokio::test]
async fn sockets_say_and_hear_the_same() {
    let (theirs, ours) = (theirs::scripts::app(), ours::scripts::app());
    let (their_addr, our_addr) = (serve(theirs.router).await, serve(ours.router).await);
    let (mut their_notes, mut our_notes) = (theirs.notes, ours.notes);
    for (name, path, wire) in wires() {
        let mut told = Vec::new();
        for (addr, notes) in [(their_addr, &mut their_notes), (our_addr, &mut our_notes)] {
            let answer = ask(addr, &HANDSHAKE.replace("NAME", path), &wire).await;
            let note = timeout(WITHIN, notes.recv()).await.expect("in time").expect("a note");
            told.push((note, frames_of(&answer)));
        }
        let (ours, theirs) = (told.pop().unwrap(), told.pop().unwrap());
        assert_eq!(ours.0, theirs.0, "{name}: what the program heard, ours and theirs");
        // After an error axum sends nothing; we say why, as RFC 6455 §7.1.7 asks.
        let is_broken = theirs.0.iter().any(|it| it.starts_with("error"));
        if is_broken {
            assert!(ours.1.starts_with(&theirs.1[..]), "{name}: {:?} {:?}", ours.1, theirs.1);
        } else {
            assert_eq!(ours.1, theirs.1, "{name}: what the client heard, ours and theirs");
        }
    }
}

#[tokio::test]
async fn requests_are_answered_alike() {
    let addrs =
        [serve(theirs::scripts::app().router).await, serve(ours::scripts::app().router).await];
    let good = HANDSHAKE.replace("NAME", "protocols");
    let plain = "GET /protocols HTTP/1.1\r\nHost: a\r\n";
    for (name, head) in [
        ("good", good.clone()),
        ("no upgrade", plain.to_owned()),
        ("another method", good.replace("GET", "POST")),
        ("no Connection", good.replace("Connection: keep-alive, Upgrade\r\n", "")),
        ("another Upgrade", good.replace("websocket", "h2c")),
        ("another version", good.replace("Version: 13", "Version: 8")),
        ("no key", good.replace("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "")),
        ("HTTP/1.0", good.replace("HTTP/1.1", "HTTP/1.0")),
        ("a page of elsewhere", format!("{good}Origin: https://evil.example\r\n")),
        ("subprotocols", format!("{good}Sec-WebSocket-Protocol: c, b, a\r\n")),
        (
            "subprotocols in two lines",
            format!("{good}Sec-WebSocket-Protocol: b\r\nSec-WebSocket-Protocol: a\r\n"),
        ),
        ("other subprotocols", format!("{good}Sec-WebSocket-Protocol: x\r\n")),
    ] {
        let mut told = Vec::new();
        for addr in addrs {
            let answer = ask(addr, &head, &frame(0x88, b"")).await;
            told.push(what_counts(&String::from_utf8_lossy(&answer)));
        }
        assert_eq!(told[1], told[0], "{name}: ours and theirs");
    }
}

/// Status line, the headers of the handshake and the body, without frames.
fn what_counts(answer: &str) -> Vec<String> {
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let counts = |line: &&str| {
        let line = line.to_ascii_lowercase();
        line.starts_with("http/") || line.starts_with("sec-websocket-") && !line.contains("version")
    };
    let mut told: Vec<_> = head.lines().filter(counts).map(str::to_ascii_lowercase).collect();
    told.push(if head.contains(" 101 ") { String::new() } else { body.to_owned() });
    told
}

fn frames_of(answer: &[u8]) -> Vec<u8> {
    let end = answer.windows(4).position(|it| it == b"\r\n\r\n").expect("a head");
    answer[end + 4..].to_owned()
}

/// Sends a request with what follows it, says that nothing follows that, and returns all that comes.
async fn ask(addr: SocketAddr, head: &str, wire: &[u8]) -> Vec<u8> {
    let asking = async {
        let mut tcp = TcpStream::connect(addr).await.expect("it listens");
        tcp.write_all(&[head.as_bytes(), b"\r\n"].concat()).await.expect("it reads");
        let mut answer = Vec::new();
        while !answer.windows(4).any(|it| it == b"\r\n\r\n") {
            assert_ne!(tcp.read_buf(&mut answer).await.expect("it answers"), 0, "it hung up");
        }
        // A server that refuses may have closed already.
        let _ = tcp.write_all(wire).await;
        let _ = tcp.shutdown().await;
        let _ = tcp.read_to_end(&mut answer).await;
        answer
    };
    timeout(WITHIN, asking).await.expect("in time")
}

async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    tokio::spawn(axum::serve(listener, app).into_future());
    addr
}
