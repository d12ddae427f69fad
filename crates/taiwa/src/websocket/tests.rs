//! Tests of [`WebSocket`] over transports in memory, with a clock that stands still.

mod cancel;
mod cut;
mod halves;
mod slow;
mod stream;
mod parts;

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::BytesMut;
use taiwa_proto::{
    Config, Deadline, Deadlines, Fault, Keepalive, Limits, Misuse, Role,
    deflate::Params as DeflateParams, handshake::Agreed,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex},
    time::{Instant, sleep, timeout},
};

use super::*;
use crate::scratch::with_scratch;

fn socket<T>(role: Role, io: T, config: &Config) -> WebSocket
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    socket_with(role, io, config, None)
}

/// With what was agreed on about compression.
fn socket_with<T>(role: Role, io: T, config: &Config, deflate: Option<DeflateParams>) -> WebSocket
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let opened = Opened {
        io: Box::new(io),
        leftover: BytesMut::new(),
        agreed: Agreed { deflate, ..Agreed::default() },
        peer_addr: None,
    };
    WebSocket::new(Inner::new(role, Arc::new(config.clone()), opened))
}

/// Two ends of one connection; `room` bytes fit between them in each direction.
fn pair(room: usize, config: &Config) -> (WebSocket, WebSocket) {
    let (a, b) = duplex(room);
    (socket(Role::Client, a, config), socket(Role::Server, b, config))
}

/// A server, and the bare bytes at its client's end.
fn server_and_bytes(room: usize, config: &Config) -> (WebSocket, DuplexStream) {
    let (a, b) = duplex(room);
    (socket(Role::Server, a, config), b)
}

/// Runs a test with a clock that jumps to the next timer when nobody has anything to do, so that a wait
/// for nothing fails at once.
fn run(test: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime");
    let late = Duration::from_secs(100_000);
    runtime.block_on(async { timeout(late, test).await.expect("it waits for nothing") });
}

/// No deadlines, no keepalive.
fn timeless() -> Config {
    let deadlines = Deadlines { handshake: None, close: None, write: None, message: None };
    Config { deadlines, ..Config::default() }
}

async fn rest(io: &mut DuplexStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    io.read_to_end(&mut bytes).await.expect("memory can be read");
    bytes
}

/// A frame of a client; the mask key is zero, so the payload is as written.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() < 126);
    [&[first, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat()
}

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

fn close_frame(code: u16) -> Vec<u8> {
    [&[CLOSE, 2][..], &code.to_be_bytes()].concat()
}

/// One direction of the test below: what was sent for sure, perhaps, and received.
#[derive(Default)]
struct Lane {
    next: u64,
    /// Numbers of messages whose `send` returned; each must arrive.
    sure: Vec<u64>,
    received: Vec<u64>,
}

impl Lane {
    /// A message that tells its number and is filled by it.
    fn message(number: u64, len: usize) -> Message {
        let mut payload = number.to_be_bytes().to_vec();
        payload.resize(8 + len, number as u8);
        Message::from(payload)
    }

    fn receive(&mut self, message: &Message) {
        let (number, filling) = message.as_bytes().split_at(8);
        let number = u64::from_be_bytes(number.try_into().expect("8 bytes"));
        assert!(filling.iter().all(|it| *it == number as u8), "message {number} is damaged");
        assert!(self.received.last().is_none_or(|last| *last < number), "{number} out of order");
        self.received.push(number);
    }

    fn check(&self) {
        let missing = self.sure.iter().find(|it| self.received.binary_search(it).is_err());
        assert_eq!(missing, None, "sent and not received");
    }
}

/// Polls once and drops the future.
fn poll_and_drop<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut cx = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut cx) {
        Poll::Ready(it) => Some(it),
        Poll::Pending => None,
    }
}

fn send_once(socket: &mut WebSocket, lane: &mut Lane, len: usize) {
    let number = lane.next;
    lane.next += 1;
    let sent = poll_and_drop(socket.send(Lane::message(number, len)));
    if let Some(sent) = sent {
        sent.expect("the connection is open");
        lane.sure.push(number);
    }
}

fn receive_once(socket: &mut WebSocket, lane: &mut Lane) {
    if let Some(received) = poll_and_drop(socket.recv()) {
        lane.receive(&received.expect("no error").expect("not closed"));
    }
}

/// A small generator of numbers, for a seed that is printed when the test fails.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % sides
    }
}

#[test]
fn futures_dropped_at_every_poll_lose_nothing_and_keep_the_stream_in_step() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    // Entered and not run: a task's budget would make every transport pending after 128 polls.
    let _entered = runtime.enter();
    for (seed, room) in [(1, 7), (2, 16), (3, 40), (4, 300)] {
        println!("seed {seed}");
        let limits = Limits { outbox_bytes_max: 100, ..Limits::default() };
        let (mut client, mut server) = pair(room, &Config { limits, ..timeless() });
        let (mut up, mut down) = (Lane::default(), Lane::default());
        let mut dice = Dice(seed);
        while up.received.len() + down.received.len() < 5000 {
            let len = if dice.roll(50) == 0 { dice.roll(2000) } else { dice.roll(30) } as usize;
            match dice.roll(9) {
                0 => send_once(&mut client, &mut up, len),
                1 => send_once(&mut server, &mut down, len),
                2 => _ = poll_and_drop(client.ping()),
                3..=5 => receive_once(&mut client, &mut down),
                _ => receive_once(&mut server, &mut up),
            }
        }
        // `recv` writes what waits, too: when nothing moves any more, all has arrived.
        for _ in 0..5000 {
            receive_once(&mut client, &mut down);
            receive_once(&mut server, &mut up);
        }
        up.check();
        down.check();
        // Without room for a frame no frame is written in one poll, so hardly a `send` returns.
        let sure = up.sure.len().min(down.sure.len());
        assert!(sure > 100 || room < 40, "only {sure} calls of send returned");
        let mut ends = [None, None];
        while ends.contains(&None) {
            let close = poll_and_drop(client.close(CloseCode::NORMAL, ""));
            ends[0] = close.map(|it| it.expect("no error").clean).or(ends[0]);
            let received = poll_and_drop(server.recv());
            ends[1] = received.map(|it| it.expect("no error").is_none()).or(ends[1]);
        }
        assert_eq!(ends, [Some(true), Some(true)]);
    }
}

#[test]
fn what_came_before_a_fault_is_delivered_and_the_close_frame_written_before_the_error() {
    run(async {
        let (mut server, mut bytes) = server_and_bytes(1024, &Config::default());
        let bad = [0xc1, 0x80, 0, 0, 0, 0]; // RSV1 and no extension
        let read = [frame(TEXT, b"one"), frame(TEXT, b"two"), bad.to_vec(), frame(TEXT, b"no")];
        bytes.write_all(&read.concat()).await.unwrap();
        assert_eq!(server.recv().await.unwrap(), Some("one".into()));
        assert_eq!(server.recv().await.unwrap(), Some("two".into()));
        let begun = Instant::now();
        assert!(matches!(server.recv().await, Err(Error::Fault(Fault::ReservedBit))));
        assert_eq!(begun.elapsed(), Deadlines::default().close.unwrap(), "it waits for the peer");
        assert_eq!(rest(&mut bytes).await, close_frame(1002));
        assert!(server.recv().await.unwrap().is_none(), "an error is told once");
        let closed = server.closed().unwrap();
        assert_eq!((closed.code.get(), closed.clean), (1002, false));
        assert!(matches!(server.send("late").await, Err(Error::Closed(_))));
    });
}

#[test]
fn a_ping_before_a_message_is_answered_before_the_message_is_handed_out() {
    run(async {
        let (mut server, mut bytes) = server_and_bytes(1024, &Config::default());
        bytes.write_all(&[frame(PING, b"?"), frame(TEXT, b"x")].concat()).await.unwrap();
        assert_eq!(server.recv().await.unwrap(), Some("x".into()));
        let mut pong = [0; 3];
        bytes.read_exact(&mut pong).await.unwrap();
        assert_eq!(pong, [PONG, 1, b'?']);
    });
}

#[test]
fn a_silent_peer_is_pinged_and_given_up() {
    run(async {
        let config = Config { keepalive: Some(Keepalive::default()), ..Config::default() };
        let (mut server, mut bytes) = server_and_bytes(1024, &config);
        let begun = Instant::now();
        let reading = tokio::spawn(async move { rest(&mut bytes).await });
        assert!(matches!(server.recv().await, Err(Error::Late(Deadline::Pong))));
        assert_eq!(begun.elapsed().as_secs(), 40, "20 s of silence, 20 s for the pong");
        assert_eq!(reading.await.unwrap(), [vec![PING, 0], close_frame(1011)].concat());
    });
}

#[test]
fn a_caller_who_stays_away_is_not_the_peers_fault() {
    run(async {
        let config = Config { keepalive: Some(Keepalive::default()), ..Config::default() };
        let (mut server, mut bytes) = server_and_bytes(1024, &config);
        // A message, and the first fragment of another.
        bytes.write_all(&[frame(TEXT, b"a"), frame(0x01, b"b")].concat()).await.unwrap();
        assert_eq!(server.recv().await.unwrap(), Some("a".into()));
        sleep(Duration::from_secs(500)).await;
        assert!(
            timeout(Duration::from_secs(19), server.recv()).await.is_err(),
            "nothing is late yet"
        );
        bytes.write_all(&frame(0x80, b"c")).await.unwrap();
        assert_eq!(server.recv().await.unwrap(), Some("bc".into()));
        // Back for good, the caller has the peer watched again.
        sleep(Duration::from_secs(500)).await;
        let begun = Instant::now();
        assert!(matches!(server.recv().await, Err(Error::Late(Deadline::Pong))));
        assert_eq!(begun.elapsed().as_secs(), 20 + 20 + 5);
    });
}

#[test]
fn an_unfinished_message_is_late_after_its_time() {
    run(async {
        let (mut server, mut bytes) = server_and_bytes(1024, &Config::default());
        bytes.write_all(&frame(0x01, b"a")).await.unwrap();
        let begun = Instant::now();
        assert!(matches!(server.recv().await, Err(Error::Late(Deadline::Message))));
        assert_eq!(begun.elapsed().as_secs(), 65);
        assert_eq!(rest(&mut bytes).await, close_frame(1008));
    });
}

#[test]
fn a_peer_that_does_not_read_is_late() {
    run(async {
        let (mut server, bytes) = server_and_bytes(64, &Config::default());
        let begun = Instant::now();
        assert!(matches!(server.send(vec![0; 1000]).await, Err(Error::Late(Deadline::Write))));
        assert_eq!(begun.elapsed().as_secs(), 30);
        assert!(server.recv().await.unwrap().is_none(), "the end was told");
        drop(bytes);
    });
}

#[test]
fn a_peer_that_reads_slowly_is_not_late_and_not_taken_for_silent() {
    run(async {
        let config = Config { keepalive: Some(Keepalive::default()), ..Config::default() };
        let (mut server, mut bytes) = server_and_bytes(64, &config);
        let reading = tokio::spawn(async move {
            let mut buffer = [0; 64];
            let mut count = 0;
            while count < 1004 {
                sleep(Duration::from_secs(20)).await;
                count += bytes.read(&mut buffer).await.unwrap();
            }
            (count, bytes)
        });
        server.send(vec![0; 1000]).await.unwrap();
        assert_eq!(reading.await.unwrap().0, 1004);
    });
}

#[test]
fn try_send_gives_the_message_back_when_the_outbox_is_full() {
    run(async {
        let limits = Limits { outbox_bytes_max: 100, ..Limits::default() };
        let (mut client, mut server) = pair(10, &Config { limits, ..Config::default() });
        let message = Message::from(vec![7; 150]);
        client.try_send(message.clone()).expect("nothing else waits");
        let full = client.try_send("x").unwrap_err();
        assert_eq!(full, TrySendError::Full("x".into()));
        let (flushed, received) = tokio::join!(client.send("y"), async {
            [server.recv().await.unwrap(), server.recv().await.unwrap()]
        });
        flushed.unwrap();
        assert_eq!(received, [Some(message), Some("y".into())]);
        let close = client.close(CloseCode::NORMAL, "");
        let (closed, end) = tokio::join!(close, server.recv());
        assert_eq!((closed.unwrap().code, end.unwrap()), (CloseCode::NORMAL, None));
        assert_eq!(client.try_send("z"), Err(TrySendError::Closing("z".into())));
    });
}

#[test]
fn a_ping_keeps_the_messages_that_come_before_its_answer() {
    run(async {
        let (mut server, mut bytes) = server_and_bytes(1024, &Config::default());
        bytes.write_all(&[frame(TEXT, b"1"), frame(TEXT, b"2")].concat()).await.unwrap();
        let peer = async {
            sleep(Duration::from_secs(3)).await;
            let mut ping = [0; 10];
            bytes.read_exact(&mut ping).await.unwrap();
            assert_eq!(ping[..2], [PING, 8]);
            let answer = [frame(PONG, b"other"), frame(TEXT, b"3"), frame(PONG, &ping[2..])];
            bytes.write_all(&[&answer.concat()[..], &frame(TEXT, b"4")].concat()).await.unwrap();
        };
        let (round_trip, ()) = tokio::join!(server.ping(), peer);
        assert_eq!(round_trip.unwrap(), Duration::from_secs(3));
        for expected in ["1", "2", "3", "4"] {
            assert_eq!(server.recv().await.unwrap(), Some(expected.into()));
        }
    });
}

#[cfg(feature = "compat-axum")]
#[test]
fn who_asks_gets_pings_and_pongs_in_their_order() {
    run(async {
        let (mut server, mut bytes) = server_and_bytes(1024, &Config::default());
        let frames = [frame(PING, b"1"), frame(TEXT, b"2"), frame(PONG, b"3"), frame(PING, b"4")];
        bytes.write_all(&frames.concat()).await.unwrap();
        let mut found = Vec::new();
        for _ in 0..4 {
            found.push(match poll_fn(|cx| server.poll_item(cx)).await.unwrap().unwrap() {
                Item::Message(message) => message.into_bytes(),
                Item::Ping(payload) | Item::Pong(payload) => payload,
            });
        }
        assert_eq!(found, ["1", "2", "3", "4"]);
        let mut pongs = [0; 6];
        bytes.read_exact(&mut pongs).await.unwrap();
        assert_eq!(pongs, *b"\x8a\x011\x8a\x014");
        bytes.write_all(&[frame(PING, b"5"), frame(TEXT, b"6")].concat()).await.unwrap();
        assert_eq!(server.recv().await.unwrap(), Some("6".into()));
    });
}

#[test]
fn a_ping_gives_up_before_it_keeps_too_much() {
    run(async {
        let limits = Limits { message_bytes_max: 100, ..Limits::default() };
        let config = Config { limits, ..Config::default() };
        let (mut server, mut bytes) = server_and_bytes(4096, &config);
        for _ in 0..4 {
            bytes.write_all(&frame(TEXT, &[b'x'; 50])).await.unwrap();
        }
        assert!(matches!(server.ping().await, Err(Error::Busy)));
        for _ in 0..4 {
            assert_eq!(server.recv().await.unwrap().unwrap().as_bytes().len(), 50);
        }
    });
}

#[test]
fn a_close_that_is_not_answered_ends_after_its_time() {
    run(async {
        let (mut server, mut bytes) = server_and_bytes(1024, &Config::default());
        let begun = Instant::now();
        let closed = server.close(CloseCode::new(4000), "enough").await;
        assert!(matches!(closed, Err(Error::Late(Deadline::Close))));
        assert_eq!(begun.elapsed().as_secs(), 5);
        assert_eq!(rest(&mut bytes).await, [&[CLOSE, 8, 0x0f, 0xa0][..], b"enough"].concat());
    });
}

#[test]
fn a_bad_close_code_does_no_harm() {
    run(async {
        let (mut client, mut server) = pair(64, &Config::default());
        let misuse = client.close(CloseCode::ABNORMAL, "").await;
        assert!(matches!(misuse, Err(Error::Misuse(Misuse::CloseCode(CloseCode::ABNORMAL)))));
        client.send("still here").await.unwrap();
        assert_eq!(server.recv().await.unwrap(), Some("still here".into()));
    });
}

#[test]
fn a_transport_that_ends_without_a_close_frame_is_a_loss() {
    run(async {
        let (mut server, bytes) = server_and_bytes(64, &Config::default());
        drop(bytes);
        assert!(matches!(server.recv().await, Err(Error::Lost)));
        assert_eq!(server.closed().unwrap().code, CloseCode::ABNORMAL);
        assert!(server.recv().await.unwrap().is_none());
    });
}

#[test]
fn a_close_frame_counts_although_the_transport_takes_no_answer() {
    run(async {
        let (mut server, mut bytes) = server_and_bytes(1024, &Config::default());
        let last = [frame(TEXT, b"last"), frame(CLOSE, &1000u16.to_be_bytes())];
        bytes.write_all(&last.concat()).await.unwrap();
        drop(bytes);
        assert!(matches!(server.send("into the void").await, Err(Error::Io(_))));
        assert_eq!(server.recv().await.unwrap(), Some("last".into()));
        assert_eq!(server.recv().await.unwrap(), None);
        assert_eq!(server.closed().unwrap().code, CloseCode::NORMAL);
    });
}

#[test]
fn a_dropped_socket_says_goodbye() {
    run(async {
        let (server, mut bytes) = server_and_bytes(64, &Config::default());
        drop(server);
        assert_eq!(rest(&mut bytes).await, close_frame(1001));
    });
}

#[test]
fn a_large_message_arrives_whole_through_small_reads() {
    run(async {
        let (mut client, mut server) = pair(1000, &Config::default());
        let message = Message::from((0..500_000u32).map(|it| it as u8).collect::<Vec<_>>());
        let (sent, received) = tokio::join!(client.send(message.clone()), server.recv());
        sent.unwrap();
        assert_eq!(received.unwrap(), Some(message));
    });
}

#[test]
fn a_transport_that_buffers_is_flushed_before_send_returns() {
    run(async {
        let (a, b) = duplex(1024);
        let buffered = tokio::io::BufStream::new(a);
        let mut client = socket(Role::Client, buffered, &Config::default());
        let mut server = socket(Role::Server, b, &Config::default());
        client.send("through").await.unwrap();
        assert_eq!(server.recv().await.unwrap(), Some("through".into()));
    });
}

#[test]
fn two_peers_that_both_send_a_lot_both_receive_when_polled_by_hand() {
    run(async {
        let limits = Limits { outbox_bytes_max: 1000, ..Limits::default() };
        let (mut client, mut server) = pair(64, &Config { limits, ..Config::default() });
        let busy = |mut socket: WebSocket| async move {
            let (mut sent, mut received) = (0, 0);
            while received < 500 || sent < 500 {
                let message = poll_fn(|cx| {
                    if sent < 500 && socket.poll_room(cx).is_ready() {
                        return Poll::Ready(None);
                    }
                    socket.poll_recv(cx).map(Some)
                });
                match message.await {
                    None => _ = socket.try_send(vec![7; 100]).map(|()| sent += 1),
                    Some(message) => {
                        assert_eq!(message.unwrap(), Some(vec![7; 100].into()));
                        received += 1;
                    }
                }
            }
            poll_fn(|cx| socket.poll_written(cx)).await.unwrap();
            (sent, socket)
        };
        let (a, b);
        ((a, client), (b, server)) = tokio::join!(busy(client), busy(server));
        assert_eq!((a, b), (500, 500));
        drop((client, server));
    });
}

#[test]
fn a_socket_can_move_between_threads() {
    fn is_send<T: Send>() {}
    is_send::<WebSocket>();
    assert_eq!(size_of::<WebSocket>(), size_of::<usize>());
}

#[test]
fn the_buffer_of_a_large_message_is_kept_for_the_next_one_once_it_is_sent() {
    run(async {
        let (mut from, mut to) = pair(64 << 10, &timeless());
        let kept = || with_scratch(|it| it.pool.age(now()).is_some());
        assert!(!kept());
        let message = Message::from(vec![7; 300_000]);
        let (sent, received) = tokio::join!(from.send(message), to.recv());
        sent.expect("the connection is open");
        assert!(kept(), "of who sends");
        let received = received.expect("no error").expect("not closed");
        with_scratch(|it| it.pool.age(now() + Duration::from_secs(2)));
        assert!(!kept(), "somebody has the other one");
        let (sent, echoed) = tokio::join!(to.send(received), from.recv());
        sent.expect("the connection is open");
        assert_eq!(echoed.expect("no error"), Some(vec![7; 300_000].into()));
        assert!(kept(), "of who answers");
    });
}
