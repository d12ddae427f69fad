//! A client that does what no good client does, byte by byte.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

use super::soon;

/// Makes a frame of a client with a mask of zeros.
pub(super) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ ..126 => frame.push(0x80 | len as u8),
        len @ ..0x1_0000 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// Opens a WebSocket with `behind` in the same write as the request, and reads the response.
pub(super) async fn open(addr: SocketAddr, path: &str, behind: &[u8]) -> TcpStream {
    let mut tcp = soon(TcpStream::connect(addr)).await.unwrap();
    shake_hands(&mut tcp, path, behind).await;
    tcp
}

/// As [`open`], over what is connected already.
pub(super) async fn shake_hands(
    io: &mut (impl AsyncRead + AsyncWrite + Unpin),
    path: &str,
    behind: &[u8],
) {
    let mut request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .into_bytes();
    request.extend_from_slice(behind);
    soon(io.write_all(&request)).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon(io.read_u8()).await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
}

/// Reads so many bytes.
pub(super) async fn read(tcp: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    soon(tcp.read_exact(&mut bytes)).await.unwrap();
    bytes
}

/// Reads to the end, which may be a reset.
pub(super) async fn read_to_end(tcp: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = soon(tcp.read_to_end(&mut bytes)).await;
    bytes
}
