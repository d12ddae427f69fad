//! The client connections: raw epoll, one thread, one message outstanding on each connection.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use miniz_oxide::inflate;
use rustix::{
    buffer::spare_capacity,
    event::{Timespec, epoll},
    fd::OwnedFd,
    io::Errno,
    net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt},
};

use crate::{
    handshake::{Compression, Handshake},
    noise::{Noise, Pool},
    wire::{self, Expected, Found, Incoming},
};

/// How long nothing at all may happen while something is due.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// The pause after which the loop looks whether it was interrupted.
const TURN_MAX: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
const NO_TIME: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
const READ_BYTES: usize = 256 * 1024;
/// Connections come from 127.1.0.1 and its neighbours: one source address has too few ports for a row of
/// handshakes, each of which leaves its port unusable for a minute.
const SOURCES: u32 = 100;

/// What happened on a connection.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(crate) enum Happened {
    /// The opening handshake is done, this long after the connection was begun.
    Opened(Duration),
    /// The message came back right, this long after it was sent.
    Echoed(Duration),
    /// What one connection said came here right, this long after it was sent.
    Delivered(Duration),
    /// The server answered our Close and ended the TCP connection, this long after our Close.
    Closed(Duration),
}

#[derive(Debug)]
struct Client {
    socket: OwnedFd,
    handshake: Option<Handshake>,
    incoming: Incoming,
    outstanding: Option<Outstanding>,
    since: Instant,
    out: Vec<u8>,
    written: usize,
    waits_for_room: bool,
    close: Close,
}

/// The message that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outstanding {
    /// What lies in the pool, from here, with this length.
    Own(usize, usize),
    /// What is due on all connections.
    ToAll,
}

/// What the load does while nothing comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// It sleeps. The server's kernel wakes it.
    Sleep,
    /// It looks again and again. Where each message is a short piece of work for the server, one that is a little
    /// slower than the load would otherwise pay for waking it with each message, and one that is a little faster
    /// never.
    Look,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Close {
    No,
    Sent,
    Answered,
}

/// All connections to one server.
pub(crate) struct Clients<'a> {
    epoll: OwnedFd,
    clients: Vec<Client>,
    events: Vec<epoll::Event>,
    read: Vec<u8>,
    happened: Vec<(usize, Happened)>,
    to_all: ToAll,
    compression: Compression,
    rest: Rest,
    pool: Pool,
    noise: Noise,
    path: &'a str,
    port: u16,
    connected: u32,
    interrupted: &'a AtomicBool,
}

impl<'a> Clients<'a> {
    pub(crate) fn new(
        path: &'a str,
        port: u16,
        message_bytes_max: usize,
        compression: Compression,
        interrupted: &'a AtomicBool,
    ) -> Result<Self, String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut noise = Noise::new(now.as_nanos() as u64);
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC).map_err(told)?,
            clients: vec![],
            events: Vec::with_capacity(1024),
            read: Vec::with_capacity(READ_BYTES),
            happened: vec![],
            to_all: ToAll::default(),
            compression,
            rest: Rest::Sleep,
            pool: Pool::new(message_bytes_max, &mut noise),
            noise,
            path,
            port,
            connected: 0,
            interrupted,
        })
    }

    /// Changes what is done while nothing comes; at first that is [`Rest::Sleep`].
    pub(crate) fn rest(&mut self, rest: Rest) {
        self.rest = rest;
    }

    pub(crate) fn len(&self) -> usize {
        self.clients.len()
    }

    /// Begins a connection; returns its number.
    pub(crate) fn open(&mut self) -> Result<usize, String> {
        let id = self.clients.len();
        let client = self.connect(id)?;
        self.clients.push(client);
        Ok(id)
    }

    /// Begins a new connection in the place of one that is closed.
    pub(crate) fn reopen(&mut self, id: usize) -> Result<(), String> {
        self.clients[id] = self.connect(id)?;
        Ok(())
    }

    fn connect(&mut self, id: usize) -> Result<Client, String> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket =
            net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).map_err(told)?;
        sockopt::set_tcp_nodelay(&socket, true).map_err(told)?;
        sockopt::set_socket_reuseaddr(&socket, true).map_err(told)?;
        let source = Ipv4Addr::from_bits(0x7f01_0001 + self.connected % SOURCES);
        self.connected = self.connected.wrapping_add(1);
        net::bind(&socket, &SocketAddrV4::new(source, 0)).map_err(told)?;
        let since = Instant::now();
        match net::connect(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, self.port)) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(why) => return Err(format!("connect: {why}")),
        }
        let interest = epoll::EventFlags::IN | epoll::EventFlags::OUT;
        epoll::add(&self.epoll, &socket, epoll::EventData::new_u64(id as u64), interest)
            .map_err(told)?;
        let mut out = vec![];
        let handshake =
            Handshake::start(&mut out, self.path, self.port, self.compression, &mut self.noise);
        Ok(Client {
            socket,
            handshake: Some(handshake),
            incoming: Incoming::default(),
            outstanding: None,
            since,
            out,
            written: 0,
            waits_for_room: true,
            close: Close::No,
        })
    }

    /// Sends one binary message of random content.
    pub(crate) fn send(&mut self, id: usize, bytes: usize) -> Result<(), String> {
        let client = &mut self.clients[id];
        let start = self.pool.start(&mut self.noise);
        client.outstanding = Some(Outstanding::Own(start, bytes));
        let message = self.pool.message(start, bytes);
        wire::frame(&mut client.out, wire::BINARY, message, self.noise.key());
        client.since = Instant::now();
        client.flush(id, &self.epoll)
    }

    /// Sends one binary message that the server has to deliver on every connection.
    pub(crate) fn send_to_all(&mut self, id: usize, message: Vec<u8>) -> Result<(), String> {
        let since = Instant::now();
        for client in &mut self.clients {
            client.outstanding = Some(Outstanding::ToAll);
            client.since = since;
        }
        let client = &mut self.clients[id];
        wire::frame(&mut client.out, wire::BINARY, &message, self.noise.key());
        self.to_all = ToAll { message, compressed: None };
        client.flush(id, &self.epoll)
    }

    /// Sends a Close with code 1000.
    pub(crate) fn close(&mut self, id: usize) -> Result<(), String> {
        let client = &mut self.clients[id];
        wire::frame(&mut client.out, wire::CLOSE, &1000_u16.to_be_bytes(), self.noise.key());
        client.close = Close::Sent;
        client.since = Instant::now();
        client.flush(id, &self.epoll)
    }

    /// Waits until something happened that a row counts, and hands it to `then`, connection by connection.
    ///
    /// # Errors
    /// A server broke a rule or said nothing for [`SILENCE_MAX`]; or we were interrupted.
    pub(crate) fn turn(
        &mut self,
        mut then: impl FnMut(&mut Self, usize, Happened) -> Result<(), String>,
    ) -> Result<(), String> {
        let silent_since = Instant::now();
        let timeout = match self.rest {
            Rest::Sleep => TURN_MAX,
            Rest::Look => NO_TIME,
        };
        loop {
            if self.interrupted.load(Ordering::Relaxed) {
                return Err("interrupted".into());
            }
            self.events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(why) => return Err(told(why)),
            }
            if !self.events.is_empty() {
                break;
            }
            if silent_since.elapsed() > SILENCE_MAX {
                return Err(format!("nothing came for {} s", SILENCE_MAX.as_secs()));
            }
        }
        let events = std::mem::take(&mut self.events);
        for event in &events {
            let id = event.data.u64() as usize;
            self.ready(id, event.flags)?;
            while let Some((id, happened)) = self.happened.pop() {
                then(self, id, happened)?;
            }
        }
        self.events = events;
        Ok(())
    }

    fn ready(&mut self, id: usize, flags: epoll::EventFlags) -> Result<(), String> {
        let client = &mut self.clients[id];
        if flags.contains(epoll::EventFlags::OUT) {
            client.flush(id, &self.epoll)?;
        }
        let ends = epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR;
        if !flags.intersects(ends) {
            return Ok(());
        }
        self.read.clear();
        match net::recv(&client.socket, spare_capacity(&mut self.read), RecvFlags::empty()) {
            Ok((_, 0)) | Err(Errno::CONNRESET) => return self.ended(id),
            Ok(_) => {}
            Err(Errno::AGAIN) => return Ok(()),
            Err(why) => return Err(format!("recv: {why}")),
        }
        let mut bytes = self.read.as_slice();
        if let Some(handshake) = &mut client.handshake {
            let Some(taken) = handshake.take(bytes)? else { return Ok(()) };
            client.handshake = None;
            bytes = &bytes[taken..];
            self.happened.push((id, Happened::Opened(client.since.elapsed())));
        }
        while !bytes.is_empty() {
            let expected = client.outstanding.map(|it| match (it, self.compression) {
                (Outstanding::Own(start, len), _) => Expected::Bytes(self.pool.message(start, len)),
                (Outstanding::ToAll, Compression::None) => Expected::Bytes(&self.to_all.message),
                (Outstanding::ToAll, Compression::Deflate) => Expected::Compressed,
            });
            let (taken, found) = client.incoming.take(bytes, expected)?;
            bytes = &bytes[taken..];
            match found {
                None => {}
                Some(found @ (Found::Message | Found::Compressed(_))) => {
                    if let Found::Compressed(compressed) = found {
                        self.to_all.check(compressed)?;
                    }
                    let took = client.since.elapsed();
                    let happened = match client.outstanding.take() {
                        Some(Outstanding::ToAll) => Happened::Delivered(took),
                        _ => Happened::Echoed(took),
                    };
                    self.happened.push((id, happened));
                }
                Some(Found::Ping(payload)) => {
                    wire::frame(&mut client.out, wire::PONG, &payload, self.noise.key());
                    client.flush(id, &self.epoll)?;
                }
                Some(Found::Close(Some(1000))) if client.close == Close::Sent => {
                    client.close = Close::Answered;
                }
                Some(Found::Close(code)) => return Err(format!("a Close with code {code:?}")),
            }
        }
        Ok(())
    }

    fn ended(&mut self, id: usize) -> Result<(), String> {
        let client = &self.clients[id];
        if client.close != Close::Answered {
            return Err("the server ended the TCP connection without a Close".into());
        }
        // Else a socket at its end would be reported again and again.
        epoll::delete(&self.epoll, &client.socket).map_err(told)?;
        self.happened.push((id, Happened::Closed(client.since.elapsed())));
        Ok(())
    }
}

/// What is due on all connections.
#[derive(Debug, Default)]
struct ToAll {
    message: Vec<u8>,
    /// What was inflated and was right. With each message standing for itself, the same bytes mean the same.
    compressed: Option<Vec<u8>>,
}

impl ToAll {
    fn check(&mut self, mut compressed: Vec<u8>) -> Result<(), String> {
        if self.compressed.as_ref() == Some(&compressed) {
            return Ok(());
        }
        let received = compressed.clone();
        // RFC 7692 §7.2.2: "Append 4 octets of 0x00 0x00 0xff 0xff to the tail end of the payload"; then an empty
        // last block, so that the inflater knows that it is at the end.
        compressed.extend_from_slice(&[0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff]);
        match inflate::decompress_to_vec_with_limit(&compressed, self.message.len()) {
            Ok(inflated) if inflated == self.message => {
                self.compressed = Some(received);
                Ok(())
            }
            Ok(_) => Err("a message came changed".into()),
            Err(why) => Err(format!("a message can't be inflated: {why}")),
        }
    }
}

impl Client {
    fn flush(&mut self, id: usize, epoll: &OwnedFd) -> Result<(), String> {
        while self.written < self.out.len() {
            match net::send(&self.socket, &self.out[self.written..], SendFlags::NOSIGNAL) {
                Ok(bytes) => self.written += bytes,
                Err(Errno::AGAIN) => break,
                Err(why) => return Err(format!("send: {why}")),
            }
        }
        let rest = self.written < self.out.len();
        if !rest {
            self.out.clear();
            self.written = 0;
        }
        if rest != self.waits_for_room {
            self.waits_for_room = rest;
            let mut interest = epoll::EventFlags::IN;
            interest.set(epoll::EventFlags::OUT, rest);
            let id = epoll::EventData::new_u64(id as u64);
            epoll::modify(epoll, &self.socket, id, interest).map_err(told)?;
        }
        Ok(())
    }
}

fn told(why: Errno) -> String {
    why.to_string()
}

#[cfg(test)]
mod tests;
