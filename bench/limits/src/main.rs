//! The yardstick of the benchmark: the least that an echo and a fan-out take on raw epoll. It checks nothing, keeps no limit
//! and no deadline, and believes what clients say: a floor to measure servers by, not a server. The argument is the task:
//! `fan-out` sends each message to all, `publish` to all others; without one it echoes.

mod connection;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener},
    os::fd::OwnedFd,
};

use bench_limits::BACKLOG;
use bench_order::Order;
use connection::{Connection, Spare, Taken};
use rustix::{
    buffer::spare_capacity,
    event::epoll,
    io::Errno,
    net::{self, SocketFlags, sockopt},
};

/// What one read takes at most, into one buffer for all.
const READ_BYTES: usize = 256 * 1024;
const FIRST_BYTES: usize = 4096;
const LISTENER: u64 = u64::MAX;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Task {
    Echo,
    /// To all, or to all but the one who says it.
    Deliver {
        to_oneself: bool,
    },
}

fn main() -> io::Result<()> {
    let task = match Order::from_arguments()?.task.as_deref() {
        None | Some("echo-forward" | "echo-large") => Task::Echo,
        Some("fan-out") => Task::Deliver { to_oneself: true },
        Some("publish") => Task::Deliver { to_oneself: false },
        Some(other) => return Err(io::Error::other(format!("there is no task {other}"))),
    };
    let listener = TcpListener::bind(SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)))?;
    listener.set_nonblocking(true)?;
    // What is accepted inherits it.
    sockopt::set_tcp_nodelay(&listener, true)?;
    net::listen(&listener, BACKLOG)?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;
    println!("listening {}", listener.local_addr()?.port());
    let server = Server {
        task,
        listener,
        epoll,
        connections: vec![],
        free: vec![],
        read: Vec::with_capacity(READ_BYTES),
        first: Vec::with_capacity(FIRST_BYTES),
        spare: Spare::default(),
    };
    server.run()
}

struct Server {
    task: Task,
    listener: TcpListener,
    epoll: OwnedFd,
    connections: Vec<Option<Connection>>,
    /// The places of those that are gone.
    free: Vec<u32>,
    read: Vec<u8>,
    /// For the beginning of what may be large.
    first: Vec<u8>,
    spare: Spare,
}

impl Server {
    fn run(mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(1024);
        loop {
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(why) => return Err(why.into()),
            }
            for event in &events {
                match event.data.u64() {
                    LISTENER => self.accept()?,
                    id => self.ready(id as usize, event.flags),
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let socket = match net::accept_with(&self.listener, flags) {
                Ok(socket) => socket,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::CONNABORTED | Errno::INTR) => continue,
                Err(why) => return Err(why.into()),
            };
            let id = self.free.pop().map_or(self.connections.len(), |it| it as usize);
            let tag = epoll::EventData::new_u64(id as u64);
            epoll::add(&self.epoll, &socket, tag, epoll::EventFlags::IN)?;
            let connection = Some(Connection::new(socket));
            match self.connections.get_mut(id) {
                Some(place) => *place = connection,
                None => self.connections.push(connection),
            }
        }
    }

    fn ready(&mut self, id: usize, flags: epoll::EventFlags) {
        let Some(connection) = &mut self.connections[id] else { return };
        if flags.contains(epoll::EventFlags::OUT) {
            connection.flush(id, &self.epoll, &mut self.spare);
        }
        if flags == epoll::EventFlags::OUT {
            return;
        }
        let takes_first = self.task == Task::Echo && connection.expects_large();
        let read = if takes_first { &mut self.first } else { &mut self.read };
        match connection.take(read, &mut self.spare) {
            Taken::Nothing => {}
            Taken::End => self.leave(id),
            // What was read lies in the buffer, unmasked, with the headers of a server.
            Taken::Frames { end, closes } => {
                if self.task == Task::Echo || closes {
                    let read = if takes_first { &self.first } else { &self.read };
                    connection.send(id, &self.epoll, &read[..end]);
                } else {
                    self.deliver(id, end);
                }
                if closes {
                    self.leave(id);
                }
            }
            // A frame that is larger than a read, in a buffer of its own, which is handed on.
            Taken::Large(bytes, start) => match self.task {
                Task::Echo => {
                    connection.send_owned(id, &self.epoll, (bytes, start), &mut self.spare);
                }
                Task::Deliver { .. } => {
                    self.read.clear();
                    self.read.extend_from_slice(&bytes[start..]);
                    self.deliver(id, self.read.len());
                }
            },
            Taken::Handshake(answer) => connection.send(id, &self.epoll, answer.as_bytes()),
        }
    }

    fn deliver(&mut self, from: usize, end: usize) {
        let skips = self.task == Task::Deliver { to_oneself: false };
        for (id, connection) in self.connections.iter_mut().enumerate() {
            if let Some(connection) = connection
                && connection.is_open()
                && !(skips && id == from)
            {
                connection.send(id, &self.epoll, &self.read[..end]);
            }
        }
    }

    fn leave(&mut self, id: usize) {
        self.connections[id] = None;
        self.free.push(id as u32);
    }
}
