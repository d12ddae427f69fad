//! Clients of a server that has channels: many of them, raw epoll, one thread.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
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
    noise::Noise,
    tongue::{Heard, Tongue, Wish},
    wire,
};

/// How long nothing at all may happen while something is due.
const SILENCE_MAX: Duration = Duration::from_secs(10);
const READ_BYTES: usize = 256 * 1024;
/// As those of `clients.rs`: one address has too few ports.
const SOURCES: u32 = 100;
const TEXT: u8 = 1;
/// What is no client.
const BELL: u64 = u64::MAX;

/// One client.
#[derive(Debug)]
struct Member {
    /// `None` once it is cut.
    socket: Option<OwnedFd>,
    handshake: Option<Handshake>,
    wish: Wish,
    /// How many answers it waits for until it is in.
    waits_for: usize,
    since: Instant,
    /// What came and is no whole frame.
    rest: Vec<u8>,
    /// What could not be sent.
    out: Vec<u8>,
    waits_for_room: bool,
}

/// What happened to one client.
#[derive(Debug)]
pub(crate) enum Happened<'a> {
    /// It is in all its channels, this long after its connection was begun; with what the server said last about it.
    In(Duration, &'a str),
    /// Something was said.
    Said(&'a str),
}

/// All clients of one server.
pub(crate) struct Crowd<'a> {
    epoll: OwnedFd,
    members: Vec<Member>,
    events: Vec<epoll::Event>,
    read: Vec<u8>,
    noise: Noise,
    tongue: Tongue,
    port: u16,
    connected: u32,
    heard_at: Instant,
    interrupted: &'a AtomicBool,
}

impl<'a> Crowd<'a> {
    pub(crate) fn new(
        tongue: Tongue,
        port: u16,
        interrupted: &'a AtomicBool,
    ) -> Result<Self, String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC).map_err(told)?,
            members: vec![],
            events: Vec::with_capacity(1024),
            read: Vec::with_capacity(READ_BYTES),
            noise: Noise::new(now.as_nanos() as u64),
            tongue,
            port,
            connected: 0,
            heard_at: Instant::now(),
            interrupted,
        })
    }

    pub(crate) fn tongue(&self) -> Tongue {
        self.tongue
    }

    /// Has clients that begin from now on connect to this port.
    pub(crate) fn go_to(&mut self, port: u16) {
        self.port = port;
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// Begins a connection; returns the client's number.
    pub(crate) fn begin(&mut self, wish: Wish) -> Result<usize, String> {
        let id = self.members.len();
        let member = self.connect(id, wish)?;
        self.members.push(member);
        Ok(id)
    }

    /// Begins a new connection for a client that was cut.
    pub(crate) fn come_back(&mut self, id: usize, wish: Wish) -> Result<(), String> {
        self.members[id] = self.connect(id, wish)?;
        Ok(())
    }

    /// Lets clients in, at most so many at once, until all of them are.
    pub(crate) fn let_in(
        &mut self,
        wishes: impl IntoIterator<Item = Wish>,
        at_once: usize,
    ) -> Result<(), String> {
        let mut wishes = wishes.into_iter();
        let (mut begun, mut are_in) = (0, 0);
        loop {
            while begun < are_in + at_once
                && let Some(wish) = wishes.next()
            {
                self.begin(wish)?;
                begun += 1;
            }
            if begun == are_in {
                return Ok(());
            }
            self.turn(Duration::from_millis(50), |_, happened| {
                are_in += usize::from(matches!(happened, Happened::In(..)));
                Ok(())
            })?;
        }
    }

    fn connect(&mut self, id: usize, wish: Wish) -> Result<Member, String> {
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
        let target = self.tongue.target(&wish);
        let handshake =
            Handshake::start(&mut out, &target, self.port, Compression::None, &mut self.noise);
        Ok(Member {
            socket: Some(socket),
            handshake: Some(handshake),
            waits_for: self.tongue.answers(&wish),
            wish,
            since,
            rest: vec![],
            out,
            waits_for_room: true,
        })
    }

    /// Sends text messages in one write.
    pub(crate) fn say<'m>(
        &mut self,
        id: usize,
        messages: impl IntoIterator<Item = &'m str>,
    ) -> Result<(), String> {
        let member = &mut self.members[id];
        for message in messages {
            wire::frame(&mut member.out, TEXT, message.as_bytes(), self.noise.key());
        }
        member.flush(id, &self.epoll)
    }

    /// Takes nothing more of what a client is told, as one who is too slow.
    pub(crate) fn read_no_more(&mut self, id: usize) -> Result<(), String> {
        match &self.members[id].socket {
            Some(socket) => epoll::delete(&self.epoll, socket).map_err(told),
            None => Ok(()),
        }
    }

    /// Has [`turn`](Self::turn) return when this is written to.
    pub(crate) fn wake_by(&mut self, bell: &OwnedFd) -> Result<(), String> {
        // Told once for each time that it rings; nobody reads it.
        let interest = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&self.epoll, bell, epoll::EventData::new_u64(BELL), interest).map_err(told)
    }

    /// Ends a connection without a word.
    pub(crate) fn cut(&mut self, id: usize) {
        self.members[id].socket = None;
    }

    /// Takes what has come; waits for it, if there is nothing, at most so long. A wait of zero never sleeps.
    ///
    /// # Errors
    /// A server broke a rule, ended a connection or said nothing for [`SILENCE_MAX`]; or we were interrupted.
    pub(crate) fn turn(
        &mut self,
        wait: Duration,
        mut then: impl FnMut(usize, Happened<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        if self.interrupted.load(Ordering::Relaxed) {
            return Err("interrupted".into());
        }
        let wait = Timespec { tv_sec: 0, tv_nsec: i64::from(wait.subsec_nanos()) };
        self.events.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&wait)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(why) => return Err(told(why)),
        }
        match self.events.is_empty() {
            true if self.heard_at.elapsed() > SILENCE_MAX => {
                return Err(format!("nothing came for {} s", SILENCE_MAX.as_secs()));
            }
            true => {}
            false => self.heard_at = Instant::now(),
        }
        let events = std::mem::take(&mut self.events);
        for event in events.iter().filter(|it| it.data.u64() != BELL) {
            self.ready(event.data.u64() as usize, event.flags, &mut then)?;
        }
        self.events = events;
        Ok(())
    }

    /// Says that silence until now means nothing.
    pub(crate) fn begin_to_wait(&mut self) {
        self.heard_at = Instant::now();
    }

    fn ready(
        &mut self,
        id: usize,
        flags: epoll::EventFlags,
        then: &mut impl FnMut(usize, Happened<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        let Self { members, epoll, read, noise, tongue, .. } = self;
        let member = &mut members[id];
        if flags.contains(epoll::EventFlags::OUT) {
            member.flush(id, epoll)?;
        }
        let ends = epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR;
        let Some(socket) = member.socket.as_ref().filter(|_| flags.intersects(ends)) else {
            return Ok(());
        };
        read.clear();
        match net::recv(socket, spare_capacity(read), RecvFlags::empty()) {
            Ok((_, 0)) | Err(Errno::CONNRESET) => {
                return Err("the server ended a connection".into());
            }
            Ok(_) => {}
            Err(Errno::AGAIN) => return Ok(()),
            Err(why) => return Err(format!("recv: {why}")),
        }
        let mut bytes = read.as_slice();
        if let Some(handshake) = &mut member.handshake {
            let Some(taken) = handshake.take(bytes)? else { return Ok(()) };
            member.handshake = None;
            bytes = &bytes[taken..];
            if let Some(greeting) = tongue.greeting(&member.wish) {
                wire::frame(&mut member.out, TEXT, greeting.as_bytes(), noise.key());
            }
            member.flush(id, epoll)?;
            if member.waits_for == 0 {
                then(id, Happened::In(member.since.elapsed(), ""))?;
            }
        }
        let joined;
        if !member.rest.is_empty() {
            member.rest.extend_from_slice(bytes);
            joined = std::mem::take(&mut member.rest);
            bytes = &joined;
        }
        while let Some((opcode, payload, taken)) = frame(bytes)? {
            bytes = &bytes[taken..];
            match opcode {
                TEXT => {
                    let text = str::from_utf8(payload).map_err(|_| "a text that is none")?;
                    for line in text.split('\n').filter(|it| !it.is_empty()) {
                        member.hear(id, *tongue, line, noise, then)?;
                    }
                }
                wire::PING => wire::frame(&mut member.out, wire::PONG, payload, noise.key()),
                wire::CLOSE => return Err(format!("a Close: {:?}", payload.escape_ascii())),
                _ => return Err(format!("opcode {opcode} was not due")),
            }
        }
        member.rest = bytes.to_vec();
        member.flush(id, epoll)
    }
}

/// Opcode, payload, and how many bytes the frame has.
pub(crate) type Frame<'b> = (u8, &'b [u8], usize);

/// Takes a whole frame off the beginning.
///
/// # Errors
/// It is masked, or a part of a message.
pub(crate) fn frame(bytes: &[u8]) -> Result<Option<Frame<'_>>, String> {
    let [first, second, ..] = *bytes else { return Ok(None) };
    if first & 0xf0 != wire::FIN || second & 0x80 != 0 {
        return Err("a frame that is masked, compressed or no whole message".into());
    }
    let (len, header) = match (second, &bytes[2..]) {
        (126, [a, b, ..]) => (usize::from(u16::from_be_bytes([*a, *b])), 4),
        (127, rest) if rest.len() >= 8 => {
            (u64::from_be_bytes(rest[..8].try_into().expect("8 bytes")) as usize, 10)
        }
        (126 | 127, _) => return Ok(None),
        (len, _) => (usize::from(len), 2),
    };
    let end = header + len;
    Ok(bytes.get(header..end).map(|payload| (first & 0x0f, payload, end)))
}

impl Member {
    fn hear(
        &mut self,
        id: usize,
        tongue: Tongue,
        line: &str,
        noise: &mut Noise,
        then: &mut impl FnMut(usize, Happened<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        match tongue.hear(line, &self.wish)? {
            Heard::In(line) if self.waits_for > 0 => {
                self.waits_for -= 1;
                match self.waits_for {
                    0 => then(id, Happened::In(self.since.elapsed(), line)),
                    _ => Ok(()),
                }
            }
            Heard::In(line) => Err(format!("{line} was not due")),
            Heard::Said(line) => then(id, Happened::Said(line)),
            Heard::Asked(answer) => {
                wire::frame(&mut self.out, TEXT, answer.as_bytes(), noise.key());
                Ok(())
            }
            Heard::Else => Ok(()),
        }
    }

    fn flush(&mut self, id: usize, epoll: &OwnedFd) -> Result<(), String> {
        let Some(socket) = &self.socket else { return Ok(()) };
        while !self.out.is_empty() {
            match net::send(socket, &self.out, SendFlags::NOSIGNAL) {
                Ok(bytes) => drop(self.out.drain(..bytes)),
                Err(Errno::AGAIN) => break,
                Err(why) => return Err(format!("send: {why}")),
            }
        }
        let rest = !self.out.is_empty();
        if rest != self.waits_for_room {
            self.waits_for_room = rest;
            let mut interest = epoll::EventFlags::IN;
            interest.set(epoll::EventFlags::OUT, rest);
            let id = epoll::EventData::new_u64(id as u64);
            epoll::modify(epoll, socket, id, interest).map_err(told)?;
        }
        Ok(())
    }
}

fn told(why: Errno) -> String {
    why.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_whole_or_not_at_all() {
        let long = [b"\x81\x7e\x01\x00".as_slice(), &[b'x'; 256]].concat();
        for end in 0..long.len() {
            assert_eq!(frame(&long[..end]), Ok(None), "{end}");
        }
        assert_eq!(frame(&long), Ok(Some((TEXT, &[b'x'; 256][..], 260))));
        assert_eq!(frame(b"\x81\x02abc"), Ok(Some((TEXT, &b"ab"[..], 4))));
        for wrong in [b"\x81\x82abcdab".as_slice(), b"\x01\x01a", b"\xc1\x01a"] {
            assert!(frame(wrong).is_err(), "{wrong:?}");
        }
    }
}
