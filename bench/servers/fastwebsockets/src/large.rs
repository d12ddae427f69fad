//! Messages too large to hold: read and written frame by frame.

use bench_pattern::pattern;
use fastwebsockets::{Frame, OpCode, Payload, WebSocketError, upgrade::UpgradeFut};

/// Reads messages, checks every byte and answers how many there were.
pub(crate) async fn take(upgraded: UpgradeFut) -> Result<(), WebSocketError> {
    let mut socket = upgraded.await?;
    let mut bytes = 0;
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary | OpCode::Continuation => {
                assert!(
                    pattern().is_at(bytes, &frame.payload),
                    "wrong content behind byte {bytes}"
                );
                bytes += frame.payload.len() as u64;
                if frame.fin {
                    let answer = Payload::Owned(bytes.to_string().into_bytes());
                    socket.write_frame(Frame::binary(answer)).await?;
                    bytes = 0;
                }
            }
            _ => {}
        }
    }
}

/// Answers a number with a message of that many bytes.
pub(crate) async fn give(upgraded: UpgradeFut) -> Result<(), WebSocketError> {
    let mut socket = upgraded.await?;
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => {
                let bytes: u64 =
                    String::from_utf8_lossy(&frame.payload).parse().expect("it is a number");
                let mut written = 0;
                while written < bytes {
                    let opcode = if written == 0 { OpCode::Binary } else { OpCode::Continuation };
                    let part = pattern().at(written, bytes - written);
                    written += part.len() as u64;
                    let payload = Payload::Borrowed(part);
                    let frame = Frame::new(written == bytes, opcode, None, payload);
                    socket.write_frame(frame).await?;
                }
            }
            _ => {}
        }
    }
}
