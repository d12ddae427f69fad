//! The second yardstick of the benchmark: the least that an echo and a fan-out take on io_uring. It does what that on epoll
//! does ([`bench_limits`]), so that what both differ by is the most that a server could gain by io_uring. Connections are
//! accepted, and bytes received, by requests that stay; a send is over when it was submitted, and completes without a word.
//! The argument is the task; `probe` only sees whether the kernel lets us.

mod ring;

use std::{
    io, mem,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener},
};

use bench_limits::{
    BACKLOG,
    frames::{self, Header},
    handshake,
};
use bench_order::Order;
use ring::{Event, Piece, Ring};
use rustix::{
    net::{self, sockopt},
    process::{Resource, getrlimit},
};

/// As many connections as there may be open files, but no more than this.
const SLOTS_MAX: u64 = 32_000;
/// What is not a connection.
const OTHER_FILES: u64 = 32;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Task {
    Echo,
    /// To all, or to all but the one who says it.
    Deliver {
        to_oneself: bool,
    },
}

fn main() -> io::Result<()> {
    let word = Order::from_arguments()?.task;
    let task = match word.as_deref() {
        None | Some("echo-forward" | "probe") => Task::Echo,
        Some("fan-out") => Task::Deliver { to_oneself: true },
        Some("publish") => Task::Deliver { to_oneself: false },
        Some(other) => return Err(io::Error::other(format!("there is no task {other}"))),
    };
    let listener = TcpListener::bind(SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)))?;
    // What is accepted inherits it.
    sockopt::set_tcp_nodelay(&listener, true)?;
    net::listen(&listener, BACKLOG)?;
    let files = getrlimit(Resource::Nofile).current.unwrap_or(SLOTS_MAX);
    let slots = files.saturating_sub(OTHER_FILES).min(SLOTS_MAX) as u32;
    let ring = Ring::new(&listener, slots)?;
    if word.as_deref() == Some("probe") {
        return Ok(());
    }
    println!("listening {}", listener.local_addr()?.port());
    Server { task, ring, connections: vec![] }.run()
}

/// One slot: a connection, or room for one.
#[derive(Default)]
struct Connection {
    is_here: bool,
    is_open: bool,
    /// Nothing more is received.
    is_ended: bool,
    /// Something waits for room in the kernel.
    waits: bool,
    /// The batch in which something of it was sent last.
    batch: u64,
    /// A frame, or a request, of which a part has come.
    part: Vec<u8>,
    /// What goes out behind what waits.
    unsent: Vec<u8>,
}

struct Server {
    task: Task,
    ring: &'static mut Ring,
    /// By slot.
    connections: Vec<Connection>,
}

impl Server {
    fn run(mut self) -> io::Result<()> {
        loop {
            self.ring.turn()?;
            self.keep_shorts()?;
            while let Some(event) = self.ring.next()? {
                match event {
                    Event::Accepted(slot) => self.begin(slot as usize),
                    Event::Received(slot, piece) => self.received(slot, piece)?,
                    Event::Ended(slot) => {
                        self.connections[slot as usize].is_ended = true;
                        self.leave(slot)?;
                    }
                    Event::Sent(slot) => self.sent(slot)?,
                }
            }
        }
    }

    fn begin(&mut self, slot: usize) {
        if self.connections.len() <= slot {
            self.connections.resize_with(slot + 1, Connection::default);
        }
        self.connections[slot] = Connection { is_here: true, ..Connection::default() };
    }

    fn received(&mut self, slot: u32, piece: Piece) -> io::Result<()> {
        let connection = &mut self.connections[slot as usize];
        if !connection.is_open {
            connection.part.extend_from_slice(self.ring.read(piece));
            let Some((answer, _)) = handshake::answer(&connection.part) else { return Ok(()) };
            // Clients here say nothing before they are let in.
            connection.part = vec![];
            connection.is_open = true;
            return self.send_owned(slot, answer.into_bytes());
        }
        let behind = if connection.part.is_empty() { 0 } else { self.complete(slot, piece)? };
        let piece = piece.behind(behind);
        let turned = frames::turn(self.ring.write(piece));
        let rest = self.ring.read(piece.behind(turned.rest));
        if !rest.is_empty() {
            self.connections[slot as usize].part = rest.to_vec();
        }
        self.say(slot, piece.before(turned.end), turned.closes)
    }

    /// Takes as much as is missing of a frame that has begun to come; returns how much that was.
    fn complete(&mut self, slot: u32, piece: Piece) -> io::Result<usize> {
        let Self { ring, connections, .. } = self;
        let part = &mut connections[slot as usize].part;
        let (before, came) = (part.len(), ring.read(piece));
        let mut taken = 0;
        let whole = loop {
            match Header::read(part) {
                Some(header) => break header.bytes + header.payload,
                None if taken == came.len() => return Ok(taken),
                None => {
                    part.push(came[taken]);
                    taken += 1;
                }
            }
        };
        let missing = (whole - part.len()).min(came.len() - taken);
        part.extend_from_slice(&came[taken..taken + missing]);
        taken += missing;
        debug_assert_eq!(part.len(), before + taken);
        if part.len() == whole {
            let mut bytes = mem::take(part);
            let turned = frames::turn(&mut bytes);
            bytes.truncate(turned.end);
            self.say_owned(slot, bytes, turned.closes)?;
        }
        Ok(taken)
    }

    fn say(&mut self, slot: u32, piece: Piece, closes: bool) -> io::Result<()> {
        if self.ring.read(piece).is_empty() {
            return Ok(());
        }
        if self.task == Task::Echo || closes {
            self.send(slot, piece)?;
        } else {
            for to in self.hearing(slot) {
                self.send(to, piece)?;
            }
        }
        if closes { self.ring.shut_down(slot) } else { Ok(()) }
    }

    /// The same with bytes that lie elsewhere: each has its own.
    fn say_owned(&mut self, slot: u32, bytes: Vec<u8>, closes: bool) -> io::Result<()> {
        if self.task == Task::Echo || closes {
            self.send_owned(slot, bytes)?;
        } else {
            for to in self.hearing(slot) {
                self.send_owned(to, bytes.clone())?;
            }
        }
        if closes { self.ring.shut_down(slot) } else { Ok(()) }
    }

    fn hearing(&self, from: u32) -> impl Iterator<Item = u32> + use<> {
        let skips = self.task == Task::Deliver { to_oneself: false };
        let hears = move |(at, it): (usize, &Connection)| {
            (it.is_open && !it.is_ended && !(skips && at == from as usize)).then_some(at as u32)
        };
        self.connections.iter().enumerate().filter_map(hears).collect::<Vec<_>>().into_iter()
    }

    fn send(&mut self, slot: u32, piece: Piece) -> io::Result<()> {
        if !self.may_send(slot)? {
            let Self { ring, connections, .. } = self;
            connections[slot as usize].unsent.extend_from_slice(ring.read(piece));
            return Ok(());
        }
        self.ring.send(slot, piece)?;
        self.connections[slot as usize].batch = self.ring.batch();
        Ok(())
    }

    fn send_owned(&mut self, slot: u32, bytes: Vec<u8>) -> io::Result<()> {
        if !self.may_send(slot)? {
            self.connections[slot as usize].unsent.extend(bytes);
            return Ok(());
        }
        self.ring.send_owned(slot, bytes)?;
        self.connections[slot as usize].batch = self.ring.batch();
        Ok(())
    }

    /// Tells whether nothing of a connection waits; what was sent before is known to be, or to wait, behind this.
    fn may_send(&mut self, slot: u32) -> io::Result<bool> {
        if self.connections[slot as usize].batch == self.ring.batch() {
            self.ring.submit(0)?;
        }
        self.keep_shorts()?;
        Ok(!self.connections[slot as usize].waits)
    }

    fn keep_shorts(&mut self) -> io::Result<()> {
        while let Some((slot, rest)) = self.ring.short() {
            self.connections[slot as usize].waits = true;
            self.ring.send_waiting(slot, rest)?;
        }
        Ok(())
    }

    fn sent(&mut self, slot: u32) -> io::Result<()> {
        let connection = &mut self.connections[slot as usize];
        let unsent = mem::take(&mut connection.unsent);
        if unsent.is_empty() || connection.is_ended {
            connection.waits = false;
            return self.leave(slot);
        }
        self.ring.send_waiting(slot, unsent)
    }

    /// Closes a connection that is over; its slot is another one's then.
    fn leave(&mut self, slot: u32) -> io::Result<()> {
        let connection = &mut self.connections[slot as usize];
        if !connection.is_here || !connection.is_ended || connection.waits {
            return Ok(());
        }
        *connection = Connection::default();
        self.ring.close(slot)
    }
}
