//! Protocol and library, without a kernel below them.
//!
//! Everything between the frames and the bytes of their answers happens in functions whose names begin with `counted_`.

use std::{
    hint::black_box,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use taiwa::{Config, Deflate, WebSocket};
use taiwa_proto::{
    Connection, Event, Fin, Input, Kind, Limits, Pool, Prepared, Role, deflate,
    h1::{HeadReader, parse_request, write_response},
    handshake::Opening,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    runtime::Runtime,
};

/// Frames of one round, and connections of one fan-out.
const CROWD: usize = 1000;

/// As many copies of a frame of a client's as a round has.
fn frames(frame: &[u8]) -> Vec<u8> {
    frame.repeat(CROWD)
}

/// A frame of a client's, with a key that is the same each time.
fn frame(kind: Kind, payload: &[u8]) -> Vec<u8> {
    let mut client = Connection::new(Role::Client, Arc::default(), None, Instant::now());
    let mut pool = pool();
    client.send_part(kind, payload, Fin::Last, Instant::now(), &mut pool).expect("it is open");
    client.outbox().first().to_vec()
}

fn pool() -> Pool {
    Pool::new(|bytes| bytes.fill(0x5a))
}

/// Takes in frames that came in one read, and answers each with its payload, as a shard of the server does.
pub(crate) fn echo_plain(kind: Kind, payload: &[u8], rounds: u32) {
    let mut server = Connection::new(Role::Server, Arc::default(), None, Instant::now());
    echo(&mut server, &frames(&frame(kind, payload)), rounds);
}

/// The same with permessage-deflate without context takeover.
pub(crate) fn echo_deflate(payload: &[u8], rounds: u32) {
    let config = Arc::new(Config { deflate: Some(Deflate::default()), ..Config::default() });
    let params = deflate::Params {
        server_no_context_takeover: true,
        client_no_context_takeover: true,
        server_max_window_bits: 12,
        client_max_window_bits: 15,
    };
    let mut client =
        Connection::new(Role::Client, Arc::clone(&config), Some(params), Instant::now());
    let mut pool = pool();
    let part = client.send_part(Kind::Text, payload, Fin::Last, Instant::now(), &mut pool);
    part.expect("it is open");
    let frame = client.outbox().first().to_vec();
    let mut server = Connection::new(Role::Server, config, Some(params), Instant::now());
    echo(&mut server, &frames(&frame), rounds);
}

fn echo(server: &mut Connection, frames: &[u8], rounds: u32) {
    let (now, mut pool) = (Instant::now(), pool());
    for _ in 0..rounds {
        let mut bytes = frames.to_vec();
        let answered = counted_echo(server, &mut bytes, now, &mut pool);
        assert_eq!(answered, CROWD);
    }
}

#[inline(never)]
fn counted_echo(server: &mut Connection, bytes: &mut [u8], now: Instant, pool: &mut Pool) -> usize {
    let (mut input, mut answered) = (Input::new(bytes), 0);
    while let Some(event) = server.receive(&mut input, now, pool) {
        if let Event::Message(payload) = event {
            let (kind, bytes) = (payload.kind(), payload.as_slice());
            server.send_part(kind, bytes, Fin::Last, now, pool).expect("it is open");
            answered += 1;
        }
    }
    write(server, now, pool);
    answered
}

/// As the transports do: mostly there is one piece.
fn write(conn: &mut Connection, now: Instant, pool: &mut Pool) {
    while !conn.outbox().is_empty() {
        let outbox = conn.outbox();
        let mut len = black_box(outbox.first()).len();
        if len < outbox.len() {
            let mut slices = [IoSlice::new(&[]); 64];
            let used = outbox.slices(&mut slices);
            len = black_box(&slices[..used]).iter().map(|it| it.len()).sum();
        }
        conn.wrote(len, now, pool);
    }
}

/// Sends one message to many connections of one thread, each of which writes it.
pub(crate) fn fan_out(rounds: u32) {
    let (now, mut pool) = (Instant::now(), pool());
    let config = Arc::new(Config::default());
    let connection = || Connection::new(Role::Server, Arc::clone(&config), None, now);
    let mut crowd: Vec<Connection> = (0..CROWD).map(|_| connection()).collect();
    for round in 0..rounds {
        let said = format!("{round:0>64}");
        counted_fan_out(&mut crowd, said, now, &mut pool);
    }
}

#[inline(never)]
fn counted_fan_out(crowd: &mut [Connection], said: String, now: Instant, pool: &mut Pool) {
    pool.begin_turn();
    let prepared = Prepared::new(said);
    for conn in &mut *crowd {
        conn.send_prepared(&prepared, now, pool).expect("it is open");
    }
    for conn in crowd {
        write(conn, now, pool);
    }
}

/// Reads the head of a browser's opening handshake and writes the answer.
pub(crate) fn handshake(rounds: u32) {
    let head = "GET /chat?token=abc HTTP/1.1\r\nHost: chat.example\r\nConnection: Upgrade\r\nPragma: no-cache\r\n\
                Cache-Control: no-cache\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\n\
                Upgrade: websocket\r\nOrigin: http://chat.example\r\nSec-WebSocket-Version: 13\r\n\
                Accept-Encoding: gzip, deflate, br\r\nAccept-Language: en-US,en;q=0.9\r\n\
                Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";
    let limits = Limits::default();
    for _ in 0..rounds {
        let response = counted_handshake(head.as_bytes(), &limits);
        assert!(response.starts_with(b"HTTP/1.1 101 "));
    }
}

#[inline(never)]
fn counted_handshake(head: &[u8], limits: &Limits) -> Vec<u8> {
    let mut heads = HeadReader::new();
    let head = heads.feed(head, limits).expect("within its limits").expect("all of it is here");
    let request = parse_request(&head).expect("it is well-formed");
    let opening = Opening::read(&request).expect("it wants a WebSocket");
    let (response, _) = opening.accept(None, None);
    let mut out = Vec::new();
    write_response(&response, b"", &mut out);
    out
}

/// The README's echo on a transport that has one frame at a time, and takes all that is written.
pub(crate) fn library_echo(rounds: u32) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("it starts");
    let frame = frame(Kind::Binary, &[7; 16]);
    for _ in 0..rounds {
        let wire = Wire { frame: frame.clone(), left: CROWD };
        let mut socket = WebSocket::over(wire, Role::Server, Arc::default());
        counted_library_echo(&runtime, &mut socket);
        assert_eq!(socket.stats().sent.messages, CROWD as u64);
    }
}

#[inline(never)]
fn counted_library_echo(runtime: &Runtime, socket: &mut WebSocket) {
    runtime.block_on(answer_all(socket));
}

async fn answer_all(socket: &mut WebSocket) {
    while let Ok(Some(message)) = socket.recv().await {
        socket.send(message).await.expect("it is open");
    }
}

/// A transport without a kernel.
struct Wire {
    frame: Vec<u8>,
    /// Frames that still come.
    left: usize,
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(left) = self.left.checked_sub(1) {
            self.left = left;
            buffer.put_slice(&self.frame);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(black_box(bytes).len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
