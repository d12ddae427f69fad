//! Servers that lie, each in its own way.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread,
};

use super::*;
use crate::{handshake, messages::Content};

/// Accepts one connection, opens it, reads the first 16-byte message and answers with what `answer` makes of it.
fn echo_once(answer: fn(&[u8]) -> Vec<u8>) -> Result<Vec<Happened>, String> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        open(&mut stream);
        let mut frame = [0; 22];
        stream.read_exact(&mut frame).unwrap();
        let (key, masked) = (&frame[2..6], &frame[6..]);
        let message: Vec<u8> = masked.iter().zip(key.iter().cycle()).map(|(a, b)| a ^ b).collect();
        stream.write_all(&answer(&message)).unwrap();
    });
    let interrupted = AtomicBool::new(false);
    let messages = Messages::new(Content::Binary, Compression::None, 16, &mut Noise::new(1));
    let mut clients = Clients::new("/", port, messages, Compression::None, &interrupted).unwrap();
    clients.open().unwrap();
    let mut seen = vec![];
    let mut result = Ok(());
    while result.is_ok() && seen.len() < 2 {
        result = clients.turn(|clients, id, happened| {
            seen.push(happened);
            if matches!(happened, Happened::Opened(_)) { clients.send(id) } else { Ok(()) }
        });
    }
    server.join().unwrap();
    result.map(|()| seen)
}

fn open(stream: &mut TcpStream) {
    let mut head = vec![];
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let key = head.lines().find_map(|it| it.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
    let accept = handshake::accept(key);
    write!(
        stream,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
    .unwrap();
}

fn framed(opcode: u8, payload: &[u8]) -> Vec<u8> {
    [&[0x80 | opcode, payload.len() as u8], payload].concat()
}

#[test]
fn an_honest_echo_counts() {
    let seen = echo_once(|it| framed(wire::BINARY, it)).unwrap();
    assert!(matches!(seen[..], [Happened::Opened(_), Happened::Echoed(_)]), "{seen:?}");
}

/// Makes a reply of the payload of a message.
type Lie = fn(&[u8]) -> Vec<u8>;

#[test]
fn a_lie_never_counts() {
    let changed = |it: &[u8]| {
        let mut it = it.to_vec();
        it[15] ^= 1;
        framed(wire::BINARY, &it)
    };
    assert_eq!(echo_once(changed), Err("byte 15 came back changed".into()));
    let lies: [Lie; 4] = [
        |it| framed(wire::BINARY, &it[..15]),
        |it| framed(1, it),
        |it| [framed(wire::BINARY, it), framed(wire::BINARY, it)].concat(),
        |_| vec![],
    ];
    for (at, lie) in lies.into_iter().enumerate() {
        let seen = echo_once(lie);
        assert!(seen.is_err(), "lie {at}: {seen:?}");
    }
}
