//! One connection without I/O, fed by hand.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use taiwa_proto::{
    Config, Connection, End, Event, Input, Message, Pool, Role, Step, deflate::Params,
};

use crate::Sender;

/// What is tested, and what it has delivered.
pub struct Ends {
    /// The connection under test.
    pub conn: Connection,
    /// What it borrows from.
    pub pool: Pool,
    /// Its clock.
    pub now: Instant,
    /// Messages it delivered.
    pub messages: Vec<Message>,
    /// Payloads of the Pings and Pongs it delivered.
    pub controls: Vec<(char, Vec<u8>)>,
    /// Who writes to it.
    pub peer: Sender,
}

/// Both directions keep their windows.
pub const KEEPS_WINDOWS: Params = Params {
    server_no_context_takeover: false,
    client_no_context_takeover: false,
    server_max_window_bits: 15,
    client_max_window_bits: 15,
};

impl Ends {
    /// Opens a connection of `role`.
    pub fn new(role: Role, config: Config, deflate: Option<Params>) -> Self {
        let now = Instant::now();
        let peer = Sender(match role {
            Role::Client => Role::Server,
            Role::Server => Role::Client,
        });
        Self {
            conn: Connection::new(role, Arc::new(config), deflate, now),
            pool: Pool::new(|bytes| bytes.iter_mut().zip(1..=251).for_each(|(it, i)| *it = i)),
            now,
            messages: vec![],
            controls: vec![],
            peer,
        }
    }

    /// Hands over what the peer wrote, in pieces of `piece_len` bytes.
    pub fn receive_by(&mut self, wire: &[u8], piece_len: usize) {
        for piece in wire.chunks(piece_len) {
            let mut bytes = piece.to_vec();
            let mut input = Input::new(&mut bytes);
            while let Some(event) = self.conn.receive(&mut input, self.now, &mut self.pool) {
                match event {
                    Event::Message(it) => self.messages.push(it.into_message()),
                    Event::Part(_) => unreachable!("parts are not asked for"),
                    Event::Ping(it) => self.controls.push(('?', it.to_vec())),
                    Event::Pong(it) => self.controls.push(('!', it.to_vec())),
                }
            }
        }
    }

    /// Hands over what the peer wrote, at once.
    pub fn receive(&mut self, wire: &[u8]) {
        self.receive_by(wire, wire.len().max(1));
    }

    /// Takes what the connection wants to write.
    pub fn written(&mut self) -> Vec<u8> {
        let mut out = vec![];
        while !self.conn.outbox().is_empty() {
            let first = self.conn.outbox().first().to_vec();
            self.conn.wrote(first.len(), self.now, &mut self.pool);
            out.extend(first);
        }
        out
    }

    /// Lets time pass.
    pub fn after(&mut self, time: Duration) {
        self.now += time;
        self.conn.timeout(self.now, &mut self.pool);
    }

    /// Does as `step` says with a peer that shuts down as soon as it can, and returns the end.
    pub fn end(&mut self) -> End {
        for _ in 0..4 {
            match self.conn.step() {
                Step::Transfer => assert!(!self.written().is_empty(), "nothing ends it"),
                Step::ShutDown => self.conn.shut_down(),
                Step::Discard => self.conn.end_of_input(),
                Step::End(end) => return end,
            }
        }
        panic!("no end: {:?}", self.conn);
    }
}
