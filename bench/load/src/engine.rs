//! Clients of Socket.IO that come and go: by a WebSocket at once, or as browsers do, by polls that become a WebSocket.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddrV4, TcpStream},
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use rustix::net::{self, AddressFamily, SocketType, sockopt};
use serde_json::Value;

use crate::{
    crowd::frame,
    handshake::{Compression, Handshake},
    measure::{Measure, histogram, note},
    noise::Noise,
    rows::{Effort, WARM_UP},
    server::Running,
    wire,
};

const PATH: &str = "/socket.io/?EIO=4";
const TEXT: u8 = 1;
/// How long a server may take for one step.
const STEP_MAX: Duration = Duration::from_secs(10);
/// As those of `clients.rs`: one address has too few ports.
const SOURCES: u32 = 100;

/// How a client comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// By a WebSocket from the beginning.
    WebSocket,
    /// By polls, then by a WebSocket, as the published client does unless it is told otherwise.
    Upgrade,
}

/// Has so many clients at a time connect, be let in and leave. The latency is that until they are let in, or have changed to their WebSocket.
pub(crate) fn visit(
    way: Way,
    at_once: usize,
    effort: Effort,
    server: &Running,
    interrupted: &AtomicBool,
) -> Result<Value, String> {
    let for_a_time = |window| all(way, server.port(), at_once, window, interrupted);
    for_a_time(WARM_UP.min(effort.window))?;
    let measure = Measure::start(server)?;
    let latency = for_a_time(effort.window)?;
    measure.stop_with_latency("connection", "connections", &latency)
}

fn all(
    way: Way,
    port: u16,
    at_once: usize,
    window: Duration,
    interrupted: &AtomicBool,
) -> Result<Histogram<u64>, String> {
    let end = Instant::now() + window;
    let sources = AtomicU32::new(0);
    let one_after_the_other = |seed| {
        let mut latency = histogram();
        let mut noise = Noise::new(seed);
        while Instant::now() < end {
            if interrupted.load(Ordering::Relaxed) {
                return Err("interrupted".to_owned());
            }
            let mut client = Client { port, sources: &sources, noise: &mut noise };
            let began = Instant::now();
            let socket = match way {
                Way::WebSocket => client.connect()?,
                Way::Upgrade => client.poll_and_upgrade()?,
            };
            note(&mut latency, began.elapsed());
            socket.leave(&mut noise)?;
        }
        Ok(latency)
    };
    thread::scope(|scope| {
        let run = &one_after_the_other;
        let threads: Vec<_> =
            (1..=at_once as u64).map(|seed| scope.spawn(move || run(seed))).collect();
        let mut latency = histogram();
        for thread in threads {
            let one = thread.join().map_err(|_| "a client panicked")??;
            latency.add(one).map_err(|it| it.to_string())?;
        }
        Ok(latency)
    })
}

struct Client<'a> {
    port: u16,
    sources: &'a AtomicU32,
    noise: &'a mut Noise,
}

impl Client<'_> {
    fn connect(&mut self) -> Result<Socket, String> {
        let mut socket = self.socket(&format!("{PATH}&transport=websocket"))?;
        socket.expect("0{", self.noise)?;
        socket.say("40", self.noise)?;
        socket.expect("40{", self.noise)?;
        Ok(socket)
    }

    fn poll_and_upgrade(&mut self) -> Result<Socket, String> {
        let target = format!("{PATH}&transport=polling");
        let mut polls = Http::new(self.tcp()?);
        let opened = polls.ask("GET", &target, "")?;
        let opened: Value = opened
            .strip_prefix('0')
            .and_then(|it| serde_json::from_str(it).ok())
            .ok_or_else(|| format!("a poll is answered by {opened:?}"))?;
        let session = opened["sid"].as_str().ok_or("a session without a name")?;
        let target = format!("{target}&sid={session}");
        let mut posts = Http::new(self.tcp()?);
        polls.begin("GET", &target, "")?;
        posts.ask("POST", &target, "40")?;
        poll_for("40{", &target, &mut polls, &mut posts)?;
        polls.begin("GET", &target, "")?;
        let mut socket = self.socket(&format!("{PATH}&transport=websocket&sid={session}"))?;
        socket.say("2probe", self.noise)?;
        socket.expect("3probe", self.noise).map_err(|it| format!("probing: {it}"))?;
        // The poll that waits is answered, so that nothing comes by it any more.
        let last = poll_for("6", &target, &mut polls, &mut posts);
        last.map_err(|it| format!("the last poll: {it}"))?;
        socket.say("5", self.noise)?;
        Ok(socket)
    }

    fn tcp(&self) -> Result<TcpStream, String> {
        let told = |why: rustix::io::Errno| format!("connect: {why}");
        let socket = net::socket(AddressFamily::INET, SocketType::STREAM, None).map_err(told)?;
        sockopt::set_tcp_nodelay(&socket, true).map_err(told)?;
        sockopt::set_socket_reuseaddr(&socket, true).map_err(told)?;
        let number = self.sources.fetch_add(1, Ordering::Relaxed);
        let source = Ipv4Addr::from_bits(0x7f01_0001 + number % SOURCES);
        net::bind(&socket, &SocketAddrV4::new(source, 0)).map_err(told)?;
        net::connect(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, self.port)).map_err(told)?;
        let tcp = TcpStream::from(socket);
        tcp.set_read_timeout(Some(STEP_MAX)).map_err(|it| it.to_string())?;
        Ok(tcp)
    }

    fn socket(&mut self, target: &str) -> Result<Socket, String> {
        let mut tcp = self.tcp()?;
        let mut out = vec![];
        let mut handshake =
            Handshake::start(&mut out, target, self.port, Compression::None, self.noise);
        tcp.write_all(&out).map_err(|it| it.to_string())?;
        let mut rest = vec![];
        loop {
            let came = read(&mut tcp)?;
            if let Some(taken) = handshake.take(&came)? {
                rest.extend_from_slice(&came[taken..]);
                return Ok(Socket { tcp, rest });
            }
        }
    }
}

/// Waits until a poll brings a packet that begins so, and answers the server's pings meanwhile.
fn poll_for(
    beginning: &str,
    target: &str,
    polls: &mut Http,
    posts: &mut Http,
) -> Result<(), String> {
    loop {
        let answer = polls.end()?;
        let mut is_found = false;
        for packet in answer.split('\x1e') {
            match packet {
                "2" => drop(posts.ask("POST", target, "3")?),
                it if it.starts_with(beginning) => is_found = true,
                other => return Err(format!("a poll is answered by {other:?}")),
            }
        }
        if is_found {
            return Ok(());
        }
        polls.begin("GET", target, "")?;
    }
}

/// Reads what is there.
fn read(tcp: &mut TcpStream) -> Result<Vec<u8>, String> {
    let mut bytes = vec![0; 16 << 10];
    match tcp.read(&mut bytes) {
        Ok(0) => Err("the server ended a connection".into()),
        Ok(len) => {
            bytes.truncate(len);
            Ok(bytes)
        }
        Err(why) => Err(format!("recv: {why}")),
    }
}

/// A WebSocket.
struct Socket {
    tcp: TcpStream,
    /// What came and was not taken.
    rest: Vec<u8>,
}

impl Socket {
    fn say(&mut self, text: &str, noise: &mut Noise) -> Result<(), String> {
        self.send(TEXT, text.as_bytes(), noise)
    }

    fn send(&mut self, opcode: u8, payload: &[u8], noise: &mut Noise) -> Result<(), String> {
        let mut out = vec![];
        wire::frame(&mut out, opcode, payload, noise.key());
        self.tcp.write_all(&out).map_err(|it| format!("send: {it}"))
    }

    /// Waits for a packet that begins so; one ping may come before.
    fn expect(&mut self, beginning: &str, noise: &mut Noise) -> Result<(), String> {
        let mut packet = self.next()?;
        if packet == (TEXT, b"2".to_vec()) {
            self.say("3", noise)?;
            packet = self.next()?;
        }
        match packet.0 == TEXT && packet.1.starts_with(beginning.as_bytes()) {
            true => Ok(()),
            false => {
                let came = packet.1.escape_ascii().to_string();
                Err(format!("{came:?} came in place of {beginning:?}"))
            }
        }
    }

    fn next(&mut self) -> Result<(u8, Vec<u8>), String> {
        loop {
            let found = frame(&self.rest)?.map(|(opcode, it, taken)| (opcode, it.to_vec(), taken));
            if let Some((opcode, payload, taken)) = found {
                self.rest.drain(..taken);
                return Ok((opcode, payload));
            }
            self.rest.extend(read(&mut self.tcp)?);
        }
    }

    /// Sends a Close, and waits for the end of the TCP connection: not all servers answer it by a Close of their own.
    fn leave(mut self, noise: &mut Noise) -> Result<(), String> {
        self.send(wire::CLOSE, &1000_u16.to_be_bytes(), noise)?;
        loop {
            match self.tcp.read(&mut [0; 256]) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(why) if why.kind() == ErrorKind::ConnectionReset => return Ok(()),
                Err(why) => return Err(format!("recv: {why}")),
            }
        }
    }
}

/// A connection for requests, one after the other.
struct Http {
    tcp: TcpStream,
    rest: Vec<u8>,
}

impl Http {
    fn new(tcp: TcpStream) -> Self {
        Self { tcp, rest: vec![] }
    }

    fn ask(&mut self, method: &str, target: &str, body: &str) -> Result<String, String> {
        self.begin(method, target, body)?;
        self.end()
    }

    fn begin(&mut self, method: &str, target: &str, body: &str) -> Result<(), String> {
        let more = match body.len() {
            0 => String::new(),
            len => {
                format!("Content-Type: text/plain;charset=UTF-8\r\nContent-Length: {len}\r\n")
            }
        };
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n{more}\r\n{body}"
        );
        self.tcp.write_all(request.as_bytes()).map_err(|it| format!("send: {it}"))
    }

    /// Waits for the answer, and returns its body.
    fn end(&mut self) -> Result<String, String> {
        loop {
            if let Some((body, taken)) = answer(&self.rest)? {
                self.rest.drain(..taken);
                return Ok(body);
            }
            self.rest.extend(read(&mut self.tcp)?);
        }
    }
}

/// Takes a whole answer with the status 200 off the beginning: its body, and how many bytes it has.
fn answer(bytes: &[u8]) -> Result<Option<(String, usize)>, String> {
    let Some(end) = bytes.windows(4).position(|it| it == b"\r\n\r\n") else { return Ok(None) };
    let head = str::from_utf8(&bytes[..end]).map_err(|_| "a head that is not text")?;
    if !head.starts_with("HTTP/1.1 200") {
        return Err(format!("a request is answered by {:?}", bytes.escape_ascii().to_string()));
    }
    let length = head.split("\r\n").find_map(|it| {
        let (name, value) = it.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let length = length.ok_or_else(|| format!("an answer of unknown length: {head:?}"))?;
    let Some(body) = bytes.get(end + 4..end + 4 + length) else { return Ok(None) };
    let body = String::from_utf8(body.to_vec()).map_err(|_| "a body that is not text")?;
    Ok(Some((body, end + 4 + length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_taken_whole_or_not_at_all() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP";
        for end in 0..whole.len() - 4 {
            assert_eq!(answer(&whole[..end]), Ok(None), "{end}");
        }
        assert_eq!(answer(whole), Ok(Some(("ok".into(), whole.len() - 4))));
        assert!(answer(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").is_err());
        assert!(answer(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
