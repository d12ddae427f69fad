//! A WebSocket by hand, cheap enough to have thousands: text frames, one mask for all.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub(crate) struct Socket {
    stream: TcpStream,
    read: Vec<u8>,
}

/// What a server says.
#[derive(Debug)]
pub(crate) enum Said {
    Text(String),
    Close(u16),
    /// The end, without a Close frame.
    End,
}

impl Socket {
    /// Does the opening handshake; an error says why nobody let us in.
    pub(crate) async fn open(addr: SocketAddr, path: &str) -> io::Result<Self> {
        let mut socket = Self { stream: TcpStream::connect(addr).await?, read: Vec::new() };
        socket.stream.set_nodelay(true)?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {addr}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        );
        socket.stream.write_all(request.as_bytes()).await?;
        loop {
            if let Some(at) = socket.read.windows(4).position(|it| it == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&socket.read[..at]).into_owned();
                socket.read.drain(..at + 4);
                return match head.starts_with("HTTP/1.1 101 ") {
                    true => Ok(socket),
                    false => Err(io::Error::other(head)),
                };
            }
            if socket.stream.read_buf(&mut socket.read).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Sends one text, shorter than 64 KiB.
    pub(crate) async fn send(&mut self, text: &str) -> io::Result<()> {
        self.write(0x81, text.as_bytes()).await
    }

    async fn write(&mut self, head: u8, payload: &[u8]) -> io::Result<()> {
        let mut frame = vec![head];
        match u16::try_from(payload.len()).expect("a short one") {
            len @ 0..126 => frame.push(0x80 | len as u8),
            len => {
                frame.push(0x80 | 126);
                frame.extend(len.to_be_bytes());
            }
        }
        // A mask of zeros changes nothing.
        frame.extend([0; 4]);
        frame.extend(payload);
        self.stream.write_all(&frame).await
    }

    /// Waits for what the server says next. Cancel-safe.
    pub(crate) async fn next(&mut self) -> io::Result<Said> {
        loop {
            while let Some((head, payload)) = self.take_frame() {
                match head {
                    0x81 => return Ok(Said::Text(String::from_utf8(payload).expect("UTF-8"))),
                    0x88 => {
                        let code = payload.first_chunk().map_or(1005, |it| u16::from_be_bytes(*it));
                        return Ok(Said::Close(code));
                    }
                    0x89 => self.write(0x8a, &payload).await?,
                    _ => panic!("an unexpected frame: {head:#x}"),
                }
            }
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Ok(Said::End);
            }
        }
    }

    fn take_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let (head, len) = (*self.read.first()?, *self.read.get(1)?);
        let (at, len) = match len {
            126 => (4, usize::from(u16::from_be_bytes(*self.read.get(2..)?.first_chunk()?))),
            127 => (10, u64::from_be_bytes(*self.read.get(2..)?.first_chunk()?) as usize),
            len => (2, usize::from(len)),
        };
        let payload = self.read.get(at..at + len)?.to_vec();
        self.read.drain(..at + len);
        Some((head, payload))
    }

    /// Answers the server's Close frame and waits for the end.
    pub(crate) async fn leave(mut self) {
        let _ = self.write(0x88, &[]).await;
        while let Ok(Said::Text(_)) = self.next().await {}
    }
}
