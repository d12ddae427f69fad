//! A client that says the same bytes each time, so that a server has the same work.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

/// Under callgrind everything takes some fifty times as long, and the machine may have other work.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// One WebSocket.
pub(crate) struct Client {
    socket: TcpStream,
    /// Read, and not taken out yet.
    bytes: Vec<u8>,
}

impl Client {
    /// Opens a WebSocket and waits for the answer.
    pub(crate) fn open(port: u16, path: &str) -> Result<Self, String> {
        let told = |it: std::io::Error| format!("a connection to {path}: {it}");
        let mut socket = TcpStream::connect(("127.0.0.1", port)).map_err(told)?;
        socket.set_nodelay(true).map_err(told)?;
        socket.set_read_timeout(Some(ANSWER_WITHIN)).map_err(told)?;
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        socket.write_all(head.as_bytes()).map_err(told)?;
        let mut client = Self { socket, bytes: Vec::new() };
        let end = loop {
            if let Some(end) = client.bytes.windows(4).position(|it| it == b"\r\n\r\n") {
                break end + 4;
            }
            client.read()?;
        };
        let head: Vec<u8> = client.bytes.drain(..end).collect();
        if head.starts_with(b"HTTP/1.1 101 ") {
            Ok(client)
        } else {
            Err(format!("{path} is answered with {}", String::from_utf8_lossy(&head)))
        }
    }

    /// Sends a text.
    pub(crate) fn send(&mut self, text: &str) -> Result<(), String> {
        let frame = masked(0x81, text.as_bytes());
        self.socket.write_all(&frame).map_err(|it| it.to_string())
    }

    /// Waits for the next message, or Close frame.
    pub(crate) fn recv(&mut self) -> Result<String, String> {
        loop {
            if let Some((header_len, len)) = frame_lens(&self.bytes)
                && header_len + len <= self.bytes.len()
            {
                let frame: Vec<u8> = self.bytes.drain(..header_len + len).collect();
                return Ok(String::from_utf8_lossy(&frame[header_len..]).into_owned());
            }
            self.read()?;
        }
    }

    /// Closes by the closing handshake and waits for its end.
    pub(crate) fn close(mut self) -> Result<(), String> {
        let frame = masked(0x88, &1000_u16.to_be_bytes());
        self.socket.write_all(&frame).map_err(|it| it.to_string())?;
        self.recv()?;
        let mut rest = Vec::new();
        self.socket.read_to_end(&mut rest).map_err(|it| it.to_string())?;
        if rest.is_empty() { Ok(()) } else { Err("something comes behind a Close frame".into()) }
    }

    fn read(&mut self) -> Result<(), String> {
        let mut piece = [0; 4096];
        match self.socket.read(&mut piece) {
            Ok(0) => Err("the server ends a connection".into()),
            Ok(n) => {
                self.bytes.extend_from_slice(&piece[..n]);
                Ok(())
            }
            Err(why) => Err(format!("no answer: {why}")),
        }
    }
}

/// A frame of a client's, shorter than 64 KiB.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    const KEY: [u8; 4] = [1, 2, 3, 4];
    let mut frame = vec![first];
    match payload.len() {
        it @ 0..126 => frame.push(0x80 | it as u8),
        it => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(it as u16).to_be_bytes());
        }
    }
    frame.extend_from_slice(&KEY);
    frame.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// Lengths of the header and payload of a server's frame that is shorter than 64 KiB; `None` if the header is not here.
fn frame_lens(bytes: &[u8]) -> Option<(usize, usize)> {
    match *bytes {
        [_, 126, high, low, ..] => Some((4, usize::from(u16::from_be_bytes([high, low])))),
        [_, 126, ..] | [] | [_] => None,
        [_, len, ..] => Some((2, usize::from(len))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_frames_are_written_and_read() {
        assert_eq!(masked(0x81, b"ab"), [0x81, 0x82, 1, 2, 3, 4, b'a' ^ 1, b'b' ^ 2]);
        assert_eq!(masked(0x81, &[0; 300])[..4], [0x81, 0xfe, 1, 44]);
        assert_eq!(frame_lens(&[0x81, 5]), Some((2, 5)));
        assert_eq!(frame_lens(&[0x81, 126, 1, 44]), Some((4, 300)));
        assert_eq!(frame_lens(&[0x81, 126, 1]), None);
    }
}
