//! Opening handshakes that are given up at every poll.

use taiwa_proto::handshake::accept_key;

use super::{
    super::{Dice, poll_and_drop},
    choppy::{Choppy, choppy},
    *,
};
use crate::Client;

/// A server by hand: answers the request as soon as it is whole, and says something right behind.
struct Answering {
    end: Option<Choppy>,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Answering {
    /// Reads and writes what it can; says whether the client has gone.
    fn go_on(&mut self) -> bool {
        let Some(end) = &mut self.end else { return true };
        let mut bytes = [0; 1000];
        if let Some(Ok(n)) = poll_and_drop(end.read(&mut bytes)) {
            self.request.extend_from_slice(&bytes[..n]);
            if n == 0 {
                return true;
            }
            if let Some(head) = self.request.strip_suffix(b"\r\n\r\n") {
                let head = std::str::from_utf8(head).expect("a head").to_lowercase();
                assert!(head.starts_with("get /chat "), "{head}");
                // The key is base64, so its case counts.
                let at = head.find("sec-websocket-key: ").expect("a key") + 19;
                let key = &self.request[at..at + 24];
                let accept = accept_key(std::str::from_utf8(key).expect("text"));
                self.answer = format!(
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                     Connection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
                )
                .into_bytes();
                self.answer.extend_from_slice(b"\x81\x05hello");
            }
        }
        if !self.answer.is_empty()
            && let Some(Ok(n)) = poll_and_drop(end.write(&self.answer))
        {
            self.answer.drain(..n);
        }
        false
    }
}

#[test]
fn an_opening_given_up_at_any_poll_drops_the_transport_and_one_that_is_not_loses_no_byte() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _entered = runtime.enter();
    let client = Client::builder().build().unwrap();
    let (mut drops, mut opened) = (0, 0);
    for seed in 0..100 {
        println!("seed {seed}");
        let mut dice = Dice(seed);
        for polls in 0.. {
            let [ours, theirs] = choppy(seed, 1 + dice.roll(300) as usize);
            let mut server = Answering { end: Some(theirs), request: vec![], answer: vec![] };
            let mut cx = Context::from_waker(Waker::noop());
            let mut opening = Box::pin(client.connect_over(ours, "ws://a.example/chat"));
            let mut socket = None;
            for _ in 0..polls {
                if let Poll::Ready(it) = opening.as_mut().poll(&mut cx) {
                    socket = Some(it.expect("a good answer").0);
                    break;
                }
                server.go_on();
            }
            drop(opening);
            let Some(mut socket) = socket else {
                drops += 1;
                assert!((0..1000).any(|_| server.go_on()), "the transport is kept");
                continue;
            };
            opened += 1;
            let received = (0..10_000).find_map(|_| {
                server.go_on();
                poll_and_drop(socket.recv())
            });
            assert_eq!(received.expect("in time").unwrap(), Some("hello".into()));
            break;
        }
    }
    println!("{drops} openings given up");
    assert!(opened == 100 && drops > 1000, "{opened} {drops}");
}
