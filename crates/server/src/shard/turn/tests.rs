//! Turns ask for no memory, once a shard has seen some messages. Here they are taken by the thread of the test.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use allocation_counter::measure;
use bytes::BytesMut;
use mio::{Poll, Waker};
use taiwa::{Prepared, RawConnection, RawSeat, RawSocket, RawTransport};
use taiwa_proto::{Connection, Payload, Role};

use super::{Shard, WAKER};
use crate::shard::{Above, Key, Left, Lines, Post};

/// Sends back what is binary, and to all what is text.
#[derive(Default)]
struct Room(Vec<Key>);

impl Above for Room {
    type Opening = ();
    type Letter = ();

    fn joined(&mut self, key: Key, (): (), _: &mut Lines) {
        self.0.push(key);
    }

    fn received(&mut self, key: Key, message: Payload<'_>, lines: &mut Lines) {
        if message.kind() == taiwa::Kind::Binary {
            return lines.send_payload(key, message).unwrap();
        }
        let prepared = Prepared::new(message.into_message());
        self.0.iter().for_each(|it| lines.send_prepared(*it, &prepared).unwrap());
    }

    fn left(&mut self, _: Key, left: Left, _: &mut Lines) {
        panic!("{left:?}");
    }

    fn letter(&mut self, (): (), _: &mut Lines) {}
}

/// A shard and its clients.
struct House {
    shard: Shard<Room>,
    crowd: Vec<TcpStream>,
}

impl House {
    fn new(crowd_len: usize) -> Self {
        let poll = Poll::new().unwrap();
        let (post, inbox) = Post::new(Waker::new(poll.registry(), WAKER).unwrap(), 16);
        let mut shard = Shard::new(0, Room::default(), poll, inbox).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut crowd = vec![];
        for _ in 0..crowd_len {
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            client.set_nodelay(true).unwrap();
            crowd.push(client);
            let (socket, _) = listener.accept().unwrap();
            socket.set_nonblocking(true).unwrap();
            let raw = RawConnection {
                connection: Connection::new(Role::Server, Arc::default(), None, Instant::now()),
                transport: RawTransport::Plain(RawSocket::Tcp(socket)),
                response: vec![],
                leftover: BytesMut::new(),
                subprotocol: None,
                seat: RawSeat::elsewhere(),
            };
            post.join(raw, ()).unwrap();
            assert!(shard.turn().unwrap().is_continue());
        }
        assert_eq!(shard.above.0.len(), crowd_len);
        Self { shard, crowd }
    }

    /// Has the first client say something, and `listeners` hear it.
    fn say(&mut self, frame: &[u8], reply: &[u8], listeners: usize) {
        self.crowd[0].write_all(frame).unwrap();
        let before = self.shard.lines.stats(self.shard.above.0[0]).unwrap().received.messages;
        // What was written is there to be read: a turn does not wait, unless it has other things to do.
        while self.shard.lines.stats(self.shard.above.0[0]).unwrap().received.messages == before {
            assert!(self.shard.turn().unwrap().is_continue());
        }
        let mut heard = [0; 1024];
        for client in &mut self.crowd[..listeners] {
            client.read_exact(&mut heard[..reply.len()]).unwrap();
            assert_eq!(&heard[..reply.len()], reply);
        }
    }
}

/// A client's frame with a mask of zeros, and the server's that has the same in it.
fn frames(opcode: u8, payload: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let len = u8::try_from(payload.len()).unwrap();
    let header = |mask| [0x80 | opcode, mask | len].to_vec();
    ([&header(0x80)[..], &[0; 4], payload].concat(), [&header(0)[..], payload].concat())
}

#[test]
fn an_echo_asks_for_no_memory() {
    let mut house = House::new(1);
    for len in [0, 16, 125] {
        let (frame, reply) = frames(2, &vec![b'x'; len]);
        (0..10).for_each(|_| house.say(&frame, &reply, 1));
        let counted = measure(|| (0..1000).for_each(|_| house.say(&frame, &reply, 1)));
        assert_eq!(counted.count_total, 0, "{len} bytes");
    }
}

#[test]
fn a_delivery_asks_for_no_memory() {
    let (frame, reply) = frames(1, b"to all");
    let counted = [10, 100].map(|crowd_len| {
        let mut house = House::new(crowd_len);
        (0..10).for_each(|_| house.say(&frame, &reply, crowd_len));
        measure(|| house.say(&frame, &reply, crowd_len)).count_total
    });
    assert_eq!(counted[0], counted[1], "10 listeners and 100");
    // The message, its frame, and the row of frames of this turn.
    assert!(counted[0] <= 8, "{}", counted[0]);
}
