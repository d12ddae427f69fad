//! The client connections: raw epoll, one thread, one message outstanding on each connection, or several.

use std::{
    collections::VecDeque,
    net::{Ipv4Addr, SocketAddrV4},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use rustix::{
    buffer::spare_capacity,
    event::{Timespec, epoll},
    fd::OwnedFd,
    io::Errno,
    net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt},
};

use crate::{
    handshake::{Compression, Handshake},
    messages::{Message, Messages, Said},
    noise::Noise,
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
    outstanding: VecDeque<Outstanding>,
    /// Whether what is due on all connections is due here.
    hears: bool,
    since: Instant,
    out: Vec<u8>,
    written: usize,
    waits_for_room: bool,
    close: Close,
}

/// A message that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Outstanding {
    message: Message,
    since: Instant,
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
    /// What is due on all connections.
    to_all: Said,
    compression: Compression,
    rest: Rest,
    messages: Messages,
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
        messages: Messages,
        compression: Compression,
        interrupted: &'a AtomicBool,
    ) -> Result<Self, String> {
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC).map_err(told)?,
            clients: vec![],
            events: Vec::with_capacity(1024),
            read: Vec::with_capacity(READ_BYTES),
            happened: vec![],
            to_all: Said::default(),
            compression,
            rest: Rest::Sleep,
            messages,
            noise: Noise::random(),
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
            outstanding: VecDeque::new(),
            hears: false,
            since,
            out,
            written: 0,
            waits_for_room: true,
            close: Close::No,
        })
    }

    /// Sends one message.
    pub(crate) fn send(&mut self, id: usize) -> Result<(), String> {
        self.queue(id);
        self.clients[id].flush(id, &self.epoll)
    }

    /// Has one message sent when this turn is over, together with others of this connection.
    pub(crate) fn queue(&mut self, id: usize) {
        let client = &mut self.clients[id];
        let message = self.messages.choose(&mut self.noise);
        self.messages.frame(&mut client.out, message, self.noise.key());
        client.outstanding.push_back(Outstanding { message, since: Instant::now() });
    }

    /// Sends what was queued.
    pub(crate) fn flush(&mut self, id: usize) -> Result<(), String> {
        self.clients[id].flush(id, &self.epoll)
    }

    /// Sends one binary message that the server has to deliver on every connection.
    pub(crate) fn send_to_all(&mut self, id: usize, message: Vec<u8>) -> Result<(), String> {
        let since = Instant::now();
        for client in &mut self.clients {
            client.hears = true;
            client.since = since;
        }
        let client = &mut self.clients[id];
        wire::frame(&mut client.out, wire::BINARY, &message, self.noise.key());
        self.to_all = Said::new(message);
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
            if !self.clients[id].waits_for_room && !self.clients[id].out.is_empty() {
                self.flush(id)?;
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
            let expected = match (client.outstanding.front(), self.compression) {
                (Some(it), _) => Some(self.messages.expected(it.message)),
                (None, _) if !client.hears => None,
                (None, Compression::None) => Some(Expected::Bytes(&self.to_all.message)),
                (None, Compression::Deflate) => Some(Expected::Compressed),
            };
            let (taken, found) = client.incoming.take(bytes, expected)?;
            bytes = &bytes[taken..];
            match found {
                None => {}
                Some(found @ (Found::Message | Found::Compressed(_))) => {
                    let happened = match client.outstanding.pop_front() {
                        Some(due) => {
                            if let Found::Compressed(compressed) = found {
                                self.messages.check(due.message, compressed)?;
                            }
                            Happened::Echoed(due.since.elapsed())
                        }
                        None => {
                            if let Found::Compressed(compressed) = found {
                                self.to_all.check(compressed)?;
                            }
                            client.hears = false;
                            Happened::Delivered(client.since.elapsed())
                        }
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
