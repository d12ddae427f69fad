//! Peers that write any bytes and see each byte that comes: blocking sockets with a deadline each.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use taiwa_proto::handshake::accept_key;

/// How long anything may take for which no other time is named.
const WITHIN: Duration = Duration::from_secs(10);

/// A socket behind its opening handshake.
#[derive(Debug)]
pub struct Raw {
    tcp: TcpStream,
    /// Read, and not asked for yet.
    read: Vec<u8>,
}

/// A client that keeps no rule.
pub struct RawClient;

impl RawClient {
    /// Opens a connection to `path`.
    ///
    /// # Panics
    /// If the server does not accept, or does not agree on what is offered.
    pub fn connect(addr: SocketAddr, path: &str, deflate: bool) -> Raw {
        let offer = match deflate {
            true => "Sec-WebSocket-Extensions: permessage-deflate\r\n",
            false => "",
        };
        let mut raw = Self::knock(addr);
        raw.write(
            format!(
                "GET {path} HTTP/1.1\r\nHost: {addr}\r\nUpgrade: websocket\r\n\
                 Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                 Sec-WebSocket-Version: 13\r\n{offer}\r\n"
            )
            .as_bytes(),
        );
        let head = raw.read_head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert_eq!(head.to_lowercase().contains("permessage-deflate"), deflate, "{head}");
        raw
    }

    /// Connects and says nothing.
    ///
    /// # Panics
    /// If nobody listens.
    pub fn knock(addr: SocketAddr) -> Raw {
        let tcp = TcpStream::connect_timeout(&addr, WITHIN).expect("somebody listens");
        Raw::new(tcp)
    }
}

/// A server that keeps no rule.
#[derive(Debug)]
pub struct RawServer(TcpListener);

impl RawServer {
    /// Listens on a free port.
    ///
    /// # Panics
    /// If there is none.
    pub fn bind() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        Self(listener)
    }

    /// Returns where.
    ///
    /// # Panics
    /// Never.
    pub fn addr(&self) -> SocketAddr {
        self.0.local_addr().expect("bound")
    }

    /// Accepts the next client, and the compression that it offers if `deflate`.
    ///
    /// # Panics
    /// If the client's request lacks a key.
    pub fn accept(&self, deflate: bool) -> Raw {
        let deadline = Instant::now() + WITHIN;
        let tcp = loop {
            match self.0.accept() {
                Ok((tcp, _)) => break tcp,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            assert!(Instant::now() < deadline, "nobody connects");
            thread::sleep(Duration::from_millis(1));
        };
        tcp.set_nonblocking(false).expect("a socket");
        let mut raw = Raw::new(tcp);
        let head = raw.read_head();
        let key = head
            .lines()
            .find_map(|it| it.to_lowercase().starts_with("sec-websocket-key:").then(|| &it[18..]))
            .expect("a key")
            .trim();
        let agreed = match deflate {
            true => "Sec-WebSocket-Extensions: permessage-deflate\r\n",
            false => "",
        };
        raw.write(
            format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {}\r\n{agreed}\r\n",
                accept_key(key)
            )
            .as_bytes(),
        );
        raw
    }
}

impl Raw {
    fn new(tcp: TcpStream) -> Self {
        tcp.set_nodelay(true).expect("a socket");
        tcp.set_write_timeout(Some(WITHIN)).expect("a socket");
        Self { tcp, read: vec![] }
    }

    /// Writes all of it.
    ///
    /// # Panics
    /// If the peer takes none of it for ten seconds, or is gone.
    pub fn write(&mut self, bytes: &[u8]) {
        self.tcp.write_all(bytes).expect("the peer reads");
    }

    /// Writes as much as the peer takes without waiting longer than `stall` for room, and returns how
    /// much that is. A peer that is gone takes nothing.
    pub fn write_until_stalled(&mut self, bytes: &[u8], stall: Duration) -> usize {
        self.tcp.set_write_timeout(Some(stall)).expect("a socket");
        let mut written = 0;
        while written < bytes.len() {
            match self.tcp.write(&bytes[written..]) {
                Ok(n) => written += n,
                Err(_) => break,
            }
        }
        self.tcp.set_write_timeout(Some(WITHIN)).expect("a socket");
        written
    }

    /// Reads a head of HTTP.
    ///
    /// # Panics
    /// If none comes.
    pub fn read_head(&mut self) -> String {
        let deadline = Instant::now() + WITHIN;
        loop {
            if let Some(at) = self.read.windows(4).position(|it| it == b"\r\n\r\n") {
                let rest = self.read.split_off(at + 4);
                let head = std::mem::replace(&mut self.read, rest);
                return String::from_utf8(head).expect("a head in ASCII");
            }
            assert_ne!(self.fill(deadline).expect("a head"), 0, "the peer closed");
        }
    }

    /// Reads to the end of what the peer writes.
    ///
    /// # Errors
    /// If it does not end within `within`, or is reset.
    pub fn read_to_end(&mut self, within: Duration) -> std::io::Result<Vec<u8>> {
        let deadline = Instant::now() + within;
        while self.fill(deadline)? != 0 {}
        Ok(std::mem::take(&mut self.read))
    }

    /// Reads so many frames of a server, each of at most 125 bytes, and no more.
    ///
    /// # Panics
    /// If they don't come.
    pub fn read_frames(&mut self, count: usize, within: Duration) -> Vec<u8> {
        let deadline = Instant::now() + within;
        let mut end = 0;
        for _ in 0..count {
            while self.read.len() < end + 2
                || self.read.len() < end + 2 + usize::from(self.read[end + 1])
            {
                assert_ne!(self.fill(deadline).expect("frames"), 0, "the peer closed");
            }
            end += 2 + usize::from(self.read[end + 1]);
        }
        let rest = self.read.split_off(end);
        std::mem::replace(&mut self.read, rest)
    }

    /// Reads one unfragmented frame of a server and returns its payload.
    ///
    /// # Panics
    /// If it does not come.
    pub fn read_message(&mut self, within: Duration) -> Vec<u8> {
        let deadline = Instant::now() + within;
        let mut need = |len| {
            while self.read.len() < len {
                assert_ne!(self.fill(deadline).expect("a message"), 0, "the peer closed");
            }
            (self.read[1], self.read[2..len].to_vec())
        };
        let start = match need(2).0 {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        let (short, long) = need(start);
        let len = match start {
            2 => usize::from(short),
            _ => long.iter().fold(0, |len, it| len << 8 | usize::from(*it)),
        };
        need(start + len);
        let rest = self.read.split_off(start + len);
        std::mem::replace(&mut self.read, rest).split_off(start)
    }

    /// Says that nothing more will be written.
    pub fn shut_down(&mut self) {
        let _ = self.tcp.shutdown(Shutdown::Write);
    }

    fn fill(&mut self, deadline: Instant) -> std::io::Result<usize> {
        let mut bytes = [0; 16 << 10];
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        self.tcp.set_read_timeout(Some(left))?;
        let n = self.tcp.read(&mut bytes)?;
        self.read.extend_from_slice(&bytes[..n]);
        Ok(n)
    }
}
